# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files a k3s node shall have, how they differ from what is there, and what has to be started because of it.

All functions take a ``root`` (``/`` on a node) or plain text, and change nothing but what their name says.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from ansible_collections.pideploy.k3s.plugins.module_utils import files
from ansible_collections.pideploy.k3s.plugins.module_utils.service import ACTIVE, State
from ansible_collections.pideploy.k3s.plugins.module_utils.spec_secrets import SECRET_KEYS, instead_of, secret_flag

__metaclass__ = type

BINARY = "/usr/local/bin/k3s"
CONFIG = "/etc/rancher/k3s/config.yaml"
TOKEN = "/etc/rancher/k3s/token"
AGENT_TOKEN = "/etc/rancher/k3s/agent-token"
DATA_DIR = "/var/lib/rancher/k3s"
UNIT_DIR = "/etc/systemd/system"
UNITS = {"server": "k3s.service", "agent": "k3s-agent.service"}
LINKS = ("kubectl", "crictl", "ctr")  # commands that the k3s binary also is, by the name it is called
COMMAND_DIRS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", "/snap/bin")
# Units that order time-sync.target after a set clock: of systemd-timesyncd, of chrony. Neither is enabled by default.
TIME_WAITS = ("systemd-time-wait-sync.service", "chrony-wait.service")

HIDDEN = "(hidden)"
SET_LATER = "<set at deploy>"

_OPTION = re.compile(r"^[a-z][a-z0-9]*(?:-[a-z0-9]+)*[+]?$")
_LINE = re.compile(r"""^(?P<quote>["']?)(?P<key>[A-Za-z0-9][\w.-]*\+?)(?P=quote)\s*:(?:\s+(?P<value>.*))?$""")


class ConfigError(Exception):
    """A configuration that cannot be written; ``hint`` says what to change."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class File(NamedTuple):
    """A file that shall be there with this text and mode; text None: shall not be there."""

    path: str
    text: Optional[str]
    mode: int
    secret: bool = False


class Change(NamedTuple):
    """A file that differs. ``before`` None: there is none. ``text_differs`` False: only the mode is wrong."""

    file: File
    before: Optional[str]
    text_differs: bool


def parse(text: str) -> Dict[str, Any]:
    """Read the top-level keys of a ``config.yaml``: JSON values as our template writes them, plain scalars and lists as
    people write them. What this small reader does not know (nested YAML) is left out, never guessed."""
    values: Dict[str, Any] = {}
    open_list = ""
    for line in text.split("\n"):  # splitlines would also split at characters that may stand in values
        item = re.match(r"^\s*-\s+(.*)$", line)
        if item and open_list:
            values.setdefault(open_list, [])
            if isinstance(values[open_list], list):
                values[open_list].append(_scalar(item.group(1)))
            continue
        match = _LINE.match(line)
        if not match:
            continue
        key, value = match.group("key"), (match.group("value") or "").strip()
        open_list = "" if value else key
        if value:
            values[key] = _scalar(value)
    return values


def _scalar(text: str) -> Any:
    text = text.strip()
    try:
        return json.loads(text)
    except ValueError:
        pass
    if len(text) >= 2 and text[0] == text[-1] == "'":
        return text[1:-1].replace("''", "'")
    return re.sub(r"\s+#.*$", "", text)


def compose(config: str, secret: Dict[str, Any]) -> str:
    """Return the whole text of ``config.yaml``: the rendered part, then a line for each secret key.

    The rendered part has to be comments and ``key: <JSON scalar or list of scalars>`` lines. That is checked, because
    then no string of a user can have become a key of its own.

    :raises ConfigError: another line, a secret key in the part that is not secret, or a token.
    """
    lines = config.rstrip("\n").split("\n")
    for line in lines:
        if line.strip() and not line.startswith("#"):
            key, _unused, value = line.partition(": ")
            _check_option(key, value)
            if key in SECRET_KEYS:
                raise ConfigError("config holds the secret key '%s'" % key, "give it in secret_config")
    for key in sorted(secret):
        if key in ("token", "agent-token"):
            raise ConfigError("'%s' cannot be given as a key of config.yaml" % key, "use k3s_token")
        value = json.dumps(secret[key], ensure_ascii=False)
        _check_option(key, value)
        lines.append("%s: %s" % (key, value))
    return "\n".join(lines) + "\n"


def _check_option(key: str, value: str) -> None:
    if not _OPTION.match(key):
        raise ConfigError("%s is no name of a k3s option" % key[:60], "names are lower-case words joined by '-'")
    try:
        data = json.loads(value)
    except ValueError:
        raise ConfigError("the value of '%s' is not one line of JSON" % key, "use the template of role k3s") from None
    if any(item is None or isinstance(item, (dict, list)) for item in (data if isinstance(data, list) else [data])):
        raise ConfigError("the value of '%s' is neither a text, a number, true, false, nor a list of these" % key,
                          "k3s options take 'name=value' texts where a value has parts")


def hide(text: str) -> str:
    """Return a ``config.yaml`` for people: values of secret keys replaced (also the lines of a list below one)."""
    shown: List[str] = []
    hiding = False
    for line in text.split("\n"):
        match = _LINE.match(line)
        if match:
            hiding = match.group("key").rstrip("+") in SECRET_KEYS
            if hiding:
                line = "%s: %s" % (match.group("key"), HIDDEN)
        elif hiding and line.strip():
            continue
        shown.append(line)
    return "\n".join(shown)


def server_name(address: str) -> str:
    """Return an address as it stands in a URL: IPv6 in brackets; the first of a dual-stack list."""
    address = address.partition(",")[0].strip()
    return "[%s]" % address if ":" in address else address


def probe_url(config: Dict[str, Any]) -> str:
    """Return where a server answers on its own machine: ``/cacerts`` is served to anybody."""
    bind = str(config.get("bind-address") or "127.0.0.1")
    if bind in ("0.0.0.0", "::"):
        bind = "127.0.0.1"
    return "https://%s:%s/cacerts" % (server_name(bind), config.get("https-listen-port") or 6443)


def unit_path(role: str) -> str:
    """Return the path of the role's unit file."""
    return "%s/%s" % (UNIT_DIR, UNITS[role])


def dropin_path(role: str) -> str:
    """Return the path of the drop-in that carries the user's flags."""
    return "%s/%s.d/10-pideploy.conf" % (UNIT_DIR, UNITS[role])


def time_wait_path(unit: str) -> str:
    """Return the path of the drop-in that bounds a unit's wait for the clock."""
    return "%s/%s.d/10-pideploy.conf" % (UNIT_DIR, unit)


def find_time_wait(root: str) -> str:
    """Return the unit with which this system can wait for its clock at boot, or an empty text."""
    for unit in TIME_WAITS:
        if any(os.path.exists(files.below(root, "%s/systemd/system/%s" % (lib, unit))) for lib in ("/usr/lib", "/lib")):
            return unit
    return ""


def is_enabled(root: str, unit: str) -> bool:
    """Whether a unit of the distribution is wanted by a target."""
    return bool(glob.glob(files.below(root, "%s/*.wants/%s" % (UNIT_DIR, unit))))


def first_address(config: Dict[str, Any]) -> str:
    """Return the node's (first) address from its configuration, or an empty text."""
    value = config.get("node-ip") or ""
    return str(value[0] if isinstance(value, list) else value).partition(",")[0].strip()


def wanted(
    role: str,
    config: str,
    unit: str,
    dropin: str = "",
    token: Optional[str] = None,
    agent_token: Optional[str] = None,
    time_wait: str = "",
) -> List[File]:
    """Return the files of a node. A token that is None is none of this run's business and left as it is."""
    flag = secret_flag(dropin)
    if flag:
        raise ConfigError("k3s_extra_args holds %s, which every user of the node could read in the process list" % flag,
                          "use " + instead_of(flag))
    result: List[File] = []
    if token is not None:
        result.append(File(TOKEN, token + "\n", 0o600, secret=True))
    if agent_token is not None:
        result.append(File(AGENT_TOKEN, agent_token + "\n", 0o600, secret=True))
    result.append(File(CONFIG, config, 0o600))
    result.append(File(unit_path(role), unit.rstrip("\n") + "\n", 0o644))
    result.append(File(dropin_path(role), dropin.rstrip("\n") + "\n" if dropin.strip() else None, 0o644))
    if time_wait:
        # A board without a clock battery boots in the past; without a bound an offline site would never start k3s.
        result.append(File(time_wait_path(time_wait), "[Service]\nTimeoutStartSec=120\n", 0o644))
    return result


def differing(root: str, wanted_files: Sequence[File]) -> List[Change]:
    """Return the files that are not as wanted."""
    changes: List[Change] = []
    for item in wanted_files:
        before = files.read_text(root, item.path)
        if before != item.text:
            changes.append(Change(item, before, True))
        elif item.text is not None and os.stat(files.below(root, item.path)).st_mode & 0o7777 != item.mode:
            changes.append(Change(item, before, False))
    return changes


def diff(changes: Sequence[Change]) -> List[Dict[str, str]]:
    """Return what Ansible shows with ``--diff``. No secret is in it."""
    shown: List[Dict[str, str]] = []
    for item, before, text_differs in changes:
        old, new = before, item.text
        if not text_differs:
            old, new = "mode is not %04o\n" % item.mode, "mode %04o\n" % item.mode
        elif item.secret:
            old, new = None if before is None else HIDDEN + "\n", None if new is None else SET_LATER + "\n"
        elif item.path == CONFIG:
            old, new = None if old is None else hide(old), None if new is None else hide(new)
            if old == new:
                old = (old or "") + "# a secret value is another one\n"
        shown.append({"before": old or "", "after": new or "",
                      "before_header": item.path + ("" if before is not None else " (absent)"),
                      "after_header": item.path + ("" if item.text is not None else " (absent)")})
    return shown


def starts_with(item: File) -> bool:
    """Whether the service reads this file at its start."""
    return not any(item.path == time_wait_path(unit) for unit in TIME_WAITS)


def digest(wanted_files: Sequence[File], binary: str) -> str:
    """Return a fingerprint of what a service starts with, for the manifest.

    Everybody on the node can read that, so secrets are left out; a changed secret shows as a changed file."""
    total = hashlib.sha256(binary.encode("ascii", "replace"))
    for item in wanted_files:
        if starts_with(item) and not item.secret:
            text = hide(item.text or "") if item.path == CONFIG else item.text or ""
            total.update(("\0%s\0%s" % (item.path, text)).encode("utf-8", "surrogateescape"))
    return total.hexdigest()


def missing_links(root: str) -> List[str]:
    """Return the commands among kubectl, crictl and ctr that this machine lacks: they become links to k3s."""
    return [name for name in LINKS
            if not any(os.path.lexists(files.below(root, "%s/%s" % (folder, name))) for folder in COMMAND_DIRS)]


def plan(changes: Sequence[Change], state: State, applied: Optional[str], fingerprint: str) -> List[str]:
    """Return what systemd has to be told, in order: ``reload``, ``enable``, then ``start`` or ``restart`` or neither.

    ``applied`` is the fingerprint that the running service was started with, from the manifest: a run that was killed
    between writing and restarting left none, so the next run finishes the job.
    """
    actions: List[str] = []
    if state.needs_reload or any(change.file.path.startswith(UNIT_DIR) for change in changes):
        actions.append("reload")
    if not state.enabled:
        actions.append("enable")
    differs = any(change.text_differs and starts_with(change.file) for change in changes)
    if not state.running:
        # A unit in its pause between two attempts does not take a start: it has one.
        actions.append("restart" if state.sub == "auto-restart" else "start")
    elif applied != fingerprint or differs:
        actions.append("restart")
    return actions


def was_healthy(state: State) -> bool:
    """Whether k3s had told systemd that it is ready: only then is there something that an undo can bring back."""
    return state.active in ACTIVE
