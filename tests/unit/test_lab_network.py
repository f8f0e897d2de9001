# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""Addresses, apt sources and limits of a lab."""

from __future__ import annotations

import ipaddress
import resource
import shutil

import pytest

from pideploy.errors import PideployError
from pideploy.lab import engine, network, recipe


def test_the_first_free_subnet() -> None:
    assert network.choose_subnet([]) == "10.89.0.0/24"
    assert network.choose_subnet(["0.0.0.0/0", "default", "fe80::/64", "10.89.0.0/24", "10.89.1.7"]) == "10.89.2.0/24"
    assert network.choose_subnet(["10.89.0.0/16"]) == "10.90.0.0/24"


def test_a_vpn_that_has_all_of_it() -> None:
    with pytest.raises(PideployError, match="no free subnet"):
        network.choose_subnet(["10.0.0.0/8"])


def test_subnets_of_k3s_are_never_taken() -> None:
    for taken in ("10.42.0.0/16", "10.43.0.0/16"):
        assert not any(candidate.overlaps(ipaddress.IPv4Network(taken)) for candidate in network.candidates())


def test_addresses_are_pinned() -> None:
    assert network.pinned("10.89.3.0/24", 0) == ("10.89.3.10", "02:50:0a:59:03:0a")
    addresses = [network.pinned("10.89.3.0/24", index)[0] for index in range(network.LARGEST)]
    assert len(set(addresses)) == network.LARGEST
    assert addresses[-1] == "10.89.3.249"


DEB822 = """Types: deb
# a comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: https://packages.example/node
Suites: nodistro
Components: main

Enabled: no
Types: deb
URIs: http://mirror.example/debian
Suites: bookworm-backports
Components: main

Types: deb-src
URIs: http://mirror.example/debian
Suites: bookworm
Components: main
"""


def test_only_the_releases_own_sources_go_into_the_image() -> None:
    kept = recipe.matching_sources(DEB822, "bookworm")
    assert kept.count("Types:") == 1
    assert "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg" in kept
    lines = (
        "deb [signed-by=/x.gpg arch=amd64] http://mirror.example/debian bookworm main\n"
        "deb http://mirror.example/security bookworm-security main\n"
        "deb https://packages.example/cloud cloud-sdk-bookworm main\n#deb http://old bookworm main\n"
        "deb-src http://mirror.example/debian bookworm main\n"
    )
    assert recipe.matching_sources(lines, "bookworm").splitlines() == lines.splitlines()[:2]
    assert recipe.matching_sources(lines, "noble") == ""


def test_limits_are_no_higher_than_the_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    hard = {resource.RLIMIT_NOFILE: 20000, resource.RLIMIT_NPROC: 1 << 20}
    monkeypatch.setattr(resource, "getrlimit", lambda number: (10, hard[number]))
    assert engine.Engine("podman", ("podman",))._limits() == [
        "--ulimit", "nofile=20000:20000", "--ulimit", "nproc=32768:32768",
    ]  # fmt: skip
    hard[resource.RLIMIT_NOFILE] = resource.RLIM_INFINITY
    assert engine.Engine("docker", ("docker",))._limits()[1] == "nofile=-1:-1"


def test_without_an_engine_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, path=None: None)
    with pytest.raises(PideployError, match="podman: not installed; docker: not installed") as error:
        engine.find_engine()
    assert error.value.hint.startswith("sudo apt-get install podman runc")
