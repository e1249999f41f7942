//! How changes of the kernel's tables are seen, and who makes them again and again.

use serde::Serialize;

/// How a change that somebody else makes comes to be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Watch {
    /// netfilter tells it at once.
    Netfilter,
    /// Nobody tells it: the kernel is looked at once a minute.
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

/// A program that takes the rules away again and again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FightStatus {
    /// Its name, as the kernel has it.
    pub program: String,
    /// How many repairs it made necessary in the last minute.
    pub count: u32,
}
