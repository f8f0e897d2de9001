# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files on a node: read below a root, write so that a power cut leaves the old or the new text, never half."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import tempfile

__metaclass__ = type


def below(root, path):
    # type: (str, str) -> str
    """Return ``path`` (absolute, as the node sees it) below ``root``; root ``/`` changes nothing."""
    return os.path.join(root, path.lstrip("/")) if root not in ("", "/") else path


def read_bytes(root, path):
    # type: (str, str) -> bytes | None
    """Return a file's bytes, or None where it does not exist."""
    try:
        with open(below(root, path), "rb") as handle:
            return handle.read()
    except OSError as exc:
        if exc.errno in (errno.ENOENT, errno.ENOTDIR):
            return None
        raise


def read_text(root, path):
    # type: (str, str) -> str | None
    """Return a file's text (UTF-8, undecodable bytes kept as surrogates), or None where it does not exist."""
    data = read_bytes(root, path)
    return None if data is None else data.decode("utf-8", "surrogateescape")


def sha256_file(path):
    # type: (str) -> str
    """Return the SHA-256 of a file as hex, reading it in pieces (a k3s binary is near 100 MB)."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        for piece in iter(lambda: handle.read(1 << 20), b""):
            digest.update(piece)
    return digest.hexdigest()


def fsync_dir(path):
    # type: (str) -> None
    """Flush a folder's entries. FAT boot partitions refuse this on some kernels: that is no failure."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return
    try:
        os.fsync(fd)
    except OSError as exc:
        if exc.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EIO):
            raise
    finally:
        os.close(fd)


def write_atomic(root, path, data, mode=0o644):
    # type: (str, str, bytes | str, int) -> bool
    """Write a file by way of a temporary name, fsync and rename; keep owner, and mode where the file system has modes.

    Returns whether anything changed: equal content with equal mode is left alone.

    :raises OSError: no space, read-only file system; the old file is then untouched and no temporary file stays.
    """
    if not isinstance(data, bytes):
        data = data.encode("utf-8", "surrogateescape")
    target = os.path.realpath(below(root, path))
    try:
        status = os.stat(target)
    except OSError as exc:
        if exc.errno not in (errno.ENOENT, errno.ENOTDIR):
            raise
        status = None
    if status is not None:
        with open(target, "rb") as handle:
            if handle.read() == data:
                if status.st_mode & 0o7777 == mode:
                    return False
                try:
                    os.chmod(target, mode)
                except OSError as exc:
                    if exc.errno != errno.EPERM:  # FAT has no modes
                        raise
                return os.stat(target).st_mode != status.st_mode
    folder = os.path.dirname(target)
    os.makedirs(folder, mode=0o755, exist_ok=True)
    fd, temporary = tempfile.mkstemp(prefix=".pideploy-", dir=folder)
    try:
        with os.fdopen(fd, "wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        try:
            os.chmod(temporary, mode)
            if status is not None and os.geteuid() == 0:
                os.chown(temporary, status.st_uid, status.st_gid)
        except OSError as exc:
            if exc.errno != errno.EPERM:
                raise
        os.rename(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    fsync_dir(folder)
    return True


def back_up(root, path, suffix=".pideploy.bak"):
    # type: (str, str, str) -> str | None
    """Copy a file beside itself, once: an existing backup holds the original. Return the backup's path."""
    data = read_bytes(root, path)
    if data is None:
        return None
    backup = path + suffix
    if read_bytes(root, backup) is None:
        write_atomic(root, backup, data, os.stat(below(root, path)).st_mode & 0o7777)
    return backup


def remove(root, path):
    # type: (str, str) -> bool
    """Delete a file; return whether there was one."""
    try:
        os.unlink(below(root, path))
    except OSError as exc:
        if exc.errno in (errno.ENOENT, errno.ENOTDIR):
            return False
        raise
    return True
