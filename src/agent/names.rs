//! Server names: the questions that go out and the pins that stand, each after the rules for it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use super::{Agent, describe};
use crate::effects::dns;
use crate::effects::hosts::{self, Pins};
use crate::net::HostName;
use crate::vpn::Event;

/// What waits for the rules that let it out, and what is said of it already.
#[derive(Debug, Default)]
pub(super) struct Questions {
    waiting: Vec<(HostName, BTreeSet<IpAddr>)>,
    /// The pins as they were written last; `None` when nobody knows what the file says.
    pinned: Option<Pins>,
    /// What was last said of the file.
    complaint: String,
}

impl Questions {
    pub(super) fn add(&mut self, names: Vec<HostName>, resolvers: BTreeSet<IpAddr>) {
        self.waiting.extend(names.into_iter().map(|name| (name, resolvers.clone())));
    }
}

impl Agent {
    /// Sends the questions that wait. The answers come as events.
    pub(super) fn ask(&mut self) {
        let known = self.machine.pins();
        for (name, resolvers) in self.questions.waiting.drain(..) {
            let is_known = known.contains_key(&name);
            let events = self.events.clone();
            // What the administrator wrote into the file counts, and nobody is asked for this machine itself.
            let file = hosts::named(Path::new(hosts::HOSTS), &name);
            if let Some(addresses) = file.or_else(|| hosts::is_own(&name).then(Vec::new)) {
                tokio::spawn(async move { events.send(Event::Resolved { name, addresses }).await });
                continue;
            }
            tokio::spawn(async move {
                let addresses = match dns::look_up(&name, &resolvers).await {
                    Ok(addresses) => {
                        tracing::debug!("{name} is {addresses:?}");
                        addresses
                    }
                    // Its pin stands: no news, and it would come every few minutes.
                    Err(error) if is_known => {
                        tracing::debug!("{name} could not be looked up: {}", describe(&error));
                        Vec::new()
                    }
                    Err(error) => {
                        tracing::warn!("{name} could not be looked up: {}", describe(&error));
                        Vec::new()
                    }
                };
                let _ = events.send(Event::Resolved { name, addresses }).await;
            });
        }
    }

    /// Somebody else wrote the file: nobody knows what it says now.
    pub(super) fn pin_again(&mut self) {
        self.questions.pinned = None;
        self.pin();
    }

    /// Pins the servers where their client looks for them.
    pub(super) fn pin(&mut self) {
        let pins = self.machine.pins();
        if self.questions.pinned.as_ref() == Some(&pins) {
            return;
        }
        match hosts::pin(Path::new(hosts::HOSTS), &pins) {
            Ok(()) => {
                self.questions.pinned = Some(pins);
                self.questions.complaint.clear();
            }
            Err(error) => {
                let complaint = describe(&error);
                if complaint != self.questions.complaint {
                    tracing::warn!("{complaint}");
                    self.questions.complaint = complaint;
                }
            }
        }
    }
}
