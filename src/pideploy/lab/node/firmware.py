#!/usr/bin/python3
# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""What firmware and kernel do before systemd starts, for a virtual Pi: process 1 runs this before it becomes systemd.

Reads the *live* boot file of this flavour as the firmware would, and makes the kernel's own files say what they would
say after such a boot: ``/proc/cmdline``, the boot id, the memory controller, swap, the device tree.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

LAB = Path("/usr/lib/pideploy-lab")
RUN = Path("/run/pideploy-lab")
SWAPS_HEADER = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"


def live_pi_file(boot: Path, board: str) -> Path:
    """Return the command line file that a Pi's firmware reads: ``os_prefix`` and ``cmdline`` of config.txt decide.

    Sections count as the firmware counts them: ``[all]``, ``[none]``, the board's own, and never ``[tryboot]``.
    """
    prefix, name, applies = "", "cmdline.txt", True
    config = boot / "config.txt"
    for line in config.read_text().splitlines() if config.exists() else []:
        line = line.strip()
        section = re.fullmatch(r"\[(.+)\]", line)
        if section:
            applies = section.group(1) in ("all", board)
        elif applies and line.startswith("os_prefix="):
            prefix = line.partition("=")[2].strip()
        elif applies and line.startswith("cmdline="):
            name = line.partition("=")[2].strip()
    return boot / (prefix + name)


def extlinux_append(text: str) -> str:
    """Return the APPEND line of the label that extlinux.conf names as DEFAULT (the first label when it names none)."""
    wanted = re.search(r"(?im)^\s*DEFAULT\s+(\S+)", text)
    for block in re.split(r"(?im)^\s*LABEL\s+", text)[1:]:
        append = re.search(r"(?im)^\s*APPEND\s+(.*)$", block)
        if append and (wanted is None or block.split()[0] == wanted.group(1)):
            return append.group(1).replace("${cbootargs}", "").strip()
    return ""


def grub_linux(text: str) -> str:
    """Return the arguments of the first ``linux`` line in grub.cfg."""
    found = re.search(r"(?m)^\s*linux\s+\S+\s*(.*)$", text)
    return found.group(1).strip() if found else ""


def command_line(flavour: dict[str, Any], root: Path = Path("/")) -> str:
    """Return what the kernel gets: what the firmware injects, then the boot file's own words."""
    kind = flavour["boot"]
    if kind == "pi":
        boot = next((b for b in (root / "boot/firmware", root / "boot") if (b / "config.txt").exists()), root / "boot")
        live = live_pi_file(boot, flavour["board"])
        # Text after the first line is lost on a Pi.
        own = (live.read_text().splitlines() or [""])[0] if live.exists() else ""
    elif kind == "extlinux":
        own = extlinux_append((root / "boot/extlinux/extlinux.conf").read_text())
    else:
        own = "BOOT_IMAGE=/boot/vmlinuz " + grub_linux((root / "boot/grub/grub.cfg").read_text())
    return f"{flavour['firmware_words']} {own}".strip()


def memory_controller_on(cmdline: str) -> bool:
    """Tell whether the kernel offers the memory controller: the last word about it wins."""
    on = True
    for word in cmdline.split():
        name, _, value = word.partition("=")
        if name in ("cgroup_disable", "cgroup_enable") and "memory" in value.split(","):
            on = name == "cgroup_enable"
    return on


def without_memory(cgroups: str) -> str:
    """Return /proc/cgroups with the memory controller disabled."""
    return re.sub(r"(?m)^(memory\t\d+\t\d+\t)1$", r"\g<1>0", cgroups)


def run(*argv: str, stdin: str | None = None) -> None:
    subprocess.run(argv, input=stdin, text=True, check=True)


def show(name: str, text: str, over: str, mode: int = 0o444) -> None:
    """Put ``text`` over a file of the kernel's."""
    source = RUN / name
    source.write_text(text)
    source.chmod(mode)
    run("mount", "--bind", str(source), over)


def write(path: str, text: str) -> None:
    """Write a file of this machine's own; what an engine mounted there left another mode behind."""
    Path(path).write_text(text)
    Path(path).chmod(0o644)


def own_files(flavour: dict[str, Any], first: bool) -> None:
    """Replace the files that the container engine mounts by real ones, as on a disk: rename over them must work."""
    nameservers = Path("/etc/resolv.conf").read_text() if Path("/etc/resolv.conf").exists() else ""
    mounted = {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    for path in ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf"):
        if path in mounted:
            run("umount", path)
    # As DHCP does at each boot; a link to a manager's file is left alone.
    if not Path("/etc/resolv.conf").is_symlink():
        write("/etc/resolv.conf", nameservers)
    if first:
        name = flavour["hostname"]
        write("/etc/hostname", f"{name}\n")
        write(
            "/etc/hosts",
            "127.0.0.1\tlocalhost\n::1\t\tlocalhost ip6-localhost ip6-loopback\n"
            f"ff02::1\t\tip6-allnodes\nff02::2\t\tip6-allrouters\n\n127.0.1.1\t{name}\n",
        )


def first_boot(flavour: dict[str, Any]) -> None:
    """What an image creator sets on the card: key, password, sudo; and what a first boot makes: host keys."""
    user = flavour["user"]
    keys = Path(f"/home/{user}/.ssh/authorized_keys")
    keys.write_text(os.environ["PIDEPLOY_LAB_KEY"] + "\n")
    keys.chmod(0o600)
    os.chown(keys, 1000, 1000)
    run("chpasswd", stdin=f"{user}:{os.environ['PIDEPLOY_LAB_PASSWORD']}\n")
    if os.environ["PIDEPLOY_LAB_SUDO"] == "password":
        Path("/etc/sudoers.d", flavour["sudoers"]).unlink()
    # One key a machine: sshd skips the kinds that it does not find, and RSA keys for 50 machines take a minute.
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", "/etc/ssh/ssh_host_ed25519_key")
    for area, megabytes in flavour.get("swap_files", {}).items():
        Path(area).touch(0o600)
        os.truncate(area, megabytes << 20)  # sparse: nothing is ever swapped to it
    (LAB / "booted").touch()


def swap_on_from_fstab() -> None:
    """Turn on the swap that /etc/fstab asks for, as systemd does on a real machine and not in a container."""
    for line in Path("/etc/fstab").read_text().splitlines() if Path("/etc/fstab").exists() else []:
        words = line.split("#")[0].split()
        if len(words) >= 3 and words[2] == "swap" and "noauto" not in words[3:4]:
            escaped = subprocess.run(
                ["systemd-escape", "-p", "--suffix=swap", words[0]], capture_output=True, text=True, check=True
            )
            unit = Path("/etc/systemd/system", escaped.stdout.strip())
            if not (unit.is_symlink() and str(unit.readlink()) == "/dev/null"):
                run("/sbin/swapon", words[0])


def rpi_swap_on() -> None:
    """Turn on zram swap as rpi-swap's generator does, unless its configuration says ``Mechanism=none``."""
    files = [Path("/etc/rpi/swap.conf"), *sorted(Path("/etc/rpi/swap.conf.d").glob("*.conf"))]
    mechanism = "auto"
    for path in files:
        for line in path.read_text().splitlines() if path.exists() else []:
            if line.strip().startswith("Mechanism="):
                mechanism = line.partition("=")[2].strip()
    if mechanism != "none":
        run("/sbin/swapon", "/dev/zram0")


def boot_partition() -> None:
    """Show /boot/firmware as mounted, which is a partition of its own on a Pi."""
    if Path("/boot/firmware").is_dir():
        run("mount", "--bind", "/boot/firmware", "/boot/firmware")


def device_tree(flavour: dict[str, Any]) -> None:
    if not flavour["model"]:
        return
    run("mount", "-t", "tmpfs", "-o", "size=64k,mode=755", "tmpfs", "/sys/firmware")
    base = Path("/sys/firmware/devicetree/base")
    base.mkdir(parents=True)
    (base / "model").write_text(flavour["model"] + "\0")
    (base / "compatible").write_text("".join(word + "\0" for word in flavour["compatible"]))


def main() -> None:
    flavour = json.loads((LAB / "flavour.json").read_text())
    first = not (LAB / "booted").exists()
    # Kubelet wants mounts below / to be shared, as systemd makes them on a real machine.
    run("mount", "--make-rshared", "/")
    RUN.mkdir(mode=0o755, parents=True, exist_ok=True)
    own_files(flavour, first)
    if first:
        first_boot(flavour)
    boot_partition()
    cmdline = command_line(flavour)
    show("cmdline", cmdline + "\n", "/proc/cmdline")
    show("boot_id", f"{uuid.uuid4()}\n", "/proc/sys/kernel/random/boot_id")
    if not memory_controller_on(cmdline):
        show("cgroups", without_memory(Path("/proc/cgroups").read_text()), "/proc/cgroups")
        unified = Path("/sys/fs/cgroup/cgroup.controllers")
        if unified.exists():
            words = [word for word in unified.read_text().split() if word != "memory"]
            show("cgroup.controllers", " ".join(words) + "\n", str(unified))
    show("swaps", SWAPS_HEADER, "/proc/swaps", 0o644)
    swap_on_from_fstab()
    if flavour.get("rpi_swap"):
        rpi_swap_on()
    device_tree(flavour)


if __name__ == "__main__":
    try:
        main()
    except (OSError, KeyError, ValueError, subprocess.CalledProcessError) as error:
        sys.exit(f"pideploy-lab: firmware: {error!r}")
