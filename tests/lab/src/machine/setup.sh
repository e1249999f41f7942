# Process 1 of a laboratory machine. Everything here is inside its own mount namespace.
set -eu

# Everything that services write is private and disappears with the machine: /run is empty, and changes of /etc, /var
# and /usr/share go into a layer above the real machine's files.
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lab/changes /run/lock /run/dbus
mount -t tmpfs -o mode=755 tmpfs /run/lab/changes
for tree in etc var usr/share; do
    changes=/run/lab/changes/$tree
    mkdir -p "$changes/upper" "$changes/work"
    mount -t overlay -o "lowerdir=/$tree,upperdir=$changes/upper,workdir=$changes/work" overlay "/$tree"
done
ln -sf /run/lock /var/lock

# /sys must show this network namespace. If it is read-only, NetworkManager manages veth links without udev.
umount -l /sys
mount -t sysfs -o ro sysfs /sys

ip link set lo up
echo ready

# The test holds the other end of this pipe. When the test ends, the pipe closes, and this ends the machine.
read -r _ || true
