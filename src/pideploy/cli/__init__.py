# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""The command line: one file a family of commands, no logic. What a command does is in ``pideploy.api``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import pideploy
from pideploy.cli import artifacts, cluster, deploy, hosts, lab, spec
from pideploy.cli.output import EdgeGroup

app = typer.Typer(
    name="pideploy",
    cls=EdgeGroup,
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
app.add_typer(hosts.app, name="hosts")
app.add_typer(artifacts.app, name="artifacts")
app.add_typer(lab.app, name="lab")
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
