#!/usr/bin/python
# -*- coding: utf-8 -*-

# SPDX-FileCopyrightText: 2026 The pideploy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: k3s_log_info
short_description: Read from a node's journal why its k3s does not do what it should
version_added: 0.1.0
description:
  - Returns the state of the node's k3s service, the lines of its journal that name a cause, and what to do about them.
  - Tokens and passwords are masked.
author: The pideploy authors (@pideploy)
options:
  lines:
    description: How many journal lines to look at, from the end.
    type: int
    default: 200
  data_dir:
    description: k3s's data folder.
    type: path
    default: /var/lib/rancher/k3s
  root:
    description: Folder that stands for the node's file system. Below another than V(/), systemd is not asked.
    type: path
    default: /
attributes:
  check_mode:
    description: Changes nothing.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Read why k3s does not start
  pideploy.k3s.k3s_log_info:
  register: log

- name: Show it
  ansible.builtin.debug:
    msg: "{{ log.causes }}"
"""

RETURN = r"""
service:
  description: The node's k3s service. Its C(unit) is empty where there is none.
  type: dict
  returned: success
  sample: {unit: k3s-agent.service, active: activating, sub: auto-restart, restarts: 4}
causes:
  description: The lines that name a cause, fatal ones first, each once; without such lines the last of the journal.
  type: list
  elements: str
  returned: success
hint:
  description: What to do about it; empty where that is not known.
  type: str
  returned: success
lines:
  description: The last lines of the journal.
  type: list
  elements: str
  returned: success
"""

import os
import re

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.pideploy.k3s.plugins.module_utils import files, k3s_config, k3s_log, masking, service

SHOWN = 20
_MESSAGE = re.compile(r'^time="[^"]*" level=\w+ msg="((?:[^"\\]|\\.)*)"')


def spoken(lines):
    # type: (list[str]) -> list[str]
    """Return what k3s's log lines say, without time and level, each text once, the last one first."""
    texts = []
    for line in reversed(lines):
        found = _MESSAGE.match(line)
        texts.append(found.group(1).replace('\\"', '"') if found else line)
    return list(dict.fromkeys(texts))


def main():
    module = AnsibleModule(
        argument_spec={
            "lines": {"type": "int", "default": 200},
            "data_dir": {"type": "path", "default": k3s_config.DATA_DIR},
            "root": {"type": "path", "default": "/"},
        },
        supports_check_mode=True,
    )
    root = module.params["root"]
    systemd = service.Systemd(module.run_command, root)
    units = [unit for role, unit in sorted(k3s_config.UNITS.items())
             if os.path.exists(files.below(root, k3s_config.unit_path(role)))]
    if not units:
        module.exit_json(changed=False, service={"unit": ""}, causes=["there is no k3s service on this host"], lines=[],
                         hint="run the deployment again: k3s was not installed here")
    unit = units[0]
    role_of = {name: role for role, name in k3s_config.UNITS.items()}
    try:
        state = systemd.show(unit)
        # The unit's file is as old as this installation: what an earlier one complained of is no cause of this trouble.
        written = os.stat(files.below(root, k3s_config.unit_path(role_of[unit]))).st_mtime
        text = systemd.journal(unit, since=written, lines=module.params["lines"])
    except service.ServiceError as exc:
        module.fail_json(msg=str(exc))
    text = masking.mask(text, masking.secrets_of(root, module.params["data_dir"]))
    causes = k3s_log.causes(text)
    if all(_MESSAGE.match(line) for line in causes):  # it found no cause and returned the journal's end
        causes = spoken(causes)
    module.exit_json(
        changed=False,
        service={"unit": unit, "active": state.active, "sub": state.sub, "restarts": state.restarts},
        causes=causes,
        hint=k3s_log.remedy(causes),
        lines=[line for line in text.splitlines() if line.strip()][-SHOWN:],
    )


if __name__ == "__main__":
    main()
