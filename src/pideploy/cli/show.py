# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""Results as text: what a user reads after a run."""

from __future__ import annotations

import difflib
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

from pideploy.cli.output import Format, duration, put, say, show_error, show_json, styled, table
from pideploy.errors import CHANGES

if TYPE_CHECKING:
    from pideploy.results import DeployResult
    from pideploy.spec import ClusterSpec

_DIFF_LINES: Final = 24


def announce(spec: ClusterSpec) -> None:
    """Say which cluster this is about, who is its first server, and what is odd."""
    from pideploy.spec import fold

    agents = f", {_count(len(spec.agents), 'agent')}: {fold(spec.agents)}" if spec.agents else ", no agents"
    servers = f"server{'s' * (len(spec.servers) > 1)} {fold(spec.servers)}"
    say(f"Cluster {styled(spec.cluster, bold=True)}: {servers}{agents}")
    for warning in spec.warnings:
        say(styled("warning:", fg="yellow", bold=True) + f" {warning}")


def finish(
    result: DeployResult, output: Format, *, junit: Path | None = None, verbose: int = 0, detailed: bool = False
) -> None:
    """Print a result and end with its exit code.

    :raises typer.Exit: with the exit code, unless it is 0.
    """
    if junit is not None:
        from pideploy.junit import render

        junit.expanduser().write_text(render(result))
    if output == Format.text:
        _text(result, verbose)
    else:
        shown = result.to_dict()
        show_json({"event": "result", **shown} if output == Format.jsonl else shown)
    code = result.exit_code
    if code == 0 and detailed and result.changes:
        code = CHANGES
    if code:
        raise typer.Exit(code)


def _text(result: DeployResult, verbose: int) -> None:
    for warning in result.warnings if verbose else ():
        say(styled("warning:", fg="yellow", bold=True) + f" {warning}")
    _findings(result)
    if result.verb == "plan" and result.ok:
        _plan(result, verbose)
    shows_checks = result.verb in ("deploy", "verify")
    for lines in (nodes(result) if result.verb != "plan" else [], checks(result) if shows_checks else []):
        if lines:
            put()
            for line in lines:
                put(line)
    error = result.error()
    if error is not None:
        _failures(result)
        show_error(error, Format.text)
        if error.code not in ("interrupted", "spec"):
            say(f"Ansible's own output: {result.folder}/ansible/stdout")
        if result.verb in ("deploy", "verify") and result.failures and error.code not in ("interrupted", "spec"):
            say(f"When that is mended, the same command goes on: {_command()}")
        return
    what = {"deploy": "is deployed", "verify": "was checked", "reset": "is deleted"}.get(result.verb)
    if what:
        put()
        changed = "" if result.changed or result.verb != "deploy" else "; nothing had to be changed"
        name = styled(result.cluster, bold=True)
        put(f"Cluster {name} {what}{_verified(result)}, in {duration(result.duration)}{changed}.")
    if result.verb == "deploy":
        put(f"Next: pideploy kubeconfig --cluster {result.cluster} --merge, then kubectl get nodes")


def _verified(result: DeployResult) -> str:
    """How far the checks of a good run carry; nothing for a run without any."""
    not_run = sum(c.status == "not_run" for c in result.checks)
    if not result.checks:
        return ""
    if not not_run:
        return f" and verified by {_count(len(result.checks), 'check')}"
    return f"; {_count(len(result.checks) - not_run, 'check')} passed, {not_run} could not be run"


def nodes(result: DeployResult) -> list[str]:
    """The table of nodes; empty when the run did not ask the cluster."""
    if not result.nodes:
        return []
    rows = []
    for node in result.nodes:
        state = "Ready" if node.ready else f"NotReady: {node.reason}" if node.reason else "NotReady"
        differs = node.version and node.wanted_version not in ("", node.version)
        other = f" (wanted {node.wanted_version})" if differs else ""
        host = node.host if node.host != node.name else ""
        age = duration(node.age_s) if node.age_s else ""
        version = f"{node.version}{other}"
        rows.append([node.name, host, node.role, state, version, node.internal_ip, node.os_image, node.arch, age])
    lines = table(["NODE", "HOST", "ROLE", "STATUS", "VERSION", "ADDRESS", "OS", "ARCH", "AGE"], rows)
    if any("+sim" in node.version for node in result.nodes):
        lines.append("This is a simulated k3s: its nodes join and turn Ready, and take no pods.")
    return lines


def checks(result: DeployResult) -> list[str]:
    """The table of checks; what was not run says so."""
    if not result.checks:
        return []
    words = {"passed": "passed", "failed": "FAILED", "not_run": "not run"}
    rows = [
        [
            c.title or c.id,
            words.get(c.status, c.status),
            duration(c.duration) if c.status != "not_run" else "",
            c.message,
        ]
        for c in result.checks
    ]
    lines = table(["CHECK", "RESULT", "TIME", ""], rows)
    for check in result.checks:
        if check.status == "failed":
            lines += [f"  {check.id}: {line}" for line in check.evidence]
    return lines


def _findings(result: DeployResult) -> None:
    """What preflight warns of; what is true of several hosts once."""
    from pideploy.spec import fold

    by_text: dict[str, list[str]] = {}
    for finding in result.findings:
        if finding.level == "warning":
            text = f"{finding.message} ({finding.hint})" if finding.hint else finding.message
            by_text.setdefault(text, []).append(finding.host)
    for text, hosts in by_text.items():
        say(styled("warning:", fg="yellow", bold=True) + f" {fold(hosts)}: {text}")


def _failures(result: DeployResult) -> None:
    """Each host and what happened to it; equal messages once."""
    by_message: dict[tuple[str, str], list[str]] = {}
    for failure in result.failures:
        if failure.phase == "guard":
            continue
        by_message.setdefault((failure.phase, failure.message), []).append(failure.host)
    from pideploy.spec import fold

    order = list(result.hosts)
    for (phase, message), hosts in by_message.items():
        hosts.sort(key=lambda host: order.index(host) if host in order else len(order))
        say(styled(f"{fold(hosts)}:", fg="red", bold=True) + f" {message} ({phase})")


def _plan(result: DeployResult, verbose: int) -> None:
    if not result.changes:
        put(f"No changes: cluster {result.cluster} is as the spec says.")
    hosts = dict.fromkeys(change.host for change in result.changes)
    for host in hosts:
        put(styled(host, bold=True))
        for change in result.changes:
            if change.host == host:
                put(f"  {change.phase}: {change.message or change.task}")
                for diff in change.diff:
                    for line in _diff(diff, 0 if verbose else _DIFF_LINES):
                        put(f"    {line}")
    for phase in result.phases:
        if phase.status == "not_run" and not phase.hosts:
            say(f"not run: {phase.id} ({phase.reason})")
    if hosts:
        changes, where = _count(len(result.changes), "change"), _count(len(hosts), "host")
        put(f"{changes} on {where} to come; nothing was changed now.")


def _diff(diff: Mapping[str, Any], limit: int) -> Sequence[str]:
    """A module's before and after as a unified diff, cut after ``limit`` lines (0: not at all)."""
    if diff.get("prepared"):
        lines = str(diff["prepared"]).splitlines()
    else:
        before, after = _lines(diff.get("before")), _lines(diff.get("after"))
        heads = str(diff.get("before_header") or "before"), str(diff.get("after_header") or "after")
        lines = list(difflib.unified_diff(before, after, *heads, lineterm="", n=1))
    if limit and len(lines) > limit:
        lines = [*lines[:limit], f"… {len(lines) - limit} more lines: -v shows them"]
    return [_coloured(line) for line in lines]


def _lines(value: Any) -> list[str]:
    if isinstance(value, str | None):
        return (value or "").splitlines()
    import json

    return json.dumps(value, indent=2, sort_keys=True).splitlines()


def _coloured(line: str) -> str:
    colour = {"+": "green", "-": "red"}.get(line[:1])
    return styled(line, fg=colour) if colour else line


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _command() -> str:
    return shlex.join(["pideploy", *sys.argv[1:]])
