//! Sets of nf_tables.

use std::fmt;

use super::bytes::padded;
use super::number::L4;
use crate::net::{Endpoint, Family, octets};
use crate::policy::well_known::ANSWER_SECONDS;
use crate::policy::{Asked, EndpointSet, Ruleset, Table};
use crate::vpn::LinkKind;

/// The name of the set of the kernel's kinds of tunnels.
pub(super) const TUNNEL_KINDS: &str = "VPN_TUNNEL_KINDS";

/// A set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NftSet {
    /// The name by which rules look it up.
    pub name: String,
    /// What it holds.
    pub elements: NftElements,
}

/// What a set holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NftElements {
    /// Endpoints of one family: address, protocol and port.
    Endpoints(Family, Vec<Endpoint>),
    /// The kernel's names of kinds of links.
    Kinds(Vec<&'static str>),
    /// Questions of discovery in one family: own address, asking port and asked port. Packets put them there, each for
    /// a few seconds.
    Asked(Family),
}

/// Maximum number of questions of discovery that are remembered. Answers to further ones do not come in.
pub const ASKED: u32 = 1024;

/// How long a question is remembered, in milliseconds.
pub const ASKED_MILLISECONDS: u64 = ANSWER_SECONDS as u64 * 1000;

impl NftElements {
    /// The type of the elements in the words of nft.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Endpoints(Family::V4, _) => "ipv4_addr . inet_proto . inet_service",
            Self::Endpoints(Family::V6, _) => "ipv6_addr . inet_proto . inet_service",
            Self::Kinds(_) => "ifname",
            Self::Asked(Family::V4) => "ipv4_addr . inet_service . inet_service",
            Self::Asked(Family::V6) => "ipv6_addr . inet_service . inet_service",
        }
    }

    /// Each element as the kernel compares it. Every part of an endpoint is padded to four bytes.
    pub fn keys(&self) -> Vec<Vec<u8>> {
        let endpoint = |endpoint: &Endpoint| {
            let [high, low] = endpoint.port().get().to_be_bytes();
            let protocol = L4::from(endpoint.transport()) as u8;
            [octets(endpoint.address()), vec![protocol, 0, 0, 0, high, low, 0, 0]].concat()
        };
        match self {
            Self::Endpoints(_, endpoints) => endpoints.iter().map(endpoint).collect(),
            Self::Kinds(kinds) => kinds.iter().map(|kind| padded(kind)).collect(),
            Self::Asked(_) => Vec::new(),
        }
    }

    /// Each element in the words of nft.
    pub fn words(&self) -> Vec<String> {
        let endpoint = |endpoint: &Endpoint| {
            format!("{} . {} . {}", endpoint.address(), endpoint.transport(), endpoint.port())
        };
        match self {
            Self::Endpoints(_, endpoints) => endpoints.iter().map(endpoint).collect(),
            Self::Kinds(kinds) => kinds.iter().map(|kind| format!("\"{kind}\"")).collect(),
            Self::Asked(_) => Vec::new(),
        }
    }
}

impl fmt::Display for NftSet {
    /// The block of a file that makes the set.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\tset {} {{\n\t\ttype {}", self.name, self.elements.kind())?;
        if let NftElements::Asked(_) = self.elements {
            writeln!(f, "\t\tsize {ASKED}\n\t\tflags dynamic,timeout\n\t\ttimeout {ANSWER_SECONDS}s")?;
        }
        let words = self.elements.words();
        if !words.is_empty() {
            writeln!(f, "\t\telements = {{ {} }}", words.join(", "))?;
        }
        f.write_str("\t}\n")
    }
}

/// The kernel's kinds of tunnels. A network card with a tunnel's name has none of them. The kernel checks the
/// kind also while no agent runs.
pub(super) fn tunnel_kinds() -> NftSet {
    let elements = NftElements::Kinds(LinkKind::tunnels().collect());
    NftSet { name: TUNNEL_KINDS.to_owned(), elements }
}

/// The sets of the questions that rules of these tables remember.
pub(super) fn asked(tables: &[(Family, &Table)]) -> Vec<NftSet> {
    let asks =
        |table: &Table| table.chains.iter().flat_map(|chain| &chain.rules).any(|rule| rule.asked.is_some());
    let families = tables.iter().filter(|(_, table)| asks(table)).map(|&(family, _)| family);
    let set = |family| NftSet { name: Asked::list(family).to_owned(), elements: NftElements::Asked(family) };
    families.map(set).collect()
}

/// The sets of endpoints.
pub(super) fn sets(ruleset: &Ruleset) -> Vec<NftSet> {
    let set = |set: &EndpointSet| {
        let members = set.members().iter().copied().collect();
        NftSet {
            name: set.name().to_string(),
            elements: NftElements::Endpoints(set.name().family(), members),
        }
    };
    ruleset.sets.iter().map(set).collect()
}
