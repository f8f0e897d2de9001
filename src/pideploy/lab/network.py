# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""Addresses of a lab: a free /24, and what each machine is pinned to in it."""

from __future__ import annotations

import ipaddress
import json
import subprocess
from collections.abc import Iterable, Iterator

from pideploy.errors import PideployError

FIRST = 10  # the first machine's last number; the engine's gateway is .1
LARGEST = 240


def candidates() -> Iterator[ipaddress.IPv4Network]:
    """Subnets to try, in order. 10.42 and 10.43 are k3s's own for pods and services."""
    for second in (89, 90, 91, 88):
        for third in range(256):
            yield ipaddress.IPv4Network(f"10.{second}.{third}.0/24")


def choose_subnet(used: Iterable[str]) -> str:
    """Return the first /24 that overlaps none of the networks in ``used`` (CIDR texts; others are passed over).

    :raises PideployError: all are taken.
    """
    taken = []
    for text in used:
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            continue
        # The default route overlaps everything and says nothing.
        if isinstance(network, ipaddress.IPv4Network) and network.prefixlen:
            taken.append(network)
    for candidate in candidates():
        if not any(candidate.overlaps(network) for network in taken):
            return str(candidate)
    raise PideployError("lab_network", "no free subnet for a lab in 10.88 to 10.91", hint="pideploy lab down --all")


def routes() -> list[str]:
    """Return the destinations of this machine's routes, its own addresses among them."""
    done = subprocess.run(
        ["ip", "-j", "-4", "route", "show", "table", "all"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        return []
    return [str(route["dst"]) for route in json.loads(done.stdout or "[]") if route.get("dst") not in (None, "default")]


def pinned(subnet: str, index: int) -> tuple[str, str]:
    """Return address and (locally administered) MAC address of the machine at ``index``."""
    address = ipaddress.ip_network(subnet)[FIRST + index]
    return str(address), "02:50:" + ":".join(f"{byte:02x}" for byte in address.packed)
