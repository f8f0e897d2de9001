# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: BSD-2-Clause
"""k3s artifacts on the controller: look up channels, download and verify releases, import what was carried in.

What came in lies in the cache (:mod:`artifacts_cache`), whose public names are offered here as well.
Sources: checksum files and file names of k3s releases (install.sh, release.yml of k3s-io/k3s); the channel server
answers with a redirect whose last path segment is the version.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import urllib.parse

from ansible_collections.pideploy.k3s.plugins.module_utils import artifacts_fetch, paths
from ansible_collections.pideploy.k3s.plugins.module_utils.artifacts_cache import (
    BINARIES, SUFFIXES, Artifact, cached, check_version, find, folder_of, is_version, keep, list_all, load, lock, names,
    remove, sha256_of,
)
from ansible_collections.pideploy.k3s.plugins.module_utils.artifacts_fetch import (
    ArtifactError, ChecksumError, NotThere, Progress, Unreachable,
)
from ansible_collections.pideploy.k3s.plugins.module_utils.artifacts_identify import (
    ANY, ARCHITECTURES, identify, images_arch, node_arch,
)

__metaclass__ = type

__all__ = [
    "ANY", "ARCHITECTURES", "CHANNEL_URL", "RELEASE_URL", "Artifact", "ArtifactError", "ChecksumError", "NotThere",
    "Unreachable", "cached", "check_version", "download", "find", "identify", "import_file", "import_files",
    "is_version", "list_all", "node_arch", "published", "remove", "resolve_channel",
]

RELEASE_URL = "https://github.com/k3s-io/k3s/releases/download"
CHANNEL_URL = "https://update.k3s.io/v1-release/channels"
_SAYS_VERSION = re.compile(r"^k3s version (\S+)", re.MULTILINE)


def resolve_channel(name: str, channel_url: str = CHANNEL_URL, pause: float = 1.0) -> str:
    """The version that a channel (``stable``, ``latest``, ``v1.36``) stands for today.

    :raises ArtifactError: there is no such channel, or the channel server cannot be reached.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ArtifactError("'%s' is neither a k3s version nor a channel" % name,
                            "Give a version such as v1.36.4+k3s1, or one of stable, latest, testing, v1.36.")
    url = "%s/%s" % (channel_url.rstrip("/"), name)
    target: str | None = url
    try:
        for _hop in range(4):  # http -> https, a moved server; the release's own page is not fetched
            target = artifacts_fetch.redirect_target(target or url, pause=pause)
            version = urllib.parse.unquote((target or "").rstrip("/").rpartition("/")[2])
            if is_version(version):
                return version
            if target is None:
                break
    except NotThere:
        raise ArtifactError("there is no k3s channel '%s' at %s" % (name, channel_url),
                            "Channels are stable, latest, testing and one a minor version such as v1.36.") from None
    except Unreachable as exc:
        raise Unreachable(
            "the channel '%s' cannot be looked up: %s; the cache holds %s" % (name, exc.message, cached()),
            "Set k3s_version to a version that the cache holds, or carry one in: pideploy artifacts import FILE",
        ) from None
    raise ArtifactError("%s leads to no k3s version" % url, "Check k3s_channel_url.")


def _url(release_url: str, version: str, name: str) -> str:
    return "%s/%s/%s" % (release_url.rstrip("/"), urllib.parse.quote(version), urllib.parse.quote(name))


def _sums(version: str, arch: str, release_url: str, pause: float) -> dict[str, str]:
    """The published checksums of a release: file name -> SHA-256."""
    name = "sha256sum-%s.txt" % SUFFIXES[arch]
    try:
        text = artifacts_fetch.fetch_text(_url(release_url, version, name), pause=pause)
    except NotThere as exc:
        raise NotThere("there is no k3s release %s for %s: %s" % (version, arch, exc.message),
                       "See https://github.com/k3s-io/k3s/releases for the versions that exist.") from None
    except Unreachable as exc:
        raise Unreachable(
            "k3s %s for %s is not in the cache and %s; the cache holds %s" % (version, arch, exc.message, cached()),
            "Carry it in: pideploy artifacts import %s --version %s" % (BINARIES[arch], version),
        ) from None
    sums = {}
    for line in text.splitlines():
        match = re.fullmatch(r"([0-9a-fA-F]{64})[ \t]+\*?(\S+)", line.strip())
        if match:
            sums[match.group(2)] = match.group(1).lower()
    return sums


def published(
    version: str, arch: str, kind: str = "binary", release_url: str = RELEASE_URL, pause: float = 1.0,
) -> tuple[str, str, str]:
    """``(url, name, sha256)`` of a release's file, from its checksum file (by the exact name).

    :raises ArtifactError: no such release or file, or the server cannot be reached.
    """
    check_version(version)
    if arch not in SUFFIXES:
        raise ArtifactError("'%s' is no architecture of a k3s release" % arch,
                            "Architectures are %s." % ", ".join(ARCHITECTURES))
    sums = _sums(version, arch, release_url, pause)
    for name in names(arch, kind):
        if name in sums:
            return _url(release_url, version, name), name, sums[name]
    what = "binary" if kind == "binary" else "image tarball"
    raise NotThere("the release %s lists no %s for %s" % (version, what, arch),
                   "Check %s." % _url(release_url, version, "sha256sum-%s.txt" % SUFFIXES[arch]))


def download(
    version: str, arch: str, kind: str = "binary", release_url: str = RELEASE_URL,
    progress: Progress | None = None, pause: float = 1.0,
) -> Artifact:
    """Return an artifact, from the cache or from the release server; only verified files get their name.

    Safe to call from many processes at once: one downloads, the others wait and use it. A download that was cut is
    resumed by the next call.

    :raises ArtifactError: not to be had; the hint names the next command.
    :raises OSError: the cache cannot be written.
    """
    artifact = find(version, arch, kind)
    if artifact is not None:
        return artifact
    folder = folder_of(version)
    with lock(folder, "%s-%s" % (arch, kind)):
        artifact = find(version, arch, kind)
        if artifact is not None:
            return artifact
        url, name, sha256 = published(version, arch, kind, release_url, pause)
        path = os.path.join(folder, name)
        artifacts_fetch.fetch_file(url, path + ".part", sha256, progress, pause=pause)
        found_kind, found_arch = identify(path + ".part")
        if found_kind != kind or (kind == "binary" and found_arch != arch):
            os.unlink(path + ".part")
            raise ArtifactError("%s is an artifact of the wrong architecture: %s" % (url, found_arch or found_kind),
                                "Check k3s_release_url.")
        keep(path + ".part", path, sha256, 0o755 if kind == "binary" else 0o644)
    artifact = load(version, name)
    if artifact is None:
        raise ArtifactError("%s vanished from the cache while it was in use" % path, "Run again.")
    return artifact


def import_file(path: str, version: str | None = None) -> Artifact:
    """Copy a file that was carried in into the cache and record its SHA-256.

    A binary that runs on this machine tells its own version; for others, and for tarballs, ``version`` is needed.

    :raises ArtifactError: the file is no k3s artifact, or its version is not known or contradicts ``version``.
    :raises OSError: the cache cannot be written.
    """
    if version is not None:
        check_version(version)
    if not os.path.isfile(path):
        raise ArtifactError("%s is no file" % path if os.path.exists(path) else "there is no file %s" % path)
    kind, arch = identify(path)
    name = os.path.basename(path)
    if kind == "images":
        tarball_arch = images_arch(name)
        if tarball_arch is None:
            raise ArtifactError("%s is a tarball whose name does not say its architecture" % path,
                                "Name it as k3s does: k3s-airgap-images-amd64.tar.zst (or arm64, arm; .tar, .tar.gz).")
        arch = tarball_arch
    else:
        name = BINARIES[arch]
    base = paths.make_private(paths.artifact_dir())
    staging = tempfile.mkdtemp(prefix=".import-", dir=base)
    try:
        part = os.path.join(staging, name)
        shutil.copyfile(path, part)
        if kind == "binary":
            os.chmod(part, 0o755)
            own = _own_version(part, path)
            if own and version and own != version:
                raise ArtifactError("%s is k3s %s, not %s" % (path, own, version), "Leave --version out.")
            version = own or version
        if version is None:
            why = "a tarball does not tell it"
            if kind == "binary":
                why = "it is built for %s and does not run here" % arch
            raise ArtifactError("the version of %s is not known: %s" % (path, why),
                                "Add --version, for example --version v1.36.4+k3s1.")
        check_version(version)
        folder = paths.make_private(folder_of(version))
        keep(part, os.path.join(folder, name), sha256_of(part), 0o755 if kind == "binary" else 0o644)
    finally:
        shutil.rmtree(staging)
    artifact = load(version, name)
    if artifact is None:
        raise ArtifactError("%s vanished from the cache while it was in use" % name, "Run again.")
    return artifact


def import_files(files: list[str], version: str | None = None) -> list[Artifact]:
    """Import several files, binaries first: a tarball without ``version`` is of the version that they tell.

    :raises ArtifactError: see :func:`import_file`; what was imported before it stays.
    """
    kinds = {path: identify(path)[0] if os.path.isfile(path) else "binary" for path in files}
    done: dict[str, Artifact] = {}
    for path in sorted(files, key=lambda one: kinds[one] != "binary"):
        told = {artifact.version for artifact in done.values()}
        if version is None and kinds[path] == "images" and len(told) == 1:
            done[path] = import_file(path, *told)
        else:
            done[path] = import_file(path, version)
    return [done[path] for path in files]


def _own_version(program: str, shown: str) -> str | None:
    """What ``PROGRAM --version`` says; None where this machine cannot run it.

    :raises ArtifactError: it runs and is not k3s.
    """
    try:
        # This runs on the controller, where there is no module whose run_command could be called.
        answer = subprocess.run(  # pylint: disable=ansible-bad-function
            [program, "--version"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=30, check=False, env={"PATH": os.environ.get("PATH", os.defpath), "HOME": os.path.dirname(program)},
        )
    except OSError:  # built for another machine, or the cache is on a file system that runs nothing (noexec)
        return None
    except subprocess.TimeoutExpired:
        raise ArtifactError("%s does not answer to --version within 30 s" % shown, "Is it k3s?") from None
    match = _SAYS_VERSION.search(answer.stdout.decode("utf-8", "replace"))
    if match is None:
        raise ArtifactError("%s runs, but does not answer to --version as k3s does (exit code %d)"
                            % (shown, answer.returncode))
    return match.group(1)
