# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""The spec as an inventory: what ``ansible-inventory`` says, run as a user runs it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.pideploy.k3s.plugins.plugin_utils import local_names

TOP = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent

LAB = """\
plugin: pideploy.k3s.hostlist
cluster: lab
hosts: "red,red[01-02],jet[1-3]"
user: pi
connect: {red: 10.0.0.57, "red[01-02],jet[1-3]": "10.0.0.[58-62]"}
addresses: 10.0.0.10/24+
host_groups: {gpu: {hosts: "jet[1-3]", vars: {k3s_version: v1.34.9+k3s1}}}
host_vars: {jet1: {k3s_node_labels: [gpu=nano]}}
vars:
  k3s_version: v1.36.4+k3s1
  evil: "{{ lookup('pipe', 'touch evil') }}"
compose: {short: "inventory_hostname[:3]"}
groups: {even: "inventory_hostname.endswith('2')"}
keyed_groups: [{key: k3s_version, prefix: version}]
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def ansible(tmp_path: Path) -> Run:
    """Run a command of ansible-core in an empty folder, with nothing but the path of the collection."""
    empty = tmp_path / "empty"
    empty.mkdir()
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "PIDEPLOY_", "XDG_"))}

    def run(tool: str, *arguments: str, **env: str | None) -> subprocess.CompletedProcess[str]:
        variables = {
            **kept,
            "HOME": str(tmp_path),
            "PIDEPLOY_STATE_HOME": str(tmp_path / "state"),
            "ANSIBLE_COLLECTIONS_PATH": str(TOP / "collections"),
            **env,
        }
        return subprocess.run(
            [str(BIN / tool), *arguments],
            cwd=empty,
            env={name: value for name, value in variables.items() if value is not None},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    file = tmp_path / "lab.pideploy.yml"
    file.write_text(LAB)
    return file


def listed(run: Run, file: Path, **env: str | None) -> dict[str, Any]:
    done = run("ansible-inventory", "-i", str(file), "--list", **env)
    assert done.returncode == 0, done.stderr
    data: dict[str, Any] = json.loads(done.stdout, object_hook=lambda found: found.get("__ansible_unsafe", found))
    return data


def test_groups(ansible: Run, lab: Path) -> None:
    data = listed(ansible, lab)
    assert data["k3s_cluster"]["children"] == ["k3s_server", "k3s_agent", "gpu"]
    assert data["k3s_server"]["hosts"] == ["red"]
    assert data["k3s_agent"]["hosts"] == ["red01", "red02", "jet1", "jet2", "jet3"]
    assert data["gpu"]["hosts"] == ["jet1", "jet2", "jet3"]
    assert data["even"]["hosts"] == ["red02", "jet2"]
    assert data["version_v1_34_9_k3s1"]["hosts"] == ["jet1", "jet2", "jet3"]
    assert "ungrouped" not in data  # nobody is


def test_variables(ansible: Run, lab: Path, tmp_path: Path) -> None:
    data = listed(ansible, lab)["_meta"]["hostvars"]
    assert data["jet1"] == {
        "ansible_become": True,
        "ansible_host": "10.0.0.60",
        "ansible_host_key_checking": True,
        "ansible_pipelining": True,
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_ssh_args": "-o ControlMaster=auto -o ControlPersist=10m"
        " -o ServerAliveInterval=15 -o ServerAliveCountMax=4",
        "ansible_ssh_common_args": "-o StrictHostKeyChecking=accept-new"
        f""" -o 'UserKnownHostsFile="{tmp_path}/state/clusters/lab/known_hosts"'""",
        "ansible_ssh_extra_args": "-o HostKeyAlias=jet1",
        "ansible_user": "pi",
        "evil": "{{ lookup('pipe', 'touch evil') }}",
        "k3s_cluster_name": "lab",
        "k3s_node_labels": ["gpu=nano"],
        "k3s_node_name": "jet1",
        "k3s_version": "v1.34.9+k3s1",  # of the group gpu, although k3s_cluster sorts after it
        "short": "jet",
        "static_ip_address": "10.0.0.13/24",
    }
    assert data["red"]["k3s_version"] == "v1.36.4+k3s1"


def test_braces_in_the_spec_are_no_jinja(ansible: Run, lab: Path, tmp_path: Path) -> None:
    play = tmp_path / "play.yml"
    play.write_text(
        "- hosts: red\n  connection: local\n  gather_facts: false\n  become: false\n"
        "  tasks: [{ansible.builtin.debug: {msg: 'value: {{ evil }}'}, vars: {ansible_become: false}}]\n"
    )
    done = ansible("ansible-playbook", "-i", str(lab), str(play))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "value: {{ lookup('pipe', 'touch evil') }}" in done.stdout
    assert not (tmp_path / "empty" / "evil").exists()
    assert "holds Jinja, which is not evaluated" in done.stderr


def test_state_folder_is_private(ansible: Run, lab: Path, tmp_path: Path) -> None:
    listed(ansible, lab)
    assert (tmp_path / "state" / "clusters" / "lab").stat().st_mode & 0o777 == 0o700


def test_group_vars_beside_the_file_win(ansible: Run, lab: Path, tmp_path: Path) -> None:
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "k3s_cluster.yml").write_text("ansible_become: false\nmine: '{{ 1 + 1 }}'\n")
    hostvars = listed(ansible, lab)["_meta"]["hostvars"]
    assert hostvars["red"]["ansible_become"] is False


@pytest.mark.parametrize("plugin", ["pideploy.k3s.hostlist", "hostlist"])
def test_both_names_through_the_top_level_link(ansible: Run, tmp_path: Path, plugin: str) -> None:
    file = tmp_path / "s.pideploy.yaml"
    file.write_text(f"plugin: {plugin}\nhosts: red.local,red01.local\n")
    data = listed(ansible, file, ANSIBLE_INVENTORY_PLUGINS=str(TOP / "inventory_plugins"))
    assert data["k3s_agent"]["hosts"] == ["red01.local"]
    assert data["_meta"]["hostvars"]["red01.local"]["k3s_node_name"] == "red01"


def test_the_checkouts_own_configuration(ansible: Run, tmp_path: Path) -> None:
    file = tmp_path / "s.pideploy.yml"
    file.write_text("plugin: hostlist\nhosts: 10.0.0.5\n")
    data = listed(ansible, file, ANSIBLE_CONFIG=str(TOP / "ansible.cfg"), ANSIBLE_COLLECTIONS_PATH=None)
    assert data["k3s_server"]["hosts"] == ["10.0.0.5"]
    assert data["k3s_cluster"]["children"] == ["k3s_server", "k3s_agent"]  # the group is there when it is empty


@pytest.mark.parametrize("name", ["pideploy.k3s.hostlist", "hostlist"])
def test_documentation(ansible: Run, name: str) -> None:
    done = ansible(
        "ansible-doc", "-t", "inventory", "--json", name, ANSIBLE_INVENTORY_PLUGINS=str(TOP / "inventory_plugins")
    )
    assert done.returncode == 0, done.stderr
    [doc] = json.loads(done.stdout).values()
    documented = set(doc["doc"]["options"])
    from ansible_collections.pideploy.k3s.plugins.module_utils.spec_reader import KEYS

    assert documented == set(KEYS)


def test_examples_are_valid() -> None:
    import yaml

    from ansible_collections.pideploy.k3s.plugins.inventory import hostlist
    from ansible_collections.pideploy.k3s.plugins.module_utils import spec

    examples = list(yaml.safe_load_all(hostlist.EXAMPLES))
    assert len(examples) == 2
    for example in examples:
        assert spec.parse(yaml.safe_dump(example)).warnings == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "plugin: pideploy.k3s.hostlist\nhosts: red[3-1]",
            "line 2, column 12: the range 3-1 runs backwards. Write 1-3",
        ),
        ("plugin: pideploy.k3s.hostlist\nhsts: red", "line 2, column 1: there is no key 'hsts'. Did you mean 'hosts'?"),
        (
            "plugin: pideploy.k3s.hostlist\nhosts: red\nvars: {k3s_versoin: stable}",
            "line 3, column 8: there is no variable 'k3s_versoin'. Did you mean 'k3s_version'?",
        ),
    ],
)
def test_mistakes(ansible: Run, tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "s.pideploy.yml"
    file.write_text(text)
    done = ansible("ansible-inventory", "-i", str(file), "--list")
    said = " ".join(done.stderr.split())
    assert f"{file}, {message}" in said
    assert "Traceback" not in done.stderr
    strict = ansible("ansible-inventory", "-i", str(file), "--list", ANSIBLE_INVENTORY_UNPARSED_FAILED="true")
    assert strict.returncode != 0


def test_other_file_names_are_not_ours(ansible: Run, tmp_path: Path) -> None:
    file = tmp_path / "red.yml"
    file.write_text("plugin: pideploy.k3s.hostlist\nhosts: red\n")
    done = ansible("ansible-inventory", "-i", str(file), "--list")
    assert "could not be verified by inventory plugin 'pideploy.k3s.hostlist'" in " ".join(done.stderr.split())


@pytest.fixture
def vault(ansible: Run, tmp_path: Path) -> Callable[[str], str]:
    (tmp_path / "password").write_text("geheim")

    def encrypt(text: str) -> str:
        done = ansible(
            "ansible-vault",
            "encrypt_string",
            "--vault-password-file",
            str(tmp_path / "password"),
            text,
            "-n",
            "k3s_token",
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return encrypt


def test_vault_values(ansible: Run, tmp_path: Path, vault: Callable[[str], str]) -> None:
    file = tmp_path / "s.pideploy.yml"
    encrypted = "\n".join("  " + line for line in vault("s3cret").splitlines())
    file.write_text(f"plugin: pideploy.k3s.hostlist\nhosts: 10.0.0.5\nvars:\n{encrypted}\n")
    play = tmp_path / "play.yml"
    play.write_text(
        "- hosts: all\n  connection: local\n  gather_facts: false\n  become: false\n"
        "  tasks: [{ansible.builtin.debug: {msg: 'value: {{ k3s_token }}'}, vars: {ansible_become: false}}]\n"
    )
    done = ansible("ansible-playbook", "-i", str(file), str(play), "--vault-password-file", str(tmp_path / "password"))
    assert "value: s3cret" in done.stdout, done.stdout + done.stderr


def test_a_file_encrypted_as_a_whole(ansible: Run, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("geheim")
    file = tmp_path / "s.pideploy.yml"
    file.write_text("plugin: pideploy.k3s.hostlist\nhosts: 10.0.0.[5-6]\n")
    password = ("--vault-password-file", str(tmp_path / "password"))
    assert ansible("ansible-vault", "encrypt", *password, str(file)).returncode == 0
    assert file.read_text().startswith("$ANSIBLE_VAULT")
    done = ansible("ansible-inventory", "-i", str(file), "--list", *password)
    assert json.loads(done.stdout)["k3s_agent"]["hosts"] == ["10.0.0.6"], done.stderr


class TestLocalNames:
    """Who is asked about a name, in which order."""

    @staticmethod
    def resolver(monkeypatch: pytest.MonkeyPatch, *known: str) -> list[str]:
        asked: list[str] = []

        def getaddrinfo(name: str, *_: Any, **__: Any) -> list[Any]:
            asked.append(name)
            if name in known:
                return [("found",)]
            raise socket.gaierror(socket.EAI_NONAME, "unknown")

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        return asked

    @staticmethod
    def ssh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: str) -> None:
        tool = tmp_path / "bin" / "ssh"
        tool.parent.mkdir()
        tool.write_text(f'#!/bin/sh\n[ "$1" = -G ] || exit 9\n{settings}\n')
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")

    def test_only_mdns_knows_it(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.resolver(monkeypatch, "red.local")
        self.ssh(monkeypatch, tmp_path, 'echo "hostname $2"; echo "user pi"')
        assert local_names.find(["red", "blue"]) == ({"red": "red.local"}, [])

    def test_the_resolver_knows_it(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        asked = self.resolver(monkeypatch, "red", "red.local")
        self.ssh(monkeypatch, tmp_path, 'echo "hostname $2"; echo "proxycommand none"')
        assert local_names.find(["red"]) == ({}, [])
        assert asked == ["red"]

    @pytest.mark.parametrize(
        "settings", ["echo hostname 10.0.0.9", 'echo "hostname $2"; echo "proxyjump gate"', "exit 255"]
    )
    def test_the_ssh_configuration_knows_it(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: str
    ) -> None:
        asked = self.resolver(monkeypatch, "red.local")
        self.ssh(monkeypatch, tmp_path, settings)
        assert local_names.find(["red"]) == ({}, [])
        assert asked == []

    def test_addresses_and_full_names_are_left_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = self.resolver(monkeypatch)
        assert local_names.find(["red.lan", "10.0.0.5", "fe80::1"]) == ({}, [])
        assert asked == []

    def test_a_slow_resolver_costs_no_more_than_the_time_given(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        def getaddrinfo(name: str, *_: Any, **__: Any) -> list[Any]:
            time.sleep(0.3)
            return [name]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        self.ssh(monkeypatch, tmp_path, 'echo "hostname $2"')
        start = time.monotonic()
        local, late = local_names.find([f"red{number}" for number in range(500)], 0.8)
        assert time.monotonic() - start < 3
        assert local == {}
        assert 200 < len(late) < 500
