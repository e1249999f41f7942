//! The connection to the session bus. It allows one notifier for each session, shows the details when another process
//! of the session asks for them, and finds out when a hidden notice may be visible again.

use std::num::NonZero;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::mpsc;
use zbus::fdo::{DBusProxy, NameLostStream, RequestNameFlags, RequestNameReply};
use zbus::message::Type;
use zbus::names::{BusName, WellKnownName};
use zbus::{Connection, MatchRule, Message, MessageStream, interface};

use super::NotifierError;
use super::event::{Button, Event};

/// The notifier's name on the session bus. Its owner shows the notifications.
pub const NAME: &str = "org.tunwarden.Notifier1";
/// The notifier's object.
const PATH: &str = "/org/tunwarden/Notifier1";
/// How long the running notifier may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// The name of the notification daemon.
const DAEMON: &str = "org.freedesktop.Notifications";
/// How long to wait for another daemon after one has ended. After that, a notice is sent in order to start one.
const SUCCESSOR_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a hidden notice may be visible again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Another notification daemon has started. The notice of the old one is gone.
    Daemon,
    /// The same daemon shows notices again.
    Unhidden,
}

/// Signals that may mean [`Change::Unhidden`], as `(interface, member)`. [`unhides`] checks their content.
const SIGNALS: [(&str, &str); 5] = [
    // Settings of GNOME, Cinnamon and MATE.
    ("ca.desrt.dconf.Writer", "Notify"),
    // Settings of XFCE.
    ("org.xfce.Xfconf", "PropertyChanged"),
    ("org.cinnamon.ScreenSaver", "ActiveChanged"),
    ("org.gnome.ScreenSaver", "ActiveChanged"),
    ("org.mate.ScreenSaver", "ActiveChanged"),
];

/// The notifier's object on the session bus.
struct Notifier1 {
    events: mpsc::Sender<Event>,
}

#[interface(name = "org.tunwarden.Notifier1")]
impl Notifier1 {
    /// Shows the details, as a click on the indicator does.
    async fn show_details(&self) {
        // If the channel is full, enough earlier presses are waiting.
        let _ = self.events.try_send(Event::Pressed(Button::Details));
    }
}

/// What to do about another notifier of this session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// Leave the notifications to it.
    Yield,
    /// Take its place. If none runs, do nothing, because the user has ended it.
    Replace,
}

/// The connection to the session bus, which owns the notifier's name.
pub(super) struct Session {
    pub(super) connection: Connection,
    /// Reports that another notifier has taken the name.
    pub(super) lost: NameLostStream,
}

/// Takes the notifier's name on the session bus. The object is registered before the name, so every caller that finds
/// the name also finds the object.
pub(super) async fn join(entry: Entry, events: mpsc::Sender<Event>) -> Result<Session, NotifierError> {
    let connection = Connection::session().await.map_err(NotifierError::NoSession)?;
    let mut flags = RequestNameFlags::DO_NOT_QUEUE | RequestNameFlags::ALLOW_REPLACEMENT;
    let answer = async {
        connection.object_server().at(PATH, Notifier1 { events }).await?;
        let bus = DBusProxy::new(&connection).await?;
        if entry == Entry::Replace {
            flags |= RequestNameFlags::REPLACE_EXISTING;
            if !bus.name_has_owner(BusName::from_static_str(NAME)?).await? {
                return Ok(None);
            }
        }
        // The subscription comes before the name, so that a loss of the name is not missed.
        let lost = bus.receive_name_lost_with_args(&[(0, NAME)]).await?;
        let reply = bus.request_name(WellKnownName::from_static_str(NAME)?, flags).await?;
        zbus::Result::Ok(Some((reply, lost)))
    };
    match answer.await {
        Ok(Some((RequestNameReply::PrimaryOwner | RequestNameReply::AlreadyOwner, lost))) => {
            Ok(Session { connection, lost })
        }
        Ok(Some((RequestNameReply::InQueue | RequestNameReply::Exists, _))) => {
            Err(NotifierError::RunsAlready)
        }
        Ok(None) => Err(NotifierError::NoneRuns),
        Err(error) => Err(NotifierError::NoSession(error)),
    }
}

/// Asks the notifier that runs in this session to show the details.
///
/// # Errors
/// The notifier does not answer, for example because it is an earlier version.
pub async fn show_details() -> Result<(), NotifierError> {
    let call = async {
        let builder = zbus::connection::Builder::session().method_timeout(ANSWER_TIMEOUT);
        let connection = builder.build().await?;
        connection.call_method(Some(NAME), PATH, Some(NAME), "ShowDetails", &()).await
    };
    call.await.map(drop).map_err(NotifierError::NoDetails)
}

/// Sends every change, until the session ends.
pub(super) async fn watch(connection: Connection, changes: mpsc::Sender<Change>) {
    if let Err(error) = follow(&connection, &changes).await {
        tracing::warn!(
            "the session bus: {error}; a notice that a notification daemon loses may not be shown again"
        );
    }
}

async fn follow(connection: &Connection, changes: &mpsc::Sender<Change>) -> zbus::Result<()> {
    let bus = DBusProxy::new(connection).await?;
    let mut owners = bus.receive_name_owner_changed_with_args(&[(0, DAEMON)]).await?;
    let mut signals = futures_util::stream::SelectAll::new();
    for (interface, member) in SIGNALS {
        let rule = MatchRule::builder().msg_type(Type::Signal).interface(interface).member(member).build()?;
        signals.push(MessageStream::for_match_rule(rule, connection, NonZero::new(16)).await?);
    }
    let mut vacant = None;
    loop {
        tokio::select! {
            Some(change) = owners.next() => {
                vacant = change.args()?.new_owner().is_none().then(|| tokio::time::Instant::now() + SUCCESSOR_TIMEOUT);
                if vacant.is_none() {
                    let _ = changes.send(Change::Daemon).await;
                }
            }
            Some(Ok(signal)) = signals.next() => {
                if unhides(&signal) {
                    let _ = changes.send(Change::Unhidden).await;
                }
            }
            // The bus may start another daemon when a notice is sent.
            () = at(vacant) => {
                vacant = None;
                let _ = changes.send(Change::Daemon).await;
            }
            else => return Ok(()),
        }
    }
}

/// Whether a signal concerns notifications or an unlocked screen.
fn unhides(signal: &Message) -> bool {
    let (header, body) = (signal.header(), signal.body());
    match header.interface().map_or("", |interface| interface.as_str()) {
        "ca.desrt.dconf.Writer" => {
            let path = body.deserialize::<(String, Vec<String>, String)>().map(|(path, ..)| path);
            path.is_ok_and(|path| path.to_ascii_lowercase().contains("notification"))
        }
        "org.xfce.Xfconf" => {
            let channel = body.deserialize::<(String, String, zbus::OwnedVariant)>();
            channel.is_ok_and(|(channel, ..)| channel == "xfce4-notifyd")
        }
        _ => body.deserialize::<bool>().is_ok_and(|locked| !locked),
    }
}

async fn at(moment: Option<tokio::time::Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
