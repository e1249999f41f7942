//! The last that can close a family of which no layer can be put in force: a rule of routing, before all
//! but that of this machine's own addresses, by which there is no way to anywhere. It needs no program
//! and no module. Raw packet senders pass under it, as they pass under iptables.

use nix::libc::{EAFNOSUPPORT, EEXIST, ENOENT, EOPNOTSUPP};
use rtnetlink::packet_route::rule::{RuleAction, RuleMessage};
use rtnetlink::{Error, Handle, new_connection};

use crate::net::Family;

/// Before every rule but the local table's, which is 0.
const PRIORITY: u32 = 1;

/// Why the rules of routing could not be changed.
#[derive(Debug, thiserror::Error)]
#[error("cannot change the rules of routing")]
pub enum RoutingError {
    /// There is no socket to say it through.
    Socket(#[from] std::io::Error),
    /// The kernel said no.
    Kernel(#[from] Error),
}

/// Leaves no way out of this machine, or through it, in these families.
///
/// # Errors
/// [`RoutingError`]: then one of them is open.
pub(super) async fn shut(families: &[Family]) -> Result<(), RoutingError> {
    with_handle(async |handle| {
        for family in families {
            match add(&handle, *family).await {
                Ok(()) => {}
                Err(error) if is(&error, EEXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    })
    .await
}

/// Takes that back, in both families. What was not shut stays as it is.
///
/// # Errors
/// [`RoutingError`]: then one of them may still be shut.
pub(super) async fn open() -> Result<(), RoutingError> {
    with_handle(async |handle| {
        for family in Family::ALL {
            let rule = rule(&handle, family);
            match handle.rule().del(rule).execute().await {
                Ok(()) => {}
                // There is no such rule, or no such family, or no kernel with such rules.
                Err(error) if [ENOENT, EAFNOSUPPORT, EOPNOTSUPP].iter().any(|errno| is(&error, *errno)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    })
    .await
}

async fn with_handle(act: impl AsyncFnOnce(Handle) -> Result<(), RoutingError>) -> Result<(), RoutingError> {
    let (connection, handle, _) = new_connection()?;
    let connection = tokio::spawn(connection);
    let result = act(handle).await;
    connection.abort();
    result
}

async fn add(handle: &Handle, family: Family) -> Result<(), Error> {
    let request = handle.rule().add().priority(PRIORITY).action(RuleAction::Prohibit);
    match family {
        Family::V4 => request.v4().execute().await,
        Family::V6 => request.v6().execute().await,
    }
}

/// The same rule, as it is named when it is taken away.
fn rule(handle: &Handle, family: Family) -> RuleMessage {
    let request = handle.rule().add().priority(PRIORITY).action(RuleAction::Prohibit);
    match family {
        Family::V4 => request.v4().message_mut().clone(),
        Family::V6 => request.v6().message_mut().clone(),
    }
}

fn is(error: &Error, errno: i32) -> bool {
    matches!(error, Error::NetlinkError(message) if message.raw_code() == -errno)
}
