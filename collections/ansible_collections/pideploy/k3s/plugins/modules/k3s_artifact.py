#!/usr/bin/python
# -*- coding: utf-8 -*-

# SPDX-FileCopyrightText: 2026 The pideploy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

__metaclass__ = type

DOCUMENTATION = r"""
module: k3s_artifact
short_description: Bring the k3s binary and its images onto a node
version_added: 0.1.0
description:
  - On the controller, chooses the version and the file for the node's architecture, downloads it into the cache when
    it is not there, and pushes it over the existing SSH connection, going on where an interrupted push stopped.
  - On the node, checks the SHA-256 and puts the file in its place by a rename, so that a running k3s is not disturbed.
  - A node that has the file already is not touched; it is known from P(pideploy.k3s.preflight#role)'s facts.
  - Never changes the version of a node that is part of a cluster.
author: The pideploy authors (@pideploy)
options:
  version:
    description: An exact version such as V(v1.36.4+k3s1), or a channel such as V(stable).
    type: str
    default: stable
  channel_url:
    description: Where a channel is looked up.
    type: str
    default: https://update.k3s.io/v1-release/channels
  release_url:
    description: Where releases are downloaded from.
    type: str
    default: https://github.com/k3s-io/k3s/releases/download
  source:
    description: V(push) copies the controller's file, V(pull) lets the node download for itself.
    type: str
    choices: [push, pull]
    default: push
  airgap_images:
    description: Whether the tarball of k3s's own images is brought as well. V(auto) means when the cache holds it.
    type: str
    choices: [auto, always, never]
    default: auto
  data_dir:
    description: k3s's data folder. The images go to C(agent/images) in it.
    type: path
    default: /var/lib/rancher/k3s
  files:
    description: What is to be installed on the node. Filled in by the controller's side of this module.
    type: list
    elements: dict
    default: []
    suboptions:
      kind:
        description: What it is.
        type: str
        choices: [binary, images]
        required: true
      dest:
        description: Where it goes.
        type: path
        required: true
      sha256:
        description: Its checksum.
        type: str
        required: true
      src:
        description: The pushed file on the node. It is moved away.
        type: str
        default: ""
      url:
        description: Where the node downloads it.
        type: str
        default: ""
  root:
    description: Folder that stands for the node's file system.
    type: path
    default: /
attributes:
  check_mode:
    description: Can run in check mode and predicts what would be brought to the node.
    support: full
  diff_mode:
    description: Shows version, size and checksum, not the files.
    support: full
"""

EXAMPLES = r"""
- name: Bring k3s onto the node
  pideploy.k3s.k3s_artifact:
    version: v1.36.4+k3s1
  register: k3s_artifact_result

- name: Show the version that a channel came to
  ansible.builtin.debug:
    var: k3s_artifact_result.version
"""

RETURN = r"""
version:
  description: The exact version.
  type: str
  returned: always
  sample: v1.36.4+k3s1
arch:
  description: The artifact's architecture, V(amd64), V(arm64), V(armhf) or V(any).
  type: str
  returned: always
sha256:
  description: The binary's checksum.
  type: str
  returned: always
bytes_pushed:
  description: How many bytes went over the connection.
  type: int
  returned: always
bytes_pulled:
  description: How many bytes the node downloaded.
  type: int
  returned: always
images_pushed:
  description: Whether image tarballs were brought to the node (in check mode, would be).
  type: bool
  returned: always
touched:
  description: Whether anything was done on the node. V(false) when it had everything, and in check mode.
  type: bool
  returned: always
msg:
  description: What was done, in words.
  type: str
  returned: always
files:
  description: What was done to each file.
  type: list
  elements: dict
  returned: when the node was touched
  contains:
    dest:
      description: The file.
      type: str
    changed:
      description: Whether it was replaced.
      type: bool
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.pideploy.k3s.plugins.module_utils import files, k3s_install, manifest

MODES = {"binary": 0o755, "images": 0o644}


def noted(data, item):
    # type: (dict, dict) -> dict
    """The manifest's note about a file: the binary's is ``k3s``, a tarball's is ``k3s.images.<name>``."""
    k3s = data.get("k3s") or {}
    if item["kind"] == "binary":
        return k3s
    return (k3s.get("images") or {}).get(os.path.basename(item["dest"])) or {}


def note(root, item, version):
    # type: (str, dict, str) -> None
    """Note an installed file in the manifest, so that neither hashing nor ``k3s --version`` is needed to know it."""
    data = manifest.load(root)
    k3s = data.setdefault("k3s", {})
    stamp = k3s_install.stamp(root, item["dest"], item["sha256"])
    if item["kind"] == "binary":
        k3s.update(stamp, version=version)
    else:
        k3s["images"] = {os.path.basename(item["dest"]): stamp}
    manifest.save(root, data)


def drop_other_tarballs(root, dest):
    # type: (str, str) -> None
    """Delete the same tarball in another compression (``.tar`` beside ``.tar.zst``): k3s would import both."""
    folder, name = os.path.split(dest)
    stem = name.split(".tar")[0]
    for other in (".tar", ".tar.gz", ".tar.zst"):
        if stem + other != name:
            files.remove(root, os.path.join(folder, stem + other))


def apply(module, item, data):
    # type: (AnsibleModule, dict, dict) -> dict
    root = module.params["root"]
    before = k3s_install.current_sha256(root, item["dest"], noted(data, item))
    entry = {"dest": item["dest"], "changed": before != item["sha256"], "bytes_pulled": 0}
    if entry["changed"] and not module.check_mode:
        entry["bytes_pulled"] = k3s_install.install(
            root, item["dest"], MODES[item["kind"]], item["sha256"], item["src"], item["url"])
        if item["kind"] == "images":
            drop_other_tarballs(root, item["dest"])
    if not module.check_mode:
        note(root, item, module.params["version"])
        if item["src"]:
            k3s_install.discard(item["src"])
    entry["diff"] = {
        "before_header": item["dest"], "after_header": item["dest"],
        "before": "sha256 %s\n" % before if before else "", "after": "sha256 %s\n" % item["sha256"],
    }
    return entry


def main():
    # type: () -> None
    module = AnsibleModule(
        argument_spec={
            "version": {"type": "str", "default": "stable"},
            "channel_url": {"type": "str", "default": "https://update.k3s.io/v1-release/channels"},
            "release_url": {"type": "str", "default": "https://github.com/k3s-io/k3s/releases/download"},
            "source": {"type": "str", "default": "push", "choices": ["push", "pull"]},
            "airgap_images": {"type": "str", "default": "auto", "choices": ["auto", "always", "never"]},
            "data_dir": {"type": "path", "default": "/var/lib/rancher/k3s"},
            "files": {"type": "list", "elements": "dict", "default": [], "options": {
                "kind": {"type": "str", "choices": ["binary", "images"], "required": True},
                "dest": {"type": "path", "required": True},
                "sha256": {"type": "str", "required": True},
                "src": {"type": "str", "default": ""},
                "url": {"type": "str", "default": ""},
            }},
            "root": {"type": "path", "default": "/"},
        },
        supports_check_mode=True,
    )
    done = []
    try:
        data = manifest.load(module.params["root"])
        # images first: a node that has the binary has what came with it, also after a cut
        for item in sorted(module.params["files"], key=lambda one: one["kind"] != "images"):
            if not item["src"] and not item["url"]:
                module.fail_json(msg="%s has neither src nor url" % item["dest"], bad_checksum=False)
            done.append(apply(module, item, data))
    except k3s_install.InstallError as exc:
        module.fail_json(msg="%s. %s" % (exc.message, exc.hint) if exc.hint else exc.message, files=done,
                         bad_checksum=exc.bad_checksum)
    except (manifest.ManifestError, OSError) as exc:
        module.fail_json(msg=str(exc), files=done, bad_checksum=False)
    changed = [entry for entry in done if entry["changed"]]
    module.exit_json(
        changed=bool(changed), diff=[entry.pop("diff") for entry in done if entry["changed"]],
        files=[{key: value for key, value in entry.items() if key != "diff"} for entry in done],
        bytes_pulled=sum(entry["bytes_pulled"] for entry in done),
    )


if __name__ == "__main__":
    main()
