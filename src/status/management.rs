//! OpenVPN's management sockets in the status: whether the agent receives what each client reports there.

use serde::Serialize;

use crate::config::plain;
use crate::vpn::{ManagementSocket, SocketState};

/// The management socket of one of root's configurations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ManagementStatus {
    /// The configuration.
    pub file: String,
    /// The socket's path.
    pub socket: String,
    /// Whether the agent receives the client's reports there now.
    pub heard: bool,
    /// Why the agent does not receive them, although a process listens there.
    pub fault: Option<String>,
}

impl ManagementStatus {
    /// A line for people, if there is something to say.
    pub fn line(&self) -> Option<String> {
        let fault = self.fault.as_ref()?;
        Some(format!("{} of {}: {}", plain(&self.socket), plain(&self.file), plain(fault)))
    }
}

impl From<(&ManagementSocket, &SocketState)> for ManagementStatus {
    fn from((socket, socket_state): (&ManagementSocket, &SocketState)) -> Self {
        let fault = match socket_state {
            SocketState::Unusable(fault) => Some(fault.clone()),
            SocketState::NoClient | SocketState::Heard => None,
        };
        let (file, socket) = (socket.file.clone(), socket.path.clone());
        Self { file, socket, heard: *socket_state == SocketState::Heard, fault }
    }
}
