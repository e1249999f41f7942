//! Kinds of rules and scripts that an earlier reader understood as wider than they are, or listed without need.

use super::variants::{only, read};
use super::*;

const PORT: &str = "iptables -A OUTPUT -o tun+ -p tcp --dport 443 -j ACCEPT";
const ALL: &str = "iptables -A OUTPUT -o tun+ -j ACCEPT";

/// The reasons for which rules are left out.
fn left_out(script: &str) -> Vec<String> {
    read(script).left_out().map(|(_, why)| why.to_owned()).collect()
}

#[test]
fn a_line_of_a_restore_for_the_other_family_is_not_carried_over() {
    let restore = |program: &str, lines: &str| format!("{program} <<EOF\n*filter\n{lines}\nCOMMIT\nEOF\n");
    let port = PORT.trim_start_matches("iptables ");
    let all = ALL.trim_start_matches("iptables ");
    for script in [
        restore("iptables-restore", &format!("-4 {port}\n-6 {all}")),
        restore("iptables-restore", &format!("{port}\n--ipv6 {all}")),
        restore("ip6tables-restore", &format!("-6 {port}\n-4 {all}")),
        restore("iptables-restore", &format!("-6 -A OUTPUT -o tun+ -j DROP\n{port}")),
    ] {
        let plan = read(&script);
        assert_eq!(plan.tunnel, only(&[443]), "{script}: {:#?}", plan.entries);
        assert!(left_out(&script)[0].contains("skips it"), "{:?}", left_out(&script));
    }
    // A quoted text is not an option. The first line refuses all packets.
    let refusal = "-A OUTPUT -o tun+ -m comment --comment \"-6\" -j DROP";
    let dropped = restore("iptables-restore", &format!("{refusal}\n{port}"));
    assert_ne!(read(&dropped).tunnel, only(&[443]), "{:#?}", read(&dropped).entries);
    let log = "-A OUTPUT -o tun+ -j LOG --log-prefix -6";
    let logged = restore("iptables-restore", &format!("{log}\n{port}"));
    assert_eq!(read(&logged).tunnel, only(&[443]), "{:#?}", read(&logged).entries);
    assert!(!left_out(&logged).iter().any(|why| why.contains("skips it")), "{:?}", left_out(&logged));
    for script in ["iptables -6 -A OUTPUT -o tun+ -j ACCEPT", "ip6tables -4 -A OUTPUT -o tun+ -j ACCEPT"] {
        assert!(left_out(script)[0].contains("refuses the option"), "{:?}", left_out(script));
    }
}

/// A packet that comes back from a chain of `-g` does not meet the rules after it.
#[test]
fn what_stands_behind_a_goto_is_not_carried_over() {
    let goto =
        "iptables -N TUN\niptables -A TUN -p tcp --dport 443 -j ACCEPT\niptables -A OUTPUT -o tun+ -g TUN\n";
    for script in [
        format!("{goto}{ALL}"),
        format!("{}{ALL}", goto.replace("-g TUN", "--goto TUN")),
        format!("iptables -A OUTPUT -j KS\n{}{}", goto.replace("OUTPUT", "KS"), ALL.replace("OUTPUT", "KS")),
    ] {
        let plan = read(&script);
        assert_eq!(plan.tunnel, only(&[443]), "{script}: {:#?}", plan.entries);
    }
    let unknown = format!("iptables -A OUTPUT -o tun+ -g SOMEBODYS\n{ALL}");
    assert_eq!(read(&unknown).tunnel, None, "{:#?}", read(&unknown).entries);
    // A packet comes back from a jump, and continues in the calling chain.
    let jump = format!("{}{ALL}", goto.replace("-g TUN", "-j TUN"));
    assert_eq!(read(&jump).tunnel, Some(crate::config::Traffic::Any));
    let caller = format!("iptables -A OUTPUT -j KS\n{}{ALL}", goto.replace("OUTPUT", "KS"));
    assert_eq!(read(&caller).tunnel, Some(crate::config::Traffic::Any), "{:#?}", read(&caller).entries);
}

#[test]
fn an_address_of_the_other_family_is_refused_as_iptables_refuses_it() {
    for rule in [
        "iptables -A OUTPUT -d fe80::/10 -j ACCEPT",
        "iptables -A OUTPUT -d 2001:db8::7 -p udp --dport 1194 -j ACCEPT",
        "ip6tables -A OUTPUT -d 192.168.1.0/24 -j ACCEPT",
        "ip6tables -A OUTPUT -d 198.51.100.7 -p udp --dport 1194 -j ACCEPT",
        "ip6tables -A INPUT -s 192.168.1.0/24 -p tcp --dport 22 -j ACCEPT",
    ] {
        let plan = read(rule);
        assert!(plan.is_empty() && plan.left_out().count() == 1, "{rule}: {:#?}", plan.entries);
    }
}

#[test]
fn the_advice_for_a_rule_never_names_a_port_of_dns() {
    for rule in [
        "iptables -A OUTPUT -d 9.9.9.9 -p udp -m multiport --dports 53,1194 -j ACCEPT",
        "iptables -A OUTPUT -d 9.9.9.9 -p tcp -m multiport --dports 443,853 -j ACCEPT",
        "iptables -A OUTPUT -d dns.example.net -p udp -m multiport --dports 53,123 -j ACCEPT",
    ] {
        let why = left_out(rule);
        assert!(why[0].contains("DNS never leaves") && !why[0].contains("bootstrap"), "{rule}: {why:?}");
    }
}

#[test]
fn looking_for_a_program_is_no_rule_and_no_other_program() {
    for look in [
        "command -v iptables >/dev/null 2>&1 || { echo missing; exit 1; }",
        "if ! command -v ip6tables > /dev/null; then echo missing; exit 1; fi",
        "command -V iptables && hash iptables",
        "which iptables || exit 1",
        "type iptables >/dev/null || exit 1",
    ] {
        let plan = read(&format!("{look}\n{PORT}"));
        assert_eq!(plan.tunnel, only(&[443]), "{look}: {:#?}", plan.entries);
        assert_eq!(
            (plan.entries.len(), plan.others.len()),
            (1, 0),
            "{look}: {:#?} {:?}",
            plan.entries,
            plan.others
        );
        assert_eq!(worst_change(look).0, None, "{look}");
    }
    for other in ["command -v nft", "which ipset", "type doas", "[ -n \"$(command -v ipset)\" ]"] {
        let plan = read(&format!("{other} && {PORT}"));
        assert!(plan.tunnel.is_none() && plan.left_out().count() == 1, "{other}: {:#?}", plan.entries);
    }
}

#[test]
fn a_variable_that_another_name_changes_is_not_known() {
    for script in [
        "#!/bin/bash\nP=443\ndeclare -n r=P\nr=1:65535\n",
        "#!/bin/bash\nP=443\nf() { local -n r=$1; r=1:65535; }\nf P\n",
        "#!/bin/bash\ndeclare -n r=P\nP=443\nr=1:65535\n",
    ] {
        let plan = read(&format!("{script}{}", PORT.replace("443", "$P")));
        assert!(plan.tunnel.is_none() && plan.left_out().count() > 0, "{script}: {:#?}", plan.entries);
    }
}

#[test]
fn conditions_that_are_always_the_same_are_followed() {
    for script in [
        format!("if true; then {PORT}; else {ALL}; fi"),
        format!("if false; then {ALL}; fi\n{PORT}"),
        format!("true && {PORT}\nfalse && {ALL}\ntrue || {ALL}"),
        format!("if ! false; then {PORT}; fi"),
        format!(
            "#!/bin/bash\nif [[ \"$1\" == \"start\" ]]; then {PORT}; elif [[ $1 == stop ]]; then iptables -F; fi"
        ),
        format!("#!/bin/bash\n[[ $1 == stop ]] && {{ iptables -F; exit 0; }}\n{PORT}"),
    ] {
        let plan = read(&script);
        assert_eq!(plan.tunnel, only(&[443]), "{script}: {:#?}", plan.entries);
    }
    let dash = read(&format!("#!/bin/sh\nif [[ $1 == start ]]; then {ALL}; fi"));
    assert_eq!(dash.tunnel, None, "not every shell knows [[");
}

#[test]
fn a_script_of_another_language_is_listed_and_not_taken_for_nothing() {
    for script in [
        "#!/usr/bin/env python3\nimport subprocess\nsubprocess.run(\"iptables -A OUTPUT -o tun0 -j ACCEPT\", shell=True)\n",
        "#!/usr/bin/perl -w\n# iptables\nsystem('iptables', '-P', 'OUTPUT', 'DROP');\n",
        "#!/usr/sbin/nft -f\nflush ruleset\ntable inet f { }\n",
        "#!/usr/bin/env -S PATH=/sbin fish\nfor p in 443; iptables -A OUTPUT -o tun0 -p tcp --dport $p -j ACCEPT; end\n",
    ] {
        let plan = read(script);
        assert!(plan.found && plan.is_empty(), "{script}: {:#?}", plan.entries);
        assert_eq!((plan.left_out().count(), plan.others.len()), (1, 0), "{script}: {:#?}", plan.entries);
        assert!(worst_change(script).0.is_some(), "{script}");
    }
    assert!(read(&format!("#!/usr/bin/env bash\n{PORT}")).tunnel.is_some());
    assert!(read(&format!("#!/bin/busybox sh\n{PORT}")).tunnel.is_some());
}

#[test]
fn a_name_that_no_interface_has_is_not_asked_about() {
    for name in ["'tun*'", "'tun?'", "averyveryverylongname", "../../x"] {
        let plan = read(&format!("iptables -A OUTPUT -o {name} -j ACCEPT"));
        assert!(plan.questions.is_empty() && plan.left_out().count() == 1, "{name}: {:#?}", plan.entries);
    }
    assert_eq!(read("iptables -A OUTPUT -o nordlynx -j ACCEPT").questions.len(), 1);
}

#[test]
fn a_list_may_be_empty_at_first() {
    let list = "#!/bin/bash\nP=()\nP+=(443)\nfor p in \"${P[@]}\"; do ";
    let plan = read(&format!("{list}{}; done", PORT.replace("443", "$p")));
    assert_eq!(plan.tunnel, only(&[443]), "{:#?}", plan.entries);
}

#[test]
fn options_are_read_in_every_form() {
    for rule in [
        "iptables -vA OUTPUT -o tun+ -p tcp --dport 443 -j ACCEPT",
        "iptables -vvA OUTPUT -otun+ -ptcp --dport=443 -jACCEPT",
    ] {
        assert_eq!(read(rule).tunnel, only(&[443]), "{rule}: {:#?}", read(rule).entries);
    }
    let policy = left_out("iptables -A OUTPUT -m policy --dir out --pol ipsec -j ACCEPT");
    assert!(policy[0].contains("no key can express"), "{policy:?}");
}

#[test]
fn a_line_that_iptables_refuses_is_not_carried_over() {
    for rule in [
        "iptables -A OUTPUT -o tun+ -p tcp --dport 443 -j DROP -j ACCEPT",
        "iptables -A OUTPUT -o eth0 -o tun+ -j ACCEPT",
        "iptables -A OUTPUT -o tun+ -p udp -p tcp --dport 443 -j ACCEPT",
        "iptables -A OUTPUT -o tun+ -p tcp --dports 443,80 -j ACCEPT",
        "iptables -A OUTPUT -o tun+ --ctstate NEW -j ACCEPT",
        "iptables -A OUTPUT -o tun+ --state NEW -m state -j ACCEPT",
        "iptables -A output -o tun+ -j ACCEPT",
    ] {
        let plan = read(rule);
        assert!(plan.tunnel.is_none() && plan.left_out().count() == 1, "{rule}: {:#?}", plan.entries);
    }
    // If the same match is there twice, both conditions count.
    let twice = "iptables -A OUTPUT -o tun+ -p tcp -m multiport --dports 25,443 -m multiport --dports 443,80 -j ACCEPT";
    assert!(left_out(twice)[0].contains("a second time"), "{:?}", left_out(twice));
    // A comment may look like an option.
    for comment in ["-j DROP", "-oeth0", "-p udp"] {
        let plan = read(&PORT.replace("-j", &format!("-m comment --comment '{comment}' -j")));
        assert_eq!(plan.tunnel, only(&[443]), "{comment}: {:#?}", plan.entries);
    }
}

/// With `--noflush` a line `:NAME -` flushes the chain of this name.
#[test]
fn a_restore_replaces_the_chains_that_it_names() {
    let restore = |options: &str, lines: &str| {
        let chain = "iptables -N KS\niptables -A KS -o tun+ -j ACCEPT\niptables -A OUTPUT -j KS\n";
        format!(
            "{chain}iptables-restore {options} <<EOF\n*filter\n{lines}-A KS -o tun+ -p tcp --dport 443 -j ACCEPT\nCOMMIT\nEOF\n"
        )
    };
    let replaced = read(&restore("--noflush", ":KS - [0:0]\n"));
    assert_eq!(replaced.tunnel, only(&[443]), "{:#?}", replaced.entries);
    let kept = read(&restore("--noflush", ""));
    assert_eq!(kept.tunnel, Some(crate::config::Traffic::Any), "{:#?}", kept.entries);
}

#[test]
fn a_rule_behind_an_exit_is_listed() {
    for script in [
        format!("exit 0\n{ALL}"),
        format!("die() {{ echo \"$1\"; exit 1; }}\ndie no\n{ALL}"),
        format!("DRY=1\n[ \"$DRY\" = 1 ] && {{ echo dry; exit 0; }}\n{ALL}"),
        format!("{PORT}\nexit\nopen() {{ {ALL}; }}\nopen"),
    ] {
        let plan = read(&script);
        assert_ne!(plan.tunnel, Some(crate::config::Traffic::Any), "{script}: {:#?}", plan.entries);
        assert_eq!(plan.left_out().count(), 1, "{script}: {:#?}", plan.entries);
    }
}

#[test]
fn what_starts_another_firewall_or_opens_this_one_changes_rules() {
    for (script, change) in [
        ("systemctl restart nftables", Some(RuleChange::Restores)),
        ("service netfilter-persistent restart", Some(RuleChange::Restores)),
        ("/etc/init.d/netfilter-persistent reload", Some(RuleChange::Restores)),
        ("systemctl enable --now firewalld.service", Some(RuleChange::Restores)),
        ("if [ \"$2\" = up ]; then /bin/systemctl start ufw; fi", Some(RuleChange::Restores)),
        (". /etc/default/fw\n$IPTABLES -F", Some(RuleChange::Flushes)),
        (". /etc/default/fw\n\"${IPT6}\" -P OUTPUT ACCEPT", Some(RuleChange::Edits)),
        ("ufw --force reset", Some(RuleChange::Flushes)),
        ("ufw --force enable", Some(RuleChange::Restores)),
        ("tunwarden release --yes", Some(RuleChange::Flushes)),
        ("systemctl restart openvpn", None),
        ("systemctl status nftables", None),
        ("systemctl stop ufw", None),
        ("tunwarden status", None),
        ("iptables --version", None),
    ] {
        assert_eq!(worst_change(script).0, change, "{script}");
    }
}
