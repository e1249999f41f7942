//! The updates that wait to be sent to the bus. The agent's loop never waits for a slow or missing bus: it puts the
//! newest status and the news here, and the bus service takes them as soon as it can.
//!
//! The number of news is limited. Above the limit, the least important ones are merged into later ones. A loss is
//! removed only if there is a later loss of the same VPN, or if all news are losses of different VPNs.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;

use super::{BusSignal, Requester, Update};
use crate::status::Status;
use crate::system;
use crate::vpn::Announcement;

/// Maximum number of news that wait for the bus.
const MAX_WAITING: usize = 256;

/// The news that wait for the bus, and the newest status.
#[derive(Debug, Clone, Default)]
pub struct Backlog(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Option<Waiting>>,
    changed: Notify,
}

/// Everything that waits at one moment.
#[derive(Debug)]
pub(super) struct Waiting {
    /// The newest status.
    pub(super) status: Status,
    /// What happened, the oldest first, and who asked for it.
    pub(super) news: VecDeque<(BusSignal, Option<Requester>)>,
    /// How many news were merged into later ones.
    pub(super) merged: u64,
}

impl Backlog {
    /// Adds an update; never waits.
    pub fn push(&self, notice: Update) {
        let Update { status, news, by } = notice;
        let mut waiting = self.lock();
        let (before, merged) = waiting.take().map(|before| (before.news, before.merged)).unwrap_or_default();
        let mut all = Waiting { status, news: before, merged };
        all.news.extend(news.into_iter().map(|news| (news, by.clone())));
        all.bound();
        *waiting = Some(all);
        self.0.changed.notify_one();
    }

    /// Waits until there is something, and takes everything.
    pub(super) async fn take(&self) -> Waiting {
        loop {
            let changed = self.0.changed.notified();
            if let Some(waiting) = self.lock().take() {
                return waiting;
            }
            changed.await;
        }
    }

    /// Puts back what could not be sent. It comes before the news that were added during the attempt.
    pub(super) fn put_back(&self, mut unsent: Waiting) {
        let mut waiting = self.lock();
        if let Some(newer) = waiting.take() {
            unsent.status = newer.status;
            unsent.news.extend(newer.news);
            unsent.merged += newer.merged;
        }
        unsent.bound();
        *waiting = Some(unsent);
        self.0.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Option<Waiting>> {
        system::lock(&self.0.waiting)
    }
}

impl Waiting {
    fn bound(&mut self) {
        while self.news.len() > MAX_WAITING {
            self.merge_one();
            self.merged += 1;
        }
    }

    /// Removes one of the news, or merges two changes of state.
    fn merge_one(&mut self) {
        // The property `Repairs` counts repairs as well.
        let repair = self.position(|news| matches!(news, BusSignal::Repaired { .. }));
        let failure = || self.first_of_several(|news| matches!(news, BusSignal::Failed(_)).then_some(""));
        if let Some(place) = repair.or_else(failure) {
            self.news.remove(place);
        } else if !self.merge_states() {
            let loss = self.first_of_several(lost_name).unwrap_or_default();
            self.news.remove(loss);
        }
    }

    /// Merges the first two changes of state into one. Returns false if there are fewer than two.
    fn merge_states(&mut self) -> bool {
        let mut changes = self.news.iter_mut().enumerate().filter_map(|(place, (news, _))| match news {
            BusSignal::Vpn(Announcement::State { old, .. }) => Some((place, old)),
            BusSignal::Vpn(Announcement::Lost { .. }) | BusSignal::Repaired { .. } | BusSignal::Failed(_) => {
                None
            }
        });
        let (Some((place, first)), Some((_, second))) = (changes.next(), changes.next()) else {
            return false;
        };
        mem::swap(first, second);
        self.news.remove(place);
        true
    }

    fn position(&self, wanted: impl Fn(&BusSignal) -> bool) -> Option<usize> {
        self.news.iter().position(|(news, _)| wanted(news))
    }

    /// The position of the first news item of this kind that is followed by one with the same name.
    fn first_of_several<'a>(&'a self, name: impl Fn(&'a BusSignal) -> Option<&'a str>) -> Option<usize> {
        let mut later = std::collections::HashSet::new();
        let named = self.news.iter().enumerate().rev();
        named.filter_map(|(place, (news, _))| Some((place, name(news)?))).fold(
            None,
            |first, (place, name)| {
                if later.insert(name) { first } else { Some(place) }
            },
        )
    }
}

fn lost_name(news: &BusSignal) -> Option<&str> {
    match news {
        BusSignal::Vpn(Announcement::Lost { name, .. }) => Some(name),
        BusSignal::Vpn(Announcement::State { .. }) | BusSignal::Repaired { .. } | BusSignal::Failed(_) => {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Enforcement;
    use crate::vpn::{Reason, Situation, State};

    fn notice(news: Vec<BusSignal>) -> Update {
        let status = Status::new(&Situation::default(), 0, Enforcement::Enforced, false);
        Update { status, news, by: None }
    }

    fn lost(name: &str) -> BusSignal {
        BusSignal::Vpn(Announcement::Lost {
            name: name.to_owned(),
            interface: None,
            reason: Reason::LinkGone,
        })
    }

    fn change(old: State, new: State) -> BusSignal {
        BusSignal::Vpn(Announcement::State { old, new })
    }

    fn repaired() -> BusSignal {
        BusSignal::Repaired { what: "a rule".to_owned(), by: None }
    }

    /// What waits, and how many were merged.
    async fn waiting(backlog: &Backlog) -> (Vec<BusSignal>, u64) {
        let waiting = backlog.take().await;
        (waiting.news.into_iter().map(|(news, _)| news).collect(), waiting.merged)
    }

    fn count(news: &[BusSignal], wanted: impl Fn(&BusSignal) -> bool) -> usize {
        news.iter().filter(|news| wanted(news)).count()
    }

    #[tokio::test]
    async fn a_loss_among_any_number_of_other_news_is_sent() {
        let backlog = Backlog::default();
        backlog.push(notice(vec![lost("home"), change(State::Protected, State::Lost)]));
        for _ in 0..10 * MAX_WAITING {
            backlog.push(notice(vec![repaired(), BusSignal::Failed("why".to_owned())]));
            backlog.push(notice(vec![change(State::Lost, State::Connecting)]));
            backlog.push(notice(vec![change(State::Connecting, State::Lost)]));
        }
        backlog.push(notice(vec![lost("office")]));
        let (news, merged) = waiting(&backlog).await;
        assert!(news.len() <= MAX_WAITING, "{}", news.len());
        assert_eq!(merged as usize + news.len(), 3 + 40 * MAX_WAITING, "each is sent or counted");
        let names: Vec<&str> = news.iter().filter_map(lost_name).collect();
        assert_eq!(names, ["home", "office"]);
        assert!(count(&news, |news| matches!(news, BusSignal::Failed(_))) > 0);
        // The changes that are sent form a chain without gaps, from the first state to the last.
        let mut now = State::Protected;
        for item in &news {
            if let BusSignal::Vpn(Announcement::State { old, new }) = item {
                assert_eq!(*old, now);
                now = *new;
            }
        }
        assert_eq!(now, State::Lost);
    }

    #[tokio::test]
    async fn losses_of_one_vpn_are_merged_before_those_of_another() {
        let backlog = Backlog::default();
        backlog.push(notice(vec![lost("rare")]));
        for _ in 0..2 * MAX_WAITING {
            backlog.push(notice(vec![lost("flapping")]));
        }
        let (news, merged) = waiting(&backlog).await;
        assert_eq!(news.len(), MAX_WAITING);
        assert_eq!(merged as usize, MAX_WAITING + 1);
        assert_eq!(count(&news, |news| lost_name(news) == Some("rare")), 1);
    }

    #[tokio::test]
    async fn unsent_signals_come_before_later_ones() {
        let backlog = Backlog::default();
        backlog.push(notice(vec![lost("first")]));
        let unsent = backlog.take().await;
        backlog.push(notice(vec![lost("second")]));
        backlog.put_back(unsent);
        let (news, _) = waiting(&backlog).await;
        assert_eq!(news.iter().filter_map(lost_name).collect::<Vec<_>>(), ["first", "second"]);
    }
}
