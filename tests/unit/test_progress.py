# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
import json

import pytest

from pideploy.event_reader import EventReader
from pideploy.events import Event, RunFinished, RunStarted
from pideploy.progress import (
    GuardedReporter,
    JsonLinesReporter,
    PlainReporter,
    Reporter,
    RichReporter,
    SilentReporter,
)
from tests.unit import raw_events as raw


def events() -> list[Event]:
    reader = EventReader()
    failed = raw.result("red02", "pideploy.k3s.node_facts", "failed", res={"msg": "no [red]cgroups[/red]"})
    source = raw.deploy()
    source[8] = failed
    found: list[Event] = [RunStarted(0.0, "run1", "red", "deploy", ("red", "red01", "red02"), "/runs/run1")]
    for event in source:
        found += reader.feed(event)
    return [*found, RunFinished(9.0, "failed", 2, 9.0)]


def tell(reporter: Reporter) -> None:
    for event in events():
        reporter.event(event)
    reporter.close()


def test_plain() -> None:
    stream = io.StringIO()
    tell(PlainReporter(stream))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "guard: Check spec and inventory ..."
    assert "red02: no [red]cgroups[/red]" in lines
    assert any(line.startswith("preflight: 2 ok, 1 failed") for line in lines)
    assert any(line.startswith("reboot: 3 nothing to do") for line in lines)
    assert not any("Do preflight" in line for line in lines)


def test_plain_verbose() -> None:
    stream = io.StringIO()
    tell(PlainReporter(stream, verbose=True))
    assert "  red01: changed: Do agents (0.5 s)" in stream.getvalue().splitlines()


def test_json_lines() -> None:
    stream = io.StringIO()
    tell(JsonLinesReporter(stream))
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert lines[0]["event"] == "run_started"
    assert lines[0]["hosts"] == ["red", "red01", "red02"]
    assert lines[-1] == {"event": "run_finished", "time": 9.0, "status": "failed", "exit_status": 2, "duration": 9.0}


def test_rich_keeps_a_line_a_phase_and_does_not_read_markup() -> None:
    stream = io.StringIO()
    tell(RichReporter(stream))
    lines = [line.rstrip() for line in stream.getvalue().splitlines()]
    assert "red02: no [red]cgroups[/red]" in lines
    assert [line.split()[0] for line in lines if " ok" in line] == ["guard", "preflight", "verify"]


def test_rich_leaves_no_live_line_when_the_run_breaks_off() -> None:
    reporter = RichReporter(io.StringIO())
    for event in events()[:4]:
        reporter.event(event)
    reporter.close()
    assert not reporter._live.is_started


def test_a_terminal_that_is_gone_does_not_end_the_run() -> None:
    class Gone(SilentReporter):
        def __init__(self) -> None:
            self.told = 0

        def event(self, event: Event) -> None:
            self.told += 1
            raise BrokenPipeError

    gone = Gone()
    tell(GuardedReporter(gone))
    assert gone.told == 1


def test_other_exceptions_of_a_reporter_do() -> None:
    class Broken(SilentReporter):
        def event(self, event: Event) -> None:
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 (it has no text)
        tell(GuardedReporter(Broken()))
