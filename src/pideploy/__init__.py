# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""pideploy: from a hostlist to a verified k3s cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pideploy.errors import PideployError

if TYPE_CHECKING:
    from pideploy.api import Deployer
    from pideploy.spec import ClusterSpec

__version__ = "0.1.0"
__all__ = ["ClusterSpec", "Deployer", "PideployError", "__version__"]


def __getattr__(name: str) -> Any:
    """Import what is heavy when it is asked for: ``pideploy --help`` must not pay for it."""
    if name == "Deployer":
        from pideploy.api import Deployer

        return Deployer
    if name == "ClusterSpec":
        from pideploy.spec import ClusterSpec

        return ClusterSpec
    raise AttributeError(f"module 'pideploy' has no attribute '{name}'")
