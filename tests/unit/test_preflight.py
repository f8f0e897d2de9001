# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""The verdict: each thing that can be wrong with a node, or between nodes, with its level and its host."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from ansible_collections.pideploy.k3s.plugins.module_utils import preflight
from ansible_collections.pideploy.k3s.plugins.module_utils.probe_k3s import _NOTHING

GOOD: dict[str, Any] = {
    "hostname": "raspberrypi",
    "machine_id": "m",
    "boot_id": "b",
    "clock": {"offset_s": 0.2, "error_s": 0.1},
    "board": {"model": "Raspberry Pi 4 Model B Rev 1.4", "family": "pi"},
    "os": {"id": "debian", "pretty_name": "Debian GNU/Linux 12 (bookworm)"},
    "arch": {"machine": "aarch64", "userspace_bits": 64, "dpkg": "arm64", "k3s": "arm64"},
    "python": "3.11.2",
    "memory_mb": 3793,
    "disks": [
        {"path": "/", "free_mb": 20000, "total_mb": 30000, "read_only": False},
        {"path": "/var/lib/rancher", "free_mb": 20000, "total_mb": 30000, "read_only": False},
        {"path": "/boot/firmware", "free_mb": 100, "total_mb": 500, "read_only": False},
    ],
    "volatile_root": False,
    "cgroup": {"version": "v2", "controllers": [], "missing": ["memory"]},
    "interfaces": [
        {"name": "eth0", "mac": "dc:a6:32:00:00:01", "addresses": ["10.0.0.10/24"], "wireless": False},
        {"name": "cni0", "mac": "aa:aa:aa:aa:aa:aa", "addresses": ["10.42.0.1/24"], "wireless": False},
    ],
    "default": {"interface": "eth0", "address": "10.0.0.10", "gateway": "10.0.0.1"},
    "ports_busy": [],
    "privileged": True,
    "etc_hosts_block": [],
    "k3s": dict(_NOTHING),
    "findings": [],
}
WANTED = {"role": "server", "node_name": "", "cluster": "red", "version": "stable", "static_address": "", "node_ip": ""}
RUNNING = {
    "installed": True,
    "managed": True,
    "role": "server",
    "cluster": "red",
    "version": "v1.36.4+k3s1",
    "ca_hash": "c" * 64,
}


def change(base: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return a copy with the value at a dotted path; a dict is merged."""
    facts = copy.deepcopy(base)
    *parents, last = (int(name) if name.isdigit() else name for name in path.split("."))
    place: Any = facts
    for name in parents:
        place = place[name]
    if isinstance(value, dict):
        place[last] = {**place[last], **value}
    else:
        place[last] = value
    return facts


def node(number: int, **more: Any) -> dict[str, Any]:
    """Return the facts of the n-th machine, all of which are called raspberrypi."""
    facts = copy.deepcopy(GOOD)
    facts.update(machine_id=f"m{number}", boot_id=f"b{number}")
    facts["interfaces"][0].update(mac=f"dc:a6:32:00:00:0{number}", addresses=[f"10.0.0.1{number}/24"])
    facts["default"]["address"] = f"10.0.0.1{number}"
    facts.update(more)
    return facts


def judge(facts: dict[str, Any], wanted: dict[str, Any] | None = None, **options: Any) -> list[preflight.Finding]:
    return preflight.judge({"red": facts}, {"red": {**WANTED, **(wanted or {})}}, preflight.Options(**options))


def test_a_good_node_has_no_findings() -> None:
    assert judge(GOOD) == []


@pytest.mark.parametrize(
    ("path", "value", "wanted", "level", "code", "words"),
    [
        ("privileged", False, {}, "error", "not_privileged", "did not run as root"),
        ("python", "3.8.10", {}, "warning", "python_too_old", "3.8.10"),
        ("arch", {"machine": "armv6l", "k3s": None}, {}, "error", "unsupported_arch", "is ARMv6"),
        ("arch", {"machine": "riscv64", "k3s": None}, {}, "error", "unsupported_arch", "riscv64"),
        ("arch", {"machine": "armv7l", "k3s": "armhf"}, {}, "error", "armhf_server", "32-bit kernel"),
        ("arch", {"machine": "armv7l", "k3s": "armhf"}, {"role": "agent"}, "warning", "armhf_agent", "32-bit kernel"),
        ("arch", {"userspace_bits": 32, "dpkg": "armhf"}, {}, "warning", "userspace_32bit", "k3s is arm64"),
        ("os", {"id": "alpine", "pretty_name": "Alpine"}, {}, "warning", "unsupported_os", "Alpine"),
        ("cgroup", {"version": "hybrid"}, {}, "warning", "cgroup_v1", "hybrid"),
        ("cgroup", {"version": "v1"}, {}, "warning", "cgroup_v1", "v1"),
        ("memory_mb", 921, {}, "warning", "low_memory", "921 MB of memory, and k3s wants 2 GB for a server"),
        ("memory_mb", 416, {"role": "agent"}, "warning", "low_memory", "512 MB for an agent"),
        ("disks.1", {"free_mb": 900}, {}, "error", "low_disk", "900 MB free"),
        ("disks.0", {"read_only": True}, {}, "error", "read_only", "of / is read-only"),
        ("volatile_root", True, {}, "error", "volatile_root", "forgets"),
        ("clock", {"offset_s": -400.0}, {}, "error", "clock_skew", "7 minutes behind"),
        ("clock", {"offset_s": 86400.0 * 300}, {}, "error", "clock_skew", "300 days ahead"),
        ("default", {"interface": None, "address": None}, {}, "error", "no_default_route", "default route"),
        ("default", {"address": None}, {}, "error", "address_missing", "no IPv4 address on eth0"),
        ("os", {}, {"static_address": "10.0.0.99/24"}, "error", "address_missing", "10.0.0.99/24 is not on this host"),
        ("os", {}, {"node_ip": "10.0.0.98"}, "error", "address_missing", "k3s_node_ip 10.0.0.98"),
        (
            "ports_busy",
            [{"port": 6443, "protocol": "tcp", "process": "nginx"}],
            {},
            "error",
            "port_busy",
            "6443/tcp is used by nginx",
        ),
        ("hostname", "Red_Pi", {}, "error", "node_name", "'red_pi' cannot be a node's name"),
        ("k3s", {**RUNNING, "cluster": "blue"}, {}, "error", "other_cluster", "'blue', not to 'red'"),
        ("k3s", {**RUNNING, "managed": False, "cluster": None}, {}, "error", "foreign_k3s", "did not install"),
        ("k3s", RUNNING, {"role": "agent"}, "error", "other_role", "is k3s server and shall be agent"),
        ("k3s", RUNNING, {"version": "v1.35.1+k3s1"}, "error", "version_differs", "runs k3s v1.36.4+k3s1"),
        ("k3s", {**RUNNING, "node_name": "old"}, {"node_name": "red"}, "error", "other_node_name", "'old'"),
        (
            "findings",
            [{"level": "error", "code": "boot_file", "message": "m", "hint": "h"}],
            {},
            "error",
            "boot_file",
            "m",
        ),
    ],
)
def test_what_is_wrong_with_one_node(
    path: str, value: Any, wanted: dict[str, Any], level: str, code: str, words: str
) -> None:
    [finding] = judge(change(GOOD, path, value), wanted)
    assert (finding.level, finding.host, finding.code) == (level, "red", code)
    assert words in finding.message
    assert finding.hint


@pytest.mark.parametrize(
    ("path", "value", "wanted"),
    [
        ("memory_mb", 1849, {}),  # a Pi 4 with 2 GB
        ("memory_mb", 921, {"role": "agent"}),
        ("clock", {"offset_s": 31.0, "error_s": 1.5}, {}),  # a slow connection explains it
        ("ports_busy", [{"port": 6443, "protocol": "tcp", "process": "nginx"}], {"role": "agent"}),
        ("k3s", RUNNING, {}),
        ("k3s", RUNNING, {"version": "v1.36.4+k3s1"}),
        ("k3s", RUNNING, {"version": "v1.36"}),
        ("k3s", {"version": "v1.35.0+k3s1", "sha256": "x"}, {"version": "v1.36.4+k3s1"}),  # a push that was cut off
        ("os", {}, {"static_address": "10.0.0.10/24"}),
        ("hostname", "Red", {}),
    ],
)
def test_what_is_not_wrong(path: str, value: Any, wanted: dict[str, Any]) -> None:
    assert judge(change(GOOD, path, value), wanted) == []


def test_an_installed_node_may_be_short_of_space() -> None:
    facts = change(change(GOOD, "disks.1", {"free_mb": 10}), "k3s", RUNNING)
    assert judge(facts) == []


def test_options_move_the_limits() -> None:
    assert [f.code for f in judge(GOOD, min_free_mb=30000)] == ["low_disk"]
    assert [f.code for f in judge(change(GOOD, "clock", {"offset_s": 5.0}), max_clock_skew=1)] == ["clock_skew"]
    foreign = change(GOOD, "k3s", {**RUNNING, "managed": False, "cluster": None})
    assert judge(foreign, adopt=True) == []


NAMED = {f"red{n}": {**WANTED, "role": "agent", "node_name": f"red{n}"} for n in range(1, 4)}
UNNAMED = {host: {**want, "node_name": ""} for host, want in NAMED.items()}


def between(facts: dict[str, Any], wanted: dict[str, Any] = NAMED) -> set[tuple[str, str, str]]:
    return {(f.level, f.host, f.code) for f in preflight.judge(facts, wanted)}


def test_machines_that_are_all_called_raspberrypi_are_fine_when_the_hostlist_names_them() -> None:
    assert between({"red1": node(1), "red2": node(2), "red3": node(3)}) == set()


def test_hosts_by_address_need_names_of_their_own() -> None:
    facts = {"red1": node(1), "red2": node(2), "red3": node(3, hostname="other")}
    assert between(facts, UNNAMED) == {
        ("error", "red1", "duplicate_hostname"),
        ("error", "red2", "duplicate_hostname"),
    }


def test_the_same_machine_twice_is_one_mistake() -> None:
    assert between({"red1": node(1), "red2": node(1), "red3": node(3)}) == {
        ("error", "red1", "same_machine"),
        ("error", "red2", "same_machine"),
    }


@pytest.mark.parametrize(
    ("second", "code"),
    [
        ({"machine_id": "m1"}, "duplicate_machine_id"),
        ({"default": node(1)["default"]}, "duplicate_address"),
        ({"interfaces": node(1)["interfaces"]}, "duplicate_mac"),
    ],
)
def test_twins(second: dict[str, Any], code: str) -> None:
    assert between({"red1": node(1), "red2": node(2, **second)}) == {
        ("error", "red1", code),
        ("error", "red2", code),
    }


def test_addresses_of_containers_may_repeat() -> None:
    """Every node has 10.42.x and a docker0: only what the nodes reach each other by counts."""
    assert node(1)["interfaces"][1] == node(2)["interfaces"][1]
    assert between({"red1": node(1), "red2": node(2)}) == set()


def test_wifi_among_cables_is_a_warning_for_the_wifi() -> None:
    facts = {"red1": node(1), "red2": change(node(2), "interfaces.0", {"wireless": True})}
    assert between(facts) == {("warning", "red2", "mixed_interfaces")}
    assert between({"red2": facts["red2"]}) == set()


def test_a_node_with_another_ca_is_of_another_cluster() -> None:
    wanted = {**NAMED, "red1": {**NAMED["red1"], "role": "server"}}
    agent = {**RUNNING, "role": "agent", "ca_hash": "d" * 64, "server_url": "https://10.9.9.9:6443"}
    facts = {"red1": change(node(1), "k3s", RUNNING), "red2": change(node(2), "k3s", agent)}
    [finding] = preflight.judge(facts, wanted)
    assert (finding.host, finding.code) == ("red2", "other_cluster")
    assert "10.9.9.9" in finding.message


def test_failures_are_for_their_hosts_with_the_remedy() -> None:
    findings = preflight.judge({"red1": node(1, privileged=False), "red2": node(2, memory_mb=300)}, NAMED)
    failed = preflight.failed_hosts(findings)
    assert list(failed) == ["red1"]
    assert failed["red1"][0].startswith("the task did not run as root (give the sudo password")


def test_what_stops_the_run_for_all() -> None:
    def finding(host: str, code: str, level: str = "error") -> preflight.Finding:
        return preflight.Finding(level, host, code, "")

    findings = [finding("red2", "low_disk"), finding("red1", "low_disk"), finding("red3", "other_cluster"),
                finding("red4", "same_machine", "warning"), finding("red1", "port_busy")]
    assert preflight.stopping_hosts(findings, ["red1"]) == ["red1", "red3"]


def test_one_line_for_a_warning_that_many_hosts_share() -> None:
    many = {f"red{n}": node(n, memory_mb=300) for n in range(1, 4)}
    [line] = preflight.warning_lines(preflight.judge(many, NAMED))
    assert line.startswith("red1, red2, red3: 300 MB of memory")
