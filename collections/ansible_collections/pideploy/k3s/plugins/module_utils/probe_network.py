# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node's interfaces, its default route, and who holds the ports that k3s needs."""

from __future__ import annotations

import glob
import json
import os
import re
from typing import Any, Dict, List, Optional, Sequence, Tuple

from ansible_collections.pideploy.k3s.plugins.module_utils import files

__metaclass__ = type

# Ports of k3s (docs.k3s.io, installation/requirements): API, kubelet, etcd, flannel's vxlan.
PORTS = (("tcp", 6443), ("tcp", 10250), ("tcp", 2379), ("tcp", 2380), ("udp", 8472))
_LISTEN = {"tcp": "0A", "udp": "07"}
_K3S_UNIT = re.compile(r"/k3s(-agent)?\.service(/|$)", re.MULTILINE)


def _json(text: str) -> List[Dict[str, Any]]:
    try:
        data = json.loads(text or "[]")
    except ValueError:
        return []
    return [item for item in data if isinstance(item, dict)] if isinstance(data, list) else []


def default_route(routes: str) -> Dict[str, Optional[str]]:
    """Return the interface and gateway of the IPv4 default route with the lowest metric, from ``ip -j -4 route``."""
    defaults = [item for item in _json(routes) if item.get("dst") == "default" and item.get("dev")]
    if not defaults:
        return {"interface": None, "gateway": None}
    best = min(defaults, key=lambda item: int(item.get("metric") or 0))
    return {"interface": best["dev"], "gateway": best.get("gateway")}


def _real(root: str, name: str) -> bool:
    return os.path.exists(files.below(root, "/sys/class/net/%s/device" % name))


def _wireless(root: str, name: str) -> bool:
    folder = "/sys/class/net/%s/" % name
    return any(os.path.lexists(files.below(root, folder + entry)) for entry in ("wireless", "phy80211"))


def interfaces(root: str, addresses: str, default_interface: Optional[str]) -> List[Dict[str, Any]]:
    """Return the interfaces from ``ip -j addr``, without the loopback.

    ``virtual`` are those without hardware behind them (bridges, tunnels, veth, of containers mostly), but never the one
    with the default route: that one carries the node's traffic whatever it is. Link-local addresses are left out.
    """
    found = []
    for item in _json(addresses):
        name = item.get("ifname", "")
        if not name or "LOOPBACK" in (item.get("flags") or ()):
            continue
        own = ["%s/%s" % (a.get("local"), a.get("prefixlen")) for a in item.get("addr_info") or ()
               if a.get("local") and a.get("scope") != "link"]
        found.append({"name": name, "mac": item.get("address", ""), "addresses": own,
                      "wireless": _wireless(root, name),
                      "virtual": name != default_interface and not _real(root, name)})
    return found


def probe(root: str, addresses: str, routes: str) -> Dict[str, Any]:
    """Return ``interfaces`` and ``default`` {interface, address, gateway} from ``ip -j addr`` and ``ip -j route``."""
    route = default_route(routes)
    found = interfaces(root, addresses, route["interface"])
    address = None
    for item in found:
        if item["name"] == route["interface"]:
            ipv4 = [a.partition("/")[0] for a in item["addresses"] if ":" not in a]
            address = ipv4[0] if ipv4 else None
    return {"interfaces": found,
            "default": {"interface": route["interface"], "address": address, "gateway": route["gateway"]}}


def _sockets(root: str, protocol: str) -> List[Tuple[int, str]]:
    """Return (port, inode) of the listening sockets of one protocol, IPv4 and IPv6."""
    found = []
    for name in (protocol, protocol + "6"):
        for line in (files.read_text(root, "/proc/net/" + name) or "").splitlines()[1:]:
            fields = line.split()
            if len(fields) > 9 and fields[3] == _LISTEN[protocol]:
                found.append((int(fields[1].rpartition(":")[2], 16), fields[9]))
    return found


def _holders(root: str, inodes: Sequence[str]) -> Dict[str, Tuple[str, bool]]:
    """Return inode -> (process name, whether it belongs to a k3s unit), looking through all processes' open files."""
    wanted = {"socket:[%s]" % inode: inode for inode in inodes}
    found: Dict[str, Tuple[str, bool]] = {}
    for folder in glob.iglob(files.below(root, "/proc/[0-9]*/fd")):
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        for name in names:
            try:
                inode = wanted.get(os.readlink(os.path.join(folder, name)))
            except OSError:
                continue
            if inode and inode not in found:
                process = os.path.dirname(folder)
                comm = (files.read_text("/", process + "/comm") or "").strip()
                unit = files.read_text("/", process + "/cgroup") or ""
                found[inode] = (comm, bool(_K3S_UNIT.search(unit)))
        if len(found) == len(wanted):
            break
    return found


def ports_busy(root: str = "/", ports: Sequence[Tuple[str, int]] = PORTS) -> List[Dict[str, Any]]:
    """Return the ports of k3s that something else listens on: port, protocol, process ("kernel": none has it open).

    Ports held by a k3s unit's processes do not count, nor does the vxlan of flannel, which the kernel holds itself.
    """
    flannel = os.path.exists(files.below(root, "/sys/class/net/flannel.1"))
    sockets = {protocol: _sockets(root, protocol) for protocol in {protocol for protocol, _port in ports}}
    used = {}
    for protocol, port in ports:
        inodes = [inode for number, inode in sockets[protocol] if number == port]
        if inodes and not (protocol == "udp" and flannel):
            used[protocol, port] = inodes
    # One look through all processes: it is the dearest part of it on a node that runs k3s.
    holders = _holders(root, [inode for inodes in used.values() for inode in inodes]) if used else {}
    busy = []
    for (protocol, port), inodes in used.items():
        found = [holders[inode] for inode in inodes if inode in holders]
        others = [comm for comm, is_k3s in found if not is_k3s]
        # No process has it open: a socket of the kernel, such as a vxlan's.
        if others or not found:
            busy.append({"port": port, "protocol": protocol, "process": others[0] if others else "kernel"})
    return busy
