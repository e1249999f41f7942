//! Why tunwarden refuses the packet of a question.

use super::{Question, SentBy};
use crate::config::Access;
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
        let is_dns = DNS.contains(&self.port);
        let of_bridge =
            |name: &String| situation.networks.iter().find(|network| network.bridge.as_str() == name);
        let network = match &self.from {
            SentBy::Bridge(name) => of_bridge(name),
            SentBy::Program(_) => None,
        };
        // The rules ask for the policy of the network first, except for DNS of a network that has the LAN.
        let has_own_policy = |leads_out: bool| match network.map(|network| network.access) {
            Some(Access::None) => true,
            Some(Access::Lan) => !(leads_out && is_dns),
            Some(Access::Tunnel) | None => false,
        };
        let mut endpoints = situation.bootstrap.endpoints.keys();
        match self.interface() {
            // Only `input.allow` lets containers reach this machine.
            None if is_container => return Some(Refusal::Inbound),
            None => return None,
            Some(link) if has_own_policy(leads_out(link)) => return Some(Refusal::ContainerPolicy),
            Some(_) if to.is_multicast() => return Some(Refusal::Multicast),
            Some(link) if !leads_out(link) && is_container => {
                return Some(Refusal::ContainerNotThroughTunnel);
            }
            Some(link) if !leads_out(link) => return Some(Refusal::NotThroughTunnel),
            Some(_) if is_dns => return Some(Refusal::DnsOutsideTunnel),
            Some(_) => {}
        }
        let is_server = endpoints.any(|server| server.address() == to && server.port().get() == self.port);
        if is_server && !is_container {
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
        let of_state = if is_container { of_state.of_forwarded() } else { of_state };
        Some(if is_client && of_state != Refusal::PausedPortal { Refusal::UnknownServer } else { of_state })
    }
}
