//! `release` restores the firewalls that people have: every rule and every policy, in both families and both backends.
//! A closed port answers nobody before the lock, during it and after it.

use anyhow::{Context, Result, ensure};
use tunwarden_lab::{Lab, wait_for, with_lab};

use super::{KNOWN, Ports, SHUT};
use crate::support::kernel::{Backend, FAMILIES};
use crate::support::{SOON, agent, bus, tunwarden};

/// Policies of INPUT, FORWARD and OUTPUT, and rules. The LAN reaches the closed port only if `is_open`.
struct Variant {
    name: &'static str,
    policies: [&'static str; 3],
    rules: &'static str,
    is_open: bool,
}

const OPEN: [&str; 3] = ["ACCEPT"; 3];
const INPUT: [&str; 3] = ["DROP", "ACCEPT", "ACCEPT"];
const SERVER: [&str; 3] = ["DROP", "DROP", "ACCEPT"];
const ALL: [&str; 3] = ["DROP"; 3];

const fn shut(name: &'static str, policies: [&'static str; 3], rules: &'static str) -> Variant {
    Variant { name, policies, rules, is_open: false }
}

const fn open(name: &'static str, policies: [&'static str; 3], rules: &'static str) -> Variant {
    Variant { name, policies, rules, is_open: true }
}

const REPLIES: &str =
    "-A INPUT -i lo -j ACCEPT\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n";

const VARIANTS: [Variant; 22] = [
    open("nothing", OPEN, ""),
    shut("INPUT drops everything", INPUT, ""),
    shut("replies by conntrack", INPUT, REPLIES),
    shut("replies by state", SERVER, "-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT\n"),
    shut(
        "a server with narrow replies",
        SERVER,
        "-A INPUT -i eth0 -p tcp -m conntrack --ctstate ESTABLISHED -j ACCEPT\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n",
    ),
    open("only FORWARD drops", ["ACCEPT", "DROP", "ACCEPT"], ""),
    open("only OUTPUT drops", ["ACCEPT", "ACCEPT", "DROP"], "-A OUTPUT -o lo -j ACCEPT\n"),
    shut("all drop, without rules", ALL, ""),
    shut(
        "all drop, with rules",
        ALL,
        "-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n-A OUTPUT -m conntrack --ctstate NEW,ESTABLISHED -j ACCEPT\n",
    ),
    shut(
        "the last rule drops",
        OPEN,
        "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -p udp -j DROP\n",
    ),
    shut("the last rule rejects", OPEN, "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n-A INPUT -j REJECT\n"),
    shut(
        "a chain of its own",
        INPUT,
        ":fw - [0:0]\n-A INPUT -j fw\n-A fw -m conntrack --ctstate ESTABLISHED -j ACCEPT\n",
    ),
    shut(
        "ufw",
        SERVER,
        ":ufw-before-input - [0:0]\n:ufw-before-output - [0:0]\n:ufw-skip-to-policy-input - [0:0]\n\
         :ufw-skip-to-policy-output - [0:0]\n-A INPUT -j ufw-before-input\n-A OUTPUT -j ufw-before-output\n\
         -A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
         -A ufw-skip-to-policy-input -j DROP\n-A ufw-skip-to-policy-output -j ACCEPT\n",
    ),
    shut(
        "ufw that refuses what leaves",
        ALL,
        ":ufw-before-input - [0:0]\n:ufw-before-output - [0:0]\n:ufw-skip-to-policy-input - [0:0]\n\
         :ufw-skip-to-policy-output - [0:0]\n-A INPUT -j ufw-before-input\n-A OUTPUT -j ufw-before-output\n\
         -A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
         -A ufw-skip-to-policy-input -j DROP\n-A ufw-skip-to-policy-output -j REJECT\n",
    ),
    shut(
        "firewalld with iptables",
        OPEN,
        ":IN_public - [0:0]\n:INPUT_ZONES - [0:0]\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
         -A INPUT -i lo -j ACCEPT\n-A INPUT -j INPUT_ZONES\n-A INPUT -j REJECT\n-A INPUT_ZONES -g IN_public\n\
         -A IN_public -p tcp -m tcp --dport 22 -j ACCEPT\n",
    ),
    shut(
        "shorewall",
        ALL,
        ":net-fw - [0:0]\n:fw-net - [0:0]\n-A INPUT -i eth0 -j net-fw\n-A INPUT -i lo -j ACCEPT\n-A OUTPUT -o eth0 -j fw-net\n\
         -A net-fw -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A net-fw -j DROP\n-A fw-net -j ACCEPT\n",
    ),
    open(
        "Docker",
        ["ACCEPT", "DROP", "ACCEPT"],
        ":DOCKER - [0:0]\n:DOCKER-USER - [0:0]\n-A FORWARD -j DOCKER-USER\n-A FORWARD -o docker0 -j DOCKER\n\
         -A FORWARD -i docker0 ! -o docker0 -j ACCEPT\n-A DOCKER-USER -j RETURN\n",
    ),
    open(
        "rules of a user in DOCKER-USER",
        ["ACCEPT", "DROP", "ACCEPT"],
        ":DOCKER-USER - [0:0]\n-A FORWARD -j DOCKER-USER\n-A DOCKER-USER -i eth0 -p tcp -m tcp --dport 81 -j DROP\n\
         -A DOCKER-USER -j RETURN\n",
    ),
    open(
        "libvirt",
        OPEN,
        ":LIBVIRT_INP - [0:0]\n:LIBVIRT_FWO - [0:0]\n-A INPUT -j LIBVIRT_INP\n-A FORWARD -j LIBVIRT_FWO\n\
         -A LIBVIRT_INP -i virbr0 -p udp -m udp --dport 67 -j ACCEPT\n-A LIBVIRT_FWO -i virbr0 -j REJECT\n",
    ),
    open(
        "fail2ban",
        OPEN,
        ":f2b-sshd - [0:0]\n-A INPUT -p tcp -m multiport --dports 22 -j f2b-sshd\n-A f2b-sshd -j RETURN\n",
    ),
    shut("a limit", INPUT, "-A INPUT -p tcp -m limit --limit 5/min -j ACCEPT\n"),
    shut(
        "a comment and a mark",
        INPUT,
        "-A INPUT -m mark --mark 0x7 -m comment --comment \"mine, not yours\" -j ACCEPT\n",
    ),
];

/// Replaces all rules with this firewall.
fn set_up(lab: &Lab, backend: Backend, variant: &Variant, families: &[&str]) -> Result<()> {
    for family in FAMILIES {
        let (policies, rules) =
            if families.contains(&family) { (variant.policies, variant.rules) } else { (OPEN, "") };
        let [input, forward, output] = policies;
        let builtin = format!(":INPUT {input} [0:0]\n:FORWARD {forward} [0:0]\n:OUTPUT {output} [0:0]\n");
        let mangle = "*mangle\n-A POSTROUTING -o eth7 -j MARK --set-mark 0x1\nCOMMIT\n";
        // Without neighbour discovery a machine receives nothing over IPv6, so the firewall allows it if it closes
        // anything.
        let neighbours = match (family, policies == OPEN && rules.is_empty()) {
            ("ip6tables", false) => "-A INPUT -p ipv6-icmp -j ACCEPT\n-A OUTPUT -p ipv6-icmp -j ACCEPT\n",
            _ => "",
        };
        // In the text all chains come before the rules.
        let (chains, rules): (Vec<&str>, Vec<&str>) = rules.lines().partition(|line| line.starts_with(':'));
        let (chains, rules) = (chains.join("\n"), rules.join("\n"));
        let text = format!("*filter\n{builtin}{chains}\n{neighbours}{rules}\nCOMMIT\n{mangle}");
        let tool = backend.tool(family, "-restore");
        lab.host().command([tool.as_str()]).stdin(&text).succeed()?;
    }
    Ok(())
}

/// Every rule, every chain of other programs, and every policy that drops.
fn held(lab: &Lab, backend: Backend) -> Result<Vec<String>> {
    let lines = backend.all_saved(lab)?;
    let counts = |line: &String| {
        line.starts_with("-A ") || line.starts_with(':') && (line.ends_with(" DROP") || line.ends_with(" -"))
    };
    Ok(lines.into_iter().filter(counts).collect())
}

fn release(lab: &Lab) -> Result<()> {
    let output = tunwarden(lab, ["release", "--yes"])?;
    ensure!(output.status.success(), "release: {output:?}");
    Ok(())
}

fn every_firewall_is_given_back(backend: Backend, families: &[&str]) -> Result<()> {
    with_lab(|lab| {
        let ports = Ports::open(lab.host())?;
        let to = [format!("10.0.0.2:{SHUT}"), format!("[fd00:0:0:1::2]:{SHUT}")];
        let to = if families.contains(&FAMILIES[0]) { &to[0] } else { &to[1] };
        let flood = lab.isp().udp(to)?.flood(200)?;
        for (nth, variant) in VARIANTS.iter().enumerate() {
            let name = variant.name;
            set_up(lab, backend, variant, families).context(name)?;
            let before = held(lab, backend)?;
            // Reads the packets that arrived before these rules.
            flood.await_more(4)?;
            ports.received();
            backend.lock(lab, KNOWN).context(name)?;
            flood.await_more(4)?;
            // A second lock and a second release change none of this.
            if nth % 2 == 1 {
                backend.lock(lab, KNOWN).context(name)?;
            }
            release(lab).context(name)?;
            let after = held(lab, backend)?;
            ensure!(after == before, "{name}: {before:#?} became {after:#?}");
            flood.await_more(4)?;
            let came = ports.received();
            ensure!((came > 0) == variant.is_open, "{name}: {came} datagrams came in");
        }
        release(lab)?;
        flood.stop().map(drop)
    })
}

#[test]
fn every_firewall_is_given_back_with_nft() {
    every_firewall_is_given_back(Backend::Nft, &FAMILIES).unwrap();
}

#[test]
fn every_firewall_is_given_back_with_legacy() {
    every_firewall_is_given_back(Backend::Legacy, &FAMILIES).unwrap();
}

#[test]
fn a_firewall_of_ipv6_alone_is_given_back() {
    every_firewall_is_given_back(Backend::Nft, &FAMILIES[1..]).unwrap();
}

type Policies = [&'static str; 3];

/// A name, the policies of INPUT, FORWARD and OUTPUT, the changes while tunwarden's rules are in force, and the
/// policies after a release.
type Change = (&'static str, Policies, &'static [&'static str], Policies);

const CHANGES: [Change; 9] = [
    ("a flush of an open machine", OPEN, &["-F", "-X"], OPEN),
    ("a flush of a closed machine", SERVER, &["-F", "-X"], SERVER),
    ("INPUT is opened and the lock repairs it", SERVER, &["-P INPUT ACCEPT"], SERVER),
    (
        "an own firewall comes later",
        OPEN,
        &["-P INPUT DROP", "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"],
        INPUT,
    ),
    ("our jumps are removed", INPUT, &["-D INPUT -j RELATED_AND_ESTABLISHED"], INPUT),
    ("a rule jumps into our chain", OPEN, &["-A FORWARD -i wlan1 -j RELATED_AND_ESTABLISHED"], OPEN),
    ("a rule goes into our chain", SERVER, &["-A INPUT -p udp -g VPN_LAN"], SERVER),
    ("a chain of others jumps into ours", INPUT, &["-N MINE", "-A MINE -j OUTPUT_VPN_KILL_SWITCH"], INPUT),
    ("a rule of others stands before ours", SERVER, &["-I INPUT -p icmp -j ACCEPT"], SERVER),
];

const FORWARD: Policies = ["ACCEPT", "DROP", "ACCEPT"];

/// Changes that show who set the policy of FORWARD. Only iptables-nft shows this. No agent runs. A change that begins
/// with `*` is a text for iptables-restore; with `!` before it, the text replaces the table.
const OF_FORWARD: [Change; 10] = [
    ("another program closes FORWARD", OPEN, &["-P FORWARD DROP"], FORWARD),
    ("a restore closes FORWARD", OPEN, &["*filter\n:FORWARD DROP [0:0]\nCOMMIT\n"], FORWARD),
    ("a firewall replaces our rules", OPEN, &["!*filter\n:FORWARD DROP [0:0]\nCOMMIT\n"], FORWARD),
    ("the counters are set to zero", OPEN, &["-Z"], OPEN),
    ("the counters are listed and set to zero", OPEN, &["-L -v -Z"], OPEN),
    ("the counters of one chain are set to zero", OPEN, &["-Z FORWARD"], FORWARD),
    (
        "another program sets all policies",
        OPEN,
        &["-P INPUT DROP", "-P FORWARD DROP", "-P OUTPUT DROP"],
        OPEN,
    ),
    ("a flush leaves our policies", OPEN, &["-F", "-X"], OPEN),
    ("a flush with all counters at zero", OPEN, &["-F", "-X", "-Z"], OPEN),
    ("another program opens FORWARD again", OPEN, &["-P FORWARD DROP", "-P FORWARD ACCEPT"], OPEN),
];

fn apply(lab: &Lab, backend: Backend, family: &str, change: &str) -> Result<()> {
    match change.strip_prefix('!') {
        None if change.starts_with('*') => backend.restore(lab, family, change),
        None => backend.change(lab, family, change),
        Some(text) => {
            lab.host().command([backend.tool(family, "-restore").as_str()]).stdin(text).succeed().map(drop)
        }
    }
}

fn changes_under_the_lock(backend: Backend, all: &[Change]) -> Result<()> {
    with_lab(|lab| {
        for &(name, before, changes, expected) in all {
            set_up(lab, backend, &shut(name, before, ""), &FAMILIES)?;
            backend.lock(lab, KNOWN).context(name)?;
            for family in FAMILIES {
                for change in changes {
                    apply(lab, backend, family, change).context(name)?;
                }
            }
            if name.ends_with("repairs it") {
                backend.lock(lab, KNOWN)?;
            }
            release(lab).context(name)?;
            let found = super::policies(lab, backend)?;
            let [input, forward, output] = expected;
            for line in
                [format!("-P INPUT {input}"), format!("-P FORWARD {forward}"), format!("-P OUTPUT {output}")]
            {
                let count = found.iter().filter(|one| one.ends_with(&line)).count();
                ensure!(count == FAMILIES.len(), "{name}: not {line}: {found:?}");
            }
        }
        Ok(())
    })
}

#[test]
fn what_happens_under_the_lock_closes_and_opens_nothing_with_nft() {
    changes_under_the_lock(Backend::Nft, &[&CHANGES[..], &OF_FORWARD[..]].concat()).unwrap();
}

#[test]
fn what_happens_under_the_lock_closes_and_opens_nothing_with_legacy() {
    changes_under_the_lock(Backend::Legacy, &CHANGES).unwrap();
}

/// What this boot's record says about FORWARD, in IPv4 and IPv6.
fn recorded(lab: &Lab) -> Result<[Option<String>; 2]> {
    let record: serde_json::Value = serde_json::from_str(&lab.host().read("/run/tunwarden/policies.json")?)?;
    let of = |family: &str| record[family]["chains"]["FORWARD"].as_str().map(ToOwned::to_owned);
    Ok(["nft ipv4", "nft ipv6"].map(of))
}

#[test]
fn forward_that_another_program_closes_while_the_agent_runs_stays_closed() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let _agent = agent(lab, KNOWN)?;
        let is = |ipv4: &str, ipv6: &str| {
            wait_for("what another program wants of FORWARD", SOON, || {
                let wanted = [Some(ipv4.to_owned()), Some(ipv6.to_owned())];
                Ok((recorded(lab)? == wanted).then_some(()))
            })
        };
        is("bare", "bare")?;
        // A program that sets counters to zero closes nothing. The kernel reports this before the next change.
        Backend::Nft.change(lab, "iptables", "-Z")?;
        Backend::Nft.change(lab, "ip6tables", "-P FORWARD DROP")?;
        is("bare", "closed-since")?;
        // nft does not change the counters, and so not our mark in them.
        lab.host().succeed(["nft", "add chain ip filter FORWARD { policy drop; }"])?;
        is("closed-since", "closed-since")?;
        Backend::Nft.change(lab, "ip6tables", "-P FORWARD ACCEPT")?;
        is("closed-since", "open")?;
        // The agent's repair does not count as a policy of another program.
        wait_for("the repair", SOON, || {
            let policies = super::policies(lab, Backend::Nft)?;
            Ok(policies.iter().all(|line| line.ends_with("DROP")).then_some(()))
        })?;
        is("closed-since", "open")?;
        release(lab)?;
        let closed: Vec<String> =
            super::policies(lab, Backend::Nft)?.into_iter().filter(|line| line.ends_with("DROP")).collect();
        assert_eq!(closed, ["iptables -P FORWARD DROP"]);
        Ok(())
    })
}
