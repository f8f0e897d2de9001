# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""Which boot file is the live one, on every layout of the field, and what an edit makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.pideploy.k3s.plugins.module_utils import bootfile, cmdline, config_txt
from tests.unit import node_trees as nodes
from tests.unit.node_trees import ADDED, ARGS, REQUIRED, Tree, build, model, mountinfo

PI = config_txt.Board("Raspberry Pi 4 Model B Rev 1.4", "100000001234abcd")
NFS_ROOT = {"/proc/cmdline": "console=tty1 root=/dev/nfs nfsroot=10.0.0.1:/pi ip=dhcp\n"}


def locate(tmp_path: Path, *trees: Tree) -> bootfile.Boot:
    return bootfile.locate(str(build(tmp_path, *trees)))


@pytest.mark.parametrize(
    ("tree", "layout", "file", "also"),
    [
        (nodes.PIOS_BULLSEYE, "pi", "/boot/cmdline.txt", ()),
        (nodes.PIOS_BOOKWORM, "pi", "/boot/firmware/cmdline.txt", ()),
        (nodes.PIOS_TRIXIE, "pi", "/boot/firmware/cmdline.txt", ()),
        (nodes.UBUNTU_24_04, "pi", "/boot/firmware/cmdline.txt", ()),
        (nodes.UBUNTU_25_10, "pi-ab", "/boot/firmware/current/cmdline.txt", ()),
        (
            nodes.UBUNTU_25_10_PENDING,
            "pi-ab",
            "/boot/firmware/current/cmdline.txt",
            ("/boot/firmware/new/cmdline.txt",),
        ),
        (nodes.JETSON, "extlinux", "/boot/extlinux/extlinux.conf", ()),
        (nodes.X86, "grub", "/etc/default/grub.d/99-pideploy.cfg", ()),
    ],
)
def test_live_file(tmp_path: Path, tree: Tree, layout: str, file: str, also: tuple[str, ...]) -> None:
    boot = locate(tmp_path, tree)
    assert (boot.layout, boot.file, boot.also, boot.error) == (layout, file, also, "")


def test_upgraded_in_place_keeps_the_partition_at_boot(tmp_path: Path) -> None:
    """Bullseye upgraded to bookworm: the partition stays at /boot; /boot/firmware may be a folder with old files."""
    boot = locate(tmp_path, nodes.PIOS_BULLSEYE, {"/boot/firmware/cmdline.txt": "root=OLD\n"})
    assert boot.file == "/boot/cmdline.txt"


def test_config_txt_names_another_file(tmp_path: Path) -> None:
    tree = {
        "/boot/firmware/config.txt": "cmdline=cmdline.txt\n[pi5]\ncmdline=five.txt\n[pi4]\ncmdline=four.txt\n",
        "/boot/firmware/four.txt": "root=4\n",
    }
    assert locate(tmp_path, nodes.PIOS_BOOKWORM, tree).file == "/boot/firmware/four.txt"


def test_an_os_prefix_without_files_is_ignored_as_the_firmware_does(tmp_path: Path) -> None:
    tree = {"/boot/firmware/config.txt": "os_prefix=gone/\n"}
    assert locate(tmp_path, nodes.PIOS_BOOKWORM, tree).file == "/boot/firmware/cmdline.txt"


def test_a_prefix_may_be_the_start_of_file_names(tmp_path: Path) -> None:
    tree = {"/boot/firmware/config.txt": "os_prefix=test-\n", "/boot/firmware/test-cmdline.txt": "root=T\n"}
    assert locate(tmp_path, nodes.PIOS_BOOKWORM, tree).file == "/boot/firmware/test-cmdline.txt"


@pytest.mark.parametrize(
    ("trees", "layout", "words"),
    [
        ((nodes.PIOS_BOOKWORM, NFS_ROOT), "network", "boots from the network"),
        (
            (nodes.PIOS_BOOKWORM, {"/proc/device-tree/chosen/bootloader/boot-mode": b"\0\0\0\2"}),
            "network",
            "boots from the network",
        ),
        ((nodes.COMMON, nodes.PI4, NFS_ROOT), "network", "boots from the network"),
        (
            (nodes.PIOS_BOOKWORM, {"/proc/self/mountinfo": mountinfo(("/", "ext4"))}),
            "pi",
            "is not mounted at /boot/firmware",
        ),
        ((nodes.COMMON, nodes.PI4), "pi", "no config.txt and no cmdline.txt"),
        (
            (nodes.UBUNTU_25_10, {"/boot/firmware/current/cmdline.txt": None}),
            "pi-ab",
            "current/cmdline.txt does not exist",
        ),
        ((nodes.PIOS_BOOKWORM, {"/boot/firmware/config.txt": "[gpio4=1]\ncmdline=x.txt\n"}), "pi", "[gpio4=1]"),
        ((nodes.COMMON,), "unknown", "no boot loader that pideploy knows"),
    ],
)
def test_refusals_say_why_and_what_to_do(tmp_path: Path, trees: tuple[Tree, ...], layout: str, words: str) -> None:
    boot = locate(tmp_path, *trees)
    assert boot.layout == layout
    assert words in boot.error
    assert boot.hint
    with pytest.raises(cmdline.CmdlineError):
        cmdline.plan(str(tmp_path), boot, ARGS, REQUIRED)


def test_network_boot_with_its_server_folder_mounted_is_edited(tmp_path: Path) -> None:
    mounts = {"/proc/self/mountinfo": mountinfo(("/", "nfs4"), ("/boot/firmware", "nfs4"))}
    assert locate(tmp_path, nodes.PIOS_BOOKWORM, NFS_ROOT, mounts).file == "/boot/firmware/cmdline.txt"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=1\n", "1"),
        ("[pi4]\na=1\n[pi3]\na=2\n", "1"),
        ("[pi5]\na=1\n[all]\na=2\n", "2"),
        ("[none]\na=1\n", None),
        ("[none]\n[pi4]\na=1\n", None),
        ("[0x1234abcd]\na=1\n", "1"),
        ("[0x99999999]\na=1\n", None),
        ("[tryboot]\na=1\n", None),
        ("[pi4]\n[tryboot]\na=1\n[all]\na=2\n#a=3\n", "2"),
        ("a=1\n[gpio4=1]\na=1\n", "1"),
        ("[pi5]\n[gpio4=1]\na=1\n", None),
        ("a=0\ninclude more.txt\n", "7"),
    ],
)
def test_config_txt_sections(text: str, expected: str | None) -> None:
    assert config_txt.value(text, "a", PI, lambda name: "a=7\n" if name == "more.txt" else None) == expected


@pytest.mark.parametrize("section", ["gpio4=1", "EDID=VSC-TD2220", "board-type=0x14"])
def test_config_txt_does_not_guess(section: str) -> None:
    with pytest.raises(config_txt.Undecided, match="known only while booting"):
        config_txt.value(f"a=1\n[{section}]\na=2\n", "a", PI)


@pytest.mark.parametrize(
    ("name", "filters"),
    [
        ("Raspberry Pi Zero 2 W Rev 1.0", {"pi0", "pi0w", "pi02"}),
        ("Raspberry Pi 3 Model B Plus Rev 1.3", {"pi3", "pi3+"}),
        ("Raspberry Pi 400 Rev 1.0", {"pi4", "pi400"}),
        ("Raspberry Pi Compute Module 4 Rev 1.1", {"pi4", "cm4"}),
        ("Raspberry Pi 5 Model B Rev 1.0", {"pi5"}),
        ("Raspberry Pi Compute Module 5 Rev 1.0", {"pi5", "cm5"}),
        ("Raspberry Pi Model B Plus Rev 1.2", {"pi1"}),
    ],
)
def test_models(name: str, filters: set[str]) -> None:
    known = {"pi0", "pi0w", "pi02", "pi1", "pi2", "pi3", "pi3+", "pi4", "pi400", "cm4", "cm4s", "pi5", "cm5", "pi500"}
    board = config_txt.Board(name)
    assert {f for f in known if config_txt.value(f"[{f}]\na=1\n", "a", board) == "1"} == filters


LINE = nodes.TRIXIE_LINE


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (LINE + "\n", LINE + ADDED + "\n"),
        (LINE, LINE + ADDED),
        (LINE + "\r\n", LINE + ADDED + "\r\n"),
        (LINE + "  \n", LINE + ADDED + "  \n"),
        (LINE + ADDED + "\n", LINE + ADDED + "\n"),
        (LINE + ADDED + "\n\n", LINE + ADDED + "\n\n"),
        (" a   b\tc\n", " a   b\tc" + ADDED + "\n"),
        ("a cgroup_enable=memory b\n", "a cgroup_enable=memory b cgroup_enable=cpuset cgroup_memory=1\n"),
        ("a cgroup_disable=memory b\n", "a b" + ADDED + "\n"),
        ("cgroup_disable=memory a\n", "a" + ADDED + "\n"),
        ("a cgroup_disable=memory\n", "a" + ADDED + "\n"),
        ("a cgroup_disable=memory,rdma b\n", "a cgroup_disable=rdma b" + ADDED + "\n"),
        ("a cgroup_disable=rdma b\n", "a cgroup_disable=rdma b" + ADDED + "\n"),
        (
            'a dyndbg="file x.c cgroup_memory=1 +p" b\n',
            'a dyndbg="file x.c cgroup_memory=1 +p" b' + ADDED + "\n",
        ),
        ("a -- single\n", "a" + ADDED + " -- single\n"),
    ],
)
def test_one_line_stays_and_gets_what_is_missing(before: str, after: str) -> None:
    assert cmdline.edit_cmdline_txt(before, ARGS, REQUIRED) == after
    assert cmdline.edit_cmdline_txt(after, ARGS, REQUIRED) == after


def test_a_second_line_is_taken_into_the_first() -> None:
    text = LINE + "\n cgroup_memory=1 cgroup_enable=memory\n"
    assert cmdline.edit_cmdline_txt(text, ARGS, REQUIRED) == (
        LINE + " cgroup_memory=1 cgroup_enable=memory cgroup_enable=cpuset\n"
    )


def test_a_leftover_root_on_a_second_line_stays_dead() -> None:
    text = f"{LINE}\n# was: root=/dev/sda1\nroot=/dev/sda2 quiet cgroup_disable=memory\n"
    assert cmdline.edit_cmdline_txt(text, ARGS, REQUIRED) == LINE + " quiet" + ADDED + "\n"


@pytest.mark.parametrize("text", ["", "\n", "  \n\n"])
def test_an_empty_file_is_refused(text: str) -> None:
    with pytest.raises(cmdline.CmdlineError, match="empty"):
        cmdline.edit_cmdline_txt(text, ARGS, REQUIRED)


def test_extlinux_edits_the_default_label_alone() -> None:
    after = cmdline.edit_extlinux(nodes.EXTLINUX, ARGS, REQUIRED)
    changed = [(a, b) for a, b in zip(nodes.EXTLINUX.splitlines(), after.splitlines(), strict=True) if a != b]
    line = "      APPEND ${cbootargs} quiet root=/dev/mmcblk0p1 rw rootwait"
    assert changed == [(line, line + ADDED)]


def test_extlinux_without_append_is_refused() -> None:
    with pytest.raises(cmdline.CmdlineError, match="no APPEND line in its default label 'a'"):
        cmdline.edit_extlinux("DEFAULT a\nLABEL a\n  LINUX /boot/Image\n", ARGS, REQUIRED)


def plan(tmp_path: Path, *trees: Tree) -> dict[str, str]:
    root = str(build(tmp_path, *trees))
    return {edit.path: edit.after for edit in cmdline.plan(root, bootfile.locate(root), ARGS, REQUIRED)}


def test_a_pending_kernel_gets_the_arguments_as_well(tmp_path: Path) -> None:
    edits = plan(tmp_path, nodes.UBUNTU_25_10_PENDING)
    assert sorted(edits) == ["/boot/firmware/current/cmdline.txt", "/boot/firmware/new/cmdline.txt"]
    assert all(text.endswith("fixrtc" + ADDED + "\n") for text in edits.values())


def test_grub_gets_a_file_of_its_own_and_loses_a_literal_disable(tmp_path: Path) -> None:
    grub = 'GRUB_CMDLINE_LINUX_DEFAULT="quiet cgroup_disable=memory splash"\nGRUB_CMDLINE_LINUX=""\n'
    assert plan(tmp_path, nodes.X86, {"/etc/default/grub": grub}) == {
        "/etc/default/grub": grub.replace("cgroup_disable=memory ", ""),
        "/etc/default/grub.d/99-pideploy.cfg": "# Written by pideploy. Delete this file and run update-grub to undo.\n"
        f'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX{ADDED}"\n',
    }


def test_grub_keeps_what_an_earlier_task_added(tmp_path: Path) -> None:
    own = {"/etc/default/grub.d/99-pideploy.cfg": '# x\nGRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX audit=0"\n'}
    [text] = plan(tmp_path, nodes.X86, own).values()
    assert text.endswith(f'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX audit=0{ADDED}"\n')
    build(tmp_path, {"/etc/default/grub.d/99-pideploy.cfg": text})
    assert plan(tmp_path) == {}


def test_grub_that_asks_already_is_left_alone(tmp_path: Path) -> None:
    assert plan(tmp_path, nodes.X86, {"/etc/default/grub": f'GRUB_CMDLINE_LINUX="quiet{ADDED}"\n'}) == {}
    assert cmdline.grub_is_stale(str(tmp_path), ARGS)  # update-grub did not run yet
    build(tmp_path, {"/boot/grub/grub.cfg": f"\tlinux /vmlinuz root=UUID=1 ro quiet{ADDED}\n"})
    assert not cmdline.grub_is_stale(str(tmp_path), ARGS)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("cgroup_disable=memory root=1" + ADDED, True),
        ("root=1" + ADDED + " cgroup_disable=memory", False),
        ("root=1 cgroup_enable=memory", False),
        ("", False),
    ],
)
def test_asked_is_what_the_kernel_understands(line: str, expected: bool) -> None:
    assert cmdline.asked(line, ARGS) is expected


def test_jetson_is_known_by_its_release_file_alone(tmp_path: Path) -> None:
    tree = {**nodes.JETSON, **model(""), "/etc/nv_tegra_release": "# R32\n"}
    assert locate(tmp_path, tree).layout == "extlinux"
