#!/usr/bin/python3
# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""swapon and swapoff of a virtual Pi: they change what this node shows in /proc/swaps, never the machine's own swap."""

from __future__ import annotations

import os
import sys
from pathlib import Path

SWAPS = Path("/proc/swaps")
ZRAM_KB = 2097148


def fstab_areas() -> list[str]:
    lines = Path("/etc/fstab").read_text().splitlines() if Path("/etc/fstab").exists() else []
    words = [line.split("#")[0].split() for line in lines]
    return [w[0] for w in words if len(w) >= 3 and w[2] == "swap"]


def line_for(area: str) -> str:
    """Return the line that the kernel would show for a swap area; sizes are in KiB, less the header's page.

    :raises OSError: there is no such file.
    """
    if area.startswith("/dev/"):
        kind, size = "partition", ZRAM_KB
    else:
        kind, size = "file\t", Path(area).stat().st_size // 1024 - 4
    return f"{area:<39} {kind}\t{size}\t\t0\t\t-2\n"


def main(argv: list[str]) -> int:
    program, words = Path(argv[0]).name, argv[1:]
    every = "-a" in words or "--all" in words
    named = [word for word in words if not word.startswith("-")]
    if program == "swapon" and not every and (not named or any(w.startswith("--show") or w == "-s" for w in words)):
        os.execv("/usr/lib/pideploy-lab/swapon.real", argv)
    lines = SWAPS.read_text().splitlines(keepends=True)
    active = [line.split()[0] for line in lines[1:]]
    code = 0
    if program == "swapon":
        for area in fstab_areas() if every else named:
            if area in active:
                if not every:
                    sys.stderr.write(f"swapon: {area}: swapon failed: Device or resource busy\n")
                    code = 255
                continue
            try:
                lines.append(line_for(area))
            except OSError as error:
                sys.stderr.write(f"swapon: cannot open {area}: {error.strerror}\n")
                code = 255
    else:
        for area in named if not every else []:
            if area not in active:
                sys.stderr.write(f"swapoff: {area}: swapoff failed: Invalid argument\n")
                code = 4
        gone = active if every else named
        lines = [lines[0], *(line for line in lines[1:] if line.split()[0] not in gone)]
    # In place: a rename would not reach the file that is mounted there.
    SWAPS.write_text("".join(lines))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv))
