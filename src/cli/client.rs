//! Speaking to the agent on the system bus.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, anyhow};
use zbus::Connection;
use zbus::OwnedVariant;

use crate::bus::{Agent1Proxy, Fields};

/// How long the agent is given for an answer; a commit takes a tenth of a second.
const PATIENCE: Duration = Duration::from_secs(15);

/// Says what to do when there is no agent.
pub(super) const NOT_RUNNING: &str =
    "the agent is not running; start it with: sudo systemctl start tunwarden";

pub(super) async fn connect() -> anyhow::Result<Agent1Proxy<'static>> {
    let builder = zbus::connection::Builder::system().method_timeout(PATIENCE);
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
    if let zbus::Error::MethodError(_, Some(text), _) = error { anyhow!(text) } else { error.into() }
}

pub(super) type Dict = HashMap<String, OwnedVariant>;
