# SPDX-FileCopyrightText: 2026 The pideploy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Controller side of node_facts: measures the node's clock around the call, and knows the controller's own machine."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

__metaclass__ = type

MODULE = "pideploy.k3s.node_facts"


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def is_controller(facts: dict[str, Any]) -> bool:
    """Whether these are the facts of this machine: its machine-id and its boot (a cloned card has the first alone)."""
    own = (_read("/etc/machine-id"), _read("/proc/sys/kernel/random/boot_id"))
    return all(own) and own == (facts.get("machine_id"), facts.get("boot_id"))


def measure(sent: float, received: float, epoch: float, duration: float) -> tuple[float, float]:
    """Return the node's clock minus the controller's, and the error of that, in seconds.

    The node read its clock after it had worked for ``duration``: so at the earliest that long after the call was sent.
    """
    earliest = min(sent + duration, received)
    middle = (earliest + received) / 2
    return round(epoch - middle, 3), round((received - earliest) / 2, 3)


class ActionModule(ActionBase):
    """Run the module, and complete its facts."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        sent = time.time()
        result.update(self._execute_module(module_name=MODULE, module_args=self._task.args, task_vars=task_vars))
        received = time.time()
        facts = (result.get("ansible_facts") or {}).get("pideploy_node")
        if facts:
            clock = facts["clock"]
            clock["offset_s"], clock["error_s"] = measure(sent, received, clock["epoch"], clock["duration_s"])
            facts["is_controller"] = is_controller(facts)
        return result
