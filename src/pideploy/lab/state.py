# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""What is known about labs on this machine: one private folder a lab, with its description, key and host keys."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from ansible_collections.pideploy.k3s.plugins.module_utils import paths
from pideploy.errors import PideployError


@dataclass(frozen=True)
class Node:
    """One virtual Pi: the name it has in the lab, where it is reached, as whom."""

    name: str
    address: str
    mac: str
    flavour: str
    user: str
    container: str


def labs_folder() -> Path:
    """Return the folder of all labs' state."""
    return Path(paths.state_home(), "labs")


def folder(lab: str) -> Path:
    """Return one lab's state folder."""
    return labs_folder() / lab


def names() -> list[str]:
    """Return the labs that have a state folder."""
    return sorted(path.parent.name for path in labs_folder().glob("*/lab.json"))


@dataclass(frozen=True)
class Description:
    """A lab as it is written down. ``sudo`` is ``nopasswd`` or ``password``; ``password`` the login users' own."""

    name: str
    engine: str
    subnet: str
    sudo: str
    password: str
    nodes: tuple[Node, ...]

    def save(self) -> None:
        """Write it, with mode 0600 and as a whole."""
        paths.make_private(str(folder(self.name)))
        write_atomic(folder(self.name) / "lab.json", (json.dumps(asdict(self), indent=2) + "\n").encode())


def load(lab: str) -> Description:
    """Read a lab's description.

    :raises PideployError: there is none, or it cannot be read.
    """
    path = folder(lab) / "lab.json"
    try:
        data = json.loads(path.read_text())
        data["nodes"] = tuple(Node(**node) for node in data["nodes"])
        return Description(**data)
    except FileNotFoundError as exc:
        known = ", ".join(names()) or "none"
        raise PideployError("usage", f"there is no lab '{lab}' (labs: {known})", hint="pideploy lab list") from exc
    except (OSError, ValueError, TypeError, KeyError) as exc:
        raise PideployError("lab_state", f"{path} cannot be read: {exc}", hint=f"pideploy lab down {lab}") from exc


def write_atomic(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace a file as a whole, by way of a temporary name; a link is followed, so that it stays a link.

    :raises OSError: no space or no permission; the old file is then untouched.
    """
    path = path.resolve()
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
