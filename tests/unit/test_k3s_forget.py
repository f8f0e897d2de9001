# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""What a cluster forgets of hosts that were reset, and what it keeps."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.pideploy.k3s.plugins.module_utils.k3s_forget import Gone, plan

TOP = Path(__file__).resolve().parents[2]


def node(name: str, machine: str, ready: str = "True") -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": ready}]
    return {"metadata": {"name": name}, "status": {"nodeInfo": {"machineID": machine}, "conditions": conditions}}


def secret(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}}


PASSWORDS = [secret("red.node-password.k3s"), secret("red01.node-password.k3s"), secret("other")]


@pytest.mark.parametrize(
    ("gone", "found", "deleted"),
    [
        (Gone("red01", "m1"), node("red01", "m1"), True),  # its kubelet has just ended: still Ready
        (Gone("red01", "m1"), node("red01", "m1", "Unknown"), True),
        (Gone("red01", "new"), node("red01", "m1", "Unknown"), True),  # a new card
        (Gone("red01", "new"), node("red01", "m1"), False),  # another machine of that name
        (Gone("red01", ""), node("red01", "m1"), True),
        (Gone("red01", "m1"), {"metadata": {"name": "red01"}}, True),
    ],
)
def test_a_node_is_forgotten_unless_it_is_another_machine(gone: Gone, found: dict[str, Any], deleted: bool) -> None:
    result = plan([gone], [node("red", "m0"), found], PASSWORDS)
    assert result.nodes == (["red01"] if deleted else [])
    assert result.secrets == (["red01.node-password.k3s"] if deleted else [])
    assert ("red01" in result.kept) is not deleted


def test_a_password_without_a_node_goes_too() -> None:
    assert plan([Gone("red01", "")], [], PASSWORDS).secrets == ["red01.node-password.k3s"]
    assert plan([Gone("blue", "")], [node("red", "m0")], PASSWORDS) == ([], [], {})


K3S = """#!/usr/bin/python3
import json, os, sys
words = [word for word in sys.argv[2:] if not word.startswith("-")]
state = os.path.join(os.path.dirname(__file__), "state.json")
objects = json.load(open(state))
if os.path.exists(state + ".broken"):
    sys.exit("The connection to the server 127.0.0.1:6443 was refused")
if words[0] == "get":
    print(json.dumps({"items": objects[words[-1]]}))
else:
    kind, names = words[1], words[2:]
    objects[kind] = [item for item in objects[kind] if item["metadata"]["name"] not in names]
    json.dump(objects, open(state, "w"))
"""


def forget(root: Path, check: bool = False) -> tuple[int, dict[str, Any]]:
    args = {"nodes": [{"name": "red01", "machine_id": "m1"}], "root": str(root), "_ansible_check_mode": check,
            "_ansible_remote_tmp": "/tmp"}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "ansible_collections.pideploy.k3s.plugins.modules.k3s_forget"],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": args}), capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(TOP / "collections"), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_the_module(tmp_path: Path) -> None:
    state = tmp_path / "usr/local/bin/state.json"
    objects = {"nodes": [node("red", "m0"), node("red01", "m1")], "secrets": PASSWORDS}
    for path, text in {"usr/local/bin/k3s": K3S, "usr/local/bin/state.json": json.dumps(objects),
                       "etc/rancher/k3s/k3s.yaml": ""}.items():  # fmt: skip
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    (tmp_path / "usr/local/bin/k3s").chmod(0o755)
    rc, result = forget(tmp_path)
    assert (rc, result["changed"]) == (0, False), "no server runs here"
    unit = tmp_path / "etc/systemd/system/k3s.service"
    unit.parent.mkdir(parents=True)
    unit.write_text("")
    rc, result = forget(tmp_path, check=True)
    assert (rc, result["changed"], result["nodes"]) == (0, True, ["red01"])
    assert json.loads(state.read_text()) == objects
    assert forget(tmp_path)[1]["diff"]["before"] == "node red01\nsecret red01.node-password.k3s\n"
    assert [item["metadata"]["name"] for item in json.loads(state.read_text())["nodes"]] == ["red"]
    assert len(json.loads(state.read_text())["secrets"]) == 2
    assert forget(tmp_path)[1]["changed"] is False
    state.with_name("state.json.broken").touch()
    rc, result = forget(tmp_path)
    assert rc == 1
    assert result["msg"] == "the cluster still has red01: The connection to the server 127.0.0.1:6443 was refused"
    assert "reset them once more" in result["hint"]
