//! Speaking to the agent on the system bus.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, anyhow};
use zbus::Connection;
use zbus::OwnedVariant;

use crate::bus::{self, Agent1Proxy, Fields};

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
    agent.version().await.map_err(|_| anyhow!(NOT_RUNNING))?;
    Ok(agent)
}

/// Has the agent compare, and put right what differs.
pub(super) async fn verify() -> anyhow::Result<Vec<String>> {
    Ok(connect().await?.verify().await?)
}

/// Has the agent end a pause, compare, and put right what differs.
pub(super) async fn close() -> anyhow::Result<()> {
    let agent = connect().await?;
    agent.resume().await?;
    agent.verify().await?;
    Ok(())
}

pub(super) async fn report(fields: Fields) -> anyhow::Result<()> {
    Ok(connect().await?.report_tunnel(fields).await?)
}

/// What the agent answered, without the bus's own words around it.
pub(super) fn answer(error: zbus::Error) -> anyhow::Error {
    anyhow!(bus::spoken(&error))
}

pub(super) type Dict = HashMap<String, OwnedVariant>;
