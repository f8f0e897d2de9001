# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""config.yaml, unit and drop-in as role k3s renders them, with Ansible's own templating."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from ansible_collections.pideploy.k3s.plugins.module_utils import k3s_config

ROLE = Path(__file__).resolve().parents[2] / "collections/ansible_collections/pideploy/k3s/roles/k3s"
FACTS = {
    "hostname": "Red", "default": {"address": "10.0.0.1"}, "cgroup": {"version": "v2"},
    "arch": {"machine": "aarch64", "userspace_bits": 64}, "k3s": {"version": None},
}
HOSTILE = [
    "a: b", "x\ny: z", "x\n- y", '"', "'", "#", "\\", "{{ 1 + 1 }}", "%n $HOME", "yes", "null", "1e3",
    "é\U0001f600", "&a *a", "x\u2028token: y", "",
]


def load_vars(name: str) -> dict[str, Any]:
    # Ansible's own loader: it marks the role's expressions as its templates.
    return dict(DataLoader().load_from_file(str(ROLE / name), trusted_as_template=True))


def render(template: str, role: str = "server", facts: dict[str, Any] | None = None, **given: Any) -> str:
    variables = load_vars("defaults/main.yml") | load_vars("vars/main.yml") | {
        "k3s__role": role,
        "inventory_hostname": "red",
        "groups": {"k3s_server": ["red"], "k3s_agent": ["red01"]},
        "ansible_facts": {"pideploy_node": FACTS | (facts or {})},
        "k3s_artifact_result": {"version": "v1.36.4+k3s1"},
        "k3s__join": {"server_url": "https://10.0.0.1:6443"},
    } | given
    templar = Templar(loader=DataLoader(), variables=variables)
    path = str(ROLE / "templates" / template)
    expression = "{{ lookup('ansible.builtin.template', " + repr(path) + ") | default('', true) }}"
    text = templar.template(trust_as_template(expression))
    assert isinstance(text, str)
    return text


def config(role: str = "server", **given: Any) -> dict[str, Any]:
    text = k3s_config.compose(render("config.yaml.j2", role, **given), {})
    values = yaml.safe_load(text)
    assert k3s_config.parse(text) == values  # our small reader and YAML agree on what we write
    assert isinstance(values, dict)
    return values


def test_server() -> None:
    assert config() == {
        "node-name": "red", "node-ip": "10.0.0.1", "token-file": "/etc/rancher/k3s/token",
        "agent-token-file": "/etc/rancher/k3s/agent-token", "tls-san": ["10.0.0.1", "red"],
    }


def test_agent() -> None:
    assert config("agent", k3s_node_name="red01", k3s_node_ip="10.0.0.2") == {
        "node-name": "red01", "node-ip": "10.0.0.2", "token-file": "/etc/rancher/k3s/token",
        "server": "https://10.0.0.1:6443",
    }


def test_every_variable_has_its_key() -> None:
    values = config(
        k3s_node_name="red", static_ip_address="10.0.0.9/24", ansible_host="192.0.2.7", k3s_flannel_iface="eth1",
        k3s_node_labels=["a=b"], k3s_node_taints=["c=d:NoSchedule"], k3s_disable=["traefik"],
        k3s_tls_san=["vip.example", ""], k3s_kubelet_args=["max-pods=50"], k3s_data_dir="/mnt/ssd/k3s",
        k3s_server_config={"debug": True, "kubelet-arg": "v=2", "disable": ["servicelb", "traefik"],
                           "server": "https://x:6443"},
    )
    assert values["node-ip"] == "10.0.0.9"
    assert values["tls-san"] == ["10.0.0.9", "red", "192.0.2.7", "vip.example"]
    assert values["flannel-iface"] == "eth1"
    assert values["node-label"] == ["a=b"]
    assert values["node-taint"] == ["c=d:NoSchedule"]
    assert values["disable"] == ["traefik", "servicelb"]
    assert values["kubelet-arg"] == ["max-pods=50", "v=2"]
    assert values["data-dir"] == "/mnt/ssd/k3s"
    assert values["debug"] is True
    assert values["server"] == "https://x:6443"


@pytest.mark.parametrize(
    ("version", "cgroup", "own", "expected"),
    [
        ("v1.36.4+k3s1", "hybrid", [], ["fail-cgroupv1=false"]),
        ("v1.35.0+k3s1", "v1", [], ["fail-cgroupv1=false"]),
        ("v1.34.9+k3s1", "v1", [], None),
        ("v1.36.4+k3s1", "v2", [], None),
        ("v1.36.4+k3s1", "v1", ["fail-cgroupv1=true"], ["fail-cgroupv1=true"]),
    ],
)
def test_cgroup_v1(version: str, cgroup: str, own: list[str], expected: list[str] | None) -> None:
    artifact = {"version": version}
    values = config(facts={"cgroup": {"version": cgroup}}, k3s_artifact_result=artifact, k3s_kubelet_args=own)
    assert values.get("kubelet-arg") == expected


def test_32_bit_programs_on_a_64_bit_kernel() -> None:
    assert config(facts={"arch": {"machine": "aarch64", "userspace_bits": 32}})["prefer-bundled-bin"] is True
    assert "prefer-bundled-bin" not in config(facts={"arch": {"machine": "armv7l", "userspace_bits": 32}})


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_strings_stay_data(value: str) -> None:
    text = k3s_config.compose(
        render("config.yaml.j2", k3s_node_labels=["k=" + value], k3s_server_config={"cluster-domain": value}), {}
    )
    keys = [line.partition(":")[0] for line in text.split("\n") if line and not line.startswith("#")]
    assert keys == ["node-name", "node-ip", "token-file", "agent-token-file", "node-label", "tls-san", "cluster-domain"]
    parsed = k3s_config.parse(text)
    assert parsed["node-label"] == ["k=" + value]
    assert parsed["cluster-domain"] == value
    assert set(yaml.safe_load(text)) == set(keys)


def test_a_hostile_key_is_refused() -> None:
    with pytest.raises(k3s_config.ConfigError, match="no name of a k3s option"):
        config(k3s_server_config={"a\ntoken": "x"})


def test_secret_keys_are_not_rendered() -> None:
    assert load_vars("vars/main.yml")["k3s__secret_keys"] == list(k3s_config.SECRET_KEYS)
    text = render("config.yaml.j2", k3s_server_config=dict.fromkeys(k3s_config.SECRET_KEYS, "hush"))
    assert "hush" not in text


@pytest.mark.parametrize("role", ["server", "agent"])
def test_unit(role: str) -> None:
    lines = render("k3s.service.j2", role).splitlines()
    for wanted in ("Type=notify", "KillMode=process", "Delegate=yes", "Restart=always", "TimeoutStartSec=0",
                   "After=network-online.target time-sync.target", f"ExecStart=/usr/local/bin/k3s {role}",
                   'RequiresMountsFor="/var/lib/rancher/k3s"', "WantedBy=multi-user.target"):
        assert wanted in lines


def test_dropin() -> None:
    assert render("dropin.conf.j2").strip() == ""
    flags = ["--vmodule=a=1", "x y\nExecStartPre=/bin/evil", "100%", "$PATH", 'a"b']
    text = render("dropin.conf.j2", k3s_extra_args=flags)
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines[:2] == ["[Service]", "ExecStart="]
    assert len(lines) == 3
    assert lines[2].endswith('"--vmodule=a=1" "x y\\nExecStartPre=/bin/evil" "100%%" "$$PATH" "a\\"b"')
    assert len(shlex.split(lines[2])) == 7
