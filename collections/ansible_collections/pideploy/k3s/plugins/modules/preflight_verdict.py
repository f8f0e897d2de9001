#!/usr/bin/python
# -*- coding: utf-8 -*-

# SPDX-FileCopyrightText: 2026 The pideploy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

__metaclass__ = type
DOCUMENTATION = r"""
module: preflight_verdict
short_description: Judge the facts of all hosts together
version_added: 0.1.0
description:
  - Reads the facts that M(pideploy.k3s.node_facts) left of each host, and says what is wrong with one of them, and what
    is wrong between them (the same machine twice, the same name, address or MAC address, another cluster's node).
  - Changes nothing and fails nothing; connects to no host. Run it once for all hosts (C(run_once)).
  - Also returns the cluster's entries for C(/etc/hosts), for M(pideploy.k3s.hostname).
author: The pideploy authors (@pideploy)
options:
  hosts:
    description: The hosts to judge, by inventory name. The default is all hosts of the play that have facts.
    type: list
    elements: str
  min_free_mb:
    description: Free space that a new node needs for C(/var/lib/rancher), in MiB.
    type: int
    default: 1500
  max_clock_skew:
    description: How far a clock may be from the controller's, in seconds.
    type: float
    default: 30
  adopt:
    description: Take over a k3s that pideploy did not install.
    type: bool
    default: false
attributes:
  check_mode:
    description: Changes nothing, in check mode or not.
    support: full
  diff_mode:
    description: Changes nothing, so there is no difference to show.
    support: none
"""

EXAMPLES = r"""
- name: Judge all hosts
  pideploy.k3s.preflight_verdict:
    min_free_mb: 3000
  register: preflight_result
  run_once: true

- name: Stop where a host cannot be used
  ansible.builtin.fail:
    msg: "{{ preflight_result.failed_hosts[inventory_hostname] | join('; ') }}"
  when: inventory_hostname in preflight_result.failed_hosts
"""

RETURN = r"""
findings:
  description: Everything that is wrong, errors first.
  type: list
  elements: dict
  returned: always
  contains:
    level:
      description: V(error) or V(warning).
      type: str
      returned: always
    host:
      description: The host's inventory name.
      type: str
      returned: always
    code:
      description: The kind of finding.
      type: str
      returned: always
      sample: duplicate_hostname
    message:
      description: What is wrong.
      type: str
      returned: always
    hint:
      description: What to do about it.
      type: str
      returned: always
failed_hosts:
  description: Each host with errors, and its errors.
  type: dict
  returned: always
stopping_hosts:
  description:
    - Those of RV(failed_hosts) that stop the run for all hosts, because they are servers, or because the inventory
      seems to mean other machines.
  type: list
  elements: str
  returned: always
node_names:
  description: Each host's name in the cluster.
  type: dict
  returned: always
hosts:
  description: The cluster's entries for C(/etc/hosts), C(address) and C(names).
  type: list
  elements: dict
  returned: always
"""
