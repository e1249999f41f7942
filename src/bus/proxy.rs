//! The agent as other programs see it on the bus.

use std::collections::{BTreeMap, HashMap};

use zbus::OwnedVariant;
use zbus::proxy;

/// `org.tunwarden.Agent1`; see `dbus/org.tunwarden.Agent1.xml`.
#[proxy(
    interface = "org.tunwarden.Agent1",
    default_service = "org.tunwarden.Agent1",
    default_path = "/org/tunwarden/Agent1"
)]
pub trait Agent1 {
    /// tunwarden's version.
    #[zbus(property)]
    fn version(&self) -> zbus::Result<String>;
    /// One of the five states.
    #[zbus(property)]
    fn state(&self) -> zbus::Result<String>;
    /// Since when, in seconds since the epoch.
    #[zbus(property)]
    fn since(&self) -> zbus::Result<u64>;
    /// Whether the kernel was found to hold the rules.
    #[zbus(property)]
    fn enforced(&self) -> zbus::Result<bool>;
    /// What may leave this machine now: `protected`, `locked`, `open` or `unknown`.
    #[zbus(property)]
    fn verdict(&self) -> zbus::Result<String>;
    /// Tunnels: `interface`, `source`, `name`, `since`, `carrying`; `address`, `port`, `protocol` of
    /// the server if it is known.
    #[zbus(property)]
    fn tunnels(&self) -> zbus::Result<Vec<HashMap<String, OwnedVariant>>>;
    /// The allowance: `address`, `port`, `protocol`; or `any`.
    #[zbus(property)]
    fn bootstrap(&self) -> zbus::Result<Vec<HashMap<String, OwnedVariant>>>;
    /// When a pause ends, in seconds since the epoch; 0 when there is none.
    #[zbus(property)]
    fn paused_until(&self) -> zbus::Result<u64>;
    /// What a pause opens: `everything` or `portal`; empty when there is none.
    #[zbus(property)]
    fn pause_scope(&self) -> zbus::Result<String>;
    /// Docker: `present`, `protected`; while it answers `version`, `backend`, `missing` and `networks`,
    /// each with `name`, `driver`, `internal`, `access`, `covered`, and `bridge` and `fault` if there
    /// are any.
    #[zbus(property)]
    fn docker(&self) -> zbus::Result<HashMap<String, OwnedVariant>>;
    /// In what the rules stand: `name`, `enforced`, and `lacks` if this system cannot do all of it.
    #[zbus(property)]
    fn layers(&self) -> zbus::Result<Vec<HashMap<String, OwnedVariant>>>;
    /// The last loss: `name`, `interface`, `reason`, `at` in seconds since the epoch, and `held`; nothing in
    /// it when there was none.
    #[zbus(property)]
    fn loss(&self) -> zbus::Result<HashMap<String, OwnedVariant>>;
    /// Which configuration is in force: `source`, `path`, and `fault` if the file is refused.
    #[zbus(property)]
    fn configuration(&self) -> zbus::Result<HashMap<String, OwnedVariant>>;
    /// VPNs of which something cannot be used: `name`, `reason`, `remedy`.
    #[zbus(property)]
    fn left_out(&self) -> zbus::Result<Vec<HashMap<String, OwnedVariant>>>;
    /// How often the rules had to be repaired.
    #[zbus(property)]
    fn repairs(&self) -> zbus::Result<u32>;
    /// Opens everything for so many seconds.
    fn pause(&self, seconds: u64) -> zbus::Result<()>;
    /// Opens DNS and web pages of the host for so many seconds, until the VPN is up; says when it ends.
    fn pause_portal(&self, seconds: u64) -> zbus::Result<u64>;
    /// Closes again.
    fn resume(&self) -> zbus::Result<()>;
    /// Reads the configuration anew.
    fn reload(&self) -> zbus::Result<()>;
    /// Every difference between the kernel and the policy.
    fn verify(&self) -> zbus::Result<Vec<String>>;
    /// Brings the VPN back that was there last. Answers when it carries, or when nothing helped: that
    /// may take minutes.
    fn reconnect(&self) -> zbus::Result<()>;
    /// A hook's report.
    fn report_tunnel(&self, fields: BTreeMap<String, String>) -> zbus::Result<()>;
}
