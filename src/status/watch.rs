//! How the agent notices changes of the kernel's tables, and which programs make them repeatedly.

use serde::Serialize;

/// How the agent notices that another program has changed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Watch {
    /// netfilter reports it at once.
    Netfilter,
    /// It is not reported, so the agent reads the kernel once a minute.
    Slow,
}

impl Watch {
    /// The word for it on the bus and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Netfilter => "netfilter",
            Self::Slow => "slow",
        }
    }

    /// The value of a word.
    pub(super) fn from_word(word: &str) -> Option<Self> {
        [Self::Netfilter, Self::Slow].into_iter().find(|watch| watch.as_str() == word)
    }
}

/// A program that removes the rules repeatedly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FightStatus {
    /// Its name, as the kernel reports it.
    pub program: String,
    /// How many repairs it made necessary in the last minute.
    pub count: u32,
}
