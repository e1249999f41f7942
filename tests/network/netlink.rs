//! Our own messages commit the same rules as nft does from the text that people read: nft lists both. We read back what
//! the kernel holds, and find every change by another program.

#![allow(clippy::unwrap_used, reason = "a fixture that cannot be read is a failed test")]

use std::collections::{BTreeMap, HashSet};
use std::mem::discriminant;
use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use tunwarden::config::Config;
use tunwarden::net::LanPrefix;
use tunwarden::netfilter::encode::Transaction;
use tunwarden::netfilter::own::{OwnSocket, read_back};
use tunwarden::netfilter::readback;
use tunwarden::policy::nftables::{Found, NftTable, render_fresh, tables};
use tunwarden::policy::{Owners, Ruleset, last_resort, ruleset};
use tunwarden::vpn::{
    Allowance, Forwarded, ForwardedTo, KernelPacket, PauseScope, PppoeSession, Situation, State, Tunnel,
    TunnelAddress, TunnelSource, Uplink, Wire,
};
use tunwarden_lab::{Lab, with_lab};

/// Number of kinds of tests that a rule can make. Each is in one of the rulesets below.
const KINDS: usize = 32;

/// Number of links: more than one chain takes.
const LINKS: u32 = 260;

const SERVER: &str = "198.51.100.7:1194/udp";

/// A machine on a LAN.
fn locked() -> Situation {
    let prefixes = ["10.0.0.0/24", "172.16.0.0/12", "fd00:0:0:1::/64", "fe80::/10"];
    let endpoints = [SERVER, "[2001:db8:7::7]:1194/udp", "198.51.100.8:443/tcp"];
    Situation {
        state: State::Locked,
        bootstrap: allowance(endpoints.map(ToOwned::to_owned)),
        uplinks: vec![Uplink {
            interface: "eth0".parse().unwrap(),
            addresses: ["10.0.0.2", "fd00:0:0:1::2"].map(|own| own.parse().unwrap()).to_vec(),
            prefixes: prefixes.map(|prefix| prefix.parse::<LanPrefix>().unwrap()).to_vec(),
            on_link: ["2001:db8:1::/61", "fd00:0:0:1::/64"].map(|net| net.parse().unwrap()).to_vec(),
        }],
        wires: vec![Wire { interface: "eth0".parse().unwrap(), index: 2 }],
        bridges: vec!["docker0".parse().unwrap()],
        shut_out: ["br-lan", "fifteen-bytes-x", "ends*"]
            .iter()
            .filter_map(|name| name.parse().ok())
            .collect(),
        published: [(tunwarden::net::Transport::Tcp, "80".parse().unwrap())].into(),
        ..Situation::default()
    }
}

fn allowance(endpoints: impl IntoIterator<Item = String>) -> Allowance {
    let endpoints = endpoints.into_iter().map(|text| (text.parse().unwrap(), [65534].into()));
    Allowance { endpoints: endpoints.collect(), ..Allowance::default() }
}

fn protected() -> Situation {
    let interface: tunwarden::net::IfName = "tun0".parse().unwrap();
    let addresses: Vec<IpAddr> = ["10.8.0.2", "fd08::2"].map(|own| own.parse().unwrap()).to_vec();
    let kernel = [
        (SERVER.parse().unwrap(), KernelPacket::Marked(0xca6c.try_into().unwrap())),
        ("[2001:db8:7::7]:51820/udp".parse().unwrap(), KernelPacket::Any),
    ];
    Situation {
        state: State::Protected,
        bootstrap: Allowance { kernel: kernel.into(), ..allowance([SERVER.to_owned()]) },
        tunnel_addresses: addresses
            .iter()
            .map(|&address| TunnelAddress { interface: interface.clone(), address })
            .collect(),
        tunnels: vec![Tunnel {
            interface: interface.clone(),
            addresses,
            carrying: true,
            endpoint: Some(SERVER.parse().unwrap()),
            source: TunnelSource::NetworkManager,
            name: "lab".to_owned(),
            since: 0,
        }],
        named_tunnels: Some(vec![interface]),
        forwarded: vec![
            forwarded(ForwardedTo::Container("172.17.0.2".parse().unwrap(), "51413".parse().unwrap())),
            forwarded(ForwardedTo::Container("fd00:d0c::2".parse().unwrap(), "51413".parse().unwrap())),
            forwarded(ForwardedTo::Proxy),
        ],
        ..locked()
    }
}

fn forwarded(to: ForwardedTo) -> Forwarded {
    Forwarded { transport: tunwarden::net::Transport::Udp, port: "6000".parse().unwrap(), to }
}

fn paused(scope: PauseScope) -> Situation {
    Situation {
        state: State::Paused,
        paused_from: Some("2030-01-02T02:04:05Z".parse().unwrap()),
        paused_until: Some("2030-01-02T03:04:05Z".parse().unwrap()),
        pause_scope: scope,
        portal_uplinks: vec!["eth0".parse().unwrap()],
        ..protected()
    }
}

/// Many servers, which are in sets, and many links.
fn many() -> Situation {
    let ipv4 = (1..=200).map(|n| format!("198.51.100.{n}:1194/udp"));
    let ipv6 = (1..=1200).map(|n| format!("[2001:db8:7::{n:x}]:443/tcp"));
    let wires = (0..LINKS).map(|n| Wire { interface: format!("many{n}").parse().unwrap(), index: n + 10 });
    Situation { bootstrap: allowance(ipv4.chain(ipv6)), wires: wires.collect(), ..locked() }
}

fn pppoe() -> Situation {
    let ppp = Wire { interface: "ppp0".parse().unwrap(), index: 3 };
    let mut situation = locked();
    situation.ppp_links = vec![ppp.interface.clone()];
    situation.wires.push(ppp);
    let (interface, peer) = ("eth0".parse().unwrap(), [0x02, 0, 0, 0, 0, 0x17]);
    situation.pppoe = vec![PppoeSession { interface, id: 0x0102, peer }];
    situation
}

const CONFIGURED: &str = r#"
    [tunnel]
    allow = [{ protocol = "tcp", ports = [443, "6000-6007"] }, { protocol = "icmp" }]
    [lan]
    networks = ["192.168.0.0/16"]
    multicast = false
    [input]
    allow = [{ protocol = "tcp", ports = [22], from = "192.168.0.0/16" }]
    [docker]
    allow = [{ protocol = "tcp", ports = [443] }]
    published_ports = "none"
"#;

/// Rulesets that together contain every kind of test.
fn rulesets() -> BTreeMap<&'static str, Ruleset> {
    let of = |config: &str, situation: Situation| {
        ruleset(&Config::parse(config, "test.toml").unwrap(), &Owners::from([0, 113]), &situation)
    };
    BTreeMap::from([
        ("locked", of("", locked())),
        (
            "locked, nothing known",
            of("", Situation { bootstrap: Allowance { any: true, ..Allowance::default() }, ..locked() }),
        ),
        ("locked, no LAN", of("[lan]\nallow = false\n", locked())),
        ("protected", of("", protected())),
        ("configured", of(CONFIGURED, protected())),
        ("paused", of("", paused(PauseScope::default()))),
        ("paused for a portal", of("", paused(PauseScope::Portal))),
        ("many", of("", many())),
        ("PPPoE", of("", pppoe())),
        ("last resort", last_resort()),
    ])
}

/// This system's nft.
const OWN: [&str; 1] = ["nft"];

fn listed(lab: &Lab) -> Result<String> {
    listed_by(lab, &OWN)
}

fn listed_by(lab: &Lab, nft: &[&str]) -> Result<String> {
    let tables = ["inet", "netdev"].map(|family| {
        let words = ["-y", "-p", "list", "table", family, "tunwarden"];
        lab.host().succeed(["env", "TZ=UTC"].into_iter().chain(nft.iter().copied()).chain(words))
    });
    let [inet, netdev] = tables;
    Ok(inet? + &netdev?)
}

fn send(lab: &Lab, transaction: Transaction) -> Result<()> {
    lab.host().enter(|| Ok(OwnSocket::open()?.send(transaction).map(drop)?))
}

fn replace(lab: &Lab, tables: &[NftTable], found: Found) -> Result<()> {
    let mut transaction = Transaction::default();
    tables.iter().for_each(|table| transaction.replace(table, found));
    send(lab, transaction)
}

/// Every difference between these tables and what the kernel holds.
fn differences(lab: &Lab, tables: &[NftTable]) -> Result<Vec<String>> {
    let of = |table: &NftTable| {
        let held = lab.host().enter(|| Ok(read_back(table.id())?))?;
        Ok(readback::differences(table, &held, |_| true))
    };
    tables.iter().map(of).collect::<Result<Vec<_>>>().map(|lines| lines.concat())
}

/// The first line that two listings do not share.
fn differing(one: &str, other: &str) -> Option<String> {
    let pairs = one.lines().zip(other.lines());
    let line = pairs.into_iter().find(|(one, other)| one != other).map(|pair| format!("{pair:#?}"));
    line.or_else(|| (one != other).then(|| "one listing is longer".to_owned()))
}

#[test]
fn our_messages_commit_what_nft_commits_of_the_printed_rules() -> Result<()> {
    let rulesets = rulesets();
    let rules = rulesets.values().flat_map(tables).flat_map(|table| table.chains);
    let kinds = rules.flat_map(|chain| chain.rules).flat_map(|rule| rule.matches);
    let kinds: HashSet<_> = kinds.map(|question| discriminant(&question)).collect();
    ensure!(kinds.len() == KINDS, "{} kinds of questions of {KINDS}", kinds.len());
    with_lab(|lab| {
        let links: String = (0..LINKS).map(|n| format!("link add many{n} type bridge\n")).collect();
        let batch = format!("{links}link add ppp0 type bridge\n");
        lab.host().command(["ip", "-batch", "-"]).stdin(&batch).succeed()?;
        let mut held: Option<[NftTable; 2]> = None;
        for (name, ruleset) in &rulesets {
            lab.host()
                .command(["env", "TZ=UTC", "nft", "-f", "-"])
                .stdin(&render_fresh(ruleset))
                .succeed()?;
            let expected = listed(lab)?;
            ensure!(expected.contains("chain output"), "the control: nft commits rules: {expected}");
            let wanted = tables(ruleset);
            let same = |how: &str| {
                let line = differing(&expected, &listed(lab)?);
                ensure!(line.is_none(), "{name}, {how}: {line:?}");
                let lines = differences(lab, &wanted)?;
                ensure!(lines.is_empty(), "{name}, {how}, read back: {lines:#?}");
                Ok(())
            };
            for found in [Found::Present, Found::Unknown] {
                replace(lab, &wanted, found).with_context(|| format!("{name}, {found:?}"))?;
                same("replaced")?;
            }
            lab.host().succeed(["nft", "flush", "ruleset"])?;
            replace(lab, &wanted, Found::Absent).with_context(|| format!("{name}, from nothing"))?;
            same("from nothing")?;
            // From the previous rules to these, in the chains that both have.
            let before = held.replace(wanted.clone());
            if let Some(before) = before
                && wanted.iter().zip(&before).all(|(table, before)| table.can_refill(before))
            {
                replace(lab, &before, Found::Present)?;
                let mut transaction = Transaction::default();
                wanted.iter().zip(&before).for_each(|(table, before)| transaction.refill(table, before));
                send(lab, transaction).with_context(|| format!("{name}, refilled"))?;
                same("refilled")?;
            }
        }
        Ok(())
    })
}

/// The nft of each other Debian release whose tree is in the laboratory's cache, as a command.
#[expect(clippy::disallowed_methods, reason = "a test looks for the trees of other releases")]
fn other_nfts() -> Vec<[String; 3]> {
    let cache = std::env::var("TUNWARDEN_LAB_CACHE");
    let trees = std::fs::read_dir(cache.unwrap_or_else(|_| "/var/cache/tunwarden-lab".to_owned()));
    let trees = trees.into_iter().flatten().filter_map(|tree| Some(tree.ok()?.path()));
    let trees = trees.filter(|tree| tree.join("usr/sbin/nft").exists());
    trees.map(|tree| ["chroot".to_owned(), tree.display().to_string(), "nft".to_owned()]).collect()
}

#[test]
fn the_nft_of_every_release_lists_what_we_commit_as_what_it_commits_itself() -> Result<()> {
    let (rulesets, nfts) = (rulesets(), other_nfts());
    ensure!(!nfts.is_empty(), "make trees gets the nft of other releases");
    with_lab(|lab| {
        for nft in nfts {
            let nft = nft.each_ref().map(String::as_str);
            for name in ["locked", "protected", "configured", "paused for a portal", "last resort"] {
                let ruleset = &rulesets[name];
                let load = ["env", "TZ=UTC"].into_iter().chain(nft).chain(["-f", "-"]);
                lab.host().command(load).stdin(&render_fresh(ruleset)).succeed()?;
                let expected = listed_by(lab, &nft)?;
                ensure!(expected.contains("chain output"), "the control, {nft:?}: {expected}");
                replace(lab, &tables(ruleset), Found::Present)?;
                let line = differing(&expected, &listed_by(lab, &nft)?);
                ensure!(line.is_none(), "{name}, {nft:?}: {line:?}");
                let lines = differences(lab, &tables(ruleset))?;
                ensure!(lines.is_empty(), "{name}, {nft:?}, read back: {lines:#?}");
            }
        }
        Ok(())
    })
}

#[test]
fn a_transaction_that_the_kernel_refuses_changes_nothing() -> Result<()> {
    with_lab(|lab| {
        let rulesets = rulesets();
        let locked = tables(&rulesets["locked"]);
        replace(lab, &locked, Found::Absent)?;
        let before = listed(lab)?;
        // The kernel would accept the first table. A rule of the second one jumps to a chain that does not exist.
        let [inet, mut netdev] = tables(&rulesets["protected"]);
        netdev.chains.retain(|chain| chain.name != "VPN_EGRESS");
        let broken = [inet, netdev];
        for (wanted, found, error) in
            [(&broken, Found::Present, "No such file"), (&locked, Found::Absent, "File exists")]
        {
            let refused = replace(lab, wanted, found).err().map(|why| format!("{why:#}")).unwrap_or_default();
            ensure!(refused.contains(error), "{found:?}: {refused:?}");
            ensure!(listed(lab)? == before, "{found:?} changed something");
        }
        // The control: the same tables are replaced if they exist.
        replace(lab, &locked, Found::Present)
    })
}

/// What another program does to our tables, and the difference that is reported.
const CHANGES: [(&str, &str); 12] = [
    ("insert rule inet tunwarden output accept", "foreign: output accept"),
    ("add rule inet tunwarden output counter", "foreign: output counter"),
    ("flush chain inet tunwarden VPN_TUNNEL_V4", "missing: VPN_TUNNEL_V4 "),
    ("add chain inet tunwarden output { policy accept; }", "output is not `type filter hook output"),
    ("add chain inet tunwarden mine", "foreign: chain mine"),
    ("add set inet tunwarden mine { type ipv4_addr; }", "foreign: set mine"),
    ("add element inet tunwarden VPN_TUNNEL_KINDS { \"veth\" }", "set VPN_TUNNEL_KINDS has other elements"),
    ("delete element inet tunwarden VPN_TUNNEL_KINDS { \"tun\" }", "set VPN_TUNNEL_KINDS has other elements"),
    (
        "add element inet tunwarden VPN_ASKED_V4 { 10.0.0.2 . 40000 . 1900 timeout 1h }",
        "set VPN_ASKED_V4 has other elements",
    ),
    ("add table inet tunwarden { flags dormant; }", "the table is switched off (flags dormant)"),
    ("delete table inet tunwarden", "the table is not there"),
    ("delete table netdev tunwarden", "nft netdev tunwarden: the table is not there"),
];

#[test]
fn every_change_by_another_program_is_read_back() -> Result<()> {
    with_lab(|lab| {
        let wanted = tables(&rulesets()["protected"]);
        replace(lab, &wanted, Found::Unknown)?;
        ensure!(differences(lab, &wanted)?.is_empty(), "the control: {:#?}", differences(lab, &wanted)?);
        // A packet adds such an element too.
        lab.host().succeed(["nft", "add element inet tunwarden VPN_ASKED_V4 { 10.0.0.2 . 40000 . 1900 }"])?;
        ensure!(differences(lab, &wanted)?.is_empty(), "a question: {:#?}", differences(lab, &wanted)?);
        for (change, line) in CHANGES {
            lab.host().succeed(["nft", change])?;
            let lines = differences(lab, &wanted)?;
            ensure!(lines.iter().any(|found| found.contains(line)), "{change}: {lines:#?}");
            replace(lab, &wanted, Found::Unknown)?;
            ensure!(
                differences(lab, &wanted)?.is_empty(),
                "after {change}: {:#?}",
                differences(lab, &wanted)?
            );
        }
        Ok(())
    })
}
