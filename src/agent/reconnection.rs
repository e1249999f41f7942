//! Bringing a VPN back: the attempt that runs, the callers who wait for it, and the routes past a dead
//! tunnel.

use tokio::sync::{oneshot, watch};

use super::{Agent, describe};
use crate::bus::Answer;
use crate::effects::reconnect::{AttemptContext, ReconnectScope, finish, reconnect};
use crate::effects::routes;
use crate::store::Store;
use crate::vpn::{Detours, Event, ReconnectTarget};

pub(super) struct Reconnection {
    attempt: Option<Attempt>,
    /// The attempt that begins after the next commit: its rules come first.
    due: Option<ReconnectTarget>,
    /// Whether an earlier agent ended in the middle of an attempt.
    is_unfinished: bool,
    /// The routes past a dead tunnel that were set last; `None` when it is not known which routes there are.
    detours: Option<Detours>,
}

/// An attempt that runs. Its end comes as an event.
struct Attempt {
    scope: watch::Sender<ReconnectScope>,
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
    pub(super) fn request_reconnect(&mut self, reconnect_target: ReconnectTarget) {
        self.reconnection.due = Some(reconnect_target);
    }

    /// Starts the attempt that is due.
    pub(super) fn start_attempt(&mut self) {
        if let Some(reconnect_target) = self.reconnection.due.take() {
            self.reconnect(reconnect_target, ReconnectScope::Vpn, None);
        }
    }

    /// Starts an attempt. If one already runs, it may go as far as `scope` now, and the caller waits for it.
    pub(super) fn reconnect(
        &mut self,
        reconnect_target: ReconnectTarget,
        scope: ReconnectScope,
        answer: Option<oneshot::Sender<Answer>>,
    ) {
        if let Some(attempt) = &mut self.reconnection.attempt {
            tracing::info!("the VPN is being brought back already");
            attempt.scope.send_modify(|now| *now = (*now).max(scope));
            attempt.waiting.extend(answer);
            return;
        }
        let (sender, receiver) = watch::channel(scope);
        let events = self.sources.events.clone();
        let (status, store) = (self.announcer.status.subscribe(), self.memory.store.clone());
        let context = AttemptContext { status, events: events.clone(), store, scope: receiver };
        tokio::spawn(async move {
            let result = reconnect(&reconnect_target, context).await;
            let _ = events.send(Event::Reconnected(result)).await;
        });
        self.reconnection.attempt = Some(Attempt { scope: sender, waiting: answer.into_iter().collect() });
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
