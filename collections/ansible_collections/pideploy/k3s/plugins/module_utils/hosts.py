# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: BSD-2-Clause
"""One entry of a hostlist, ``[user@]host[:port]``, and what may be the name of a host, a node or a cluster."""

from __future__ import annotations

import dataclasses
import ipaddress
import re

from ansible_collections.pideploy.k3s.plugins.module_utils.hostlist import is_ipv6
from ansible_collections.pideploy.k3s.plugins.module_utils.hostlist_bracket import printable

_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}\$?")
_CLUSTER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_RESERVED = ("all", "ungrouped", "localhost")


class HostError(ValueError):
    """An entry that names no host. ``message`` and ``hint`` are one line each."""

    def __init__(self, message: str, hint: str = "") -> None:
        self.message = printable(message)
        super().__init__(self.message)
        self.hint = hint


@dataclasses.dataclass(frozen=True)
class Host:
    """A host as it was written.

    ``name``: what Ansible calls it; ``entry``: the text in the hostlist; ``address``: where to connect, or empty when
    that is the name; ``user`` and ``port``: empty and 0 when not given; ``node_name``: its name in the cluster, empty
    for an entry by address (then it is the machine's own hostname).
    """

    name: str
    entry: str
    address: str = ""
    user: str = ""
    port: int = 0
    node_name: str = ""


def parse_host(entry: str) -> Host:
    """Read one entry: ``red``, ``red.local``, ``pi@red:2222``, ``10.0.0.5``, ``fe80::1``, ``[fe80::1]:22``.

    :raises HostError: it is none of these.
    """
    user, at, rest = entry.rpartition("@")
    if at and not is_user(user):
        raise HostError("'%s' is no user name, in '%s'" % (user, entry), "Write user@host.")
    port = 0
    bracketed = re.fullmatch(r"\[([^\[\]]*)\](?::(.*))?", rest)
    if bracketed:
        name, number = bracketed.group(1), bracketed.group(2)
        if not is_ipv6(name):
            raise HostError("'%s' is no IPv6 address, in '%s'" % (name, entry), "Write [fe80::1]:22.")
    elif is_ipv6(rest):
        name, number = rest, None
    else:
        name, colon, after = rest.partition(":")
        number = after if colon else None
    if number is not None:
        if not (number.isascii() and number.isdigit() and 0 < int(number[:6]) < 65536):
            raise HostError("'%s' is no port, in '%s'" % (number, entry), "Write host:22.")
        port = int(number)
    address = is_address(name)
    if not address:
        _check_name(name, entry)
    explicit = bool(at or number is not None)
    return Host(
        name=name,
        entry=entry,
        address=name if address or explicit else "",
        user=user,
        port=port,
        node_name="" if address else name.split(".")[0].lower(),
    )


def is_user(text: str) -> bool:
    """Say whether the text is a user name that ssh cannot take for anything else."""
    return bool(_USER.fullmatch(text))


def is_address(text: str) -> bool:
    """Say whether the text is an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _check_name(name: str, entry: str) -> None:
    if not name:
        raise HostError("'%s' names no host" % entry, "Write user@host:port, or only the host.")
    if re.fullmatch(r"[0-9.]+", name) and "." in name:
        raise HostError("'%s' is no IPv4 address" % name, "Four numbers from 0 to 255.")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.rstrip(".").split(".")):
        hint = "Letters, digits and '-', at most 63 between two dots."
        if re.search(r"\{.*\.\..*\}", name):
            hint = "Ranges are written in brackets: red[1-3]."
        elif "_" in name:
            hint = "A node's name in Kubernetes has no '_': use '-', and give the address in 'connect'."
        elif "*" in name or "?" in name:
            hint = "Patterns do not name hosts: write a range such as red[01-08]."
        raise HostError("'%s' is no host name" % name, hint)
    if name.lower() in _RESERVED:
        hint = "Use the machine's own name or address." if name.lower() == "localhost" else ""
        raise HostError("'%s' cannot be the name of a host" % name, hint or "Ansible keeps that name for itself.")


def check_cluster_name(name: str) -> None:
    """Refuse a cluster name that could leave its state folder or confuse a kubeconfig.

    :raises HostError: with what is allowed.
    """
    if not _CLUSTER.fullmatch(name):
        raise HostError("'%s' is no cluster name" % name, "Up to 63 letters, digits, '-', '_' and '.', no leading '.'.")
