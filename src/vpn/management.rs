//! What an OpenVPN client says of itself on its management socket, and what follows from it.
//!
//! A word of root's, as a hook's is, and good for as much: it calls a tunnel lost at once, names the one
//! server in use, and claims a tunnel that the kernel then bears out or does not. No server becomes known
//! by it: it is looked for among those that the client's configuration names.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::claim::{Claim, Claimant, Ending, Standing};
use super::learned::{Origin, file_key};
use super::{Action, LinkTable, Machine, Reason};
use crate::config::Config;
use crate::net::{Endpoint, IfName, Port};

/// The management socket that a configuration of root's gives to its client.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ManagementSocket {
    /// The configuration's path.
    pub file: String,
    /// The socket's path, an absolute one.
    pub path: String,
    /// The path of the file with the password that it asks for.
    pub password: Option<String>,
    /// Who may be at its other end, besides root: whom the client drops to.
    pub user: Option<u32>,
}

/// How it stands with listening at a management socket.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Hearing {
    /// Nobody is there: its client does not run.
    #[default]
    Nobody,
    /// Its client is heard.
    Heard,
    /// Its client cannot be heard there, and why.
    Deaf(String),
}

/// One word of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagementWord {
    /// The configuration whose socket it came from.
    pub file: String,
    /// The process at its other end, as the kernel says; `None` when it is none of this system's.
    pub pid: Option<u32>,
    /// What it says.
    pub said: ClientState,
}

/// Where a client stands, in OpenVPN's words (management-notes.txt, "state").
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientState {
    /// `CONNECTING`, `RESOLVE`, `TCP_CONNECT`, `WAIT`, `AUTH`, `AUTH_PENDING`: it has no server yet.
    Seeking,
    /// `CONNECTED`
    Connected {
        /// The server, whose transport it does not say.
        server: Option<(IpAddr, Port)>,
        /// The tunnel's own addresses.
        addresses: BTreeSet<IpAddr>,
    },
    /// `RECONNECTING`
    Reconnecting,
    /// `EXITING`, because somebody told it to.
    ExitingAsked,
    /// `EXITING`, for another reason.
    Exiting,
    /// The socket was closed.
    Gone,
}

impl Machine {
    /// The management sockets that are to be listened at.
    pub fn management_sockets(&self) -> Vec<ManagementSocket> {
        self.sockets.keys().cloned().collect()
    }

    /// How it stands with each of them.
    pub fn hearings(&self) -> impl Iterator<Item = (&ManagementSocket, &Hearing)> {
        self.sockets.iter()
    }

    /// A socket that nobody wants any more is no matter.
    pub(super) fn hearing(&mut self, socket: &ManagementSocket, now: Hearing) {
        if let Some(hearing) = self.sockets.get_mut(socket) {
            *hearing = now;
        }
    }

    /// Takes in a word; says what it ends and which process is to be watched.
    pub(super) fn management(&mut self, word: ManagementWord, now: u64) -> (Vec<Ending>, Option<Action>) {
        // A socket whose configuration is gone says nothing any more.
        if !self.sockets.keys().any(|socket| socket.file == word.file) {
            return (Vec::new(), None);
        }
        let endings = match &word.said {
            ClientState::Connected { server, addresses } => {
                self.connected(&word, *server, addresses, now);
                return (Vec::new(), word.pid.map(Action::Watch));
            }
            ClientState::Seeking | ClientState::Reconnecting => {
                self.doubt(&word, Reason::ManagementRestarts, now)
            }
            ClientState::ExitingAsked => self.take_back(|claim| word.is_of(claim), None),
            ClientState::Exiting => self.take_back(|claim| word.is_of(claim), Some(Reason::ManagementEnds)),
            // What a hook has said stands: the process is watched for its end, and the socket may only have
            // been taken from us.
            ClientState::Gone => self.take_back(
                |claim| word.is_of(claim) && claim.claimant != Claimant::Hook,
                Some(Reason::ManagementClosed),
            ),
        };
        (endings, None)
    }

    /// The client has lost its server: no tunnel of its carries anything until it says otherwise.
    fn doubt(&mut self, word: &ManagementWord, reason: Reason, now: u64) -> Vec<Ending> {
        // A client that begins anew after a silence says when it is connected again: that ends the silence.
        let is_silent = |claim: &Claim| claim.standing == Standing::Failed(Reason::SilentServer);
        let may_fail = |claim: &Claim| !claim.is_doubted() || is_silent(claim);
        let own = self.claims.iter_mut().filter(|claim| word.is_of(claim) && may_fail(claim));
        own.filter_map(|claim| claim.fail(reason, now)).collect()
    }

    fn take_back(&mut self, gone: impl Fn(&Claim) -> bool, reason: Option<Reason>) -> Vec<Ending> {
        let (gone, stay): (Vec<Claim>, Vec<Claim>) = self.claims.drain(..).partition(gone);
        self.claims = stay;
        gone.into_iter().map(|claim| claim.end(reason)).collect()
    }

    fn connected(
        &mut self,
        word: &ManagementWord,
        server: Option<(IpAddr, Port)>,
        addresses: &BTreeSet<IpAddr>,
        now: u64,
    ) {
        let endpoints = self.servers_of_file(&word.file, server);
        let in_use = endpoints.first().copied().filter(|_| server.is_some() && endpoints.len() == 1);
        let Some(claim) = self.claims.iter_mut().find(|claim| word.is_of(claim)) else {
            let claimant = Claimant::Management { file: word.file.clone(), addresses: addresses.clone() };
            let mut claim = Claim::new(claimant, name(&word.file), None, endpoints, now);
            claim.pid = word.pid;
            self.claims.push(claim);
            return;
        };
        if let Some(server) = in_use {
            claim.endpoints = BTreeSet::from([server]);
        }
        if let Claimant::Management { addresses: old, .. } = &mut claim.claimant {
            claim.pid = word.pid;
            claim.endpoints = endpoints;
            if old != addresses || claim.standing != Standing::Carrying {
                old.clone_from(addresses);
                claim.interface = None;
                claim.index = None;
            }
        }
        // That its client is connected ends no silence, unless the client has begun anew since: see `doubt`.
        if matches!(claim.standing, Standing::Failed(reason) if reason != Reason::SilentServer) {
            claim.heard = in_use;
            // Without `persist-tun` its link is another one of the same name.
            claim.index = None;
            claim.stand(Standing::Coming, now);
        }
    }

    /// Those of a configuration's servers that are at this address and port; all of them where it names
    /// none such, or it is not said.
    fn servers_of_file(&self, file: &str, server: Option<(IpAddr, Port)>) -> BTreeSet<Endpoint> {
        let all = self.known().endpoints_of_file(file);
        let Some((address, port)) = server else { return all };
        let is_it = |endpoint: &&Endpoint| endpoint.address() == address && endpoint.port() == port;
        let exact: BTreeSet<Endpoint> = all.iter().filter(is_it).copied().collect();
        if exact.is_empty() { all } else { exact }
    }

    /// Finds the link of each client that has named its address: a tunnel that nobody else has claimed.
    pub(super) fn find_links(&mut self) {
        for place in 0..self.claims.len() {
            let claim = &self.claims[place];
            let Claimant::Management { addresses, .. } = &claim.claimant else { continue };
            if claim.index.is_some() {
                continue;
            }
            let taken: BTreeSet<u32> = self.claims.iter().filter_map(|claim| claim.index).collect();
            let found = link_at(&self.links, &self.config, addresses, &taken);
            if let Some((interface, index)) = found {
                let claim = &mut self.claims[place];
                claim.interface = Some(interface);
                claim.index = Some(index);
            }
        }
    }
}

impl ManagementWord {
    /// Whether it is about this claim: its own, or that of a hook of the same process.
    fn is_of(&self, claim: &Claim) -> bool {
        match &claim.claimant {
            Claimant::Management { file, .. } => *file == self.file,
            Claimant::Hook => self.pid.is_some() && claim.pid == self.pid,
            Claimant::NetworkManager { .. } => false,
        }
    }
}

fn link_at(
    links: &LinkTable,
    config: &Config,
    addresses: &BTreeSet<IpAddr>,
    taken: &BTreeSet<u32>,
) -> Option<(IfName, u32)> {
    links.links.iter().find_map(|link| {
        let name: IfName = link.name.parse().ok()?;
        let own = link.own_addresses().iter().any(|address| addresses.contains(address));
        let free = own && !taken.contains(&link.index) && links.tunnel(&name, config).is_some();
        free.then_some((name, link.index))
    })
}

/// A configuration's name for people: that of `openvpn-client@NAME`.
fn name(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem).replace(char::is_control, "?")
}

impl super::known::Known<'_> {
    /// Every server that a configuration names.
    pub(super) fn endpoints_of_file(&self, file: &str) -> BTreeSet<Endpoint> {
        let vpn = self.learned.get(&file_key(file)).filter(|vpn| vpn.origin == Origin::OpenVpn);
        let named = vpn.iter().flat_map(|vpn| self.resolved(vpn.names.iter()));
        vpn.iter().flat_map(|vpn| vpn.endpoints.iter().copied()).chain(named).collect()
    }
}

#[cfg(test)]
mod tests;
