//! What may leave, as rules. Pure: it makes a [`Ruleset`] of a [`Situation`] and the configuration.
//!
//! `output`, `input`, `forward`, `bootstrap` and `wire` each hold the chains of one kind of packet; `lan_services` holds
//! the rules of discovery on the LAN, and `refusal` those that answer the sender of a refused packet. The order of
//! rules inside a chain is the security property, and the line above a rule says why it stands there. They ask
//! their questions of a `view`, and take from `well_known` what standards fix. `iptables` and `nftables` render
//! the same rules, each in the words of its layer. Nothing here asks the kernel, the clock or the disk.

mod bootstrap;
mod forward;
mod forward_last;
mod frame;
mod input;
pub mod iptables;
mod lan_services;
mod log;
pub mod nftables;
mod output;
mod protocol;
mod refusal;
mod replacement;
mod rule;
mod ruleset;
mod set;
mod trial;
mod view;
mod well_known;
mod wire;

use std::collections::BTreeSet;

pub use frame::{FrameMatch, PppContent, Pppoe};
pub use log::{LOG_GROUP, LOG_LIMIT, LOG_PREFIX};
pub use protocol::{Asked, Direction, HopLimit, Ported, Protocol, Tracked};
pub use refusal::{Answer, AnsweredBridges};
pub use rule::{Device, IfMatch, Rule, Verdict};
pub use ruleset::{Chain, ChainName, ForeignChain, Ruleset, Table, TableName};
pub use set::{EndpointSet, MAX_RULES_WITHOUT_SET, SetName};
pub use wire::{WireChain, WireRule, WireRules};

use crate::config::Config;
use crate::net::Family;
use crate::vpn::Situation;
use view::{View, loopback};

/// User ids of this system that rules name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Owners {
    /// The users of `bootstrap.owners`.
    pub bootstrap: BTreeSet<u32>,
    /// Users of DHCP clients besides root.
    pub leases: BTreeSet<u32>,
}

impl<const N: usize> From<[u32; N]> for Owners {
    /// These users of `bootstrap.owners`.
    fn from(bootstrap: [u32; N]) -> Self {
        Self { bootstrap: bootstrap.into(), leases: BTreeSet::new() }
    }
}

/// The rules that hold the contract in `situation`.
pub fn ruleset(config: &Config, owners: &Owners, situation: &Situation) -> Ruleset {
    let [ipv4, ipv6] = Family::ALL.map(|family| View { config, owners, situation, family });
    let tables = |view| vec![filter(view), mangle(view)];
    Ruleset {
        ipv4: tables(&ipv4),
        ipv6: tables(&ipv6),
        sets: [bootstrap::sets(&ipv4), bootstrap::sets(&ipv6)].concat(),
        answered: Some(refusal::bridges(&ipv4)),
        wire: wire::rules(&ipv4, &ipv6),
    }
}

/// The strictest rules: loopback alone, by matches that every kernel has. They are committed when the real
/// rules cannot be.
pub fn last_resort() -> Ruleset {
    let tables = |family| {
        let only_lo = |name, rule: Rule| Chain { name, rules: vec![rule, Rule::new(family, Verdict::Drop)] };
        let accept = || Rule::new(family, Verdict::Accept);
        let output = only_lo(ChainName::OutputVpnKillSwitch, accept().output(loopback()));
        let input = only_lo(ChainName::RelatedAndEstablished, accept().input(loopback()));
        let forward =
            || Chain { name: ChainName::DockerVpnKillSwitch, rules: vec![Rule::new(family, Verdict::Drop)] };
        let last = Chain { name: forward_last::name(family), rules: Vec::new() };
        let filter = vec![output, input, forward(), last];
        vec![filter_of(filter, family), mangle_of(vec![forward()])]
    };
    Ruleset {
        ipv4: tables(Family::V4),
        ipv6: tables(Family::V6),
        sets: Vec::new(),
        answered: None,
        wire: wire::last_resort(),
    }
}

fn filter(view: &View<'_>) -> Table {
    let mut chains = output::chains(view);
    chains.extend(input::chains(view));
    chains.extend(forward::chains(view));
    chains.push(forward_last::chain(view));
    filter_of(chains, view.family)
}

fn mangle(view: &View<'_>) -> Table {
    mangle_of(forward::chains(view))
}

fn filter_of(chains: Vec<Chain>, family: Family) -> Table {
    Table {
        name: TableName::Filter,
        dropping: vec![ForeignChain::Input, ForeignChain::Forward, ForeignChain::Output],
        chains,
        jumps: vec![
            (ForeignChain::Output, ChainName::OutputVpnKillSwitch),
            (ForeignChain::Input, ChainName::RelatedAndEstablished),
            (ForeignChain::DockerUser, ChainName::DockerVpnKillSwitch),
            (ForeignChain::Forward, ChainName::DockerVpnKillSwitch),
        ],
        last: vec![(ForeignChain::Forward, forward_last::name(family))],
    }
}

fn mangle_of(chains: Vec<Chain>) -> Table {
    let jumps = vec![(ForeignChain::Forward, ChainName::DockerVpnKillSwitch)];
    Table { name: TableName::Mangle, dropping: Vec::new(), chains, jumps, last: Vec::new() }
}
