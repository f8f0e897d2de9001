# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures for all tests.

``lab3``: a lab of three fresh virtual Pis (pios-bookworm) for a whole test session, with names of its own
(``t4711red``, ``t4711red01``, ``t4711red02``), so that several sessions can run side by side. ``lab3.nodes`` has names
and addresses, ``lab3.run(host, command)`` runs a command by ssh. A test that uses it is skipped, with the reason, where
no container engine works. Who needs fresh machines or other flavours makes a lab of its own with ``lab_factory``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from ansible.plugins.loader import init_plugin_loader

# Before the first import from the collection: Ansible's collection loader refuses modules whose package was imported
# by Python alone, and some tests use Ansible's own templating and plugin loading in this process.
init_plugin_loader([])

from pideploy.errors import PideployError  # noqa: E402
from pideploy.lab import Lab  # noqa: E402

LabFactory = Callable[..., Lab]


@pytest.fixture(scope="session")
def engine() -> None:
    """Skip where no virtual Pi can be made, and say why."""
    from pideploy.lab.engine import find_engine

    try:
        find_engine()
    except PideployError as exc:
        pytest.skip(f"{exc.message}; {exc.hint}")


@pytest.fixture(scope="session")
def prefix() -> str:
    """The start of all names in this session; other sessions have another one."""
    return f"t{os.getpid()}"


@pytest.fixture(scope="session")
def lab3(engine: None, prefix: str) -> Iterator[Lab]:
    """Three virtual Pis for the session."""
    lab = Lab.up(f"{prefix}red,{prefix}red[01-02]")
    yield lab
    lab.down()


@pytest.fixture
def lab_factory(engine: None, prefix: str) -> Iterator[LabFactory]:
    """Make labs for one test: ``lab_factory("blue,blue[01-02]", flavour="jetson")``; ``{}`` in names is the prefix."""
    made: list[Lab] = []

    def make(hosts: str, **options: object) -> Lab:
        lab = Lab.up(hosts.format(prefix), **options)  # type: ignore[arg-type]
        made.append(lab)
        return lab

    yield make
    for lab in made:
        lab.down()
