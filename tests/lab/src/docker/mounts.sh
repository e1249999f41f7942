# Holds the file systems that dockerd wants, in a mount namespace of their own: sysfs is writable
# here, and stays read-only for NetworkManager beside it. It outlives dockerd, as containers do.
set -eu
mkdir -p /run/lab/docker/data
umount -l /sys
mount -t sysfs sysfs /sys
mount -t cgroup2 none /sys/fs/cgroup
mount -t tmpfs tmpfs /run/lab/docker/data
echo ready
exec sleep infinity
