# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""pideploy: from a hostlist to a verified k3s cluster."""

__version__ = "0.1.0"
