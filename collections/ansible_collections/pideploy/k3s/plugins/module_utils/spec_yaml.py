# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: BSD-2-Clause
"""YAML text to plain data that remembers its lines, and the error that names them; see ``spec.py``."""

from __future__ import annotations

import difflib
from typing import Any, Iterable

from ansible_collections.pideploy.k3s.plugins.module_utils.hostlist_bracket import printable

MAX_BYTES = 1 << 20
MAX_VALUES = 100_000  # aliases count each time they are used, so a few lines cannot fill the memory
MAX_DEPTH = 30


class SpecError(ValueError):
    """A spec that cannot be used. ``line`` and ``column`` count from 1 and are 0 where there is no text to point at."""

    def __init__(self, message: str, line: int = 0, column: int = 0, hint: str = "", source: str = "") -> None:
        self.message = printable(message)
        self.line = line
        self.column = column
        self.hint = hint
        self.source = source
        super().__init__(str(self))

    def __str__(self) -> str:
        places = [self.source] if self.source else []
        if self.line:
            places.append("line %d, column %d" % (self.line, self.column))
        return "%s: %s" % (", ".join(places), self.message) if places else self.message


class Vault(str):
    """The ciphertext of a ``!vault`` value: who knows the password may decrypt it, this reader does not."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return "Did you mean 'x'?" for the known name most like this one, or an empty text."""
    found = difflib.get_close_matches(name, list(known), 1, 0.7)
    return "Did you mean '%s'?" % found[0] if found else ""


class Document:
    """Plain data with the places of its keys and values, by path: ``("vars", "k3s_version")``."""

    def __init__(self, data: Any, source: str = "") -> None:
        self.data = data
        self.source = source
        self.keys: dict[tuple[str | int, ...], tuple[int, int]] = {}
        self.values: dict[tuple[str | int, ...], tuple[int, int]] = {}
        # Values written on one line without escapes: a column inside the text is a column in the file.
        self.plain: set[tuple[str | int, ...]] = set()

    def error(
        self, path: tuple[str | int, ...], message: str, hint: str = "", key: bool = False, offset: int = 0
    ) -> SpecError:
        """Return the error for a value (or its key); ``offset`` is a column inside a text value."""
        places = [self.keys, self.values] if key else [self.values, self.keys]
        while path and not any(path in place for place in places):
            path, offset = path[:-1], 0
        line, column = next((place[path] for place in places if path in place), (0, 0))
        if offset and path in self.plain:
            column += offset
        return SpecError(message, line, column, hint, self.source)


def read(text: str, source: str) -> Document:
    """Read one YAML document.

    :raises SpecError: no YAML, too big, a key given twice, a tag that is unknown.
    """
    import yaml  # the controller has it, as ansible-core needs it; nodes never call this

    document = Document(None, source)
    if len(text) > MAX_BYTES:
        raise document.error((), "the file has more than %d bytes" % MAX_BYTES)
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is not None:
            document.data = _Reader(document, loader).value(node, ())
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        hint = "A '@', '!', '*', '[' or '{' at the start of a value needs quotes around the value."
        raise SpecError("no valid YAML: %s" % (exc.problem or exc.context), line, column, hint, source) from None
    except yaml.reader.ReaderError as exc:
        raise SpecError("no YAML text: %s" % exc.reason, 0, 0, "", source) from None
    finally:
        loader.dispose()
    return document


class _Reader:
    """Builds the data from PyYAML's nodes, so that each value keeps its place."""

    def __init__(self, document: Document, loader: Any) -> None:
        self.document = document
        self.loader = loader
        self.count = 0

    def fail(self, node: Any, message: str, hint: str = "") -> SpecError:
        mark = node.start_mark
        return SpecError(message, mark.line + 1, mark.column + 1, hint, self.document.source)

    def value(self, node: Any, path: tuple[str | int, ...]) -> Any:
        self.count += 1
        if self.count > MAX_VALUES:
            raise self.fail(node, "more than %d values" % MAX_VALUES)
        if len(path) > MAX_DEPTH:
            raise self.fail(node, "nested more than %d levels deep" % MAX_DEPTH)
        self.document.values[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
        if node.tag in ("!vault", "!vault-encrypted"):
            return Vault(node.value)
        if node.id != "scalar" and node.tag not in ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq", "!unsafe"):
            raise self.fail(node, "no valid YAML: the tag '%s' is not known here" % node.tag, "Remove it.")
        if node.id == "mapping":
            return self.mapping(node, path)
        if node.id == "sequence":
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        if node.tag == "!unsafe":
            return node.value
        value = self.loader.construct_object(node)
        if isinstance(value, str) and node.start_mark.line == node.end_mark.line and node.style in (None, "'", '"'):
            quotes = 0 if node.style is None else 1
            if node.end_mark.column - node.start_mark.column == len(value) + 2 * quotes:
                self.document.plain.add(path)
                self.document.values[path] = (node.start_mark.line + 1, node.start_mark.column + 1 + quotes)
        return value

    def mapping(self, node: Any, path: tuple[str | int, ...]) -> dict[str, Any]:
        own = [key for key, _value in node.value if key.tag != "tag:yaml.org,2002:merge"]
        seen: dict[str, int] = {}
        for key in own:
            name = self.key(key)
            if name in seen:
                hint = "Lines %d and %d: keep one of them." % (seen[name], key.start_mark.line + 1)
                raise self.fail(key, "'%s' is given twice" % name, hint)
            seen[name] = key.start_mark.line + 1
        self.loader.flatten_mapping(node)
        data: dict[str, Any] = {}
        for key, value in node.value:
            name = self.key(key)
            self.document.keys[(*path, name)] = (key.start_mark.line + 1, key.start_mark.column + 1)
            data[name] = self.value(value, (*path, name))
        return data

    def key(self, node: Any) -> str:
        name = self.loader.construct_object(node) if node.id == "scalar" else None
        if not isinstance(name, str):
            hint = "Put it in quotes: '%s'." % node.value if node.id == "scalar" else ""
            raise self.fail(node, "a key must be a text", hint)
        return name
