//! A notice as data: no language, no bus.

use super::event::{Button, Topic};
use super::keys::Key;

/// One notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What it is about. A new notice with the same topic replaces the earlier one.
    pub topic: Topic,
    /// The urgency for the notification daemon.
    pub urgency: Urgency,
    /// How long it is shown.
    pub lifetime: Lifetime,
    /// The icon.
    pub state_icon: StateIcon,
    /// The title, one line.
    pub title: Text,
    /// The sentences below the title.
    pub body: Vec<Text>,
    /// The buttons.
    pub buttons: Vec<Button>,
}

impl Notice {
    /// The category for the notification daemon, as the desktop notifications specification defines it.
    pub const fn category(&self) -> &'static str {
        match (self.topic, self.state_icon) {
            (Topic::Lost | Topic::Flapping | Topic::Missed, _) => "network.disconnected",
            (Topic::NotEnforced | Topic::Gone | Topic::Repaired | Topic::Uncounted, _) => "network.error",
            (Topic::News, StateIcon::Protected) => "network.connected",
            (
                Topic::News
                | Topic::Details
                | Topic::Blocked
                | Topic::Checked
                | Topic::Paused(_)
                | Topic::Portal
                | Topic::Welcome,
                _,
            ) => "network",
        }
    }

    /// Whether a click on the notice itself shows the details. Otherwise the click closes it.
    pub const fn opens_details(&self) -> bool {
        !matches!(self.topic, Topic::Details | Topic::Blocked | Topic::Checked)
    }
}

/// The urgency of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// The default of notification daemons.
    Normal,
    /// Most desktops show it above other windows, even with `do not disturb`.
    Critical,
}

/// How long a notice is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// Until the problem is resolved or the user closes the notice.
    UntilResolved,
    /// For 8 seconds.
    Brief,
}

/// The icon for a state. Icons differ in shape as well as in colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateIcon {
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

impl StateIcon {
    /// Every icon.
    pub const ALL: [Self; 7] = [
        Self::Protected,
        Self::Connecting,
        Self::Locked,
        Self::Lost,
        Self::Failed,
        Self::Paused,
        Self::Unknown,
    ];

    /// The name in the icon theme. The suffix `-symbolic` selects the icon without colours.
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

/// A sentence that is not translated yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The key of the sentence.
    pub key: Key,
    /// The values of the sentence's variables.
    pub args: Vec<(&'static str, Arg)>,
}

/// The value of a variable in a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arg {
    /// A name or a foreign text.
    Word(String),
    /// A number.
    Count(u64),
    /// A time, in seconds since the epoch.
    Moment(u64),
    /// Another sentence.
    Sentence(Key),
}

impl Text {
    /// A sentence without variables.
    pub fn new(key: Key) -> Self {
        Self { key, args: Vec::new() }
    }

    /// Sets a variable to a name or a text.
    #[must_use]
    pub fn word(self, name: &'static str, word: &str) -> Self {
        self.with(name, Arg::Word(word.to_owned()))
    }

    /// Sets a variable to a number.
    #[must_use]
    pub fn count(self, name: &'static str, count: u64) -> Self {
        self.with(name, Arg::Count(count))
    }

    /// Sets a variable to a time, in seconds since the epoch.
    #[must_use]
    pub fn moment(self, name: &'static str, moment: u64) -> Self {
        self.with(name, Arg::Moment(moment))
    }

    /// Sets a variable to another sentence.
    #[must_use]
    pub fn sentence(self, name: &'static str, key: Key) -> Self {
        self.with(name, Arg::Sentence(key))
    }

    fn with(mut self, name: &'static str, arg: Arg) -> Self {
        self.args.push((name, arg));
        self
    }
}
