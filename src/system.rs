//! The edge to the rest of the system: the clock, the user database, and whether Docker is there.

use nix::unistd::User;

use crate::config::{Config, UserName};
use crate::policy::Owners;

/// Now, in seconds since the epoch.
#[expect(clippy::disallowed_methods, reason = "this file is where the clock is read")]
pub fn now() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or_default()
}

/// The user ids of `bootstrap.owners`, and those names that this system does not have.
pub fn owners(config: &Config) -> (Owners, Vec<&UserName>) {
    let mut owners = Owners::new();
    let mut unknown = Vec::new();
    for name in &config.bootstrap.owners {
        match User::from_name(name.as_str()) {
            Ok(Some(user)) => {
                owners.insert(user.uid.as_raw());
            }
            Ok(None) | Err(_) => unknown.push(name),
        }
    }
    (owners, unknown)
}

/// Whether there is a Docker on this machine: its socket or its bridge.
pub fn has_docker() -> bool {
    ["/run/docker.sock", "/sys/class/net/docker0"].iter().any(|path| std::path::Path::new(path).exists())
}
