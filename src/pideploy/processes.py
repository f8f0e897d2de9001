# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""The processes of this machine, as ``ps`` lists them."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass


@dataclass(frozen=True)
class Process:
    """One process; ``command`` is its whole command line."""

    pid: int
    parent: int
    command: str


def listed() -> list[Process]:
    """All processes.

    :raises OSError: there is no ``ps``.
    """
    found = []
    command = ["ps", "-A", "-ww", "-o", "pid=,ppid=,args="]
    text = subprocess.run(command, capture_output=True, check=False).stdout.decode(errors="replace")
    for line in text.splitlines():
        pid, parent, *words = line.split(maxsplit=2)
        found.append(Process(int(pid), int(parent), words[0] if words else ""))
    return found
