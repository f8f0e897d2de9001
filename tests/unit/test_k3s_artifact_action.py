# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""The controller's side: which file a node gets, and a push that survives a bad line."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure

from ansible_collections.pideploy.k3s.plugins.action import k3s_artifact
from ansible_collections.pideploy.k3s.plugins.module_utils import artifact_choice, artifacts
from ansible_collections.pideploy.k3s.plugins.plugin_utils import once, push
from tests.unit.release_server import ReleaseServer

VERSION = "v1.36.4+k3s1"
BODY = b"#!/bin/sh\necho 'k3s version v1.36.4+k3s1 (66a14f0e)'\n" + b"#" * 100_000
SHA256 = hashlib.sha256(BODY).hexdigest()


class Connection:
    """Runs commands in a folder of this machine as ssh would on the node; the line can be made to break.

    ``breaks``: how many bytes of each of the next pushes get through before the connection is gone.
    """

    transport = "ssh"
    has_pipelining = True
    _shell = SimpleNamespace(tmpdir="/tmp")

    def __init__(self, home: Path) -> None:
        self.home = home
        self.commands: list[str] = []
        self.bytes = 0
        self.breaks: list[int] = []

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        assert not sudoable, "the push needs no root"
        self.commands.append(cmd)
        broken = in_data is not None and bool(self.breaks)
        if in_data is not None and broken:
            in_data = in_data[: self.breaks.pop(0)]
        self.bytes += len(in_data or b"")
        environment = {"HOME": str(self.home), "PATH": os.environ["PATH"]}
        done = subprocess.run(["/bin/sh", "-c", cmd], input=in_data or b"", capture_output=True, env=environment,
                              cwd="/", check=False)
        if broken:
            raise AnsibleConnectionFailure("Connection reset by peer")
        return done.returncode, b"Welcome to Raspberry Pi OS\n" + done.stdout, done.stderr


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PIDEPLOY_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("http_proxy", raising=False)
    monkeypatch.setattr(push.time, "sleep", lambda seconds: None)
    return tmp_path / "cache" / "artifacts"


@pytest.fixture
def artifact(tmp_path: Path) -> artifacts.Artifact:
    (tmp_path / "k3s").write_bytes(BODY)
    return artifacts.import_file(str(tmp_path / "k3s"))


@pytest.fixture
def connection(tmp_path: Path) -> Connection:
    (tmp_path / "home").mkdir()
    return Connection(tmp_path / "home")


@pytest.fixture
def server() -> Iterator[ReleaseServer]:
    with ReleaseServer() as running:
        yield running


# --- which version --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("wanted", "own", "servers", "version"), [
    (VERSION, None, [], VERSION),
    (VERSION, VERSION, ["v1.35.9+k3s1"], VERSION),
    (VERSION, None, ["v1.35.9+k3s1"], VERSION),  # an older or newer one than the server's is the guard's business
    ("stable", None, [], None),  # has to be looked up
    ("stable", None, [None], None),
    ("stable", "v1.35.9+k3s1", [], "v1.35.9+k3s1"),
    ("stable", "v1.34.1+k3s1", ["v1.35.9+k3s1"], "v1.34.1+k3s1"),  # never changed by a deploy
    ("v1.36", None, [None, "v1.35.9+k3s1"], "v1.35.9+k3s1"),  # a channel means what the cluster runs
])
def test_version(wanted: str, own: str | None, servers: list[str | None], version: str | None) -> None:
    assert artifact_choice.choose_version(wanted, own, servers) == version


def test_a_running_nodes_version_is_never_changed() -> None:
    with pytest.raises(artifacts.ArtifactError, match="never changes a running node's version") as caught:
        artifact_choice.choose_version(VERSION, "v1.35.9+k3s1", [])
    assert caught.value.message.startswith("this node runs k3s v1.35.9+k3s1")
    assert caught.value.hint == "Set k3s_version to v1.35.9+k3s1 or to a channel."


@pytest.mark.parametrize("wanted", ["1.36.4+k3s1", "1.36", "v1.36.4+", "v1.36.4+k3s1 "])
def test_a_mistyped_version_is_no_channel(wanted: str) -> None:
    with pytest.raises(artifacts.ArtifactError, match="is no k3s version"):
        artifact_choice.choose_version(wanted, None, [])


@pytest.mark.parametrize(("k3s", "version"), [
    (None, None), ({}, None), ({"installed": False, "version": VERSION, "sha256": SHA256}, None),
    ({"installed": True, "role": "agent", "version": VERSION}, VERSION),
    ({"installed": True, "role": "agent", "version": None}, None),
])
def test_a_binary_alone_is_no_running_node(k3s: dict[str, Any] | None, version: str | None) -> None:
    assert artifact_choice.running_version(k3s) == version


def test_an_unsupported_machine_is_named() -> None:
    assert artifact_choice.architecture({"machine": "aarch64", "userspace_bits": 32, "k3s": None}) == "arm64"
    with pytest.raises(artifacts.ArtifactError, match="not built for armv6l with a 32-bit"):
        artifact_choice.architecture({"machine": "armv6l", "userspace_bits": 32, "k3s": None})


# --- the push -------------------------------------------------------------------------------------------------------

def look(connection: Connection) -> push.Incoming:
    return push.look(connection, [f"{SHA256}.part"], ["/usr/local/bin/k3s", "/no/such/folder/yet"])


def arrived(connection: Connection) -> Path:
    return connection.home / ".pideploy" / "incoming" / f"{SHA256}.part"


def test_the_incoming_folder_is_the_users_alone(connection: Connection) -> None:
    incoming = look(connection)
    assert incoming.path == os.path.realpath(connection.home / ".pideploy" / "incoming")
    assert os.stat(incoming.path).st_mode & 0o777 == 0o700
    assert set(incoming.mounts) == {".", "/usr/local/bin/k3s", "/no/such/folder/yet"}
    assert all(incoming.free[mount] > 0 for mount in incoming.mounts.values())


def test_a_push_in_pieces(connection: Connection, artifact: artifacts.Artifact) -> None:
    sent = push.push(connection, artifact.path, look(connection), f"{SHA256}.part", chunk=30_000)
    assert sent == len(BODY)
    assert arrived(connection).read_bytes() == BODY
    assert arrived(connection).stat().st_mode & 0o777 == 0o600
    assert len(connection.commands) == 1 + 4


def test_a_push_goes_on_where_the_last_one_stopped(connection: Connection, artifact: artifacts.Artifact) -> None:
    look(connection)
    arrived(connection).write_bytes(BODY[:70_000])
    (arrived(connection).parent / "of-another-version.part").write_bytes(b"x")
    incoming = look(connection)
    assert incoming.sizes == {f"{SHA256}.part": 70_000}
    assert push.push(connection, artifact.path, incoming, f"{SHA256}.part") == len(BODY) - 70_000
    assert arrived(connection).read_bytes() == BODY
    assert os.listdir(arrived(connection).parent) == [f"{SHA256}.part"], "leftovers of other versions go"


def test_a_push_survives_breaks(connection: Connection, artifact: artifacts.Artifact) -> None:
    connection.breaks = [10_000, 0, 5_000, 0, 5_000]
    push.push(connection, artifact.path, look(connection), f"{SHA256}.part", chunk=50_000)
    assert arrived(connection).read_bytes() == BODY
    assert connection.bytes == len(BODY), "no byte goes twice"


def test_a_push_that_gets_nowhere_gives_up_and_keeps_what_is_there(
    connection: Connection, artifact: artifacts.Artifact,
) -> None:
    connection.breaks = [40_000, 0, 0, 0]
    with pytest.raises(AnsibleConnectionFailure):
        push.push(connection, artifact.path, look(connection), f"{SHA256}.part")
    assert arrived(connection).stat().st_size == 40_000


def test_a_node_that_cannot_write_is_quoted(connection: Connection, artifact: artifacts.Artifact) -> None:
    incoming = look(connection)
    arrived(connection).mkdir()
    with pytest.raises(artifacts.ArtifactError, match=r"the node refused the file: .*directory"):
        push.push(connection, artifact.path, incoming, f"{SHA256}.part")


# --- the whole action -----------------------------------------------------------------------------------------------

class Action(k3s_artifact.ActionModule):
    """The action with the module's answer put in: what it would install on the node is kept in ``calls``."""

    def __init__(self, connection: Connection, check: bool = False, **options: Any) -> None:
        task = SimpleNamespace(args=options, check_mode=check, async_val=0, diff=False, action="k3s_artifact")
        super().__init__(task, connection, None, None, None, None)
        self.calls: list[dict[str, Any]] = []
        self.answers: list[dict[str, Any]] = []

    def _execute_module(self, **call: Any) -> dict[str, Any]:
        self.calls.append(call["module_args"])
        for item in call["module_args"]["files"]:
            if item["src"]:
                assert hashlib.sha256(Path(item["src"]).read_bytes()).hexdigest() == item["sha256"]
                Path(item["src"]).unlink()
        return self.answers.pop(0) if self.answers else {"changed": True, "files": [], "bytes_pulled": 0}


def node(**k3s: Any) -> dict[str, Any]:
    arch = {"machine": "x86_64", "userspace_bits": 64, "k3s": "amd64"}
    return {"ansible_facts": {"pideploy_node": {"arch": arch, "k3s": {"installed": False, **k3s}}},
            "inventory_hostname": "red01"}


def run(action: Action, facts: dict[str, Any], **task_vars: Any) -> dict[str, Any]:
    result: dict[str, Any] = action.run(task_vars={**facts, **task_vars})
    return result


RUNNING = {"installed": True, "role": "agent", "version": VERSION, "sha256": SHA256, "images": {}}


def test_a_fresh_node_gets_the_binary(connection: Connection, artifact: artifacts.Artifact) -> None:
    action = Action(connection, version=VERSION)
    result = run(action, node())
    assert result["changed"]
    assert (result["version"], result["arch"], result["sha256"]) == (VERSION, "any", SHA256)
    assert (result["bytes_pushed"], result["touched"]) == (len(BODY), True)
    assert result["msg"] == f"pushed k3s {VERSION} (1 MB)"
    [call] = action.calls
    assert call["version"] == VERSION
    assert [(item["kind"], item["dest"], item["sha256"]) for item in call["files"]] == [
        ("binary", "/usr/local/bin/k3s", SHA256)]


def test_a_node_that_has_it_is_not_touched(connection: Connection, artifact: artifacts.Artifact) -> None:
    for facts in (node(**RUNNING), node(sha256=SHA256, version=VERSION)):  # running, and left by a cut run
        action = Action(connection, version=VERSION)
        result = run(action, facts)
        assert (result["changed"], result["touched"], result["bytes_pushed"]) == (False, False, 0)
        assert (result["version"], result["sha256"]) == (VERSION, SHA256)
        assert action.calls == []
    assert connection.commands == []


def test_a_running_node_keeps_a_version_that_the_cache_does_not_hold(connection: Connection) -> None:
    action = Action(connection, version="stable", channel_url="http://127.0.0.1:9", release_url="http://127.0.0.1:9")
    result = run(action, node(**RUNNING))
    assert (result["changed"], result["version"], result["sha256"]) == (False, VERSION, SHA256)
    assert connection.commands == []


def test_a_damaged_binary_is_replaced(connection: Connection, artifact: artifacts.Artifact) -> None:
    result = run(Action(connection, version="stable"), node(**{**RUNNING, "sha256": "0" * 64}))
    assert result["changed"]
    assert result["diff"][0]["before"] == f"k3s {VERSION}, sha256 {'0' * 64}\n"


def test_a_channel_means_what_the_first_server_runs(connection: Connection, artifact: artifacts.Artifact) -> None:
    hostvars = {"red": node(**{**RUNNING, "role": "server"}), "red01": node()}
    action = Action(connection, version="latest", channel_url="http://127.0.0.1:9")
    result = run(action, node(), hostvars=hostvars, groups={"k3s_server": ["red"], "k3s_agent": ["red01"]})
    assert result["version"] == VERSION


def test_a_channel_is_looked_up_once_a_run(
    connection: Connection, artifact: artifacts.Artifact, server: ReleaseServer, monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.redirects["/stable"] = "https://example.org/tag/v1.36.4%2Bk3s1"
    for _host in range(3):
        assert run(Action(connection, version="stable", channel_url=server.url), node())["version"] == VERSION
    assert len(server.requests) == 1
    monkeypatch.setattr(k3s_artifact, "RUN", "the next run")
    run(Action(connection, version="stable", channel_url=server.url), node())
    assert len(server.requests) == 2


def test_what_failed_once_fails_for_the_other_hosts_at_once(cache: Path) -> None:
    calls = []

    def offline() -> str:
        calls.append(1)
        raise artifacts.ArtifactError("no network", "plug it in")

    for _host in range(3):
        with pytest.raises(artifacts.ArtifactError, match="no network") as caught:
            once.once("run", "key", offline)
        assert caught.value.hint == "plug it in"
    assert len(calls) == 1
    assert len(json.loads((cache / "runs.json").read_text())) == 1


def test_check_mode_predicts_and_touches_nothing(connection: Connection, artifact: artifacts.Artifact) -> None:
    action = Action(connection, check=True, version=VERSION)
    result = run(action, node(images={}))
    assert (result["changed"], result["touched"], result["bytes_pushed"]) == (True, False, 0)
    assert result["msg"] == f"would push k3s {VERSION} (1 MB)"
    assert (connection.commands, action.calls) == ([], [])


def test_check_mode_downloads_nothing(connection: Connection, server: ReleaseServer, cache: Path) -> None:
    server.release(VERSION, {"k3s": BODY})
    result = run(Action(connection, check=True, version=VERSION, release_url=server.url), node())
    assert (result["msg"], result["sha256"]) == (f"would push k3s {VERSION}", SHA256)
    assert server.requested("k3s") == []
    assert artifacts.list_all() == []


def tarball(tmp_path: Path) -> artifacts.Artifact:
    (tmp_path / "k3s-airgap-images-amd64.tar.zst").write_bytes(b"\x28\xb5\x2f\xfd" + b"layers" * 100)
    return artifacts.import_file(str(tmp_path / "k3s-airgap-images-amd64.tar.zst"), VERSION)


def test_cached_images_come_along(connection: Connection, artifact: artifacts.Artifact, tmp_path: Path) -> None:
    images = tarball(tmp_path)
    action = Action(connection, version=VERSION, data_dir="/mnt/ssd/k3s")
    result = run(action, node())
    assert result["images_pushed"]
    assert result["bytes_pushed"] == len(BODY) + images.size
    assert [item["dest"] for item in action.calls[0]["files"]] == [
        "/usr/local/bin/k3s", "/mnt/ssd/k3s/agent/images/k3s-airgap-images-amd64.tar.zst"]


def test_images_that_came_into_the_cache_later_are_brought_to_a_running_node(
    connection: Connection, artifact: artifacts.Artifact, tmp_path: Path,
) -> None:
    tarball(tmp_path)
    result = run(Action(connection, version=VERSION), node(**RUNNING))
    assert (result["images_pushed"], result["msg"]) == (True, "pushed k3s-airgap-images-amd64.tar.zst (1 MB)")


def test_images_that_are_there_are_not_pushed_again(
    connection: Connection, artifact: artifacts.Artifact, tmp_path: Path,
) -> None:
    images = tarball(tmp_path)
    there = {**RUNNING, "images": {images.name: {"sha256": images.sha256}}}
    assert not run(Action(connection, version=VERSION), node(**there))["changed"]


def test_where_the_facts_do_not_tell_the_nodes_manifest_is_read(
    connection: Connection, artifact: artifacts.Artifact, tmp_path: Path,
) -> None:
    images = tarball(tmp_path)
    noted = tmp_path / "root/var/lib/pideploy/manifest.json"
    noted.parent.mkdir(parents=True)
    noted.write_text(json.dumps({"k3s": {"images": {images.name: {"sha256": images.sha256}}}}))
    facts = node(**{name: value for name, value in RUNNING.items() if name != "images"})
    assert not run(Action(connection, version=VERSION, root=str(tmp_path / "root")), facts)["changed"]
    assert len(connection.commands) == 1
    noted.unlink()
    assert run(Action(connection, version=VERSION, root=str(tmp_path / "root")), facts)["images_pushed"]


def test_images_can_be_left_out(connection: Connection, artifact: artifacts.Artifact, tmp_path: Path) -> None:
    tarball(tmp_path)
    assert not run(Action(connection, version=VERSION, airgap_images="never"), node())["images_pushed"]


def test_a_node_that_pulls_gets_address_and_checksum(connection: Connection, server: ReleaseServer) -> None:
    server.release(VERSION, {"k3s": BODY})
    action = Action(connection, version=VERSION, source="pull", release_url=server.url)
    result = run(action, node())
    [item] = action.calls[0]["files"]
    assert (item["url"], item["src"]) == (f"{server.url}/v1.36.4%2Bk3s1/k3s", "")
    assert (item["sha256"], result["bytes_pushed"], result["msg"]) == (SHA256, 0, f"pulled k3s {VERSION}")
    assert connection.commands == []


def test_a_full_node_is_not_filled_up(
    connection: Connection, artifact: artifacts.Artifact, monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = push.look

    def nearly_full(*args: Any) -> push.Incoming:
        incoming = real(*args)
        incoming.free = dict.fromkeys(incoming.free, 50_000)
        return incoming

    monkeypatch.setattr(push, "look", nearly_full)
    with pytest.raises(AnsibleActionFail, match=r"no space on the node: \S+ needs 1 MB and has 0 MB free"):
        run(Action(connection, version=VERSION), node())
    assert connection.bytes == 0


def test_what_arrived_damaged_is_pushed_once_more(connection: Connection, artifact: artifacts.Artifact) -> None:
    action = Action(connection, version=VERSION)
    action.answers = [{"failed": True, "bad_checksum": True, "msg": "what arrived has SHA-256 …"}]
    assert run(action, node())["bytes_pushed"] == 2 * len(BODY)
    assert len(action.calls) == 2


def test_what_arrives_damaged_twice_is_an_error(connection: Connection, artifact: artifacts.Artifact) -> None:
    action = Action(connection, version=VERSION)
    action.answers = [{"failed": True, "bad_checksum": True, "msg": "what arrived has SHA-256 …"}] * 2
    with pytest.raises(AnsibleActionFail, match="arrived damaged twice"):
        run(action, node())


def test_a_failed_module_is_not_tried_again(connection: Connection, artifact: artifacts.Artifact) -> None:
    action = Action(connection, version=VERSION)
    action.answers = [{"failed": True, "msg": "no space for /usr/local/bin/k3s: 3 MB are free"}]
    with pytest.raises(AnsibleActionFail, match="3 MB are free"):
        run(action, node())
    assert len(action.calls) == 1


def test_missing_facts_name_the_role(connection: Connection) -> None:
    with pytest.raises(AnsibleActionFail, match=r"pideploy\.k3s\.preflight"):
        Action(connection, version=VERSION).run(task_vars={})


def test_an_offline_controller_says_what_to_do(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AnsibleActionFail, match="pideploy artifacts import k3s --version v1"):
        run(Action(connection, version=VERSION, release_url="http://127.0.0.1:9"), node())
