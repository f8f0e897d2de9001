# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""From the dictionaries of ansible-runner to typed events."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from pideploy import phases
from pideploy.events import (
    Event,
    HostResult,
    HostTotals,
    Notice,
    PhaseFinished,
    PhaseStarted,
    Status,
    TaskStarted,
    worst,
)

MASK: Final = "********"
_STATUS_OF_EVENT: Final[dict[str, Status]] = {
    "runner_on_ok": "ok",
    "runner_on_failed": "failed",
    "runner_on_unreachable": "unreachable",
    "runner_on_skipped": "skipped",
}
# What does not come from a plugin of ours is kept as counts and messages only.
_KEEP_DATA_OF: Final = phases.COLLECTION + "."
# What Ansible puts in front of a module's own message, or of ssh's.
_WRAPPING = re.compile(
    r"^(Task failed: |Module failed: |Action failed: )*"
    r"((Failed to connect to the host via ssh: |Data could not be sent to remote host .*? over ssh: ))?"
    # What ssh says of a host that it meets for the first time, before it says what is wrong.
    r"(Warning: Permanently added \S+ \([^)]*\) to the list of known hosts\. )*"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_MESSAGE_LIMIT: Final = 1000


def one_line(text: str, limit: int = _MESSAGE_LIMIT) -> str:
    """A text as one line: escape sequences and control characters gone, blanks folded. Of a long one ``limit``
    characters: its beginning and its end."""
    line = " ".join(_CONTROL.sub(" ", _ESCAPE.sub("", text)).split())
    if len(line) <= limit:
        return line
    # What to do about it is said last.
    end = limit * 2 // 5
    return f"{line[: limit - end - 3].rstrip()} … {line[-end:].lstrip()}"


def said(text: str) -> str:
    """What Ansible printed as a warning or error, as one line without its label."""
    return re.sub(r"^\[?(WARNING|ERROR)\]?[:!]? ?", "", one_line(text))


class Mask:
    """Replaces the values of secrets in texts and in JSON data."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # Shorter values would blank out ordinary words; a longer one may hold a shorter one, so it goes first.
        values = {s for secret in secrets for s in (secret, json.dumps(secret)[1:-1]) if len(secret) >= 4}
        ordered = sorted(values, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def text(self, text: str) -> str:
        """``text`` with each secret value replaced."""
        return self._pattern.sub(MASK, text) if self._pattern else text

    def data(self, value: Any) -> Any:
        """JSON data with each secret value replaced in keys and values."""
        if not self._pattern:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(k)): self.data(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [self.data(v) for v in value]
        return value


class EventReader:
    """Follows one run. ``feed`` takes a runner event and returns the typed events it gives, in order."""

    def __init__(self, mask: Mask | None = None, clock: Callable[[], float] = time.time, *, plan: bool = False) -> None:
        self._mask = mask or Mask()
        self._plan = plan
        self._clock = clock
        self._phase = ""
        self._phase_began = 0.0
        self._worst: dict[str, Status] = {}
        #: Whether any play has begun.
        self.played = False

    def feed(self, raw: Mapping[str, Any]) -> list[Event]:
        """The typed events of one runner event; empty for what nobody asks for."""
        name = raw.get("event", "")
        data = raw.get("event_data") or {}
        if name == "playbook_on_play_start":
            return self._play(str(data.get("name") or data.get("play") or ""))
        if name == "playbook_on_task_start":
            task = self._mask.text(one_line(str(data.get("task") or data.get("name") or "")))
            return [TaskStarted(self._clock(), self._phase, task)]
        if name in _STATUS_OF_EVENT:
            result = self._result(_STATUS_OF_EVENT[name], data)
            if result.status == "failed" and result.task.endswith(phases.SERVER_LOST):
                # The host of this result is only told of it; the server's own failure was an event before.
                return [Notice(result.time, "warning", result.message)]
            if (counted := worst(self._worst.get(result.host), result)) is not None:
                self._worst[result.host] = counted
            return [result]
        if name == "playbook_on_stats":
            totals = HostTotals(self._clock(), tuple(data.get("failures") or ()), tuple(data.get("dark") or ()))
            return [*self.end_phase(), totals]
        if name in ("warning", "error"):
            text = said(str(raw.get("stdout") or ""))
            return [Notice(self._clock(), name, self._mask.text(text))] if text else []
        return []

    def end_phase(self, cut_off: bool = False) -> list[Event]:
        """Close the phase that is open, if there is one; of a run that was cut off, only if something was done."""
        if not self._phase or (cut_off and not self._worst):
            return []
        count = dict.fromkeys(("ok", "changed", "failed", "unreachable", "skipped"), 0)
        for status in self._worst.values():
            count["skipped" if status == "ok" and self._plan and phases.not_planned(self._phase) else status] += 1
        now = self._clock()
        event = PhaseFinished(
            now, self._phase, phases.title(self._phase), **count, duration=round(now - self._phase_began, 3)
        )
        self._phase = ""
        self._worst = {}
        return [event]

    def _play(self, name: str) -> list[Event]:
        self.played = True
        phase = phases.of_play(name)
        if phase == self._phase:
            return []
        events = self.end_phase()
        self._phase, self._phase_began = phase, self._clock()
        return [*events, PhaseStarted(self._phase_began, phase, phases.title(phase))]

    def _result(self, status: Status, data: Mapping[str, Any]) -> HostResult:
        result = data.get("res") or {}
        result = result if isinstance(result, Mapping) else {}
        if status == "ok" and result.get("changed"):
            status = "changed"
        # An ignored failure is not one, and so Ansible counts it.
        if status == "failed" and data.get("ignore_errors"):
            status = "ok"
        host = str(data.get("host", ""))
        action = str(data.get("resolved_action") or data.get("task_action") or "")
        delegated = result.get("_ansible_delegated_vars")
        ran_on = delegated.get("ansible_delegated_host", host) if isinstance(delegated, Mapping) else host
        keep = action.startswith(_KEEP_DATA_OF)
        message = _message(status, result).removeprefix(f"{host}: ")
        return HostResult(
            time=self._clock(),
            phase=self._phase,
            host=host,
            task=self._mask.text(one_line(str(data.get("task", "")))),
            action=action,
            status=status,
            message=self._mask.text(message),
            duration=float(data.get("duration") or 0.0),
            ran_on=str(ran_on),
            diff=tuple(self._mask.data(d) for d in _diffs(result)) if status == "changed" else (),
            data=self._mask.data(result) if keep else {},
        )


def _message(status: Status, result: Mapping[str, Any]) -> str:
    """What a user should read of a result: of a loop the first item that failed, of a command its last words."""
    if status not in ("failed", "unreachable"):
        return one_line(str(result.get("msg") or "")) if isinstance(result.get("msg"), str) else ""
    items = result.get("results")
    if isinstance(items, list):
        for item in items:
            if isinstance(item, Mapping) and (item.get("failed") or item.get("exception") or item.get("rc")):
                return _message(status, {k: v for k, v in item.items() if k != "results"})
    if "censored" in result:
        return "the result is hidden because it holds a secret"
    message = result.get("msg")
    text = "; ".join(map(str, message)) if isinstance(message, list) else str(message or "")
    if result.get("rc") and (not text or "non-zero return code" in text):
        said_last = str(result.get("stderr") or result.get("stdout") or result.get("module_stderr") or "").strip()
        text = f"exit code {result['rc']}"
        text += f": {said_last.splitlines()[-1]}" if said_last else ""
    text = _WRAPPING.sub("", one_line(text, limit=10 * _MESSAGE_LIMIT))
    return _changed_key(text) or one_line(text) or "failed without a message"


def _changed_key(text: str) -> str:
    """What to read and do when ssh refuses a changed host key; empty for any other message."""
    if "HOST IDENTIFICATION HAS CHANGED" not in text:
        return ""
    key = re.search(r"fingerprint for the (\S+) key sent by the remote host is (\S+?)\.?\s", text)
    remedy = re.search(r"ssh-keygen -f \S+ -R \S+", text)
    shown = f", it shows {key[1]} {key[2]}" if key else ""
    forget = f": {remedy[0]}" if remedy else " from known_hosts"
    return f"its host key has changed{shown}. If you reinstalled or replaced this host, forget the old key{forget}"


def _diffs(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = result.get("diff")
    if isinstance(found, Mapping):
        found = [found]
    diffs = [d for d in found if isinstance(d, Mapping) and d] if isinstance(found, list) else []
    for item in result.get("results") or ():
        if isinstance(item, Mapping):
            diffs += _diffs({"diff": item.get("diff")})
    return diffs
