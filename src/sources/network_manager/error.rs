//! What can go wrong on the bus, sorted by what is to be done about it.

use zbus::fdo::Error as Fdo;

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// The object or name is not there any more. Ordinary: it went while we asked.
    #[error("it is gone")]
    Gone,
    /// No answer in time, or nobody left to answer: nothing else will be answered either.
    #[error("no answer on the bus")]
    Silent(#[source] zbus::Error),
    /// A refusal, or an answer that makes no sense.
    #[error(transparent)]
    Refused(zbus::Error),
}

impl From<zbus::Error> for ReadError {
    fn from(error: zbus::Error) -> Self {
        let reply = if let zbus::Error::FDO(reply) = &error { Some(&**reply) } else { None };
        if reply.is_some_and(is_gone) {
            Self::Gone
        } else if reply.is_some_and(is_silent) || matches!(error, zbus::Error::InputOutput(_)) {
            Self::Silent(error)
        } else {
            Self::Refused(error)
        }
    }
}

fn is_gone(reply: &Fdo) -> bool {
    matches!(
        reply,
        Fdo::NameHasNoOwner(_)
            | Fdo::ServiceUnknown(_)
            | Fdo::UnknownObject(_)
            | Fdo::UnknownInterface(_)
            | Fdo::UnknownMethod(_)
    )
}

fn is_silent(reply: &Fdo) -> bool {
    matches!(reply, Fdo::NoReply(_) | Fdo::Timeout(_) | Fdo::TimedOut(_) | Fdo::Disconnected(_))
}

/// Why a connection to the bus ended, or never began.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    /// No bus there.
    #[error("cannot connect to the system bus")]
    Connect(#[source] zbus::Error),
    /// A bus that does not greet.
    #[error("the system bus does not answer")]
    Slow,
    /// It would not tell us what goes on.
    #[error("cannot listen on the system bus")]
    Introduce(#[source] ReadError),
    /// It broke in the middle of a message, as when it is killed.
    #[error("the system bus went away")]
    Broken(#[source] zbus::Error),
    /// It said good-bye.
    #[error("the system bus closed the connection")]
    Closed,
}
