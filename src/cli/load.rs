//! Reads the configuration of a command.

use std::path::{Path, PathBuf};

use super::warn;
use crate::config::{DEFAULT_PATH, Faults, InForce, Written};
use crate::status::ConfigurationStatus;
use crate::store::Store;

/// Reads the configuration at `path`. Without a path it reads the system's file; if there is none, it returns
/// the default.
///
/// # Errors
/// Every fault in the file.
pub(super) fn load(path: Option<&Path>) -> Result<Written, Faults> {
    match (Written::read(&path_of(path)), path) {
        (Err(Faults::NotFound(_)), None) => Ok(Written::default()),
        (result, _) => result,
    }
}

/// The configuration in force: that of the file, or the one that replaces it if the file has a fault.
pub(super) fn in_force(path: Option<&Path>, store: &Store) -> InForce {
    InForce::choose(load(path), || store.configuration())
}

/// Like [`in_force`], but warns on standard error if the file's configuration is not in force.
pub(super) fn in_force_with_warning(path: Option<&Path>, store: &Store) -> InForce {
    let in_force = in_force(path, store);
    if let Some(announcement) = in_force.announcement() {
        warn(&announcement);
    }
    in_force
}

/// The configuration in force, as the status shows it.
pub(super) fn configuration_status(path: Option<&Path>, in_force: &InForce) -> ConfigurationStatus {
    ConfigurationStatus::new(&path_of(path), in_force)
}

pub(super) fn path_of(path: Option<&Path>) -> PathBuf {
    path.unwrap_or(Path::new(DEFAULT_PATH)).to_owned()
}
