# Keeps a machine's disk: a shared read-only tree, and a layer for the machine's writes, which disappear with it.
# Docker's data is on a separate disk, because an overlay cannot be on another overlay.
# $1: the tree.
set -eu
disk=/run/lab/machine
mkdir -p "$disk"
mount -t tmpfs -o mode=755 tmpfs "$disk"
mkdir "$disk/upper" "$disk/work" "$disk/root" "$disk/docker"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$disk/upper,workdir=$disk/work" "$disk/root"
umount -l /sys
mount -t sysfs sysfs /sys
mount -t cgroup2 none /sys/fs/cgroup
echo ready
exec sleep infinity
