#!/bin/sh
# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
# Runs once, while the image of a flavour is made.
set -eu
lab=/usr/lib/pideploy-lab
field() { python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$lab/flavour.json" "$1"; }
chmod 0755 "$lab"/boot.sh "$lab"/*.py "$lab"/containerd.sh

# The login user of this OS, in the groups that its image creator gives.
user=$(field user)
for group in spi i2c gpio netdev input render; do
    getent group "$group" >/dev/null || groupadd --system "$group"
done
useradd --create-home --uid 1000 --shell /bin/bash \
    --groups adm,dialout,cdrom,sudo,audio,video,plugdev,games,users,input,render,netdev,spi,i2c,gpio "$user"
install -d -m 0700 -o "$user" -g "$user" "/home/$user/.ssh"
printf '%s ALL=(ALL) NOPASSWD:ALL\n' "$user" > "/etc/sudoers.d/$(field sudoers)"
chmod 0440 "/etc/sudoers.d/$(field sudoers)"

# Each machine makes its own host keys and its own machine-id at its first boot: twins cannot share a network.
rm -f /etc/ssh/ssh_host_* /var/lib/dbus/machine-id "$lab/booted"
: > /etc/machine-id
printf 'UseDNS no\n' > /etc/ssh/sshd_config.d/50-pideploy-lab.conf

# A container shares the machine's kernel: vendor settings of the kernel as a whole stay out.
rm -f /usr/lib/sysctl.d/*.conf
install -d /etc/systemd/journald.conf.d
printf '[Journal]\nStorage=volatile\nRuntimeMaxUse=16M\n' > /etc/systemd/journald.conf.d/50-pideploy-lab.conf
systemctl mask --quiet systemd-remount-fs.service getty.target console-getty.service systemd-udevd.service systemd-udev-trigger.service \
    systemd-binfmt.service proc-sys-fs-binfmt_misc.automount sys-kernel-debug.mount sys-kernel-tracing.mount \
    sys-fs-fuse-connections.mount dev-hugepages.mount apt-daily.timer apt-daily-upgrade.timer \
    e2scrub_all.timer fstrim.timer dpkg-db-backup.timer

# Swap belongs to the machine's kernel: swapon and swapoff act on what this node shows in /proc/swaps.
mv /sbin/swapon "$lab/swapon.real"
ln -sf "$lab/swap.py" /sbin/swapon
ln -sf "$lab/swap.py" /sbin/swapoff

# Some virtual machines may not raise a container's OOM score; see containerd.sh.
for unit in k3s k3s-agent; do
    install -d "/usr/lib/systemd/system/$unit.service.d"
    printf '[Service]\nExecStartPre=-%s/containerd.sh\n' "$lab" > "/usr/lib/systemd/system/$unit.service.d/50-pideploy-lab.conf"
done

find /usr/sbin /usr/local /etc/systemd /boot -name '*.sh' -exec chmod 0755 {} +
for program in /usr/sbin/dphys-swapfile /usr/sbin/update-grub /usr/local/bin/systemctl /etc/systemd/nvzramconfig.sh; do
    [ ! -e "$program" ] || chmod 0755 "$program"
done
for private in /etc/netplan/*.yaml /etc/NetworkManager/system-connections/*; do
    [ ! -e "$private" ] || chmod 0600 "$private"
done
for unit in dphys-swapfile nvzramconfig; do
    [ ! -e "/usr/lib/systemd/system/$unit.service" ] || systemctl enable --quiet "$unit.service"
done
rm "$lab/prepare.sh"
