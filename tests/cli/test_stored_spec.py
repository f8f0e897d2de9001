# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""Which commands write the spec that ``--hosts`` stands for, and which file the others work with."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import yaml

from pideploy import ClusterSpec, PideployError, runner
from pideploy.state import ClusterState
from tests.cli.conftest import FakeRunner, Invoke

HOSTS = ("--hosts", "red,red[01-02]")
LOOKING = [["status"], ["verify", "--level", "nodes"], ["kubeconfig"], ["reset", "--yes"]]


@pytest.fixture
def deployed(pideploy: Invoke, fake: FakeRunner) -> str:
    """The text of a stored spec with a user and a variable."""
    assert pideploy("kubernetes", *HOSTS, "--user", "pi", "--set", "swap_state=kept").exit_code == 0
    fake.commands.clear()
    return stored()


def stored() -> str:
    return ClusterState("red").spec_file.read_text()


@pytest.fixture
def seen(fake: FakeRunner) -> list[dict[str, object]]:
    """What Ansible finds in its inventory while it runs."""
    found: list[dict[str, object]] = []

    def look(command: runner.Command, folder: Path) -> None:
        found.append(yaml.safe_load(command.inventory.read_text()))

    fake.before = look
    return found


@pytest.mark.parametrize("command", LOOKING, ids=lambda c: c[0])
def test_known_hosts_are_looked_up(
    pideploy: Invoke, fake: FakeRunner, deployed: str, seen: list[dict[str, object]], command: list[str]
) -> None:
    pideploy(*command, "--hosts", "red,red02,red01")
    assert seen[0]["user"] == "pi"
    assert seen[0]["vars"] == {"swap_state": "kept"}
    assert fake.command.inventory == ClusterState("red").spec_file
    assert stored() == deployed


@pytest.mark.parametrize("command", LOOKING, ids=lambda c: c[0])
def test_other_hosts_are_refused(pideploy: Invoke, fake: FakeRunner, deployed: str, command: list[str]) -> None:
    result = pideploy(*command, "--hosts", "red,red01")
    assert result.exit_code == 2
    assert "error: cluster red is known with other hosts: red,red[01-02]" in result.stderr
    assert "hint: --cluster red" in result.stderr
    assert fake.commands == []
    assert stored() == deployed


@pytest.mark.parametrize("command", LOOKING, ids=lambda c: c[0])
def test_unknown_hosts_are_worked_with_and_not_stored(
    pideploy: Invoke, fake: FakeRunner, seen: list[dict[str, object]], command: list[str]
) -> None:
    pideploy(*command, *HOSTS)
    assert seen[0]["hosts"] == "red,red[01-02]"
    assert list(ClusterState("red").folder.glob("*.pideploy.yml")) == []
    assert ClusterState("red").known_spec() is None


def test_a_file_of_the_users_own_is_found_by_its_hosts(pideploy: Invoke, fake: FakeRunner, home: Path) -> None:
    path = home / "prod.pideploy.yml"
    path.write_text('plugin: pideploy.k3s.hostlist\ncluster: prod\nhosts: "red,red[01-02]"\n')
    pideploy("kubernetes", "-f", str(path))
    ClusterState("blue").create()
    ClusterState("blue").spec_file.write_text("spoilt: [")
    pideploy("status", *HOSTS)
    assert fake.commands[-1].inventory == path


def test_two_clusters_of_the_same_hosts() -> None:
    for name in ("a", "b"):
        ClusterSpec.from_hosts("red,red01", cluster=name).store()
    with pytest.raises(PideployError, match=r"which cluster\? a and b have these hosts"):
        ClusterSpec.known("red,red01")
    ClusterSpec.from_hosts("red,red01").store()
    assert ClusterSpec.known("red,red01").cluster == "red"


def test_a_plan_of_something_else_leaves_the_stored_spec(
    pideploy: Invoke, fake: FakeRunner, deployed: str, seen: list[dict[str, object]]
) -> None:
    pideploy("plan", "--hosts", "red,red01", "--k3s-version", "stable")
    assert (seen[0]["hosts"], seen[0]["vars"]) == ("red,red01", {"k3s_version": "stable"})
    assert stored() == deployed
    assert fake.command.inventory.parent == ClusterState("red").folder, "its group_vars count"
    assert not fake.command.inventory.exists()
    assert ClusterState("red").known_spec() == ClusterState("red").spec_file


def test_a_plan_of_the_same_uses_the_stored_spec(pideploy: Invoke, fake: FakeRunner, deployed: str) -> None:
    pideploy("plan", *HOSTS, "--user", "pi", "--set", "swap_state=kept")
    assert fake.command.inventory == ClusterState("red").spec_file


@pytest.mark.parametrize("command", ["kubernetes", "plan"])
def test_a_printed_command_has_a_file_of_its_own(
    pideploy: Invoke, fake: FakeRunner, deployed: str, command: str
) -> None:
    lines = [pideploy(command, "--hosts", hosts, "--print-command").stdout for hosts in ("red,red01", "red,red02")]
    files = [Path(shlex.split(line)[2]) for line in lines]
    assert [yaml.safe_load(f.read_text())["hosts"] for f in files] == ["red,red01", "red,red02"]
    assert [f.stat().st_mode & 0o777 for f in files] == [0o600, 0o600]
    assert stored() == deployed
    assert fake.commands == []


def test_a_printed_command_and_save(pideploy: Invoke, home: Path) -> None:
    saved = home / "mine.pideploy.yml"
    line = pideploy("kubernetes", *HOSTS, "--save", str(saved), "--print-command").stdout
    assert shlex.split(line)[2] == str(saved)
    assert yaml.safe_load(saved.read_text())["hosts"] == "red,red[01-02]"


def test_a_locked_cluster_keeps_its_spec(pideploy: Invoke, fake: FakeRunner, deployed: str) -> None:
    with ClusterState("red").locked("pideploy kubernetes"):
        assert pideploy("kubernetes", "--hosts", "red,red01").exit_code == 4
    assert stored() == deployed
    assert fake.commands == []
    pideploy("kubernetes", "--hosts", "red,red01")
    assert yaml.safe_load(stored())["hosts"] == "red,red01"
