# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: BSD-2-Clause
"""Which variables the roles have, read from their argument_specs, and whether a value fits; no connection, no Jinja."""

from __future__ import annotations

import functools
import os
import re
from typing import Any, Iterable

from ansible_collections.pideploy.k3s.plugins.module_utils.artifacts_cache import is_version
from ansible_collections.pideploy.k3s.plugins.module_utils.spec_secrets import instead_of, secret_flag
from ansible_collections.pideploy.k3s.plugins.module_utils.spec_yaml import Vault, nearest

ROLES = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "roles"))

# k3s-ansible's variables (k3s.orchestration 1.2.2): what to write here. A name means "the same value under this name";
# a sentence says what to do instead, and the variable is refused.
K3S_ANSIBLE = {
    "token": "k3s_token",
    "k3s_server_location": "k3s_data_dir",
    "extra_server_args": "Write the flags as keys of k3s_server_config, or as a list in k3s_extra_args.",
    "extra_agent_args": "Write the flags as keys of k3s_agent_config, or as a list in k3s_extra_args.",
    "server_config_yaml": "Write its keys as a mapping in k3s_server_config.",
    "agent_config_yaml": "Write its keys as a mapping in k3s_agent_config.",
    "api_endpoint": "Agents join at the first server's node address. For further names of the API: k3s_tls_san.",
    "api_port": "The API's port is 6443.",
    "airgap_dir": "Carry the files in with 'pideploy artifacts import FILE'.",
    "cluster_context": "The context has the cluster's name; set k3s_cluster_name.",
    "kubeconfig": "Set kubeconfig_dest.",
    "use_external_database": "An external datastore is not supported in this version.",
    "registries_config_yaml": "registries.yaml is not supported in this version.",
    "extra_manifests": "Copy manifests to /var/lib/rancher/k3s/server/manifests on the server yourself.",
    "extra_install_envs": "k3s' install script is not used, so it has no environment.",
    "extra_service_envs": "Use a systemd drop-in of your own for k3s.service.",
    "systemd_dir": "Units are written to /etc/systemd/system.",
    "server_group": "Call the group k3s_server, or server.",
    "agent_group": "Call the group k3s_agent, or agent.",
    "user_kubectl": "Nothing is changed in a user's home on the nodes: fetch the kubeconfig with kubeconfig.yml.",
    "manage_firewall": "Firewalls are not changed.",
    "k3s_wait_ready": "Every node is awaited by the phase 'verify'; remove it.",
    "k3s_server_wait_etcd_voters": "Several servers are not supported in this version; remove it.",
}
# Where the value below says no more than what happens anyway, the variable does no harm.
_K3S_ANSIBLE_HARMLESS = {
    "api_port": ("6443",),
    "systemd_dir": ("/etc/systemd/system",),
    "server_group": ("k3s_server", "server"),
    "agent_group": ("k3s_agent", "agent"),
    "user_kubectl": ("False", "false"),
    "manage_firewall": ("False", "false"),
    "use_external_database": ("False", "false"),
    "extra_server_args": ("",),
    "extra_agent_args": ("",),
    "extra_install_envs": ("{}",),
    "extra_service_envs": ("[]",),
    "extra_manifests": ("[]",),
    "k3s_wait_ready": ("False", "false"),
    "k3s_server_wait_etcd_voters": ("False", "false"),
}

_TRUE_FALSE = ("yes", "no", "on", "off", "true", "false", "y", "n", "1", "0", "t", "f")


@functools.lru_cache(maxsize=4)
def role_options(roles: str = ROLES) -> dict[str, dict[str, Any]]:
    """Return the roles' public variables: name to option (``type``, ``choices``, ``elements`` …).

    Source: ``meta/argument_specs.yml`` of each role of this collection, all entry points together.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    options: dict[str, dict[str, Any]] = {}
    for role in role_names(roles):
        path = os.path.join(roles, role, "meta", "argument_specs.yml")
        if os.path.exists(path):
            with open(path, encoding="utf-8") as handle:
                specs = yaml.load(handle, Loader=loader)["argument_specs"]
            for entry in specs.values():
                options.update(entry.get("options") or {})
    return options


def role_names(roles: str = ROLES) -> list[str]:
    """Return the names of the collection's roles; each is the prefix of its variables."""
    return sorted(os.listdir(roles)) if os.path.isdir(roles) else []


def check_name(name: str, roles: str = ROLES) -> tuple[str, str] | None:
    """Return what is wrong with a variable's name and a hint, or None.

    Variables that no role claims by its prefix are the user's own.
    """
    options = role_options(roles)
    own = [role for role in role_names(roles) if name.startswith(role + "_")]
    # role__x is a role's own, and what a task registers is called x_result.
    if name in options or not own or any(name.startswith(role + "__") for role in own) or name.endswith("_result"):
        return None
    hint = (
        nearest(name, options) or "Variables that start with a role's name belong to the role; see ansible-doc -t role."
    )
    return "there is no variable '%s'" % name, hint


def check_foreign(name: str, value: Any, known: Iterable[str] = ()) -> tuple[str, str] | None:
    """Return what is wrong with a k3s-ansible variable and what to write instead, or None.

    :param known: variables that are set as well: ``token`` beside ``k3s_token`` is for the other project.
    """
    if name not in K3S_ANSIBLE or str(value).strip() in _K3S_ANSIBLE_HARMLESS.get(name, ()):
        return None
    advice = K3S_ANSIBLE[name]
    if " " not in advice:
        if advice in known:
            return None
        advice = "Call it %s." % advice
    return "'%s' is a variable of k3s-ansible and has no effect here" % name, advice


def check_value(name: str, value: Any, option: dict[str, Any]) -> tuple[str, str] | None:
    """Return what is wrong with a value and a hint, or None; strings are taken as Ansible takes them (``"5"`` is 5)."""
    if isinstance(value, Vault):
        return None
    kind, choices = option.get("type", "str"), option.get("choices")
    secret = bool(option.get("no_log"))
    if value is None:
        return "'%s' has no value" % name, "Give it one, or remove the line."
    if choices is not None and kind == "str" and value not in choices:
        hint = "One of: %s." % ", ".join(str(choice) for choice in choices)
        if isinstance(value, bool):
            hint = "YAML reads a bare on, off, yes or no as a boolean. " + hint
        elif isinstance(value, str):
            hint = (nearest(value, choices) + " " + hint).strip()
        return "'%s' cannot be %s" % (name, _show(value, secret)), hint
    problem = _check_type(value, kind)
    if problem:
        return "'%s' must be %s, not %s" % (name, _KINDS.get(kind, kind), _show(value, secret)), problem
    if kind == "list" and isinstance(value, list) and option.get("elements"):
        for item in value:
            problem = _check_type(item, option["elements"])
            if problem:
                wanted = _KINDS.get(option["elements"], option["elements"])
                return "each item of '%s' must be %s, not %s" % (name, wanted, _show(item, secret)), problem
    if name == "k3s_extra_args":
        return _check_flags(name, value)
    return _check_version(name, value) if name == "k3s_version" else None


def _check_flags(name: str, value: Any) -> tuple[str, str] | None:
    """Refuse flags that hold a secret: they would be in the process list of the node, and in a file for everybody."""
    for item in [value] if isinstance(value, str) else value:
        flag = secret_flag(str(item))
        if flag:
            message = "'%s' of '%s' holds a secret, which every user of the node could read" % (flag, name)
            return message, "Use %s." % instead_of(flag)
    return None


def _check_version(name: str, value: str) -> tuple[str, str] | None:
    """Refuse what is neither an exact version nor can be the name of a channel."""
    if is_version(value) or re.fullmatch(r"[a-z]+|v[0-9]+\.[0-9]+", value):
        return None
    hint = "Write an exact version, v1.36.4+k3s1, or a channel: stable, latest, v1.36."
    for guess in ("v" + value, value + "+k3s1", "v" + value + "+k3s1"):
        if is_version(guess) or re.fullmatch(r"v[0-9]+\.[0-9]+", guess):
            return "'%s' of '%s' is no k3s version" % (value, name), "Did you mean '%s'? %s" % (guess, hint)
    return "'%s' of '%s' is no k3s version" % (value, name), hint


_KINDS = {
    "str": "a text",
    "path": "a path",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "dict": "a mapping",
}


def _show(value: Any, secret: bool = False) -> str:
    text = "<hidden>" if secret else repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _check_type(value: Any, kind: str) -> str:
    """Return an empty text where the value fits, else how to write it."""
    if isinstance(value, Vault):
        return ""
    if kind in ("str", "path"):
        if isinstance(value, bool):
            return "YAML reads a bare on, off, yes or no as a boolean: put it in quotes."
        if isinstance(value, (int, float)):
            return "YAML reads digits as a number: put it in quotes."
        return "" if isinstance(value, str) else "Write it as one text in quotes."
    if kind == "int":
        good = isinstance(value, int) or (isinstance(value, str) and value.strip().lstrip("+-").isdigit())
        return "" if good and not isinstance(value, bool) else "Write digits only."
    if kind == "float":
        try:
            return "" if not isinstance(value, bool) and float(value) is not None else "Write a number."
        except (TypeError, ValueError):
            return "Write a number."
    if kind == "bool":
        good = isinstance(value, bool) or str(value).lower() in _TRUE_FALSE
        return "" if good else "Write true or false."
    if kind == "list":
        good = isinstance(value, (list, tuple, str))  # Ansible splits "a,b"
        return "" if good else "Write it in brackets: [a, b]."
    if kind == "dict":
        return "" if isinstance(value, dict) else "Write it as key: value lines."
    return ""
