//! A short request over TCP from a given address, to test whether a service is reachable.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::machine::Machine;

impl Machine {
    /// Requests `/` from a web server and returns its answer; `None` if the server does not answer within
    /// `timeout`.
    ///
    /// # Errors
    /// When `from` is no address of the machine.
    pub fn fetch(&self, from: &str, to: &str, timeout: Duration) -> Result<Option<String>> {
        let source: SocketAddr = SocketAddr::new(from.parse().with_context(|| from.to_owned())?, 0);
        let target: SocketAddr = to.parse().with_context(|| to.to_owned())?;
        self.enter(|| {
            let socket = Socket::new(Domain::for_address(target), Type::STREAM, None)?;
            socket.bind(&SockAddr::from(source)).with_context(|| format!("binding to {from}"))?;
            if socket.connect_timeout(&SockAddr::from(target), timeout).is_err() {
                return Ok(None);
            }
            Ok(get(&TcpStream::from(socket), timeout).ok())
        })
    }
}

/// Sends a request and requires an answer, because a proxy may accept the connect without the service.
fn get(mut stream: &TcpStream, timeout: Duration) -> Result<String> {
    stream.set_read_timeout(Some(timeout))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    anyhow::ensure!(!answer.is_empty(), "the answer is empty");
    Ok(answer)
}
