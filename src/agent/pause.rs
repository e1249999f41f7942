//! Pause and resume, which an administrator asks for.
//!
//! The kernel's rules end a pause by the wall clock. The agent also measures it by CLOCK_BOOTTIME, which
//! no administrator can change. The pause ends at the earlier of both.

use super::Agent;
use crate::bus::{Answer, Requester};
use crate::policy::{self, Ruleset};
use crate::system;
use crate::vpn::{Event, Pause, PauseScope};

impl Agent {
    /// Pauses, and returns when the pause ends.
    pub(super) async fn pause(
        &mut self,
        seconds: u64,
        scope: PauseScope,
        by: Requester,
    ) -> Result<u64, String> {
        if scope == PauseScope::Portal && self.machine.protects() {
            return Err("the VPN is up: there is no portal to sign in to".to_owned());
        }
        let pause = Pause::new(system::now(), seconds, scope);
        let ends = system::uptime().saturating_add(seconds);
        // The state machine takes the pause only after the kernel has taken its rules.
        let paused = self.rules_after(Event::Pause(pause));
        if let Err(refused) = self.try_rules(paused).await {
            let why = self.restore(&refused).await;
            return Err(format!("not paused, nothing was opened: {why}"));
        }
        tracing::warn!("{by} pauses for {seconds} seconds: {scope}");
        self.timers.pause_ends = Some(ends);
        self.announcer.asked_by = Some(by);
        self.take(Event::Pause(pause));
        self.enforce().await;
        self.in_force().map(|()| pause.until)
    }

    /// The rules that an event would lead to.
    fn rules_after(&self, event: Event) -> Ruleset {
        let mut machine = self.machine.clone();
        machine.step(event, system::now());
        policy::ruleset(machine.config(), &self.owners.current, &machine.situation())
    }

    /// Ends a pause. Without one there is nothing to do: every user may call this, as often as they like.
    pub(super) async fn resume(&mut self, by: Requester) -> Answer {
        if self.machine.pause().is_none() {
            return self.in_force();
        }
        tracing::warn!("{by} ends the pause");
        self.announcer.asked_by = Some(by);
        self.timers.pause_ends = None;
        self.take(Event::Resume);
        self.enforce().await;
        self.in_force()
    }

    /// Continues the pause of an earlier agent, which the kernel still holds.
    pub(super) fn take_up_pause(&mut self) {
        let applied = &self.memory.kept.situation;
        let (Some(from), Some(until)) = (applied.paused_from, applied.paused_until) else { return };
        let moment = |at: jiff::Timestamp| u64::try_from(at.as_second()).unwrap_or_default();
        let pause = Pause { from: moment(from), until: moment(until), scope: applied.pause_scope };
        self.timers.pause_ends = self.memory.kept.pause_ends;
        self.take(Event::Pause(pause));
    }

    /// The pause as CLOCK_BOOTTIME limits it, if the wall clock was set back and would make it longer.
    pub(super) fn shorter_pause(&mut self) -> Option<Event> {
        let (pause, ends) = (self.machine.pause()?, self.timers.pause_ends?);
        let shorter = pause.at_most(system::now(), ends.saturating_sub(system::uptime()));
        // Both clocks count whole seconds, and their seconds begin at different moments.
        (shorter.until + 1 < pause.until).then(|| {
            tracing::warn!(
                "the clock was set back, so the pause ends {} s earlier by the wall clock",
                pause.until - shorter.until
            );
            Event::Pause(shorter)
        })
    }
}
