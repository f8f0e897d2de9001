# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""All facts of a node in one look (schema 1), and what of it is not yet as wanted.

What is wanted is a dict: ``hostname`` ("" keeps the machine's), ``swap_state`` (disabled, kept), ``cgroups_required``,
``cgroups_kernel_args``. ``pending`` is computed by the same functions that the modules act by.
"""

from __future__ import annotations

import os
import platform
import time
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from ansible_collections.pideploy.k3s.plugins.module_utils import (
    bootfile,
    cmdline,
    etc_hosts,
    files,
    hostname,
    manifest,
    probe_k3s,
    probe_network,
    probe_system,
    swap,
)

__metaclass__ = type

SCHEMA = 1
Run = Callable[[List[str]], Tuple[int, str, str]]
CGROUPS_REQUIRED = ("cpu", "cpuset", "memory", "pids")
CGROUPS_KERNEL_ARGS = ("cgroup_enable=cpuset", "cgroup_memory=1", "cgroup_enable=memory")


def finding(level: str, code: str, message: str, hint: str = "") -> Dict[str, str]:
    """Return one finding: level (error, warning), code, what is wrong, what to do."""
    return {"level": level, "code": code, "message": message, "hint": hint}


def _output(run: Optional[Run], command: List[str]) -> str:
    if run is None:
        return ""
    rc, out, _err = run(command)
    return out if rc == 0 else ""


def _boot_facts(root: str, boot: bootfile.Boot) -> Dict[str, Any]:
    """Return the boot file's facts; ``writable`` is what the file system says, not a trial write."""
    writable = False
    if boot.file and not boot.error:
        place = os.path.dirname(files.below(root, boot.file))
        while not os.path.isdir(place):
            place = os.path.dirname(place)
        writable = os.access(place, os.W_OK) and not os.statvfs(place).f_flag & os.ST_RDONLY
    return {"layout": boot.layout, "file": boot.file, "also": list(boot.also), "writable": writable,
            "error": boot.error, "hint": boot.hint}


class _Cgroups:
    """What is to be done about missing controllers: edit the boot file, reboot, or nothing that would help."""

    def __init__(self, root: str, boot: bootfile.Boot, facts: Dict[str, Any], wanted: Dict[str, Any]) -> None:
        self.pending = False
        self.reboot = False
        self.findings: List[Dict[str, str]] = []
        missing = facts["cgroup"]["missing"]
        if not missing:
            return
        arguments = list(wanted["cgroups_kernel_args"])
        names = ", ".join(missing)
        helpless = [name for name in missing if not cmdline.can_enable(name, arguments, facts["kernel"]["cmdline"])]
        if helpless or cmdline.asked(facts["kernel"]["cmdline"], arguments):
            message = ("the kernel was started with %s and still has no cgroup controller %s"
                       % (" ".join(arguments), names))
            if helpless:
                message = "the kernel has no cgroup controller %s, and no argument brings it" % ", ".join(helpless)
            self.findings.append(finding("error", "cgroup_unavailable", message,
                                         "upgrade the kernel (%s), reboot, run again" % facts["kernel"]["release"]))
            return
        try:
            self.pending = bool(cmdline.plan(root, boot, arguments, wanted["cgroups_required"]))
        except cmdline.CmdlineError as exc:
            self.findings.append(finding("error", "boot_file", "cgroup controller %s is off, and %s" % (names, exc),
                                         exc.hint))
            return
        if boot.layout == "grub" and not self.pending:
            self.pending = cmdline.grub_is_stale(root, arguments)
        noted = facts["edited_boot"]
        if not self.pending and noted and noted not in ("", facts["boot_id"]):
            self.findings.append(finding(
                "error", "boot_file_not_read",
                "%s asks for %s, this machine has booted since, and its kernel did not get it (/proc/cmdline)"
                % (boot.file, " ".join(arguments)), "find out which file it boots from, and add the arguments there"))
            return
        self.reboot = not self.pending


def probe(root: str, wanted: Dict[str, Any], run: Optional[Run] = None) -> Dict[str, Any]:
    """Look at the node below ``root`` and return its facts. Changes nothing.

    ``run`` runs a program and returns rc, stdout, stderr; without it nothing is run. Three are: ``ip`` twice, and
    systemctl where there is a k3s unit.

    :raises manifest.ManifestError: pideploy's own note on the node cannot be read.
    """
    began = time.time()
    noted = manifest.load(root)
    boot = bootfile.locate(root)
    state = swap.detect(root)
    facts: Dict[str, Any] = {"schema": SCHEMA, "hostname": hostname.current(root)}
    facts.update(probe_system.ids(root))
    facts.update({
        "board": probe_system.board(root), "os": probe_system.operating_system(root),
        "arch": probe_system.architecture(root), "python": platform.python_version(),
        "kernel": probe_system.kernel(root), "memory_mb": probe_system.memory_mb(root),
        "cpus": probe_system.cpus(root), "volatile_root": probe_system.volatile_root(root),
        "cgroup": probe_system.cgroup(root, wanted["cgroups_required"]),
        "boot": _boot_facts(root, boot), "edited_boot": (noted.get("cmdline") or {}).get("boot_id", ""),
        "swap": {"active": [area._asdict() for area in state.active], "owner": swap.owner_names(state),
                 "enabled": state.enabled},
        "privileged": os.geteuid() == 0,
        "etc_hosts_block": etc_hosts.block(files.read_text(root, hostname.HOSTS) or ""),
    })
    facts["disks"] = probe_system.disks(
        root, list(dict.fromkeys(["/", "/var/lib/rancher", os.path.dirname(boot.file) or "/boot"])))
    facts.update(probe_network.probe(root, _output(run, ["ip", "-j", "addr"]),
                                     _output(run, ["ip", "-j", "-4", "route"])))
    facts["k3s"] = probe_k3s.probe(root, noted, run)
    facts["ports_busy"] = probe_network.ports_busy(root)
    _judge(root, boot, state, facts, noted, wanted)
    del facts["edited_boot"]
    now = time.time()
    facts["clock"] = {"epoch": now, "duration_s": round(now - began, 4), "offset_s": None, "error_s": None,
                      "ntp_synchronized": probe_system.ntp_synchronized(root)}
    return facts


def _judge(root: str, boot: bootfile.Boot, state: swap.State, facts: Dict[str, Any], noted: Dict[str, Any],
           wanted: Dict[str, Any]) -> None:
    """Add ``pending``, ``reboot_required``, ``changes`` and ``findings``."""
    pending: List[str] = []
    findings: List[Dict[str, str]] = []
    try:
        name = wanted["hostname"]
        if name and (hostname.plan(root, name) or facts["hostname"] != name):
            pending.append("hostname")
    except hostname.HostnameError as exc:
        findings.append(finding("error", "node_name", str(exc), "correct the name in the hostlist"))
    cgroups = _Cgroups(root, boot, facts, wanted)
    findings += cgroups.findings
    if cgroups.pending:
        pending.append("cgroups")
        if not facts["boot"]["writable"]:
            findings.append(finding("error", "read_only", "%s cannot be written" % boot.file,
                                    "mount its file system read-write (sudo mount -o remount,rw %s)"
                                    % os.path.dirname(boot.file)))
    if wanted["swap_state"] == "disabled" and (state.enabled or state.active):
        pending.append("swap")
    reasons = ["cgroups"] if cgroups.reboot else []
    if state.active and not state.enabled and (noted.get("swap") or {}).get("reboot_id") == facts["boot_id"] != "":
        reasons.append("swap")
    facts.update({"pending": pending, "reboot_required": bool(reasons), "reboot_reasons": reasons,
                  "changes": changes(noted), "findings": findings})


def changes(noted: Dict[str, Any]) -> List[Dict[str, str]]:
    """Return what the OS modules changed on this node and how to undo it: ``what`` and ``undo`` of each."""
    found: List[Dict[str, str]] = []
    for key in ("cmdline", "swap", "hostname"):
        for item in (noted.get(key) or {}).get("changes") or ():
            found.append({"what": str(item.get("what", "")), "undo": str(item.get("undo", ""))})
    return found


def wanted_from(params: Dict[str, Any]) -> Dict[str, Any]:
    """Return the wanted dict from a module's parameters."""
    names: Sequence[str] = ("hostname", "swap_state", "cgroups_required", "cgroups_kernel_args")
    return {name: params[name] for name in names}
