//! Why tunwarden refuses the packet.

use super::{Question, SentBy};
use crate::config::Access;
use crate::model::contract::Contract;
use crate::model::proof::Machine;
use crate::net::is_private;
use crate::vpn::{FromProgram, Refusal};

/// Ports of DNS and of DNS over TLS.
const DNS: [u16; 2] = [53, 853];

impl Question {
    /// The reason, if a rule of tunwarden refuses the packet; `None` if the situation does not show it.
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
            SentBy::Program(_) | SentBy::Raw(..) => None,
        };
        // The rules check the policy of the network first. Only for DNS of a network that may reach the LAN, they check
        // DNS first.
        let has_own_policy = |leads_out: bool| match network.map(|network| network.access) {
            Some(Access::None) => true,
            Some(Access::Lan) => !(leads_out && is_dns),
            Some(Access::Tunnel) | None => false,
        };
        match self.interface() {
            _ if matches!(self.from, SentBy::Raw(..)) => return Some(Refusal::RawFrame),
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
        let of_state = Refusal::of_state(situation.state, situation.pause_scope);
        let uid = match self.from {
            SentBy::Bridge(_) if is_private(&to.into()) => return Some(Refusal::ContainerPolicy),
            SentBy::Bridge(_) => return Some(of_state.of_forwarded()),
            SentBy::Program(uid) | SentBy::Raw(uid, _) => Some(uid),
        };
        let mut endpoints = situation.bootstrap.endpoints.keys();
        let to_server = endpoints.any(|server| server.address() == to && server.port().get() == self.port);
        let (owners, lan) = (&contract.users.vpn, contract.config.lan.allow);
        let refusal = of_state.of_program(&FromProgram { to, to_server, uid, owners, lan });
        let mut prefixes = situation.uplinks.iter().flat_map(|uplink| &uplink.prefixes);
        let is_on_link = refusal == Refusal::NotOnLink && prefixes.any(|prefix| prefix.net().contains(&to));
        (!is_on_link).then_some(refusal)
    }
}
