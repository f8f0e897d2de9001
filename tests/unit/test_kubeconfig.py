# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from pideploy import kubeconfig
from pideploy.errors import PideployError


def text(server: str = "https://10.0.0.1:6443", name: str = "default") -> str:
    """A kubeconfig in the shape that k3s writes."""
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority-data": "Q0E="}}],
            "users": [{"name": name, "user": {"client-certificate-data": "Q1JU", "client-key-data": "S0VZ"}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "current-context": name,
        }
    )


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "fetched"
    path.write_text(text())
    return path


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "home" / ".kube" / "config"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    return path


def load(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(path.read_text())
    return data


def names(path: Path) -> dict[str, list[str]]:
    return {kind: [i["name"] for i in load(path)[kind]] for kind in ("clusters", "users", "contexts")}


def test_into_no_file(source: Path, target: Path) -> None:
    merged = kubeconfig.merge(source, "red")
    assert (merged.path, merged.context, merged.current, merged.backup) == (target, "red", True, None)
    assert names(target) == {"clusters": ["red"], "users": ["red"], "contexts": ["red"]}
    found = load(target)
    assert found["contexts"][0]["context"]["user"] == "red"
    assert found["clusters"][0]["cluster"]["server"] == "https://10.0.0.1:6443"
    assert found["users"][0]["user"]["client-key-data"] == "S0VZ"
    assert found["current-context"] == "red"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [p.name for p in target.parent.iterdir()] == ["config"]


def test_others_stay_and_a_copy_is_kept(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True)
    before = text("https://elsewhere:6443", "work") + "preferences: {colors: true}\n"
    target.write_text(before)
    merged = kubeconfig.merge(source, "red")
    assert names(target) == {"clusters": ["work", "red"], "users": ["work", "red"], "contexts": ["work", "red"]}
    assert load(target)["current-context"] == "work"
    assert load(target)["preferences"] == {"colors": True}
    assert not merged.current
    assert merged.backup is not None
    assert merged.backup.read_text() == before
    assert stat.S_IMODE(merged.backup.stat().st_mode) == 0o600


def test_a_second_merge_changes_nothing(source: Path, target: Path) -> None:
    kubeconfig.merge(source, "red")
    before = target.stat()
    merged = kubeconfig.merge(source, "red")
    assert not merged.changed
    assert target.stat().st_mtime_ns == before.st_mtime_ns


def test_a_new_cluster_of_the_same_name_replaces_ours(source: Path, target: Path) -> None:
    kubeconfig.merge(source, "red")
    source.write_text(text("https://10.0.0.9:6443"))
    assert kubeconfig.merge(source, "red").changed
    assert load(target)["clusters"][0]["cluster"]["server"] == "https://10.0.0.9:6443"
    assert names(target)["clusters"] == ["red"]


def test_an_entry_that_is_not_ours_is_never_replaced(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True)
    target.write_text(text("https://elsewhere:6443", "red"))
    before = target.read_text()
    with pytest.raises(PideployError, match="clusters 'red' that pideploy did not put there"):
        kubeconfig.merge(source, "red")
    assert not kubeconfig.remove("red")
    assert target.read_text() == before
    assert [p.name for p in target.parent.iterdir()] == ["config"]


def test_remove(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True)
    target.write_text(text("https://elsewhere:6443", "work"))
    kubeconfig.merge(source, "red")
    config = load(target)
    config["current-context"] = "red"
    target.write_text(yaml.safe_dump(config))
    assert kubeconfig.remove("red")
    assert names(target) == {"clusters": ["work"], "users": ["work"], "contexts": ["work"]}
    assert load(target)["current-context"] == ""
    assert not kubeconfig.remove("red")


def test_remove_where_there_is_no_file(target: Path) -> None:
    assert not kubeconfig.remove("red")
    assert not target.parent.exists()


def test_the_first_file_of_kubeconfig(
    source: Path, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join(["", str(tmp_path / "one"), str(tmp_path / "two")]))
    assert kubeconfig.merge(source, "red").path == tmp_path / "one"
    assert not (tmp_path / "two").exists()
    assert not target.exists()


def test_a_link_stays_a_link(source: Path, target: Path, tmp_path: Path) -> None:
    real = tmp_path / "dotfiles" / "config"
    real.parent.mkdir()
    real.write_text(text("https://elsewhere:6443", "work"))
    target.parent.mkdir(parents=True)
    target.symlink_to(real)
    kubeconfig.merge(source, "red")
    assert target.is_symlink()
    assert names(real)["clusters"] == ["work", "red"]


def test_kubectls_lock_is_respected(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True)
    lock = target.with_name("config.lock")
    lock.touch()
    with pytest.raises(PideployError, match="another program is changing") as caught:
        kubeconfig.merge(source, "red")
    assert str(lock) in caught.value.hint
    assert lock.exists()


@pytest.mark.parametrize("broken", ["a: [", "- a list", "clusters: text", "users: [1]"])
def test_a_broken_file_is_not_touched(source: Path, target: Path, broken: str) -> None:
    target.parent.mkdir(parents=True)
    target.write_text(broken)
    with pytest.raises(PideployError) as caught:
        kubeconfig.merge(source, "red")
    assert str(target) in caught.value.message
    assert target.read_text() == broken
    assert [p.name for p in target.parent.iterdir()] == ["config"]


def test_an_empty_source(source: Path, target: Path) -> None:
    source.write_text("")
    with pytest.raises(PideployError, match="holds no cluster"):
        kubeconfig.merge(source, "red")
    assert not target.exists()
