# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict over all nodes: what is wrong with one, and what is wrong between them. Pure; facts in, findings out."""

from __future__ import annotations

import re
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Sequence, Tuple

__metaclass__ = type

# Below these a board sold with 2 GB (Pi 4: 1.85 GB usable) or 512 MB is meant no more: the GPU takes its part.
SERVER_MEMORY_MB = 1700
AGENT_MEMORY_MB = 480
_KNOWN_OS = ("debian", "raspbian", "ubuntu")
_NODE_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*\Z")
_EXACT_VERSION = re.compile(r"v\d+\.\d+\.\d+")
_RESET = "take the host out of this cluster, or reset it first (pideploy reset)"


class Finding(NamedTuple):
    """One thing that is wrong: ``level`` error or warning, on which host, and what to do about it."""

    level: str
    host: str
    code: str
    message: str
    hint: str = ""


class Options(NamedTuple):
    """Limits: free space in MiB, clock difference in seconds; ``adopt`` takes over a foreign k3s."""

    min_free_mb: int = 1500
    max_clock_skew: float = 30.0
    adopt: bool = False


DEFAULTS = Options()
Facts = Mapping[str, Any]
# What each host is wanted to be: role (server, agent), node_name ("" = the machine's own), cluster, version,
# static_address ("" = any), node_ip ("" = the default route's).
Wanted = Mapping[str, Any]
Check = Callable[[Facts, Wanted, Options], Iterator[Tuple[str, str, str, str]]]


def node_name(facts: Facts, wanted: Wanted) -> str:
    """Return the name that the node will have in the cluster."""
    return str(wanted.get("node_name") or facts["hostname"].lower())


def node_address(facts: Facts, wanted: Wanted) -> str:
    """Return the address that the node will be reached by in the cluster; empty where it has none."""
    static = str(wanted.get("static_address") or "").partition("/")[0]
    return str(wanted.get("node_ip") or static or facts["default"]["address"] or "")


def _access(facts: Facts, wanted: Wanted, options: Options) -> Iterator[Tuple[str, str, str, str]]:
    if not facts["privileged"]:
        yield ("error", "not_privileged", "the task did not run as root",
               "give the sudo password (--ask-become-pass) or allow passwordless sudo")
    if tuple(int(n) for n in re.findall(r"\d+", facts["python"])[:2]) < (3, 9):
        yield ("warning", "python_too_old", "Python %s works only from a controller with ansible-core below 2.20"
               % facts["python"], "install a newer Python and set ansible_python_interpreter")


def _platform(facts: Facts, wanted: Wanted, options: Options) -> Iterator[Tuple[str, str, str, str]]:
    arch, name = facts["arch"], facts["board"]["model"] or facts["arch"]["machine"]
    if arch["k3s"] is None:
        what = "ARMv6" if arch["machine"].startswith("armv6") else "the architecture %s" % (arch["machine"] or "?")
        yield ("error", "unsupported_arch", "%s is %s, and k3s has no build for it" % (name, what),
               "use a Raspberry Pi 2 or later" if what == "ARMv6" else "use amd64, arm64 or ARMv7")
    elif arch["k3s"] == "armhf" and wanted["role"] == "server":
        yield ("error", "armhf_server", "%s runs a 32-bit kernel, and a k3s server needs 64 bits" % name,
               "install a 64-bit OS, or make this host an agent")
    elif arch["k3s"] == "armhf":
        yield ("warning", "armhf_agent", "%s runs a 32-bit kernel: few images exist for it" % name,
               "install a 64-bit OS where the board allows it (Pi 3 and later)")
    elif arch["userspace_bits"] == 32:
        yield ("warning", "userspace_32bit", "32-bit user space on a 64-bit kernel: k3s is %s" % arch["k3s"],
               "install the 64-bit OS")
    if facts["os"]["id"] not in _KNOWN_OS:
        yield ("warning", "unsupported_os", "%s was never tried"
               % (facts["os"]["pretty_name"] or facts["os"]["id"] or "this OS"),
               "use Raspberry Pi OS, Debian or Ubuntu")
    if facts["cgroup"]["version"] != "v2":
        yield ("warning", "cgroup_v1",
               "the kernel uses cgroup %s, which Kubernetes will drop" % facts["cgroup"]["version"],
               "upgrade the OS, or add systemd.unified_cgroup_hierarchy=1 to the kernel's command line")


def _resources(facts: Facts, wanted: Wanted, options: Options) -> Iterator[Tuple[str, str, str, str]]:
    limit, nominal, remedy = AGENT_MEMORY_MB, "512 MB for an agent", "use a bigger board, or expect pods to be killed"
    if wanted["role"] == "server":
        limit, nominal, remedy = SERVER_MEMORY_MB, "2 GB for a server", "let a bigger board be the server (servers:)"
    if facts["memory_mb"] < limit:
        yield ("warning", "low_memory", "%d MB of memory, and k3s wants %s" % (facts["memory_mb"], nominal), remedy)
    for disk in facts["disks"]:
        if disk["read_only"] and disk["path"] in ("/", "/var/lib/rancher"):
            yield ("error", "read_only", "the file system of %s is read-only" % disk["path"],
                   "check the card (dmesg), or turn the overlay file system off")
        elif (disk["path"] == "/var/lib/rancher" and disk["free_mb"] < options.min_free_mb
              and not facts["k3s"]["installed"]):
            yield ("error", "low_disk", "%d MB free for /var/lib/rancher, and %d MB are needed"
                   % (disk["free_mb"], options.min_free_mb),
                   "free some space, extend the root file system, or lower preflight_min_free_mb")
    if facts["volatile_root"]:
        yield ("error", "volatile_root", "the root file system forgets all changes at reboot (overlay)",
               "turn it off: sudo raspi-config nonint disable_overlayfs, then reboot")


def _clock(facts: Facts, wanted: Wanted, options: Options) -> Iterator[Tuple[str, str, str, str]]:
    offset, error = facts["clock"].get("offset_s"), facts["clock"].get("error_s") or 0.0
    if offset is not None and abs(offset) - error > options.max_clock_skew:
        yield ("error", "clock_skew", "the clock is %s %s the controller's"
               % (_duration(abs(offset)), "ahead of" if offset > 0 else "behind"),
               "set the time (sudo timedatectl set-ntp true, wait for 'System clock synchronized: yes')")


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * size:
            return "%.0f %s" % (seconds / size, unit)
    return "%.0f seconds" % seconds


def _network(facts: Facts, wanted: Wanted, options: Options) -> Iterator[Tuple[str, str, str, str]]:
    own = [address for item in facts["interfaces"] for address in item["addresses"]]
    plain = [address.partition("/")[0] for address in own]
    static = str(wanted.get("static_address") or "")
    if not facts["default"]["interface"]:
        yield ("error", "no_default_route", "no default route, and k3s does not start without one",
               "set a gateway; `ip route` must show a default")
    elif not node_address(facts, wanted):
        yield ("error", "address_missing", "no IPv4 address on %s" % facts["default"]["interface"],
               "give the interface an address")
    if static and static.partition("/")[0] not in plain:
        yield ("error", "address_missing", "the address %s is not on this host, which has %s"
               % (static, ", ".join(own) or "none"), "reserve it for this host on the DHCP server, then run again")
    node_ip = str(wanted.get("node_ip") or "")
    if node_ip and node_ip not in plain:
        yield ("error", "address_missing", "k3s_node_ip %s is not on this host, which has %s"
               % (node_ip, ", ".join(own) or "none"), "correct k3s_node_ip")
    for busy in facts["ports_busy"]:
        needed = ("6443", "2379", "2380") if wanted["role"] == "server" else ()
        if busy["port"] in (10250, 8472) or str(busy["port"]) in needed:
            yield ("error", "port_busy", "port %d/%s is used by %s"
                   % (busy["port"], busy["protocol"], busy["process"] or "another program"),
                   "stop it: k3s needs this port")


def _cluster(facts: Facts, wanted: Wanted, options: Options) -> Iterator[Tuple[str, str, str, str]]:
    k3s = facts["k3s"]
    if k3s["cluster"] and k3s["cluster"] != wanted["cluster"]:
        yield ("error", "other_cluster",
               "belongs to cluster '%s', not to '%s'" % (k3s["cluster"], wanted["cluster"]), _RESET)
        return
    if not k3s["installed"]:
        return
    if not k3s["managed"] and not options.adopt:
        yield ("error", "foreign_k3s", "runs a k3s %s that pideploy did not install" % (k3s["role"],),
               "take it over with preflight_adopt=true, or uninstall it first")
        return
    if k3s["role"] != wanted["role"]:
        yield ("error", "other_role", "is k3s %s and shall be %s" % (k3s["role"], wanted["role"]),
               "change servers:, or reset the host first (pideploy reset)")
    version = str(wanted.get("version") or "")
    if k3s["version"] and _EXACT_VERSION.match(version) and k3s["version"] != version:
        yield ("error", "version_differs", "runs k3s %s, and k3s_version says %s" % (k3s["version"], version),
               "a deploy never changes a node's version: set k3s_version to %s or to a channel" % k3s["version"])
    if k3s["node_name"] and wanted.get("node_name") and k3s["node_name"] != wanted["node_name"]:
        yield ("error", "other_node_name", "is node '%s' of its cluster and shall be '%s'"
               % (k3s["node_name"], wanted["node_name"]), "keep the name, or reset the host first (pideploy reset)")


# Findings that say that the spec means the wrong machines, so that nothing of it can be trusted.
_WRONG_MACHINES = ("same_machine", "other_cluster", "other_role", "foreign_k3s")
CHECKS: Sequence[Check] = (_access, _platform, _resources, _clock, _network, _cluster)


def _same(values: Iterable[Tuple[str, str]]) -> Dict[str, List[str]]:
    """Return value -> hosts, for values that more than one host has."""
    found: Dict[str, List[str]] = {}
    for host, value in values:
        if value:
            found.setdefault(value, []).append(host)
    return {value: hosts for value, hosts in found.items() if len(hosts) > 1}


def _others(host: str, hosts: Sequence[str]) -> str:
    rest = [name for name in hosts if name != host]
    shown = rest if len(rest) <= 6 else rest[:5]
    return ", ".join(shown) + (" and %d more" % (len(rest) - 5) if len(rest) > 6 else "")


def _between(facts: Mapping[str, Facts], wanted: Mapping[str, Wanted]) -> Iterator[Finding]:
    machines = _same((h, f["machine_id"] + f["boot_id"] if f["machine_id"] else "") for h, f in facts.items())
    twins = {host for hosts in machines.values() for host in hosts}
    for hosts in machines.values():
        for host in hosts:
            yield Finding("error", host, "same_machine", "is the same machine as %s" % _others(host, hosts),
                          "list each machine once")
    # One entry of a machine that is listed twice stands for it below: its name, MAC and address are no second mistake.
    single = {h: f for h, f in facts.items() if h not in twins}
    rules = (
        ("duplicate_machine_id", lambda h, f: f["machine_id"], "has the machine-id of %s: a cloned card",
         "sudo rm /etc/machine-id /var/lib/dbus/machine-id; sudo systemd-machine-id-setup; new SSH host keys; reboot"),
        ("duplicate_hostname", lambda h, f: node_name(f, wanted[h]), "has the same node name as %s",
         "give each host a name in the hostlist, and its address under connect:"),
        ("duplicate_mac", lambda h, f: _mac(f), "has the MAC address of %s", "give each its own MAC address"),
        ("duplicate_address", lambda h, f: node_address(f, wanted[h]), "has the address of %s",
         "set k3s_node_ip for each host: the nodes must reach each other by it"),
    )
    for code, value, text, hint in rules:
        for found, hosts in _same((h, value(h, f)) for h, f in single.items()).items():
            for host in hosts:
                yield Finding("error", host, code, "%s: %s" % (text % _others(host, hosts), found), hint)


def _mac(facts: Facts) -> str:
    return next((item["mac"] for item in facts["interfaces"] if item["name"] == facts["default"]["interface"]), "")


def _mixed(facts: Mapping[str, Facts]) -> Iterator[Finding]:
    kinds: Dict[bool, List[str]] = {True: [], False: []}
    for host, one in facts.items():
        for item in one["interfaces"]:
            if item["name"] == one["default"]["interface"]:
                kinds[item["wireless"]].append(host)
    if kinds[True] and kinds[False]:
        for host in kinds[True]:
            yield Finding("warning", host, "mixed_interfaces", "is on Wi-Fi while others are on cable",
                          "use the cable everywhere, or set k3s_node_ip and k3s_flannel_iface")


def _authorities(facts: Mapping[str, Facts], wanted: Mapping[str, Wanted]) -> Iterator[Finding]:
    """A node whose CA is not the server's belongs to another cluster, whatever it is called."""
    servers = [f["k3s"]["ca_hash"] for h, f in facts.items() if wanted[h]["role"] == "server" and f["k3s"]["installed"]]
    ours = servers[0] if servers else None
    for host, one in facts.items():
        theirs = one["k3s"]["ca_hash"] if one["k3s"]["installed"] else None
        if ours and theirs and theirs != ours:
            yield Finding("error", host, "other_cluster", "belongs to another cluster: its CA is not this server's (%s)"
                          % (one["k3s"]["server_url"] or theirs[:12]), _RESET)


def judge(
    facts: Mapping[str, Facts], wanted: Mapping[str, Wanted], options: Options = DEFAULTS
) -> List[Finding]:
    """Return all findings over hosts with facts, errors first, else in the order of the hosts."""
    findings: List[Finding] = []
    for host, one in facts.items():
        for check in CHECKS:
            findings += [Finding(level, host, code, message, hint)
                         for level, code, message, hint in check(one, wanted[host], options)]
        name = node_name(one, wanted[host])
        if not _NODE_NAME.match(name):
            findings.append(Finding("error", host, "node_name", "'%s' cannot be a node's name" % name,
                                    "use lower-case letters, digits and '-'; name the host in the hostlist"))
        findings += [Finding(f["level"], host, f["code"], f["message"], f["hint"]) for f in one["findings"]]
    findings += _between(facts, wanted)
    findings += _authorities(facts, wanted)
    findings += _mixed(facts)
    unique = list(dict.fromkeys(findings))
    return sorted(unique, key=lambda finding: finding.level != "error")


def warning_lines(findings: Sequence[Finding]) -> List[str]:
    """Return the warnings, one line for each kind with all its hosts first."""
    kinds: Dict[Tuple[str, str], List[str]] = {}
    for finding in findings:
        if finding.level == "warning":
            kinds.setdefault((finding.message, finding.hint), []).append(finding.host)
    return ["%s: %s%s" % (_others("", hosts), message, " (%s)" % hint if hint else "")
            for (message, hint), hosts in kinds.items()]


def stopping_hosts(findings: Sequence[Finding], servers: Sequence[str]) -> List[str]:
    """Return the hosts whose errors stop the run for all: without its servers a cluster cannot be made, and a spec that
    names the wrong machines must not change any."""
    errors = [f for f in findings if f.level == "error"]
    return list(dict.fromkeys(f.host for f in errors if f.host in servers or f.code in _WRONG_MACHINES))


def failed_hosts(findings: Sequence[Finding]) -> Dict[str, List[str]]:
    """Return host -> its errors, one line each with the remedy."""
    failed: Dict[str, List[str]] = {}
    for finding in findings:
        if finding.level == "error":
            hint = " (%s)" % finding.hint if finding.hint else ""
            failed.setdefault(finding.host, []).append(finding.message + hint)
    return failed
