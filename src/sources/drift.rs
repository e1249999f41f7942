//! Changes of the kernel's tables, whoever makes them, as netfilter tells them.
//!
//! Our own are among them: which of them have been looked at is known by their generation, and that
//! is the agent's business.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::netfilter::Change;
use crate::netfilter::socket::{Changes, Received};

/// How long until it is tried again to listen.
const PAUSE: Duration = Duration::from_secs(60);

/// What is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// From now on every change is told.
    Listening,
    /// Somebody has changed a table.
    Change(Change),
    /// Something may have changed that was not told.
    Unknown,
    /// Nothing is told for now: why.
    Deaf(String),
}

/// Tells every change until nobody listens any more.
pub async fn watch(notices: mpsc::Sender<Notice>) {
    loop {
        let Err(error) = listen(&notices).await else { return };
        if notices.send(Notice::Deaf(error.to_string())).await.is_err() {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn listen(notices: &mpsc::Sender<Notice>) -> std::io::Result<()> {
    let changes = Changes::listen()?;
    let mut told = notices.send(Notice::Listening).await;
    while told.is_ok() {
        for notice in received(changes.next().await?) {
            told = notices.send(notice).await;
        }
    }
    Ok(())
}

fn received(received: Received) -> Vec<Notice> {
    match received {
        Received::Changes(changes) => changes.into_iter().map(Notice::Change).collect(),
        Received::Unknown => vec![Notice::Unknown],
    }
}
