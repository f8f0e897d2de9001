# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""Bad input and bad surroundings: an error that names host and value, a hint, the exit code, and nothing changed."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.pideploy.k3s.plugins.module_utils import paths
from pideploy.lab import Lab, simk3s
from tests.fault.fleet import SIMULATED, Fleet, Running
from tests.lab.doors import pideploy

pytestmark = pytest.mark.lab


def elf(machine: int) -> bytes:
    """A program that is nothing but the head of a 64-bit ELF file (man 5 elf): 183 is arm64."""
    return b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHI", 2, machine, 1) + bytes(4096)


@pytest.fixture
def untouched(fleet: Fleet) -> Iterator[None]:
    before = fleet.fingerprint()
    yield
    assert fleet.fingerprint() == before


@pytest.mark.usefixtures("untouched")
class TestNothingIsChanged:
    """Each of these is refused before the first change."""

    def test_malformed_hostlist(self, fleet: Fleet) -> None:
        said = fleet.refused(2, "--hosts", f"{fleet.server},{fleet.server}[01-")
        assert f"'{fleet.server},{fleet.server}[01-'" in said
        assert "hint: Add the ']'." in said

    def test_unknown_flag(self, fleet: Fleet) -> None:
        done = pideploy("kubernetes", "-f", str(fleet.spec), "--k3s-versoin", "v1.36", code=2)
        assert "No such option: --k3s-versoin" in done.stderr
        assert "--k3s-version" in done.stderr.partition("No such option")[2]

    @pytest.mark.parametrize(
        ("given", "told"),
        [
            ("swap_stat=kept", ("'swap_stat'", "Did you mean 'swap_state'?")),
            ("swap_state=gone", ("'swap_state' cannot be 'gone'", "disabled, kept")),
            ("k3s_start_timeout=soon", ("k3s_start_timeout", "'soon'")),
        ],
    )
    def test_role_variable(self, fleet: Fleet, given: str, told: tuple[str, ...]) -> None:
        for door in (("--hosts", fleet.pis.hostlist), ("-f", str(fleet.spec))):
            said = fleet.refused(2, *door, "--set", given)
            assert all(text in said for text in told), said

    def test_spec_with_a_typo(self, fleet: Fleet) -> None:
        spec = fleet.write(name="typo", servrs=fleet.server)
        said = fleet.refused(2, "-f", str(spec))
        assert f"{spec}, line " in said
        assert "'servrs'" in said
        assert "hint: Did you mean 'servers'?" in said

    def test_agent_out_of_reach(self, fleet: Fleet) -> None:
        spec = fleet.write(f"{fleet.pis.hostlist},nowhere", connect={"nowhere": "192.0.2.254.invalid"})
        said = fleet.refused(3, "-f", str(spec), verb="plan")
        assert "nowhere: ssh: Could not resolve hostname 192.0.2.254.invalid" in said
        assert "error: 1 host out of reach: nowhere" in said
        assert "3 ok, 1 out of reach" in said
        assert "hint: `ssh HOST` has to work" in said

    def test_server_out_of_reach_stops_before_any_change(self, fleet: Fleet) -> None:
        spec = fleet.write(f"nowhere,{fleet.agent}", connect={"nowhere": "127.0.0.1:9"})
        said = fleet.refused(3, "-f", str(spec))
        assert "nowhere: ssh: connect to host 127.0.0.1 port 9: Connection refused" in said
        assert "error: 1 host out of reach: nowhere" in said

    def test_wrong_user(self, fleet: Fleet) -> None:
        said = fleet.refused(3, "-f", str(fleet.write(name="user", user="nobodyhere")))
        for host, address in fleet.pis.addresses.items():
            assert f"{host}: nobodyhere@{address}: Permission denied" in said

    def test_changed_host_key(self, fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        # Connections that are still open know the old key and would be used again.
        monkeypatch.setenv("ANSIBLE_SSH_CONTROL_PATH_DIR", str(tmp_path / "cp"))
        known = fleet.pis.state / "known_hosts"
        before = known.read_text()
        key = fleet.folder / "other"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        subprocess.run(["ssh-keygen", "-q", "-f", str(known), "-R", fleet.agent], capture_output=True, check=True)
        with known.open("a") as file:
            file.write(f"{fleet.agent} {key.with_suffix('.pub').read_text()}")
        try:
            said = fleet.refused(3, "-f", str(fleet.spec), "--limit", fleet.agent)
        finally:
            known.write_text(before)
        assert f"{fleet.agent}: its host key has changed, it shows ED25519 SHA256:" in said
        assert f'forget the old key: ssh-keygen -f "{known}" -R "{fleet.agent}"' in said
        assert "hint: compare with what the host itself says" in said

    def test_one_machine_by_two_names(self, fleet: Fleet) -> None:
        address = fleet.pis.addresses[fleet.agent]
        spec = fleet.write(f"{fleet.server},{fleet.agent},twin", name="same", connect={"twin": fleet.agent})
        assert f"{fleet.agent},twin: all are reached at {fleet.agent}" in fleet.refused(2, "-f", str(spec))
        spec = fleet.write(f"{fleet.server},{fleet.agent},twin", name="twin", connect={"twin": address})
        said = fleet.refused(1, "-f", str(spec))
        assert f"{fleet.agent}: is the same machine as twin (list each machine once)" in said
        assert f"error: failed on 2 hosts: {fleet.agent}, twin" in said

    def test_no_space_on_the_server(self, fleet: Fleet) -> None:
        said = fleet.refused(1, "-f", str(fleet.spec), "--set", "preflight_min_free_mb=99999999")
        assert "MB free for /var/lib/rancher, and 99999999 MB are needed (free some space" in said
        assert f"error: failed on 3 hosts: {', '.join(fleet.pis.names)}" in said


class TestArtifacts:
    """What cannot be put on the hosts: they are prepared, and have no k3s."""

    @pytest.fixture(autouse=True)
    def no_k3s(self, fleet: Fleet) -> Iterator[None]:
        yield
        for host in fleet.pis.names:
            assert fleet.pis.ssh(host, "ls /usr/local/bin/k3s /etc/rancher 2>/dev/null; true") == ""

    def artifacts(self, fleet: Fleet, *more: str) -> str:
        return fleet.refused(1, "-f", str(fleet.spec), *more)

    def test_no_network_for_a_download(self, fleet: Fleet, cache: Path) -> None:
        closed = "k3s_release_url=http://127.0.0.1:9"
        said = self.artifacts(fleet, "--set", closed, "--k3s-version", "v1.30.0+k3s1")
        assert "k3s v1.30.0+k3s1 for amd64 is not in the cache and http://127.0.0.1:9/" in said
        assert "Connection refused" in said
        assert "pideploy artifacts import" in said

    def test_tampered_artifact(self, fleet: Fleet, cache: Path) -> None:
        pideploy("artifacts", "import", simk3s.__file__, "--version", SIMULATED)
        [kept] = cache.rglob("k3s-any")
        kept.write_text(kept.read_text() + "# one more line\n")
        said = self.artifacts(fleet)
        assert f"{kept} is not the file that was checked when it came into the cache" in said
        assert f"pideploy artifacts remove {SIMULATED}" in said

    def test_artifact_of_another_architecture(self, fleet: Fleet, cache: Path, tmp_path: Path) -> None:
        program = tmp_path / "k3s"
        program.write_bytes(elf(183))
        pideploy("artifacts", "import", str(program), "--version", "v1.30.0+k3s1")
        closed = "k3s_release_url=http://127.0.0.1:9"
        said = self.artifacts(fleet, "--set", closed, "--k3s-version", "v1.30.0+k3s1")
        assert "k3s v1.30.0+k3s1 for amd64 is not in the cache" in said
        assert "the cache holds v1.30.0+k3s1 (arm64)" in said
        # Put by hand where an amd64 one belongs, with its checksum: it is looked at, and not believed.
        [kept] = cache.rglob("k3s-arm64")
        kept.rename(kept.with_name("k3s"))
        note = kept.with_name("k3s-arm64.sha256")
        kept.with_name("k3s.sha256").write_text(note.read_text().replace("k3s-arm64", "k3s"))
        said = self.artifacts(fleet, "--set", closed, "--k3s-version", "v1.30.0+k3s1")
        assert f"{kept.with_name('k3s')} is an artifact of the wrong architecture" in said
        assert "its name says amd64, its header arm64" in said


class TestRunningCluster:
    """What a running cluster refuses, and goes on running."""

    def test_a_second_run_at_the_same_time(self, fleet: Fleet) -> None:
        first = Running("kubernetes", "-f", str(fleet.spec))
        first.until("artifacts")
        said = fleet.refused(4, "-f", str(fleet.spec))
        assert f"cluster {fleet.server} is in use by `pideploy kubernetes -f" in said
        assert f"(pid {first.process.pid})" in said
        assert "hint: wait until it has ended" in said
        code, _said, last = first.end()
        assert (code, last["ok"]) == (0, True)

    @pytest.mark.usefixtures("untouched")
    def test_node_of_another_cluster(self, fleet: Fleet) -> None:
        said = fleet.refused(1, "-f", str(fleet.write(name="blue", cluster=f"{fleet.server}blue")))
        assert f"belongs to cluster '{fleet.server}', not to '{fleet.server}blue'" in said
        assert "(take the host out of this cluster, or reset it first (pideploy reset))" in said
        assert "error: failed on 3 hosts" in said

    @pytest.mark.usefixtures("untouched")
    def test_node_of_another_role(self, fleet: Fleet) -> None:
        said = fleet.refused(1, "-f", str(fleet.write(name="roles", servers=fleet.agent)))
        assert f"{fleet.server}: is k3s server and shall be agent (change servers:, or reset" in said
        assert f"{fleet.agent}: is k3s agent and shall be server" in said

    @pytest.mark.usefixtures("untouched")
    def test_k3s_of_another_version(self, fleet: Fleet) -> None:
        said = fleet.refused(1, "-f", str(fleet.spec), "--k3s-version", "v1.30.0+k3s1")
        assert f"runs k3s {SIMULATED}, and k3s_version says v1.30.0+k3s1" in said
        assert f"set k3s_version to {SIMULATED}" in said


def test_sudo_password(engine: None, prefix: str, tmp_path: Path) -> None:
    lab = Lab.up(f"{prefix}p", sudo="password")
    try:
        host, wrong, right = lab.nodes[0].name, tmp_path / "wrong", tmp_path / "right"
        wrong.write_text("not-the-password\n")
        right.write_text(lab.password + "\n")
        for file in (wrong, right):
            file.chmod(0o600)
        arguments = ("plan", "--hosts", host, "--k3s-version", SIMULATED)
        for more, reason in (((), "Missing"), (("--become-password-file", str(wrong)), "Incorrect")):
            done = pideploy(*arguments, *more, code=1)
            assert f"error: failed on 1 host: {host}" in done.stderr
            assert f"{host}: {reason} sudo password (preflight)" in done.stderr
            assert "hint: say sudo's password" in done.stderr
            assert "not-the-password" not in done.stderr
        done = pideploy(*arguments, "--become-password-file", str(right), "-o", "json")
        assert json.loads(done.stdout)["ok"]
        assert lab.password not in done.stdout + done.stderr
    finally:
        lab.down()
        shutil.rmtree(paths.state_dir(lab.name), ignore_errors=True)
