//! Sets of addresses of one family, as ranges: what is in some networks and not in others.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};

use super::Family;

/// A set of addresses of one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressSet {
    family: Family,
    /// First and last address of each range, in order; no two of them touch.
    ranges: Vec<(u128, u128)>,
}

impl AddressSet {
    /// Every address in these networks; those of the other family are left out.
    pub fn of(family: Family, networks: impl IntoIterator<Item = IpNet>) -> Self {
        let own = networks.into_iter().filter(|net| Family::of(net.addr()) == family);
        Self::of_ranges(family, own.map(|net| (net.network(), net.broadcast())))
    }

    /// Every address of a family.
    pub fn whole(family: Family) -> Self {
        Self { family, ranges: vec![(0, last(family))] }
    }

    /// Every address in these ranges, each with its first and last; those of the other family are left out.
    pub fn of_ranges(family: Family, ranges: impl IntoIterator<Item = (IpAddr, IpAddr)>) -> Self {
        let own = ranges.into_iter().filter(|(first, _)| Family::of(*first) == family);
        Self::merged(family, own.map(|(first, last)| (bits(first), bits(last))).collect())
    }

    fn merged(family: Family, mut ranges: Vec<(u128, u128)>) -> Self {
        ranges.sort_unstable();
        let mut merged: Vec<(u128, u128)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
                Some(_) | None => merged.push((first, last)),
            }
        }
        Self { family, ranges: merged }
    }

    /// The family of its addresses.
    pub fn family(&self) -> Family {
        self.family
    }

    /// Whether no address is in it.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Number of addresses in it, at most `u128::MAX`.
    pub fn size(&self) -> u128 {
        let sizes = self.ranges.iter().map(|(first, last)| (last - first).saturating_add(1));
        sizes.fold(0, u128::saturating_add)
    }

    /// The addresses that are in both.
    pub fn and(&self, other: &Self) -> Self {
        self.without(&self.without(other))
    }

    /// The addresses that are in this set and not in `other`.
    pub fn without(&self, other: &Self) -> Self {
        let mut rest = Vec::new();
        let mut taken = other.ranges.iter().filter(|_| self.family == other.family).copied().peekable();
        for &(mut first, last) in &self.ranges {
            while taken.next_if(|&(_, end)| end < first).is_some() {}
            let mut over = false;
            while let Some(&(start, end)) = taken.peek().filter(|&&(start, _)| start <= last) {
                if start > first {
                    rest.push((first, start - 1));
                }
                if end >= last {
                    over = true;
                    break;
                }
                first = end + 1;
                taken.next();
            }
            if !over {
                rest.push((first, last));
            }
        }
        Self { family: self.family, ranges: rest }
    }

    /// The fewest networks that make up this set, in order.
    pub fn networks(&self) -> Vec<IpNet> {
        let family = self.family;
        let networks = |&(first, last): &(u128, u128)| -> Vec<IpNet> {
            match (address(family, first), address(family, last)) {
                (IpAddr::V4(first), IpAddr::V4(last)) => {
                    Ipv4Subnets::new(first, last, 0).map(IpNet::from).collect()
                }
                (IpAddr::V6(first), IpAddr::V6(last)) => {
                    Ipv6Subnets::new(first, last, 0).map(IpNet::from).collect()
                }
                (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => Vec::new(),
            }
        };
        self.ranges.iter().flat_map(networks).collect()
    }
}

/// A whole family cut at the bounds of networks, in order: the first and the last address of each piece.
/// All addresses of a piece are in the same ones of these networks.
pub fn pieces(family: Family, networks: impl IntoIterator<Item = IpNet>) -> Vec<(IpAddr, IpAddr)> {
    let own = networks.into_iter().filter(|net| Family::of(net.addr()) == family);
    let starts = own.flat_map(|net| [Some(bits(net.network())), bits(net.broadcast()).checked_add(1)]);
    let starts: BTreeSet<u128> = starts.flatten().filter(|&start| start <= last(family)).chain([0]).collect();
    let ends = starts.iter().skip(1).map(|next| next - 1).chain([last(family)]);
    starts.iter().zip(ends).map(|(&first, last)| (address(family, first), address(family, last))).collect()
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn address(family: Family, bits: u128) -> IpAddr {
    match family {
        // The upper bits are zero, because every set is made from addresses of its family.
        Family::V4 => Ipv4Addr::from_bits(u32::try_from(bits).unwrap_or(u32::MAX)).into(),
        Family::V6 => Ipv6Addr::from_bits(bits).into(),
    }
}

const fn last(family: Family) -> u128 {
    match family {
        Family::V4 => u32::MAX as u128,
        Family::V6 => u128::MAX,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(nets: &[&str]) -> AddressSet {
        let family = if nets.iter().any(|net| net.contains(':')) { Family::V6 } else { Family::V4 };
        AddressSet::of(family, nets.iter().map(|net| net.parse().unwrap()))
    }

    fn rest(from: &[&str], taken: &[&str]) -> Vec<String> {
        set(from).without(&set(taken)).networks().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn only_removed_addresses_are_missing() {
        assert_eq!(rest(&["10.0.0.0/24"], &["10.0.0.0/24"]), [""; 0]);
        assert_eq!(rest(&["10.0.0.0/24"], &["10.0.0.0/8"]), [""; 0]);
        assert_eq!(rest(&["10.20.0.0/15"], &["10.20.0.0/16"]), ["10.21.0.0/16"]);
        assert_eq!(rest(&["10.0.0.0/24"], &["10.0.0.0/26", "10.0.0.255/32"]).len(), 8);
        assert_eq!(rest(&["10.0.0.0/24"], &["10.0.1.0/24", "fd00::/8"]), ["10.0.0.0/24"]);
        assert_eq!(rest(&["0.0.0.0/0"], &["128.0.0.0/1"]), ["0.0.0.0/1"]);
        assert_eq!(rest(&["::/0"], &["8000::/1"]), ["::/1"]);
        assert_eq!(rest(&["fd00::/63"], &["fd00:0:0:1::/64"]), ["fd00::/64"]);
    }

    #[test]
    fn a_set_is_as_large_as_its_ranges_together() {
        assert_eq!(set(&["10.0.0.0/24", "10.0.2.0/24", "10.0.0.128/25"]).size(), 512);
        assert_eq!(set(&["10.0.0.0/24"]).without(&set(&["10.0.0.0/8"])).size(), 0);
        assert_eq!(AddressSet::whole(Family::V4).size(), 1 << 32);
        assert_eq!(AddressSet::whole(Family::V6).size(), u128::MAX);
    }

    #[test]
    fn two_halves_together_are_the_whole_set() {
        assert_eq!(set(&["0.0.0.0/1", "128.0.0.0/1"]), AddressSet::whole(Family::V4));
        assert_eq!(set(&["8000::/1", "::/1"]), AddressSet::whole(Family::V6));
        assert_ne!(set(&["0.0.0.0/1", "128.0.0.0/2"]), AddressSet::whole(Family::V4));
    }

    #[test]
    fn a_family_is_split_where_networks_begin_and_end() {
        let nets = ["10.0.0.0/8", "10.20.0.0/16", "255.255.255.255/32", "::/0"];
        let pieces = pieces(Family::V4, nets.map(|net| net.parse().unwrap()));
        let pieces: Vec<String> = pieces.iter().map(|(first, last)| format!("{first}-{last}")).collect();
        assert_eq!(
            pieces,
            [
                "0.0.0.0-9.255.255.255",
                "10.0.0.0-10.19.255.255",
                "10.20.0.0-10.20.255.255",
                "10.21.0.0-10.255.255.255",
                "11.0.0.0-255.255.255.254",
                "255.255.255.255-255.255.255.255"
            ]
        );
    }

    proptest! {
        #[test]
        fn the_rest_has_every_address_that_was_not_removed(
            from in prop::collection::vec((0..=255_u8, 24..=32_u8), 0..6),
            taken in prop::collection::vec((0..=255_u8, 24..=32_u8), 0..6),
        ) {
            let nets = |all: &[(u8, u8)]| -> Vec<IpNet> {
                let net = |&(last, length): &(u8, u8)| IpNet::new([10, 0, 0, last].into(), length).unwrap().trunc();
                all.iter().map(net).collect()
            };
            let (from, taken) = (nets(&from), nets(&taken));
            let of = |nets: &[IpNet]| AddressSet::of(Family::V4, nets.iter().copied());
            let rest = of(&from).without(&of(&taken)).networks();
            for last in 0..=255_u8 {
                let address: IpAddr = [10, 0, 0, last].into();
                let within = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&address));
                prop_assert_eq!(within(&rest), within(&from) && !within(&taken), "{}", address);
            }
        }
    }
}
