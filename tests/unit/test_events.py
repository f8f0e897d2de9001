# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from pideploy.event_reader import EventReader, Mask, one_line
from pideploy.events import (
    Event,
    HostResult,
    HostTotals,
    Notice,
    PhaseFinished,
    PhaseStarted,
    TaskStarted,
)
from tests.unit import raw_events as raw


def read(events: Iterable[raw.Raw], mask: Mask | None = None) -> list[Event]:
    ticks = iter(range(1000))
    reader = EventReader(mask, clock=lambda: float(next(ticks)))
    return [typed for event in events for typed in reader.feed(event)]


def test_plays_of_one_phase_are_one_phase() -> None:
    events = read(
        [
            raw.play("servers: the first"),
            raw.task("Start it"),
            raw.result("red", status="changed"),
            raw.play("servers: the others"),
            raw.result("red", status="ok"),
            raw.play("agents: join"),
            raw.result("red01"),
            raw.stats(),
        ]
    )
    assert [type(e) for e in events] == [
        PhaseStarted,
        TaskStarted,
        HostResult,
        HostResult,
        PhaseFinished,
        PhaseStarted,
        HostResult,
        PhaseFinished,
        HostTotals,
    ]
    finished = events[4]
    assert isinstance(finished, PhaseFinished)
    assert (finished.phase, finished.title, finished.changed, finished.ok) == ("servers", "Start the server", 1, 0)


@pytest.mark.parametrize(
    ("statuses", "counted"),
    [
        (["ok", "changed", "ok"], "changed"),
        (["skipped", "ok"], "ok"),
        (["skipped"], "skipped"),
        (["changed", "failed"], "failed"),
        (["unreachable"], "unreachable"),
        (["failed", "ok"], "ok"),  # rescued
    ],
)
def test_a_host_counts_once_by_the_worst(statuses: list[str], counted: str) -> None:
    events = read([raw.play("prepare: x"), *[raw.result("red", status=s) for s in statuses], raw.stats()])
    finished = next(e for e in events if isinstance(e, PhaseFinished))
    counts = {s: getattr(finished, s) for s in ("ok", "changed", "failed", "unreachable", "skipped")}
    assert counts == {s: int(s == counted) for s in counts}


def test_bookkeeping_on_the_controller_is_nothing_done_to_a_host() -> None:
    for action in ("ansible.builtin.debug", "ansible.builtin.group_by", "ansible.builtin.assert"):
        for status, counted in (("ok", 0), ("changed", 0), ("skipped", 1), ("failed", 1)):
            events = read([raw.play("reboot: x"), raw.result("red", action, status), raw.stats()])
            finished = next(e for e in events if isinstance(e, PhaseFinished))
            assert finished.ok + finished.changed + finished.failed + finished.skipped == counted


def only_result(**options: Any) -> HostResult:
    events = read([raw.play("prepare: x"), raw.result("red", **options)])
    found = events[-1]
    assert isinstance(found, HostResult)
    return found


@pytest.mark.parametrize(
    ("res", "message"),
    [
        ({"msg": "no space left"}, "no space left"),
        ({"msg": "two\n  lines\twith\x1b[31m colour\x1b[0m and \x07bell"}, "two lines with colour and bell"),
        ({"msg": ["one", "two"]}, "one; two"),
        ({"msg": "Task failed: Module failed: the real thing"}, "the real thing"),
        (
            {
                "msg": 'Task failed: Data could not be sent to remote host "red". Make sure this host can be reached'
                " over ssh: ssh: connect to host red port 22: No route to host"
            },
            "ssh: connect to host red port 22: No route to host",
        ),
        (
            {"msg": "Failed to connect to the host via ssh: pi@red: Permission denied (publickey)."},
            "pi@red: Permission denied (publickey).",
        ),
        (
            {
                "msg": "Failed to connect to the host via ssh: Warning: Permanently added 'red' (ED25519) to the list "
                "of known hosts.\r\npi@red: Permission denied (publickey)."
            },
            "pi@red: Permission denied (publickey).",
        ),
        ({"msg": "red: says its own name"}, "says its own name"),
        ({}, "failed without a message"),
        ({"msg": "non-zero return code", "rc": 2, "stderr": "first\nlast words\n"}, "exit code 2: last words"),
        (
            {"msg": "One or more items failed", "results": [{"msg": "fine"}, {"failed": True, "msg": "item 2"}]},
            "item 2",
        ),
        ({"censored": "the output has been hidden"}, "the result is hidden because it holds a secret"),
    ],
)
def test_message_of_a_failure(res: dict[str, Any], message: str) -> None:
    assert only_result(status="failed", res=res).message == message


CHANGED_KEY = """Failed to connect to the host via ssh: @@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!
The fingerprint for the ED25519 key sent by the remote host is
SHA256:ImiCpT61yb3A6WPsMD4sM0BFl01xK/mwv5L2ntVLkgM.
Please contact your system administrator.
Offending ED25519 key in /state/red/known_hosts:3
  remove with:
  ssh-keygen -f "/state/red/known_hosts" -R "red01"
Host key for red01 has changed and you have requested strict checking.
Host key verification failed."""


def test_a_changed_host_key_says_fingerprint_and_remedy() -> None:
    assert only_result(status="unreachable", res={"msg": CHANGED_KEY}).message == (
        "its host key has changed, it shows ED25519 SHA256:ImiCpT61yb3A6WPsMD4sM0BFl01xK/mwv5L2ntVLkgM."
        " If you reinstalled or replaced this host, forget the old key:"
        ' ssh-keygen -f "/state/red/known_hosts" -R "red01"'
    )


def test_an_ignored_failure_is_none() -> None:
    assert only_result(status="failed", res={"msg": "x"}, ignore_errors=True).status == "ok"


def test_a_delegated_task_names_where_it_ran() -> None:
    found = only_result(res={"_ansible_delegated_vars": {"ansible_delegated_host": "red00"}})
    assert (found.host, found.ran_on) == ("red", "red00")


def test_data_of_our_plugins_only() -> None:
    assert only_result(action="pideploy.k3s.node_facts", res={"a": 1}).data == {"changed": False, "a": 1}
    assert only_result(action="ansible.builtin.command", res={"a": 1}).data == {}


def test_diffs_of_a_task_and_of_its_items() -> None:
    one, two = {"before": "a", "after": "b"}, {"before": "c", "after": "d"}
    found = only_result(status="changed", res={"diff": [one, {}], "results": [{"diff": two}]})
    assert list(found.diff) == [one, two]
    assert only_result(status="ok", res={"diff": one}).diff == ()


def test_json_has_no_raw_data() -> None:
    shown = only_result(action="pideploy.k3s.node_facts", res={"secret": 1}, status="changed").to_dict()
    assert shown["event"] == "host_result"
    assert "data" not in shown
    assert json.loads(json.dumps(shown)) == {**shown, "diff": []}


def test_secrets_are_masked_everywhere() -> None:
    secret = 'K10abc::server:s"3'
    mask = Mask([secret, "no"])  # a value this short would blank out words
    res = {"msg": f"bad token {secret} no", "nested": [{secret: secret}], "diff": {"before": secret, "after": ""}}
    found = read(
        [
            raw.play("servers: x"),
            raw.task(f"Use {secret}"),
            raw.result("red", "pideploy.k3s.k3s_node", "changed", res=res),
            raw.result("red", "pideploy.k3s.k3s_node", "failed", res=res),
            {"event": "warning", "stdout": f"[WARNING]: {secret}", "event_data": {}},
        ],
        mask,
    )
    assert secret not in repr(found)
    assert secret not in repr([e.data for e in found if isinstance(e, HostResult)])
    assert found[-2].message == "bad token ******** no"  # type: ignore[attr-defined]
    assert json.dumps(secret)[1:-1] not in mask.text(json.dumps({"a": secret}))


def test_notices() -> None:
    events = read([{"event": "warning", "stdout": "[WARNING]: odd\r\nthing", "event_data": {}}])
    assert isinstance(events[0], Notice)
    assert (events[0].level, events[0].message) == ("warning", "odd thing")


def test_one_line_is_cut_in_the_middle() -> None:
    text = one_line("red01: " + "x" * 2000 + " delete that node")
    assert len(text) == 1000
    assert text.startswith("red01: xxx")
    assert " … xxx" in text
    assert text.endswith("x delete that node")
    assert one_line("x" * 1000) == "x" * 1000


def test_the_remedy_of_a_long_failure_is_kept() -> None:
    remedy = "delete that node (k3s kubectl delete node NAME), then run again"
    causes = " | ".join("Waiting to retrieve agent configuration: " + "y" * 900 for _ in range(2))
    res = {"msg": f"red01: is not Ready (k3s-agent.service is activating: {causes}). {remedy}"}
    [event] = read([raw.result("red01", "ansible.builtin.fail", "failed", res=res)])
    assert isinstance(event, HostResult)
    assert event.message.startswith("is not Ready (k3s-agent.service is activating: Waiting")
    assert event.message.endswith(remedy)


def test_a_plan_finishes_no_phase_that_it_leaves_out() -> None:
    events = raw.verified(checks=[])
    for plan, counted in ((False, (1, 0)), (True, (0, 1))):
        reader = EventReader(plan=plan)
        [done] = [e for r in [*events, raw.stats()] for e in reader.feed(r) if isinstance(e, PhaseFinished)]
        assert (done.ok, done.skipped) == counted
