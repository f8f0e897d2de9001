# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""Runs that are interrupted, killed or lose a host, and the next run that finishes the job."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Callable

import pytest

from tests.fault.fleet import Fleet, Running
from tests.lab.doors import pideploy

pytestmark = pytest.mark.lab
CHANCE = random.Random()


def wait(condition: Callable[[], bool], timeout: float = 90) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_sigint_stops_at_a_safe_place(fleet: Fleet) -> None:
    run = Running("kubernetes", "-f", str(fleet.spec))
    run.until("prepare", 0.3)
    run.process.send_signal(signal.SIGINT)
    code, said, last = run.end()
    assert code == 130
    assert "Stopping before the next phase; what has begun is finished first." in said
    assert last["error"]["hint"].startswith("run the same command again")
    states = {p["id"]: p["status"] for p in last["phases"]}
    assert (states["prepare"], states["artifacts"]) == ("changed", "not_run")
    # Prepared as a whole, not half: the phase was finished on every host.
    for host in fleet.pis.names:
        assert fleet.pis.ssh(host, "uname -n; ls /usr/local/bin/k3s 2>/dev/null; true").split() == [host]


@pytest.mark.parametrize(
    ("phase", "within", "alone"),
    [("reboot", 3.0, False), ("artifacts", 1.0, False), ("servers", 2.0, False), ("agents", 1.0, True)],
)
def test_sigkill(fleet: Fleet, phase: str, within: float, alone: bool) -> None:
    delay = CHANCE.uniform(0, within)
    print(f"killed {delay:.2f} s after {phase} began")  # noqa: T201
    run = Running("kubernetes", "-f", str(fleet.spec))
    run.until(phase, delay)
    run.kill(alone=alone)


def test_the_same_command_finishes_what_was_killed(fleet: Fleet) -> None:
    # The Ansible of a pideploy that was killed alone may go on; then the cluster is still in use.
    deadline = time.monotonic() + 120
    while (done := pideploy("kubernetes", "-f", str(fleet.spec), code=None)).returncode == 4:
        assert "still at work" in done.stderr
        assert time.monotonic() < deadline
        time.sleep(1)
    assert done.returncode == 0, done.stderr
    before = fleet.fingerprint()
    assert not fleet.deploy()["changed"]
    assert fleet.fingerprint() == before
    for host in fleet.pis.names:
        left = fleet.pis.ssh(host, "sudo find /root/.pideploy ~/.pideploy /usr/local/bin /etc/rancher -name '*.part' "
                             "-o -name '.*.tmp*' 2>/dev/null; true")  # fmt: skip
        assert left == ""


def test_agents_that_cannot_join_are_explained_from_their_journal(fleet: Fleet) -> None:
    spoil = "cd /etc/rancher; systemctl stop k3s-agent; {}; systemctl start --no-block k3s-agent"
    fleet.pis.ssh(fleet.agent, f"sudo sh -c '{spoil.format('sed -i s/::node:.*/::node:wrong/ k3s/token')}'")
    # As with a card that was written anew: the server still has the former machine's node password.
    fleet.pis.ssh(fleet.other, f"sudo sh -c '{spoil.format('rm -r node')}'")

    def not_ready() -> bool:
        return pideploy("status", "-f", str(fleet.spec), code=None).stdout.count("NotReady") == 2

    wait(not_ready)
    done = pideploy("verify", "-f", str(fleet.spec), "--set", "verify_timeout=3", code=1)
    assert f"error: failed on 2 hosts: {fleet.agent}, {fleet.other}" in done.stderr
    [token, name] = (
        next(line for line in done.stderr.splitlines() if line.startswith(f"{host}: ") and "(verify)" in line)
        for host in (fleet.agent, fleet.other)
    )
    assert "not authorized" in token
    assert "the server refuses the join token: run again" in token
    assert "password rejected" in name
    assert "the cluster knows another machine by this name: delete that node" in name

    # The next run mends the token, and goes on saying what only a person can decide.
    done = pideploy("kubernetes", "-f", str(fleet.spec), "--set", "verify_timeout=15", code=1)
    assert f"error: failed on 1 host: {fleet.other}" in done.stderr
    assert "the cluster knows another machine by this name" in done.stderr
    pideploy("reset", "-f", str(fleet.spec), "--yes")


def test_a_pulled_plug(fleet: Fleet) -> None:
    run = Running("kubernetes", "-f", str(fleet.spec))
    run.until("artifacts")
    engine = fleet.lab.engine.name
    subprocess.run([engine, "kill", fleet.container[fleet.other]], check=True, capture_output=True)
    code, said, last = run.end()
    assert code in (1, 3), said
    assert last["hosts"][fleet.other]["status"] in ("failed", "unreachable")
    assert fleet.other in last["error"]["hosts"]
    assert last["error"]["hint"]
    assert {n["host"]: n["ready"] for n in last["nodes"]} == {
        fleet.server: True, fleet.agent: True, fleet.other: False
    }  # fmt: skip
    subprocess.run([engine, "start", fleet.container[fleet.other]], check=True, capture_output=True)
    login = ["ssh", "-o", "BatchMode=yes", fleet.other, "true"]
    wait(lambda: subprocess.run(login, capture_output=True, check=False).returncode == 0)
    fleet.deploy()
