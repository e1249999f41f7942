//! Reads all links, addresses, routes and rules from the kernel, as they are now.

use std::io;
use std::ops::ControlFlow;

use nix::libc;

use super::netlink::Kernel;
use super::table::Draft;
use super::{LinksError, lookup, pppoe};
use crate::netlink::{ANSWER, DONE, DUMP, INTERRUPTED, Message, REQUEST, attribute, error_number, message};
use crate::vpn::{LinkKind, LinkTable, PppoeSession};

/// Maximum number of readings of a table that changes during each reading. After that the last table is used. A watcher
/// gets a notification of the change in any case.
const ATTEMPTS: usize = 4;

/// Whether the kernel's lists stayed the same while they were read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Consistency {
    Whole,
    /// `NLM_F_DUMP_INTR`.
    Interrupted,
}

/// The links as they are now. `before` are the sessions of PPPoE that are known.
pub(super) async fn table(before: &[PppoeSession]) -> Result<LinkTable, LinksError> {
    let mut attempt = 1;
    loop {
        let (draft, consistency) = read().await?;
        if consistency == Consistency::Whole || attempt == ATTEMPTS {
            let table = draft.finish();
            // The sessions are read after the links, because a session begins before the kernel makes its PPP link.
            let has_ppp = table.links.iter().any(|link| link.kind == LinkKind::Ppp);
            let sessions = if has_ppp { pppoe::sessions(before) } else { Vec::new() };
            return Ok(LinkTable { sessions, ..table });
        }
        attempt += 1;
    }
}

async fn read() -> Result<(Draft, Consistency), LinksError> {
    let mut kernel = Kernel::connect()?;
    let mut draft = Draft::default();
    let mut consistency = Consistency::Whole;
    for (sequence, request) in [links(), addresses(), routes(), rules()].into_iter().enumerate() {
        let rules = request.kind == libc::RTM_GETRULE;
        let request = request.message(u32::try_from(sequence).unwrap_or_default());
        let mut take = |message: &Message<'_>| {
            if message.flags() & INTERRUPTED != 0 {
                consistency = Consistency::Interrupted;
            }
            add(&mut draft, message)
        };
        match kernel.ask(&request, &mut take).await {
            Ok(()) => {}
            // A kernel without policy routing has no rules to list.
            Err(LinksError::Refused(_)) if rules => {}
            Err(error) => return Err(error),
        }
    }
    if draft.has_tunnel() {
        let ranges = lookup::ranges(&mut kernel, draft.bounds()).await?;
        draft.route(ranges);
    }
    Ok((draft, consistency))
}

/// Takes one message of a dump, and returns `Break` at the last one.
fn add(draft: &mut Draft, message: &Message<'_>) -> Result<ControlFlow<()>, LinksError> {
    match message.message_type() {
        DONE => return refusal(message.payload()).map(ControlFlow::Break),
        ANSWER => refusal(message.payload())?,
        kind => draft.add(kind, message.payload()),
    }
    Ok(ControlFlow::Continue(()))
}

/// Both the end of a dump and an error begin with a negated `errno`, or 0.
fn refusal(payload: &[u8]) -> Result<(), LinksError> {
    match error_number(payload) {
        None | Some(0..) => Ok(()),
        Some(code) => Err(LinksError::Refused(io::Error::from_raw_os_error(code.saturating_neg()))),
    }
}

/// A request for a dump: its kind, and an empty body of the kind's size, for every address family.
struct Request {
    kind: u16,
    body: Vec<u8>,
}

fn links() -> Request {
    // `struct ifinfomsg`, then IFLA_EXT_MASK: the counters are the largest part, and are not needed.
    let mut body = vec![0; 16];
    body.extend(attribute(libc::IFLA_EXT_MASK, &libc::RTEXT_FILTER_SKIP_STATS.to_ne_bytes()));
    Request { kind: libc::RTM_GETLINK, body }
}

fn addresses() -> Request {
    Request { kind: libc::RTM_GETADDR, body: vec![0; 8] }
}

fn routes() -> Request {
    Request { kind: libc::RTM_GETROUTE, body: vec![0; 12] }
}

fn rules() -> Request {
    Request { kind: libc::RTM_GETRULE, body: vec![0; 12] }
}

impl Request {
    fn message(&self, sequence: u32) -> Vec<u8> {
        message(self.kind, REQUEST | DUMP, sequence, &self.body)
    }
}
