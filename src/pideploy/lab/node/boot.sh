#!/bin/sh
# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
# Process 1 of a virtual Pi: first what firmware and kernel do on a real one, then systemd.
python3 /usr/lib/pideploy-lab/firmware.py || {
    echo "pideploy-lab: the firmware could not start this machine; halted" >&2
    exec sleep infinity
}
# A clean environment: what the lab passed in is for the firmware alone.
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    container="${container:-container}" ${container_uuid:+container_uuid="$container_uuid"} /lib/systemd/systemd
