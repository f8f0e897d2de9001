# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""``pideploy lab`` as a user sees it, on an engine that only remembers; real ones are in tests/lab."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from pideploy.cli import app
from pideploy.errors import PideployError
from pideploy.lab import engine, hostnames, lab, network, recipe, ssh
from pideploy.lab.engine import HOST_LABEL, LABEL, Container


@dataclass
class Remembers:
    """An engine without containers. ``refuse`` names a host whose container cannot be made."""

    name: str = "podman"
    refuse: str = ""
    made: dict[str, Container] = field(default_factory=dict)
    nets: dict[str, str] = field(default_factory=dict)
    environments: list[str] = field(default_factory=list)

    def containers(self) -> list[Container]:
        return list(self.made.values())

    def networks(self) -> dict[str, str]:
        return dict(self.nets)

    def subnets(self) -> list[str]:
        return ["10.89.0.0/24"]

    def create_network(self, name: str, lab: str, subnet: str) -> None:
        self.nets[name] = lab

    def create(self, name: str, image: str, *, labels: dict[str, str], env_file: Path, **_: Any) -> None:
        if labels[HOST_LABEL] == self.refuse:
            raise PideployError("lab_engine", "podman run: no space left on device")
        self.environments.append(env_file.read_text())
        self.made[name] = Container(name, labels[LABEL], labels[HOST_LABEL], "running")

    def run(self, *words: str) -> str:
        if words[0] == "start":
            for name in words[1:]:
                self.made[name] = Container(name, self.made[name].lab, self.made[name].host, "running")
        return f"ssh-ed25519 KEY-{words[1]} comment\n" if words[0] == "exec" else ""

    def remove(self, container: str) -> None:
        del self.made[container]

    def remove_network(self, name: str) -> None:
        del self.nets[name]


@pytest.fixture
def podman(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Remembers:
    remembers = Remembers()
    monkeypatch.setenv("PIDEPLOY_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PIDEPLOY_CACHE_HOME", str(tmp_path / "cache"))
    for module in (engine, lab):
        monkeypatch.setattr(module, "find_engine", lambda only="": remembers)
    monkeypatch.setattr(recipe, "ensure_image", lambda engine, flavour, progress: f"image:{flavour}")
    monkeypatch.setattr(network, "routes", lambda: ["10.89.1.0/24"])
    monkeypatch.setattr(lab, "_answers", lambda node: True)
    monkeypatch.setattr(ssh, "login_works", lambda name, host: True)
    monkeypatch.setattr(ssh, "user_config", lambda: tmp_path / ".ssh" / "config")
    monkeypatch.setattr(ssh, "SYSTEM_CONFIG", tmp_path / "none")
    monkeypatch.setattr(hostnames, "resolves", lambda name: name == "real")
    return remembers


def call(*words: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["lab", *words])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def test_up_list_down(podman: Remembers, tmp_path: Path) -> None:
    shown = call("up", "red,red[01-02]", "--flavour", "red02=jetson").stdout
    assert [line.split() for line in shown.splitlines()] == [
        ["NAME", "ADDRESS", "FLAVOUR", "USER"],
        ["red", "10.89.2.10", "pios-bookworm", "pi"],
        ["red01", "10.89.2.11", "pios-bookworm", "pi"],
        ["red02", "10.89.2.12", "jetson", "nvidia"],
    ]
    home = tmp_path / "state" / "labs" / "red"
    known = (home / "known_hosts").read_text().splitlines()
    assert known[0] == "red,10.89.2.10 ssh-ed25519 KEY-pideploy-red-red"
    assert (home.stat().st_mode & 0o777, (home / "lab.json").stat().st_mode & 0o777) == (0o700, 0o600)
    assert (tmp_path / "cache" / "artifacts" / "v1.36.4+sim1" / "k3s-any").stat().st_mode & 0o777 == 0o755
    [listed] = json.loads(call("list", "--output", "json").stdout)["labs"]
    assert [node["state"] for node in listed["nodes"]] == ["running"] * 3
    assert "removed" in call("down").stdout
    assert (podman.made, podman.nets) == ({}, {})
    assert not home.exists()
    assert not (tmp_path / ".ssh" / "config").exists()
    assert "There is no lab" in call("down").stdout
    assert "There is no lab" in call("list").stdout


def test_up_again_starts_what_is_stopped(podman: Remembers) -> None:
    call("up", "red[1-2]")
    before = dict(podman.made)
    podman.made["pideploy-red1-red2"] = Container("pideploy-red1-red2", "red1", "red2", "exited")
    assert "is up already" in call("up", "red[1-2]").stdout
    assert podman.made == before
    del podman.made["pideploy-red1-red2"]
    assert "red2 is missing" in call("up", "red[1-2]", code=1).output
    assert "is another one" in call("up", "red[1-3]", code=1).output
    assert "is another one" in call("up", "red[1-2]", "--sudo", "password", code=1).output


def test_a_failed_up_is_undone(podman: Remembers, tmp_path: Path) -> None:
    podman.refuse = "red02"
    assert "no space left on device" in call("up", "red,red[01-02]", code=1).output
    assert (podman.made, podman.nets) == ({}, {})
    assert [path.name for path in (tmp_path / "state" / "labs").iterdir()] == [".lock"]
    assert not (tmp_path / ".ssh").exists()


def test_the_password_is_not_in_argv_nor_in_json(podman: Remembers, tmp_path: Path) -> None:
    text = call("up", "red", "--sudo", "password").stdout
    password = json.loads((tmp_path / "state" / "labs" / "red" / "lab.json").read_text())["password"]
    assert len(password) >= 12
    assert f"Password of all users: {password}" in text
    assert f"PIDEPLOY_LAB_PASSWORD={password}\n" in podman.environments[0]
    assert password not in call("up", "red", "--sudo", "password", "--output", "json").stdout
    assert password not in call("list", "--output", "json").stdout


def test_two_labs_have_a_subnet_each_and_down_asks_which(podman: Remembers, tmp_path: Path) -> None:
    call("up", "red")
    call("up", "blue[1-2]", "--name", "blue")
    labs = json.loads(call("list", "--output", "json").stdout)["labs"]
    assert {lab["name"]: lab["subnet"] for lab in labs} == {"blue": "10.89.3.0/24", "red": "10.89.2.0/24"}
    assert "which lab? There are blue, red" in call("down", code=2).output
    call("down", "blue")
    assert [c.lab for c in podman.containers()] == ["red"]
    assert "Include" in (tmp_path / ".ssh" / "config").read_text()
    assert json.loads(call("down", "--all", "--output", "json").stdout) == {"removed": ["red"]}


def test_down_goes_by_labels_where_the_description_is_lost(podman: Remembers, tmp_path: Path) -> None:
    call("up", "red,red[01-02]")
    (tmp_path / "state" / "labs" / "red" / "lab.json").write_text("{")
    call("down", "red")
    assert (podman.made, podman.nets) == ({}, {})


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["up", "red", "--flavour", "pios"], 2, "flavour 'pios' is unknown"),
        (["up", "red", "--flavour", "blue=jetson"], 2, "not in the hostlist"),
        (["up", "red", "--sudo", "maybe"], 2, "sudo 'maybe' is unknown"),
        (["up", "red", "--name", "../x"], 2, "cannot be the name"),
        (["up", "red[1-"], 2, "red[1-"),
        (["up", "pi@red"], 2, "cannot be the name"),
        (["up", "red,real"], 1, "real: this name already resolves"),
        (["down", "red"], 2, "there is no lab 'red'"),
        (["ssh", "red"], 2, "no lab has a host 'red'"),
    ],
)
def test_mistakes_are_named(podman: Remembers, words: list[str], code: int, says: str) -> None:
    assert says in call(*words, code=code).output
    assert podman.made == {}
