# SPDX-FileCopyrightText: 2026 The pideploy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's side of k3s_artifact: choose, download, push; then one call of the module on the node."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible.utils.vars import random_int as RUN  # one value for a run: set before the workers are forked

from ansible_collections.pideploy.k3s.plugins.module_utils import artifact_choice, artifacts, manifest
from ansible_collections.pideploy.k3s.plugins.module_utils.artifacts import Artifact, ArtifactError
from ansible_collections.pideploy.k3s.plugins.plugin_utils import push
from ansible_collections.pideploy.k3s.plugins.plugin_utils.once import once

__metaclass__ = type

display = Display()

BINARY = "/usr/local/bin/k3s"


class File:
    """A file that the node shall have: from the cache (``artifact``), or from ``url`` where the node pulls."""

    def __init__(self, kind: str, dest: str, name: str, sha256: str, size: int, path: str = "", url: str = "") -> None:
        self.kind, self.dest, self.name, self.sha256 = kind, dest, name, sha256
        self.size, self.path, self.url = size, path, url  # size 0: not known before the download

    @property
    def part(self) -> str:
        return self.sha256 + ".part"

    def words(self, version: str) -> str:
        what = "k3s " + version if self.kind == "binary" else self.name
        return "%s (%s)" % (what, artifact_choice.megabytes(self.size)) if self.size else what


class ActionModule(ActionBase):

    _supports_check_mode = True
    _supports_async = False
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        self._vars = task_vars or {}
        _result, self._options = self.validate_argument_spec(argument_spec={
            "version": {"type": "str", "default": "stable"},
            "channel_url": {"type": "str", "default": artifacts.CHANNEL_URL},
            "release_url": {"type": "str", "default": artifacts.RELEASE_URL},
            "source": {"type": "str", "default": "push", "choices": ["push", "pull"]},
            "airgap_images": {"type": "str", "default": "auto", "choices": ["auto", "always", "never"]},
            "data_dir": {"type": "path", "default": "/var/lib/rancher/k3s"},
            "root": {"type": "path", "default": "/"},
        })
        try:
            return self._deploy()
        except ArtifactError as exc:
            text = "%s. %s" % (exc.message.rstrip("."), exc.hint) if exc.hint else exc.message
            raise AnsibleActionFail(text, result={"hint": exc.hint}) from None  # a cause would be printed as well
        except OSError as exc:
            raise AnsibleActionFail("the artifact cache cannot be used: %s" % exc) from None

    def _deploy(self) -> dict[str, Any]:
        node = (self._vars.get("ansible_facts") or {}).get("pideploy_node")
        if not node:
            raise AnsibleActionFail(
                "k3s_artifact knows nothing about this node: the facts of role preflight are missing. "
                "Include the role first: include_role name=pideploy.k3s.preflight tasks_from=facts")
        k3s = node.get("k3s") or {}
        arch = artifact_choice.architecture(node.get("arch") or {})
        own = artifact_choice.running_version(k3s)
        version = self._version(own)
        result: dict[str, Any] = {
            "changed": False, "version": version, "arch": arch, "sha256": k3s.get("sha256") or "",
            "bytes_pushed": 0, "bytes_pulled": 0, "images_pushed": False, "touched": False,
        }
        wanted = []
        cached = artifacts.find(version, arch)
        if cached is not None:
            result.update(arch=cached.arch, sha256=cached.sha256)
        # a running node whose version is not in the cache keeps its binary: nothing is downloaded to compare
        if own is None or cached is not None:
            binary = self._missing("binary", version, arch, lambda name, sha256: k3s.get("sha256") == sha256)
            if binary is not None:
                result["sha256"] = binary.sha256
                wanted.append(binary)
        if self._wants_images(version, arch):
            noted = self._noted_images(k3s)
            images = self._missing("images", version, arch, lambda name, sha256: noted.get(name) == sha256)
            if images is not None:
                result["images_pushed"] = True
                wanted.append(images)
        if not wanted:
            result["msg"] = "k3s %s is there" % version
            return result
        result.update(changed=True, diff=[self._diff(file, k3s, version) for file in wanted])
        verb = "pull" if all(file.url for file in wanted) else "push"
        what = " and ".join(file.words(version) for file in wanted)
        if self._task.check_mode:
            result["msg"] = "would %s %s" % (verb, what)
            return result
        result["touched"] = True
        self._bring(wanted, result)
        result["msg"] = "%sed %s" % (verb, what)
        return result

    # --- what the node shall have -----------------------------------------------------------------------------------

    def _version(self, own: str | None) -> str:
        hostvars, groups = self._vars.get("hostvars") or {}, self._vars.get("groups") or {}

        def of_servers() -> Any:
            for host in groups.get("k3s_server") or groups.get("server") or []:
                facts = (hostvars[host].get("ansible_facts") or {}).get("pideploy_node") or {}
                yield artifact_choice.running_version(facts.get("k3s"))

        wanted = str(self._options["version"])
        version = artifact_choice.choose_version(wanted, own, of_servers())
        url = self._options["channel_url"]
        return version or once(RUN, "%s/%s" % (url, wanted), lambda: artifacts.resolve_channel(wanted, url))

    def _missing(self, kind: str, version: str, arch: str, has: Callable[[str, str], bool]) -> File | None:
        """The file that the node lacks, or None; ``has(name, sha256)`` tells what it has.

        The cache is asked first: a node that has the cache's file costs no network.
        """
        cached = artifacts.find(version, arch, kind)
        if cached is not None and has(cached.name, cached.sha256):
            return None
        file = self._file(kind, version, arch, cached)
        return None if has(file.name, file.sha256) else file

    def _file(self, kind: str, version: str, arch: str, cached: Artifact | None) -> File:
        """The file for this node; downloads it into the cache where it is pushed and not there yet."""
        release = self._options["release_url"]
        pull = self._options["source"] == "pull" and (cached is None or cached.arch != artifacts.ANY)
        if pull or (cached is None and self._task.check_mode):
            answer = once(RUN, "published %s %s %s %s" % (release, version, arch, kind),
                          lambda: " ".join(artifacts.published(version, arch, kind, release)))
            url, name, sha256 = answer.split(" ")
            if cached is not None and cached.name == name and cached.sha256 != sha256:
                raise ArtifactError("%s is not the file that %s publishes" % (cached.path, release),
                                    "Push it (k3s_artifact_source: push), or: pideploy artifacts remove %s" % version)
            return File(kind, self._dest(kind, name), name, sha256, 0, url=url if pull else "")
        if cached is None:
            once(RUN, "download %s %s %s %s" % (release, version, arch, kind),
                 lambda: self._download(version, arch, kind, release))
            cached = artifacts.download(version, arch, kind, release)  # from the cache
        return File(kind, self._dest(kind, cached.name), cached.name, cached.sha256, cached.size, cached.path)

    @staticmethod
    def _download(version: str, arch: str, kind: str, release: str) -> str:
        display.display("k3s %s for %s: downloading the %s from %s" % (version, arch, kind, release))
        return artifacts.download(version, arch, kind, release).path

    def _wants_images(self, version: str, arch: str) -> bool:
        mode = self._options["airgap_images"]
        return mode == "always" or (mode == "auto" and artifacts.find(version, arch, "images") is not None)

    def _dest(self, kind: str, name: str) -> str:
        return BINARY if kind == "binary" else os.path.join(self._options["data_dir"], "agent", "images", name)

    def _noted_images(self, k3s: dict[str, Any]) -> dict[str, str]:
        """The SHA-256 of the node's tarballs by name: from the facts, else from its manifest, which all may read."""
        noted = k3s.get("images")
        if noted is None:
            root = "" if self._options["root"] == "/" else self._options["root"]
            try:
                noted = json.loads(push.read_text(self._connection, root + manifest.PATH))["k3s"]["images"]
            except (ValueError, KeyError, TypeError):
                noted = {}
        return {name: str(stamp.get("sha256")) for name, stamp in noted.items()}

    @staticmethod
    def _diff(file: File, k3s: dict[str, Any], version: str) -> dict[str, str]:
        before = ""
        if file.kind == "binary" and k3s.get("sha256"):
            before = "k3s %s, sha256 %s\n" % (k3s.get("version"), k3s.get("sha256"))
        return {"before_header": file.dest, "after_header": file.dest, "before": before,
                "after": "%s, sha256 %s\n" % (file.words(version), file.sha256)}

    # --- bring it there ---------------------------------------------------------------------------------------------

    def _bring(self, wanted: list[File], result: dict[str, Any]) -> None:
        for last_try in (False, True):
            items = self._push(wanted, result)
            answer = self._execute_module(
                module_name="pideploy.k3s.k3s_artifact",
                module_args={"files": items, "version": result["version"], "root": self._options["root"]},
                task_vars=self._vars)
            if not answer.get("failed"):
                result["bytes_pulled"] = answer.get("bytes_pulled", 0)
                result["files"] = answer.get("files", [])
                return
            if answer.get("bad_checksum") and not last_try:
                display.vv("a file arrived damaged; it is brought once more as a whole", host=self._host())
                continue
            result.update(answer, changed=False)
            result.pop("diff", None)
            raise AnsibleActionFail(self._explain(answer), result=result)

    def _push(self, wanted: list[File], result: dict[str, Any]) -> list[dict[str, str]]:
        """Push what is to be pushed; return the module's ``files``."""
        pushed = [file for file in wanted if not file.url]
        incoming = push.Incoming("", {}, {}, {})
        if pushed:
            incoming = push.look(self._connection, [file.part for file in pushed], [file.dest for file in pushed])
            self._check_space(pushed, incoming)
        for file in pushed:
            result["bytes_pushed"] += push.push(self._connection, file.path, incoming, file.part)
        return [
            {"kind": file.kind, "dest": file.dest, "sha256": file.sha256, "url": file.url,
             "src": "" if file.url else os.path.join(incoming.path, file.part)}
            for file in wanted
        ]

    def _check_space(self, pushed: list[File], incoming: push.Incoming) -> None:
        needs: dict[str, int] = {}
        here = incoming.mounts.get(".", "")
        for file in pushed:
            left = max(0, file.size - incoming.sizes.get(file.part, 0))
            needs[here] = needs.get(here, 0) + left
            there = incoming.mounts.get(file.dest, here)
            if there != here:  # a rename inside one file system needs nothing more
                needs[there] = needs.get(there, 0) + file.size
        shortage = artifact_choice.missing_space(needs, incoming.free)
        if shortage:
            raise ArtifactError("no space on the node: %s" % shortage, "Make room there, then run again.")

    def _host(self) -> str:
        return str(self._vars.get("inventory_hostname", ""))

    @staticmethod
    def _explain(answer: dict[str, Any]) -> str:
        text = str(answer.get("msg") or "the node's side of k3s_artifact failed")
        if answer.get("bad_checksum"):
            text += ". It arrived damaged twice: check the node's memory, card and network, then run again."
        return text
