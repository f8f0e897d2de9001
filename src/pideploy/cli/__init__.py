# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""The command line: one file a family of commands, no logic. What a command does is in ``pideploy.api``."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

import pideploy
from pideploy.cli import cluster, deploy, spec
from pideploy.cli.output import EdgeGroup

#: Families with subcommands of their own, in ``cli/<name>.py``: loaded when one of them is used.
FAMILIES: Final = {
    "hosts": "Expand and fold hostlists; nothing is connected to.",
    "artifacts": "The k3s binaries and images that are kept here.",
    "lab": "Virtual Pis in containers, to try things on.",
}


class _Family(TyperGroup):
    """Stands for a family in the list of commands, and becomes it when it is used."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Load the family and let it parse its arguments."""
        own = import_module(f"pideploy.cli.{self.name}").app
        own.rich_markup_mode = app.rich_markup_mode
        family = typer.main.get_group(own)
        return family.make_context(info_name, args, parent=parent, **extra)


class _Root(EdgeGroup):
    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, text in FAMILIES.items():
            self.add_command(_Family(name=name, help=text))


app = typer.Typer(
    name="pideploy",
    cls=_Root,
    help="From a hostlist to a verified k3s cluster.",
    epilog='Start with: pideploy kubernetes --hosts "red,red[01-02]"',
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(short_help="Make a verified k3s cluster, or update one.")(deploy.kubernetes)
app.command(short_help="Show what would change, and change nothing.")(deploy.plan)
app.command(short_help="Prove that a cluster works.")(deploy.verify)
app.command(short_help="Show the nodes of a cluster.")(cluster.status)
app.command(short_help="Fetch what kubectl needs, and merge it.")(cluster.kubeconfig)
app.command(short_help="Delete a cluster from its hosts.")(cluster.reset)
app.command(short_help="Write a first spec, with comments.")(spec.init)
app.command(short_help="Check a spec.")(spec.validate)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pideploy {pideploy.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line of this process."""
    app(prog_name="pideploy" if sys.argv[0].endswith("__main__.py") else None)
