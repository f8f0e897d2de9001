# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""What happens in a run, typed. ``event_reader.EventReader`` makes these of what ansible-runner reports.

Times are seconds since the epoch, durations are seconds. Texts that came from hosts are one line without control
characters; values of secrets are replaced, as a second line of defence behind ``no_log``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Final, Literal

from pideploy.phases import COLLECTION

Status = Literal["ok", "changed", "failed", "unreachable", "skipped"]

# What happens on the controller and says nothing about a host, unless it fails.
_BOOKKEEPING: Final = frozenset(
    {
        *(f"ansible.builtin.{n}" for n in ("add_host", "assert", "debug", "fail", "group_by", "meta", "pause")),
        *(f"ansible.builtin.{n}" for n in ("set_fact", "set_stats", "include_vars", "validate_argument_spec")),
        *(f"ansible.builtin.{n}" for n in ("import_role", "include_role", "import_tasks", "include_tasks")),
    }
)
_ON_CONTROLLER: Final = _BOOKKEEPING | {f"{COLLECTION}.guard", f"{COLLECTION}.preflight_verdict"}


@dataclass(frozen=True)
class Event:
    """The base of all events; ``kind`` names the class in JSON."""

    kind: ClassVar[str] = "event"
    time: float

    def to_dict(self) -> dict[str, Any]:
        """The event as JSON data, without the raw data that a result was made from."""
        shown = {f.name: getattr(self, f.name) for f in fields(self) if f.metadata.get("json", True)}
        return {"event": self.kind, **shown}


@dataclass(frozen=True)
class RunStarted(Event):
    """A run begins: ``folder`` holds its ``events.jsonl`` and Ansible's own output."""

    kind: ClassVar[str] = "run_started"
    run: str
    cluster: str
    verb: str
    hosts: tuple[str, ...]
    folder: str


@dataclass(frozen=True)
class PhaseStarted(Event):
    """The first play of a phase begins."""

    kind: ClassVar[str] = "phase_started"
    phase: str
    title: str


@dataclass(frozen=True)
class TaskStarted(Event):
    """A task begins on the hosts of its play."""

    kind: ClassVar[str] = "task_started"
    phase: str
    task: str


@dataclass(frozen=True)
class HostResult(Event):
    """What one task gave on one host. ``ran_on`` differs from ``host`` for a delegated task."""

    kind: ClassVar[str] = "host_result"
    phase: str
    host: str
    task: str
    action: str
    status: Status
    message: str = ""
    duration: float = 0.0
    ran_on: str = ""
    #: ``{before, after, before_header, after_header}`` as the module reported them (with ``--diff``).
    diff: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    #: The whole result, for plugins of the collection only.
    data: Mapping[str, Any] = field(default_factory=dict, repr=False, metadata={"json": False})

    @property
    def bookkeeping(self) -> bool:
        """Whether it only says what Ansible did for itself: an include, a variable, a message, a check that held."""
        return self.status in ("ok", "changed") and self.action in _BOOKKEEPING

    @property
    def on_node(self) -> bool:
        """Whether a module ran on a node for it (a host-task). An action that left the node alone says so itself."""
        touched = self.data.get("touched") is not False
        return self.status != "skipped" and touched and self.action not in _ON_CONTROLLER and self.ran_on != "localhost"


@dataclass(frozen=True)
class PhaseFinished(Event):
    """A phase is over. Each host counts once, by the worst that happened to it in this phase."""

    kind: ClassVar[str] = "phase_finished"
    phase: str
    title: str
    ok: int
    changed: int
    failed: int
    unreachable: int
    skipped: int
    duration: float


@dataclass(frozen=True)
class Notice(Event):
    """A warning or an error that Ansible printed outside of a task."""

    kind: ClassVar[str] = "notice"
    level: Literal["warning", "error"]
    message: str


@dataclass(frozen=True)
class RunFinished(Event):
    """The run is over. ``status`` of the process, and Ansible's own count of hosts that failed for good."""

    kind: ClassVar[str] = "run_finished"
    status: Literal["successful", "failed", "interrupted", "canceled"]
    exit_status: int
    duration: float


@dataclass(frozen=True)
class HostTotals(Event):
    """Ansible's closing recap: hosts with failures that no ``rescue`` mended, and hosts out of reach."""

    kind: ClassVar[str] = "host_totals"
    failed: tuple[str, ...]
    unreachable: tuple[str, ...]


def worst(before: Status | None, event: HostResult) -> Status | None:
    """What counts for a host in a phase: the worst so far, given one more result; None while nothing was done to it.

    A host on which something still runs after a failure was rescued, and so the failure no longer counts.
    """
    status: Status | None = None if event.bookkeeping else event.status
    order: tuple[Status | None, ...] = (None, "skipped", "ok", "changed", "failed", "unreachable")
    if before in ("failed", "unreachable"):
        return status or "ok"
    return status if order.index(status) > order.index(before) else before
