# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""k3s_node cut off at every step: the next run finishes the job, and can still go back to what ran before."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.pideploy.k3s.plugins.module_utils import files, k3s_former, manifest
from ansible_collections.pideploy.k3s.plugins.module_utils.k3s_start import StartError
from ansible_collections.pideploy.k3s.plugins.module_utils.service import ServiceError
from tests.unit.pretended_machine import HASH, Machine, new_machine

GOOD = 'node-ip: "10.0.0.1"\n'
BETTER = GOOD + "debug: true\n"
BAD = GOOD + "no-such-flag: true\n"
THEIRS = "[Unit]\n# theirs\n"
KILLED = 9


def cut(machine: Machine, step: int, **given: Any) -> bool:
    """Run k3s_node in a process that ends, without any clean-up, before its change number ``step``.

    Returns whether it got that far. ``machine`` is brought to the state in which the process left it.
    """
    kept = machine.root.parent / "machine"
    done = 0

    def dies(call: Callable[..., Any], counts: Callable[..., bool] = lambda *given: True) -> Callable[..., Any]:
        def wrapped(*given: Any, **named: Any) -> Any:
            nonlocal done
            if counts(*given):
                if done == step:
                    kept.write_bytes(pickle.dumps(machine.__dict__))
                    os._exit(KILLED)
                done += 1
            return call(*given, **named)

        return wrapped

    child = os.fork()
    if child == 0:
        # Patched in the child alone. A write by way of a temporary file is one step: its rename.
        os.rename, os.unlink, os.symlink = dies(os.rename), dies(os.unlink), dies(os.symlink)
        run = type(machine).run
        node = machine.node(**given)
        node.systemd._run = dies(
            lambda argv: run(machine, argv), lambda argv: argv[0] == "systemctl" and argv[1] != "show")
        try:
            node.apply()
        except StartError:
            pass
        finally:
            os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, KILLED)
    if code == KILLED:
        machine.__dict__.update(pickle.loads(kept.read_bytes()))  # our own file
    return code == KILLED


def cuts(tmp_path: Path, prepare: Callable[[Machine], None], **given: Any) -> Iterator[tuple[int, Machine]]:
    """Machines that were cut off at each step, all prepared alike."""
    for step in range(100):
        (tmp_path / str(step)).mkdir()
        machine = new_machine(tmp_path / str(step) / "root", reads=True)
        prepare(machine)
        if not cut(machine, step, **given):
            assert step > 5, "the steps were not seen"
            return
        yield step, machine
    raise AssertionError("more steps than k3s_node has")


def settled(machine: Machine, **given: Any) -> None:
    """Assert that k3s runs with what is written, and that another run changes nothing."""
    assert machine.state.active == "active"
    assert machine.loaded == machine.text("etc/rancher/k3s/config.yaml")
    assert machine.node(**given).result()["actions"] == []
    assert k3s_former.load(str(machine.root)) is None
    assert not list(machine.root.rglob("former.json"))


def test_a_first_start_that_is_cut_off(tmp_path: Path) -> None:
    for _step, machine in cuts(tmp_path, lambda machine: None):
        machine.node().apply()  # not "a k3s that pideploy did not install"
        settled(machine)


def test_a_change_that_is_cut_off(tmp_path: Path) -> None:
    change = {"config": BETTER, "unit": "[Unit]\n#\n", "dropin": "[Service]\n"}
    for _step, machine in cuts(tmp_path, lambda machine: machine.node().apply(), **change):
        machine.node(**change).apply()
        assert machine.loaded == BETTER
        settled(machine, **change)


def test_a_bad_change_that_is_cut_off_is_undone_by_the_next_run(tmp_path: Path) -> None:
    change = {"config": BAD, "unit": "[Unit]\n#\n", "dropin": "[Service]\n"}
    for _step, machine in cuts(tmp_path, lambda machine: machine.node().apply(), **change):
        former = k3s_former.load(str(machine.root))
        with pytest.raises(StartError, match="the former one is running again") as error:
            machine.node(**change).apply()
        assert error.value.undone
        assert machine.loaded == GOOD
        assert machine.text("etc/systemd/system/k3s.service") == "[Unit]\n"
        assert not (machine.root / "etc/systemd/system/k3s.service.d/10-pideploy.conf").exists()
        settled(machine)
        assert former is None or former.texts["/etc/rancher/k3s/config.yaml"] == [GOOD, 0o600]


def test_a_bad_change_that_is_cut_off_and_corrected(tmp_path: Path) -> None:
    for _step, machine in cuts(tmp_path, lambda machine: machine.node().apply(), config=BAD, unit="[Unit]\n#\n"):
        machine.node(config=BETTER).apply()
        assert machine.loaded == BETTER
        settled(machine, config=BETTER)


def theirs(machine: Machine) -> None:
    """A k3s that somebody else installed, running."""
    for path, text in {
        "etc/systemd/system/k3s.service": THEIRS, "etc/rancher/k3s/config.yaml": "debug: true\n",
        "var/lib/rancher/k3s/server/token": f"K10{HASH}::server:pw123456\n",
        "var/lib/rancher/k3s/server/agent-token": f"K10{HASH}::server:pw123456\n",
    }.items():  # fmt: skip
        (machine.root / path).parent.mkdir(parents=True, exist_ok=True)
        (machine.root / path).write_text(text)
    machine.run(["systemctl", "enable", "k3s.service"])
    machine.run(["systemctl", "start", "k3s.service"])
    machine.run(["systemctl", "show"])
    assert machine.state.active == "active"


def test_an_adoption_that_is_cut_off_keeps_the_originals(tmp_path: Path) -> None:
    for _step, machine in cuts(tmp_path, theirs, adopt=True):
        machine.node(adopt=True).apply()
        noted = manifest.load(str(machine.root))["files"]
        for path, text in (("systemd/system/k3s.service", THEIRS), ("rancher/k3s/config.yaml", "debug: true\n")):
            assert machine.text(noted["/etc/" + path]["backup"].lstrip("/")) == text
        settled(machine)


def test_an_adoption_that_k3s_refuses_gives_the_node_back(tmp_path: Path) -> None:
    machine = new_machine(tmp_path / "root", reads=True)
    theirs(machine)
    with pytest.raises(StartError, match="former one is running again"):
        machine.node(adopt=True, config=BAD).apply()
    assert machine.text("etc/systemd/system/k3s.service") == THEIRS
    assert machine.loaded == "debug: true\n"
    with pytest.raises(StartError, match="did not install"):
        machine.node()


@pytest.mark.parametrize("fails", ["restart", "daemon-reload"])
@pytest.mark.parametrize("change", [{"config": BETTER, "unit": "[Unit]\n#\n"},
                                    {"secret_config": {"datastore-endpoint": "x"}, "unit": "[Unit]\n#\n"}])
def test_a_restart_that_systemd_refuses_is_made_up_for(tmp_path: Path, fails: str, change: dict[str, Any]) -> None:
    machine = new_machine(tmp_path / "root", reads=True)
    machine.node().apply()
    node = machine.node(**change)
    node.systemd._run = lambda argv: (1, "", "Transport is closed") if argv[1] == fails else machine.run(argv)
    with pytest.raises(ServiceError, match="Transport is closed"):
        node.apply()
    noted = manifest.load(str(machine.root))
    assert (noted["cluster"], noted["k3s"]["role"], noted["k3s"].get("applied")) == ("red", "server", None)
    again = machine.node(**change)
    assert again.result()["restarted"]
    again.apply()
    settled(machine, **change)


def test_a_change_that_is_still_starting_can_be_undone_later(tmp_path: Path) -> None:
    machine = new_machine(tmp_path / "root", reads=True)
    machine.node().apply()
    machine.script = ["starting"] * 1000
    with pytest.raises(StartError, match="still starting"):
        machine.node(config=BAD).apply()
    machine.script = []
    with pytest.raises(StartError, match="former one is running again"):
        machine.node(config=BAD).apply()
    settled(machine)


def test_what_is_kept_is_readable_by_root_alone(tmp_path: Path) -> None:
    machine = new_machine(tmp_path / "root", reads=True)
    secret = {"datastore-endpoint": "postgres://u:hush@h/d"}
    machine.node(secret_config=secret).apply()
    machine.script = ["starting"] * 1000
    with pytest.raises(StartError, match="still starting"):
        machine.node().apply()
    path = Path(files.below(str(machine.root), k3s_former.PATH))
    assert path.stat().st_mode & 0o777 == 0o600
    assert "hush" in path.read_text()
    assert "hush" not in json.dumps(manifest.load(str(machine.root)))


def test_a_damaged_file_of_former_texts_counts_for_nothing(tmp_path: Path) -> None:
    machine = new_machine(tmp_path / "root", reads=True)
    path = Path(files.below(str(machine.root), k3s_former.PATH))
    path.parent.mkdir(parents=True)
    for text in ("{", "[1]", '{"texts": 1, "noted": 2}', ""):
        path.write_text(text)
        assert k3s_former.load(str(machine.root)) is None
