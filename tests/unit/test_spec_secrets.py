# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""What counts as a secret: names, options and flags."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.pideploy.k3s.plugins.module_utils import k3s_config, spec, spec_secrets

ENDPOINT = "postgres://u:pass-word@h/db"


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        *((key, True) for key in spec_secrets.SECRET_KEYS),
        ("datastore-endpoint+", True),
        ("k3s_token", True),
        ("ansible_become_password", True),
        ("k3s_version", False),
        ("token-file", False),
        ("become_password_file", False),
        ("datastore-cafile", False),
    ],
)
def test_names(name: str, secret: bool) -> None:
    assert spec_secrets.is_secret(name) is secret


@pytest.mark.parametrize("key", [*spec_secrets.SECRET_KEYS])
@pytest.mark.parametrize("form", ["--{}=x", "--{} x", "-{}=x", "k3s server '--{}=x'", '"--{}" "x"', "\\\n  --{}=x"])
def test_flags(key: str, form: str) -> None:
    assert spec_secrets.secret_flag(form.format(key)).lstrip("-") == key
    assert list(spec_secrets.secret_values([form.format(key)])) == ["x"]


@pytest.mark.parametrize(
    "text", ["--token-file=/x", "--datastore-endpointer=x", "--node-label=a--token=b", "--disable=traefik", "--tls-san"]
)
def test_other_flags(text: str) -> None:
    assert spec_secrets.secret_flag(text) == ""
    assert list(spec_secrets.secret_values([text])) == []


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ({"vars": {"k3s_server_config": {"datastore-endpoint": ENDPOINT}}}, [ENDPOINT]),
        ({"vars": {"k3s_server_config": {"secrets-encryption": True}}}, []),
        ({"k3s_extra_args": [f"--datastore-endpoint={ENDPOINT}", "--debug"]}, [ENDPOINT]),
        ({"k3s_extra_args": ["--datastore-endpoint", ENDPOINT, "--debug"]}, [ENDPOINT]),
        ({"k3s_extra_args": f"-t abc --vpn-auth={ENDPOINT}"}, ["abc", ENDPOINT]),
        ({"my_tokens": ["a", {"of": "b"}]}, ["a", "b"]),
    ],
)
def test_values(data: Any, found: list[str]) -> None:
    assert list(spec_secrets.secret_values(data)) == found


@pytest.mark.parametrize("flag", ["--datastore-endpoint", "--etcd-s3-secret-key", "--token", "-t"])
def test_a_spec_with_such_a_flag_is_refused(flag: str) -> None:
    text = f'plugin: pideploy.k3s.hostlist\nhosts: red\nvars:\n  k3s_extra_args: ["--debug", "{flag}={ENDPOINT}"]\n'
    with pytest.raises(spec.SpecError, match=f"'{flag}' of 'k3s_extra_args' holds a secret") as caught:
        spec.parse(text)
    assert caught.value.line == 4
    assert ("k3s_token" if flag in ("--token", "-t") else "k3s_server_config") in str(caught.value.hint)
    assert "pass-word" not in str(caught.value)


@pytest.mark.parametrize("key", [*spec_secrets.SECRET_KEYS])
def test_a_node_refuses_it_too(key: str) -> None:
    dropin = f'[Service]\nExecStart=\nExecStart=/usr/local/bin/k3s server "--{key}={ENDPOINT}"\n'
    with pytest.raises(k3s_config.ConfigError, match=f"k3s_extra_args holds --{key}") as caught:
        k3s_config.wanted("server", "", "", dropin)
    assert "pass-word" not in str(caught.value) + caught.value.hint
