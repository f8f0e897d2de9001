# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""A folder in which a playbook's text is run by way of ``pideploy.runner``."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pideploy import runner

INVENTORY = """
all:
  vars: {{ansible_connection: local, ansible_python_interpreter: {python}}}
  hosts: {{one: , two: }}
"""


class Playground:
    """A place to run a playbook in; ``events`` are the raw events of the last run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inventory = folder / "inventory.yml"
        self.inventory.write_text(INVENTORY.format(python=sys.executable))
        self.events: list[Mapping[str, Any]] = []
        self.cancel = threading.Event()
        self.runs = 0

    @property
    def run_folder(self) -> Path:
        """The folder of the last run."""
        return self.folder / f"run{self.runs}"

    def run(
        self, playbook: str, on_event: Callable[[Mapping[str, Any]], None] | None = None, **options: Any
    ) -> runner.Outcome:
        """Run a playbook's text in a folder of its own."""
        path = self.folder / "play.yml"
        path.write_text(playbook)
        self.runs += 1
        self.run_folder.mkdir(mode=0o700)
        self.events.clear()

        def handle(raw: Mapping[str, Any]) -> None:
            self.events.append(raw)
            if on_event is not None:
                on_event(raw)

        command = runner.Command(playbook=str(path), inventory=self.inventory, **{"hosts": 2, **options})
        return runner.run(command, self.run_folder, handle, self.cancel)

    def results(self, task: str) -> dict[str, dict[str, Any]]:
        """The results of a task by host."""
        return {
            e["event_data"]["host"]: e["event_data"].get("res", {})
            for e in self.events
            if e["event"] in ("runner_on_ok", "runner_on_failed") and e["event_data"]["task"] == task
        }

    def output(self) -> str:
        """What ansible-playbook printed."""
        return (self.run_folder / "ansible" / "stdout").read_text()
