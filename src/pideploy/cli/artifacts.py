# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""``pideploy artifacts``: the k3s binaries and image tarballs that this machine holds for its clusters."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ansible_collections.pideploy.k3s.plugins.module_utils import artifacts
from pideploy.cli.output import Format, OutputOption, colored, put, say, show_json, table

app = typer.Typer(no_args_is_help=True, help="The k3s binaries and images that are kept here for the hosts.")


class Arch(StrEnum):
    """A host's architecture, in k3s's words; ``any`` is a script that runs on each."""

    amd64 = "amd64"
    arm64 = "arm64"
    armhf = "armhf"
    any = "any"


@app.command("list", short_help="Show what is kept here.")
def list_(output: OutputOption = Format.text) -> None:
    """Show which k3s is kept here, for which architectures."""
    found = artifacts.list_all()
    if not found and output == Format.text:
        say("Nothing is kept here yet: pideploy artifacts download stable")
        return
    _show(found, output)


@app.command(short_help="Fetch a k3s release ahead of its use.")
def download(
    version: Annotated[str, typer.Argument(metavar="VERSION|CHANNEL", help="v1.36.4+k3s1, or stable, latest, v1.36.")],
    arch: Annotated[
        list[Arch] | None, typer.Option("--arch", help="For which hosts; can be repeated. Default: arm64 and amd64.")
    ] = None,
    images: Annotated[
        bool, typer.Option("--images", help="The tarball of k3s's own images as well, for hosts without the internet.")
    ] = False,
    release_url: Annotated[
        str, typer.Option("--release-url", metavar="URL", help="Where releases come from, such as a mirror.")
    ] = artifacts.RELEASE_URL,
    channel_url: Annotated[
        str, typer.Option("--channel-url", metavar="URL", help="Where channels are looked up.")
    ] = artifacts.CHANNEL_URL,
    output: OutputOption = Format.text,
) -> None:
    """Fetch a k3s release, check it against its published SHA-256, and keep it. A cut download is resumed.

    \b
    Example:
      pideploy artifacts download stable --arch arm64 --images
    """
    if not artifacts.is_version(version):
        channel, version = version, artifacts.resolve_channel(version, channel_url)
        say(f"{channel} is {version}")
    wanted = [one.value for one in arch or (Arch.arm64, Arch.amd64)]
    found = []
    for kind in ("binary", "images") if images else ("binary",):
        for one in wanted:
            with _progress(f"k3s {version} {one} {kind}") as progress:
                found.append(artifacts.download(version, one, kind, release_url, progress))
    _show(found, output)


@app.command("import", short_help="Take in files that were carried here.")
def import_(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE…", help="k3s, k3s-arm64, k3s-airgap-images-arm64.tar.zst …")
    ],
    version: Annotated[
        str | None, typer.Option("--version", metavar="VERSION", help="Needed where the file cannot tell it itself.")
    ] = None,
    output: OutputOption = Format.text,
) -> None:
    """Take in files that were carried here, for a place without the internet.

    \b
    Example:
      pideploy artifacts import k3s-arm64 k3s-airgap-images-arm64.tar.zst --version v1.36.4+k3s1
    """
    _show(artifacts.import_files([str(path) for path in files], version), output)


@app.command(short_help="Delete a version that is kept here.")
def remove(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="v1.36.4+k3s1")],
    arch: Annotated[Arch | None, typer.Option("--arch", help="Only what is kept for these hosts.")] = None,
    output: OutputOption = Format.text,
) -> None:
    """Delete a version that is kept here. No host changes by it."""
    removed = artifacts.remove(version, arch.value if arch else None)
    if output == Format.json:
        show_json({"removed": removed})
        return
    for path in removed:
        if output == Format.jsonl:
            show_json({"removed": path})
        else:
            put(f"removed {path}")


def _show(found: Sequence[artifacts.Artifact], output: Format) -> None:
    if output == Format.json:
        show_json({"artifacts": [asdict(artifact) for artifact in found]})
    elif output == Format.jsonl:
        for artifact in found:
            show_json(asdict(artifact))
    else:
        rows = [[a.version, a.arch, a.kind, f"{a.size / 1e6:.0f} MB", a.sha256[:12], a.path] for a in found]
        for line in table(["VERSION", "ARCH", "KIND", "SIZE", "SHA256", "FILE"], rows):
            put(line)


@contextlib.contextmanager
def _progress(what: str) -> Iterator[Any]:
    """Show a download on stderr: a bar on a terminal, a line when it starts elsewhere; nothing for what is here."""
    if not colored(sys.stderr):
        yield _Line(what)
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=None, visible=False)
        yield lambda done, total: bar.update(task, completed=done, total=total, visible=True)


class _Line:
    """Says once that a download runs."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __call__(self, done: int, total: int | None) -> None:
        if self._what:
            say(f"downloading {self._what}" + (f" ({total / 1e6:.0f} MB)" if total else ""))
            self._what = ""
