# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""Put a cluster's kubeconfig into the user's own, and take it out again.

The user's file is ``$KUBECONFIG`` (its first entry) or ``~/.kube/config``. Cluster, user and context are named after
the cluster and carry a mark of pideploy, so that nothing that somebody else made is ever replaced or removed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from pideploy.errors import PideployError
from pideploy.state import write_private

BACKUP_SUFFIX: Final = ".pideploy.bak"
_MARK: Final = "pideploy"
_KINDS: Final = ("clusters", "users", "contexts")


@dataclass(frozen=True)
class Merged:
    """What a merge did: the file, its context, whether that is the current one, and the copy of the former file."""

    path: Path
    context: str
    current: bool
    changed: bool
    backup: Path | None


def user_file() -> Path:
    """The user's kubeconfig, by kubectl's rules."""
    listed = [p for p in os.environ.get("KUBECONFIG", "").split(os.pathsep) if p]
    return Path(listed[0]).expanduser() if listed else Path.home() / ".kube" / "config"


def merge(source: Path, cluster: str, target: Path | None = None) -> Merged:
    """Put the one cluster of ``source`` into ``target`` (default: the user's file) under the cluster's name.

    A context becomes the current one only where there was none.

    :raises PideployError: a file cannot be read, or ``target`` has an entry of that name that is not pideploy's.
    """
    own = _entries(source, cluster)
    path = _real(target)
    with _locked(path):
        config, before = _load(path)
        for kind, entry in own.items():
            others = []
            for item in config[kind]:
                if item.get("name") != cluster:
                    others.append(item)
                elif not _is_ours(item, kind, config):
                    raise PideployError(
                        "kubeconfig",
                        f"{path} has {kind} '{cluster}' that pideploy did not put there",
                        hint=f"rename it, or keep them apart: KUBECONFIG={source} kubectl get nodes",
                    )
            config[kind] = [*others, entry]
        config["current-context"] = config.get("current-context") or cluster
        changed, backup = _save(path, config, before)
    return Merged(path, cluster, config["current-context"] == cluster, changed, backup)


def remove(cluster: str, target: Path | None = None) -> bool:
    """Take a cluster out of ``target`` (default: the user's file); whether it held anything of ours.

    :raises PideployError: the file cannot be read or written.
    """
    path = _real(target)
    if not path.exists():
        return False
    with _locked(path):
        config, before = _load(path)
        for kind in _KINDS:
            ours = [i for i in config[kind] if i.get("name") == cluster and _is_ours(i, kind, config)]
            config[kind] = [i for i in config[kind] if i not in ours]
        if config.get("current-context") == cluster and not any(c["name"] == cluster for c in config["contexts"]):
            config["current-context"] = ""
        return _save(path, config, before)[0]


def _entries(source: Path, cluster: str) -> dict[str, dict[str, Any]]:
    config, _ = _load(source)
    try:
        server, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    except (LookupError, TypeError) as exc:
        raise PideployError("kubeconfig", f"{source} holds no cluster and user", hint="fetch it again") from exc
    mark = [{"name": _MARK, "extension": {"cluster": cluster}}]
    return {
        "clusters": {"name": cluster, "cluster": {**server, "extensions": mark}},
        "users": {"name": cluster, "user": user},
        "contexts": {"name": cluster, "context": {"cluster": cluster, "user": cluster, "extensions": mark}},
    }


def _is_ours(item: dict[str, Any], kind: str, config: dict[str, Any]) -> bool:
    """Whether pideploy made an entry. Users have no place for a mark: theirs is the mark of the cluster's context."""
    if kind == "users":
        return any(_is_ours(c, "contexts", config) for c in config["contexts"] if c.get("name") == item["name"])
    marks = (item.get(kind[:-1]) or {}).get("extensions") or []
    return any(isinstance(m, dict) and m.get("name") == _MARK for m in marks)


def _load(path: Path) -> tuple[dict[str, Any], str]:
    text = ""
    with contextlib.suppress(FileNotFoundError):
        try:
            text = path.read_text()
        except (PermissionError, IsADirectoryError, UnicodeDecodeError) as exc:
            raise PideployError("kubeconfig", f"cannot read {path}: {exc}") from exc
    try:
        config = yaml.safe_load(text) or {}
    except yaml.YAMLError as exc:
        where = " ".join(str(exc).split())
        raise PideployError("kubeconfig", f"{path} is not YAML: {where}", hint="mend it or move it away") from exc
    shape = isinstance(config, dict) and all(isinstance(config.get(k) or [], list) for k in _KINDS)
    if not shape or not all(isinstance(i, dict) for k in _KINDS for i in config.get(k) or []):
        raise PideployError("kubeconfig", f"{path} is no kubeconfig", hint="mend it or move it away")
    base = {"apiVersion": "v1", "kind": "Config", "preferences": {}, "current-context": ""}
    return {**base, **config, **{k: config.get(k) or [] for k in _KINDS}}, text


def _save(path: Path, config: dict[str, Any], before: str) -> tuple[bool, Path | None]:
    if before and {**config} == _load(path)[0]:
        return False, None
    try:
        backup = None
        if before:
            backup = path.with_name(path.name + BACKUP_SUFFIX)
            write_private(backup, before)
        write_private(path, yaml.safe_dump(config, sort_keys=False))
    except OSError as exc:
        raise PideployError("kubeconfig", f"cannot write {path}: {exc.strerror}") from exc
    return True, backup


def _real(target: Path | None) -> Path:
    """The file behind a link, so that the link stays one."""
    return Path(os.path.realpath(target or user_file()))


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """kubectl's own lock on a kubeconfig: a file that only one program can create."""
    lock = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(lock, os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError as exc:
        raise PideployError(
            "kubeconfig", f"another program is changing {path}", hint=f"if none is, delete {lock}"
        ) from exc
    except OSError as exc:
        raise PideployError("kubeconfig", f"cannot write beside {path}: {exc.strerror}") from exc
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
