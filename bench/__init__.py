# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""Benchmarks that anybody can run again: ``python -m bench --help``."""
