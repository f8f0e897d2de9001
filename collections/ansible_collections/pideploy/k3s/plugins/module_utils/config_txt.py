# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Raspberry Pi firmware's ``config.txt``: which value of a setting counts on this board at the next boot.

Sections are conditional filters. A filter replaces the one of its own kind, filters of different kinds add up, and
``[all]`` takes all of them back (raspberrypi/documentation, config_txt/conditional.adoc).
"""

from __future__ import annotations

import re
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

__metaclass__ = type

# Model name in the device tree -> every model filter that the board answers to.
_MODELS = (
    (r"Zero 2", ("pi0", "pi0w", "pi02")),
    (r"Zero W", ("pi0", "pi0w")),
    (r"Zero", ("pi0",)),
    (r"Compute Module 5|Pi 500", ("pi5",)),
    (r"Pi 5\b", ("pi5",)),
    (r"Compute Module 4S", ("pi4", "cm4s")),
    (r"Compute Module 4", ("pi4", "cm4")),
    (r"Pi 400", ("pi4", "pi400")),
    (r"Pi 4\b", ("pi4",)),
    (r"Compute Module 3", ("pi3",)),
    (r"Pi 3 Model [AB] Plus|Pi 3 Model [AB]\+", ("pi3", "pi3+")),
    (r"Pi 3\b", ("pi3",)),
    (r"Pi 2\b", ("pi2",)),
    (r"Compute Module|Pi Model [AB]", ("pi1",)),
)
_OWN_FILTERS = {"Compute Module 5": ("cm5",), "Pi 500": ("pi500",)}
_MODEL_FILTER = re.compile(r"(pi|cm)\d", re.IGNORECASE)
_MAX_INCLUDES = 8


class Board(NamedTuple):
    """What the filters ask about: device-tree model, serial (16 hex digits), and whether this is a trial boot."""

    model: str = ""
    serial: str = ""
    tryboot: bool = False


class Undecided(Exception):
    """The setting stands below a filter (a GPIO, a monitor, …) whose state nobody knows before the boot."""


def _models(model: str) -> Tuple[str, ...]:
    for pattern, names in _MODELS:
        if re.search(pattern, model):
            extra = tuple(name for text, own in _OWN_FILTERS.items() if text in model for name in own)
            return names + extra
    return ()


def _judge(section: str, board: Board) -> Tuple[str, Optional[bool]]:
    """Return a filter's kind and whether it holds (None: cannot be known here)."""
    name = section.strip().lower()
    if name == "none":
        return "none", False
    if name == "tryboot":
        return "tryboot", board.tryboot
    if _MODEL_FILTER.match(name):
        models = _models(board.model)
        return "model", name in models if models else None
    if name.startswith("0x"):
        if not board.serial:
            return "serial", None
        try:
            return "serial", int(name, 16) & 0xFFFFFFFF == int(board.serial, 16) & 0xFFFFFFFF
        except ValueError:
            return "serial", None
    return re.split(r"[=:\d]", name)[0], None


def value(
    text: str, key: str, board: Board, read: Optional[Callable[[str], Optional[str]]] = None
) -> Optional[str]:
    """Return the value of one key that counts on this board, or None where it is not set.

    ``read`` returns the text of an ``include``d file, or None.

    :raises Undecided: a later line below a filter that cannot be known here would change it.
    """
    known, undecided = _parse(text, board, read).get(key, (None, None))
    if undecided is not None:
        raise Undecided("config.txt sets %s= in section [%s], and whether that holds is known only while booting"
                        % (key, undecided))
    return known


def _parse(
    text: str, board: Board, read: Optional[Callable[[str], Optional[str]]]
) -> Dict[str, Tuple[Optional[str], Optional[str]]]:
    found: Dict[str, Tuple[Optional[str], Optional[str]]] = {}
    filters: Dict[str, Tuple[Optional[bool], str]] = {}
    queue: List[str] = text.splitlines()
    includes = 0
    while queue:
        line = queue.pop(0).strip()
        if not line or line.startswith("#"):
            continue
        section = re.match(r"\[(.+)\]$", line)
        if section:
            if section.group(1).strip().lower() == "all":
                filters = {}
            else:
                kind, holds = _judge(section.group(1), board)
                filters[kind] = (holds, section.group(1))
            continue
        states = [holds for holds, _name in filters.values()]
        if False in states:
            continue
        include = re.match(r"include\s+(\S+)$", line)
        if include:
            includes += 1
            if read is not None and includes <= _MAX_INCLUDES:
                queue[:0] = (read(include.group(1)) or "").splitlines()
            continue
        key, equals, setting = line.partition("=")
        if not equals:
            continue
        key = key.strip()
        if None in states:
            unknown = [name for holds, name in filters.values() if holds is None]
            if setting.strip() != (found.get(key, (None, None))[0] or ""):
                found[key] = (found.get(key, (None, None))[0], unknown[0])
        else:
            found[key] = (setting.strip(), None)
    return found
