//! What a person sees: notifications and an indicator in the panel, in the person's own session.
//!
//! It runs as that person, beside the agent and not in it: it listens to the agent on the system bus
//! and shows what it says on the session's. It never touches the firewall and decides nothing.
//!
//! - [`Notifier`] is the pure middle: agent's status, signals and time in; [`Notice`] and
//!   [`Indicator`] out, as data. [`Words`] puts them into a language.
//! - `listen` is the edge to the agent, `session` the one to the session's bus, `screen` shows the
//!   notice, `tray` the indicator, `memory` keeps what this person was told.

mod event;
mod indicator;
mod keys;
mod listen;
mod machine;
mod memory;
mod notice;
mod screen;
mod session;
#[cfg(test)]
mod tests;
mod tray;
mod wanted;
mod words;

pub use event::{Action, Button, Closing, Event, Memory, Refusal, Topic};
pub use indicator::Indicator;
pub use keys::Key;
pub use machine::Notifier;
pub use memory::Notebook;
pub use notice::{Arg, Face, Notice, Stay, Text, Urgency};
pub use session::NAME;
pub use words::{Words, language};

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::system;
use screen::{Card, Wanted};
use session::Change;
use tray::Item;

/// How long the screen is given to take the last notice away.
const FAREWELL: Duration = Duration::from_secs(2);

/// What the notifier is started with.
pub struct Setup {
    /// The person's language and time zone.
    pub words: Words,
    /// What they have been told.
    pub notebook: Notebook,
    /// Which set of pictures the panel gets.
    pub icons: Icons,
}

/// Pictures with or without colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Icons {
    /// In colours.
    Coloured,
    /// In the panel's own colour.
    Symbolic,
}

/// Why there are no notifications.
#[derive(Debug, thiserror::Error)]
pub enum NotifierError {
    /// It does not run in a session.
    #[error("no session bus: run it in your desktop session, as yourself")]
    NoSession(#[source] zbus::Error),
    /// One runs already.
    #[error("notifications are on already: another one runs in this session")]
    RunsAlready,
    /// It cannot be told to end.
    #[error("cannot listen for signals")]
    Signals(#[from] std::io::Error),
}

/// Shows what the agent says until the session ends.
///
/// # Errors
/// [`NotifierError`]: it could not begin.
pub async fn run(setup: Setup) -> Result<(), NotifierError> {
    let session = session::join().await?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (sender, mut events) = mpsc::channel(64);
    let (changes_sender, mut changes) = mpsc::channel(16);
    let mut desk = Desk::new(setup, sender.clone());
    let screen = tokio::spawn(screen::run(desk.wanted.subscribe(), sender.clone()));
    tokio::spawn(tray::run(desk.item.subscribe(), sender.clone()));
    tokio::spawn(session::watch(session.clone(), changes_sender));
    tokio::spawn(listen::listen(sender));
    loop {
        tokio::select! {
            Some(event) = events.recv() => desk.take(event),
            Some(change) = changes.recv() => desk.look_again(change),
            () = until(desk.notifier.next_moment()) => desk.take(Event::Clock),
            () = session.closed() => break,
            Some(()) = terminate.recv() => break,
            Some(()) = interrupt.recv() => break,
        }
    }
    // Without anybody who wants a notice, the screen takes it away and ends.
    drop(desk);
    let _ = tokio::time::timeout(FAREWELL, screen).await;
    Ok(())
}

/// The notifier, and where what it says goes.
struct Desk {
    notifier: Notifier,
    words: Words,
    notebook: Notebook,
    icons: Icons,
    wanted: watch::Sender<Wanted>,
    item: watch::Sender<Item>,
    events: mpsc::Sender<Event>,
}

impl Desk {
    fn new(setup: Setup, events: mpsc::Sender<Event>) -> Self {
        let Setup { words, notebook, icons } = setup;
        let notifier = Notifier::new(notebook.read());
        let item = Item::new(&notifier.indicator(), &words, icons);
        let (wanted, item) = (watch::Sender::new(Wanted::default()), watch::Sender::new(item));
        Self { notifier, words, notebook, icons, wanted, item, events }
    }

    fn take(&mut self, event: Event) {
        tracing::debug!("event: {event:?}");
        for action in self.notifier.step(event, system::now()) {
            match action {
                Action::Remember(memory) => self.notebook.write(memory),
                Action::Ask(button) => {
                    let events = self.events.clone();
                    // The agent may wait for a password meanwhile.
                    tokio::spawn(async move {
                        let answer = listen::ask(button).await;
                        let _ = events.send(Event::Answered(button, answer)).await;
                    });
                }
            }
        }
        self.show();
    }

    fn look_again(&mut self, change: Change) {
        self.wanted.send_modify(|wanted| wanted.count(change));
        self.take(Event::Occasion);
    }

    fn show(&mut self) {
        let card = self.notifier.notice().map(|notice| Card::new(&notice, &self.words));
        let item = Item::new(&self.notifier.indicator(), &self.words, self.icons);
        self.wanted.send_if_modified(|wanted| wanted.put(card));
        self.item.send_if_modified(|shown| (*shown != item).then(|| *shown = item).is_some());
    }
}

async fn until(moment: Option<u64>) {
    let Some(moment) = moment else { return std::future::pending().await };
    tokio::time::sleep(Duration::from_secs(moment.saturating_sub(system::now()))).await;
}
