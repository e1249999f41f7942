//! The agent on the system bus: names, the interface, and who may call what.

mod backlog;
pub(crate) mod bounded;
mod caller;
mod gate;
mod interface;
mod object;
mod proxy;
mod service;
mod signals;

pub use backlog::Backlog;
pub use proxy::{Agent1Proxy, read_status};
pub use service::serve;
pub(crate) use signals::repairer_in;

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::{mpsc, oneshot, watch};
use zbus::DBusError;

use crate::netfilter::Program;
use crate::status::Status;
use crate::vpn::{Announcement, DatedReport, PauseScope, Reporter};

/// The agent's name on the system bus.
pub const NAME: &str = "org.tunwarden.Agent1";
/// Where its object stands.
pub const PATH: &str = "/org/tunwarden/Agent1";

/// The longest pause, in seconds: a day.
pub const LONGEST_PAUSE: u64 = 24 * 60 * 60;

/// What a caller asks of the agent's one loop. The answer comes when it has been done.
#[derive(Debug)]
pub enum Request {
    /// Open for so many seconds; the answer is when it ends, in seconds since the epoch.
    Pause(u64, PauseScope, Asker, oneshot::Sender<Result<u64, String>>),
    /// Close again.
    Resume(Asker, oneshot::Sender<Answer>),
    /// Read the configuration anew.
    Reload(oneshot::Sender<Answer>),
    /// Compare the kernel with the policy: at once for root, and with everybody else who waits.
    Verify(Asker, oneshot::Sender<Verified>),
    /// Bring the VPN back that was there last.
    Reconnect(oneshot::Sender<Answer>),
    /// A hook's report, and whether it changed anything.
    Report(DatedReport, Reporter, oneshot::Sender<Answer>),
}

/// Every difference between the kernel and the policy, or why nobody can tell.
pub type Verified = Result<Vec<String>, String>;

/// Who asks, as the bus daemon vouches for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asker {
    /// The user id.
    pub uid: u32,
    /// Its name, if this system has one for it.
    pub name: Option<String>,
}

impl std::fmt::Display for Asker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} (user {})", self.uid),
            None => write!(f, "user {}", self.uid),
        }
    }
}

/// Done, or why not, for people.
pub type Answer = Result<(), String>;

/// What the loop tells the bus after each commit.
#[derive(Debug, Clone)]
pub struct Notice {
    /// What is so now.
    pub status: Status,
    /// What happened.
    pub news: Vec<News>,
    /// Who asked for it, if somebody did.
    pub by: Option<Asker>,
}

/// Something that happened and is a signal on the bus.
#[derive(Debug, Clone)]
pub enum News {
    /// The state changed, or a VPN was lost.
    Vpn(Announcement),
    /// Something of ours was gone and is back.
    Repaired {
        /// What was gone, or stood where it must not.
        what: String,
        /// Who had done it, as far as the kernel told.
        by: Option<Program>,
    },
    /// The rules could not be put in force.
    Failed(String),
}

/// The bus's end of the loop.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Takes what a caller asks.
    pub requests: mpsc::Sender<Request>,
    /// Processes of VPN clients now. A process that descends from one of them may report on its tunnel.
    pub clients: watch::Receiver<BTreeSet<u32>>,
}

impl Caller {
    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Option<T> {
        let (answer, wait) = oneshot::channel();
        self.requests.send(request(answer)).await.ok()?;
        wait.await.ok()
    }
}

/// What a hook hands over: OpenVPN's own keys and their values.
pub type Fields = BTreeMap<String, String>;

/// What another program on the bus answered, without the bus's own words around it.
pub(crate) fn spoken(error: &zbus::Error) -> String {
    let text = if let zbus::Error::MethodError(_, text, _) = error {
        text.clone()
    } else if let zbus::Error::FDO(error) = error {
        error.description().map(ToOwned::to_owned)
    } else {
        None
    };
    text.unwrap_or_else(|| error.to_string())
}
