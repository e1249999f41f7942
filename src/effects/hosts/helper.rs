//! The agent's unit may not write files in `/etc`. Another unit, `tunwarden-hosts@.service`, runs `tunwarden hosts`. It
//! writes the pins of one request into `/etc/hosts` and ends. It needs no capability and no network.
//!
//! systemd listens on [`SOCKET`], which only root can open, and starts the unit for each connection. A request has one
//! line for each name, with the name and its addresses, and then the line `end`. The answer is `ok`, or an error for
//! people.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::{Pins, pin};
use crate::describe::describe;
use crate::net::HostName;

/// The socket of `tunwarden-hosts.socket`.
pub const SOCKET: &str = "/run/tunwarden/hosts.sock";

/// The last line of every request, even of one without pins. If it is missing, the agent may have ended before it wrote
/// the whole request.
const LAST: &str = "end\n";

/// Maximum size of a request, in bytes.
const MAX_REQUEST: u64 = 1 << 20;

/// Maximum size of an answer, in bytes.
const MAX_ANSWER: u64 = 4096;

/// How long the other unit may take. systemd ends the unit after the same time.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The answer if the pins are in the file.
const DONE: &str = "ok\n";

/// Why the other unit did not write the pins.
#[derive(Debug, thiserror::Error)]
pub enum HelperError {
    /// It cannot be reached.
    #[error("tunwarden-hosts.socket cannot be used, so the VPN client may not find its server by name")]
    Socket(#[source] io::Error),
    /// It took too long.
    #[error("tunwarden-hosts did not answer within 30 s, so the VPN client may not find its server by name")]
    Timeout,
    /// The error that it answered.
    #[error("{0}")]
    Refused(String),
}

/// Asks the other unit to write `pins`, and waits until it has done so.
///
/// # Errors
/// [`HelperError`]
pub async fn ask(socket: &Path, pins: &Pins) -> Result<(), HelperError> {
    let answered = timeout(TIMEOUT, exchange(socket, &request(pins))).await;
    let answer = answered.map_err(|_| HelperError::Timeout)?.map_err(HelperError::Socket)?;
    if answer == DONE.as_bytes() { Ok(()) } else { Err(HelperError::Refused(plain(&answer))) }
}

async fn exchange(socket: &Path, request: &str) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(request.as_bytes()).await?;
    stream.shutdown().await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).await?;
    Ok(answer)
}

/// The first line of an answer, for people.
fn plain(answer: &[u8]) -> String {
    let line = answer.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let line: String = String::from_utf8_lossy(line).chars().filter(|c| !c.is_control()).collect();
    if line.is_empty() { "tunwarden-hosts ended without an answer".to_owned() } else { line }
}

/// Answers one request: writes its pins into the file at `path`.
///
/// # Errors
/// The request cannot be read, or the answer cannot be written.
pub fn serve(input: impl Read, mut output: impl Write, path: &Path) -> io::Result<()> {
    let mut text = Vec::new();
    input.take(MAX_REQUEST + 1).read_to_end(&mut text)?;
    let pins = (text.len() as u64 <= MAX_REQUEST).then(|| parse(&text)).flatten();
    let answer = match pins.map(|pins| pin(path, &pins)) {
        Some(Ok(())) => DONE.to_owned(),
        Some(Err(error)) => format!("{}\n", describe(&error)),
        None => "tunwarden-hosts does not understand the agent: restart tunwarden.service\n".to_owned(),
    };
    output.write_all(answer.as_bytes())
}

pub(crate) fn request(pins: &Pins) -> String {
    let line = |(name, addresses): (&HostName, &BTreeSet<_>)| {
        let addresses: String = addresses.iter().map(|address| format!(" {address}")).collect();
        format!("{name}{addresses}\n")
    };
    pins.iter().map(line).chain([LAST.to_owned()]).collect()
}

/// The pins of a request. A request with one faulty line, or without its last line, is refused as a whole.
pub(crate) fn parse(text: &[u8]) -> Option<Pins> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix(LAST)?;
    if !text.is_empty() && !text.ends_with('\n') {
        return None;
    }
    let pin = |line: &str| {
        let (name, addresses) = line.split_once(' ')?;
        let addresses: Option<BTreeSet<_>> =
            addresses.split(' ').map(|address| address.parse().ok()).collect();
        Some((HostName::try_from(name.to_owned()).ok()?, addresses?))
    };
    text.split_terminator('\n').map(pin).collect()
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test touches files")]
mod tests {
    use super::*;

    fn pins() -> Pins {
        let addresses = ["198.51.100.7", "2001:db8::7"].map(|address| address.parse().unwrap());
        Pins::from([
            ("a.example.net".to_owned().try_into().unwrap(), addresses.into()),
            ("b.example.net".to_owned().try_into().unwrap(), [addresses[0]].into()),
        ])
    }

    #[test]
    fn a_request_is_parsed_whole_or_not_at_all() {
        for pins in [pins(), Pins::new()] {
            assert_eq!(parse(request(&pins).as_bytes()), Some(pins));
        }
        for text in [
            "a.example.net 198.51.100.7",
            "a.example.net\n",
            "a.example.net \n",
            "a.example.net 198.51.100.7  198.51.100.8\n",
            "a.example.net 198.51.100.7\n\n",
            "a.example.net 198.51.100.7 evil\n",
            "198.51.100.7 a.example.net\n",
            "a.example.net 198.51.100.7\r\n",
            "a.example.net 198.51.100.7\nb\u{fffd}.example.net 198.51.100.8\n",
            "a.example.net 198.51.100.7\nend\n",
        ] {
            assert_eq!(parse(format!("{text}end\n").as_bytes()), None, "{text:?}");
        }
        assert_eq!(parse(b"a.example.net 198.51.100.7\xff\nend\n"), None);
    }

    #[test]
    fn an_empty_or_cut_request_is_refused_and_removes_no_pin() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        std::fs::write(&path, "127.0.0.1 localhost\n").unwrap();
        pin(&path, &pins()).unwrap();
        let before = std::fs::read_to_string(&path).unwrap();
        for request in [request(&pins()), request(&Pins::new())] {
            for length in 0..request.len() {
                let mut answer = Vec::new();
                serve(&request.as_bytes()[..length], &mut answer, &path).unwrap();
                let answer = String::from_utf8(answer).unwrap();
                assert!(answer.contains("does not understand"), "{length}: {answer}");
                assert_eq!(std::fs::read_to_string(&path).unwrap(), before, "{length}");
            }
        }
        serve(request(&Pins::new()).as_bytes(), io::sink(), &path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "127.0.0.1 localhost\n", "the control");
    }

    /// The answers to several requests, one after the other. Each answer ends when its connection ends.
    async fn asked(path: &Path, pins: &Pins) -> Result<(), HelperError> {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let path = path.to_owned();
        let server = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            serve(&stream, &stream, &path).unwrap();
        });
        let result = ask(&socket, pins).await;
        server.join().unwrap();
        result
    }

    #[tokio::test]
    async fn the_pins_of_a_request_are_in_the_file_when_the_answer_comes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        std::fs::write(&path, "127.0.0.1 localhost\n").unwrap();
        asked(&path, &pins()).await.unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("\n198.51.100.7 a.example.net\n2001:db8::7 a.example.net\n"), "{text}");
        asked(&path, &Pins::new()).await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "127.0.0.1 localhost\n");
    }

    #[tokio::test]
    async fn what_the_helper_cannot_do_is_an_error_for_people() {
        let folder = tempfile::tempdir().unwrap();
        let refused = asked(folder.path(), &pins()).await.unwrap_err().to_string();
        assert!(refused.contains("no plain file") && refused.contains("VPN client"), "{refused}");
        let absent = asked(&folder.path().join("none"), &pins()).await.unwrap_err().to_string();
        assert!(absent.contains("cannot write") && absent.contains("No such file"), "the cause: {absent}");
        let missing = ask(&folder.path().join("none"), &pins()).await.unwrap_err();
        assert!(matches!(missing, HelperError::Socket(_)), "{missing:?}");
        assert_eq!(plain(b""), "tunwarden-hosts ended without an answer");
        assert_eq!(plain(b"one\x1b[2J\ntwo"), "one[2J");
        let mut answer = Vec::new();
        serve(&vec![b'a'; 2 << 20][..], &mut answer, &folder.path().join("hosts")).unwrap();
        assert!(String::from_utf8_lossy(&answer).contains("does not understand"), "{answer:?}");
    }
}
