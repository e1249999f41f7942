# Process 1 of a laboratory machine. Everything here is inside its own mount namespace.
set -eu

# What services write is private and goes with the machine: /run is empty, and /etc, /var
# and /usr/share can be changed at will above the machine's real ones.
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lab/changes /run/lock /run/dbus
mount -t tmpfs -o mode=755 tmpfs /run/lab/changes
for tree in etc var usr/share; do
    changes=/run/lab/changes/$tree
    mkdir -p "$changes/upper" "$changes/work"
    mount -t overlay -o "lowerdir=/$tree,upperdir=$changes/upper,workdir=$changes/work" overlay "/$tree"
done
ln -sf /run/lock /var/lock

# /sys has to show this network namespace; read-only it makes NetworkManager manage veth
# links without a udev.
umount -l /sys
mount -t sysfs -o ro sysfs /sys

ip link set lo up
echo ready

# The test holds the other end of this pipe; its end is the machine's end.
read -r _ || true
