//! One question to the program of a userspace device, on its socket.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::super::trusted::{Refused, TrustedRoot};
use super::Reading;
use super::text::{self, AnswerError};

/// How long the program may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Maximum size of its answer, in bytes: 5,000 peers need about 2 MB.
const LARGEST: usize = 8 << 20;

/// The folders of the sockets, of WireGuard and of AmneziaWG.
const FOLDERS: [&str; 2] = ["var/run/wireguard", "var/run/amneziawg"];

const QUESTION: &[u8] = b"get=1\n\n";
/// What ends an answer. The program keeps the connection open.
const END: &[u8] = b"\n\n";

/// Why the answer of a program does not count, or why there is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProgramError {
    #[error("its socket is not trusted: {0}")]
    Refused(#[from] Refused),
    #[error("user {0}, who is not root, is at its socket")]
    Stranger(u32),
    #[error("its program does not answer within {} s", ANSWER_TIMEOUT.as_secs())]
    Timeout,
    #[error("its program's answer has more than {LARGEST} bytes")]
    TooLarge,
    #[error("its socket cannot be used: {0}")]
    Broken(#[from] io::Error),
    #[error(transparent)]
    Answer(#[from] AnswerError),
}

/// What the program of the device with this name says.
pub(super) async fn ask(trusted: &TrustedRoot, name: &str) -> Result<Reading, ProgramError> {
    let path = |folder: &str| trusted.root.join(folder).join(format!("{name}.sock"));
    let [path, other] = FOLDERS.map(path);
    match ask_at(trusted, &path).await {
        Err(ProgramError::Refused(refused)) if refused.is_absence() => ask_at(trusted, &other).await,
        answered => answered,
    }
}

async fn ask_at(trusted: &TrustedRoot, path: &Path) -> Result<Reading, ProgramError> {
    trusted.socket(path)?;
    let answer =
        timeout(ANSWER_TIMEOUT, exchange(trusted, path)).await.map_err(|_| ProgramError::Timeout)??;
    Ok(text::read(&String::from_utf8_lossy(&answer))?)
}

async fn exchange(trusted: &TrustedRoot, path: &Path) -> Result<Vec<u8>, ProgramError> {
    let mut stream = UnixStream::connect(path).await?;
    // The credentials of the process when it began to listen.
    let peer = stream.peer_cred()?.uid();
    if peer != trusted.owner {
        return Err(ProgramError::Stranger(peer));
    }
    stream.write_all(QUESTION).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(END) && stream.read_buf(&mut answer).await? > 0 {
        if answer.len() > LARGEST {
            return Err(ProgramError::TooLarge);
        }
    }
    Ok(answer)
}
