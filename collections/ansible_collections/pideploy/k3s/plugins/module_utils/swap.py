# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Swap: who turns it on at boot (the owner), and how to turn it off now, for good, and back on.

Owners differ by OS and none of them looks at the others: dphys-swapfile (Raspberry Pi OS up to bookworm), rpi-swap
(from trixie), zram-generator, the services zram-config, zramswap and nvzramconfig (Jetson), fstab, swap units, and
systemd's search for swap partitions. Everything here works on files below a root; what has to be run on a live machine
(units to stop, areas to switch off) is only named.
"""

from __future__ import annotations

import glob
import os
import re
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.pideploy.k3s.plugins.module_utils import files
from ansible_collections.pideploy.k3s.plugins.module_utils.edits import Edit, Link

__metaclass__ = type

MARK = "# disabled by pideploy: "
RPI_SWAP_DROPIN = "/etc/rpi/swap.conf.d/99-pideploy.conf"
_RPI_SWAP_OFF = "# Written by pideploy. Delete this file and reboot to have swap again.\n[Main]\nMechanism=none\n"
_RPI_SWAP_GENERATOR = "/usr/lib/systemd/system-generators/rpi-swap-generator"
_RPI_SWAP_CONFIG = "/etc/rpi/swap.conf"
ZRAM_CONFIG = "/etc/systemd/zram-generator.conf"
_ZRAM_FOLDERS = ("/usr/lib/systemd", "/usr/local/lib/systemd", "/run/systemd", "/etc/systemd")
_ZRAM_GENERATORS = ("/usr/lib/systemd/system-generators/zram-generator",
                    "/lib/systemd/system-generators/zram-generator")
_ZRAM_OFF = "# Written by pideploy: an empty file here switches the vendor's off. Delete it and reboot to undo.\n"
# Owners that are a systemd service: owner -> unit.
SERVICES = {
    "dphys-swapfile": "dphys-swapfile.service",
    "zram-config": "zram-config.service",
    "zram-tools": "zramswap.service",
    "nvzramconfig": "nvzramconfig.service",
}
_UNITS = "/etc/systemd/system"
_GENERATED = "/run/systemd/generator"


class Area(NamedTuple):
    """A line of ``/proc/swaps``: device or file, its type, its size and what is used of it, in KiB."""

    name: str
    type: str
    size_kb: int
    used_kb: int = 0


class Owner(NamedTuple):
    """One program that would turn swap on at the next boot.

    ``edits`` and ``links`` turn it off for good; ``stop`` names the units to stop now; ``undo`` says how to have it
    back, in one sentence.
    """

    name: str
    undo: str
    edits: Tuple[Edit, ...] = ()
    links: Tuple[Link, ...] = ()
    stop: Tuple[str, ...] = ()


class State(NamedTuple):
    """All of it: the areas in use now, and the owners that would bring swap back at boot."""

    active: Tuple[Area, ...]
    owners: Tuple[Owner, ...]

    @property
    def enabled(self) -> bool:
        """Whether swap would come back at boot."""
        return bool(self.owners)


def active(root: str = "/") -> Tuple[Area, ...]:
    """Return the swap areas in use, from ``/proc/swaps``."""
    areas = []
    for line in (files.read_text(root, "/proc/swaps") or "").splitlines()[1:]:
        fields = line.split()
        if len(fields) >= 4:
            name = re.sub(r"\\([0-7]{3})", lambda m: chr(int(m.group(1), 8)), fields[0])
            size, used = (int(field) if field.isdigit() else 0 for field in fields[2:4])
            areas.append(Area(name, fields[1], size, used))
    return tuple(areas)


def _exists(root: str, path: str) -> bool:
    return os.path.lexists(files.below(root, path))


def _names(root: str, pattern: str) -> List[str]:
    """Return the paths, as the node sees them, that match a pattern below the root."""
    cut = 0 if root in ("", "/") else len(root.rstrip("/"))
    return sorted(path[cut:] for path in glob.glob(files.below(root, pattern)))


def _masked(root: str, unit: str) -> bool:
    path = files.below(root, _UNITS + "/" + unit)
    return os.path.islink(path) and os.readlink(path) == "/dev/null"


def _wants(root: str, unit: str) -> List[str]:
    return _names(root, "%s/*.wants/%s" % (_UNITS, glob.escape(unit)))


def _settings(text: str) -> Dict[str, Dict[str, str]]:
    """Parse a systemd-style file: section -> key -> last value."""
    found: Dict[str, Dict[str, str]] = {}
    section: Dict[str, str] = {}
    for line in text.splitlines():
        line = line.strip()
        header = re.match(r"\[(.+)\]$", line)
        if header:
            section = found.setdefault(header.group(1), {})
        elif line and line[0] not in "#;" and "=" in line:
            key, _equals, value = line.partition("=")
            section[key.strip().lower()] = value.strip()
    return found


def _rpi_swap(root: str) -> Optional[Owner]:
    mechanism = ""
    for path in [_RPI_SWAP_CONFIG, *_names(root, _RPI_SWAP_CONFIG + ".d/*.conf")]:
        main = _settings(files.read_text(root, path) or "").get("Main", {})
        mechanism = main.get("mechanism", mechanism)
    if mechanism.lower() == "none":
        return None
    edit = Edit(RPI_SWAP_DROPIN, files.read_text(root, RPI_SWAP_DROPIN), _RPI_SWAP_OFF)
    return Owner("rpi-swap", "delete %s and reboot" % RPI_SWAP_DROPIN, edits=(edit,),
                 stop=("rpi-zram-writeback.timer", "dev-zram0.swap"))


def _zram_files(root: str) -> Tuple[str, List[str]]:
    """Return zram-generator's main file (the one that counts) and its drop-ins in the order they are read."""
    main = ""
    dropins: Dict[str, str] = {}
    for folder in _ZRAM_FOLDERS:  # the later folder wins, by file name
        if _exists(root, folder + "/zram-generator.conf"):
            main = folder + "/zram-generator.conf"
        for path in _names(root, folder + "/zram-generator.conf.d/*.conf"):
            dropins[os.path.basename(path)] = path
    return main, [dropins[name] for name in sorted(dropins)]


def _swap_devices(settings: Dict[str, Dict[str, str]]) -> List[str]:
    found = []
    for name, keys in settings.items():
        off = (not name.startswith("zram") or keys.get("mount-point") or keys.get("zram-size") == "0"
               or keys.get("host-memory-limit") == "0" or keys.get("fs-type", "swap") != "swap")
        if not off:
            found.append(name)
    return found


def _zram_generator(root: str) -> Optional[Owner]:
    if not any(_exists(root, path) for path in _ZRAM_GENERATORS):
        return None
    if re.search(r"(^|\s)systemd\.zram=(0|no|off|false)(\s|$)", files.read_text(root, "/proc/cmdline") or ""):
        return None
    main, dropins = _zram_files(root)
    merged: Dict[str, Dict[str, str]] = {}
    for path in ([main] if main else []) + dropins:
        for section, keys in _settings(files.read_text(root, path) or "").items():
            merged.setdefault(section, {}).update(keys)
    devices = _swap_devices(merged)
    if not devices:
        return None
    edits = []
    for path in [main or ZRAM_CONFIG, *dropins]:
        keys = _settings(files.read_text(root, path) or "")
        if path != (main or ZRAM_CONFIG) and not any(name in keys for name in devices):
            continue
        own = "/etc/systemd/" + path.split("/systemd/", 1)[1]
        edits.append(Edit(own, files.read_text(root, own), _ZRAM_OFF))
    return Owner("zram-generator", "delete %s (or put its backup back) and reboot" % ", ".join(e.path for e in edits),
                 edits=tuple(edits), stop=tuple("dev-%s.swap" % name for name in devices))


def _service(root: str, name: str, unit: str) -> Optional[Owner]:
    links = _wants(root, unit)
    if not links or _masked(root, unit):
        return None
    if name == "dphys-swapfile":
        config = files.read_text(root, "/etc/dphys-swapfile") or ""
        if re.search(r"^\s*CONF_SWAPSIZE=[\"']?0[\"']?\s*$", config, re.MULTILINE):
            return None
    return Owner(name, "run systemctl enable --now %s" % unit, links=tuple(Link(path, None) for path in links),
                 stop=(unit,))


def _fstab(root: str) -> Optional[Owner]:
    before = files.read_text(root, "/etc/fstab")
    if before is None:
        return None
    lines = before.splitlines(keepends=True)
    for index, line in enumerate(lines):
        fields = line.split()
        options = fields[3].split(",") if len(fields) > 3 else []
        if fields[2:3] == ["swap"] and not fields[0].startswith("#") and "noauto" not in options:
            lines[index] = MARK + line
    after = "".join(lines)
    if after == before:
        return None
    return Owner("fstab", "take '%s' off the line in /etc/fstab and run swapon -a" % MARK.strip(),
                 edits=(Edit("/etc/fstab", before, after),))


def _units(root: str) -> Optional[Owner]:
    """Swap units that somebody enabled by hand."""
    links = [path for path in _names(root, _UNITS + "/*.wants/*.swap") + _names(root, _UNITS + "/*.requires/*.swap")
             if not _masked(root, os.path.basename(path))]
    if not links:
        return None
    units = sorted({os.path.basename(path) for path in links})
    return Owner("systemd", "run systemctl enable --now %s" % " ".join(units),
                 links=tuple(Link(path, None) for path in links), stop=tuple(units))


def _partitions(root: str) -> Optional[Owner]:
    """Swap partitions that systemd finds by their GPT type, without any configuration."""
    units = []
    for folder in (_GENERATED, _GENERATED + ".late"):
        for path in _names(root, folder + "/*.swap"):
            name = os.path.basename(path)
            if "gpt-auto" in (files.read_text(root, path) or "") and not _masked(root, name):
                units.append(name)
    if not units:
        return None
    return Owner("gpt-auto", "run systemctl unmask %s and reboot" % " ".join(units),
                 links=tuple(Link("%s/%s" % (_UNITS, name), "/dev/null") for name in units), stop=tuple(units))


def detect(root: str = "/") -> State:
    """Find the areas in use and every owner that would turn swap on at the next boot. Reads only."""
    owners: List[Optional[Owner]] = []
    if _exists(root, _RPI_SWAP_GENERATOR):
        # rpi-swap drives zram-generator through files of its own; Mechanism=none switches both off.
        owners.append(_rpi_swap(root))
    else:
        # A removed rpi-swap leaves its configuration behind, and zram-generator's own default takes over
        # (raspberrypi/rpi-swap#4).
        zram = _zram_generator(root)
        owners.append(_rpi_swap(root) if zram is None and _exists(root, _RPI_SWAP_CONFIG) else zram)
    owners += [_service(root, name, unit) for name, unit in sorted(SERVICES.items())]
    owners += [_fstab(root), _units(root), _partitions(root)]
    return State(active(root), tuple(owner for owner in owners if owner is not None))


def owner_names(state: State) -> str:
    """Return the owners in one word for people: ``fstab``, ``fstab, rpi-swap``, ``manual`` or ``none``."""
    names = ", ".join(owner.name for owner in state.owners)
    return names or ("manual" if state.active else "none")


def fits_into_memory(root: str, areas: Sequence[Area]) -> bool:
    """Whether what is swapped out fits into the free memory: else switching off would kill programs."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB", files.read_text(root, "/proc/meminfo") or "", re.MULTILINE)
    used = sum(area.used_kb for area in areas)
    return used == 0 or found is None or used < int(found.group(1))


def units_to_stop(state: State) -> Sequence[str]:
    """Return all units that have to stop so that no area comes back before the next boot."""
    return list(dict.fromkeys(unit for owner in state.owners for unit in owner.stop))
