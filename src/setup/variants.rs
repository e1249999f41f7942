//! Variants of rules and scripts that users have. No rule disappears without a message, and none becomes wider.

use super::*;
use crate::config::{Config, Inbound, InboundOn, Traffic, TrafficRule};
use crate::net::{Port, Transport};

pub(super) fn read(script: &str) -> Plan {
    let source = Source { name: "/x.sh".to_owned(), text: script.to_owned() };
    let plan = plan(&[source], None, &Machine::default());
    Config::parse(&configuration(&plan, &[]), "c").unwrap_or_else(|faults| panic!("{script}\n{faults}"));
    plan
}

fn tcp(list: &[u16]) -> TrafficRule {
    TrafficRule::Ports(Transport::Tcp, list.iter().map(|port| Port::fixed(*port).into()).collect())
}

pub(super) fn only(list: &[u16]) -> Option<Traffic> {
    Some(Traffic::Listed(vec![tcp(list)]))
}

const RULE: &str = "iptables -A OUTPUT -o tun+ -p tcp --dport 443 -j ACCEPT";

#[test]
fn every_way_to_run_a_rule_is_followed() {
    for script in [
        format!("main() {{\n {RULE}\n}}\nmain \"$@\""),
        format!("main() {{ case \"$1\" in start) {RULE};; stop) iptables -F;; esac; }}\nmain $@"),
        format!(
            "ACTION=\"$1\"\ncase $ACTION in\n start)\n {RULE}\n exit 0;;\n stop) iptables -F;; *) exit 1;; esac"
        ),
        format!("case ${{1:-start}} in start) {RULE};; esac"),
        format!(
            "do_start() {{ {RULE}; }}\ndo_stop() {{ iptables -F; }}\ncase \"$1\" in start) do_start;; stop) do_stop;; esac"
        ),
        format!("sudo -u root {RULE}"),
        format!("sudo -n -E /sbin/{RULE}"),
        format!("doas {RULE}"),
        format!("env LC_ALL=C nice -n 10 timeout 5 {RULE}"),
        "for p in $(seq 443 443); do iptables -A OUTPUT -o tun+ -p tcp --dport $p -j ACCEPT; done".to_owned(),
        "cat <<EOF | iptables-restore\n*filter\n-A OUTPUT -o tun+ -p tcp --dport 443 -j ACCEPT\nCOMMIT\nEOF"
            .to_owned(),
        "#!/bin/bash\necho -e '*filter\\n-A OUTPUT -o tun+ -p tcp --dport 443 -j ACCEPT\\nCOMMIT' | iptables-restore"
            .to_owned(),
        "iptables -A OUTPUT -o tun+ -j ACCEPT\niptables -R OUTPUT 1 -o tun+ -p tcp --dport 443 -j ACCEPT"
            .to_owned(),
        format!("printf '%s\\n' '*filter' '{}' COMMIT | iptables-restore", &RULE[9..]),
        format!("{RULE} || {{ echo failed; exit 1; }}"),
        format!("set -euo pipefail\nexec 2>&1\n[ \"$(id -u)\" = 0 ] || exit 1\n{RULE}"),
        format!("die() {{ echo \"$1\"; exit 1; }}\ntest -x /sbin/iptables || die no\n{RULE}"),
        format!("{RULE} # web\n\n: <<'END'\niptables -A OUTPUT -o tun+ -j ACCEPT\nEND\n"),
    ] {
        let plan = read(&script);
        assert_eq!(plan.tunnel, only(&[443]), "{script}: {:#?}", plan.entries);
    }
}

#[test]
fn loops_that_read_known_lines_are_followed() {
    let rule = "iptables -A OUTPUT -o tun+ -p tcp --dport $p -j ACCEPT";
    for script in [
        format!("while read p; do {rule}; done <<EOF\n443\n80\nEOF\n"),
        format!("while IFS= read -r p || [ -n \"$p\" ]; do\n {rule}\ndone <<'EOF'\n443\n80\nEOF\n"),
        format!("cat <<EOF | while read -r p comment; do {rule}; done\n443 the web\n80\nEOF\n"),
        format!("#!/bin/bash\necho -e '443\\n80' | while read p; do {rule}; done"),
        format!("while IFS=: read -r name p; do {rule}; done <<EOF\nweb:443\nold: 80\nEOF\n")
            .replace(": 80", ":80"),
        format!("while read p; do [ $p -eq 25 ] && continue; {rule}; done <<EOF\n443\n25\n80\nEOF\n"),
        format!(
            "while read p; do if [ \"$p\" = end ]; then break; fi; {rule}; done <<EOF\n443\n80\nend\n25\nEOF\n"
        ),
        format!("for p in 443 25 80; do case $p in 25) continue;; esac; {rule}; done"),
        format!(
            "while read -r p name; do case \"$p\" in \\#*|'') continue;; 2?) continue;; esac; {rule}; done <<EOF\n# ports\n443 \
             web\n\n25 mail\n80\nEOF\n"
        ),
        format!("for p in 443 25 80; do test $p != 25 || continue; {rule}; done"),
        format!(
            "open() {{ [ \"$1\" = 25 ] && return; p=$1; {rule}; }}\nfor x in 443 25 80; do open $x; done"
        ),
        format!("#!/bin/bash\nPORTS='443\n80'\nwhile read p; do {rule}; done <<< \"$PORTS\""),
        format!("#!/bin/bash\nfor p in 443 25 80; do [[ $p == 25 ]] && continue; {rule}; done"),
        format!("#!/bin/bash\nfor p in 443 25 80; do [[ \"$p\" != \"25\" ]] || continue; {rule}; done"),
        format!(
            "for p in 443 25 80; do case $p in \"2*\") exit;; 2\\*) exit;; 2*) continue;; esac; {rule}; done"
        ),
        format!(
            "add() {{ p=$1; sudo {rule}; }}\nIPT=iptables\nwhile read -r p; do add $p; ip -4 route; $IPT -L; done <<EOF\n443\n80\nEOF\n"
        ),
        format!("open() {{ dev=$1; shift; for p; do {rule}; done; }}\nopen 22 443 80"),
        format!("open() {{ set -- 443 80; for p in \"$@\"; do {rule}; done; }}\nopen 25"),
        format!("open() {{ shift 2; p=$1; {rule}; }}\nopen 25 26 443\nopen 25 26 80"),
        format!("p=443; {rule}; echo 'iptables -A OUTPUT -o tun+ -p tcp --dport 80 -j ACCEPT' | sh"),
        format!(
            "#!/bin/bash\np=443; {rule}; bash <<< 'iptables -A OUTPUT -o tun+ -p tcp --dport 80 -j ACCEPT'"
        ),
        format!(
            "start() {{ iptables -N KS || iptables -F KS; for p in 443 80; do {}; done; iptables -A KS -j DROP\n\
             iptables -C OUTPUT -j KS || iptables -I OUTPUT -j KS; }}\nstop() {{ iptables -D OUTPUT -j KS; iptables -F KS; }}\n\
             case $1 in start) start;; stop) stop;; restart|reload) stop; start;; *) exit 2;; esac",
            rule.replace("OUTPUT", "KS")
        ),
        format!("MAIL=no\nfor p in 443 80; do {rule}; done\nif [ \"$MAIL\" = yes ]; then p=25; {rule}; fi"),
    ] {
        let plan = read(&script);
        assert_eq!(plan.tunnel, only(&[443, 80]), "{script}: {:#?}", plan.entries);
    }
}

#[test]
fn what_a_loop_may_leave_out_is_not_carried_over() {
    let rule = "iptables -A OUTPUT -o tun+ -p tcp --dport $p -j ACCEPT";
    for script in [
        format!("while read p; do {rule}; done < /etc/ports"),
        format!("until read p; do {rule}; done <<EOF\n443\nEOF\n"),
        format!("for p in 443; do grep -q \"$p\" /etc/shut && continue; {rule}; done"),
        format!("for p in 443; do [ -e /etc/shut ] && break; {rule}; done"),
        format!("for p in 443; do if [ -e /etc/shut ]; then continue; fi; {rule}; done"),
        format!("for p in 443; do for q in 1 2; do [ $q = 2 ] && continue 2; done; {rule}; done"),
        format!("open() {{ [ -e /etc/shut ] && return; p=$1; {rule}; }}\nopen 443"),
        format!("MAIL=no\np=443\n[ \"$MAIL\" = yes ] && {rule}"),
        format!("while read p; do {rule}; done <<< \"$PORTS\""),
    ] {
        let plan = read(&script);
        assert_eq!(plan.tunnel, None, "{script}: {:#?}", plan.entries);
        assert!(plan.left_out().next().is_some(), "{script}: {:#?}", plan.entries);
    }
}

/// A command that does not run, or may not run, does not decide about the commands after it.
#[test]
fn a_rule_behind_what_may_not_run_is_not_carried_over() {
    let rule = "iptables -A OUTPUT -o tun+ -p tcp --dport 25 -j ACCEPT";
    let test = format!("[ \"$MAIL\" = yes ] && {rule}");
    for script in [
        format!("for p in 25; do [ $p = 443 ] && [ a = a ] || continue; {rule}; done"),
        format!("MAIL=yes\n[ -e /etc/mail ] && [ \"$MAIL\" = yes ] && {rule}"),
        format!("for p in 443; do [ -e /f ] && [ $p = 443 ] || continue; {rule}; done"),
        format!("MAIL=no\n[ \"$MAIL\" = yes ] && iptables -F && {rule}"),
        format!("MAIL=no\n[ \"$1\" = mail ] && MAIL=yes\n{test}"),
        format!("MAIL=no\n[ a = b ] && MAIL=yes\n{test}"),
        format!("MAIL=no\n( MAIL=yes )\n{test}"),
        format!("MAIL=no\nMAIL=yes ./notify\n{test}"),
        format!("MAIL=no\nf() {{ local MAIL=yes; }}\nf\n{test}"),
        format!("MAIL=no\necho yes | {{ MAIL=yes; }}\n{test}"),
        format!("[ -n \"$(command -v exim4)\" ] && {rule}"),
        format!("MAIL=yes\nlet MAIL=1\n{test}"),
        format!("MAIL=yes\nprintf -v MAIL no\n{test}"),
        format!("for p in 25; do [ $p = 0 ] && continue; [[ $p == 25 ]] && continue; {rule}; done"),
        format!("iptables -F\n[[ $MAIL == yes ]] && {rule}"),
        format!("open() {{ grep -q \"^$1$\" /etc/ports || return 1; {rule}; }}\nopen 25"),
        format!("case a in\na) true ;&\nb) {rule} ;;\nesac"),
        format!("printf '25' | while read p; do {rule}; done"),
        format!("case 25 in \"*\") {rule} ;; esac"),
        format!("case 25 in '2?'|2\\5\\*) {rule} ;; esac"),
        format!("while read p; do read comment; {rule}; done <<EOF\n25\nno\nEOF\n"),
        format!("skip() {{ cat > /dev/null; }}\nwhile read p; do {rule}; skip; done <<EOF\n443\n25\nEOF\n"),
        format!("while read p; do ssh router true; {rule}; done <<EOF\n443\n25\nEOF\n"),
        format!("open() {{ [ -e /f ] && shift; {}; }}\nopen 25 443", rule.replace("25", "$1")),
        format!("open() {{ set -- $PORTS; {}; }}\nopen 25", rule.replace("25", "$1")),
        format!("open() {{ shift 9; {}; }}\nopen 25", rule.replace("25", "$1")),
        format!("shift\ncase $1 in start) {rule};; esac"),
        format!("curl -s https://example.net/fw | sh\nsu root -c '{rule}'"),
        format!("p=25\nsh -c '{}'", rule.replace("25", "$p")),
        format!("MAIL=no\nsh -c 'MAIL=yes'\n{test}"),
        format!("open() {{ {rule}; }}\nsh -c open"),
        format!("y='*'\nx=25\n[[ $x != $y ]] && {rule}"),
        format!("x=2\n[[ $x == 2* && $x != 2 ]] && {rule}"),
        format!("x='a b'\n[[ $x == a ]] && {rule}"),
        format!("x=25\n[[ $x == \"2*\" ]] && {rule}"),
        format!("x=25\n[[ $x =~ 2 ]] && {rule}"),
        format!("x=25\n[[ ! ( $x == 25 ) ]] && {rule}"),
        format!("x=25\n[[ $x != 2? ]] && {rule}"),
    ] {
        let plan = read(&script);
        assert_eq!(plan.tunnel, None, "{script}: {:#?}", plan.entries);
    }
}

#[test]
fn a_rule_behind_what_runs_is_carried_over() {
    let rule = "iptables -A OUTPUT -o tun+ -p tcp --dport 25 -j ACCEPT";
    for script in [
        format!("MAIL=no\nMAIL=yes\n[ \"$MAIL\" = yes ] && {rule}"),
        format!("[ -x \"$(command -v iptables)\" ] || exit 1\n{rule}"),
        format!("echo 25 | while read p; do {rule}; done"),
        format!("printf '25\\n' | while read p; do {rule}; done"),
        format!("printf '25' | while read p || [ -n \"$p\" ]; do {rule}; done"),
        format!("open() {{ local p=$1; {}; }}\nopen 25", rule.replace("25", "$p")),
        format!("( {rule} )"),
        format!("[ a = b ] && exit 0\n{rule}"),
    ] {
        let plan = read(&script);
        assert!(plan.tunnel.is_some(), "{script}: {:#?}", plan.entries);
    }
}

#[test]
fn a_bridge_of_the_lan_is_none_of_containers() {
    let with = |name: &str| {
        let plan = read(&format!("iptables -A OUTPUT -o {name} -j ACCEPT"));
        plan.left_out().map(|(_, why)| why.to_owned()).next()
    };
    for of_containers in ["docker0", "virbr0", "br-+", "br-0123456789ab", "lxcbr0"] {
        assert_eq!(with(of_containers), None, "{of_containers}");
    }
    for other in ["br-lan", "br-home", "br0"] {
        assert!(with(other).is_some_and(|why| why.contains("in clear")), "{other}: {:?}", with(other));
    }
}

#[test]
fn a_rule_that_cannot_be_followed_is_listed() {
    for script in [
        format!("start() {{ {RULE}; }}\n\"$1\""),
        format!("start() {{ {RULE}; }}"),
        "curl -s https://example.net/fw | sh".to_owned(),
        format!("su root -c '{RULE}'"),
        "P=443; sh -c 'iptables -A OUTPUT -o tun+ -p tcp --dport $P -j ACCEPT'".to_owned(),
        format!("alias ipt=iptables\n{}", RULE.replace("iptables", "ipt")),
        format!("ip netns exec vpn {RULE}"),
        format!("ssh router {RULE}"),
        format!("docker exec box {RULE}"),
        format!("chroot /x {RULE}"),
        "{ echo '*filter'; echo '-A OUTPUT -o tun+ -j ACCEPT'; echo COMMIT; } | iptables-restore".to_owned(),
        "printf '%b' '*filter\\n-A OUTPUT -o tun+ -j ACCEPT\\nCOMMIT\\n' | iptables-restore".to_owned(),
        "sed s/x/y/ /etc/rules | iptables-restore".to_owned(),
        "iptables -A OUTPUT -o tun+ -j NFQUEUE --queue-num 1\niptables -A OUTPUT -o tun+ -j ACCEPT"
            .to_owned(),
        "iptables -A OUTPUT -o tun+ -j SOMEBODYS".to_owned(),
        "iptables -A OUTPUT -o tun+ -m limit --limit 5/s -j ACCEPT".to_owned(),
        "iptables -A OUTPUT -o tun+ -m iprange --dst-range 10.0.0.1-10.0.0.9 -j ACCEPT".to_owned(),
        "iptables -A OUTPUT -o tun+ -m set --match-set x dst -j ACCEPT".to_owned(),
        "iptables -A OUTPUT -m owner --gid-owner vpn -j ACCEPT".to_owned(),
        "iptables -A OUTPUT -m cgroup --path x -j ACCEPT".to_owned(),
        "iptables -A OUTPUT -o tun+ -f -j ACCEPT".to_owned(),
        "iptables -A OUTPUT -m mark --mark 0x1 -j ACCEPT".to_owned(),
        "nft add rule inet filter output oifname tun0 accept".to_owned(),
        "ufw allow out on tun0".to_owned(),
        "iptables -A FORWARD -i eth0 -o tun0 -j ACCEPT".to_owned(),
        "if [ \"$VPN\" = on ]; then iptables -A OUTPUT -o tun+ -j ACCEPT; fi".to_owned(),
    ] {
        let plan = read(&script);
        assert!(plan.tunnel.is_none() && plan.docker.is_none(), "{script}: {:#?}", plan.entries);
        assert!(plan.left_out().next().is_some(), "{script}: {:#?}", plan.entries);
    }
    let queue = read("iptables -A OUTPUT -o tun+ -j SOMEBODYS");
    assert!(queue.left_out().next().unwrap().1.contains("rules were not found"));
}

#[test]
fn what_a_function_opens_that_only_stops_the_firewall_is_not_carried_over() {
    let plan = read(&format!(
        "stop() {{ iptables -P OUTPUT ACCEPT; iptables -A OUTPUT -j ACCEPT; iptables -A OUTPUT -o tun+ -j ACCEPT; }}\n{RULE}"
    ));
    assert_eq!(plan.tunnel, only(&[443]));
    assert_eq!(plan.left_out().count(), 2, "{:#?}", plan.entries);
}

#[test]
fn a_rule_of_one_family_opens_no_port_to_the_other() {
    let ssh = "iptables -A INPUT -p tcp --dport 22 -j ACCEPT\n";
    let shut = "ip6tables -P INPUT DROP\n";
    let of = |script: &str| read(script).input;
    let inbound = |from: Option<&str>| Inbound {
        traffic: tcp(&[22]),
        from: from.map(|net| net.parse().unwrap()),
        on: InboundOn::Any,
    };
    assert_eq!(of(ssh), [inbound(None)], "nothing says that IPv6 was shut");
    assert_eq!(of(&format!("{ssh}{shut}")), [inbound(Some("0.0.0.0/0"))]);
    assert_eq!(
        of(&format!("iptables -P INPUT DROP\n{shut}{ssh}{}", ssh.replace("ip", "ip6"))),
        [inbound(None)]
    );
    assert_eq!(of(&format!("iptables -P INPUT DROP\n{}", ssh.replace("ip", "ip6"))), [inbound(Some("::/0"))]);
    let tunnel = read(&format!("ip6tables -P OUTPUT DROP\nip6tables -A OUTPUT -o lo -j ACCEPT\n{RULE}"));
    assert!(tunnel.others.iter().any(|text| text.contains("refused all IPv6")), "{:?}", tunnel.others);
    assert_eq!(read(RULE).others, [""; 0]);
}

#[test]
fn a_machine_of_the_lan_stays_open_beside_a_whole_network() {
    let plan = read(
        "iptables -A OUTPUT -d 192.168.1.0/24 -j ACCEPT\niptables -A OUTPUT -d 10.0.0.5 -p tcp --dport 9100 -j ACCEPT\n\
         iptables -A OUTPUT -d 192.168.1.20 -p tcp --dport 9100 -j ACCEPT",
    );
    let nets: Vec<String> = plan.lan.iter().map(ToString::to_string).collect();
    assert_eq!(nets, ["192.168.1.0/24", "10.0.0.5/32"]);
    assert!(
        plan.entries.iter().all(|entry| entry.result == RuleResult::Carried("lan.networks")),
        "{:#?}",
        plan.entries
    );
}

#[test]
fn rules_in_the_kernel_alone_are_read() {
    let kernel = "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT DROP [0:0]\n\
        -A OUTPUT -o tun0 -p tcp -m tcp --dport 443 -j ACCEPT\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n\
        # the other backend\n*filter\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -o tun0 -p tcp -m tcp --dport 80 -j ACCEPT\nCOMMIT\n";
    let ipv6 = "*filter\n:INPUT DROP [0:0]\n:OUTPUT DROP [0:0]\nCOMMIT\n";
    let plan = plan(&[], Some(Kernel { ipv4: kernel, ipv6 }), &Machine::default());
    assert_eq!(plan.tunnel, only(&[443, 80]), "{:#?}", plan.entries);
    assert_eq!(plan.input[0].from.unwrap().to_string(), "0.0.0.0/0");
    assert_eq!(plan.differences, [""; 0]);
}

#[test]
fn a_rule_to_one_address_in_the_tunnel_stays_as_narrow() {
    let plan = read(
        "iptables -A OUTPUT -o tun+ -d 10.17.0.1 -p udp --dport 53 -j ACCEPT\n\
         iptables -A OUTPUT -o tun+ -d 10.17.0.0/16 -j ACCEPT\niptables -A OUTPUT -o tun+ -p tcp --dport 443 -j ACCEPT",
    );
    let text = configuration(&plan, &[]);
    for rule in [
        "{ protocol = \"udp\", ports = [53], to = \"10.17.0.1/32\" }",
        "{ protocol = \"icmp\", to = \"10.17.0.0/16\" }",
        "{ protocol = \"tcp\", ports = [443] }",
    ] {
        assert!(text.contains(rule), "{text}");
    }
    assert_eq!(plan.left_out().count(), 0, "{:#?}", plan.entries);
    let docker = read("iptables -I DOCKER-USER -o tun+ -d 10.17.0.1 -j ACCEPT");
    assert_eq!(docker.left_out().count(), 0, "{:#?}", docker.entries);
    assert!(
        configuration(&docker, &[])
            .contains("[docker]\nallow = [{ protocol = \"tcp\", to = \"10.17.0.1/32\" }")
    );
}

#[test]
fn a_refusal_in_the_tunnel_leaves_a_rule_for_packets_in_clear_as_it_is() {
    let plan = read(
        "iptables -N VPN\niptables -A VPN -p tcp --dport 443 -j ACCEPT\niptables -A VPN -j DROP\n\
         iptables -A OUTPUT -o tun+ -j VPN\niptables -A OUTPUT -p udp --dport 1194 -j ACCEPT",
    );
    assert_eq!((plan.tunnel.clone(), plan.ports.len()), (only(&[443]), 1), "{:#?}", plan.entries);
    assert_eq!(plan.left_out().count(), 0, "{:#?}", plan.entries);
    // A refusal without an interface, or for a card, may refuse it.
    for refusal in ["-j DROP", "-o eth0 -j DROP", "! -o tun+ -j DROP"] {
        let plan =
            read(&format!("iptables -A OUTPUT {refusal}\niptables -A OUTPUT -p udp --dport 1194 -j ACCEPT"));
        assert!(plan.ports.is_empty(), "{refusal}: {:#?}", plan.entries);
    }
}

#[test]
fn a_rule_to_this_machine_itself_makes_no_server() {
    for to in ["localhost", "ip6-localhost", "db.localhost", "127.0.0.1", "127.0.0.0/8"] {
        let plan = read(&format!("iptables -A OUTPUT -d {to} -p udp --dport 1194 -j ACCEPT"));
        assert!(plan.servers.is_empty() && plan.lan.is_empty(), "{to}: {:#?}", plan.entries);
        assert_eq!(plan.left_out().count(), 0, "{to}: {:#?}", plan.entries);
    }
}
