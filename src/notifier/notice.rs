//! What is to be seen now, as data: no language, no bus.

use super::event::{Button, Topic};
use super::keys::Key;

/// One notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What it is about.
    pub topic: Topic,
    /// How loud.
    pub urgency: Urgency,
    /// How long it stands.
    pub stay: Stay,
    /// Its picture.
    pub face: Face,
    /// One line.
    pub title: Text,
    /// Lines below it.
    pub body: Vec<Text>,
    /// What can be done about it.
    pub buttons: Vec<Button>,
}

/// How loud a notice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// As most are.
    Normal,
    /// Above everything else.
    Critical,
}

/// How long a notice stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stay {
    /// Until it is resolved or clicked away.
    Resolved,
    /// For a moment.
    Moment,
}

/// A state as a picture. Each has a shape of its own besides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Face {
    /// A green shield with a tick.
    Protected,
    /// A blue shield with three dots.
    Connecting,
    /// An amber shield with a closed padlock.
    Locked,
    /// A red shield that is broken.
    Lost,
    /// A red octagon with an exclamation mark.
    Failed,
    /// An orange open padlock.
    Paused,
    /// A grey shield with a question mark.
    Unknown,
}

impl Face {
    /// Every face.
    pub const ALL: [Self; 7] = [
        Self::Protected,
        Self::Connecting,
        Self::Locked,
        Self::Lost,
        Self::Failed,
        Self::Paused,
        Self::Unknown,
    ];

    /// Its name in the icon theme; with `-symbolic` behind it, the one without colours.
    pub const fn icon(self) -> &'static str {
        match self {
            Self::Protected => "tunwarden-protected",
            Self::Connecting => "tunwarden-connecting",
            Self::Locked => "tunwarden-locked",
            Self::Lost => "tunwarden-lost",
            Self::Failed => "tunwarden-failed",
            Self::Paused => "tunwarden-paused",
            Self::Unknown => "tunwarden-unknown",
        }
    }
}

/// A sentence in no language yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Which sentence.
    pub key: Key,
    /// What stands in it.
    pub args: Vec<(&'static str, Arg)>,
}

/// Something that stands in a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arg {
    /// A name, or words of somebody else's.
    Word(String),
    /// A number.
    Count(u64),
    /// A moment in seconds since the epoch.
    Moment(u64),
}

impl Text {
    /// A sentence with nothing to fill in.
    pub fn new(key: Key) -> Self {
        Self { key, args: Vec::new() }
    }

    /// With a name or words in it.
    #[must_use]
    pub fn word(self, name: &'static str, word: &str) -> Self {
        self.with(name, Arg::Word(word.to_owned()))
    }

    /// With a number in it.
    #[must_use]
    pub fn count(self, name: &'static str, count: u64) -> Self {
        self.with(name, Arg::Count(count))
    }

    /// With a moment in it, in seconds since the epoch.
    #[must_use]
    pub fn moment(self, name: &'static str, moment: u64) -> Self {
        self.with(name, Arg::Moment(moment))
    }

    fn with(mut self, name: &'static str, arg: Arg) -> Self {
        self.args.push((name, arg));
        self
    }
}
