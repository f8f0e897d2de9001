# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A thin wrapper of systemctl and journalctl for one unit, and the watch over a start.

Below another root than ``/`` nothing is run: the calls are only noted in ``done``, and every unit is inactive.
"""

from __future__ import annotations

import time
from typing import Callable, List, NamedTuple, Optional, Tuple

__metaclass__ = type

Run = Callable[[List[str]], Tuple[int, str, str]]
_PROPERTIES = ("LoadState", "ActiveState", "SubState", "Result", "NRestarts", "MainPID", "InvocationID", "Job",
               "UnitFileState", "NeedDaemonReload")
ACTIVE = ("active", "reloading")


class ServiceError(Exception):
    """systemctl refused; the message holds its words."""


class State(NamedTuple):
    """What ``systemctl show`` says about a unit (property names in brackets)."""

    load: str = "not-found"  # LoadState
    active: str = "inactive"  # ActiveState
    sub: str = "dead"  # SubState
    result: str = "success"  # Result
    restarts: int = 0  # NRestarts
    pid: int = 0  # MainPID
    invocation: str = ""  # InvocationID: new with each start
    job: bool = False  # Job: systemd still works on a request
    enabled: bool = False  # UnitFileState
    needs_reload: bool = False  # NeedDaemonReload

    @property
    def running(self) -> bool:
        """Whether the unit has started or is starting (k3s says ready to systemd late)."""
        return self.active in ACTIVE or (self.active == "activating" and self.sub != "auto-restart")


class Outcome(NamedTuple):
    """How a start ended: ``ready``, ``failed`` (k3s ended or loops) or ``timeout``; ``state`` is the last one seen."""

    verdict: str
    state: State


def parse_show(text: str) -> State:
    """Read the ``KEY=value`` lines of ``systemctl show``; a property that this systemd lacks keeps its default."""
    values = dict(line.partition("=")[::2] for line in text.splitlines() if "=" in line)

    def number(key: str) -> int:
        value = values.get(key, "")
        return int(value) if value.isdigit() else 0

    return State(
        load=values.get("LoadState", "not-found"), active=values.get("ActiveState", "inactive"),
        sub=values.get("SubState", "dead"), result=values.get("Result", "success"),
        restarts=number("NRestarts"), pid=number("MainPID"), invocation=values.get("InvocationID", ""),
        job=values.get("Job", "") not in ("", "0"), enabled=values.get("UnitFileState", "").startswith("enabled"),
        needs_reload=values.get("NeedDaemonReload") == "yes")


class Systemd:
    """systemctl and journalctl on this machine; ``run`` takes an argument list and returns rc, stdout, stderr."""

    def __init__(self, run: Run, root: str = "/") -> None:
        self._run = run
        self.live = root in ("", "/")
        self.done: List[str] = []

    def _systemctl(self, *arguments: str) -> None:
        self.done.append(" ".join(arguments))
        if not self.live:
            return
        rc, out, err = self._run(["systemctl", *arguments])
        if rc != 0:
            words = (err or out).strip() or "exit code %d" % rc
            raise ServiceError("systemctl %s failed: %s" % (" ".join(arguments), words))

    def show(self, unit: str) -> State:
        """Return the state of a unit; a unit that does not exist is inactive."""
        if not self.live:
            return State()
        rc, out, err = self._run(["systemctl", "show", "--property=" + ",".join(_PROPERTIES), unit])
        if rc != 0:
            raise ServiceError("systemctl show %s failed: %s" % (unit, (err or out).strip()))
        return parse_show(out)

    def reload(self) -> None:
        """Make systemd read its unit files again."""
        self._systemctl("daemon-reload")

    def enable(self, unit: str) -> None:
        """Start the unit at boot."""
        self._systemctl("enable", unit)

    def disable(self, unit: str) -> None:
        """Do not start the unit at boot."""
        self._systemctl("disable", unit)

    def start(self, unit: str) -> None:
        """Ask for a start and return at once: a k3s agent is not 'started' before it reached its server."""
        self._systemctl("start", "--no-block", unit)

    def restart(self, unit: str) -> None:
        """Ask for a restart and return at once."""
        self._systemctl("restart", "--no-block", unit)

    def stop(self, unit: str) -> None:
        """Stop the unit and wait for it."""
        self._systemctl("stop", unit)

    def reset_failed(self, unit: str) -> None:
        """Forget that the unit failed."""
        self._systemctl("reset-failed", unit)

    def journal(self, unit: str, since: Optional[float] = None, lines: int = 400) -> str:
        """Return the unit's last journal lines (message text only) since an epoch time; empty without a journal."""
        if not self.live:
            return ""
        # What a process wrote in its last moment may not have reached the journal when systemd already knows its end.
        self._run(["journalctl", "--sync"])
        command = ["journalctl", "--no-pager", "--output=cat", "--lines=%d" % lines, "--unit=" + unit]
        if since is not None:
            command.append("--since=@%.6f" % since)
        return self._run(command)[1]


def watch(
    show: Callable[[], State],
    before: State,
    ready: Callable[[State], bool],
    timeout: float,
    settle: float = 0.0,
    poll: float = 0.2,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Outcome:
    """Follow a requested (re)start until ``ready`` says yes, the unit fails, or ``timeout`` seconds have passed.

    ``before`` is the state ahead of the request: as long as the InvocationID is its own, the old process is still there
    and is not asked. A unit with ``Restart=always`` never reads 'failed': a process that ended shows as 'auto-restart',
    or as a restart counter that grew. ``settle``: for how many seconds it has to stay ready, because k3s says ready to
    systemd before its kubelet has read its flags.
    """
    end = clock() + timeout
    restarts: Optional[int] = None
    since: Optional[float] = None
    while True:
        state = show()
        fresh = bool(state.invocation) and state.invocation != before.invocation
        if fresh:
            if restarts is None:
                restarts = state.restarts
            if state.active == "failed" or state.sub == "auto-restart" or state.restarts > restarts:
                return Outcome("failed", state)
            if state.pid and ready(state):
                since = clock() if since is None else since
                if clock() - since >= settle:
                    return Outcome("ready", state)
        elif not state.job and state.active in ("inactive", "failed"):
            # systemd gave the request up without a process: a missing mount, a failed condition.
            return Outcome("failed", state)
        if clock() >= end:
            return Outcome("timeout", state)
        sleep(poll)
