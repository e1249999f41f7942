//! The agent as other programs see it on the bus.

use std::collections::{BTreeMap, HashMap};

use zbus::fdo::PropertiesProxy;
use zbus::names::{BusName, InterfaceName};
use zbus::proxy::CacheProperties;
use zbus::{Connection, OwnedVariant, proxy};

use super::{NAME, PATH};
use crate::status::{Status, StatusError};

/// Why the status of the agent could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The agent did not answer.
    #[error(transparent)]
    Bus(#[from] zbus::Error),
    /// Its answer is not the status of an agent.
    #[error(transparent)]
    Status(#[from] StatusError),
}

/// Reads the status of the agent that has this name on the bus.
///
/// # Errors
/// [`ReadError`]
pub async fn read_status(connection: &Connection, agent: BusName<'_>) -> Result<Status, ReadError> {
    let properties = PropertiesProxy::builder(connection).destination(agent).path(PATH);
    let properties = properties.cache_properties(CacheProperties::No).build().await?;
    let all = properties.get_all(InterfaceName::from_static_str(NAME)?).await.map_err(zbus::Error::from)?;
    Ok(Status::from_properties(all)?)
}

/// The methods of `org.tunwarden.Agent1`; see `dbus/org.tunwarden.Agent1.xml`. [`read_status`] reads its
/// properties.
#[proxy(
    interface = "org.tunwarden.Agent1",
    default_service = "org.tunwarden.Agent1",
    default_path = "/org/tunwarden/Agent1"
)]
pub trait Agent1 {
    /// tunwarden's version.
    #[zbus(property)]
    fn version(&self) -> zbus::Result<String>;
    /// Opens everything for this number of seconds.
    fn pause(&self, seconds: u64) -> zbus::Result<()>;
    /// Opens DNS and web pages of the host for this number of seconds, or until the VPN is up. Returns when
    /// it ends.
    fn pause_portal(&self, seconds: u64) -> zbus::Result<u64>;
    /// Closes again.
    fn resume(&self) -> zbus::Result<()>;
    /// Reads the configuration again.
    fn reload(&self) -> zbus::Result<()>;
    /// Every difference between the kernel and the policy.
    fn verify(&self) -> zbus::Result<Vec<String>>;
    /// Brings the last VPN back. Answers when it carries traffic, or when every step failed. That may take
    /// minutes.
    fn reconnect(&self) -> zbus::Result<()>;
    /// Number of containers that are refused again and again because the VPN is lost.
    #[zbus(property(emits_changed_signal = "false"))]
    fn waiting_containers(&self) -> zbus::Result<u32>;
    /// Who was refused since this moment.
    fn recently_blocked(&self, since: u64) -> zbus::Result<Vec<HashMap<String, OwnedVariant>>>;
    /// A hook's report.
    fn report_tunnel(&self, fields: BTreeMap<String, String>) -> zbus::Result<()>;
}
