# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""What is shown of a node's journal: the cause, once, and no secret."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.pideploy.k3s.plugins.module_utils import masking
from ansible_collections.pideploy.k3s.plugins.modules import k3s_log_info

MODULE = "ansible_collections.pideploy.k3s.plugins.modules.k3s_log_info"
HASH = "309dc11799541aedc3b40b129e4052307d452051acc7ea8c6fc918b2df9834e0"
WAITING = (
    'time="2026-11-22T01:48:{:02d}Z" level=info msg="Waiting to retrieve agent configuration; server is not ready: '
    'failed to retrieve configuration from server: not authorized"'
)
FATAL = 'time="2026-11-22T01:48:52Z" level=fatal msg="Error: flag provided but not defined: -no-such-flag"'


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"token K10{HASH}::node:abc123 used", f"token K10{HASH}::******** used"),
        (f"K10{HASH}::f91fat.vuaft8vx3cmdowbq", f"K10{HASH}::********"),
        ("k3s agent --token=hunter22 --server=https://x", "k3s agent --token=******** --server=https://x"),
        ('{"token":"hunter22"}', '{"token":"********"}'),
        ("the node's own 0123456789abcdef", "the node's own ********"),
        ("--token-file=/etc/rancher/k3s/token", "--token-file=/etc/rancher/k3s/token"),
        ("--token is required", "--token is required"),
    ],
)
def test_secrets_are_masked(text: str, shown: str) -> None:
    assert masking.mask(text, ["0123456789abcdef"]) == shown


def test_the_nodes_secrets_are_known_whole_and_as_password(tmp_path: Path) -> None:
    (tmp_path / "etc/rancher/k3s").mkdir(parents=True)
    (tmp_path / "data/server").mkdir(parents=True)
    (tmp_path / "etc/rancher/k3s/token").write_text("first-secret\n")
    (tmp_path / "data/server/agent-token").write_text(f"K10{HASH}::node:second-secret\n")
    assert masking.secrets_of(str(tmp_path), "/data") == [
        f"K10{HASH}::node:second-secret", "second-secret", "first-secret"]


def test_repeated_lines_are_said_once_the_last_first() -> None:
    lines = [WAITING.format(second) for second in range(4)] + ['time="x" level=info msg="the \\"last\\""', "not k3s"]
    assert k3s_log_info.spoken(lines) == [
        "not k3s", 'the "last"',
        "Waiting to retrieve agent configuration; server is not ready: failed to retrieve configuration from server: "
        "not authorized"]


def run(tmp_path: Path, journal: str, unit: str = "k3s-agent.service") -> dict[str, Any]:
    """Run the module as a process, with a systemctl and a journalctl that answer this."""
    tools, root = tmp_path / "bin", tmp_path / "root"
    tools.mkdir()
    (tmp_path / "journal").write_text(journal)
    show = "LoadState=loaded\\nActiveState=activating\\nSubState=auto-restart\\nNRestarts=4"
    for name, body in (("systemctl", f"printf '{show}\\n'"), ("journalctl", f"cat {tmp_path / 'journal'}")):
        (tools / name).write_text(f"#!/bin/sh\n{body}\n")
        (tools / name).chmod(0o755)
    if unit:
        (root / "etc/systemd/system").mkdir(parents=True)
        (root / "etc/systemd/system" / unit).write_text("")
    environment = {"PYTHONPATH": ":".join(sys.path), "PATH": f"{tools}:{os.environ['PATH']}"}
    # The module asks systemd only for the real root: let it look for the unit below the folder all the same.
    patch = f"from {MODULE.rpartition('.')[0]} import k3s_log_info as m; import runpy; "
    patch += "real = m.service.Systemd; m.service.Systemd = lambda run, root='/': real(run, '/'); m.main()"
    data = json.dumps({"ANSIBLE_MODULE_ARGS": {"root": str(root)}})
    done = subprocess.run([sys.executable, "-c", patch], input=data, text=True, capture_output=True, check=False,
                          env=environment)
    assert done.returncode == 0, done.stderr + done.stdout
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_the_fatal_line_comes_first_with_a_remedy(tmp_path: Path) -> None:
    result = run(tmp_path, "\n".join([WAITING.format(1), FATAL, FATAL, f"--token=K10{HASH}::node:abc123"]))
    assert result["causes"] == ["Error: flag provided but not defined: -no-such-flag"]
    assert "k3s_agent_config" in result["hint"]
    assert result["service"] == {
        "unit": "k3s-agent.service", "active": "activating", "sub": "auto-restart", "restarts": 4}
    assert "abc123" not in json.dumps(result)
    assert result["changed"] is False


def test_an_agent_that_waits_says_for_what(tmp_path: Path) -> None:
    result = run(tmp_path, "\n".join(WAITING.format(second) for second in range(9)))
    [cause] = result["causes"]
    assert cause.endswith("not authorized")
    assert "join token" in result["hint"]


def test_a_host_without_k3s(tmp_path: Path) -> None:
    result = run(tmp_path, "", unit="")
    assert result["service"] == {"unit": ""}
    assert result["causes"] == ["there is no k3s service on this host"]
