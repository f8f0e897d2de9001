#!/usr/bin/python3 -IS
# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""A simulated k3s: the command line, files, words and API answers of k3s that a deployment meets, and no containers.

It runs on a node as /usr/local/bin/k3s and needs only Python >= 3.9 and the ``openssl`` command. What it says follows
recordings of k3s v1.36. Its nodes report ``capacity.pods: "0"``, which is the truth: nothing can run on them.
Order of this file: log, flags and configuration, the machine, certificates, HTTPS client, node object, store, API
server, ``k3s server``, ``k3s agent``, ``k3s kubectl``, the other commands. Two knobs are k3s's own:
``kube-controller-manager-arg: node-monitor-grace-period=40s`` (how long a silent node stays Ready) and
``kubelet-arg: node-status-update-frequency=10s`` (how often a node reports).
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import secrets
import signal
import socket
import ssl
import sys
import threading
import time
from typing import Any, NoReturn

VERSION = "v1.36.4+sim1"
ETC = os.environ.get("SIMK3S_ETC", "/etc/rancher")  # tests run it without root
Flags = dict[str, list[str]]
Config = dict[str, Any]  # key -> text, or list of texts
Object = dict[str, Any]


# --- log -------------------------------------------------------------------------------------------------------------
def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def log(level: str, message: str) -> None:
    print(f'time="{now()}" level={level} msg={json.dumps(message)}', file=sys.stderr, flush=True)


def fatal(message: str) -> NoReturn:
    log("fatal", message)
    raise SystemExit(1)


def shut_down(reason: str) -> NoReturn:
    """End as k3s does when one of its parts ends: with exit code 0."""
    log("error", f'Shutdown request received: "{reason}"')
    raise SystemExit(0)


def notify(text: str) -> None:
    """Tell systemd (``Type=notify``) what sd_notify(3) would."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            try:
                sock.sendto(text.encode(), "\0" + path[1:] if path.startswith("@") else path)
            except OSError as error:
                log("warning", f"Failed to notify systemd: {error}")


# --- flags and configuration -----------------------------------------------------------------------------------------
_VALUE_BOTH = """bind-address c config container-runtime-endpoint d data-dir default-runtime flannel-cni-conf
 flannel-conf flannel-iface i image-credential-provider-bin-dir image-credential-provider-config
 image-service-endpoint kube-proxy-arg kubelet-arg l lb-server-port log node-external-dns node-external-ip
 node-internal-dns node-ip node-label node-name node-taint pause-image private-registry resolv-conf s server
 snapshotter t token token-file v vmodule vpn-auth vpn-auth-file"""
_VALUE_SERVER = """advertise-address advertise-port agent-token agent-token-file cluster-cidr cluster-dns
 cluster-domain cluster-reset-restore-path datastore-cafile datastore-certfile datastore-endpoint datastore-keyfile
 default-local-storage-path disable egress-selector-mode etcd-arg etcd-s3-access-key etcd-s3-bucket
 etcd-s3-bucket-lookup-type etcd-s3-config-secret etcd-s3-endpoint etcd-s3-endpoint-ca etcd-s3-folder etcd-s3-proxy
 etcd-s3-region etcd-s3-retention etcd-s3-secret-key etcd-s3-session-token etcd-s3-timeout etcd-snapshot-dir
 etcd-snapshot-name etcd-snapshot-reconcile-interval etcd-snapshot-retention etcd-snapshot-schedule-cron
 flannel-backend helm-controller-arg helm-job-image https-listen-port kube-apiserver-arg
 kube-cloud-controller-manager-arg kube-controller-manager-arg kube-scheduler-arg o secrets-encryption-provider
 service-cidr service-node-port-range servicelb-namespace system-default-registry tls-san write-kubeconfig
 write-kubeconfig-group write-kubeconfig-mode write-kubeconfig-name"""
_BOOL_BOTH = """alsologtostderr debug disable-default-registry-endpoint docker enable-pprof nonroot-devices
 prefer-bundled-bin protect-kernel-defaults rootless selinux with-node-id"""
_BOOL_SERVER = """cluster-init cluster-reset disable-cloud-controller disable-helm-controller disable-kube-proxy
 disable-network-policy disable-scheduler embedded-registry etcd-disable-snapshots etcd-expose-metrics etcd-s3
 etcd-s3-insecure etcd-s3-skip-ssl-verify etcd-snapshot-compress flannel-external-ip flannel-ipv6-masq
 secrets-encryption supervisor-metrics tls-san-security"""
SHORT = {"c": "config", "d": "data-dir", "i": "node-ip", "l": "log", "s": "server", "t": "token",
         "o": "write-kubeconfig"}
ENVIRONMENT = {"K3S_TOKEN": "token", "K3S_TOKEN_FILE": "token-file", "K3S_URL": "server", "K3S_NODE_NAME": "node-name",
               "K3S_DATA_DIR": "data-dir", "K3S_AGENT_TOKEN": "agent-token",
               "K3S_KUBECONFIG_MODE": "write-kubeconfig-mode"}
SECRET_FLAGS = {"token", "t", "agent-token", "datastore-endpoint", "etcd-s3-access-key", "etcd-s3-secret-key",
                "vpn-auth"}


def known_flags(role: str) -> tuple[set[str], set[str]]:
    """The flags of ``k3s server`` or ``k3s agent`` with a value, and those without."""
    if role == "server":
        return set(f"{_VALUE_BOTH} {_VALUE_SERVER}".split()), set(f"{_BOOL_BOTH} {_BOOL_SERVER}".split())
    return set(_VALUE_BOTH.split()), {*_BOOL_BOTH.split(), "disable-apiserver-lb"}


def scalar(text: str, line: int) -> str:
    """One YAML scalar as k3s turns it into a flag's value."""
    text = text.strip()
    if text[:1] == '"':
        match = re.match(r'"(?:[^"\\]|\\.)*"', text)
        if not match:
            fatal(f"yaml: line {line}: found unexpected end of stream")
        return str(json.loads(match[0]))
    if text[:1] == "'":
        match = re.match(r"'((?:[^']|'')*)'", text)
        if not match:
            fatal(f"yaml: line {line}: found unexpected end of stream")
        return match[1].replace("''", "'")
    if text[:1] in {"{", "}", "]", "&", "*", "!", "|", ">", "%", "@", "`"}:
        fatal(f"yaml: line {line}: found character that cannot start any token")
    text = re.sub(r"(^|\s)#.*", "", text).strip()
    return {"null": "", "~": "", "True": "true", "False": "false"}.get(text, text)


def flow_list(text: str, line: int) -> list[str]:
    body = re.fullmatch(r"\[(.*)\]\s*(?:#.*)?", text)
    if not body:
        fatal(f"yaml: line {line}: did not find expected ',' or ']'")
    items = re.findall(r"""\s*("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^,]+)\s*(?:,|$)""", body[1])
    return [scalar(item, line) for item in items if item.strip()]


def read_yaml(text: str) -> Config:
    """The part of YAML that a k3s config.yaml uses: keys with a scalar or a list of scalars, JSON among them."""
    result: Config = {}
    key = ""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#") or line.strip() == "---":
            continue
        item = re.match(r"\s*-(?:\s+(.*))?$", line)
        pair = re.match(r"""(["']?)([\w+.-]+)\1\s*:(?:\s+(.*))?$""", line)
        if item and key:
            result[key] = [*listed(result[key]), scalar(item[1] or "", number)]
        elif pair:
            key, value = pair[2], (pair[3] or "").strip()
            result[key] = flow_list(value, number) if value.startswith("[") else scalar(value, number)
        else:
            fatal(f"yaml: line {number}: could not find expected ':'")
    return result


def listed(value: str | list[str]) -> list[str]:
    return value if isinstance(value, list) else [value] if value else []


def config_arguments(role: str, arguments: list[str]) -> list[str]:
    """config.yaml and config.yaml.d/*.yaml as flags, the way k3s puts them before those of its command line."""
    path = os.environ.get("K3S_CONFIG_FILE", f"{ETC}/k3s/config.yaml")
    for index, argument in enumerate(arguments):
        name, _, value = argument.lstrip("-").partition("=")
        if argument.startswith("-") and name in ("config", "c"):
            path = value or "".join(arguments[index + 1 : index + 2])
    folder = sorted(os.listdir(path + ".d")) if os.path.isdir(path + ".d") else []
    values: Config = {}
    for file in [path] + [f"{path}.d/{f}" for f in folder if f.lower().endswith((".yaml", ".yml"))]:
        for key, value in read_yaml(read(file)).items():
            base = key.rstrip("+")
            add = key.endswith("+") and base in values
            values[base] = [*listed(values[base]), *listed(value)] if add else value
    known = known_flags(role)
    result: list[str] = []
    for key, value in values.items():
        if role == "server" and key not in known[0] | known[1]:
            log("warning", f"Unknown flag --{key} found in config.yaml, skipping\n")
            continue
        result += [f"-{'-' * (len(key) > 1)}{key}={v}" for v in (value if isinstance(value, list) else [value])]
    return result


def parse_flags(role: str, arguments: list[str]) -> Flags:
    with_value, boolean = known_flags(role)
    flags: Flags = {flag: [os.environ[name]] for name, flag in ENVIRONMENT.items() if os.environ.get(name)}
    seen: set[str] = set()
    queue = list(arguments)
    while queue:
        argument = queue.pop(0)
        if not argument.startswith("-"):
            continue  # k3s ignores words after the sub-command
        name, equals, value = argument.lstrip("-").partition("=")
        if name in ("h", "help"):
            print(f"NAME:\n   k3s {role} (simulated)\n\nOPTIONS:")
            print("\n".join(f"   --{flag}" for flag in sorted(with_value | boolean) if len(flag) > 1))
            raise SystemExit(0)
        if name not in with_value | boolean:
            fatal(f"Error: flag provided but not defined: -{name}")
        if name in with_value and not equals:
            if not queue:
                fatal(f"Error: flag needs an argument: -{name}")
            value = queue.pop(0)
        name = SHORT.get(name, name)
        flags[name] = [*(flags[name] if name in seen else []), value or "true"]
        seen.add(name)
    return {name: values for name, values in flags.items() if values[-1] not in ("", "false")}


def one(flags: Flags, name: str, default: str = "") -> str:
    return flags.get(name, [default])[-1]


def words(flags: Flags, name: str) -> list[str]:
    """A repeatable flag's values; commas separate as well."""
    return [word for value in flags.get(name, []) for word in value.split(",") if word]


def argument_of(flags: Flags, flag: str, name: str, default: str) -> str:
    """The value of ``name`` among ``--kubelet-arg name=value`` and the like."""
    found = [v.partition("=")[2] for v in flags.get(flag, []) if v.partition("=")[0].lstrip("-") == name]
    return found[-1] if found else default


def seconds(text: str) -> float:
    """A duration in Go's form, such as ``1m30s``."""
    unit = {"h": 3600, "m": 60, "s": 1, "ms": 0.001}
    return sum(float(n) * unit[u] for n, u in re.findall(r"([\d.]+)(ms|h|m|s)", text)) or float(text.strip("s") or 0)


def secret_of(flags: Flags, name: str) -> str:
    """``token`` or ``agent-token``, from the flag or the file that ``…-file`` names (k3s waits for that file)."""
    path = one(flags, name + "-file")
    if one(flags, name) or not path:
        return one(flags, name)
    for _ in range(120):
        try:
            with open(path, encoding="utf-8") as handle:
                return handle.read().strip()
        except FileNotFoundError:
            log("info", f"Waiting for {path} to be available\n")
            time.sleep(2)
    fatal(f"Error: failed to read token-file {path}: timed out waiting for file")


def parse_token(token: str) -> tuple[str, str, str]:
    """(CA hash or "", user or "", password or bootstrap token) of a short or a K10 token."""
    digest = ""
    if token.startswith("K10"):
        digest, _, token = token[3:].partition("::")
        if digest and len(digest) != 64:
            fatal("Error: failed to parse token: invalid token CA hash length")
    if re.fullmatch(r"[a-z0-9]{6}\.[a-z0-9]{16}", token) or ":" not in token:
        return digest, "", token
    user, _, password = token.partition(":")
    return digest, user, password


# --- the machine -----------------------------------------------------------------------------------------------------
def read(path: str, default: str = "") -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read()
    except OSError:
        return default


def write(path: str, text: str, mode: int = 0o600) -> None:
    """Write atomically. No fsync: what must not be lost here is only lost with the machine."""
    temporary = f"{path}.{os.getpid()}.{threading.get_ident()}"
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as handle:
        os.fchmod(handle.fileno(), mode)
        handle.write(text)
    os.replace(temporary, path)


def architecture() -> str:
    machine = os.uname().machine
    return {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "armv8l": "arm"}.get(machine, machine)


def interface_address(name: str) -> str:
    import fcntl
    import struct

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            answer = fcntl.ioctl(sock, 0x8915, struct.pack("256s", name.encode()[:15]))  # SIOCGIFADDR
        except OSError:
            fatal(f"Error: unable to find interface {name}: route ip+net: no such network interface")
    return socket.inet_ntoa(answer[20:24])


def node_address(flags: Flags) -> str:
    """The node's address; without flannel-iface flannel needs a default route, also where node-ip is given."""
    if one(flags, "flannel-iface"):
        found = interface_address(one(flags, "flannel-iface"))
    else:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            try:
                sock.connect(("203.0.113.1", 9))  # sends nothing: asks the kernel which address it would use
            except OSError:
                shut_down("flannel exited: failed to find the interface: failed to get default interface: unable to "
                          "find default route")
            found = str(sock.getsockname()[0])
    return words(flags, "node-ip")[0] if words(flags, "node-ip") else found


def check_cgroups(flags: Flags) -> str:
    """Refuse as k3s does; return why the kubelet would refuse a moment later, or ""."""
    controllers = read("/sys/fs/cgroup/cgroup.controllers").split()
    if controllers:
        for name in ("cpu", "cpuset", "memory"):
            if name not in controllers:
                fatal(f"Error: failed to find {name} cgroup (v2)")
        return "" if "pids" in controllers else "pids cgroup controller not found"
    enabled = {line.split()[0] for line in read("/proc/cgroups").splitlines()[1:] if line.split()[-1] == "1"}
    if "memory" not in enabled:
        fatal('Error: failed to find memory cgroup, you may need to add "cgroup_memory=1 cgroup_enable=memory" '
              "to your linux cmdline (/boot/cmdline.txt on a Raspberry Pi)")
    if argument_of(flags, "kubelet-arg", "fail-cgroupv1", "true") == "false":
        return ""
    return ("failed to validate kubelet configuration, error: kubelet is configured to not run on a host using cgroup "
            "v1. cgroup v1 support is unsupported and will be removed in a future release, "
            "path: &TypeMeta{Kind:,APIVersion:,}")


# --- certificates ----------------------------------------------------------------------------------------------------
def openssl(*arguments: str) -> str:
    import subprocess

    try:
        done = subprocess.run(["openssl", *arguments], check=False, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        fatal("Error: the simulated k3s needs the openssl command: apt-get install openssl")
    if done.returncode:
        fatal(f"Error: openssl {arguments[0]}: {done.stderr.strip()}")
    return done.stdout


EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


def make_ca(tls: str, name: str) -> None:
    path = f"{tls}/{name}"
    if not os.path.exists(path + ".crt"):
        write(path + ".cnf", "[req]\ndistinguished_name=d\nx509_extensions=x\n[d]\n[x]\nsubjectKeyIdentifier=hash\n"
              "basicConstraints=critical,CA:true\n"
              "keyUsage=critical,digitalSignature,keyEncipherment,keyCertSign\n")
        openssl("req", "-x509", *EC, "-config", path + ".cnf", "-subj", f"/CN=k3s-{name}@{int(time.time())}",
                "-days", "3650", "-keyout", path + ".key", "-out", path + ".crt")
        os.unlink(path + ".cnf")
        os.chmod(path + ".key", 0o600)
        log("info", f"generated self-signed CA certificate CN=k3s-{name}")


def make_leaf(tls: str, name: str, ca: str, subject: str, usage: str, names: list[str]) -> None:
    """Make a certificate unless one for these names exists and stays valid for 120 days, as k3s renews at start."""
    path, wanted = f"{tls}/{name}", json.dumps([subject, sorted(names)])
    if os.path.exists(path + ".crt") and read(path + ".names") == wanted:
        import subprocess

        check = ["openssl", "x509", "-noout", "-checkend", str(120 * 86400), "-in", path + ".crt"]
        if subprocess.run(check, check=False, capture_output=True).returncode == 0:
            return
    san = ",".join(("IP:" if re.fullmatch(r"[\d.]+|.*:.*", n) else "DNS:") + n for n in names)
    extensions = "keyUsage=critical,digitalSignature,keyEncipherment\nauthorityKeyIdentifier=keyid\n"
    write(path + ".cnf", "[req]\ndistinguished_name=d\n[d]\n[x]\n" + extensions + f"extendedKeyUsage={usage}\n"
          + (f"subjectAltName={san}\n" if san else ""))
    openssl("req", "-new", *EC, "-config", path + ".cnf", "-subj", subject, "-keyout", path + ".key",
            "-out", path + ".csr")
    openssl("x509", "-req", "-in", path + ".csr", "-CA", f"{tls}/{ca}.crt", "-CAkey", f"{tls}/{ca}.key",
            "-set_serial", "0x" + secrets.token_hex(8), "-extfile", path + ".cnf", "-extensions", "x",
            "-days", "365", "-out", path + ".new")
    write(path + ".crt", read(path + ".new") + read(f"{tls}/{ca}.crt"), 0o644)
    os.chmod(path + ".key", 0o600)
    write(path + ".names", wanted)
    for suffix in (".cnf", ".csr", ".new"):
        os.unlink(path + suffix)
    log("info", f"certificate {subject[1:].replace('/', ',')} signed by {ca}")


def make_certificates(data: str, names: list[str]) -> None:
    tls = f"{data}/server/tls"
    for folder in (f"{data}/server", tls, f"{data}/server/db"):
        os.makedirs(folder, mode=0o700, exist_ok=True)
    make_ca(tls, "server-ca")
    make_ca(tls, "client-ca")
    make_leaf(tls, "serving-kube-apiserver", "server-ca", "/CN=kube-apiserver", "serverAuth", names)
    make_leaf(tls, "client-admin", "client-ca", "/O=system:masters/CN=system:admin", "clientAuth", [])


# --- HTTPS client ----------------------------------------------------------------------------------------------------
def request(url: str, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None,
            context: ssl.SSLContext | None = None, timeout: float = 10) -> tuple[int, bytes]:
    """One HTTPS request; ``http.client`` would double an agent's memory.

    Without a context the server is not verified: only for /cacerts, whose answer the token's hash then verifies.
    """
    if context is None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    host, port = split_address(url)
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    with socket.create_connection((host, port), timeout) as raw, context.wrap_socket(raw, server_hostname=host) as sock:
        sock.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    head, _, content = answer.partition(b"\r\n\r\n")
    if not head:
        raise OSError("EOF")
    return int(head.split()[1]), content


def split_address(url: str) -> tuple[str, int]:
    match = re.match(r"(?:https?://)?(?:\[([0-9a-fA-F:]+)\]|([^:/]+))(?::(\d+))?", url)
    if not match:
        fatal(f"Error: failed to parse server URL {url}")
    return match[1] or match[2], int(match[3] or 443)


# --- the node object -------------------------------------------------------------------------------------------------
def node_args(role: str, arguments: list[str]) -> str:
    """The annotation k3s.io/node-args: all flags, secrets masked."""
    parts = [role]
    for argument in arguments:
        parts += argument.split("=", 1) if argument.startswith("-") else [argument]
    for index, part in enumerate(parts[:-1]):
        if part.startswith("-") and part.lstrip("-") in SECRET_FLAGS:
            parts[index + 1] = "********"
    return json.dumps(parts, separators=(",", ":"))


def condition(kind: str, status: str, reason: str, message: str) -> Object:
    moment = now()
    return {"lastHeartbeatTime": moment, "lastTransitionTime": moment, "message": message, "reason": reason,
            "status": status, "type": kind}


PRESSURES = [("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
             ("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
             ("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available")]
STARTING = ("container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady "
            "message:Network plugin returns error: cni plugin not initialized")


def node_object(role: str, flags: Flags, arguments: list[str], name: str, address: str) -> Object:
    uname, arch = os.uname(), architecture()
    disk = os.statvfs("/")
    found = re.search(r"MemTotal:\s+(\d+)", read("/proc/meminfo"))
    size = {"cpu": str(os.cpu_count() or 1), "ephemeral-storage": f"{disk.f_blocks * disk.f_frsize // 1024}Ki",
            "hugepages-2Mi": "0", "memory": f"{found[1] if found else 0}Ki", "pods": "0"}
    pretty = re.search(r'^PRETTY_NAME="?([^"\n]*)', read("/etc/os-release"), re.M)
    machine = read("/etc/machine-id").strip()
    labels = {"beta.kubernetes.io/arch": arch, "beta.kubernetes.io/instance-type": "k3s",
              "beta.kubernetes.io/os": "linux", "kubernetes.io/arch": arch, "kubernetes.io/hostname": name,
              "kubernetes.io/os": "linux", "node.kubernetes.io/instance-type": "k3s"}
    labels.update(label.partition("=")[::2] for label in words(flags, "node-label"))
    if role == "server":
        labels["node-role.kubernetes.io/control-plane"] = "true"
    shown = node_args(role, arguments)
    digest = base64.b32encode(hashlib.sha256((shown + "{}").encode()).digest()).decode()
    taints = []
    for taint in words(flags, "node-taint"):
        key, _, effect = taint.rpartition(":")
        key, _, value = key.partition("=")
        taints.append({"effect": effect, "key": key, **({"value": value} if value else {})})
    conditions = [condition(kind, "False", reason, message) for kind, reason, message in PRESSURES]
    return {
        "apiVersion": "v1", "kind": "Node",
        "metadata": {
            "annotations": {
                "alpha.kubernetes.io/provided-node-ip": address, "k3s.io/hostname": name, "k3s.io/internal-ip": address,
                "k3s.io/node-args": shown, "k3s.io/node-config-hash": digest, "k3s.io/node-env": "{}",
                "node.alpha.kubernetes.io/ttl": "0"},
            "finalizers": ["wrangler.cattle.io/node"], "labels": labels, "name": name},
        "spec": {"providerID": f"k3s://{name}", **({"taints": taints} if taints else {})},
        "status": {
            "addresses": [{"address": address, "type": "InternalIP"}, {"address": name, "type": "Hostname"}],
            "allocatable": size, "capacity": size,
            "conditions": [*conditions, condition("Ready", "False", "KubeletNotReady", STARTING)],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "nodeInfo": {
                "architecture": arch, "bootID": read("/proc/sys/kernel/random/boot_id").strip(),
                "containerRuntimeVersion": "none://simulated", "kernelVersion": uname.release, "kubeProxyVersion": "",
                "kubeletVersion": VERSION, "machineID": machine, "operatingSystem": "linux",
                "osImage": pretty[1] if pretty else "Linux", "systemUUID": machine}},
    }


# --- store: the cluster's objects, on disk in server/db/state.json ---------------------------------------------------
# resource: (kind, apiVersion, namespaced, other names on the command line)
RESOURCES: dict[str, tuple[str, str, bool, str]] = {
    "nodes": ("Node", "v1", False, "node no"),
    "namespaces": ("Namespace", "v1", False, "namespace ns"),
    "pods": ("Pod", "v1", True, "pod po"),
    "events": ("Event", "v1", True, "event ev"),
    "configmaps": ("ConfigMap", "v1", True, "configmap cm"),
    "secrets": ("Secret", "v1", True, "secret"),
    "services": ("Service", "v1", True, "service svc"),
    "serviceaccounts": ("ServiceAccount", "v1", True, "serviceaccount sa"),
    "persistentvolumes": ("PersistentVolume", "v1", False, "persistentvolume pv"),
    "persistentvolumeclaims": ("PersistentVolumeClaim", "v1", True, "persistentvolumeclaim pvc"),
    "deployments": ("Deployment", "apps/v1", True, "deployment deploy deployments.apps"),
    "daemonsets": ("DaemonSet", "apps/v1", True, "daemonset ds daemonsets.apps"),
    "statefulsets": ("StatefulSet", "apps/v1", True, "statefulset sts statefulsets.apps"),
    "jobs": ("Job", "batch/v1", True, "job jobs.batch"),
    "leases": ("Lease", "coordination.k8s.io/v1", True, "lease leases.coordination.k8s.io"),
    "storageclasses": ("StorageClass", "storage.k8s.io/v1", False, "storageclass sc storageclasses.storage.k8s.io"),
}
BUSYBOX = "rancher/mirrored-library-busybox:1.37.0"


class ApiError(Exception):
    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message

    def status(self) -> Object:
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": self.message,
                "reason": self.reason, "code": self.code}


class Store:
    """Objects by resource and "namespace/name"; every change is on disk before it is answered. Leases are in memory."""

    def __init__(self, path: str, grace: float) -> None:
        self.path, self.grace, self.lock = path, grace, threading.RLock()
        self.state: Object = json.loads(read(path) or '{"version": 1, "objects": {}}')
        self.leases = {key.strip("/"): time.monotonic() for key in self.objects("nodes")}

    def objects(self, resource: str) -> dict[str, Object]:
        found: dict[str, Object] = self.state["objects"].setdefault(resource, {})
        return found

    def save(self) -> None:
        write(self.path, json.dumps(self.state))

    def put(self, resource: str, namespace: str, value: Object, create: bool = False) -> Object:
        with self.lock:
            meta, key = value["metadata"], f"{namespace}/{value['metadata']['name']}"
            old = self.objects(resource).get(key)
            if old and create:
                raise ApiError(409, "AlreadyExists", f'{resource} "{meta["name"]}" already exists')
            if namespace and f"/{namespace}" not in self.objects("namespaces"):
                raise ApiError(404, "NotFound", f'namespaces "{namespace}" not found')
            version = int(self.state.get("resourceVersion", 1)) + 1
            self.state["resourceVersion"] = version
            fixed = old["metadata"] if old else {"creationTimestamp": now(), "uid": new_uid()}
            meta.update({k: fixed[k] for k in ("creationTimestamp", "uid")}, resourceVersion=str(version))
            kind, group, namespaced, _ = RESOURCES[resource]
            meta.update({"namespace": namespace} if namespaced else {})
            value = {"apiVersion": group, "kind": kind, **value}
            if not old:
                value.setdefault("status", first_status(resource))
            elif resource != "nodes":
                value["status"] = old.get("status", {})
            if value["status"] is None:
                del value["status"]
            self.objects(resource)[key] = value
            self.save()
            return value

    def delete(self, resource: str, namespace: str, name: str) -> Object:
        with self.lock:
            value = self.objects(resource).pop(f"{namespace}/{name}", None)
            if value is None:
                raise ApiError(404, "NotFound", f'{resource} "{name}" not found')
            if resource == "namespaces":
                for kind in self.state["objects"].values():
                    for key in [k for k in kind if k.startswith(name + "/")]:
                        del kind[key]
            if resource == "nodes":
                self.leases.pop(name, None)
                self.objects("secrets").pop(f"kube-system/{name}.node-password.k3s", None)
            self.save()
            return value

    def event(self, name: str, reason: str, message: str, kind: str = "Normal") -> None:
        moment = now()
        meta = {"name": f"{name}.{secrets.token_hex(8)}"}
        self.put("events", "default", {
            "metadata": meta, "reason": reason, "message": message, "type": kind, "count": 1, "firstTimestamp": moment,
            "lastTimestamp": moment, "involvedObject": {"kind": "Node", "name": name, "uid": name},
            "source": {"component": "kubelet", "host": name}})
        events = self.objects("events")
        for key in list(events)[:-500]:
            del events[key]

    def check_node_password(self, name: str, password: str) -> None:
        """Raise unless this node name is free, or was taken with this password."""
        key, digest = f"{name}.node-password.k3s", hashlib.sha256(f"{name}:{password}".encode()).hexdigest()
        with self.lock:
            old = self.objects("secrets").get(f"kube-system/{key}")
            if old is None:
                data = {"hash": base64.b64encode(digest.encode()).decode()}
                self.put("secrets", "kube-system", {"metadata": {"name": key}, "type": "k3s.cattle.io/node-password",
                                                    "data": data})
            elif base64.b64decode(old["data"]["hash"]).decode() != digest:
                raise ApiError(403, "Forbidden", "Node password rejected, duplicate hostname or contents of "
                               "'/etc/rancher/node/password' may not match server node-passwd entry, try enabling a "
                               "unique node name with the --with-node-id flag")

    def register(self, node: Object) -> None:
        """Add a node, or renew what a restarted one says of itself; labels and taints count at registration only."""
        name = node["metadata"]["name"]
        with self.lock:
            old = self.objects("nodes").get(f"/{name}")
            if old:
                node["metadata"]["labels"] = old["metadata"]["labels"]
                node["spec"] = old["spec"]
                if old["status"]["conditions"][-1]["status"] == "True":
                    node["status"]["conditions"] = old["status"]["conditions"]
            else:
                used = {n["spec"].get("podCIDR") for n in self.objects("nodes").values()}
                cidr = next(c for c in (f"10.42.{i}.0/24" for i in range(256)) if c not in used)
                node["spec"].update(podCIDR=cidr, podCIDRs=[cidr])
            self.put("nodes", "", node)
            self.leases[name] = time.monotonic()
            self.event(name, "Starting", "Starting kubelet.")
            if not old:
                self.event(name, "RegisteredNode", f"Node {name} event: Registered Node {name} in Controller")

    def renew(self, name: str) -> None:
        with self.lock:
            node = self.objects("nodes").get(f"/{name}")
            if node is None:
                raise ApiError(404, "NotFound", f'nodes "{name}" not found')
            self.leases[name] = time.monotonic()
            for item in node["status"]["conditions"]:
                item["lastHeartbeatTime"] = now()
            if node["status"]["conditions"][-1]["status"] != "True":
                self.set_ready(node, True)

    def set_ready(self, node: Object, ready: bool) -> None:
        """Move a node between Ready and Unknown the way the node controller does."""
        name, old = node["metadata"]["name"], node["status"]["conditions"]
        good = [(k, "False", r, m) for k, r, m in PRESSURES]
        good.append(("Ready", "True", "KubeletReady", "kubelet is posting ready status"))
        bad = [(k, "Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.") for k, *_ in good]
        new = [condition(*item) for item in (good if ready else bad)]
        for index, item in enumerate(new):
            item["lastHeartbeatTime"] = item["lastHeartbeatTime"] if ready else old[index]["lastHeartbeatTime"]
            if item["status"] == old[index]["status"]:
                item["lastTransitionTime"] = old[index]["lastTransitionTime"]
        node["status"]["conditions"] = new
        key = "node.kubernetes.io/unreachable"
        taints = [t for t in node["spec"].get("taints", []) if t["key"] != key]
        if not ready:
            taints += [{"effect": effect, "key": key, "timeAdded": now()} for effect in ("NoSchedule", "NoExecute")]
        node["spec"].pop("taints", None)
        node["spec"].update({"taints": taints} if taints else {})
        self.put("nodes", "", node)
        reason = "NodeReady" if ready else "NodeNotReady"
        self.event(name, reason, f"Node {name} status is now: {reason}", "Normal" if ready else "Warning")

    def lease_objects(self) -> dict[str, Object]:
        found = {}
        for name, renewed in self.leases.items():
            moment = time.gmtime(time.time() - (time.monotonic() - renewed))
            meta = {"name": name, "namespace": "kube-node-lease"}
            spec = {"holderIdentity": name, "leaseDurationSeconds": 40,
                    "renewTime": time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", moment)}
            found[f"kube-node-lease/{name}"] = {"apiVersion": RESOURCES["leases"][1], "kind": "Lease",
                                                "metadata": meta, "spec": spec}
        return found

    def watch_leases(self) -> None:
        with self.lock:
            for node in list(self.objects("nodes").values()):
                age = time.monotonic() - self.leases.setdefault(node["metadata"]["name"], time.monotonic())
                if age > self.grace and node["status"]["conditions"][-1]["status"] != "Unknown":
                    self.set_ready(node, False)

    def seed(self, disabled: list[str]) -> None:
        """What a new cluster holds. Its pods wait for a node that takes pods."""
        for name in ("default", "kube-node-lease", "kube-public", "kube-system"):
            self.put("namespaces", "", {"metadata": {"name": name}})
        pods = []
        if "coredns" not in disabled:
            pods.append(("coredns", "k8s-app", "kube-dns", "rancher/mirrored-coredns-coredns:1.14.6"))
        if "local-storage" not in disabled:
            name = "local-path-provisioner"
            pods.append((name, "app", name, "rancher/local-path-provisioner:v0.0.36"))
            helper = ("apiVersion: v1\nkind: Pod\nmetadata:\n  name: helper-pod\nspec:\n  containers:\n"
                      f"  - name: helper-pod\n    image: {BUSYBOX}\n")
            config = {"metadata": {"name": "local-path-config"}, "data": {"helperPod.yaml": helper}}
            self.put("configmaps", "kube-system", config)
            mark = {"storageclass.kubernetes.io/is-default-class": "true"}
            self.put("storageclasses", "", {
                "metadata": {"name": "local-path", "annotations": mark}, "provisioner": "rancher.io/local-path",
                "reclaimPolicy": "Delete", "volumeBindingMode": "WaitForFirstConsumer"})
        for name, label, value, image in pods:
            meta = {"name": f"{name}-{secrets.token_hex(5)}-{secrets.token_hex(3)[:5]}", "labels": {label: value}}
            containers = [{"name": name, "image": image}]
            self.put("pods", "kube-system", {"metadata": meta, "spec": {"containers": containers}})


def new_uid() -> str:
    text = secrets.token_hex(16)
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def first_status(resource: str) -> Object | None:
    if resource == "pods":
        why = {"lastProbeTime": None, "lastTransitionTime": now(), "status": "False", "type": "PodScheduled",
               "reason": "Unschedulable", "message": "no nodes are available: these simulated ones take no pods"}
        return {"conditions": [why], "phase": "Pending", "qosClass": "BestEffort"}
    phases = {"namespaces": "Active", "persistentvolumeclaims": "Pending"}
    return {"phase": phases[resource]} if resource in phases else None


# --- the API server --------------------------------------------------------------------------------------------------
PATH = re.compile(r"/(?:api/v1|apis/[\w.]+/\w+)(?:/namespaces/([\w.-]+)(?=/))?/([a-z]+)(?:/([\w.:-]+))?$")


class Api:
    """Who may ask what; no sockets in here."""

    def __init__(self, data: str, store: Store, server_password: str, agent_password: str) -> None:
        self.store, self.passwords = store, {"server": server_password, "node": agent_password}
        self.ca = read(f"{data}/server/tls/server-ca.crt").encode()
        self.key = read(f"{data}/server/tls/client-ca.key").encode()

    def node_credential(self, name: str) -> str:
        """What stands for the client certificate that k3s gives a node: made from the client CA's key."""
        return hashlib.sha256(self.key + name.encode()).hexdigest()

    def joins(self, authorization: str) -> bool:
        kind, _, value = authorization.partition(" ")
        if kind == "Bearer":
            secret = self.store.objects("secrets").get("kube-system/bootstrap-token-" + value[:6])
            data = {k: base64.b64decode(v).decode() for k, v in secret["data"].items()} if secret else {}
            same = secrets.compare_digest(value[7:], data.get("token-secret", ""))
            return bool(data) and same and data.get("expiration", "9") > now()
        user, _, password = base64.b64decode(value or b"").decode("utf-8", "replace").partition(":")
        expected = self.passwords.get(user or "node", "")
        return bool(expected) and secrets.compare_digest(password.encode(), expected.encode())

    def answer(self, method: str, path: str, body: bytes, headers: Any, subject: str) -> tuple[int, Any]:
        path, _, query = path.partition("?")
        authorization, node = headers.get("Authorization", ""), headers.get("k3s-Node-Name", "")
        if path == "/ping":
            return 200, "pong"
        if path == "/cacerts":
            return 200, self.ca.decode()
        if path.startswith("/v1-k3s/"):
            if not authorization:
                raise ApiError(403, "Forbidden", "forbidden")
            if not self.joins(authorization):
                raise ApiError(401, "Unauthorized", "Unauthorized")
            if path == "/v1-k3s/serving-kubelet.crt":
                self.store.check_node_password(node, headers.get("k3s-Node-Password", ""))
                return 200, self.node_credential(node)
            return 200, {"clusterDomain": "cluster.local"} if path == "/v1-k3s/config" else "ok"
        is_node = secrets.compare_digest(authorization, "Bearer " + self.node_credential(node)) if node else False
        if subject != "system:admin" and not is_node:
            raise ApiError(401, "Unauthorized", "Unauthorized")
        if path in ("/readyz", "/livez", "/healthz"):
            checks = "[+]ping ok\n[+]log ok\n[+]etcd ok\n[+]informer-sync ok\n[+]shutdown ok\n"
            return 200, f"{checks}{path[1:]} check passed\n" if "verbose" in query else "ok"
        if path == "/version":
            return 200, version_info()
        match = PATH.match(path)
        if not match or match[2] not in RESOURCES:
            raise ApiError(404, "NotFound", "the server could not find the requested resource")
        namespace, resource, name = match[1] or "", match[2], match[3] or ""
        if is_node:
            return self.as_node(method, resource, name, node, body)
        return self.as_admin(method, resource, namespace, name, body)

    def as_node(self, method: str, resource: str, name: str, node: str, body: bytes) -> tuple[int, Any]:
        if method == "PUT" and name == node and resource == "nodes":
            self.store.register(json.loads(body))
        elif method == "PUT" and name == node and resource == "leases":
            self.store.renew(node)
        else:
            raise ApiError(403, "Forbidden", f'{resource} "{name}" is forbidden to user "system:node:{node}"')
        return 200, {}

    def as_admin(self, method: str, resource: str, namespace: str, name: str, body: bytes) -> tuple[int, Any]:
        kind, store = RESOURCES[resource], self.store
        objects = store.lease_objects() if resource == "leases" else store.objects(resource)
        if method == "GET" and not name:
            with store.lock:
                items = [o for key, o in sorted(objects.items()) if not namespace or key.startswith(namespace + "/")]
                return 200, {"apiVersion": kind[1], "kind": kind[0] + "List", "metadata": {}, "items": list(items)}
        if method == "GET":
            if f"{namespace}/{name}" not in objects:
                raise ApiError(404, "NotFound", f'{resource} "{name}" not found')
            return 200, objects[f"{namespace}/{name}"]
        if method == "DELETE":
            return 200, store.delete(resource, namespace, name)
        if method in ("POST", "PUT"):
            return 201 if method == "POST" else 200, store.put(resource, namespace, json.loads(body), method == "POST")
        raise ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")


def version_info() -> Object:
    _, minor, *_ = VERSION[1:].split(".")
    return {"major": "1", "minor": minor, "gitVersion": VERSION, "gitTreeState": "clean",
            "compiler": "none (simulated)", "goVersion": "", "platform": f"linux/{architecture()}"}


def serve(api: Api, address: str, port: int, tls: str) -> Any:
    """Start the HTTPS listener in threads of its own and return it."""
    import http.server

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{tls}/serving-kube-apiserver.crt", f"{tls}/serving-kube-apiserver.key")
    context.load_verify_locations(f"{tls}/client-ca.crt")
    context.verify_mode = ssl.CERT_OPTIONAL

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version, timeout = "HTTP/1.1", 30
        connection: ssl.SSLSocket

        def handle_any(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(min(size, 8 << 20))
            names: Any = (self.connection.getpeercert() or {}).get("subject", ())
            subject = next((pair[1] for rdn in names for pair in rdn if pair[0] == "commonName"), "")
            try:
                code, content = api.answer(self.command, self.path, body, self.headers, subject)
            except ApiError as error:
                code, content = error.code, error.status()
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                code, content = 400, ApiError(400, "BadRequest", f"invalid object: {error!r}").status()
            with api.store.lock:
                data = (content if isinstance(content, str) else json.dumps(content, indent=2)).encode()
            self.send_response(code)
            self.send_header("Content-Type", "text/plain" if isinstance(content, str) else "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PUT = do_POST = do_DELETE = do_PATCH = handle_any

        def log_message(self, *arguments: Any) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size, daemon_threads = 128, True

        def process_request_thread(self, request: Any, client_address: Any) -> None:
            try:  # the handshake belongs to this thread: a silent client must not block the others
                request.settimeout(15)
                request = context.wrap_socket(request, server_side=True)
            except (OSError, ValueError):
                self.shutdown_request(request)
                return
            super().process_request_thread(request, client_address)

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # a client that went away

    try:
        server = Server((address, port), Handler)
    except OSError as error:
        fatal(f"Error: preparing server: failed to listen on {address}:{port}: bind: {(error.strerror or '').lower()}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


# --- k3s server ------------------------------------------------------------------------------------------------------
def stop_event() -> threading.Event:
    """Set by SIGTERM or SIGINT: then stop with exit code 0."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def node_name(flags: Flags) -> str:
    return one(flags, "node-name", socket.gethostname()).lower()


def node_password() -> str:
    path = f"{ETC}/node/password"
    if not read(path).strip():
        write(path, secrets.token_hex(16) + "\n")
    return read(path).strip()


def agent_files(data: str, ca: str) -> None:
    for folder in ("containerd", "etc", "images"):
        os.makedirs(f"{data}/agent/{folder}", exist_ok=True)
    write(f"{data}/agent/server-ca.crt", ca)


def kubeconfig_text(data: str, port: int) -> str:
    def encoded(name: str) -> str:
        return base64.b64encode(read(f"{data}/server/tls/{name}").encode()).decode()

    return (f"apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: {encoded('server-ca.crt')}\n"
            f"    server: https://127.0.0.1:{port}\n  name: default\ncontexts:\n- context:\n    cluster: default\n"
            "    user: default\n  name: default\ncurrent-context: default\nkind: Config\nusers:\n- name: default\n"
            f"  user:\n    client-certificate-data: {encoded('client-admin.crt')}\n"
            f"    client-key-data: {encoded('client-admin.key')}\n")


def server_tokens(data: str, flags: Flags, store: Store) -> tuple[str, str]:
    """Settle the two join secrets, write them as k3s does, and return their password parts."""
    folder = f"{data}/server"
    ca = hashlib.sha256(read(f"{folder}/tls/server-ca.crt").encode()).hexdigest()
    given = parse_token(secret_of(flags, "token"))[2] if flags.keys() & {"token", "token-file"} else ""
    password = given or parse_token(read(f"{folder}/token").strip())[2] or secrets.token_hex(16)
    agent = flags.keys() & {"agent-token", "agent-token-file"} and parse_token(secret_of(flags, "agent-token"))[2]
    mark = hashlib.sha256(password.encode()).hexdigest()
    if store.state.setdefault("bootstrap", mark) != mark:
        fatal("Error: preparing server: failed to bootstrap cluster data: "
              "bootstrap data already found and encrypted with different token")
    write(f"{folder}/token", f"K10{ca}::server:{password}\n")
    for name in ("node-token", "agent-token"):
        if os.path.lexists(f"{folder}/{name}"):
            os.unlink(f"{folder}/{name}")
        if name == "agent-token" and agent:
            write(f"{folder}/{name}", f"K10{ca}::node:{agent}\n")
        else:
            os.symlink(f"{folder}/token", f"{folder}/{name}")
    return password, agent or password


def run_server(arguments: list[str]) -> int:
    stop = stop_event()
    arguments = config_arguments("server", arguments) + arguments
    flags = parse_flags("server", arguments)
    for name in ("cluster-init", "server", "datastore-endpoint", "cluster-reset"):
        if name in flags:
            fatal(f"Error: --{name}: the simulated k3s has one server with its own datastore")
    log("info", f"Starting k3s {VERSION} (simulated)")
    trouble = check_cgroups(flags)
    data, port = one(flags, "data-dir", "/var/lib/rancher/k3s"), int(one(flags, "https-listen-port", "6443"))
    name, address = node_name(flags), node_address(flags)
    names = ["127.0.0.1", "::1", "10.43.0.1", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
             "kubernetes.default.svc.cluster.local", name, address, *words(flags, "tls-san")]
    make_certificates(data, list(dict.fromkeys(names)))
    grace = argument_of(flags, "kube-controller-manager-arg", "node-monitor-grace-period", "40s")
    store = Store(f"{data}/server/db/state.json", seconds(grace))
    api = Api(data, store, *server_tokens(data, flags, store))
    if not store.objects("namespaces"):
        store.seed(words(flags, "disable"))
    listener = serve(api, one(flags, "bind-address", "0.0.0.0"), port, f"{data}/server/tls")
    kubeconfig = one(flags, "write-kubeconfig", f"{ETC}/k3s/k3s.yaml")
    write(kubeconfig, kubeconfig_text(data, port), int(one(flags, "write-kubeconfig-mode", "600"), 8))
    log("info", f"Server node token is available at {data}/server/token")
    log("info", f"To join server node to cluster: k3s server -s https://{address}:{port} -t ${{SERVER_NODE_TOKEN}}")
    log("info", f"Agent node token is available at {data}/server/agent-token")
    log("info", f"To join agent node to cluster: k3s agent -s https://{address}:{port} -t ${{AGENT_NODE_TOKEN}}")
    log("info", f"Wrote kubeconfig {kubeconfig}")
    if trouble:
        shut_down(f"kubelet exited: {trouble}")
    agent_files(data, api.ca.decode())
    try:
        store.check_node_password(name, node_password())
    except ApiError as error:
        fatal(f"Error: failed to retrieve agent configuration: {error.message}")
    store.register(node_object("server", flags, arguments, name, address))
    stop.wait(1)
    store.renew(name)
    log("info", "Kube API server is now running")
    log("info", "k3s is up and running")
    notify("READY=1")
    every = seconds(argument_of(flags, "kubelet-arg", "node-status-update-frequency", "10s"))
    renewed = time.monotonic()
    while not stop.wait(1):
        if time.monotonic() - renewed >= every and f"/{name}" in store.objects("nodes"):
            store.renew(name)
            renewed = time.monotonic()
        store.watch_leases()
    listener.server_close()
    log("info", "Received signal terminated, shutting down")
    return 0


# --- k3s agent -------------------------------------------------------------------------------------------------------
def verified_context(url: str, digest: str, stop: threading.Event) -> tuple[ssl.SSLContext, str]:
    """Fetch the server's CA and compare it with the token's hash; try for ever, every 2 s, as k3s does."""
    while not stop.is_set():
        try:
            if not url.startswith("https://"):
                scheme = url.partition("://")[0] + "://" if "://" in url else ""
                raise ValueError(f"only https:// URLs are supported, invalid scheme: {scheme}127.0.0.1:6444")
            code, ca = request(url, "GET", "/cacerts")
            found = hashlib.sha256(ca).hexdigest()
            if code != 200:
                raise ValueError(f"failed to get CA certs: https://127.0.0.1:6444/cacerts: {code}")
            if digest and found != digest:
                raise ValueError(f"token CA hash does not match the Cluster CA certificate hash: {digest} != {found}")
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False  # k3s's agents reach every server as 127.0.0.1, by their load balancer
            context.load_verify_locations(cadata=ca.decode())
            if not digest:
                log("warning", "Cluster CA certificate is not trusted by the host CA bundle, but the token does not "
                    "include a CA hash. Use the full token from the server's node-token file to enable Cluster CA "
                    "validation.")
            return context, ca.decode()
        except ValueError as error:
            message = str(error)
        except OSError as error:
            # An agent of k3s speaks to its own load balancer, which just hangs up when it reaches no server.
            words = "EOF" if isinstance(error, ConnectionError) else (error.strerror or str(error)).lower()
            message = f'failed to get CA certs: Get "https://127.0.0.1:6444/cacerts": {words}'
        log("error", f"Failed to validate connection to cluster at {url}: {message}")
        stop.wait(2)
    raise SystemExit(0)


def retrieve(url: str, context: ssl.SSLContext, headers: dict[str, str], stop: threading.Event) -> str:
    """Fetch the agent's configuration and node credential. k3s repeats a refusal for 10 s and exits."""
    refused = 0.0
    while not stop.is_set():
        try:
            message, permanent = "", True
            for path in ("/v1-k3s/config", "/v1-k3s/serving-kubelet.crt"):
                code, body = request(url, "GET", path, headers=headers, context=context)
                if code == 401:
                    message = "failed to retrieve configuration from server: not authorized"
                elif code == 403:
                    message = f"/var/lib/rancher/k3s/agent{path[7:]}: {json.loads(body)['message']}"
                elif code != 200:
                    message, permanent = f"{path}: {code}", False
                if message:
                    break
            else:
                return body.decode()
        except (OSError, ValueError) as error:
            message, permanent = str(error), False
        refused = (refused or time.monotonic()) if permanent else 0.0
        if refused and time.monotonic() - refused >= 10:
            fatal(f"Error: failed to retrieve agent configuration: {message}")
        log("info", f"Waiting to retrieve agent configuration; server is not ready: {message}")
        stop.wait(5)
    raise SystemExit(0)


def run_agent(arguments: list[str]) -> int:
    stop = stop_event()
    arguments = config_arguments("agent", arguments) + arguments
    flags = parse_flags("agent", arguments)
    if not flags.keys() & {"token", "token-file"}:
        fatal("Error: --token is required")
    if "server" not in flags:
        fatal("Error: --server is required")
    log("info", f"Starting k3s agent {VERSION} (simulated)")
    trouble = check_cgroups(flags)
    data, url = one(flags, "data-dir", "/var/lib/rancher/k3s"), one(flags, "server").rstrip("/")
    digest, user, password = parse_token(secret_of(flags, "token"))
    server = "%s:%d" % split_address(url)
    log("info", f"Updated load balancer k3s-agent-load-balancer default server: {server}")
    log("info", f"Running load balancer k3s-agent-load-balancer 127.0.0.1:6444 -> [] [default: {server}]")
    context, ca = verified_context(url, digest, stop)
    name, address = node_name(flags), node_address(flags)
    basic = "Basic " + base64.b64encode(f"{user or 'node'}:{password}".encode()).decode()
    bootstrap = not user and re.fullmatch(r"[a-z0-9]{6}\.[a-z0-9]{16}", password)
    headers = {"Authorization": f"Bearer {password}" if bootstrap else basic, "k3s-Node-Name": name}
    credential = retrieve(url, context, {**headers, "k3s-Node-Password": node_password()}, stop)
    if trouble:
        shut_down(f"kubelet exited: {trouble}")
    agent_files(data, ca)
    balancer = json.dumps({"ServerURL": url, "ServerAddresses": [server]}, separators=(",", ":"))
    write(f"{data}/agent/etc/k3s-agent-load-balancer.json", balancer, 0o644)
    headers = {"Authorization": f"Bearer {credential}", "k3s-Node-Name": name}
    node = json.dumps(node_object("agent", flags, arguments, name, address)).encode()
    lease = f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}"
    every = seconds(argument_of(flags, "kubelet-arg", "node-status-update-frequency", "10s"))
    log("info", f"Got apiserver addresses from supervisor: [{server}]")
    registered, trouble = False, ""
    while not stop.is_set():
        try:
            path = lease if registered else f"/api/v1/nodes/{name}"
            code, body = request(url, "PUT", path, b"{}" if registered else node, headers, context)
            problem = "" if code == 200 else f"{code} {json.loads(body).get('message', '')}"
        except (OSError, ValueError) as error:
            problem = str(error)
        if problem and problem != trouble:
            log("error", f"Failed to update lease for node {name}, will retry: {problem}")
        elif trouble and not problem:
            log("info", f"Connected to proxy wss://{server}/v1-k3s/connect")
        trouble = problem
        if not problem and not registered:
            registered = True
            log("info", f"Annotations and labels have been set successfully on node: {name}")
            notify("READY=1")
            stop.wait(1)
        else:
            stop.wait(every if registered else 2)
    return 0


# --- k3s kubectl -----------------------------------------------------------------------------------------------------
KUBECTL_VALUES = {"n": "namespace", "namespace": "", "o": "output", "output": "", "l": "selector", "selector": "",
                  "f": "filename", "filename": "", "for": "", "timeout": "", "kubeconfig": "", "raw": "", "s": "server",
                  "request-timeout": "", "grace-period": "", "v": ""}
KUBECTL_BOOLS = {"A": "all-namespaces", "all-namespaces": "", "ignore-not-found": "", "wait": "", "force": "",
                 "all": "", "ignore-daemonsets": "", "delete-emptydir-data": "", "no-headers": "", "now": ""}


REFUSED = "was refused - did you specify the right host or port?"


def kubectl_error(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    raise SystemExit(1)


class Kubectl:
    """The sub-commands of kubectl that a deployment and its checks use, with kubectl's words and exit codes."""

    def __init__(self, arguments: list[str]) -> None:
        self.words: list[str] = []
        self.flags: dict[str, str] = {}
        queue = list(arguments)
        while queue:
            argument = queue.pop(0)
            if not argument.startswith("-") or argument == "-":
                self.words.append(argument)
                continue
            name, equals, value = argument.lstrip("-").partition("=")
            if name in KUBECTL_BOOLS:
                self.flags[KUBECTL_BOOLS[name] or name] = value or "true"
            elif name in KUBECTL_VALUES:
                value = value if equals else queue.pop(0) if queue else ""
                self.flags[KUBECTL_VALUES[name] or name] = value
            elif name[:1] in KUBECTL_VALUES and not argument.startswith("--"):
                self.flags[KUBECTL_VALUES[name[0]]] = argument[2:]  # -ojson
            else:
                kubectl_error(f"error: unknown flag: --{name}\nSee 'kubectl --help' for usage.")
        self.timeout = seconds(self.flags.get("request-timeout", "") or "0") or 30
        self.context, self.url = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ""

    def load_kubeconfig(self) -> None:
        path = self.flags.get("kubeconfig") or os.environ.get("KUBECONFIG") or f"{ETC}/k3s/k3s.yaml"
        try:
            with open(path, encoding="utf-8") as handle:
                text = handle.read()
        except FileNotFoundError:
            kubectl_error(f"The connection to the server localhost:8080 {REFUSED}")
        except PermissionError:
            kubectl_error(f'error: error loading config file "{path}": open {path}: permission denied')
        found = dict(re.findall(r"^[\s-]*([\w-]+): (\S+)\s*$", text, re.M))
        self.url = self.flags.get("server") or found["server"]
        self.context.load_verify_locations(cadata=base64.b64decode(found["certificate-authority-data"]).decode())
        # load_cert_chain reads files only: one in memory keeps the key off the disk.
        handle_number = os.memfd_create("kubeconfig")
        os.write(handle_number, b"".join(base64.b64decode(found[f"client-{k}-data"]) for k in ("certificate", "key")))
        self.context.load_cert_chain(f"/proc/self/fd/{handle_number}")

    def call(self, method: str, path: str, value: Object | None = None) -> bytes:
        if not self.url:
            self.load_kubeconfig()
        server = "%s:%d" % split_address(self.url)
        try:
            body = json.dumps(value).encode() if value is not None else b""
            code, content = request(self.url, method, path, body, context=self.context, timeout=self.timeout)
        except ConnectionRefusedError:
            kubectl_error(f"The connection to the server {server} {REFUSED}")
        except ssl.SSLCertVerificationError as error:
            words = "tls: failed to verify certificate: x509: " + error.verify_message
            kubectl_error(f"Unable to connect to the server: {words}")
        except (TimeoutError, socket.timeout):
            kubectl_error("Unable to connect to the server: context deadline exceeded")
        except OSError as error:
            kubectl_error(f"Unable to connect to the server: dial tcp {server}: {error.strerror or error}")
        if code >= 400:
            data = json.loads(content)
            raise ApiError(code, data["reason"], data["message"])
        return content

    def path(self, resource: str, name: str = "", namespace: str | None = None) -> str:
        _, group, namespaced, _ = RESOURCES[resource]
        space = self.flags.get("namespace", "default") if namespace is None else namespace
        parts = ["/api/v1" if group == "v1" else "/apis/" + group]
        parts += [f"/namespaces/{space}"] if namespaced and space else []
        return "".join([*parts, "/" + resource, "/" + name if name else ""])

    @staticmethod
    def resource(word: str) -> str:
        word = word.lower()
        for name, (_, _, _, aliases) in RESOURCES.items():
            if word == name or word in aliases.split():
                return name
        kubectl_error(f'error: the server doesn\'t have a resource type "{word}"')

    def targets(self, words_: list[str]) -> list[tuple[str, str]]:
        """(resource, name or "" for all) from ``nodes``, ``pods,svc``, ``node l0 l1`` or ``node/l0 pod/x``."""
        if words_ and "/" in words_[0]:
            return [(self.resource(w.partition("/")[0]), w.partition("/")[2]) for w in words_]
        if not words_:
            kubectl_error("error: Required resource not specified.")
        kinds = [self.resource(word) for word in words_[0].split(",")]
        return [(kind, name) for kind in kinds for name in (words_[1:] or [""])]

    def fetch(self, resource: str, name: str) -> list[Object]:
        everywhere = "" if "all-namespaces" in self.flags else None
        if name:
            return [json.loads(self.call("GET", self.path(resource, name)))]
        items: list[Object] = json.loads(self.call("GET", self.path(resource, namespace=everywhere)))["items"]
        for term in filter(None, self.flags.get("selector", "").split(",")):
            key, _, value = term.replace("==", "=").partition("=")
            items = [i for i in items if value == i["metadata"].get("labels", {}).get(key, None if value else value)]
        return items

    def get(self) -> int:
        if "raw" in self.flags:
            print(self.call("GET", self.flags["raw"]).decode(), end="")
            return 0
        targets, found = self.targets(self.words[1:]), []
        for resource, name in targets:
            try:
                found += self.fetch(resource, name)
            except ApiError as error:
                if error.reason != "NotFound" or "ignore-not-found" not in self.flags:
                    raise
        output = self.flags.get("output", "")
        if output == "json":
            alone = len(targets) == 1 and targets[0][1]
            if found or not alone:
                whole = {"apiVersion": "v1", "items": found, "kind": "List", "metadata": {"resourceVersion": ""}}
                print(json.dumps(found[0] if alone else whole, indent=4, ensure_ascii=False))
        elif output == "name":
            print("".join(f"{kind_name(item)}\n" for item in found), end="")
        elif output not in ("", "wide"):
            kubectl_error(f'error: the simulated kubectl prints json, name or a table, not "{output}"')
        elif found:
            print(table(found, "all-namespaces" in self.flags, "no-headers" not in self.flags))
        elif "all-namespaces" in self.flags or not RESOURCES[targets[0][0]][2]:
            print("No resources found", file=sys.stderr)
        else:
            print(f"No resources found in {self.flags.get('namespace', 'default')} namespace.", file=sys.stderr)
        return 0

    def documents(self) -> list[Object]:
        name = self.flags.get("filename", "")
        if not name:
            kubectl_error("error: must specify one of -f and -k")
        text = sys.stdin.read() if name == "-" else read(name)
        if not text.strip():
            missing = f'error: the path "{name}" does not exist'
            kubectl_error("error: no objects passed to apply" if name == "-" else missing)
        try:
            data = json.loads(text)
        except ValueError:
            kubectl_error("error: the simulated kubectl reads JSON manifests only")
        return list(data["items"]) if data.get("kind") == "List" else [data]

    def locate(self, item: Object) -> tuple[str, str, str]:
        resource = next((name for name, kind in RESOURCES.items() if kind[0] == item.get("kind")), "")
        if not resource:
            kubectl_error(f'error: no matches for kind "{item.get("kind")}" in version "{item.get("apiVersion")}"')
        meta = item["metadata"]
        return resource, meta.get("namespace", self.flags.get("namespace", "default")), meta["name"]

    def apply(self) -> int:
        for item in self.documents():
            resource, namespace, name = self.locate(item)
            try:
                old = json.loads(self.call("GET", self.path(resource, name, namespace)))
                if all(old.get(key) == value for key, value in item.items() if key != "metadata"):
                    word = "unchanged"
                else:
                    self.call("PUT", self.path(resource, name, namespace), item)
                    word = "configured"
            except ApiError as error:
                if error.reason != "NotFound" or not self.call("POST", self.path(resource, "", namespace), item):
                    raise
                word = "created"
            print(f"{kind_name(item)} {word}")
        return 0

    def delete(self) -> int:
        if "filename" in self.flags:
            targets = [self.locate(item) for item in self.documents()]
        else:
            space = self.flags.get("namespace", "default")
            targets = [(r, space, n) for r, n in self.targets(self.words[1:])]
            if any(not name for _, _, name in targets):
                kubectl_error("error: resource(s) were provided, but no name was specified")
        for resource, namespace, name in targets:
            try:
                value = json.loads(self.call("DELETE", self.path(resource, name, namespace)))
            except ApiError as error:
                if error.reason == "NotFound" and "ignore-not-found" in self.flags:
                    continue
                raise
            where = f" from {namespace} namespace" if RESOURCES[resource][2] else ""
            print(f'{kind_name(value).partition("/")[0]} "{name}" deleted{where}')
        return 0

    def wait(self) -> int:
        wanted, limit = self.flags.get("for", ""), time.monotonic() + seconds(self.flags.get("timeout", "30s"))
        kind, _, status = wanted.partition("=")[2].partition("=")
        for resource, given in self.targets(self.words[1:]):
            names = [given] if given else [item["metadata"]["name"] for item in self.fetch(resource, "")]
            for name in names:
                while not self.holds(resource, name, wanted == "delete", kind.lower(), (status or "True").lower()):
                    if time.monotonic() > limit:
                        kubectl_error(f"error: timed out waiting for the condition on {resource}/{name}")
                    time.sleep(0.3)
                print(f"{RESOURCES[resource][0].lower()}/{name} condition met")
        return 0

    def holds(self, resource: str, name: str, gone: bool, kind: str, status: str) -> bool:
        """Whether an object is gone, or has the condition ``kind`` with this status (both in lower case)."""
        try:
            item = json.loads(self.call("GET", self.path(resource, name)))
        except ApiError as error:
            if gone and error.reason == "NotFound":
                return True
            raise
        conditions = item.get("status", {}).get("conditions", [])
        return not gone and any((c["type"].lower(), c["status"].lower()) == (kind, status) for c in conditions)

    def cordon(self) -> int:
        mark = self.words[0] != "uncordon"
        for name in self.words[1:]:
            name = name.rpartition("/")[2]
            node = json.loads(self.call("GET", self.path("nodes", name)))
            word = "cordoned" if mark else "uncordoned"
            if bool(node["spec"].get("unschedulable")) == mark:
                word = "already " + word
            else:
                taint = {"effect": "NoSchedule", "key": "node.kubernetes.io/unschedulable", "timeAdded": now()}
                taints = [t for t in node["spec"].pop("taints", []) if t["key"] != taint["key"]]
                taints += [taint] if mark else []
                node["spec"].pop("unschedulable", None)
                node["spec"].update({"unschedulable": True} if mark else {}, **({"taints": taints} if taints else {}))
                self.call("PUT", self.path("nodes", name), node)
            print(f"node/{name} {word}")
            if self.words[0] == "drain":
                print(f"node/{name} drained")  # no pod ever runs on a simulated node
        return 0

    def version(self) -> int:
        info: Object = {"clientVersion": version_info(), "kustomizeVersion": "none (simulated)"}
        info["serverVersion"] = json.loads(self.call("GET", "/version"))
        as_text = f"Client Version: {VERSION}\nServer Version: {info['serverVersion']['gitVersion']}"
        print(json.dumps(info, indent=2) if self.flags.get("output") == "json" else as_text)
        return 0

    def run(self) -> int:
        verbs = {"get": self.get, "apply": self.apply, "create": self.apply, "delete": self.delete,
                 "wait": self.wait, "cordon": self.cordon, "uncordon": self.cordon, "drain": self.cordon,
                 "version": self.version}
        verb = self.words[0] if self.words else ""
        if verb not in verbs:
            kubectl_error(f'error: unknown command "{verb}" for "kubectl" (simulated: {", ".join(sorted(verbs))})')
        try:
            return verbs[verb]()
        except ApiError as error:
            kubectl_error(f"Error from server ({error.reason}): {error.message}")


def kind_name(item: Object) -> str:
    group = str(item.get("apiVersion", "v1")).partition("/")
    return f"{item['kind'].lower()}{'.' + group[0] if group[2] else ''}/{item['metadata']['name']}"


def age(item: Object) -> str:
    import calendar

    made = calendar.timegm(time.strptime(item["metadata"]["creationTimestamp"], "%Y-%m-%dT%H:%M:%SZ"))
    total = max(0, int(time.time() - made))
    if total < 120:
        return f"{total}s"
    if total < 7200:
        return f"{total // 60}m"
    return f"{total // 3600}h" if total < 172800 else f"{total // 86400}d"


def table(items: list[Object], spaces: bool, header: bool) -> str:
    rows: list[list[str]] = []
    for item in items:
        space = [item["metadata"].get("namespace", "")] if spaces else []
        names, row = ["NAMESPACE", "NAME"][1 - len(space):], [*space, item["metadata"]["name"]]
        if item["kind"] == "Node":
            ready = item["status"]["conditions"][-1]["status"] == "True"
            roles = [label.partition("/")[2] for label in item["metadata"]["labels"] if label.startswith("node-role")]
            state = ("Ready" if ready else "NotReady") + ",SchedulingDisabled" * bool(item["spec"].get("unschedulable"))
            row += [state, ",".join(roles) or "<none>", age(item), item["status"]["nodeInfo"]["kubeletVersion"]]
            names += ["STATUS", "ROLES", "AGE", "VERSION"]
        elif item["kind"] == "Pod":
            row += [f"0/{len(item['spec']['containers'])}", item["status"]["phase"], "0", age(item)]
            names += ["READY", "STATUS", "RESTARTS", "AGE"]
        else:
            row, names = [*row, age(item)], [*names, "AGE"]
        rows += [names, row] if header and not rows else [row]
    return columns(rows)


def columns(rows: list[list[str]]) -> str:
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(max(map(len, rows)))]
    return "\n".join("   ".join(cell.ljust(widths[i]) for i, cell in enumerate(row)).rstrip() for row in rows)


# --- the other commands ----------------------------------------------------------------------------------------------
def data_dir(arguments: list[str]) -> str:
    flags = [a.partition("=") for a in config_arguments("server", arguments) + arguments]
    for index, (name, equals, value) in enumerate(flags):
        if name.lstrip("-") in ("data-dir", "d"):
            return value if equals else flags[index + 1][0] if index + 1 < len(flags) else ""
    return "/var/lib/rancher/k3s"


def run_token(arguments: list[str]) -> int:
    verb, options, words_ = (arguments or ["help"])[0], {"ttl": "24h", "description": "", "output": "", "o": ""}, []
    queue = arguments[1:]
    while queue:
        name, equals, value = queue.pop(0).partition("=")
        if name.startswith("-"):
            options[name.lstrip("-")] = value if equals else queue.pop(0) if queue else ""
        else:
            words_.append(name)
    kubectl = Kubectl(["get", "--namespace", "kube-system"])
    if verb in ("create", "generate"):
        token = f"{secrets.token_hex(3)}.{secrets.token_hex(8)}"
        if verb == "generate":
            print(token)
            return 0
        data, ttl = {"token-id": token[:6], "token-secret": token[7:], **options}, seconds(options["ttl"])
        if ttl:
            data["expiration"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + ttl))
        kubectl.call("POST", kubectl.path("secrets"), {
            "kind": "Secret", "metadata": {"name": "bootstrap-token-" + token[:6]},
            "type": "bootstrap.kubernetes.io/token",
            "data": {k: base64.b64encode(v.encode()).decode() for k, v in data.items()}})
        print(f"K10{hashlib.sha256(kubectl.call('GET', '/cacerts')).hexdigest()}::{token}")
    elif verb == "delete":
        for name in words_:
            kubectl.call("DELETE", kubectl.path("secrets", "bootstrap-token-" + name[:6]))
            print(f'bootstrap token "{name[:6]}" deleted')
    elif verb == "list":
        groups, usages, found = "system:bootstrappers:k3s:default-node-token", ["authentication", "signing"], []
        for secret in kubectl.fetch("secrets", ""):
            if secret["metadata"]["name"].startswith("bootstrap-token-"):
                found.append({k: base64.b64decode(v).decode() for k, v in secret["data"].items()})
        if "json" in (options["o"], options["output"]):
            print(json.dumps([{"token": {}, "expires": d.get("expiration"), "usages": usages, "groups": [groups]}
                              for d in found]))
        else:
            rows = [[d["token-id"], d.get("expiration", "<never>"), ",".join(usages), d["description"] or "<none>",
                     groups] for d in found]
            print(columns([["TOKEN", "EXPIRES", "USAGES", "DESCRIPTION", "EXTRA GROUPS"], *rows]))
    else:
        fatal(f"Error: k3s token {verb} is not simulated; create, delete, generate and list are")
    return 0


def run_certificate(arguments: list[str]) -> int:
    if arguments[:1] != ["check"]:
        fatal("Error: of k3s certificate, only check is simulated")
    tls, found = f"{data_dir(arguments[1:])}/server/tls", []
    for name in ("client-admin", "serving-kube-apiserver"):
        if not os.path.exists(f"{tls}/{name}.crt"):
            fatal(f"open {tls}/{name}.crt: no such file or directory")
        text = openssl("x509", "-noout", "-subject", "-enddate", "-nameopt", "multiline", "-in", f"{tls}/{name}.crt")
        end = time.mktime(time.strptime(re.findall(r"notAfter=(.*) GMT", text)[0], "%b %d %H:%M:%S %Y")) - time.timezone
        usage, left = "ServerAuth" if name.startswith("serving") else "ClientAuth", end - time.time()
        found.append({
            "Filename": f"{name}.crt", "Subject": re.findall(r"commonName\s*= (.*)", text)[0], "Usages": [usage],
            "ExpiryTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(end)), "ResidualTime": int(left * 1e9),
            "Status": "OK" if left > 120 * 86400 else "WARNING" if left > 0 else "EXPIRED"})
    log("info", "Server detected, checking agent and server certificates")
    if "json" in " ".join(arguments):
        print(json.dumps({"Certificates": found}))
    else:
        shown = ("Filename", "Subject", "ExpiryTime", "Status")
        print(columns([[key.upper() for key in shown], *([str(row[key]) for key in shown] for row in found)]))
    return 0


def run_check_config(_: list[str]) -> int:
    enabled = read("/sys/fs/cgroup/cgroup.controllers").split() or [
        line.split()[0] for line in read("/proc/cgroups").splitlines()[1:] if line.split()[-1] == "1"]
    swap = "should be disabled" if len(read("/proc/swaps").splitlines()) > 1 else "disabled"
    print(f"\nSystem:\n- swap: {swap}\n\nGenerally Necessary:")
    missing = [name for name in ("cpuset", "memory") if name not in enabled]
    print(f"- cgroup hierarchy: {'cgroups: missing ' + ', '.join(missing) if missing else 'controllers status: good'}")
    print(f"\nSTATUS: {'1 (fail)' if missing else 'pass'} (simulated: no kernel option was looked at)")
    return 2 if missing else 0


def run_etcd_snapshot(_: list[str]) -> int:
    fatal("Error: see server log for details: etcd datastore disabled")


def main() -> int:
    name, arguments = os.path.basename(sys.argv[0]), sys.argv[1:]
    if name == "kubectl":
        return Kubectl(arguments).run()
    command, rest = (arguments[0] if arguments else "help"), arguments[1:]
    if command in ("--version", "-v", "-version"):
        print(f"k3s version {VERSION} (simulated)\npython version {sys.version.split()[0]}")
        return 0
    commands = {"server": run_server, "agent": run_agent, "kubectl": lambda a: Kubectl(a).run(), "token": run_token,
                "certificate": run_certificate, "check-config": run_check_config,
                "etcd-snapshot": run_etcd_snapshot}
    if command not in commands:
        print("NAME:\n   k3s - Kubernetes, but small and simple (simulated: it runs no containers)\n\nCOMMANDS:")
        print("\n".join(f"   {verb}" for verb in sorted(commands)))
        return 0 if command in ("help", "--help", "-h") else 1
    try:
        return commands[command](rest)
    except ApiError as error:
        fatal(f"Error: {error.message}")
    except BrokenPipeError:
        return 1


if __name__ == "__main__":
    sys.exit(main())
