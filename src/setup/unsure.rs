//! Scripts in which it is not known which commands run, or with which values. The rule that certainly runs opens port
//! 443.

use super::variants::{only, read};

const PORT: &str = "iptables -A OUTPUT -o tun+ -p tcp --dport 443 -j ACCEPT";
const ALL: &str = "iptables -A OUTPUT -o tun+ -j ACCEPT";
const RULE_P: &str = "iptables -A OUTPUT -o tun+ -p tcp --dport $P -j ACCEPT";

fn nothing_is_carried_over(scripts: &[String]) {
    for script in scripts {
        let plan = read(script);
        assert_eq!(plan.tunnel, None, "{script}: {:#?}", plan.entries);
        assert!(plan.left_out().next().is_some(), "{script}: {:#?}", plan.entries);
    }
}

fn the_port_is_carried_over(scripts: &[String]) {
    for script in scripts {
        let plan = read(script);
        assert_eq!(plan.tunnel, only(&[443]), "{script}: {:#?}", plan.entries);
    }
}

#[test]
fn what_is_set_after_an_uncertain_end_is_not_known() {
    let wide = "P=1:65535";
    let again = format!("{{ {wide}; [ -e /f ] && return; P=443; [ -e /g ] && return; {wide}; }}");
    nothing_is_carried_over(&[
        format!("f() {{ [ -e /f ] && return; {wide}; }}\nP=443\nf\n{RULE_P}"),
        format!("f() {{ grep -q x /f || return 1; {wide}; }}\nP=443\nf a\n{RULE_P}"),
        format!("f() {again}\nP=443\nf\n{RULE_P}"),
        format!("P=443\nfor x in 1; do [ -e /f ] && continue; {wide}; done\n{RULE_P}"),
        format!("P=443\nfor x in 1; do [ -e /f ] && break; {wide}; done\n{RULE_P}"),
        format!("P=443\nfor x in 1 2; do if [ -e /f ]; then break; fi; [ $x = 2 ] && {wide}; done\n{RULE_P}"),
        format!("P=443\nwhile read x; do [ -e /f ] && continue; {wide}; done <<EOF\na\nEOF\n{RULE_P}"),
        format!("for P in 443 1:65535; do [ -e /f ] && break; done\n{RULE_P}"),
        format!("open() {{ {PORT}; }}\nfor x in 1; do [ -e /f ] && break; open() {{ {ALL}; }}; done\nopen"),
        format!("f() {{ for x in 1 2; do [ -e /f ] && continue 2; {wide}; done; }}\nP=443\nf\n{RULE_P}"),
        format!("iptables -P OUTPUT DROP\n[ -e /f ] && exit\n{ALL}"),
        format!("echo x | exit\n{ALL}"),
        format!("return\n{ALL}"),
    ]);
    the_port_is_carried_over(&[
        format!("P=443\nf() {{ [ -e /f ] && return; P=443; }}\nf\n{RULE_P}"),
        format!("P=443\nfor x in 1; do ( [ -e /f ] && continue ); P=443; done\n{RULE_P}"),
        format!("P=1:65535\nf() {{ return; {wide}; }}\nP=443\nf\n{RULE_P}"),
        format!("{PORT}\n[ -e /f ] && exit 0\n{ALL}"),
        format!("{PORT}\nif [ -e /f ]; then exit; fi\n{ALL}"),
        format!("main() {{ {PORT}; [ -e /f ] && return; {ALL}; }}\nmain \"$@\""),
        format!("{PORT}\nexit $?\n{ALL}"),
        format!("f() {{ {PORT}; return $?; {ALL}; }}\nf"),
        // Commands that handle a failure, and commands that check something before the first rule.
        format!("iptables -P OUTPUT DROP || exit\niptables -P INPUT DROP || {{ echo no; return; }}\n{PORT}"),
        format!("test -x /sbin/iptables || exit 0\n{PORT}"),
        format!("iptables -F\nmodprobe x || exit 1\n{PORT}"),
        format!("f() {{ iptables -C OUTPUT -j X && return; {PORT}; }}\nf"),
    ]);
}

#[test]
fn what_may_delete_or_refuse_narrows() {
    let refuse = "iptables -A OUTPUT -o tun+ -p tcp --dport 25 -j DROP";
    nothing_is_carried_over(&[
        format!("{ALL}\n[ -e /f ] && iptables -D OUTPUT -o tun+ -j ACCEPT"),
        format!("{ALL}\nif [ -e /f ]; then iptables -F; fi"),
        format!("{ALL}\nwhile iptables -D OUTPUT 1; do :; done"),
        format!("{ALL}\n[ -e /f ] && {}", PORT.replace("-A OUTPUT", "-R OUTPUT 1")),
        format!("{refuse}\n[ -e /f ] && iptables -R OUTPUT 1 -o lo -j ACCEPT\n{ALL}"),
        format!("[ -e /f ] && iptables -A OUTPUT -o lo -j ACCEPT\n{ALL}\niptables -D OUTPUT 1"),
        format!("{ALL}\n[ -e /f ] && iptables-restore < /etc/rules"),
        // A value is unknown.
        format!("{}\n{ALL}", refuse.replace("25", "$SMTP")),
        format!("{}\n{ALL}", refuse.replace("25", "no-such-name")),
        format!("{}\n{ALL}", refuse.replace("DROP", "\"$TARGET\"")),
        format!("{}\n{ALL}", refuse.replace("OUTPUT", "$CHAIN")),
        format!("{}\n{ALL}", refuse.replace("iptables", "$IPT")),
        format!("iptables -A OUTPUT $OPTIONS\n{ALL}"),
        format!("{ALL}\niptables -I OUTPUT -o $DEV -j REJECT"),
        format!("{ALL}\niptables -F $CHAIN"),
        format!("{ALL}\niptables -D OUTPUT -o $DEV -j ACCEPT"),
        format!("{ALL}\niptables -D OUTPUT $N"),
        format!("{ALL}\niptables-restore <<EOF\n*filter\n-A OUTPUT -o $DEV -j DROP\nCOMMIT\nEOF\n"),
        format!("{ALL}\niptables-restore < $FILE"),
        "iptables -A OUTPUT -o eth0 -j DROP\niptables -P OUTPUT \"$POLICY\"".to_owned(),
        // Another table, and a chain without its jump.
        format!("iptables -t mangle -A POSTROUTING -o tun+ -p tcp --dport 25 -j DROP\n{ALL}"),
        format!(
            "{0}\niptables -A OUTPUT -j OUTPUT_VPN\niptables -D OUTPUT -j OUTPUT_VPN",
            ALL.replace("OUTPUT", "OUTPUT_VPN")
        ),
        format!(
            "{0}\niptables -A OUTPUT -j OUTPUT_VPN\niptables -F OUTPUT",
            ALL.replace("OUTPUT", "OUTPUT_VPN")
        ),
    ]);
    let policy = read("iptables -A OUTPUT -o eth0 -j DROP\n[ -e /f ] && iptables -P OUTPUT DROP");
    assert_eq!(policy.tunnel, None, "{:#?}", policy.entries);
    the_port_is_carried_over(&[
        format!("{PORT}\nstop() {{ iptables -F; }}"),
        format!("case $1 in start) {PORT};; stop) iptables -F;; esac"),
        format!("{PORT} || iptables -F"),
        format!("[ \"$1\" = stop ] && {{ iptables -F; exit 0; }}\n{PORT}"),
        format!("if [ \"$1\" = stop ]; then iptables -F; exit; fi\n{PORT}"),
        format!("if [ \"$1\" = start ]; then {PORT}; else iptables -F; fi"),
        format!(
            "iptables -N KS || iptables -F KS\n{}\niptables -A OUTPUT -j KS",
            PORT.replace("OUTPUT", "KS")
        ),
        format!("iptables -A OUTPUT -o $DEV -j ACCEPT\n{PORT}"),
        format!("{PORT}\niptables -A OUTPUT -o $DEV -j DROP"),
        format!("iptables -A INPUT -i $DEV -j DROP\n{PORT}"),
        format!("iptables -t mangle -A PREROUTING -m conntrack --ctstate INVALID -j DROP\n{PORT}"),
        format!("iptables -t nat -A OUTPUT -o $DEV -j DNAT\n{PORT}"),
    ]);
}

#[test]
fn variables_are_known_only_where_nothing_else_may_set_them() {
    let wide = "P=1:65535";
    nothing_is_carried_over(&[
        format!("{wide}\n. \"$DIR/fw.conf\"\n{RULE_P}"),
        format!("{wide}\neval \"$(cat /etc/fw.conf)\"\n{RULE_P}"),
        format!(". /etc/fw.conf\nP=${{P:-1:65535}}\n{RULE_P}"),
        format!("[ -r /etc/fw.conf ] && . /etc/fw.conf\n: ${{P:=1:65535}}\n{RULE_P}"),
        format!("{wide}\nread -p \"Port ($X)? \" P\n{RULE_P}"),
        format!("{wide}\nread $NAME\n{RULE_P}"),
        format!("{wide}\nprintf -v P '%s' $X\n{RULE_P}"),
        format!("{wide}\nf() {{ [ -e /f ] && local P; P=443; }}\nf\n{RULE_P}"),
        format!("{wide}\n((P=443))\n{RULE_P}"),
        format!("{wide}\nx=$((P=443))\n{RULE_P}"),
        format!("P=443\nfor ((P=1; P<9; P++)); do :; done\n{RULE_P}"),
        format!("#!/bin/bash\nA=(1:65535)\nA[0]=443\nfor P in \"${{A[@]}}\"; do {RULE_P}; done"),
        format!("select P in 1:65535 443; do {RULE_P}; done"),
        format!("#!/bin/sh\nfor P in {{443,444}}; do {RULE_P}; done"),
        format!("#!/bin/sh\nwhile read P; do {RULE_P}; done <<< 443"),
        format!("f() {{ {}; }}\nf 443 80", RULE_P.replace("$P", "\"$*\"")),
        format!("readonly P=443\n{wide}\n{RULE_P}"),
        format!("for f in /etc/vpn/*; do [ \"$f\" = '/etc/vpn/*' ] && continue; {ALL}; done"),
        format!("open() {{ {ALL}; }}\nunset -f open\nopen"),
        format!("open() {{ {ALL}; }}\n[ -e /f ] && unset -f open\nopen"),
    ]);
    the_port_is_carried_over(&[
        format!("P=443\nf() {{ local P; {wide}; }}\nf\n{RULE_P}"),
        format!("P=443\n{{ {wide}; }} &\n{RULE_P}"),
        format!("IPT=iptables\n. /lib/lsb/init-functions\n{}", PORT.replace("iptables", "$IPT")),
        format!(": \"${{P:=443}}\"\n{RULE_P}"),
        format!("S=1\n[ $S = 1 ] && P=443 || {wide}\n{RULE_P}"),
        format!("P=443\n((x=P))\nP=443\n{RULE_P}"),
    ]);
    let list = "#!/bin/bash\nA=(443 80)\nIFS=,\niptables -A OUTPUT -o tun+ -p tcp -m multiport --dports \"${A[*]}\" -j ACCEPT";
    assert_eq!(read(list).tunnel, only(&[80, 443]), "{:#?}", read(list).entries);
}

#[test]
fn what_runs_only_sometimes_or_elsewhere_is_listed() {
    let lines = format!("*filter\n{}\nCOMMIT\n", ALL.trim_start_matches("iptables "));
    nothing_is_carried_over(&[
        format!("if iptables -C OUTPUT -j X; then {ALL}; fi"),
        format!("if iptables -L OUTPUT | grep -q DROP; then {ALL}; fi"),
        format!("! iptables -C OUTPUT -j X || {ALL}"),
        format!("[ -e /f ] && echo 443 | while read x; do {ALL}; done"),
        format!("[ -e /f ] && cat <<EOF | iptables-restore -n\n{lines}EOF\n"),
        format!("iptables-restore <<EOF\n{}EOF\n", lines.replace("COMMIT\n", "")),
        format!("#!/bin/sh\necho -e '{}' | iptables-restore", lines.replace('\n', "\\n")),
        format!("sudo -s <<EOF\n{ALL}\nEOF\n"),
        format!("su - <<EOF\n{ALL}\nEOF\n"),
        format!("echo '{ALL}' | at now"),
        format!("trap '{ALL}' EXIT"),
        "bash \"$DIR/rules.sh\"".to_owned(),
    ]);
    the_port_is_carried_over(&[
        format!("! iptables -C OUTPUT -j X && {PORT}"),
        format!("if ! iptables -S | grep -q x; then {PORT}; fi"),
        format!(
            "tee /etc/rules <<EOF | iptables-restore\n{}EOF\n",
            lines.replace("tun+", "tun+ -p tcp --dport 443")
        ),
    ]);
}
