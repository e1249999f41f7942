# Makes Incus' network with rules of its own, and a container that it starts. The image is in /run/lab/docker/image.
incus network create incusbr0 ipv4.address=10.88.0.1/24 ipv4.nat=true ipv6.address=fd42:88::1/64 ipv6.nat=true
incus storage create default dir
incus profile device add default root disk path=/ pool=default
incus profile device add default eth0 nic network=incusbr0 name=eth0

image=/run/lab/incus
mkdir -p "$image"
cp -a /run/lab/docker/image "$image/rootfs"
cd "$image/rootfs"
mkdir -p dev etc proc run sbin sys
cat >etc/lease <<'LEASE'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip address add "$ip/$mask" dev "$interface"
ip route add default via "$router"
LEASE
cat >sbin/init <<'INIT'
#!/bin/sh
ip link set lo up
ip link set eth0 up
udhcpc -q -f -i eth0 -s /etc/lease
ip address add fd42:88::10/64 dev eth0
ip route add ::/0 via fd42:88::1
exec tail -f /dev/null
INIT
chmod 755 etc/lease sbin/init
cd "$image"
printf 'architecture: x86_64\ncreation_date: 1\n' >metadata.yaml
tar -czf ../incus.tar.gz metadata.yaml rootfs
incus image import ../incus.tar.gz --alias lab
incus launch lab box
