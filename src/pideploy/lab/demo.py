# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""``make demo``: three virtual Pis become a k3s cluster, with the commands that a user would type."""

from __future__ import annotations

import platform
import re
import shlex
import subprocess
import sys

from ansible_collections.pideploy.k3s.plugins.module_utils import artifacts

HOSTS = "red,red[01-red02]"
LAB = "demo"
SIMULATED = "v1.36.4+sim1"
MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def pideploy(*arguments: str, check: bool = True) -> int:
    """Show one pideploy command and run it; leave the program with its exit code when it fails."""
    say(f"\n$ pideploy {shlex.join(arguments)}")
    code = subprocess.run([sys.executable, "-m", "pideploy", *arguments], check=False).returncode
    if code and check:
        raise SystemExit(code)
    return code


def newest_real(arch: str) -> str | None:
    """Return the newest version of which the cache holds a real binary and its images for ``arch``."""
    found = artifacts.list_all()
    images = {a.version for a in found if a.kind == "images" and a.arch == arch}
    versions = [a.version for a in found if a.kind == "binary" and a.arch == arch and a.version in images]
    return max(versions, key=lambda version: [int(part) for part in re.findall(r"\d+", version)], default=None)


def choose_version() -> str:
    """Take a real k3s from the cache or from upstream, else the simulated one; say which."""
    arch = MACHINES.get(platform.machine())
    if arch:
        version = newest_real(arch)
        if version is None:
            say("No k3s in the artifact cache: asking upstream for the stable one …")
            if pideploy("artifacts", "download", "stable", "--arch", arch, "--images", check=False) == 0:
                version = newest_real(arch)
        if version is not None:
            say(f"This demo uses the real k3s {version}.")
            return version
    say(f"This demo uses the simulated k3s {SIMULATED}: nodes join and turn Ready, but take no pods.")
    return SIMULATED


def main() -> None:
    pideploy("lab", "up", "--name", LAB, HOSTS)
    version = choose_version()
    pideploy("kubernetes", "--hosts", HOSTS, "--k3s-version", version)
    pideploy("status", "--hosts", HOSTS)
    say(
        "\nThree virtual Pis are a cluster now. What to type next (after: . .venv/bin/activate):\n"
        "  make demo                                      again: nothing changes\n"
        "  pideploy kubeconfig --cluster red --merge      then: kubectl get nodes\n"
        "  pideploy lab ssh red01                         look inside a node\n"
        "  pideploy reset --cluster red                   delete the cluster, keep the Pis\n"
        f"  pideploy lab down {LAB}                         remove the Pis"
    )


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
