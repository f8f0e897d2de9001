# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""Waiting for a server to take agents."""

from __future__ import annotations

from ansible_collections.pideploy.k3s.plugins.module_utils import k3s_join


def test_waits_until_the_server_takes_agents() -> None:
    now = [0.0]
    asked = []

    def ready() -> bool:
        asked.append(now[0])
        return now[0] >= 1.0

    def sleep(seconds: float) -> None:
        now[0] += seconds

    assert k3s_join.wait_until_ready(ready, 60, 0.25, lambda: now[0], sleep)
    assert asked == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert not k3s_join.wait_until_ready(lambda: False, 2, 0.5, lambda: now[0], sleep)
    assert now[0] == 3.0


def test_a_closed_port_is_not_ready() -> None:
    assert not k3s_join.answers(1, "secret")
