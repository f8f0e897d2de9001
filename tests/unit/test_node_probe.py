# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""All facts of a node, on each OS and board, and what of it is pending."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.pideploy.k3s.plugins.module_utils import (
    manifest,
    node_probe,
    probe_k3s,
    probe_network,
    probe_system,
)
from tests.unit import node_trees as nodes
from tests.unit.node_trees import ADDED, ARGS, REQUIRED, Link, Tree, build, model, mountinfo, snapshot

WANTED: dict[str, Any] = {
    "hostname": "",
    "swap_state": "disabled",
    "cgroups_required": REQUIRED,
    "cgroups_kernel_args": ARGS,
}


def probe(tmp_path: Path, *trees: Tree, **wanted: Any) -> dict[str, Any]:
    root = build(tmp_path, *trees)
    before = snapshot(root)
    facts = node_probe.probe(str(root), {**WANTED, **wanted})
    assert snapshot(root) == before  # it only looks
    json.dumps(facts)
    return facts


def codes(facts: dict[str, Any]) -> list[str]:
    return [finding["code"] for finding in facts["findings"]]


@pytest.mark.parametrize(
    ("tree", "family", "pi_os", "k3s", "version", "owner", "pending"),
    [
        (nodes.PIOS_BULLSEYE, "pi", True, "arm64", "v2", "dphys-swapfile", ["cgroups", "swap"]),
        (nodes.PIOS_BOOKWORM, "pi", True, "arm64", "v2", "dphys-swapfile", ["cgroups", "swap"]),
        (nodes.PIOS_TRIXIE, "pi", True, "arm64", "v2", "rpi-swap", ["cgroups", "swap"]),
        (nodes.UBUNTU_24_04, "pi", False, "arm64", "v2", "none", ["cgroups"]),
        (nodes.UBUNTU_25_10_PENDING, "pi", False, "arm64", "v2", "none", ["cgroups"]),
        (nodes.JETSON, "jetson", False, "arm64", "v1", "nvzramconfig", ["cgroups", "swap"]),
        (nodes.X86, "x86", False, "amd64", "v2", "fstab", ["cgroups", "swap"]),
    ],
)
def test_fresh_nodes(
    tmp_path: Path, tree: Tree, family: str, pi_os: bool, k3s: str, version: str, owner: str, pending: list[str]
) -> None:
    facts = probe(tmp_path, tree)
    assert facts["schema"] == 1
    assert facts["board"]["family"] == family
    assert facts["os"]["pi_os"] is pi_os
    assert facts["arch"]["k3s"] == k3s
    assert facts["cgroup"]["version"] == version
    assert facts["cgroup"]["missing"] == ["memory"]
    assert facts["swap"]["owner"] == owner
    assert facts["pending"] == pending
    assert facts["reboot_required"] is False
    assert facts["findings"] == []
    assert facts["k3s"]["installed"] is False
    assert facts["boot"]["writable"] is True


def test_the_kernel_decides_not_the_os(tmp_path: Path) -> None:
    """A Pi whose kernel has the controller needs no edit, whatever its boot file says."""
    facts = probe(tmp_path, nodes.PIOS_BOOKWORM, nodes.V2_MEMORY)
    assert facts["cgroup"]["missing"] == []
    assert facts["pending"] == ["swap"]


def test_proc_cgroups_does_not_count_on_v2(tmp_path: Path) -> None:
    """raspberrypi/linux#6980: from 6.12 on it never lists memory."""
    tree = {"/proc/cgroups": nodes.V1_CGROUPS.format(memory=1)}
    assert probe(tmp_path, nodes.PIOS_BOOKWORM, tree)["cgroup"]["missing"] == ["memory"]


@pytest.mark.parametrize(
    ("mounts", "version", "memory"),
    [
        ([("/sys/fs/cgroup", "cgroup2")], "v2", False),
        ([("/sys/fs/cgroup", "tmpfs"), ("/sys/fs/cgroup/unified", "cgroup2")], "hybrid", True),
        ([("/sys/fs/cgroup", "tmpfs"), ("/sys/fs/cgroup/memory", "cgroup")], "v1", True),
    ],
)
def test_cgroup_versions(tmp_path: Path, mounts: list[tuple[str, str]], version: str, memory: bool) -> None:
    tree = {"/proc/self/mountinfo": mountinfo(*mounts), "/proc/cgroups": nodes.V1_CGROUPS.format(memory=1)}
    found = probe_system.cgroup(str(build(tmp_path, nodes.COMMON, tree)), REQUIRED)
    assert (found["version"], "memory" in found["controllers"]) == (version, memory)


EDITED = {"/boot/firmware/cmdline.txt": nodes.TRIXIE_LINE + ADDED + "\n"}
NOTED = {manifest.PATH: json.dumps({"schema": 1, "cmdline": {"boot_id": "an-earlier-boot", "changes": []}})}
STARTED = {"/proc/cmdline": nodes.FIRMWARE_WORDS + nodes.TRIXIE_LINE + ADDED + "\n"}


def test_a_file_that_asks_already_needs_a_reboot_and_no_edit(tmp_path: Path) -> None:
    facts = probe(tmp_path, nodes.PIOS_BOOKWORM, EDITED)
    assert "cgroups" not in facts["pending"]
    assert (facts["reboot_required"], facts["reboot_reasons"]) == (True, ["cgroups"])


def test_an_edit_that_a_reboot_did_not_bring_is_an_error_and_no_reboot(tmp_path: Path) -> None:
    facts = probe(tmp_path, nodes.PIOS_BOOKWORM, EDITED, NOTED)
    assert codes(facts) == ["boot_file_not_read"]
    assert "/boot/firmware/cmdline.txt asks for" in facts["findings"][0]["message"]
    assert facts["reboot_required"] is False


def test_a_kernel_that_got_the_arguments_and_has_no_controller_is_an_error(tmp_path: Path) -> None:
    facts = probe(tmp_path, nodes.PIOS_BOOKWORM, EDITED, STARTED)
    assert codes(facts) == ["cgroup_unavailable"]
    assert facts["reboot_required"] is False
    assert "cgroups" not in facts["pending"]


def test_a_controller_that_no_argument_brings(tmp_path: Path) -> None:
    tree = {"/sys/fs/cgroup/cgroup.controllers": "cpuset cpu memory\n"}
    facts = probe(tmp_path, nodes.PIOS_BOOKWORM, tree)
    assert codes(facts) == ["cgroup_unavailable"]
    assert "no cgroup controller pids" in facts["findings"][0]["message"]


def test_a_network_boot_is_an_error_only_where_something_is_missing(tmp_path: Path) -> None:
    nfs = {"/proc/cmdline": "root=/dev/nfs nfsroot=10.0.0.1:/pi\n"}
    facts = probe(tmp_path / "a", nodes.COMMON, nodes.PI4, nfs)
    assert codes(facts) == ["boot_file"]
    assert codes(probe(tmp_path / "b", nodes.COMMON, nodes.PI4, nfs, nodes.V2_MEMORY)) == []


def test_grub_that_was_not_rendered_is_pending_still(tmp_path: Path) -> None:
    facts = probe(tmp_path, nodes.X86, {"/etc/default/grub": f'GRUB_CMDLINE_LINUX="{ADDED}"\n'})
    assert "cgroups" in facts["pending"]


@pytest.mark.parametrize(
    ("name", "change", "pending"),
    [
        ("", {}, False),
        ("raspberrypi", {}, False),
        ("red", {}, True),
        ("raspberrypi", {"/proc/sys/kernel/hostname": "transient\n"}, True),
        ("raspberrypi", {"/etc/hosts": "127.0.0.1 localhost\n"}, True),
        ("raspberrypi", {"/etc/cloud/cloud.cfg.d/05_logging.cfg": "x: 1\n"}, True),
    ],
)
def test_hostname_pending(tmp_path: Path, name: str, change: Tree, pending: bool) -> None:
    facts = probe(tmp_path, nodes.UBUNTU_24_04, nodes.V2_MEMORY, change, hostname=name)
    assert facts["pending"] == (["hostname"] if pending else [])


def test_a_bad_name_is_a_finding(tmp_path: Path) -> None:
    assert codes(probe(tmp_path, nodes.UBUNTU_24_04, nodes.V2_MEMORY, hostname="Red_1")) == ["node_name"]


def test_kept_swap_is_not_pending(tmp_path: Path) -> None:
    facts = probe(tmp_path, nodes.PIOS_BOOKWORM, nodes.V2_MEMORY, swap_state="kept")
    assert facts["pending"] == []
    assert facts["swap"]["enabled"] is True


def test_swap_that_could_not_be_switched_off_needs_a_reboot(tmp_path: Path) -> None:
    noted = {manifest.PATH: json.dumps({"swap": {"reboot_id": "b0000000-0000-0000-0000-000000000001"}})}
    wants = {"/etc/systemd/system/multi-user.target.wants/dphys-swapfile.service": None}
    facts = probe(tmp_path, nodes.PIOS_BOOKWORM, nodes.V2_MEMORY, wants, noted)
    assert facts["reboot_reasons"] == ["swap"]


@pytest.mark.parametrize(
    ("machine", "dpkg", "bits", "k3s"),
    [
        ("aarch64", "arm64", 64, "arm64"),
        ("aarch64", "armhf", 32, "arm64"),
        ("armv7l", "armhf", 32, "armhf"),
        ("armv6l", "armhf", 32, None),
        ("x86_64", "amd64", 64, "amd64"),
        ("riscv64", "riscv64", 64, None),
    ],
)
def test_architectures(tmp_path: Path, machine: str, dpkg: str, bits: int, k3s: str | None) -> None:
    tree = {"/proc/sys/kernel/arch": machine + "\n", "/var/lib/dpkg/arch": dpkg + "\n"}
    found = probe_system.architecture(str(build(tmp_path, tree)))
    assert found == {"machine": machine, "userspace_bits": bits, "dpkg": dpkg, "k3s": k3s}


@pytest.mark.parametrize(
    ("words", "volatile"),
    [("boot=overlay root=1", True), ("overlayroot=tmpfs", True), ("overlayroot=disabled", False), ("root=1", False)],
)
def test_volatile_root(tmp_path: Path, words: str, volatile: bool) -> None:
    assert probe_system.volatile_root(str(build(tmp_path, {"/proc/cmdline": words + "\n"}))) is volatile


def test_other_boards(tmp_path: Path) -> None:
    board = probe_system.board(str(build(tmp_path, nodes.COMMON, model("Pine64 RockPro64 v2.1"))))
    assert board == {"model": "Pine64 RockPro64 v2.1", "family": "other"}


def test_here_the_clock_and_the_machine_answer() -> None:
    assert probe_system.machine()
    assert probe_system.ntp_synchronized() in (True, False, None)


# Network ---------------------------------------------------------------------------------------------------------

ADDRESSES = json.dumps(
    [
        {"ifname": "lo", "flags": ["LOOPBACK"], "address": "00:00:00:00:00:00", "addr_info": []},
        {
            "ifname": "eth0",
            "flags": ["BROADCAST", "UP"],
            "address": "dc:a6:32:00:00:01",
            "addr_info": [
                {"family": "inet", "local": "10.0.0.10", "prefixlen": 24, "scope": "global"},
                {"family": "inet6", "local": "fe80::1", "prefixlen": 64, "scope": "link"},
                {"family": "inet6", "local": "fd00::10", "prefixlen": 64, "scope": "global"},
            ],
        },
        {"ifname": "wlan0", "flags": ["UP"], "address": "dc:a6:32:00:00:02", "addr_info": []},
        {
            "ifname": "cni0",
            "flags": ["UP"],
            "address": "aa:aa:aa:aa:aa:aa",
            "addr_info": [{"family": "inet", "local": "10.42.0.1", "prefixlen": 24, "scope": "global"}],
        },
    ]
)
ROUTES = json.dumps(
    [
        {"dst": "default", "gateway": "10.0.0.1", "dev": "wlan0", "metric": 600},
        {"dst": "default", "gateway": "10.0.0.1", "dev": "eth0", "metric": 100},
        {"dst": "10.0.0.0/24", "dev": "eth0"},
    ]
)
CARDS: Tree = {
    "/sys/class/net/eth0/device/uevent": "",
    "/sys/class/net/wlan0/device/uevent": "",
    "/sys/class/net/wlan0/phy80211/name": "phy0\n",
}


def test_interfaces_and_default_route(tmp_path: Path) -> None:
    found = probe_network.probe(str(build(tmp_path, CARDS)), ADDRESSES, ROUTES)
    assert found["default"] == {"interface": "eth0", "address": "10.0.0.10", "gateway": "10.0.0.1"}
    assert [(i["name"], i["addresses"], i["wireless"], i["virtual"]) for i in found["interfaces"]] == [
        ("eth0", ["10.0.0.10/24", "fd00::10/64"], False, False),
        ("wlan0", [], True, False),
        ("cni0", ["10.42.0.1/24"], False, True),
    ]


@pytest.mark.parametrize("text", ["", "[]", "not json", "{}"])
def test_no_answer_from_ip_is_no_route(tmp_path: Path, text: str) -> None:
    found = probe_network.probe(str(tmp_path), text, text)
    assert found == {"interfaces": [], "default": {"interface": None, "address": None, "gateway": None}}


HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
API = HEADER + "   0: 00000000:192B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1\n"
VXLAN = HEADER + "   0: 00000000:2118 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 99 2\n"


def process(name: str, unit: str) -> Tree:
    return {
        "/proc/77/comm": name + "\n",
        "/proc/77/cgroup": f"1:name=systemd:/system.slice/{unit}\n0::/system.slice/{unit}\n",
        "/proc/77/fd/5": Link("socket:[4711]"),
    }


@pytest.mark.parametrize(
    ("tree", "busy"),
    [
        ({}, []),
        ({"/proc/net/tcp6": API, **process("nginx", "nginx.service")}, [(6443, "tcp", "nginx")]),
        ({"/proc/net/tcp": API, **process("k3s-server", "k3s.service")}, []),
        ({"/proc/net/tcp": API, **process("python3", "k3s-agent.service/sub")}, []),
        ({"/proc/net/tcp": API}, [(6443, "tcp", "kernel")]),
        ({"/proc/net/tcp": API.replace(" 0A ", " 01 ")}, []),
        ({"/proc/net/udp": VXLAN}, [(8472, "udp", "kernel")]),
        ({"/proc/net/udp": VXLAN, "/sys/class/net/flannel.1/address": "x"}, []),
    ],
)
def test_busy_ports(tmp_path: Path, tree: Tree, busy: list[tuple[int, str, str]]) -> None:
    found = probe_network.ports_busy(str(build(tmp_path, tree)))
    assert [(p["port"], p["protocol"], p["process"]) for p in found] == busy


# k3s -------------------------------------------------------------------------------------------------------------

CA = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"
SERVER: Tree = {
    "/usr/local/bin/k3s": "binary",
    "/etc/systemd/system/k3s.service": "[Service]\nExecStart=/usr/local/bin/k3s \\\n    server \\\n",
    "/etc/rancher/k3s/config.yaml": 'node-name: "red"\nnode-ip: "10.0.0.10"\n',
    "/var/lib/rancher/k3s/server/tls/server-ca.crt": CA,
}


def test_fresh_node_has_no_k3s(tmp_path: Path) -> None:
    found = probe_k3s.probe(str(tmp_path), {})
    assert found["installed"] is False
    assert found["managed"] is False
    assert found["role"] is None


def test_server_of_ours(tmp_path: Path) -> None:
    root = build(tmp_path, SERVER)
    status = (root / "usr/local/bin/k3s").stat()
    noted = {"version": "v1.36.4+k3s1", "sha256": "5" * 64, "size": 6, "mtime_ns": status.st_mtime_ns}
    found = probe_k3s.probe(str(root), {"cluster": "red", "node_name": "red", "k3s": noted})
    assert (found["installed"], found["managed"], found["cluster"]) == (True, True, "red")
    assert (found["role"], found["version"], found["sha256"]) == ("server", "v1.36.4+k3s1", "5" * 64)
    assert found["ca_hash"] == hashlib.sha256(CA.encode()).hexdigest()
    assert (found["node_name"], found["node_ip"], found["server_url"]) == ("red", "10.0.0.10", None)


def test_a_changed_binary_is_hashed_again(tmp_path: Path) -> None:
    noted = {"version": "v1.36.4+k3s1", "sha256": "5" * 64, "size": 6, "mtime_ns": 1}
    found = probe_k3s.probe(str(build(tmp_path, SERVER)), {"k3s": noted})
    assert found["sha256"] == hashlib.sha256(b"binary").hexdigest()
    assert found["version"] is None


def test_foreign_agent_made_by_install_sh(tmp_path: Path) -> None:
    tree = {
        "/usr/local/bin/k3s": "binary",
        "/etc/systemd/system/k3s-agent.service": "[Service]\nExecStart=/usr/local/bin/k3s \\\n    agent \\\n",
        "/etc/systemd/system/k3s-agent.service.env": "K3S_URL='https://10.9.9.9:6443'\nK3S_TOKEN='secret'\n",
        "/var/lib/rancher/k3s/agent/server-ca.crt": CA,
    }
    found = probe_k3s.probe(str(build(tmp_path, tree)), {})
    assert (found["installed"], found["managed"], found["role"]) == (True, False, "agent")
    assert found["server_url"] == "https://10.9.9.9:6443"
    assert "secret" not in json.dumps(found)


def test_an_agent_started_from_a_unit_called_k3s(tmp_path: Path) -> None:
    unit = {"/etc/systemd/system/k3s.service": "[Service]\nExecStart=/opt/bin/k3s agent --server https://a:6443\n"}
    found = probe_k3s.probe(str(build(tmp_path, unit)), {})
    assert (found["role"], found["server_url"], found["service"]["unit"]) == ("agent", "https://a:6443", "k3s.service")


def test_a_binary_alone_is_a_deploy_that_was_cut_off(tmp_path: Path) -> None:
    found = probe_k3s.probe(str(build(tmp_path, {"/usr/local/bin/k3s": "half"})), {})
    assert (found["installed"], found["size"]) == (False, 4)


def test_data_dir_of_the_configuration_counts(tmp_path: Path) -> None:
    tree = {
        **SERVER,
        "/etc/rancher/k3s/config.yaml": "data-dir: /mnt/ssd/k3s\n",
        "/mnt/ssd/k3s/server/tls/server-ca.crt": "other",
    }
    found = probe_k3s.probe(str(build(tmp_path, tree)), {})
    assert found["data_dir"] == "/mnt/ssd/k3s"
    assert found["ca_hash"] == hashlib.sha256(b"other").hexdigest()


def test_a_manifest_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(manifest.ManifestError, match="move it away"):
        probe(tmp_path, nodes.PIOS_BOOKWORM, {manifest.PATH: "{"})
