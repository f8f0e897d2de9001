# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster's block in ``/etc/hosts``, so that nodes find each other without DNS or mDNS.

A block's entries are dicts ``{"address": "10.0.0.10", "names": ["red"]}``, in the order of the inventory.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Collection, Dict, List, Mapping, Optional, Sequence, Tuple

__metaclass__ = type

BEGIN = "# BEGIN pideploy"
END = "# END pideploy"
_BLOCK = re.compile(r"^%s[^\n]*\n(.*?)^%s[^\n]*(?:\n|\Z)" % (BEGIN, END), re.MULTILINE | re.DOTALL)

Entry = Dict[str, Any]


class HostsError(Exception):
    """An entry that must not go into ``/etc/hosts``; the message names it."""


def check(hosts: Sequence[Mapping[str, Any]]) -> List[Entry]:
    """Return the entries with clean types.

    :raises HostsError: an address is none, or a name holds what would break the file.
    """
    clean: List[Entry] = []
    for entry in hosts:
        address, names = str(entry.get("address", "")), entry.get("names") or []
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise HostsError("'%s' is no IP address (hosts entry %s)" % (address, dict(entry))) from None
        for name in names:
            if not re.match(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?\Z", str(name)):
                raise HostsError("'%s' is no host name (hosts entry for %s)" % (name, address))
        if not names:
            raise HostsError("the hosts entry for %s has no names" % address)
        clean.append({"address": address, "names": [str(name) for name in names]})
    return clean


def block(text: str) -> List[Entry]:
    """Return the entries of the cluster's block in a hosts file; an empty list where there is none."""
    found = _BLOCK.search(text)
    entries: List[Entry] = []
    for line in found.group(1).splitlines() if found else ():
        fields = line.partition("#")[0].split()
        if len(fields) > 1:
            entries.append({"address": fields[0], "names": fields[1:]})
    return entries


def names_of(text: str, address: Optional[str] = None) -> List[str]:
    """Return the names that a hosts file knows, of all addresses or of one."""
    found: List[str] = []
    for line in text.splitlines():
        fields = line.partition("#")[0].split()
        if fields and address in (None, fields[0]):
            found += fields[1:]
    return found


def set_block(text: str, hosts: Sequence[Mapping[str, Any]]) -> str:
    """Return a hosts file with the cluster's block set to the entries; no entries means no block."""
    lines = ["%s\t%s\n" % (entry["address"], " ".join(entry["names"])) for entry in hosts]
    new = "%s\n%s%s\n" % (BEGIN, "".join(lines), END) if lines else ""
    found = _BLOCK.search(text)
    if found:
        return text[:found.start()] + new + text[found.end():]
    if not new:
        return text
    return text + ("" if text.endswith("\n") or not text else "\n") + new


def render(text: str, name: str, old_name: str, hosts: Optional[Sequence[Mapping[str, Any]]]) -> str:
    """Return ``/etc/hosts`` for a node called ``name`` that was called ``old_name``.

    ``hosts`` None leaves the cluster's block alone. Where the block gives the node's own address, Debian's
    ``127.0.1.1`` line loses the node's names: else the node would find itself on the loopback interface. Where it does
    not, that line names the node, so that ``sudo`` and others can look it up.
    """
    if hosts is not None:
        text = set_block(text, hosts)
    own = [entry for entry in block(text) if name in entry["names"]]
    stale = {n for n in ((old_name, name) if own else (old_name,)) if n and n != "localhost"}
    lines = text.splitlines(keepends=True)
    changed: List[str] = []
    for line in lines:
        fields, comment = line.partition("#")[0].split(), line.partition("#")[2]
        if not fields or fields[0] != "127.0.1.1" or not _mentions(fields[1:], stale):
            changed.append(line)
            continue
        kept = _rename(fields[1:], stale, name, bool(own))
        if kept == fields[1:]:
            changed.append(line)
        elif kept:
            changed.append("127.0.1.1\t%s%s\n" % (" ".join(kept), " #" + comment.rstrip("\n") if comment else ""))
    text = "".join(changed)
    if name and name not in names_of(text):
        text = _insert_own(text, name)
    return text


def _mentions(names: Sequence[str], wanted: Collection[str]) -> bool:
    return any(name.partition(".")[0] in wanted for name in names)


def _rename(names: Sequence[str], stale: Collection[str], name: str, drop: bool) -> List[str]:
    """Return a 127.0.1.1 line's names with the stale ones dropped, or renamed (a domain behind the name is kept)."""
    kept: List[str] = []
    for item in names:
        first, dot, domain = item.partition(".")
        if first not in stale:
            kept.append(item)
        elif not drop:
            kept.append(name + dot + domain)
    return list(dict.fromkeys(kept))


def _insert_own(text: str, name: str) -> str:
    line = "127.0.1.1\t%s\n" % name
    found = re.search(r"^127\.0\.0\.1\b[^\n]*\n", text, re.MULTILINE)
    if found:
        return text[:found.end()] + line + text[found.end():]
    return line + text


def cluster_entries(
    nodes: Sequence[Tuple[str, Optional[str]]], known: Sequence[Sequence[Mapping[str, Any]]] = ()
) -> List[Entry]:
    """Return the block for a cluster.

    ``nodes`` are (node name, address) in the order of the inventory; an address is None where the node was not looked
    at in this run (``--limit``): then what the blocks in ``known`` say of that name is kept.
    """
    remembered = {name: str(entry["address"]) for entries in known for entry in entries for name in entry["names"]}
    entries: List[Entry] = []
    for name, address in nodes:
        address = address or remembered.get(name)
        if name and address:
            entries.append({"address": address, "names": [name]})
    return entries
