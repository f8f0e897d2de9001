# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""``pideploy hosts``, ``init`` and ``validate``, as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner

from pideploy.cli import hosts, spec
from pideploy.cli.output import EdgeGroup

app = typer.Typer(cls=EdgeGroup)
app.add_typer(hosts.app, name="hosts")
app.command()(spec.init)
app.command()(spec.validate)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIDEPLOY_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def test_expand() -> None:
    assert run("hosts", "expand", "red,red[01-red02]").stdout == "red\nred01\nred02\n"
    assert json.loads(run("hosts", "expand", "red[1-2]", "--output", "json").stdout) == {"hosts": ["red1", "red2"]}
    lines = run("hosts", "expand", "red[1-2]", "-o", "jsonl").stdout.splitlines()
    assert [json.loads(line) for line in lines] == [{"host": "red1"}, {"host": "red2"}]


def test_expand_tells_the_column() -> None:
    done = run("hosts", "expand", "red[3-1]")
    assert done.exit_code == 2
    assert "error: the range 3-1 runs backwards (column 5 of 'red[3-1]')" in done.stderr
    assert "hint: Write 1-3" in done.stderr
    assert done.stdout == ""


def test_fold() -> None:
    assert run("hosts", "fold", "red", "red01", "red02").stdout == "red,red[01-02]\n"
    assert run("hosts", "fold", "red01,red02", "red03").stdout == "red[01-03]\n"
    assert json.loads(run("hosts", "fold", "a1", "a2", "-o", "json").stdout) == {"hostlist": "a[1-2]"}


def test_init_writes_a_spec_that_is_valid(here: Path) -> None:
    done = run("init", "--hosts", "red,red[01-red02]", "--user", "pi")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == "red.pideploy.yml\n"
    data = yaml.safe_load((here / "red.pideploy.yml").read_text())
    assert data == {
        "plugin": "pideploy.k3s.hostlist",
        "cluster": "red",
        "hosts": "red,red[01-red02]",
        "user": "pi",
        "vars": {"k3s_version": "stable"},
    }
    valid = run("validate", "red.pideploy.yml")
    assert valid.exit_code == 0, valid.stderr
    assert "red.pideploy.yml: valid" in valid.stdout
    assert json.loads(run("validate", "red.pideploy.yml", "-o", "json").stdout)["agents"] == ["red01", "red02"]


def test_the_comments_of_a_new_spec_are_valid_too(here: Path) -> None:
    """Everything that is offered as a comment works when the comment sign is taken away."""
    run("init")
    text = (here / "red.pideploy.yml").read_text()
    keys = ("servers", "user", "connect", "addresses", "host_vars", '  "', "    k3s", "  # k3s_disable")
    lines = []
    for line in text.splitlines():
        bare = line.replace("# ", "", 1) if line.startswith(("# ", "  # ")) else line
        lines.append(bare if bare.startswith((*keys, "  k3s_disable")) else line)
    (here / "all.pideploy.yml").write_text("\n".join(lines))
    done = run("validate", "all.pideploy.yml")
    assert done.exit_code == 0, done.stderr
    assert set(yaml.safe_load("\n".join(lines))) >= {"servers", "user", "connect", "addresses", "host_vars"}


def test_init_never_overwrites(here: Path) -> None:
    (here / "red.pideploy.yml").write_text("mine")
    done = run("init")
    assert done.exit_code == 2
    assert "red.pideploy.yml exists" in done.stderr
    assert (here / "red.pideploy.yml").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["init", "x.yml"], "has to end in .pideploy.yml"),
        (["init", "--hosts", "red[3-1]"], "runs backwards"),
        (["init", "--cluster", "../x"], "no cluster name"),
        (["init", "--user", "a: b"], "no user name"),
        (["validate", "x.yml"], "has to end in .pideploy.yml"),
        (["validate", "absent.pideploy.yml"], "No such file"),
    ],
)
def test_mistakes(here: Path, arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert list(here.iterdir()) == []


def test_init_in_a_folder_that_is_not_there() -> None:
    done = run("init", "absent/red.pideploy.yml")
    assert done.exit_code == 1
    assert "cannot write absent/red.pideploy.yml: No such file" in done.stderr


def test_validate_names_line_and_column(here: Path) -> None:
    (here / "s.pideploy.yml").write_text("plugin: hostlist\nhosts: red\nvars: {k3s_versoin: stable}\n")
    done = run("validate", "s.pideploy.yml")
    assert done.exit_code == 2
    assert "line 3, column 8: there is no variable 'k3s_versoin'" in done.stderr
    assert "hint: Did you mean 'k3s_version'?" in done.stderr
