use std::path::Path;

use super::*;
use crate::guide::VpnKind;
use crate::status::{DockerStatus, Enforcement, ManagementStatus, NetworkStatus};
use crate::vpn::{Allowance, Situation};

/// A machine on which nothing is wrong.
fn healthy() -> Snapshot {
    let endpoint = ("198.51.100.7:1194/udp".parse().unwrap(), Default::default());
    let situation = Situation {
        bootstrap: Allowance { endpoints: [endpoint].into(), ..Allowance::default() },
        ..Situation::default()
    };
    Snapshot {
        status: Some(Status::new(&situation, 0, Enforcement::Enforced, false)),
        left_out: Vec::new(),
        config: None,
        missing_owners: Vec::new(),
        unresolved: Vec::new(),
        rules: Ok(Vec::new()),
        refusals_fault: None,
        second_reader: SecondReading::Agrees,
        backends_in_use: BackendsInUse { legacy: false, nft: true },
        other_firewalls: Vec::new(),
        disabled_units: Vec::new(),
        without_hooks: Vec::new(),
        openvpn_left_out: Vec::new(),
        wireguard_left_out: Vec::new(),
        vpns: Vec::new(),
        notifications: Vec::new(),
        article: Vec::new(),
        others: Vec::new(),
        gluetun: Vec::new(),
        proof: None,
        unread: Vec::new(),
    }
}

/// The identifiers of the findings about a healthy machine after one change.
fn ids(spoil: impl FnOnce(&mut Snapshot)) -> Vec<&'static str> {
    let mut seen = healthy();
    spoil(&mut seen);
    let findings = diagnose(&seen);
    for finding in &findings {
        assert!(!finding.problem.is_empty() && !finding.mend.is_empty(), "{finding:?}");
    }
    findings.into_iter().map(|finding| finding.id).collect()
}

fn one(text: &str) -> Vec<String> {
    vec![text.to_owned()]
}

#[test]
fn a_healthy_machine_has_no_findings() {
    assert_eq!(diagnose(&healthy()), []);
}

#[test]
fn a_program_that_hears_the_refusals_in_place_of_the_agent_is_found() {
    let taken = "it is not known who is refused: another program receives group 29815 of NFLOG";
    assert_eq!(ids(|seen| seen.refusals_fault = Some(taken.to_owned())), ["refusals-unheard"]);
}

#[test]
fn each_fault_is_found_and_no_other() {
    assert_eq!(ids(|seen| seen.rules = Ok(one("there is no chain VPN_LAN"))), ["rules-not-in-force"]);
    assert_eq!(ids(|seen| seen.rules = Err("denied".to_owned())), ["rules-unknown"]);
    let disagrees = SecondReading::Disagrees(one("only our own reader sees a chain"));
    assert_eq!(ids(|seen| seen.second_reader = disagrees), ["readers-disagree"]);
    let failed = SecondReading::Failed("why".to_owned());
    assert_eq!(ids(|seen| seen.second_reader = failed), ["second-reader-failed"]);
    assert_eq!(ids(|seen| seen.second_reader = SecondReading::NotAsked), [""; 0], "no rules are in iptables");
    assert_eq!(ids(|seen| seen.status = None), ["agent-not-running"]);
    assert_eq!(ids(|seen| seen.unread = vec!["the server names"]), ["not-read"]);
    let [name, reason, remedy] = ["a", "b", "c"].map(ToOwned::to_owned);
    let left_out = LeftOutStatus { name, reason, remedy, carries: false };
    assert_eq!(ids(|seen| seen.left_out.push(left_out.clone())), ["profile-left-out"]);
    let refused = Refused { faults: "line 3".to_owned(), source: "kept".to_owned() };
    assert_eq!(ids(|seen| seen.config = Some(refused)), ["config-faults"]);
    assert_eq!(ids(|seen| seen.backends_in_use.legacy = true), ["legacy-and-nft"]);
    assert_eq!(ids(|seen| seen.backends_in_use = BackendsInUse { legacy: true, nft: false }), [""; 0]);
    assert_eq!(ids(|seen| seen.missing_owners = one("vpn")), ["owner-missing"]);
    assert_eq!(ids(|seen| seen.unresolved = one("vpn.example.net")), ["name-unresolved"]);
    assert_eq!(ids(|seen| seen.without_hooks = one("/etc/openvpn/a.conf")), ["hooks-missing"]);
    assert_eq!(ids(|seen| seen.openvpn_left_out = one("/etc/openvpn/a.conf: why")), ["openvpn-left-out"]);
    let fault = "/etc/wireguard/a.conf: why";
    assert_eq!(ids(|seen| seen.wireguard_left_out = one(fault)), ["wireguard-left-out"]);
    assert_eq!(ids(|seen| seen.disabled_units = one("tunwarden.service")), ["not-at-boot"]);
    assert_eq!(ids(|seen| seen.article = one("/usr/local/bin/x.sh")), ["article-scripts"]);
    assert_eq!(ids(|seen| seen.gluetun = one("vpn")), ["rules-changed-later"]);
    for firewall in [OtherFirewall::Ufw, OtherFirewall::Firewalld, OtherFirewall::Nftables] {
        assert_eq!(ids(|seen| seen.other_firewalls.push(firewall)), ["second-firewall"]);
    }
    for why in [NotificationFault::NoAutostart, NotificationFault::NotRunning, NotificationFault::NoDaemon] {
        assert_eq!(ids(|seen| seen.notifications.push(why)), ["notifications"]);
    }
    let nothing_known = |seen: &mut Snapshot| {
        let situation =
            Situation { bootstrap: Allowance { any: true, ..Allowance::default() }, ..Situation::default() };
        seen.status = Some(Status::new(&situation, 0, Enforcement::Enforced, false));
    };
    assert_eq!(ids(nothing_known), ["no-endpoint-known"]);
    let uncovered = |seen: &mut Snapshot| {
        let network = NetworkStatus {
            name: "lan".to_owned(),
            driver: "macvlan".to_owned(),
            bridge: None,
            internal: false,
            access: "tunnel".to_owned(),
            covered: false,
            fault: Some("passes under the rules".to_owned()),
        };
        let status = seen.status.as_mut().unwrap();
        status.docker = DockerStatus { present: true, networks: vec![network], ..DockerStatus::default() };
    };
    assert_eq!(ids(uncovered), ["docker-not-covered"]);
}

#[test]
fn a_management_socket_that_cannot_be_used_is_found() {
    let socket = |heard, fault: Option<&str>| ManagementStatus {
        file: "/etc/openvpn/a.conf".to_owned(),
        socket: "/run/a.sock".to_owned(),
        heard,
        fault: fault.map(str::to_owned),
    };
    let with = |socket: ManagementStatus| ids(|seen| seen.status.as_mut().unwrap().management.push(socket));
    assert_eq!(with(socket(false, Some("it is taken"))), ["management-not-heard"]);
    assert_eq!(with(socket(true, None)), [""; 0], "heard");
    assert_eq!(with(socket(false, None)), [""; 0], "its client does not run");
}

#[test]
fn only_a_vpn_that_does_not_work_is_a_finding() {
    let vpn = |kind| FoundVpn { kind, shown_by: "/etc/ipsec.conf".to_owned() };
    assert_eq!(ids(|seen| seen.vpns.push(vpn(VpnKind::Ipsec))), ["vpn-not-supported"]);
    assert_eq!(ids(|seen| seen.vpns.push(vpn(VpnKind::WgQuick))), [""; 0], "it works");
}

#[test]
fn text_from_the_machine_is_printed_without_control_characters() {
    let mut seen = healthy();
    seen.rules = Ok(vec!["\u{1b}[2J".to_owned(); 5]);
    let problem = &diagnose(&seen)[0].problem;
    assert!(!problem.contains('\u{1b}') && problem.ends_with("and 2 more"), "{problem}");
}

/// A system of files in a folder: paths and contents.
#[expect(clippy::disallowed_methods, reason = "a test makes the files that are looked at")]
pub(super) fn files(list: &[(&str, &str)]) -> (tempfile::TempDir, Files) {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in list {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let mut files = Files::below(root.path());
    files.owner = nix::unistd::geteuid().as_raw();
    (root, files)
}

#[test]
fn files_show_other_firewalls_clients_and_units() {
    let wants = "etc/systemd/system/multi-user.target.wants";
    let (_root, seen) = files(&[
        ("etc/ufw/ufw.conf", "# ufw\nENABLED=yes\n"),
        (&format!("{wants}/firewalld.service"), ""),
        (&format!("{wants}/nftables.service"), ""),
        (&format!("{wants}/dockerkillswitch.service"), ""),
        (&format!("{wants}/tunwarden.service"), ""),
        ("etc/nftables.conf", "#!/usr/sbin/nft -f\nflush ruleset\n"),
        ("etc/systemd/system/dockerkillswitch.service", ""),
        ("etc/systemd/system/vpnkillswitch.service", "not enabled"),
        ("usr/local/bin/dockerkillswitch.sh", ""),
        ("run/systemd/system/x", ""),
        ("etc/openvpn/a.conf", "client\nremote 198.51.100.7\n"),
        ("etc/openvpn/client/b.conf", "remote 198.51.100.7\nup \"/usr/lib/tunwarden/openvpn-up\"\n"),
        ("etc/openvpn/client/c.ovpn", "remote 198.51.100.7\nup /etc/openvpn/update-resolv-conf\n"),
        ("etc/openvpn/client/h.conf", "remote 198.51.100.7\nmanagement /run/openvpn/h.sock unix\n"),
        ("etc/openvpn/d.conf", "remote 224.0.0.1\n"),
        ("etc/openvpn/server.conf", "server 10.8.0.0 255.255.255.0\n"),
    ]);
    assert_eq!(
        seen.other_firewalls(),
        [OtherFirewall::Ufw, OtherFirewall::Firewalld, OtherFirewall::Nftables]
    );
    let openvpn = seen.openvpn();
    assert_eq!(openvpn.without_hooks, ["/etc/openvpn/a.conf", "/etc/openvpn/client/c.ovpn"]);
    assert_eq!(openvpn.left_out.len(), 1, "{:?}", openvpn.left_out);
    assert!(openvpn.left_out[0].starts_with("/etc/openvpn/d.conf: left out of it: line 1"), "{openvpn:?}");
    let mut others = seen.clone();
    others.owner = 4_000_000;
    let others = others.openvpn();
    assert!(others.without_hooks.is_empty() && others.left_out.is_empty(), "nobody can tell: {others:?}");
    assert_eq!(seen.disabled_units(), ["tunwarden-lock.service"]);
    assert_eq!(
        seen.article(),
        ["/usr/local/bin/dockerkillswitch.sh", "/etc/systemd/system/dockerkillswitch.service"]
    );

    let (_root, quiet) =
        files(&[("etc/ufw/ufw.conf", "ENABLED=no\n"), ("etc/nftables.conf", "flush ruleset\n")]);
    assert!(
        quiet.other_firewalls().is_empty() && quiet.article().is_empty() && quiet.disabled_units().is_empty()
    );
}

#[test]
fn a_saved_file_with_tables_of_ours_is_named_with_the_remedy() {
    let saved = "table inet tunwarden {\n\tflags owner,persist\n}\ntable netdev tunwarden_copy {\n}\ntable inet mine {\n}\n";
    let (_root, seen) = files(&[("etc/nftables.conf", saved)]);
    let others = seen.others();
    assert_eq!(others.len(), 1, "{others:?}");
    let named = "`table netdev tunwarden_copy`, `table inet tunwarden`:";
    assert!(others[0].problem.contains(named), "{others:?}");
    assert!(others[0].mend.contains("remove these blocks from /etc/nftables.conf"), "{others:?}");

    let own = "table inet tunwarden_of_mine {\n}\n# table inet tunwarden {\n";
    let (_root, quiet) = files(&[("etc/nftables.conf", own)]);
    assert!(quiet.others().is_empty(), "{:?}", quiet.others());
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test makes the files that are looked at")]
fn programs_that_change_rules_later_are_found_with_time_and_remedy() {
    let wants = "etc/systemd/system/multi-user.target.wants";
    let unit = |command: &str| format!("[Service]\nExecStart={command}\n");
    let flush = "#!/bin/sh\nIPT=/sbin/iptables\n$IPT -F\n";
    let (root, seen) = files(&[
        (&format!("{wants}/netfilter-persistent.service"), ""),
        ("etc/iptables/rules.v4", "*filter\nCOMMIT\n"),
        ("etc/systemd/system/fw.service", &unit("-/usr/local/sbin/fw start")),
        (&format!("{wants}/fw.service"), ""),
        ("usr/local/sbin/fw", "#!/bin/bash\ncase \"$1\" in start) iptables-restore < /etc/fw.rules;; esac\n"),
        ("etc/systemd/system/idle.service", &unit("/sbin/iptables -F")),
        ("etc/systemd/system/docker.service.d/x.conf", &unit("sh -c 'iptables -I DOCKER-USER -j RETURN'")),
        ("etc/systemd/system/daily.service", &unit("/usr/sbin/nft flush ruleset")),
        ("etc/systemd/system/timers.target.wants/daily.timer", ""),
        ("etc/NetworkManager/dispatcher.d/50-fw", flush),
        ("etc/NetworkManager/dispatcher.d/90-tunwarden", flush),
        ("etc/NetworkManager/dispatcher.d/not-executable", flush),
        ("etc/network/if-up.d/fw", flush),
        ("etc/network/interfaces", "iface eth0 inet dhcp\n  pre-up iptables-restore < /etc/fw.rules\n"),
        ("etc/rc.local", "#!/bin/sh\niptables -P OUTPUT ACCEPT\nexit 0\n"),
        ("etc/cron.d/fw", "PATH=/sbin\n*/5 * * * * root iptables-restore /etc/fw.rules\n"),
        ("etc/cron.d/asks", "@daily root iptables-save > /root/backup; iptables -L -n; nft list ruleset\n"),
        ("var/spool/cron/crontabs/root", "@reboot /usr/local/sbin/fw start\n"),
        ("usr/local/bin/rexbytes_vpn4killswitch.sh", flush),
    ]);
    for path in [
        "etc/NetworkManager/dispatcher.d/50-fw",
        "etc/NetworkManager/dispatcher.d/90-tunwarden",
        "etc/network/if-up.d/fw",
        "etc/rc.local",
    ] {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(root.path().join(path), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let others = seen.others();
    let said = |place: &str, does: &str, mend: &str| {
        let found = others.iter().find(|other| other.problem.contains(place));
        let found = found.unwrap_or_else(|| panic!("{place}: {others:#?}"));
        assert!(found.problem.contains(does) && found.mend.contains(mend), "{found:?}");
    };
    said("netfilter-persistent", "/etc/iptables/rules.v4", "systemctl disable netfilter-persistent");
    said(
        "/fw.service",
        "replaces all rules with a saved ruleset by /usr/local/sbin/fw",
        "systemctl disable fw.service",
    );
    said("docker.service.d", "changes firewall rules", "daemon-reload");
    said("/daily.service", "flushes", "systemctl disable daily.timer");
    said("50-fw", "flushes firewall rules, when a network comes up", "chmod -x");
    said("if-up.d/fw", "flushes firewall rules, when a network comes up", "chmod -x");
    said("interfaces", "saved ruleset", "/etc/network/interfaces");
    said("rc.local", "sets policies to ACCEPT, at boot", "/etc/rc.local");
    said("/cron.d/fw", "replaces all rules with a saved ruleset, at set times", "/etc/cron.d/fw");
    said("crontabs/root", "by /usr/local/sbin/fw, at set times", "crontabs/root");
    assert_eq!(others.len(), 10, "{others:#?}");
    assert_eq!(seen.article(), ["/usr/local/bin/rexbytes_vpn4killswitch.sh"]);
    assert_eq!(ids(|seen| seen.others = others.clone()).len(), 10);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test makes files")]
fn scripts_of_a_vpn_a_lease_and_a_wake_up_are_found() {
    let masquerade =
        "PostUp = iptables -t nat -A POSTROUTING -o eth0 -j MASQUERADE; ufw route allow in on %i\n";
    let (root, seen) = files(&[
        ("etc/wireguard/wg0.conf", "[Interface]\nPrivateKey = x\npostup=iptables -P OUTPUT ACCEPT\n"),
        ("etc/wireguard/server.conf", &format!("[Interface]\nListenPort = 51820\n{masquerade}")),
        ("etc/openvpn/client/a.conf", "remote 198.51.100.7\nup \"/etc/openvpn/up.sh x\"\n"),
        ("etc/openvpn/client/b.conf", "remote 198.51.100.7\nup /usr/lib/tunwarden/openvpn-up\n"),
        ("etc/openvpn/up.sh", "#!/bin/sh\n. /etc/default/fw\n$IPTABLES -F\n"),
        ("usr/lib/tunwarden/openvpn-up", "#!/bin/sh\nexec tunwarden hook openvpn\n"),
        ("etc/dhcp/dhclient-exit-hooks.d/fw", "[ \"$reason\" = BOUND ] && systemctl restart nftables\n"),
        ("usr/lib/systemd/system-sleep/fw", "#!/bin/sh\n[ \"$1\" = post ] && tunwarden release --yes\n"),
        ("etc/NetworkManager/dispatcher.d/10-asks", "#!/bin/sh\ncommand -v iptables || exit 0\n"),
    ]);
    for path in ["usr/lib/systemd/system-sleep/fw", "etc/NetworkManager/dispatcher.d/10-asks"] {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(root.path().join(path), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let others: Vec<String> = seen.others().into_iter().map(|other| other.problem).collect();
    let connects = "when the VPN connects or disconnects";
    for expected in [
        "/etc/dhcp/dhclient-exit-hooks.d/fw replaces all rules with a saved ruleset, when a network"
            .to_owned(),
        format!("/etc/wireguard/wg0.conf sets policies to ACCEPT, {connects}"),
        format!("/etc/openvpn/client/a.conf flushes firewall rules by /etc/openvpn/up.sh, {connects}"),
        "/usr/lib/systemd/system-sleep/fw flushes firewall rules, when the machine goes to sleep".to_owned(),
    ] {
        assert!(others.iter().any(|problem| problem.starts_with(&expected)), "{expected}: {others:#?}");
    }
    assert_eq!(others.len(), 4, "{others:#?}");
}

#[test]
fn what_is_not_shown_has_its_word_and_a_foreign_rule_stays_text() {
    let unknown = Proof::unknown("the computation took longer than 10 s".to_owned());
    assert_eq!((unknown.as_str(), Proof::default().as_str()), ("unknown", "proven"));
    let leak = Leak { packet: String::new(), remedy: String::new() };
    assert_eq!(Proof { leaks: vec![leak], ..unknown }.as_str(), "leaves");
    let others = Proof { others: one("--comment \u{1b}[2J\u{202e}"), ..Proof::default() };
    assert!(others.notes()[0].contains(r"\u{1b}[2J\u{202e}"), "{:?}", others.notes());
}
