# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an agent needs to join: read from the files that a running server keeps."""

from __future__ import annotations

from typing import Any, Dict

from ansible_collections.pideploy.k3s.plugins.module_utils import files, k3s_config, manifest, tokens

__metaclass__ = type


class JoinError(Exception):
    """This machine cannot be joined; ``hint`` says what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def unavailable(node_ip: str, reason: str, hint: str) -> Dict[str, Any]:
    """Return what stands for a server that cannot be joined: no secret, and why. A plan goes on with it."""
    url = "https://%s:6443" % k3s_config.server_name(node_ip) if node_ip else ""
    return {"available": False, "reason": reason, "hint": hint, "server_url": url,
            "agent_token": "", "ca_hash": "", "version": ""}


def read(root: str, data_dir: str, node_ip: str = "") -> Dict[str, Any]:
    """Return ``server_url``, ``agent_token``, ``ca_hash`` and ``version`` of the server below ``root``.

    k3s writes its token files itself, with the hash of the CA that it serves. ``node_ip`` stands in for a
    configuration that names no address.

    :raises JoinError: no server, or none that has started yet.
    :raises tokens.TokenError: a token file that is damaged.
    """
    if files.read_text(root, k3s_config.unit_path("server")) is None:
        raise JoinError("this host runs no k3s server", "deploy the servers first")
    text = files.read_text(root, data_dir + "/server/agent-token") or ""
    if not text.strip():
        raise JoinError("k3s has not written its agent token yet (%s/server/agent-token)" % data_dir,
                        "look at 'journalctl -u k3s' there, then run again")
    token = tokens.parse(text)
    if not token.ca_hash:
        raise JoinError("%s/server/agent-token holds no CA hash" % data_dir, "restart k3s there, then run again")
    config = k3s_config.parse(files.read_text(root, k3s_config.CONFIG) or "")
    address = str(config.get("advertise-address") or k3s_config.first_address(config) or node_ip)
    if not address:
        raise JoinError("the server's configuration names no node-ip", "set k3s_node_ip for the first server")
    port = config.get("https-listen-port") or 6443
    return {
        "available": True, "reason": "", "hint": "",
        "server_url": "https://%s:%s" % (k3s_config.server_name(address), port),
        "agent_token": tokens.form(token.ca_hash, "node", token.password), "ca_hash": token.ca_hash,
        "version": str(manifest.load(root).get("k3s", {}).get("version", "")),
    }
