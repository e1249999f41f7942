//! The edge to the session's bus: one notifier a session, and the occasions on which what was hidden
//! may be seen again.

use std::num::NonZero;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::mpsc;
use zbus::fdo::{DBusProxy, RequestNameFlags, RequestNameReply};
use zbus::message::Type;
use zbus::names::WellKnownName;
use zbus::{Connection, MatchRule, Message, MessageStream};

use super::NotifierError;

/// Our name on the session's bus: who holds it shows the notifications.
pub const NAME: &str = "org.tunwarden.Notifier1";
/// The notification daemon's.
const DAEMON: &str = "org.freedesktop.Notifications";
/// How long a daemon that went away is given to come back by itself.
const SUCCESSION: Duration = Duration::from_secs(2);

/// Something that may have hidden a notice is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Another notification daemon: what the old one showed is gone.
    Daemon,
    /// The same one, that shows again what it held back.
    Unhidden,
}

/// What says so: `(interface, member)`. Every one is checked for what it is about in [`unhides`].
const SIGNS: [(&str, &str); 5] = [
    // GNOME's, Cinnamon's and MATE's settings.
    ("ca.desrt.dconf.Writer", "Notify"),
    // XFCE's.
    ("org.xfce.Xfconf", "PropertyChanged"),
    ("org.cinnamon.ScreenSaver", "ActiveChanged"),
    ("org.gnome.ScreenSaver", "ActiveChanged"),
    ("org.mate.ScreenSaver", "ActiveChanged"),
];

/// Joins the session; the only notifier in it.
pub(super) async fn join() -> Result<Connection, NotifierError> {
    let connection = Connection::session().await.map_err(NotifierError::NoSession)?;
    let answer = async {
        let name = WellKnownName::from_static_str(NAME)?;
        DBusProxy::new(&connection).await?.request_name(name, RequestNameFlags::DO_NOT_QUEUE).await
    };
    match answer.await {
        Ok(RequestNameReply::PrimaryOwner | RequestNameReply::AlreadyOwner) => Ok(connection),
        Ok(RequestNameReply::InQueue | RequestNameReply::Exists) => Err(NotifierError::RunsAlready),
        Err(error) => Err(NotifierError::NoSession(error.into())),
    }
}

/// Says every change, until the session ends.
pub(super) async fn watch(connection: Connection, changes: mpsc::Sender<Change>) {
    if let Err(error) = follow(&connection, &changes).await {
        tracing::warn!("the session's bus: {error}; what a notification daemon loses may stay lost");
    }
}

async fn follow(connection: &Connection, changes: &mpsc::Sender<Change>) -> zbus::Result<()> {
    let bus = DBusProxy::new(connection).await?;
    let mut owners = bus.receive_name_owner_changed_with_args(&[(0, DAEMON)]).await?;
    let mut signs = futures_util::stream::SelectAll::new();
    for (interface, member) in SIGNS {
        let rule = MatchRule::builder().msg_type(Type::Signal).interface(interface).member(member).build()?;
        signs.push(MessageStream::for_match_rule(rule, connection, NonZero::new(16)).await?);
    }
    let mut vacant = None;
    loop {
        tokio::select! {
            Some(change) = owners.next() => {
                vacant = change.args()?.new_owner().is_none().then(|| tokio::time::Instant::now() + SUCCESSION);
                if vacant.is_none() {
                    let _ = changes.send(Change::Daemon).await;
                }
            }
            Some(Ok(sign)) = signs.next() => {
                if unhides(&sign) {
                    let _ = changes.send(Change::Unhidden).await;
                }
            }
            // The bus may know how to start another one: showing something does it.
            () = at(vacant) => {
                vacant = None;
                let _ = changes.send(Change::Daemon).await;
            }
            else => return Ok(()),
        }
    }
}

/// Whether this sign is about notifications, or a screen that was unlocked.
fn unhides(sign: &Message) -> bool {
    let (header, body) = (sign.header(), sign.body());
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
