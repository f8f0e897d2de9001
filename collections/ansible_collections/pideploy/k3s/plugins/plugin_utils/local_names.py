# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding a fresh Pi by its mDNS name: ``red01`` is tried as ``red01.local`` where nothing else knows ``red01``."""

from __future__ import annotations

import concurrent.futures
import socket
import subprocess
from typing import Iterable

_AT_ONCE = 32
SECONDS = 10  # a resolver that does not answer costs seconds a name
_SSH_TIMEOUT = 10


def find(names: Iterable[str], seconds: float = SECONDS) -> tuple[dict[str, str], list[str]]:
    """Return ``{name: name.local}`` for the names that only mDNS knows, and the names that time was too short for.

    Names with a dot are left alone. Asked in this order, so that nothing that works today changes: the ssh
    configuration (an alias or a jump host needs no resolver), the resolver, and last the resolver for ``NAME.local``.
    """
    wanted = [name for name in names if "." not in name and ":" not in name]
    if not wanted:
        return {}, []
    with concurrent.futures.ThreadPoolExecutor(min(_AT_ONCE, len(wanted))) as pool:
        asked = {name: pool.submit(_only_local, name) for name in wanted}
        concurrent.futures.wait(asked.values(), seconds)
        late = [name for name, answer in asked.items() if answer.cancel()]
    local = {name: name + ".local" for name, answer in asked.items() if name not in late and answer.result()}
    return local, late


def _only_local(name: str) -> bool:
    return not _ssh_knows(name) and not _resolves(name) and _resolves(name + ".local")


def _resolves(name: str) -> bool:
    try:
        return bool(socket.getaddrinfo(name, 22, type=socket.SOCK_STREAM))
    except (OSError, UnicodeError):
        return False


def _ssh_knows(name: str) -> bool:
    """Say whether the ssh configuration leads elsewhere; where ssh cannot be asked, leave the name as it is."""
    try:
        done = subprocess.run(
            ["ssh", "-G", name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_SSH_TIMEOUT,
            check=False,
            encoding="utf-8",
            errors="replace",
        )
    except (OSError, subprocess.TimeoutExpired):
        return True
    settings = dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)
    if done.returncode or settings.get("hostname", "").lower() != name.lower():
        return True
    return any(settings.get(key, "none") != "none" for key in ("proxyjump", "proxycommand"))
