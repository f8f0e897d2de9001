# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What k3s ran with before a change: kept on the node (``/var/lib/pideploy/former.json``) until the change has held.

A run that is cut off in the middle leaves it behind, so that a later run can still go back. It may hold secrets: 0600.
"""

from __future__ import annotations

import copy
import json
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from ansible_collections.pideploy.k3s.plugins.module_utils import files, k3s_config

__metaclass__ = type

PATH = "/var/lib/pideploy/former.json"
# What the node's manifest says about k3s; the rest of it belongs to the roles for the operating system.
_NOTED = ("cluster", "node_name", "k3s")


class Former(NamedTuple):
    """``texts``: path -> former text (None: there was no file) and mode. ``noted``: the manifest's part about k3s."""

    texts: Dict[str, List[Any]]
    noted: Dict[str, Any]

    @property
    def has_units(self) -> bool:
        """Whether systemd has to read its unit files again after ``put_back``."""
        return any(path.startswith(k3s_config.UNIT_DIR) for path in self.texts)


def load(root: str) -> Optional[Former]:
    """Return what was kept, or None: no change waits for its proof."""
    try:
        data = json.loads(files.read_text(root, PATH) or "null")
        return Former(dict(data["texts"]), dict(data["noted"])) if data else None
    except (ValueError, KeyError, TypeError):
        return None


def keep(root: str, known: Optional[Former], changes: Sequence[k3s_config.Change], manifest: Dict[str, Any]) -> Former:
    """Keep what ``changes`` are about to replace. What an unfinished run has kept already is older, so it stands."""
    texts = {change.file.path: [change.before, change.file.mode] for change in changes if change.text_differs}
    noted = {key: copy.deepcopy(manifest[key]) for key in _NOTED if key in manifest}
    former = Former({**texts, **known.texts}, known.noted) if known else Former(texts, noted)
    files.write_atomic(root, PATH, json.dumps(former._asdict(), indent=1, sort_keys=True) + "\n", 0o600)
    return former


def put_back(root: str, former: Former, manifest: Dict[str, Any]) -> None:
    """Write the former files, and the former notes into ``manifest`` (which the caller saves)."""
    for path, (text, mode) in former.texts.items():
        if text is None:
            files.remove(root, path)
        else:
            files.write_atomic(root, path, text, mode)
    for key in _NOTED:
        manifest.pop(key, None)
    manifest.update(former.noted)


def drop(root: str) -> None:
    """Forget it: the change has held, or is undone."""
    files.remove(root, PATH)
