# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""Reset: what goes, what stays, and that nothing mounted is ever deleted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.pideploy.k3s.plugins.module_utils import iptables_rules, k3s_runtime, removal

TOP = Path(__file__).resolve().parents[2]

NODE = {
    "var/lib/pideploy/manifest.json": json.dumps({
        "schema": 1, "cluster": "red", "node_name": "red", "swap": {"owner": "dphys-swapfile"},
        "k3s": {"role": "server", "time_wait": "chrony-wait.service"},
        "files": {"/etc/systemd/system/k3s.service": {"backup": "/etc/systemd/system/k3s.service.pideploy.bak"},
                  "/boot/firmware/cmdline.txt": {"backup": "/boot/firmware/cmdline.txt.pideploy.bak"}},
    }),
    "var/lib/pideploy/former.json": "{}",
    "etc/systemd/system/k3s.service": "[Unit]\n",
    "etc/systemd/system/k3s.service.pideploy.bak": "[Unit]\n",
    "etc/systemd/system/k3s.service.d/10-pideploy.conf": "[Service]\n",
    "etc/systemd/system/k3s.service.d/50-mine.conf": "[Service]\n",
    "etc/systemd/system/chrony-wait.service.d/10-pideploy.conf": "[Service]\n",
    "etc/rancher/k3s/config.yaml": 'write-kubeconfig: "/root/kube"\n',
    "etc/rancher/k3s/token": "x\n",
    "etc/rancher/node/password": "x\n",
    "root/kube": "apiVersion: v1\n",
    "usr/local/bin/k3s": "binary",
    "usr/bin/keep": "",
    "var/lib/rancher/k3s/server/token": "x\n",
    "var/lib/rancher/k3s/agent/images/a.tar": "x",
    "var/lib/rancher/k3s/data/current": "x",
    "var/lib/rancher/k3s/storage/pvc-1/file": "precious",
    "var/lib/kubelet/pods/1/x": "",
    "run/k3s/containerd/x": "",
    "var/log/pods/x/0.log": "",
    "var/lib/cni/networks/cbr0/10.42.0.2": "",
    "var/lib/cni/results/cbr0-abc-eth0": "",
    "var/lib/cni/results/cni-loopback-abc-lo": "",
    "var/lib/cni/results/cni-loopback-podmans-lo": "",
    "etc/cni/net.d/87-podman.conflist": "{}",
}
STAYS = {
    "usr/bin/keep", "var/lib/rancher/k3s/storage/pvc-1/file", "var/lib/cni/results/cni-loopback-podmans-lo",
    "etc/cni/net.d/87-podman.conflist", "etc/systemd/system/k3s.service.d/50-mine.conf",
    "var/lib/pideploy/manifest.json",
}


def build(root: Path, tree: dict[str, str]) -> None:
    for name, text in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "usr/local/bin").mkdir(parents=True, exist_ok=True)
    (root / "usr/local/bin/kubectl").symlink_to("k3s")
    (root / "usr/local/bin/ctr").symlink_to("/usr/bin/keep")


def tree(root: Path) -> set[str]:
    return {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file() and not p.is_symlink()}


def reset(root: Path, check: bool = False, **given: Any) -> tuple[int, dict[str, Any]]:
    args = {"cluster": "red", "root": str(root), "_ansible_check_mode": check, "_ansible_remote_tmp": "/tmp"} | given
    done = subprocess.run(
        [sys.executable, "-m", "ansible_collections.pideploy.k3s.plugins.modules.k3s_reset"],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": args}), capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(TOP / "collections"), "PATH": "/usr/bin:/bin"},
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_plan_then_reset_then_nothing(tmp_path: Path) -> None:
    build(tmp_path, NODE)
    rc, plan = reset(tmp_path, check=True)
    assert (rc, plan["changed"]) == (0, True)
    assert tree(tmp_path) == set(NODE)
    rc, done = reset(tmp_path)
    assert (rc, done["changed"], done["removed"]) == (0, True, plan["removed"])
    assert done["kept"] == [str(tmp_path / "var/lib/rancher/k3s/storage")]
    assert tree(tmp_path) == STAYS
    assert not (tmp_path / "usr/local/bin/kubectl").is_symlink()
    assert (tmp_path / "usr/local/bin/ctr").is_symlink()
    assert not (tmp_path / "etc/rancher").exists()
    noted = json.loads((tmp_path / "var/lib/pideploy/manifest.json").read_text())
    assert noted == {"schema": 1, "swap": {"owner": "dphys-swapfile"}, "files": {
        "/boot/firmware/cmdline.txt": {"backup": "/boot/firmware/cmdline.txt.pideploy.bak"}}}
    rc, again = reset(tmp_path)
    assert (rc, again["changed"], again["removed"]) == (0, False, [])


def test_volumes_go_when_asked(tmp_path: Path) -> None:
    build(tmp_path, NODE)
    rc, done = reset(tmp_path, delete_data=True)
    assert (rc, done["kept"]) == (0, [])
    assert not (tmp_path / "var/lib/rancher").exists()
    assert reset(tmp_path, delete_data=True)[1]["changed"] is False


def test_a_node_without_k3s_is_left_alone(tmp_path: Path) -> None:
    """Another distribution's kubelet has folders of the same names."""
    build(tmp_path, {"var/lib/kubelet/config.yaml": "", "var/log/pods/x": "", "run/flannel/subnet.env": ""})
    before = tree(tmp_path)
    rc, done = reset(tmp_path)
    assert (rc, done["changed"]) == (0, False)
    assert tree(tmp_path) == before


def test_a_reset_that_was_killed_goes_on(tmp_path: Path) -> None:
    gone = ("systemd", "kubelet", "etc/rancher")
    build(tmp_path, {k: v for k, v in NODE.items() if not any(word in k for word in gone)})
    rc, done = reset(tmp_path)
    assert (rc, done["changed"]) == (0, True)
    assert reset(tmp_path)[1]["changed"] is False


@pytest.mark.parametrize(
    ("given", "manifest", "words"),
    [
        ({"cluster": "blue"}, True, "belongs to cluster 'red', not to 'blue'"),
        ({}, False, "did not install"),
        ({"data_dir": "/"}, True, "no folder of k3s"),
        ({"data_dir": "/mnt"}, True, "no folder of k3s"),
    ],
)
def test_refusals_change_nothing(tmp_path: Path, given: dict[str, Any], manifest: bool, words: str) -> None:
    build(tmp_path, {k: v for k, v in NODE.items() if manifest or "pideploy/manifest" not in k})
    before = tree(tmp_path)
    rc, done = reset(tmp_path, **given)
    assert rc == 1
    assert words in done["msg"]
    assert done["hint"]
    assert tree(tmp_path) == before


def test_a_foreign_k3s_goes_when_asked(tmp_path: Path) -> None:
    build(tmp_path, {k: v for k, v in NODE.items() if "pideploy/manifest" not in k})
    assert reset(tmp_path, adopt=True)[1]["changed"] is True
    assert not (tmp_path / "usr/local/bin/k3s").exists()


MOUNTINFO = r"""
20 1 0:42 / / rw - overlay overlay rw
30 20 0:42 /var/lib/kubelet /var/lib/kubelet rw shared:1 - overlay overlay rw
31 30 0:50 / /var/lib/kubelet/pods/1/volumes/kubernetes.io~projected/t rw - tmpfs tmpfs rw
32 30 0:51 /export /var/lib/kubelet/pods/1/volumes/nfs/with\040blank rw - nfs4 srv:/export rw
33 20 8:1 / /var/lib/rancher/k3s/storage rw - ext4 /dev/sda1 rw
34 20 0:52 / /run/k3s/containerd/rootfs rw - overlay overlay rw
35 20 0:4 net:[1] /run/netns/cni-1 rw - nsfs nsfs rw
36 20 0:4 net:[2] /run/netns/mine rw - nsfs nsfs rw
37 20 0:53 / /run/k3s-other rw - tmpfs tmpfs rw
38 34 0:52 / /run/k3s/containerd/rootfs rw - overlay overlay rw
"""


def test_mounts_to_undo_are_only_those_of_containers() -> None:
    mounts = removal.parse_mounts(MOUNTINFO)
    assert removal.below(mounts, k3s_runtime.MOUNTS, k3s_runtime.OWN_MOUNTS) == [
        "/run/k3s/containerd/rootfs", "/run/netns/cni-1", "/run/k3s/containerd/rootfs",
        "/var/lib/kubelet/pods/1/volumes/nfs/with blank",
        "/var/lib/kubelet/pods/1/volumes/kubernetes.io~projected/t", "/var/lib/kubelet",
    ]
    disk = removal.parse_mounts("40 20 8:2 / /var/lib/kubelet rw - ext4 /dev/sdb1 rw")
    assert removal.below(disk, k3s_runtime.MOUNTS, k3s_runtime.OWN_MOUNTS) == []


def test_remove_tree_never_enters_a_mount(tmp_path: Path) -> None:
    build(tmp_path, {"k/a/file": "", "k/a/volume/data": "precious", "k/b/file": "", "outside/x": ""})
    (tmp_path / "k/link").symlink_to(tmp_path / "outside")
    volume = str(tmp_path / "k/a/volume")
    assert removal.remove_tree(str(tmp_path / "k"), [volume]) == [volume]
    assert tree(tmp_path / "k") == {"a/volume/data"}
    assert not removal.removable(str(tmp_path / "k"), [volume])
    assert removal.removable(str(tmp_path / "k"), [])
    assert (tmp_path / "outside/x").exists()


def test_remove_tree_empties_a_mount_point_given_by_name(tmp_path: Path) -> None:
    build(tmp_path, {"k/a/file": ""})
    top = str(tmp_path / "k")
    assert removal.removable(top, [top])
    assert removal.remove_tree(top, [top]) == [top]
    assert not removal.removable(top, [top])
    assert os.listdir(top) == []
    assert removal.remove_tree(str(tmp_path / "nothing"), []) == []


SAVED = """\
# Generated by iptables-save
*filter
:INPUT ACCEPT [9:712]
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:KUBE-FORWARD - [0:0]
:FLANNEL-FWD - [0:0]
-A INPUT -m comment --comment "kube-router netpol - X" -j KUBE-ROUTER-INPUT
[12:99] -A INPUT -p tcp --dport 22 -j ACCEPT
-A INPUT -p tcp --dport 6443 -m comment --comment "for KUBE-API and flannel" -j ACCEPT
-A FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD
-A INPUT -m comment --comment "KUBE-ROUTER rule to explicitly ACCEPT traffic" -m mark --mark 0x2/0x2 -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
[3:4] -A FLANNEL-FWD -s 10.42.0.0/16 -m comment --comment "flanneld forward" -j ACCEPT
COMMIT
*nat
:CNI-HOSTPORT-DNAT - [0:0]
-A POSTROUTING -s 10.42.0.2/32 -m comment --comment "name: \\"cbr0\\" id: \\"x\\"" -j CNI-5f0
-A PREROUTING -i eth0 -j MARK --set-xmark 0x1/0x1
COMMIT
"""


def test_only_our_firewall_rules_go() -> None:
    cleaned = iptables_rules.without_ours(SAVED)
    assert [line for line in cleaned.splitlines() if not line.startswith("#")] == [
        "*filter", ":INPUT ACCEPT [9:712]", ":FORWARD DROP [0:0]", ":DOCKER - [0:0]",
        "[12:99] -A INPUT -p tcp --dport 22 -j ACCEPT",
        '-A INPUT -p tcp --dport 6443 -m comment --comment "for KUBE-API and flannel" -j ACCEPT',
        "-A FORWARD -o docker0 -j DOCKER", "COMMIT",
        "*nat", "-A PREROUTING -i eth0 -j MARK --set-xmark 0x1/0x1", "COMMIT",
    ]
    assert iptables_rules.without_ours(cleaned) == cleaned


def test_processes_of_pods_and_shims(tmp_path: Path) -> None:
    def process(pid: int, parent: int, exe: str, cgroup: str = "0::/system.slice/x") -> None:
        folder = tmp_path / str(pid)
        folder.mkdir()
        (folder / "stat").write_text(f"{pid} (a) b) S {parent} 1 1\n")
        (folder / "cgroup").write_text(cgroup + "\n")
        (folder / "exe").symlink_to(exe)

    process(10, 1, "/var/lib/rancher/k3s/data/abc/bin/containerd-shim-runc-v2")
    process(11, 10, "/bin/sh")
    process(12, 11, "/bin/sleep")
    process(20, 1, "/bin/left-behind", "4:memory:/kubepods/besteffort/pod1/x")
    process(21, 1, "/bin/systemd-driver", "0::/kubepods.slice/kubepods-burstable.slice")
    process(30, 1, "/usr/bin/python3")
    process(31, 1, "/usr/bin/k3d", "0::/docker/abc/kubepods/x")
    assert k3s_runtime.processes("/var/lib/rancher/k3s", str(tmp_path)) == [10, 11, 12, 20, 21]


def test_interfaces(tmp_path: Path) -> None:
    net = tmp_path / "sys/class/net"
    for name in ("eth0", "cni0", "flannel.1", "flannel-wg", "veth1", "docker0", "veth2", "wlan0"):
        (net / name).mkdir(parents=True)
    (net / "veth1/master").symlink_to("../cni0")
    (net / "veth2/master").symlink_to("../docker0")
    assert k3s_runtime.interfaces(str(tmp_path)) == ["veth1", "cni0", "flannel-wg", "flannel.1"]


def test_cgroups_that_are_empty_go(tmp_path: Path) -> None:
    (tmp_path / "kubepods/besteffort/pod1").mkdir(parents=True)
    (tmp_path / "memory/kubepods/pod2").mkdir(parents=True)
    (tmp_path / "memory/docker").mkdir()
    k3s_runtime.remove_cgroups(str(tmp_path))
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")) == ["memory", "memory/docker"]
