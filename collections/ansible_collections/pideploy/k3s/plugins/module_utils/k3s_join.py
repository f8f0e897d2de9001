# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an agent needs to join: read from the files that a running server keeps."""

from __future__ import annotations

import base64
import http.client
import ssl
import time
from typing import Any, Callable, Dict

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


def answers(port: int, password: str) -> bool:
    """Whether the server on this machine takes agents by now: it says so to whom holds the agents' password."""
    # Loopback, and nothing that is received is trusted: which CA the agents have to find is in their token.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=5, context=context)
    login = base64.b64encode(("node:" + password).encode()).decode()
    try:
        connection.request("GET", "/v1-k3s/readyz", headers={"Authorization": "Basic " + login})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def wait_until_ready(ready: Callable[[], bool], timeout: float, poll: float = 0.25,
                     clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep) -> bool:
    """Wait until the server takes agents, and return whether it does.

    An agent that asks some seconds too early is told "503, runtime core not ready" and asks again only after 8 to 10 s:
    to wait for the server here is what makes a deploy of fresh nodes that much shorter.
    """
    deadline = clock() + timeout
    while not ready():
        if clock() >= deadline:
            return False
        sleep(poll)
    return True
