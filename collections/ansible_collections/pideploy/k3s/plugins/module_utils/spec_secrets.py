# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: BSD-2-Clause
"""Which variables, k3s options and flags hold a secret: the one list for the wrapper, the guard and the nodes."""

from __future__ import annotations

import re
from typing import Any, Iterator

__metaclass__ = type

# Options of k3s whose value is, or may hold, a password. Their values go around arguments, diffs and results.
SECRET_KEYS = ("token", "agent-token", "datastore-endpoint", "etcd-s3-access-key", "etcd-s3-secret-key",
               "etcd-s3-session-token", "etcd-s3-proxy", "vpn-auth")

_NAME = re.compile(r"token|password|passwd|secret|become_pass|private_key$", re.I)
# As one of a list, in a command line or in a unit's ExecStart, where quotes and backslashes may be around it.
_FLAG = re.compile(
    r"(?:^|[\s\"'\\,\[])(?P<flag>--?(?:%s)|-t)(?:(?:[=\s]|[\"'\\,]+\s*)[\"']?(?P<value>[^\s\"']+)|(?=[\s\"'\\,\]=]|$))"
    % "|".join(SECRET_KEYS))


def is_secret(name: str) -> bool:
    """Whether a variable or option of this name holds a secret; the name of a file with one is none."""
    name = name.rstrip("+")
    if re.search(r"[-_]file$", name):
        return False
    return name.replace("_", "-") in SECRET_KEYS or bool(_NAME.search(name))


def secret_flag(text: str) -> str:
    """Return the first flag in a text of k3s arguments that holds a secret (``--datastore-endpoint``), or nothing."""
    match = _FLAG.search(text)
    return match.group("flag") if match else ""


def instead_of(flag: str) -> str:
    """Return where the value of such a flag belongs: into a file that only root reads."""
    key = flag.lstrip("-")
    return "k3s_token" if key in ("t", "token", "agent-token") else "'%s:' in k3s_server_config" % key


def secret_values(data: Any, named: bool = False) -> Iterator[str]:
    """Yield the texts below names that stand for a secret, at any depth, and the values of such flags."""
    if isinstance(data, dict):
        for name, value in data.items():
            yield from secret_values(value, named or is_secret(str(name)))
    elif isinstance(data, (list, tuple)):
        flag = False
        for value in data:
            yield from secret_values(value, named or flag)
            # ["--token", "abc"]: the flag is an item of its own.
            flag = isinstance(value, str) and secret_flag(value) == value
    elif isinstance(data, str):
        if named:
            yield data
        else:
            yield from (match.group("value") for match in _FLAG.finditer(data) if match.group("value"))
