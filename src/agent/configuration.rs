//! The configuration in force. The agent keeps its text, because a later start may find a file with a fault.

use std::path::Path;

use super::{Agent, Loader, describe};
use crate::config::{Faults, InForce, Written};
use crate::status::ConfigurationStatus;

/// The configuration as the status shows it, and its text.
pub(super) struct Configuration {
    /// Reads the file again.
    pub(super) load: Loader,
    status: ConfigurationStatus,
    /// The text of the configuration in force; `None` for the strictest lock.
    text: Option<String>,
    /// The text that the state directory holds; `None` while it is not known.
    kept: Option<String>,
    /// The last warning about a state directory that cannot be written.
    warning: String,
}

impl Configuration {
    pub(super) fn new(path: &Path, in_force: &InForce, load: Loader) -> Self {
        let status = ConfigurationStatus::new(path, in_force);
        Self { load, status, text: in_force.text.clone(), kept: None, warning: String::new() }
    }

    /// The file has a fault, so the configuration in force stays.
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
    /// Keeps the configuration after the kernel has taken its rules.
    pub(super) fn keep_configuration(&mut self) {
        let configuration = &mut self.configuration;
        if self.rules.applied.is_none() || configuration.kept == configuration.text {
            return;
        }
        let Some(text) = configuration.text.clone() else { return };
        let (store, new) = (self.memory.store.clone(), text.clone());
        let write = move || store.keep_configuration(&new);
        match self.memory.writer.write("the configuration in force", write) {
            Some(Ok(())) => configuration.kept = Some(text),
            // It is not known which text the disk will have. The next commit asks again.
            None => configuration.kept = None,
            Some(Err(error)) => {
                let warning = describe(&error);
                if warning != configuration.warning {
                    tracing::warn!(
                        "{warning}: if the file has a fault at the next start, an older configuration applies"
                    );
                    configuration.warning = warning;
                }
            }
        }
    }
}
