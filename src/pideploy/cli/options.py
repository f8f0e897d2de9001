# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""Options that several commands share, and which cluster they mean."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pideploy.cli.output import Format, say
from pideploy.errors import PideployError

if TYPE_CHECKING:
    from pideploy.api import Deployer
    from pideploy.progress import Reporter
    from pideploy.spec import ClusterSpec

WHICH = "Which cluster"
HOW = "How to reach the hosts"

HostsOption = Annotated[
    str, typer.Option("--hosts", metavar="HOSTLIST", help='The hosts, the first one the server: "red,red[01-02]".')
]
FileOption = Annotated[
    Path | None, typer.Option("--file", "-f", metavar="FILE", help="A spec: NAME.pideploy.yml.", exists=True)
]
ClusterOption = Annotated[
    str, typer.Option("--cluster", metavar="NAME", help="A cluster that was deployed from here before.")
]
ServersOption = Annotated[
    str, typer.Option("--servers", metavar="HOSTLIST", help="Which of the hosts are servers. Default: the first one.")
]
UserOption = Annotated[str, typer.Option("--user", metavar="NAME", help="The user to log in as. Default: ssh's.")]
VersionOption = Annotated[
    str, typer.Option("--k3s-version", metavar="VERSION", help="v1.36.4+k3s1, or a channel: stable, latest, v1.36.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A role variable; JSON where it is some. Can be repeated."),
]
SaveOption = Annotated[
    Path | None,
    typer.Option("--save", metavar="FILE", help="Write the spec that --hosts stands for to NAME.pideploy.yml."),
]
LimitOption = Annotated[
    str, typer.Option("--limit", metavar="HOSTLIST", help="Only these hosts of the cluster: red[01-02].")
]
AskOption = Annotated[bool, typer.Option("--ask-become-pass", "-K", help="Ask for sudo's password on the hosts.")]
PasswordFileOption = Annotated[
    Path | None,
    typer.Option(
        "--become-password-file", metavar="FILE", help="Read it from a file; or set PIDEPLOY_BECOME_PASSWORD."
    ),
]
StrictOption = Annotated[
    bool, typer.Option("--strict-host-keys", help="Refuse hosts whose key is not in the cluster's known_hosts.")
]
PrintOption = Annotated[
    bool, typer.Option("--print-command", help="Print the ansible-playbook command that does the same, and end.")
]
VerboseOption = Annotated[
    int, typer.Option("--verbose", "-v", count=True, help="Show each result; twice and more: tell Ansible as well.")
]
JunitOption = Annotated[
    Path | None, typer.Option("--junit", metavar="FILE", help="Write phases and checks as JUnit XML.")
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def find_spec(
    hosts: str = "",
    file: Path | None = None,
    cluster: str = "",
    *,
    save: Path | None = None,
    describing: Mapping[str, Any] | None = None,
) -> ClusterSpec:
    """The cluster that the options mean; with none of them the only one there is, and it is said which.

    ``describing`` are the options that go into the spec of ``--hosts`` and that a file has keys for; ``vars`` are
    also taken beside a file, as extra variables of this one run. A command that describes nothing (None) asks with
    ``--hosts`` for the cluster that is known to have these.

    :raises PideployError: more than one was named, or none can be found.
    """
    from pideploy.spec import ClusterSpec

    given = [name for name, value in (("--hosts", hosts), ("--file", file), ("--cluster", cluster)) if value]
    if len(given) > 1:
        raise PideployError("usage", f"{' and '.join(given)} name a cluster each", hint="use one of them")
    flags = {key: value for key, value in (describing or {}).items() if value}
    if hosts and describing is None:
        return ClusterSpec.known(hosts)
    if hosts:
        return ClusterSpec.from_hosts(hosts, save=save, **flags)
    flags.pop("vars", None)
    spec = ClusterSpec.from_file(file) if file else ClusterSpec.of_cluster(cluster) if cluster else _only_one()
    for key in [*flags, *(["save"] if save else [])]:
        raise PideployError(
            "usage", f"--{key} goes with --hosts", hint=f"{spec.file} describes this cluster: say '{key}:' there"
        )
    return spec


def _only_one() -> ClusterSpec:
    from pideploy.spec import ClusterSpec
    from pideploy.state import SPEC_SUFFIX, ClusterState, clusters

    here = sorted(Path().glob(f"*{SPEC_SUFFIX}"))
    if len(here) == 1:
        say(f"Using {here[0]}.")
        return ClusterSpec.from_file(here[0])
    known = [name for name in clusters() if ClusterState(name).known_spec()]
    if not here and len(known) == 1:
        spec = ClusterSpec.of_cluster(known[0])
        say(f"Using cluster {spec.cluster} ({spec.file}).")
        return spec
    if here:
        names = ", ".join(str(p) for p in here)
        raise PideployError("usage", f"which cluster? There are {names} here", hint=f"-f {here[0]}")
    if known:
        raise PideployError("usage", f"which cluster? Known are {', '.join(known)}", hint=f"--cluster {known[0]}")
    raise PideployError("usage", "which hosts?", hint='--hosts "red,red[01-02]", or -f FILE')


def variables(pairs: Sequence[str] | None, version: str = "") -> dict[str, Any]:
    """``--set`` and ``--k3s-version`` as variables. A value that is JSON is taken as such, another one as text.

    :raises PideployError: no ``KEY=VALUE``; or a secret, which other users of this machine could read in ``ps``.
    """
    from ansible_collections.pideploy.k3s.plugins.module_utils.spec_secrets import is_secret, secret_values

    found: dict[str, Any] = {"k3s_version": version} if version else {}
    for pair in pairs or ():
        key, equals, text = pair.partition("=")
        key = key.strip()
        if not equals or not re.fullmatch(r"[a-z_][a-z0-9_]*", key):
            raise PideployError("usage", f"--set {pair}: this is no KEY=VALUE", hint="--set swap_state=kept")
        try:
            found[key] = json.loads(text)
        except ValueError:
            found[key] = text
        if is_secret(key) or any(True for _ in secret_values({key: found[key]})):
            raise PideployError(
                "usage",
                f"--set {key}: a secret on the command line can be read by others",
                hint="put it into a vault-encrypted group_vars file beside the spec; tokens of k3s may be left out:"
                " they are generated",
            )
    return found


def become_password(ask: bool, file: Path | None) -> str | None:
    """sudo's password from a prompt, a file or ``PIDEPLOY_BECOME_PASSWORD``; None when there is none.

    :raises PideployError: the file cannot be read, or there is no terminal to ask on.
    """
    if file is not None:
        try:
            return file.expanduser().read_text().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as exc:
            raise PideployError("usage", f"cannot read {file}: {exc}") from exc
    given = os.environ.get("PIDEPLOY_BECOME_PASSWORD")
    if given is not None and not ask:
        return given
    if not ask:
        return None
    if not has_terminal():
        raise PideployError(
            "usage",
            "there is no terminal to ask for the password on",
            hint="--become-password-file FILE, or PIDEPLOY_BECOME_PASSWORD",
        )
    import getpass

    return getpass.getpass("sudo's password on the hosts: ")


def has_terminal() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin.isatty()


def reporter(output: Format, verbose: int) -> Reporter:
    """Who shows progress: a live line on a terminal, lines elsewhere, JSON lines on stdout for ``jsonl``."""
    from pideploy import progress

    if output == Format.jsonl:
        return progress.JsonLinesReporter(sys.stdout)
    live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    return progress.RichReporter(verbose=verbose > 0) if live else progress.PlainReporter(verbose=verbose > 0)


def deployer(
    spec: ClusterSpec,
    output: Format,
    *,
    ask: bool,
    password_file: Path | None,
    printing: bool,
    strict: bool = False,
    limit: str = "",
    extra_vars: Mapping[str, Any] | None = None,
    verbose: int = 0,
) -> Deployer:
    """The ``Deployer`` that the options describe. ``printing``: only its command is wanted, so nobody is asked."""
    from pideploy.api import Deployer

    password = become_password(ask, password_file) if not printing else "" if ask or password_file else None
    return Deployer(
        spec,
        reporter=reporter(output, verbose),
        become_password=password,
        limit=limit,
        extra_vars=extra_vars,
        strict_host_keys=strict,
        verbosity=verbose,
    )
