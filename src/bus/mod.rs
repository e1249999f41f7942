//! The agent on the system bus: names, the interface, and who may call what.

mod interface;
mod proxy;
mod service;

pub use proxy::Agent1Proxy;
pub use service::serve;

use std::collections::BTreeMap;

use tokio::sync::{mpsc, oneshot};
use zbus::DBusError;

use crate::status::Status;
use crate::vpn::{Announcement, Report, Reporter};

/// The agent's name on the system bus.
pub const NAME: &str = "org.tunwarden.Agent1";
/// Where its object stands.
pub const PATH: &str = "/org/tunwarden/Agent1";

/// The longest pause, in seconds: a day.
pub const LONGEST_PAUSE: u64 = 24 * 60 * 60;

/// What a caller asks of the agent's one loop. The answer comes when it has been done.
#[derive(Debug)]
pub enum Request {
    /// Open everything for so many seconds.
    Pause(u64, oneshot::Sender<Answer>),
    /// Close again.
    Resume(oneshot::Sender<Answer>),
    /// Read the configuration anew.
    Reload(oneshot::Sender<Answer>),
    /// Compare the kernel with the policy.
    Verify(oneshot::Sender<Result<Vec<String>, String>>),
    /// Bring the VPN back that was there last.
    Reconnect(oneshot::Sender<Answer>),
    /// A hook's report, and whether it changed anything.
    Report(Report, Reporter, oneshot::Sender<Answer>),
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
}

/// Something that happened and is a signal on the bus.
#[derive(Debug, Clone)]
pub enum News {
    /// The state changed, or a VPN was lost.
    Vpn(Announcement),
    /// Something of ours was gone and is back.
    Repaired(String),
    /// The rules could not be put in force.
    Failed(String),
}

/// The bus's end of the loop.
#[derive(Debug, Clone)]
pub struct Caller(pub mpsc::Sender<Request>);

impl Caller {
    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Option<T> {
        let (answer, wait) = oneshot::channel();
        self.0.send(request(answer)).await.ok()?;
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
