#!/usr/bin/python
# -*- coding: utf-8 -*-

# SPDX-FileCopyrightText: 2026 The pideploy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The work is done by plugins/action/guard.py; this file holds its documentation.

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: guard
short_description: Check the inventory before anything is connected to
version_added: 0.1.0
author: The pideploy authors (@pideploy)
description:
  - Checks groups and variables of all hosts at once, whatever C(--limit) says, and fails with all that is wrong.
  - "Groups: there is one server; each host of C(k3s_cluster) is server or agent, not both. C(k3s_server) and
    C(k3s_agent) count where they exist, else C(server) and C(agent)."
  - "Hosts: no two are reached at the same address, get the same static address, or would be the same node."
  - "Variables: those of the roles have known names, types and choices, as their C(argument_specs) say. Those of
    k3s-ansible are refused with what to write instead."
  - "Versions: no agent is newer than the server, or more than three minor versions older."
attributes:
  check_mode:
    description: Changes nothing.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
  action:
    description: Runs on the controller and connects to no host.
    support: full
"""

EXAMPLES = r"""
- name: Check spec and inventory
  hosts: k3s_cluster:localhost
  gather_facts: false
  any_errors_fatal: true
  tasks:
    - name: Check spec and inventory
      pideploy.k3s.guard:
      run_once: true
"""

RETURN = r"""
first_server:
  description: The server that agents join.
  type: str
  returned: always
servers:
  description: The servers, in the inventory's order.
  type: list
  elements: str
  returned: always
agents:
  description: The agents, in the inventory's order.
  type: list
  elements: str
  returned: always
findings:
  description: What is wrong, as data; C(msg) says the same in one line each.
  type: list
  elements: dict
  returned: always
  contains:
    code:
      description: A short word for programs, such as V(duplicate_address).
      type: str
    message:
      description: What is wrong.
      type: str
    hint:
      description: What to do about it.
      type: str
    hosts:
      description: Whom it is about.
      type: list
      elements: str
"""
