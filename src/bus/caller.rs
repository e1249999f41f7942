//! Identifies the caller by the credentials that the bus daemon reports.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use zbus::connection::Builder;
use zbus::fdo::{self, DBusProxy};
use zbus::message::{Flags as MessageFlags, Header};
use zbus::names::BusName;
use zbus::{Connection, OwnedFd};
use zbus_polkit::policykit1::{AuthorityProxy, CheckAuthorizationFlags, Subject};

use super::Requester;
use crate::system::process::lineage;
use crate::vpn::{Lineage, Reporter};

/// How long the bus daemon may take to answer.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The caller's user id.
pub(super) async fn uid(connection: &Connection, header: &Header<'_>) -> fdo::Result<u32> {
    let sender = sender(header)?;
    DBusProxy::new(connection).await?.get_connection_unix_user(sender).await
}

/// A user with their name. A directory service may be slow to find the name.
pub(super) async fn asker(uid: u32) -> Requester {
    let name = tokio::task::spawn_blocking(move || crate::system::user_name(uid)).await;
    Requester { uid, name: name.unwrap_or_default() }
}

/// The caller's user id, and its role if it may report. The role is `None` for a process that is not root's and does
/// not descend from one of these VPN clients.
pub(super) async fn reporter(
    connection: &Connection,
    header: &Header<'_>,
    clients: &BTreeSet<u32>,
) -> fdo::Result<(u32, Option<Reporter>)> {
    let sender = sender(header)?;
    let credentials = DBusProxy::new(connection).await?.get_connection_credentials(sender.clone()).await?;
    let unknown = || fdo::Error::AccessDenied("the bus does not say which user sent this call".to_owned());
    let uid = credentials.unix_user_id().ok_or_else(unknown)?;
    if uid == 0 {
        return Ok((uid, Some(Reporter::Root)));
    }
    let Some(pid) = credentials.process_id() else { return Ok((uid, None)) };
    let of_a_client = |lineage: &Lineage| clients.iter().any(|&client| lineage.has(client, None));
    if !of_a_client(&lineage(pid, uid, None::<OwnedFd>)) {
        return Ok((uid, None));
    }
    let lineage = lineage(pid, uid, pidfd(sender).await);
    Ok((uid, of_a_client(&lineage).then_some(Reporter::Client(lineage))))
}

/// The caller's pidfd. Another process may get the same process id later, but a pidfd always means the same process.
/// `None` if the bus daemon is older than dbus 1.15.8, which has no pidfd. A separate connection asks for it: the
/// agent's own connection accepts no file descriptors, because any caller could fill this process with them.
async fn pidfd(sender: BusName<'static>) -> Option<OwnedFd> {
    let connection = Builder::system().method_timeout(TIMEOUT).build().await.ok()?;
    let bus = DBusProxy::new(&connection).await.ok()?;
    bus.get_connection_credentials(sender).await.ok()?.into_process_fd()
}

/// Asks polkit about the caller. Polkit may ask the user a question.
pub(super) async fn authorize(
    connection: &Connection,
    header: &Header<'_>,
    asked: (u32, &str),
) -> fdo::Result<()> {
    ask_polkit(connection, header, asked, CheckAuthorizationFlags::ALLOW_USER_INTERACTION).await
}

/// Whether polkit allows this action to the caller. It asks the user a question only if the caller allows that.
pub(super) async fn may(connection: &Connection, header: &Header<'_>, asked: (u32, &str)) -> bool {
    let flags = match header.primary().flags().contains(MessageFlags::ALLOW_INTERACTIVE_AUTH) {
        true => CheckAuthorizationFlags::ALLOW_USER_INTERACTION,
        false => CheckAuthorizationFlags::empty(),
    };
    ask_polkit(connection, header, asked, flags).await.is_ok()
}

/// Asks polkit about the caller by its bus name. Root needs no polkit. Without polkit, only root is allowed.
async fn ask_polkit(
    connection: &Connection,
    header: &Header<'_>,
    (uid, action): (u32, &str),
    flags: CheckAuthorizationFlags,
) -> fdo::Result<()> {
    if uid == 0 {
        return Ok(());
    }
    let denied = |error: String| fdo::Error::AccessDenied(format!("polkit did not allow {action}: {error}"));
    let authority = AuthorityProxy::new(connection).await.map_err(|error| denied(error.to_string()))?;
    let subject = Subject::new_for_message_header(header).map_err(|error| denied(error.to_string()))?;
    let result = authority.check_authorization(&subject, action, &HashMap::new(), flags, "").await;
    match result {
        Ok(result) if result.is_authorized => Ok(()),
        Ok(_) => Err(denied("not authorized".to_owned())),
        Err(error) => Err(denied(error.to_string())),
    }
}

fn sender(header: &Header<'_>) -> fdo::Result<BusName<'static>> {
    let sender =
        header.sender().ok_or_else(|| fdo::Error::AccessDenied("a call without a sender".to_owned()))?;
    Ok(BusName::Unique(sender.to_owned()))
}
