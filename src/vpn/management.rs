//! What an OpenVPN client reports on its management socket.
//!
//! Root configures the socket, so its messages count as those of root's hooks do. A message reports at once
//! that a tunnel is lost, and names the one server in use. It can claim a tunnel, which the kernel's links then
//! confirm or not. No server becomes known by a message: the agent looks for it among those that the client's
//! configuration names.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::net::Port;

/// The management socket that a configuration of root's gives to its client.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ManagementSocket {
    /// The configuration's path.
    pub file: String,
    /// The socket's path, an absolute one.
    pub path: String,
    /// The path of the file with the password that it asks for.
    pub password: Option<String>,
    /// The user id that may be at its other end, besides root: the one that the client drops to.
    pub user: Option<u32>,
}

/// Whether the agent is connected to the client of a management socket.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SocketState {
    /// Its client does not run.
    #[default]
    NoClient,
    /// Its client is connected.
    Heard,
    /// The socket cannot be used, and why.
    Unusable(String),
}

/// One message of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagementMessage {
    /// The configuration whose socket it came from.
    pub file: String,
    /// The process at its other end, as the kernel reports it; `None` when it is in another pid namespace.
    pub pid: Option<u32>,
    /// What it says.
    pub said: ClientState,
}

/// The state of a client, in OpenVPN's words (management-notes.txt, "state").
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
    /// `EXITING`, because somebody asked for it.
    ExitingAsked,
    /// `EXITING`, for another reason.
    Exiting,
    /// The socket was closed.
    Gone,
}

impl ManagementMessage {
    /// Whether the client says that it is connected.
    pub(super) fn is_connected(&self) -> bool {
        matches!(self.said, ClientState::Connected { .. })
    }
}

/// The management sockets that root's configurations name.
#[derive(Debug, Clone, Default)]
pub(super) struct Sockets(BTreeMap<ManagementSocket, SocketState>);

impl Sockets {
    /// Takes in the sockets of root's files. What is known of a socket that was there before stays.
    pub(super) fn set(&mut self, sockets: impl Iterator<Item = ManagementSocket>) {
        let mut before = std::mem::take(&mut self.0);
        self.0 = sockets
            .map(|socket| {
                let socket_state = before.remove(&socket).unwrap_or_default();
                (socket, socket_state)
            })
            .collect();
    }

    /// Notes whether a socket can be used. One that no configuration names any more is ignored.
    pub(super) fn note(&mut self, socket: &ManagementSocket, now: SocketState) {
        if let Some(socket_state) = self.0.get_mut(socket) {
            *socket_state = now;
        }
    }

    /// Every socket, and whether it can be used.
    pub(super) fn all(&self) -> &BTreeMap<ManagementSocket, SocketState> {
        &self.0
    }

    /// Whether the agent is connected to a client, which reports its own tunnel.
    pub(super) fn is_heard(&self) -> bool {
        self.0.values().any(|socket_state| *socket_state == SocketState::Heard)
    }

    /// Whether a configuration names a socket.
    pub(super) fn has(&self, file: &str) -> bool {
        self.0.keys().any(|socket| socket.file == file)
    }
}

#[cfg(test)]
mod tests;
