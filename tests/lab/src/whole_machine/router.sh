# Sets up the ISP's end of a machine's link each time the link appears.
# $1: its name. $2: the commands for `ip -batch`.
set -eu
up() {
    printf "%s" "$2" | ip -force -batch - 2>/dev/null || true
}
ip -oneline monitor link | while read -r line; do
    case $line in
    Deleted*) ;;
    *" $1@"*"<BROADCAST,MULTICAST>"*) up "$@" ;;
    esac
done
