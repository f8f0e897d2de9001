# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""The node's side: a pushed or downloaded file is put in its place only when it is the right one."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.pideploy.k3s.plugins.module_utils import k3s_install, manifest
from ansible_collections.pideploy.k3s.plugins.module_utils.k3s_install import InstallError
from ansible_collections.pideploy.k3s.plugins.modules import k3s_artifact
from tests.unit.release_server import ReleaseServer

DEST = "/usr/local/bin/k3s"
BODY = b"\x7fELF the right one" * 1000
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def pushed(tmp_path: Path) -> Path:
    """A file as the push leaves it in the user's folder."""
    folder = tmp_path / "home" / ".pideploy" / "incoming"
    folder.mkdir(parents=True)
    path = folder / f"{SHA256}.part"
    path.write_bytes(BODY)
    path.chmod(0o600)
    return path


def installed(root: Path) -> Path:
    return root / DEST.lstrip("/")


def put(root: Path, body: bytes) -> Path:
    path = installed(root)
    path.parent.mkdir(parents=True)
    path.write_bytes(body)
    path.chmod(0o755)
    return path


def install(root: Path, source: Path, sha256: str = SHA256) -> int:
    return k3s_install.install(str(root), DEST, 0o755, sha256, source=str(source))


def test_a_pushed_file_is_moved_into_its_place(root: Path, pushed: Path) -> None:
    assert install(root, pushed) == 0
    assert installed(root).read_bytes() == BODY
    assert installed(root).stat().st_mode & 0o7777 == 0o755
    assert os.listdir(installed(root).parent) == ["k3s"]
    assert not pushed.exists()


def test_another_checksum_replaces_nothing_and_leaves_nothing(root: Path, pushed: Path) -> None:
    put(root, b"the old one")
    pushed.write_bytes(BODY[:-1])
    with pytest.raises(InstallError, match="is expected") as caught:
        install(root, pushed)
    assert caught.value.bad_checksum
    assert installed(root).read_bytes() == b"the old one"
    assert os.listdir(installed(root).parent) == ["k3s"]
    assert not pushed.exists(), "a wrong file must not be resumed"


@pytest.mark.skipif(sys.platform != "linux", reason="needs an ELF program")
def test_a_program_that_runs_is_replaced(root: Path, pushed: Path) -> None:
    put(root, b"")
    shutil.copy("/bin/sleep", installed(root))
    with subprocess.Popen([str(installed(root)), "30"]) as running:
        try:
            with pytest.raises(OSError, match="busy"):  # what a plain copy would run into
                open(installed(root), "wb").close()
            install(root, pushed)
            assert running.poll() is None
        finally:
            running.kill()
    assert installed(root).read_bytes() == BODY


def test_a_link_is_refused(root: Path, pushed: Path, tmp_path: Path) -> None:
    secret = tmp_path / "shadow"
    secret.write_bytes(BODY)
    secret.chmod(0o600)
    pushed.unlink()
    pushed.symlink_to(secret)
    with pytest.raises(InstallError, match="is a link"):
        install(root, pushed)
    assert secret.stat().st_mode & 0o777 == 0o600
    assert not installed(root).exists()


def test_a_hard_link_is_refused(root: Path, pushed: Path, tmp_path: Path) -> None:
    secret = tmp_path / "shadow"
    secret.write_bytes(BODY)
    secret.chmod(0o600)
    pushed.unlink()
    os.link(secret, pushed)
    with pytest.raises(InstallError, match="not the plain file"):
        install(root, pushed)
    assert secret.stat().st_mode & 0o777 == 0o600
    assert not installed(root).exists()


def test_a_pipe_is_refused_and_does_not_block(root: Path, pushed: Path) -> None:
    pushed.unlink()
    os.mkfifo(pushed)
    with pytest.raises(InstallError, match="not the plain file"):
        install(root, pushed)


@pytest.mark.skipif(sys.platform != "linux", reason="leases are Linux's")
def test_who_still_holds_the_file_open_cannot_change_what_was_checked(root: Path, pushed: Path) -> None:
    with open(pushed, "r+b", buffering=0) as still_open:
        install(root, pushed)
        still_open.write(b"#!/bin/sh\nrm -rf /\n")
    assert installed(root).read_bytes() == BODY
    assert os.listdir(installed(root).parent) == ["k3s"]


def test_a_file_from_another_file_system_is_copied(root: Path, pushed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.rename

    def rename(old: str, new: str) -> None:
        if str(old) == str(pushed):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        real(old, new)

    monkeypatch.setattr(os, "rename", rename)
    install(root, pushed)
    assert installed(root).read_bytes() == BODY
    assert not pushed.exists()


def test_no_space_says_how_much_is_free(root: Path, pushed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: str, part: str) -> None:
        Path(part).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(k3s_install, "_take", full)
    with pytest.raises(InstallError, match=r"no space for /usr/local/bin/k3s: \d+ MB are free"):
        install(root, pushed)
    assert os.listdir(installed(root).parent) == []


def test_a_folder_of_roots_names_become(root: Path, pushed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(source: str, part: str) -> None:
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(k3s_install, "_take", denied)
    with pytest.raises(InstallError) as caught:
        install(root, pushed)
    assert "become" in caught.value.hint


# --- the node downloads for itself ----------------------------------------------------------------------------------

@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ReleaseServer]:
    monkeypatch.delenv("http_proxy", raising=False)
    with ReleaseServer() as running:
        running.release("v1.36.4+k3s1", {"k3s": BODY})
        yield running


def pull(root: Path, server: ReleaseServer, tries: int = 2) -> int:
    url = f"{server.url}/v1.36.4+k3s1/k3s"
    return k3s_install.install(str(root), DEST, 0o755, SHA256, url=url, tries=tries, pause=0.001)


def test_a_node_that_pulls(root: Path, server: ReleaseServer) -> None:
    assert pull(root, server) == len(BODY)
    assert installed(root).read_bytes() == BODY


def test_a_pull_that_was_cut_goes_on_in_the_next_run(root: Path, server: ReleaseServer) -> None:
    file = server.files["/v1.36.4+k3s1/k3s"]
    file.cut_after = [6000]
    with pytest.raises(InstallError) as caught:
        pull(root, server, tries=1)
    assert "internet" in caught.value.hint
    assert not installed(root).exists()
    assert pull(root, server) == len(BODY) - 6000
    assert installed(root).read_bytes() == BODY
    assert os.listdir(installed(root).parent) == ["k3s"]


def test_a_pull_sweeps_out_what_other_versions_left(root: Path, server: ReleaseServer) -> None:
    installed(root).parent.mkdir(parents=True)
    (installed(root).parent / ".k3s.0123456789ab.part").write_bytes(b"of yesterday")
    pull(root, server)
    assert os.listdir(installed(root).parent) == ["k3s"]


def test_a_pull_of_something_else(root: Path, server: ReleaseServer) -> None:
    server.files["/v1.36.4+k3s1/k3s"].body = b"something else"
    with pytest.raises(InstallError) as caught:
        pull(root, server)
    assert caught.value.bad_checksum
    assert os.listdir(installed(root).parent) == []


# --- what is known about the node -----------------------------------------------------------------------------------

def test_an_unchanged_file_is_not_hashed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(root, BODY)
    noted = k3s_install.stamp(str(root), DEST, SHA256)

    def never(path: str) -> str:
        raise AssertionError("hashed")

    monkeypatch.setattr(k3s_install.files, "sha256_file", never)
    assert k3s_install.current_sha256(str(root), DEST, noted) == SHA256


def test_a_changed_file_is_hashed(root: Path) -> None:
    put(root, BODY)
    noted = k3s_install.stamp(str(root), DEST, "0" * 64)
    os.utime(installed(root), (time.time() + 10, time.time() + 10))
    assert k3s_install.current_sha256(str(root), DEST, noted) == SHA256
    assert k3s_install.current_sha256(str(root), "/usr/local/bin/none", noted) is None


def test_the_manifest_notes_the_files_and_keeps_the_rest(root: Path) -> None:
    manifest.save(str(root), {"cluster": "red", "k3s": {"role": "agent", "version": "v1.35.9+k3s1"}})
    put(root, BODY)
    tarball = "/var/lib/rancher/k3s/agent/images/k3s-airgap-images-amd64.tar"
    (root / tarball.lstrip("/")).parent.mkdir(parents=True)
    (root / tarball.lstrip("/")).write_bytes(b"images")
    k3s_artifact.note(str(root), {"kind": "binary", "dest": DEST, "sha256": SHA256}, "v1.36.4+k3s1")
    k3s_artifact.note(str(root), {"kind": "images", "dest": tarball, "sha256": "1" * 64}, "v1.36.4+k3s1")
    data = manifest.load(str(root))
    assert (data["cluster"], data["k3s"]["role"], data["k3s"]["version"]) == ("red", "agent", "v1.36.4+k3s1")
    assert data["k3s"]["sha256"] == SHA256
    assert data["k3s"]["size"] == len(BODY)
    assert data["k3s"]["mtime_ns"] == installed(root).stat().st_mtime_ns
    assert data["k3s"]["images"]["k3s-airgap-images-amd64.tar"]["sha256"] == "1" * 64


def test_the_same_images_in_another_compression_go(root: Path) -> None:
    folder = root / "images"
    folder.mkdir()
    for name in ("k3s-airgap-images-amd64.tar", "k3s-airgap-images-amd64.tar.zst", "mine.tar"):
        (folder / name).write_bytes(b"x")
    k3s_artifact.drop_other_tarballs(str(root), "/images/k3s-airgap-images-amd64.tar.zst")
    assert sorted(os.listdir(folder)) == ["k3s-airgap-images-amd64.tar.zst", "mine.tar"]


def test_the_incoming_folders_go_only_when_they_are_empty(pushed: Path) -> None:
    other = pushed.parent / "other"
    other.write_bytes(b"")
    k3s_install.discard(str(pushed))
    assert os.listdir(pushed.parent) == ["other"]
    other.unlink()
    k3s_install.discard(str(pushed))
    assert os.listdir(pushed.parents[2]) == [], ".pideploy is gone, the home is not"
