# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""A lab with a spec, the command line as its user has it, and runs that something happens to."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pideploy.lab import Lab
from tests.lab.doors import Pis, pideploy

SIMULATED = "v1.36.4+sim1"


class Fleet:
    """A lab, its three names, and the spec of the cluster that they shall be."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab, self.folder = lab, folder
        self.server, self.agent, self.other = (node.name for node in lab.nodes)
        self.pis = Pis(f"{self.server},{self.server}[01-02]", {n.name: n.address for n in lab.nodes})
        self.container = {n.name: n.container for n in lab.nodes}
        self.spec = self.write(name="red")

    def write(self, hosts: str = "", name: str = "other", **more: Any) -> Path:
        """A spec: JSON is YAML."""
        spec = {"plugin": "pideploy.k3s.hostlist", "cluster": self.server, "hosts": hosts or self.pis.hostlist}
        path = self.folder / f"{name}.pideploy.yml"
        path.write_text(json.dumps({**spec, "vars": {"k3s_version": SIMULATED}, **more}, indent=1))
        return path

    def refused(self, code: int, *arguments: str, verb: str = "kubernetes") -> str:
        """What the user reads of a run that ends with this code: exactly one error, and nothing hidden."""
        done = pideploy(verb, *arguments, code=code)
        assert len(re.findall(r"^error: .+$", done.stderr, re.MULTILINE)) == 1, done.stderr
        assert "hidden" not in done.stderr
        return done.stderr

    def deploy(self, *more: str) -> dict[str, Any]:
        """A deploy that has to succeed, with all nodes Ready."""
        result: dict[str, Any] = json.loads(pideploy("kubernetes", "-f", str(self.spec), "-o", "json", *more).stdout)
        assert result["ok"]
        assert {n["name"]: n["ready"] for n in result["nodes"]} == dict.fromkeys(self.pis.names, True)
        return result

    def fingerprint(self) -> dict[str, str]:
        """The hosts' files where pideploy and k3s write, with their times, and what runs."""
        look = (
            "sudo sh -c 'find /etc /boot /usr/local /var/lib/pideploy /var/lib/rancher/k3s/server/token -type f "
            '-not -name "*.lock" -not -path "/etc/ssh/*" -printf "%p %s %T@\\n" 2>/dev/null | sort | sha256sum\'; '
            "cat /proc/sys/kernel/random/boot_id; systemctl show -p MainPID k3s k3s-agent"
        )
        return {host: self.pis.ssh(host, look) for host in self.pis.names}


class Running:
    """A pideploy in the background; ``until`` reads its events."""

    def __init__(self, *arguments: str) -> None:
        argv = [sys.executable, "-m", "pideploy", *arguments, "--output", "jsonl"]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def events(self) -> Iterator[dict[str, Any]]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            yield json.loads(line)

    def until(self, phase: str, delay: float = 0.0) -> None:
        """Wait until a phase has begun, and then a while."""
        assert any(e["event"] == "phase_started" and e["phase"] == phase for e in self.events()), "ended before"
        time.sleep(delay)

    def end(self) -> tuple[int, str, dict[str, Any]]:
        """Exit code, stderr, and the last event."""
        last: dict[str, Any] = {}
        for last in self.events():  # noqa: B007
            pass
        assert self.process.stderr is not None
        said = self.process.stderr.read()
        assert "Traceback" not in said
        return self.process.wait(), said, last

    def family(self) -> set[int]:
        """The process and all that it has started."""
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        pairs = [(int(pid), int(parent)) for pid, parent in (line.split() for line in listed.splitlines())]
        found = {self.process.pid}
        while more := {pid for pid, parent in pairs if parent in found} - found:
            found |= more
        return found

    def kill(self, *, alone: bool) -> None:
        """SIGKILL: to pideploy alone, or to all of the run at once as when the controller's power fails."""
        family = self.family()
        for pid in [self.process.pid] if alone else family:
            os.kill(pid, signal.SIGKILL)
        self.process.wait()
