# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take the rules of kube-proxy, kube-router, CNI and flannel out of the text of ``iptables-save``."""

from __future__ import annotations

import re
import shlex
from typing import List

__metaclass__ = type

_OURS = re.compile(r"^(?:KUBE-|CNI-|FLANNEL-)")
# Rules of flannel and kube-router in chains of the system carry these comments.
_COMMENTS = ("flanneld masq", "flanneld forward", "KUBE-ROUTER rule ", "kube-router netpol ")


def _is_ours(line: str) -> bool:
    if line.startswith(":"):
        return bool(_OURS.match(line[1:]))
    if not line.startswith(("-A ", "[")):
        return False
    try:
        words = shlex.split(line)
    except ValueError:
        return False  # not a line that we understand: it stays
    for number, value in enumerate(words[1:]):
        option = words[number]
        if option in ("-A", "-j", "-g") and _OURS.match(value):
            return True
        if option == "--comment" and value.startswith(_COMMENTS):
            return True
    return False


def without_ours(saved: str) -> str:
    """Return the text for ``iptables-restore``: the same without our chains, the rules in them and the jumps to them.

    Rules of anybody else stay, also when they only mention one of our names in a comment.
    """
    kept: List[str] = [line for line in saved.split("\n") if not _is_ours(line)]
    return "\n".join(kept)
