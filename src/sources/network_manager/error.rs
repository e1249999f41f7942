//! Errors on the bus, sorted by what the source does about them.

use zbus::fdo::Error as Fdo;

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// The object or name does not exist any more. This is ordinary: it disappeared before the answer.
    #[error("it is gone")]
    Gone,
    /// No answer in time, or no process that could answer. NetworkManager will not answer other questions either.
    #[error("no answer on the bus")]
    Silent(#[source] zbus::Error),
    /// A refusal, or an answer of the wrong form.
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

/// Why a connection to the bus ended or could not be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    /// There is no bus.
    #[error("cannot connect to the system bus")]
    Connect(#[source] zbus::Error),
    /// The bus does not answer the connection's first messages.
    #[error("the system bus does not answer")]
    Slow,
    /// The bus refuses to send us signals.
    #[error("cannot listen on the system bus")]
    Introduce(#[source] ReadError),
    /// The connection broke in the middle of a message, for example because the bus was killed.
    #[error("the system bus went away")]
    Broken(#[source] zbus::Error),
    /// The bus closed the connection properly.
    #[error("the system bus closed the connection")]
    Closed,
}
