//! Why tunwarden refuses the packet.

use super::{Question, SentBy};
use crate::config::Access;
use crate::model::contract::Contract;
use crate::model::proof::Machine;
use crate::net::is_group;
use crate::vpn::{FromProgram, Refusal, RefusalFacts, RefusalReason};

/// Ports of DNS and of DNS over TLS.
const DNS: [u16; 2] = [53, 853];

impl Question {
    /// The reason, if a rule of tunwarden refuses the packet; `None` if the situation does not show it.
    pub fn refusal(&self, machine: &Machine, contract: &Contract<'_>) -> Option<RefusalReason> {
        let (situation, to) = (contract.situation, self.destination);
        let leads_out =
            |name: &str| machine.uplinks.iter().chain(&machine.ports).any(|uplink| uplink == name);
        let is_tunnel = |name: &str| machine.tunnels.iter().any(|tunnel| tunnel == name);
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
        let facts = RefusalFacts::new(contract.config, situation, contract.users.vpn.clone());
        let refusal = match self.interface() {
            _ if matches!(self.from, SentBy::Raw(..)) => Refusal::RawFrame,
            // Only `input.allow` lets containers reach this machine.
            None if is_container => Refusal::Inbound,
            None => return None,
            Some(link) if has_own_policy(leads_out(link)) => Refusal::ContainerPolicy,
            Some(_) if is_group(to) && is_container => {
                return Some(RefusalReason::without_key(Refusal::Multicast));
            }
            Some(_) if is_group(to) => return Some(facts.of_group(to, self.protocol, Some(self.port))),
            Some(link) if is_tunnel(link) && is_container => Refusal::ContainerNotThroughTunnel,
            Some(link) if is_tunnel(link) => Refusal::NotThroughTunnel,
            Some(link) if is_dns && leads_out(link) => Refusal::DnsOutsideTunnel,
            Some(_) => return Some(self.outside(contract, &facts)),
        };
        Some(refusal.into())
    }

    /// Why it is refused outside the tunnels, to one machine.
    fn outside(&self, contract: &Contract<'_>, facts: &RefusalFacts) -> RefusalReason {
        let situation = contract.situation;
        let of_state = Refusal::of_state(situation.state, situation.pause_scope);
        let to = self.destination;
        let uid = match self.from {
            SentBy::Bridge(_) => return facts.of_forwarded(of_state, to),
            SentBy::Program(uid) | SentBy::Raw(uid, _) => Some(uid),
        };
        facts.of_program(of_state, &FromProgram { to, protocol: self.protocol, port: Some(self.port), uid })
    }
}
