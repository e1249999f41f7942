//! Rules for one family. Most keys of the configuration apply to both IPv4 and IPv6.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::chains::{Chains, Direction, Effective};
use super::piece::Piece;
use super::rule::Target;
use crate::config::Inbound;
use crate::net::Family;

/// The families in which INPUT and OUTPUT refuse packets that no rule allows.
#[derive(Debug, Clone, Default)]
pub(super) struct Closed {
    input: Vec<Family>,
    output: Vec<Family>,
}

impl Closed {
    /// Takes the policies that the scripts set, and otherwise those in the kernel.
    pub(super) fn by(scripts: &Chains, kernel: &Chains) -> Self {
        let closed = |chain| {
            let refuses = |family: &Family| {
                let policy = scripts.policy(*family, chain).or_else(|| kernel.policy(*family, chain));
                policy == Some(&Target::Refuse)
            };
            Family::ALL.into_iter().filter(refuses).collect()
        };
        Self { input: closed("INPUT"), output: closed("OUTPUT") }
    }

    /// The piece, limited to the family of its rule if the other family was closed.
    pub(super) fn narrowed(&self, piece: Piece, family: Family) -> Piece {
        if let Piece::Input(inbound) = &piece
            && inbound.from.is_none()
            && self.input.contains(&other(family))
        {
            return Piece::Input(Inbound { from: Some(all(family)), ..inbound.clone() });
        }
        piece
    }

    /// A sentence about IPv6, if the rules refused all of it and allowed IPv4.
    pub(super) fn remark(&self, rules: &[Effective]) -> Option<String> {
        let allows = |family| {
            rules.iter().any(|found| {
                let device = found.rule.output.as_ref().filter(|device| device.name != "lo");
                let new = found.rule.states.as_ref().is_none_or(|states| states.contains("NEW"));
                let outside = found.rule.output.is_none() || device.is_some();
                let accepts = found.rule.target == Target::Accept && found.direction == Direction::Output;
                found.family == family && accepts && outside && new
            })
        };
        let closed = self.output.contains(&Family::V6) && !allows(Family::V6) && allows(Family::V4);
        closed.then(|| {
            "the earlier rules refused all IPv6. tunwarden's keys apply to both families: what may pass through the \
             tunnel and to VPN servers by IPv4 may then pass by IPv6 too, if the VPN has IPv6"
                .to_owned()
        })
    }
}

/// If connections are allowed from all addresses of both families, they are allowed from everywhere.
pub(super) fn merge(input: &mut Vec<Inbound>) {
    let twins: Vec<Inbound> = input
        .iter()
        .filter(|inbound| inbound.from == Some(all(Family::V4)))
        .filter(|inbound| input.contains(&Inbound { from: Some(all(Family::V6)), ..(*inbound).clone() }))
        .cloned()
        .collect();
    for twin in twins {
        input.retain(|inbound| *inbound != Inbound { from: Some(all(Family::V6)), ..twin.clone() });
        input.iter_mut().filter(|inbound| **inbound == twin).for_each(|inbound| inbound.from = None);
    }
}

const fn other(family: Family) -> Family {
    match family {
        Family::V4 => Family::V6,
        Family::V6 => Family::V4,
    }
}

fn all(family: Family) -> IpNet {
    match family {
        Family::V4 => Ipv4Net::default().into(),
        Family::V6 => Ipv6Net::default().into(),
    }
}
