# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node is: board, OS, architecture, kernel, cgroups, memory, disks, ids. Files only, no program is run."""

from __future__ import annotations

import ctypes
import os
import re
import struct
import sys
from typing import Any, Dict, List, Optional, Sequence

from ansible_collections.pideploy.k3s.plugins.module_utils import bootfile, files

__metaclass__ = type

_DPKG = {"x86_64-linux-gnu": "amd64", "aarch64-linux-gnu": "arm64", "arm-linux-gnueabihf": "armhf",
         "arm-linux-gnueabi": "armel", "i386-linux-gnu": "i386", "riscv64-linux-gnu": "riscv64"}
_BITS = {"amd64": 64, "arm64": 64, "riscv64": 64, "armhf": 32, "armel": 32, "i386": 32}
# uname -m -> the name of k3s's build. armv8l is a 64-bit kernel seen by a 32-bit process; ARMv6 has no build.
_K3S = {"x86_64": "amd64", "aarch64": "arm64", "armv8l": "arm64", "armv7l": "armhf"}
_CPUS_SECTION = re.compile(r"^processor\s*:", re.MULTILINE)


def _line(root: str, path: str) -> str:
    return (files.read_text(root, path) or "").strip()


def ids(root: str = "/") -> Dict[str, str]:
    """Return ``machine_id`` (the installed system) and ``boot_id`` (this boot); empty where there is none."""
    return {"machine_id": _line(root, "/etc/machine-id"), "boot_id": _line(root, "/proc/sys/kernel/random/boot_id")}


def board(root: str = "/") -> Dict[str, str]:
    """Return the model and its family: pi, jetson, x86 or other."""
    model = bootfile.model(root)
    if "Raspberry Pi" in model:
        return {"model": model, "family": "pi"}
    if bootfile.is_jetson(root):
        return {"model": model, "family": "jetson"}
    if machine(root) in ("x86_64", "i686"):
        vendor, product = (_line(root, "/sys/class/dmi/id/" + name) for name in ("sys_vendor", "product_name"))
        return {"model": model or " ".join(word for word in (vendor, product) if word), "family": "x86"}
    return {"model": model, "family": "other"}


def operating_system(root: str = "/") -> Dict[str, Any]:
    """Return ``/etc/os-release``'s id, version_id, codename, pretty_name, and whether it is Raspberry Pi OS.

    os-release says debian on 64-bit Raspberry Pi OS; its image alone writes ``/etc/rpi-issue``.
    """
    values: Dict[str, str] = {}
    text = files.read_text(root, "/etc/os-release") or files.read_text(root, "/usr/lib/os-release") or ""
    for key, value in re.findall(r"^([A-Z_]+)=(.*)$", text, re.MULTILINE):
        values[key] = value.strip().strip("\"'")
    return {"id": values.get("ID", ""), "version_id": values.get("VERSION_ID", ""),
            "codename": values.get("VERSION_CODENAME", ""), "pretty_name": values.get("PRETTY_NAME", ""),
            "pi_os": files.read_bytes(root, "/etc/rpi-issue") is not None}


def machine(root: str = "/") -> str:
    """Return ``uname -m`` (below another root ``/proc/sys/kernel/arch`` there)."""
    return os.uname().machine if root == "/" else _line(root, "/proc/sys/kernel/arch")


def _dpkg_architecture(root: str) -> str:
    first = _line(root, "/var/lib/dpkg/arch").splitlines()
    if first:
        return first[0].strip()
    if root == "/":
        return _DPKG.get(getattr(sys.implementation, "_multiarch", ""), "")
    return ""


def architecture(root: str = "/") -> Dict[str, Any]:
    """Return the kernel's machine, the user space's bits, dpkg's architecture, and k3s's build for it (or None).

    A 32-bit Raspberry Pi OS on a Pi 4 runs a 64-bit kernel: there k3s's arm64 build runs, in its own containers.
    """
    kernel, dpkg = machine(root), _dpkg_architecture(root)
    bits = _BITS.get(dpkg) or (struct.calcsize("P") * 8 if root == "/" else 64)
    return {"machine": kernel, "userspace_bits": bits, "dpkg": dpkg, "k3s": _K3S.get(kernel)}


def kernel(root: str = "/") -> Dict[str, Any]:
    """Return the release, the command line that this boot was started with, and the page size in bytes."""
    release = os.uname().release if root == "/" else _line(root, "/proc/sys/kernel/osrelease")
    page = os.sysconf("SC_PAGE_SIZE") if root == "/" else (16384 if release.endswith("-2712") else 4096)
    return {"release": release, "cmdline": _line(root, "/proc/cmdline"), "page_size": page}


def memory_mb(root: str = "/") -> int:
    """Return the memory that Linux can use, in MiB: less than the board has, as the GPU takes its part first."""
    found = re.search(r"^MemTotal:\s+(\d+) kB", files.read_text(root, "/proc/meminfo") or "", re.MULTILINE)
    return int(found.group(1)) // 1024 if found else 0


def cpus(root: str = "/") -> int:
    """Return the number of processors."""
    if root == "/":
        return os.cpu_count() or 1
    return max(1, len(_CPUS_SECTION.findall(files.read_text(root, "/proc/cpuinfo") or "")))


def cgroup(root: str = "/", required: Sequence[str] = ()) -> Dict[str, Any]:
    """Return the version (v1, v2, hybrid), the controllers that the kernel offers, and the required ones it lacks.

    On v2 only ``cgroup.controllers`` counts: from 6.12 on ``/proc/cgroups`` does not list memory even where it works
    (raspberrypi/linux#6980). On v1 and hybrid the controllers are v1's: ``/proc/cgroups``, column enabled.
    """
    mounted = bootfile.mounts(root)
    if mounted.get("/sys/fs/cgroup") == "cgroup2":
        version = "v2"
        controllers = _line(root, "/sys/fs/cgroup/cgroup.controllers").split()
    else:
        version = "hybrid" if mounted.get("/sys/fs/cgroup/unified") == "cgroup2" else "v1"
        rows = [line.split() for line in (files.read_text(root, "/proc/cgroups") or "").splitlines()]
        controllers = [row[0] for row in rows if len(row) == 4 and row[3] == "1"]
    return {"version": version, "controllers": sorted(controllers),
            "missing": [name for name in required if name not in controllers]}


def _nearest(path: str) -> str:
    while path not in ("/", "") and not os.path.exists(path):
        path = os.path.dirname(path)
    return path or "/"


def disks(root: str, paths: Sequence[str]) -> List[Dict[str, Any]]:
    """Return for each path its file system's free and total space in MiB, and whether it is read-only.

    A path that does not exist yet stands for its nearest parent.
    """
    found = []
    for path in paths:
        status = os.statvfs(_nearest(files.below(root, path)))
        found.append({"path": path, "free_mb": status.f_bavail * status.f_frsize >> 20,
                      "total_mb": status.f_blocks * status.f_frsize >> 20,
                      "read_only": bool(status.f_flag & os.ST_RDONLY)})
    return found


def volatile_root(root: str = "/") -> bool:
    """Whether the root file system forgets all changes at reboot (raspi-config's overlay file system, overlayroot)."""
    words = _line(root, "/proc/cmdline").split()
    return "boot=overlay" in words or any(w.startswith("overlayroot=") and w != "overlayroot=disabled" for w in words)


class _Timex(ctypes.Structure):
    """The head of ``struct timex``; adjtimex(2) writes 208 bytes at most."""

    _fields_ = [("modes", ctypes.c_uint), ("offset", ctypes.c_long), ("freq", ctypes.c_long),
                ("maxerror", ctypes.c_long), ("esterror", ctypes.c_long), ("rest", ctypes.c_char * 512)]


def ntp_synchronized(root: str = "/") -> Optional[bool]:
    """Return whether something keeps the clock right, by the rule of timedatectl: maximum error below 16 s.

    None where the kernel does not tell.
    """
    if root != "/":
        return None
    timex = _Timex()
    try:
        if ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex)) < 0:
            return None
    except (OSError, AttributeError):
        return None
    return timex.maxerror < 16000000
