# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""``pideploy artifacts``, with a release server on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Invoke
from tests.unit.release_server import ReleaseServer

VERSION = "v1.36.4+k3s1"
ARM64 = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xb7\x00" + b"k3s" * 1_000_000
IMAGES = b"\x28\xb5\x2f\xfd" + b"layers" * 1000


@pytest.fixture
def server() -> Iterator[ReleaseServer]:
    with ReleaseServer() as running:
        running.redirects["/channels/stable"] = "https://example.org/tag/v1.36.4%2Bk3s1"
        running.release(VERSION, {"k3s-arm64": ARM64, "k3s-airgap-images-arm64.tar.zst": IMAGES}, "sha256sum-arm64.txt")
        yield running


def files(home: Path) -> tuple[Path, Path, Path]:
    here, foreign, images = home / "simk3s", home / "k3s", home / "k3s-airgap-images-arm64.tar.zst"
    here.write_text(f"#!/bin/sh\necho 'k3s version {VERSION} (66a14f0e)'\n")
    foreign.write_bytes(ARM64)
    images.write_bytes(IMAGES)
    return here, foreign, images


def test_an_empty_cache_says_how_to_fill_it(pideploy: Invoke) -> None:
    result = pideploy("artifacts", "list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "pideploy artifacts download stable" in result.stderr
    assert json.loads(pideploy("artifacts", "list", "-o", "json").stdout) == {"artifacts": []}


def test_download_a_channel(pideploy: Invoke, server: ReleaseServer) -> None:
    urls = ("--release-url", server.url, "--channel-url", f"{server.url}/channels")
    result = pideploy("artifacts", "download", "stable", "--arch", "arm64", "--images", *urls)
    assert result.exit_code == 0
    assert "stable is v1.36.4+k3s1" in result.stderr
    assert f"downloading k3s {VERSION} arm64 binary (3 MB)" in result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["VERSION", "ARCH", "KIND", "SIZE", "SHA256", "FILE"]
    assert [line.split()[:3] for line in lines[1:]] == [[VERSION, "arm64", "binary"], [VERSION, "arm64", "images"]]
    again = pideploy("artifacts", "download", VERSION, "--arch", "arm64", *urls)
    assert (again.exit_code, again.stderr) == (0, "")
    listed = pideploy("artifacts", "list", "-o", "jsonl").stdout.splitlines()
    assert [json.loads(line)["kind"] for line in listed] == ["images", "binary"]


def test_what_does_not_exist_is_an_error_with_a_hint(pideploy: Invoke, server: ReleaseServer) -> None:
    result = pideploy("artifacts", "download", "v1.99.0+k3s1", "--release-url", server.url)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "error: there is no k3s release v1.99.0+k3s1 for arm64" in result.stderr
    assert "hint: " in result.stderr


def test_import_takes_the_tarballs_version_from_the_binary(pideploy: Invoke, home: Path) -> None:
    here, _foreign, images = files(home)
    result = pideploy("artifacts", "import", str(images), str(here), "-o", "json")
    found = json.loads(result.stdout)["artifacts"]
    assert [(one["version"], one["arch"], one["kind"]) for one in found] == [
        (VERSION, "arm64", "images"),
        (VERSION, "any", "binary"),
    ]


def test_import_asks_for_a_version_it_cannot_know(pideploy: Invoke, home: Path) -> None:
    _here, foreign, _images = files(home)
    result = pideploy("artifacts", "import", str(foreign))
    assert result.exit_code == 1
    assert "is built for arm64 and does not run here" in result.stderr
    assert "hint: Add --version" in result.stderr
    assert pideploy("artifacts", "import", str(foreign), "--version", VERSION).exit_code == 0


def test_remove(pideploy: Invoke, home: Path) -> None:
    here, foreign, _images = files(home)
    pideploy("artifacts", "import", str(here), str(foreign), "--version", VERSION)
    result = pideploy("artifacts", "remove", VERSION, "--arch", "any")
    assert result.stdout.startswith("removed ")
    [left] = json.loads(pideploy("artifacts", "list", "-o", "json").stdout)["artifacts"]
    assert left["arch"] == "arm64"
    assert pideploy("artifacts", "remove", VERSION).exit_code == 0
    gone = pideploy("artifacts", "remove", VERSION)
    assert gone.exit_code == 1
    assert "it holds nothing" in gone.stderr
