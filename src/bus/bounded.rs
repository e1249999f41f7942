//! The connection to the system bus, with a limit on the size of a message.
//!
//! The bus carries messages of up to 32 MiB, and any process may send one: a call to the owner of a name, or a signal
//! to everybody. zbus reads each message into memory before it checks the sender and the receiver. So this connection
//! removes the body of a message that is too large. zbus then answers the caller that the message cannot be read, and
//! the bytes are never stored.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use zbus::address::{Address, transport::Transport, transport::UnixSocket};
use zbus::connection::Builder;
use zbus::connection::socket::{BoxedSplit, ReadHalf, Split, WriteHalf};
use zbus::export::async_trait::async_trait;

pub(crate) mod filter;

use filter::{MessageFilter, Next};

/// Maximum number of bytes that are read at once if they are not passed on directly.
const BUFFER_SIZE: usize = 4096;

/// A builder for a connection to the system bus. The connection accepts no file descriptors.
///
/// # Errors
/// There is no system bus, or its address is not the path of a socket.
pub(crate) async fn system_bus() -> zbus::Result<Builder<'static>> {
    let address = Address::system()?;
    let Transport::Unix(unix) = address.transport() else { return Err(zbus::Error::Unsupported) };
    let UnixSocket::File(path) = unix.path() else { return Err(zbus::Error::Unsupported) };
    let (read, write) = UnixStream::connect(path).await?.into_split();
    let read: Box<dyn ReadHalf> = Box::new(Reader { stream: read, filter: MessageFilter::default() });
    let write: Box<dyn WriteHalf> = Box::new(Writer(write));
    Ok(Builder::socket::<BoxedSplit>(Split::new(read, write)))
}

#[derive(Debug)]
struct Reader {
    stream: OwnedReadHalf,
    filter: MessageFilter,
}

#[async_trait]
impl ReadHalf for Reader {
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        loop {
            let length = match self.filter.next() {
                Next::Give => return Ok((self.filter.give(buffer), Vec::new())),
                Next::Pass(most) => {
                    let most = most.min(buffer.len());
                    let length = self.stream.read(&mut buffer[..most]).await?;
                    self.filter.passed(length);
                    return Ok((length, Vec::new()));
                }
                Next::Take(most) => {
                    let mut scrap = [0; BUFFER_SIZE];
                    let most = most.min(BUFFER_SIZE);
                    let length = self.stream.read(&mut scrap[..most]).await?;
                    self.filter.take(&scrap[..length]);
                    length
                }
            };
            if length == 0 {
                return Ok((0, Vec::new()));
            }
        }
    }
}

#[derive(Debug)]
struct Writer(OwnedWriteHalf);

#[async_trait]
impl WriteHalf for Writer {
    async fn sendmsg(&mut self, buffer: &[u8], _: &[BorrowedFd<'_>]) -> io::Result<usize> {
        self.0.write(buffer).await
    }

    async fn close(&mut self) -> io::Result<()> {
        self.0.shutdown().await
    }
}
