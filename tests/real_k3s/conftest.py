# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""These tests run wherever the artifact cache holds a real k3s with its images; elsewhere they are skipped, aloud."""

from __future__ import annotations

import platform
from collections.abc import Iterator

import pytest

from ansible_collections.pideploy.k3s.plugins.module_utils import artifacts
from pideploy.lab import Lab, demo
from tests.lab.doors import Pis


@pytest.fixture(scope="session")
def real() -> str:
    """The version of the newest real k3s in the cache."""
    arch = demo.MACHINES.get(platform.machine(), platform.machine())
    version = demo.newest_real(arch)
    if version is None:
        pytest.skip(f"no real k3s with images for {arch} in the cache: pideploy artifacts download stable --images")
    return version


@pytest.fixture(scope="session")
def kubectl(real: str) -> list[str]:
    """kubectl on the controller: the cached binary is one."""
    binary = artifacts.find(real, demo.MACHINES[platform.machine()], "binary")
    assert binary is not None
    return [binary.path, "kubectl"]


@pytest.fixture(scope="module")
def pis(engine: None, prefix: str, real: str) -> Iterator[Pis]:
    lab = Lab.up(f"{prefix}k,{prefix}k[01-02]")
    try:
        yield Pis(f"{prefix}k,{prefix}k[01-02]", {node.name: node.address for node in lab.nodes})
    finally:
        lab.down()
