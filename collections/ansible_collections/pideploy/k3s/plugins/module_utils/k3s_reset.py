# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take k3s off a node: what there is of it (``Remains``), and its removal in an order that a later run can go on with.

What k3s needs to be recognised by (configuration, data, binary, manifest) goes last.
"""

from __future__ import annotations

import glob
import os
from typing import Any, Dict, List, Optional

from ansible_collections.pideploy.k3s.plugins.module_utils import (
    files, k3s_config, k3s_former, k3s_runtime, manifest, removal)
from ansible_collections.pideploy.k3s.plugins.module_utils.service import ACTIVE, Systemd

__metaclass__ = type

# Files of k3s outside its data folder. CNI folders may be shared with Podman, so only k3s's own entries are named.
_STATE = ("/var/lib/kubelet", "/run/k3s", "/run/flannel", "/run/netns/cni-*", "/var/log/pods", "/var/log/containers",
          "/var/lib/cni/networks/cbr0", "/var/lib/cni/results/cbr0-*", "/var/lib/cni/flannel",
          "/etc/cni/net.d/10-flannel.conflist")
_EMPTY = ("/var/lib/cni/networks", "/var/lib/cni/results", "/var/lib/cni", "/etc/cni/net.d", "/etc/cni")
_SCRIPTS = ("k3s-killall.sh", "k3s-uninstall.sh", "k3s-agent-uninstall.sh")  # of k3s's install.sh, on adopted nodes
_DATA = ("agent", "data", "server")  # what k3s makes in its data folder, beside storage/


class ResetError(Exception):
    """The node was not reset, or not all of it; ``hint`` says what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class Remains:
    """What there is of k3s on a node. Looking changes nothing.

    :raises ResetError: the node belongs to another cluster, or nobody said that this k3s may be removed.
    """

    def __init__(self, params: Dict[str, Any], systemd: Systemd, run: k3s_runtime.Run) -> None:
        self.root: str = params["root"]
        self.live = systemd.live
        self.systemd, self._run = systemd, run
        self.delete_data: bool = params["delete_data"]
        self.manifest = manifest.load(self.root)
        self.data_dir = os.path.realpath(files.below(self.root, params["data_dir"]))
        self.mounts = k3s_runtime.container_mounts() if self.live else []
        mounts = [mount.path for mount in removal.read_mounts()] if self.live else []
        self._foreign_mounts = frozenset(mounts) - frozenset(self.mounts)
        if len(params["data_dir"].strip("/").split("/")) < 2:
            raise ResetError("k3s_data_dir is '%s': that is no folder of k3s" % params["data_dir"],
                             "a data folder has at least two parts, such as /mnt/k3s")
        config = k3s_config.parse(files.read_text(self.root, k3s_config.CONFIG) or "")
        # A host that was reset before, or has a new card, knows its own name alone.
        name = config.get("node-name") or self.manifest.get("node_name") or os.uname().nodename
        self.node = {"name": str(name).lower(),
                     "machine_id": (files.read_text(self.root, "/etc/machine-id") or "").strip()}
        self.units = [unit for unit in k3s_config.UNITS.values() if self._exists("%s/%s" % (k3s_config.UNIT_DIR, unit))]
        self._check_owner(params["cluster"], params["adopt"])
        # /var/lib/kubelet alone may be another distribution's: without a sign of k3s nothing is touched.
        self.found = bool(self.units or self.manifest.get("k3s") or self._data() or self._exists(k3s_config.BINARY)
                          or self._exists("/etc/rancher/k3s"))
        self.paths = self._paths() if self.found else []
        look = self.found and self.live
        self.processes = k3s_runtime.processes(self.data_dir) if look else []
        self.interfaces = k3s_runtime.interfaces(self.root) if look else []
        self.firewall = k3s_runtime.firewalls(run, self.data_dir) if look else []
        self.left: List[str] = []

    def _exists(self, path: str) -> bool:
        return os.path.lexists(files.below(self.root, path))

    def _data(self) -> List[str]:
        names = [*_DATA, "storage"] if self.delete_data else _DATA
        return [path for path in ("%s/%s" % (self.data_dir, name) for name in names)
                if removal.removable(path, self._foreign_mounts)]

    def _check_owner(self, mine: str, adopt: bool) -> None:
        cluster = self.manifest.get("cluster")
        if cluster and cluster != mine:
            raise ResetError("this node belongs to cluster '%s', not to '%s'" % (cluster, mine),
                             "name that cluster, or take the host out of this one")
        if self.units and not cluster and not adopt:
            raise ResetError("this node runs a k3s that pideploy did not install",
                             "uninstall it there with its own k3s-uninstall.sh, or set the variable "
                             "preflight_adopt: true to remove it all the same")

    def _paths(self) -> List[str]:
        """Files and folders to delete, in order."""
        found: List[str] = []
        for pattern in _STATE:
            found += [path for path in sorted(glob.glob(files.below(self.root, pattern)))
                      if removal.removable(path, self._foreign_mounts)]
        for result in [path for path in found if os.path.basename(path).startswith("cbr0-")]:
            # The same container's result for its loopback interface lies beside, under another network's name.
            folder, name = os.path.split(result)
            found += glob.glob("%s/cni-loopback-%s-*" % (folder, name.split("-")[1]))
        config = k3s_config.parse(files.read_text(self.root, k3s_config.CONFIG) or "")
        wanted = [str(config.get("write-kubeconfig") or "")]
        for role, unit in k3s_config.UNITS.items():
            base = "%s/%s" % (k3s_config.UNIT_DIR, unit)
            wanted += [k3s_config.dropin_path(role), base + ".env", base + ".pideploy.bak", base]
        if self.manifest.get("k3s", {}).get("time_wait"):
            wanted.append(k3s_config.time_wait_path(self.manifest["k3s"]["time_wait"]))
        wanted += [k3s_former.PATH, "/etc/rancher/k3s", "/etc/rancher/node"]
        for name in k3s_config.LINKS:
            link = files.below(self.root, "/usr/local/bin/" + name)
            if os.path.islink(link) and os.readlink(link) in ("k3s", k3s_config.BINARY):
                wanted.append("/usr/local/bin/" + name)
        wanted += ["/usr/local/bin/" + name for name in _SCRIPTS]
        found += [files.below(self.root, path) for path in wanted if path.startswith("/") and self._exists(path)]
        found += self._data()
        if self._exists(k3s_config.BINARY):
            found.append(files.below(self.root, k3s_config.BINARY))
        return found

    @property
    def changed(self) -> bool:
        """Whether there is anything to remove."""
        return bool(self.found and (self.units or self.paths or self.processes or self.mounts or self.interfaces
                                    or self.firewall or self.manifest.get("k3s")))

    def listing(self) -> List[str]:
        """Return what is removed, a line each, in order."""
        if not self.changed:
            return []
        lines = ["stop and disable " + unit for unit in self.units]
        if self.processes:
            lines.append("end %d container processes" % len(self.processes))
        lines += ["unmount " + path for path in self.mounts]
        lines += ["delete interface " + name for name in self.interfaces]
        lines += ["take k3s's rules out of " + os.path.basename(save)[:-5] for save, _restore in self.firewall]
        lines += ["delete " + path for path in self.paths]
        return lines

    def kept(self) -> List[str]:
        """Return what stays on purpose: volumes, and mounts that are not k3s's own."""
        storage = self.data_dir + "/storage"
        return ([storage] if os.path.isdir(storage) and not self.delete_data else []) + self.left

    def remove(self) -> None:
        """Remove it all.

        :raises k3s_runtime.RuntimeLeftover: a process or mount that does not go; nothing was deleted then.
        :raises ServiceError: systemctl refused.
        """
        for unit in self.units:
            self.systemd.stop(unit)
            self.systemd.disable(unit)
        if self.live:
            # Not by way of the slice: systemd would wait 90 s for every container that ignores SIGTERM.
            k3s_runtime.end_processes(self.data_dir)
            if self.systemd.show(k3s_runtime.SLICE).active in ACTIVE:
                self.systemd.stop(k3s_runtime.SLICE)
            k3s_runtime.remove_cgroups()
            k3s_runtime.unmount(self._run)
            k3s_runtime.delete_interfaces(self._run)
            k3s_runtime.clean_firewalls(self._run, self.data_dir)
        time_wait = self.manifest.get("k3s", {}).get("time_wait")
        if time_wait:
            self.systemd.disable(time_wait)
        self._delete()
        if self.units:
            self.systemd.reload()
            if self.live:
                self._run(["systemctl", "reset-failed", *self.units, "cri-containerd-*.scope"])
        self._forget()

    def _delete(self) -> None:
        mounts = [mount.path for mount in removal.read_mounts()] if self.live else []
        for path in self.paths:
            self.left += removal.remove_tree(path, mounts)
        units = [*k3s_config.UNITS.values(), *k3s_config.TIME_WAITS]
        for path in [*_EMPTY, *("%s/%s.d" % (k3s_config.UNIT_DIR, unit) for unit in units), "/etc/rancher"]:
            removal.remove_empty(files.below(self.root, path))
        if removal.remove_empty(self.data_dir):
            removal.remove_empty(os.path.dirname(self.data_dir))

    def _forget(self) -> None:
        data = {key: value for key, value in self.manifest.items() if key not in ("k3s", "cluster", "node_name")}
        ours = ("/etc/rancher/", "%s/k3s" % k3s_config.UNIT_DIR)
        noted = {path: value for path, value in data.pop("files", {}).items() if not path.startswith(ours)}
        if noted:
            data["files"] = noted
        if data != {"schema": manifest.SCHEMA}:
            manifest.save(self.root, data)
        elif files.remove(self.root, manifest.PATH):
            removal.remove_empty(files.below(self.root, os.path.dirname(manifest.PATH)))


def diff(lines: List[str], kept: Optional[List[str]] = None) -> Dict[str, str]:
    """Return what Ansible shows with ``--diff``."""
    stays = "".join("keep %s\n" % path for path in kept or [])
    return {"before": "".join(line + "\n" for line in lines) + stays, "after": stays,
            "before_header": "k3s on this node", "after_header": "after the reset"}
