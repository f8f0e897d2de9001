# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""Images of virtual Pis: a base of distribution packages, one thin image a flavour on it. No registry is needed."""

from __future__ import annotations

import hashlib
import json
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock

from ansible_collections.pideploy.k3s.plugins.module_utils import paths
from pideploy.errors import PideployError
from pideploy.lab.engine import Engine

NODE = Path(__file__).parent / "node"
REPOSITORY = "localhost/pideploy-lab"


def flavours() -> dict[str, dict[str, Any]]:
    """Return each flavour's settings by its name: ``title``, ``user``, ``hostname``, ``model`` and more."""
    return {
        path.parent.name: json.loads(path.read_text()) for path in sorted((NODE / "flavours").glob("*/flavour.json"))
    }


def packages() -> list[str]:
    """Return the packages of the base image."""
    lines = (NODE / "packages.txt").read_text().splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def ensure_image(engine: Engine, flavour: str, progress: Callable[[str], None]) -> str:
    """Return the tag of a flavour's image and make it first where there is none for this recipe.

    :raises PideployError: mmdebstrap is missing, or a package or a build step failed.
    """
    codename = _codename()
    base = f"{REPOSITORY}-base:{_hash([codename, platform.machine(), *packages()], [])}"
    own = [path for path in NODE.rglob("*") if path.is_file() and "flavours" not in path.parts]
    own += [path for path in (NODE / "flavours" / flavour).rglob("*") if path.is_file()]
    tag = f"{REPOSITORY}-{flavour}:{_hash([base], own)}"
    if engine.succeeds("image", "inspect", tag):
        return tag
    Path(paths.make_private(paths.cache_dir()))
    with FileLock(Path(paths.cache_dir(), "lab-image.lock")):
        if engine.succeeds("image", "inspect", tag):
            return tag
        if not engine.succeeds("image", "inspect", base):
            progress(f"Making the base image of {len(packages())} packages from {codename} (once, about 40 s) …")
            _make_base(engine, base, codename)
            _remove_older(engine, base)
        progress(f"Making the image of {flavour} …")
        # chroot: nothing runs in a container of its own, so no limits of this machine stand in the way.
        own_words = ["--isolation=chroot", "--pull=never"] if engine.name == "podman" else []
        arguments = ["--build-arg", f"BASE={base}", "--build-arg", f"FLAVOUR={flavour}"]
        engine.run("build", "-t", tag, *own_words, *arguments, "-f", str(NODE / "Containerfile"), str(NODE))
        _remove_older(engine, tag)
    return tag


def _hash(words: list[str], files: list[Path]) -> str:
    digest = hashlib.sha256("\0".join(words).encode())
    for path in sorted(files):
        if "__pycache__" not in path.parts:
            digest.update(f"\0{path.relative_to(NODE)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _remove_older(engine: Engine, tag: str) -> None:
    """Remove images of the same name from older recipes that no container uses."""
    repository = tag.rpartition(":")[0]
    for other in engine.run("images", "--format", "{{.Repository}}:{{.Tag}}", repository).split():
        if other != tag:
            engine.succeeds("rmi", other)


def _codename() -> str:
    """Return this machine's release, ``bookworm`` or ``noble``: its packages are what the image is made of."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    if not {"debian", "ubuntu"} & {release.get("ID", ""), *release.get("ID_LIKE", "").split()}:
        raise PideployError(
            "lab_image",
            f"the lab's image is made of this machine's packages: Debian or Ubuntu, not {release.get('ID', 'this OS')}",
            hint="run the lab on Debian, Ubuntu or Raspberry Pi OS, for example in a virtual machine",
        )
    return release.get("UBUNTU_CODENAME") or release.get("VERSION_CODENAME") or ""


def matching_sources(text: str, codename: str) -> str:
    """Return the part of an apt sources file, one-line or deb822, that is about a release and its updates.

    Other repositories of this machine (drivers, editors) have no place in an image.
    """

    def fits(suite: str) -> bool:
        return suite == codename or suite.startswith(f"{codename}-")

    if re.search(r"(?m)^Types:", text):
        kept = []
        for stanza in re.split(r"\n\s*\n", text):
            suites = re.search(r"(?mi)^Suites:(.*)$", stanza)
            types = re.search(r"(?mi)^Types:(.*)$", stanza)
            off = re.search(r"(?mi)^Enabled:\s*no\s*$", stanza)
            if suites is None or types is None or off or "deb" not in types.group(1).split():
                continue
            if all(fits(suite) for suite in suites.group(1).split()):
                kept.append(stanza.strip("\n"))
        return "\n\n".join(kept) + "\n" if kept else ""
    lines = []
    for line in text.splitlines():
        found = re.match(r"deb\s+(?:\[[^]]*\]\s+)?\S+\s+(\S+)\s", line.strip() + " ")
        if found and fits(found.group(1)):
            lines.append(line.strip())
    return "\n".join(lines) + "\n" if lines else ""


def _make_base(engine: Engine, tag: str, codename: str) -> None:
    if shutil.which("mmdebstrap") is None:
        raise PideployError("lab_image", "mmdebstrap is not installed", hint="sudo apt-get install mmdebstrap")
    with tempfile.TemporaryDirectory(prefix="lab-image-", dir=paths.cache_dir()) as folder:
        Path(folder).chmod(0o755)  # mmdebstrap and apt may work as another user
        sources = []
        for path in [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]:
            if path.suffix in (".list", ".sources") and path.is_file():
                text = matching_sources(path.read_text(), codename)
                if text:
                    sources.append(Path(folder, path.name))
                    sources[-1].write_text(text)
        if not sources:
            raise PideployError(
                "lab_image",
                f"no apt source of this machine is about {codename}",
                hint="look into /etc/apt/sources.list.d",
            )
        tar = Path(folder, "base.tar")
        excluded = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale", "info")]
        argv = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(packages())}", *excluded]
        done = subprocess.run(
            [*argv, codename, str(tar), *map(str, sources)], capture_output=True, text=True, check=False, cwd="/"
        )
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.startswith("E:")] or done.stderr.splitlines()
            raise PideployError(
                "lab_image",
                f"mmdebstrap {codename}: {(lines or ['no message'])[0]}",
                hint="does 'apt-get update' work on this machine?",
            )
        engine.run("import", str(tar), tag)
