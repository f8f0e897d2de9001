# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: BSD-2-Clause
"""Downloads that survive a bad line: retried, resumed, checked against a SHA-256, and never left half under their name.

Used by the controller (k3s releases into the cache) and by a node that pulls for itself, so it keeps to Python 3.8.
Proxies come from the environment (``https_proxy``, ``no_proxy``), as urllib reads it.
"""

from __future__ import annotations

import contextlib
import email.message
import errno
import hashlib
import http.client
import os
import socket
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, Callable, IO, Optional

__metaclass__ = type

#: Called as ``progress(bytes_so_far, bytes_in_all or None)``.
Progress = Callable[[int, Optional[int]], None]

TRIES = 5
TRIES_OFFLINE = 3
TIMEOUT = 30.0  # seconds without a byte
PIECE = 1 << 18
_AGENT = "pideploy (+https://github.com/pideploy/pideploy)"


class ArtifactError(Exception):
    """Something about an artifact that a user can act on: one line that names the value, and what to do next."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class NotThere(ArtifactError):
    """The server answered, and what was asked for does not exist there (404, 410)."""


class Unreachable(ArtifactError):
    """No usable answer, after all tries."""


class ChecksumError(ArtifactError):
    """A file is not the one that the checksum belongs to."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects, but never from https down to http: the checksums come this way."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str,
        headers: http.client.HTTPMessage, newurl: str,
    ) -> urllib.request.Request | None:
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise Unreachable("%s redirects to %s, which is not https" % (req.full_url, newurl))
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Hand a redirect to the caller instead of following it."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str,
        headers: http.client.HTTPMessage, newurl: str,
    ) -> urllib.request.Request | None:
        return None


def _open(url: str, headers: dict[str, str], handler: type, timeout: float) -> Any:
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise ArtifactError("'%s' is no http or https address" % url)
    request = urllib.request.Request(url, headers=dict(headers, **{"User-Agent": _AGENT}))
    return urllib.request.build_opener(handler).open(request, timeout=timeout)


def _reason(exc: BaseException) -> str:
    if isinstance(exc, urllib.error.HTTPError):
        return "HTTP %d %s" % (exc.code, exc.reason)
    if isinstance(exc, urllib.error.URLError):
        return str(getattr(exc.reason, "strerror", None) or exc.reason)
    return str(exc) or type(exc).__name__


def _attempts(url: str, once: Callable[[], Any], tries: int, pause: float) -> Any:
    """Call ``once`` until it succeeds; back off ``pause``, 2 × ``pause``, … seconds between failures that may pass.

    A try that got further than the one before does not count: a slow, breaking line still ends.
    """
    failures = 0
    while True:
        try:
            return once()
        except urllib.error.HTTPError as exc:
            if exc.code in (404, 410):
                raise NotThere("%s does not exist (HTTP %d)" % (url, exc.code)) from None
            if exc.code < 500 and exc.code not in (408, 429):
                raise Unreachable("%s cannot be had: %s" % (url, _reason(exc))) from None
            last: BaseException = exc
        except _Cut as exc:
            last = exc
            if exc.gained:
                failures = 0
        except (urllib.error.URLError, http.client.HTTPException, OSError) as exc:
            if getattr(exc, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
                raise
            last = exc
        failures += 1
        if failures >= (min(tries, TRIES_OFFLINE) if _is_offline(last) else tries):
            raise Unreachable("%s cannot be reached (%d tries): %s" % (url, failures, _reason(last)))
        time.sleep(pause * 2 ** (failures - 1))


def _is_offline(exc: BaseException) -> bool:
    """Whether there is no way to the server at all (no name, no route, nobody listens): that seldom passes."""
    reason = exc.reason if isinstance(exc, urllib.error.URLError) else exc
    return isinstance(reason, (socket.gaierror, ConnectionRefusedError)) or getattr(reason, "errno", None) in (
        errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN)


class _Cut(Exception):
    """The connection ended before the file did."""

    def __init__(self, message: str, gained: bool) -> None:
        super().__init__(message)
        self.gained = gained


def fetch_text(url: str, limit: int = 1 << 20, tries: int = TRIES, pause: float = 1.0) -> str:
    """Return a small text (at most ``limit`` bytes).

    :raises NotThere: the server says that there is no such file.
    :raises Unreachable: no answer after ``tries`` tries.
    """
    def once() -> str:
        with _open(url, {}, _Redirects, TIMEOUT) as answer:
            data: bytes = answer.read(limit + 1)
        if len(data) > limit:
            raise Unreachable("%s is larger than %d bytes: not the file that was expected" % (url, limit))
        return data.decode("utf-8", "replace")

    text: str = _attempts(url, once, tries, pause)
    return text


def redirect_target(url: str, tries: int = TRIES, pause: float = 1.0) -> str | None:
    """Return the address that ``url`` redirects to, or None where it does not redirect. Nothing is followed."""
    def once() -> str | None:
        try:
            with _open(url, {}, _NoRedirects, TIMEOUT):
                return None
        except urllib.error.HTTPError as exc:
            if exc.code not in (301, 302, 303, 307, 308):
                raise
            location: str | None = exc.headers.get("Location")
            return urllib.parse.urljoin(url, location) if location else None

    target: str | None = _attempts(url, once, tries, pause)
    return target


def _total(answer: Any, start: int) -> int | None:
    """The whole file's size as the server tells it: from Content-Range, else Content-Length."""
    headers: email.message.Message = answer.headers
    if answer.status == 206:
        tail = headers.get("Content-Range", "").rpartition("/")[2]
        return int(tail) if tail.isdigit() else None
    length = headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None


def _hash_file(path: str) -> tuple[Any, int]:
    """A hash object fed with what ``path`` holds, and how much that is; an empty one where there is no file."""
    digest = hashlib.sha256()
    size = 0
    try:
        with open(path, "rb") as handle:
            for piece in iter(lambda: handle.read(1 << 20), b""):
                digest.update(piece)
                size += len(piece)
    except FileNotFoundError:
        pass
    return digest, size


def fetch_file(
    url: str, part: str, sha256: str, progress: Progress | None = None, tries: int = TRIES, pause: float = 1.0,
) -> int:
    """Download ``url`` to ``part``, going on from what ``part`` already holds, until its SHA-256 is ``sha256``.

    Returns the number of bytes that came over the line. The caller renames ``part``; after an error that may pass
    ``part`` stays, so that the next call goes on from there. When the checksum does not match a file that was put
    together from pieces, it is deleted and fetched once more as a whole.

    :raises ChecksumError: the whole file has another checksum; ``part`` is deleted.
    :raises NotThere: the server says that there is no such file.
    :raises Unreachable: no answer after ``tries`` tries in a row without progress.
    :raises OSError: ``part`` cannot be written.
    """
    digest, size = _hash_file(part)
    resumed = size > 0
    received = 0
    total: int | None = None

    def once() -> None:
        nonlocal digest, size, received, total, resumed
        before = received
        wanted = {"Range": "bytes=%d-" % size} if size else {}
        try:
            answer = _open(url, wanted, _Redirects, TIMEOUT)
        except urllib.error.HTTPError as exc:
            if exc.code == 416:  # nothing after what we have: complete, or longer than the file; the checksum tells
                return
            raise
        with answer:
            if size and answer.status != 206:  # no ranges here: the answer starts at the first byte
                digest, size, resumed = hashlib.sha256(), 0, False
            resumed = resumed or answer.status == 206
            total = _total(answer, size)
            with open(part, "r+b" if size else "wb") as handle:
                handle.seek(size)
                handle.truncate()
                try:
                    while True:
                        piece = answer.read(PIECE)
                        if not piece:
                            break
                        handle.write(piece)
                        digest.update(piece)
                        size += len(piece)
                        received += len(piece)
                        if progress is not None:
                            progress(size, total)
                except (http.client.HTTPException, urllib.error.URLError, ConnectionError, TimeoutError) as exc:
                    raise _Cut(_reason(exc), received > before) from exc
                finally:
                    handle.flush()
                os.fsync(handle.fileno())
        if total is not None and size < total:
            raise _Cut("the connection ended after %d of %d bytes" % (size, total), received > before)

    while digest.hexdigest() != sha256:
        _attempts(url, once, tries, pause)
        if digest.hexdigest() == sha256:
            break
        _unlink(part)
        if not resumed:
            raise ChecksumError(
                "%s has SHA-256 %s, but %s is expected" % (url, digest.hexdigest(), sha256),
                "Something between here and there changes the file (proxy, mirror), or the release was replaced.",
            )
        digest, size, resumed = hashlib.sha256(), 0, False
    return received


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
