#!/bin/sh
# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
# nvzramconfig of a virtual Jetson: one compressed device; the original makes one a CPU.
set -eu
case "${1:-start}" in
start) grep -q '^/dev/zram0 ' /proc/swaps || swapon /dev/zram0 ;;
stop) ! grep -q '^/dev/zram0 ' /proc/swaps || swapoff /dev/zram0 ;;
esac
