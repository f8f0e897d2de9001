# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""Join tokens: k3s's grammar, and which token a server shall use."""

from __future__ import annotations

import base64
import hashlib

import pytest

from ansible_collections.pideploy.k3s.plugins.module_utils import tokens

HASH = "309dc11799541aedc3b40b129e4052307d452051acc7ea8c6fc918b2df9834e0"

# What a real k3s v1.36.3 served at /cacerts; its tokens carried HASH.
CACERTS = b"""-----BEGIN CERTIFICATE-----
MIIBdzCCAR2gAwIBAgIBADAKBggqhkjOPQQDAjAjMSEwHwYDVQQDDBhrM3Mtc2Vy
dmVyLWNhQDE3OTUzMTE1NTMwHhcNMjYxMTIyMDAzOTEzWhcNMzYxMTE5MDAzOTEz
WjAjMSEwHwYDVQQDDBhrM3Mtc2VydmVyLWNhQDE3OTUzMTE1NTMwWTATBgcqhkjO
PQIBBggqhkjOPQMBBwNCAAQ5u/rM+Zmuj64Qb8JItaaVSEDSNueZn0FPaYJaMgBd
O6eJrc5Jd/GWK7QLVDOLmx9wakwPnRwQ3W8L63Zt58vvo0IwQDAOBgNVHQ8BAf8E
BAMCAqQwDwYDVR0TAQH/BAUwAwEB/zAdBgNVHQ4EFgQUb1WVd50/E4TA+1t8HvTK
rvzKd1QwCgYIKoZIzj0EAwIDSAAwRQIgE7wCHVP+A40t71H4lO4u05mVDniCGkVf
BFOTdll33oICIQCGQ80Mygopdrnf3z+10FtJrXFfL2GLaE8uePGnWdX90g==
-----END CERTIFICATE-----
"""


def test_ca_hash_is_the_one_k3s_wrote() -> None:
    assert tokens.ca_hash(CACERTS) == HASH


def test_ca_hash_of_a_chain_is_the_roots_der() -> None:
    der = base64.b64decode("".join(CACERTS.decode().splitlines()[1:-1]))
    other = CACERTS.replace(b"MIIB", b"MIIC")
    assert tokens.ca_hash(other + CACERTS) == hashlib.sha256(der).hexdigest()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("abc123", ("", "", "abc123")),
        (f"K10{HASH}::server:abc123\n", (HASH, "server", "abc123")),
        (f"K10{HASH}::node:a:b", (HASH, "node", "a:b")),
        (f"K10{HASH}::f91fat.vuaft8vx3cmdowbq", (HASH, "", "f91fat.vuaft8vx3cmdowbq")),
        ("f91fat.vuaft8vx3cmdowbq", ("", "", "f91fat.vuaft8vx3cmdowbq")),
    ],
)
def test_parse(text: str, expected: tuple[str, str, str]) -> None:
    assert tuple(tokens.parse(text)) == expected


@pytest.mark.parametrize("text", ["", " \n", "a b", "a\tb", "a\x00b", "K10", "K10abc::server:x", f"K10{HASH}::server:",
                                  f"K10{HASH}:server:x"])
def test_parse_refuses(text: str) -> None:
    with pytest.raises(tokens.TokenError) as error:
        tokens.parse(text)
    assert HASH not in str(error.value)


def test_form_and_parse_agree() -> None:
    password = tokens.generate()
    assert len(password) == 64
    assert password != tokens.generate()
    assert tokens.parse(tokens.form(HASH, "node", password)) == (HASH, "node", password)


@pytest.mark.parametrize(
    ("given", "own", "used", "expected"),
    [
        ("", "kept\n", None, ("kept", "kept")),
        ("", None, f"K10{HASH}::server:used\n", ("used", "kept")),
        ("", "stale", f"K10{HASH}::server:used\n", ("used", "kept")),
        ("secret9", None, None, ("secret9", "given")),
        ("secret9", "older", None, ("secret9", "given")),
        (f"K10{HASH}::server:secret9", None, None, ("secret9", "given")),
        ("used", "used", f"K10{HASH}::server:used", ("used", "given")),
    ],
)
def test_server_token(given: str, own: str | None, used: str | None, expected: tuple[str, str]) -> None:
    assert tokens.choose_server(given, own, used) == expected


def test_server_token_is_generated_when_there_is_none() -> None:
    password, source = tokens.choose_server("", None, "")
    assert source == "generated"
    assert len(password) == 64


@pytest.mark.parametrize(
    ("given", "used", "words"),
    [
        ("other", f"K10{HASH}::server:used", "differs"),
        ("f91fat.vuaft8vx3cmdowbq", None, "bootstrap"),
        ("changeme!", None, "sample"),
    ],
)
def test_server_token_refused(given: str, used: str | None, words: str) -> None:
    with pytest.raises(tokens.TokenError, match=words) as error:
        tokens.choose_server(given, None, used)
    assert given not in str(error.value)
    assert error.value.hint


def test_agents_of_an_adopted_cluster_keep_their_password() -> None:
    assert tokens.choose_agent("mine\n", f"K10{HASH}::node:theirs") == "mine"
    assert tokens.choose_agent(None, f"K10{HASH}::server:theirs\n") == "theirs"
    assert len(tokens.choose_agent(None, None)) == 64
