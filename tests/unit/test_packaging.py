# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""The wheel carries the collection at its top level; an editable install uses the checkout's."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import pideploy

TOP = Path(__file__).resolve().parents[2]
COLLECTION = TOP / "collections" / "ansible_collections" / "pideploy" / "k3s"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    pytest.importorskip("hatchling")
    target = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)],
        cwd=TOP, check=True, capture_output=True,
    )  # fmt: skip
    [path] = target.glob("*.whl")
    return zipfile.ZipFile(path)


def test_wheel_holds_the_whole_collection(wheel: zipfile.ZipFile) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-z", str(COLLECTION)], cwd=TOP, check=True, capture_output=True, text=True
    ).stdout.split("\0")
    expected = {name.removeprefix("collections/") for name in tracked if name}
    assert len(expected) > 20
    assert expected - set(wheel.namelist()) == set()


def test_wheel_holds_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert tops == {"pideploy", "ansible_collections", f"pideploy-{pideploy.__version__}.dist-info"}
    # An __init__.py there would hide the collections of other packages.
    assert "ansible_collections/__init__.py" not in wheel.namelist()


def test_entry_point(wheel: zipfile.ZipFile) -> None:
    text = wheel.read(f"pideploy-{pideploy.__version__}.dist-info/entry_points.txt").decode()
    assert "pideploy = pideploy.__main__:main" in text


def test_editable_install_sees_edits() -> None:
    try:
        distribution = importlib.metadata.distribution("pideploy")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("pideploy is not installed here: the tests run from the source tree")
    if not (distribution.read_text("direct_url.json") or "").find('"editable": true') > 0:
        pytest.skip("pideploy is installed from a wheel here")
    code = (
        "import ansible_collections.pideploy.k3s.plugins.module_utils.hostlist as m, pideploy; "
        "print(m.__file__, pideploy.__file__)"
    )
    # -P and another folder: neither the current directory nor pytest's path may help.
    out = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd="/", env={}, check=True, capture_output=True, text=True
    ).stdout.split()
    assert [Path(name).is_relative_to(TOP) for name in out] == [True, True]
