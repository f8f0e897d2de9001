# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What containers of k3s leave in a running kernel: processes, mounts, interfaces, control groups, firewall rules."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import shutil
import signal
import time
from typing import Callable, Dict, List, Tuple

from ansible_collections.pideploy.k3s.plugins.module_utils import files, iptables_rules, removal

__metaclass__ = type

# Mounts of containers and volumes. Everything else that is mounted below k3s's folders is the user's.
MOUNTS = ("/run/k3s", "/var/lib/kubelet/pods", "/var/lib/kubelet/plugins", "/run/netns/cni-")
# kubelet mounts its folder over itself; a disk that somebody mounted there is another thing and stays.
OWN_MOUNTS = ("/var/lib/kubelet",)
SLICE = "kubepods.slice"
_POD = re.compile(r"^\d+:[^:]*:(?:/k3s)?/kubepods(?:[./]|$)", re.M)
INTERFACE = re.compile(r"^(?:cni0|flannel(?:-v6)?\.\d+|flannel-wg(?:-v6)?|kube-ipvs0)$")
_FAMILIES = ("iptables", "ip6tables")
_SYSTEM_PATH = ":/usr/sbin:/sbin"

Run = Callable[..., Tuple[int, str, str]]
Sleep = Callable[[float], None]


class RuntimeLeftover(Exception):
    """Something that does not go; ``hint`` says what to do. Nothing was deleted from disk."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def processes(data_dir: str, proc: str = "/proc") -> List[int]:
    """Return the processes of pods, those whose program lies in k3s's data folder (containerd, its shims), and what
    they started."""
    parents: Dict[int, int] = {}
    ours: List[int] = []
    for name in os.listdir(proc):
        if not name.isdigit():
            continue
        pid = int(name)
        try:
            with open("%s/%s/stat" % (proc, name), encoding="utf-8", errors="replace") as handle:
                # The second field is the program's name in brackets and may hold blanks and brackets.
                parents[pid] = int(handle.read().rpartition(")")[2].split()[1])
            with open("%s/%s/cgroup" % (proc, name), encoding="utf-8", errors="replace") as handle:
                in_pod = bool(_POD.search(handle.read()))
            if in_pod or os.readlink("%s/%s/exe" % (proc, name)).startswith(data_dir + "/data/"):
                ours.append(pid)
        except (OSError, ValueError, IndexError):
            continue  # it ended meanwhile, or is a kernel thread
    found = set(ours)
    grown = True
    while grown:
        children = {pid for pid, parent in parents.items() if parent in found} - found
        grown = bool(children)
        found |= children
    return sorted(found - {os.getpid(), 1})


def interfaces(root: str) -> List[str]:
    """Return the network interfaces of flannel and CNI; a bridge's ports come before the bridge."""
    folder = files.below(root, "/sys/class/net")
    names = removal.entries(folder)
    ports = [n for n in names if os.path.basename(os.path.realpath("%s/%s/master" % (folder, n))) == "cni0"]
    return ports + [n for n in names if INTERFACE.match(n) and n not in ports]


def container_mounts() -> List[str]:
    """Return the mount points of containers and volumes, in the order in which to undo them."""
    return removal.below(removal.read_mounts(), MOUNTS, OWN_MOUNTS)


def remove_cgroups(base: str = "/sys/fs/cgroup") -> None:
    """Delete the empty control groups of pods, of cgroup v2 (below ``base``) and v1 (below each controller)."""
    for top in glob.glob(base + "/kubepods*") + glob.glob(base + "/*/kubepods*"):
        for folder, _names, _files in os.walk(top, topdown=False):
            removal.remove_empty(folder)


def end_processes(data_dir: str, sleep: Sleep = time.sleep) -> None:
    """Kill containers and their shims.

    :raises RuntimeLeftover: some do not end (a process that waits for a dead disk or file server cannot be killed).
    """
    for _attempt in range(50):
        found = processes(data_dir)
        if not found:
            return
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        sleep(0.1)
    raise RuntimeLeftover("these processes of k3s do not end: %s" % ", ".join(map(str, found)),
                          "reboot the node, then run again: nothing was deleted yet")


def unmount(run: Run, sleep: Sleep = time.sleep) -> None:
    """Undo the mounts of containers and volumes.

    :raises RuntimeLeftover: some stay.
    """
    for attempt in range(20):
        found = container_mounts()
        if not found:
            return
        for path in found:
            # Late attempts let go of what a dead file server keeps busy; the folder below is then safe to delete.
            run(["umount", *(["--lazy"] if attempt >= 10 else []), path])
        if attempt:
            sleep(0.1)
    raise RuntimeLeftover("still mounted: %s" % ", ".join(found[:5]),
                          "reboot the node, then run again: nothing was deleted yet")


def delete_interfaces(run: Run) -> None:
    """Delete the interfaces of flannel and CNI."""
    for name in interfaces("/"):
        if os.path.exists("/sys/class/net/" + name):  # a veth goes with its peer
            run(["ip", "link", "delete", name])


def firewalls(run: Run, data_dir: str) -> List[Tuple[str, str]]:
    """Return the pairs of save and restore programs (the system's, else those of k3s) that know rules of ours."""
    search = os.environ.get("PATH", "") + _SYSTEM_PATH + ":" + ":".join(sorted(glob.glob(data_dir + "/data/*/bin/aux")))
    pairs: Dict[Tuple[str, str], Tuple[str, str]] = {}
    for family in _FAMILIES:
        for variant in ("", "-nft", "-legacy"):
            save = shutil.which("%s%s-save" % (family, variant), path=search)
            restore = shutil.which("%s%s-restore" % (family, variant), path=search)
            if save and restore:
                pairs.setdefault((family, os.path.realpath(save)), (save, restore))
    found = []
    for save, restore in pairs.values():
        rc, out, _err = run([save])
        if rc == 0 and iptables_rules.without_ours(out) != out:
            found.append((save, restore))
    return found


def clean_firewalls(run: Run, data_dir: str) -> None:
    """Take our rules out, with one atomic restore for each program, and delete kube-router's address sets.

    :raises RuntimeLeftover: a program refused.
    """
    for save, restore in firewalls(run, data_dir):
        rc, out, err = run([save, "-c"])
        if rc == 0:
            rc, _out, err = run([restore, "-c"], data=iptables_rules.without_ours(out))
        if rc != 0:
            raise RuntimeLeftover("%s: %s" % (os.path.basename(restore), err.strip()),
                                  "remove the rules by hand, or reboot the node, then run again")
    ipset = shutil.which("ipset", path=os.environ.get("PATH", "") + _SYSTEM_PATH)
    if ipset:
        for name in run([ipset, "list", "-name"])[1].split():
            if re.match(r"^(?:inet6:)?KUBE-", name):
                run([ipset, "destroy", name])
