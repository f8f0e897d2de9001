# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""One test for each of ansible-runner's fifteen traps, numbered as in ``pideploy/runner.py``."""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pideploy import runner
from pideploy.errors import PideployError
from pideploy.state import STOP_FILE
from tests.contract.playground import Playground

# What a child of ansible-playbook sees, written by a task on the controller.
SHOW = """
- name: "guard: show"
  hosts: one
  gather_facts: false
  tasks:
    - name: Show
      ansible.builtin.debug:
        msg: "{{ %s }}"
"""
ENVIRONMENT = SHOW % "lookup('ansible.builtin.pipe', 'env -0 | base64 -w0')"
ARGUMENTS = """
- name: "guard: show"
  hosts: one
  gather_facts: false
  tasks:
    - name: Show
      ansible.builtin.command: ps -ww -eo args
"""
SLEEP = """
- name: "guard: first"
  hosts: one
  gather_facts: false
  tasks:
    - name: Sleep
      ansible.builtin.command: sleep {seconds}
- name: "preflight: second"
  hosts: one
  gather_facts: false
  tasks:
    - name: After
      ansible.builtin.debug: {{msg: after}}
"""


def shown(playground: Playground) -> str:
    return str(playground.results("Show")["one"]["msg"])


def environment_seen(playground: Playground) -> dict[str, str]:
    import base64

    pairs = base64.b64decode(shown(playground)).decode().split("\0")
    return dict(p.split("=", 1) for p in pairs if p)


def test_01_host_keys_are_checked(playground: Playground) -> None:
    playground.run(ENVIRONMENT)
    assert environment_seen(playground)["ANSIBLE_HOST_KEY_CHECKING"] == "True"


def test_01_even_against_the_user(playground: Playground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANSIBLE_HOST_KEY_CHECKING", "False")
    Path("ansible.cfg").write_text("[defaults]\nhost_key_checking = False\n")
    playground.run(SHOW % "lookup('ansible.builtin.config', 'HOST_KEY_CHECKING')")
    assert shown(playground) == "True"


def test_02_variables_of_an_earlier_run_are_not_taken_up(playground: Playground) -> None:
    playground.run(SHOW % "marker | default('none')", extra_vars={"marker": "first"})
    assert shown(playground) == "first"
    playground.run(SHOW % "marker | default('none')")
    assert shown(playground) == "none"
    assert not list(playground.folder.glob("run*/env"))


def test_02_a_used_folder_is_refused(playground: Playground) -> None:
    playground.run(SHOW % "1")
    command = runner.Command(playbook="play.yml", inventory=playground.inventory, hosts=1)
    with pytest.raises(FileExistsError):
        runner.run(command, playground.run_folder, lambda raw: None, threading.Event())


def test_03_variables_are_not_on_the_command_line(playground: Playground) -> None:
    playground.run(ARGUMENTS, extra_vars={"marker": "s3cr3t-value"}, limit=["one"])
    lines = [line for line in playground.results("Show")["one"]["stdout_lines"] if "ansible-playbook" in line]
    assert any("--limit one" in line and "-e @" in line for line in lines)
    assert not any("s3cr3t-value" in line for line in lines)


def test_03_the_variables_file_is_private_and_goes(playground: Playground) -> None:
    seen: list[int] = []

    def look(raw: Mapping[str, Any]) -> None:
        for file in playground.run_folder.glob("vars*"):
            seen.append(stat.S_IMODE(file.stat().st_mode))

    playground.run(SHOW % "marker", look, extra_vars={"marker": "a \"quoted\" 'word'"})
    assert shown(playground) == "a \"quoted\" 'word'"
    assert set(seen) == {0o600}
    assert not list(playground.run_folder.glob("vars*"))


def test_04_the_environment_is_not_kept(playground: Playground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3t-value")
    monkeypatch.setenv("ANSIBLE_VAULT_IDENTITY", "kept-for-ansible")
    during: list[bool] = []
    playground.run(SHOW % "1", lambda raw: during.append((playground.run_folder / "ansible/command").exists()))
    assert during
    assert not any(during)
    written = [p for p in playground.run_folder.rglob("*") if p.is_file()]
    assert written
    assert not any(w in p.read_text() for p in written for w in ("s3cr3t-value", "kept-for-ansible"))


def test_04_only_what_is_needed_is_passed_on(playground: Playground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("PIDEPLOY_BECOME_PASSWORD", "secret")
    monkeypatch.setenv("WANTED", "yes")
    monkeypatch.setenv("PIDEPLOY_PASS_ENV", "WANTED")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    playground.run(ENVIRONMENT)
    seen = environment_seen(playground)
    assert "AWS_SECRET_ACCESS_KEY" not in seen
    assert "PIDEPLOY_BECOME_PASSWORD" not in seen
    assert seen["WANTED"] == "yes"
    assert seen["HTTPS_PROXY"] == "http://proxy:3128"
    assert seen["HOME"] == os.environ["HOME"]


def test_05_a_stop_waits_for_the_next_play(playground: Playground) -> None:
    def stop(raw: Mapping[str, Any]) -> None:
        if raw["event"] == "playbook_on_task_start":
            (playground.run_folder / STOP_FILE).touch()

    outcome = playground.run(SLEEP.format(seconds=1), stop)
    assert outcome.status == "interrupted"
    assert outcome.exit_status == 130
    assert playground.results("Sleep")["one"]["rc"] == 0
    assert playground.results("After") == {}


def test_05_without_a_stop_file_the_next_play_runs(playground: Playground) -> None:
    assert playground.run(SLEEP.format(seconds=0)).status == "successful"
    assert playground.results("After")["one"]["msg"] == "after"


def running(word: str) -> list[str]:
    import subprocess

    listed = subprocess.run(["ps", "-ww", "-A", "-o", "args="], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if word in line]


def test_06_a_cancel_is_heard_soon_and_leaves_no_process_here(playground: Playground) -> None:
    asked: list[float] = []

    def cancel(raw: Mapping[str, Any]) -> None:
        if raw["event"] == "runner_on_start" and not asked:
            deadline = time.monotonic() + 10
            while not running("sleep 31.4159") and time.monotonic() < deadline:
                time.sleep(0.05)
            asked.append(time.monotonic())
            playground.cancel.set()

    outcome = playground.run(SLEEP.format(seconds=31.4159), cancel)
    assert outcome.status == "canceled"
    assert time.monotonic() - asked[0] < 4, "runner's own interval is 5 s"
    assert running(str(playground.folder)) == []
    assert running("sleep 31.4159") == []


def test_07_signal_handlers_are_the_callers(playground: Playground) -> None:
    def mine(number: int, frame: object) -> None:
        raise AssertionError

    before = {number: signal.signal(number, mine) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        during: list[object] = []
        playground.run(SHOW % "1", lambda raw: during.append(signal.getsignal(signal.SIGINT)))
        assert set(during) == {mine}
        assert signal.getsignal(signal.SIGINT) is mine
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_08_no_fact_cache(playground: Playground) -> None:
    playground.run(ENVIRONMENT)
    assert "ANSIBLE_CACHE_PLUGIN" not in environment_seen(playground)
    assert not list(playground.run_folder.rglob("fact_cache"))


def test_08_the_users_fact_cache_is_kept(playground: Playground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANSIBLE_CACHE_PLUGIN", "memory")
    playground.run(ENVIRONMENT)
    assert environment_seen(playground)["ANSIBLE_CACHE_PLUGIN"] == "memory"


def test_09_files_are_for_their_owner(playground: Playground) -> None:
    before = os.umask(0o022)
    try:
        playground.run(SHOW % "1", extra_vars={"a": 1})
    finally:
        os.umask(before)
    below = [playground.run_folder, *playground.run_folder.rglob("*")]
    assert {p.name for p in below} >= {"stdout", "stderr"}
    assert [p for p in below if stat.S_IMODE(p.stat().st_mode) & 0o077 and p.is_file()] == []
    assert [p for p in (playground.run_folder, playground.run_folder / "ansible") if p.stat().st_mode & 0o077] == []


def test_10_no_file_an_event(playground: Playground) -> None:
    playground.run(SHOW % "1")
    assert [e["event"] for e in playground.events][-1] == "playbook_on_stats"
    assert list((playground.run_folder / "ansible" / "job_events").iterdir()) == []


def test_11_an_exception_of_the_handler_reaches_the_caller(playground: Playground) -> None:
    def broken(raw: Mapping[str, Any]) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        playground.run(SLEEP.format(seconds=0), broken)
    assert "after" not in playground.output()


def test_11_also_from_a_thread(playground: Playground) -> None:
    caught: list[BaseException] = []

    def work() -> None:
        try:
            playground.run(SHOW % "1", lambda raw: 1 / 0)  # type: ignore[arg-type, return-value]
        except ZeroDivisionError as exc:
            caught.append(exc)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert caught


def test_12_ansible_beside_this_python(playground: Playground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert playground.run(ENVIRONMENT).status == "successful"
    assert environment_seen(playground)["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)


def test_12_no_ansible_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    with pytest.raises(PideployError, match="ansible-playbook is neither in"):
        runner.environment(tmp_path / "stop", {"PATH": str(tmp_path)})


def test_13_settings_of_a_folder_do_not_win(playground: Playground) -> None:
    (playground.folder / "env").mkdir()
    (playground.folder / "env" / "settings").write_text("pexpect_timeout: 60\n")
    (playground.folder / "env" / "cmdline").write_text("--check")
    playground.run(SHOW % "ansible_check_mode")
    assert shown(playground) == "False"


def test_14_user_text_is_never_an_option(playground: Playground) -> None:
    playground.run(SHOW % "ansible_check_mode", limit=["one --check", "--check", "one"])
    assert shown(playground) == "False"


def test_14_check_mode_is(playground: Playground) -> None:
    playground.run(SHOW % "ansible_check_mode ~ ansible_diff_mode", check=True)
    assert shown(playground) == "TrueTrue"


def test_15_nothing_is_frozen() -> None:
    """No promise of a single binary: the package data that ansible-playbook needs is on disk."""
    assert not getattr(sys, "frozen", False)
    import ansible_runner

    assert Path(ansible_runner.__file__).is_file()


FAKE_SUDO = """#!/bin/sh
# Asks like sudo -S does, keeps what it was told, and runs the command.
while [ $# -gt 0 ]; do
  case "$1" in
    -p) printf '%s' "$2" >&2; shift 2;;
    -u) shift 2;;
    -*) shift;;
    *) break;;
  esac
done
IFS= read -r answer
printf '%s' "$answer" > "$HOME/answer"
exec "$@"
"""


def test_the_become_password_is_given_at_the_prompt(playground: Playground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANSIBLE_BECOME_ALLOW_SAME_USER", "True")  # the test may run as root
    sudo = playground.folder / "sudo"
    sudo.write_text(FAKE_SUDO)
    sudo.chmod(0o755)
    play = f"""
- name: "guard: become"
  hosts: one
  gather_facts: false
  become: true
  vars: {{ansible_become_exe: {sudo}}}
  tasks:
    - name: Become
      ansible.builtin.command: ps -ww -eo args
"""
    password = "correct horse $battery"
    outcome = playground.run(play, become_password=password)
    assert outcome.status == "successful", playground.output()
    assert (Path.home() / "answer").read_text() == password
    assert password not in json.dumps(playground.events)
    assert password not in playground.output()


def test_a_locale_that_ansible_refuses_is_mended(playground: Playground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    assert playground.run(SHOW % "1").status == "successful"


def test_ansible_cfg_of_the_working_folder_is_respected(playground: Playground) -> None:
    Path("ansible.cfg").write_text("[defaults]\nany_errors_fatal = True\n")
    playground.run(SHOW % "lookup('ansible.builtin.config', 'ANY_ERRORS_FATAL')")
    assert shown(playground) == "True"


def test_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    def forks(hosts: int) -> int | None:
        return runner.Command(playbook="p", inventory=Path("i"), hosts=hosts).forks

    assert [forks(n) for n in (1, 5, 20, 50, 500)] == [5, 5, 20, 50, 50]
    monkeypatch.setenv("ANSIBLE_FORKS", "3")
    assert forks(20) is None


def test_printed_line() -> None:
    command = runner.Command(
        playbook="pideploy.k3s.site",
        inventory=Path("/home/me/my clusters/red.pideploy.yml"),
        hosts=3,
        limit=("red01", "red02"),
        extra_vars={"verify_level": "full"},
        check=True,
        become_password="never shown",
    )
    assert command.line() == (
        "ansible-playbook -i '/home/me/my clusters/red.pideploy.yml' --check --diff --ask-become-pass"
        """ --limit red01,red02 --forks 5 -e '{"verify_level": "full"}' pideploy.k3s.site"""
    )
    assert "never shown" not in repr(command)
