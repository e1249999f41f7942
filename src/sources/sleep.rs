//! Learns from logind that the machine has slept.
//!
//! Only signals of the process that owns logind's name count: any process can send a signal that looks the same.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::mpsc;
use zbus::Connection;

use crate::bus::bounded::system_bus;
use crate::vpn::Event;

/// Time before the next attempt to reach a bus that is missing.
const RETRY: Duration = Duration::from_secs(2);

/// `org.freedesktop.login1.Manager`. One signal is used: `PrepareForSleep(b start)`, which is true before the
/// machine sleeps and false after it.
#[zbus::proxy(
    interface = "org.freedesktop.login1.Manager",
    default_service = "org.freedesktop.login1",
    default_path = "/org/freedesktop/login1"
)]
trait Logind {
    #[zbus(signal)]
    fn prepare_for_sleep(&self, start: bool) -> zbus::Result<()>;
}

/// Sends [`Event::Woken`] after each sleep, until the receiver is dropped.
pub async fn watch(events: mpsc::Sender<Event>) {
    let closed = events.clone();
    let forever = async {
        loop {
            if let Err(error) = listen(&events).await {
                tracing::debug!("logind cannot be reached: {error}");
            }
            tokio::time::sleep(RETRY).await;
        }
    };
    tokio::select! {
        () = closed.closed() => {}
        () = forever => {}
    }
}

/// Listens until the bus goes away.
async fn listen(events: &mpsc::Sender<Event>) -> zbus::Result<()> {
    let connection: Connection = system_bus().await?.build().await?;
    let logind = LogindProxy::new(&connection).await?;
    let mut signals = logind.receive_prepare_for_sleep().await?;
    while let Some(signal) = signals.next().await {
        if !signal.args()?.start {
            tracing::info!("the machine has slept: checking everything again");
            drop(events.send(Event::Woken).await);
        }
    }
    Ok(())
}
