# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""The lab: virtual Pis in containers, reached over SSH like real ones.

``Lab.up("red,red[01-02]")`` makes them, ``Lab.list()`` names them, ``Lab.load("red").down()`` removes them. What a run
in the lab proves is that the right files are read and edited and that a boot then follows them; what board, firmware,
SD card and network hardware do, only a Pi can tell.
"""

from __future__ import annotations

from pideploy.lab.lab import Lab
from pideploy.lab.state import Node

__all__ = ["Lab", "Node"]
