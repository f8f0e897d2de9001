# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring one node's k3s from what it is to what it shall be: look, write, start, watch, and undo where k3s refuses."""

from __future__ import annotations

import http.client
import os
import ssl
import time
import urllib.error
import urllib.request
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from ansible_collections.pideploy.k3s.plugins.module_utils import (
    files, k3s_config, k3s_former, k3s_log, manifest, tokens)
from ansible_collections.pideploy.k3s.plugins.module_utils.service import State, Systemd, watch

__metaclass__ = type

# How long a changed configuration has to hold before it counts as taken: the kubelet ends within a few seconds.
SETTLE = 10.0


class StartError(Exception):
    """k3s cannot be started, or ended while starting. ``changed``: whether the node differs from before the run."""

    def __init__(
        self, message: str, hint: str = "", journal: str = "", undone: bool = False, changed: bool = False
    ) -> None:
        super().__init__(message)
        self.hint = hint
        # k3s prints its whole help before it names a wrong flag; those lines are indented.
        self.journal = [line for line in journal.splitlines() if line[:1].strip()][-40:]
        self.undone = undone
        self.changed = changed


class Binary(NamedTuple):
    """The k3s binary on the node."""

    sha256: str
    size: int
    mtime_ns: int


def find_binary(root: str, known: Dict[str, Any]) -> Optional[Binary]:
    """Return the node's binary, or None. The manifest's checksum stands while size and time are the same."""
    path = files.below(root, k3s_config.BINARY)
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    if known.get("size") == status.st_size and known.get("mtime_ns") == status.st_mtime_ns and known.get("sha256"):
        return Binary(known["sha256"], status.st_size, status.st_mtime_ns)
    return Binary(files.sha256_file(path), status.st_size, status.st_mtime_ns)


def answers(url: str, timeout: float = 2.0) -> bool:
    """Whether a server answers at ``url``. Its certificate is its own CA's, so it is not checked: nothing is sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        direct, https = urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        opener = urllib.request.build_opener(direct, https)
        with opener.open(url, timeout=timeout) as response:
            return response.status == 200 and bool(response.read(1))
    except (urllib.error.URLError, http.client.HTTPException, OSError):
        return False


class Node:
    """One run over one node. The constructor only looks; ``result`` tells, ``apply`` does.

    :raises StartError: the node belongs to another cluster or role.
    :raises ConfigError, TokenError: what was asked for cannot be written.
    """

    def __init__(
        self,
        params: Dict[str, Any],
        systemd: Systemd,
        probe: Callable[[str], bool] = answers,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.params = params
        self.root = params["root"]
        self.role = params["role"]
        self.unit = k3s_config.UNITS[self.role]
        self.systemd = systemd
        self._probe, self._clock, self._sleep = probe, clock, sleep
        self.manifest = manifest.load(self.root)
        self._check_owner()
        self.token_source = ""
        self.secrets: List[str] = []
        self.config = k3s_config.compose(params["config"], params["secret_config"])
        self.settings = k3s_config.parse(self.config)
        token, agent_token = self._server_tokens() if self.role == "server" else (self._agent_token(), None)
        self.time_wait = k3s_config.find_time_wait(self.root)
        self.wanted = k3s_config.wanted(self.role, self.config, params["unit"], params["dropin"], token, agent_token,
                                        self.time_wait)
        self.changes = k3s_config.differing(self.root, self.wanted)
        self.binary = find_binary(self.root, self.manifest.get("k3s", {}))
        self.fingerprint = k3s_config.digest(
            self.wanted, params["sha256"] or (self.binary.sha256 if self.binary else ""))
        self.state = systemd.show(self.unit)
        self.former = k3s_former.load(self.root)
        self.links = k3s_config.missing_links(self.root)
        applied = self.manifest.get("k3s", {}).get("applied")
        self.actions = k3s_config.plan(self.changes, self.state, applied, self.fingerprint)
        self.enable_time_wait = bool(self.time_wait) and not k3s_config.is_enabled(self.root, self.time_wait)

    def _check_owner(self) -> None:
        other = "agent" if self.role == "server" else "server"
        cluster, mine = self.manifest.get("cluster"), self.params["cluster"]
        if cluster and cluster != mine:
            raise StartError("this node belongs to cluster '%s', not to '%s'" % (cluster, mine),
                             "reset it there first, or take the host out of this cluster")
        if os.path.lexists(files.below(self.root, k3s_config.unit_path(other))):
            raise StartError("this node runs k3s as %s and shall be %s" % (other, self.role),
                             "reset the node first, or change the list of servers")
        found = os.path.lexists(files.below(self.root, k3s_config.unit_path(self.role)))
        if found and not cluster and not self.params["adopt"]:
            raise StartError("this node runs a k3s that pideploy did not install",
                             "take it over with preflight_adopt=true (--adopt), or uninstall it first")

    def _server_tokens(self) -> Tuple[str, str]:
        data = self.params["data_dir"] + "/server/"
        own, used = (files.read_text(self.root, path) for path in (k3s_config.TOKEN, data + "token"))
        token, self.token_source = tokens.choose_server(self.params["token"], own, used)
        own, used = (files.read_text(self.root, path) for path in (k3s_config.AGENT_TOKEN, data + "agent-token"))
        agent = tokens.choose_agent(own, used)
        self.secrets += [token, agent]
        return token, agent

    def _agent_token(self) -> Optional[str]:
        token = str(self.params["token"]).strip()
        if token:
            tokens.parse(token)
            return token
        # In a plan there may be no server yet that could give a token; apply() refuses to go on without.
        return None if files.read_text(self.root, k3s_config.TOKEN) else k3s_config.SET_LATER

    @property
    def changed(self) -> bool:
        """Whether anything differs from what is wanted."""
        return bool(self.changes or self.actions or self.links or self.enable_time_wait)

    def result(self) -> Dict[str, Any]:
        """Return the module's result: what ``apply`` does, or would do."""
        done = [("remove " if item.file.text is None else "write ") + item.file.path for item in self.changes]
        done += ["link /usr/local/bin/" + name for name in self.links] + self.actions
        if self.enable_time_wait:
            done.append("enable " + self.time_wait)
        data = {
            "changed": self.changed, "service": self.unit, "actions": done, "started": "start" in self.actions,
            "restarted": "restart" in self.actions, "node_ip": k3s_config.first_address(self.settings),
            "diff": k3s_config.diff(self.changes),
        }
        if self.token_source:
            data["token_source"] = self.token_source
        return data

    def apply(self) -> None:
        """Write, start and watch.

        :raises StartError: no binary, or k3s did not start; the message holds k3s's own words.
        :raises ServiceError: systemctl refused.
        """
        if any(item.text == k3s_config.SET_LATER + "\n" for item in self.wanted):
            raise StartError("an agent needs the join token of its server", "read it with k3s_join_info")
        if self.binary is None:
            raise StartError("there is no k3s at %s" % k3s_config.BINARY, "run the phase artifacts first")
        if self.params["sha256"] not in ("", self.binary.sha256):
            raise StartError("%s has the checksum %s instead of %s"
                             % (k3s_config.BINARY, self.binary.sha256[:12], self.params["sha256"][:12]),
                             "run the phase artifacts again")
        self._claim(self.binary)
        for change in self.changes:
            item = change.file
            if item.text is None:
                files.remove(self.root, item.path)
            else:
                files.write_atomic(self.root, item.path, item.text, item.mode)
        for name in self.links:
            os.symlink("k3s", files.below(self.root, "/usr/local/bin/" + name))
        if self.enable_time_wait:
            self.systemd.enable(self.time_wait)
        since = time.time()
        for action in self.actions:
            if action == "reload":
                self.systemd.reload()
            else:
                getattr(self.systemd, action)(self.unit)
        self.manifest.setdefault("k3s", {})["applied"] = self.fingerprint
        manifest.save(self.root, self.manifest)
        if self.systemd.live:
            self._follow(since)
        k3s_former.drop(self.root)

    def _claim(self, binary: Binary) -> None:
        """Note whose node this is before the first change, so that a run which is cut off from here on leaves neither a
        foreign node, nor one that seems to run what was only written, nor one that cannot go back."""
        restarts = "restart" in self.actions
        if self._on_trial or (restarts and k3s_config.was_healthy(self.state)):
            self.former = k3s_former.keep(self.root, self.former, self.changes, self.manifest)
        if not self.manifest.get("cluster"):
            for item, before, _unused in self.changes:
                if before is not None:
                    backup = files.back_up(self.root, item.path)
                    self.manifest.setdefault("files", {}).setdefault(item.path, {"backup": backup})
        self.manifest["cluster"] = self.params["cluster"]
        self.manifest["node_name"] = self.params["node_name"] or os.uname().nodename
        noted = self.manifest.setdefault("k3s", {})
        if noted.get("sha256") != binary.sha256:
            noted.pop("version", None)
        noted.update(binary._asdict(), role=self.role)
        if self.params["version"]:
            noted["version"] = self.params["version"]
        if self.enable_time_wait:
            noted["time_wait"] = self.time_wait
        if restarts or "start" in self.actions:
            noted.pop("applied", None)
        manifest.save(self.root, self.manifest)

    @property
    def _on_trial(self) -> bool:
        """Whether k3s ran well before a change that has not held yet, of this run or of one that was cut off."""
        return self.former is not None

    def _ready(self, state: State) -> bool:
        """Whether there is nothing left to wait for, as far as this run waits at all."""
        if (self._on_trial or k3s_config.was_healthy(self.state)) and not k3s_config.was_healthy(state):
            return False
        if self.params["wait"] != "token":
            return True
        # Agents join with the second file, which k3s writes last.
        folder = files.below(self.root, self.params["data_dir"] + "/server/")
        written = all(os.path.exists(folder + name) for name in ("token", "agent-token"))
        return written and self._probe(k3s_config.probe_url(self.settings))

    def _follow(self, since: float) -> None:
        if self.params["wait"] != "token" and not self._on_trial:
            return
        before = self.state if "restart" in self.actions or "start" in self.actions else State()
        outcome = watch(lambda: self.systemd.show(self.unit), before, self._ready, self.params["timeout"],
                        SETTLE if self._on_trial else 0.0, clock=self._clock, sleep=self._sleep)
        if outcome.verdict == "ready":
            return
        journal = self.systemd.journal(self.unit, since if self.actions else None)
        causes = k3s_log.causes(journal)
        what = causes[0] if causes else "systemd says %s (%s)" % (outcome.state.result, outcome.state.sub)
        hint = k3s_log.remedy(causes) or "read 'journalctl -u %s' on the node" % self.unit
        if outcome.verdict == "timeout":
            raise StartError("k3s is still starting after %d s; its last words: %s" % (self.params["timeout"], what),
                             "wait and run again, or raise k3s_start_timeout", journal, changed=self.changed)
        if self.former is not None and self.former.texts:
            self._undo(self.former)
            raise StartError("k3s refused its new configuration: %s; the former one is running again" % what,
                             hint, journal, undone=True)
        # Left alone it would try again every five seconds for ever.
        self.systemd.stop(self.unit)
        raise StartError("k3s did not start and was stopped: %s" % what, hint, journal, changed=self.changed)

    def _undo(self, former: k3s_former.Former) -> None:
        k3s_former.put_back(self.root, former, self.manifest)
        manifest.save(self.root, self.manifest)
        failed = self.systemd.show(self.unit)
        if former.has_units:
            self.systemd.reload()
        self.systemd.restart(self.unit)
        outcome = watch(lambda: self.systemd.show(self.unit), failed, self._ready, self.params["timeout"],
                        clock=self._clock, sleep=self._sleep)
        if outcome.verdict != "ready":
            raise StartError("k3s refused its new configuration and did not start with the former one either (%s)"
                             % (outcome.state.sub,), "read 'journalctl -u %s' on the node" % self.unit, changed=True)
        k3s_former.drop(self.root)
