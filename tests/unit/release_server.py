# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""A release and channel server on this machine that can also misbehave: cut lines, refuse ranges, answer 503."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import unquote


@dataclass
class File:
    body: bytes
    ranges: bool = True
    cut_after: list[int] = field(default_factory=list)  # bytes sent before each of the next connections breaks
    statuses: list[int] = field(default_factory=list)  # answered, one a request, before the file itself


class ReleaseServer:
    """``with ReleaseServer() as server``: put files and redirects in, give ``server.url`` to what is tested."""

    def __init__(self) -> None:
        self.files: dict[str, File] = {}
        self.redirects: dict[str, str] = {}
        self.requests: list[tuple[str, str]] = []  # (path as it came over the line, Range header or "")
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                outer.answer(self)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> ReleaseServer:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def release(self, version: str, files: dict[str, bytes], sums_name: str = "sha256sum-amd64.txt") -> None:
        """Publish a release: its files and their checksum file."""
        for name, body in files.items():
            self.files[f"/{version}/{name}"] = File(body)
        lines = [f"{hashlib.sha256(body).hexdigest()}  {name}\n" for name, body in files.items()]
        self.files[f"/{version}/{sums_name}"] = File("".join(lines).encode())

    def requested(self, name: str) -> list[str]:
        """The Range headers of the requests for a file, in order."""
        return [ranged for path, ranged in self.requests if path.endswith("/" + name)]

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        ranged = handler.headers.get("Range", "")
        self.requests.append((handler.path, ranged))
        path = unquote(handler.path)
        if path in self.redirects:
            self._head(handler, 302, 0, Location=self.redirects[path])
            return
        file = self.files.get(path)
        if file is None:
            self._head(handler, 404, 0)
            return
        if file.statuses:
            self._head(handler, file.statuses.pop(0), 0)
            return
        start = int(ranged.removeprefix("bytes=").rstrip("-")) if ranged and file.ranges else 0
        if start and start >= len(file.body):
            self._head(handler, 416, 0)
            return
        body = file.body[start:]
        extra = {"Content-Range": f"bytes {start}-{len(file.body) - 1}/{len(file.body)}"} if start else {}
        self._head(handler, 206 if start else 200, len(body), **extra)
        if file.cut_after:
            body = body[: file.cut_after.pop(0)]
            handler.close_connection = True
        handler.wfile.write(body)

    @staticmethod
    def _head(handler: BaseHTTPRequestHandler, status: int, length: int, **headers: str) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(length))
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
