//! Server names: the agent looks them up and pins them, each after the rules that allow it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use futures_util::FutureExt;
use tokio::task::JoinHandle;

use super::{Agent, describe};
use crate::effects::dns;
use crate::effects::hosts::{self, Pins, helper};
use crate::net::HostName;
use crate::vpn::Event;

/// The names to look up, and the pins.
#[derive(Debug, Default)]
pub(super) struct ServerNames {
    /// Names that are looked up after the next commit, each by these resolvers.
    waiting: Vec<(HostName, BTreeSet<IpAddr>)>,
    /// The pins that were written last; `None` when it is not known what the file holds.
    pinned: Option<Pins>,
    /// The last warning about the file.
    complaint: String,
    /// The last request to the unit that may write the file.
    request: Option<JoinHandle<Result<(), String>>>,
}

impl ServerNames {
    pub(super) fn ask_later(&mut self, names: Vec<HostName>, resolvers: BTreeSet<IpAddr>) {
        self.waiting.extend(names.into_iter().map(|name| (name, resolvers.clone())));
    }

    /// Asks the unit that may write the file to write these pins, after every earlier request.
    fn request(&mut self, pins: Pins) {
        let before = self.request.take();
        self.pinned = Some(pins.clone());
        self.request = Some(tokio::spawn(async move {
            if let Some(before) = before {
                drop(before.await);
            }
            helper::ask(Path::new(helper::SOCKET), &pins).await.map_err(|error| describe(&error))
        }));
    }

    /// Takes the result of the last request, if it is there.
    fn take_result(&mut self) {
        let Some(request) = self.request.take_if(|request| request.is_finished()) else { return };
        match request.now_or_never() {
            Some(Ok(Ok(()))) => self.complaint.clear(),
            Some(Ok(Err(complaint))) => {
                self.pinned = None;
                self.complain(complaint);
            }
            Some(Err(_)) | None => self.pinned = None,
        }
    }

    fn complain(&mut self, complaint: String) {
        if complaint != self.complaint {
            tracing::warn!("{complaint}");
            self.complaint = complaint;
        }
    }
}

impl Agent {
    /// Starts the look-ups that wait. Their results come as events.
    pub(super) fn ask(&mut self) {
        let (known, mark) = (self.machine.pins(), self.machine.question_mark());
        for (name, resolvers) in self.names.waiting.drain(..) {
            let is_known = known.contains_key(&name);
            let events = self.sources.events.clone();
            // An entry of the administrator's in the file counts. This machine's own names are never looked
            // up.
            let file = hosts::named(Path::new(hosts::HOSTS), &name);
            if let Some(addresses) = file.or_else(|| hosts::is_own(&name).then(Vec::new)) {
                tokio::spawn(async move { events.send(Event::Resolved { name, addresses }).await });
                continue;
            }
            tokio::spawn(async move {
                let addresses = match dns::look_up(&name, &resolvers, mark).await {
                    Ok(addresses) => {
                        tracing::debug!("{name} is {addresses:?}");
                        addresses
                    }
                    // The name is still pinned. A warning would come every few minutes.
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

    /// Another program wrote the file, so the pins may be gone.
    pub(super) fn pin_again(&mut self) {
        self.names.pinned = None;
        self.pin();
    }

    /// Writes the pins to `/etc/hosts`, where a VPN client looks for its server.
    pub(super) fn pin(&mut self) {
        self.names.take_result();
        let pins = self.machine.pins();
        if self.names.pinned.as_ref() == Some(&pins) {
            return;
        }
        match hosts::pin(Path::new(hosts::HOSTS), &pins) {
            Ok(()) => {
                self.names.pinned = Some(pins);
                self.names.complaint.clear();
            }
            Err(error) if error.is_read_only() => self.names.request(pins),
            Err(error) => self.names.complain(describe(&error)),
        }
    }
}
