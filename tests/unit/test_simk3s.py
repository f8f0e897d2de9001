# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""The simulated k3s as processes on this machine: it answers what a real one was recorded to answer."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.pideploy.k3s.plugins.module_utils import cluster, cluster_checks, kubectl
from pideploy.lab import simk3s

FIXTURES = Path(__file__).parent / "fixtures" / "k3s"
PASSWORD, AGENT_PASSWORD = "server-secret", "agent-secret"
COMMON = ["--kubelet-arg=fail-cgroupv1=false", "--kubelet-arg=node-status-update-frequency=1s", "--node-ip=127.0.0.1",
          "--flannel-iface=lo"]


class Node:
    """One machine: a folder for its /etc/rancher and its data, and the processes that were started on it."""

    def __init__(self, folder: Path, name: str, port: int) -> None:
        self.name, self.port, self.etc, self.data = name, port, folder / name / "etc/rancher", folder / name / "data"
        self.root, self.log = folder / name, folder / f"{name}.log"
        (self.etc / "k3s").mkdir(parents=True)
        self.program = self.root / "k3s"
        self.program.write_text(f'#!/bin/sh\nSIMK3S_ETC={self.etc} exec {sys.executable} -IS {simk3s.__file__} "$@"\n')
        self.program.chmod(0o755)
        self.notify = folder / f"{name}.sock"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("K3S_") and k != "KUBECONFIG"}
        return {**kept, "SIMK3S_ETC": str(self.etc), "NOTIFY_SOCKET": str(self.notify)}

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-IS", simk3s.__file__, *arguments, f"--data-dir={self.data}", *COMMON]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env=self.environment, stderr=log, stdout=log)
        return self.process

    def k3s(self, *arguments: str, data: Any = None) -> subprocess.CompletedProcess[str]:
        text = None if data is None else json.dumps(data)
        return subprocess.run([sys.executable, "-IS", simk3s.__file__, *arguments], env=self.environment, input=text,
                              capture_output=True, text=True, timeout=30, check=False)

    def get(self, *arguments: str) -> Any:
        done = self.k3s("kubectl", "get", "-o", "json", *arguments)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def stop(self) -> int:
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)


def wait_for(what: Callable[[], Any], seconds: float = 15) -> Any:
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, f"{what} did not come true within {seconds} s"
        time.sleep(0.1)
    return found


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Node]]:
    try:
        simk3s.check_cgroups({"kubelet-arg": ["fail-cgroupv1=false"]})
    except SystemExit:
        pytest.skip("this machine has no memory cgroup, and the simulated k3s refuses to start, as a real one does")
    folder, port, made = tmp_path_factory.mktemp("simk3s"), free_port(), []

    def make(name: str) -> Node:
        made.append(Node(folder, name, port))
        return made[-1]

    yield make
    for node in made:
        if node.process and node.process.poll() is None:
            node.stop()


@pytest.fixture(scope="module")
def server(machines: Callable[[str], Node]) -> Node:
    node = machines("red")
    (node.etc / "token").write_text(PASSWORD + "\n")
    (node.etc / "agent-token").write_text(AGENT_PASSWORD + "\n")
    config = {"node-name": "red", "token-file": str(node.etc / "token"),
              "agent-token-file": str(node.etc / "agent-token"), "https-listen-port": node.port,
              "tls-san": ["red.local", "192.0.2.7"],
              "kube-controller-manager-arg": ["node-monitor-grace-period=3s"], "node-label": ["disk=ssd"]}
    lines = [f"{key}: {json.dumps(value)}" for key, value in config.items()]
    (node.etc / "k3s" / "config.yaml").write_text("# a comment\n" + "\n".join(lines) + "\n")
    with listening(node) as heard:
        node.start("server")
        assert heard() == b"READY=1"
    return node


@contextlib.contextmanager
def listening(node: Node) -> Iterator[Callable[[], bytes]]:
    """Play systemd: what a Type=notify service says."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(node.notify))
        sock.settimeout(20)
        yield lambda: sock.recv(100)
    node.notify.unlink()


def join(machines: Callable[[str], Node], server: Node, machine: str, token: str, *more: str) -> Node:
    node = machines(machine)
    (node.etc / "join").write_text(token + "\n")
    node.start("agent", f"--server=https://127.0.0.1:{server.port}", f"--token-file={node.etc / 'join'}", *more)
    return node


def ready(server: Node, name: str) -> str | None:
    for node in server.get("nodes")["items"]:
        if node["metadata"]["name"] == name:
            return str(node["status"]["conditions"][-1]["status"])
    return None


def request(server: Node, path: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    context = ssl.create_default_context(cafile=str(server.data / "server/tls/server-ca.crt"))
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=context, timeout=10)
    connection.request("GET", path, headers=headers or {})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


# --- the server
def test_version_is_simulated_and_says_so(server: Node) -> None:
    first, second = server.k3s("--version").stdout.splitlines()
    assert first == f"k3s version {simk3s.VERSION} (simulated)"
    assert re.fullmatch(r"python version 3\.\d+\.\d+", second)


def test_tokens_have_the_secure_form_and_files_the_recorded_modes(server: Node) -> None:
    below = server.data / "server"
    ca = hashlib.sha256((below / "tls/server-ca.crt").read_bytes()).hexdigest()
    assert (below / "token").read_text() == f"K10{ca}::server:{PASSWORD}\n"
    assert (below / "agent-token").read_text() == f"K10{ca}::node:{AGENT_PASSWORD}\n"
    assert (below / "node-token").is_symlink()
    assert (below / "node-token").read_text() == (below / "token").read_text()
    private = [below / "token", server.etc / "k3s/k3s.yaml", server.etc / "node/password", *below.rglob("*.key")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}
    assert stat.S_IMODE(below.stat().st_mode) == 0o700


def test_what_is_visible_without_credentials(server: Node) -> None:
    assert request(server, "/ping") == (200, "pong")
    assert request(server, "/cacerts")[1] == (server.data / "server/tls/server-ca.crt").read_text()
    for path in ("/readyz", "/livez", "/version", "/api/v1/nodes"):
        code, body = request(server, path)
        assert (code, json.loads(body)["reason"]) == (401, "Unauthorized")
    assert request(server, "/v1-k3s/readyz")[0] == 403
    assert request(server, "/api/v1/nodes", {"Authorization": "Bearer guess", "k3s-Node-Name": "red"})[0] == 401


def test_serving_certificate_names_tls_san(server: Node) -> None:
    context = ssl.create_default_context(cafile=str(server.data / "server/tls/server-ca.crt"))
    for name in ("red.local", "192.0.2.7", "kubernetes.default.svc", "red"):
        with socket.create_connection(("127.0.0.1", server.port)) as raw:
            context.wrap_socket(raw, server_hostname=name).close()
    with socket.create_connection(("127.0.0.1", server.port)) as raw, pytest.raises(ssl.SSLCertVerificationError):
        context.wrap_socket(raw, server_hostname="blue.local")


def test_node_object_has_the_shape_of_a_recorded_one(server: Node) -> None:
    recorded = json.loads((FIXTURES / "nodes.json").read_text())["items"][0]
    node = server.get("node", "red")
    # What a node without containers cannot have is not pretended.
    for part, absent in (("metadata", set()), ("spec", set()), ("status", set())):
        assert set(recorded[part]) - set(node[part]) == absent
    assert set(recorded["status"]["nodeInfo"]) == set(node["status"]["nodeInfo"])
    assert [c["type"] for c in node["status"]["conditions"]] == [c["type"] for c in recorded["status"]["conditions"]]
    assert set(recorded["metadata"]["labels"]) <= set(node["metadata"]["labels"])
    assert node["metadata"]["labels"]["disk"] == "ssd"
    assert node["status"]["capacity"]["pods"] == node["status"]["allocatable"]["pods"] == "0"
    assert node["status"]["nodeInfo"]["kubeletVersion"] == simk3s.VERSION
    assert not any("flannel" in key for key in node["metadata"]["annotations"])


def test_system_pods_are_pending_and_the_storage_class_is_there(server: Node) -> None:
    pods = server.get("pods", "--namespace=kube-system")["items"]
    assert {p["status"]["phase"] for p in pods} == {"Pending"}
    assert {p["spec"]["containers"][0]["name"] for p in pods} == {"coredns", "local-path-provisioner"}
    assert [c["metadata"]["name"] for c in server.get("storageclass")["items"]] == ["local-path"]


def test_kubectl_words_and_exit_codes(server: Node) -> None:
    assert server.k3s("kubectl", "get", "--raw", "/readyz").stdout == "ok"
    assert server.k3s("kubectl", "get", "nodes", "-o", "name").stdout.splitlines()[0].startswith("node/")
    missing = server.k3s("kubectl", "get", "node", "nope")
    assert (missing.returncode, missing.stderr) == (1, 'Error from server (NotFound): nodes "nope" not found\n')
    assert server.k3s("kubectl", "get", "foo").stderr == "error: the server doesn't have a resource type \"foo\"\n"
    assert server.k3s("kubectl", "wait", "--for=condition=Ready", "node/red").stdout == "node/red condition met\n"
    late = server.k3s("kubectl", "wait", "--for=condition=Nope", "node/red", "--timeout=1s")
    assert (late.returncode, late.stderr[:33]) == (1, "error: timed out waiting for the ")
    version = json.loads(server.k3s("kubectl", "version", "-o", "json").stdout)
    assert version["serverVersion"]["gitVersion"] == simk3s.VERSION


def test_apply_and_delete(server: Node) -> None:
    def run(*arguments: str, data: Any = None) -> str:
        done = server.k3s("kubectl", *arguments, data=data)
        return done.stdout + done.stderr

    meta = {"name": "c", "namespace": "mine"}
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"a": "1"}}
    assert "NotFound" in run("apply", "-f", "-", data=config)
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "mine"}}
    assert run("apply", "-f", "-", data=space) == "namespace/mine created\n"
    assert run("apply", "-f", "-", data=config) == "configmap/c created\n"
    assert run("apply", "-f", "-", data=config) == "configmap/c unchanged\n"
    assert run("apply", "-f", "-", data={**config, "data": {"a": "2"}}) == "configmap/c configured\n"
    assert server.get("configmap", "c", "--namespace=mine")["data"] == {"a": "2"}
    assert run("delete", "namespace", "mine") == 'namespace "mine" deleted\n'
    assert run("get", "configmaps", "--namespace=mine") == "No resources found in mine namespace.\n"
    assert run("delete", "namespace", "mine", "--ignore-not-found") == ""


def test_other_commands(server: Node) -> None:
    refused = server.k3s("etcd-snapshot", "ls")
    assert refused.returncode == 1
    assert 'level=fatal msg="Error: see server log for details: etcd datastore disabled"' in refused.stderr
    check = server.k3s("certificate", "check", f"--data-dir={server.data}", "--output", "json")
    assert {c["Status"] for c in json.loads(check.stdout)["Certificates"]} == {"OK"}


def test_without_a_kubeconfig_or_a_server(machines: Callable[[str], Node]) -> None:
    node = machines("empty")
    done = node.k3s("kubectl", "get", "nodes")
    assert done.returncode == 1
    assert done.stderr.startswith("The connection to the server localhost:8080 was refused - did you specify the right")


# --- agents
def test_agent_joins_leaves_and_comes_back(machines: Callable[[str], Node], server: Node) -> None:
    agent = machines("red01")
    (agent.etc / "join").write_text((server.data / "server/agent-token").read_text())
    where = [f"--server=https://127.0.0.1:{server.port}", f"--token-file={agent.etc / 'join'}", "--node-name=red01"]
    with listening(agent) as heard:
        agent.start("agent", *where)
        assert heard() == b"READY=1"
    wait_for(lambda: ready(server, "red01") == "True")
    labels = server.get("node", "red01")["metadata"]["labels"]
    assert not any(label.startswith("node-role") for label in labels)
    assert agent.stop() == 0
    wait_for(lambda: ready(server, "red01") == "Unknown")
    node = server.get("node", "red01")
    assert {(c["status"], c["reason"], c["message"]) for c in node["status"]["conditions"]} == {
        ("Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.")}
    assert [t["effect"] for t in node["spec"]["taints"]] == ["NoSchedule", "NoExecute"]
    agent.start("agent", *where)
    wait_for(lambda: ready(server, "red01") == "True")
    assert "taints" not in server.get("node", "red01")["spec"]


def test_wrong_token_is_retried_for_ten_seconds_and_then_fatal(machines: Callable[[str], Node], server: Node) -> None:
    agent = join(machines, server, "red02", "wrong", "--node-name=red02")
    assert agent.process
    assert agent.process.wait(20) == 1
    log = agent.log.read_text()
    assert "Waiting to retrieve agent configuration; server is not ready: failed to retrieve" in log
    last = log.splitlines()[-1]
    assert 'level=fatal msg="Error: failed to retrieve agent configuration: failed to retrieve configuration' in last
    assert last.endswith('from server: not authorized"')
    assert "the token does not include a CA hash" in log
    assert ready(server, "red02") is None


def test_wrong_ca_hash_is_retried_for_ever(machines: Callable[[str], Node], server: Node) -> None:
    agent = join(machines, server, "red03", f"K10{'0' * 64}::node:{AGENT_PASSWORD}", "--node-name=red03")
    words = f"token CA hash does not match the Cluster CA certificate hash: {'0' * 64} != "
    wait_for(lambda: agent.log.read_text().count(words) >= 2)
    assert agent.process
    assert agent.process.poll() is None
    assert AGENT_PASSWORD not in agent.log.read_text()


def test_a_taken_name_is_refused_until_the_node_is_deleted(machines: Callable[[str], Node], server: Node) -> None:
    first = join(machines, server, "one", AGENT_PASSWORD, "--node-name=twin")
    wait_for(lambda: ready(server, "twin") == "True")
    first.stop()
    second = join(machines, server, "two", AGENT_PASSWORD, "--node-name=twin")
    wait_for(lambda: "Node password rejected, duplicate hostname" in second.log.read_text())
    assert server.k3s("kubectl", "delete", "node", "twin").stdout == 'node "twin" deleted\n'
    secret = server.k3s("kubectl", "get", "secret", "twin.node-password.k3s", "--namespace=kube-system")
    assert secret.stderr == 'Error from server (NotFound): secrets "twin.node-password.k3s" not found\n'
    wait_for(lambda: ready(server, "twin") == "True")


def test_cordon_drain_uncordon(machines: Callable[[str], Node], server: Node) -> None:
    join(machines, server, "red05", AGENT_PASSWORD, "--node-name=red05")
    wait_for(lambda: ready(server, "red05") == "True")
    assert server.k3s("kubectl", "cordon", "red05").stdout == "node/red05 cordoned\n"
    drained = server.k3s("kubectl", "drain", "red05", "--ignore-daemonsets", "--delete-emptydir-data", "--force")
    assert drained.stdout == "node/red05 already cordoned\nnode/red05 drained\n"
    assert server.get("node", "red05")["spec"]["unschedulable"] is True
    assert "Ready,SchedulingDisabled" in server.k3s("kubectl", "get", "nodes").stdout
    assert server.k3s("kubectl", "uncordon", "red05").stdout == "node/red05 uncordoned\n"
    assert "unschedulable" not in server.get("node", "red05")["spec"]


def test_bootstrap_token_joins(machines: Callable[[str], Node], server: Node) -> None:
    token = server.k3s("token", "create", "--ttl", "1h").stdout.strip()
    assert re.fullmatch(r"K10[0-9a-f]{64}::[a-z0-9]{6}\.[a-z0-9]{16}", token)
    listed = json.loads(server.k3s("token", "list", "-o", "json").stdout)
    assert listed[0]["groups"] == ["system:bootstrappers:k3s:default-node-token"]
    join(machines, server, "red06", token, "--node-name=red06")
    wait_for(lambda: ready(server, "red06") == "True")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["agent", "--token=x"], "Error: --server is required"),
        (["agent", "--server=https://127.0.0.1:1"], "Error: --token is required"),
        (["agent", "--no-such-flag"], "Error: flag provided but not defined: -no-such-flag"),
        (["server", "--no-such-flag"], "Error: flag provided but not defined: -no-such-flag"),
    ],
)
def test_refused_flags(machines: Callable[[str], Node], arguments: list[str], words: str) -> None:
    done = machines(f"flags{abs(hash(tuple(arguments)))}").k3s(*arguments)
    assert done.returncode == 1
    assert f'level=fatal msg="{words}"' in done.stderr


def test_an_interface_that_is_not_there_is_fatal(machines: Callable[[str], Node]) -> None:
    arguments = ["server", "--kubelet-arg=fail-cgroupv1=false", "--flannel-iface=nope0", "--data-dir=/nowhere"]
    done = machines("nope").k3s(*arguments)
    assert done.returncode == 1
    assert "Error: unable to find interface nope0: route ip+net: no such network interface" in done.stderr


def test_server_keeps_its_state_and_refuses_another_token(machines: Callable[[str], Node]) -> None:
    node = machines("solo")
    arguments = ["server", "--node-name=solo", f"--https-listen-port={free_port()}"]
    node.start(*arguments, "--token=first-secret")
    wait_for(lambda: node.k3s("kubectl", "get", "--raw", "/readyz").stdout == "ok" and ready(node, "solo") == "True")
    uid, ca = node.get("node", "solo")["metadata"]["uid"], (node.data / "server/tls/server-ca.crt").read_text()
    shown = node.get("node", "solo")["metadata"]["annotations"]["k3s.io/node-args"]
    assert '"--token","********"' in shown
    assert node.stop() == 0
    assert "was refused - did you specify the right host or port?" in node.k3s("kubectl", "get", "nodes").stderr
    process = node.start(*arguments, "--token=second-secret")
    assert process.wait(10) == 1
    assert "bootstrap data already found and encrypted with different token" in node.log.read_text()
    node.start(*arguments)
    wait_for(lambda: node.k3s("kubectl", "get", "--raw", "/readyz").stdout == "ok")
    assert node.get("node", "solo")["metadata"]["uid"] == uid
    assert (node.data / "server/tls/server-ca.crt").read_text() == ca
    assert "secret" not in node.log.read_text().replace("SERVER_NODE_TOKEN", "")


# --- what the proof of a cluster says about one that takes no pods
def verify(server: Node, *hosts: cluster.Expected) -> dict[str, Any]:
    client = kubectl.Kubectl(str(server.program), str(server.root), str(server.data))
    verifier = cluster.Verifier(client, list(hosts), timeout=5)
    verifier.run()
    cluster_checks.FullChecks(verifier).run()
    return verifier.result()


def test_nothing_that_needs_pods_is_said_to_have_passed(server: Node) -> None:
    result = verify(server, cluster.Expected("red", "red", "server", simk3s.VERSION))
    assert {c["id"]: c["status"] for c in result["checks"]} == {
        "nodes": "passed", "system_pods": "not_run", "flannel": "not_run", "dns": "not_run", "pvc": "not_run",
        "pod_to_pod": "not_run", "service": "not_run"}
    assert {c["message"] for c in result["checks"][1:]} == {"these nodes take no pods (capacity.pods is 0)"}
    assert (result["ok"], result["pods_possible"]) == (True, False)
    assert [o["metadata"]["name"] for o in server.get("namespaces")["items"] if "verify" in o["metadata"]["name"]] == []


def test_a_missing_host_and_another_version_fail(server: Node) -> None:
    result = verify(server, cluster.Expected("red", "red", "server", "v1.35.1+k3s1"),
                    cluster.Expected("red99", "red99", "agent"))
    assert result["checks"][0]["status"] == "failed"
    assert result["checks"][0]["evidence"][:2] == [
        f"red: runs k3s {simk3s.VERSION}, should run v1.35.1+k3s1", "red99: not in the cluster"]
    assert (result["ok"], result["unready_hosts"]) == (False, ["red", "red99"])


# --- configuration, without a process
def test_config_files_become_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "config.yaml"
    lists = 'tls-san:\n  - a\n- "b#c"\ndisable: [traefik, "servicelb"] # no\n'
    config.write_text(f"node-name: 'it''s'\n{lists}selinux: false\n")
    extra = tmp_path / "config.yaml.d"
    extra.mkdir()
    (extra / "10.yaml").write_text("tls-san+: d\nnode-ip: 10.0.0.1\n")
    (extra / "20.yml").write_text("node-ip: 10.0.0.2\n")
    monkeypatch.setenv("K3S_CONFIG_FILE", str(config))
    assert simk3s.config_arguments("server", []) == [
        "--node-name=it's", "--tls-san=a", "--tls-san=b#c", "--tls-san=d", "--disable=traefik", "--disable=servicelb",
        "--selinux=false", "--node-ip=10.0.0.2"]
    flags = simk3s.parse_flags("server", [*simk3s.config_arguments("server", []), "--node-name", "b"])
    assert (simk3s.one(flags, "node-name"), simk3s.words(flags, "tls-san")) == ("b", ["a", "b#c", "d"])
    assert "selinux" not in flags


def test_unknown_config_key_is_skipped_by_a_server_and_fatal_for_an_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c").write_text("tls-san: [a]\nno-such-key: 1\n")
    monkeypatch.setenv("K3S_CONFIG_FILE", str(tmp_path / "c"))
    assert simk3s.config_arguments("server", []) == ["--tls-san=a"]
    assert "Unknown flag --no-such-key found in config.yaml, skipping" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        simk3s.parse_flags("agent", simk3s.config_arguments("agent", []))
    assert "flag provided but not defined: -tls-san" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "words"), [
    ("a: [b", "yaml: line 1: did not find expected ',' or ']'"),
    ("a: 1\nbroken\n", "yaml: line 2: could not find expected ':'"),
])
def test_broken_yaml(text: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        simk3s.read_yaml(text)
    assert words in capsys.readouterr().err


def test_durations() -> None:
    assert [simk3s.seconds(t) for t in ("40s", "1m30s", "2h", "500ms", "")] == [40, 90, 7200, 0.5, 0]
