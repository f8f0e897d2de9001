#!/usr/bin/python
# -*- coding: utf-8 -*-

# SPDX-FileCopyrightText: 2026 The pideploy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: kernel_cmdline
short_description: Add arguments to the kernel's command line, in the file that this machine boots from
version_added: 0.1.0
description:
  - Finds the live boot file by what the boot loader reads, not by the name of the OS. It knows the Raspberry Pi
    firmware (C(cmdline.txt) below C(/boot/firmware) or C(/boot), C(os_prefix), A/B boot), extlinux (Jetson) and GRUB.
  - Keeps everything else of the file as it is, and a copy of the original beside it (C(.pideploy.bak)).
  - Fails with a clear message where there is nothing to edit, as on a machine that boots from the network.
  - Does not reboot.
author: The pideploy authors (@pideploy)
options:
  add:
    description: Arguments that the kernel shall be started with.
    type: list
    elements: str
    default: [cgroup_enable=cpuset, cgroup_memory=1, cgroup_enable=memory]
  controllers:
    description:
      - Cgroup controllers for whose sake this is done. Where the running kernel has all of them, nothing is edited.
      - A literal C(cgroup_disable=) of one of them is taken out of the file.
      - Empty means that the arguments are wanted whatever the kernel reports.
    type: list
    elements: str
    default: [cpu, cpuset, memory, pids]
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
- name: Turn the memory controller on
  pideploy.k3s.kernel_cmdline:
    add: [cgroup_enable=memory]
    controllers: [memory]
"""

RETURN = r"""
reboot_required:
  description: Whether a reboot is needed before the kernel has the arguments.
  type: bool
  returned: always
layout:
  description: How this machine boots, one of V(pi), V(pi-ab), V(extlinux), V(grub), V(network), V(unknown).
  type: str
  returned: always
file:
  description: The live boot file.
  type: str
  returned: always
files:
  description: The files that were changed, or would be. A pending A/B boot has a second one.
  type: list
  elements: str
  returned: always
boot_id:
  description: The boot in which RV(reboot_required) was said. A later boot makes it void.
  type: str
  returned: always
missing:
  description: The controllers that the running kernel lacks.
  type: list
  elements: str
  returned: always
undo:
  description: How to take the change back on the card, one sentence a file.
  type: list
  elements: str
  returned: when something was changed
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.pideploy.k3s.plugins.module_utils import (
    bootfile,
    cmdline,
    edits,
    files,
    manifest,
    probe_system,
)


def update_grub(module, command):
    # type: (AnsibleModule, str) -> str
    """Render grub.cfg; return why it failed, or an empty text."""
    rc, out, err = module.run_command([command])
    return "" if rc == 0 else "update-grub failed: %s" % ((err or out).strip().splitlines() or ["no message"])[-1]


def main():
    # type: () -> None
    module = AnsibleModule(
        argument_spec={
            "add": {
                "type": "list",
                "elements": "str",
                "default": ["cgroup_enable=cpuset", "cgroup_memory=1", "cgroup_enable=memory"],
            },
            "controllers": {"type": "list", "elements": "str", "default": ["cpu", "cpuset", "memory", "pids"]},
            "root": {"type": "path", "default": "/"},
        },
        supports_check_mode=True,
    )
    root, wanted, controllers = (module.params[key] for key in ("root", "add", "controllers"))
    boot = bootfile.locate(root)
    missing = probe_system.cgroup(root, controllers)["missing"]
    result = {"changed": False, "reboot_required": False, "layout": boot.layout, "file": boot.file, "files": [],
              "missing": missing, "boot_id": probe_system.ids(root)["boot_id"], "diff": []}
    if controllers and not missing:
        module.exit_json(**result)
    for word in wanted:
        if len(cmdline.words(word)) != 1 or "\n" in word:
            module.fail_json(msg="'%s' is not one kernel argument" % word, **result)
    try:
        plan = cmdline.plan(root, boot, wanted, controllers)
        noted = manifest.load(root)
    except cmdline.CmdlineError as exc:
        module.fail_json(msg="%s%s" % (exc, "; %s" % exc.hint if exc.hint else ""), **result)
    except manifest.ManifestError as exc:
        module.fail_json(msg=str(exc), **result)
    grub = None
    stale = boot.layout == "grub" and (bool(plan) or cmdline.grub_is_stale(root, wanted))
    running = files.read_text(root, "/proc/cmdline") or ""
    result.update(changed=bool(plan) or stale, files=[edit.path for edit in plan], diff=edits.diff(plan))
    result["reboot_required"] = result["changed"] or not cmdline.asked(running, wanted)
    then = "update-grub" if boot.layout == "grub" else ""
    if stale and root == "/":
        grub = module.get_bin_path("update-grub", opt_dirs=["/usr/sbin", "/sbin"])
        if not grub:
            result["changed"] = False
            module.fail_json(msg="there is no update-grub to bring the arguments into %s; add %s to the kernel's "
                                 "command line yourself" % (bootfile.GRUB_CFG, " ".join(wanted)), **result)
    if module.check_mode or not result["changed"]:
        module.exit_json(**result)
    try:
        edits.apply(root, plan)
        reason = update_grub(module, grub) if grub else ""
        if reason:
            edits.put_back(root, plan)
            result["changed"] = False
            module.fail_json(msg="%s; the files were put back (add %s to the kernel's command line yourself)"
                             % (reason, " ".join(wanted)), **result)
        edits.note(noted, root, "cmdline", plan, then, args=list(wanted), file=boot.file,
                   boot_id=result["boot_id"])
        manifest.save(root, noted)
    except OSError as exc:
        edits.put_back(root, plan)
        result["changed"] = False
        module.fail_json(msg="cannot write %s: %s; nothing was changed" % (boot.file, exc), **result)
    result["undo"] = [edits.undo_text(root, edit.path, then) for edit in plan]
    module.exit_json(**result)


if __name__ == "__main__":
    main()
