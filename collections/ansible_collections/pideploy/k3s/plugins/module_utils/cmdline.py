# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Add arguments to the kernel's command line in the live boot file; what is there stays byte for byte.

The Pi's firmware puts ``cgroup_disable=memory`` in front of the file's text and the kernel takes the last word, so
``cgroup_enable=memory`` in the file wins (raspberrypi/linux#6980). A literal ``cgroup_disable=`` of a needed controller
in the file is taken out.
"""

from __future__ import annotations

import glob
import os
import re
from typing import Iterable, List, Sequence, Tuple

from ansible_collections.pideploy.k3s.plugins.module_utils import bootfile, files
from ansible_collections.pideploy.k3s.plugins.module_utils.edits import Edit

__metaclass__ = type

# A word of a command line: blanks inside double quotes do not end it.
_WORD = re.compile(r'(?:"[^"]*"?|[^\s"])+')
_GRUB_HEADER = "# Written by pideploy. Delete this file and run update-grub to undo.\n"


class CmdlineError(Exception):
    """The boot file cannot be edited. ``hint`` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def words(line: str) -> List[str]:
    """Split a command line as the kernel does (double quotes keep blanks)."""
    return _WORD.findall(line)


def asked(line: str, wanted: Sequence[str]) -> bool:
    """Whether a command line holds all wanted arguments, and takes none back after them."""
    present = words(line)
    for word in wanted:
        if word not in present:
            return False
        key, _equals, name = word.partition("=")
        if key == "cgroup_enable":
            last = len(present) - 1 - present[::-1].index(word)
            if any(name in _disabled(later) for later in present[last + 1:]):
                return False
    return True


def can_enable(controller: str, wanted: Sequence[str], running: str) -> bool:
    """Whether the wanted arguments can bring a controller: they name it, or the running kernel was told to leave it."""
    named = "cgroup_enable=" + controller in wanted or (controller == "memory" and "cgroup_memory=1" in wanted)
    return named or any(controller in _disabled(word) for word in words(running))


def _disabled(word: str) -> List[str]:
    return word[len("cgroup_disable="):].split(",") if word.startswith("cgroup_disable=") else []


def edit_line(line: str, wanted: Sequence[str], controllers: Iterable[str]) -> str:
    """Return a line (no newline in it) with the wanted arguments, and no ``cgroup_disable=`` of the controllers.

    Arguments after a lone ``--`` are the init process's, so new ones go in front of it.
    """
    unwanted = set(controllers)
    for match in reversed(list(_WORD.finditer(line))):
        names = _disabled(match.group())
        kept = [name for name in names if name not in unwanted]
        if len(kept) == len(names):
            continue
        if kept:
            line = line[:match.start()] + "cgroup_disable=" + ",".join(kept) + line[match.end():]
        else:
            rest = line[match.end():]
            gap = len(rest) - len(rest.lstrip(" \t"))
            # Take one gap away with the word: the one after it, or at the end of the line the one before it.
            line = line[:match.start()] + rest[gap:] if rest[gap:] else line[:match.start()].rstrip(" \t") + rest[gap:]
    missing = [word for word in wanted if word not in words(line)]
    if not missing:
        return line
    init = re.search(r"(?:(?<=\s)|^)--(?=\s|$)", line)
    if init:
        return line[:init.start()] + " ".join(missing) + " " + line[init.start():]
    body = line.rstrip(" \t")
    return body + (" " if body else "") + " ".join(missing) + line[len(body):]


def edit_cmdline_txt(text: str, wanted: Sequence[str], controllers: Iterable[str]) -> str:
    """Return ``cmdline.txt`` with the wanted arguments on its only line.

    The firmware reads the first line alone. Where somebody appended more lines, their arguments are taken into the
    first one, but none whose name is set there already: a leftover ``root=`` must not come alive.

    :raises CmdlineError: the file is empty.
    """
    lines = text.splitlines()
    filled = [line for line in lines if line.strip()]
    if not filled:
        raise CmdlineError("the boot file is empty", "restore it from a backup: this machine would not boot")
    first = filled[0]
    if len(filled) == 1 and lines[0] == first:
        return edit_line(first, wanted, controllers) + text[len(first):]
    names = {word.partition("=")[0] for word in words(first)}
    extra = [word for line in filled[1:] if not line.lstrip().startswith("#") for word in words(line)
             if word.partition("=")[0] not in names or word.startswith("cgroup_")]
    line = " ".join([first.strip()] + [w for w in dict.fromkeys(extra) if w not in words(first)])
    return edit_line(line, wanted, controllers) + "\n"


def edit_extlinux(text: str, wanted: Sequence[str], controllers: Iterable[str]) -> str:
    """Return ``extlinux.conf`` with the arguments on the APPEND line of the default label; others stay.

    :raises CmdlineError: there is no such line.
    """
    lines = text.splitlines(keepends=True)
    index, start = _append_line(lines)
    line = lines[index]
    ending = line[len(line.rstrip("\r\n")):]
    lines[index] = line[:start] + edit_line(line[start:len(line) - len(ending)], wanted, controllers) + ending
    return "".join(lines)


def _append_line(lines: Sequence[str]) -> Tuple[int, int]:
    """Return the index of the default label's APPEND line and where its arguments start."""
    default, label = "", ""
    labels: List[str] = []
    found = {}
    for index, line in enumerate(lines):
        match = re.match(r"\s*(default|label|append)\s+(?=\S)", line, re.IGNORECASE)
        if not match:
            continue
        keyword, rest = match.group(1).lower(), line[match.end():].strip()
        if keyword == "default":
            default = rest
        elif keyword == "label":
            label = rest
            labels.append(rest)
        else:
            found[label] = (index, match.end())
    default = default if default in labels else (labels[0] if labels else "")
    if default not in found:
        raise CmdlineError("%s has no APPEND line in its default label '%s'" % (bootfile.EXTLINUX, default),
                           "add the line APPEND ${cbootargs} to that label and run again")
    return found[default]


def _grub_edits(root: str, wanted: Sequence[str], controllers: Iterable[str]) -> List[Edit]:
    edits = []
    paths = [bootfile.GRUB_DEFAULT]
    folder = files.below(root, os.path.dirname(bootfile.GRUB_DROPIN))
    paths += [os.path.dirname(bootfile.GRUB_DROPIN) + "/" + os.path.basename(p)
              for p in sorted(glob.glob(os.path.join(folder, "*.cfg")))]
    present: List[str] = []
    for path in paths:
        if path == bootfile.GRUB_DROPIN:
            continue
        before = files.read_text(root, path) or ""
        after = re.sub(
            r"^(\s*GRUB_CMDLINE_LINUX(?:_DEFAULT)?=)([\"'])(.*)\2",
            lambda m: m.group(1) + m.group(2) + edit_line(m.group(3), (), controllers) + m.group(2),
            before, flags=re.MULTILINE)
        for match in re.finditer(r"^\s*GRUB_CMDLINE_LINUX(?:_DEFAULT)?=[\"']?(.*?)[\"']?\s*$", after, re.MULTILINE):
            present += words(match.group(1))
        if after != before:
            edits.append(Edit(path, before, after))
    before_dropin = files.read_text(root, bootfile.GRUB_DROPIN)
    own = re.search(r'^GRUB_CMDLINE_LINUX="\$GRUB_CMDLINE_LINUX (.*)"$', before_dropin or "", re.MULTILINE)
    former = words(own.group(1)) if own else []
    missing = [word for word in wanted if word not in present + former]
    if missing:
        after = _GRUB_HEADER + 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX %s"\n' % " ".join(former + missing)
        edits.append(Edit(bootfile.GRUB_DROPIN, before_dropin, after))
    return edits


def plan(root: str, boot: bootfile.Boot, wanted: Sequence[str], controllers: Iterable[str]) -> List[Edit]:
    """Return the edits that make the next boot ask for the wanted arguments; an empty list when it does already.

    :raises CmdlineError: nothing can be edited here (network boot, unmounted boot partition, empty file, …).
    """
    controllers = list(controllers)
    if boot.error:
        raise CmdlineError(boot.error, boot.hint)
    if boot.layout == "grub":
        return _grub_edits(root, wanted, controllers)
    edit = edit_extlinux if boot.layout == "extlinux" else edit_cmdline_txt
    edits = []
    for path in boot.files:
        before = files.read_text(root, path) or ""
        after = edit(before, wanted, controllers)
        if after != before:
            edits.append(Edit(path, before, after))
    return edits


def grub_is_stale(root: str, wanted: Sequence[str]) -> bool:
    """Whether ``grub.cfg`` boots a kernel without the wanted arguments, though its sources ask for them."""
    lines = [line for line in (files.read_text(root, bootfile.GRUB_CFG) or "").splitlines()
             if re.match(r"\s*linux(16|efi)?\s", line)]
    return any(not asked(line, wanted) for line in lines)
