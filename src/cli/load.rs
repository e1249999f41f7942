//! Finding the configuration.

use std::path::Path;

use crate::config::{Config, DEFAULT_PATH, Faults};

/// The configuration at `path`; without a path the system's, and its default when there is none.
///
/// # Errors
/// Every fault in it, for people.
pub(super) fn load(path: Option<&Path>) -> Result<Config, Faults> {
    match (Config::read(path.unwrap_or(Path::new(DEFAULT_PATH))), path) {
        (Err(Faults::NotFound(_)), None) => Ok(Config::default()),
        (result, _) => result,
    }
}
