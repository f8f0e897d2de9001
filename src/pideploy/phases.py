# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""What a deploy does, phase by phase. Read this first, then ``playbooks/site.yml`` of the collection.

The order is owned by ``site.yml``; a test compares it with this list. Each play of the collection is named
``<Phase>: <what>``, and that is how a result of Ansible finds its phase. What a phase does is in the role of the
same name (``prepare``: roles hostname, cgroups, swap; ``servers`` and ``agents``: role k3s).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

COLLECTION: Final = "pideploy.k3s"

#: Which hosts a phase is for. ``one``: a single host acts for all of them (the controller, or the first server).
Scope = Literal["all", "servers", "agents", "one"]


@dataclass(frozen=True)
class Phase:
    """One step of ``site.yml``: ``id`` is the text before the colon in its plays' names."""

    id: str
    title: str
    scope: Scope
    #: Why the phase may do nothing on its hosts and the run is still good; empty: it has to run.
    may_skip: str = ""
    #: Why a plan (check mode) does not run it; empty: a plan runs it.
    not_in_plan: str = ""

    @property
    def playbook(self) -> str:
        """The playbook that runs this phase alone, as ``ansible-playbook`` takes it."""
        return f"{COLLECTION}.{self.id}"

    def hosts(self, servers: Sequence[str], agents: Sequence[str]) -> list[str]:
        """The hosts this phase is for, out of those of the run; for ``one`` all that it may act for."""
        if self.scope == "servers":
            return list(servers)
        if self.scope == "agents":
            return list(agents)
        return [*servers, *agents]


PHASES: Final[tuple[Phase, ...]] = (
    Phase("guard", "Check spec and inventory", "one"),
    Phase("preflight", "Look at every host", "all"),
    Phase("prepare", "Prepare the operating system", "all", may_skip="nothing to prepare"),
    Phase("reboot", "Reboot where needed", "all", may_skip="no host needs a reboot"),
    Phase("artifacts", "Put k3s on the hosts", "all"),
    Phase("servers", "Start the server", "servers"),
    Phase("agents", "Join the agents", "agents"),
    Phase("verify", "Verify the cluster", "one", not_in_plan="a plan changes nothing that could be verified"),
)

SITE: Final = f"{COLLECTION}.site"

#: The task that stops a run because an earlier failure took a server away. Ansible can only let it fail on a host that
#: is left, and that host has done nothing wrong.
SERVER_LOST: Final = "See that no server was lost"

#: Playbooks beside ``site.yml`` have one phase each.
_OTHER_TITLES: Final = {
    "status": "Ask the cluster for its nodes",
    "kubeconfig": "Fetch the kubeconfig",
    "reset": "Delete the cluster",
}


def find(phase_id: str) -> Phase | None:
    """The phase of this id; None for a play outside ``site.yml``."""
    return next((phase for phase in PHASES if phase.id == phase_id), None)


def not_planned(phase_id: str) -> bool:
    """Whether a plan leaves this phase out, whatever its plays may say in check mode."""
    phase = find(phase_id)
    return phase is not None and bool(phase.not_in_plan)


def title(phase_id: str) -> str:
    """The title of a phase, or of a play outside ``site.yml``."""
    phase = find(phase_id)
    return phase.title if phase else _OTHER_TITLES.get(phase_id, phase_id.capitalize())


def of_play(play: str) -> str:
    """The phase of a play by its name: the text before the colon, in lower case (``Verify: explain``: ``verify``)."""
    return play.partition(":")[0].strip().lower()
