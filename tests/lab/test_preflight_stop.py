# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""What preflight finds stops a run before any change on any host, or its own host alone, by both doors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab.doors import Pis, ansible_playbook, pideploy

pytestmark = pytest.mark.lab
NOTE = "/var/lib/pideploy/manifest.json"


@pytest.fixture
def spec(pis: Pis, tmp_path: Path) -> Callable[..., str]:
    def write(**keys: Any) -> str:
        path = tmp_path / "stop.pideploy.yml"
        content = {"plugin": "pideploy.k3s.hostlist", "cluster": pis.names[0], "hosts": pis.hostlist}
        path.write_text(yaml.safe_dump({**content, "vars": {"k3s_version": "v1.36.4+sim1"}, **keys}))
        return str(path)

    return write


def untouched(pis: Pis) -> bool:
    """Whether the Pis are as they came from the card: not even named."""
    return {pis.ssh(host, "uname -n; test -e /usr/local/bin/k3s && echo k3s; true").strip() for host in pis.names} == {
        "raspberrypi"
    }


def deploy(spec: str, code: int) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(pideploy("kubernetes", "-f", spec, "--output", "json", code=code).stdout)
    return result


def test_a_node_of_another_cluster_stops_all(pis: Pis, spec: Callable[..., str]) -> None:
    server, agent, other = pis.names
    note = json.dumps({"schema": 1, "cluster": "blue"})
    pis.ssh(agent, f"sudo mkdir -p /var/lib/pideploy && echo '{note}' | sudo tee {NOTE}")
    # What is wrong with another host is told too.
    file = spec(host_vars={other: {"k3s_node_ip": "192.0.2.9"}})
    result = deploy(file, 1)
    assert {f["host"] for f in result["failures"]} == {agent, other}
    assert {f["phase"] for f in result["failures"]} == {"preflight"}
    [told] = [f["message"] for f in result["failures"] if f["host"] == agent]
    assert told.startswith(f"belongs to cluster 'blue', not to '{server}'")
    assert result["hosts"][server]["status"] == "ok"
    plain = ansible_playbook("-i", file, "pideploy.k3s.site", code=2).stdout
    assert f"{agent}: belongs to cluster 'blue'" in plain
    assert "PLAY [Prepare" not in plain
    assert untouched(pis)
    pis.ssh(agent, f"sudo rm {NOTE}")


def test_a_server_out_of_reach_stops_all_and_is_blamed_alone(pis: Pis, spec: Callable[..., str]) -> None:
    server, *agents = pis.names
    file = spec(host_vars={server: {"ansible_port": 1}})
    result = deploy(file, 3)
    assert result["unreachable"] == [server]
    assert {f["host"] for f in result["failures"]} == {server}
    assert {result["hosts"][host]["status"] for host in agents} == {"ok"}
    plain = ansible_playbook("-i", file, "pideploy.k3s.site", code=4).stdout
    assert f"nothing was changed, because this server failed or is out of reach: {server}" in plain
    assert "PLAY [Prepare" not in plain
    assert untouched(pis)


def test_an_agent_out_of_reach_does_not_stop_the_rest(pis: Pis, spec: Callable[..., str]) -> None:
    server, lost, other = pis.names
    result = deploy(
        spec(host_vars={lost: {"ansible_port": 1}}, vars={"k3s_version": "v1.36.4+sim1", "verify_timeout": 5}), 3
    )
    assert {f["host"] for f in result["failures"] if f["phase"] == "preflight"} == {lost}
    assert pis.ssh(lost, "uname -n").strip() == "raspberrypi"
    for host, unit in ((server, "k3s"), (other, "k3s-agent")):
        assert pis.ssh(host, f"uname -n; systemctl is-active {unit}").split() == [host, "active"]
