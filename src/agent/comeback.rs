//! The attempt to bring a VPN back that is under way, and who waits for it; and the way past a dead
//! tunnel.

use tokio::sync::{oneshot, watch};

use super::{Agent, describe};
use crate::bus::Answer;
use crate::effects::reconnect::{Eyes, Reach, bring_back, finish};
use crate::effects::routes;
use crate::vpn::{Comeback, Event};

/// One attempt. Its end comes as an event.
pub(super) struct Attempt {
    reach: watch::Sender<Reach>,
    waiting: Vec<oneshot::Sender<Answer>>,
}

impl Agent {
    /// Begins an attempt, or lets the one under way go further and waits for that.
    pub(super) fn bring_back(
        &mut self,
        comeback: Comeback,
        reach: Reach,
        answer: Option<oneshot::Sender<Answer>>,
    ) {
        if let Some(attempt) = &mut self.attempt {
            tracing::info!("the VPN is being brought back already");
            attempt.reach.send_modify(|now| *now = (*now).max(reach));
            attempt.waiting.extend(answer);
            return;
        }
        let (sender, receiver) = watch::channel(reach);
        let events = self.events.clone();
        let (status, store) = (self.status.subscribe(), self.store.clone());
        let eyes = Eyes { status, events: events.clone(), store, reach: receiver };
        tokio::spawn(async move {
            let result = bring_back(&comeback, eyes).await;
            let _ = events.send(Event::Reconnected(result)).await;
        });
        self.attempt = Some(Attempt { reach: sender, waiting: answer.into_iter().collect() });
    }

    /// Once NetworkManager is there: what a forerunner did not live to end.
    pub(super) fn finish_comeback(&mut self) {
        if std::mem::take(&mut self.unfinished) {
            tokio::spawn(finish(self.store.clone()));
        }
    }

    /// Lets a client past a tunnel that is dead, once the rules say where it may go.
    pub(super) async fn detour(&mut self) {
        let wanted = self.machine.detours();
        if self.detours.as_ref() == Some(&wanted) {
            return;
        }
        if let Err(error) = routes::set(&wanted).await {
            tracing::warn!("no way past a dead tunnel to its next server: {}", describe(&error));
        }
        self.detours = Some(wanted);
    }

    pub(super) fn attempt_ended(&mut self, result: &Answer) {
        match result {
            Ok(()) => tracing::info!("the VPN is back"),
            Err(why) => tracing::warn!("{why}"),
        }
        let attempt = self.attempt.take();
        for waiting in attempt.into_iter().flat_map(|attempt| attempt.waiting) {
            let _ = waiting.send(result.clone());
        }
    }
}
