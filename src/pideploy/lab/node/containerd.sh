#!/bin/sh
# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
# Where the machine below lacks CAP_SYS_RESOURCE (bit 24), runc may not lower a pod's OOM score and every pod dies with
# "can't get final child's PID from pipe: EOF". A Pi never lacks it: this is the lab's business, not the product's.
capabilities=$(sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status)
[ $(( 0x$capabilities >> 24 & 1 )) = 0 ] || exit 0
folder=/var/lib/rancher/k3s/agent/etc/containerd/config-v3.toml.d
mkdir -p "$folder"
cat > "$folder/50-pideploy-lab.toml" <<'TOML'
version = 3

[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
TOML
