# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""A lab from up to down."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from ansible_collections.pideploy.k3s.plugins.module_utils import artifacts, paths
from pideploy.errors import PideployError
from pideploy.lab import hostnames, network, recipe, simk3s, ssh, state
from pideploy.lab.engine import HOST_LABEL, LABEL, Container, Engine, find_engine, make_room_for_watches
from pideploy.lab.state import Description, Node

DEFAULT_FLAVOUR = "pios-bookworm"
SUDO = ("nopasswd", "password")
_AT_ONCE = 4
Progress = Callable[[str], None]


def _quiet(_text: str) -> None:
    return


@dataclass(frozen=True)
class Lab:
    """Virtual Pis that belong together: one network, one key, one name.

    ``created`` is False when ``up`` found the lab running already.
    """

    description: Description
    engine: Engine
    created: bool = False

    @property
    def name(self) -> str:
        """The lab's name."""
        return self.description.name

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The machines, in the order they were named."""
        return self.description.nodes

    @property
    def password(self) -> str:
        """The login users' password; sudo asks for it where the lab was made with ``sudo="password"``."""
        return self.description.password

    @property
    def folder(self) -> Path:
        """Where the lab's key, host keys and ssh configuration are."""
        return state.folder(self.name)

    @classmethod
    def up(
        cls,
        hosts: str,
        flavour: str = DEFAULT_FLAVOUR,
        *,
        flavours: Mapping[str, str] | None = None,
        sudo: str = "nopasswd",
        name: str = "",
        timeout: float = 180,
        progress: Progress = _quiet,
    ) -> Lab:
        """Make the virtual Pis of a hostlist, or start those that exist, and wait until each takes a login.

        ``flavours`` names another flavour for some hosts; ``sudo`` is ``nopasswd`` or ``password``; ``name`` is the
        lab's, by default the first host's; ``timeout`` in seconds. Afterwards the artifact
        cache holds the simulated k3s.

        :raises PideployError: no engine, a name that is taken, or a machine that does not come up. What was made until
            then is removed again.
        """
        wanted = hostnames.expand(hosts)
        name = name or wanted[0]
        chosen = _flavours(wanted, flavour, flavours or {})
        if sudo not in SUDO:
            raise PideployError("usage", f"sudo '{sudo}' is unknown", hint=" or ".join(SUDO))
        if hostnames.expand(name) != [name]:
            raise PideployError("usage", f"'{name}' cannot be the name of a lab", hint="--name red")
        artifacts.import_file(simk3s.__file__)
        if (state.folder(name) / "lab.json").exists():
            lab = cls.load(name)
            lab._must_be_same(chosen, sudo)
            return lab._start(timeout, progress)
        engine = find_engine()
        images = {f: recipe.ensure_image(engine, f, progress) for f in dict.fromkeys(chosen.values())}
        lab = cls._describe(engine, name, chosen, sudo)
        try:
            progress(f"Starting {len(wanted)} virtual Pi{'s' if len(wanted) > 1 else ''} …")
            make_room_for_watches(len(engine.containers()) + len(wanted), progress)
            lab._create(images)
            lab._wait(timeout)
            ssh.add_include()
        except Exception:
            lab.down()
            raise
        return lab

    @classmethod
    def _describe(cls, engine: Engine, name: str, chosen: Mapping[str, str], sudo: str) -> Lab:
        """Choose addresses and write everything down, so that whatever happens next can be removed."""
        paths.make_private(str(state.labs_folder()))
        with FileLock(state.labs_folder() / ".lock"):
            if any(c.lab == name for c in engine.containers()) or name in engine.networks().values():
                raise PideployError(
                    "lab_exists",
                    f"containers of a lab '{name}' exist that nothing here knows",
                    f"pideploy lab down {name}",
                )
            hostnames.refuse_taken(list(chosen), _hosts_of_labs())
            described = [state.load(other).subnet for other in state.names()]
            subnet = network.choose_subnet([*network.routes(), *engine.subnets(), *described])
            settings = recipe.flavours()
            nodes = []
            for index, (host, flavour) in enumerate(chosen.items()):
                address, mac = network.pinned(subnet, index)
                user = settings[flavour]["user"]
                nodes.append(Node(host, address, mac, flavour, user, f"pideploy-{name}-{host}"))
            lab = cls(
                Description(name, engine.name, subnet, sudo, secrets.token_urlsafe(9), tuple(nodes)),
                engine,
                created=True,
            )
            lab.description.save()
        return lab

    def _must_be_same(self, chosen: Mapping[str, str], sudo: str) -> None:
        if {n.name: n.flavour for n in self.nodes} != dict(chosen) or self.description.sudo != sudo:
            hosts = ",".join(f"{n.name}={n.flavour}" for n in self.nodes)
            raise PideployError(
                "lab_exists",
                f"lab '{self.name}' exists and is another one: {hosts}, sudo {self.description.sudo}",
                hint=f"pideploy lab down {self.name}, or take another --name",
            )

    def _create(self, images: Mapping[str, str]) -> None:
        environment = {
            "PIDEPLOY_LAB_KEY": ssh.make_key(self.name),
            "PIDEPLOY_LAB_SUDO": self.description.sudo,
            "PIDEPLOY_LAB_PASSWORD": self.password,
        }
        # In a file: what is in argv can be read by every user of this machine.
        env_file = self.folder / "environment"
        state.write_atomic(env_file, "".join(f"{k}={v}\n" for k, v in environment.items()).encode())
        self.engine.create_network(f"pideploy-{self.name}", self.name, self.description.subnet)

        def create(node: Node) -> None:
            self.engine.create(
                node.container,
                images[node.flavour],
                labels={LABEL: self.name, HOST_LABEL: node.name},
                network=f"pideploy-{self.name}",
                address=node.address,
                mac=node.mac,
                env_file=env_file,
            )

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(create, self.nodes))
        env_file.unlink()

    def _start(self, timeout: float, progress: Progress) -> Lab:
        """Start what is stopped."""
        states = {c.name: c.state for c in self.containers()}
        missing = [node.name for node in self.nodes if node.container not in states]
        if missing:
            raise PideployError(
                "lab_broken",
                f"lab '{self.name}' is not whole: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing",
                hint=f"pideploy lab down {self.name}, then up again",
                hosts=missing,
            )
        stopped = [node.container for node in self.nodes if states[node.container] != "running"]
        if stopped:
            progress(f"Starting {len(stopped)} stopped …")
            make_room_for_watches(len(self.engine.containers()), progress)
            self.engine.run("start", *stopped)
        self._wait(timeout)
        ssh.add_include()
        return self

    def _wait(self, timeout: float) -> None:
        """Wait until every machine takes a login; learn the host keys from inside, not over the network."""
        deadline = time.monotonic() + timeout
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lambda node: self._wait_for(node, deadline, _answers), self.nodes))
            if not (self.folder / "known_hosts").exists():
                keys = list(pool.map(self._host_key, self.nodes))
                lines = [f"{n.name},{n.address} {key}\n" for n, key in zip(self.nodes, keys, strict=True)]
                state.write_atomic(self.folder / "known_hosts", "".join(lines).encode())
            state.write_atomic(self.folder / "ssh_config", ssh.fragment(self.name, self.nodes).encode())
            list(pool.map(lambda node: self._wait_for(node, deadline, self._takes_login), self.nodes))

    def _wait_for(self, node: Node, deadline: float, ready: Callable[[Node], bool]) -> None:
        while not ready(node):
            if time.monotonic() > deadline:
                logs = self.engine.run("logs", "--tail", "3", node.container).split("\n")
                raise PideployError(
                    "lab_start",
                    f"{node.name}: no login by ssh in time",
                    hint=next((line for line in logs if line), f"{self.engine.name} logs {node.container}"),
                    hosts=[node.name],
                )
            time.sleep(0.3)

    def _takes_login(self, node: Node) -> bool:
        return ssh.login_works(self.name, node.name)

    def _host_key(self, node: Node) -> str:
        words = self.engine.run("exec", node.container, "cat", "/etc/ssh/ssh_host_ed25519_key.pub").split()
        return " ".join(words[:2])

    def containers(self) -> list[Container]:
        """Return the lab's containers as the engine knows them now."""
        return [c for c in self.engine.containers() if c.lab == self.name]

    def down(self) -> None:
        """Remove the lab: its containers, network, state folder and, with the last lab, the Include line."""
        remove(self.name, self.engine)

    def ssh(self, host: str, command: Sequence[str] = ()) -> list[str]:
        """Return the command line that logs in to a host of this lab."""
        return ["ssh", "-F", str(self.folder / "ssh_config"), host, *command]

    def run(self, host: str, command: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a shell command on a host as its login user and return code, stdout and stderr."""
        argv = self.ssh(host, [command])
        return subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False
        )

    @classmethod
    def load(cls, name: str) -> Lab:
        """Return a lab that exists.

        :raises PideployError: there is no lab of this name.
        """
        description = state.load(name)
        return cls(description, find_engine(description.engine))

    @classmethod
    def list(cls) -> list[Lab]:
        """Return all labs of this user."""
        engines: dict[str, Engine] = {}
        labs = []
        for name in state.names():
            description = state.load(name)
            if description.engine not in engines:
                engines[description.engine] = find_engine(description.engine)
            labs.append(cls(description, engines[description.engine]))
        return labs

    @classmethod
    def of_host(cls, host: str) -> Lab:
        """Return the lab that has a host of this name.

        :raises PideployError: none has.
        """
        owners = _hosts_of_labs()
        if host not in owners:
            raise PideployError("usage", f"no lab has a host '{host}'", hint="pideploy lab list", hosts=[host])
        return cls.load(owners[host])


def remove(name: str, engine: Engine) -> bool:
    """Remove everything of a lab, also what a broken start left; return whether there was anything.

    :raises PideployError: the engine that the lab was made with does not work now, or refuses.
    """
    made_with = engine.name
    with contextlib.suppress(PideployError):  # the description may be missing or broken
        made_with = state.load(name).engine
    if made_with != engine.name:
        engine = find_engine(made_with)
    containers = [c for c in engine.containers() if c.lab == name]
    networks = [network_name for network_name, lab in engine.networks().items() if lab == name]
    home = state.folder(name)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        [*pool.map(lambda c: engine.remove(c.name), containers)]
    for network_name in networks:
        engine.remove_network(network_name)
    known = home / "known_hosts"
    if known.exists():
        ssh.forget_host_keys(line.split()[2] for line in known.read_text().splitlines() if len(line.split()) > 2)
    existed = home.is_dir()
    shutil.rmtree(home, ignore_errors=True)
    if not state.names():
        ssh.remove_include()
    return bool(containers or networks or existed)


def left_over(engine: Engine) -> list[str]:
    """Return the labs that anything is left of: state folders, containers or networks."""
    return sorted({*state.names(), *(c.lab for c in engine.containers()), *engine.networks().values()})


def _hosts_of_labs() -> dict[str, str]:
    return {node.name: lab for lab in state.names() for node in state.load(lab).nodes}


def _flavours(wanted: Sequence[str], default: str, special: Mapping[str, str]) -> dict[str, str]:
    known = recipe.flavours()
    for host, flavour in [("", default), *special.items()]:
        if flavour not in known:
            raise PideployError("usage", f"flavour '{flavour}' is unknown", hint=f"one of: {', '.join(known)}")
        if host and host not in wanted:
            raise PideployError(
                "usage", f"a flavour is given for '{host}', which is not in the hostlist", hint="", hosts=[host]
            )
    return {host: special.get(host, default) for host in wanted}


def _answers(node: Node) -> bool:
    try:
        with socket.create_connection((node.address, 22), timeout=2) as connection:
            connection.settimeout(5)
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
