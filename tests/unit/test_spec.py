# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""The spec: what it means, and what is said about a mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.pideploy.k3s.plugins.module_utils import spec, spec_variables, spec_yaml
from ansible_collections.pideploy.k3s.plugins.module_utils.hostlist import HostlistError
from ansible_collections.pideploy.k3s.plugins.module_utils.hosts import HostError, parse_host
from ansible_collections.pideploy.k3s.plugins.module_utils.spec import Spec, SpecError

FULL = """\
plugin: pideploy.k3s.hostlist
cluster: lab
hosts: "red,red[01-02],jet[1-3]"
servers: "red"
user: pi
connect:
  red: 10.0.0.57
  "red[01-02]": "pi2@10.0.0.[58-59]:2222"
addresses: 10.0.0.10/24+
host_groups: {gpu: {hosts: "jet[1-3]", vars: {k3s_version: v1.34.9+k3s1}}}
host_vars:
  "jet[1-2]": {k3s_node_labels: [gpu=nano]}
  jet1: {color: green}
vars:
  k3s_version: v1.36.4+k3s1
  k3s_start_timeout: 300
  k3s_token: !vault |
    $ANSIBLE_VAULT;1.1;AES256
    6162
  own_thing: 5
keyed_groups: [{key: k3s_version}]
"""


def short(text: str) -> Spec:
    return spec.parse("plugin: hostlist\n" + text, "s.pideploy.yml")


def test_everything() -> None:
    read = spec.parse(FULL, "lab.pideploy.yml")
    assert (read.cluster, read.servers, read.user) == ("lab", ["red"], "pi")
    assert [host.name for host in read.hosts] == ["red", "red01", "red02", "jet1", "jet2", "jet3"]
    assert read.agents == ["red01", "red02", "jet1", "jet2", "jet3"]
    assert read.addresses["red"] == "10.0.0.10/24"
    assert read.addresses["jet3"] == "10.0.0.15/24"
    assert read.host_groups == {"gpu": {"hosts": ["jet1", "jet2", "jet3"], "vars": {"k3s_version": "v1.34.9+k3s1"}}}
    assert read.host_vars == {
        "jet1": {"k3s_node_labels": ["gpu=nano"], "color": "green"},
        "jet2": {"k3s_node_labels": ["gpu=nano"]},
    }
    assert isinstance(read.vars["k3s_token"], spec.Vault)
    assert read.warnings == []


def test_host_variables() -> None:
    read = spec.parse(FULL)
    assert read.host_variables("red02") == {
        "ansible_host": "10.0.0.59",
        "ansible_user": "pi2",
        "ansible_port": 2222,
        "ansible_ssh_extra_args": "-o HostKeyAlias=red02",
        "k3s_node_name": "red02",
        "static_ip_address": "10.0.0.12/24",
    }
    assert read.host_variables("jet1")["k3s_node_labels"] == ["gpu=nano"]
    with pytest.raises(KeyError):
        read.host_variables("blue")


def test_group_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIDEPLOY_STATE_HOME", "/state of 100%")
    variables = spec.parse(FULL).group_variables()
    assert variables["ansible_ssh_common_args"] == (
        "-o StrictHostKeyChecking=accept-new "
        """-o 'UserKnownHostsFile="/state of 100%%/clusters/lab/known_hosts"'"""
    )
    assert "-C" not in variables["ansible_ssh_args"].split()
    assert variables["ansible_host_key_checking"] is True
    assert variables["ansible_pipelining"] is True
    assert variables["ansible_become"] is True
    assert variables["ansible_user"] == "pi"
    assert variables["k3s_cluster_name"] == "lab"
    assert variables["k3s_version"] == "v1.36.4+k3s1"
    assert "ansible_user" not in short("hosts: red").group_variables()


def test_the_users_own_variables_win() -> None:
    read = short("hosts: red\nvars: {ansible_pipelining: false}\nhost_vars: {red: {k3s_node_name: boss}}")
    assert read.group_variables()["ansible_pipelining"] is False
    assert read.host_variables("red")["k3s_node_name"] == "boss"


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("red", {"name": "red", "node": "red"}),
        ("Red.local", {"name": "Red.local", "node": "red"}),
        ("pi@red", {"name": "red", "node": "red", "ansible_host": "red", "ansible_user": "pi"}),
        ("red:2222", {"name": "red", "node": "red", "ansible_host": "red", "ansible_port": 2222}),
        ("10.0.0.5", {"name": "10.0.0.5", "ansible_host": "10.0.0.5"}),
        ("fe80::1", {"name": "fe80::1", "ansible_host": "fe80::1"}),
        ("pi@[fe80::1]:22", {"name": "fe80::1", "ansible_host": "fe80::1", "ansible_user": "pi", "ansible_port": 22}),
    ],
)
def test_entries(entry: str, expected: dict[str, Any]) -> None:
    read = short(f'hosts: "{entry}"')
    host = read.hosts[0]
    variables = read.host_variables(host)
    assert host.entry == entry
    assert host.name == expected.pop("name")
    assert variables.pop("k3s_node_name", None) == expected.pop("node", None)
    assert variables.pop("ansible_ssh_extra_args") == f"-o HostKeyAlias={host.name}"
    assert variables == expected


def test_cluster_defaults_to_the_first_host() -> None:
    assert short("hosts: red02,red").cluster == "red02"
    assert short("hosts: 10.0.0.5").cluster == "10.0.0.5"
    assert short('hosts: "fe80::1"').cluster == "fe80--1"


def test_hosts_as_list_block_and_file(tmp_path: Path) -> None:
    assert [h.name for h in short('hosts: [red, "red[01-02]"]').hosts] == ["red", "red01", "red02"]
    assert [h.name for h in short("hosts: |\n  red\n  red[01-02]\n").hosts] == ["red", "red01", "red02"]
    (tmp_path / "rack.txt").write_text("red\nred[01-02]\n")
    (tmp_path / "a.pideploy.yml").write_text('plugin: hostlist\nhosts: "@rack.txt"\n')
    assert [h.name for h in spec.load(str(tmp_path / "a.pideploy.yml")).hosts] == ["red", "red01", "red02"]
    with pytest.raises(SpecError, match="not read here"):
        spec.parse('plugin: hostlist\nhosts: "@/etc/hostname"', files=False)


@pytest.mark.parametrize(
    ("hosts", "servers", "warned"),
    [
        ("red01,red,red02", "", True),
        ("red,red01", "", False),
        ("red01,red02", "", False),
        ("red01,red,blue", "", False),
        ("red01,red", "red", False),
        ("10.0.0.5,red", "", True),
    ],
)
def test_warning_where_cloudmesh_would_choose_another_server(hosts: str, servers: str, warned: bool) -> None:
    read = spec.from_flags(hosts, servers)
    assert read.servers == [servers or hosts.split(",")[0]]
    assert bool(read.warnings) == warned
    assert all("'red' is the only name without a number" in warning for warning in read.warnings)


ERRORS = [
    ("", 0, 0, "the file is empty", "plugin:"),
    ("- red", 1, 1, "no mapping", ""),
    ("a: [", 1, 5, "no valid YAML", ""),
    ("hosts: red", 1, 1, "'plugin' is missing", "plugin: pideploy.k3s.hostlist"),
    ("plugin: nope\nhosts: red", 1, 9, "'nope' is another plugin", ""),
    ("plugin: hostlist", 1, 1, "'hosts' is missing", "red,red[01-02]"),
    ("plugin: hostlist\nhosts: ''", 2, 9, "names no host", ""),
    ("plugin: hostlist\nhsts: red", 2, 1, "no key 'hsts'", "Did you mean 'hosts'?"),
    ("plugin: hostlist\nhosts: red\nmaster: red", 3, 1, "no key 'master'", "Did you mean 'servers'?"),
    ("plugin: hostlist\nhosts: red\nk3s_version: v1", 3, 1, "no key 'k3s_version'", "below 'vars'"),
    ("plugin: hostlist\nhosts: red\nhosts: blue", 3, 1, "'hosts' is given twice", "Lines 2 and 3"),
    ("plugin: hostlist\nhosts: red\nyes: 1", 3, 1, "a key must be a text", "'yes'"),
    ("plugin: hostlist\nhosts: 12", 2, 8, "must be a text or a list, not 12", "quotes"),
    ("plugin: hostlist\nhosts:\n  - red\n  - 12", 4, 5, "each item of 'hosts' must be a text", "quotes"),
    ('plugin: hostlist\nhosts: "red,red[3-1]"', 2, 17, "range 3-1 runs backwards", "Write 1-3"),
    ("plugin: hostlist\nhosts: red,red[3-1]", 2, 16, "range 3-1 runs backwards", ""),
    ('plugin: hostlist\nhosts: ["red", "red[3-1]"]', 2, 21, "runs backwards", ""),
    ("plugin: hostlist\nhosts: |\n  red\n  red[3-1]", 2, 8, "(line 2, column 5 of 'red[3-1]')", ""),
    ("plugin: hostlist\nhosts: red.a,red.b", 2, 8, "both be the node 'red'", "rename one"),
    ("plugin: hostlist\nhosts: pi@red,red", 2, 8, "'pi@red' and 'red' are the same host", ""),
    ("plugin: hostlist\nhosts: red{1..3}", 2, 8, "no host name", "red[1-3]"),
    ("plugin: hostlist\nhosts: red*", 2, 8, "no host name", "Patterns"),
    ("plugin: hostlist\nhosts: red_1", 2, 8, "no host name", "'-'"),
    ("plugin: hostlist\nhosts: 10.0.0.300", 2, 8, "no IPv4 address", ""),
    ("plugin: hostlist\nhosts: -oProxyCommand=x", 2, 8, "no host name", ""),
    ("plugin: hostlist\nhosts: localhost", 2, 8, "cannot be the name", "own name"),
    ("plugin: hostlist\nhosts: red:99999", 2, 8, "no port", ""),
    ("plugin: hostlist\nhosts: local:a,b", 2, 8, "'a' is no port", ""),
    ("plugin: hostlist\nhosts: red\nuser: -x", 3, 7, "no user name", ""),
    ("plugin: hostlist\nhosts: red\ncluster: ../x", 3, 10, "no cluster name", ""),
    ("plugin: hostlist\nhosts: red\nservers: rd", 3, 10, "'rd' is none of the hosts", "Did you mean 'red'?"),
    ("plugin: hostlist\nhosts: red\nservers: ''", 3, 11, "names no host", ""),
    ("plugin: hostlist\nhosts: red\nconnect: {blue: 10.0.0.1}", 3, 11, "'blue' is none of the hosts", ""),
    ("plugin: hostlist\nhosts: red[1-2]\nconnect: {'red[1-2]': 10.0.0.1}", 3, 23, "2 hosts and 1 values", ""),
    ("plugin: hostlist\nhosts: red\nconnect: {red: 10.0.0.300}", 3, 16, "no IPv4 address", ""),
    ("plugin: hostlist\nhosts: red\naddresses: 10.0.0.1", 3, 12, "no address with a prefix length", "/24"),
    ("plugin: hostlist\nhosts: red\naddresses: {red: 10.0.0.0/24}", 3, 18, "the network itself", ""),
    ("plugin: hostlist\nhosts: red[1-300]\naddresses: 10.0.0.10/24+", 3, 12, "no 300 addresses", ""),
    ("plugin: hostlist\nhosts: red[1-3]\naddresses: 255.255.255.254/30+", 3, 12, "no 3 addresses", ""),
    ("plugin: hostlist\nhosts: red[1-2]\naddresses: 10.0.0.10/24", 3, 12, "2 hosts and 1 addresses", "10.0.0.10/24+"),
    (
        "plugin: hostlist\nhosts: red[1-2]\naddresses: {red1: 10.0.0.1/24, red2: 10.0.0.1/24}",
        3,
        38,
        "10.0.0.1 is given to 'red1' and to 'red2'",
        "",
    ),
    ("plugin: hostlist\nhosts: red\nhost_groups: {red: {hosts: red}}", 3, 15, "'red' is taken", ""),
    ("plugin: hostlist\nhosts: red\nhost_groups: {k3s_agent: {hosts: red}}", 3, 15, "is taken", ""),
    ("plugin: hostlist\nhosts: red\nhost_groups: {a-b: {hosts: red}}", 3, 15, "no name of a group", ""),
    ("plugin: hostlist\nhosts: red\nhost_groups: {gpu: {vars: {}}}", 3, 15, "has no 'hosts'", ""),
    ("plugin: hostlist\nhosts: red\nhost_groups: {gpu: {host: red}}", 3, 21, "no key 'host'", "'hosts'"),
    ("plugin: hostlist\nhosts: red\nvars: {k3s_versio: x}", 3, 8, "no variable 'k3s_versio'", "'k3s_version'"),
    ("plugin: hostlist\nhosts: red\nvars: {k3s_version: 1.36}", 3, 21, "must be a text, not 1.36", "quotes"),
    ("plugin: hostlist\nhosts: red\nvars: {k3s_version: v1.36.4}", 3, 21, "no k3s version", "'v1.36.4+k3s1'"),
    ("plugin: hostlist\nhosts: red\nvars: {k3s_artifact_source: off}", 3, 29, "cannot be False", "One of: push, pull"),
    ("plugin: hostlist\nhosts: red\nvars: {k3s_artifact_source: pusch}", 3, 29, "'pusch'", "Did you mean 'push'?"),
    ("plugin: hostlist\nhosts: red\nvars: {k3s_disable: {a: b}}", 3, 21, "must be a list", "[a, b]"),
    ("plugin: hostlist\nhosts: red\nvars: {k3s_disable: [1]}", 3, 21, "each item of 'k3s_disable' must be a text", ""),
    ("plugin: hostlist\nhosts: red\nvars: {token: x}", 3, 8, "variable of k3s-ansible", "k3s_token"),
    ("plugin: hostlist\nhosts: red\nvars: {extra_server_args: --x}", 3, 8, "k3s-ansible", "k3s_server_config"),
    ("plugin: hostlist\nhosts: red\nvars: {a-b: x}", 3, 8, "no name of a variable", ""),
    ("plugin: hostlist\nhosts: red\nvars: [a]", 3, 7, "'vars' must be a mapping", ""),
    ("plugin: hostlist\nhosts: red\nhost_vars: {red: {k3s_disabel: []}}", 3, 19, "k3s_disabel", "k3s_disable"),
    ("plugin: hostlist\nhosts: red\nvars: !python/object:os.system {}", 3, 7, "no valid YAML", ""),
    ("plugin: hostlist\nhosts: red\nstrict: maybe", 3, 9, "must be true or false", ""),
]


@pytest.mark.parametrize(("text", "line", "column", "message", "hint"), ERRORS)
def test_errors_say_where_and_what_to_do(text: str, line: int, column: int, message: str, hint: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec.parse(text, "s.pideploy.yml")
    error = caught.value
    assert message in error.message
    assert hint in error.hint
    assert (error.line, error.column) == (line, column)
    assert str(error).startswith("s.pideploy.yml")
    assert "\n" not in str(error)


def test_a_secret_is_never_shown() -> None:
    with pytest.raises(SpecError) as caught:
        short("hosts: red\nvars: {k3s_token: 8675309}")
    assert "8675309" not in str(caught.value) + caught.value.hint


def test_caps(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="more than"):
        short("hosts: red #" + "x" * (1 << 20))
    big = tmp_path / "big.pideploy.yml"
    big.write_bytes(b"#" * (2 << 20))
    with pytest.raises(SpecError, match="more than"):
        spec.load(str(big))
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 25))
    with pytest.raises(SpecError, match="more than 100000 values"):
        spec_yaml.read(bomb, "")
    with pytest.raises(SpecError, match="levels deep"):
        spec_yaml.read("a: &a\n  b: *a\n", "")
    with pytest.raises(SpecError, match="more than 100000 hosts"):
        short("hosts: red[1-100001]")


def test_load_errors(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="No such file"):
        spec.load(str(tmp_path / "absent.pideploy.yml"))
    (tmp_path / "vault.pideploy.yml").write_text("$ANSIBLE_VAULT;1.1;AES256\n6162\n")
    with pytest.raises(SpecError, match="whole file is encrypted"):
        spec.load(str(tmp_path / "vault.pideploy.yml"))
    (tmp_path / "bin.pideploy.yml").write_bytes(b"\xff\xfe")
    with pytest.raises(SpecError, match="UTF-8"):
        spec.load(str(tmp_path / "bin.pideploy.yml"))


def test_merge_keys_and_anchors() -> None:
    read = short("hosts: red\nvars:\n  a: &a {x: 1, y: 2}\n  b: {<<: *a, y: 3}\n")
    assert read.vars["b"] == {"x": 1, "y": 3}


def test_warnings_about_variables() -> None:
    read = short("hosts: red\nvars: {k3_version: x, own: 1, ansible_port: 22, text: '{{ nope }}'}")
    assert len(read.warnings) == 2
    assert "'k3_version'" in read.warnings[0]
    assert "Did you mean 'k3s_version'?" in read.warnings[0]
    assert "'text' holds Jinja" in read.warnings[1]


class TestFlags:
    def test_round_trip(self) -> None:
        made = spec.from_flags("red,red[01-red02]", "red", "pi", vars={"k3s_version": "v1.36.4+sim1"})
        text = spec.dump(made)
        assert "hosts: red,red[01-red02]" in text
        read = spec.parse(text)
        for name in ("cluster", "hosts", "servers", "user", "vars"):
            assert getattr(read, name) == getattr(made, name)

    def test_full_round_trip_keeps_vault_values(self) -> None:
        read = spec.parse(FULL)
        again = spec.parse(spec.dump(read))
        assert again.raw == read.raw
        assert isinstance(again.vars["k3s_token"], spec.Vault)

    def test_file_is_written_out(self, tmp_path: Path) -> None:
        (tmp_path / "hosts").write_text("red red01 red02")
        made = spec.from_flags(f"@{tmp_path}/hosts")
        assert "hosts: red,red[01-02]\n" in spec.dump(made)

    def test_errors(self) -> None:
        with pytest.raises(HostlistError, match="column 5"):
            spec.from_flags("red[3-1]")
        with pytest.raises(SpecError, match="there is no variable 'k3s_versin'"):
            spec.from_flags("red", vars={"k3s_versin": "x"})
        with pytest.raises(SpecError, match="is missing"):
            spec.from_flags("")


@given(st.text(max_size=40))
def test_any_host_text_is_a_host_or_an_error(text: str) -> None:
    """What passes can stand in a shell word, an ssh argument and a path without harm."""
    try:
        host = parse_host(text)
    except HostError:
        return
    assert not host.name.startswith("-")
    assert not set(host.name) & set(" /'\"$`;&|<>\n\\")
    assert not host.user.startswith("-")


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=4))
def test_any_mapping_gives_a_spec_or_an_error(data: dict[str, str]) -> None:
    text = yaml.safe_dump({"plugin": "hostlist", **data}, allow_unicode=True)
    try:
        said = [host.name for host in spec.parse(text, files=False).hosts]
    except SpecError as error:
        said = [str(error)]
    assert said
    assert all(text.isprintable() for text in said)


class TestVariables:
    def test_options_are_those_of_the_roles(self) -> None:
        options = spec_variables.role_options()
        assert options["k3s_version"]["default"] == "stable"
        assert options["k3s_token"]["no_log"] is True

    @pytest.mark.parametrize(
        ("kind", "good", "bad"),
        [
            ("int", [5, "5", "-5"], ["x", 5.5, True, [], "5x"]),
            ("float", [5, "5.5", 1.5], ["x", True, []]),
            ("bool", [True, "yes", "off", 1], ["maybe", 5, []]),
            ("list", [[], ["a"], "a,b"], [5, {}, True]),
            ("dict", [{}, {"a": 1}], [[], "a", 5]),
            ("str", ["", "a"], [5, 5.5, True, [], {}]),
            ("raw", [1, "a", []], []),
        ],
    )
    def test_types(self, kind: str, good: list[Any], bad: list[Any]) -> None:
        for value in good:
            assert spec_variables.check_value("x", value, {"type": kind}) is None, value
        for value in [*bad, None]:
            assert spec_variables.check_value("x", value, {"type": kind}), value

    @pytest.mark.parametrize(
        ("value", "good"),
        [
            ("v1.36.4+k3s1", True),
            ("v1.36.4+sim1", True),
            ("v1.37.0-rc1+k3s1", True),
            ("stable", True),
            ("v1.36", True),
            ("1.36", False),
            ("1.36.4+k3s1", False),
            ("v1.36.4", False),
            ("../x", False),
        ],
    )
    def test_versions(self, value: str, good: bool) -> None:
        problem = spec_variables.check_value("k3s_version", value, {"type": "str"})
        assert (problem is None) == good

    def test_names(self) -> None:
        assert spec_variables.check_name("k3s_versoin")
        for name in ("k3s_version", "ansible_host", "k3s__private", "k3s_node_result", "mine", "static_ip_address"):
            assert spec_variables.check_name(name) is None, name

    def test_every_variable_of_k3s_ansible_has_an_answer(self) -> None:
        """From its roles' defaults, README and inventory-sample.yml, release 1.2.2."""
        theirs = [
            "token",
            "api_endpoint",
            "api_port",
            "extra_server_args",
            "extra_agent_args",
            "server_config_yaml",
            "agent_config_yaml",
            "registries_config_yaml",
            "extra_manifests",
            "extra_install_envs",
            "extra_service_envs",
            "airgap_dir",
            "cluster_context",
            "kubeconfig",
            "user_kubectl",
            "use_external_database",
            "server_group",
            "agent_group",
            "manage_firewall",
            "systemd_dir",
            "k3s_server_location",
            "k3s_wait_ready",
            "k3s_server_wait_etcd_voters",
        ]
        for name in theirs:
            problem = spec_variables.check_foreign(name, "something", ())
            assert problem, name
            assert problem[1], name
        assert spec_variables.check_foreign("api_port", 6443) is None
        assert spec_variables.check_foreign("token", "x", {"token", "k3s_token"}) is None
        for name, advice in spec_variables.K3S_ANSIBLE.items():
            if " " not in advice:
                assert advice in spec_variables.role_options(), name
