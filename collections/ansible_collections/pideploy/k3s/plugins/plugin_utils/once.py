# SPDX-FileCopyrightText: 2026 The pideploy authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask the network once a run, though Ansible serves each host in a process of its own.

All hosts of a run get the same version for a channel, and where there is no network the first host waits for the
retries and the others fail at once with the same words.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable

from ansible_collections.pideploy.k3s.plugins.module_utils import artifacts_cache, files, paths
from ansible_collections.pideploy.k3s.plugins.module_utils.artifacts import ArtifactError

__metaclass__ = type

_RUNS = 50  # as many are remembered


def once(run: str, key: str, ask: Callable[[], str]) -> str:
    """Return what ``ask`` returned, or raise what it raised, when it was first called in this run under this key.

    ``run`` is an id that all processes of a run share. The answers lie in ``runs.json`` of the artifact cache.

    :raises ArtifactError: as ``ask`` raised it.
    """
    folder = paths.artifact_dir()
    path = os.path.join(folder, "runs.json")
    with artifacts_cache.lock(folder, hashlib.sha256(key.encode()).hexdigest()[:12]):
        answer = _read(path).get(run, {}).get(key)
        if answer is None:
            try:
                answer = {"value": ask()}
            except ArtifactError as exc:
                answer = {"error": exc.message, "hint": exc.hint}
            with artifacts_cache.lock(folder, "runs"):
                runs = _read(path)
                runs.setdefault(run, {})[key] = answer
                latest = dict(list(runs.items())[-_RUNS:])
                files.write_atomic("/", path, json.dumps(latest, indent=1) + "\n", 0o600)
    if "error" in answer:
        raise ArtifactError(answer["error"], answer["hint"])
    return answer["value"]


def _read(path: str) -> dict[str, dict[str, dict[str, str]]]:
    try:
        with open(path) as handle:
            data = json.load(handle)
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}
