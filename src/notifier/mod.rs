//! Notifications and an indicator in the panel, in the user's desktop session.
//!
//! The notifier runs as the user, in its own process: it receives the agent's status on the system bus and
//! shows it on the session bus. It never touches the firewall and decides nothing.
//!
//! - [`Notifier`] is the pure middle: its input is the agent's status, signals and the time; its output is [`Notice`]
//!   and [`Indicator`], as data. [`Words`] translates them.
//! - `listen` connects to the agent, `portal` to NetworkManager, and `session` to the session bus. `screen` shows the
//!   notice, and `tray` the indicator. `memory` saves what the user has seen.
//! - `ask` carries out the requests of buttons: it calls the agent or NetworkManager (`connect`), or opens a
//!   `terminal`. `check` checks this machine.

mod ask;
mod check;
mod checking;
mod connect;
mod event;
mod indicator;
mod keys;
mod language;
mod listen;
mod machine;
mod memory;
mod notice;
mod portal;
mod screen;
mod seen;
mod session;
mod terminal;
#[cfg(test)]
mod tests;
mod tray;
mod uncounted;
mod wanted;
mod welcome;
mod words;

pub use event::{
    Action, BlockedLine, Button, Check, Checked, Closing, Event, Memory, OfferedVpn, Portal, Refusal, Topic,
};
pub use indicator::Indicator;
pub use keys::Key;
pub use language::{LANGUAGES, language, language_of_locale};
pub use machine::Notifier;
pub use memory::MemoryFile;
pub use notice::{Arg, Lifetime, Notice, StateIcon, Text, Urgency};
pub use session::{Entry, NAME, show_details};
pub use words::Words;

use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::system;
use screen::{Card, Wanted};
use session::Change;
use tray::Item;

/// How often the notifier checks whether the package was removed, while no agent runs.
const REMOVED: Duration = Duration::from_secs(5);
/// How long closing the last notice may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The user whom the notifier serves.
pub struct UserContext {
    /// The user's language and time zone.
    pub words: Words,
    /// What the user has seen.
    pub memory_file: MemoryFile,
    /// Which set of icons the panel gets.
    pub icons: Icons,
    /// What to show first.
    pub opening: Opening,
    /// What to do about another notifier of this session.
    pub entry: Entry,
}

/// What the notifier shows when it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// Only what the user must know.
    Quiet,
    /// The details.
    Details,
}

/// Icons with or without colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Icons {
    /// Each state has a colour.
    Coloured,
    /// In the panel's own colour.
    Symbolic,
}

/// Why there are no notifications.
#[derive(Debug, thiserror::Error)]
pub enum NotifierError {
    /// There is no session bus.
    #[error("cannot connect to the session bus: run this in your desktop session, without sudo")]
    NoSession(#[source] zbus::Error),
    /// No notifier runs that could be replaced.
    #[error("no process shows the notifications in this session, so there is none to replace")]
    NoneRuns,
    /// Another notifier runs in this session.
    #[error("another process already shows the notifications in this session")]
    RunsAlready,
    /// The notifier that runs does not show the details.
    #[error("the process that shows the notifications does not show the details; log out and log in again")]
    NoDetails(#[source] zbus::Error),
    /// The process cannot receive SIGTERM and SIGINT.
    #[error("cannot listen for signals")]
    Signals(#[from] std::io::Error),
}

/// Shows the agent's status until the session ends.
///
/// # Errors
/// [`NotifierError`], if the notifier cannot start.
pub async fn run(user: UserContext) -> Result<(), NotifierError> {
    let (sender, mut events) = mpsc::channel(64);
    let mut session = session::join(user.entry, sender.clone()).await?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    if user.opening == Opening::Details {
        let _ = sender.try_send(Event::Pressed(Button::Details));
    }
    let (changes_sender, mut changes) = mpsc::channel(16);
    let mut runner = Runner::new(user, sender.clone());
    let screen = tokio::spawn(screen::run(runner.wanted.subscribe(), sender.clone()));
    tokio::spawn(tray::run(runner.item.subscribe(), sender.clone()));
    tokio::spawn(session::watch(session.connection.clone(), changes_sender));
    tokio::spawn(portal::watch(sender.clone()));
    tokio::spawn(listen::listen(sender));
    // After the package was removed no agent comes back, and the user does not need a notice about that.
    while !(runner.is_without_agent() && is_removed()) {
        tokio::select! {
            Some(event) = events.recv() => runner.take(event),
            Some(change) = changes.recv() => runner.look_again(change),
            () = until(runner.notifier.next_moment()) => runner.take(Event::Clock),
            () = session.connection.closed() => break,
            Some(_) = session.lost.next() => break,
            () = tokio::time::sleep(REMOVED), if runner.is_without_agent() => {}
            Some(()) = terminate.recv() => break,
            Some(()) = interrupt.recv() => break,
        }
    }
    // When the sender is dropped, the screen closes its notice and ends.
    drop(runner);
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, screen).await;
    Ok(())
}

/// The notifier, and the channels to the screen and the tray.
struct Runner {
    notifier: Notifier,
    words: Words,
    memory_file: MemoryFile,
    icons: Icons,
    wanted: watch::Sender<Wanted>,
    item: watch::Sender<Item>,
    events: mpsc::Sender<Event>,
}

impl Runner {
    fn new(user: UserContext, events: mpsc::Sender<Event>) -> Self {
        let UserContext { words, memory_file, icons, opening: _, entry: _ } = user;
        let notifier = Notifier::new(memory_file.read());
        let item = Item::new(&notifier.indicator(), &words, icons);
        let (wanted, item) = (watch::Sender::new(Wanted::default()), watch::Sender::new(item));
        Self { notifier, words, memory_file, icons, wanted, item, events }
    }

    fn take(&mut self, event: Event) {
        tracing::debug!("event: {event:?}");
        for action in self.notifier.step(event, system::now()) {
            match action {
                Action::Remember(memory) => self.memory_file.write(memory),
                Action::Ask(Button::Blocked) => {
                    let events = self.events.clone();
                    tokio::spawn(async move {
                        let _ = events.send(Event::Blocked(ask::blocked().await)).await;
                    });
                }
                Action::Ask(Button::Check) => {
                    let events = self.events.clone();
                    tokio::spawn(async move {
                        let _ = events.send(Event::Checked(check::check().await)).await;
                    });
                }
                Action::Ask(button) => {
                    let events = self.events.clone();
                    // The answer may take long: the user may have to type a password.
                    tokio::spawn(async move {
                        let answer = ask::ask(&button).await;
                        let _ = events.send(Event::Answered(button, answer)).await;
                    });
                }
            }
        }
        self.show();
    }

    fn is_without_agent(&self) -> bool {
        self.notifier.status().is_none()
    }

    fn look_again(&mut self, change: Change) {
        self.wanted.send_modify(|wanted| wanted.count(change));
        self.take(Event::MayBeVisible);
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

/// Whether the file of this program was removed. After an upgrade another file has the same name.
fn is_removed() -> bool {
    let is_gone = |path: &Path| !Path::new(path.to_string_lossy().trim_end_matches(" (deleted)")).exists();
    std::env::current_exe().is_ok_and(|path| is_gone(&path))
}
