//! Calls to the agent on the system bus.

use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use zbus::Connection;
use zbus::fdo;

use crate::bus::{self, Agent1Proxy, Fields};
use crate::status::Status;

/// How long the agent may take to answer. A commit takes 0.1 s, and many times that on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Shown when no agent answers.
pub(super) const NOT_RUNNING: &str =
    "the agent is not running; start it with: sudo systemctl start tunwarden";

/// How long a reconnect may take: up to three attempts to start a VPN, and the restart of the networks.
const RECONNECT_TIMEOUT: Duration = Duration::from_secs(600);

pub(super) async fn connect() -> anyhow::Result<Agent1Proxy<'static>> {
    connect_for(TIMEOUT).await
}

/// Connects for a call that reconnects a VPN.
pub(super) async fn connect_for_reconnect() -> anyhow::Result<Agent1Proxy<'static>> {
    connect_for(RECONNECT_TIMEOUT).await
}

async fn connect_for(timeout: Duration) -> anyhow::Result<Agent1Proxy<'static>> {
    let builder = zbus::connection::Builder::system().method_timeout(timeout);
    let connection = builder.build().await.context("cannot connect to the system bus")?;
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

/// Makes the agent end a pause, compare the rules and repair the differences.
///
/// # Errors
/// If the kernel does not hold the rules afterwards.
pub(super) async fn close() -> anyhow::Result<()> {
    let agent = connect().await?;
    agent.resume().await?;
    if !agent.verify().await?.is_empty() {
        let left = agent.verify().await?;
        ensure!(left.is_empty(), "the agent could not repair the rules: {}", left.join("; "));
    }
    let verdict = status(&agent).await?.verdict();
    ensure!(verdict.is_closed(), "the agent reports: {verdict}");
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

/// The agent's error message, without the D-Bus error name around it.
pub(super) fn answer(error: zbus::Error) -> anyhow::Error {
    anyhow!(bus::error_text(&error))
}
