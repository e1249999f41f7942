//! The part of HTTP that Docker's API needs: one request, and an answer that lasts until the connection ends.
//!
//! No HTTP library is used. HTTP/1.0 has no chunks and does not use a connection again (RFC 1945, 7.2.2), so
//! one request and a head are enough. The head and the body of an answer have a maximum size.

use std::path::Path;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::DockerError;

/// How long an answer may take before it is given up. Docker takes a second for `/info` when its disk is
/// busy.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Maximum size of an answer in bytes. Ten thousand networks take about 6 MB.
const MAX_BODY: u64 = 8 << 20;

/// Maximum size of the head of an answer in bytes. Docker's have a few hundred.
const MAX_HEAD: u64 = 16 << 10;

/// Maximum number of events that are taken at once.
const MAX_BURST: usize = 1000;

/// The answer to one request.
pub(super) async fn get(socket: &Path, target: &str) -> Result<Vec<u8>, DockerError> {
    let answer = async { answer(ask(socket, target).await?).await };
    timeout(TIMEOUT, answer).await.map_err(|_| DockerError::Slow)?
}

/// Reads an answer to its end.
pub(crate) async fn answer(stream: impl AsyncRead + Unpin) -> Result<Vec<u8>, DockerError> {
    let mut body = Vec::new();
    let stream = after_head(stream).await?;
    stream.take(MAX_BODY + 1).read_to_end(&mut body).await?;
    if body.len() as u64 > MAX_BODY { Err(DockerError::TooLarge(MAX_BODY)) } else { Ok(body) }
}

/// An answer that does not end. Only the fact that more of it arrives matters, not its content.
pub(super) struct Changes(BufReader<UnixStream>);

impl Changes {
    /// Waits for the start of the answer, without a timeout.
    pub(super) async fn open(socket: &Path, target: &str) -> Result<Self, DockerError> {
        after_head(ask(socket, target).await?).await.map(Self)
    }

    /// Waits for more of the answer, and takes everything that is there.
    pub(super) async fn next(&mut self) -> Result<(), DockerError> {
        self.more().await?;
        for _ in 0..MAX_BURST {
            match self.more().now_or_never() {
                Some(more) => more?,
                None => break,
            }
        }
        Ok(())
    }

    async fn more(&mut self) -> Result<(), DockerError> {
        let length = self.0.fill_buf().await?.len();
        self.0.consume(length);
        if length == 0 { Err(DockerError::Ended) } else { Ok(()) }
    }
}

async fn ask(socket: &Path, target: &str) -> Result<UnixStream, DockerError> {
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(format!("GET {target} HTTP/1.0\r\nHost: docker\r\n\r\n").as_bytes()).await?;
    Ok(stream)
}

/// Reads the head of an answer. The body comes next in the stream.
async fn after_head<R: AsyncRead + Unpin>(stream: R) -> Result<BufReader<R>, DockerError> {
    let mut stream = BufReader::new(stream);
    let mut head = (&mut stream).take(MAX_HEAD);
    let mut line = Vec::new();
    head.read_until(b'\n', &mut line).await?;
    if line.is_empty() {
        return Err(DockerError::Ended);
    }
    match status(&line) {
        Some(200) => {}
        Some(other) => return Err(DockerError::Refused(other)),
        None => return Err(DockerError::Form),
    }
    loop {
        line.clear();
        head.read_until(b'\n', &mut line).await?;
        match line.trim_ascii_end() {
            [] if line.ends_with(b"\n") => return Ok(stream),
            [] => return Err(DockerError::Form),
            // Only HTTP/1.1 has chunks.
            header if header.to_ascii_lowercase().starts_with(b"transfer-encoding") => {
                return Err(DockerError::Form);
            }
            _ => {}
        }
    }
}

/// `HTTP/1.0 200 OK`
fn status(line: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.trim_ascii_end().splitn(3, ' ');
    let version = words.next()?;
    let code = words.next().filter(|code| code.len() == 3)?;
    if matches!(version, "HTTP/1.0" | "HTTP/1.1") { code.parse().ok() } else { None }
}
