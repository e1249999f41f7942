//! Which configuration is in force, and keeping it: a later start may find a file with a fault.

use std::path::Path;

use super::{Agent, describe};
use crate::config::{Faults, InForce, Written};
use crate::status::ConfigurationStatus;

/// What the agent says of its configuration, and what it keeps of it.
#[derive(Debug)]
pub(super) struct Configuration {
    status: ConfigurationStatus,
    /// The text of the configuration in force; `None` for the strictest lock.
    text: Option<String>,
    /// The text that the state directory holds; `None` while that is not known.
    kept: Option<String>,
    /// What was said last about a state directory that cannot be written.
    complaint: String,
}

impl Configuration {
    pub(super) fn new(path: &Path, in_force: &InForce) -> Self {
        let status = ConfigurationStatus::new(path, in_force);
        Self { status, text: in_force.text.clone(), kept: None, complaint: String::new() }
    }

    /// The file has a fault: what was in force stays.
    pub(super) fn refuse(&mut self, faults: &Faults) {
        self.status.refuse(faults);
    }

    /// The file's configuration is in force from now on.
    pub(super) fn accept(&mut self, written: &Written) {
        self.status.accept();
        self.text = Some(written.text.clone());
    }

    pub(super) fn status(&self) -> ConfigurationStatus {
        self.status.clone()
    }
}

impl Agent {
    /// Keeps the configuration once the kernel holds its rules.
    pub(super) fn keep_configuration(&mut self) {
        let configuration = &mut self.configuration;
        if self.applied.is_none() || configuration.kept == configuration.text {
            return;
        }
        let Some(text) = &configuration.text else { return };
        match self.store.keep_configuration(text) {
            Ok(()) => configuration.kept = Some(text.clone()),
            Err(error) => {
                let complaint = describe(&error);
                if complaint != configuration.complaint {
                    tracing::warn!("{complaint}: a fault in the file would be answered with older rules");
                    configuration.complaint = complaint;
                }
            }
        }
    }
}
