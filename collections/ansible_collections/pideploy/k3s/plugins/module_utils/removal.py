# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Delete folders without ever going into a mount: what is mounted there is somebody's data."""

from __future__ import annotations

import os
import re
from typing import Collection, List, NamedTuple, Sequence

__metaclass__ = type


class Mount(NamedTuple):
    """A mount point; ``own``: the folder is mounted over itself (kubelet does that to share what is mounted below)."""

    path: str
    own: bool


def parse_mounts(mountinfo: str) -> List[Mount]:
    """Read a ``/proc/self/mountinfo`` in order of mounting; a folder that is mounted twice comes twice."""
    found: List[Mount] = []
    for line in mountinfo.splitlines():
        fields = line.split(" ")
        if len(fields) > 4:
            # The kernel writes blank, tab, newline and backslash as three octal digits.
            source, path = (re.sub(r"\\([0-7]{3})", lambda code: chr(int(code.group(1), 8)), f) for f in fields[3:5])
            # On btrfs the source starts with the subvolume.
            found.append(Mount(path, path != "/" and source.endswith(path)))
    return found


def read_mounts() -> List[Mount]:
    """Return this system's mounts."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as handle:
        return parse_mounts(handle.read())


def below(mounts: Sequence[Mount], prefixes: Collection[str], own: Collection[str] = ()) -> List[str]:
    """Return the mount points to undo, last mounted first: those in ``prefixes`` (one that ends in ``-`` is the start
    of a name), and those of ``own`` that are folders mounted over themselves."""
    def belongs(mount: Mount) -> bool:
        path = mount.path
        return (mount.own and path in own) or any(
            path.startswith(p) if p.endswith("-") else path == p or path.startswith(p + "/") for p in prefixes)

    return [mount.path for mount in reversed(mounts) if belongs(mount)]


def remove_tree(path: str, mounts: Collection[str]) -> List[str]:
    """Delete a file or folder and return what was left: mount points below it (and the folders that lead there).

    Links are deleted, not followed. ``path`` itself may be a mount point: then it is emptied and stays. The list of
    mounts decides, because bind mounts of the same file system have the same device number; that is looked at as well.

    :raises OSError: something could not be deleted.
    """
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return []
    left = [path] if path in mounts else []
    return left + _remove(path, frozenset(mounts), status.st_dev, top=True)


def _remove(path: str, mounts: Collection[str], device: int, top: bool = False) -> List[str]:
    status = os.lstat(path)
    if not top and (path in mounts or status.st_dev != device):
        return [path]
    if not os.path.isdir(path) or os.path.islink(path):
        os.unlink(path)
        return []
    left: List[str] = []
    with os.scandir(path) as entries:
        names = [entry.name for entry in entries]
    for name in names:
        left += _remove(os.path.join(path, name), mounts, device)
    if not (top and path in mounts) and not left:
        os.rmdir(path)
    return left


def removable(path: str, mounts: Collection[str]) -> bool:
    """Whether ``remove_tree`` would delete anything: not so where only mount points, and folders that lead there, are
    left."""
    try:
        device = os.lstat(path).st_dev
    except FileNotFoundError:
        return False
    return _removable(path, frozenset(mounts), device, top=True)


def _removable(path: str, mounts: Collection[str], device: int, top: bool = False) -> bool:
    if not top and (path in mounts or os.lstat(path).st_dev != device):
        return False
    if not os.path.isdir(path) or os.path.islink(path):
        return True
    names = entries(path)
    if not names:
        return path not in mounts
    return any(_removable(os.path.join(path, name), mounts, device) for name in names)


def remove_empty(path: str) -> bool:
    """Delete a folder that is empty and no mount point; return whether it is gone."""
    try:
        os.rmdir(path)
    except OSError:
        return not os.path.lexists(path)
    return True


def entries(path: str) -> List[str]:
    """Return the names in a folder; nothing for a folder that does not exist."""
    try:
        return sorted(os.listdir(path))
    except (FileNotFoundError, NotADirectoryError):
        return []
