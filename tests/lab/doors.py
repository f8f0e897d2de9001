# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""The two doors, as a user goes through them, and virtual Pis to look into."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.pideploy.k3s.plugins.module_utils import paths


def run(argv: list[str], code: int | None = 0, stdin: str = "") -> subprocess.CompletedProcess[str]:
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False, timeout=900)
    assert code is None or done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stdout + done.stderr
    return done


def pideploy(*arguments: str, code: int | None = 0, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run pideploy; ``code`` is the exit code that has to come (None: any)."""
    return run([sys.executable, "-m", "pideploy", *arguments], code, stdin)


def ansible_playbook(*arguments: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
    return run([str(Path(sys.executable).with_name("ansible-playbook")), *arguments], code)


@dataclass(frozen=True)
class Pis:
    """Virtual Pis: their hostlist, and name -> address in its order."""

    hostlist: str
    addresses: dict[str, str]

    @property
    def names(self) -> list[str]:
        return list(self.addresses)

    @property
    def state(self) -> Path:
        return Path(paths.state_dir(self.names[0]))

    @property
    def spec(self) -> Path:
        return self.state / f"{self.names[0]}.pideploy.yml"

    def ssh(self, host: str, command: str) -> str:
        """Run a command as the login user, past pideploy."""
        return run(["ssh", "-o", "BatchMode=yes", host, command]).stdout

    def main_pids(self) -> dict[str, str]:
        show = "systemctl show -p MainPID --value k3s k3s-agent"
        return {host: self.ssh(host, show).strip() for host in self.names}
