# SPDX-FileCopyrightText: 2026 The pideploy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first task of every playbook: check the inventory, connect to nothing. Documented in modules/guard.py."""

from __future__ import annotations

import dataclasses
from typing import Any, Mapping

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.pideploy.k3s.plugins.module_utils import guard


class ActionModule(ActionBase):
    """Hands groups and variables to the checks."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return ``failed`` with all findings, or who is server and agent."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        self.validate_argument_spec({})
        task_vars = task_vars or {}
        groups = {str(name): [str(host) for host in hosts] for name, hosts in task_vars["groups"].items()}
        roles = guard.roles_of(groups)
        variables = {host: _evaluated(task_vars["hostvars"][host]) for host in roles.all}
        findings = guard.check(groups, variables)
        result.update(
            changed=False,
            findings=[{**dataclasses.asdict(finding), "hosts": list(finding.hosts)} for finding in findings],
            first_server=roles.servers[0] if roles.servers else "",
            servers=roles.servers,
            agents=roles.agents,
        )
        errors = [finding.text() for finding in findings]
        if errors:
            result.update(failed=True, msg=errors[0] if len(errors) == 1 else "\n".join(["", *errors]))
        else:
            result["msg"] = "server: %s; agents: %s" % (roles.servers[0], guard.short(roles.agents) or "none")
        return result


def _evaluated(known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables that are checked; what needs facts that nobody has yet is left for the roles."""
    values: dict[str, Any] = {}
    for name in known:
        if guard.wanted(name):
            try:
                values[str(name)] = known[name]
            except AnsibleError:
                continue
    return values
