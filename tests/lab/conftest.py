# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""Fresh virtual Pis for the tests of one file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pideploy.lab import Lab
from tests.lab.doors import Pis


@pytest.fixture(scope="module")
def pis(engine: None, prefix: str) -> Iterator[Pis]:
    """A server and two agents, as they come from the card: all called raspberrypi."""
    lab = Lab.up(f"{prefix}v,{prefix}v[01-02]")
    try:
        yield Pis(f"{prefix}v,{prefix}v[01-02]", {node.name: node.address for node in lab.nodes})
    finally:
        lab.down()
