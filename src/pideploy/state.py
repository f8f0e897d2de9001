# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""What pideploy remembers of a cluster on the controller: one folder a cluster, readable by its owner only.

::

    ~/.local/state/pideploy/clusters/red/
      red.pideploy.yml   the spec, when the cluster was deployed with --hosts
      printed-*          the specs of commands that were only printed
      known_hosts        host keys, written by ssh
      kubeconfig         fetched by `pideploy kubeconfig`
      lock, lock.json    held while a run changes the cluster; who holds it
      ledger.jsonl       one line a run: when, what, by whom, with which result; no secret
      runs/<id>/         events.jsonl and Ansible's own output; the last 20 of each verb
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import secrets
import shlex
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from ansible_collections.pideploy.k3s.plugins.module_utils import paths
from pideploy import processes
from pideploy.errors import PideployError

KEPT_RUNS: Final = 20
SPEC_SUFFIX: Final = ".pideploy.yml"
#: A file of this name in the folder of a run makes Ansible end before its next play.
STOP_FILE: Final = "stop"


@dataclass(frozen=True)
class LockHolder:
    """Who holds a cluster's lock, as that process wrote it down."""

    pid: int
    user: str
    host: str
    since: float
    command: str
    #: The folder of what it runs; Ansible has it on its command line, and outlives a pideploy that is killed.
    run: str = ""

    def __str__(self) -> str:
        age = max(0, int(time.time() - self.since))
        text = f"{age // 60} min" if age >= 120 else f"{age} s"
        return f"`{self.command}` of {self.user} on {self.host} (pid {self.pid}), since {text}"


class ClusterState:
    """The state folder of one cluster. Nothing is created before it is needed."""

    def __init__(self, cluster: str) -> None:
        try:
            self.folder = Path(paths.state_dir(cluster))
        except ValueError as exc:
            raise PideployError("usage", str(exc)) from exc
        self.cluster = cluster

    @property
    def spec_file(self) -> Path:
        """Where a deploy with ``--hosts`` keeps the spec."""
        return self.folder / f"{self.cluster}{SPEC_SUFFIX}"

    @property
    def kubeconfig(self) -> Path:
        """Where the cluster's kubeconfig is kept."""
        return self.folder / "kubeconfig"

    @property
    def runs(self) -> Path:
        """The folder of the runs."""
        return self.folder / "runs"

    def create(self) -> None:
        """Make the folder, 0700.

        :raises PideployError: it cannot be made.
        """
        try:
            paths.make_private(str(self.folder))
        except OSError as exc:
            raise PideployError(
                "state",
                f"cannot create {self.folder}: {exc.strerror}",
                hint="set PIDEPLOY_STATE_HOME to a folder of yours",
            ) from exc

    def new_run(self, verb: str) -> tuple[str, Path]:
        """An id for a run and its new folder; older runs of the same verb are deleted but for the last ones."""
        self.create()
        run = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{verb}-{secrets.token_hex(3)}"
        self.runs.mkdir(mode=0o700, exist_ok=True)
        older = sorted(p for p in self.runs.iterdir() if p.name.split("-")[1:2] == [verb])
        for path in older[: max(0, len(older) - KEPT_RUNS + 1)]:
            shutil.rmtree(path, ignore_errors=True)
        folder = self.runs / run
        folder.mkdir(mode=0o700)
        return run, folder

    @contextlib.contextmanager
    def locked(self, command: str = "") -> Iterator[Callable[[Path], None]]:
        """Hold the cluster's lock. The operating system frees it when the process dies, however it dies.

        What is yielded has to be told the folder of a run before it starts: if this process is killed, the cluster
        stays in use for as long as Ansible goes on there.

        :raises PideployError: code ``locked``, somebody else holds it; the message says who.
        """
        from filelock import FileLock, Timeout

        self.create()
        note = self.folder / "lock.json"
        lock = FileLock(self.folder / "lock", timeout=0, mode=0o600)
        try:
            lock.acquire()
        except Timeout as exc:
            holder = self.lock_holder()
            raise PideployError(
                "locked",
                f"cluster {self.cluster} is in use by {holder or 'another pideploy'}",
                hint="wait until it has ended, or stop it with Ctrl-C there",
            ) from exc
        try:
            self._refuse_orphan()
            mine = LockHolder(
                pid=os.getpid(),
                user=_user(),
                host=socket.gethostname(),
                since=time.time(),
                command=command or shlex.join(["pideploy", *sys.argv[1:]]),
            )

            def running(folder: Path) -> None:
                write_private(note, json.dumps(asdict(replace(mine, run=str(folder)))) + "\n")

            write_private(note, json.dumps(asdict(mine)) + "\n")
            try:
                yield running
            finally:
                note.unlink(missing_ok=True)
        finally:
            lock.release()

    def _refuse_orphan(self) -> None:
        """Look for the Ansible of a pideploy that was killed.

        :raises PideployError: code ``locked``, it is still at work.
        """
        holder = self._note()
        if holder is None or not holder.run or holder.host != socket.gethostname():
            return
        for process in processes.listed():
            if "ansible-playbook" in process.command and holder.run in process.command:
                raise PideployError(
                    "locked",
                    f"cluster {self.cluster}: `{holder.command}` was killed, but its Ansible is still at work"
                    f" (pid {process.pid})",
                    hint=f"wait until it has ended; `touch {shlex.quote(holder.run + '/' + STOP_FILE)}` ends it"
                    f" before its next phase, `kill {process.pid}` at once",
                )

    def lock_holder(self) -> LockHolder | None:
        """Who wrote the note beside the lock; None when there is none, or when that process is dead."""
        holder = self._note()
        if holder is not None and holder.host == socket.gethostname() and not _alive(holder.pid):
            return None
        return holder

    def _note(self) -> LockHolder | None:
        try:
            return LockHolder(**json.loads((self.folder / "lock.json").read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def record(self, entry: Mapping[str, Any]) -> None:
        """Append a line to the ledger."""
        self.create()
        fd = os.open(self.folder / "ledger.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(fd, "a") as file:
            file.write(json.dumps({"time": time.time(), "user": _user(), **entry}) + "\n")

    def ledger(self) -> list[dict[str, Any]]:
        """All recorded runs, oldest first. A line that a power cut left half-written is left out."""
        try:
            text = (self.folder / "ledger.jsonl").read_text()
        except FileNotFoundError:
            return []
        entries = []
        for line in text.splitlines():
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if isinstance(entry, dict):
                    entries.append(entry)
        return entries

    def deployed(self, digest: str) -> bool:
        """Whether a deploy of the whole cluster by the spec with this digest succeeded since its last reset."""
        for entry in reversed(self.ledger()):
            if entry.get("ok") and entry.get("verb") in ("deploy", "reset") and not entry.get("limit"):
                return bool(entry["verb"] == "deploy" and entry.get("digest") == digest)
        return False

    def known_spec(self) -> Path | None:
        """The file that describes this cluster: that of its last run, else the one in the state folder."""
        used = [Path(str(e["spec"])) for e in self.ledger() if e.get("spec")]
        return next((p for p in [*used[-1:], self.spec_file] if p.is_file()), None)


def clusters() -> list[str]:
    """The names of all clusters that this controller has state of, sorted."""
    try:
        return sorted(p.name for p in (Path(paths.state_home()) / "clusters").iterdir() if p.is_dir())
    except OSError:
        return []


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600 as a whole: a reader sees the old text or the new one."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
