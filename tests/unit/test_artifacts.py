# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""The artifact cache, fed from a server on this machine and from files that were carried in."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from ansible_collections.pideploy.k3s.plugins.module_utils import artifacts, artifacts_cache, artifacts_fetch
from tests.unit.release_server import ReleaseServer

VERSION = "v1.36.4+k3s1"
MACHINES = {"amd64": 62, "arm64": 183, "armhf": 40}


def elf(arch: str, size: int = 4096, bits: int | None = None, kind: int = 2) -> bytes:
    """Something with the ELF header of a program for ``arch``; it does not run."""
    bits = bits or (1 if arch == "armhf" else 2)
    head = b"\x7fELF" + bytes([bits, 1, 1]) + bytes(9) + struct.pack("<HH", kind, MACHINES[arch])
    body = hashlib.sha256(arch.encode()).digest() * (size // 32)
    return (head + body)[:size]


def program(version: str) -> bytes:
    return f"#!/bin/sh\necho 'k3s version {version} (66a14f0e)'\necho 'go version go1.26.8'\n".encode()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PIDEPLOY_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache" / "artifacts"


@pytest.fixture
def server() -> Iterator[ReleaseServer]:
    with ReleaseServer() as running:
        yield running


def download(server: ReleaseServer, arch: str = "amd64", kind: str = "binary") -> artifacts.Artifact:
    return artifacts.download(VERSION, arch, kind, release_url=server.url, pause=0.01)


# --- what a file is -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("arch", ["amd64", "arm64", "armhf"])
def test_architecture_comes_from_the_elf_header(tmp_path: Path, arch: str) -> None:
    (tmp_path / "k3s").write_bytes(elf(arch))
    assert artifacts.identify(str(tmp_path / "k3s")) == ("binary", arch)


@pytest.mark.parametrize(("data", "why"), [
    (b"", "is empty"),
    (b"hello\n", "neither a Linux program nor a tarball"),
    (b"<!DOCTYPE html><html>", "web page"),
    (b"\xcf\xfa\xed\xfe" + bytes(64), "macOS program"),
    (b"PK\x03\x04" + bytes(64), "ZIP archive"),
    (b"\x7fELF\x02\x01\x01", "cut off"),
    (elf("amd64")[:18] + struct.pack("<H", 22) + bytes(64), "s390x"),
    (elf("armhf", bits=2), "damaged"),
    (elf("amd64", kind=1), "object file"),
])
def test_other_files_are_refused_with_the_reason(tmp_path: Path, data: bytes, why: str) -> None:
    (tmp_path / "k3s").write_bytes(data)
    with pytest.raises(artifacts.ArtifactError, match=why):
        artifacts.import_file(str(tmp_path / "k3s"), VERSION)
    assert artifacts.list_all() == []


@pytest.mark.parametrize(("machine", "bits", "arch"), [
    ("x86_64", 64, "amd64"), ("aarch64", 64, "arm64"), ("aarch64", 32, "arm64"), ("armv7l", 32, "armhf"),
    ("armv8l", 32, "armhf"), ("armv6l", 32, None), ("i686", 32, None), ("riscv64", 64, None),
])
def test_the_kernel_decides_a_nodes_architecture(machine: str, bits: int, arch: str | None) -> None:
    assert artifacts.node_arch(machine, bits) == arch


@pytest.mark.parametrize("text", ["v1.36.4+k3s1", "v1.37.0-rc1+k3s1", "v1.36.4+sim1"])
def test_exact_versions(text: str) -> None:
    assert artifacts.is_version(text)


@pytest.mark.parametrize("text", ["stable", "v1.36", "v1.36.4", "1.36.4+k3s1", "../v1.36.4+k3s1", "v1.36.4+k3s1/x", ""])
def test_everything_else_is_no_version(text: str) -> None:
    assert not artifacts.is_version(text)
    with pytest.raises(artifacts.ArtifactError):
        artifacts.find(text, "amd64")


def test_a_near_miss_is_suggested() -> None:
    with pytest.raises(artifacts.ArtifactError) as caught:
        artifacts.check_version("1.36.4")
    assert "v1.36.4+k3s1" in caught.value.hint


# --- downloads ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("arch", "name", "sums"), [
    ("amd64", "k3s", "sha256sum-amd64.txt"),
    ("arm64", "k3s-arm64", "sha256sum-arm64.txt"),
    ("armhf", "k3s-armhf", "sha256sum-arm.txt"),
])
def test_upstream_names_and_the_exact_line_of_the_checksum_file(
    server: ReleaseServer, cache: Path, arch: str, name: str, sums: str,
) -> None:
    body = elf(arch)
    # the neighbours' names start alike: only the exact name may match
    server.release(VERSION, {f"{name}.tar": b"x", name: body, f"x{name}": b"y"}, sums)
    artifact = download(server, arch)
    assert Path(artifact.path) == cache / VERSION / name
    assert Path(artifact.path).read_bytes() == body
    assert artifact.sha256 == hashlib.sha256(body).hexdigest()
    assert (artifact.arch, artifact.kind, artifact.size) == (arch, "binary", len(body))
    assert os.access(artifact.path, os.X_OK)
    assert all("v1.36.4%2Bk3s1" in path for path, _ranged in server.requests)
    assert sorted(path.name for path in (cache / VERSION).iterdir() if not path.name.startswith(".")) == [
        name, f"{name}.sha256"]


def test_the_checksum_file_is_one_that_sha256sum_reads(server: ReleaseServer) -> None:
    server.release(VERSION, {"k3s": elf("amd64")})
    artifact = download(server)
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", "k3s.sha256"], cwd=Path(artifact.path).parent,
        capture_output=True, text=True, check=False,
    )
    assert (checked.returncode, checked.stdout) == (0, "k3s: OK\n"), checked.stderr


def test_the_32_bit_tarball_is_called_arm_and_the_smallest_form_is_taken(server: ReleaseServer) -> None:
    server.release(VERSION, {
        "k3s-airgap-images-arm.tar": b"\0" * 257 + b"ustar" + b"\0" * 300,
        "k3s-airgap-images-arm.tar.zst": b"\x28\xb5\x2f\xfd" + b"z" * 300,
    }, "sha256sum-arm.txt")
    artifact = download(server, "armhf", "images")
    assert (artifact.name, artifact.arch, artifact.kind) == ("k3s-airgap-images-arm.tar.zst", "armhf", "images")
    assert artifacts.find(VERSION, "armhf", "images") == artifact
    assert artifacts.find(VERSION, "arm64", "images") is None


def test_a_second_call_asks_nobody(server: ReleaseServer) -> None:
    server.release(VERSION, {"k3s": elf("amd64")})
    first = download(server)
    asked = len(server.requests)
    assert download(server) == first
    assert len(server.requests) == asked


def test_a_cut_line_is_resumed_where_it_broke(server: ReleaseServer) -> None:
    body = elf("amd64", 3_000_000)
    server.release(VERSION, {"k3s": body})
    server.files[f"/{VERSION}/k3s"].cut_after = [1_000_000, 500_000]
    progress: list[tuple[int, int | None]] = []
    artifact = artifacts.download(VERSION, "amd64", release_url=server.url, pause=0.01,
                                  progress=lambda done, total: progress.append((done, total)))
    assert Path(artifact.path).read_bytes() == body
    assert server.requested("k3s") == ["", "bytes=1000000-", "bytes=1500000-"]
    assert progress[-1] == (3_000_000, 3_000_000)
    assert [done for done, _total in progress] == sorted(done for done, _total in progress)


def test_a_line_that_breaks_often_but_gets_on_ends(server: ReleaseServer) -> None:
    body = elf("amd64", 1_000_000)
    server.release(VERSION, {"k3s": body})
    server.files[f"/{VERSION}/k3s"].cut_after = [100_000] * 9
    assert Path(download(server).path).read_bytes() == body
    assert len(server.requested("k3s")) == 10


def test_the_next_run_resumes_what_the_last_one_left(server: ReleaseServer, cache: Path) -> None:
    body = elf("amd64", 500_000)
    server.release(VERSION, {"k3s": body})
    server.files[f"/{VERSION}/k3s"].cut_after = [200_000]
    file = server.files[f"/{VERSION}/k3s"]

    def refuse(done: int, total: int | None) -> None:
        file.statuses = [503] * artifacts_fetch.TRIES

    with pytest.raises(artifacts.Unreachable):
        artifacts.download(VERSION, "amd64", release_url=server.url, progress=refuse, pause=0.001)
    assert artifacts.list_all() == []
    assert (cache / VERSION / "k3s.part").stat().st_size == 200_000
    server.requests.clear()
    file.statuses.clear()
    assert Path(download(server).path).read_bytes() == body
    assert server.requested("k3s") == ["bytes=200000-"]
    assert not (cache / VERSION / "k3s.part").exists()


def test_a_server_without_ranges_starts_over(server: ReleaseServer) -> None:
    body = elf("amd64", 300_000)
    server.release(VERSION, {"k3s": body})
    server.files[f"/{VERSION}/k3s"].ranges = False
    server.files[f"/{VERSION}/k3s"].cut_after = [100_000]
    assert Path(download(server).path).read_bytes() == body


@pytest.mark.parametrize("left", [b"rubbish" * 1000, b"x" * 400_000])
def test_a_wrong_piece_from_before_costs_one_download_more(server: ReleaseServer, cache: Path, left: bytes) -> None:
    body = elf("amd64", 300_000)
    server.release(VERSION, {"k3s": body})
    (cache / VERSION).mkdir(parents=True)
    (cache / VERSION / "k3s.part").write_bytes(left)
    assert Path(download(server).path).read_bytes() == body
    assert server.requested("k3s") == [f"bytes={len(left)}-", ""]


def test_a_wrong_checksum_is_never_kept(server: ReleaseServer, cache: Path) -> None:
    server.release(VERSION, {"k3s": elf("amd64")})
    server.files[f"/{VERSION}/k3s"].body = elf("amd64")[:-1] + b"!"
    with pytest.raises(artifacts.ChecksumError, match="is expected"):
        download(server)
    assert artifacts.find(VERSION, "amd64") is None
    assert not list((cache / VERSION).glob("k3s*"))
    assert server.requested("k3s") == [""]


def test_a_release_that_serves_another_architecture_is_refused(server: ReleaseServer) -> None:
    server.release(VERSION, {"k3s-arm64": elf("amd64")}, "sha256sum-arm64.txt")
    with pytest.raises(artifacts.ArtifactError, match="wrong architecture: amd64"):
        download(server, "arm64")
    assert artifacts.list_all() == []


def test_a_busy_server_is_asked_again(server: ReleaseServer) -> None:
    server.release(VERSION, {"k3s": elf("amd64")})
    server.files[f"/{VERSION}/k3s"].statuses = [503, 429]
    assert download(server).size == 4096
    assert len(server.requested("k3s")) == 3


def test_a_release_that_does_not_exist(server: ReleaseServer) -> None:
    with pytest.raises(artifacts.NotThere, match=r"there is no k3s release v1\.36\.4") as caught:
        download(server)
    assert "releases" in caught.value.hint
    assert len(server.requests) == 1, "a 404 is final"


def test_a_file_that_the_release_does_not_list(server: ReleaseServer) -> None:
    server.release(VERSION, {"k3s": elf("amd64")})
    with pytest.raises(artifacts.NotThere, match="lists no image tarball for amd64"):
        download(server, kind="images")


def test_offline_says_what_the_cache_holds_and_what_to_do(server: ReleaseServer) -> None:
    server.release("v1.35.9+k3s1", {"k3s": elf("amd64")})
    artifacts.download("v1.35.9+k3s1", "amd64", release_url=server.url)
    with pytest.raises(artifacts.Unreachable) as caught:
        artifacts.download(VERSION, "arm64", release_url="http://127.0.0.1:9/x", pause=0.001)
    assert "the cache holds v1.35.9+k3s1 (amd64)" in caught.value.message
    assert f"pideploy artifacts import k3s-arm64 --version {VERSION}" in caught.value.hint


def test_only_http_and_https_addresses() -> None:
    with pytest.raises(artifacts.ArtifactError, match="no http or https address"):
        artifacts.download(VERSION, "amd64", release_url="file:///etc", pause=0.001)


def _download_elsewhere(url: str) -> str:
    return artifacts.download(VERSION, "amd64", release_url=url, pause=0.01).sha256


def test_many_processes_download_once(server: ReleaseServer) -> None:
    body = elf("amd64", 2_000_000)
    server.release(VERSION, {"k3s": body})
    with ProcessPoolExecutor(4, multiprocessing.get_context("spawn")) as pool:
        assert set(pool.map(_download_elsewhere, [server.url] * 8)) == {hashlib.sha256(body).hexdigest()}
    assert server.requested("k3s") == [""]


# --- channels -------------------------------------------------------------------------------------------------------

def test_a_channel_is_the_last_segment_of_its_redirect(server: ReleaseServer) -> None:
    server.redirects["/channels/stable"] = "https://github.com/k3s-io/k3s/releases/tag/v1.36.4%2Bk3s1"
    assert artifacts.resolve_channel("stable", f"{server.url}/channels") == VERSION


def test_a_moved_channel_server_is_followed(server: ReleaseServer) -> None:
    server.redirects["/old/v1.36"] = "/channels/v1.36"
    server.redirects["/channels/v1.36"] = "https://example.org/tag/v1.36.4%2Bk3s1"
    assert artifacts.resolve_channel("v1.36", f"{server.url}/old/") == VERSION


def test_an_unknown_channel(server: ReleaseServer) -> None:
    with pytest.raises(artifacts.ArtifactError, match="no k3s channel 'stabel'") as caught:
        artifacts.resolve_channel("stabel", server.url)
    assert "stable" in caught.value.hint


@pytest.mark.parametrize("name", ["", "../x", "a/b", "stable\n", "-v"])
def test_a_channel_name_cannot_leave_its_place(name: str) -> None:
    with pytest.raises(artifacts.ArtifactError, match="neither a k3s version nor a channel"):
        artifacts.resolve_channel(name, "http://127.0.0.1:9")


def test_a_channel_that_leads_nowhere(server: ReleaseServer) -> None:
    server.redirects["/stable"] = "/stable"
    with pytest.raises(artifacts.ArtifactError, match="leads to no k3s version"):
        artifacts.resolve_channel("stable", server.url)


def test_an_offline_channel_names_the_way_out(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "k3s").write_bytes(program("v1.36.4+sim1"))
    artifacts.import_file(str(tmp_path / "k3s"))
    with pytest.raises(artifacts.Unreachable) as caught:
        artifacts.resolve_channel("stable", "http://127.0.0.1:9/c", pause=0.001)
    assert "the cache holds v1.36.4+sim1 (any)" in caught.value.message
    assert "pideploy artifacts import" in caught.value.hint


# --- carried in -----------------------------------------------------------------------------------------------------

def test_a_program_that_runs_here_tells_its_version(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "simk3s.py").write_bytes(program("v1.36.4+sim1"))
    (tmp_path / "simk3s.py").chmod(0o644)
    artifact = artifacts.import_file(str(tmp_path / "simk3s.py"))
    assert (artifact.version, artifact.arch, artifact.name) == ("v1.36.4+sim1", "any", "k3s-any")
    assert artifacts.find("v1.36.4+sim1", "arm64") == artifact
    assert [path.name for path in cache.iterdir()] == ["v1.36.4+sim1"], "nothing is left from the import"


def test_an_exact_architecture_wins_over_any(tmp_path: Path) -> None:
    (tmp_path / "script").write_bytes(program(VERSION))
    (tmp_path / "binary").write_bytes(elf("arm64"))
    artifacts.import_file(str(tmp_path / "script"))
    artifacts.import_file(str(tmp_path / "binary"), VERSION)
    for arch, name in (("arm64", "k3s-arm64"), ("armhf", "k3s-any")):
        found = artifacts.find(VERSION, arch)
        assert found is not None
        assert found.name == name


def test_a_program_for_another_machine_needs_its_version(tmp_path: Path) -> None:
    (tmp_path / "k3s").write_bytes(elf("arm64"))
    with pytest.raises(artifacts.ArtifactError, match="built for arm64 and does not run here") as caught:
        artifacts.import_file(str(tmp_path / "k3s"))
    assert "--version" in caught.value.hint
    artifact = artifacts.import_file(str(tmp_path / "k3s"), VERSION)
    assert (artifact.arch, artifact.name) == ("arm64", "k3s-arm64"), "named after its header, not after the file"


def test_a_version_that_the_program_contradicts(tmp_path: Path) -> None:
    (tmp_path / "k3s").write_bytes(program("v1.35.9+k3s1"))
    with pytest.raises(artifacts.ArtifactError, match=r"is k3s v1\.35\.9\+k3s1, not v1\.36\.4"):
        artifacts.import_file(str(tmp_path / "k3s"), VERSION)
    assert artifacts.list_all() == []


@pytest.mark.skipif(sys.platform != "linux", reason="needs an ELF program")
def test_another_program_is_refused() -> None:
    with pytest.raises(artifacts.ArtifactError, match="does not answer to --version as k3s does"):
        artifacts.import_file("/bin/true", VERSION)


def test_tarballs_need_their_upstream_name_and_a_version(tmp_path: Path) -> None:
    for name in ("images.tar.gz", "k3s-airgap-images-arm64.tar.gz"):
        (tmp_path / name).write_bytes(b"\x1f\x8b" + b"x" * 600)
    with pytest.raises(artifacts.ArtifactError, match="name does not say its architecture"):
        artifacts.import_file(str(tmp_path / "images.tar.gz"), VERSION)
    with pytest.raises(artifacts.ArtifactError, match="a tarball does not tell it"):
        artifacts.import_file(str(tmp_path / "k3s-airgap-images-arm64.tar.gz"))
    artifact = artifacts.import_file(str(tmp_path / "k3s-airgap-images-arm64.tar.gz"), VERSION)
    assert (artifact.kind, artifact.arch) == ("images", "arm64")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(artifacts.ArtifactError, match=r"there is no file .*/k3s"):
        artifacts.import_file(str(tmp_path / "k3s"))


# --- what is in the cache stays true --------------------------------------------------------------------------------

def test_nothing_is_hashed_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "k3s").write_bytes(program(VERSION))
    artifact = artifacts.import_file(str(tmp_path / "k3s"))

    def never(path: str) -> str:
        raise AssertionError(f"{path} was hashed again")

    monkeypatch.setattr(artifacts_cache, "sha256_of", never)
    assert artifacts.find(VERSION, "amd64") == artifact


def test_a_touched_file_is_hashed_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "k3s").write_bytes(program(VERSION))
    artifact = artifacts.import_file(str(tmp_path / "k3s"))
    os.utime(artifact.path, (1, 1))
    assert artifacts.find(VERSION, "amd64") == artifact
    monkeypatch.setattr(artifacts_cache, "sha256_of", lambda path: "never")
    assert artifacts.find(VERSION, "amd64") == artifact


def test_a_changed_file_is_refused_and_can_be_removed(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "k3s").write_bytes(program(VERSION))
    artifact = artifacts.import_file(str(tmp_path / "k3s"))
    Path(artifact.path).write_bytes(program(VERSION) + b"rm -rf /\n")
    with pytest.raises(artifacts.ChecksumError, match="not the file that was checked"):
        artifacts.find(VERSION, "amd64")
    assert artifacts.remove(VERSION) == [artifact.path]
    assert not (cache / VERSION).exists()


def test_a_file_without_a_checksum_counts_as_not_there(tmp_path: Path, cache: Path) -> None:
    (cache / VERSION).mkdir(parents=True)
    (cache / VERSION / "k3s").write_bytes(elf("amd64"))
    assert artifacts.find(VERSION, "amd64") is None
    assert artifacts.cached() == "nothing"


def test_a_file_under_the_wrong_name_is_refused(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "k3s").write_bytes(elf("amd64"))
    artifact = artifacts.import_file(str(tmp_path / "k3s"), VERSION)
    os.rename(artifact.path, cache / VERSION / "k3s-arm64")
    os.rename(artifact.path + ".sha256", cache / VERSION / "k3s-arm64.sha256")
    with pytest.raises(artifacts.ArtifactError, match="wrong architecture: its name says arm64, its header amd64"):
        artifacts.find(VERSION, "arm64")


def test_remove_one_architecture(tmp_path: Path, cache: Path) -> None:
    for arch in ("amd64", "arm64"):
        (tmp_path / arch).write_bytes(elf(arch))
        artifacts.import_file(str(tmp_path / arch), VERSION)
    removed = artifacts.remove(VERSION, "arm64")
    assert [Path(path).name for path in removed] == ["k3s-arm64"]
    assert [artifact.arch for artifact in artifacts.list_all()] == ["amd64"]
    with pytest.raises(artifacts.ArtifactError, match=r"holds no k3s v1\.36\.4\+k3s1 for arm64; it holds v1.36.4"):
        artifacts.remove(VERSION, "arm64")


def test_folders_are_private(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "k3s").write_bytes(program(VERSION))
    artifacts.import_file(str(tmp_path / "k3s"))
    assert {path.stat().st_mode & 0o777 for path in (cache, cache / VERSION)} == {0o700}
