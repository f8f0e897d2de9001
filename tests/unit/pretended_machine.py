# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""A machine for k3s_node: a folder as its file system, and a systemd that plays the unit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.pideploy.k3s.plugins.module_utils.k3s_start import Node
from ansible_collections.pideploy.k3s.plugins.module_utils.service import State, Systemd

HASH = "309dc11799541aedc3b40b129e4052307d452051acc7ea8c6fc918b2df9834e0"
FATAL = 'time="2026-11-22T01:49:47Z" level=fatal msg="Error: flag provided but not defined: -no-such-flag"'


class Machine:
    """systemctl and journalctl of a pretended machine; each look at a starting unit takes a word of ``script``.

    ``reads``: without a script, k3s itself decides: it ends with a configuration that holds ``no-such-flag``, and is
    active with any other. ``loaded`` is the configuration that the process was started with.
    """

    def __init__(self, root: Path, script: list[str], reads: bool = False) -> None:
        self.root, self.script, self.reads = root, script, reads
        self.calls: list[str] = []
        self.state = State(load="loaded")
        self.starts = 0
        self.now = 0.0
        self.loaded = ""

    def run(self, argv: list[str]) -> tuple[int, str, str]:
        if argv[0] == "journalctl":
            self.calls += ["journalctl --sync"] if argv[1] == "--sync" else []
            return 0, FATAL + "\n", ""
        verb = argv[1]
        if verb == "show":
            self._advance()
            s = self.state
            return 0, (
                f"LoadState={s.load}\nActiveState={s.active}\nSubState={s.sub}\nResult={s.result}\n"
                f"NRestarts={s.restarts}\nMainPID={s.pid}\nInvocationID={s.invocation}\nJob={'9' if s.job else ''}\n"
                f"UnitFileState={'enabled' if s.enabled else 'disabled'}\nNeedDaemonReload=no\n"
            ), ""
        self.calls.append(" ".join(argv[1:]))
        if verb in ("start", "restart"):
            self.starts += 1
            self.loaded = self.text("etc/rancher/k3s/config.yaml")
            self.state = self.state._replace(active="activating", sub="start", pid=100 + self.starts,
                                             invocation=f"run{self.starts}", job=True)
        elif verb == "stop":
            self.state = self.state._replace(active="inactive", sub="dead", pid=0, job=False)
        elif verb == "enable":
            self.state = self.state._replace(enabled=True)
        return 0, "", ""

    def text(self, path: str) -> str:
        file = self.root / path
        return file.read_text() if file.exists() else ""

    def _advance(self) -> None:
        if self.state.active != "activating" or not (self.script or self.reads):
            return
        own = "ended" if "no-such-flag" in self.loaded else "active"
        word = self.script.pop(0) if self.script else own
        if word == "active":
            self.state = self.state._replace(active="active", sub="running", job=False)
            server = self.root / "var/lib/rancher/k3s/server"
            server.mkdir(parents=True, exist_ok=True)
            for name, user in (("token", "server"), ("agent-token", "node")):
                if self.text(f"etc/rancher/k3s/{name}"):
                    (server / name).write_text(f"K10{HASH}::{user}:{self.text(f'etc/rancher/k3s/{name}')}")
        elif word == "ended":
            self.state = self.state._replace(sub="auto-restart", pid=0, result="exit-code")

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def node(self, **given: Any) -> Node:
        """A run of k3s_node over this machine; ``given`` are options of the module."""
        params: dict[str, Any] = {
            "role": "server", "cluster": "red", "node_name": "red", "config": 'node-ip: "10.0.0.1"\n',
            "secret_config": {}, "unit": "[Unit]\n",
            "dropin": "", "token": "", "wait": "token", "timeout": 30, "version": "v1.36.4+k3s1",
            "sha256": "", "adopt": False, "data_dir": "/var/lib/rancher/k3s", "root": str(self.root),
        } | given
        systemd = Systemd(self.run)  # live: the pretended machine answers
        return Node(params, systemd, probe=lambda url: self.state.active == "active",
                    clock=lambda: self.now, sleep=self.sleep)


Make = Callable[..., Node]


def new_machine(root: Path, reads: bool = False) -> Machine:
    """A machine that has the binary of k3s and nothing else of it."""
    binary = root / "usr/local/bin/k3s"
    binary.parent.mkdir(parents=True)
    binary.write_bytes(b"k3s")
    return Machine(root, [], reads)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return new_machine(tmp_path)


@pytest.fixture
def make(machine: Machine) -> Make:
    return machine.node
