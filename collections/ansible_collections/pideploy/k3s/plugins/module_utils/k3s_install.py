# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put a verified file in its place on the node: k3s's binary, or a tarball of images.

A pushed file lies in the ssh user's own folder, where that user may still write to it. It is therefore first moved
into root's folder, taken away from the user, and only then hashed; where a writer is left, or the file lies on another
file system, what is hashed is a copy. A running k3s is replaced by a rename, so there is no ETXTBSY.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat

from ansible_collections.pideploy.k3s.plugins.module_utils import artifacts_fetch, files

__metaclass__ = type

_PIECE = 1 << 20


class InstallError(Exception):
    """A file cannot be put in its place; nothing was replaced."""

    def __init__(self, message, hint="", bad_checksum=False):
        # type: (str, str, bool) -> None
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.bad_checksum = bad_checksum


def current_sha256(root, path, noted):
    # type: (str, str, dict) -> str | None
    """The SHA-256 of an installed file, or None where there is none.

    ``noted`` (``{sha256, size, mtime_ns}`` from the node's manifest) spares the hashing of a file that did not change.
    """
    real = files.below(root, path)
    try:
        status = os.stat(real)
    except OSError as exc:
        if exc.errno in (errno.ENOENT, errno.ENOTDIR):
            return None
        raise
    if noted.get("sha256") and (noted.get("size"), noted.get("mtime_ns")) == (status.st_size, status.st_mtime_ns):
        return noted["sha256"]
    return files.sha256_file(real)


def stamp(root, path, sha256):
    # type: (str, str, str) -> dict
    """What the manifest notes about an installed file: ``{sha256, size, mtime_ns}``."""
    status = os.stat(files.below(root, path))
    return {"sha256": sha256, "size": status.st_size, "mtime_ns": status.st_mtime_ns}


def install(root, dest, mode, sha256, source="", url="", tries=artifacts_fetch.TRIES, pause=1.0):
    # type: (str, str, int, str, str, str, int, float) -> int
    """Put a file to ``dest``, from ``source`` (a path on this node, which is consumed) or from ``url``.

    Returns the number of bytes that were downloaded. A download that breaks stays beside ``dest`` and is resumed.

    :raises InstallError: another checksum, no space, no such source, not to be downloaded.
    """
    target = files.below(root, dest)
    folder = os.path.dirname(target)
    part = os.path.join(folder, ".%s.%s.part" % (os.path.basename(target), sha256[:12]))
    pulled = 0
    try:
        os.makedirs(folder, mode=0o755, exist_ok=True)
        if source:
            _take(source, part)
        else:
            pulled = artifacts_fetch.fetch_file(url, part, sha256, tries=tries, pause=pause)
        _own(part, mode, sha256)
        os.rename(part, target)
        files.fsync_dir(folder)
        _sweep(folder, os.path.basename(target))
    except artifacts_fetch.ArtifactError as exc:
        raise InstallError(exc.message, exc.hint or "Does the node reach the internet? k3s_artifact_source: push does "
                           "without.", isinstance(exc, artifacts_fetch.ChecksumError)) from exc
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            _discard(part)
            free = os.statvfs(folder)
            raise InstallError("no space for %s: %d MB are free" % (dest, free.f_bavail * free.f_frsize // 1000000),
                               "Make room on that file system, then run again.") from exc
        raise InstallError("%s cannot be installed: %s" % (dest, exc), "Does the task run as root (become: true)?"
                           if exc.errno in (errno.EACCES, errno.EPERM) else "") from exc
    return pulled


def discard(path):
    # type: (str) -> None
    """Delete a pushed file that is not needed, and the folders that were made for it when they are empty."""
    _discard(path)
    for folder in (os.path.dirname(path), os.path.dirname(os.path.dirname(path))):
        if os.path.basename(folder) in ("incoming", ".pideploy"):
            try:
                os.rmdir(folder)
            except OSError:  # something else lies there
                return


def _sweep(folder, name):
    # type: (str, str) -> None
    """Delete what interrupted downloads of other versions left beside the file."""
    for entry in os.listdir(folder):
        if entry.startswith(".%s." % name) and entry.endswith(".part"):
            _discard(os.path.join(folder, entry))


def _discard(path):
    # type: (str) -> None
    try:
        os.unlink(path)
    except OSError as exc:
        if exc.errno != errno.ENOENT:
            raise


def _take(source, part):
    # type: (str, str) -> None
    """Move a file into root's folder; copy it where that is another file system."""
    try:
        os.rename(source, part)
    except OSError as exc:
        if exc.errno != errno.EXDEV:
            raise
        _copy(source, part)
        os.unlink(source)


def _open(path):
    # type: (str) -> int
    """Open a plain file for reading: no link (neither kind), no pipe, no device.

    :raises InstallError: it is something else.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            raise InstallError("%s is a link, not the file that was pushed" % path) from exc
        raise
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        os.close(fd)
        raise InstallError("%s is not the plain file that was pushed" % path)
    return fd


def _copy(source, part):
    # type: (str, str) -> None
    fd = _open(source)
    try:
        _discard(part)
        out = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(out, "wb") as handle:
            for piece in iter(lambda: os.read(fd, _PIECE), b""):
                handle.write(piece)
    finally:
        os.close(fd)


def _no_writer(fd):
    # type: (int) -> bool
    """Whether no process has the file open for writing: only then does the kernel grant a read lease (fcntl(2))."""
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:  # a writer, or a file system without leases
        return False
    return True


def _own(part, mode, sha256):
    # type: (str, int, str) -> None
    """Make ``part`` root's alone and check that it is the file that was meant; delete it when it is not."""
    try:
        fd = _open(part)
        try:
            _claim(fd, mode)
            if not _no_writer(fd):
                os.close(fd)
                fd = -1
                _copy(part, part + ".copy")
                os.rename(part + ".copy", part)
                fd = _open(part)
                _claim(fd, mode)
            digest = hashlib.sha256()
            for piece in iter(lambda: os.read(fd, _PIECE), b""):
                digest.update(piece)
            os.fsync(fd)
        finally:
            if fd >= 0:
                os.close(fd)
        if digest.hexdigest() != sha256:
            raise InstallError("what arrived has SHA-256 %s, but %s is expected" % (digest.hexdigest(), sha256),
                               bad_checksum=True)
    except BaseException:
        _discard(part)
        raise


def _claim(fd, mode):
    # type: (int, int) -> None
    if os.geteuid() == 0:
        os.fchown(fd, 0, 0)
    os.fchmod(fd, mode)
