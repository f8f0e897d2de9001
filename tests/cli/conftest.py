# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""The command line in this process, with ``FakeRunner`` where ansible-runner would be."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import pytest
from typer.testing import CliRunner, Result

from pideploy import runner
from pideploy.cli import app
from tests.unit import raw_events as raw

Invoke = Callable[..., Result]


class FakeRunner:
    """Stands for ``runner.run``: plays ``events`` and remembers the commands it was asked to run."""

    def __init__(self) -> None:
        self.events: list[raw.Raw] = raw.deploy()
        self.commands: list[runner.Command] = []
        self.status: Literal["successful", "failed", "interrupted", "canceled"] = "successful"
        self.output = ""
        self.before: Callable[[runner.Command, Path], None] = lambda command, folder: None

    def __call__(
        self,
        command: runner.Command,
        folder: Path,
        on_event: Callable[[Mapping[str, Any]], None],
        cancel: threading.Event,
    ) -> runner.Outcome:
        self.commands.append(command)
        self.before(command, folder)
        for event in self.events:
            on_event(event)
        output = folder / "stdout"
        output.write_text(self.output)
        return runner.Outcome(self.status, 0 if self.status == "successful" else 2, output)

    @property
    def command(self) -> runner.Command:
        """The only command that was run."""
        [command] = self.commands
        return command


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, which is the working folder as well."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder))
    for name in ("KUBECONFIG", "XDG_STATE_HOME", "XDG_CACHE_HOME", "PIDEPLOY_BECOME_PASSWORD", "ANSIBLE_FORKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIDEPLOY_STATE_HOME", str(tmp_path / "state"))
    return folder


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeRunner:
    made = FakeRunner()
    monkeypatch.setattr(runner, "run", made)
    return made


@pytest.fixture
def pideploy() -> Invoke:
    """``pideploy("plan", "-f", "red.pideploy.yml").stdout``"""

    def invoke(*arguments: str, stdin: str | None = None) -> Result:
        result = CliRunner().invoke(app, list(arguments), input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


@pytest.fixture
def spec(home: Path) -> Path:
    path = home / "red.pideploy.yml"
    path.write_text('plugin: pideploy.k3s.hostlist\nhosts: "red,red[01-02]"\n')
    return path
