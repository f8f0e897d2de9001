#!/usr/bin/python
# -*- coding: utf-8 -*-

# SPDX-FileCopyrightText: 2026 The pideploy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: swap
short_description: Turn swap off now and for good, at the program that turns it on
version_added: 0.1.0
description:
  - Finds the owner of swap on this OS and turns it off there. It knows dphys-swapfile, rpi-swap, zram-generator,
    zram-config, zram-tools, nvzramconfig (Jetson), C(/etc/fstab), swap units, and partitions that systemd finds itself.
  - Switches the areas in use off. Where that is not possible now, because the memory is too full for instance, the next
    boot is without swap and RV(reboot_required) is true.
  - Notes on the node what it was, and how to have it back.
author: The pideploy authors (@pideploy)
options:
  state:
    description: V(disabled) turns swap off; V(kept) leaves it as it is.
    type: str
    choices: [disabled, kept]
    default: disabled
  root:
    description: Folder that stands for the node's file system. Below another than V(/), no program is run.
    type: path
    default: /
attributes:
  check_mode:
    description: Can run in check mode and predicts what would change.
    support: full
  diff_mode:
    description: Shows the files' differences.
    support: full
"""

EXAMPLES = r"""
- name: Turn swap off
  pideploy.k3s.swap:
    state: disabled
"""

RETURN = r"""
owner:
  description: Who would have turned swap on at the next boot; V(manual) or V(none) if nobody.
  type: str
  returned: always
  sample: dphys-swapfile
was_active:
  description: The areas that were in use before the task.
  type: list
  elements: str
  returned: always
  sample: [/var/swap]
active:
  description: The areas in use after the task (in check mode, before it).
  type: list
  elements: str
  returned: always
reboot_required:
  description: Whether an area could not be switched off now, so that it takes a reboot.
  type: bool
  returned: always
boot_id:
  description: The boot in which RV(reboot_required) was said. A later boot makes it void.
  type: str
  returned: always
undo:
  description: How to have swap back, one sentence an owner.
  type: list
  elements: str
  returned: always
files:
  description: The files and links that were changed, or would be.
  type: list
  elements: str
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.pideploy.k3s.plugins.module_utils import edits, manifest, probe_system, swap


def switch_off(module, state):
    # type: (AnsibleModule, swap.State) -> list[str]
    """Stop the owners' units and switch off what is left; return the areas that are still in use.

    What a program answers does not count here (a unit may be gone already), /proc/swaps does.
    """
    systemctl = module.get_bin_path("systemctl")
    swapoff = module.get_bin_path("swapoff", opt_dirs=["/usr/sbin", "/sbin"])
    if systemctl:
        module.run_command([systemctl, "daemon-reload"])
    if not swap.fits_into_memory("/", state.active):
        return [area.name for area in state.active]
    for unit in swap.units_to_stop(state) if systemctl else ():
        module.run_command([systemctl, "stop", unit])
    for area in swap.active("/") if swapoff else ():
        module.run_command([swapoff, area.name])
    return [area.name for area in swap.active("/")]


def main():
    # type: () -> None
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["disabled", "kept"], "default": "disabled"},
            "root": {"type": "path", "default": "/"},
        },
        supports_check_mode=True,
    )
    root = module.params["root"]
    state = swap.detect(root)
    plan = [edit for owner in state.owners for edit in owner.edits]
    links = [link for owner in state.owners for link in owner.links]
    active = [area.name for area in state.active]
    wanted_off = module.params["state"] == "disabled"
    result = {
        "changed": wanted_off and (state.enabled or bool(active)),
        "owner": swap.owner_names(state),
        "was_active": active,
        "active": active,
        "reboot_required": False,
        "boot_id": probe_system.ids(root)["boot_id"],
        "undo": [owner.undo for owner in state.owners] if wanted_off else [],
        "files": [item.path for item in plan + links] if wanted_off else [],
        "diff": edits.diff(plan, links, root) if wanted_off else [],
    }
    if result["changed"] and active:
        result["diff"].append({"before_header": "/proc/swaps", "after_header": "/proc/swaps",
                               "before": "".join(name + "\n" for name in active), "after": ""})
    if module.check_mode or not result["changed"]:
        module.exit_json(**result)
    try:
        noted = manifest.load(root)
        edits.apply(root, plan, links)
    except (manifest.ManifestError, OSError) as exc:
        result["changed"] = False
        module.fail_json(msg="cannot turn swap off: %s; nothing was changed" % exc, **result)
    again = swap.detect(root)
    if again.enabled:
        module.fail_json(
            msg="swap would still come back at boot by %s: see its configuration for what comes after pideploy's"
            % swap.owner_names(again), **result)
    if root == "/":
        result["active"] = switch_off(module, state)
    else:
        result["active"] = [area.name for area in again.active]
    result["reboot_required"] = bool(result["active"])
    own = noted.setdefault("swap", {})
    own["reboot_id"] = result["boot_id"] if result["reboot_required"] else ""
    new = [{"what": "turned swap off (%s)" % owner.name, "undo": owner.undo} for owner in state.owners]
    own["changes"] = [item for item in own.get("changes", []) if item not in new] + new
    try:
        manifest.save(root, noted)
    except OSError as exc:
        module.fail_json(msg="swap is off, but that could not be noted on the node: %s" % exc, **result)
    # An area that cannot be switched off before the reboot is no change of a later run.
    result["changed"] = bool(plan or links) or result["active"] != active
    module.exit_json(**result)


if __name__ == "__main__":
    main()
