# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from pideploy.errors import PideployError


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("deploy_failed", 1),
        ("some_code_of_tomorrow", 1),
        ("usage", 2),
        ("spec", 2),
        ("hostlist", 2),
        ("unreachable", 3),
        ("locked", 4),
        ("interrupted", 130),
    ],
)
def test_exit_code(code: str, status: int) -> None:
    assert PideployError(code, "message").exit_code == status


def test_shape() -> None:
    error = PideployError("unreachable", "red01 does not answer", hint="switch it on", hosts=["red01"])
    assert str(error) == "red01 does not answer"
    assert error.to_dict() == {
        "code": "unreachable",
        "message": "red01 does not answer",
        "hint": "switch it on",
        "hosts": ["red01"],
    }
