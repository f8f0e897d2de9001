# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""The guard: what is found in an inventory, and what a user sees who starts the playbook."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.pideploy.k3s.plugins.module_utils import guard

TOP = Path(__file__).resolve().parents[2]


def check(
    servers: str = "red", agents: str = "red01 red02", common: Mapping[str, Any] | None = None, **hosts: Any
) -> list[guard.Finding]:
    groups = {
        "k3s_server": servers.split(),
        "k3s_agent": agents.split(),
        "k3s_cluster": [*servers.split(), *agents.split()],
    }
    variables = {host: {**(common or {}), **hosts.get(host, {})} for host in groups["k3s_cluster"]}
    return guard.check(groups, variables)


def codes(findings: list[guard.Finding]) -> dict[str, tuple[str, ...]]:
    return {finding.code: finding.hosts for finding in findings}


def test_nothing_is_wrong() -> None:
    assert check() == []
    assert check(agents="") == []
    assert check(common={"k3s_version": "v1.36.4+k3s1", "ansible_user": "pi", "mine": [1]}) == []


class TestGroups:
    def test_no_hosts(self) -> None:
        [finding] = guard.check({"all": ["a"], "ungrouped": ["a"]}, {})
        assert finding.code == "no_hosts"
        assert "-i NAME.pideploy.yml" in finding.hint

    def test_no_server(self) -> None:
        assert codes(check(servers="")) == {"no_server": ()}

    def test_several_servers(self) -> None:
        [finding] = check(servers="red blue green", agents="")
        assert (finding.code, finding.hosts) == ("too_many_servers", ("red", "blue", "green"))
        assert "one server and any number of agents" in finding.hint

    def test_both_roles(self) -> None:
        assert codes(check(agents="red red01")) == {"both_roles": ("red",)}

    def test_names_of_k3s_ansible(self) -> None:
        groups = {"server": ["a"], "agent": ["b"], "k3s_cluster": ["a", "b"]}
        assert guard.check(groups, {}) == []
        assert guard.roles_of(groups).servers == ["a"]

    def test_ours_count_where_they_exist(self) -> None:
        groups = {"server": ["x"], "k3s_server": ["a"], "k3s_agent": [], "k3s_cluster": ["a"]}
        assert guard.roles_of(groups).servers == ["a"]
        assert guard.check(groups, {}) == []

    def test_not_below_k3s_cluster(self) -> None:
        [finding] = guard.check({"server": ["a"], "agent": ["b"]}, {})
        assert (finding.code, finding.hosts) == ("not_in_cluster", ("a", "b"))
        assert "children server and agent" in finding.hint

    def test_without_a_role(self) -> None:
        assert codes(guard.check({"k3s_server": ["a"], "k3s_cluster": ["a", "b"]}, {})) == {"no_role": ("b",)}


class TestAddresses:
    def test_two_hosts_at_one_address(self) -> None:
        [finding] = check(red={"ansible_host": "10.0.0.5"}, red02={"ansible_host": "10.0.0.5"})
        assert (finding.code, finding.hosts) == ("duplicate_address", ("red", "red02"))
        assert finding.text() == "red,red02: all are reached at 10.0.0.5. Each host needs an ansible_host of its own."

    def test_a_name_that_is_another_hosts_address(self) -> None:
        assert codes(check(red01={"ansible_host": "red"})) == {"duplicate_address": ("red", "red01")}

    def test_ports_tell_hosts_apart(self) -> None:
        behind = {"red": {"ansible_port": 2201}, "red01": {"ansible_port": 2202}, "red02": {"ansible_port": 2203}}
        assert check(common={"ansible_host": "gate"}, **behind) == []

    def test_static_addresses(self) -> None:
        found = check(red={"static_ip_address": "10.0.0.5/24"}, red01={"static_ip_address": "10.0.0.5/16"})
        assert codes(found) == {"duplicate_address": ("red", "red01")}
        assert codes(check(red={"static_ip_address": "10.0.0.500"})) == {"bad_address": ("red",)}


class TestNames:
    def test_node_names(self) -> None:
        assert codes(check(red={"k3s_node_name": "Red"})) == {"bad_node_name": ("red",)}
        assert codes(check(red={"k3s_node_name": "a"}, red02={"k3s_node_name": "a"})) == {
            "duplicate_node_name": ("red", "red02")
        }
        assert check(red={"k3s_node_name": "a"}, red02={"k3s_node_name": ""}, red01={"k3s_node_name": ""}) == []

    def test_cluster_name(self) -> None:
        [finding] = check(red={"k3s_cluster_name": "a"}, red02={"k3s_cluster_name": "b"})
        assert finding.code == "several_clusters"
        assert "a, b" in finding.message
        assert codes(check(common={"k3s_cluster_name": "../x"})) == {"bad_cluster_name": ()}


class TestVersions:
    @pytest.mark.parametrize(
        ("server", "agent", "code"),
        [
            ("v1.36.4+k3s1", "v1.36.4+k3s1", ""),
            ("v1.36.4+k3s1", "v1.33.0+k3s1", ""),
            ("v1.36.4+k3s1", "v1.32.9+k3s1", "version_skew"),
            ("v1.36.4+k3s1", "v1.36.5+k3s1", "agent_newer"),
            ("v1.36.4+k3s1", "v1.36.4+k3s2", "agent_newer"),
            ("v1.36.4+k3s1", "v1.37.0+k3s1", "agent_newer"),
            ("v1.36.4+k3s1", "v1.37.0-rc1+k3s1", "agent_newer"),
            ("v1.36.10+k3s1", "v1.36.9+k3s1", ""),
            ("v1.36.4+sim1", "v1.35.0+sim1", ""),
            ("stable", "v1.20.0+k3s1", ""),  # known when the cluster has been looked at
            ("v1.36.4+k3s1", "latest", ""),
        ],
    )
    def test_skew(self, server: str, agent: str, code: str) -> None:
        found = check(common={"k3s_version": server}, red02={"k3s_version": agent})
        assert codes(found) == ({code: ("red02",)} if code else {})


def test_names_that_no_hostlist_can_hold() -> None:
    assert guard.short(["a b", "c"]) == "a b, c"
    assert guard.short(["c1", "c2"]) == "c[1-2]"


class TestVariables:
    def test_equal_findings_are_one(self) -> None:
        [finding] = check(common={"k3s_versin": "x"})
        assert finding.hosts == ("red", "red01", "red02")
        assert finding.text() == "red,red[01-02]: there is no variable 'k3s_versin'. Did you mean 'k3s_version'?"

    def test_each_kind(self) -> None:
        assert codes(check(red={"k3s_start_timeout": "soon"})) == {"bad_value": ("red",)}
        assert codes(check(red={"k3s_artifact_source": False})) == {"bad_value": ("red",)}
        assert codes(check(red={"extra_server_args": "--x"})) == {"foreign_variable": ("red",)}
        assert check(red={"extra_server_args": "", "api_port": 6443}) == []

    def test_token(self) -> None:
        [finding] = check(red={"token": "geheim"})
        assert "Call it k3s_token" in finding.hint
        assert "geheim" not in finding.text()
        assert check(red={"token": "x", "k3s_token": "x"}) == []

    def test_what_is_looked_at(self) -> None:
        assert guard.wanted("k3s_version")
        assert guard.wanted("k3s_typo")
        assert guard.wanted("ansible_host")
        assert guard.wanted("token")
        assert not guard.wanted("ansible_become_password")
        assert not guard.wanted("my_secret")


Play = Callable[..., tuple[int, dict[str, Any], str]]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Run the playbook from an empty folder; return exit code, the task's result and what was said on stderr."""
    empty = tmp_path / "empty"
    empty.mkdir()
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "PIDEPLOY_"))}

    def run(inventory: str, *arguments: str, name: str = "hosts.yml") -> tuple[int, dict[str, Any], str]:
        file = tmp_path / name
        file.write_text(inventory)
        done = subprocess.run(
            [Path(sys.executable).parent / "ansible-playbook", "-i", file, "pideploy.k3s.guard", *arguments],
            cwd=empty,
            env={
                **kept,
                "ANSIBLE_COLLECTIONS_PATH": str(TOP / "collections"),
                "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
                "ANSIBLE_NOCOLOR": "1",
                "PIDEPLOY_STATE_HOME": str(tmp_path / "state"),
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        said = done.stdout + done.stderr
        if done.returncode == 0:
            return 0, {}, said
        line = next(line for line in done.stdout.splitlines() if line.startswith("fatal:"))
        return done.returncode, json.loads(line.partition(" => ")[2]), said

    return run


SPEC = "plugin: pideploy.k3s.hostlist\nhosts: red.lan,red[01-02].lan\n"
BY_HAND = """\
k3s_cluster:
  children:
    server: {hosts: {10.0.0.1: }}
    agent: {hosts: {10.0.0.2: , 10.0.0.3: }}
  vars:
    k3s_version: v1.36.4+k3s1
    k3s_start_timeout: "{{ later['x'] }}"
    k3s_tls_san: "{{ [inventory_hostname] }}"
"""


@pytest.mark.parametrize("arguments", [(), ("--check", "--diff"), ("--limit", "10.0.0.3")])
def test_playbook_by_hand(play: Play, arguments: tuple[str, ...]) -> None:
    code, _result, said = play(BY_HAND, *arguments)
    assert code == 0, said
    assert "changed=0" in said
    assert "Could not match supplied host pattern" not in said


def test_playbook_with_a_spec(play: Play) -> None:
    code, _result, said = play(SPEC, "-v", name="s.pideploy.yml")
    assert code == 0, said
    assert '"first_server": "red.lan"' in said
    assert "server: red.lan; agents: red[01-02].lan" in said


def test_playbook_tells_all_that_is_wrong(play: Play) -> None:
    code, result, said = play(BY_HAND, "-e", "token=geheim", "-e", "k3s_versoin=x", "--limit", "10.0.0.3")
    assert code == 2
    assert {finding["code"] for finding in result["findings"]} == {"foreign_variable", "unknown_variable"}
    assert all(finding["hosts"] == ["10.0.0.1", "10.0.0.2", "10.0.0.3"] for finding in result["findings"])
    assert "10.0.0.[1-3]: there is no variable 'k3s_versoin'. Did you mean 'k3s_version'?" in result["msg"]
    assert "geheim" not in said


@pytest.mark.parametrize("text", ["plugin: pideploy.k3s.hostlist\nhosts: red[3-1]\n", "all: {hosts: {a: }}\n"])
def test_playbook_without_k3s_hosts_fails(play: Play, text: str) -> None:
    code, result, said = play(text, name="s.pideploy.yml" if "plugin" in text else "hosts.yml")
    assert code == 2
    assert result["msg"].startswith("the inventory has no k3s hosts")
    assert ("line 2, column 12: the range 3-1 runs backwards" in " ".join(said.split())) == ("plugin" in text)


def test_documentation() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "ansible-doc", "--json", "pideploy.k3s.guard"],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(TOP / "collections")},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    doc = json.loads(done.stdout)["pideploy.k3s.guard"]
    assert set(doc["return"]) == {"first_server", "servers", "agents", "findings"}
