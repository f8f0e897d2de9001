# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A set of changes to a node's files: made as a whole or not at all, with the originals kept beside them."""

from __future__ import annotations

import os
from typing import Dict, List, NamedTuple, Optional, Sequence

from ansible_collections.pideploy.k3s.plugins.module_utils import files

__metaclass__ = type

SUFFIX = ".pideploy.bak"


class Edit(NamedTuple):
    """One file's change; ``before`` is None for a new file."""

    path: str
    before: Optional[str]
    after: str


class Link(NamedTuple):
    """A symbolic link to make (``target``), or to delete (None)."""

    path: str
    target: Optional[str]


def diff(edits: Sequence[Edit], links: Sequence[Link] = (), root: str = "/") -> List[Dict[str, str]]:
    """Return the changes as Ansible shows them with ``--diff``."""
    shown = [{"before_header": e.path, "after_header": e.path, "before": e.before or "", "after": e.after}
             for e in edits]
    for link in links:
        old = _target(root, link.path)
        shown.append({"before_header": link.path, "after_header": link.path,
                      "before": "link to %s\n" % old if old else "", "after": "link to %s\n" % link.target
                      if link.target else ""})
    return shown


def _target(root: str, path: str) -> Optional[str]:
    try:
        return os.readlink(files.below(root, path))
    except OSError:
        return None


def _set_link(root: str, path: str, target: Optional[str]) -> None:
    place = files.below(root, path)
    files.remove(root, path)
    if target is not None:
        os.makedirs(os.path.dirname(place), mode=0o755, exist_ok=True)
        os.symlink(target, place)
    files.fsync_dir(os.path.dirname(place))


def backup_of(root: str, path: str) -> str:
    """Return the path of a file's backup; empty where there is none (the file is new, or has none yet)."""
    return path + SUFFIX if os.path.lexists(files.below(root, path + SUFFIX)) else ""


def apply(root: str, edits: Sequence[Edit], links: Sequence[Link] = ()) -> List[str]:
    """Back each file up beside itself, write all, and set the links; return the paths that changed.

    :raises OSError: no space, read-only file system, …; what was changed before is then put back.
    """
    former = [Link(link.path, _target(root, link.path)) for link in links]
    changed: List[str] = []
    try:
        for edit in edits:
            mode = 0o644
            if edit.before is not None:
                files.back_up(root, edit.path, SUFFIX)
                mode = os.stat(files.below(root, edit.path)).st_mode & 0o7777
            if files.write_atomic(root, edit.path, edit.after, mode):
                changed.append(edit.path)
        for link in links:
            if _target(root, link.path) != link.target:
                _set_link(root, link.path, link.target)
                changed.append(link.path)
    except OSError:
        put_back(root, edits, former)
        raise
    return changed


def put_back(root: str, edits: Sequence[Edit], former_links: Sequence[Link] = ()) -> None:
    """Give each file its former text, and each link its former target, where they differ."""
    for link in former_links:
        if _target(root, link.path) != link.target:
            _set_link(root, link.path, link.target)
    for edit in reversed(edits):
        if edit.before is None:
            files.remove(root, edit.path)
        elif files.read_text(root, edit.path) != edit.before:
            mode = os.stat(files.below(root, edit.path)).st_mode & 0o7777
            files.write_atomic(root, edit.path, edit.before, mode)


def undo_text(root: str, path: str, then: str = "") -> str:
    """Return how to take a file's edit back by hand, in one sentence; ``then`` is a command that must follow."""
    backup = backup_of(root, path)
    text = "copy %s over %s" % (backup, path) if backup else "delete %s" % path
    return text + (" and run %s" % then if then else "")


def note(
    manifest: Dict[str, object], root: str, key: str, changed: Sequence[Edit], then: str = "", **more: object
) -> None:
    """Write into the manifest what was changed below ``key``: one ``{what, undo}`` a file, and ``more``."""
    own = manifest.setdefault(key, {})
    if not isinstance(own, dict):
        own = manifest[key] = {}
    former = [item for item in own.get("changes") or [] if item.get("path") not in [e.path for e in changed]]
    own["changes"] = former + [
        {"path": e.path, "what": ("edited %s" if e.before is not None else "wrote %s") % e.path,
         "undo": undo_text(root, e.path, then)} for e in changed]
    own.update(more)
