//! Opening and closing by an administrator's word.
//!
//! The kernel's rules end a pause by the wall clock. Here it is held against the clock that nobody
//! sets as well: whichever says first that it is over.

use super::Agent;
use crate::bus::{Answer, Asker};
use crate::policy::{self, Ruleset};
use crate::system;
use crate::vpn::{Event, Pause, PauseScope};

impl Agent {
    /// Opens, and says until when.
    pub(super) async fn pause(&mut self, seconds: u64, scope: PauseScope, by: Asker) -> Result<u64, String> {
        if scope == PauseScope::Portal && self.machine.protects() {
            return Err("the VPN is up: there is no portal to sign in to".to_owned());
        }
        let pause = Pause::new(system::now(), seconds, scope);
        let ends = system::uptime().saturating_add(seconds);
        // Only once the kernel has taken the rules is this machine paused.
        let paused = self.rules_after(Event::Pause(pause));
        if let Err(refused) = self.try_rules(paused).await {
            let why = self.restore(&refused).await;
            return Err(format!("not paused, nothing was opened: {why}"));
        }
        tracing::warn!("{by} pauses for {seconds} seconds: {scope}");
        self.pause_ends = Some(ends);
        self.asked_by = Some(by);
        self.take(Event::Pause(pause));
        self.enforce().await;
        self.in_force().map(|()| pause.until)
    }

    /// The rules that would follow from an event.
    fn rules_after(&self, event: Event) -> Ruleset {
        let mut machine = self.machine.clone();
        machine.step(event, system::now());
        policy::ruleset(machine.config(), &self.owners, &machine.situation())
    }

    /// Closes.
    pub(super) async fn resume(&mut self, by: Asker) -> Answer {
        if self.machine.pause().is_some() {
            tracing::warn!("{by} ends the pause");
            self.asked_by = Some(by);
        }
        self.pause_ends = None;
        self.take(Event::Resume);
        self.enforce().await;
        self.in_force()
    }

    /// Goes on with the pause of our forerunner: the kernel still holds it.
    pub(super) fn take_up_pause(&mut self) {
        let applied = &self.kept.situation;
        let (Some(from), Some(until)) = (applied.paused_from, applied.paused_until) else { return };
        let moment = |at: jiff::Timestamp| u64::try_from(at.as_second()).unwrap_or_default();
        let pause = Pause { from: moment(from), until: moment(until), scope: applied.pause_scope };
        self.pause_ends = self.kept.pause_ends;
        self.take(Event::Pause(pause));
    }

    /// What the pause is by the clock that nobody sets, when the wall clock would make it longer.
    pub(super) fn shorter_pause(&mut self) -> Option<Event> {
        let (pause, ends) = (self.machine.pause()?, self.pause_ends?);
        let shorter = pause.at_most(system::now(), ends.saturating_sub(system::uptime()));
        // Both clocks count whole seconds, and not the same ones.
        (shorter.until + 1 < pause.until).then(|| {
            tracing::warn!(
                "the clock was set back: the pause ends {} s earlier by it",
                pause.until - shorter.until
            );
            Event::Pause(shorter)
        })
    }
}
