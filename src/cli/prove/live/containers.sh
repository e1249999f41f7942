# shellcheck shell=sh
# Starts a container on each of these networks of Docker, and keeps them. When the input ends, it removes the containers
# and their image. The input also ends when the process that writes it is killed.
# $1: the size of the image's archive, which comes first on the input. $2: the name of the image. $3 and on: the ids of
# the networks. It prints a line for each of them, with its number, and then `done`.
set -u
# The signals of a terminal, and of a reader that has ended, must not end this script before it has removed everything.
trap '' HUP INT PIPE TERM
size=$1
image=$2
shift 2

docker() {
    command docker --host unix:///run/docker.sock "$@"
}

begin() {
    if said=$(docker run --detach --rm --pull never --name "$image-$1" --network "$2" --read-only \
        --cap-drop ALL --security-opt no-new-privileges --log-driver none "$image" 2>&1) &&
        said=$(docker inspect --format '{{.State.Pid}}' "$image-$1" 2>&1); then
        printf '%s began %s\n' "$1" "$said"
    else
        printf '%s failed %s\n' "$1" "$(printf '%s' "$said" | tr '\n' ' ')"
    fi
}

number=0
names=
if id=$(head -c "$size" | docker import --change 'ENTRYPOINT ["/wait"]' - "$image" 2>&1); then
    for network in "$@"; do
        number=$((number + 1))
        names="$names $image-$number"
        begin "$number" "$network" &
        # Eight at a time.
        if [ $((number % 8)) -eq 0 ]; then wait; fi
    done
    wait
else
    printf '0 failed %s\n' "$(printf '%s' "$id" | tr '\n' ' ')"
fi
echo 'done'
cat >/dev/null

# shellcheck disable=SC2086 # no name has a space
docker rm --force --volumes $names >/dev/null 2>&1
# While Docker still removes a container, it refuses to remove the image.
for try in $(seq 100); do
    docker image rm --force "$id" >/dev/null 2>&1
    docker image inspect "$id" >/dev/null 2>&1 || exit 0
    sleep 0.1
done
exit "$try"
