# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""The user's ssh configuration: one marked Include while labs exist, and byte for byte the old file afterwards."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pideploy.errors import PideployError
from pideploy.lab import hostnames, ssh
from pideploy.lab.state import Node

INCLUDE = b'Include "/home/me/.local/state/pideploy/labs/*/ssh_config"'
RED = Node("red", "10.89.0.10", "02:50:0a:59:00:0a", "pios-bookworm", "pi", "pideploy-red-red")


@given(st.binary(max_size=200))
def test_include_goes_in_and_out_without_a_trace(text: bytes) -> None:
    with_it = ssh.with_include(text, INCLUDE, made=False)
    assert with_it.splitlines()[1] == INCLUDE
    assert with_it.endswith(text)
    assert ssh.with_include(with_it, INCLUDE, made=False) == with_it
    assert ssh.without_include(with_it, INCLUDE) == text


def test_two_state_folders_have_an_include_each() -> None:
    other = b'Include "/tmp/other/labs/*/ssh_config"'
    both = ssh.with_include(ssh.with_include(b"Host a\n", INCLUDE, made=False), other, made=False)
    assert ssh.without_include(both, INCLUDE) == ssh.with_include(b"Host a\n", other, made=False)


def test_an_unmarked_include_is_the_users_own() -> None:
    text = b"Host a\n" + INCLUDE + b"\n"
    assert ssh.without_include(text, INCLUDE) == text


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PIDEPLOY_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "home" / ".ssh" / "config"


def test_a_file_that_was_not_there_is_made_private_and_goes(home: Path) -> None:
    ssh.add_include(home)
    assert (home.stat().st_mode & 0o777, home.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    ssh.add_include(home)
    assert len(home.read_text().splitlines()) == 2
    ssh.remove_include(home)
    assert not home.exists()


def test_what_others_wrote_meanwhile_stays(home: Path) -> None:
    ssh.add_include(home)
    home.write_bytes(home.read_bytes() + b"Host nas\r\n  User me\r\n")
    ssh.remove_include(home)
    assert home.read_bytes() == b"Host nas\r\n  User me\r\n"


def test_mode_and_link_are_kept(home: Path, tmp_path: Path) -> None:
    dotfiles = tmp_path / "dotfiles"
    dotfiles.write_text("Host nas\n")
    dotfiles.chmod(0o644)
    home.parent.mkdir(parents=True)
    home.symlink_to(dotfiles)
    ssh.add_include(home)
    assert home.is_symlink()
    assert dotfiles.read_text().endswith("Host nas\n")
    ssh.remove_include(home)
    assert (dotfiles.read_text(), dotfiles.stat().st_mode & 0o777, home.is_symlink()) == ("Host nas\n", 0o644, True)


def test_ssh_understands_the_fragment(home: Path, tmp_path: Path) -> None:
    """Also with blanks and percent signs in the path, and against a proxy that the user has for all hosts."""
    fragment = tmp_path / "config"
    fragment.write_text(ssh.fragment("re d%d", [RED]) + "\nHost *\n  ProxyJump bastion\n  User someone\n")
    for name in ("red", "10.89.0.10"):
        shown = subprocess.run(
            ["ssh", "-F", str(fragment), "-G", name], capture_output=True, text=True, check=True
        ).stdout
        lines = shown.splitlines()
        assert {"hostname 10.89.0.10", "user pi", "identitiesonly yes", "stricthostkeychecking true"} <= set(lines)
        assert f"identityfile {tmp_path}/state/labs/re d%%d/id_ed25519" in lines
        assert not any(line.startswith(("proxyjump", "proxycommand")) for line in lines)
    other = subprocess.run(["ssh", "-F", str(fragment), "-G", "nas"], capture_output=True, text=True, check=True).stdout
    assert "proxyjump bastion" in other


def test_host_patterns_follow_includes_and_leave_our_own_out(home: Path, tmp_path: Path) -> None:
    ours = tmp_path / "state" / "labs" / "x" / "ssh_config"
    ours.parent.mkdir(parents=True)
    ours.write_text("Host ours\n")
    home.parent.mkdir(parents=True)
    (home.parent / "conf.d").mkdir()
    (home.parent / "conf.d" / "a").write_text("Host=blue\n  User x\n")
    home.write_text(
        f'Include "{tmp_path}/state/labs/*/ssh_config"\nHost nas *.lan !x.lan\nInclude conf.d/*\nMatch host q\n'
    )
    patterns = list(ssh.host_patterns(home))
    assert patterns == [["nas", "*.lan", "!x.lan"], ["blue"]]
    assert [n for n in ("nas", "y.lan", "x.lan", "blue", "ours", "q") if ssh.has_entry(n, patterns)] == [
        "nas",
        "y.lan",
        "blue",
    ]
    assert not ssh.has_entry("red", [["*"]])


def test_host_keys_of_a_lab_that_is_gone_leave_the_clusters(home: Path, tmp_path: Path) -> None:
    known = tmp_path / "state" / "clusters" / "red" / "known_hosts"
    known.parent.mkdir(parents=True)
    known.write_text("red ssh-ed25519 AAAA1\nnas ssh-ed25519 AAAA2\n")
    ssh.forget_host_keys(["AAAA1"])
    assert known.read_text() == "nas ssh-ed25519 AAAA2\n"


@pytest.mark.parametrize(
    ("others", "patterns", "resolving", "message"),
    [
        ({"red": "old"}, [], set(), "lab 'old' has a host"),
        ({}, [["re?"]], set(), "has an entry"),
        ({}, [], {"red"}, "already resolves"),
    ],
)
def test_taken_names_are_refused(
    others: dict[str, str], patterns: list[list[str]], resolving: set[str], message: str
) -> None:
    with pytest.raises(PideployError, match=message) as error:
        hostnames.refuse_taken(["blue", "red"], others, patterns, resolving.__contains__)
    assert error.value.hosts == ("red",)
    hostnames.refuse_taken(["blue"], others, patterns, resolving.__contains__)


@pytest.mark.parametrize("text", ["pi@red", "10.0.0.1", "red:22", "Red_1", "-red", "[fe80::1]"])
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(PideployError, match="cannot be the name"):
        hostnames.expand(text)


def test_names_are_expanded_once_each() -> None:
    assert hostnames.expand("red,red[01-02],red01") == ["red", "red01", "red02"]
    with pytest.raises(PideployError, match="more than a lab holds"):
        hostnames.expand("red[001-300]")
