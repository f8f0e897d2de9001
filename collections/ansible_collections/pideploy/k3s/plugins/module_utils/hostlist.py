# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: BSD-2-Clause
"""The hostlist grammar: ``red,red[01-02]`` to names (:func:`expand`) and back (:func:`fold`).

==================  ==================================  =====================================================
separator           ``red,blue`` ``red blue``           commas, blanks and newlines outside brackets
range               ``red[8-11]`` ``red[08-11]``        padded to the width of the low bound, as in cloudmesh
list                ``red[1,3-5,9]`` ``rack[a-d]``      numbers and single letters
step                ``red[1-9/2]`` ``red[1-9:2]``
repeated prefix     ``red[01-red02]``                   the same as ``red[01-02]``
several brackets    ``rack[1-2]node[01-02]``            the right-most counts fastest
exclusion           ``red[1-9,!5]`` ``red[1-9],!red5``  counts for the whole bracket, or the whole list
file                ``@racks/hosts.txt``                one or more hosts a line, ``#`` starts a comment
address             ``pi@red:22`` ``[fe80::1]:22``      user, port and IPv6 addresses are kept as they are
==================  ==================================  =====================================================

Order is kept and the first of several equal names stays: the first host is the first server. cloudmesh's
``Parameter.expand`` is a subset, including its ``local:a,b`` (``local:a``, ``local:b``). Different on purpose, where
cloudmesh damages names: blanks and newlines separate, and a port or an IPv6 address is never spread over other names.

Why own code: no library is a superset. python-hostlist (GPL, what cloudmesh wraps) knows no steps, letters or
exclusions and drops text after a newline; ClusterShell sorts, refuses ``[01-100]`` and ``[1-2][3-4]``, gives
``@ ! & ^`` other meanings and has no cap; LLNL's py-hostlist returns wrong lists. The first two are test oracles.
"""

from __future__ import annotations

import ipaddress
import os
import re
from typing import Iterable, Sequence

from ansible_collections.pideploy.k3s.plugins.module_utils.hostlist_bracket import (
    MAX_DIGITS,
    Bracket,
    HostlistError,
    Source,
)

__all__ = ["LIMIT", "HostlistError", "expand", "fold", "is_ipv6"]

LIMIT = 100_000
MAX_CHARACTERS = 8 << 20
_MAX_FILE_DEPTH = 8

_ITEM = re.compile(r"(?:[^\s,\[\]]|\[[^\[\]]*\])+")
_GAP = re.compile(r"[\s,]*")
_BRACKET = re.compile(r"\[([^\[\]]*)\]")
_FIELD = re.compile(r"(\[[^\]]*\]|[0-9]+)")
_COMMENT = re.compile(r"(?:^|(?<=[\s,]))#[^\n]*")


def is_ipv6(text: str) -> bool:
    """Say whether the text is an IPv6 address (without brackets; a zone such as ``%eth0`` is allowed)."""
    if text.count(":") < 2:
        return False
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def expand(text: str, *, files: bool = True, limit: int = LIMIT, folder: str = "") -> list[str]:
    """Return the names of a hostlist in the order written, each once.

    :param files: whether ``@file`` may be read (never for text that came over the network).
    :param limit: the most names, counted before anything is expanded and before duplicates are removed.
    :param folder: where relative ``@file`` paths start (default: the working directory).
    :raises HostlistError: with line, column and a hint.
    """
    kept, dropped = _read(Source(text, "", folder, 0, files), limit, limit)
    names = list(dict.fromkeys(kept))
    if dropped:
        known = set(names)
        for name, error in dropped.items():
            if name not in known:
                raise error
        names = [name for name in names if name not in dropped]
    if _spreads(names):
        prefix = names[0].split(":", 1)[0]
        names = list(dict.fromkeys([names[0]] + ["%s:%s" % (prefix, name) for name in names[1:]]))
    return names


def _spreads(names: Sequence[str]) -> bool:
    """cloudmesh's ``local:a,b``: only the first name has a colon, and what follows it is no port."""
    if len(names) < 2 or ":" not in names[0]:
        return False
    after = names[0].split(":", 1)[1]
    if after.isdigit() or "[" in names[0] or is_ipv6(names[0].rpartition("@")[2]):
        return False
    return not any(":" in name for name in names[1:])


def _read(source: Source, left: int, limit: int) -> tuple[list[str], dict[str, HostlistError]]:
    """Return the names of a text, and the names to take out with the error for one that is not there."""
    if len(source.text) > MAX_CHARACTERS:
        raise HostlistError("the hostlist has more than %d characters" % MAX_CHARACTERS)
    kept: list[str] = []
    dropped: dict[str, HostlistError] = {}
    text, position = source.text, 0
    while True:
        position = _GAP.match(text, position).end()  # type: ignore[union-attr]  # matches the empty text
        if position == len(text):
            return kept, dropped
        match = _ITEM.match(text, position)
        end = match.end() if match else position
        if end < len(text) and text[end] in "[]":
            raise _unbalanced(source, end)
        exclude = text[position] == "!"
        start = position + exclude
        if start == end:
            raise source.error("'!' names nothing to leave out", position, "Write it before a name: !red02")
        if text[start] == "@":
            names, inner = _read_file(source, start, text[start + 1 : end], left - len(kept), limit)
            if exclude:
                for name in inner:
                    raise source.error("'!@' cannot take a file that leaves out names itself ('!%s')" % name, position)
            dropped.update(inner)
        elif "[" in match.group():  # type: ignore[union-attr]
            names = _expand_item(source, start, end, left - len(kept), limit)
        else:
            names = [text[start:end]]
            if len(kept) >= left:
                raise _too_many(source, start, limit)
        if not exclude:
            kept.extend(names)
        else:
            for name in names:
                error = source.error("'!%s' leaves out a name that is not in the list" % name, position)
                dropped.setdefault(name, error)
        position = end


def _too_many(source: Source, offset: int, limit: int) -> HostlistError:
    return source.error("more than %d hosts" % limit, offset, "Check the bounds of the range, or split the list.")


def _unbalanced(source: Source, offset: int) -> HostlistError:
    if source.text[offset] == "]":
        return source.error("']' closes nothing", offset, "Remove it, or add the '[' that it belongs to.")
    following = re.compile(r"[\[\]]").search(source.text, offset + 1)
    if following and following.group() == "[":
        return source.error("brackets inside brackets", following.start(), "Close the first bracket before it.")
    return source.error("'[' is never closed", offset, "Add the ']'.")


def _read_file(
    source: Source, start: int, path: str, left: int, limit: int
) -> tuple[list[str], dict[str, HostlistError]]:
    if not source.files:
        raise source.error("files are not read here", start, "Write the names instead of '@%s'." % path)
    if not path:
        raise source.error("'@' names no file", start, "Write @hosts.txt, or user@host.")
    if source.depth >= _MAX_FILE_DEPTH:
        raise source.error("files that name files, %d deep" % _MAX_FILE_DEPTH, start, "Does a file name itself?")
    full = os.path.join(source.folder, os.path.expanduser(path))
    try:
        with open(full, "rb") as handle:
            data = handle.read(MAX_CHARACTERS + 1)
        text = data.decode("utf-8-sig")
    except OSError as exc:
        raise source.error("cannot read '%s': %s" % (full, exc.strerror), start) from None
    except UnicodeDecodeError:
        raise source.error("'%s' is no text file" % full, start) from None
    # Comments become blanks, so that columns stay true.
    text = _COMMENT.sub(lambda found: " " * len(found.group()), text)
    inner = Source(text, full, os.path.dirname(full), source.depth + 1, True)
    return _read(inner, left, limit)


def _expand_item(source: Source, start: int, end: int, left: int, limit: int) -> list[str]:
    """Expand one item with brackets; the number of names is known before the first one is made."""
    parts: list[str | Bracket] = []
    position, literal, count = start, "", 1
    for match in _BRACKET.finditer(source.text, start, end):
        literal += source.text[position : match.start()]
        position = match.end()
        if (not literal or literal.endswith("@")) and is_ipv6(match.group(1)):
            literal += match.group()
            continue
        bracket = Bracket(source, match.start(1), match.end(1), literal)
        count *= bracket.count
        if count > left:
            raise _too_many(source, match.start(), limit)
        parts.extend([literal, bracket])
        literal = ""
    parts.append(literal + source.text[position:end])
    names = [""]
    for part in parts:
        values = part.values() if isinstance(part, Bracket) else [part]
        names = [name + value for name in names for value in values]
    return names


def fold(names: Iterable[str]) -> str:
    """Return the short hostlist of the names: the inverse of :func:`expand`, order and padding kept.

    ``red, red01, red02`` becomes ``red,red[01-02]``. Equal names are written once.

    :raises HostlistError: a name that no hostlist can hold, such as one with a blank.
    """
    items = list(dict.fromkeys(names))
    for name in items:
        stripped = _BRACKET.sub(lambda found: "" if is_ipv6(found.group(1)) else found.group(), name)
        if not name or stripped[:1] in ("!", "@") or re.search(r"[\s,\[\]]", stripped):
            raise HostlistError("the name '%s' cannot be written in a hostlist" % name)
    if _spreads(items):
        raise HostlistError("'%s' before names without ':' cannot be written in a hostlist" % items[0])
    before = 0
    while before != len(items):
        before = len(items)
        items = _fold_once(items)
    return ",".join(items)


def _fold_once(items: list[str]) -> list[str]:
    """Join neighbours that differ in one number to the left of all their brackets."""
    folded: list[str] = []
    index = 0
    while index < len(items):
        item = items[index]
        index += 1
        sides = _sides(item, items[index]) if index < len(items) else None
        if sides is None:
            folded.append(item)
            continue
        prefix, suffix = sides
        cut = -len(suffix) or None
        start = item[len(prefix) : cut]
        end = start
        ranges: list[str] = []
        while index < len(items):
            other = items[index]
            number = str(int(end) + 1).zfill(len(start))
            if other != prefix + number + suffix:
                number = other[len(prefix) : cut]
                if other != prefix + number + suffix or not (number.isascii() and number.isdigit()):
                    break
                ranges.append(start if start == end else start + "-" + end)
                start = number
            end = number
            index += 1
        ranges.append(start if start == end else start + "-" + end)
        folded.append("%s[%s]%s" % (prefix, ",".join(ranges), suffix))
    return folded


def _sides(one: str, other: str) -> tuple[str, str] | None:
    """Return what stands left and right of the only number in which two items differ, or None."""
    ours, theirs = _FIELD.split(one), _FIELD.split(other)
    if len(ours) != len(theirs):
        return None
    different = [place for place, text in enumerate(ours) if text != theirs[place]]
    if len(different) != 1 or not different[0] % 2:
        return None
    place = different[0]
    if any(text.startswith("[") for text in [*ours[1 : place + 1 : 2], theirs[place]]):
        return None
    if max(len(ours[place]), len(theirs[place])) > MAX_DIGITS:
        return None
    return "".join(ours[:place]), "".join(ours[place + 1 :])
