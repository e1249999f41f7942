//! Server names: the agent looks them up and pins them, each after the rules that allow it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use tokio::task::{JoinError, JoinHandle};
use tokio::time::Instant;

use super::wait::Retry;
use super::{Agent, describe, until_instant};
use crate::effects::dns;
use crate::effects::hosts::{self, HostsError, Pins, helper};
use crate::net::HostName;
use crate::vpn::Event;

/// Writes pins into the file.
type Write = fn(&Pins) -> Result<(), HostsError>;

/// The names to look up, and the pins.
#[derive(Debug, Default)]
pub(super) struct ServerNames {
    /// Names that are looked up after the next commit, each by these resolvers.
    waiting: Vec<(HostName, BTreeSet<IpAddr>)>,
    /// The pins that were written last; `None` when it is not known what the file holds.
    pinned: Option<Pins>,
    /// The pins that could not be written.
    failed: Option<Failed>,
    /// The last warning about the file.
    warning: String,
    /// The last request to write the file.
    request: Option<Request>,
}

/// Pins that are not in the file, and when they are tried again.
#[derive(Debug)]
struct Failed {
    pins: Pins,
    retry: Retry,
}

/// A request for these pins, and its answer.
#[derive(Debug)]
struct Request {
    pins: Pins,
    answer: JoinHandle<Result<(), String>>,
}

impl ServerNames {
    pub(super) fn ask_later(&mut self, names: Vec<HostName>, resolvers: BTreeSet<IpAddr>) {
        self.waiting.extend(names.into_iter().map(|name| (name, resolvers.clone())));
    }

    /// Waits until a request is answered, or pins that could not be written are to be tried again.
    pub(super) async fn due(&mut self) {
        let failed = self.failed.as_ref().filter(|_| self.request.is_none());
        let at = failed.map(|failed| failed.retry.at);
        let answered = tokio::select! {
            answered = answer(&mut self.request) => answered,
            () = until_instant(at) => return,
        };
        let Some(request) = self.request.take() else { return };
        match answered {
            Ok(Ok(())) => self.written(request.pins),
            Ok(Err(warning)) => self.refused(request.pins, warning),
            Err(error) => self.refused(request.pins, describe(&error)),
        }
    }

    /// Whether these pins are in the file, or are on the way there, or could not be written just now.
    fn are_handled(&self, pins: &Pins) -> bool {
        if let Some(request) = &self.request {
            return request.pins == *pins;
        }
        let waits = |failed: &Failed| failed.pins == *pins && Instant::now() < failed.retry.at;
        self.pinned.as_ref() == Some(pins) || self.failed.as_ref().is_some_and(waits)
    }

    /// Has these pins written after every earlier request. The agent does not wait for it: the disk may be slow, and
    /// every user can hold the lock of the file's folder.
    fn request(&mut self, write: Write, socket: &'static Path, pins: Pins) {
        let before = self.request.take();
        let wanted = pins.clone();
        let answer = tokio::spawn(async move {
            if let Some(before) = before {
                drop(before.answer.await);
            }
            written(write, socket, wanted).await
        });
        self.request = Some(Request { pins, answer });
    }

    fn written(&mut self, pins: Pins) {
        self.pinned = Some(pins);
        self.failed = None;
        self.warning.clear();
    }

    fn refused(&mut self, pins: Pins, warning: String) {
        self.pinned = None;
        let retry = Retry::next(self.failed.as_ref().map(|failed| failed.retry));
        self.failed = Some(Failed { pins, retry });
        if warning != self.warning {
            tracing::warn!("{warning}");
            self.warning = warning;
        }
    }
}

/// Writes the pins, or asks the unit that may write the file.
async fn written(write: Write, socket: &Path, pins: Pins) -> Result<(), String> {
    let (result, pins) = match tokio::task::spawn_blocking(move || (write(&pins), pins)).await {
        Ok(done) => done,
        Err(error) => return Err(describe(&error)),
    };
    match result {
        Err(error) if error.is_read_only() => {
            helper::ask(socket, &pins).await.map_err(|error| describe(&error))
        }
        result => result.map_err(|error| describe(&error)),
    }
}

/// Waits for the answer to a request; without a request it never ends.
async fn answer(request: &mut Option<Request>) -> Result<Result<(), String>, JoinError> {
    match request {
        Some(request) => (&mut request.answer).await,
        None => std::future::pending().await,
    }
}

impl Agent {
    /// Starts the look-ups that wait. Their results come as events.
    pub(super) fn ask(&mut self) {
        let (known, mark) = (self.machine.pins(), self.machine.question_mark());
        for (name, resolvers) in self.names.waiting.drain(..) {
            let is_known = known.contains_key(&name);
            let events = self.sources.events.clone();
            // An entry of the administrator's in the file counts. This machine's own names are never looked
            // up.
            let file = hosts::named(Path::new(hosts::HOSTS), &name);
            if let Some(addresses) = file.or_else(|| hosts::is_own(&name).then(Vec::new)) {
                tokio::spawn(async move { events.send(Event::Resolved { name, addresses }).await });
                continue;
            }
            tokio::spawn(async move {
                let addresses = match dns::look_up(&name, &resolvers, mark).await {
                    Ok(addresses) => {
                        tracing::debug!("{name} is {addresses:?}");
                        addresses
                    }
                    // The name is still pinned. A warning would come every few minutes.
                    Err(error) if is_known => {
                        tracing::debug!("{name} could not be looked up: {}", describe(&error));
                        Vec::new()
                    }
                    Err(error) => {
                        tracing::warn!("{name} could not be looked up: {}", describe(&error));
                        Vec::new()
                    }
                };
                let _ = events.send(Event::Resolved { name, addresses }).await;
            });
        }
    }

    /// Another program wrote the file, so the pins may be gone.
    pub(super) fn pin_again(&mut self) {
        self.names.pinned = None;
        self.names.failed = None;
        // A request that runs may have written before.
        self.write_pins(self.machine.pins());
    }

    /// Writes the pins to `/etc/hosts`, where a VPN client looks for its server.
    pub(super) fn pin(&mut self) {
        let pins = self.machine.pins();
        if !self.names.are_handled(&pins) {
            self.write_pins(pins);
        }
    }

    fn write_pins(&mut self, pins: Pins) {
        let write = |pins: &Pins| hosts::pin(Path::new(hosts::HOSTS), pins);
        self.names.request(write, Path::new(helper::SOCKET), pins);
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test touches files")]
mod tests {
    use super::*;

    fn pins(address: &str) -> Pins {
        let name = "vpn.example.net".to_owned().try_into().unwrap();
        Pins::from([(name, BTreeSet::from([address.parse().unwrap()]))])
    }

    /// As the file is for the agent's unit.
    fn read_only(_: &Pins) -> Result<(), HostsError> {
        Err(HostsError::Io {
            path: hosts::HOSTS.into(),
            source: std::io::ErrorKind::ReadOnlyFilesystem.into(),
        })
    }

    /// A file that another process has locked, until the test releases it.
    fn locked(_: &Pins) -> Result<(), HostsError> {
        let held = HELD.lock().unwrap();
        drop(held);
        Ok(())
    }

    static HELD: std::sync::Mutex<()> = std::sync::Mutex::new(());

    #[tokio::test]
    async fn a_write_that_waits_holds_nothing_else_up() {
        let socket = Path::new("/nonexistent");
        let (mut names, wanted) = (ServerNames::default(), pins("198.51.100.7"));
        let held = HELD.lock().unwrap();
        names.request(locked, socket, wanted.clone());
        assert!(names.are_handled(&wanted) && names.pinned.is_none(), "the request is on its way");
        drop(held);
        names.due().await;
        assert_eq!((names.pinned.as_ref(), names.warning.as_str()), (Some(&wanted), ""));
    }

    /// Answers one request, and writes its pins into a file.
    fn serve(socket: &Path) -> std::thread::JoinHandle<String> {
        let listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
        std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("hosts");
            std::fs::write(&path, "127.0.0.1 localhost\n").unwrap();
            helper::serve(&stream, &stream, &path).unwrap();
            std::fs::read_to_string(&path).unwrap()
        })
    }

    #[tokio::test]
    async fn a_failed_request_is_reported_and_repeated_without_another_event() {
        let folder = tempfile::tempdir().unwrap();
        let socket: &'static Path = Box::leak(folder.path().join("socket").into_boxed_path());
        let (mut names, wanted) = (ServerNames::default(), pins("198.51.100.7"));
        names.request(read_only, socket, wanted.clone());
        assert!(names.are_handled(&wanted), "it is asked for once");
        names.due().await;
        assert!(names.warning.contains("tunwarden-hosts.socket cannot be used"), "{}", names.warning);
        assert_eq!(names.pinned, None);
        assert!(names.are_handled(&wanted), "not before the delay ends");
        assert!(!names.are_handled(&pins("198.51.100.8")), "others at once");
        // Nothing happens, and it is due.
        names.due().await;
        assert!(!names.are_handled(&wanted), "it is tried again");
        let server = serve(socket);
        names.request(read_only, socket, wanted.clone());
        names.due().await;
        assert!(server.join().unwrap().contains("\n198.51.100.7 vpn.example.net\n"));
        assert_eq!((names.pinned.as_ref(), names.warning.as_str()), (Some(&wanted), ""));
        assert!(names.failed.is_none() && names.are_handled(&wanted));
    }

    #[test]
    fn pins_that_cannot_be_written_are_tried_less_and_less_often() {
        let mut names = ServerNames::default();
        let delays = std::iter::repeat_with(|| {
            names.refused(pins("198.51.100.7"), "no".to_owned());
            names.failed.as_ref().map_or(0, |failed| failed.retry.after.as_secs())
        });
        assert_eq!(delays.take(8).collect::<Vec<_>>(), [1, 2, 4, 8, 16, 32, 60, 60]);
    }
}
