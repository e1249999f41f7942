//! Watches the machine's links, addresses, routes and rules, and which way packets go (rtnetlink).
//!
//! A notification only says that something has changed. What is true now always comes from a full dump, which
//! is read after subscribing. So nothing is missed when the kernel drops notifications (`ENOBUFS`), and no
//! state is made of single changes.

mod dump;
mod lookup;
mod netlink;
pub(crate) mod pppoe;
mod route;
pub(crate) mod table;
#[cfg(test)]
mod tests;

use std::io;
use std::time::Duration;

use nix::libc;
use rtnetlink::MulticastGroup;
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

pub use route::{Asked, Route, Sender, route};

use crate::vpn::{Event, LinkTable};

/// How long the watch waits after an error before it tries again.
const RETRY: Duration = Duration::from_millis(250);

/// Minimum time between two dumps. The first change is read at once. During a burst (500 containers start) at
/// most fifty tables a second are made.
const PAUSE: Duration = Duration::from_millis(20);

/// Maximum number of notifications that are taken before the table is read again.
const DRAIN: usize = 10_000;

const GROUPS: [MulticastGroup; 8] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Ipv4Rule,
    MulticastGroup::Ipv6Rule,
    MulticastGroup::Nexthop,
];

/// Why the kernel's links cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LinksError {
    /// No netlink socket, or one that broke.
    #[error("the netlink socket failed")]
    Socket(#[source] io::Error),
    /// The kernel refused a dump.
    #[error("the kernel refused to list its links")]
    Refused(#[source] io::Error),
    /// The route lookup failed, and not because there is no route.
    #[error("the kernel's route lookup failed")]
    Route(#[source] io::Error),
    /// The answer is not a netlink message.
    #[error("the kernel's answer ends in the middle of a message")]
    Truncated,
}

/// The links as they are now. Needs no privilege.
///
/// # Errors
/// When the kernel cannot be asked or does not answer.
pub async fn snapshot() -> Result<LinkTable, LinksError> {
    dump::table(&[]).await
}

/// Sends the table at the start, and again each time it has changed, until the receiver is gone. `sessions` says whether
/// sessions of PPPoE count now.
pub async fn watch(mut sessions: watch::Receiver<bool>, events: mpsc::Sender<Event>) {
    let mut last = None;
    while let Err(error) = follow(&events, &mut sessions, &mut last).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "links cannot be watched, trying again");
        tokio::select! {
            () = events.closed() => return,
            () = sleep(RETRY) => {}
        }
    }
}

/// Returns when the receiver is gone.
async fn follow(
    events: &mpsc::Sender<Event>,
    sessions: &mut watch::Receiver<bool>,
    last: &mut Option<LinkTable>,
) -> Result<(), LinksError> {
    // Before the first dump: a change between the two is then seen twice, and never missed.
    let changes = Changes::subscribe().map_err(LinksError::Socket)?;
    loop {
        let table = dump::table(last.as_ref().map_or(&[][..], |last| &last.sessions)).await?;
        if last.as_ref() != Some(&table) {
            if events.send(Event::Links(table.clone())).await.is_err() {
                return Ok(());
            }
            *last = Some(table);
        }
        sleep(PAUSE).await;
        tokio::select! {
            () = events.closed() => return Ok(()),
            changed = changes.next() => changed.map_err(LinksError::Socket)?,
            () = pppoe::changed(last.as_ref(), sessions) => {}
        }
    }
}

/// The kernel's notifications, of which only the arrival matters.
struct Changes(TokioSocket);

impl Changes {
    fn subscribe() -> io::Result<Self> {
        let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
        let groups = GROUPS.iter().fold(0, |mask, &group| mask | 1 << (group as u32 - 1));
        socket.socket_mut().bind(&SocketAddr::new(0, groups))?;
        Ok(Self(socket))
    }

    /// Waits for a notification and takes all that are queued behind it.
    async fn next(&self) -> io::Result<()> {
        // The kernel cuts off what does not fit, and nothing of it is read.
        let mut scrap = Vec::with_capacity(64);
        noticed(self.0.recv(&mut scrap).await)?;
        for _ in 0..DRAIN {
            scrap.clear();
            match self.0.socket_ref().recv(&mut scrap, 0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                received => noticed(received.map(drop))?,
            }
        }
        Ok(())
    }
}

/// Notifications that did not fit into the buffer are a change like any other.
fn noticed(received: io::Result<()>) -> io::Result<()> {
    match received {
        Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(()),
        other => other,
    }
}
