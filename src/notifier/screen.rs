//! The connection to the notification daemon: one notice on the screen, which each new one replaces.

use std::sync::Arc;
use std::time::Duration;

use notify_rust::{CloseReason, Hint, Notification, NotificationHandle, NotificationResponse, Timeout};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::event::{Button, Closing, Event, Topic};
use super::notice::{Lifetime, Notice, Urgency};
use super::session::Change;
use super::words::Words;

/// How long a daemon may take to accept a notice. The bus may have to start it first.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long to wait before a notice that could not be shown is tried again.
const RETRY: Duration = Duration::from_secs(30);
/// How long news are shown.
const MOMENT: Timeout = Timeout::Milliseconds(8000);

/// The name of tunwarden's `.desktop` file, by which a desktop finds the icon and the user's settings for its
/// notifications.
const DESKTOP_ENTRY: &str = "org.tunwarden.tunwarden";

/// A notice in the user's language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Card {
    topic: Topic,
    urgency: Urgency,
    lifetime: Lifetime,
    icon: &'static str,
    title: String,
    body: String,
    category: &'static str,
    /// The label of what a click on the notice itself does; `None` if the click closes the notice.
    click: Option<String>,
    buttons: Vec<(Button, String)>,
}

impl Card {
    pub(super) fn new(notice: &Notice, words: &Words) -> Self {
        let buttons = notice.buttons.iter().map(|button| (button.clone(), words.short_button(button)));
        Self {
            topic: notice.topic,
            urgency: notice.urgency,
            lifetime: notice.lifetime,
            icon: notice.state_icon.icon(),
            title: words.label(&notice.title),
            body: words.lines(&notice.body),
            category: notice.category(),
            click: notice.opens_details().then(|| words.button(&Button::Details)),
            buttons: buttons.collect(),
        }
    }
}

/// The card to show, and counters of the reasons to show it again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    card: Option<Card>,
    /// The number of the card. Each new card gets the next number.
    number: u64,
    daemons: u64,
    unhidden: u64,
}

impl Wanted {
    /// Sets the card. Returns whether it differs from the earlier one.
    pub(super) fn put(&mut self, card: Option<Card>) -> bool {
        let differs = self.card != card;
        self.card = card;
        self.number += u64::from(differs);
        differs
    }

    pub(super) fn count(&mut self, change: Change) {
        match change {
            Change::Daemon => self.daemons += 1,
            Change::Unhidden => self.unhidden += 1,
        }
    }
}

/// The notification on the screen.
struct Shown {
    card: Card,
    handle: Arc<NotificationHandle>,
    waiter: JoinHandle<()>,
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.waiter.abort();
    }
}

struct Screen {
    events: mpsc::Sender<Event>,
    /// Responses of the user or the daemon, each with the id of its notification.
    responses: mpsc::Sender<(u32, NotificationResponse)>,
    shown: Option<Shown>,
    /// The notification on which the user has pressed a button. Some daemons leave it on the screen.
    pressed: Option<Arc<NotificationHandle>>,
    /// The notification that the next one replaces.
    replaces: Option<Replaced>,
    /// The number of the card to which the user has responded. This card is not shown again while the result of
    /// the response is unknown.
    answered: Option<u64>,
}

/// A notification that the next one may replace.
#[derive(Debug, Clone, Copy)]
struct Replaced {
    id: u32,
    /// Whether a click on the notification itself is reported.
    has_click: bool,
}

/// Shows the wanted card until the sender is dropped.
pub(super) async fn run(mut wanted: watch::Receiver<Wanted>, events: mpsc::Sender<Event>) {
    let (responses, mut received) = mpsc::channel(16);
    let mut screen = Screen { events, responses, shown: None, pressed: None, replaces: None, answered: None };
    let mut last = Wanted::default();
    loop {
        let now = wanted.borrow_and_update().clone();
        if now.daemons != last.daemons {
            (screen.shown, screen.pressed, screen.replaces, screen.answered) = (None, None, None, None);
        }
        let again = now.unhidden != last.unhidden;
        let shown = screen.shown.as_ref().map(|shown| &shown.card);
        let missing = match &now.card {
            None => screen.clear().await,
            Some(_) if !again && screen.answered == Some(now.number) => Missing::Nothing,
            Some(card) if again || shown != Some(card) => screen.show(card).await,
            Some(_) => Missing::Nothing,
        };
        last = now;
        tokio::select! {
            changed = wanted.changed() => if changed.is_err() {
                screen.clear().await;
                return;
            },
            Some((id, response)) = received.recv() => screen.respond(id, last.number, &response).await,
            () = tokio::time::sleep(RETRY), if missing == Missing::Notice => {}
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    Nothing,
    Notice,
}

impl Screen {
    async fn show(&mut self, card: &Card) -> Missing {
        let has_click = card.click.is_some();
        // Cinnamon closes a notification before it reports the click, if an earlier version of it reported none.
        if self.replaces.is_some_and(|replaced| replaced.has_click != has_click) {
            self.clear().await;
        }
        let replaces = self.replaces.map(|replaced| replaced.id);
        let sent = tokio::time::timeout(TIMEOUT, notification(card, replaces).show_async()).await;
        let handle = match sent {
            Ok(Ok(handle)) => Arc::new(handle),
            Ok(Err(error)) => {
                tracing::warn!("no notification daemon took `{}`: {error}", card.title);
                self.shown = None;
                return Missing::Notice;
            }
            Err(_) => {
                tracing::warn!("the notification daemon hangs; `{}` is not shown", card.title);
                self.shown = None;
                return Missing::Notice;
            }
        };
        let (id, responses) = (handle.id(), self.responses.clone());
        let waiting = Arc::clone(&handle);
        let waiter = tokio::spawn(async move {
            let hand_on = |response: &NotificationResponse| {
                let _ = responses.try_send((id, response.clone()));
            };
            waiting.wait_for_action_async(hand_on).await;
        });
        // Drop the earlier handle only now. A daemon may close a notification when its sender disappears.
        self.shown = Some(Shown { card: card.clone(), handle, waiter });
        self.pressed = None;
        self.replaces = Some(Replaced { id, has_click });
        let _ = self.events.send(Event::Shown(card.topic)).await;
        Missing::Nothing
    }

    async fn clear(&mut self) -> Missing {
        let shown = self.shown.take().map(|shown| Arc::clone(&shown.handle));
        for handle in [shown, self.pressed.take()].into_iter().flatten() {
            handle.close_async().await;
        }
        self.replaces = None;
        Missing::Nothing
    }

    /// Processes a response of the user or the daemon.
    async fn respond(&mut self, id: u32, number: u64, response: &NotificationResponse) {
        // The response may belong to an earlier notification.
        let Some(shown) = self.shown.take_if(|shown| shown.handle.id() == id) else { return };
        self.answered = Some(number);
        let topic = shown.card.topic;
        let pressed = match response {
            NotificationResponse::Action(action) => {
                let mut buttons = shown.card.buttons.iter().map(|(button, _)| button);
                buttons.find(|button| button.key() == action).cloned().map(Event::Pressed)
            }
            NotificationResponse::Default => shown.card.click.as_ref().map(|_| Event::Clicked(topic)),
            NotificationResponse::Reply(_) | NotificationResponse::Closed(_) => None,
        };
        let event = match (pressed, response) {
            // Most daemons close the notification after this. Otherwise the next notification replaces it.
            (Some(event), _) => {
                self.pressed = Some(Arc::clone(&shown.handle));
                event
            }
            (
                None,
                NotificationResponse::Closed(
                    CloseReason::Expired | CloseReason::CloseAction | CloseReason::Other(_),
                ),
            ) => {
                self.replaces = None;
                Event::Closed(topic, Closing::TimedOut)
            }
            (None, _) => {
                self.replaces = None;
                Event::Closed(topic, Closing::Dismissed)
            }
        };
        let _ = self.events.send(event).await;
    }
}

fn notification(card: &Card, replaces: Option<u32>) -> Notification {
    let mut notification = Notification::new();
    notification.appname("tunwarden").summary(&card.title).body(&card.body).icon(card.icon);
    notification.urgency(match card.urgency {
        Urgency::Normal => notify_rust::Urgency::Normal,
        Urgency::Critical => notify_rust::Urgency::Critical,
    });
    notification.timeout(match card.lifetime {
        Lifetime::UntilResolved => Timeout::Never,
        Lifetime::Brief => MOMENT,
    });
    notification.hint(Hint::Category(card.category.to_owned()));
    notification.hint(Hint::DesktopEntry(DESKTOP_ENTRY.to_owned()));
    if let Some(label) = &card.click {
        notification.action("default", label);
    }
    for (button, label) in &card.buttons {
        notification.action(button.key(), label);
    }
    if let Some(id) = replaces {
        notification.id(id);
    }
    notification
}
