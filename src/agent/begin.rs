//! How an agent begins: with what can be known at once, and what its forerunner left in force.

use std::time::Duration;

use tokio::sync::mpsc;

use super::reports::is_current;
use super::{Agent, describe};
use crate::bus::News;
use crate::firewall::hide_tunnel_addresses;
use crate::policy;
use crate::sources;
use crate::vpn::{Announcement, Event, Reason, Reporter, State, Tunnel, TunnelSource};

/// How long the first facts are waited for when the kernel already holds what was applied before.
const FIRST_FACTS: Duration = Duration::from_millis(1500);

impl Agent {
    /// What can be known at once: the links, and what root's hooks reported to our forerunner.
    pub(super) async fn look_once(&mut self) {
        match sources::links::snapshot().await {
            Ok(table) => self.take(Event::Links(table)),
            Err(error) => tracing::warn!("{}: no LAN until the links can be read", describe(&error)),
        }
        let before = self.kept.reports.clone();
        for report in before.into_iter().filter(is_current) {
            self.take(Event::Report(report, Reporter::Root));
        }
        self.take_left();
        if let Err(error) = hide_tunnel_addresses(self.store.run()) {
            tracing::debug!("{}", describe(&error));
        }
    }

    /// The first commit. A kernel that holds nothing of ours is locked at once; one that still holds
    /// what our forerunner applied can wait a moment for the first facts, so that a VPN that stands
    /// is not narrowed, widened and narrowed again.
    pub(super) async fn begin(&mut self, events: &mut mpsc::Receiver<Event>) {
        let before = policy::ruleset(self.machine.config(), &self.owners, &self.kept.situation);
        let differences = self.attendant.attend(&self.machine, self.firewall.differences(&before)).await;
        // What our forerunner could not put in force is put in force at once.
        let held = self.kept.refused.is_none() && differences.is_ok_and(|lines| lines.is_empty());
        // Somebody may have opened something while no agent ran.
        self.damaged = !held;
        if held {
            self.firewall.holds(before);
            // The kernel keeps the deadline of a pause; until then it is what the administrator wants.
            self.take_up_pause();
            let before = &self.kept.situation.tunnels;
            let heard = |tunnel: &Tunnel| tunnel.carrying && tunnel.source == TunnelSource::Management;
            let (mut manager, mut client) = (false, !before.iter().any(heard));
            let facts = async {
                while let Some(event) = events.recv().await {
                    manager |= matches!(event, Event::NetworkManager(_));
                    client |= matches!(event, Event::Management(_));
                    self.take(event);
                    self.listen();
                    if manager && client {
                        break;
                    }
                }
            };
            // No NetworkManager, no bus: the other sources are enough.
            let _ = tokio::time::timeout(FIRST_FACTS, facts).await;
        }
        let (old, new) = (self.kept.told_state(), self.machine.situation().state);
        if old == new && held {
            self.machine.keep_since(self.kept.since, &self.kept.situation.tunnels);
        }
        self.news = self.what_happened_meanwhile(old, new);
        self.enforce().await;
    }

    fn what_happened_meanwhile(&self, old: State, new: State) -> Vec<News> {
        let mut news = Vec::new();
        if new == State::Lost && old == State::Protected {
            news.extend(self.kept.situation.tunnels.iter().map(|tunnel| {
                let (name, interface) = (tunnel.name.clone(), Some(tunnel.interface.clone()));
                News::Vpn(Announcement::Lost { name, interface, reason: Reason::LinkGone })
            }));
        }
        if old != new {
            news.push(News::Vpn(Announcement::State { old, new }));
        }
        news
    }
}
