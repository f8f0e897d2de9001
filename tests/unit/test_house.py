# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""The rules of the house that a reviewer would otherwise have to remember."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import pideploy

TOP = Path(__file__).resolve().parents[2]
COLLECTION = TOP / "collections" / "ansible_collections" / "pideploy" / "k3s"
ROLES = sorted(p for p in (COLLECTION / "roles").iterdir() if p.is_dir())
BSD = re.compile(r"(hostlist|hosts|spec|artifacts|paths)(_\w+)?\.py")


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def test_one_version() -> None:
    assert load(COLLECTION / "galaxy.yml")["version"] == pideploy.__version__


@pytest.mark.parametrize("role", ROLES, ids=lambda p: p.name)
def test_defaults_equal_argument_specs(role: Path) -> None:
    defaults = load(role / "defaults" / "main.yml") if (role / "defaults" / "main.yml").exists() else {}
    spec_file = role / "meta" / "argument_specs.yml"
    assert spec_file.exists(), f"role {role.name} has no argument_specs"
    options: dict[str, Any] = {}
    for entry in load(spec_file)["argument_specs"].values():
        for name, option in (entry.get("options") or {}).items():
            assert options.setdefault(name, option).get("default") == option.get("default"), name
    literal = {
        name: value for name, value in (defaults or {}).items() if not (isinstance(value, str) and "{{" in value)
    }
    computed = set(defaults or {}) - set(literal)
    documented = {name: o["default"] for name, o in options.items() if "default" in o and name not in computed}
    assert literal == documented
    assert computed <= set(options)


@pytest.mark.parametrize("role", ROLES, ids=lambda p: p.name)
def test_role_has_a_readme_that_names_its_variables(role: Path) -> None:
    readme = (role / "README.md").read_text()
    for entry in load(role / "meta" / "argument_specs.yml")["argument_specs"].values():
        for name in entry.get("options") or {}:
            assert name in readme, f"{role.name}/README.md does not mention {name}"


def python_files(*folders: str) -> list[Path]:
    found: list[Path] = []
    for folder in folders:
        found += [p for p in (TOP / folder).rglob("*.py") if "tests/output" not in str(p)]
    return sorted(set(found))


@pytest.mark.parametrize("path", python_files("src", "collections"), ids=lambda p: str(p.relative_to(TOP)))
def test_licence_line(path: Path) -> None:
    # REUSE-IgnoreStart
    match = re.search(r"SPDX-License-Identifier: (\S+)", path.read_text()[:600])
    # REUSE-IgnoreEnd
    assert match, f"{path} has no SPDX line"
    if path.is_relative_to(TOP / "src"):
        expected = "Apache-2.0"
    elif path.parent.name == "module_utils" and BSD.fullmatch(path.name):
        expected = "BSD-2-Clause"
    else:
        expected = "GPL-3.0-or-later"
    assert match.group(1) == expected


# Who may import whom, top to bottom (a file may import its own level and everything below).
LAYERS = [
    {"cli", "__main__"},
    {"api", "stream"},
    {"runner", "kubeconfig", "state", "progress", "spec"},
    {"collector", "junit"},
    {"event_reader"},
    {"results", "events"},
    {"phases", "errors", "processes"},
]
LEVEL = {name: number for number, names in enumerate(LAYERS) for name in names}
SHARED = {"hostlist", "hostlist_bracket", "spec", "artifacts", "artifacts_fetch", "paths", "spec_secrets"}


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", python_files("src"), ids=lambda p: str(p.relative_to(TOP / "src")))
def test_imports_run_downwards(path: Path) -> None:
    parts = path.relative_to(TOP / "src" / "pideploy").with_suffix("").parts
    own = LEVEL.get(parts[0])
    for name in imported(path):
        if name.startswith("ansible_collections."):
            used = re.match(r"ansible_collections\.pideploy\.k3s\.plugins\.module_utils(?:\.(\w+))?", name)
            assert used, f"{path}: {name}"
            assert used.group(1) in SHARED | {None}, f"{path}: src may not import {name}"
        if name == "ansible_runner" or name.startswith("ansible_runner."):
            assert parts == ("runner",), f"{path}: only runner.py imports ansible_runner"
        if name.startswith("pideploy.") and own is not None:
            below = LEVEL.get(name.split(".")[1])
            if below is not None:
                assert below >= own, f"{path} imports {name}, which is above it"
            if name.split(".")[1] == "lab":
                assert parts[0] in {"cli", "__main__"}, f"{path}: the lab is for the CLI, tests and the bench"


@pytest.mark.parametrize("path", python_files("src", "collections"), ids=lambda p: str(p.relative_to(TOP)))
def test_no_file_grows_too_long(path: Path) -> None:
    # simk3s.py is copied to a node as one program; modules carry their documentation inside.
    limit = {"simk3s.py": 1550}.get(path.name, 400)
    assert len(path.read_text().splitlines()) <= limit


def test_top_level_inventory_plugin_is_a_link_into_the_collection() -> None:
    link = TOP / "inventory_plugins" / "hostlist.py"
    assert link.is_symlink()
    assert link.resolve() == COLLECTION / "plugins" / "inventory" / "hostlist.py"


@pytest.mark.parametrize("path", sorted((TOP / "playbooks").glob("*.yml")), ids=lambda p: p.name)
def test_top_level_playbook_only_imports(path: Path) -> None:
    [play] = load(path)
    assert play["ansible.builtin.import_playbook"] == f"pideploy.k3s.{path.stem}"
    assert (COLLECTION / "playbooks" / path.name).exists()


def test_plays_name_their_phase() -> None:
    from pideploy import phases

    known = {phase.id for phase in phases.PHASES}
    for path in sorted((COLLECTION / "playbooks").glob("*.yml")):
        for play in load(path):
            if "hosts" in play:
                prefix = play["name"].split(":")[0].lower()
                assert prefix in known | {"status", "kubeconfig", "reset"}, f"{path.name}: {play['name']}"
