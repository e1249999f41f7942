//! The rules that answer containers at once when a packet of theirs is refused.

use super::matches::{Match, Way};
use super::number::L4;
use super::rule::{NftRule, NftVerdict, interface, name};
use super::table::{Base, Hook, NftChain};
use crate::net::{Family, IfName};
use crate::policy::{Answer, AnsweredBridges, ChainName, Tracked};
use crate::vpn::Refusal;

/// The chains that refuse what is forwarded.
const REFUSING: [ChainName; 3] =
    [ChainName::DockerVpnKillSwitch, ChainName::DockerBridges, ChainName::DockerLan];

/// Lets a chain for forwarded packets answer what it drops. Each rule that drops still stands after the answer.
pub(super) fn answer(chain: &mut NftChain) {
    let Some(family) = family_of(chain) else { return };
    let to = NftVerdict::Jump(name(ChainName::DockerRefused, family));
    let answered = |rule: NftRule| {
        let drops = rule.verdict == NftVerdict::Drop;
        let before = drops.then(|| NftRule { verdict: to.clone(), ..rule.clone() });
        before.into_iter().chain([rule])
    };
    chain.rules = std::mem::take(&mut chain.rules).into_iter().flat_map(answered).collect();
}

fn family_of(chain: &NftChain) -> Option<Family> {
    let is = |family: &Family| REFUSING.iter().any(|refusing| name(*refusing, *family) == chain.name);
    Family::ALL.into_iter().find(is)
}

/// The chain that answers. A container can forge its source, so the source must be behind the bridge that the packet
/// came from.
pub(super) fn chain(family: Family, answered: &AnsweredBridges) -> NftChain {
    let silent = answered
        .leading_out
        .iter()
        .map(|link| NftRule::new([Match::Link(Way::In, link.clone())], NftVerdict::Return));
    let answers = answered.bridges.iter().flat_map(|bridge| {
        let behind = Match::SourceBehind(bridge.pattern.clone());
        let from: Vec<Match> = interface(Way::In, bridge).chain([behind]).collect();
        let with =
            |more: &[Match], answer| NftRule::new([&from[..], more].concat(), NftVerdict::Reject(answer));
        [
            with(&[Match::Opens], Answer::Reset),
            with(&[Match::OtherProtocol(L4::Tcp as u8), Match::Tracked(Tracked::New)], Answer::Prohibited),
        ]
    });
    let rules = silent.chain(answers).collect();
    NftChain { name: name(ChainName::DockerRefused, family), base: None, rules }
}

/// Rules of all kinds that answer containers. A kernel that accepts them accepts every such answer.
pub fn to_containers() -> NftChain {
    answers(Hook::Forward, &Match::SourceBehind(IfName::loopback().into()))
}

/// The same for the answers to programs of this machine.
pub fn to_programs() -> NftChain {
    answers(Hook::Output, &Match::FromHere)
}

fn answers(hook: Hook, from: &Match) -> NftChain {
    let rules = vec![
        NftRule::new([from.clone(), Match::Opens], NftVerdict::Reject(Answer::Reset)),
        NftRule::new([from.clone()], NftVerdict::Reject(Answer::Prohibited)),
    ];
    let base = Base { hook, priority: 0, devices: Vec::new() };
    NftChain { name: "answers".to_owned(), base: Some(base), rules }
}

/// A rule that reports to the agent. A kernel that accepts it accepts every such rule.
pub fn lines() -> NftChain {
    let base = Base { hook: Hook::Output, priority: 0, devices: Vec::new() };
    let rules = vec![NftRule::always(NftVerdict::Log(Refusal::NoVpn))];
    NftChain { name: "lines".to_owned(), base: Some(base), rules }
}
