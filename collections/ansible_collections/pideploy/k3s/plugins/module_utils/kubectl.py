# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``k3s kubectl`` with a time limit on every call, JSON in and out, and its own words in the error."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import Any, Callable, Dict, List, Optional, Tuple

from ansible_collections.pideploy.k3s.plugins.module_utils import files

__metaclass__ = type

Json = Dict[str, Any]
# (arguments, text for stdin, seconds) -> (exit code, stdout, stderr)
Run = Callable[[List[str], Optional[str], float], Tuple[int, str, str]]
KUBECONFIG = "/etc/rancher/k3s/k3s.yaml"
# kubectl logs each failed attempt in klog's format before it says in one line what is wrong.
_KLOG = re.compile(r"^[EWI]\d{4} [\d:.]+\s")


class KubectlError(Exception):
    """kubectl failed, or did not answer in time; the message holds its last words."""


def run(command: List[str], data: Optional[str], timeout: float) -> Tuple[int, str, str]:
    """Run a command and return exit code, stdout and stderr.

    :raises KubectlError: no such program, or no answer within ``timeout`` seconds (it is killed then).
    """
    try:
        # AnsibleModule.run_command knows no time limit.
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            command, input=data, check=False, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            encoding="utf-8", errors="replace", timeout=timeout)
    except subprocess.TimeoutExpired:
        raise KubectlError("kubectl gave no answer within %d s" % timeout) from None
    except OSError as exc:
        raise KubectlError("cannot run %s: %s" % (command[0], exc.strerror)) from None
    return done.returncode, done.stdout, done.stderr


def last_words(text: str) -> str:
    """Return what kubectl says at the end, without the log of its attempts."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    spoken = [line for line in lines if not _KLOG.match(line)]
    return (spoken or lines or ["kubectl failed without a word"])[-1]


class Kubectl:
    """kubectl on a server, with the server's own administrator's kubeconfig (never that of the environment)."""

    def __init__(self, k3s_path: str, root: str = "/", data_dir: str = "/var/lib/rancher/k3s",
                 runner: Run = run) -> None:
        # write-kubeconfig can move the first; the second is always there on a server.
        spare = os.path.join(data_dir, "server/cred/admin.kubeconfig")
        path = spare if not os.path.exists(files.below(root, KUBECONFIG)) else KUBECONFIG
        self._kubeconfig = files.below(root, path)
        self._command = [k3s_path, "kubectl", "--kubeconfig=" + self._kubeconfig]
        self._run = runner

    def call(self, arguments: List[str], data: Optional[str] = None, timeout: float = 15, request: bool = True) -> str:
        """Return what ``kubectl ARGUMENTS`` prints.

        ``request`` limits each request as well, which commands that wait or stream must not have.

        :raises KubectlError: it failed.
        """
        if not os.path.exists(self._kubeconfig):
            raise KubectlError("there is no %s: this host runs no k3s server" % self._kubeconfig)
        limit = ["--request-timeout=%ds" % max(1, int(timeout))] if request else []
        code, out, err = self._run(self._command + limit + arguments, data, timeout + 5)
        if code != 0:
            raise KubectlError(last_words(err or out))
        return out

    def get(self, *arguments: str) -> Json:
        """Return ``kubectl get ARGUMENTS -o json``.

        :raises KubectlError: it failed, or printed no JSON.
        """
        text = self.call(["get", "-o", "json", *arguments])
        try:
            data = json.loads(text)
        except ValueError:
            raise KubectlError("kubectl get %s printed no JSON: %s" % (" ".join(arguments), text[:200])) from None
        if not isinstance(data, dict):
            raise KubectlError("kubectl get %s printed no object" % " ".join(arguments))
        return data

    def items(self, *arguments: str) -> List[Json]:
        """Return the objects of ``kubectl get ARGUMENTS`` as a list."""
        return list(self.get(*arguments).get("items") or [])

    def apply(self, objects: List[Json]) -> None:
        """Create or change objects.

        :raises KubectlError: the API server refused one.
        """
        self.call(["apply", "-f", "-"], json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}), timeout=30)
