# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is the cluster what it should be? Nodes, system pods and flannel, judged from the API's own objects.

The judges are pure functions over the JSON of ``kubectl get -o json``; ``Verifier`` asks again until they are content
or the time is up. A check is ``passed``, ``failed`` or ``not_run``, and says why; one that did not run never passes.
"""

from __future__ import annotations

import calendar
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from ansible_collections.pideploy.k3s.plugins.module_utils.kubectl import Kubectl, KubectlError

__metaclass__ = type

Json = Dict[str, Any]
PASSED, FAILED, NOT_RUN = "passed", "failed", "not_run"
SERVER_LABEL = "node-role.kubernetes.io/control-plane"
NO_PODS = "these nodes take no pods (capacity.pods is 0)"
TITLES = {
    "nodes": "Every host is a Ready node",
    "system_pods": "System pods run",
    "flannel": "Pod network is set up on every node",
    "dns": "Names resolve inside pods",
    "pvc": "A volume can be claimed, written and read",
    "pod_to_pod": "Pods reach each other across nodes",
    "service": "A service answers by name and cluster address",
}
# Seconds after which a kubelet that renews its Lease every 10 s counts as silent; preflight refuses 30 s of clock skew.
LEASE_AGE = 25.0
POLL = 0.5
_BACKENDS_BY_ADDRESS = ("vxlan", "host-gw", "wireguard")


class Expected(NamedTuple):
    """One host of the inventory: its node name (or, where that is not known, its address), role and version."""

    host: str
    name: str
    role: str  # server or agent
    version: str = ""  # empty: any
    address: str = ""
    lost: bool = False  # it failed or was out of reach before: if it is no node now, waiting does not make it one


class Check(NamedTuple):
    """The outcome of one check; ``evidence`` are lines that explain it."""

    id: str
    status: str
    message: str
    evidence: List[str]
    duration_s: float = 0.0

    def to_dict(self) -> Json:
        """Return the check as a module result: its fields and its title."""
        return dict(self._asdict(), title=TITLES[self.id], duration_s=round(self.duration_s, 1))


def _ready(node: Json) -> Json:
    conditions = node.get("status", {}).get("conditions") or []
    found = [c for c in conditions if c.get("type") == "Ready"]
    return found[0] if found else {"status": "Unknown", "reason": "NoStatus", "message": "kubelet has not reported yet"}


def _internal_ip(node: Json) -> str:
    addresses = node.get("status", {}).get("addresses") or []
    return str(next((a["address"] for a in addresses if a.get("type") == "InternalIP"), ""))


def pod_capacity(node: Json) -> int:
    """Return how many pods a node takes; 0 where it says none, or nothing."""
    value = str(node.get("status", {}).get("capacity", {}).get("pods", "0"))
    return int(value) if value.isdigit() else 0


def _moment(text: str) -> float:
    """Return a time of the API (RFC 3339, UTC, with or without fractions) in seconds of the epoch; 0.0 for no time."""
    try:
        return float(calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")))
    except ValueError:
        return 0.0


def _age(node: Json, now: float) -> int:
    made = _moment(node["metadata"].get("creationTimestamp") or "")
    return max(0, int(now - made)) if made else 0


def describe(node: Json, now: float) -> Json:
    """Return what is worth knowing of a Node object; ``reason`` says why it is not Ready."""
    info, ready = node.get("status", {}).get("nodeInfo", {}), _ready(node)
    reason = "" if ready["status"] == "True" else "%s: %s" % (ready.get("reason", ""), ready.get("message", ""))
    return {
        "name": node["metadata"]["name"], "host": "", "wanted_version": "", "reason": reason,
        "role": "server" if SERVER_LABEL in (node["metadata"].get("labels") or {}) else "agent",
        "version": info.get("kubeletVersion", ""), "ready": ready["status"] == "True",
        "internal_ip": _internal_ip(node), "os_image": info.get("osImage", ""), "kernel": info.get("kernelVersion", ""),
        "arch": info.get("architecture", ""), "age_s": _age(node, now),
        "schedulable": not node.get("spec", {}).get("unschedulable", False),
    }


def judge_nodes(nodes: List[Json], expected: List[Expected], now: float) -> Tuple[List[Json], List[str]]:
    """Compare the nodes with the hosts that should be nodes.

    Returns a row for each expected host (in their order) and then for each other node, and the problems, one line each.
    """
    rows, problems = [], []
    rest = {node["metadata"]["name"]: node for node in nodes}
    for wanted in expected:
        name = wanted.name
        if not name:
            there = [n for n, node in rest.items() if wanted.address and _internal_ip(node) == wanted.address]
            name = there[0] if there else wanted.host
        node = rest.pop(name, None)
        if node is None:
            row = dict(describe({"metadata": {"name": name}}, now), reason="not in the cluster", role=wanted.role)
        else:
            row = describe(node, now)
        faults = [row["reason"]] if row["reason"] else []
        if node is not None and row["role"] != wanted.role:
            faults.append("is %s, should be %s" % (row["role"], wanted.role))
        if node is not None and wanted.version and row["version"] != wanted.version:
            faults.append("runs k3s %s, should run %s" % (row["version"], wanted.version))
        row.update(host=wanted.host, wanted_version=wanted.version, reason="; ".join(faults))
        rows.append(row)
        if faults:
            label = wanted.host if wanted.host == name else "%s (node %s)" % (wanted.host, name)
            problems.append("%s: %s" % (label, row["reason"]))
    rows += [describe(node, now) for node in rest.values()]
    return rows, problems


def _owner(pod: Json) -> Tuple[str, str]:
    """Return (kind, uid) of the pod's controller."""
    owners = [o for o in pod["metadata"].get("ownerReferences") or [] if o.get("controller")]
    return (owners[0].get("kind", ""), owners[0].get("uid", "")) if owners else ("", "")


def judge_pods(pods: List[Json]) -> List[str]:
    """Return one line for each pod that neither runs with all containers ready nor has done its work.

    A job's pod is well when it has succeeded. A failed pod does not count where its controller has a good one since.
    """
    bad, good_owners = [], set()
    for pod in pods:
        states = pod.get("status", {}).get("containerStatuses") or []
        ready = sum(1 for s in states if s.get("ready"))
        phase, total = pod.get("status", {}).get("phase", "Unknown"), len(pod.get("spec", {}).get("containers") or [])
        if phase == "Succeeded" or (phase == "Running" and ready == total and _owner(pod)[0] != "Job"):
            good_owners.add(_owner(pod)[1])
        elif not pod["metadata"].get("deletionTimestamp"):  # one on its way out does not count
            bad.append((pod, phase, ready, total))
    problems = []
    for pod, phase, ready, total in bad:
        if phase == "Failed" and _owner(pod)[1] and _owner(pod)[1] in good_owners:
            continue
        status = pod.get("status", {})
        states = (status.get("initContainerStatuses") or []) + (status.get("containerStatuses") or [])
        why = [w for w in (_waiting(s) for s in states) if w]
        why += ["%s: %s" % (c.get("reason"), c.get("message")) for c in status.get("conditions") or []
                if c.get("type") == "PodScheduled" and c.get("status") == "False"]
        problems.append("%s: %s, %d/%d ready%s" % (
            pod["metadata"]["name"], phase, ready, total, "".join(" (%s)" % w for w in why[:2])))
    return problems


def _waiting(state: Json) -> str:
    waiting = state.get("state", {}).get("waiting") or {}
    words = [w for w in (waiting.get("reason"), waiting.get("message")) if w]
    ended = state.get("lastState", {}).get("terminated") or {}
    if ended.get("reason"):
        words.append("last ended: %s, exit code %s" % (ended["reason"], ended.get("exitCode")))
    return ", ".join(words)


def judge_flannel(nodes: List[Json]) -> Tuple[str, str, List[str]]:
    """Return (status, message, problems): has each node a pod network, announced at an address of its own?

    Source: the annotations that flannel (``kube.Manager``) sets on its node.
    """
    prefix, problems, backends = "flannel.alpha.coreos.com/", [], set()
    for node in nodes:
        name, notes = node["metadata"]["name"], node["metadata"].get("annotations") or {}
        backend, public = notes.get(prefix + "backend-type"), notes.get(prefix + "public-ip")
        own = [a.get("address") for a in node.get("status", {}).get("addresses") or []]
        if not node.get("spec", {}).get("podCIDR"):
            problems.append("%s: no pod network assigned (spec.podCIDR is empty)" % name)
        elif backend is None:
            problems.append("%s: flannel has not started (no %sbackend-type)" % (name, prefix))
        elif backend in _BACKENDS_BY_ADDRESS and public not in own:
            problems.append("%s: flannel announces %s, which is none of the node's addresses (%s)"
                            % (name, public, ", ".join(str(a) for a in own)))
        backends.add(backend)
    if backends == {None}:
        return NOT_RUN, "flannel is not in use: no node has its annotations", []
    if problems:
        return FAILED, "flannel is not up on %d of %d nodes" % (len(problems), len(nodes)), problems
    return PASSED, "%s on %d nodes" % (", ".join(sorted(str(b) for b in backends)), len(nodes)), []


class Verifier:
    """Asks the cluster until it is well or ``timeout`` seconds have passed; collects nodes and checks."""

    def __init__(self, kubectl: Kubectl, expected: List[Expected], timeout: float,
                 clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep,
                 now: Callable[[], float] = time.time) -> None:
        self.kubectl, self.expected, self.timeout = kubectl, expected, timeout
        self.clock, self.sleep, self.now = clock, sleep, now
        self.deadline = clock() + timeout
        self.objects: List[Json] = []
        self.rows: List[Json] = []
        self.renewals: Dict[str, str] = {}
        self.checks: List[Check] = []

    @property
    def pods_possible(self) -> bool:
        """Whether any node takes pods."""
        return any(pod_capacity(node) > 0 for node in self.objects)

    def poll(self, look: Callable[[], List[str]]) -> List[str]:
        """Call ``look`` (it returns problems) until it returns none or the time is up; return its last answer.

        kubectl's own failures count as a problem: an API server that restarts answers again.
        """
        while True:
            try:
                problems = look()
            except KubectlError as exc:
                problems = [str(exc)]
            if not problems or self.clock() >= self.deadline:
                return problems
            self.sleep(POLL)

    def add(self, check: str, status: str, message: str, evidence: Optional[List[str]] = None,
            since: float = 0.0) -> None:
        """Note the outcome of a check that began at ``since`` (the clock's time; 0: it did not run)."""
        self.checks.append(Check(check, status, message, evidence or [], self.clock() - since if since else 0.0))

    def failed(self, check: str) -> bool:
        """Whether this check was made and failed."""
        return any(c.id == check and c.status == FAILED for c in self.checks)

    def check_nodes(self) -> None:
        """Wait until every expected host is a Ready node with its role and version; for a lost one, only look."""
        began = self.clock()
        lost = {wanted.host for wanted in self.expected if wanted.lost}
        without_hope: List[str] = []

        def look() -> List[str]:
            self.objects = self.kubectl.items("nodes")
            self.rows, problems = judge_nodes(self.objects, self.expected, self.now())
            hosts = [row["host"] for row in self.rows if row["host"] and row["reason"]]
            without_hope[:] = [line for host, line in zip(hosts, problems) if host in lost]
            return [line for host, line in zip(hosts, problems) if host not in lost]

        def heard_of() -> List[str]:
            problems = look()
            if not problems:
                silent = self.silent_nodes()
                without_hope.extend(line for host, line in silent.items() if host in lost)
                problems = [line for host, line in silent.items() if host not in lost]
            return problems

        problems = self.poll(heard_of) + without_hope
        if not self.objects:
            self.rows = [dict(row, reason="not known: the API server did not answer")
                         for row in judge_nodes([], self.expected, 0.0)[0]]
            self.add("nodes", FAILED, "the API server did not answer: %s" % "; ".join(problems), [], began)
            return
        others = ["%s is in the cluster and not in the inventory" % r["name"] for r in self.rows if not r["host"]]
        if problems:
            message = problems[0] if len(problems) == 1 else "%d of %d hosts are not as they should be" % (
                len(problems), len(self.expected))
            self.add("nodes", FAILED, message, problems + others, began)
        else:
            self.add("nodes", PASSED, "all %d hosts are Ready" % len(self.expected), others, began)

    def silent_nodes(self) -> Dict[str, str]:
        """Return host -> problem where a kubelet is not heard of, although the API still calls its node Ready.

        A Node stays Ready for some 45 s after its kubelet has stopped, and so does the old object of a machine that was
        installed anew. A kubelet renews its Lease every 10 s. The time in it is the node's own: where the clocks
        differ too much to tell, a second renewal while we wait is as good.
        """
        leases = {lease["metadata"]["name"]: str(lease.get("spec", {}).get("renewTime") or "")
                  for lease in self.kubectl.items("leases", "--namespace=kube-node-lease")}
        problems = {}
        for row in self.rows:
            renewed = leases.get(row["name"], "")
            if not renewed and row["age_s"] <= LEASE_AGE:
                continue  # it has just registered; the first Lease follows within 10 s
            if not row["host"] or row["reason"] or renewed != self.renewals.setdefault(row["name"], renewed):
                continue
            age = self.now() - _moment(renewed)
            if abs(age) > LEASE_AGE:
                how = "for %d s" % age if renewed else "yet"
                row.update(ready=False, reason="its kubelet was not heard of %s" % how)
                problems[row["host"]] = "%s: %s" % (row["host"], row["reason"])
        return problems

    def check_system_pods(self) -> None:
        """Wait until all pods of kube-system run (at least one exists) and are ready."""
        began = self.clock()
        seen: List[Json] = []

        def look() -> List[str]:
            seen[:] = self.kubectl.items("pods", "--namespace=kube-system")
            return judge_pods(seen) if seen else ["there is no pod in kube-system yet"]

        problems = self.poll(look)
        if problems:
            message = problems[0] if len(problems) == 1 else "%d pods do not run" % len(problems)
            about = [line.partition(":")[0] for line in problems if ":" in line]
            self.add("system_pods", FAILED, message, problems + self.events("kube-system", about), began)
        else:
            self.add("system_pods", PASSED, "%d pod%s" % (len(seen), "s run" if len(seen) > 1 else " runs"), [], began)

    def check_flannel(self) -> None:
        """Wait until flannel has announced every node."""
        began = self.clock()
        outcome = [(FAILED, "", [""])]

        def look() -> List[str]:
            self.objects = self.kubectl.items("nodes")
            outcome[0] = judge_flannel(self.objects)
            return outcome[0][2]

        problems = self.poll(look)
        status, message, _known = outcome[0]
        self.add("flannel", status, message or problems[0], problems, began if status != NOT_RUN else 0.0)

    def events(self, namespace: str, about: Optional[List[str]] = None, limit: int = 6) -> List[str]:
        """Return the namespace's last events, one line each: what Kubernetes itself says went wrong.

        Only warnings, unless ``about`` names objects: then everything that happened to these.
        """
        try:
            events = self.kubectl.items("events", "--namespace=" + namespace)
        except KubectlError as exc:
            return ["events: %s" % exc]
        events = [e for e in events
                  if (e.get("involvedObject", {}).get("name") in about if about else e.get("type") == "Warning")]
        events.sort(key=lambda e: str(e.get("lastTimestamp") or e.get("eventTime") or ""))
        lines = ["event: %s: %s: %s" % (e.get("involvedObject", {}).get("name"), e.get("reason"),
                                        str(e.get("message")).strip()) for e in events]
        return list(dict.fromkeys(lines))[-limit:]

    def run(self) -> None:
        """Make the checks of level ``nodes``."""
        self.check_nodes()
        if not self.objects:
            for check in ("system_pods", "flannel"):
                self.add(check, NOT_RUN, "the API server did not answer")
        elif not self.pods_possible:
            for check in ("system_pods", "flannel"):
                self.add(check, NOT_RUN, NO_PODS)
        else:
            if self.failed("nodes"):
                # The time is used up; say how the rest is without waiting for it again.
                self.deadline = self.clock()
            self.check_system_pods()
            self.check_flannel()

    def result(self) -> Json:
        """Return the module's result: ok, nodes, checks, pods_possible, unready_hosts."""
        return {
            "ok": not any(check.status == FAILED for check in self.checks),
            "nodes": self.rows,
            "checks": [check.to_dict() for check in self.checks],
            "pods_possible": self.pods_possible,
            "unready_hosts": [row["host"] for row in self.rows if row["host"] and row["reason"]],
        }


def summary(checks: List[Json]) -> str:
    """Return what failed in one line, for an error message."""
    failed = ["%s: %s" % (c["id"], c["message"]) for c in checks if c["status"] == FAILED]
    return "the cluster is not well: " + "; ".join(failed) if failed else "no check failed"
