# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""One ``ansible-playbook`` run by way of ansible-runner: the only module that imports it.

What ansible-runner does by default and this module does not (``tests/contract`` has a test for each): it turns
host key checking off (1), takes variables of earlier runs up again (2, 13), puts variables on the command line (3),
keeps the whole environment in a file (4), kills what runs when asked to stop (5), looks only every 5 s whether it is
asked (6), replaces the caller's signal handlers (7), forces a fact cache (8), writes files that others may read (9),
writes a file an event (10), loses exceptions of its thread (11), does not find ``ansible-playbook`` beside the Python
that runs it (12), splits a string into options (14). It does not run frozen into one binary (15): nor do we.

Otherwise a run is what the user's own ``ansible-playbook`` would be, in the same folder: ``ansible.cfg``,
``ANSIBLE_*`` and ``PIDEPLOY_PASS_ENV=NAME,…`` are respected, except for host key checking, output and injected facts.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from pideploy import processes
from pideploy.errors import PideployError
from pideploy.state import STOP_FILE

STOP_CALLBACK: Final = "pideploy.k3s.stop"
_BECOME_PROMPT: Final = r"(?i)BECOME password.*:\s*?$"

# Nothing else of the caller's environment reaches Ansible: what programs, ssh and downloads need, no secrets.
_PASSED: Final = frozenset(
    {
        *("HOME", "PATH", "USER", "LOGNAME", "SHELL", "TERM", "TMPDIR", "TZ", "LANG", "LANGUAGE"),
        *("PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "OBJC_DISABLE_INITIALIZE_FORK_SAFETY"),
        *("SSH_AUTH_SOCK", "SSH_AGENT_PID", "KRB5CCNAME", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
        *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
        *("PIDEPLOY_STATE_HOME", "PIDEPLOY_CACHE_HOME"),
    }
)
_PASSED_PREFIXES: Final = ("ANSIBLE_", "LC_", "XDG_")


@dataclass(frozen=True)
class Command:
    """What to run on how many ``hosts``. ``limit`` holds host names; ``extra_vars`` goes into a file of its own."""

    playbook: str
    inventory: Path
    hosts: int
    limit: Sequence[str] = ()
    extra_vars: Mapping[str, Any] = field(default_factory=dict)
    check: bool = False
    become_password: str | None = field(default=None, repr=False)
    verbosity: int = 0

    @property
    def forks(self) -> int | None:
        """Hosts at a time: all up to 50, unless the user's ``ANSIBLE_FORKS`` says otherwise (then None)."""
        return None if os.environ.get("ANSIBLE_FORKS") else min(max(self.hosts, 5), 50)

    def options(self) -> list[str]:
        """The options that are words of ours; nothing of the user's is ever among them."""
        options = ["--check", "--diff"] if self.check else []
        return [*options, "--ask-become-pass"] if self.become_password is not None else options

    def line(self) -> str:
        """The plain ``ansible-playbook`` command that does the same, quoted for a shell."""
        argv = ["ansible-playbook", "-i", str(self.inventory), *self.options()]
        if self.limit:
            argv += ["--limit", ",".join(self.limit)]
        if self.forks:
            argv += ["--forks", str(self.forks)]
        if self.extra_vars:
            argv += ["-e", json.dumps(dict(self.extra_vars))]
        return shlex.join([*argv, self.playbook])


@dataclass(frozen=True)
class Outcome:
    """How the process ended; ``output`` is the file with what Ansible printed."""

    status: Literal["successful", "failed", "interrupted", "canceled"]
    exit_status: int
    output: Path

    def complaint(self) -> str:
        """Why Ansible ended before it began to play: its last error, or its last words."""
        lines = [line.strip() for line in self.output.read_text(errors="replace").splitlines() if line.strip()]
        errors = [i for i, line in enumerate(lines) if line.startswith(("ERROR", "[ERROR]"))]
        return " ".join(lines[errors[0] :][:6] if errors else lines[-3:])


def environment(stop_file: Path, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a run, made from ``environ`` (default: this process's own).

    :raises PideployError: there is no ``ansible-playbook``, neither beside this Python nor on the PATH.
    """
    caller = os.environ if environ is None else environ
    more = {name.strip() for name in caller.get("PIDEPLOY_PASS_ENV", "").split(",")}
    env = {k: v for k, v in caller.items() if k in _PASSED or k.startswith(_PASSED_PREFIXES) or k in more}
    beside = str(Path(sys.executable).parent)
    env["PATH"] = os.pathsep.join(filter(None, (beside, env.get("PATH") or os.defpath)))
    if shutil.which("ansible-playbook", path=env["PATH"]) is None:
        raise PideployError(
            "ansible_missing",
            f"ansible-playbook is neither in {beside} nor on the PATH",
            hint="install pideploy again with pip, which brings ansible-core",
        )
    # Ansible refuses to start under a locale that is not UTF-8.
    if not re.search(r"utf-?8", env.get("LC_ALL") or env.get("LC_CTYPE") or env.get("LANG") or "", re.IGNORECASE):
        env["LC_ALL"] = "en_US.UTF-8" if sys.platform == "darwin" else "C.UTF-8"
    callbacks = [c for c in env.get("ANSIBLE_CALLBACKS_ENABLED", "").split(",") if c.strip()]
    env.update(
        ANSIBLE_HOST_KEY_CHECKING="True",
        ANSIBLE_INJECT_FACT_VARS="False",
        ANSIBLE_NOCOLOR="True",
        ANSIBLE_ENABLE_TASK_DEBUGGER="False",
        ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED="True",
        ANSIBLE_CALLBACKS_ENABLED=",".join([*callbacks, STOP_CALLBACK]),
        PIDEPLOY_STOP_FILE=str(stop_file),
        # ssh would ask for a key's passphrase on a terminal that nobody reads, and wait for ever.
        SSH_ASKPASS=shutil.which("false") or "/bin/false",
        SSH_ASKPASS_REQUIRE="force",
    )
    env.pop("ANSIBLE_FORCE_COLOR", None)
    return env


def run(
    command: Command,
    folder: Path,
    on_event: Callable[[Mapping[str, Any]], None],
    cancel: threading.Event,
) -> Outcome:
    """Run a command to its end and hand each runner event to ``on_event``.

    ``folder`` is an empty one of the caller's, 0700. A file ``stop`` in it makes Ansible end before its next play;
    ``cancel`` kills it within about a second, and then a module that was running on a host goes on there.

    :raises PideployError: Ansible is not installed.
    :raises FileExistsError: the folder was used by an earlier run.
    :raises Exception: what ``on_event`` raised, after Ansible was stopped.
    """
    stop_file = folder / STOP_FILE
    env = environment(stop_file)
    artifacts = folder / "ansible"
    artifacts.mkdir(mode=0o700)
    output = artifacts / "stdout"
    # The one file that runner would create with the caller's umask.
    (artifacts / "stderr").touch(mode=0o600)
    variables = _write_variables(folder, command.extra_vars)
    raised: list[BaseException] = []
    process = 0

    def canceled() -> bool:
        if cancel.is_set() and process:
            _kill_below(process)
        return cancel.is_set()

    def handle(raw: Mapping[str, Any]) -> bool:
        nonlocal process
        process = process or int(raw.get("pid") or 0)
        if not raised:
            try:
                on_event(raw)
            except BaseException as exc:
                raised.append(exc)
                stop_file.touch(mode=0o600)
        return False

    try:
        status, exit_status = _call(command, folder, env, variables, handle, canceled)
    finally:
        (artifacts / "command").unlink(missing_ok=True)
        if variables is not None:
            variables.unlink(missing_ok=True)
    if raised:
        raise raised[0]
    if status == "canceled":
        return Outcome("canceled", exit_status, output)
    if exit_status == 130 and stop_file.exists():
        return Outcome("interrupted", exit_status, output)
    return Outcome("successful" if status == "successful" else "failed", exit_status, output)


def _write_variables(folder: Path, extra_vars: Mapping[str, Any]) -> Path | None:
    if not extra_vars:
        return None
    path = folder / "vars.json"
    path.touch(mode=0o600, exist_ok=False)
    path.write_text(json.dumps(dict(extra_vars)))
    return path


def _call(
    command: Command,
    folder: Path,
    env: dict[str, str],
    variables: Path | None,
    handle: Callable[[Mapping[str, Any]], bool],
    canceled: Callable[[], bool],
) -> tuple[str, int]:
    from ansible_runner.interface import init_runner

    here = _working_folder(folder)
    passwords = {} if command.become_password is None else {_BECOME_PROMPT: command.become_password}
    # Only keywords that are needed: one that is None may still change what runner does.
    options: dict[str, Any] = {
        "limit": ",".join(command.limit) or None,
        "cmdline": " ".join(command.options()) or None,
        "extravars": str(variables) if variables else None,
        "passwords": passwords or None,
        "forks": command.forks,
        "verbosity": command.verbosity or None,
    }
    runner = init_runner(
        private_data_dir=str(folder),
        artifact_dir=str(folder),
        project_dir=str(here),
        ident="ansible",
        playbook=command.playbook,
        inventory=str(command.inventory),
        quiet=True,
        suppress_env_files=True,
        fact_cache_type="",
        cancel_callback=canceled,
        event_handler=handle,
        status_handler=_forget_environment,
        envvars=env,
        **{k: v for k, v in options.items() if v is not None},
    )
    # Runner drops its keyword `settings` when there is no file env/settings, and so it is said here.
    runner.config.pexpect_timeout = 1
    # Runner starts from the whole environment of this process: keep ours and what runner itself has set.
    inherited = {k for k, v in os.environ.items() if k not in env and runner.config.env.get(k) == v}
    runner.config.env = {k: v for k, v in runner.config.env.items() if k not in inherited}
    runner.run()
    return str(runner.status), int(runner.rc if runner.rc is not None else 1)


def _working_folder(folder: Path) -> Path:
    """The caller's folder, where ``ansible-playbook`` would look for ``ansible.cfg`` as well; or the run's own."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return folder


def _kill_below(process: int) -> None:
    """Kill what ``ansible-playbook`` has started: its workers have sessions of their own, so that runner's kill of the
    process group leaves them to go on with whole tasks, retries included."""
    listed = processes.listed()
    below = {process}
    while more := {p.pid for p in listed if p.parent in below} - below:
        below |= more
    for pid in below - {process}:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def _forget_environment(status: Mapping[str, Any], runner_config: Any) -> None:
    """Delete the copy of environment and command line that runner writes, as soon as it is written."""
    if status.get("status") == "running":
        (Path(runner_config.artifact_dir) / "command").unlink(missing_ok=True)
