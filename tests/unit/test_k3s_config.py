# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""Files of a k3s node: reading, composing, differing, and what has to be started because of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from ansible_collections.pideploy.k3s.plugins.module_utils import k3s_config
from ansible_collections.pideploy.k3s.plugins.module_utils.service import State

FOREIGN = """\
# by hand
node-name: red
"tls-san":
  - a.example
  - 'b.example'   # vip
write-kubeconfig-mode: "0644"   # open
https-listen-port: 7443
token: topsecret
etcd-s3-secret-key:
  - alsosecret
nested: {a: 1}
"""


def test_parse_reads_what_people_write() -> None:
    values = k3s_config.parse(FOREIGN)
    assert values["node-name"] == "red"
    assert values["tls-san"][0] == "a.example"
    assert values["https-listen-port"] == 7443
    assert values["token"] == "topsecret"


def test_hide_leaves_no_secret() -> None:
    shown = k3s_config.hide(FOREIGN)
    assert "topsecret" not in shown
    assert "alsosecret" not in shown
    assert "node-name: red" in shown
    assert "nested: {a: 1}" in shown


def test_compose_adds_secret_keys() -> None:
    text = k3s_config.compose('# x\nnode-ip: "10.0.0.1"\n', {"datastore-endpoint": "postgres://u:p@h/db"})
    assert yaml.safe_load(text) == {"node-ip": "10.0.0.1", "datastore-endpoint": "postgres://u:p@h/db"}
    assert "p@h" not in k3s_config.hide(text)


@pytest.mark.parametrize(
    ("config", "secret", "words"),
    [
        ('token: "x"\n', {}, "secret key 'token'"),
        ("", {"token": "x"}, "cannot be given"),
        ("node-label:\n  - a\n", {}, "no name|not one line of JSON"),
        ("debug: yes\n", {}, "not one line of JSON"),
        ('"a\\nb": 1\n', {}, "no name of a k3s option"),
        ('kubelet-arg: {"a": 1}\n', {}, "neither a text"),
        ('node-label: [["a"]]\n', {}, "neither a text"),
        ("debug: null\n", {}, "neither a text"),
    ],
)
def test_compose_refuses(config: str, secret: dict[str, str], words: str) -> None:
    with pytest.raises(k3s_config.ConfigError, match=words):
        k3s_config.compose(config, secret)


@pytest.mark.parametrize(
    ("config", "url"),
    [
        ({}, "https://127.0.0.1:6443/cacerts"),
        ({"https-listen-port": 7443, "bind-address": "0.0.0.0"}, "https://127.0.0.1:7443/cacerts"),
        ({"bind-address": "fd00::1"}, "https://[fd00::1]:6443/cacerts"),
    ],
)
def test_probe_url(config: dict[str, object], url: str) -> None:
    assert k3s_config.probe_url(config) == url


@pytest.mark.parametrize("flag", ['"--token" "x"', "--token=x", '"-t" "x"', "--agent-token=x"])
def test_a_token_among_the_flags_is_refused(flag: str) -> None:
    dropin = f"[Service]\nExecStart=\nExecStart=/usr/local/bin/k3s server {flag}\n"
    with pytest.raises(k3s_config.ConfigError, match="process list"):
        k3s_config.wanted("server", "", "", dropin)


def test_other_flags_are_not_mistaken_for_a_token() -> None:
    flags = '"--kubelet-arg=token-x=1" "--token-file=/a"'
    k3s_config.wanted("server", "", "", f"ExecStart=/usr/local/bin/k3s server {flags}\n")


def files_in(root: Path, wanted: list[k3s_config.File]) -> None:
    for item in wanted:
        if item.text is not None:
            path = root / item.path.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(item.text)
            path.chmod(item.mode)


def test_differing_and_diff(tmp_path: Path) -> None:
    wanted = k3s_config.wanted("server", 'node-ip: "10.0.0.1"\n', "[Unit]\n", "", "secret-a", "secret-b")
    changes = k3s_config.differing(str(tmp_path), wanted)
    assert [c.file.path for c in changes] == [
        "/etc/rancher/k3s/token", "/etc/rancher/k3s/agent-token", "/etc/rancher/k3s/config.yaml",
        "/etc/systemd/system/k3s.service",
    ]
    shown = k3s_config.diff(changes)
    assert "secret-" not in json.dumps(shown)
    assert shown[0]["after"] == "<set at deploy>\n"
    assert shown[2]["before_header"].endswith("(absent)")
    files_in(tmp_path, wanted)
    assert k3s_config.differing(str(tmp_path), wanted) == []
    (tmp_path / "etc/rancher/k3s/config.yaml").chmod(0o644)
    (only,) = k3s_config.differing(str(tmp_path), wanted)
    assert not only.text_differs
    assert "0600" in k3s_config.diff([only])[0]["after"]


def test_a_dropin_that_is_no_longer_wanted_goes(tmp_path: Path) -> None:
    files_in(tmp_path, k3s_config.wanted("agent", "", "[Unit]\n", "[Service]\n"))
    changes = k3s_config.differing(str(tmp_path), k3s_config.wanted("agent", "", "[Unit]\n"))
    assert [(c.file.path, c.file.text) for c in changes] == [
        ("/etc/systemd/system/k3s-agent.service.d/10-pideploy.conf", None)
    ]


def test_a_changed_secret_key_shows_without_its_value() -> None:
    item = k3s_config.File(k3s_config.CONFIG, 'datastore-endpoint: "new"\n', 0o600)
    (shown,) = k3s_config.diff([k3s_config.Change(item, 'datastore-endpoint: "old"\n', True)])
    assert shown["before"] != shown["after"]
    assert "old" not in shown["before"]
    assert "new" not in shown["after"]


def test_fingerprint_ignores_secrets_and_nothing_else() -> None:
    def fingerprint(config: str = "", unit: str = "", dropin: str = "", token: str = "", binary: str = "b") -> str:
        return k3s_config.digest(k3s_config.wanted("server", config, unit, dropin, token, token), binary)

    base = fingerprint()
    assert fingerprint(token="other") == base
    assert fingerprint(config='datastore-endpoint: "x"\n') == fingerprint(config='datastore-endpoint: "y"\n')
    others = {fingerprint("debug: true\n"), fingerprint(unit="x"), fingerprint(dropin="x"), fingerprint(binary="c")}
    assert len(others | {base}) == 5


RUNNING = State(load="loaded", active="active", sub="running", pid=7, invocation="i", enabled=True)
CONFIG = k3s_config.Change(k3s_config.File(k3s_config.CONFIG, "x", 0o600), "y", True)
UNIT = k3s_config.Change(k3s_config.File(k3s_config.unit_path("server"), "x", 0o644), "y", True)
MODE = k3s_config.Change(k3s_config.File(k3s_config.CONFIG, "x", 0o600), "x", False)
CLOCK = k3s_config.Change(k3s_config.File(k3s_config.time_wait_path("chrony-wait.service"), "x", 0o644), None, True)


@pytest.mark.parametrize(
    ("changes", "state", "applied", "expected"),
    [
        ([], RUNNING, "f", []),
        ([MODE], RUNNING, "f", []),
        ([CLOCK], RUNNING, "f", ["reload"]),
        ([CONFIG], RUNNING, "f", ["restart"]),
        ([UNIT], RUNNING, "f", ["reload", "restart"]),
        ([], RUNNING, "other", ["restart"]),
        ([], RUNNING, None, ["restart"]),
        ([], RUNNING._replace(needs_reload=True, enabled=False), "f", ["reload", "enable"]),
        ([], RUNNING._replace(active="activating", sub="start"), "f", []),
        ([], RUNNING._replace(active="activating", sub="auto-restart"), "f", ["restart"]),
        ([], RUNNING._replace(active="failed", sub="failed"), "f", ["start"]),
        ([CONFIG, UNIT], State(), None, ["reload", "enable", "start"]),
    ],
)
def test_plan(changes: list[k3s_config.Change], state: State, applied: str | None, expected: list[str]) -> None:
    assert k3s_config.plan(changes, state, applied, "f") == expected


def test_links_only_where_no_such_command_exists(tmp_path: Path) -> None:
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/kubectl").write_text("")
    assert k3s_config.missing_links(str(tmp_path)) == ["crictl", "ctr"]
