//! Why tunwarden refuses the packet of a question.

use super::{Question, SentBy};
use crate::model::contract::Contract;
use crate::model::proof::Machine;
use crate::net::PRIVATE;
use crate::vpn::Refusal;

/// Ports of DNS and of DNS over TLS.
const DNS: [u16; 2] = [53, 853];

impl Question {
    /// The reason, if a rule of tunwarden refuses the packet; `None` if nothing of the situation tells it.
    pub fn refusal(&self, machine: &Machine, contract: &Contract<'_>) -> Option<Refusal> {
        let (situation, to) = (contract.situation, self.destination);
        let leads_out =
            |name: &str| machine.uplinks.iter().chain(&machine.ports).any(|uplink| uplink == name);
        let is_container = matches!(self.from, SentBy::Bridge(_));
        let mut endpoints = situation.bootstrap.endpoints.keys();
        match self.interface() {
            // Only `input.allow` lets containers reach this machine.
            None if is_container => return Some(Refusal::Inbound),
            None => return None,
            Some(_) if to.is_multicast() => return Some(Refusal::Multicast),
            Some(link) if !leads_out(link) && is_container => return Some(Refusal::ContainerPolicy),
            Some(link) if !leads_out(link) => return Some(Refusal::NotThroughTunnel),
            Some(_) if DNS.contains(&self.port) => return Some(Refusal::DnsOutsideTunnel),
            Some(_) => {}
        }
        if endpoints.any(|server| server.address() == to && server.port().get() == self.port) {
            return Some(Refusal::NotVpnClient);
        }
        if PRIVATE.iter().any(|net| net.contains(&to)) {
            let mut prefixes = situation.uplinks.iter().flat_map(|uplink| &uplink.prefixes);
            return match (is_container, contract.config.lan.allow) {
                (true, _) => Some(Refusal::ContainerPolicy),
                (false, false) => Some(Refusal::LanOff),
                (false, true) if prefixes.any(|prefix| prefix.net().contains(&to)) => None,
                (false, true) => Some(Refusal::NotOnLink),
            };
        }
        let is_client =
            matches!(self.from, SentBy::Program(uid) if uid != 0 && contract.users.vpn.contains(&uid));
        let of_state = Refusal::of_state(situation.state, situation.pause_scope);
        Some(if is_client && of_state != Refusal::PausedPortal { Refusal::UnknownServer } else { of_state })
    }
}
