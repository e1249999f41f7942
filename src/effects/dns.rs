//! Looks up the addresses of VPN servers by DNS.
//!
//! Every socket has the agent's [`QuestionMark`]. The rules let packets with this mark pass and refuse all other DNS
//! queries. An answer counts only if it comes from the resolver that was asked, and has the question and the id of the
//! query.
//!
//! No resolver library is used, because every socket needs the mark, and because an answer has a maximum size and a
//! maximum time. hickory-proto builds and parses the messages.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use nix::sys::socket::{setsockopt, sockopt::Mark};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, UdpSocket};
use tokio::time::{sleep, timeout};

use crate::net::HostName;
use crate::vpn::QuestionMark;

const DNS: u16 = 53;

/// How long each query over UDP waits for its answer. There is one query for each entry.
const TRIES: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];

/// How long a query over TCP may take altogether.
const TCP: Duration = Duration::from_secs(5);

/// Maximum length of an answer over UDP that is read, in bytes. Without EDNS an answer has at most 512 bytes (RFC 1035,
/// 4.2.1). A longer answer is truncated, and the agent asks again over TCP.
const MAX_ANSWER: usize = 4096;

/// Maximum number of aliases that are followed within one answer.
const MAX_ALIASES: usize = 16;

/// Why a name has no address.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// No resolver is known.
    #[error("this system names no resolver (/etc/resolv.conf)")]
    NoResolver,
    /// The kernel refused a socket, or the network refused the packet.
    #[error("the resolver {0} cannot be reached")]
    Unreachable(IpAddr, #[source] io::Error),
    /// No answer came.
    #[error("the resolver {0} does not answer")]
    Silent(IpAddr),
    /// The resolver answers with an error.
    #[error("the resolver {0} says {1}")]
    Refused(IpAddr, ResponseCode),
    /// The name exists and has no address.
    #[error("the resolver {0} knows no address of it")]
    Empty(IpAddr),
    /// The name or the answer is not valid DNS.
    #[error("the answer of the resolver {0} is not valid DNS")]
    Form(IpAddr),
}

/// The IPv4 and IPv6 addresses of a name, in the order of the answers, from the first resolver that has any.
///
/// # Errors
/// [`LookupError`] of the last resolver, if no resolver has an address.
pub async fn look_up(
    name: &HostName,
    resolvers: &BTreeSet<IpAddr>,
    mark: QuestionMark,
) -> Result<Vec<IpAddr>, LookupError> {
    let mut last = LookupError::NoResolver;
    for &resolver in resolvers {
        let ask = |kind| ask(name, kind, resolver, mark);
        let (v4, v6) = tokio::join!(ask(RecordType::A), ask(RecordType::AAAA));
        match (v4, v6) {
            (Err(error), Err(_)) => last = error,
            (v4, v6) => {
                let mut addresses = v4.unwrap_or_default();
                addresses.extend(v6.unwrap_or_default());
                if !addresses.is_empty() {
                    return Ok(addresses);
                }
                last = LookupError::Empty(resolver);
            }
        }
    }
    Err(last)
}

async fn ask(
    name: &HostName,
    kind: RecordType,
    resolver: IpAddr,
    mark: QuestionMark,
) -> Result<Vec<IpAddr>, LookupError> {
    let form = || LookupError::Form(resolver);
    let name = Name::from_ascii(format!("{name}.")).map_err(|_| form())?;
    let mut question = Message::query();
    question.metadata.recursion_desired = true;
    question.add_query(Query::query(name.clone(), kind));
    let bytes = question.to_vec().map_err(|_| form())?;
    let unreachable = |error| LookupError::Unreachable(resolver, error);
    let mut answer = over_udp(&question, &bytes, resolver, mark).await.map_err(unreachable)?;
    if answer.as_ref().is_some_and(|answer| answer.metadata.truncation) {
        answer = match timeout(TCP, over_tcp(&question, &bytes, resolver, mark)).await {
            Ok(answer) => answer.map_err(unreachable)?,
            Err(_) => None,
        };
    }
    let answer = answer.ok_or(LookupError::Silent(resolver))?;
    let code = answer.metadata.response_code;
    if code == ResponseCode::NoError {
        Ok(addresses(&answer, &name))
    } else {
        Err(LookupError::Refused(resolver, code))
    }
}

/// Asks over UDP; `None` if no answer to this query came in time.
async fn over_udp(
    question: &Message,
    bytes: &[u8],
    resolver: IpAddr,
    mark: QuestionMark,
) -> io::Result<Option<Message>> {
    let any: IpAddr = match resolver {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    for wait in TRIES {
        // Each query has its own port. The socket is connected, so the kernel drops packets of other senders.
        let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
        set_mark(&socket, mark)?;
        socket.connect(SocketAddr::new(resolver, DNS)).await?;
        let answer = async {
            socket.send(bytes).await?;
            let mut buffer = vec![0; MAX_ANSWER];
            loop {
                let length = socket.recv(&mut buffer).await?;
                // A forged or damaged answer is ignored, because the true one may still come.
                if let Some(answer) = parse(question, buffer.get(..length).unwrap_or_default()) {
                    return Ok::<_, io::Error>(answer);
                }
            }
        };
        match timeout(wait, answer).await {
            Ok(Ok(answer)) => return Ok(Some(answer)),
            // The firewall or the network refuses the packet. This may change soon.
            Ok(Err(_)) => sleep(wait).await,
            Err(_) => {}
        }
    }
    Ok(None)
}

async fn over_tcp(
    question: &Message,
    bytes: &[u8],
    resolver: IpAddr,
    mark: QuestionMark,
) -> io::Result<Option<Message>> {
    let socket = if resolver.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    set_mark(&socket, mark)?;
    let mut stream = socket.connect(SocketAddr::new(resolver, DNS)).await?;
    let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), bytes].concat()).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    Ok(parse(question, &answer))
}

fn set_mark(socket: &impl AsFd, mark: QuestionMark) -> io::Result<()> {
    Ok(setsockopt(socket, Mark, &mark.get())?)
}

/// The answer, if it belongs to this query.
pub(crate) fn parse(question: &Message, bytes: &[u8]) -> Option<Message> {
    let answer = Message::from_vec(bytes).ok()?;
    let to_it = answer.metadata.message_type == MessageType::Response
        && answer.metadata.id == question.metadata.id
        && answer.queries == question.queries;
    to_it.then_some(answer)
}

/// The addresses that an answer has for the name, or for the name to which it is an alias.
pub(crate) fn addresses(answer: &Message, name: &Name) -> Vec<IpAddr> {
    let mut name = name.clone();
    for _ in 0..MAX_ALIASES {
        let own = answer.answers.iter().filter(|record| record.name == name);
        let alias =
            own.filter_map(|record| if let RData::CNAME(alias) = &record.data { Some(alias) } else { None });
        let alias = alias.map(|alias| alias.0.clone()).next();
        let Some(alias) = alias else { break };
        name = alias;
    }
    let own = answer.answers.iter().filter(|record| record.name == name);
    own.filter_map(|record| record.data.ip_addr()).collect()
}

#[cfg(test)]
mod tests;
