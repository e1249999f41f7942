//! The edge to the rest of the system: the clock, the user database, processes, other programs, and whether
//! Docker is there.

pub mod process;
pub mod program;

use std::collections::BTreeSet;
use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::unistd::User;

use crate::config::{Config, UserName};
use crate::policy::Owners;

/// The user that systemd-networkd runs as. It renews leases by sockets of its own.
const NETWORKD: &str = "systemd-network";

/// Now, in seconds since the epoch.
#[expect(clippy::disallowed_methods, reason = "this file is where the clock is read")]
pub fn now() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or_default()
}

/// Bits that no other process can guess. The standard library seeds them from the kernel.
pub fn random() -> u64 {
    std::hash::RandomState::new().hash_one(std::process::id())
}

/// Seconds since this machine was started, including sleep: CLOCK_BOOTTIME, which no administrator can
/// change.
pub fn uptime() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(time.tv_sec).unwrap_or_default()
}

/// Seconds for which this machine has been awake since it was started: CLOCK_MONOTONIC.
pub fn awake() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap_or_default()
}

/// Nanoseconds since this machine was started, including sleep.
pub fn boottime() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let (seconds, rest) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
    seconds.unwrap_or_default().saturating_mul(1_000_000_000).saturating_add(rest.unwrap_or_default())
}

/// What a mutex guards, even after a panic of a thread that held it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The name of a user id, if this system has one for it.
pub fn user_name(uid: u32) -> Option<String> {
    User::from_uid(uid.into()).ok().flatten().map(|user| user.name)
}

/// The user id of a name, if this system has the user.
pub fn user_id(name: &str) -> Option<u32> {
    User::from_name(name).ok().flatten().map(|user| user.uid.as_raw())
}

/// The user ids of `bootstrap.owners`, and the names for which this system finds no user.
pub fn owners(config: &Config) -> (Owners, Vec<&UserName>) {
    let mut owners = Owners { leases: lease_owners().unwrap_or_default(), ..Owners::default() };
    let mut unknown = Vec::new();
    for name in &config.bootstrap.owners {
        match User::from_name(name.as_str()) {
            Ok(Some(user)) => {
                owners.bootstrap.insert(user.uid.as_raw());
            }
            Ok(None) | Err(_) => unknown.push(name),
        }
    }
    (owners, unknown)
}

/// The user ids of DHCP clients besides root; `None` when the user database did not answer.
fn lease_owners() -> Option<BTreeSet<u32>> {
    Some(User::from_name(NETWORKD).ok()?.map(|user| user.uid.as_raw()).into_iter().collect())
}

/// The user ids of these names; `None` when the user database did not answer for one of them.
pub fn owners_named(names: &[UserName]) -> Option<Owners> {
    let mut owners = Owners { leases: lease_owners()?, ..Owners::default() };
    for name in names {
        owners.bootstrap.extend(User::from_name(name.as_str()).ok()?.map(|user| user.uid.as_raw()));
    }
    Some(owners)
}

/// Whether there is a Docker on this machine: its socket or its bridge.
pub fn has_docker() -> bool {
    ["/run/docker.sock", "/sys/class/net/docker0"].iter().any(|path| std::path::Path::new(path).exists())
}
