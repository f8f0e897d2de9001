# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""``pideploy kubernetes``, ``plan`` and ``verify``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from pideploy.cli import options, show
from pideploy.cli.interrupt import stoppable
from pideploy.cli.options import (
    AskOption,
    ClusterOption,
    FileOption,
    HostsOption,
    JunitOption,
    LimitOption,
    PasswordFileOption,
    PrintOption,
    SaveOption,
    ServersOption,
    SetOption,
    StrictOption,
    UserOption,
    VerboseOption,
    VersionOption,
    YesOption,
)
from pideploy.cli.output import Format, OutputOption, put
from pideploy.errors import PideployError


class Level(StrEnum):
    """How much verify proves."""

    nodes = "nodes"
    full = "full"


AdoptOption = Annotated[
    bool,
    typer.Option(
        "--adopt",
        help="Take over hosts whose k3s pideploy did not install. Those of another cluster are always refused.",
    ),
]


def kubernetes(
    hosts: HostsOption = "",
    file: FileOption = None,
    cluster: ClusterOption = "",
    servers: ServersOption = "",
    user: UserOption = "",
    k3s_version: VersionOption = "",
    set_: SetOption = None,
    save: SaveOption = None,
    limit: LimitOption = "",
    ask_become_pass: AskOption = False,
    become_password_file: PasswordFileOption = None,
    strict_host_keys: StrictOption = False,
    adopt: AdoptOption = False,
    yes: YesOption = False,
    print_command: PrintOption = False,
    junit: JunitOption = None,
    verbose: VerboseOption = 0,
    output: OutputOption = Format.text,
) -> None:
    """Make a verified Kubernetes (k3s) cluster of hosts, or bring one to what its spec says.

    The first host is the server, the others are agents. Run it again at any time: what is done is found, and nothing
    is done twice. Ctrl-C stops between two phases.

    \b
    Example:
      pideploy kubernetes --hosts "red,red[01-02]"
      pideploy kubernetes -f red.pideploy.yml --limit red02
    """
    variables = options.variables(set_, k3s_version)
    spec = options.find_spec(
        hosts, file, cluster, save=save, describing={"servers": servers, "user": user, "vars": variables}
    )
    if not print_command:
        show.announce(spec)
        if adopt and not yes:
            _confirm_adoption(spec.cluster)
    deployer = options.deployer(
        spec,
        output,
        ask=ask_become_pass,
        password_file=become_password_file,
        printing=print_command,
        strict=strict_host_keys,
        limit=limit,
        extra_vars={} if hosts else variables,
        verbose=verbose,
    )
    if print_command:
        put(deployer.command("deploy", adopt=adopt))
        return
    with stoppable(deployer):
        result = deployer.deploy(adopt=adopt)
    show.finish(result, output, junit=junit, verbose=verbose)


def plan(
    hosts: HostsOption = "",
    file: FileOption = None,
    cluster: ClusterOption = "",
    servers: ServersOption = "",
    user: UserOption = "",
    k3s_version: VersionOption = "",
    set_: SetOption = None,
    limit: LimitOption = "",
    ask_become_pass: AskOption = False,
    become_password_file: PasswordFileOption = None,
    strict_host_keys: StrictOption = False,
    adopt: AdoptOption = False,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Exit with 5 when something would change.")
    ] = False,
    print_command: PrintOption = False,
    verbose: VerboseOption = 0,
    output: OutputOption = Format.text,
) -> None:
    """Show what `pideploy kubernetes` would change, and change nothing.

    \b
    Example:
      pideploy plan -f red.pideploy.yml --detailed-exitcode
    """
    variables = options.variables(set_, k3s_version)
    spec = options.find_spec(hosts, file, cluster, describing={"servers": servers, "user": user, "vars": variables})
    if not print_command:
        show.announce(spec)
    deployer = options.deployer(
        spec,
        output,
        ask=ask_become_pass,
        password_file=become_password_file,
        printing=print_command,
        strict=strict_host_keys,
        limit=limit,
        extra_vars={} if hosts else variables,
        verbose=verbose,
    )
    if print_command:
        put(deployer.command("plan", adopt=adopt))
        return
    with stoppable(deployer):
        result = deployer.plan(adopt=adopt)
    show.finish(result, output, verbose=verbose, detailed=detailed_exitcode)


def verify(
    hosts: HostsOption = "",
    file: FileOption = None,
    cluster: ClusterOption = "",
    level: Annotated[
        Level, typer.Option("--level", help="nodes: only look; full: run pods, volumes, DNS.")
    ] = Level.full,
    set_: SetOption = None,
    ask_become_pass: AskOption = False,
    become_password_file: PasswordFileOption = None,
    strict_host_keys: StrictOption = False,
    print_command: PrintOption = False,
    junit: JunitOption = None,
    verbose: VerboseOption = 0,
    output: OutputOption = Format.text,
) -> None:
    """Prove that a cluster works: nodes, system pods, DNS, volumes, pod to pod, services.

    What `full` creates is in a namespace of its own that is removed again. A check that cannot be run on these nodes
    is "not run", never "passed".

    \b
    Example:
      pideploy verify --cluster red --junit verify.xml
    """
    spec = options.find_spec(hosts, file, cluster)
    deployer = options.deployer(
        spec,
        output,
        ask=ask_become_pass,
        password_file=become_password_file,
        printing=print_command,
        strict=strict_host_keys,
        extra_vars=options.variables(set_, ""),
        verbose=verbose,
    )
    if print_command:
        put(deployer.command("verify", verify_level=level.value))
        return
    with stoppable(deployer):
        result = deployer.verify(level.value)
    show.finish(result, output, junit=junit, verbose=verbose)


def _confirm_adoption(cluster: str) -> None:
    """Ask before machines are taken over.

    :raises PideployError: there is nobody to ask, or the answer is no.
    """
    if not options.has_terminal():
        raise PideployError("not_confirmed", "--adopt takes over what runs on these hosts", hint="confirm with --yes")
    answer: Any = typer.confirm(f"Take over what runs on these hosts into cluster {cluster}?", err=True)
    if not answer:
        raise PideployError("not_confirmed", "nothing was changed")
