//! The packets that may go to VPN servers.

use std::net::IpAddr;

use ipnet::IpNet;

use super::packets::{UDP, to_endpoint, to_port};
use super::{Allowed, Contract};
use crate::model::layout::Field;
use crate::model::rule::Match;
use crate::net::{Endpoint, Family, Transport};
use crate::vpn::KernelPacket;

impl Contract<'_> {
    /// Packets to VPN servers, and the agent's questions for their names.
    pub(super) fn vpn_servers(&self, family: Family) -> Vec<Allowed> {
        let known = self.servers(family).into_iter();
        let mut allowed: Vec<Allowed> =
            known.map(|(endpoint, by)| [to_endpoint(endpoint), by].concat()).collect();
        if self.situation.bootstrap.any {
            for &(transport, port) in &self.config.bootstrap.ports {
                let to = to_port(transport, port.get());
                allowed.extend(self.users.vpn.iter().map(|&uid| [to.clone(), Match::user(uid)].concat()));
            }
        }
        for transport in [Transport::Udp, Transport::Tcp] {
            let to = |question: Allowed| [question, to_port(transport, 53)].concat();
            allowed.extend(self.questions(family).map(to));
        }
        allowed
    }

    /// Each known server, with the conditions that identify one of its permitted senders.
    fn servers(&self, family: Family) -> Vec<(&Endpoint, Allowed)> {
        let allowance = &self.situation.bootstrap;
        let mut servers = Vec::new();
        for (endpoint, users) in allowance.endpoints.iter().filter(|(one, _)| one.family() == family) {
            let users = users.iter().chain(&self.users.vpn);
            servers.extend(users.map(|&uid| (endpoint, Match::user(uid))));
        }
        for (endpoint, by) in allowance.kernel.iter().filter(|(one, _)| one.family() == family) {
            let mark = match by {
                KernelPacket::Marked(mark) => vec![Match::is(Field::Mark, mark.get().into())],
                KernelPacket::Any => Vec::new(),
            };
            servers.push((endpoint, mark));
        }
        servers
    }

    /// The agent's own questions for the names of servers, without their port.
    fn questions(&self, family: Family) -> impl Iterator<Item = Allowed> {
        let resolvers =
            self.situation.resolvers.iter().filter(move |&&address| Family::of(address) == family);
        resolvers.map(|&address| {
            let mark = Match::is(Field::Mark, self.situation.question_mark.get().into());
            [vec![Match::to(&IpNet::from(address)), mark], Match::user(0)].concat()
        })
    }

    /// A large packet to a server is sent in fragments. Only the first fragment has the port.
    pub(super) fn later_fragments(&self, family: Family) -> Vec<Allowed> {
        let fragment = vec![Match::protocol(UDP), Match::later_fragment(family)];
        let to = |address: IpAddr| [vec![Match::to(&IpNet::from(address))], fragment.clone()].concat();
        let known = self.servers(family).into_iter();
        let mut allowed: Vec<Allowed> =
            known.map(|(endpoint, by)| [to(endpoint.address()), by].concat()).collect();
        allowed.extend(self.questions(family).map(|question| [question, fragment.clone()].concat()));
        allowed
    }
}
