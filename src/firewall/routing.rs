//! The last way to close a family if no layer can be put in force: a routing rule that prohibits every route.
//! It comes before all rules but the one for this machine's own addresses. It needs no program and no kernel
//! module. Raw packet sockets bypass it, as they bypass iptables.

use nix::libc::{EAFNOSUPPORT, EEXIST, ENOENT, EOPNOTSUPP};
use rtnetlink::packet_route::rule::{RuleAction, RuleMessage};
use rtnetlink::{Error, Handle, new_connection};

use crate::net::Family;

/// After the rule of the table `local`, which has 0, and before every other.
const PRIORITY: u32 = 1;

/// Why the routing rules could not be changed.
#[derive(Debug, thiserror::Error)]
#[error("cannot change the routing rules")]
pub enum RoutingError {
    /// There is no netlink socket.
    Socket(#[from] std::io::Error),
    /// The kernel refused.
    Kernel(#[from] Error),
}

/// Prohibits every route in these families.
///
/// # Errors
/// [`RoutingError`]: then a family is still open.
pub(super) async fn prohibit(families: &[Family]) -> Result<(), RoutingError> {
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

/// Removes the prohibition in both families, if it is there.
///
/// # Errors
/// [`RoutingError`]: then a family may still be shut.
pub(super) async fn open() -> Result<(), RoutingError> {
    with_handle(async |handle| {
        for family in Family::ALL {
            let rule = rule(&handle, family);
            match handle.rule().del(rule).execute().await {
                Ok(()) => {}
                // No such rule, no such family, or a kernel without routing rules.
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

/// The same rule, as it is deleted.
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
