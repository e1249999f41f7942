//! Reports the changes of the kernel's tables that netfilter announces.
//!
//! They include the agent's own changes. The agent distinguishes those by their generation.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::netfilter::socket::{Changes, Received};
use crate::netfilter::{Change, ForwardPolicy};

/// How long the source waits before it tries again to listen.
const PAUSE: Duration = Duration::from_secs(60);

/// A report about the tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableReport {
    /// From now on every change is reported.
    Listening,
    /// A program has changed a table.
    Change(Change),
    /// A program has given `FORWARD` this policy.
    Forward(ForwardPolicy),
    /// There may be a change that was not reported.
    Unknown,
    /// Changes are not reported for now. The text says why.
    Unavailable(String),
}

/// Reports every change until the receiver is dropped.
pub async fn watch(reports: mpsc::Sender<TableReport>) {
    loop {
        let Err(error) = listen(&reports).await else { return };
        if reports.send(TableReport::Unavailable(error.to_string())).await.is_err() {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn listen(reports: &mpsc::Sender<TableReport>) -> std::io::Result<()> {
    let mut changes = Changes::listen()?;
    let mut sent = reports.send(TableReport::Listening).await;
    while sent.is_ok() {
        for report in received(changes.next().await?) {
            sent = reports.send(report).await;
        }
    }
    Ok(())
}

fn received(received: Received) -> Vec<TableReport> {
    match received {
        Received::Changes(changes, policies) => {
            let policies = policies.into_iter().map(TableReport::Forward);
            policies.chain(changes.into_iter().map(TableReport::Change)).collect()
        }
        Received::Unknown => vec![TableReport::Unknown],
    }
}
