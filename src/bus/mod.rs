//! The agent on the system bus: its names, its interface, and which callers may use which method.

mod backlog;
mod blocked;
pub(crate) mod bounded;
mod caller;
mod interface;
mod limiter;
mod object;
mod proxy;
mod service;
mod signals;
mod why;

pub use backlog::Backlog;
pub use blocked::BlockedGroup;
pub use proxy::{Agent1Proxy, read_status};
pub use service::serve;
pub(crate) use signals::repairer_in;

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::{mpsc, oneshot, watch};
use zbus::DBusError;

use crate::netfilter::Program;
use crate::sources::refusals::Blocked;
use crate::status::Status;
use crate::vpn::{Announcement, DatedReport, PauseScope, Reporter};

/// The agent's name on the system bus.
pub const NAME: &str = "org.tunwarden.Agent1";
/// The path of the agent's object.
pub const PATH: &str = "/org/tunwarden/Agent1";

/// Maximum length of a pause, in seconds: a day.
pub const LONGEST_PAUSE: u64 = 24 * 60 * 60;

/// A request of a caller to the agent's loop. The answer comes when the request is done.
#[derive(Debug)]
pub enum Request {
    /// Open for this number of seconds. The answer is the time when the pause ends, in seconds since the epoch.
    Pause(u64, PauseScope, Requester, oneshot::Sender<Result<u64, String>>),
    /// Close again.
    Resume(Requester, oneshot::Sender<Answer>),
    /// Read the configuration again.
    Reload(oneshot::Sender<Answer>),
    /// Compare the kernel with the policy. For root this is done at once; all other callers who wait share one
    /// comparison.
    Verify(Requester, oneshot::Sender<Verified>),
    /// Bring the last VPN back.
    Reconnect(oneshot::Sender<Answer>),
    /// A hook's report. The answer says whether it was accepted.
    Report(DatedReport, Reporter, oneshot::Sender<Answer>),
}

/// All differences between the kernel and the policy, or the reason why they cannot be compared.
pub type Verified = Result<Vec<String>, String>;

/// The user who makes a request, as the bus daemon reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requester {
    /// The user id.
    pub uid: u32,
    /// The user's name, if this system has one.
    pub name: Option<String>,
}

impl std::fmt::Display for Requester {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} (user {})", self.uid),
            None => write!(f, "user {}", self.uid),
        }
    }
}

/// Success, or the reason of the failure for people.
pub type Answer = Result<(), String>;

/// What the loop sends to the bus after each commit.
#[derive(Debug, Clone)]
pub struct Update {
    /// The status now.
    pub status: Status,
    /// What happened.
    pub news: Vec<BusSignal>,
    /// The user who asked for it, if any.
    pub by: Option<Requester>,
}

/// An event that is a signal on the bus.
#[derive(Debug, Clone)]
pub enum BusSignal {
    /// The state changed, or a VPN was lost.
    Vpn(Announcement),
    /// A rule of ours was missing or changed, and has been restored.
    Repaired {
        /// What was missing, or was in a wrong place.
        what: String,
        /// The program that changed it, if the kernel reported the program.
        by: Option<Program>,
    },
    /// The rules could not be put in force.
    Failed(String),
}

/// Maximum number of requests, and of reports, that wait for the loop.
const WAITING: usize = 64;

/// Sends requests, and sends reports through a channel of their own: even many requests do not delay a report.
#[derive(Debug, Clone)]
pub struct RequestSender {
    requests: mpsc::Sender<Request>,
    reports: mpsc::Sender<Request>,
}

/// The loop's end of a [`RequestSender`].
#[derive(Debug)]
pub struct Inbox {
    /// Everything except reports.
    pub requests: mpsc::Receiver<Request>,
    /// Only reports.
    pub reports: mpsc::Receiver<Request>,
}

/// A sender of requests, and the inbox that receives them.
pub fn request_channel() -> (RequestSender, Inbox) {
    let ((requests, asked), (reports, reported)) = (mpsc::channel(WAITING), mpsc::channel(WAITING));
    (RequestSender { requests, reports }, Inbox { requests: asked, reports: reported })
}

impl RequestSender {
    /// Hands something to the loop, and waits for the answer; `None` if the agent ends.
    pub async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Option<T> {
        let (answer, wait) = oneshot::channel();
        let request = request(answer);
        let way = if matches!(request, Request::Report(..)) { &self.reports } else { &self.requests };
        way.send(request).await.ok()?;
        wait.await.ok()
    }
}

/// What the bus service needs from the agent.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Sends the requests of callers to the loop.
    pub requests: RequestSender,
    /// The memory of refused packets.
    pub blocked: Blocked,
    /// The present processes of VPN clients. A process that descends from one of them may report about its tunnel.
    pub clients: watch::Receiver<BTreeSet<u32>>,
}

/// What a hook reports: OpenVPN's own keys and their values.
pub type Fields = BTreeMap<String, String>;

/// The error message of another program on the bus, without the text that the bus adds.
pub(crate) fn error_text(error: &zbus::Error) -> String {
    let text = if let zbus::Error::MethodError(_, text, _) = error {
        text.clone()
    } else if let zbus::Error::FDO(error) = error {
        error.description().map(ToOwned::to_owned)
    } else {
        None
    };
    text.unwrap_or_else(|| error.to_string())
}
