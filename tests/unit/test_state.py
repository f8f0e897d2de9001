# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pideploy import state
from pideploy.errors import PideployError
from pideploy.state import ClusterState

HOLD = """
import sys, time
from pideploy.state import ClusterState
with ClusterState("red").locked("pideploy kubernetes --hosts red"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIDEPLOY_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def red() -> ClusterState:
    return ClusterState("red")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("name", ["", "../red", "a/b", ".hidden"])
def test_no_way_out_of_the_folder(name: str) -> None:
    with pytest.raises(PideployError) as caught:
        ClusterState(name)
    assert caught.value.exit_code == 2


def test_folder_that_cannot_be_made(tmp_path: Path, red: ClusterState) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(PideployError, match="cannot create"):
        red.create()


def test_the_lock_says_who_holds_it(red: ClusterState) -> None:
    def other() -> None:
        with pytest.raises(PideployError) as caught, ClusterState("red").locked():
            pass
        raised.append(caught.value)

    raised: list[PideployError] = []
    with red.locked("pideploy kubernetes --hosts red"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        other()
    assert [e.exit_code for e in raised] == [4, 4]
    assert f"`pideploy kubernetes --hosts red` of {state._user()} on " in raised[0].message
    assert f"(pid {os.getpid()})" in raised[0].message
    assert red.lock_holder() is None
    with red.locked():
        pass


def test_other_clusters_are_not_locked(red: ClusterState) -> None:
    with red.locked(), ClusterState("blue").locked():
        pass


def test_the_lock_of_a_killed_process_is_none(red: ClusterState) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    with pytest.raises(PideployError, match=f"pid {process.pid}"), red.locked():
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert (red.folder / "lock.json").exists()
    assert red.lock_holder() is None
    with red.locked():
        holder = red.lock_holder()
        assert holder is not None
        assert holder.pid == os.getpid()


def test_a_lock_outlives_its_process_with_the_ansible_of_its_run(red: ClusterState, tmp_path: Path) -> None:
    """A note as a killed process leaves it, and a program that goes on in the run it names."""
    with red.locked("pideploy kubernetes") as running:
        _, folder = red.new_run("deploy")
        running(folder)
        note = (red.folder / "lock.json").read_text()
    script = tmp_path / "ansible-playbook"
    script.write_text("import time; print('up', flush=True); time.sleep(60)")
    with subprocess.Popen(
        [sys.executable, str(script), "-e", f"@{folder}/vars.json", "pideploy.k3s.site"], stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            with red.locked():
                pass  # without a note nobody was killed
            (red.folder / "lock.json").write_text(note)
            with pytest.raises(PideployError) as caught, red.locked():
                pass
        finally:
            process.kill()
    assert caught.value.exit_code == 4
    assert f"still at work (pid {process.pid})" in caught.value.message
    assert f"touch {folder}/stop" in caught.value.hint
    with red.locked():
        pass


@pytest.mark.parametrize("note", ["", "[]", '{"pid": 1}', "nonsense"])
def test_a_spoilt_note_does_not_matter(red: ClusterState, note: str) -> None:
    red.create()
    (red.folder / "lock.json").write_text(note)
    assert red.lock_holder() is None
    with red.locked():
        pass


def test_everything_is_private(red: ClusterState) -> None:
    before = os.umask(0)
    try:
        _, folder = red.new_run("deploy")
        red.record({"verb": "deploy"})
        with red.locked():
            found = [red.folder, folder, red.runs, *(p for p in red.folder.iterdir() if p.is_file())]
            assert {p.name for p in found} >= {"lock", "lock.json", "ledger.jsonl"}
            assert [p for p in found if mode(p) & 0o077] == []
    finally:
        os.umask(before)


def test_runs_are_kept_by_verb(red: ClusterState, monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(1, 100))
    monkeypatch.setattr(state.time, "strftime", lambda *_: f"20260101T0000{next(now):02}")
    deploy, _ = red.new_run("deploy")
    for _ in range(25):
        last, _ = red.new_run("status")
    names = sorted(p.name for p in red.runs.iterdir())
    assert len(names) == 21
    assert names[0] == deploy
    assert names[-1] == last


def test_the_ledger_survives_half_a_line(red: ClusterState) -> None:
    red.record({"verb": "deploy", "ok": True})
    with (red.folder / "ledger.jsonl").open("a") as file:
        file.write('{"verb": "dep')
    assert [e["verb"] for e in red.ledger()] == ["deploy"]
    assert red.ledger()[0]["user"] == state._user()


def deploy_entry(**more: object) -> dict[str, object]:
    return {"verb": "deploy", "ok": True, "digest": "d1", "limit": [], **more}


@pytest.mark.parametrize(
    ("entries", "known"),
    [
        ([], False),
        ([deploy_entry()], True),
        ([deploy_entry(ok=False)], False),
        ([deploy_entry(limit=["red01"])], False),
        ([deploy_entry(digest="d0")], False),
        ([deploy_entry(), deploy_entry(ok=False)], True),
        ([deploy_entry(), deploy_entry(verb="status")], True),
        ([deploy_entry(), deploy_entry(verb="reset")], False),
        ([deploy_entry(), deploy_entry(verb="reset", limit=["red01"])], True),
        ([deploy_entry(verb="reset"), deploy_entry()], True),
    ],
)
def test_deployed(red: ClusterState, entries: list[dict[str, object]], known: bool) -> None:
    for entry in entries:
        red.record(entry)
    assert red.deployed("d1") is known


def test_known_spec(red: ClusterState, tmp_path: Path) -> None:
    assert red.known_spec() is None
    red.create()
    red.spec_file.write_text("own")
    assert red.known_spec() == red.spec_file
    theirs = tmp_path / "red.pideploy.yml"
    theirs.write_text("theirs")
    red.record({"spec": str(theirs)})
    assert red.known_spec() == theirs
    theirs.unlink()
    assert red.known_spec() == red.spec_file


def test_clusters(red: ClusterState) -> None:
    assert state.clusters() == []
    ClusterState("white").create()
    red.create()
    assert state.clusters() == ["red", "white"]


def test_write_private_leaves_the_old_text_on_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    state.write_private(path, "old")

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(state.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        state.write_private(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    assert mode(path) == 0o600


def test_lock_note_is_json(red: ClusterState) -> None:
    with red.locked("x"):
        note = json.loads((red.folder / "lock.json").read_text())
    assert set(note) == {"pid", "user", "host", "since", "command", "run"}
