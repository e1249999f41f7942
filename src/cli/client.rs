//! Speaking to the agent on the system bus.

use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use zbus::Connection;
use zbus::fdo;

use crate::bus::{self, Agent1Proxy, Fields};
use crate::status::Status;

/// How long the agent is given for an answer; a commit takes a tenth of a second.
const PATIENCE: Duration = Duration::from_secs(15);

/// Says what to do when there is no agent.
pub(super) const NOT_RUNNING: &str =
    "the agent is not running; start it with: sudo systemctl start tunwarden";

/// How long bringing a VPN back may take: three times a VPN, and the networks.
const COMEBACK: Duration = Duration::from_secs(600);

pub(super) async fn connect() -> anyhow::Result<Agent1Proxy<'static>> {
    connect_for(PATIENCE).await
}

/// For a call that brings a VPN back.
pub(super) async fn connect_patiently() -> anyhow::Result<Agent1Proxy<'static>> {
    connect_for(COMEBACK).await
}

async fn connect_for(patience: Duration) -> anyhow::Result<Agent1Proxy<'static>> {
    let builder = zbus::connection::Builder::system().method_timeout(patience);
    let connection = builder.build().await.context("no system bus")?;
    connect_on(&connection).await
}

pub(super) async fn connect_on(connection: &Connection) -> anyhow::Result<Agent1Proxy<'static>> {
    let agent =
        Agent1Proxy::builder(connection).cache_properties(zbus::proxy::CacheProperties::No).build().await?;
    agent.version().await.map_err(unanswered)?;
    Ok(agent)
}

fn unanswered(error: zbus::Error) -> anyhow::Error {
    let error = fdo::Error::from(error);
    if matches!(error, fdo::Error::ServiceUnknown(_) | fdo::Error::NameHasNoOwner(_)) {
        return anyhow!(NOT_RUNNING);
    }
    anyhow!("the agent does not answer: {error}; see: journalctl -u tunwarden")
}

/// Has the agent compare, and put right what differs.
pub(super) async fn verify() -> anyhow::Result<Vec<String>> {
    Ok(connect().await?.verify().await?)
}

/// Has the agent end a pause, compare, and put right what differs.
///
/// # Errors
/// When the kernel does not hold the rules then.
pub(super) async fn close() -> anyhow::Result<()> {
    let agent = connect().await?;
    agent.resume().await?;
    if !agent.verify().await?.is_empty() {
        let left = agent.verify().await?;
        ensure!(left.is_empty(), "the agent could not put right what differs: {}", left.join("; "));
    }
    let verdict = status(&agent).await?.verdict();
    ensure!(verdict.is_closed(), "the agent says: {verdict}");
    Ok(())
}

/// The agent's status.
pub(super) async fn status(agent: &Agent1Proxy<'_>) -> anyhow::Result<Status> {
    let agent = agent.inner();
    Ok(bus::read_status(agent.connection(), agent.destination().clone()).await?)
}

pub(super) async fn report(fields: Fields) -> anyhow::Result<()> {
    Ok(connect().await?.report_tunnel(fields).await?)
}

/// What the agent answered, without the bus's own words around it.
pub(super) fn answer(error: zbus::Error) -> anyhow::Error {
    anyhow!(bus::spoken(&error))
}
