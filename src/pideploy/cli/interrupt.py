# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C during a run: the first one stops between two phases, the second one at once."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pideploy.api import Deployer

FIRST: Final = (
    "Stopping before the next phase; what has begun is finished first. The same command goes on from there later.\n"
    "Press Ctrl-C again to stop at once."
)
SECOND: Final = (
    "Stopping at once. What was running on a host may go on there until it ends; the same command mends what is left."
)


@contextlib.contextmanager
def stoppable(deployer: Deployer) -> Iterator[None]:
    """Let SIGINT, SIGTERM and SIGHUP stop the deployer's run while the block runs."""
    asked = 0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            deployer.stop()
            _tell(FIRST)
        else:
            deployer.cancel()
            if asked == 2:
                _tell(SECOND)

    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell(text: str) -> None:
    """Write past every buffer: a signal may come while one of them is being written."""
    clear = "\r\x1b[K" if sys.stderr.isatty() else ""
    with contextlib.suppress(OSError):
        os.write(2, f"{clear}{text}\n".encode())
