# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""Virtual Pis to make mistakes with: one lab a file, whose tests run in their order."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.pideploy.k3s.plugins.module_utils import paths
from pideploy.lab import Lab
from tests.fault.fleet import Fleet


@pytest.fixture(scope="module")
def fleet(engine: None, prefix: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A server and two agents, fresh, and a spec file for them."""
    name = f"{prefix}f"
    lab = Lab.up(f"{name},{name}[01-02]")
    try:
        yield Fleet(lab, tmp_path_factory.mktemp("spec"))
    finally:
        lab.down()
        for state in Path(paths.state_home(), "clusters").glob(f"{name}*"):
            shutil.rmtree(state)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An artifact cache of the test's own, empty."""
    monkeypatch.setenv("PIDEPLOY_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"
