# SPDX-FileCopyrightText: 2026 The pideploy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""k3s's own kubeconfig, made fit for another machine: names of the cluster, the server's address in the network."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.common.yaml import yaml_dump, yaml_load

__metaclass__ = type


class KubeconfigError(Exception):
    """The file cannot be used; the message never holds its content."""


def server_url(given: str, port: int) -> str:
    """Return the API server's URL from an address, a name or a URL; an IPv6 address gets its brackets.

    :raises KubeconfigError: a URL that is not https (a kubeconfig's secrets would go over the wire in the clear).
    """
    if "://" in given:
        if not given.startswith("https://"):
            raise KubeconfigError("%s is no https URL" % given)
        return given.rstrip("/")
    host = "[%s]" % given if given.count(":") > 1 and not given.startswith("[") else given
    return "https://%s" % host if host.count(":") == 1 else "https://%s:%d" % (host, port)


def rewrite(text: str, cluster: str, server: str) -> str:
    """Return k3s's kubeconfig (one cluster, one user) with these names and this server.

    :raises KubeconfigError: it is no kubeconfig, or one without its certificates inside.
    """
    try:
        data = yaml_load(text)
        [entry], [user] = data["clusters"], data["users"]
        authority, credentials = entry["cluster"]["certificate-authority-data"], dict(user["user"])
    except Exception:  # a parser's message would quote the text, which is secret
        raise KubeconfigError("k3s's kubeconfig is not one cluster and one user with certificates inside") from None
    result: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster, "cluster": {"certificate-authority-data": authority, "server": server}}],
        "users": [{"name": cluster, "user": credentials}],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": cluster}}],
        "current-context": cluster,
    }
    return str(yaml_dump(result, default_flow_style=False, sort_keys=True))
