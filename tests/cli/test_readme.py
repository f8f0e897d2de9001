# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""README.md: its commands and options exist, its snippets run, and what it says of all commands is so."""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer

from pideploy.cli import FAMILIES, app
from pideploy.cli.options import find_spec
from tests.cli.conftest import FakeRunner, Invoke

README = (Path(__file__).parents[2] / "README.md").read_text()


def commands() -> dict[str, Any]:
    """Every command by its words: ``artifacts list``."""
    root = typer.main.get_group(app)
    found = {name: command for name, command in root.commands.items() if name not in FAMILIES}
    for family in FAMILIES:
        group = typer.main.get_group(import_module(f"pideploy.cli.{family}").app)
        found |= {f"{family} {name}": command for name, command in group.commands.items()}
    return found


def options(command: Any) -> set[str]:
    return {"--help", "-h", *(word for parameter in command.params for word in parameter.opts)}


def lines() -> list[str]:
    """What README tells to type: whole lines of code blocks, and words in backquotes."""
    blocks = re.findall(r"^    (pideploy .*)$", README, re.MULTILINE)
    return [*blocks, *re.findall(r"`(pideploy [^`]*)`", README)]


def test_lines_are_found() -> None:
    assert 'pideploy kubernetes --hosts "red,red[01-02]"' in lines()
    assert len(lines()) > 15


@pytest.mark.parametrize("line", sorted(set(lines())))
def test_commands_and_options_exist(line: str) -> None:
    words = shlex.split(line.split("&&")[0], comments=True)[1:]
    name = " ".join(words[:2]) if words[0] in FAMILIES else words[0]
    if name in FAMILIES:
        return
    command = commands()[name]
    assert {w for w in words if w.startswith("-")} <= options(command)


def test_options_of_the_table_exist() -> None:
    for row in re.findall(r"^\| (`.*)\|$", README, re.MULTILINE):
        cells = row.split("|")
        names = [w.removeprefix("pideploy ") for w in re.findall(r"`([^`]+)`", cells[0])]
        for option in re.findall(r"`(--[a-z-]+)", cells[1]):
            assert any(option in options(commands()[name]) for name in names), row
    assert "--servers" in options(commands()["kubernetes"])


def test_every_command_is_in_the_table() -> None:
    table = "\n".join(re.findall(r"^\| (`.*)\|$", README, re.MULTILINE))
    for name in {*(name for name in commands() if " " not in name), *FAMILIES}:
        assert f"`pideploy {name}`" in table or f"`{name}`" in table, name


def test_output_is_known_as_it_says() -> None:
    without = {name for name, command in commands().items() if "--output" not in options(command)}
    said = re.search(r"Every command but `pideploy ([^`]+)` knows `--output text\|json\|jsonl`", README)
    assert said
    assert without == {said[1]}


def test_the_spec_is_valid(pideploy: Invoke, home: Path) -> None:
    [text] = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    (home / "red.pideploy.yml").write_text(text)
    result = pideploy("validate", "red.pideploy.yml")
    assert result.exit_code == 0, result.output


def test_the_python_runs(fake: FakeRunner, capsys: pytest.CaptureFixture[str]) -> None:
    [text] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(text, "README.md", "exec"), {})
    assert capsys.readouterr().out == "True ['red', 'red01']\n"
    assert find_spec(cluster="red").group_variables["k3s_cluster_name"] == "red"


def test_the_lines_for_real_pis_run(pideploy: Invoke, fake: FakeRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getpass", lambda prompt: "password")
    monkeypatch.setattr("pideploy.cli.options.has_terminal", lambda: True)
    for verb in ("plan", "kubernetes"):
        [line] = [line for line in lines() if re.match(rf"pideploy {verb} .* -K\b", line)]
        result = pideploy(*shlex.split(line, comments=True)[1:])
        assert result.exit_code == 0, result.output
    assert [c.become_password for c in fake.commands] == ["password", "password"]


def test_playbooks_exist() -> None:
    folder = Path(__file__).parents[2] / "collections/ansible_collections/pideploy/k3s/playbooks"
    named = re.findall(r"ansible-playbook .* pideploy\.k3s\.(\w+)", README)
    assert named
    assert all((folder / f"{name}.yml").is_file() for name in named)
