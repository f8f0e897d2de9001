# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: BSD-2-Clause
"""Where pideploy keeps its things on the controller: one place for both doors (XDG base directories)."""

from __future__ import annotations

import os

__metaclass__ = type


def _base(own_variable, xdg_variable, fallback):
    # type: (str, str, str) -> str
    own = os.environ.get(own_variable)
    if own:
        return os.path.abspath(os.path.expanduser(own))
    xdg = os.environ.get(xdg_variable)
    # The XDG specification says that a relative path in these variables is invalid and to be ignored.
    if xdg and os.path.isabs(xdg):
        return os.path.join(xdg, "pideploy")
    return os.path.join(os.path.expanduser("~"), fallback, "pideploy")


def state_home():
    # type: () -> str
    """Return the folder of all clusters' state (``PIDEPLOY_STATE_HOME``, or below ``XDG_STATE_HOME``)."""
    return _base("PIDEPLOY_STATE_HOME", "XDG_STATE_HOME", ".local/state")


def cache_dir():
    # type: () -> str
    """Return the cache folder (``PIDEPLOY_CACHE_HOME``, or below ``XDG_CACHE_HOME``)."""
    return _base("PIDEPLOY_CACHE_HOME", "XDG_CACHE_HOME", ".cache")


def artifact_dir():
    # type: () -> str
    """Return the folder of the artifact cache: one folder a k3s version, upstream file names inside."""
    return os.path.join(cache_dir(), "artifacts")


def state_dir(cluster):
    # type: (str) -> str
    """Return the state folder of one cluster.

    :raises ValueError: the name would leave the state folder (empty, with a slash, or starting with a dot).
    """
    if not cluster or "/" in cluster or "\0" in cluster or cluster.startswith("."):
        raise ValueError("'%s' is no cluster name: use letters, digits, '-', '_' and '.'" % (cluster,))
    return os.path.join(state_home(), "clusters", cluster)


def make_private(path):
    # type: (str) -> str
    """Create a folder with mode 0700 (its parents as well) and return its path."""
    os.makedirs(path, mode=0o700, exist_ok=True)
    return path
