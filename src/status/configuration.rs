//! Which configuration is in force, and why the file's configuration is not.

use std::path::Path;

use serde::Serialize;

use crate::config::{Faults, InForce, Source, plain};

/// The configuration in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigurationStatus {
    /// `file`; `kept`: the configuration that was in force last; `strictest`; or `unknown` for a user who cannot read
    /// the kept configuration.
    pub source: String,
    /// The path of the file.
    pub path: String,
    /// Why the file's configuration is not in force, in one line.
    pub fault: Option<String>,
}

impl ConfigurationStatus {
    /// The status of a configuration whose file has this path.
    pub fn new(path: &Path, in_force: &InForce) -> Self {
        Self {
            source: in_force.source.as_str().to_owned(),
            path: plain(&path.to_string_lossy()),
            fault: in_force.fault.as_ref().map(|(_, summary)| summary.clone()),
        }
    }

    /// Notes that the file has a fault now. The configuration that was in force stays in force.
    pub fn refuse(&mut self, faults: &Faults) {
        if self.source == Source::File.as_str() {
            self.source = Source::Kept.as_str().to_owned();
        }
        self.fault = Some(faults.summary());
    }

    /// Notes that the file's configuration is in force.
    pub fn accept(&mut self) {
        self.source = Source::File.as_str().to_owned();
        self.fault = None;
    }

    /// A line for people; `None` while the configuration of the file is in force.
    pub fn line(&self) -> Option<String> {
        let fault = self.fault.as_deref()?;
        let in_force = if self.source == Source::Kept.as_str() {
            "the last valid configuration is in force"
        } else if self.source == Source::Strictest.as_str() {
            "the strictest rules are in force: no tunnel, no server, no container passes"
        } else {
            "only root can see which one is in force"
        };
        Some(format!("{fault}; {in_force}. Fix it, then: sudo tunwarden reload"))
    }
}
