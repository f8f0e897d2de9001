# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The k3s that a node has already: what it runs as, whose cluster it belongs to, and whether pideploy installed it."""

from __future__ import annotations

import hashlib
import os
import re
from typing import Any, Callable, Dict, List, Optional, Tuple

from ansible_collections.pideploy.k3s.plugins.module_utils import files, k3s_config, service

__metaclass__ = type

Run = Callable[[List[str]], Tuple[int, str, str]]
# Where install.sh puts k3s: the second place where /usr/local/bin cannot be written.
BINARIES = (k3s_config.BINARY, "/opt/bin/k3s", "/usr/bin/k3s")
_UNIT_FOLDERS = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
_VERSION = re.compile(r"^k3s version (\S+)", re.MULTILINE)
_NOTHING = {"installed": False, "version": None, "sha256": None, "size": None, "role": None, "service": None,
            "server_url": None, "ca_hash": None, "managed": False, "cluster": None, "node_name": None,
            "node_ip": None, "data_dir": k3s_config.DATA_DIR}


def _unit(root: str) -> Tuple[Optional[str], str]:
    """Return the role whose unit is there and the unit's text."""
    for role, name in k3s_config.UNITS.items():
        for folder in _UNIT_FOLDERS:
            text = files.read_text(root, folder + "/" + name)
            if text is not None:
                return role, text
    return None, ""


def _role(name: str, unit: str) -> str:
    """Return what the unit really starts: people run ``k3s agent`` from a unit called k3s.service, too."""
    found = re.search(r"^ExecStart=[^\n]*?k3s[\s\\\n]+(server|agent)\b", unit, re.MULTILINE)
    return found.group(1) if found else name


def _binary(root: str, noted: Dict[str, Any]) -> Dict[str, Any]:
    """Return path, size, mtime_ns and sha256 of the binary; the noted checksum stands while size and time are equal."""
    for path in BINARIES:
        try:
            status = os.stat(files.below(root, path))
        except OSError:
            continue
        same = (noted.get("size"), noted.get("mtime_ns")) == (status.st_size, status.st_mtime_ns)
        digest = noted.get("sha256") if same and noted.get("sha256") else files.sha256_file(files.below(root, path))
        return {"path": path, "size": status.st_size, "sha256": digest, "same": same}
    return {}


def _version(root: str, binary: Dict[str, Any], noted: Dict[str, Any], run: Optional[Run]) -> Optional[str]:
    if binary.get("same") and noted.get("version"):
        return str(noted["version"])
    if root != "/" or run is None:
        return None
    rc, out, _err = run([binary["path"], "--version"])
    found = _VERSION.search(out) if rc == 0 else None
    return found.group(1) if found else None


def _flag(unit: str, environment: str, flag: str, variable: str) -> Optional[str]:
    """Return a setting that was given to the service as a flag or in its environment, as install.sh does."""
    found = re.search(r"--%s[=\s'\"\\]+([^\s'\"\\]+)" % flag, unit)
    found = found or re.search(r"^%s=['\"]?([^'\"\n]+)" % variable, environment, re.MULTILINE)
    return found.group(1) if found else None


def _ca_hash(root: str, role: str, data_dir: str) -> Optional[str]:
    """Return the SHA-256 of the cluster's CA bundle, the one in a ``K10`` token."""
    path = "/server/tls/server-ca.crt" if role == "server" else "/agent/server-ca.crt"
    data = files.read_bytes(root, data_dir + path)
    return hashlib.sha256(data).hexdigest() if data else None


def _service(role: str, root: str, run: Optional[Run]) -> Dict[str, Any]:
    unit = k3s_config.UNITS[role]
    if root != "/" or run is None:
        return {"unit": unit, "active": False, "enabled": k3s_config.is_enabled(root, unit), "main_pid": 0}
    state = service.Systemd(run, root).show(unit)
    return {"unit": unit, "active": state.running, "enabled": state.enabled, "main_pid": state.pid}


def probe(root: str, manifest: Dict[str, Any], run: Optional[Run] = None) -> Dict[str, Any]:
    """Return the node's k3s; all values None or False on a fresh node.

    ``installed``: there is a unit (a binary alone is a deploy that was cut off). ``managed``: pideploy installed or
    adopted it. ``run`` runs a program (rc, stdout, stderr); it is called for the version, where the manifest does not
    know it, and once for systemctl.
    """
    noted = manifest.get("k3s") or {}
    found: Dict[str, Any] = dict(_NOTHING)
    binary = _binary(root, noted)
    if binary:
        found.update(sha256=binary["sha256"], size=binary["size"], version=_version(root, binary, noted, run))
    found["cluster"] = manifest.get("cluster")
    named, unit = _unit(root)
    if named is None:
        return found
    environment = "\n".join(files.read_text(root, "%s/%s.env" % (_UNIT_FOLDERS[0], name)) or ""
                            for name in (k3s_config.UNITS[named],))
    config = k3s_config.parse(files.read_text(root, k3s_config.CONFIG) or "")
    role = _role(named, unit)
    data_dir = str(config.get("data-dir") or _flag(unit, environment, "data-dir", "K3S_DATA_DIR") or
                   k3s_config.DATA_DIR)
    found.update(
        installed=True, role=role, service=_service(named, root, run), data_dir=data_dir,
        server_url=config.get("server") or _flag(unit, environment, "server", "K3S_URL"),
        ca_hash=_ca_hash(root, role, data_dir), managed=bool(manifest.get("cluster")),
        node_name=config.get("node-name") or _flag(unit, environment, "node-name", "K3S_NODE_NAME")
        or manifest.get("node_name"),
        node_ip=config.get("node-ip") or None)
    return found
