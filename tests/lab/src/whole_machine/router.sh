# Puts the ISP's end of a machine's link up as soon as it is there, every time it comes.
# $1: its name. $2: what `ip -batch` is to do.
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
