# Keeps the file systems that dockerd needs, in a separate mount namespace: sysfs is writable here, and stays read-only
# for NetworkManager outside it. This process continues when dockerd ends, as containers do.
# $1: the tree that dockerd runs in, if not this system's own.
set -eu
mkdir -p /run/lab/docker/data
umount -l /sys
mount -t sysfs sysfs /sys
mount -t cgroup2 none /sys/fs/cgroup
mount -t tmpfs tmpfs /run/lab/docker/data
if [ -n "$1" ]; then
    # dockerd's writes into its tree disappear with this process: the shared tree does not change.
    layers=/run/lab/docker/layers
    mkdir -p "$layers" /run/lab/docker/tree
    mount -t tmpfs tmpfs "$layers"
    mkdir "$layers/upper" "$layers/work"
    options=lowerdir=$1,upperdir=$layers/upper,workdir=$layers/work
    mount -t overlay overlay -o "$options" /run/lab/docker/tree
    for shared in proc sys dev run; do
        mount --rbind "/$shared" "/run/lab/docker/tree/$shared"
    done
    touch /run/lab/docker/tree/etc/resolv.conf
    mount --bind /etc/resolv.conf /run/lab/docker/tree/etc/resolv.conf
    # Changes the root of this namespace and uses no chroot: a process that enters a container starts at the namespace's
    # root.
    cd /run/lab/docker/tree
    mkdir -p mnt
    pivot_root . mnt
    umount -l /mnt
fi
echo ready
exec sleep infinity
