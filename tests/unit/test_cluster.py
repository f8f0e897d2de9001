# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""The proof of a cluster, over objects of a recorded k3s and a pretended kubectl."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.pideploy.k3s.plugins.module_utils import cluster, cluster_checks, kubectl
from ansible_collections.pideploy.k3s.plugins.module_utils.cluster import Expected, Verifier
from ansible_collections.pideploy.k3s.plugins.module_utils.kubectl import Kubectl, KubectlError

FIXTURES = Path(__file__).parent / "fixtures" / "k3s"
VERSION = "v1.36.3+k3s1"
MODULE = "ansible_collections.pideploy.k3s.plugins.modules.k3s_cluster_info"
REFUSED = "The connection to the server 127.0.0.1:6443 was refused - did you specify the right host or port?"
L0, L1 = Expected("l0", "l0", "server", VERSION), Expected("l1", "l1", "agent", VERSION)


def load(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((FIXTURES / name).read_text())["items"]
    return copy.deepcopy(found)


@pytest.fixture
def nodes() -> list[dict[str, Any]]:
    return load("nodes.json")


@pytest.fixture
def pods() -> list[dict[str, Any]]:
    return load("system-pods.json")


def condition(item: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(c for c in item["status"]["conditions"] if c["type"] == kind)


# --- nodes
def test_recorded_nodes_are_as_expected(nodes: list[dict[str, Any]]) -> None:
    now = time.mktime(time.strptime("2026-11-22T01:44:21Z", "%Y-%m-%dT%H:%M:%SZ")) - time.timezone
    rows, problems = cluster.judge_nodes(nodes, [L0, L1], now)
    assert problems == []
    assert rows[0] == {
        "host": "l0", "name": "l0", "role": "server", "version": VERSION, "wanted_version": VERSION, "ready": True,
        "internal_ip": "10.89.0.24", "os_image": "Debian GNU/Linux 12 (bookworm)", "kernel": "6.18.44-fc-v657",
        "arch": "amd64", "age_s": 300, "schedulable": True, "reason": ""}
    assert rows[1]["role"] == "agent"


@pytest.mark.parametrize(("wanted", "problem"), [
    (Expected("l0", "l0", "agent"), "l0: is server, should be agent"),
    (Expected("l0", "l0", "server", "v1.36.4+k3s1"), f"l0: runs k3s {VERSION}, should run v1.36.4+k3s1"),
    (Expected("red", "red", "agent"), "red: not in the cluster"),
    (Expected("10.0.0.5", "pi5", "agent"), "10.0.0.5 (node pi5): not in the cluster"),
])
def test_what_differs_is_named(nodes: list[dict[str, Any]], wanted: Expected, problem: str) -> None:
    rows, problems = cluster.judge_nodes(nodes, [wanted], 0)
    assert problems == [problem]
    assert rows[0]["host"] == wanted.host
    assert rows[0]["reason"] in problem


def test_a_host_by_address_is_found_by_its_address(nodes: list[dict[str, Any]]) -> None:
    rows, problems = cluster.judge_nodes(nodes, [Expected("10.89.0.25", "", "agent", address="10.89.0.25")], 0)
    assert problems == []
    assert [(row["host"], row["name"]) for row in rows] == [("10.89.0.25", "l1"), ("", "l0")]


def test_a_silent_node_says_why(nodes: list[dict[str, Any]]) -> None:
    condition(nodes[1], "Ready").update(
        status="Unknown", reason="NodeStatusUnknown", message="Kubelet stopped posting node status.")
    rows, problems = cluster.judge_nodes(nodes, [L0, L1], 0)
    assert problems == ["l1: NodeStatusUnknown: Kubelet stopped posting node status."]
    assert not rows[1]["ready"]


def test_a_node_without_status_is_not_ready(nodes: list[dict[str, Any]]) -> None:
    nodes[1]["status"] = {}
    assert cluster.judge_nodes(nodes, [L1], 0)[1] == [
        f"l1: NoStatus: kubelet has not reported yet; runs k3s , should run {VERSION}"]


# --- system pods
def test_recorded_pods_run(pods: list[dict[str, Any]]) -> None:
    assert cluster.judge_pods(pods) == []


def test_a_crashing_pod_is_explained(pods: list[dict[str, Any]]) -> None:
    state = pods[0]["status"]["containerStatuses"][0]
    state.update(ready=False, state={"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}},
                 lastState={"terminated": {"reason": "Error", "exitCode": 1}})
    assert cluster.judge_pods(pods) == [
        f"{pods[0]['metadata']['name']}: Running, 0/1 ready "
        "(CrashLoopBackOff, back-off 10s, last ended: Error, exit code 1)"]


def test_a_pod_that_found_no_node_is_explained(pods: list[dict[str, Any]]) -> None:
    pods[0]["status"] = {"phase": "Pending", "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes are available"}]}
    assert cluster.judge_pods(pods)[0].endswith("Pending, 0/1 ready (Unschedulable: 0/2 nodes are available)")


def test_jobs_count_when_done_and_failed_pods_while_unreplaced(pods: list[dict[str, Any]]) -> None:
    def pod(phase: str, kind: str, uid: str) -> dict[str, Any]:
        made = copy.deepcopy(pods[0])
        owner = {"controller": True, "kind": kind, "uid": uid}
        made["metadata"].update(name=f"{kind}-{phase}", ownerReferences=[owner])
        made["status"]["phase"] = phase
        return made

    assert cluster.judge_pods([pod("Succeeded", "Job", "1"), pod("Failed", "Job", "1")]) == []
    assert len(cluster.judge_pods([pod("Running", "Job", "1")])) == 1
    assert cluster.judge_pods([pod("Running", "ReplicaSet", "2"), pod("Failed", "ReplicaSet", "2")]) == []
    assert len(cluster.judge_pods([pod("Failed", "ReplicaSet", "3")])) == 1
    leaving = pod("Pending", "ReplicaSet", "4")
    leaving["metadata"]["deletionTimestamp"] = "2026-11-22T01:44:21Z"
    assert cluster.judge_pods([leaving]) == []


# --- flannel
def test_recorded_flannel_is_up(nodes: list[dict[str, Any]]) -> None:
    assert cluster.judge_flannel(nodes) == ("passed", "vxlan on 2 nodes", [])


def test_flannel_faults(nodes: list[dict[str, Any]]) -> None:
    nodes[0]["metadata"]["annotations"]["flannel.alpha.coreos.com/public-ip"] = "192.168.1.9"
    del nodes[1]["spec"]["podCIDR"]
    status, message, problems = cluster.judge_flannel(nodes)
    assert (status, message) == ("failed", "flannel is not up on 2 of 2 nodes")
    assert problems == ["l0: flannel announces 192.168.1.9, which is none of the node's addresses (10.89.0.24, l0)",
                        "l1: no pod network assigned (spec.podCIDR is empty)"]


def test_flannel_that_is_not_used_is_not_judged(nodes: list[dict[str, Any]]) -> None:
    for node in nodes:
        node["metadata"]["annotations"] = {}
    assert cluster.judge_flannel(nodes)[:2] == ("not_run", "flannel is not in use: no node has its annotations")


# --- kubectl
def client(tmp_path: Path, runner: kubectl.Run) -> Kubectl:
    (tmp_path / "etc/rancher/k3s").mkdir(parents=True, exist_ok=True)
    (tmp_path / "etc/rancher/k3s/k3s.yaml").write_text("")
    return Kubectl("/usr/local/bin/k3s", str(tmp_path), runner=runner)


def test_every_call_has_a_limit_and_its_own_kubeconfig(tmp_path: Path) -> None:
    seen: list[tuple[list[str], float]] = []

    def run(command: list[str], data: str | None, timeout: float) -> tuple[int, str, str]:
        seen.append((command, timeout))
        return 0, '{"items": []}', ""

    assert client(tmp_path, run).items("nodes") == []
    [(command, timeout)] = seen
    assert command[:3] == ["/usr/local/bin/k3s", "kubectl", f"--kubeconfig={tmp_path}/etc/rancher/k3s/k3s.yaml"]
    assert "--request-timeout=15s" in command
    assert 15 < timeout < 60


def test_errors_are_kubectls_last_words(tmp_path: Path) -> None:
    log = 'E1122 05:00:00.1 1 memcache.go:265] "Unhandled Error" err="couldn\'t get current server API group list"\n'
    with pytest.raises(KubectlError, match=r"^The connection to the server 127\.0\.0\.1:6443 was refused"):
        client(tmp_path, lambda *_: (1, "", log + REFUSED + "\n")).get("nodes")
    with pytest.raises(KubectlError, match="printed no JSON"):
        client(tmp_path, lambda *_: (0, "<html>", "")).get("nodes")
    with pytest.raises(KubectlError, match="this host runs no k3s server"):
        Kubectl("/usr/local/bin/k3s", str(tmp_path / "other")).get("nodes")


def test_a_hanging_or_missing_program_is_an_error() -> None:
    with pytest.raises(KubectlError, match="no answer within 0 s"):
        kubectl.run(["sleep", "9"], None, 0.2)
    with pytest.raises(KubectlError, match="cannot run /no/such: No such file"):
        kubectl.run(["/no/such"], None, 1)


# --- the verifier
NOW = 1_795_400_000


def lease(name: str, age: float = 4) -> dict[str, Any]:
    moment = time.strftime("%Y-%m-%dT%H:%M:%S.123456Z", time.gmtime(NOW - age))
    return {"metadata": {"name": name}, "spec": {"renewTime": moment}}


class Cluster:
    """kubectl of a pretended cluster: answers by the words of the command, in a time of its own."""

    def __init__(self, tmp_path: Path, nodes: list[dict[str, Any]], pods: list[dict[str, Any]]) -> None:
        mark = {"storageclass.kubernetes.io/is-default-class": "true"}
        self.tables: dict[str, list[dict[str, Any]]] = {
            "nodes": nodes, "pods": pods, "events": [], "leases": [lease(n["metadata"]["name"]) for n in nodes],
            "storageclasses": [{"metadata": {"name": "local-path", "annotations": mark}}]}
        self.now, self.calls = 100.0, 0
        self.deleted: list[list[str]] = []
        self.at: dict[int, Callable[[], None]] = {}
        self.error = ""
        self.answers: dict[str, str] = {}
        self.applied: list[dict[str, Any]] = []
        self.kubectl = client(tmp_path, self.run)

    def verifier(self, *expected: Expected, timeout: float = 20) -> Verifier:
        return Verifier(self.kubectl, list(expected), timeout, clock=lambda: self.now, sleep=self.sleep,
                        now=lambda: NOW)

    def sleep(self, seconds: float) -> None:
        assert seconds <= 0.5
        self.now += seconds

    def run(self, command: list[str], data: str | None, timeout: float) -> tuple[int, str, str]:
        self.calls += 1
        self.at.pop(self.calls, lambda: None)()
        words = [w for w in command[3:] if not w.startswith("--request")]
        if self.error:
            return 1, "", self.error
        if words[0] == "apply":
            self.apply(json.loads(data or "{}")["items"])
            return 0, "", ""
        if words[0] == "delete":
            self.deleted.append(words[1:])
            return 0, "", ""
        if words[0] == "exec":
            text = self.execute(words)
            return (0, text, "") if text else (1, "", "command terminated with exit code 1")
        if words[0] == "logs":
            return 0, "a line of the log\n", ""
        return self.get(words[3:])

    def get(self, words: list[str]) -> tuple[int, str, str]:
        kind, name = words[0], words[1] if len(words) > 1 and not words[1].startswith("-") else ""
        if kind == "configmap":
            helper = 'spec:\n  containers:\n  - name: helper\n    image: "rancher/busybox:1.37.0"\n'
            return 0, json.dumps({"data": {"helperPod.yaml": helper}}), ""
        if kind == "service":
            return 0, json.dumps({"spec": {"clusterIP": "10.43.0.1" if name == "kubernetes" else "10.43.9.9"}}), ""
        found = self.tables.get(kind, [])
        if kind == "pods" and not any("kube-system" in w for w in words):
            found = [p for p in self.applied if p["kind"] == "Pod"]
        return 0, json.dumps({"items": found}), ""

    def apply(self, objects: list[dict[str, Any]]) -> None:
        for item in objects:
            self.applied.append(item)
            if item["kind"] == "Pod":
                phase = "Succeeded" if "volume" in item["metadata"]["name"] else "Running"
                item["status"] = {"phase": phase, "podIP": f"10.42.0.{len(self.applied)}"}

    def execute(self, words: list[str]) -> str:
        if "cat" in words:
            return "search x.svc.fleet.local svc.fleet.local fleet.local\nnameserver 10.43.0.10\n"
        dns, name, service, peer = words[-4:]
        marks = {p["status"]["podIP"]: p["spec"]["containers"][0]["command"][3]
                 for p in self.applied if p["kind"] == "Pod"}
        texts = {
            "dns": f"Server: 10.43.0.10\nAddress: 10.43.0.10:53\n\nName: {dns}\nAddress: 10.43.0.1",
            "name": f"Server: 10.43.0.10\n\nName:\t{name}\nAddress: {service}",
            "service": "HTTP/1.0 200 OK\n\n" + next(iter(marks.values())),
            "peer": marks.get(peer, ""),
        }
        texts.update(self.answers)
        return "".join(f"@{key}\n{text}\n" for key, text in texts.items())


@pytest.fixture
def fleet(tmp_path: Path, nodes: list[dict[str, Any]], pods: list[dict[str, Any]]) -> Cluster:
    return Cluster(tmp_path, nodes, pods)


def outcomes(verifier: Verifier) -> dict[str, str]:
    return {check.id: check.status for check in verifier.checks}


def full(verifier: Verifier) -> dict[str, Any]:
    verifier.run()
    cluster_checks.FullChecks(verifier).run()
    return {check["id"]: check for check in verifier.result()["checks"]}


def test_waits_until_the_nodes_are_ready(fleet: Cluster) -> None:
    ready = condition(fleet.tables["nodes"][1], "Ready")
    ready.update(status="False", reason="KubeletNotReady", message="cni plugin not initialized")
    fleet.at = {5: lambda: ready.update(status="True")}
    verifier = fleet.verifier(L0, L1)
    verifier.run()
    assert outcomes(verifier) == {"nodes": "passed", "system_pods": "passed", "flannel": "passed"}
    assert fleet.now == 102.0  # four looks, half a second apart


def test_gives_up_in_time_and_does_not_wait_twice(fleet: Cluster) -> None:
    fleet.tables["pods"][0]["status"]["phase"] = "Pending"
    verifier = fleet.verifier(L0, L1, Expected("l9", "l9", "agent"))
    verifier.run()
    assert outcomes(verifier) == {"nodes": "failed", "system_pods": "failed", "flannel": "passed"}
    assert fleet.now == pytest.approx(120)
    assert verifier.result()["unready_hosts"] == ["l9"]
    summary = cluster.summary(verifier.result()["checks"])
    assert summary.startswith("the cluster is not well: nodes: l9: not in the cluster; system_pods: ")


def test_a_lost_host_is_not_waited_for_and_has_to_be_a_node_all_the_same(fleet: Cluster) -> None:
    verifier = fleet.verifier(L0, L1, Expected("l9", "l9", "agent", lost=True))
    verifier.run()
    assert fleet.now < 102
    assert outcomes(verifier)["nodes"] == "failed"
    assert verifier.result()["unready_hosts"] == ["l9"]
    verifier = fleet.verifier(L0, L1._replace(lost=True))
    verifier.run()
    assert outcomes(verifier)["nodes"] == "passed"


def test_a_ready_node_whose_kubelet_is_silent_does_not_pass(fleet: Cluster) -> None:
    fleet.tables["leases"][1] = lease("l1", 70)
    verifier = fleet.verifier(L0, L1)
    verifier.run()
    assert verifier.result()["checks"][0]["message"] == "l1: its kubelet was not heard of for 70 s"
    assert fleet.now == pytest.approx(120)
    fleet.tables["leases"].pop()
    verifier = fleet.verifier(L0, L1._replace(lost=True))
    verifier.run()
    assert verifier.result()["checks"][0]["message"] == "l1: its kubelet was not heard of yet"
    assert fleet.now < 122


def test_a_node_that_has_just_registered_needs_no_lease_yet(fleet: Cluster) -> None:
    fleet.tables["leases"].pop()
    made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(NOW - 3))
    fleet.tables["nodes"][1]["metadata"]["creationTimestamp"] = made
    verifier = fleet.verifier(L0, L1)
    verifier.run()
    assert outcomes(verifier)["nodes"] == "passed"


def test_a_node_with_another_clock_is_heard_of_by_its_next_renewal(fleet: Cluster) -> None:
    fleet.tables["leases"][1] = lease("l1", 70)
    fleet.at = {12: lambda: fleet.tables["leases"].__setitem__(1, lease("l1", 60))}
    verifier = fleet.verifier(L0, L1)
    verifier.run()
    assert outcomes(verifier)["nodes"] == "passed"


def test_an_api_server_that_restarts_is_asked_again(fleet: Cluster) -> None:
    fleet.error = REFUSED
    fleet.at = {3: lambda: setattr(fleet, "error", "")}
    verifier = fleet.verifier(L0, L1)
    verifier.run()
    assert outcomes(verifier)["nodes"] == "passed"


def test_an_api_server_that_is_down_is_said_in_kubectls_words(fleet: Cluster) -> None:
    fleet.error = REFUSED
    checks = full(fleet.verifier(L0, L1))
    assert checks["nodes"]["message"] == f"the API server did not answer: {REFUSED}"
    assert {check["status"] for key, check in checks.items() if key != "nodes"} == {"not_run"}


def test_a_node_that_is_not_in_the_inventory_is_told(fleet: Cluster) -> None:
    verifier = fleet.verifier(L0)
    verifier.run()
    assert verifier.checks[0].status == "passed"
    assert verifier.checks[0].evidence == ["l1 is in the cluster and not in the inventory"]


def test_full_level_passes_and_removes_its_namespace(fleet: Cluster) -> None:
    checks = full(fleet.verifier(L0, L1))
    assert {key: check["status"] for key, check in checks.items()} == dict.fromkeys(cluster.TITLES, "passed")
    assert checks["dns"]["message"] == "kubernetes.default.svc.fleet.local resolves on 2 nodes"
    [space] = [o["metadata"]["name"] for o in fleet.applied if o["kind"] == "Namespace"]
    assert space.startswith("pideploy-verify-")
    assert fleet.deleted[-1][:2] == ["namespace", space]
    images = {c["image"] for o in fleet.applied if o["kind"] == "Pod" for c in o["spec"]["containers"]}
    assert images == {"rancher/busybox:1.37.0"}
    assert {o["metadata"]["namespace"] for o in fleet.applied if o["kind"] != "Namespace"} == {space}


@pytest.mark.parametrize(("section", "text", "failed", "words"), [
    ("dns", ";; connection timed out", "dns", "nslookup kubernetes.default.svc.fleet.local: ;; connection timed out"),
    ("dns", "Server: 10.43.0.1\nAddress: 10.43.0.1\n** can't find it", "dns", "can't find it"),
    ("peer", "nc: timed out", "pod_to_pod", "no answer from 10.42.0."),
    ("service", "", "service", "no answer from 10.43.9.9:8080: no answer"),
    ("name", ";; timed out", "service", "10.43.9.9:8080 answers, but nslookup probe.pideploy-verify-"),
])
def test_what_does_not_work_fails_with_what_was_seen(
    fleet: Cluster, section: str, text: str, failed: str, words: str
) -> None:
    fleet.answers = {section: text}
    checks = full(fleet.verifier(L0, L1, timeout=60))
    assert {key for key, check in checks.items() if check["status"] == "failed"} == {failed}
    assert words in checks[failed]["message"]
    assert fleet.deleted[-1][0] == "namespace"


def test_a_late_answer_is_waited_for(fleet: Cluster) -> None:
    fleet.answers = {"dns": ";; timed out"}
    sleep = fleet.sleep
    fleet.kubectl.call(["get", "-o", "json", "nodes"])

    def wake(seconds: float) -> None:
        sleep(seconds)
        fleet.answers = {}

    fleet.sleep = wake  # type: ignore[method-assign]
    assert full(fleet.verifier(L0, L1))["dns"]["status"] == "passed"


def test_one_node_has_no_other_to_reach(fleet: Cluster) -> None:
    del fleet.tables["nodes"][1]
    checks = full(fleet.verifier(L0))
    assert (checks["pod_to_pod"]["status"], checks["pod_to_pod"]["message"]) == ("not_run", "only one node takes pods")
    assert checks["service"]["status"] == "passed"


def test_no_default_storage_class(fleet: Cluster) -> None:
    fleet.tables["storageclasses"] = []
    assert full(fleet.verifier(L0, L1))["pvc"]["message"] == "no StorageClass is the default one"


def test_pods_that_never_start_fail_with_their_events(fleet: Cluster) -> None:
    def apply(objects: list[dict[str, Any]]) -> None:
        fleet.applied += [{**o, "status": {"phase": "Pending"}} for o in objects]

    fleet.apply = apply  # type: ignore[method-assign]
    fleet.tables["events"] = [{"type": "Warning", "involvedObject": {"name": "probe-1"}, "reason": "FailedMount",
                               "message": "no such volume", "lastTimestamp": "2026-11-22T01:00:00Z"}]
    checks = full(fleet.verifier(L0, L1))
    assert checks["dns"]["message"] == "no pod started on l0, l1"
    assert "event: probe-1: FailedMount: no such volume" in checks["dns"]["evidence"]
    assert checks["pvc"]["status"] == "failed"
    assert fleet.deleted[-1][0] == "namespace"


def test_an_exec_that_fails_is_a_failed_check(fleet: Cluster) -> None:
    fleet.execute = lambda words: "svc.x" if "cat" in words else ""  # type: ignore[method-assign]
    checks = full(fleet.verifier(L0, L1))
    assert "exec: command terminated with exit code 1" in checks["dns"]["message"]


def test_nslookup_answers_are_told_from_the_asked_server() -> None:
    old = "Server:    10.43.0.10\nAddress 1: 10.43.0.10 kube-dns\n\nName:      x\nAddress 1: 10.43.0.1 x\n"
    assert cluster_checks.resolves_to(old, "10.43.0.1")
    assert not cluster_checks.resolves_to(old, "10.43.0.10")


# --- the module
def module(tmp_path: Path, **options: Any) -> dict[str, Any]:
    arguments = {"expected": [{"host": "l0", "name": "l0", "role": "server"}], "root": str(tmp_path), **options}
    done = subprocess.run([sys.executable, "-m", MODULE], input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
                          text=True, capture_output=True, check=False, env={"PYTHONPATH": ":".join(sys.path)})
    assert "Traceback" not in done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_module_fails_clearly_on_a_host_without_a_server(tmp_path: Path) -> None:
    result = module(tmp_path, timeout=0)
    assert result["failed"]
    assert "this host runs no k3s server" in result["msg"]
    assert result["checks"][0]["status"] == "failed"
    assert result["nodes"][0]["reason"] == "not known: the API server did not answer"


def test_module_in_check_mode_proves_nothing(tmp_path: Path) -> None:
    result = module(tmp_path, level="full", _ansible_check_mode=True)
    assert {c["status"] for c in result["checks"]} == {"not_run"}
    assert [c["id"] for c in result["checks"]] == list(cluster.TITLES)
    assert result["changed"] is False
