# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which k3s a node gets: from what is asked for, what the node runs and what the cluster runs. No input or output."""

from __future__ import annotations

from typing import Any, Iterable

from ansible_collections.pideploy.k3s.plugins.module_utils import artifacts
from ansible_collections.pideploy.k3s.plugins.module_utils.artifacts import ArtifactError

__metaclass__ = type


def running_version(k3s: dict[str, Any] | None) -> str | None:
    """The version of a node that is part of a cluster (it has a unit of k3s), else None.

    ``k3s`` is ``pideploy_node.k3s`` of the facts. A binary alone, left by an interrupted run, counts for nothing.
    """
    if not k3s or not k3s.get("installed") or not k3s.get("role"):
        return None
    return k3s.get("version") or None


def choose_version(wanted: str, own: str | None, servers: Iterable[str | None]) -> str | None:
    """The exact version for a node, or None when the channel ``wanted`` has to be looked up.

    ``own`` is the node's running version, ``servers`` those of the cluster's servers, the first server first.
    A channel means what the node runs, else what the cluster's servers run.

    :raises ArtifactError: the node runs another version than the exact one that is asked for.
    """
    if not artifacts.is_version(wanted):
        if wanted[:1].isdigit() or "+" in wanted:
            artifacts.check_version(wanted)  # a version that was mistyped; raises with the nearest one
        return own or next((version for version in servers if version), None)
    if own is not None and own != wanted:
        raise ArtifactError(
            "this node runs k3s %s and k3s_version is %s: a deploy never changes a running node's version"
            % (own, wanted),
            "Set k3s_version to %s or to a channel." % own,
        )
    return wanted


def architecture(arch: dict[str, Any]) -> str:
    """The artifact's architecture for a node, from ``pideploy_node.arch``.

    :raises ArtifactError: k3s is not built for it.
    """
    machine, bits = str(arch.get("machine") or ""), arch.get("userspace_bits") or 0
    name = arch.get("k3s") or artifacts.node_arch(machine, int(bits))
    if not name:
        raise ArtifactError(
            "k3s is not built for %s with a %s-bit user space" % (machine or "this machine", bits or "?"),
            "It runs on x86-64, 64-bit ARM and ARMv7; take the node out of the hosts.",
        )
    return str(name)


def missing_space(needs: dict[str, int], free: dict[str, int]) -> str | None:
    """The shortage in words, or None. ``needs`` and ``free`` are bytes by file system (its mount point)."""
    for mount, needed in sorted(needs.items()):
        if mount in free and free[mount] < needed:
            return "%s needs %d MB and has %d MB free" % (mount, -(-needed // 1000000), free[mount] // 1000000)
    return None


def megabytes(size: int) -> str:
    """A size as people say it."""
    return "%d MB" % max(1, round(size / 1000000))
