//! Questions to NetworkManager: whether it made a link that carries packets. Until it has answered, the kernel's
//! evidence for that link does not count.
//!
//! Any user can have NetworkManager make a link of any name, and NetworkManager reports that only after the kernel. An
//! answer counts only if the question was asked while the link carried packets: before, the link may have been there
//! without its connection. When NetworkManager has left, or does not answer in time, a WireGuard device counts if it has
//! the private key of root's file.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::Facts;
use super::learned::LeftOut;
use super::{Link, Machine, Wire};
use crate::net::IfName;

/// After how many seconds of the clock the private key of root's file is enough. The clock counts whole seconds, so
/// NetworkManager has had at least one second to answer. It answers within milliseconds.
const KEY_TIMEOUT: u64 = 2;

/// How long NetworkManager may take to answer before the status says so, in seconds.
const ANSWER_TIMEOUT: u64 = 10;

/// The questions about links that nobody has claimed.
#[derive(Debug, Clone, Default)]
pub(super) struct Questions {
    /// By the index of the link.
    asked: BTreeMap<u32, Question>,
    /// The number of the last question.
    last: u64,
    /// Links whose question waits for longer than [`ANSWER_TIMEOUT`], by index.
    overdue: BTreeSet<u32>,
}

/// A question. One question is about all links.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question {
    pub(super) number: u64,
    /// In seconds since the epoch.
    since: u64,
    /// Whether the link carried packets when the question was asked.
    carries: bool,
    /// Whether NetworkManager has had [`KEY_TIMEOUT`] to answer.
    pub(super) is_late: bool,
}

impl Question {
    /// Whether it has to be answered before this link counts.
    pub(super) fn is_open(self, link: &Link, facts: &Facts) -> bool {
        facts.awaits_manager(link, self)
    }
}

impl Questions {
    /// The question about a link. The question is a new one if the link carries packets now and did not when the last
    /// one was asked.
    pub(super) fn about(&self, link: &Link, carries: bool, now: u64) -> Question {
        let new = Question { number: self.last + 1, since: now, carries, is_late: false };
        let asked = self.asked.get(&link.index).filter(|asked| asked.carries || !carries);
        let asked = asked.copied().unwrap_or(new);
        Question { is_late: now >= asked.since + KEY_TIMEOUT, ..asked }
    }

    /// Replaces the questions by those about the links of now.
    pub(super) fn keep(&mut self, asked: BTreeMap<u32, Question>, facts: &Facts, now: u64) {
        let last = asked.values().map(|question| question.number).max();
        self.last = self.last.max(last.unwrap_or_default());
        self.asked = asked;
        let overdue = self.open(facts).filter(|(_, one)| now >= one.since + ANSWER_TIMEOUT);
        self.overdue = overdue.map(|(index, _)| index).collect();
    }

    /// The questions that wait for an answer, by the index of the link.
    fn open(&self, facts: &Facts) -> impl Iterator<Item = (u32, Question)> {
        let links = facts.links.links.iter();
        let asked = links.filter_map(|link| Some((link, *self.asked.get(&link.index)?)));
        asked.filter(|(link, question)| question.is_open(link, facts)).map(|(link, one)| (link.index, one))
    }

    /// When the next question has waited for too long, in seconds since the epoch.
    pub(super) fn next_moment(&self, facts: &Facts, now: u64) -> Option<u64> {
        let timeouts =
            |(_, question): (u32, Question)| [KEY_TIMEOUT, ANSWER_TIMEOUT].map(|one| question.since + one);
        let moments = self.open(facts).flat_map(timeouts);
        moments.filter(|at| *at > now).min()
    }
}

impl Machine {
    /// The number of the last question that NetworkManager has to answer.
    pub fn question(&self) -> u64 {
        self.claims.questions.last
    }

    /// Whether a link waits for NetworkManager's answer.
    pub fn awaits_manager(&self) -> bool {
        self.claims.questions.open(&self.facts).next().is_some()
    }

    /// The tunnels that only their exact names make tunnels, and that may carry packets.
    pub(super) fn further_tunnels(&self) -> Vec<IfName> {
        let (links, config) = (&self.facts.links, &self.facts.config);
        let mut further = links.further_tunnels(&self.claims.reported(links), config);
        let open: BTreeSet<u32> = self.claims.questions.open(&self.facts).map(|(index, _)| index).collect();
        further.retain(|name| links.named(name).is_none_or(|link| !open.contains(&link.index)));
        further
    }

    /// Links that NetworkManager does not answer about, for the status.
    pub(super) fn unanswered(&self) -> impl Iterator<Item = (String, LeftOut)> {
        let overdue = &self.claims.questions.overdue;
        let links = self.facts.links.links.iter().filter(|link| overdue.contains(&link.index));
        let has_left = self.facts.has_manager_left;
        let fault = if has_left { LeftOut::ManagerLeft } else { LeftOut::Unanswered };
        links.map(move |link| (link.name.clone(), fault.clone()))
    }

    /// The links that NetworkManager made for connections that do not count, for the next agent.
    pub(super) fn connection_links(&self) -> Vec<Wire> {
        let links = &self.facts.links;
        let own = links.links.iter().filter(|link| links.of_connections.contains(&link.index));
        let wire = |link: &Link| Some(Wire { interface: link.name.parse().ok()?, index: link.index });
        own.filter_map(wire).collect()
    }
}
