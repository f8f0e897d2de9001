# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""How ssh finds the virtual Pis: a fragment a lab, and a marked Include at the top of the user's configuration."""

from __future__ import annotations

import fnmatch
import os
import pwd
import shlex
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ansible_collections.pideploy.k3s.plugins.module_utils import paths
from pideploy.errors import PideployError
from pideploy.lab.state import Node, folder, labs_folder, write_atomic

_MARK = b"# virtual Pis of pideploy; 'pideploy lab down' removes these two lines"
_MADE = b" and this file"
SYSTEM_CONFIG = Path("/etc/ssh/ssh_config")


def user_config() -> Path:
    """Return the file that ssh reads for this user: it goes by the account's home, not by $HOME."""
    return Path(pwd.getpwuid(os.getuid()).pw_dir, ".ssh", "config")


def _quoted(path: Path) -> str:
    return '"' + str(path).replace("%", "%%") + '"'


def fragment(lab: str, nodes: Sequence[Node]) -> str:
    """Return a lab's ssh configuration. A proxy that the user has for all hosts is not for these."""
    home = folder(lab)
    blocks = [
        f"Host {node.name} {node.address}\n"
        f"  HostName {node.address}\n"
        f"  User {node.user}\n"
        f"  IdentityFile {_quoted(home / 'id_ed25519')}\n"
        "  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {_quoted(home / 'known_hosts')}\n"
        "  StrictHostKeyChecking yes\n"
        "  ProxyJump none\n"
        for node in nodes
    ]
    return f"# Lab '{lab}' of pideploy: virtual Pis.\n" + "\n".join(blocks)


def make_key(lab: str) -> str:
    """Make the lab's own key pair where there is none and return the public key."""
    key = folder(lab) / "id_ed25519"
    if not key.exists():
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"pideploy-lab-{lab}", "-f", str(key)]
        try:
            subprocess.run(argv, capture_output=True, text=True, check=True)
        except (FileNotFoundError, subprocess.CalledProcessError) as exc:
            raise PideployError(
                "lab_ssh",
                f"ssh-keygen: {getattr(exc, 'stderr', None) or exc}",
                hint="sudo apt-get install openssh-client",
            ) from exc
    return key.with_suffix(".pub").read_text().strip()


def _include() -> bytes:
    return os.fsencode(f'Include "{labs_folder()}/*/ssh_config"')


def with_include(text: bytes, include: bytes, *, made: bool) -> bytes:
    """Return an ssh configuration that starts with the marked Include; unchanged where it has it.

    ``made``: the file did not exist before, and goes with its last line.
    """
    if include in text.splitlines():
        return text
    return _MARK + (_MADE if made else b"") + b"\n" + include + b"\n" + text


def without_include(text: bytes, include: bytes) -> bytes | None:
    """Return the configuration without the marked Include; None: the file was ours and nothing else is in it."""
    lines = text.splitlines(keepends=True)
    for index, line in enumerate(lines[1:]):
        if line.rstrip(b"\r\n") == include and lines[index].startswith(_MARK):
            rest = b"".join(lines[:index] + lines[index + 2 :])
            return None if not rest and lines[index].rstrip(b"\r\n").endswith(_MADE) else rest
    return text


def add_include(config: Path | None = None) -> None:
    """Make the user's ssh configuration read the labs' fragments."""
    config = config or user_config()
    exists = config.exists()
    if not config.parent.exists():
        config.parent.mkdir(mode=0o700, parents=True)
    before = config.read_bytes() if exists else b""
    after = with_include(before, _include(), made=not exists)
    if after != before:
        write_atomic(config, after, config.stat().st_mode & 0o777 if exists else 0o600)


def remove_include(config: Path | None = None) -> None:
    """Take the marked Include out again; everything else stays byte for byte."""
    config = config or user_config()
    if not config.exists():
        return
    before = config.read_bytes()
    after = without_include(before, _include())
    if after is None:
        config.resolve().unlink()
    elif after != before:
        write_atomic(config, after, config.stat().st_mode & 0o777)


def host_patterns(config: Path, depth: int = 0) -> Iterator[list[str]]:
    """Yield the patterns of each Host line in an ssh configuration and in what it includes, our own files left out."""
    if depth > 8 or not config.is_file():
        return
    try:
        lines = config.read_text(errors="replace").splitlines()
    except PermissionError:
        return
    for line in lines:
        try:
            words = shlex.split(line.replace("=", " ", 1) if "=" in line.split(" ")[0] else line, comments=True)
        except ValueError:
            continue
        if len(words) < 2:
            continue
        if words[0].lower() == "host":
            yield words[1:]
        elif words[0].lower() == "include":
            for word in words[1:]:
                pattern = Path(word).expanduser()
                base = config.parent if config.parent != SYSTEM_CONFIG.parent else SYSTEM_CONFIG.parent
                pattern = pattern if pattern.is_absolute() else base / pattern
                for path in sorted(Path("/").glob(str(pattern).lstrip("/"))):
                    if not path.is_relative_to(labs_folder()):
                        yield from host_patterns(path, depth + 1)


def has_entry(name: str, patterns: Iterable[list[str]]) -> bool:
    """Tell whether a Host line is about this name. A bare ``*`` is about no host in particular."""
    for words in patterns:
        wanted = [w for w in words if not w.startswith("!") and w != "*"]
        refused = [w[1:] for w in words if w.startswith("!")]
        if any(fnmatch.fnmatchcase(name, w) for w in wanted) and not any(fnmatch.fnmatchcase(name, w) for w in refused):
            return True
    return False


def forget_host_keys(keys: Iterable[str]) -> None:
    """Drop the keys of machines that are gone from the clusters' known_hosts: the next lab's machines have new ones."""
    gone = set(keys)
    for path in Path(paths.state_home(), "clusters").glob("*/known_hosts"):
        lines = path.read_bytes().splitlines(keepends=True)
        kept = [
            line for line in lines if not (line.split()[2:3] and line.split()[2].decode("ascii", "replace") in gone)
        ]
        if kept != lines:
            write_atomic(path, b"".join(kept))


def login_works(lab: str, host: str) -> bool:
    """Log in once, by key and with the host key that is known."""
    options = ["-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "-o", "LogLevel=ERROR", "-o", "ControlPath=none"]
    argv = ["ssh", "-F", str(folder(lab) / "ssh_config"), *options, host, "true"]
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0
