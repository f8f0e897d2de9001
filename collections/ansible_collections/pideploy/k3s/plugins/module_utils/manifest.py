# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What pideploy did to a node, kept on the node: ``/var/lib/pideploy/manifest.json``.

It says which cluster a node belongs to and holds what an undo needs (backups, former states). It holds no secret.
"""

from __future__ import annotations

import json

from ansible_collections.pideploy.k3s.plugins.module_utils import files

__metaclass__ = type

PATH = "/var/lib/pideploy/manifest.json"
SCHEMA = 1


class ManifestError(Exception):
    """The manifest exists and cannot be used; the message names the file and the remedy."""


def load(root="/"):
    # type: (str) -> dict
    """Return the manifest, or a new empty one.

    :raises ManifestError: the file is no JSON object, or was written by a newer pideploy.
    """
    text = files.read_text(root, PATH)
    if text is None or not text.strip():
        return {"schema": SCHEMA}
    try:
        data = json.loads(text)
    except ValueError as exc:
        raise ManifestError("%s is not valid JSON (%s): move it away and run again" % (PATH, exc)) from exc
    if not isinstance(data, dict):
        raise ManifestError("%s holds no JSON object: move it away and run again" % (PATH,))
    if data.get("schema", SCHEMA) > SCHEMA:
        raise ManifestError("%s was written by a newer pideploy (schema %s): upgrade pideploy" % (PATH, data["schema"]))
    return data


def save(root, data):
    # type: (str, dict) -> bool
    """Write the manifest; return whether it changed."""
    data["schema"] = SCHEMA
    return files.write_atomic(root, PATH, json.dumps(data, indent=1, sort_keys=True) + "\n", 0o644)
