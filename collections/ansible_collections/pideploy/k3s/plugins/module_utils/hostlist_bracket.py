# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: BSD-2-Clause
"""One bracket of a hostlist (``[01-05,!3]``), and the error that points into the text; see ``hostlist.py``."""

from __future__ import annotations

import re

MAX_DIGITS = 63  # the longest DNS label


def printable(text: str) -> str:
    """Return the text on one line, with control characters (a terminal would obey them) written as escapes."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class HostlistError(ValueError):
    """A hostlist that cannot be read.

    ``text`` is the line that holds the mistake, ``column`` and ``line`` count from 1, ``source`` is the file that it
    came from or empty. ``str()`` is one line without the hint.
    """

    def __init__(
        self, message: str, text: str = "", column: int = 0, hint: str = "", source: str = "", line: int = 1
    ) -> None:
        self.message = printable(message)
        self.text = "".join(char if char.isprintable() else " " for char in text)  # columns stay true
        self.column = column
        self.hint = hint
        self.source = source
        self.line = line
        super().__init__(str(self))

    def __str__(self) -> str:
        if not self.column:
            return self.message
        place = "column %d" % self.column
        if self.source or self.line > 1:
            place = "line %d, %s" % (self.line, place)
        return "%s (%s of %s)" % (self.message, place, self.source or "'%s'" % _clip(self.text, self.column))

    @property
    def pointer(self) -> str:
        """Two lines: the text and a caret below the column. Empty where no column is known."""
        if not self.column:
            return ""
        start = max(0, self.column - 60)
        return "%s\n%s^" % (self.text[start : self.column + 40], " " * (self.column - 1 - start))


def _clip(text: str, column: int) -> str:
    if len(text) <= 80:
        return text
    start = max(0, column - 40)
    return "…" * bool(start) + text[start : start + 80] + "…" * (start + 80 < len(text))


class Source:
    """The text that is being read, and how errors point into it."""

    def __init__(self, text: str, name: str, folder: str, depth: int, files: bool) -> None:
        self.text = text
        self.name = name
        self.folder = folder
        self.depth = depth
        self.files = files

    def error(self, message: str, offset: int, hint: str = "") -> HostlistError:
        start = self.text.rfind("\n", 0, offset) + 1
        end = self.text.find("\n", offset)
        line = self.text[start : end if end >= 0 else len(self.text)].rstrip("\r")
        number = self.text.count("\n", 0, offset) + 1
        return HostlistError(message, line, offset - start + 1, hint, self.name, number)


class Bracket:
    """What stands between two brackets: ranges to count through, and ranges to leave out.

    A range goes with the width that its numbers are padded to; width 0 marks a range of letters (their codes).
    """

    def __init__(self, source: Source, start: int, end: int, prefix: str) -> None:
        self.source = source
        self.start = start
        # What a bound may repeat: the text before the bracket, with and without "user@". Never a bare number.
        tails = (prefix, prefix.rpartition("@")[2])
        self.prefixes = [text for text in tails if text.strip("0123456789")]
        self.ranges: list[tuple[range, int]] = []
        self.holes: list[tuple[range, int]] = []
        if not source.text[start:end].strip():
            raise source.error("empty brackets", start - 1, "Write a range such as [1-3], or a list such as [1,3].")
        offset = start
        for item in source.text[start:end].split(","):
            self._add(item.strip(), offset + len(item) - len(item.lstrip()))
            offset += len(item) + 1
        self.count = sum(_size(numbers) for numbers, _width in self.ranges)

    def _add(self, item: str, offset: int) -> None:
        exclude = item.startswith("!")
        body, offset = item[exclude:], offset + exclude
        step = 1
        match = re.search(r"[/:]([0-9]{0,18})$", body)
        if match:
            step = int(match.group(1) or 0)
            if not step or "-" not in body:
                raise self.source.error("'%s' is no step" % match.group(), offset + match.start(), "Write [1-9/2].")
            body = body[: match.start()]
        low, dash, high = self._split(body)
        first, width = self._bound(low, offset, item)
        last, high_width = self._bound(high, offset + len(low) + 1, item) if dash else (first, width)
        if bool(width) != bool(high_width) or (not width and chr(first).islower() != chr(last).islower()):
            raise self.source.error("the range '%s' mixes two kinds of bounds" % body, offset, "Write [1-3] or [a-c].")
        if last < first:
            hint = "Write %s-%s, or a list in the order you want." % (high, low)
            raise self.source.error("the range %s runs backwards" % body, offset, hint)
        (self.holes if exclude else self.ranges).append((range(first, last + 1, step), width))

    def _split(self, body: str) -> tuple[str, str, str]:
        """Split a range at its hyphen; a repeated prefix may have hyphens of its own."""
        for prefix in self.prefixes:
            if body.startswith(prefix):
                low, dash, high = body[len(prefix) :].partition("-")
                return prefix + low, dash, high
        return body.partition("-")

    def _bound(self, bound: str, offset: int, item: str) -> tuple[int, int]:
        """Return a bound's number and width, or a letter's code and 0."""
        for prefix in self.prefixes:
            if bound.startswith(prefix) and len(bound) > len(prefix):
                bound, offset = bound[len(prefix) :], offset + len(prefix)
                break
        if len(bound) > MAX_DIGITS:
            raise self.source.error("a number of more than %d digits" % MAX_DIGITS, offset)
        if bound.isascii() and bound.isdigit():
            return int(bound), len(bound)
        if len(bound) == 1 and bound.isascii() and bound.isalpha():
            return ord(bound), 0
        what = "'%s' is no number and no letter" % bound if bound else "a number is missing"
        hint = "Write a range such as [1-3], or a list such as [1,3,a-c]."
        raise self.source.error("%s in '%s'" % (what, item), offset, hint)

    def values(self) -> list[str]:
        """Return the texts in the order written.

        :raises HostlistError: an exclusion that matches nothing is a typing mistake, not a wish.
        """
        for hole, width in self.holes:
            if not any(bool(kept) == bool(width) and _meet(hole, numbers) for numbers, kept in self.ranges):
                raise self.source.error("the bracket leaves out what it does not have", self.start - 1)
        texts: list[str] = []
        for numbers, width in self.ranges:
            holes = [hole for hole, kind in self.holes if bool(kind) == bool(width)]
            wanted = numbers if not holes else [n for n in numbers if not any(n in hole for hole in holes)]
            texts.extend([str(number).zfill(width) for number in wanted] if width else map(chr, wanted))
        return texts


def _size(numbers: range) -> int:
    """Return a range's length; ``len`` refuses more than 2**63."""
    return max(0, (numbers.stop - numbers.start - 1) // numbers.step + 1)


def _meet(one: range, other: range) -> bool:
    small, large = (one, other) if _size(one) < _size(other) else (other, one)
    return any(number in large for number in small)
