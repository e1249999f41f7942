# An image that needs no registry: busybox, and bash, because this busybox cannot open UDP sockets.
set -eu

image=/run/lab/docker/image
mkdir -p "$image/bin" "$image/tmp"
cp "$(command -v busybox)" "$image/bin/busybox"
"$image/bin/busybox" --install "$image/bin"
ldd /bin/bash | grep -o '/[^ ]*' | while read -r library; do
    install -D "$(readlink -f "$library")" "$image$library"
done
cp --remove-destination /bin/bash "$image/bin/bash"
tar -C "$image" -cf "$image.tar" .
