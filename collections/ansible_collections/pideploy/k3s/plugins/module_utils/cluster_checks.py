# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The full proof: pods on every node that resolve names, reach each other and a service, and a volume that keeps data.

Everything is made in a namespace of its own, which is removed in any case. The only image used is the busybox that
k3s's own local-path provisioner uses, so that an airgapped cluster has it; of that, nc, nslookup, httpd and the shell.
"""

from __future__ import annotations

import re
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Dict, List, NamedTuple

from ansible_collections.pideploy.k3s.plugins.module_utils import cluster
from ansible_collections.pideploy.k3s.plugins.module_utils.kubectl import KubectlError

__metaclass__ = type

Json = Dict[str, Any]
IDS = ("dns", "pvc", "pod_to_pod", "service")
LABEL = "app.kubernetes.io/managed-by=pideploy-verify"
SERVICE, PORT = "probe", 8080
_IMAGE = re.compile(r"^\s*-?\s*image:\s*[\"']?([^\"'\s]+)", re.M)
SERVE = 'mkdir -p /tmp/www && echo "$0" > /tmp/www/index.html && exec httpd -f -p %d -h /tmp/www' % PORT
# One call a node makes all its probes. Arguments: the API service's name, our service's name and address, a peer's.
PROBE = r"""
get() { printf 'GET /index.html HTTP/1.0\r\n\r\n' | nc -w 5 "$1" %d 2>&1; }
echo "@dns"; nslookup "$1" 2>&1
echo "@name"; nslookup "$2" 2>&1
echo "@service"; get "$3"
echo "@peer"; [ -z "$4" ] || get "$4"
exit 0
""" % PORT


class Probe(NamedTuple):
    """A running probe pod: its node, its name, its address."""

    node: str
    pod: str
    address: str


def image_of(config_map: Json) -> str:
    """Return the image that the local-path provisioner's helper pod uses, or "" where the config map names none."""
    found = _IMAGE.search((config_map.get("data") or {}).get("helperPod.yaml", ""))
    return found.group(1) if found else ""


def _pod(name: str, image: str, script: str, argument: str, **spec: Any) -> Json:
    """A pod that the strictest Pod Security level admits and that any node takes, tainted or not."""
    secure = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True,
              "runAsUser": 65534, "seccompProfile": {"type": "RuntimeDefault"}}
    container = {"name": "probe", "image": image, "imagePullPolicy": "IfNotPresent", "securityContext": secure,
                 "command": ["sh", "-c", script, argument]}
    container.update(spec.pop("container", {}))
    body = {"containers": [container], "restartPolicy": "Never", "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0, "tolerations": [{"operator": "Exists"}]}
    meta = {"name": name, "labels": {"app": SERVICE}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": dict(body, **spec)}


def sections(output: str) -> Dict[str, str]:
    """Take PROBE's output apart: what was printed after each ``@name`` line."""
    result: Dict[str, str] = {}
    name = ""
    for line in output.splitlines():
        if re.match(r"^@[a-z]+$", line):
            name = line[1:]
            result[name] = ""
        elif name:
            result[name] += line + "\n"
    return result


def resolves_to(output: str, address: str) -> bool:
    """Whether nslookup's output holds this address as an answer (and not only as the server it asked)."""
    answers = re.findall(r"^Address(?: \d+)?:\s*(\S+)", output.partition("Name:")[2], re.M)
    return address in answers


class FullChecks:
    """Makes the checks of level ``full`` on top of a finished ``Verifier``; ``run`` adds them to its list."""

    def __init__(self, verifier: cluster.Verifier) -> None:
        self.v, self.kubectl = verifier, verifier.kubectl
        self.namespace = "pideploy-verify-" + secrets.token_hex(4)
        self.mark = secrets.token_hex(8)
        self.nodes: List[str] = []
        self.api_address = ""

    def run(self) -> None:
        """Run what can be run; note for everything else why it was not."""
        image, why = "", self.obstacle()
        if not why:
            try:
                self.remove_leftovers()
                image = image_of(self.kubectl.get("configmap", "local-path-config", "--namespace=kube-system"))
                self.api_address = self.kubectl.get("service", "kubernetes", "--namespace=default")["spec"]["clusterIP"]
            except KubectlError as exc:
                why = "no image is known to be on the nodes: %s" % exc
            if not why and not image:
                why = "no image is known to be on the nodes: local-path-config names none"
        if why:
            for check in IDS:
                self.v.add(check, cluster.NOT_RUN, why)
            return
        try:
            self.kubectl.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {
                "name": self.namespace, "labels": dict([LABEL.split("=")])}}])
            self.check_network(image)
            self.check_volume(image)
        except KubectlError as exc:
            done = [c.id for c in self.v.checks]
            for check in IDS:
                if check not in done:
                    self.v.add(check, cluster.FAILED, str(exc), self.v.events(self.namespace), self.v.clock())
        finally:
            self.clean_up()

    def obstacle(self) -> str:
        """Return why no pod can be used for a proof, or ""."""
        self.nodes = [n["metadata"]["name"] for n in self.v.objects
                      if cluster.pod_capacity(n) > 0 and cluster.describe(n, 0)["ready"]]
        if not self.v.objects:
            return "the API server did not answer"
        if not self.v.pods_possible:
            return cluster.NO_PODS
        return "" if self.nodes else "no node is Ready"

    def remove_leftovers(self) -> None:
        """Remove the namespace of an earlier run that was killed (an hour old: it is in use by nobody)."""
        old = [n["metadata"]["name"] for n in self.kubectl.items("namespaces", "--selector=" + LABEL)
               if cluster.describe(n, self.v.now())["age_s"] > 3600]
        if old:
            self.kubectl.call(["delete", "namespace", "--wait=false", *old])

    def wait_for_pods(self, names: List[str], phases: List[str]) -> Dict[str, Json]:
        """Wait until these pods are in one of the phases; return those that are, by name."""
        found: Dict[str, Json] = {}

        def look() -> List[str]:
            for pod in self.kubectl.items("pods", "--namespace=" + self.namespace):
                if pod["metadata"]["name"] in names and pod["status"].get("phase") in phases:
                    found[pod["metadata"]["name"]] = pod
            return [name for name in names if name not in found]

        self.v.poll(look)
        return found

    def explain(self, names: List[str]) -> List[str]:
        """Return what the API says about pods that did not do what they should."""
        try:
            pods = self.kubectl.items("pods", "--namespace=" + self.namespace)
        except KubectlError as exc:
            return [str(exc)]
        mine = [p for p in pods if p["metadata"]["name"] in names]
        return cluster.judge_pods(mine) + self.v.events(self.namespace, [*names, SERVICE])

    # -- dns, pod_to_pod, service
    def check_network(self, image: str) -> None:
        began = self.v.clock()
        self.v.deadline = began + self.v.timeout
        names = {"probe-%d" % number: node for number, node in enumerate(self.nodes, 1)}
        pods = [_pod(name, image, SERVE, "%s-%s" % (self.mark, name), nodeSelector={"kubernetes.io/hostname": node})
                for name, node in names.items()]
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": SERVICE},
                   "spec": {"selector": {"app": SERVICE}, "ports": [{"port": PORT}]}}
        for item in [*pods, service]:
            item["metadata"]["namespace"] = self.namespace
        self.kubectl.apply([*pods, service])
        running = self.wait_for_pods(list(names), ["Running"])
        missing = [name for name in names if name not in running]
        if missing:
            message, lines = "no pod started on %s" % ", ".join(names[m] for m in missing), self.explain(missing)
            for check in ("dns", "pod_to_pod", "service"):
                self.v.add(check, cluster.FAILED, message, lines, began)
            return
        probes = [Probe(names[name], name, pod["status"]["podIP"]) for name, pod in sorted(running.items())]
        address = self.kubectl.get("service", SERVICE, "--namespace=" + self.namespace)["spec"]["clusterIP"]
        domain = self.cluster_domain(probes[0])
        faults: Dict[str, Dict[str, str]] = {}

        def look() -> List[str]:
            # A peer is the next node's pod: around the ring, every node sends and every node receives.
            again = [(p, probes[(i + 1) % len(probes)]) for i, p in enumerate(probes) if faults.get(p.node) != {}]
            with ThreadPoolExecutor(max_workers=8) as pool:
                answers = {p.node: pool.submit(self.probe, p, peer, address, domain) for p, peer in again}
            faults.update((node, answer.result()) for node, answer in answers.items())
            return [node for node, found in faults.items() if found]

        # The pods run: what does not work after a while is broken, and not merely late.
        self.v.deadline = min(self.v.deadline, self.v.clock() + 30)
        self.v.poll(look)
        self.report("dns", faults, "kubernetes.default.svc.%s resolves on %%d nodes" % domain, began, self.dns_logs)
        if len(probes) < 2:
            self.v.add("pod_to_pod", cluster.NOT_RUN, "only one node takes pods")
        else:
            self.report("pod_to_pod", faults, "each of %d nodes reaches the next one's pod", began, self.flannel_state)
        self.report("service", faults, "%s (%s) answers on %%d nodes" % (SERVICE, address), began, list)

    def cluster_domain(self, probe: Probe) -> str:
        """Return the cluster's domain, from the search list that the kubelet writes into each pod."""
        text = self.execute(probe, ["cat", "/etc/resolv.conf"])
        found = re.search(r"\ssvc\.(\S+)", text)
        return found.group(1) if found else "cluster.local"

    def execute(self, probe: Probe, command: List[str]) -> str:
        return self.kubectl.call(["exec", "--namespace=" + self.namespace, probe.pod, "--", *command],
                                 timeout=40, request=False)

    def probe(self, probe: Probe, peer: Probe, address: str, domain: str) -> Dict[str, str]:
        """Run PROBE in one pod; return what did not work: check id -> what was seen."""
        names = ["kubernetes.default.svc." + domain, "%s.%s.svc.%s" % (SERVICE, self.namespace, domain)]
        target = peer.address if peer.pod != probe.pod else ""
        try:
            seen = sections(self.execute(probe, ["sh", "-c", PROBE, "probe", *names, address, target]))
        except KubectlError as exc:
            return dict.fromkeys(("dns", "pod_to_pod", "service"), "exec: %s" % exc)
        faults = {}
        if not resolves_to(seen.get("dns", ""), self.api_address):
            faults["dns"] = "nslookup %s: %s" % (names[0], _flat(seen.get("dns", "")))
        if target and "%s-%s" % (self.mark, peer.pod) not in seen.get("peer", ""):
            faults["pod_to_pod"] = "no answer from %s:%d on %s: %s" % (
                target, PORT, peer.node, _flat(seen.get("peer", "")))
        if self.mark not in seen.get("service", ""):
            faults["service"] = "no answer from %s:%d: %s" % (address, PORT, _flat(seen.get("service", "")))
        elif not resolves_to(seen.get("name", ""), address):
            faults["service"] = "%s:%d answers, but nslookup %s: %s" % (
                address, PORT, names[1], _flat(seen.get("name", "")))
        return faults

    def report(self, check: str, faults: Dict[str, Dict[str, str]], good: str, began: float,
               more: Callable[[], List[str]]) -> None:
        bad = ["%s: %s" % (node, found[check]) for node, found in faults.items() if check in found]
        if bad:
            message = bad[0] if len(bad) == 1 else "%d of %d nodes: %s" % (len(bad), len(faults), bad[0])
            self.v.add(check, cluster.FAILED, message, bad + more(), began)
        else:
            self.v.add(check, cluster.PASSED, good % len(faults), [], began)

    def dns_logs(self) -> List[str]:
        return self.logs_of_system("k8s-app=kube-dns")

    def flannel_state(self) -> List[str]:
        """What the pod network rests on: which address each node announced. vxlan needs port 8472/udp between them."""
        lines = ["flannel (vxlan) needs 8472/udp between all nodes"]
        for node in self.v.objects:
            notes = node["metadata"].get("annotations") or {}
            lines.append("%s: %s at %s" % (node["metadata"]["name"], notes.get("flannel.alpha.coreos.com/backend-type"),
                                           notes.get("flannel.alpha.coreos.com/public-ip")))
        return lines

    def logs(self, namespace: str, target: str) -> List[str]:
        try:
            text = self.kubectl.call(["logs", "--namespace=" + namespace, "--tail=20", target], timeout=20)
        except KubectlError as exc:
            return ["logs: %s" % exc]
        # CoreDNS warns of k3s's own optional import every few seconds.
        lines = [line for line in text.splitlines() if line.strip() and "No files matching import glob" not in line]
        return ["log: " + line for line in dict.fromkeys(lines)][-6:]

    def logs_of_system(self, label: str) -> List[str]:
        """The log of the system pods with this label, or that there is none."""
        try:
            there = self.kubectl.items("pods", "--namespace=kube-system", "--selector=" + label)
        except KubectlError as exc:
            return [str(exc)]
        if not there:
            return ["there is no pod with the label %s in kube-system" % label]
        return cluster.judge_pods(there) + self.logs("kube-system", "--selector=" + label)

    # -- pvc
    def check_volume(self, image: str) -> None:
        began = self.v.clock()
        self.v.deadline = began + self.v.timeout
        mark = "storageclass.kubernetes.io/is-default-class"
        classes = [c["metadata"]["name"] for c in self.kubectl.items("storageclasses")
                   if (c["metadata"].get("annotations") or {}).get(mark) == "true"]
        if not classes:
            self.v.add("pvc", cluster.FAILED, "no StorageClass is the default one", [], began)
            return
        claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "probe"},
                 "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}}
        mount = {"container": {"volumeMounts": [{"name": "data", "mountPath": "/data"}]},
                 "securityContext": {"fsGroup": 65534},
                 "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "probe"}}]}
        steps = (("volume-writer", 'echo "$0" > /data/proof && sync', [claim]),
                 ("volume-reader", '[ "$(cat /data/proof)" = "$0" ]', []))
        for name, script, objects in steps:
            pod = _pod(name, image, script, self.mark, **dict(mount))
            pod["metadata"]["labels"] = {}  # no probe: the service must not send it requests
            for item in [*objects, pod]:
                item["metadata"]["namespace"] = self.namespace
            self.kubectl.apply([*objects, pod])
            ended = self.wait_for_pods([name], ["Succeeded", "Failed"]).get(name)
            if not ended or ended["status"]["phase"] == "Failed":
                how = "failed" if ended else "did not end in time"
                lines = self.explain([name])
                lines += self.logs(self.namespace, name) if ended else self.logs_of_system("app=local-path-provisioner")
                message = "%s on a volume of class %s %s" % (name, classes[0], how)
                self.v.add("pvc", cluster.FAILED, message, lines, began)
                return
        self.v.add("pvc", cluster.PASSED, "a volume of class %s was written and read" % classes[0], [], began)

    def clean_up(self) -> None:
        """Remove the namespace and wait until its volumes are gone as well; what stays fails the check of volumes."""
        try:
            # Contents first: the namespace controller waits 15 s where it finds a claim that a pod still holds.
            for what in (["pods,pvc", "--all", "--namespace=" + self.namespace], ["namespace", self.namespace]):
                self.kubectl.call(["delete", *what, "--ignore-not-found", "--timeout=60s"], timeout=70, request=False)
            self.v.deadline = self.v.clock() + 30
            left = self.v.poll(self.volumes_left)
        except KubectlError as exc:
            left = ["namespace %s could not be removed: %s" % (self.namespace, exc)]
        if left:
            self.v.checks = [
                c._replace(status=cluster.FAILED, message="; ".join(filter(None, [left[0], c.message])),
                           evidence=c.evidence + left) if c.id == "pvc" else c for c in self.v.checks]

    def volumes_left(self) -> List[str]:
        return ["volume %s of the removed claim is still there" % item["metadata"]["name"]
                for item in self.kubectl.items("persistentvolumes")
                if (item["spec"].get("claimRef") or {}).get("namespace") == self.namespace]


def _flat(text: str) -> str:
    return " / ".join(line.strip() for line in text.splitlines() if line.strip())[:300] or "no answer"
