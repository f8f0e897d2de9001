# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""From the typed events of a run to its ``DeployResult``.

Nothing is called good that was not seen: a phase whose hosts gave no result is ``not_run``, and a run with a phase
that had to run and did not is not ok.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Literal

from pideploy import phases
from pideploy.events import (
    Event,
    HostResult,
    HostTotals,
    Notice,
    PhaseFinished,
    PhaseStarted,
    RunFinished,
    RunStarted,
    Status,
    worst,
)
from pideploy.phases import COLLECTION, Phase
from pideploy.results import (
    Change,
    Check,
    DeployResult,
    Failure,
    Finding,
    HostReport,
    Node,
    PhaseReport,
    PhaseStatus,
)


class Collector:
    """Follows one run. ``wanted`` are the phases that the playbook has; empty for playbooks outside ``site.yml``."""

    def __init__(
        self,
        *,
        wanted: Sequence[Phase],
        servers: Sequence[str],
        agents: Sequence[str],
        limit: Sequence[str] = (),
        plan: bool = False,
    ) -> None:
        inside = set(limit) if limit else {*servers, *agents}
        self._wanted = wanted
        self._agents = list(agents)
        self._servers_in = [h for h in servers if h in inside]
        self._agents_in = [h for h in agents if h in inside]
        self._plan = plan
        self._started: RunStarted | None = None
        self._finished: RunFinished | None = None
        self._totals: HostTotals | None = None
        self._phase_order: list[str] = []
        self._durations: dict[str, float] = {}
        self._by_phase: dict[str, dict[str, Status]] = {}
        self._failures: list[Failure] = []
        self._changes: list[Change] = []
        self._warnings: list[str] = []
        self._errors: list[str] = []
        self._host_tasks: dict[str, int] = {}
        self._data: dict[str, dict[str, dict[str, Any]]] = {}

    def add(self, event: Event) -> None:
        """Take the next event."""
        if isinstance(event, HostResult):
            self._result(event)
        elif isinstance(event, PhaseStarted):
            if event.phase not in self._by_phase:
                self._phase_order.append(event.phase)
                self._by_phase[event.phase] = {}
        elif isinstance(event, PhaseFinished):
            self._durations[event.phase] = self._durations.get(event.phase, 0.0) + event.duration
        elif isinstance(event, Notice):
            (self._warnings if event.level == "warning" else self._errors).append(event.message)
        elif isinstance(event, HostTotals):
            self._totals = event
        elif isinstance(event, RunStarted):
            self._started = event
        elif isinstance(event, RunFinished):
            self._finished = event

    def result(self) -> DeployResult:
        """The result of all events so far; of a run without its end it is not ok."""
        failures = self._final_failures()
        unreachable = sorted({f.host for f in failures if f.unreachable})
        reports = self._reports({f.host for f in failures})
        checks = self._checks()
        status = self._finished.status if self._finished else "failed"
        ok = (
            status == "successful"
            and not failures
            and not any(p.status == "failed" or (p.status == "not_run" and p.needed) for p in reports)
            # A status only tells; what it tells is no failure, unless the cluster told nothing.
            and not any(c.status == "failed" for c in checks if self._wanted or not self._answered())
        )
        hosts = self._host_reports(failures)
        return DeployResult(
            run=self._started.run if self._started else "",
            cluster=self._started.cluster if self._started else "",
            verb=self._started.verb if self._started else "",
            ok=ok,
            changed=any(h.status == "changed" for h in hosts.values()) or bool(self._changes),
            status=status,
            phases=reports,
            hosts=hosts,
            failures=failures,
            unreachable=unreachable,
            nodes=self._nodes(),
            checks=checks,
            findings=self._findings(),
            changes=self._changes,
            warnings=list(dict.fromkeys(self._warnings)),
            errors=list(dict.fromkeys(self._errors)),
            version=self._version(),
            duration=round(self._finished.duration, 3) if self._finished else 0.0,
            folder=self._started.folder if self._started else "",
            data=self._data,
        )

    def _result(self, event: HostResult) -> None:
        hosts = self._by_phase.setdefault(event.phase, {})
        if (counted := worst(hosts.get(event.host), event)) is not None:
            left_out = self._plan and counted == "ok" and phases.not_planned(event.phase)
            hosts[event.host] = "skipped" if left_out else counted
        if event.status in ("failed", "unreachable"):
            lost = event.status == "unreachable"
            self._failures.append(Failure(event.host, event.phase, event.task, event.message, lost))
        elif event.status == "changed" and not event.bookkeeping:
            self._changes.append(Change(event.host, event.phase, event.task, event.message, event.diff))
        if event.on_node:
            ran_on = event.ran_on or event.host
            self._host_tasks[ran_on] = self._host_tasks.get(ran_on, 0) + 1
        if event.data:
            name = event.action.removeprefix(f"{COLLECTION}.")
            self._data.setdefault(name, {})[event.host] = dict(event.data)

    def _final_failures(self) -> list[Failure]:
        """Failures of hosts that Ansible's recap names; all of them when there was no recap."""
        if self._totals is None:
            return list(self._failures)
        failed = {*self._totals.failed, *self._totals.unreachable}
        return [f for f in self._failures if f.host in failed]

    def _reports(self, failed_hosts: set[str]) -> list[PhaseReport]:
        if self._wanted:
            return [self._report(phase, failed_hosts) for phase in self._wanted]
        plain = [Phase(name, phases.title(name), "all") for name in self._phase_order]
        return [self._report(phase, failed_hosts) for phase in plain]

    def _report(self, phase: Phase, failed_hosts: set[str]) -> PhaseReport:
        hosts = self._by_phase.get(phase.id, {})
        duration = round(self._durations.get(phase.id, 0.0), 3)
        seen = set(hosts.values())
        if phase.id == "verify" and any(c.status == "failed" for c in self._checks()):
            return PhaseReport(phase.id, phase.title, "failed", hosts, duration)
        if seen & {"failed", "unreachable"} and any(
            s in ("failed", "unreachable") and h in failed_hosts for h, s in hosts.items()
        ):
            return PhaseReport(phase.id, phase.title, "failed", hosts, duration)
        if self._plan and phase.not_in_plan:
            return PhaseReport(phase.id, phase.title, "not_run", hosts, duration, phase.not_in_plan, needed=False)
        if seen - {"skipped"}:
            if phase.id == "verify" and not self._data.get("k3s_cluster_info"):
                return PhaseReport(phase.id, phase.title, "not_run", hosts, duration, "no check was run")
            status: PhaseStatus = "changed" if "changed" in seen else "ok"
            return PhaseReport(phase.id, phase.title, status, hosts, duration)
        reason, needed = self._why_not(phase, bool(hosts), failed_hosts)
        return PhaseReport(phase.id, phase.title, "not_run", hosts, duration, reason, needed)

    def _why_not(self, phase: Phase, all_skipped: bool, failed_hosts: set[str]) -> tuple[str, bool]:
        """Why a phase gave no result, and whether that makes the run not ok."""
        if not phase.hosts(self._servers_in, self._agents_in):
            if phase.scope == "agents" and not self._agents:
                return "no agents", False
            return "no host of it is in the limit", False
        if phase.may_skip and all_skipped:
            return phase.may_skip, False
        if self._finished and self._finished.status in ("interrupted", "canceled"):
            return "stopped before", True
        if failed_hosts or self._errors:
            return "something before it failed", True
        return ("all of its tasks were skipped" if all_skipped else "it had no host"), True

    def _host_reports(self, failures: Sequence[Failure]) -> dict[str, HostReport]:
        lost = {f.host for f in failures if f.unreachable}
        failed = {f.host for f in failures} - lost
        reports = {}
        for host in [*self._servers_in, *self._agents_in]:
            by_phase = {p: hosts[host] for p, hosts in self._by_phase.items() if host in hosts}
            status: Literal["ok", "changed", "failed", "unreachable"] = (
                "unreachable" if host in lost else "failed" if host in failed else "ok"
            )
            if status == "ok" and "changed" in by_phase.values():
                status = "changed"
            reports[host] = HostReport(host, status, by_phase, self._host_tasks.get(host, 0))
        return reports

    def _cluster_info(self) -> Mapping[str, Any]:
        return next(reversed(self._data.get("k3s_cluster_info", {"": {}}).values()))

    def _answered(self) -> bool:
        return any(node.version for node in self._nodes())

    def _nodes(self) -> list[Node]:
        return [Node(**_known(Node, n)) for n in _dicts(self._cluster_info().get("nodes"))]

    def _checks(self) -> list[Check]:
        return [
            Check(**_known(Check, {**c, "duration": c.get("duration_s")}))
            for c in _dicts(self._cluster_info().get("checks"))
        ]

    def _findings(self) -> list[Finding]:
        verdicts = self._data.get("preflight_verdict", {}).values()
        return [Finding(**_known(Finding, f)) for v in verdicts for f in _dicts(v.get("findings"))]

    def _version(self) -> str:
        """The k3s version this run is about: what was put on the hosts, else what the nodes run."""
        for result in self._data.get("k3s_artifact", {}).values():
            if result.get("version"):
                return str(result["version"])
        return next((n.version for n in self._nodes() if n.version), "")


def _dicts(value: Any) -> Iterable[Mapping[str, Any]]:
    return [v for v in value if isinstance(v, Mapping)] if isinstance(value, list) else []


def _known(cls: type[Check | Finding | Node], source: Mapping[str, Any]) -> dict[str, Any]:
    """What a class has a field for; a value that is None leaves the default."""
    return {f.name: source[f.name] for f in fields(cls) if source.get(f.name) is not None}
