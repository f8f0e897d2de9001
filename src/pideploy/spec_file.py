# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""Spec files that people edit: write a first one with comments, and check one."""

from __future__ import annotations

from pathlib import Path

import jinja2

from ansible_collections.pideploy.k3s.plugins.module_utils import spec as reader
from pideploy.errors import PideployError
from pideploy.spec import ClusterSpec, spec_errors
from pideploy.state import SPEC_SUFFIX


def render(*, hosts: str, cluster: str = "", user: str = "") -> str:
    """The text of a new spec, with comments on what else it may say.

    :raises PideployError: a value cannot be used.
    """
    with spec_errors():
        spec = reader.from_flags(hosts=hosts, cluster=cluster, user=user)
        environment = jinja2.Environment(
            loader=jinja2.PackageLoader("pideploy"),
            autoescape=False,  # YAML, and each value is written as a JSON string
            undefined=jinja2.StrictUndefined,
            keep_trailing_newline=True,
            trim_blocks=True,
        )
        text = environment.get_template("spec.yml.j2").render(
            cluster=spec.cluster,
            hosts=spec.raw["hosts"],
            first=spec.hosts[0].name,
            last=spec.hosts[-1].name,
            user=spec.user,
        )
        reader.parse(text, "the new spec")
    return text


def write_new(file: Path | None = None, *, hosts: str, cluster: str = "", user: str = "") -> Path:
    """Write a new spec (default: ``CLUSTER.pideploy.yml`` in the working folder) and return its path.

    :raises PideployError: the file exists, or its name is not one of a spec, or a value cannot be used.
    """
    text = render(hosts=hosts, cluster=cluster, user=user)
    if file is None:
        with spec_errors():
            file = Path(reader.parse(text).cluster + SPEC_SUFFIX)
    _check_name(file)
    try:
        with file.open("x", encoding="utf-8") as handle:
            handle.write(text)
    except FileExistsError:
        raise PideployError("usage", f"{file} exists", hint="edit it, or name another file") from None
    except OSError as exc:
        raise PideployError("system", f"cannot write {file}: {exc.strerror}") from exc
    return file


def check(file: Path) -> ClusterSpec:
    """Read a spec as a deploy would.

    :raises PideployError: what is wrong with it, with line and column.
    """
    _check_name(file)
    return ClusterSpec.from_file(file)


def _check_name(file: Path) -> None:
    if not file.name.endswith((SPEC_SUFFIX, SPEC_SUFFIX.replace(".yml", ".yaml"))):
        raise PideployError(
            "usage",
            f"{file} would not be read as a spec: its name has to end in {SPEC_SUFFIX}",
            hint=f"call it {file.name.removesuffix('.yaml').removesuffix('.yml')}{SPEC_SUFFIX}",
        )
