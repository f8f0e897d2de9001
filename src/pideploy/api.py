# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""``Deployer``: one method a verb, typed. It prints nothing, ends no process and works in any thread.

::

    from pideploy import ClusterSpec, Deployer

    result = Deployer(ClusterSpec.from_hosts("red,red[01-02]")).deploy()
    print(result.ok, [node.name for node in result.nodes])
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from ansible_collections.pideploy.k3s.plugins.module_utils.spec_secrets import secret_values
from pideploy import kubeconfig, runner
from pideploy.collector import Collector
from pideploy.errors import PideployError
from pideploy.event_reader import EventReader, Mask, said
from pideploy.events import Event, Notice, RunFinished, RunStarted
from pideploy.phases import COLLECTION, PHASES, SITE, Phase
from pideploy.progress import GuardedReporter, Reporter, SilentReporter
from pideploy.results import DeployResult
from pideploy.spec import ClusterSpec
from pideploy.state import STOP_FILE
from pideploy.stream import EventStream

VerifyLevel = Literal["nodes", "full"]
Verb = Literal["deploy", "plan", "verify", "status", "kubeconfig", "reset"]

_VERIFY_PHASES: Final = tuple(p for p in PHASES if p.id == "verify")


@dataclass(frozen=True)
class Kubeconfig:
    """Where a kubeconfig was put, and what a merge did (None when none was asked for)."""

    path: Path
    merged: kubeconfig.Merged | None
    result: DeployResult


class Deployer:
    """Works on one cluster; one run at a time.

    ``limit`` is a hostlist of hosts of the cluster; ``extra_vars`` are role variables that win over the spec's.
    Methods raise ``PideployError`` when nothing could be run (spec, lock, Ansible missing); what happened on hosts
    is in the result, and ``result.error()`` makes an error of it.
    """

    def __init__(
        self,
        spec: ClusterSpec,
        *,
        reporter: Reporter | None = None,
        become_password: str | None = None,
        limit: str | Sequence[str] = (),
        extra_vars: Mapping[str, Any] | None = None,
        strict_host_keys: bool = False,
        verbosity: int = 0,
    ) -> None:
        self.spec = spec
        self.reporter: Reporter = reporter or SilentReporter()
        self._become_password = become_password
        self._limit = spec.select(limit)
        self._extra_vars = dict(extra_vars or {})
        self._strict_host_keys = strict_host_keys
        self._verbosity = verbosity
        self._mask = Mask(
            [*secret_values(spec.raw), *secret_values(self._extra_vars), *filter(None, [become_password])]
        )
        self._cancel = threading.Event()
        self._stop = threading.Event()
        self._folder: Path | None = None

    def deploy(self, *, adopt: bool = False, verify_level: VerifyLevel | None = None) -> DeployResult:
        """Bring the cluster to what the spec says, and verify it.

        ``verify_level`` is ``full`` for a cluster that no deploy of this spec has succeeded for yet, else ``nodes``.
        """
        return self._run("deploy", PHASES, {"adopt": adopt, "verify_level": verify_level}, changes=True)

    def plan(self, *, adopt: bool = False) -> DeployResult:
        """What a deploy would change (``result.changes``), without changing anything."""
        return self._run("plan", PHASES, {"adopt": adopt})

    def verify(self, level: VerifyLevel = "full") -> DeployResult:
        """Prove that the cluster works. ``full`` creates things in a namespace of its own and removes them."""
        return self._run("verify", _VERIFY_PHASES, {"verify_level": level}, changes=level == "full")

    def status(self) -> DeployResult:
        """The nodes as the cluster reports them (``result.nodes``); nothing is changed."""
        return self._run("status", (), {})

    def kubeconfig(self, dest: Path | None = None, *, merge: bool = False) -> Kubeconfig:
        """Fetch the kubeconfig to ``dest`` (default: the state folder) and, if asked, merge it into the user's own.

        :raises PideployError: it could not be fetched, or the user's file has an entry of that name already.
        """
        path = (dest or self.spec.state.kubeconfig).expanduser().absolute()
        self.spec.state.create()
        result = self._run("kubeconfig", (), {"dest": path})
        error = result.error()
        if error is None and not path.is_file():
            error = PideployError("kubeconfig", f"Ansible succeeded but there is no {path}")
        if error is not None:
            raise _with_first_failure(error, result)
        return Kubeconfig(path, kubeconfig.merge(path, self.spec.cluster) if merge else None, result)

    def reset(self, confirm: str, *, delete_data: bool = False) -> DeployResult:
        """Delete the cluster from its hosts. ``confirm`` has to be the cluster's name.

        :raises PideployError: code ``not_confirmed``.
        """
        if confirm != self.spec.cluster:
            raise PideployError(
                "not_confirmed",
                f"reset was not confirmed: '{confirm}' is not the name of cluster {self.spec.cluster}",
            )
        result = self._run("reset", (), {"delete_data": delete_data}, changes=True)
        if result.ok and not self._limit:
            self.spec.state.kubeconfig.unlink(missing_ok=True)
            kubeconfig.remove(self.spec.cluster)
        return result

    def command(self, verb: Verb, **options: Any) -> str:
        """The plain ``ansible-playbook`` line for a verb; ``options`` are those of its method.

        A description that no deploy has kept yet is written to a file of its own for it, in the state folder.
        """
        return self._mask.text(self._command(verb, options, self.spec.printable()).line())

    def stop(self) -> None:
        """Ask the run to end before its next play: nothing is cut off, and the next run goes on from there."""
        self._stop.set()
        folder = self._folder
        if folder is not None:
            with contextlib.suppress(FileNotFoundError):
                (folder / STOP_FILE).touch(mode=0o600)

    def cancel(self) -> None:
        """Kill the run within about a second. A module that runs on a host goes on there until it ends."""
        self.stop()
        self._cancel.set()

    def stream(self, verb: Callable[[], DeployResult]) -> EventStream:
        """Run a verb in a thread of its own and iterate over its events: ``for e in d.stream(d.deploy): …``."""
        return EventStream(self, verb)

    def _variables(self, verb: Verb, options: Mapping[str, Any]) -> dict[str, Any]:
        """The role variables that an option of a verb stands for."""
        variables: dict[str, Any] = {}
        if options.get("adopt"):
            variables["preflight_adopt"] = True
        if verb in ("deploy", "verify"):
            known = self.spec.state.deployed(self.spec.digest)
            default = "nodes" if verb == "deploy" and known else "full"
            level = options.get("verify_level")
            # What the spec says wins over the default here, as it does for plain ansible-playbook.
            if level or "verify_level" not in self.spec.raw.get("vars", {}):
                variables["verify_level"] = level or default
        elif verb == "kubeconfig":
            variables["kubeconfig_dest"] = str(options.get("dest") or self.spec.state.kubeconfig)
        elif verb == "reset":
            variables["reset_confirm"] = self.spec.cluster
            variables["reset_delete_data"] = bool(options.get("delete_data"))
        return variables

    def _command(self, verb: Verb, options: Mapping[str, Any], inventory: Path) -> runner.Command:
        return runner.Command(
            playbook=SITE if verb in ("deploy", "plan") else f"{COLLECTION}.{verb}",
            inventory=inventory,
            hosts=len(self._limit or self.spec.hosts),
            limit=self._limit,
            extra_vars={**self._host_key_variables(), **self._variables(verb, options), **self._extra_vars},
            check=verb == "plan",
            become_password=self._become_password,
            verbosity=max(0, self._verbosity - 1),
        )

    def _host_key_variables(self) -> dict[str, str]:
        """``accept-new``, as the inventory has it, turned into ``yes``: then only known keys are taken."""
        if not self._strict_host_keys:
            return {}
        arguments = str(self.spec.group_variables.get("ansible_ssh_common_args", ""))
        strict, count = re.subn(r"StrictHostKeyChecking=\S+", "StrictHostKeyChecking=yes", arguments)
        return {"ansible_ssh_common_args": strict if count else f"-o StrictHostKeyChecking=yes {arguments}".strip()}

    def _run(
        self, verb: Verb, wanted: Sequence[Phase], options: Mapping[str, Any], *, changes: bool = False
    ) -> DeployResult:
        lock = self.spec.state.locked() if changes else contextlib.nullcontext(lambda folder: None)
        with lock as running, contextlib.closing(GuardedReporter(self.reporter)) as reporter:
            if verb == "deploy":
                self.spec.store()
            with self.spec.lent() as inventory:
                return self._follow(verb, wanted, self._command(verb, options, inventory), reporter, running)

    def _follow(
        self,
        verb: Verb,
        wanted: Sequence[Phase],
        command: runner.Command,
        reporter: Reporter,
        running: Callable[[Path], None],
    ) -> DeployResult:
        spec, began = self.spec, time.time()
        run, folder = spec.state.new_run(verb)
        running(folder)
        self._folder = folder
        if self._stop.is_set():
            self.stop()
        collector = Collector(
            wanted=wanted, servers=spec.servers, agents=spec.agents, limit=self._limit, plan=command.check
        )
        reader = EventReader(self._mask, plan=command.check)
        log = folder / "events.jsonl"
        log.touch(mode=0o600)

        def tell(event: Event) -> None:
            collector.add(event)
            reporter.event(event)

        hosts = self._limit or spec.hosts
        tell(RunStarted(began, run, spec.cluster, verb, tuple(hosts), str(folder)))
        with log.open("a") as file:

            def on_event(raw: Mapping[str, Any]) -> None:
                file.write(json.dumps(self._mask.data(raw)) + "\n")
                for event in reader.feed(raw):
                    tell(event)

            try:
                outcome = runner.run(command, folder, on_event, self._cancel)
            finally:
                self._folder = None
                self._stop.clear()
                self._cancel.clear()
        for event in reader.end_phase(cut_off=True):
            tell(event)
        now = time.time()
        if outcome.status == "failed" and not reader.played:
            collector.add(Notice(now, "error", self._mask.text(said(outcome.complaint()))))
        tell(RunFinished(now, outcome.status, outcome.exit_status, round(now - began, 3)))
        result = collector.result()
        spec.state.record(_ledger_entry(spec, self._limit, result))
        return result


def _ledger_entry(spec: ClusterSpec, limit: Sequence[str], result: DeployResult) -> dict[str, Any]:
    kept = ("run", "verb", "ok", "changed", "status", "version", "duration")
    about = {"spec": str(spec.file) if spec.stored else "", "digest": spec.digest, "limit": list(limit)}
    return {**{name: getattr(result, name) for name in kept}, **about}


def _with_first_failure(error: PideployError, result: DeployResult) -> PideployError:
    told = [f"{f.host}: {f.message}" for f in result.failures[:1]]
    return PideployError(error.code, "; ".join([error.message, *told]), error.hint, error.hosts)
