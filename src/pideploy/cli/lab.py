# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""``pideploy lab up``, ``down``, ``list`` and ``ssh``."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pideploy.cli.output import Format, OutputOption, put, say, show_json, table
from pideploy.errors import PideployError

if TYPE_CHECKING:
    from pideploy.lab import Lab

app = typer.Typer(
    help="Virtual Pis in containers, reached over SSH like real ones.", no_args_is_help=True, rich_markup_mode=None
)


@app.command(short_help="Make virtual Pis.")
def up(
    hosts: Annotated[str, typer.Argument(metavar="HOSTLIST", help='Their names: "red,red[01-02]".')],
    flavour: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[HOSTLIST=]FLAVOUR",
            help="pios-bookworm (default), pios-trixie, ubuntu-24.04, ubuntu-25.10, jetson or x86; for all hosts "
            "or for some. Can be repeated.",
        ),
    ] = None,
    sudo: Annotated[str, typer.Option(metavar="HOW", help="nopasswd, or password: sudo asks for one.")] = "nopasswd",
    name: Annotated[str, typer.Option(metavar="LAB", help="The lab's name. Default: the first host.")] = "",
    output: OutputOption = Format.text,
) -> None:
    """Make virtual Pis and wait until each takes a login. ssh knows them by name afterwards.

    \b
    Examples:
      pideploy lab up "red,red[01-02]"
      pideploy lab up "jet,red[1-2]" --flavour pios-bookworm --flavour jet=jetson
    """
    from pideploy.lab import Lab, hostnames, simk3s
    from pideploy.lab.lab import DEFAULT_FLAVOUR

    default, special = _flavours(flavour or [], DEFAULT_FLAVOUR)
    try:
        lab = Lab.up(hosts, default, flavours=special, sudo=sudo, name=name, progress=say)
    except KeyboardInterrupt as exc:
        made = name or hostnames.expand(hosts)[0]
        raise PideployError("interrupted", "interrupted: half a lab may exist", f"pideploy lab down {made}") from exc
    if output != Format.text:
        show_json({**_data(lab), "created": lab.created})
        return
    if not lab.created:
        put(f"Lab '{lab.name}' is up already.")
    for line in table(
        ("NAME", "ADDRESS", "FLAVOUR", "USER"), [(n.name, n.address, n.flavour, n.user) for n in lab.nodes]
    ):
        put(line)
    if lab.description.sudo == "password":
        put(f"Password of all users: {lab.password}")
    say("\nNext:")
    say(f"  ssh {lab.nodes[0].name}")
    say(f'  pideploy kubernetes --hosts "{hosts}" --k3s-version {simk3s.VERSION}     (simulated k3s: no pods)')
    say(f"  pideploy lab down {lab.name}")


@app.command(short_help="Remove virtual Pis.")
def down(
    name: Annotated[str, typer.Argument(metavar="LAB", help="Which lab. Default: the only one.")] = "",
    every: Annotated[bool, typer.Option("--all", help="All labs.")] = False,
    output: OutputOption = Format.text,
) -> None:
    """Remove a lab: its containers, network, keys and ssh configuration, and nothing else."""
    from pideploy.lab.engine import find_engine
    from pideploy.lab.lab import left_over, remove

    engine = find_engine()
    known = left_over(engine)
    if not name and not every and len(known) > 1:
        raise PideployError(
            "usage", f"which lab? There are {', '.join(known)}", hint=f"pideploy lab down {known[0]}, or --all"
        )
    if name and every:
        raise PideployError("usage", "a lab's name and --all contradict each other", hint=f"pideploy lab down {name}")
    if name and name not in known:
        raise PideployError(
            "usage", f"there is no lab '{name}' (labs: {', '.join(known) or 'none'})", hint="pideploy lab list"
        )
    wanted = [name] if name else known
    for lab in wanted:
        say(f"Removing lab '{lab}' …")
        remove(lab, engine)
        if output == Format.text:
            put(f"Lab '{lab}' removed.")
    if output != Format.text:
        show_json({"removed": wanted})
    elif not wanted:
        put("There is no lab.")


@app.command("list", short_help="Show the labs.")
def list_labs(output: OutputOption = Format.text) -> None:
    """Show all labs with their machines."""
    from pideploy.lab import Lab

    labs = Lab.list()
    data = [_data(lab) for lab in labs]
    if output != Format.text:
        show_json({"labs": data})
        return
    if not labs:
        put('There is no lab. Make one: pideploy lab up "red,red[01-02]"')
        return
    rows = [
        (lab["name"], node["name"], node["address"], node["flavour"], node["state"])
        for lab in data
        for node in lab["nodes"]
    ]
    for line in table(("LAB", "NAME", "ADDRESS", "FLAVOUR", "STATE"), rows):
        put(line)


@app.command(
    short_help="Log in to a virtual Pi.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
def ssh(
    host: Annotated[str, typer.Argument(metavar="HOST")],
    command: Annotated[list[str] | None, typer.Argument(metavar="[COMMAND]…", show_default=False)] = None,
) -> None:
    """Log in to a virtual Pi, or run a command on it. The exit code is the command's."""
    from pideploy.lab import Lab

    argv = Lab.of_host(host).ssh(host, command or ())
    os.execvp(argv[0], argv)


def _flavours(words: list[str], default: str) -> tuple[str, dict[str, str]]:
    from ansible_collections.pideploy.k3s.plugins.module_utils import hostlist

    special: dict[str, str] = {}
    for word in words:
        hosts, equals, flavour = word.rpartition("=")
        if equals:
            special.update(dict.fromkeys(hostlist.expand(hosts), flavour))
        else:
            default = flavour
    return default, special


def _data(lab: Lab) -> dict[str, Any]:
    """A lab as JSON data. The password is left out: it is in the lab's private folder."""
    states = {c.name: c.state for c in lab.containers()}
    nodes = [{**asdict(node), "state": states.get(node.container, "missing")} for node in lab.nodes]
    return {"name": lab.name, "subnet": lab.description.subnet, "sudo": lab.description.sudo, "nodes": nodes}
