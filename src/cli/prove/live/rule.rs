//! Finds the rule that refuses a probe, with the same model as `why`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::super::why::route_of;
use super::super::Read;
use super::origin::{Attachment, Container};
use super::probe::{How, Probe};
use crate::config::Config;
use crate::model::{Contract, Decision, Question, SentBy, Verdict, Way};
use crate::net::Family;
use crate::sources::links::{Asked, Sender};
use crate::vpn::Link;

/// The EtherType of ARP.
pub(super) const ARP: u16 = 0x0806;
/// For a socket in another network namespace, no rule about its user matches. No rule names this user id.
const NO_USER: u32 = u32::MAX - 1;

/// The rule that refuses a probe; `None` if the model says that no rule does, or does not know.
pub(super) async fn refusing(probe: &Probe, read: &Read, config: &Config) -> Option<Decision> {
    let question = asked(probe, read).await?;
    let rules = &read.rules.iter().find(|(family, _)| *family == probe.family())?.1;
    let answer = question.answer(rules, &read.machine, &contract(read, config));
    answer.decided_by.filter(|_| answer.verdict == Verdict::Refused)
}

/// Whether the contract lists such a packet on this link.
pub(super) fn is_listed(probe: &Probe, link: &str, read: &Read, config: &Config) -> bool {
    // No container is a VPN client or in the LAN.
    if probe.origin.card().is_some() {
        return false;
    }
    let (How::Udp | How::Tcp) = probe.how else { return false };
    let rules = read.rules.iter().find(|(of, _)| *of == probe.family());
    let (Some((_, rules)), Some(own)) = (rules, own(read, link, probe.family())) else { return false };
    let way = Way::Out(link.to_owned(), Some(own));
    let answer = question(probe, way, own).answer(rules, &read.machine, &contract(read, config));
    matches!(answer.verdict, Verdict::Lan | Verdict::Server)
}

fn contract<'a>(read: &'a Read, config: &'a Config) -> Contract<'a> {
    let Read { machine, situation, users, .. } = read;
    Contract { config, situation, now: machine.now, users }
}

/// The probe as a question for the model, with its route: the link to which it is bound, or the kernel's choice.
async fn asked(probe: &Probe, read: &Read) -> Option<Question> {
    let family = probe.family();
    if let Some(card) = probe.origin.card() {
        let source = container_address(probe)?;
        return Some(question(probe, Way::Out(card.to_string(), None), source));
    }
    if let Some(link) = &probe.on {
        let own = own(read, link, family);
        return Some(question(probe, Way::Out(link.clone(), own), own.unwrap_or(unspecified(family))));
    }
    let sender = match &probe.origin.container {
        None => Sender::User(probe.origin.user, None),
        Some(Container { attachment: Attachment::Bridge(bridge), .. }) => {
            let bridge = read.links.links.iter().find(|link| link.name == bridge.as_str())?;
            Sender::Bridge(container_address(probe)?, bridge.index)
        }
        Some(Container { attachment: Attachment::Card(_), .. }) => return None,
    };
    let (destination, port) = (probe.to.ip(), probe.to.port());
    let asked = Asked { destination, protocol: probe.protocol(), port, sender };
    let (way, chosen) = route_of(asked, &read.links).await.ok()?;
    Some(question(probe, way, chosen.unwrap_or(unspecified(family))))
}

fn question(probe: &Probe, way: Way, own: IpAddr) -> Question {
    let (family, user) = (probe.family(), probe.origin.user);
    let is_frame = !probe.how.is_routed();
    let called = if probe.how == How::FrameAsArp { ARP } else { family.ethertype() };
    let from = match &probe.origin.container {
        Some(Container { attachment: Attachment::Bridge(bridge), .. }) => SentBy::Bridge(bridge.to_string()),
        Some(Container { attachment: Attachment::Card(_), .. }) => SentBy::Raw(NO_USER, called),
        None if is_frame => SentBy::Raw(user, called),
        None => SentBy::Program(user),
    };
    let source = if is_frame { unspecified(family) } else { container_address(probe).unwrap_or(own) };
    let (destination, port) = (probe.to.ip(), probe.to.port());
    Question { from, source, destination, protocol: probe.protocol(), port, way, first: None, then: None }
}

/// The address that a container sends from.
fn container_address(probe: &Probe) -> Option<IpAddr> {
    let container = probe.origin.container.as_ref()?;
    container.addresses.iter().copied().find(|address| Family::of(*address) == probe.family())
}

/// An address of this link, of this family.
fn own(read: &Read, link: &str, family: Family) -> Option<IpAddr> {
    let own = read.links.links.iter().filter(|found| found.name == link).flat_map(Link::own_addresses);
    own.into_iter().find(|own| Family::of(*own) == family)
}

fn unspecified(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
        Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
    }
}
