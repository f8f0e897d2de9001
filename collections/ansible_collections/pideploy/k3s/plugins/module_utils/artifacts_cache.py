# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: BSD-2-Clause
"""The files of the artifact cache: k3s binaries and image tarballs under their upstream names, one folder a version.

``<artifact_dir>/<version>/<name>`` with ``<name>.sha256`` beside it (``sha256sum -c`` reads it). The comment line in
that file holds size and mtime of the file that was hashed, so that a run hashes nothing that did not change.
This module asks no network; :mod:`artifacts` fills the cache. Names: https://github.com/k3s-io/k3s/releases.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from typing import Iterator

from ansible_collections.pideploy.k3s.plugins.module_utils import paths
from ansible_collections.pideploy.k3s.plugins.module_utils.artifacts_fetch import ArtifactError, ChecksumError
from ansible_collections.pideploy.k3s.plugins.module_utils.artifacts_identify import (
    ANY, ARCHITECTURES, identify, images_arch,
)

__metaclass__ = type

BINARIES = {"amd64": "k3s", "arm64": "k3s-arm64", "armhf": "k3s-armhf", ANY: "k3s-any"}
SUFFIXES = {"amd64": "amd64", "arm64": "arm64", "armhf": "arm"}  # of checksum files and tarballs: "arm", not "armhf"
_TARBALLS = (".tar.zst", ".tar.gz", ".tar")  # smallest first
_VERSION = re.compile(r"v\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?\+[0-9A-Za-z.-]+")


@dataclasses.dataclass(frozen=True)
class Artifact:
    """One file of the cache: exact version, arch (or ``any``), kind (``binary``, ``images``), path, SHA-256, bytes."""

    version: str
    arch: str
    kind: str
    path: str
    sha256: str
    size: int

    @property
    def name(self) -> str:
        return os.path.basename(self.path)


def is_version(text: str) -> bool:
    """Whether a text is an exact version (``v1.36.4+k3s1``) and no channel (``stable``, ``v1.36``)."""
    return _VERSION.fullmatch(text) is not None


def check_version(text: str) -> str:
    """Return an exact version as it is.

    :raises ArtifactError: the text is something else; it would become a folder's name.
    """
    if is_version(text):
        return text
    hint = "Versions look like v1.36.4+k3s1."
    for guess in ("v" + text, text + "+k3s1", "v" + text + "+k3s1"):
        if is_version(guess):
            hint = "Did you mean %s?" % guess
            break
    raise ArtifactError("'%s' is no k3s version" % text, hint)


def names(arch: str, kind: str) -> list[str]:
    """The upstream file names of an artifact, best first."""
    if kind == "binary":
        return [BINARIES[arch]]
    return ["k3s-airgap-images-%s%s" % (SUFFIXES[arch], suffix) for suffix in _TARBALLS] if arch != ANY else []


def _describe(name: str) -> tuple[str, str] | None:
    """``(arch, kind)`` of an upstream file name, or None for another file."""
    for arch, binary in BINARIES.items():
        if name == binary:
            return arch, "binary"
    arch_of_images = images_arch(name)
    return (arch_of_images, "images") if arch_of_images else None


def folder_of(version: str) -> str:
    return os.path.join(paths.artifact_dir(), check_version(version))


@contextlib.contextmanager
def lock(folder: str, name: str) -> Iterator[None]:
    """Let one process at a time do something: Ansible's forks all come at once for the same file."""
    paths.make_private(folder)
    fd = os.open(os.path.join(folder, ".%s.lock" % name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _stamp(path: str) -> str:
    status = os.stat(path)
    return "# size=%d mtime_ns=%d" % (status.st_size, status.st_mtime_ns)


def _write_text(path: str, text: str) -> None:
    fd, temporary = tempfile.mkstemp(prefix=".tmp-", dir=os.path.dirname(path))
    try:
        with os.fdopen(fd, "w") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def keep(part: str, path: str, sha256: str, mode: int) -> None:
    """Give a verified file its name. The checksum goes first: a file without one counts as not there."""
    os.chmod(part, mode)
    _write_text(path + ".sha256", "%s\n%s  %s\n" % (_stamp(part), sha256, os.path.basename(path)))
    os.rename(part, path)


def _checksum(path: str) -> str | None:
    """The SHA-256 of a cached file; None where it has none. Hashed again only when size or mtime changed.

    :raises ChecksumError: the file is no longer the one that was checked.
    """
    try:
        with open(path + ".sha256") as handle:
            lines = handle.read().splitlines()
    except FileNotFoundError:
        return None
    wanted = next((line.split()[0].lower() for line in lines if re.match(r"[0-9a-fA-F]{64}\b", line)), None)
    if wanted is None:
        return None
    if _stamp(path) in lines:
        return wanted
    folder, name = os.path.split(path)
    with lock(folder, name):
        stamp = _stamp(path)
        if sha256_of(path) != wanted:
            raise ChecksumError(
                "%s is not the file that was checked when it came into the cache" % path,
                "Delete it (pideploy artifacts remove %s) and fetch it again." % os.path.basename(folder),
            )
        _write_text(path + ".sha256", "%s\n%s  %s\n" % (stamp, wanted, name))
    return wanted


def sha256_of(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        for piece in iter(lambda: handle.read(1 << 20), b""):
            digest.update(piece)
    return digest.hexdigest()


def load(version: str, name: str) -> Artifact | None:
    described = _describe(name)
    path = os.path.join(folder_of(version), name)
    if described is None or not os.path.isfile(path):
        return None
    sha256 = _checksum(path)
    if sha256 is None:
        return None
    arch, kind = described
    found_kind, found_arch = identify(path)
    if found_kind != kind or (kind == "binary" and found_arch != arch):
        raise ArtifactError(
            "%s is an artifact of the wrong architecture: its name says %s, its header %s"
            % (path, arch, found_arch or found_kind),
            "Delete it (pideploy artifacts remove %s --arch %s) and fetch it again." % (version, arch),
        )
    return Artifact(version, arch, kind, path, sha256, os.path.getsize(path))


def find(version: str, arch: str, kind: str = "binary") -> Artifact | None:
    """The cache's artifact for a node's architecture, else one for any architecture, else None. Asks no network.

    :raises ArtifactError: no such version, a cached file changed, or its header contradicts its name.
    """
    for wanted in (arch, ANY):
        for name in names(wanted, kind):
            artifact = load(version, name)
            if artifact is not None:
                return artifact
    return None


def list_all() -> list[Artifact]:
    """Every artifact of the cache, by version and name. Files that were never verified are left out."""
    base = paths.artifact_dir()
    found = []
    for version in sorted(os.listdir(base)) if os.path.isdir(base) else []:
        if is_version(version):
            for name in sorted(os.listdir(os.path.join(base, version))):
                artifact = load(version, name) if _describe(name) else None
                if artifact is not None:
                    found.append(artifact)
    return found


def cached() -> str:
    """What the cache holds, in words for an error message: ``v1.36.4+k3s1 (amd64, arm64)``, or ``nothing``."""
    versions: dict[str, list[str]] = {}
    base = paths.artifact_dir()
    for version in sorted(os.listdir(base)) if os.path.isdir(base) else []:
        for arch in [*ARCHITECTURES, ANY]:
            if is_version(version) and os.path.isfile(os.path.join(base, version, BINARIES[arch] + ".sha256")):
                versions.setdefault(version, []).append(arch)
    return "; ".join("%s (%s)" % (version, ", ".join(archs)) for version, archs in versions.items()) or "nothing"


def remove(version: str, arch: str | None = None) -> list[str]:
    """Delete a version from the cache, or what it holds for one architecture; return the deleted paths.

    :raises ArtifactError: the cache holds no such thing.
    """
    folder = folder_of(version)
    removed = []
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        stem = re.sub(r"\.(?:sha256|part)$", "", name)
        described = _describe(stem)
        if described is not None and arch in (None, described[0]):
            os.unlink(os.path.join(folder, name))
            if name == stem:
                removed.append(os.path.join(folder, name))
    if os.path.isdir(folder) and all(name.startswith(".") for name in os.listdir(folder)):
        shutil.rmtree(folder)
    if not removed:
        what = "%s for %s" % (version, arch) if arch else version
        raise ArtifactError("the cache holds no k3s %s; it holds %s" % (what, cached()))
    return removed
