# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""The stop callback by itself; ``tests/contract`` has it in a run of ansible-playbook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.pideploy.k3s.plugins.callback import stop


class Play:
    def get_name(self) -> str:
        return "servers: start"


@pytest.fixture
def callback(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = stop.CallbackModule()
    made.chosen = None
    monkeypatch.setattr(made, "get_option", lambda name: made.chosen)
    return made


def test_nothing_happens_without_an_option_or_a_file(callback: Any, tmp_path: Path) -> None:
    callback.v2_playbook_on_play_start(Play())
    callback.chosen = str(tmp_path / "stop")
    callback.v2_playbook_on_play_start(Play())


def test_the_file_ends_the_run(callback: Any, tmp_path: Path) -> None:
    callback.chosen = str(tmp_path / "stop")
    (tmp_path / "stop").touch()
    with pytest.raises(SystemExit) as caught:
        callback.v2_playbook_on_play_start(Play())
    assert caught.value.code == 130


def test_it_has_to_be_enabled_and_its_option_is_documented() -> None:
    assert stop.CallbackModule.CALLBACK_NEEDS_ENABLED
    documented = yaml.safe_load(stop.DOCUMENTATION)
    assert documented["options"]["stop_file"]["env"] == [{"name": "PIDEPLOY_STOP_FILE"}]
