# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""``ClusterSpec``: which cluster a run is about, as the wrapper needs it.

The meaning of a ``*.pideploy.yml`` file is in the collection's ``module_utils/spec.py``, which the inventory plugin
reads as well; this is a thin typed view of what that returns, with its errors as ``PideployError``.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.pideploy.k3s.plugins.module_utils import hostlist
from ansible_collections.pideploy.k3s.plugins.module_utils import spec as reader
from ansible_collections.pideploy.k3s.plugins.module_utils.hostlist import fold
from pideploy.errors import PideployError
from pideploy.state import SPEC_SUFFIX, ClusterState, clusters, write_private

__all__ = ["ClusterSpec", "fold", "spec_errors"]


@dataclass(frozen=True)
class ClusterSpec:
    """A cluster and the file that describes it. ``hosts`` are names as in the hostlist; servers come first."""

    cluster: str
    file: Path
    servers: tuple[str, ...]
    agents: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    #: The digest of the description's text: it tells whether a cluster's description has changed.
    digest: str = ""
    #: What a deploy writes to ``file``; empty for a spec that was read from there.
    text: str = field(default="", repr=False)
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)
    group_variables: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def hosts(self) -> tuple[str, ...]:
        """All hosts, servers first."""
        return (*self.servers, *self.agents)

    @property
    def state(self) -> ClusterState:
        """The cluster's state folder."""
        return ClusterState(self.cluster)

    @classmethod
    def from_file(cls, path: Path | str) -> ClusterSpec:
        """Read a spec.

        :raises PideployError: code ``spec`` or ``hostlist``, with line and column where there are some.
        """
        file = Path(path).expanduser().absolute()
        with spec_errors():
            return cls._of(reader.load(str(file)), file)

    @classmethod
    def from_hosts(cls, hosts: str, *, save: Path | None = None, **flags: Any) -> ClusterSpec:
        """Describe a cluster by a hostlist and what the file calls ``servers``, ``user``, ``vars``, …

        Nothing is written yet: ``file`` is where a deploy will keep the description (``save``, default: the cluster's
        state folder), so that the same file serves plain ``ansible-playbook``.

        :raises PideployError: code ``spec`` or ``hostlist``; or ``save`` is not what a spec is called, or says
            something else already.
        """
        with spec_errors():
            spec = reader.from_flags(hosts=hosts, **{k: v for k, v in flags.items() if v})
            text = reader.dump(spec)
        file = save.expanduser().absolute() if save else ClusterState(spec.cluster).spec_file
        if not file.name.endswith(SPEC_SUFFIX):
            raise PideployError(
                "usage",
                f"{file.name} would not be read as a spec: its name has to end in {SPEC_SUFFIX}",
                hint=f"--save {file.with_name(spec.cluster + SPEC_SUFFIX)}",
            )
        if save and file.exists() and file.read_text() != text:
            raise PideployError("usage", f"{file} exists and says something else", hint=f"use it: -f {file}")
        with spec_errors():
            return cls._of(reader.parse(text, str(file)), file, text)

    @classmethod
    def known(cls, hosts: str) -> ClusterSpec:
        """The spec of the known cluster that has these hosts; when none has, what the hostlist alone says.

        :raises PideployError: the hostlist is malformed, or its cluster is known with other hosts, or two have them.
        """
        described = cls.from_hosts(hosts)
        specs = {}
        for name in clusters():
            file = ClusterState(name).known_spec()
            # What is wrong with another cluster's spec is none of this one's business.
            with contextlib.nullcontext() if name == described.cluster else contextlib.suppress(PideployError):
                if file is not None:
                    specs[name] = cls.from_file(file)
        same = [spec for spec in specs.values() if set(spec.hosts) == set(described.hosts)]
        named = specs.get(described.cluster)
        if named is not None and named in same:
            return named
        if len(same) == 1:
            return same[0]
        if same:
            raise PideployError(
                "usage",
                f"which cluster? {' and '.join(spec.cluster for spec in same)} have these hosts",
                hint=f"--cluster {same[0].cluster}",
            )
        if named is not None:
            raise PideployError(
                "usage",
                f"cluster {named.cluster} is known with other hosts: {fold(named.hosts)}",
                hint=f"--cluster {named.cluster}",
            )
        return described

    @property
    def stored(self) -> bool:
        """Whether ``file`` says what this spec says."""
        try:
            return not self.text or self.file.read_text() == self.text
        except (OSError, UnicodeDecodeError):
            return False

    def store(self) -> None:
        """Write ``file``, unless it is as it should be. Whoever calls this holds the cluster's lock.

        :raises PideployError: it cannot be written.
        """
        if not self.stored:
            self._write(self.file)

    @contextlib.contextmanager
    def lent(self) -> Iterator[Path]:
        """A file that says what this spec says, for as long as the block runs; ``file`` is not touched."""
        if self.stored:
            yield self.file
            return
        lent = self._write(self.state.folder / f"lent-{secrets.token_hex(4)}{SPEC_SUFFIX}")
        try:
            yield lent
        finally:
            lent.unlink(missing_ok=True)

    def printable(self) -> Path:
        """Such a file that stays, for a command that is printed: beside ``file``, so that its group_vars count."""
        if self.stored:
            return self.file
        own = self.file == self.state.spec_file  # another one is --save's, which never replaces anything
        return self._write(self.state.folder / f"printed-{self.digest[:8]}{SPEC_SUFFIX}" if own else self.file)

    def _write(self, file: Path) -> Path:
        if file.parent == self.state.folder:
            self.state.create()
        try:
            write_private(file, self.text)
        except OSError as exc:
            raise PideployError("spec", f"cannot write {file}: {exc.strerror}") from exc
        return file

    @classmethod
    def of_cluster(cls, cluster: str) -> ClusterSpec:
        """The spec of a cluster that pideploy has worked on before.

        :raises PideployError: nothing is known of it.
        """
        known = ClusterState(cluster).known_spec()
        if known is None:
            near = difflib.get_close_matches(cluster, clusters(), 1)
            raise PideployError(
                "unknown_cluster",
                f"no cluster '{cluster}' is known here",
                hint=f"did you mean {near[0]}?" if near else 'name its hosts: --hosts "red,red[01-02]", or -f FILE',
            )
        return cls.from_file(known)

    @classmethod
    def _of(cls, spec: reader.Spec, file: Path, text: str = "") -> ClusterSpec:
        servers = tuple(spec.servers)
        return cls(
            cluster=spec.cluster,
            file=file,
            servers=servers,
            agents=tuple(h.name for h in spec.hosts if h.name not in servers),
            warnings=tuple(str(w) for w in spec.warnings),
            digest=hashlib.sha256(text.encode() if text else file.read_bytes()).hexdigest(),
            text=text,
            raw=dict(spec.raw or {}),
            group_variables=dict(spec.group_variables()),
        )

    def select(self, limit: str | Sequence[str]) -> tuple[str, ...]:
        """The hosts of this cluster that a hostlist names, in the cluster's order; ``()`` for an empty one.

        :raises PideployError: a name that is not in the cluster, or a malformed hostlist.
        """
        text = limit if isinstance(limit, str) else ",".join(limit)
        if not text.strip():
            return ()
        with spec_errors():
            names = hostlist.expand(text, files=False)
        for name in names:
            if name not in self.hosts:
                near = difflib.get_close_matches(name, self.hosts, 1)
                raise PideployError(
                    "usage",
                    f"'{name}' is no host of cluster {self.cluster}",
                    hint=f"did you mean {near[0]}?" if near else f"its hosts: {fold(self.hosts)}",
                )
        return tuple(h for h in self.hosts if h in set(names))


@contextlib.contextmanager
def spec_errors() -> Iterator[None]:
    """Turn the collection's errors about hostlists and specs into ``PideployError``."""
    try:
        yield
    except hostlist.HostlistError as exc:
        raise PideployError("hostlist", str(exc), hint=str(exc.hint or "")) from exc
    except reader.SpecError as exc:
        raise PideployError("spec", str(exc), hint=str(exc.hint or "")) from exc
