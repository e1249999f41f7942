//! A resolver of the ISP. It answers from a table, over UDP and TCP, and records the queries.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::machine::Machine;
use crate::wait::bind_when_free;

/// Maximum size of a plain answer over UDP in bytes (RFC 1035, 4.2.1).
const PLAIN: usize = 512;

/// The timeout after which a thread checks whether it must end.
const TURN: Duration = Duration::from_millis(50);

/// How the resolver answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AnswerMode {
    /// With the addresses in the table.
    #[default]
    Correct,
    /// With another ID than the query, like an attacker who guesses it.
    WrongId,
    /// With an answer to another question.
    OtherQuestion,
    /// Over UDP from another port than the one that received the query.
    OtherSource,
    /// With bytes that are not DNS.
    Garbage,
}

/// A running resolver. Dropping it ends it.
#[derive(Debug)]
pub struct Dns {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    over: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    table: BTreeMap<String, Vec<IpAddr>>,
    mode: AnswerMode,
    asked: Vec<String>,
}

impl Machine {
    /// Resolves names on one of the machine's addresses, port 53.
    ///
    /// # Errors
    /// When the machine does not have the address.
    pub fn dns(&self, address: IpAddr) -> Result<Dns> {
        let (udp, other, tcp) = self
            .enter(|| {
                let other = UdpSocket::bind((address, 0))?;
                let udp = bind_when_free(|| UdpSocket::bind((address, 53)))?;
                Ok((udp, other, bind_when_free(|| TcpListener::bind((address, 53)))?))
            })
            .with_context(|| format!("{} on {address}", self.name()))?;
        udp.set_read_timeout(Some(TURN))?;
        tcp.set_nonblocking(true)?;
        let shared = Arc::<Shared>::default();
        let threads = vec![
            thread::spawn({
                let shared = Arc::clone(&shared);
                move || serve_udp(&udp, &other, &shared)
            }),
            thread::spawn({
                let shared = Arc::clone(&shared);
                move || serve_tcp(&tcp, &shared)
            }),
        ];
        Ok(Dns { shared, threads })
    }
}

impl Dns {
    /// Sets the addresses of a name. `*.example.net` matches every name below it.
    ///
    /// # Errors
    /// When one of them is not an address.
    pub fn set<A: AsRef<str>>(&self, name: &str, addresses: &[A]) -> Result<()> {
        let addresses = addresses.iter().map(|address| address.as_ref().parse());
        let addresses = addresses.collect::<Result<_, _>>().context("no address")?;
        self.shared.state().table.insert(name.into(), addresses);
        Ok(())
    }

    /// Sets how the resolver answers.
    pub fn answer(&self, mode: AnswerMode) {
        self.shared.state().mode = mode;
    }

    /// Every queried name since the last call, or since the start.
    #[must_use]
    pub fn asked(&self) -> BTreeSet<String> {
        std::mem::take(&mut self.shared.state().asked).into_iter().collect()
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// The bytes of the answer, or nothing if the message is not a query.
    fn reply(&self, question: &[u8]) -> Option<Vec<u8>> {
        let question = Message::from_vec(question).ok()?;
        let query = question.queries.first()?.clone();
        let name = query.name().to_ascii().trim_end_matches('.').to_lowercase();
        let mut state = self.state();
        state.asked.push(name.clone());
        let mut id = question.metadata.id;
        match state.mode {
            AnswerMode::Correct | AnswerMode::OtherSource | AnswerMode::OtherQuestion => {}
            AnswerMode::WrongId => id = id.wrapping_add(1),
            AnswerMode::Garbage => return Some(b"this is no DNS".to_vec()),
        }
        let mut answer = Message::response(id, OpCode::Query);
        let mut answered = query.clone();
        if state.mode == AnswerMode::OtherQuestion {
            answered.set_name(Name::from_ascii("evil.example.net.").ok()?);
        }
        answer.add_query(answered);
        // `*.example.net` matches every name below it.
        let below = name.match_indices('.').map(|(dot, _)| format!("*{}", &name[dot..]));
        let known = std::iter::once(name.clone()).chain(below).find_map(|name| state.table.get(&name));
        let Some(addresses) = known else {
            answer.metadata.response_code = ResponseCode::NXDomain;
            return answer.to_vec().ok();
        };
        for address in addresses {
            let data = match (address, query.query_type()) {
                (IpAddr::V4(address), RecordType::A) => RData::A((*address).into()),
                (IpAddr::V6(address), RecordType::AAAA) => RData::AAAA((*address).into()),
                _ => continue,
            };
            answer.add_answer(Record::from_rdata(query.name().clone(), 60, data));
        }
        answer.to_vec().ok()
    }
}

fn serve_udp(socket: &UdpSocket, other: &UdpSocket, shared: &Shared) {
    let mut buffer = [0; 2048];
    while !shared.is_over() {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        let Some(mut reply) = shared.reply(&buffer[..length]) else { continue };
        if reply.len() > PLAIN {
            let Ok(whole) = Message::from_vec(&reply) else { continue };
            let mut short = whole.truncate();
            short.metadata.truncation = true;
            reply = short.to_vec().unwrap_or_default();
        }
        let other = (shared.state().mode == AnswerMode::OtherSource).then_some(other);
        // The machine's firewall may refuse an answer. That is a result of the test, and not an error.
        let _ = other.unwrap_or(socket).send_to(&reply, from);
    }
}

fn serve_tcp(listener: &TcpListener, shared: &Shared) {
    while !shared.is_over() {
        let Ok((mut stream, _)) = listener.accept() else {
            thread::sleep(TURN);
            continue;
        };
        let answer = || -> std::io::Result<()> {
            stream.set_nonblocking(false)?;
            stream.set_read_timeout(Some(TURN * 20))?;
            let mut length = [0; 2];
            stream.read_exact(&mut length)?;
            let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut question)?;
            let reply = shared.reply(&question).unwrap_or_default();
            let length = u16::try_from(reply.len()).unwrap_or(u16::MAX);
            stream.write_all(&[&length.to_be_bytes(), &reply[..]].concat())
        };
        // A client that disconnects is not an error of the server.
        let _ = { answer }();
    }
}
