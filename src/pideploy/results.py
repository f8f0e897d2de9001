# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""What a run gave, typed. ``collector.Collector`` makes a ``DeployResult`` from the events of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from pideploy.errors import OK, PideployError

PhaseStatus = Literal["ok", "changed", "failed", "not_run"]
CheckStatus = Literal["passed", "failed", "not_run"]


@dataclass(frozen=True)
class Failure:
    """One thing that went wrong on one host."""

    host: str
    phase: str
    task: str
    message: str
    unreachable: bool = False


@dataclass(frozen=True)
class PhaseReport:
    """One phase. ``reason`` says why it did not run; ``needed`` whether the run is therefore not ok."""

    id: str
    title: str
    status: PhaseStatus
    hosts: Mapping[str, str] = field(default_factory=dict)
    duration: float = 0.0
    reason: str = ""
    needed: bool = True


@dataclass(frozen=True)
class HostReport:
    """One host: what each phase did on it, and how many modules ran on it (host-tasks)."""

    host: str
    status: Literal["ok", "changed", "failed", "unreachable"]
    phases: Mapping[str, str]
    host_tasks: int


@dataclass(frozen=True)
class Node:
    """One node as the cluster reports it; fields are empty where the cluster did not say."""

    name: str = ""
    host: str = ""
    role: str = ""
    ready: bool = False
    version: str = ""
    wanted_version: str = ""
    internal_ip: str = ""
    os_image: str = ""
    kernel: str = ""
    arch: str = ""
    age_s: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class Check:
    """One check of ``verify``. ``not_run`` is never a pass; ``message`` then says why."""

    id: str = ""
    title: str = ""
    status: CheckStatus = "not_run"
    message: str = ""
    evidence: Sequence[str] = ()
    duration: float = 0.0


@dataclass(frozen=True)
class Finding:
    """What preflight found, of a level ``error`` or ``warning``."""

    level: str = "error"
    host: str = ""
    code: str = ""
    message: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Change:
    """What a task changed, or would change in a plan. ``diff``: before, after and their headers."""

    host: str
    phase: str
    task: str
    message: str = ""
    diff: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class DeployResult:
    """The result of any run. ``ok``: everything that had to happen happened, and was seen to."""

    run: str
    cluster: str
    verb: str
    ok: bool
    changed: bool
    status: Literal["successful", "failed", "interrupted", "canceled"]
    phases: Sequence[PhaseReport]
    hosts: Mapping[str, HostReport]
    failures: Sequence[Failure]
    unreachable: Sequence[str]
    nodes: Sequence[Node]
    checks: Sequence[Check]
    findings: Sequence[Finding]
    changes: Sequence[Change]
    warnings: Sequence[str]
    errors: Sequence[str]
    version: str
    duration: float
    folder: str
    #: What plugins of the collection returned, for verbs with results of their own: action -> host -> result.
    data: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON data."""
        shown = asdict(replace(self, data={}))
        del shown["data"]
        error = self.error()
        return {"schema": 1, **shown, "error": error.to_dict() if error else None}

    def error(self) -> PideployError | None:
        """The error that this result stands for; None when the run is ok."""
        if self.ok:
            return None
        again = "run the same command again: what is done is found and not done twice"
        if self.status == "interrupted":
            return PideployError("interrupted", "stopped before the next phase", hint=again)
        if self.status == "canceled":
            return PideployError(
                "interrupted",
                "stopped at once; what was running on a host may go on there until it ends",
                hint=again,
            )
        refused = [f.message for f in self.failures if f.phase == "guard"]
        if refused:
            return PideployError("spec", "; ".join(dict.fromkeys(refused)), hint="nothing was connected to")
        broken = sorted({f.host for f in self.failures if not f.unreachable})
        if self.unreachable and not broken:
            hint = "`ssh HOST` has to work without a question: is it on, its name known, your key in the agent?"
            if any("host key has changed" in f.message for f in self.failures):
                hint = "compare with what the host itself says: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub"
            message = f"{_count(self.unreachable, 'host')} out of reach: {', '.join(self.unreachable)}"
            return PideployError("unreachable", message, hint, self.unreachable)
        if broken:
            out = f"; out of reach: {', '.join(self.unreachable)}" if self.unreachable else ""
            message = f"failed on {_count(broken, 'host')}: {', '.join(broken)}{out}"
            asks = any("sudo password" in f.message or "password is required" in f.message for f in self.failures)
            hint = "say sudo's password: --ask-become-pass, or --become-password-file FILE" if asks else ""
            return PideployError("failed", message, hint, [*broken, *self.unreachable])
        if self.errors:
            return PideployError("failed", f"Ansible: {self.errors[-1]}")
        failed = [c for c in self.checks if c.status == "failed"]
        if failed:
            told = "; ".join(f"{c.title or c.id}: {c.message}" for c in failed)
            return PideployError("not_verified", f"the cluster is not well: {told}")
        missing = [p for p in self.phases if p.status == "not_run" and p.needed]
        if missing:
            message = "not run: " + "; ".join(f"{p.id} ({p.reason})" for p in missing)
            return PideployError("not_run", message)
        return PideployError("failed", "Ansible failed")

    @property
    def exit_code(self) -> int:
        """The process exit code: 0 ok, 1 failed, 3 only hosts out of reach, 130 interrupted."""
        error = self.error()
        return error.exit_code if error else OK


def _count(items: Sequence[str], noun: str) -> str:
    return f"{len(items)} {noun}{'s' if len(items) != 1 else ''}"
