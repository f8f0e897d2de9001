# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a k3s journal says about a failed start: the lines that name the cause, and what to do about it."""

from __future__ import annotations

import re
from typing import List

__metaclass__ = type

_LOGRUS = re.compile(r'^(?:.*?\s)?time="[^"]*" level=(?P<level>\w+) msg=(?P<msg>"(?:[^"\\]|\\.)*"|\S+)(?P<rest>.*)$')
_KLOG_FATAL = re.compile(r'^[EF]\d{4} [\d:.]+\s+\d+ (?P<where>\S+\.go:\d+)\] (?P<msg>.*)$')
_PLAIN = re.compile(
    r"^panic:|^Traceback \(|exec format error|^Error:|[Nn]o space left|status=203/EXEC|Failed to (?:execute|locate)")
# Not fatal by their level, but what k3s says of the part of it that ended.
_ENDED = re.compile(r"^Shutdown request received|^(?:kubelet|containerd|apiserver|\S+) exited")
# Said at level info, again and again, by an agent that will never get in: the reason follows the words.
_KEPT_OUT = re.compile(r"^Waiting to retrieve agent configuration; server is not ready: (?!.*\b503\b)")
# Errors of every healthy start and every stop: they are causes only where there is nothing else.
_NOISE = re.compile(r"^Sending HTTP/\S+ 503|^Unable to write event|context canceled|^Failed to set sysctl")

_LONGEST = 300

# Words of k3s, kubelet and systemd -> remedy. The first that matches wins.
_REMEDIES = (
    (r"failed to find (?P<what>\w+) cgroup|(?P<pids>pids) cgroup controller not found",
     "the kernel runs without a cgroup controller that k3s needs: run the phases prepare and reboot, "
     "or add 'cgroup_enable=cpuset cgroup_memory=1 cgroup_enable=memory' to the kernel command line and reboot"),
    (r"not run on a host using cgroup v1|fail-?cgroupv1",
     "this host uses cgroup v1, which k3s 1.35 and later refuse: set k3s_kubelet_args: [fail-cgroupv1=false], "
     "or boot it with systemd.unified_cgroup_hierarchy=1"),
    (r"failed to parse (?:kubelet|kube-\w+) flag|unknown flag:",
     "one of the flags handed on is unknown to that program: look at k3s_kubelet_args"),
    (r"flag provided but not defined: -+(?P<flag>[\w-]+)",
     "this k3s knows no option of that name: look at k3s_server_config, k3s_agent_config and k3s_extra_args"),
    (r"yaml: ", "a file below /etc/rancher/k3s is no valid YAML: look at config.yaml.d/ and registries.yaml"),
    (r"address already in use", "another program holds a port that k3s needs: 'ss -ltnp' on the node shows which"),
    (r"encrypted with different token|failed to normalize server token",
     "the datastore was made with another token: remove k3s_token, or give the one this cluster was made with"),
    (r"token CA hash does not match",
     "the node joined another cluster, or the server was reset: reset this node, then run again"),
    (r"[Nn]ode password rejected",
     "the cluster knows another machine by this name: delete that node (k3s kubectl delete node NAME), then run again"),
    (r"not authorized", "the server refuses the join token: run again, the token is read from the server each time"),
    (r"x509: certificate has expired or is not yet valid",
     "the node's clock is wrong: check 'timedatectl', then run again"),
    (r"default route", "k3s needs a default route: give the node a gateway, or set k3s_node_ip and k3s_flannel_iface"),
    (r"no space left on device", "the node's disk is full: free some space below /var/lib/rancher"),
    (r"exec format error|status=203/EXEC", "the k3s binary does not run on this machine: check its architecture"),
    (r"failed to find interface|[Nn]o such network interface", "check k3s_flannel_iface and k3s_node_ip on this host"),
)


def _unquote(text: str) -> str:
    if len(text) >= 2 and text.startswith('"') and text.endswith('"'):
        return text[1:-1].replace('\\"', '"').replace("\\n", " ").replace("\\\\", "\\")
    return text


def causes(journal: str, limit: int = 6) -> List[str]:
    """Return the lines that say why k3s stopped, the most telling first: fatal ones, then errors, each text once.

    A journal without either gives its last ``limit`` lines.
    """
    fatal: List[str] = []
    errors: List[str] = []
    noise: List[str] = []
    kept_out: List[str] = []
    lines = [line.strip() for line in journal.splitlines() if line.strip()]
    for line in lines:
        logrus = _LOGRUS.match(line)
        if logrus:
            text = _unquote(logrus.group("msg")) + logrus.group("rest")
            if logrus.group("level") in ("fatal", "panic") or _ENDED.search(text):
                fatal.append(text)
            elif _KEPT_OUT.search(text):
                kept_out.append(text)
            elif logrus.group("level") == "error":
                (noise if _NOISE.search(text) else errors).append(text)
            continue
        klog = _KLOG_FATAL.match(line)
        if klog:
            errors.append(klog.group("msg"))
        elif _PLAIN.search(line):
            fatal.append(line)
    found: List[str] = []
    # The last messages are nearest to the end of the process.
    for text in [*(reversed(fatal) if fatal else reversed(kept_out)), *reversed(errors), *reversed(noise)]:
        if text not in found:
            found.append(text)
    return [_short(text) for text in (found[:limit] if found else lines[-limit:])]


def _short(text: str) -> str:
    """Cut a line where the reader has the point: k3s repeats whole command lines and addresses behind it."""
    return text if len(text) <= _LONGEST else text[:_LONGEST - 1].rstrip() + "…"


def remedy(lines: List[str]) -> str:
    """Return what to do about these causes, or an empty text where none is known."""
    for line in lines:
        for pattern, hint in _REMEDIES:
            if re.search(pattern, line):
                return hint
    return ""
