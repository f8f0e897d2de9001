# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""A run as an iterator of its events, for callers that do not want to be called back."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from pideploy.errors import PideployError
from pideploy.events import Event
from pideploy.results import DeployResult

if TYPE_CHECKING:
    from pideploy.api import Deployer


class EventStream:
    """The events of a run that goes on in another thread. ``result()`` waits for its end."""

    def __init__(self, deployer: Deployer, verb: Callable[[], DeployResult]) -> None:
        self._queue: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._result: DeployResult | None = None
        self._error: BaseException | None = None
        self._deployer = deployer
        self._thread = threading.Thread(target=self._work, args=(verb,), name="pideploy-run")
        self._reporter = deployer.reporter
        deployer.reporter = self
        self._thread.start()

    def __iter__(self) -> Iterator[Event]:
        while (event := self._queue.get()) is not None:
            yield event

    def event(self, event: Event) -> None:
        """Take an event from the run and pass it on to the deployer's own reporter."""
        self._queue.put(event)
        self._reporter.event(event)

    def close(self) -> None:
        """Close the deployer's own reporter."""
        self._reporter.close()

    def result(self) -> DeployResult:
        """The result, after the run has ended.

        :raises BaseException: what the run raised.
        """
        self._thread.join()
        if self._error is not None:
            raise self._error
        if self._result is None:
            raise PideployError("failed", "the run ended without a result")
        return self._result

    def _work(self, verb: Callable[[], DeployResult]) -> None:
        try:
            self._result = verb()
        except BaseException as exc:
            self._error = exc
        finally:
            self._deployer.reporter = self._reporter
            self._queue.put(None)
