# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take secrets out of a text that is shown: k3s's tokens by their form, and the secrets that this node holds."""

from __future__ import annotations

import re
from typing import List

from ansible_collections.pideploy.k3s.plugins.module_utils import files

__metaclass__ = type

MASK = "********"
_FILES = ("/etc/rancher/k3s/token", "/etc/rancher/k3s/agent-token", "/etc/rancher/node/password")
_BELOW_DATA = ("/server/token", "/server/agent-token")
# The secure form, also with a bootstrap token, and a bootstrap token alone. The CA's hash is public and stays.
_FORMS = (
    (re.compile(r"(K10[0-9a-f]{64}::)(?:[\w-]+:)?[^\s\"']+"), r"\g<1>" + MASK),
    (re.compile(r"((?:token|password|secret)[\"']?\s*[=:]\s*[\"']?)(?!\*)[^\s\"',\\]{6,}", re.I), r"\g<1>" + MASK),
)


def secrets_of(root: str, data_dir: str) -> List[str]:
    """Return the secrets of this node's k3s, longest first: each whole token and its password."""
    found = set()
    for path in _FILES + tuple(data_dir + name for name in _BELOW_DATA):
        text = (files.read_text(root, path) or "").strip()
        password = text.partition("::")[2].partition(":")[2] if text.startswith("K10") else text
        found.update((text, password))
    return sorted((secret for secret in found if len(secret) >= 4), key=len, reverse=True)


def mask(text: str, secrets: List[str]) -> str:
    """Return the text without these secrets and without anything that has the form of a token."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    for pattern, replacement in _FORMS:
        text = pattern.sub(replacement, text)
    return text
