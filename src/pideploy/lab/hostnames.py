# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""Names that a lab may take: none that already means something on this machine."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.pideploy.k3s.plugins.module_utils import hostlist
from pideploy.errors import PideployError
from pideploy.lab import network, ssh

_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"


def expand(text: str, largest: int = network.LARGEST) -> list[str]:
    """Return the names of a hostlist, each once, in order.

    :raises PideployError: an entry is no plain host name, or there are more than a lab holds.
    """
    names = list(dict.fromkeys(hostlist.expand(text)))
    for name in names:
        if not re.fullmatch(rf"{_LABEL}(\.{_LABEL})*", name) or re.fullmatch(r"[0-9.]+", name):
            raise PideployError(
                "usage",
                f"'{name}' cannot be the name of a virtual Pi",
                hint="letters a-z, digits and '-', no user, port or address: red, red[01-02]",
                hosts=[name],
            )
    if not names:
        raise PideployError("usage", "no host is named", hint='pideploy lab up "red,red[01-02]"')
    if len(names) > largest:
        raise PideployError("usage", f"{len(names)} hosts are more than a lab holds ({largest})", hint="make two labs")
    return names


def resolves(name: str) -> bool:
    """Tell whether a name already has an address here."""
    try:
        return bool(socket.getaddrinfo(name, None))
    except (OSError, UnicodeError):
        return False


def refuse_taken(
    names: Sequence[str],
    others: Mapping[str, str],
    patterns: Sequence[list[str]] | None = None,
    lookup: Callable[[str], bool] | None = None,
) -> None:
    """Check that names are free; ``others`` are names of other labs' machines, with their lab.

    :raises PideployError: one belongs to another lab, has an ssh entry, or resolves.
    """
    if patterns is None:
        patterns = [p for path in (ssh.user_config(), ssh.SYSTEM_CONFIG) for p in ssh.host_patterns(path)]
    for name in names:
        if name in others:
            raise PideployError(
                "lab_name",
                f"{name}: lab '{others[name]}' has a host of this name",
                f"pideploy lab down {others[name]}",
                [name],
            )
        if ssh.has_entry(name, patterns):
            raise PideployError(
                "lab_name", f"{name}: your ssh configuration has an entry for it", "take other names", [name]
            )
    with ThreadPoolExecutor(16) as pool:
        for name, taken in zip(names, pool.map(lookup or resolves, names), strict=True):
            if taken:
                raise PideployError(
                    "lab_name",
                    f"{name}: this name already resolves to an address",
                    "it may be a real machine: take other names",
                    [name],
                )
