//! Scripts that do less than it seems at first sight. The rule that the shell runs opens port 443, and the other one
//! opens everything.

use super::variants::{only, read};

const PORT: &str = "iptables -A OUTPUT -o tun+ -p tcp --dport 443 -j ACCEPT";
const ALL: &str = "iptables -A OUTPUT -o tun+ -j ACCEPT";

#[test]
fn only_what_the_script_opens_is_carried_over() {
    let p = PORT.replace("443", "$P");
    let restore = |lines: &str| format!("iptables-restore <<EOF\n*filter\n{lines}\nCOMMIT\nEOF\n");
    let port = PORT.trim_start_matches("iptables ");
    for script in [
        // It matters which of two functions has the name.
        format!(
            "MODE=strict; if [ $MODE = strict ]; then open() {{ {PORT}; }}; else open() {{ {ALL}; }}; fi; open"
        ),
        format!("open() {{ {PORT}; }}\n( open() {{ {ALL}; }} )\nopen"),
        format!("open() {{ {PORT}; }}\n[ a = b ] && open() {{ {ALL}; }}\nopen"),
        format!("case a in b) open() {{ {ALL}; }};; a) open() {{ {PORT}; }};; esac; open"),
        // A restore flushes its tables.
        format!("{ALL}\n{}", restore(port)),
        format!("{PORT}\n{}", restore(":OUTPUT DROP [0:0]").replace("restore", "restore --noflush")),
        // The inner shell has the variables that its own text sets.
        format!("P=1:65535\nsh <<'EOF'\nP=443\n{p}\nEOF\n"),
        format!("P=443\nsh <<EOF\nP=1:65535\n{p}\nEOF\n"),
        // If a program starts the command, no function is called.
        "iptables() { command iptables -w \"$@\"; }\n".to_owned() + PORT,
        format!("bash -o pipefail -c '{PORT}'"),
        format!("bash -euo pipefail -c '{PORT}'"),
        format!("sh -s web <<'EOF'\n{PORT}\nEOF\n"),
        format!("/usr/bin/sh <<'EOF'\n{PORT}\nEOF\n"),
        // A command that ends another shell does not end this one.
        format!("sh -c 'return'\n( return )\n{PORT}"),
        format!("for x in 1; do ( continue ); {PORT}; done"),
        format!("exec {PORT}\n{ALL}"),
        // Blanks and other separators.
        format!("OLD=$IFS; IFS=:; IFS=$OLD\nfor P in $(seq 443 443); do {p}; done"),
        format!("set -e\nIFS=$'\\n\\t'\nFW=iptables\nP=443\n{}", p.replace("iptables", "$FW")),
        format!(
            "while IFS=: read x; do true; done < /f\nFW='iptables -w'\n{}",
            PORT.replace("iptables", "$FW")
        ),
        format!("case ${{1:-stop}} in stop) {ALL};; start) {PORT};; esac"),
        format!("ACTION=${{1:-stop}}\ncase $ACTION in stop) {ALL};; start) {PORT};; esac"),
        format!(
            "while read P; do logger -t fw \"opening $P\"; cat /etc/hostname; ip -4 route; {p}; done <<EOF\n443\nEOF\n"
        ),
        format!("#!/bin/bash\nx=on\n[[ $x == on ]] && {PORT}"),
    ] {
        let plan = read(&script);
        assert_eq!(plan.tunnel, only(&[443]), "{script}: {:#?}", plan.entries);
    }
}

#[test]
fn what_may_not_run_is_listed() {
    let shared = |command: &str| format!("while read p; do {command}; {ALL}; done <<EOF\n443\nEOF\n");
    let restore = format!("<<EOF\n*filter\n{}\nCOMMIT\nEOF\n", ALL.trim_start_matches("iptables "));
    for script in [
        format!("if [ -e /f ]; then open() {{ {PORT}; }}; else open() {{ {ALL}; }}; fi; open"),
        format!("case $2 in a) open() {{ {ALL}; }};; *) open() {{ {PORT}; }};; esac; open"),
        format!("if [ -e /f ]; then iptables() {{ :; }}; fi\n{ALL}"),
        format!("if [ -e /f ]; then mode() {{ M=yes; }}; fi\nmode\n[ \"$M\" = yes ] && {ALL}"),
        format!("( open() {{ {ALL}; }} )\nopen"),
        format!("[ -e /f ] && iptables-restore -n {restore}"),
        format!("iptables-restore --test {restore}"),
        format!("{ALL}\niptables-restore < /etc/rules"),
        "[ -e /f ] && iptables-restore < /etc/rules".to_owned(),
        // Another shell may compare differently.
        format!("#!/bin/sh\nx=on\n[[ $x == on ]] && {ALL}"),
        format!("#!/bin/sh\nx=on\n[ $x == on ] && {ALL}"),
        format!("#!/bin/bash\nsh -c '[[ a == a ]] && {ALL}'"),
        format!("#!/bin/bash\n[[ 10 -eq 010 ]] && {ALL}"),
        // Commands that read lines of the loop.
        shared("x=$(cat)"),
        shared("echo `ssh r`"),
        shared("cat -"),
        shared("cat -n"),
        shared("cat /dev/stdin"),
        shared("logger -t fw"),
        shared("timeout 5 ssh r ip route"),
        shared("sudo ssh r ip"),
        shared("ip -batch -"),
        shared("for x in $(cat); do :; done"),
        format!("PORTS=443:8443; IFS=:; for p in $PORTS; do {}; done", PORT.replace("443", "$p")),
        format!("IFS=,\nX='-j ACCEPT'\n{}", ALL.replace("-j ACCEPT", "$X")),
        // Shells whose commands tunwarden does not read.
        "sh ./rules.sh".to_owned(),
        "{ sh; } <<EOF\niptables -F\nEOF\n".to_owned(),
        format!("f() {{ f; }}\nf\nexit 0\n{ALL}"),
    ] {
        let plan = read(&script);
        assert_eq!(plan.tunnel, None, "{script}: {:#?}", plan.entries);
        assert!(plan.left_out().next().is_some(), "{script}: {:#?}", plan.entries);
    }
}
