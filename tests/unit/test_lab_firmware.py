# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""The lab's firmware reads the boot file that a Pi's firmware reads, and no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from pideploy.lab import recipe
from pideploy.lab.node import firmware

PI = {"boot": "pi", "board": "pi4", "firmware_words": "cgroup_disable=memory"}


def put(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("config", "live"),
    [
        ("arm_64bit=1\n", "cmdline.txt"),
        ("[all]\nos_prefix=current/\n[tryboot]\nos_prefix=new/\n[all]\n", "current/cmdline.txt"),
        ("[pi5]\nos_prefix=five/\n", "cmdline.txt"),
        ("[pi4]\ncmdline=other.txt\n[none]\ncmdline=none.txt\n", "other.txt"),
        ("os_prefix=one/\nos_prefix=two/\n", "two/cmdline.txt"),
        ("#os_prefix=no/\n", "cmdline.txt"),
    ],
)
def test_live_pi_file(tmp_path: Path, config: str, live: str) -> None:
    put(tmp_path, {"config.txt": config})
    assert firmware.live_pi_file(tmp_path, "pi4") == tmp_path / live


def test_only_the_first_line_counts_and_the_firmware_adds_its_words(tmp_path: Path) -> None:
    files = {"boot/firmware/config.txt": "", "boot/firmware/cmdline.txt": "root=x\nlost\n", "boot/cmdline.txt": "decoy"}
    assert firmware.command_line(PI, put(tmp_path, files)) == "cgroup_disable=memory root=x"


def test_bullseye_boots_from_boot(tmp_path: Path) -> None:
    put(tmp_path, {"boot/config.txt": "", "boot/cmdline.txt": "root=x"})
    assert firmware.command_line(PI, tmp_path).endswith("root=x")


def test_extlinux_takes_the_default_label() -> None:
    text = "DEFAULT backup\nLABEL primary\n  APPEND one\nLABEL backup\n  APPEND ${cbootargs} root=/dev/x two\n"
    assert firmware.extlinux_append(text) == "root=/dev/x two"
    assert firmware.extlinux_append(text.replace("DEFAULT backup\n", "")) == "one"


def test_grub_takes_the_first_linux_line() -> None:
    assert firmware.grub_linux("menuentry {\n\tlinux\t/boot/vmlinuz ro quiet\n\tinitrd x\n}\n") == "ro quiet"


@pytest.mark.parametrize(
    ("cmdline", "on"),
    [
        ("root=x", True),
        ("cgroup_disable=memory root=x", False),
        ("cgroup_disable=memory root=x cgroup_memory=1", False),
        ("cgroup_disable=memory root=x cgroup_enable=cpuset cgroup_enable=memory", True),
        ("cgroup_enable=memory cgroup_disable=cpu,memory", False),
    ],
)
def test_the_last_word_about_memory_wins(cmdline: str, on: bool) -> None:
    assert firmware.memory_controller_on(cmdline) is on


def test_without_memory() -> None:
    text = "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t1\t5\t1\nmemory\t4\t424\t1\npids\t8\t9\t1\n"
    assert firmware.without_memory(text) == text.replace("memory\t4\t424\t1", "memory\t4\t424\t0")


@pytest.mark.parametrize("name", recipe.flavours())
def test_each_flavour_has_a_boot_file_of_its_kind(name: str) -> None:
    settings = recipe.flavours()[name]
    line = firmware.command_line(settings, recipe.NODE / "flavours" / name / "rootfs")
    assert " root=" in line
    assert firmware.memory_controller_on(line) is (settings["boot"] != "pi")
