#!/bin/sh
# pid 1 of the guest: D-Bus and BlueZ, the bridge to the radios outside, the agent; then power off.
# The root is the host's own, read only, below a layer in memory.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
for word in $(cat /proc/cmdline); do
    case $word in lab.*=*) v=${word#lab.}; export "LAB_${v%%=*}=${v#*=}" ;; esac
done
mount -t tmpfs tmpfs /run
mkdir -p /run/dbus /dev/shm /dev/pts /sys/kernel/debug
mount -t tmpfs tmpfs /dev/shm
mount -t devpts devpts /dev/pts
mount -t debugfs debugfs /sys/kernel/debug
hostname lab
ip link set lo up
rm -rf /var/lib/bluetooth/*
mkdir -p /var/lib/bluetooth
here=$(dirname "$LAB_init")
export PYTHONPATH="$(cd "$here/../../.." && pwd)"
dbus-daemon --system --fork
"$LAB_python" "$here/agent.py"
echo "LAB-RC $?"
exec 2>/dev/null
echo o > /proc/sysrq-trigger
while :; do :; done
