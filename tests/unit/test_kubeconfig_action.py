# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""Fetching the kubeconfig: its text, its place and mode, and that its secrets are in no result and no log."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from ansible_collections.pideploy.k3s.plugins.action import k3s_kubeconfig
from ansible_collections.pideploy.k3s.plugins.plugin_utils.kubeconfig import KubeconfigError, rewrite, server_url

TOP = Path(__file__).resolve().parents[2]
KEY = "U0VDUkVULUtFWS1EQVRB"
OWN = f"""apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: Q0E=
    server: https://127.0.0.1:6443
  name: default
contexts:
- context:
    cluster: default
    user: default
  name: default
current-context: default
kind: Config
users:
- name: default
  user:
    client-certificate-data: Q0VSVA==
    client-key-data: {KEY}
"""
Play = Callable[..., "subprocess.CompletedProcess[str]"]


def test_everything_is_named_after_the_cluster() -> None:
    data = yaml.safe_load(rewrite(OWN, "red", "https://10.0.0.10:6443"))
    assert data == {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "red", "cluster": {"certificate-authority-data": "Q0E=", "server": "https://10.0.0.10:6443"}}
        ],
        "users": [{"name": "red", "user": {"client-certificate-data": "Q0VSVA==", "client-key-data": KEY}}],
        "contexts": [{"name": "red", "context": {"cluster": "red", "user": "red"}}],
        "current-context": "red",
    }


@pytest.mark.parametrize("text", ["", "a: [", "clusters: []", OWN.replace("certificate-authority-data", "other"), KEY])
def test_another_file_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(KubeconfigError) as caught:
        rewrite(text, "red", "https://10.0.0.10:6443")
    assert KEY not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("10.0.0.10", "https://10.0.0.10:6443"),
        ("red.local", "https://red.local:6443"),
        ("red.local:8443", "https://red.local:8443"),
        ("fd00::10", "https://[fd00::10]:6443"),
        ("https://k8s.example.org/", "https://k8s.example.org"),
    ],
)
def test_server_url(given: str, url: str) -> None:
    assert server_url(given, 6443) == url


def test_a_url_without_tls_is_refused() -> None:
    with pytest.raises(KubeconfigError, match="is no https URL"):
        server_url("http://red:6443", 6443)


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Run the module on this machine against a folder that stands for the server."""
    root = tmp_path / "node"
    (root / "etc/rancher/k3s").mkdir(parents=True)
    (root / "etc/rancher/k3s/config.yaml").write_text('node-ip: "10.0.0.10"\n')
    (root / "etc/rancher/k3s/k3s.yaml").write_text(OWN)

    def run(*arguments: str, **options: str) -> subprocess.CompletedProcess[str]:
        task = {"pideploy.k3s.k3s_kubeconfig": {"cluster": "red", "root": str(root), **options}}
        (tmp_path / "ansible.cfg").touch()
        book = tmp_path / "play.yml"
        book.write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": [task]}]))
        environment = {
            **os.environ,
            "PIDEPLOY_STATE_HOME": str(tmp_path / "state"),
            "ANSIBLE_HOME": str(tmp_path / "ansible"),
            "ANSIBLE_COLLECTIONS_PATH": str(TOP / "collections"),
            "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
        }
        program = Path(sys.executable).with_name("ansible-playbook")
        return subprocess.run(
            [str(program), "-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}",
             str(book), *arguments],
            env=environment, cwd=tmp_path, text=True, capture_output=True, check=False, timeout=120)

    return run


def test_it_is_kept_in_the_state_folder_for_its_owner_only(play: Play, tmp_path: Path) -> None:
    done = play("-vvvv")
    assert done.returncode == 0, done.stdout
    path = tmp_path / "state/clusters/red/kubeconfig"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert yaml.safe_load(path.read_text())["clusters"][0]["cluster"]["server"] == "https://10.0.0.10:6443"
    assert "changed=1" in done.stdout
    assert f'"path": "{path}"' in done.stdout
    assert KEY not in done.stdout + done.stderr
    assert "changed=0" in play().stdout


def test_the_connection_is_told_to_log_nothing_while_the_file_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    # ssh prints what it received from -vvv on, unless its own play context says no_log.
    action = object.__new__(k3s_kubeconfig.ActionModule)
    context = SimpleNamespace(no_log=False)
    action._connection = SimpleNamespace(_play_context=context)
    seen = []

    def execute(**_: object) -> dict[str, str]:
        seen.append(context.no_log)
        return {"content": OWN}

    monkeypatch.setattr(action, "_execute_module", execute)
    assert action._read({"cluster": "red", "root": "/"}, {}) == {"content": OWN}
    assert (seen, context.no_log) == ([True], False)


def test_check_mode_writes_nothing_and_shows_nothing(play: Play, tmp_path: Path) -> None:
    dest = tmp_path / "mine" / "config"
    done = play("--check", "--diff", "-vvv", dest=str(dest))
    assert "changed=1" in done.stdout
    assert KEY not in done.stdout + done.stderr
    assert not dest.parent.exists()


def test_dest_and_server_can_be_chosen(play: Play, tmp_path: Path) -> None:
    dest = tmp_path / "mine" / "config"
    assert play(dest=str(dest), server="red.example.org:443").returncode == 0
    assert yaml.safe_load(dest.read_text())["clusters"][0]["cluster"]["server"] == "https://red.example.org:443"


def test_a_host_without_a_server_is_an_error_and_in_a_plan_a_prediction(play: Play, tmp_path: Path) -> None:
    (tmp_path / "node/etc/rancher/k3s/k3s.yaml").unlink()
    done = play()
    assert done.returncode == 2
    assert "there is no /etc/rancher/k3s/k3s.yaml: k3s has not started as a server here" in done.stdout + done.stderr
    assert "would be fetched once the server runs" in play("--check", "-v").stdout
