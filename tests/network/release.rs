//! `release`: ports that were closed before the lock stay closed, open ports are open again, and no foreign
//! rule prevents it.

mod memory;
mod unprintable;
mod variants;

use std::net::UdpSocket;

use anyhow::{Result, ensure};
use tunwarden_lab::{Lab, Machine, bind_when_free, with_lab};

use crate::support::kernel::{Backend, FAMILIES};
use crate::support::tunwarden;

const KNOWN: &str = "[bootstrap]\nservers = [\"198.51.100.7\", \"[2001:db8:7::7]\"]\n";

/// The host's addresses on the LAN.
const HOST: [&str; 2] = ["10.0.0.2", "fd00:0:0:1::2"];

/// A port that the firewall closes, and one that it allows.
const SHUT: u16 = 8080;
const LET_IN: u16 = 8081;

/// A user's own closed firewall, for each family.
const OWN: [&str; 6] = [
    "-P INPUT DROP",
    "-P FORWARD DROP",
    "-A INPUT -i lo -j ACCEPT",
    "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "-A INPUT -p ipv6-icmp -j ACCEPT",
    "-A INPUT -p tcp -m tcp --dport 8081 -j ACCEPT",
];

/// Sockets of the host that accept packets from everybody if the firewall allows them.
struct Ports {
    _tcp: Vec<std::net::TcpListener>,
    udp: UdpSocket,
}

impl Ports {
    fn open(host: &Machine) -> Result<Self> {
        host.enter(|| {
            let listen = |port| bind_when_free(|| std::net::TcpListener::bind(("::", port)));
            let udp = bind_when_free(|| UdpSocket::bind(("::", SHUT)))?;
            udp.set_nonblocking(true)?;
            Ok(Self { _tcp: vec![listen(SHUT)?, listen(LET_IN)?], udp })
        })
    }

    /// Number of datagrams since the last call.
    fn received(&self) -> usize {
        std::iter::from_fn(|| self.udp.recv(&mut [0; 64]).ok()).count()
    }
}

/// Whether a port answers a machine on the LAN, for each family.
fn answers(lab: &Lab, port: u16) -> Result<[bool; 2]> {
    let ask = |address: &str| {
        let connect = format!("exec 3<>/dev/tcp/{address}/{port}");
        Ok::<_, anyhow::Error>(lab.isp().run(["timeout", "2", "bash", "-c", &connect])?.status.success())
    };
    Ok([ask(HOST[0])?, ask(HOST[1])?])
}

/// Checks that the LAN sees a machine with a closed firewall.
fn is_closed(lab: &Lab, when: &str) -> Result<()> {
    let (shut, let_in) = (answers(lab, SHUT)?, answers(lab, LET_IN)?);
    ensure!(shut == [false; 2], "{when}: the shut port answers the LAN: {shut:?}");
    ensure!(let_in == [true; 2], "{when}: the open port does not answer the LAN: {let_in:?}");
    Ok(())
}

fn policies(lab: &Lab, backend: Backend) -> Result<Vec<String>> {
    let mut policies = Vec::new();
    for family in FAMILIES {
        let listing = lab.host().succeed([backend.tool(family, "").as_str(), "-w", "-S"])?;
        policies.extend(
            listing.lines().filter(|line| line.starts_with("-P")).map(|line| format!("{family} {line}")),
        );
    }
    Ok(policies)
}

fn released(lab: &Lab) -> Result<String> {
    let output = tunwarden(lab, ["release", "--yes"])?;
    ensure!(output.status.success(), "release: {output:?}");
    ensure!(output.stdout.contains("released: "), "{output:?}");
    ensure!(lab.host().udp("203.0.113.9:4000")?.send()?.accepted == 1, "the network is not back: {output:?}");
    Ok(output.stdout)
}

fn own_ruleset(lab: &Lab, backend: Backend) -> Result<()> {
    for rule in OWN {
        for family in FAMILIES.into_iter().filter(|family| *family == "ip6tables" || !rule.contains("ipv6")) {
            backend.change(lab, family, rule)?;
        }
    }
    Ok(())
}

/// The program that a message must name: the one that shows the rules of this backend.
fn shown(backend: Backend, family: &str) -> String {
    match backend {
        Backend::Legacy => backend.tool(family, ""),
        Backend::Nft | Backend::IptablesAlone | Backend::NftablesAlone => family.to_owned(),
    }
}

fn ufw(lab: &Lab, words: &[&str]) -> Result<()> {
    lab.host().succeed(["ufw"].iter().chain(words).copied()).map(drop)
}

#[test]
fn ports_that_ufw_closed_are_closed_before_during_and_after_the_lock() -> Result<()> {
    with_lab(|lab| {
        let ports = Ports::open(lab.host())?;
        let floods = [format!("10.0.0.2:{SHUT}"), format!("[fd00:0:0:1::2]:{SHUT}")];
        let floods = [lab.isp().udp(&floods[0])?.flood(500)?, lab.isp().udp(&floods[1])?.flood(500)?];
        floods.iter().try_for_each(|flood| flood.await_more(200))?;
        ensure!(ports.received() > 100, "the control failed: without ufw the port is open");

        ufw(lab, &["allow", "8081/tcp"])?;
        ufw(lab, &["--force", "enable"])?;
        is_closed(lab, "with ufw")?;
        let before = policies(lab, Backend::Nft)?;
        ensure!(before.contains(&"iptables -P INPUT DROP".to_owned()), "{before:?}");
        ports.received();
        Backend::Nft.lock(lab, KNOWN)?;
        ensure!(answers(lab, SHUT)? == [false; 2], "locked");
        let said = released(lab)?;
        ensure!(said.contains("iptables: INPUT stays closed (DROP), because ufw closes it"), "{said}");
        floods.iter().try_for_each(|flood| flood.await_more(200))?;
        assert_eq!(ports.received(), 0, "datagrams came in");
        assert_eq!(policies(lab, Backend::Nft)?, before);
        is_closed(lab, "released")?;
        // A second release succeeds too.
        Backend::Nft.lock(lab, KNOWN)?;
        Backend::Nft.lock(lab, KNOWN)?;
        released(lab)?;
        assert_eq!(policies(lab, Backend::Nft)?, before);
        floods.into_iter().try_for_each(|flood| flood.stop().map(drop))
    })
}

#[test]
fn ufw_that_comes_after_the_lock_as_at_boot_is_still_closed_after_release() -> Result<()> {
    with_lab(|lab| {
        let _ports = Ports::open(lab.host())?;
        Backend::Nft.lock(lab, KNOWN)?;
        ufw(lab, &["allow", "8081/tcp"])?;
        ufw(lab, &["--force", "enable"])?;
        released(lab)?;
        is_closed(lab, "released")
    })
}

#[test]
fn ufw_that_was_switched_off_under_the_lock_leaves_the_machine_open() -> Result<()> {
    with_lab(|lab| {
        let _ports = Ports::open(lab.host())?;
        ufw(lab, &["--force", "enable"])?;
        Backend::Nft.lock(lab, KNOWN)?;
        ufw(lab, &["--force", "disable"])?;
        Backend::Nft.lock(lab, KNOWN)?;
        released(lab)?;
        assert_eq!(answers(lab, SHUT)?, [true; 2], "{:?}", policies(lab, Backend::Nft)?);
        Ok(())
    })
}

fn own_ruleset_stays_closed(backend: Backend) -> Result<()> {
    with_lab(|lab| {
        let _ports = Ports::open(lab.host())?;
        own_ruleset(lab, backend)?;
        is_closed(lab, "alone")?;
        let before = policies(lab, backend)?;
        backend.lock(lab, KNOWN)?;
        ensure!(answers(lab, SHUT)? == [false; 2], "locked");
        let said = released(lab)?;
        ensure!(
            said.contains(&format!(
                "{}: FORWARD stays closed (DROP), because it was closed before",
                shown(backend, "ip6tables")
            )),
            "{said}"
        );
        assert_eq!(policies(lab, backend)?, before);
        is_closed(lab, "released")
    })?;
    // As after a reboot: `lock` is the first to run.
    with_lab(|lab| {
        let _ports = Ports::open(lab.host())?;
        backend.lock(lab, KNOWN)?;
        own_ruleset(lab, backend)?;
        released(lab)?;
        is_closed(lab, "released, and the rules came later")
    })
}

#[test]
fn own_rules_that_closed_stay_closed_with_nft() {
    own_ruleset_stays_closed(Backend::Nft).unwrap();
}

#[test]
fn own_rules_that_closed_stay_closed_with_legacy() {
    own_ruleset_stays_closed(Backend::Legacy).unwrap();
}

#[test]
fn a_release_restores_the_network_although_the_earlier_state_is_unknown() -> Result<()> {
    with_lab(|lab| {
        let _ports = Ports::open(lab.host())?;
        Backend::Nft.lock(lab, KNOWN)?;
        lab.host().file("/run/tunwarden/policies.json", "{")?;
        let said = released(lab)?;
        ensure!(said.contains("iptables: FORWARD stays closed (DROP), because nobody knows"), "{said}");
        let of = |chain: &str| {
            Ok::<_, anyhow::Error>(
                policies(lab, Backend::Nft)?
                    .into_iter()
                    .filter(|line| line.contains(chain))
                    .collect::<Vec<_>>(),
            )
        };
        ensure!(
            of("INPUT")?.iter().chain(&of("OUTPUT")?).all(|line| line.ends_with("ACCEPT")),
            "{:?}",
            policies(lab, Backend::Nft)?
        );
        ensure!(of("FORWARD")?.iter().all(|line| line.ends_with("DROP")));
        assert_eq!(answers(lab, SHUT)?, [true; 2]);
        Ok(())
    })
}

fn foreign_jump(backend: Backend) -> Result<()> {
    with_lab(|lab| {
        backend.lock(lab, KNOWN)?;
        for family in FAMILIES {
            backend.change(lab, family, "-A FORWARD -i wlan1 -j RELATED_AND_ESTABLISHED")?;
            backend.change(lab, family, "-N MINE")?;
            backend.change(lab, family, "-A MINE -p udp -g VPN_LAN")?;
        }
        let said = released(lab)?;
        let is_legacy = matches!(backend, Backend::Legacy);
        ensure!(said.contains("does not show whether another program has closed it") == is_legacy, "{said}");
        for (family, chain, rule) in [
            ("iptables", "RELATED_AND_ESTABLISHED", "-A FORWARD -i wlan1 -j RELATED_AND_ESTABLISHED"),
            ("ip6tables", "VPN_LAN", "-A MINE -p udp -g VPN_LAN"),
        ] {
            ensure!(
                said.contains(&format!("{}: the chain {chain} stays, empty", shown(backend, family)))
                    && said.contains(rule),
                "{said}"
            );
            ensure!(backend.chain(lab, family, chain)?.is_empty(), "{chain} is not empty");
        }
        let open = policies(lab, backend)?;
        ensure!(open.iter().all(|line| line.ends_with("ACCEPT")), "{open:?}");
        let saved = backend.all_saved(lab)?;
        let ours = ["OUTPUT_VPN_KILL_SWITCH", "VPN_DNS", "DOCKER_VPN"];
        ensure!(!saved.iter().any(|line| ours.iter().any(|name| line.contains(name))), "{saved:#?}");
        // After another lock the same rules do not prevent a release.
        backend.lock(lab, KNOWN)?;
        released(lab).map(drop)
    })
}

#[test]
fn a_foreign_rule_that_jumps_into_our_chain_does_not_stop_a_release_with_nft() {
    foreign_jump(Backend::Nft).unwrap();
}

#[test]
fn a_foreign_rule_that_jumps_into_our_chain_does_not_stop_a_release_with_legacy() {
    foreign_jump(Backend::Legacy).unwrap();
}

fn docker_user_jump(backend: Backend) -> Result<()> {
    with_lab(|lab| {
        for words in [
            "-N OUTPUT_VPN_KILL_SWITCH",
            "-A OUTPUT_VPN_KILL_SWITCH -p udp --dport 1194 -j ACCEPT",
            "-I OUTPUT -j OUTPUT_VPN_KILL_SWITCH",
            "-N DOCKER-USER",
            "-A FORWARD -j DOCKER-USER",
            "-I DOCKER-USER -j OUTPUT_VPN_KILL_SWITCH",
        ] {
            backend.change(lab, "iptables", words)?;
        }
        let said = backend.lock(lab, KNOWN)?;
        ensure!(said.contains("the rule -A DOCKER-USER -j OUTPUT_VPN_KILL_SWITCH is removed"), "{said}");
        ensure!(lab.host().udp("203.0.113.9:4000")?.send()?.forbidden() == 1, "it is not locked");
        let rules = backend.chain(lab, "iptables", "DOCKER-USER")?;
        assert_eq!(rules, ["-A DOCKER-USER -j DOCKER_VPN_KILL_SWITCH"]);
        ensure!(tunwarden(lab, ["verify"])?.status.success(), "the kernel does not hold the rules");
        released(lab).map(drop)
    })
}

#[test]
fn a_jump_of_containers_into_the_chain_of_the_host_is_moved_out_of_the_way_with_nft() {
    docker_user_jump(Backend::Nft).unwrap();
}

#[test]
fn a_jump_of_containers_into_the_chain_of_the_host_is_moved_out_of_the_way_with_legacy() {
    docker_user_jump(Backend::Legacy).unwrap();
}

#[test]
fn tables_that_only_we_made_are_removed_too() -> Result<()> {
    with_lab(|lab| {
        let tables = || lab.host().succeed(["nft", "list", "tables"]);
        let before = tables()?;
        Backend::Nft.lock(lab, KNOWN)?;
        ensure!(tables()?.contains("table ip filter"), "the control failed");
        released(lab)?;
        assert_eq!(tables()?, before);
        Ok(())
    })
}

#[test]
fn policies_are_opened_although_somebody_has_flushed_our_rules() -> Result<()> {
    with_lab(|lab| {
        Backend::Nft.lock(lab, KNOWN)?;
        for family in FAMILIES {
            Backend::Nft.change(lab, family, "-F")?;
            Backend::Nft.change(lab, family, "-X")?;
        }
        released(lab)?;
        let open = policies(lab, Backend::Nft)?;
        ensure!(open.iter().all(|line| line.ends_with("ACCEPT")), "{open:?}");
        Ok(())
    })
}
