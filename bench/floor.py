# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""The floor: what the same result costs with nothing but ssh.

Push the files to all nodes at once, write the least configuration, start every k3s at the same moment, poll until
all nodes are Ready. No preparation, no verification, a join token known beforehand: no tool can be much faster.
"""

from __future__ import annotations

import json
import secrets
import shlex
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

UNIT = """[Unit]
Wants=network-online.target
After=network-online.target
[Service]
Type=notify
KillMode=process
Delegate=yes
LimitNOFILE=1048576
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
TimeoutStartSec=0
Restart=always
RestartSec=5s
ExecStart=/usr/local/bin/k3s {role}
[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True)
class Files:
    """What is pushed to each node: the binary and, where there is one, the image tarball."""

    binary: Path
    images: Path | None


def ssh(host: str, command: str, stdin: Path | str | None = None) -> str:
    """Run one command on a host as the login user.

    :raises RuntimeError: the command failed; the text is ssh's own.
    """
    argv = ["ssh", "-o", "BatchMode=yes", "-o", "ControlMaster=no", host, command]
    if isinstance(stdin, Path):
        with stdin.open("rb") as handle:
            done = subprocess.run(argv, stdin=handle, capture_output=True, text=True, check=False)
    else:
        done = subprocess.run(argv, input=stdin or "", capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{host}: {command[:60]}: {done.stderr.strip()}")
    return done.stdout


def push(host: str, files: Files) -> None:
    ssh(host, "sudo sh -c 'cat > /usr/local/bin/k3s && chmod 755 /usr/local/bin/k3s'", files.binary)
    if files.images:
        folder = "/var/lib/rancher/k3s/agent/images"
        ssh(host, f"sudo sh -c 'mkdir -p {folder} && cat > {folder}/{files.images.name}'", files.images)


def start(host: str, role: str, config: dict[str, object]) -> None:
    unit = "k3s" if role == "server" else "k3s-agent"
    script = "\n".join(
        [
            "set -e; umask 077; mkdir -p /etc/rancher/k3s",
            f"printf %s {shlex.quote(json.dumps(config))} > /etc/rancher/k3s/config.yaml",
            f"printf %s {shlex.quote(UNIT.format(role=role))} > /etc/systemd/system/{unit}.service",
            f"systemctl daemon-reload; systemctl enable -q {unit}; systemctl start --no-block {unit}",
        ]
    )
    ssh(host, "sudo sh -s", script)


def ready(server: str) -> int:
    """Count the Ready nodes; 0 while the API does not answer."""
    try:
        out = ssh(server, "sudo k3s kubectl get nodes -o json 2>/dev/null")
        items = json.loads(out)["items"]
    except (RuntimeError, ValueError):
        return 0
    return sum(
        any(c["type"] == "Ready" and c["status"] == "True" for c in item["status"].get("conditions", []))
        for item in items
    )


def run(hosts: dict[str, str], files: Files, kubelet_args: list[str], timeout: float = 300) -> float:
    """Deploy to ``hosts`` (name: address; the first is the server) and return the seconds until all are Ready.

    :raises TimeoutError: not all nodes became Ready in time.
    """
    names = list(hosts)
    server = names[0]
    token = secrets.token_hex(16)
    began = time.monotonic()
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda host: push(host, files), names))
        jobs = []
        for host in names:
            config: dict[str, object] = {"token": token, "node-name": host, "node-ip": hosts[host]}
            config["kubelet-arg"] = kubelet_args
            if host == server:
                config["disable"] = ["traefik", "servicelb", "metrics-server"]
                jobs.append(pool.submit(start, host, "server", config))
            else:
                config["server"] = f"https://{hosts[server]}:6443"
                jobs.append(pool.submit(start, host, "agent", config))
        for job in jobs:
            job.result()
    while time.monotonic() - began < timeout:
        if ready(server) == len(names):
            return time.monotonic() - began
        time.sleep(0.5)
    raise TimeoutError(f"only {ready(server)} of {len(names)} nodes were Ready after {timeout:.0f} s")
