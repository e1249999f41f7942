# Holds a machine's disk: a tree that is shared and stays as it is, and what the machine writes, which is
# gone with it. Docker's data is on a disk of its own, for overlays do not go upon overlays.
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
