# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""``pideploy init`` and ``pideploy validate``: the file that describes a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pideploy.cli.options import UserOption
from pideploy.cli.output import Format, OutputOption, put, say, show_json, styled


def init(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="Default: CLUSTER.pideploy.yml, here.")] = None,
    hosts: Annotated[
        str, typer.Option("--hosts", metavar="HOSTLIST", help="The hosts, the first one the server.")
    ] = "red,red[01-02]",
    cluster: Annotated[str, typer.Option("--cluster", metavar="NAME", help="Default: the first host's name.")] = "",
    user: UserOption = "",
    output: OutputOption = Format.text,
) -> None:
    """Write a spec with comments, to be edited. A file that exists is left alone."""
    from pideploy.spec_file import write_new

    written = write_new(file, hosts=hosts, cluster=cluster, user=user)
    if output != Format.text:
        show_json({"file": str(written)})
        return
    put(str(written))
    say(f"Edit it, then: pideploy kubernetes -f {written}")


def validate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A spec: NAME.pideploy.yml.")],
    output: OutputOption = Format.text,
) -> None:
    """Check a spec: its keys, hostlists, and the names and values of variables. Nothing is connected to."""
    from pideploy.spec_file import check

    spec = check(file)
    if output != Format.text:
        show_json(
            {
                "file": str(spec.file),
                "cluster": spec.cluster,
                "servers": list(spec.servers),
                "agents": list(spec.agents),
                "warnings": list(spec.warnings),
            }
        )
        return
    from pideploy.cli.show import announce

    announce(spec)
    put(f"{file}: {styled('valid', fg='green')}")
