# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""Who hears of a run while it goes on: reporters for a terminal, for a log, for programs, and for nobody.

Progress goes to stderr, so that stdout holds results only; ``JsonLinesReporter`` is told where to write.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from typing import TYPE_CHECKING, Final, Protocol, TextIO

from pideploy import phases
from pideploy.events import (
    Event,
    HostResult,
    Notice,
    PhaseFinished,
    PhaseStarted,
    RunFinished,
    RunStarted,
    TaskStarted,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

_TOLD: Final = 200


class Reporter(Protocol):
    """Told of each event in the thread of the run. What it raises ends the run, except for an ``OSError``."""

    def event(self, event: Event) -> None:
        """Take the next event."""

    def close(self) -> None:
        """The run is over, or broke off."""


class SilentReporter:
    """Says nothing."""

    def event(self, event: Event) -> None:
        """Ignore it."""

    def close(self) -> None:
        """Nothing to close."""


class GuardedReporter:
    """A reporter that is dropped when its terminal or pipe is gone: the run goes on without it."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter: Reporter | None = reporter

    def event(self, event: Event) -> None:
        """Pass an event on."""
        if self._reporter is not None:
            try:
                self._reporter.event(event)
            except OSError:
                self._reporter = None

    def close(self) -> None:
        """Close the reporter, if it is still there."""
        if self._reporter is not None:
            with contextlib.suppress(OSError):
                self._reporter.close()


class JsonLinesReporter:
    """One JSON object a line and event."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr

    def event(self, event: Event) -> None:
        """Write it as one line."""
        self._stream.write(json.dumps(event.to_dict(), ensure_ascii=False) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Nothing to close."""


class PlainReporter:
    """Lines for a log: a phase when it begins and ends, failures at once, with ``verbose`` every result."""

    def __init__(self, stream: TextIO | None = None, verbose: bool = False) -> None:
        self._stream = stream or sys.stderr
        self._verbose = verbose

    def event(self, event: Event) -> None:
        """Write the lines of an event, if it has any."""
        text = self._text(event)
        if text:
            self._stream.write(text + "\n")
            self._stream.flush()

    def close(self) -> None:
        """Nothing to close."""

    def _text(self, event: Event) -> str:
        if isinstance(event, PhaseStarted):
            return f"{event.phase}: {event.title} ..."
        if isinstance(event, PhaseFinished):
            return f"{event.phase}: {counts(event)}, {event.duration:.1f} s"
        return told(event, self._verbose)


class RichReporter:
    """For a terminal: a line a phase that stays, and below it one that shows what runs now."""

    def __init__(self, stream: TextIO | None = None, verbose: bool = False) -> None:
        from rich.console import Console
        from rich.live import Live

        self._verbose = verbose
        self._hosts = 0
        self._phase = self._title = self._task = ""
        self._began = 0.0
        self._seen: set[str] = set()
        self._console = Console(file=stream or sys.stderr, highlight=False)
        self._live = Live(
            get_renderable=self._now, console=self._console, refresh_per_second=4, transient=True, redirect_stdout=False
        )

    def event(self, event: Event) -> None:
        """Print what stays, and change the line that does not."""
        from rich.text import Text

        if isinstance(event, RunStarted):
            self._hosts = len(event.hosts)
        elif isinstance(event, PhaseStarted):
            self._phase, self._title, self._task = event.phase, event.title, ""
            self._began = time.monotonic()
            self._seen = set()
            # Not before Ansible was started: the live line has a thread, and a process with threads should not fork.
            self._live.start()
        elif isinstance(event, TaskStarted):
            self._task = event.task
            self._seen = set()
        elif isinstance(event, HostResult):
            self._seen.add(event.host)
        elif isinstance(event, PhaseFinished):
            bad = event.failed or event.unreachable
            line = Text.assemble(
                (f"{event.phase:<10}", "bold red" if bad else "bold"),
                f" {counts(event)}",
                (f"  {event.duration:.1f} s", "dim"),
            )
            self._console.print(line)
            self._phase = ""
        elif isinstance(event, RunFinished):
            self._live.stop()
        text = told(event, self._verbose)
        if text:
            bad = isinstance(event, HostResult) and event.status in ("failed", "unreachable")
            self._console.print(Text(text, style="red" if bad else ""))

    def close(self) -> None:
        """Take the live line away."""
        self._live.stop()

    def _now(self) -> RenderableType:
        from rich.text import Text

        if not self._phase:
            return Text("")
        phase = phases.find(self._phase)
        count = f"{len(self._seen)}/{self._hosts} " if phase and phase.scope == "all" else ""
        line = Text.assemble(
            (f"{self._phase:<10} ", "bold cyan"),
            count,
            (f"{time.monotonic() - self._began:3.0f} s  ", "dim"),
            self._task or self._title,
        )
        line.truncate(max(20, self._console.width - 1), overflow="ellipsis")
        return line


def counts(event: PhaseFinished) -> str:
    """``3 ok, 1 changed``: how many hosts, without the zeros."""
    phase = phases.find(event.phase)
    one_acts = phase is not None and phase.scope == "one" and event.skipped < _hosts(event)
    parts = [
        (event.ok, "ok"),
        (event.changed, "changed"),
        (event.failed, "failed"),
        (event.unreachable, "out of reach"),
        (0 if one_acts else event.skipped, "nothing to do"),
    ]
    return ", ".join(f"{n} {word}" for n, word in parts if n) or "no host"


def _hosts(event: PhaseFinished) -> int:
    return event.ok + event.changed + event.failed + event.unreachable + event.skipped


def told(event: Event, verbose: bool) -> str:
    """The line that an event is worth by itself: host first. Empty for most."""
    if isinstance(event, HostResult):
        if event.status in ("failed", "unreachable"):
            # The guard speaks of the spec, not of the host that happens to stand for all.
            # All of a long message is in the result.
            message = event.message if len(event.message) <= _TOLD else event.message[: _TOLD - 1] + "…"
            return message if event.phase == "guard" else f"{event.host}: {message}"
        if verbose and event.status != "skipped" and not event.bookkeeping:
            via = f" on {event.ran_on}" if event.ran_on not in ("", event.host) else ""
            return f"  {event.host}: {event.status}: {event.task}{via} ({event.duration:.1f} s)"
    elif isinstance(event, Notice) and verbose:
        return f"{event.level}: {event.message}"
    return ""
