//! Bringing a VPN back: the attempt that runs, the callers who wait for it, and the routes past a dead
//! tunnel.

use tokio::sync::{oneshot, watch};

use super::{Agent, describe};
use crate::bus::Answer;
use crate::effects::reconnect::{AttemptContext, Reach, bring_back, finish};
use crate::effects::routes;
use crate::store::Store;
use crate::vpn::{Comeback, Detours, Event};

pub(super) struct Reconnection {
    attempt: Option<Attempt>,
    /// The attempt that begins after the next commit: its rules come first.
    due: Option<Comeback>,
    /// Whether an earlier agent ended in the middle of an attempt.
    is_unfinished: bool,
    /// The routes past a dead tunnel that were set last; `None` when it is not known which routes there are.
    detours: Option<Detours>,
}

/// An attempt that runs. Its end comes as an event.
struct Attempt {
    reach: watch::Sender<Reach>,
    /// Callers who wait for its result.
    waiting: Vec<oneshot::Sender<Answer>>,
}

impl Reconnection {
    pub(super) fn new(store: &Store) -> Self {
        Self { attempt: None, due: None, is_unfinished: store.networking_off().is_some(), detours: None }
    }
}

impl Agent {
    /// An attempt is due.
    pub(super) fn bring_back_later(&mut self, comeback: Comeback) {
        self.reconnection.due = Some(comeback);
    }

    /// Starts the attempt that is due.
    pub(super) fn start_attempt(&mut self) {
        if let Some(comeback) = self.reconnection.due.take() {
            self.bring_back(comeback, Reach::Vpn, None);
        }
    }

    /// Starts an attempt. If one already runs, it may go as far as `reach` now, and the caller waits for it.
    pub(super) fn bring_back(
        &mut self,
        comeback: Comeback,
        reach: Reach,
        answer: Option<oneshot::Sender<Answer>>,
    ) {
        if let Some(attempt) = &mut self.reconnection.attempt {
            tracing::info!("the VPN is being brought back already");
            attempt.reach.send_modify(|now| *now = (*now).max(reach));
            attempt.waiting.extend(answer);
            return;
        }
        let (sender, receiver) = watch::channel(reach);
        let events = self.sources.events.clone();
        let (status, store) = (self.announcer.status.subscribe(), self.memory.store.clone());
        let context = AttemptContext { status, events: events.clone(), store, reach: receiver };
        tokio::spawn(async move {
            let result = bring_back(&comeback, context).await;
            let _ = events.send(Event::Reconnected(result)).await;
        });
        self.reconnection.attempt = Some(Attempt { reach: sender, waiting: answer.into_iter().collect() });
    }

    /// Once NetworkManager is there, finishes an attempt in the middle of which an earlier agent ended.
    pub(super) fn finish_earlier_attempt(&mut self) {
        if std::mem::take(&mut self.reconnection.is_unfinished) {
            tokio::spawn(finish(self.memory.store.clone()));
        }
    }

    /// Sets routes past a dead tunnel, so that its client reaches the next server. The rules for it come
    /// first.
    pub(super) async fn detour(&mut self) {
        let wanted = self.machine.detours();
        if self.reconnection.detours.as_ref() == Some(&wanted) {
            return;
        }
        if let Err(error) = routes::set(&wanted).await {
            tracing::warn!(
                "cannot set a route to the next server outside the dead tunnel: {}",
                describe(&error)
            );
        }
        self.reconnection.detours = Some(wanted);
    }

    pub(super) fn attempt_ended(&mut self, result: &Answer) {
        match result {
            Ok(()) => tracing::info!("the VPN is back"),
            Err(why) => tracing::warn!("{why}"),
        }
        let attempt = self.reconnection.attempt.take();
        for waiting in attempt.into_iter().flat_map(|attempt| attempt.waiting) {
            let _ = waiting.send(result.clone());
        }
    }
}
