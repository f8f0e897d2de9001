# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""Starting, help, errors and Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from pideploy.cli import FAMILIES, app, interrupt
from pideploy.cli.output import EdgeGroup, as_error, duration, table
from pideploy.errors import PideployError
from tests.cli.conftest import Invoke

ROOT = Path(__file__).parents[2]


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT / "collections")])
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )


def commands() -> list[str]:
    found = []
    for info in app.registered_commands:
        found.append(info.name or getattr(info.callback, "__name__", ""))
    return [*found, *FAMILIES]


@pytest.mark.parametrize("command", commands())
def test_each_command_has_help_with_an_example(pideploy: Invoke, command: str) -> None:
    result = pideploy(command, "-h")
    assert result.exit_code == 0
    if command in ("kubernetes", "plan", "verify", "status", "kubeconfig", "reset"):
        assert f"Example:\n    pideploy {command} " in result.stdout


@pytest.mark.parametrize("family", FAMILIES)
def test_families_are_listed_and_work(pideploy: Invoke, family: str) -> None:
    assert FAMILIES[family] in pideploy("-h").stdout
    shown = pideploy(family, "--help")
    assert shown.stdout.startswith(f"Usage: pideploy {family} [OPTIONS] COMMAND [ARGS]...")
    failed = pideploy(family, "no-such-command")
    assert failed.exit_code == 2
    assert "No such command 'no-such-command'" in failed.stderr


def test_errors_of_a_family_reach_the_edge(pideploy: Invoke) -> None:
    result = pideploy("hosts", "expand", "red[1-", "-o", "json")
    assert result.exit_code == 2
    assert '"code": "hostlist"' in result.stdout
    assert "error: '[' is never closed" in result.stderr


def test_version(pideploy: Invoke) -> None:
    assert pideploy("--version").stdout.startswith("pideploy 0.")


def test_help_when_nothing_is_said(pideploy: Invoke) -> None:
    result = pideploy()
    assert result.exit_code == 2
    assert "Usage: pideploy" in result.output


def test_an_unknown_option(pideploy: Invoke) -> None:
    result = pideploy("kubernetes", "--host", "red")
    assert result.exit_code == 2
    assert "--hosts" in result.stderr


def test_module_and_exit_code() -> None:
    ended = python("-m", "pideploy", "kubernetes", "--hosts", "red[1-")
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.splitlines()[0].startswith("error: '[' is never closed")
    assert "Traceback" not in ended.stderr


def test_help_imports_nothing_heavy() -> None:
    shown = python("-X", "importtime", "-m", "pideploy", "--help")
    assert shown.returncode == 0
    imported = {line.rpartition("|")[2].strip() for line in shown.stderr.splitlines()}
    assert "pideploy.cli" in imported
    heavy = {
        "ansible",
        "ansible_runner",
        "urllib.request",
        "pideploy.lab",
        "pideploy.cli.artifacts",
        "jinja2",
        "yaml",
        "rich",
        "filelock",
        "pexpect",
        "pideploy.api",
        "fastapi",
    }
    assert imported & heavy == set()


BARE = """
import typer
app = typer.Typer()
@app.command()
def one() -> None: ...
@app.command()
def two() -> None: ...
app()
"""


def cpu_seconds(*arguments: str) -> float:
    """The least of five starts: other work on the machine only ever adds."""
    import resource

    times = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert python(*arguments, "--help").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(times)


def test_starts_about_as_fast_as_a_bare_typer_app() -> None:
    assert cpu_seconds("-m", "pideploy") <= 1.5 * cpu_seconds("-c", BARE)


class ArtifactError(Exception):
    """As in the collection: recognised by its name."""

    hint = "download it"


def edge_app(exc: Exception) -> typer.Typer:
    made = typer.Typer(cls=EdgeGroup, pretty_exceptions_enable=False)

    @made.callback()
    def root() -> None:
        pass

    @made.command()
    def work() -> None:
        raise exc

    return made


@pytest.mark.parametrize(
    ("exc", "code", "text"),
    [
        (PideployError("locked", "in use", "wait"), 4, "error: in use\nhint: wait\n"),
        (ArtifactError("no such version"), 1, "error: no such version\nhint: download it\n"),
        (PermissionError(13, "Permission denied", "/etc/x"), 1, "error: /etc/x: Permission denied\n"),
    ],
)
def test_errors_at_the_edge(exc: Exception, code: int, text: str) -> None:
    result = CliRunner().invoke(edge_app(exc), ["work"])
    assert (result.exit_code, result.stderr) == (code, text)


def test_a_bug_keeps_its_traceback() -> None:
    result = CliRunner().invoke(edge_app(KeyError("x")), ["work"])
    assert isinstance(result.exception, KeyError)
    assert as_error(ValueError("x")) is None


class Stopped:
    """Remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def stop(self) -> None:
        self.asked.append("stop")

    def cancel(self) -> None:
        self.asked.append("cancel")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_first_signal_stops_and_second_cancels(number: int, capfd: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(number)
    deployer = Stopped()
    with interrupt.stoppable(deployer):  # type: ignore[arg-type]
        for expected in (["stop"], ["stop", "cancel"], ["stop", "cancel", "cancel"]):
            os.kill(os.getpid(), number)
            deadline = time.monotonic() + 5
            while deployer.asked != expected and time.monotonic() < deadline:
                time.sleep(0.01)
            assert deployer.asked == expected
    assert signal.getsignal(number) is before
    told = capfd.readouterr().err
    assert told == f"{interrupt.FIRST}\n{interrupt.SECOND}\n"


def test_table_leaves_empty_columns_out() -> None:
    lines = table(["A", "B", "C"], [["long text", "", "x"], ["y", "", ""]])
    assert lines == [typer.style("A          C", bold=True), "long text  x", "y"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0.0 s"), (9.94, "9.9 s"), (12.4, "12 s"), (59.7, "1 min 0 s"), (185, "3 min 5 s")]
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text
