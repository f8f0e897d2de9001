# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""The one error type of the wrapper, and the exit code that each kind of error has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
UNREACHABLE: Final = 3
LOCKED: Final = 4
CHANGES: Final = 5
INTERRUPTED: Final = 130

# A code that is not listed means that something failed while it ran: exit code 1.
_EXIT_CODES: Final[dict[str, int]] = {
    "usage": USAGE,
    "spec": USAGE,
    "hostlist": USAGE,
    "unknown_cluster": USAGE,
    "not_confirmed": USAGE,
    "unreachable": UNREACHABLE,
    "locked": LOCKED,
    "interrupted": INTERRUPTED,
}


class PideployError(Exception):
    """Something that a user can act on.

    ``code`` is a short stable word for programs, ``message`` one line that names what is wrong and its value,
    ``hint`` what to do next, ``hosts`` the hosts it is about (empty when it is about none).
    """

    def __init__(self, code: str, message: str, hint: str = "", hosts: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.hosts: tuple[str, ...] = tuple(hosts)

    @property
    def exit_code(self) -> int:
        """The process exit code for this error."""
        return exit_code(self.code)

    def to_dict(self) -> dict[str, Any]:
        """The error as JSON data: ``{code, message, hint, hosts}``."""
        return {"code": self.code, "message": self.message, "hint": self.hint, "hosts": list(self.hosts)}


def exit_code(code: str) -> int:
    """The process exit code for an error code; 1 for a code without an exit code of its own."""
    return _EXIT_CODES.get(code, FAILED)
