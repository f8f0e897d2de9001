# SPDX-FileCopyrightText: 2026 The pideploy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of k3s_kubeconfig: have the file read, rewrite it, keep it here. Its content leaves in no result."""

from __future__ import annotations

import os
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.pideploy.k3s.plugins.module_utils import files, paths
from ansible_collections.pideploy.k3s.plugins.plugin_utils import kubeconfig

__metaclass__ = type

MODULE = "pideploy.k3s.k3s_kubeconfig"


class ActionModule(ActionBase):
    """Fetch, rewrite, write."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return ``path``, ``server`` and ``context``, and whether the file changed."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _spec, options = self.validate_argument_spec(argument_spec={
            "cluster": {"type": "str", "required": True},
            "dest": {"type": "str", "default": ""},
            "server": {"type": "str", "default": ""},
            "address": {"type": "str", "default": ""},
            "root": {"type": "path", "default": "/"},
        })
        read = self._read(options, task_vars)
        content = read.pop("content", None)
        if read.get("failed") or read.get("unreachable"):
            result.update(read)
            return result
        address = options["server"] or read["node_ip"] or options["address"]
        try:
            path = os.path.abspath(os.path.expanduser(options["dest"])) if options["dest"] else os.path.join(
                paths.state_dir(options["cluster"]), "kubeconfig")
            server = kubeconfig.server_url(address, read["port"])
            result.update(changed=False, path=path, server=server, context=options["cluster"])
            if content is None and self._task.check_mode:
                result.update(changed=True, msg="would be fetched once the server runs")
            elif content is None:
                result.update(failed=True, msg="there is no %s: k3s has not started as a server here" % read["path"])
            else:
                text = kubeconfig.rewrite(content, options["cluster"], server)
                result["changed"] = self._keep(path, text)
        except (kubeconfig.KubeconfigError, ValueError) as exc:
            result.update(failed=True, msg=str(exc))
        except OSError as exc:
            result.update(failed=True, msg="cannot write %s: %s" % (exc.filename or options["dest"], exc.strerror))
        return result

    def _read(self, options: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        """Run the module. With no_log, because the connection shows what it received from ``-vvv`` on.

        The connection has a play context of its own (task_executor makes a copy), and looks at that one.
        """
        context = self._connection._play_context
        before, context.no_log = context.no_log, True
        try:
            arguments = {"cluster": options["cluster"], "root": options["root"]}
            return dict(self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars))
        finally:
            context.no_log = before

    def _keep(self, path: str, text: str) -> bool:
        """Write the file with mode 0600 unless it is so already; return whether that is or would be a change."""
        if self._task.check_mode:
            return files.read_text("/", path) != text
        if not os.path.isdir(os.path.dirname(path)):
            paths.make_private(os.path.dirname(path))
        return files.write_atomic("/", path, text, 0o600)
