//! The edge: the names of links.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, netdevice, socket};
use tokio::time::Instant;

/// How long names are kept. A link can be renamed.
const KEPT: Duration = Duration::from_secs(2);

/// The names of links by their indexes.
#[derive(Debug, Default)]
pub(super) struct Links {
    names: BTreeMap<u32, Option<String>>,
    since: Option<Instant>,
}

impl Links {
    /// The name of a link; `None` if there is no such link.
    pub(super) fn name(&mut self, index: u32) -> Option<String> {
        if self.since.is_none_or(|since| since.elapsed() >= KEPT) {
            self.names.clear();
            self.since = Some(Instant::now());
        }
        self.names.entry(index).or_insert_with(|| ask(index)).clone()
    }
}

fn ask(index: u32) -> Option<String> {
    let socket = socket(AddressFamily::UNIX, SocketType::DGRAM, None).ok()?;
    netdevice::index_to_name(&socket, index).ok()
}
