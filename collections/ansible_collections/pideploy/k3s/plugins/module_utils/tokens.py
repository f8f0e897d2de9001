# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""k3s join tokens: generate, read, form, and choose the one that a server shall use.

Grammar (k3s ``pkg/clientaccess/token.go``): ``K10<sha256 of the CA bundle, hex>::<user>:<password>``, the same with a
kubeadm bootstrap token instead of user and password, or only the password. Agents always log in as user ``node``.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from typing import NamedTuple, Optional, Tuple

__metaclass__ = type

PREFIX = "K10"
_BOOTSTRAP = re.compile(r"^[a-z0-9]{6}\.[a-z0-9]{16}$")
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----\s(.*?)-----END CERTIFICATE-----", re.DOTALL)
# k3s-ansible's sample value: a cluster that has it is open to everybody who has read that sample.
_SAMPLES = ("changeme!", "changeme")


class TokenError(Exception):
    """A token that cannot be used. The message never holds the token; ``hint`` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Token(NamedTuple):
    """A token taken apart; ``ca_hash`` and ``user`` are empty where the text had none."""

    ca_hash: str
    user: str
    password: str


def generate() -> str:
    """Return a new password: 64 hex digits from the operating system's random source."""
    return secrets.token_hex(32)


def parse(text: str) -> Token:
    """Take a token apart.

    :raises TokenError: empty, with blanks or control characters, or a malformed ``K10`` token.
    """
    text = text.strip()
    if not text:
        raise TokenError("the token is empty", "give a token, or leave k3s_token away: one is generated")
    if any(char.isspace() or ord(char) < 32 for char in text):
        raise TokenError("the token holds blanks or control characters", "use letters and digits only")
    if not text.startswith(PREFIX):
        return Token("", "", text)
    ca_hash, separator, credentials = text[len(PREFIX):].partition("::")
    if not separator or (ca_hash and not re.match(r"^[0-9a-f]{64}$", ca_hash)):
        raise TokenError("the token starts with K10 but is not of the form K10<64 hex digits>::<user>:<password>",
                         "copy the whole line from /var/lib/rancher/k3s/server/token")
    if _BOOTSTRAP.match(credentials):
        return Token(ca_hash, "", credentials)
    user, separator, password = credentials.partition(":")
    if not separator or not password:
        raise TokenError("the token names no user and password after its '::'",
                         "copy the whole line from /var/lib/rancher/k3s/server/token")
    return Token(ca_hash, user, password)


def form(ca_hash: str, user: str, password: str) -> str:
    """Return the secure form: whoever joins with it checks the server's CA before sending the password."""
    return "%s%s::%s:%s" % (PREFIX, ca_hash, user, password)


def ca_hash(bundle: bytes) -> str:
    """Return the hash that k3s puts into tokens for a CA bundle (PEM, as ``/cacerts`` serves it).

    One certificate: the SHA-256 of the literal bytes. A chain: of the root's DER form; the root is taken to be the last
    one, which is how k3s and its ``generate-custom-ca-certs.sh`` write the file.
    """
    found = _CERTIFICATE.findall(bundle)
    if len(found) > 1:
        bundle = base64.b64decode(b"".join(found[-1].split()))
    return hashlib.sha256(bundle).hexdigest()


def choose_server(given: Optional[str], own: Optional[str], used: Optional[str]) -> Tuple[str, str]:
    """Return the server's password and where it is from: ``given``, ``kept`` or ``generated``.

    ``given`` is the user's ``k3s_token``, ``own`` the text of our token file, ``used`` that of the file which k3s wrote
    after its first start. The token encrypts the certificates in the datastore, so a running cluster keeps its own.

    :raises TokenError: a token that k3s takes from no first server, or another than the cluster was made with.
    """
    kept = parse(used).password if used and used.strip() else None
    if kept is None and own and own.strip():
        kept = parse(own).password
    if not given:
        return (kept, "kept") if kept is not None else (generate(), "generated")
    password = parse(given).password
    if _BOOTSTRAP.match(password):
        raise TokenError("k3s_token is a bootstrap token, which only agents can use",
                         "give a password, or leave k3s_token away: one is generated")
    if password.lower() in _SAMPLES:
        raise TokenError("k3s_token is the sample value of a public repository",
                         "leave k3s_token away: one is generated")
    if used and used.strip() and password != kept:
        raise TokenError("k3s_token differs from the token that this cluster was made with",
                         "remove k3s_token (the cluster's own is used), or change it with 'k3s token rotate' first")
    return password, "given"


def choose_agent(own: Optional[str], used: Optional[str]) -> str:
    """Return the agents' password: the one in our file, else the one that k3s uses already, else a new one."""
    for text in (own, used):
        if text and text.strip():
            return parse(text).password
    return generate()
