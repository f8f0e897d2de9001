# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""``pideploy status``, ``kubeconfig`` and ``reset``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pideploy.cli import options, show
from pideploy.cli.interrupt import stoppable
from pideploy.cli.options import (
    AskOption,
    ClusterOption,
    FileOption,
    HostsOption,
    LimitOption,
    PasswordFileOption,
    PrintOption,
    StrictOption,
    VerboseOption,
    YesOption,
)
from pideploy.cli.output import Format, OutputOption, put, say, show_json
from pideploy.errors import PideployError


def status(
    hosts: HostsOption = "",
    file: FileOption = None,
    cluster: ClusterOption = "",
    ask_become_pass: AskOption = False,
    become_password_file: PasswordFileOption = None,
    strict_host_keys: StrictOption = False,
    print_command: PrintOption = False,
    verbose: VerboseOption = 0,
    output: OutputOption = Format.text,
) -> None:
    """Show the nodes of a cluster as the cluster itself sees them.

    It tells and does not judge: a node that is not Ready is shown, and the exit code is 0 as long as the cluster
    answers. `pideploy verify --level nodes` is the one that fails.

    \b
    Example:
      pideploy status --cluster red
    """
    spec = options.find_spec(hosts, file, cluster)
    deployer = options.deployer(
        spec,
        output,
        ask=ask_become_pass,
        password_file=become_password_file,
        printing=print_command,
        strict=strict_host_keys,
        verbose=verbose,
    )
    if print_command:
        put(deployer.command("status"))
        return
    with stoppable(deployer):
        result = deployer.status()
    show.finish(result, output, verbose=verbose)


def kubeconfig(
    hosts: HostsOption = "",
    file: FileOption = None,
    cluster: ClusterOption = "",
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="Where to put it. Default: the cluster's state folder.")
    ] = None,
    merge: Annotated[
        bool, typer.Option("--merge", help="Also put it into ~/.kube/config, or the first file of $KUBECONFIG.")
    ] = False,
    ask_become_pass: AskOption = False,
    become_password_file: PasswordFileOption = None,
    strict_host_keys: StrictOption = False,
    print_command: PrintOption = False,
    verbose: VerboseOption = 0,
    output: OutputOption = Format.text,
) -> None:
    """Fetch what kubectl needs to talk to a cluster.

    With --merge the context has the cluster's name; other entries stay as they are, and a copy of the file is kept.

    \b
    Example:
      pideploy kubeconfig --cluster red --merge
    """
    spec = options.find_spec(hosts, file, cluster)
    deployer = options.deployer(
        spec,
        output,
        ask=ask_become_pass,
        password_file=become_password_file,
        printing=print_command,
        strict=strict_host_keys,
        verbose=verbose,
    )
    if print_command:
        put(deployer.command("kubeconfig", dest=to))
        return
    with stoppable(deployer):
        fetched = deployer.kubeconfig(to, merge=merge)
    merged = fetched.merged
    if output != Format.text:
        about = merged and {"path": str(merged.path), "context": merged.context, "current": merged.current}
        show_json({"path": str(fetched.path), "merged": about})
        return
    put(str(fetched.path))
    if merged is None:
        say(f"Use it: export KUBECONFIG={fetched.path}")
        return
    backup = f"; the former file is {merged.backup}" if merged.backup else ""
    say(f"Context {merged.context} is in {merged.path}{backup}.")
    say("Use it: kubectl get nodes" if merged.current else f"Use it: kubectl config use-context {merged.context}")


def reset(
    hosts: HostsOption = "",
    file: FileOption = None,
    cluster: ClusterOption = "",
    limit: LimitOption = "",
    delete_data: Annotated[bool, typer.Option("--delete-data", help="Delete the volumes' data as well.")] = False,
    yes: YesOption = False,
    ask_become_pass: AskOption = False,
    become_password_file: PasswordFileOption = None,
    strict_host_keys: StrictOption = False,
    print_command: PrintOption = False,
    verbose: VerboseOption = 0,
    output: OutputOption = Format.text,
) -> None:
    """Delete a cluster from its hosts. Volumes' data stays, unless --delete-data; so does the prepared system.

    Asks for the cluster's name, unless --yes.

    \b
    Example:
      pideploy reset --cluster red
    """
    spec = options.find_spec(hosts, file, cluster)
    if not print_command:
        show.announce(spec)
        confirmed = spec.cluster if yes else _ask_name(spec.cluster, delete_data)
    deployer = options.deployer(
        spec,
        output,
        ask=ask_become_pass,
        password_file=become_password_file,
        printing=print_command,
        strict=strict_host_keys,
        limit=limit,
        verbose=verbose,
    )
    if print_command:
        put(deployer.command("reset", delete_data=delete_data))
        return
    with stoppable(deployer):
        result = deployer.reset(confirmed, delete_data=delete_data)
    show.finish(result, output, verbose=verbose)


def _ask_name(cluster: str, delete_data: bool) -> str:
    """The name that the user typed.

    :raises PideployError: there is nobody to ask.
    """
    if not options.has_terminal():
        raise PideployError("not_confirmed", f"reset deletes cluster {cluster}", hint="confirm with --yes")
    data = " and all data of its volumes" if delete_data else ""
    return str(typer.prompt(f"This deletes cluster {cluster}{data}. Type its name to go on", err=True)).strip()
