//! How the messages on management sockets change the claims.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::Claims;
use crate::net::{Endpoint, IfName, Port};
use crate::vpn::claim::{Claim, Claimant, Ending, Standing};
use crate::vpn::facts::Facts;
use crate::vpn::{ClientState, ManagementMessage, Reason};

impl Claims {
    /// Takes in a message of a client. Returns the protection that has ended.
    pub(in crate::vpn) fn take_message(
        &mut self,
        message: &ManagementMessage,
        facts: &Facts,
        now: u64,
    ) -> Vec<Ending> {
        match &message.said {
            ClientState::Connected { server, addresses } => {
                self.connected(message, &Connection::new(message, *server, addresses, facts), now);
                Vec::new()
            }
            ClientState::Seeking | ClientState::Reconnecting => {
                self.lose_server(message, Reason::ManagementRestarts, now)
            }
            ClientState::ExitingAsked => self.end_claims(|claim| message.is_of(claim), None),
            ClientState::Exiting => {
                self.end_claims(|claim| message.is_of(claim), Some(Reason::ManagementEnds))
            }
            // The claim of a hook stays. The agent watches the process for its end, and another program may
            // only have taken the socket from the agent.
            ClientState::Gone => self.end_claims(
                |claim| message.is_of(claim) && claim.claimant != Claimant::Hook,
                Some(Reason::ManagementClosed),
            ),
        }
    }

    /// The client has lost its server: its tunnels carry nothing until it reports that it is connected.
    fn lose_server(&mut self, message: &ManagementMessage, reason: Reason, now: u64) -> Vec<Ending> {
        // A client that starts again after a silence reports when it is connected. That ends the silence.
        let is_silent = |claim: &Claim| claim.standing == Standing::Failed(Reason::SilentServer);
        let may_fail = |claim: &Claim| !claim.is_doubted() || is_silent(claim);
        let own = self.list.iter_mut().filter(|claim| message.is_of(claim) && may_fail(claim));
        own.filter_map(|claim| claim.fail(reason, now)).collect()
    }

    fn connected(&mut self, message: &ManagementMessage, connection: &Connection, now: u64) {
        let Connection { addresses, endpoints, in_use } = connection;
        let Some(claim) = self.list.iter_mut().find(|claim| message.is_of(claim)) else {
            let claimant = Claimant::Management { file: message.file.clone(), addresses: addresses.clone() };
            let mut claim = Claim::new(claimant, name(&message.file), None, endpoints.clone(), now);
            claim.pid = message.pid;
            self.list.push(claim);
            return;
        };
        if let Some(server) = *in_use {
            claim.endpoints = BTreeSet::from([server]);
        }
        if let Claimant::Management { addresses: old, .. } = &mut claim.claimant {
            claim.pid = message.pid;
            claim.endpoints.clone_from(endpoints);
            if old != addresses || claim.standing != Standing::Carrying {
                old.clone_from(addresses);
                claim.interface = None;
                claim.index = None;
            }
        }
        // A report of `connected` does not end a silence, unless the client has started again since: see
        // `lose_server`.
        if matches!(claim.standing, Standing::Failed(reason) if reason != Reason::SilentServer) {
            claim.heard = *in_use;
            // Without `persist-tun` its link is another one of the same name.
            claim.index = None;
            claim.set_standing(Standing::Coming, now);
        }
    }

    /// Finds the link of each client that has reported its address: a tunnel that no other claim has.
    pub(super) fn find_links(&mut self, facts: &Facts) {
        for place in 0..self.list.len() {
            let claim = &self.list[place];
            let Claimant::Management { addresses, .. } = &claim.claimant else { continue };
            if claim.index.is_some() {
                continue;
            }
            let others = self.list.iter().filter(|claim| claim.claimant != Claimant::Kernel);
            let taken: BTreeSet<u32> = others.filter_map(|claim| claim.index).collect();
            let found = link_at(facts, addresses, &taken);
            if let Some((interface, index)) = found {
                let claim = &mut self.list[place];
                claim.interface = Some(interface);
                claim.index = Some(index);
            }
        }
    }
}

/// What a connected client has reported about its connection.
struct Connection {
    /// The tunnel's own addresses.
    addresses: BTreeSet<IpAddr>,
    /// What the server can be.
    endpoints: BTreeSet<Endpoint>,
    /// The server, when only one endpoint fits what the client said.
    in_use: Option<Endpoint>,
}

impl Connection {
    fn new(
        message: &ManagementMessage,
        server: Option<(IpAddr, Port)>,
        addresses: &BTreeSet<IpAddr>,
        facts: &Facts,
    ) -> Self {
        let endpoints = servers_of_file(facts, &message.file, server);
        let in_use = endpoints.first().copied().filter(|_| server.is_some() && endpoints.len() == 1);
        Self { addresses: addresses.clone(), endpoints, in_use }
    }
}

/// Those servers of a configuration that are at this address and port. All of them when none is there, or
/// the client has not said where its server is.
fn servers_of_file(facts: &Facts, file: &str, server: Option<(IpAddr, Port)>) -> BTreeSet<Endpoint> {
    let all = facts.endpoints_of_file(file);
    let Some((address, port)) = server else { return all };
    let is_it = |endpoint: &&Endpoint| endpoint.address() == address && endpoint.port() == port;
    let exact: BTreeSet<Endpoint> = all.iter().filter(is_it).copied().collect();
    if exact.is_empty() { all } else { exact }
}

impl ManagementMessage {
    /// Whether it is about this claim: its own, or that of a hook of the same process.
    fn is_of(&self, claim: &Claim) -> bool {
        match &claim.claimant {
            Claimant::Management { file, .. } => *file == self.file,
            Claimant::Hook => self.pid.is_some() && claim.pid == self.pid,
            Claimant::NetworkManager { .. } | Claimant::Kernel => false,
        }
    }
}

fn link_at(facts: &Facts, addresses: &BTreeSet<IpAddr>, taken: &BTreeSet<u32>) -> Option<(IfName, u32)> {
    facts.links.links.iter().find_map(|link| {
        let name: IfName = link.name.parse().ok()?;
        let own = link.own_addresses().iter().any(|address| addresses.contains(address));
        // A user may give the same address to a link that NetworkManager makes.
        let excluded = taken.contains(&link.index) || facts.links.of_connections.contains(&link.index);
        let free = own && !excluded && facts.links.tunnel(&name, &facts.config).is_some();
        free.then_some((name, link.index))
    })
}

/// A configuration's name for people: that of `openvpn-client@NAME`.
fn name(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem).replace(char::is_control, "?")
}
