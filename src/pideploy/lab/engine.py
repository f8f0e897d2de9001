# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""The container engine below the lab: rootful Podman with runc, or Docker. Whichever works."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pideploy.errors import PideployError

LABEL = "org.pideploy.lab"
HOST_LABEL = "org.pideploy.host"
_INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
# Podman 4 lowers its own process limit to this, and a container cannot have more where CAP_SYS_RESOURCE is missing.
_PODMAN_PROCESSES = 32 * 1024
_INSTALL = "apt-get install podman runc netavark aardvark-dns containernetworking-plugins iptables uidmap mmdebstrap"


@dataclass(frozen=True)
class Container:
    """A container of a lab as the engine knows it. ``state`` is the engine's word: running, exited, created …"""

    name: str
    lab: str
    host: str
    state: str


@dataclass(frozen=True)
class Engine:
    """One container engine. ``argv`` is how it is called: ``("podman",)`` or ``("sudo", "-n", "podman")``."""

    name: str
    argv: tuple[str, ...]

    def run(self, *words: str, stdin: str | None = None, timeout: float = 300) -> str:
        """Run one engine command and return its stdout.

        :raises PideployError: it failed or took longer than ``timeout`` seconds; the message is the engine's own.
        """
        argv = [*self.argv, *words]
        try:
            done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=timeout, check=False)
        except subprocess.TimeoutExpired as exc:
            raise PideployError(
                "lab_engine",
                f"{self.name} {words[0]} gave no answer for {timeout:.0f} s",
                hint=f"is {self.name} stuck?",
            ) from exc
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no message"]
            message = f"{self.name} {words[0]}: {lines[-1].removeprefix('Error: ')}"
            raise PideployError("lab_engine", message, hint=lines[-2] if len(lines) > 1 else "")
        return done.stdout

    def succeeds(self, *words: str) -> bool:
        """Run one engine command and tell whether it worked."""
        try:
            self.run(*words)
        except PideployError:
            return False
        return True

    def objects(self, kind: str, names: Sequence[str]) -> list[dict[str, Any]]:
        """Return what ``inspect`` says about containers or networks that exist."""
        if not names:
            return []
        found = json.loads(self.run(*(() if kind == "container" else (kind,)), "inspect", *names))
        return [item for item in found if isinstance(item, dict)]

    def containers(self) -> list[Container]:
        """Return the containers of all labs."""
        ids = self.run("ps", "-a", "-q", "--filter", f"label={LABEL}").split()
        return [
            Container(
                name=str(item["Name"]).lstrip("/"),
                lab=item["Config"]["Labels"][LABEL],
                host=item["Config"]["Labels"].get(HOST_LABEL, ""),
                state=item["State"]["Status"],
            )
            for item in self.objects("container", ids)
        ]

    def networks(self) -> dict[str, str]:
        """Return the labs' networks: name to lab."""
        found = {}
        for item in self.objects("network", self.run("network", "ls", "-q", "--filter", f"label={LABEL}").split()):
            labels = item.get("labels") or item.get("Labels") or {}
            found[str(item.get("name") or item.get("Name"))] = str(labels.get(LABEL, ""))
        return found

    def subnets(self) -> list[str]:
        """Return the subnets of all networks that the engine knows, also of those that are not in use."""
        found = []
        for item in self.objects("network", self.run("network", "ls", "-q").split()):
            entries = item.get("subnets") or (item.get("IPAM") or {}).get("Config") or []
            found += [str(entry.get("subnet") or entry.get("Subnet")) for entry in entries]
        return found

    def create_network(self, name: str, lab: str, subnet: str) -> None:
        """Make a network of its own for a lab."""
        own = ["--disable-dns"] if self.name == "podman" else []
        self.run("network", "create", "--label", f"{LABEL}={lab}", "--subnet", subnet, *own, name)

    def create(
        self, name: str, image: str, *, labels: Mapping[str, str], network: str, address: str, mac: str, env_file: Path
    ) -> None:
        """Make and start one machine with a pinned address; a ``reboot`` inside starts it again."""
        # Not Podman's own way with systemd: on a cgroup v1 machine it mounts the machine's cgroups into the container,
        # and the systemds of all containers then share one tree.
        own = ["--systemd=false"] if self.name == "podman" else []
        own += ["--tmpfs", "/run:rw,exec,nosuid,nodev,mode=755", "--tmpfs", "/run/lock:rw,nosuid,nodev,mode=1777"]
        modules = ["-v", "/lib/modules:/lib/modules:ro"] if Path("/lib/modules").is_dir() else []
        self.run(
            *(
                "run",
                "-d",
                "--name",
                name,
                "--runtime",
                "runc",
                "--privileged",
                "--cgroupns=private",
                "--restart=always",
            ),
            *(word for key, value in labels.items() for word in ("--label", f"{key}={value}")),
            *("--network", network, "--ip", address, "--mac-address", mac),
            *("--env-file", str(env_file), "-v", "/var/lib/rancher", *modules, *own, *self._limits(), image),
        )

    def _limits(self) -> list[str]:
        """No higher than this process has: else the container does not start where CAP_SYS_RESOURCE is missing."""
        words = []
        for name, number in (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC)):
            hard = resource.getrlimit(number)[1]
            if self.name == "podman" and name == "nproc":
                hard = _PODMAN_PROCESSES if hard == resource.RLIM_INFINITY else min(hard, _PODMAN_PROCESSES)
            if hard == resource.RLIM_INFINITY:
                hard = -1
            words += ["--ulimit", f"{name}={hard}:{hard}"]
        return words

    def remove(self, container: str) -> None:
        """Remove a container, running or not, with its anonymous volume."""
        self.run("rm", "-f", "-v", *(("-t", "10") if self.name == "podman" else ()), container)

    def remove_network(self, name: str) -> None:
        """Remove a network of a lab."""
        self.run("network", "rm", name)


def find_engine(only: str = "") -> Engine:
    """Return the engine that works here; ``only`` names the one that it has to be.

    :raises PideployError: none does; the message says what is missing of each.
    """
    reasons = []
    for name, look in (("podman", _podman), ("docker", _docker)):
        if only not in ("", name):
            continue
        if shutil.which(name) is None:
            reasons.append(f"{name}: not installed")
            continue
        found = look()
        if isinstance(found, Engine):
            return found
        reasons.append(f"{name}: {found}")
    raise PideployError(
        "lab_engine",
        f"virtual Pis need rootful Podman with runc, or Docker ({'; '.join(reasons)})",
        hint=f"sudo {_INSTALL}",
    )


def _answers(argv: Sequence[str]) -> tuple[bool, str]:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return False, "gives no answer"
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return done.returncode == 0, done.stdout.strip() if done.returncode == 0 else (lines or ["does not work"])[-1]


def _podman() -> Engine | str:
    if shutil.which("runc", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None:
        return "runc is not installed"
    argv = ("podman",) if os.geteuid() == 0 else ("sudo", "-n", "podman")
    works, said = _answers([*argv, "info", "--format", "{{.Host.Security.Rootless}}"])
    if not works:
        return said if os.geteuid() == 0 else "needs root, and sudo asks for a password here (run: sudo -v)"
    return "runs without root" if said != "false" else Engine("podman", argv)


def _docker() -> Engine | str:
    works, said = _answers(["docker", "info", "--format", "{{.ServerVersion}}"])
    return Engine("docker", ("docker",)) if works and said else said or "the daemon does not answer"


def make_room_for_watches(nodes: int, progress: Callable[[str], None]) -> None:
    """Raise the kernel's inotify limit, which all containers share; say so, as it is this machine's setting.

    At Debian's 128 the containerd of a third or fourth real k3s fails without a word, and its agent waits for ever.
    Where the limit cannot be written nothing is done: a simulated k3s does without.
    """
    wanted = 512 + 64 * nodes
    try:
        limit = int(_INOTIFY.read_text())
        if limit < wanted:
            _INOTIFY.write_text(f"{wanted}\n")
            progress(f"Raised fs.inotify.max_user_instances from {limit} to {wanted} until this machine's next boot.")
    except OSError:
        return
