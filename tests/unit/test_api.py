# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""``Deployer`` as a library; what the commands make of it is in ``tests/cli``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import pideploy
from pideploy import ClusterSpec, Deployer, PideployError, runner
from pideploy.events import Event, HostResult, RunFinished, RunStarted
from pideploy.state import STOP_FILE
from tests.unit import raw_events as raw

OnEvent = Callable[[Mapping[str, Any]], None]


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ClusterSpec:
    monkeypatch.setenv("PIDEPLOY_STATE_HOME", str(tmp_path / "state"))
    return ClusterSpec.from_hosts("red,red[01-02]")


def play(monkeypatch: pytest.MonkeyPatch, work: Callable[[Path, OnEvent, threading.Event], str]) -> None:
    def run(command: runner.Command, folder: Path, on_event: OnEvent, cancel: threading.Event) -> runner.Outcome:
        status: Any = work(folder, on_event, cancel)
        return runner.Outcome(status, 0, folder / "none")

    monkeypatch.setattr(runner, "run", run)


def whole_deploy(folder: Path, on_event: OnEvent, cancel: threading.Event) -> str:
    for event in raw.deploy():
        on_event(event)
    return "successful"


def test_public_names() -> None:
    assert pideploy.Deployer is Deployer
    with pytest.raises(AttributeError):
        pideploy.Nothing  # noqa: B018


def test_a_reporter_hears_everything(spec: ClusterSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Event] = []

    class Listener:
        closed = 0

        def event(self, event: Event) -> None:
            heard.append(event)

        def close(self) -> None:
            self.closed += 1

    play(monkeypatch, whole_deploy)
    listener = Listener()
    result = Deployer(spec, reporter=listener).deploy()
    assert result.ok
    assert isinstance(heard[0], RunStarted)
    assert heard[0].hosts == ("red", "red01", "red02")
    assert isinstance(heard[-1], RunFinished)
    assert listener.closed == 1
    assert (Path(result.folder) / "events.jsonl").read_text().count("\n") == len(raw.deploy())
    [entry] = spec.state.ledger()
    assert (entry["run"], entry["ok"], entry["spec"]) == (result.run, True, str(spec.file))


def test_a_run_as_an_iterator(spec: ClusterSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, whole_deploy)
    deployer = Deployer(spec)
    stream = deployer.stream(deployer.deploy)
    hosts = {e.host for e in stream if isinstance(e, HostResult)}
    assert hosts == {"red", "red01", "red02"}
    assert stream.result().ok
    assert deployer.deploy().ok, "the deployer can be used again"


def test_what_a_run_raises_reaches_the_iterator(spec: ClusterSpec) -> None:
    deployer = Deployer(spec)
    with spec.state.locked("somebody"):
        stream = deployer.stream(deployer.deploy)
        assert list(stream) == []
        with pytest.raises(PideployError, match="in use"):
            stream.result()


def test_stop_and_cancel_from_another_thread(spec: ClusterSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = threading.Event()

    def work(folder: Path, on_event: OnEvent, cancel: threading.Event) -> str:
        on_event(raw.play("guard: x"))
        assert stopped.wait(5)
        assert (folder / STOP_FILE).exists()
        return "canceled" if cancel.wait(5) else "successful"

    play(monkeypatch, work)
    deployer = Deployer(spec)
    stream = deployer.stream(deployer.deploy)
    events = iter(stream)
    next(events), next(events)
    deployer.stop()
    stopped.set()
    deployer.cancel()
    list(events)
    assert stream.result().exit_code == 130


def test_a_stop_before_the_run_is_not_lost(spec: ClusterSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    play(monkeypatch, lambda folder, on_event, cancel: str(seen.append((folder / "stop").exists()) or "interrupted"))
    deployer = Deployer(spec)
    deployer.stop()
    assert deployer.deploy().status == "interrupted"
    assert deployer.deploy().status == "interrupted", "what the fake says; but it was not asked again"
    assert seen == [True, False]


def test_two_clusters_at_once(spec: ClusterSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2, timeout=10)

    def work(folder: Path, on_event: OnEvent, cancel: threading.Event) -> str:
        both.wait()
        return whole_deploy(folder, on_event, cancel)

    play(monkeypatch, work)
    blue = ClusterSpec.from_hosts("blue[1-2]")
    streams = [d.stream(d.deploy) for d in (Deployer(spec), Deployer(blue))]
    assert [s.result().cluster for s in streams] == ["red", "blue1"]


def test_reset_needs_the_name(spec: ClusterSpec) -> None:
    with pytest.raises(PideployError) as caught:
        Deployer(spec).reset("yes")
    assert caught.value.code == "not_confirmed"


def test_a_limit_outside_the_cluster(spec: ClusterSpec) -> None:
    assert spec.select("") == ()
    assert spec.select(["red02", "red01"]) == ("red01", "red02")
    with pytest.raises(PideployError, match="'blue' is no host of cluster red"):
        Deployer(spec, limit="blue")
