# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""What commands print: results on stdout, everything else on stderr; and errors, caught once, here."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from pideploy.errors import PideployError


class Format(StrEnum):
    """How results are printed."""

    text = "text"
    json = "json"
    jsonl = "jsonl"


# What the collection's module_utils raise; known by name, so that nothing is imported for a command without them.
_CODES: Final = {"HostlistError": "hostlist", "SpecError": "spec", "ArtifactError": "artifact"}


def _remember(ctx: typer.Context, value: Format) -> Format:
    ctx.find_root().meta["pideploy.output"] = value
    return value


OutputOption = Annotated[
    Format,
    typer.Option("--output", "-o", callback=_remember, is_eager=True, help="text, json, or jsonl: a line an event."),
]


class EdgeGroup(TyperGroup):
    """The root command: turns what a command raises into ``error:`` and ``hint:`` and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except Exception as exc:
            error = as_error(exc)
            if error is None:
                raise
            show_error(error, ctx.meta.get("pideploy.output", Format.text))
            raise typer.Exit(error.exit_code) from exc


def as_error(exc: Exception) -> PideployError | None:
    """An exception as an error that a user can act on; None for what is a bug, or Typer's own business."""
    if isinstance(exc, PideployError):
        return exc
    if isinstance(exc, BrokenPipeError):
        return None
    for cls in type(exc).__mro__:
        if cls.__name__ in _CODES:
            return PideployError(_CODES[cls.__name__], str(exc), hint=str(getattr(exc, "hint", "")))
    if isinstance(exc, OSError) and exc.strerror:
        where = f"{exc.filename}: " if exc.filename else ""
        return PideployError("system", f"{where}{exc.strerror}")
    return None


def show_error(error: PideployError, output: Format) -> None:
    """Print an error: two lines on stderr; for programs an object on stdout as well."""
    if output != Format.text:
        show_json(
            {"event": "error", "error": error.to_dict()} if output == Format.jsonl else {"error": error.to_dict()}
        )
    say(styled("error:", fg="red", bold=True) + f" {error.message}")
    if error.hint:
        say(styled("hint:", bold=True) + f" {error.hint}")


def show_json(value: Any) -> None:
    """Print JSON data on stdout, on one line."""
    typer.echo(json.dumps(value, ensure_ascii=False))


def say(text: str = "") -> None:
    """Print a line on stderr."""
    typer.echo(text, err=True, color=colored(sys.stderr))


def put(text: str = "") -> None:
    """Print a line of the result on stdout."""
    typer.echo(text, color=colored(sys.stdout))


def styled(text: str, **style: Any) -> str:
    """A text with colours, which ``say`` and ``put`` leave out where they do not belong."""
    return typer.style(text, **style)


def colored(stream: Any) -> bool:
    """Whether a stream is a terminal that wants colours (https://no-color.org)."""
    return bool(stream.isatty()) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as their widest text; the same on a terminal and in a pipe. Empty columns are left out."""
    used = [i for i in range(len(head)) if any(row[i] for row in rows)]
    lines = [[text[i] for i in used] for text in [head, *rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(used))]
    texts = ["  ".join(t.ljust(w) for t, w in zip(line, widths, strict=True)).rstrip() for line in lines]
    return [styled(texts[0], bold=True), *texts[1:]]


def duration(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``3 min 5 s``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
