# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""Virtual Pis behave like Pis: what they show, and what a reboot keeps and changes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pideploy.errors import PideployError
from pideploy.lab import Lab, recipe, ssh, state
from pideploy.lab.engine import find_engine
from pideploy.lab.lab import remove
from tests.conftest import LabFactory

pytestmark = pytest.mark.lab


def out(lab: Lab, host: str, command: str) -> str:
    done = lab.run(host, command)
    assert done.returncode == 0, f"{host}: {command}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def reboot(lab: Lab, host: str) -> None:
    before = out(lab, host, "cat /proc/sys/kernel/random/boot_id")
    lab.run(host, "sudo systemctl reboot")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        done = lab.run(host, "cat /proc/sys/kernel/random/boot_id")
        if done.returncode == 0 and done.stdout.strip() != before:
            return
        time.sleep(0.5)
    pytest.fail(f"{host} did not come back with a new boot id")


IDENTITY = (
    "cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub; ip -4 -o addr show eth0; cat /sys/class/net/eth0/address"
)


class TestThreePis:
    def test_plain_ssh_knows_them(self, lab3: Lab) -> None:
        for node in lab3.nodes:
            done = subprocess.run(
                ["ssh", "-o", "BatchMode=yes", node.name, "whoami; uname -n"],
                capture_output=True,
                text=True,
                check=True,
            )
            assert done.stdout.split() == ["pi", "raspberrypi"]

    def test_each_is_its_own_machine(self, lab3: Lab) -> None:
        for command in (
            "cat /etc/machine-id",
            "cat /proc/sys/kernel/random/boot_id",
            "cat /sys/class/net/eth0/address",
        ):
            assert len({out(lab3, node.name, command) for node in lab3.nodes}) == 3
        for node in lab3.nodes:
            assert f" {node.address}/24 " in out(lab3, node.name, "ip -4 -o addr show eth0")

    def test_systemd_is_well(self, lab3: Lab) -> None:
        host = lab3.nodes[0].name
        failed = out(
            lab3, host, "systemctl is-system-running --wait >/dev/null; systemctl --failed --plain --no-legend"
        )
        assert failed == ""

    def test_edits_of_identity_survive(self, lab3: Lab) -> None:
        host = lab3.nodes[2].name
        identity = out(lab3, host, IDENTITY)
        out(lab3, host, "sudo hostnamectl set-hostname red02")
        # A rename over a file that an engine has mounted would fail with EBUSY.
        out(lab3, host, "sudo sh -c 'cp /etc/hosts /etc/hosts.new && echo 10.0.0.9 nine >> /etc/hosts.new"
                        " && mv /etc/hosts.new /etc/hosts'")  # fmt: skip
        reboot(lab3, host)
        assert out(lab3, host, "uname -n; cat /etc/hostname").split() == ["red02", "red02"]
        assert out(lab3, host, "getent hosts nine").split() == ["10.0.0.9", "nine"]
        assert out(lab3, host, IDENTITY) == identity

    def test_memory_controller_follows_the_live_boot_file(self, lab3: Lab) -> None:
        host = lab3.nodes[1].name
        shown = (
            "awk '$1 == \"memory\" {print $4}' /proc/cgroups; cat /sys/fs/cgroup/cgroup.controllers 2>/dev/null || true"
        )

        def enabled() -> bool:
            lines = out(lab3, host, shown).splitlines()
            return "1" in lines[:1] or any("memory" in line.split() for line in lines)

        assert not enabled()
        assert "cgroup_disable=memory" in out(lab3, host, "cat /proc/cmdline").split()
        out(lab3, host, "sudo sed -i 's/$/ cgroup_enable=memory/' /boot/cmdline.txt")  # the decoy
        reboot(lab3, host)
        assert not enabled()
        out(lab3, host, "sudo sed -i 's/$/ cgroup_enable=memory/' /boot/firmware/cmdline.txt")
        assert not enabled()
        reboot(lab3, host)
        assert enabled()
        assert out(lab3, host, "cat /proc/cmdline").endswith("rootwait cgroup_enable=memory")

    def test_swap_follows_its_owner(self, lab3: Lab) -> None:
        host = lab3.nodes[1].name
        assert "/var/swap file 524284" in " ".join(out(lab3, host, "cat /proc/swaps").split())
        assert out(lab3, host, "/sbin/swapon --show=NAME --noheadings") == "/var/swap"
        out(lab3, host, "sudo swapoff /var/swap")
        assert len(out(lab3, host, "cat /proc/swaps").splitlines()) == 1
        reboot(lab3, host)
        assert "/var/swap" in out(lab3, host, "cat /proc/swaps")
        out(lab3, host, "sudo systemctl disable --now dphys-swapfile")
        assert len(out(lab3, host, "cat /proc/swaps").splitlines()) == 1
        reboot(lab3, host)
        assert len(out(lab3, host, "cat /proc/swaps").splitlines()) == 1

    def test_board(self, lab3: Lab) -> None:
        host = lab3.nodes[0].name
        assert out(lab3, host, "tr -d '\\0' < /sys/firmware/devicetree/base/model") == "Raspberry Pi 4 Model B Rev 1.4"
        assert out(lab3, host, "tr '\\0' ' ' < /sys/firmware/devicetree/base/compatible").split() == [
            "raspberrypi,4-model-b", "brcm,bcm2711",
        ]  # fmt: skip

    def test_up_again_finds_it_running(self, lab3: Lab) -> None:
        again = Lab.up(",".join(node.name for node in lab3.nodes))
        assert not again.created
        assert again.nodes == lab3.nodes
        with pytest.raises(PideployError, match="is another one"):
            Lab.up(lab3.nodes[0].name)

    def test_stopped_machines_start_with_what_they_had(self, lab3: Lab) -> None:
        node = lab3.nodes[0]
        identity = out(lab3, node.name, IDENTITY)
        lab3.engine.run("stop", "-t", "5", node.container)
        assert {c.name: c.state for c in lab3.containers()}[node.container] != "running"
        Lab.up(",".join(n.name for n in lab3.nodes))
        assert out(lab3, node.name, IDENTITY) == identity

    def test_names_of_another_lab_are_refused(self, lab3: Lab) -> None:
        with pytest.raises(PideployError, match="has a host of this name") as error:
            Lab.up(lab3.nodes[1].name)
        assert lab3.name in error.value.message

    def test_nothing_secret_is_left_in_sight(self, lab3: Lab) -> None:
        assert (lab3.folder.stat().st_mode & 0o777, (lab3.folder / "id_ed25519").stat().st_mode & 0o777) == (
            0o700,
            0o600,
        )
        assert not (lab3.folder / "environment").exists()
        assert "PIDEPLOY" not in out(lab3, lab3.nodes[0].name, "sudo cat /proc/1/environ")


@pytest.mark.parametrize(
    ("flavour", "user", "hostname", "live", "swap"),
    [
        ("ubuntu-24.04", "ubuntu", "ubuntu", "/boot/firmware/cmdline.txt", ""),
        ("ubuntu-25.10", "ubuntu", "ubuntu", "/boot/firmware/current/cmdline.txt", ""),
        ("pios-trixie", "pi", "raspberrypi", "/boot/firmware/cmdline.txt", "/dev/zram0"),
        ("jetson", "nvidia", "ubuntu", "/boot/extlinux/extlinux.conf", "/dev/zram0"),
        ("x86", "debian", "debian", "/etc/default/grub", "/swap.img"),
    ],
)
def test_flavours(
    lab_factory: LabFactory, prefix: str, flavour: str, user: str, hostname: str, live: str, swap: str
) -> None:
    host = f"{prefix}one"
    lab = lab_factory("{}one", flavour=flavour)
    assert out(lab, host, "whoami; uname -n").split() == [user, hostname]
    assert out(lab, host, "sed 1d /proc/swaps | cut -d' ' -f1") == swap
    assert out(lab, host, "systemctl is-system-running --wait >/dev/null; systemctl --failed --plain --no-legend") == ""
    before = out(lab, host, "cat /proc/cmdline")
    if live.endswith("grub"):
        out(lab, host, f"sudo sed -i 's/^GRUB_CMDLINE_LINUX=.*/GRUB_CMDLINE_LINUX=\"seen=1\"/' {live}")
        reboot(lab, host)
        assert out(lab, host, "cat /proc/cmdline") == before  # update-grub was not run
        out(lab, host, "sudo update-grub")
    else:
        out(lab, host, f"sudo sed -i '/root=/s/$/ seen=1/' {live}")
    reboot(lab, host)
    assert "seen=1" in out(lab, host, "cat /proc/cmdline").split()


def test_trixie_swap(lab_factory: LabFactory, prefix: str) -> None:
    host = f"{prefix}trixie"
    lab = lab_factory("{}trixie", flavour="pios-trixie")
    out(lab, host, "sudo systemctl stop dev-zram0.swap")
    assert len(out(lab, host, "cat /proc/swaps").splitlines()) == 1
    reboot(lab, host)
    assert "/dev/zram0" in out(lab, host, "cat /proc/swaps")
    out(lab, host, "sudo sh -c 'mkdir -p /etc/rpi/swap.conf.d; printf \"[Main]\\nMechanism=none\\n\" "
                   "> /etc/rpi/swap.conf.d/50-none.conf'")  # fmt: skip
    reboot(lab, host)
    assert len(out(lab, host, "cat /proc/swaps").splitlines()) == 1


def test_sudo_asks_for_the_password(lab_factory: LabFactory, prefix: str) -> None:
    host = f"{prefix}sudo"
    lab = lab_factory("{}sudo", sudo="password")
    assert lab.run(host, "sudo -n true").returncode != 0
    given = subprocess.run(
        lab.ssh(host, ["sudo -S -p '' id -u"]), input=f"{lab.password}\n", capture_output=True, text=True, check=False
    )
    assert (given.returncode, given.stdout.strip()) == (0, "0")
    wrong = subprocess.run(
        lab.ssh(host, ["sudo -S -p '' id -u"]), input="wrong\n", capture_output=True, text=True, check=False
    )
    assert wrong.returncode != 0


def test_two_labs_and_down_leaves_nothing(lab_factory: LabFactory, prefix: str, lab3: Lab) -> None:
    engine = find_engine()
    volumes = set(engine.run("volume", "ls", "-q").split())
    lab = lab_factory("{}blue[1-2]", flavours={f"{prefix}blue2": "ubuntu-24.04"})
    assert lab.description.subnet != lab3.description.subnet
    assert out(lab, f"{prefix}blue2", "whoami") == "ubuntu"
    config = ssh.user_config().read_bytes()
    lab.down()
    assert lab.containers() == []
    assert lab.name not in engine.networks().values()
    assert set(engine.run("volume", "ls", "-q").split()) <= volumes
    assert not state.folder(lab.name).exists()
    assert ssh.user_config().read_bytes() == config  # lab3 still needs the Include
    assert out(lab3, lab3.nodes[0].name, "whoami") == "pi"


def test_a_failed_up_leaves_nothing(lab_factory: LabFactory, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh, "login_works", lambda lab, host: False)
    with pytest.raises(PideployError, match="no login by ssh in time"):
        lab_factory("{}fail[1-2]", timeout=1)
    engine = find_engine()
    assert f"{prefix}fail1" not in {c.lab for c in engine.containers()} | set(engine.networks().values())
    assert not state.folder(f"{prefix}fail1").exists()


def test_killed_up_goes_with_down(engine: None, prefix: str) -> None:
    lab = f"{prefix}kill"
    program = "import sys; from pideploy.lab import Lab; Lab.up(sys.argv[1])"
    paths = os.pathsep.join(str(Path(p)) for p in sys.path if p)
    process = subprocess.Popen(
        [sys.executable, "-c", program, f"{lab},{lab}[1-3]"], env={**os.environ, "PYTHONPATH": paths},
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    found = find_engine()
    try:
        deadline = time.monotonic() + 120
        while not any(c.lab == lab for c in found.containers()):
            assert time.monotonic() < deadline
            assert process.poll() is None
        process.kill()
        process.wait()
        time.sleep(2)  # what the engine was at goes on without its caller
        done = subprocess.run(
            [sys.executable, "-m", "pideploy", "lab", "down", lab, "--output", "json"],
            env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {"removed": [lab]}
        assert lab not in {c.lab for c in found.containers()} | set(found.networks().values())
        assert not state.folder(lab).exists()
    finally:
        process.kill()
        remove(lab, found)


def test_every_flavour_is_tested() -> None:
    assert set(recipe.flavours()) == {"pios-bookworm", "pios-trixie", "ubuntu-24.04", "ubuntu-25.10", "jetson", "x86"}
