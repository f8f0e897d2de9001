# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""k3s_artifact in a real play, on this machine below a folder: both sides together, check mode first."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.release_server import ReleaseServer

TOP = Path(__file__).resolve().parents[2]
VERSION = "v1.36.4+k3s1"
BODY = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\x3e\x00" + b"k3s" * 50_000
IMAGES = b"\x28\xb5\x2f\xfd" + b"layers" * 1000
SHA256 = hashlib.sha256(BODY).hexdigest()

PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.set_fact:
        pideploy_node:
          arch: {machine: x86_64, userspace_bits: 64, k3s: amd64}
          k3s: "{{ k3s_facts }}"
        cacheable: true
    - pideploy.k3s.k3s_artifact:
        version: stable
        source: "{{ source }}"
        airgap_images: always
        channel_url: "{{ server }}/channels"
        release_url: "{{ server }}"
        root: "{{ root }}"
      register: result
    - ansible.builtin.copy:
        content: "{{ result | to_json }}"
        dest: "{{ answer }}"
        mode: "0600"
      check_mode: false
"""


@pytest.fixture
def server() -> Iterator[ReleaseServer]:
    with ReleaseServer() as running:
        running.redirects["/channels/stable"] = "https://example.org/tag/v1.36.4%2Bk3s1"
        running.release(VERSION, {"k3s": BODY, "k3s-airgap-images-amd64.tar.zst": IMAGES})
        yield running


def play(tmp_path: Path, server: ReleaseServer, source: str, k3s: dict[str, Any], *flags: str) -> dict[str, Any]:
    (tmp_path / "play.yml").write_text(PLAY)
    variables = {"k3s_facts": k3s, "source": source, "server": server.url, "root": str(tmp_path / "root"),
                 "answer": str(tmp_path / "answer.json"), "ansible_python_interpreter": sys.executable}
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8",
        "ANSIBLE_COLLECTIONS_PATH": str(TOP / "collections"), "PIDEPLOY_CACHE_HOME": str(tmp_path / "cache"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", str(tmp_path / "play.yml"),
         "-e", json.dumps(variables), *flags],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads((tmp_path / "answer.json").read_text())
    return answer


@pytest.mark.parametrize("source", ["push", "pull"])
def test_predict_bring_and_leave_alone(tmp_path: Path, server: ReleaseServer, source: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    binary = root / "usr/local/bin/k3s"
    images = root / "var/lib/rancher/k3s/agent/images/k3s-airgap-images-amd64.tar.zst"

    predicted = play(tmp_path, server, source, {"installed": False}, "--check", "--diff")
    assert (predicted["changed"], predicted["touched"], predicted["version"]) == (True, False, VERSION)
    assert predicted["msg"] == f"would {source} k3s {VERSION} and k3s-airgap-images-amd64.tar.zst"
    assert os.listdir(root) == []

    brought = play(tmp_path, server, source, {"installed": False})
    assert (brought["changed"], brought["touched"], brought["images_pushed"]) == (True, True, True)
    size = len(BODY) + len(IMAGES)
    assert (brought["bytes_pushed"], brought["bytes_pulled"]) == ((size, 0) if source == "push" else (0, size))
    assert (binary.read_bytes(), images.read_bytes()) == (BODY, IMAGES)
    assert (binary.stat().st_mode & 0o7777, images.stat().st_mode & 0o7777) == (0o755, 0o644)
    assert not (tmp_path / ".pideploy").exists(), "nothing is left in the user's home"
    noted = json.loads((root / "var/lib/pideploy/manifest.json").read_text())["k3s"]
    assert (noted["sha256"], noted["version"]) == (SHA256, VERSION)

    facts = {"installed": True, "role": "server", "version": VERSION, "sha256": SHA256, "images": noted["images"]}
    before = binary.stat().st_mtime_ns
    again = play(tmp_path, server, source, facts)
    assert (again["changed"], again["touched"], again["version"], again["sha256"]) == (False, False, VERSION, SHA256)
    assert binary.stat().st_mtime_ns == before
