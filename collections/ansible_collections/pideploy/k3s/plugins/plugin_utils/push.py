# SPDX-FileCopyrightText: 2026 The pideploy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Push big files over an open connection, in pieces, so that a push that breaks goes on where it stopped.

Ansible's ``copy`` hashes and transfers through SFTP and takes twice the time of what ``ssh host 'cat >> file'`` takes.
This is that ``cat``, as the connection's own user and without become; root takes the file over afterwards.
"""

from __future__ import annotations

import dataclasses
import os
import shlex
import time
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.module_utils.common.text.converters import to_text

from ansible_collections.pideploy.k3s.plugins.module_utils.artifacts import ArtifactError

__metaclass__ = type

CHUNK = 16 * 1024 * 1024  # bytes in memory for each host that is served at the same time
FAILURES = 3  # breaks in a row, without a byte gained, before the host counts as unreachable
_MARK = "pideploy-incoming "


@dataclasses.dataclass
class Incoming:
    """The node's folder for pushed files: its path, what lies there (bytes by name), and the file systems' free bytes.

    ``mounts`` tells for each asked path the mount point of its file system.
    """

    path: str
    sizes: dict[str, int]
    mounts: dict[str, str]
    free: dict[str, int]


def _run(connection: Any, script: str, in_data: bytes | None = None) -> str:
    """Run a line of shell as the connection's user, whatever that user's own shell is; return what it printed.

    :raises ArtifactError: it failed. :raises AnsibleConnectionFailure: the connection broke.
    """
    code, out, err = connection.exec_command("/bin/sh -c " + shlex.quote(script), in_data=in_data, sudoable=False)
    if code != 0:
        text = to_text(err).strip() or to_text(out).strip() or "exit code %d" % code
        raise ArtifactError("the node refused the file: %s" % text.splitlines()[-1],
                            "The user who logs in must be able to write to ~/.pideploy there.")
    return str(to_text(out))


def look(connection: Any, names: list[str], targets: list[str]) -> Incoming:
    """Make the incoming folder (0700), sweep out other versions' leftovers, and look how much is there already.

    ``targets`` are the paths where the files will end; their file systems' free space is looked at as well.
    """
    keep = " ".join(names)
    lines = [
        'umask 077; d="$HOME/.pideploy/incoming"; mkdir -p "$d" && cd "$d" || exit 1',
        f'echo "{_MARK}path $(pwd -P)"',
        f'for f in *.part; do case " {keep} " in *" $f "*) echo "{_MARK}size $f $(wc -c < "$f")";;'
        ' *) rm -f -- "$f";; esac; done 2>/dev/null',
        f'for t in . {" ".join(shlex.quote(target) for target in targets)}; do p=$t;'
        ' while [ ! -d "$p" ]; do p=$(dirname "$p"); done;'
        f' echo "{_MARK}df $t $(df -Pk "$p" | tail -n 1)"; done',
    ]
    found = Incoming("", {}, {}, {})
    for line in _run(connection, "; ".join(lines)).splitlines():
        if not line.startswith(_MARK):
            continue  # what the user's shell start-up prints
        word, _space, rest = line[len(_MARK):].partition(" ")
        fields = rest.split()
        if word == "path":
            found.path = rest
        elif word == "size" and len(fields) == 2:
            found.sizes[fields[0]] = int(fields[1])
        elif word == "df" and len(fields) >= 7 and fields[4].isdigit():
            target, mount = fields[0], " ".join(fields[6:])
            found.mounts[target], found.free[mount] = mount, int(fields[4]) * 1024
    if not found.path:
        raise ArtifactError("the node did not answer as a Linux shell does", "Can the user log in with a shell?")
    return found


def push(connection: Any, source: str, incoming: Incoming, name: str, chunk: int = CHUNK, pause: float = 2.0) -> int:
    """Bring ``source`` to ``incoming.path/name``; return how many bytes were missing there.

    :raises AnsibleConnectionFailure: the connection broke several times in a row; what arrived stays.
    :raises ArtifactError: the node cannot write the file.
    """
    size = os.path.getsize(source)
    if not getattr(connection, "has_pipelining", False) or connection.transport == "local":
        if incoming.sizes.get(name) != size:
            connection.put_file(source, os.path.join(incoming.path, name))
            return size
        return 0
    start = offset = min(incoming.sizes.get(name, 0), size)
    failures = 0
    broken = False
    folder, quoted = shlex.quote(incoming.path), shlex.quote(name)
    with open(source, "rb") as handle:
        while offset < size:
            try:
                if broken:
                    before, offset = offset, _arrived(connection, incoming.path, name, size)
                    failures = 0 if offset > before else failures
                    broken = False
                handle.seek(offset)
                data = handle.read(chunk)
                # truncate makes a repeated piece harmless: Ansible's ssh plugin may retry by itself
                _run(connection, f"umask 077; cd {folder} && truncate -s {offset} {quoted} && cat >> {quoted}", data)
                offset += len(data)
                failures = 0
            except AnsibleConnectionFailure:
                failures += 1
                if failures >= FAILURES:
                    raise
                broken = True
                time.sleep(pause * failures)
    return size - start


def _arrived(connection: Any, folder: str, name: str, size: int) -> int:
    """How much of a file is on the node after a break."""
    text = _run(connection, f'cd {shlex.quote(folder)} && echo "{_MARK}$(wc -c < {shlex.quote(name)} || echo 0)"')
    marks = [line[len(_MARK):].strip() for line in text.splitlines() if line.startswith(_MARK)]
    return min(int(marks[-1]), size) if marks and marks[-1].isdigit() else 0


def read_text(connection: Any, path: str) -> str:
    """A world-readable file of the node; empty where there is none."""
    text = _run(connection, f'echo "{_MARK}"; cat {shlex.quote(path)} 2>/dev/null || true')
    return text.partition(_MARK)[2]
