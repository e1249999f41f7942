//! Only frames of the kernel's own PPPoE session may leave: on its wire, with its session number, to its server. This
//! kernel has no PPPoE, so the test makes the rules from a situation that has a session, and a raw sender forges the
//! frames.

use anyhow::{Result, ensure};
use tunwarden::config::Config;
use tunwarden::policy::nftables::render_fresh;
use tunwarden::policy::{Owners, ruleset};
use tunwarden::vpn::{PppoeSession, Situation, Wire};
use tunwarden_lab::forged::{ethernet_to, packet, ports};
use tunwarden_lab::{Lab, TAG_MARK, Uplink, with_lab};

const DISCOVERY: u16 = 0x8863;
const SESSION: u16 = 0x8864;

/// Protocols of PPP: one that sets up the link, one that sets up IPv4, and IPv4.
const LCP: u16 = 0xc021;
const IPCP: u16 = 0x8021;
const IPV4: u16 = 0x0021;

const SERVER: [u8; 6] = [2, 0, 0, 0, 0, 0x17];
const OTHER: [u8; 6] = [2, 0, 0, 0, 0, 0x18];
const ID: u16 = 0x0102;

/// Links of PPP. The laboratory's kernel has no such kind, so bridges have their names.
const LINKS: &str = "link add dsl0 type bridge\nlink add vpn0 type bridge\n";

/// A frame on one of the wires.
#[derive(Clone, Copy)]
struct Pppoe {
    wire: &'static str,
    ethertype: u16,
    to: [u8; 6],
    id: u16,
    protocol: u16,
}

/// The session's own frame.
const OWN: Pppoe = Pppoe { wire: "eth0", ethertype: SESSION, to: SERVER, id: ID, protocol: IPV4 };

impl Pppoe {
    /// Sends the frame with a packet to the internet inside.
    fn send(self, lab: &Lab, tag: &str) -> Result<()> {
        let inside =
            packet("203.0.113.9".parse()?, 17, 64, &ports(4000, format!("{TAG_MARK}{tag}").as_bytes()));
        let length = u16::try_from(inside.len() + 2)?;
        let numbers = [0x1100, self.id, length, self.protocol].map(u16::to_be_bytes).concat();
        let frame = ethernet_to(self.to, self.ethertype, &[numbers, inside].concat());
        lab.host().forge(self.wire, self.ethertype, &frame, 1).map(drop)
    }
}

/// Which of these frames leave.
fn leave(lab: &Lab, frames: &[Pppoe]) -> Result<Vec<bool>> {
    let capture = lab.capture()?;
    let tag = |n: usize| format!("pppoe-{n:03}-");
    for (n, frame) in frames.iter().enumerate() {
        frame.send(lab, &tag(n))?;
    }
    let seen = capture.stop()?;
    Ok((0..frames.len()).map(|n| seen.iter().any(|frame| frame.is_tagged(&tag(n)))).collect())
}

/// Puts the rules of a situation in force.
fn rule(lab: &Lab, links: &[&str], wires: &[&str], has_session: bool) -> Result<()> {
    let wire = |name: &&str| Ok(Wire { interface: name.parse()?, index: 2 });
    let session = PppoeSession { interface: "eth0".parse()?, id: ID, peer: SERVER };
    let situation = Situation {
        wires: wires.iter().map(wire).collect::<Result<_>>()?,
        ppp_links: links.iter().map(|link| link.parse()).collect::<Result<_, _>>()?,
        pppoe: has_session.then_some(session).into_iter().collect(),
        ..Situation::default()
    };
    let rules = render_fresh(&ruleset(&Config::default(), &Owners::from([0]), &situation));
    lab.host().command(["nft", "-f", "-"]).stdin(&rules).succeed().map(drop)
}

#[test]
fn only_the_kernel_s_own_session_leaves_and_only_on_its_own_wire_to_its_own_server() -> Result<()> {
    let foreign = [
        Pppoe { wire: "eth1", ..OWN },
        Pppoe { wire: "eth1", protocol: LCP, ..OWN },
        Pppoe { to: OTHER, ..OWN },
        Pppoe { to: OTHER, protocol: LCP, ..OWN },
        Pppoe { to: [255; 6], protocol: LCP, ..OWN },
        Pppoe { id: ID.swap_bytes(), ..OWN },
        Pppoe { id: 0, protocol: LCP, ..OWN },
        Pppoe { ethertype: DISCOVERY, ..OWN },
        Pppoe { ethertype: DISCOVERY, protocol: LCP, ..OWN },
        // Compressed packets: no rule has checked their content.
        Pppoe { protocol: 0x00fd, ..OWN },
    ];
    let set_up = [LCP, IPCP].map(|protocol| Pppoe { protocol, ..OWN });
    let packets = [OWN, Pppoe { protocol: 0x0057, ..OWN }];
    with_lab(|lab| {
        lab.add_uplink(Uplink::numbered("eth1", 1))?;
        lab.host().command(["ip", "-batch", "-"]).stdin(LINKS).succeed()?;
        let all = [&foreign[..], &set_up, &packets].concat();
        ensure!(leave(lab, &all)?.iter().all(|left| *left), "the control: {:?}", leave(lab, &all)?);
        let cards = ["eth0", "eth1"];
        let up = ["eth0", "eth1", "dsl0"];
        for (what, links, wires, has_session, opens) in [
            ("the line is up", &["dsl0"][..], &up[..], true, [true, true]),
            ("the line comes up", &["dsl0"], &cards, true, [true, false]),
            ("the line, and a VPN by PPP", &["dsl0", "vpn0"], &up, true, [true, true]),
            ("a VPN by PPP alone", &["vpn0"], &cards, false, [false, false]),
            ("a link of PPP that is no PPPoE", &["dsl0"], &up, false, [false, false]),
        ] {
            rule(lab, links, wires, has_session)?;
            let left = leave(lab, &all)?;
            let expected = [&[false; 10][..], &[opens[0]; 2], &[opens[1]; 2]].concat();
            ensure!(left == expected, "{what}: {left:?}, not {expected:?}");
        }
        Ok(())
    })
}

/// Frames of the search for a server: its name, the EtherType, the code, the session's number, and whether it leaves.
const SEARCH: [(&str, u16, u16, u16, bool); 6] = [
    ("padi", DISCOVERY, 0x1109, 0, true),
    ("padr", DISCOVERY, 0x1119, 0, true),
    ("padt", DISCOVERY, 0x11a7, ID, true),
    ("pado", DISCOVERY, 0x1107, 0, false),
    ("padr-numbered", DISCOVERY, 0x1119, ID, false),
    ("padi-in-session", SESSION, 0x1109, 0, false),
];

#[test]
fn the_search_for_a_server_leaves_on_every_wire_and_nothing_else_as_one() -> Result<()> {
    with_lab(|lab| {
        lab.add_uplink(Uplink::numbered("eth1", 1))?;
        let left = |wire: &str| {
            let capture = lab.capture()?;
            for (name, ethertype, code, id, _) in SEARCH {
                let numbers = [code, id, 17, 0x0101].map(u16::to_be_bytes).concat();
                let mark = format!("{TAG_MARK}{name}!");
                let frame = ethernet_to(SERVER, ethertype, &[&numbers[..], mark.as_bytes()].concat());
                lab.host().forge(wire, ethertype, &frame, 1)?;
            }
            let seen = capture.stop()?;
            let left = |name: &str| seen.iter().any(|frame| frame.is_tagged(&format!("{name}!")));
            Ok::<_, anyhow::Error>(SEARCH.map(|(name, ..)| left(name)))
        };
        for wire in ["eth0", "eth1"] {
            ensure!(left(wire)? == [true; 6], "the control: {:?}", left(wire)?);
        }
        rule(lab, &[], &["eth0", "eth1"], false)?;
        for wire in ["eth0", "eth1"] {
            let (left, expected) = (left(wire)?, SEARCH.map(|(.., leaves)| leaves));
            ensure!(left == expected, "{wire}: {left:?}");
        }
        Ok(())
    })
}
