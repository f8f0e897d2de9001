# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""``pideploy`` and ``python -m pideploy``."""

from __future__ import annotations

from pideploy.cli import main

if __name__ == "__main__":
    main()
