//! The rules of the policy, read back as the kernel would list them, and compared with the contract.

mod many;
mod mutants;
mod solver;
mod transitions;
mod weaker;

use super::*;
use crate::config::{Config, Layer};
use crate::model::{Contract, Counterexample, LinkFacts, Machine, Message, Outcome, Prover, Sender, Users};
use crate::net::LanPrefix;
use crate::netfilter::encode::Transaction;
use crate::netfilter::listing::take;
use crate::policy::nftables::{Found, tables};
use crate::policy::{Owners, Ruleset, Table, ruleset};
use crate::vpn::{Allowance, LinkKind, PauseScope, Situation, State, TunnelAddress, Uplink, Wire};

const NOW: i64 = 1_800_000_000;

const SERVER: &str = "198.51.100.7:1194/udp";

/// A machine on a LAN, with a card that has a tunnel's name.
fn locked() -> Situation {
    let server = |text: &str| (text.parse().unwrap(), [65534].into());
    let prefixes = ["10.0.0.0/24", "fd00:0:0:1::/64", "fe80::/10"];
    Situation {
        bootstrap: Allowance {
            endpoints: [server(SERVER), server("[2001:db8:7::7]:443/tcp")].into(),
            ..Allowance::default()
        },
        resolvers: ["10.0.0.1".parse().unwrap()].into(),
        uplinks: vec![Uplink {
            interface: "eth0".parse().unwrap(),
            addresses: ["10.0.0.2", "fd00:0:0:1::2"].map(|own| own.parse().unwrap()).to_vec(),
            prefixes: prefixes.map(|prefix| prefix.parse::<LanPrefix>().unwrap()).to_vec(),
            on_link: ["2001:db8:1::/64", "fd00:0:0:1::/64"].map(|net| net.parse().unwrap()).to_vec(),
        }],
        wires: vec![
            Wire { interface: "eth0".parse().unwrap(), index: 2 },
            Wire { interface: "tunusb0".parse().unwrap(), index: 3 },
        ],
        shut_out: vec!["tunusb0".parse().unwrap()],
        ..Situation::default()
    }
}

fn protected() -> Situation {
    let tunnel = TunnelAddress { interface: "tun0".parse().unwrap(), address: "10.8.0.2".parse().unwrap() };
    let bootstrap =
        Allowance { endpoints: [(SERVER.parse().unwrap(), [113].into())].into(), ..Allowance::default() };
    Situation { state: State::Protected, tunnel_addresses: vec![tunnel], bootstrap, ..locked() }
}

fn portal() -> Situation {
    let portal_uplinks = vec!["eth0".parse().unwrap()];
    let until = "2030-01-02T03:04:05Z".parse().ok();
    let (state, pause_scope) = (State::Paused, PauseScope::Portal);
    Situation { state, paused_until: until, pause_scope, portal_uplinks, ..locked() }
}

fn machine() -> Machine {
    let links = [
        ("lo", LinkKind::Loopback),
        ("eth0", LinkKind::Other),
        ("tunusb0", LinkKind::Other),
        ("tun0", LinkKind::Tunnel),
        ("docker0", LinkKind::Bridge),
        ("br-lan", LinkKind::Bridge),
    ];
    Machine {
        links: links.map(|(name, kind)| LinkFacts { name: name.to_owned(), kind }).to_vec(),
        uplinks: vec!["eth0".to_owned(), "tunusb0".to_owned()],
        now: NOW,
        ..Machine::default()
    }
}

/// A table as `iptables-save` prints it.
fn saved(table: &Table) -> String {
    let mut lines = vec![format!("*{}", table.name.as_str())];
    let built_in = ["INPUT", "FORWARD", "OUTPUT"];
    let drops = |chain: &str| table.dropping.iter().any(|dropping| dropping.as_str() == chain);
    lines.extend(
        built_in.map(|chain| format!(":{chain} {} [0:0]", if drops(chain) { "DROP" } else { "ACCEPT" })),
    );
    lines.push(":DOCKER-USER - [0:0]".to_owned());
    lines.extend(table.chains.iter().map(|chain| format!(":{} - [0:0]", chain.name)));
    let jumps = table.jumps.iter().chain(&table.last);
    lines.extend(jumps.map(|(from, to)| format!("-A {} -j {to}", from.as_str())));
    for chain in &table.chains {
        lines.extend(chain.rules.iter().map(|rule| format!("-A {} {rule}", chain.name)));
    }
    lines.push("COMMIT\n".to_owned());
    lines.join("\n")
}

/// What is read of a machine that holds these rules.
fn listing(ruleset: &Ruleset, layers: &[Layer]) -> Listing {
    let mut listing = Listing::default();
    if layers.contains(&Layer::Iptables) {
        for family in Family::ALL {
            let text = ruleset.family(family).iter().map(saved).collect();
            // Tables that nf_tables does not describe stand by themselves, as those of iptables-legacy.
            listing.legacy.push(Saved { family, text });
        }
        listing.sets = crate::policy::iptables::set::render_all(ruleset);
    }
    if layers.contains(&Layer::Nftables) {
        for table in tables(ruleset) {
            let mut transaction = Transaction::default();
            transaction.replace(&table, Found::Absent);
            let mut messages: Vec<Message> = Vec::new();
            take(&mut messages, &transaction.into_bytes()).unwrap();
            // Each transaction counts its own sets.
            listing.nft.extend(messages);
        }
    }
    listing
}

const BOTH: [Layer; 2] = [Layer::Iptables, Layer::Nftables];

fn owners() -> Owners {
    Owners { bootstrap: [0, 113].into(), leases: [998].into() }
}

fn judge(listing: &Listing, config: &Config, situation: &Situation) -> Outcome {
    judge_on(listing, (config, situation), &machine(), &Family::ALL)
}

fn judge_on(
    listing: &Listing,
    ends: (&Config, &Situation),
    machine: &Machine,
    families: &[Family],
) -> Outcome {
    judge_by(&mut Prover::default(), listing, ends, machine, families)
}

/// The same, with what an earlier proof has computed.
fn judge_by(
    prover: &mut Prover,
    listing: &Listing,
    (config, situation): (&Config, &Situation),
    machine: &Machine,
    families: &[Family],
) -> Outcome {
    prover.prove(&read_back(listing, families), machine, &contract(config, situation, &users())).outcome
}

fn read_back(listing: &Listing, families: &[Family]) -> Vec<(Family, Rules)> {
    families.iter().map(|&family| (family, listing.rules(family).unwrap())).collect()
}

fn users() -> Users {
    let Owners { bootstrap: vpn, leases: dhcp } = owners();
    Users { vpn, dhcp }
}

fn contract<'a>(config: &'a Config, situation: &'a Situation, users: &'a Users) -> Contract<'a> {
    Contract { config, situation, now: NOW, users }
}

fn config(text: &str) -> Config {
    Config::parse(text, "test.toml").unwrap()
}

fn of(config: &Config, situation: &Situation) -> Ruleset {
    ruleset(config, &owners(), situation)
}

/// What leaves of packets that the protocols send. Without the second layer, raw senders pass.
fn of_protocols(outcome: Outcome) -> Vec<Counterexample> {
    let Outcome::Leaves(found) = outcome else { return Vec::new() };
    found.into_iter().filter(|one| matches!(one.sender, Sender::Local | Sender::Forwarded)).collect()
}

const CONFIGURED: &str = "
    [lan]
    services = [\"ws-discovery\", \"localsend\", \"kde-connect\", \"wake-on-lan\"]
    [input]
    allow = [{ protocol = \"tcp\", ports = [22], from = \"10.0.0.0/8\" }, { protocol = \"icmp\" }]
";

#[test]
fn the_rules_of_every_state_are_proven_and_either_layer_alone_stops_the_protocols() {
    let closed = "[lan]\nallow = false\n";
    for (text, situation) in
        [("", locked()), (CONFIGURED, protected()), (closed, portal()), ("", Situation::default())]
    {
        let config = config(text);
        let ruleset = of(&config, &situation);
        let is_known = !situation.wires.is_empty();
        if is_known {
            let both = listing(&ruleset, &BOTH);
            assert_eq!(judge(&both, &config, &situation), Outcome::Proven, "{text} {:?}", situation.state);
        }
        for layer in BOTH {
            let found = of_protocols(judge(&listing(&ruleset, &[layer]), &config, &situation));
            // iptables takes a card with a tunnel's name for a tunnel. The agent shuts such a card out.
            let found = found.iter().find(|one| is_known || one.interface != "tunusb0");
            assert_eq!(found, None, "{text} {:?} {layer}", situation.state);
        }
    }
}

#[test]
fn without_rules_everything_leaves_and_an_empty_listing_is_no_proof() {
    let (config, situation) = (Config::default(), locked());
    let Outcome::Leaves(found) = judge(&Listing::default(), &config, &situation) else { panic!("proven") };
    assert_eq!(found[0].destination, "203.0.113.77".parse().ok());
    assert!(found.iter().any(|one| one.interface == "any other link"), "{found:?}");
}

#[test]
fn a_rule_of_another_program_is_named_where_both_layers_let_it_pass() {
    let (config, situation) = (Config::default(), locked());
    let ruleset = of(&config, &situation);
    let open = |layers: &[Layer], rule: &str| {
        let mut listing = listing(&ruleset, layers);
        let text = &mut listing.legacy[0].text;
        *text = text.replacen("-A OUTPUT -j", &format!("-A OUTPUT {rule}\n-A OUTPUT -j"), 1);
        judge(&listing, &config, &situation)
    };
    let rule = "-d 192.0.2.9/32 -p tcp -m tcp --dport 25 -j ACCEPT";
    assert_eq!(open(&BOTH, rule), Outcome::Proven, "the second layer refuses it");
    let found = of_protocols(open(&[Layer::Iptables], rule));
    assert_eq!(found[0].destination, "192.0.2.9".parse().ok(), "{}", found[0]);
    assert_eq!((found[0].protocol, found[0].destination_port), (Some(6), Some(25)));
    assert_eq!(found[0].decided_by.as_ref().map(|decision| decision.rule.as_str()), Some(rule));
    assert!(
        found[0].remedy().contains("iptables -t filter -D OUTPUT -d 192.0.2.9/32"),
        "{}",
        found[0].remedy()
    );
}

#[test]
fn what_is_unknown_can_make_no_proof_and_stops_none() {
    let (config, situation) = (Config::default(), locked());
    let ruleset = of(&config, &situation);
    let mut protocols = machine();
    // A raw sender passes beneath iptables, so these look at the protocols alone.
    protocols.uplinks.clear();
    let open = |rule: &str| {
        let mut listing = listing(&ruleset, &[Layer::Iptables]);
        let text = &mut listing.legacy[0].text;
        *text = text.replacen("-A OUTPUT -j", &format!("-A OUTPUT {rule}\n-A OUTPUT -j"), 1);
        judge_on(&listing, (&config, &situation), &protocols, &[Family::V4])
    };
    assert_eq!(open("-m limit --limit 1/sec -j LOG"), Outcome::Proven);
    assert_eq!(open("-m string --string x --algo bm -j DROP"), Outcome::Proven);
    let Outcome::NotShown(why) = open("-m string --string x --algo bm -j ACCEPT") else { panic!("shown") };
    assert!(why[0].contains("-m string"), "{why:?}");
    let Outcome::NotShown(why) = open("-j NFQUEUE --queue-num 1") else { panic!("shown") };
    assert!(why[0].contains("-j NFQUEUE"), "{why:?}");
}

#[test]
fn a_pause_is_no_proof_and_a_pause_that_has_ended_opens_nothing() {
    let config = Config::default();
    let pause = |until: &str| Situation { paused_until: until.parse().ok(), ..locked() };
    let open = pause("2030-01-02T03:04:05Z");
    assert!(matches!(judge(&listing(&of(&config, &open), &BOTH), &config, &open), Outcome::NotShown(_)));
    // The agent has ended, and the rules of the pause are still there.
    let held = listing(&of(&config, &open), &BOTH);
    assert!(matches!(judge(&held, &config, &locked()), Outcome::Leaves(_)), "the control");
    let ended = listing(&of(&config, &pause("2020-01-02T03:04:05Z")), &BOTH);
    assert_eq!(judge(&ended, &config, &locked()), Outcome::Proven);
}

#[test]
fn a_loop_or_a_table_that_is_switched_off_is_no_proof() {
    let (config, situation) = (Config::default(), locked());
    let mut round = listing(&of(&config, &situation), &BOTH);
    let text = &mut round.legacy[0].text;
    *text = text.replacen("-A VPN_OWNER", "-A VPN_OWNER -j VPN_BOOTSTRAP\n-A VPN_OWNER", 1);
    let Outcome::NotShown(why) = judge(&round, &config, &situation) else { panic!("shown") };
    assert!(why[0].contains("leads to itself"), "{why:?}");

    let mut dormant = listing(&of(&config, &situation), &[Layer::Nftables]);
    for table in dormant.nft.iter_mut().filter(|message| message.kind == 0) {
        // NFTA_TABLE_FLAGS is the last attribute.
        let last = table.body.len() - 1;
        table.body[last] = 1;
    }
    assert!(matches!(judge(&dormant, &config, &situation), Outcome::Leaves(_)));
}

/// The rules of Docker, ufw and libvirt for this number of networks, in front of the rules of `text`.
fn with_other_programs(text: &str, networks: usize) -> String {
    let chains = [
        "DOCKER",
        "DOCKER-FORWARD",
        "DOCKER-ISOLATION-STAGE-1",
        "DOCKER-ISOLATION-STAGE-2",
        "LIBVIRT_FWI",
        "LIBVIRT_FWO",
        "ufw-before-output",
        "ufw-user-output",
        "ufw-before-forward",
        "ufw-logging-deny",
    ];
    let mut lines: Vec<String> = chains.map(|chain| format!(":{chain} - [0:0]")).to_vec();
    lines.extend(
        [
            "-A OUTPUT -j ufw-before-output",
            "-A ufw-before-output -o lo -j ACCEPT",
            "-A ufw-before-output -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            "-A ufw-before-output -j ufw-user-output",
            "-A ufw-user-output -p tcp -m tcp --dport 443 -m conntrack --ctstate NEW -j ACCEPT",
            "-A ufw-before-output -m limit --limit 3/min --limit-burst 10 -j ufw-logging-deny",
            "-A ufw-logging-deny -j LOG --log-prefix \"[UFW BLOCK] \"",
            "-A FORWARD -j ufw-before-forward",
            "-A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            "-A FORWARD -j DOCKER-USER",
            "-A FORWARD -j DOCKER-FORWARD",
            "-A FORWARD -j LIBVIRT_FWI",
            "-A FORWARD -j LIBVIRT_FWO",
            "-A DOCKER-FORWARD -j DOCKER-ISOLATION-STAGE-1",
        ]
        .map(ToOwned::to_owned),
    );
    for n in 0..networks {
        let net = format!("172.{}.{}.0/24", 16 + n / 256, n % 256);
        lines.extend([
            format!("-A DOCKER-FORWARD -o br-{n} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"),
            format!("-A DOCKER-FORWARD -o br-{n} -j DOCKER"),
            format!("-A DOCKER-FORWARD -i br-{n} -j ACCEPT"),
            format!("-A DOCKER-ISOLATION-STAGE-1 -i br-{n} ! -o br-{n} -j DOCKER-ISOLATION-STAGE-2"),
            format!("-A DOCKER-ISOLATION-STAGE-2 -o br-{n} -j DROP"),
            format!("-A DOCKER -d {net} ! -i br-{n} -o br-{n} -p tcp -m tcp --dport 80 -j ACCEPT"),
            format!("-A LIBVIRT_FWO -s {net} -i virbr{n} -j ACCEPT"),
            format!(
                "-A LIBVIRT_FWI -d {net} -o virbr{n} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
            ),
        ]);
    }
    text.replacen("-A OUTPUT -j", &format!("{}\n-A OUTPUT -j", lines.join("\n")), 1)
}

#[test]
fn a_machine_with_two_hundred_networks_is_proven_and_what_others_would_open_is_named() {
    let (config, situation) = (Config::default(), locked());
    let ruleset = of(&config, &situation);
    let mut held = listing(&ruleset, &BOTH);
    held.legacy[0].text = with_other_programs(&held.legacy[0].text, 200);
    let mut machine = machine();
    for n in 0..200 {
        let kind = LinkKind::Bridge;
        machine.links.push(LinkFacts { name: format!("br-{n}"), kind });
    }
    machine.uplinks.truncate(1);
    let outcome = |held: &Listing| judge_on(held, (&config, &situation), &machine, &[Family::V4]);
    assert_eq!(outcome(&held), Outcome::Proven);
    held.nft.clear();
    let found = of_protocols(outcome(&held));
    let whose: Vec<Option<&str>> = found.iter().map(Counterexample::whose).collect();
    assert!(whose.contains(&Some("ufw")), "{whose:?}");
}
