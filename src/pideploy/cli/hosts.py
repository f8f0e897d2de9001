# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""``pideploy hosts``: what a hostlist stands for, and the way back."""

from __future__ import annotations

from typing import Annotated

import typer

from ansible_collections.pideploy.k3s.plugins.module_utils import hostlist
from pideploy.cli.output import Format, OutputOption, put, show_json

app = typer.Typer(no_args_is_help=True, help="Expand and fold hostlists; nothing is connected to.")


@app.command(short_help="Show the hosts of a hostlist, one a line.")
def expand(
    hosts: Annotated[str, typer.Argument(metavar="HOSTLIST", help='"red,red[01-02]"; "@FILE" reads a file.')],
    output: OutputOption = Format.text,
) -> None:
    """Show the hosts of a hostlist, one a line.

    red[01-03] counts with the width of the low bound, red[1,3-5] lists, red[1-9/2] steps, rack[a-c] counts letters,
    rack[1-2]node[01-02] combines, red[1-9,!5] and "red[1-9],!red5" leave out, @FILE reads a file.
    """
    names = hostlist.expand(hosts)
    if output == Format.json:
        show_json({"hosts": names})
        return
    for name in names:
        if output == Format.jsonl:
            show_json({"host": name})
        else:
            put(name)


@app.command(short_help="Show the shortest hostlist of some hosts.")
def fold(
    names: Annotated[list[str], typer.Argument(metavar="NAME…", help="Hosts, or hostlists.")],
    output: OutputOption = Format.text,
) -> None:
    """Show the short hostlist of some hosts, in their order: red red01 red02 is red,red[01-02]."""
    folded = hostlist.fold(hostlist.expand(",".join(names)))
    if output == Format.text:
        put(folded)
    else:
        show_json({"hostlist": folded})
