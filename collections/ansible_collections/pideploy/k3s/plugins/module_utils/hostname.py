# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine's name: ``/etc/hostname``, ``/etc/hosts``, and a word to cloud-init, which else puts the old one back."""

from __future__ import annotations

import glob
import os
import re
import socket
from typing import Any, List, Mapping, Optional, Sequence

from ansible_collections.pideploy.k3s.plugins.module_utils import etc_hosts, files
from ansible_collections.pideploy.k3s.plugins.module_utils.edits import Edit

__metaclass__ = type

HOSTNAME = "/etc/hostname"
HOSTS = "/etc/hosts"
CLOUD_DROPIN = "/etc/cloud/cloud.cfg.d/99-pideploy-hostname.cfg"
_CLOUD_TEXT = "# Written by pideploy: the node's name is set by its cluster.\npreserve_hostname: true\n"
_CLOUD_CONFIGS = ("/etc/cloud/cloud.cfg", "/etc/cloud/cloud.cfg.d/*.cfg", "/var/lib/cloud/instance/cloud-config.txt")
_CLOUD_TEMPLATES = "/etc/cloud/templates/hosts.%s.tmpl"
# RFC 1123 label; Kubernetes wants node names in lower case, so the host is named so from the start.
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")


class HostnameError(Exception):
    """The name cannot be a host's and a node's; the message names it."""


def check(name: str) -> str:
    """Return the name.

    :raises HostnameError: it is no lower-case RFC 1123 label.
    """
    if not _LABEL.match(name):
        raise HostnameError("'%s' is no host name: use a-z, 0-9 and '-', at most 63, none of '-' at the ends" % name)
    return name


def current(root: str = "/") -> str:
    """Return the running name (below another root than ``/`` what ``/proc/sys/kernel/hostname`` there says)."""
    if root == "/":
        return socket.gethostname()
    return (files.read_text(root, "/proc/sys/kernel/hostname") or files.read_text(root, HOSTNAME) or "").strip()


def static(root: str = "/") -> str:
    """Return the name for the next boot, from ``/etc/hostname`` (comments and blank lines do not count)."""
    lines = (files.read_text(root, HOSTNAME) or "").splitlines()
    return next((line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")), "")


def cloud_init_owns_hosts(root: str) -> bool:
    """Whether cloud-init renders ``/etc/hosts`` from its template at each boot (Raspberry Pi Imager asks it to)."""
    value = ""
    for pattern in _CLOUD_CONFIGS:
        for path in sorted(glob.glob(files.below(root, pattern))):
            text = files.read_text("/", path) or ""
            for match in re.finditer(r"^manage_etc_hosts:\s*[\"']?(\w+)", text, re.MULTILINE):
                value = match.group(1).lower()
    return value in ("true", "template", "yes", "on")


def plan(root: str, name: str, hosts: Optional[Sequence[Mapping[str, Any]]] = None) -> List[Edit]:
    """Return the file edits that name the node; ``hosts`` are the entries of the cluster's block (None: leave it).

    An empty ``name`` keeps the machine's own name and sets the block alone.

    :raises HostnameError, etc_hosts.HostsError: bad input.
    """
    old = static(root) or current(root)
    wanted = check(name) if name else old
    if hosts is not None:
        hosts = etc_hosts.check(hosts)
    edits: List[Edit] = []

    def edit(path: str, after: str) -> None:
        before = files.read_text(root, path)
        if before != after:
            edits.append(Edit(path, before, after))

    if name and static(root) != name:
        edit(HOSTNAME, name + "\n")
    before = files.read_text(root, HOSTS)
    if hosts is not None or (name and (name != old or name not in etc_hosts.names_of(before or ""))):
        edit(HOSTS, etc_hosts.render(before or "127.0.0.1\tlocalhost\n", wanted, old, hosts))
    if os.path.isdir(files.below(root, "/etc/cloud/cloud.cfg.d")):
        if name:
            edit(CLOUD_DROPIN, _CLOUD_TEXT)
        if hosts is not None and cloud_init_owns_hosts(root):
            for family in ("debian", "ubuntu"):
                template = files.read_text(root, _CLOUD_TEMPLATES % family)
                if template is not None:
                    edit(_CLOUD_TEMPLATES % family, etc_hosts.set_block(template, hosts))
    return edits
