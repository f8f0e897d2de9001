# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""The cluster's block in /etc/hosts, and what becomes of Debian's 127.0.1.1 line."""

from __future__ import annotations

import pytest

from ansible_collections.pideploy.k3s.plugins.module_utils import etc_hosts

DEBIAN = "127.0.0.1\tlocalhost\n::1\t\tlocalhost ip6-localhost\n\n127.0.1.1\traspberrypi\n"
HOSTS = [{"address": "10.0.0.10", "names": ["red"]}, {"address": "10.0.0.11", "names": ["red01"]}]
BLOCK = "# BEGIN pideploy\n10.0.0.10\tred\n10.0.0.11\tred01\n# END pideploy\n"


def render(text: str, name: str = "red", old: str = "raspberrypi", hosts: object = HOSTS) -> str:
    return etc_hosts.render(text, name, old, hosts)  # type: ignore[arg-type]


def test_block_is_appended_and_the_loopback_line_goes() -> None:
    after = render(DEBIAN)
    assert after == DEBIAN.replace("127.0.1.1\traspberrypi\n", "") + BLOCK
    assert render(after, old="red") == after


def test_block_is_replaced_in_place() -> None:
    text = "127.0.0.1 localhost\n" + BLOCK + "10.9.9.9 printer\n"
    after = render(text, old="red", hosts=HOSTS[:1])
    assert after == "127.0.0.1 localhost\n# BEGIN pideploy\n10.0.0.10\tred\n# END pideploy\n10.9.9.9 printer\n"


def test_no_hosts_deletes_the_block_and_the_name_stays_known() -> None:
    assert render("127.0.0.1 localhost\n" + BLOCK, old="red", hosts=[]) == "127.0.0.1 localhost\n127.0.1.1\tred\n"


def test_without_hosts_the_loopback_line_is_renamed() -> None:
    assert render(DEBIAN, hosts=None) == DEBIAN.replace("raspberrypi", "red")


def test_other_names_of_the_loopback_line_stay() -> None:
    text = "127.0.0.1 localhost\n127.0.1.1\traspberrypi.lan raspberrypi nas # mine\n"
    assert render(text, hosts=None) == "127.0.0.1 localhost\n127.0.1.1\tred.lan red nas # mine\n"
    assert render(text) == "127.0.0.1 localhost\n127.0.1.1\tnas # mine\n" + BLOCK


def test_file_without_a_loopback_line_gets_the_name() -> None:
    assert render("127.0.0.1 localhost\n10.1.1.1 x\n", hosts=None) == (
        "127.0.0.1 localhost\n127.0.1.1\tred\n10.1.1.1 x\n"
    )


def test_a_host_called_localhost_keeps_localhost() -> None:
    text = "127.0.0.1 localhost\n127.0.1.1 localhost\n"
    assert "127.0.1.1 localhost\n" in render(text, old="localhost", hosts=None)


def test_a_file_without_a_last_newline() -> None:
    assert render("127.0.0.1 localhost", old="red") == "127.0.0.1 localhost\n" + BLOCK


def test_block_is_read_back() -> None:
    assert etc_hosts.block(render(DEBIAN)) == HOSTS
    assert etc_hosts.block(DEBIAN) == []


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"address": "10.0.0.300", "names": ["red"]}, "'10.0.0.300' is no IP address"),
        ({"address": "10.0.0.1\n6.6.6.6 bank", "names": ["red"]}, "is no IP address"),
        ({"address": "10.0.0.1", "names": ["red\n6.6.6.6 bank"]}, "is no host name"),
        ({"address": "10.0.0.1", "names": ["{{ x }}"]}, "is no host name"),
        ({"address": "10.0.0.1", "names": []}, "has no names"),
    ],
)
def test_bad_entries_are_refused(entry: dict[str, object], words: str) -> None:
    with pytest.raises(etc_hosts.HostsError, match=words):
        etc_hosts.check([entry])


def test_cluster_entries_keep_what_a_limited_run_did_not_see() -> None:
    known = [[{"address": "10.0.0.11", "names": ["red01"]}], []]
    nodes = [("red", "10.0.0.10"), ("red01", None), ("red02", None)]
    assert etc_hosts.cluster_entries(nodes, known) == HOSTS
