//! The table in which the kernel notes the control group of every program that opens a TCP connection. Pure.
//!
//! It has no verdict: a packet passes its chains as if they were not there. When the agent receives the log line
//! of a refused connection, its socket is closed. The table still has its control group.

use std::net::IpAddr;

use netlink_bindings::nftables::{PushSetAttrs, SetFlags};

use super::expression::by_hand;
use super::{
    CREATE, INET_SERVICE, IPV4_ADDR, IPV6_ADDR, MACHINE_ORDER, NEW_SET, NO_ORDER, REFUSE_EXISTING,
    Transaction, byte_order, expressions,
};
use crate::net::{Family, Transport, octets};
use crate::netfilter::message::{self, NFTABLES, message, text};
use crate::netlink::{REQUEST, attribute};
use crate::policy::nftables::{
    Comparison, Instruction, Meta, NftFamily, NftVerdict, Owner, PayloadBase, TableId,
};

/// The table.
pub const SENDERS: TableId = TableId { family: NftFamily::Inet, name: "tunwarden_senders" };

/// The chain that packets enter, and the one that only the first packet of a connection comes to.
const OUTPUT_CHAIN: &str = "output";
const OPENING_CHAIN: &str = "opening";

/// `NF_INET_LOCAL_OUT`
const OUTPUT: u32 = 3;
/// Before iptables' filter (0) and the rules of our own table, which refuse. After the rewrites of destinations (-100),
/// so that a packet has the same addresses as in the log line.
const PRIORITY: i32 = -1;

/// The levels of control groups that are noted, the deepest first. `unit` reads at most six names of a path.
const LEVELS: u32 = 8;
/// Maximum number of connections of one family that are noted at the same time. The next ones have no name.
const SIZE: u32 = 2048;
/// How long a connection is noted. The agent asks as soon as the kernel tells it about the refusal.
const MILLISECONDS: u64 = 10_000;

/// nft's numbers for types of values: a number of four bytes, and a control group.
const MARK: u32 = 19;
const CGROUP: u32 = 46;

/// `NFT_REG32_00`: the registers of four bytes begin here.
const FIRST: u32 = 8;
/// `NFT_DYNSET_OP_ADD`: an element that is there stays as it is.
const ADD: u32 = 0;
/// `NFT_SOCKET_CGROUPV2`
const SOCKET_CGROUP: u32 = 3;

/// `NFT_MSG_GETSETELEM`
const GET_ELEMENTS: u16 = NFTABLES << 8 | 13;
/// `NLA_F_NESTED`
const NESTED: u16 = 0x8000;

/// Where the flags are in the header of TCP: SYN alone of FIN, SYN, RST and ACK opens a connection.
const FLAGS: u32 = 13;
const OPENING_FLAGS: u8 = 0x17;
const SYN: u8 = 0x02;

/// The loopback link as the kernel compares it: `IFNAMSIZ` bytes.
const LOOPBACK: &[u8; 16] = b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// The first packet of a TCP connection. The kernel chooses the number at random for each connection, so another
/// program that gets the same ports is another one here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// This machine.
    pub own: (IpAddr, u16),
    /// The other one.
    pub other: (IpAddr, u16),
    /// The sequence number in its header.
    pub number: u32,
}

/// The name of the map of one family.
pub(in crate::netfilter) fn map_name(family: Family) -> &'static str {
    match family {
        Family::V4 => "SENDERS_V4",
        Family::V6 => "SENDERS_V6",
    }
}

/// The question for the group of a program that sent this packet. The answer has the same number.
pub(in crate::netfilter) fn question(number: u32, opening: &Opening) -> Vec<u8> {
    let value = attribute(1, &key(opening));
    let element = attribute(NESTED | 1, &attribute(NESTED | 1, &value));
    let map = map_name(Family::of(opening.own.0));
    let attributes = [text(1, SENDERS.name), text(2, map), attribute(NESTED | 3, &element)].concat();
    message(GET_ELEMENTS, number, REQUEST, super::protocol(SENDERS.family), &attributes)
}

/// The key of a packet: each part takes whole registers, as [`loads`] fills them.
fn key(opening: &Opening) -> Vec<u8> {
    let mut key = [octets(opening.own.0), octets(opening.other.0)].concat();
    for port in [opening.own.1, opening.other.1] {
        key.extend(port.to_be_bytes());
        key.extend([0; 2]);
    }
    key.extend(opening.number.to_be_bytes());
    key
}

/// What loads the key of a packet, and the register behind it.
fn loads(family: Family) -> (Vec<Instruction>, u32) {
    let (source, length): (u32, u32) = match family {
        Family::V4 => (12, 4),
        Family::V6 => (8, 16),
    };
    let parts = [
        (PayloadBase::Network, source, length),
        (PayloadBase::Network, source + length, length),
        (PayloadBase::Transport, 0, 2),
        (PayloadBase::Transport, 2, 2),
        (PayloadBase::Transport, 4, 4),
    ];
    let mut next = FIRST;
    let loads = parts.map(|(base, offset, length)| {
        let register = next;
        next += u32::div_ceil(length, 4);
        Instruction::Payload { base, offset, length, register }
    });
    (loads.to_vec(), next)
}

impl Transaction {
    /// Makes the table. The socket that commits it owns it, and it ends with it.
    pub fn senders() -> Self {
        let mut transaction = Self::default();
        transaction.table(SENDERS, Owner::MakerOfCopy, CREATE | REFUSE_EXISTING);
        transaction.net_chain(SENDERS, OPENING_CHAIN, None);
        transaction.net_chain(SENDERS, OUTPUT_CHAIN, Some((OUTPUT, PRIORITY, &[])));
        transaction.entry();
        for family in Family::ALL {
            transaction.senders_map(family);
            // The first one that holds is the group itself. The ones above it find its element there.
            (1..=LEVELS).rev().for_each(|level| transaction.note(family, level));
        }
        transaction
    }

    /// Leads the first packet of a connection that leaves by a link into the other chain.
    fn entry(&mut self) {
        let equal = |value: &[u8]| Instruction::Compare(Comparison::Equal, value.to_vec());
        let flags =
            Instruction::Payload { base: PayloadBase::Transport, offset: FLAGS, length: 1, register: 1 };
        let steps = [
            Instruction::Meta(Meta::L4Proto, 1),
            equal(&[Transport::Tcp.number()]),
            flags,
            Instruction::Mask(vec![OPENING_FLAGS]),
            equal(&[SYN]),
            Instruction::Meta(Meta::OifName, 1),
            Instruction::Compare(Comparison::Other, LOOPBACK.to_vec()),
            Instruction::Verdict(NftVerdict::Jump(OPENING_CHAIN.to_owned())),
        ];
        self.append(SENDERS, OUTPUT_CHAIN, |list| expressions(list, &steps));
    }

    /// Notes the group at this level, for packets of one family. The rule ends for a group that is not as deep.
    fn note(&mut self, family: Family, level: u32) {
        let protocol = message::protocol(family);
        let of_family =
            [Instruction::Meta(Meta::NfProto, 1), Instruction::Compare(Comparison::Equal, vec![protocol])];
        let (loads, group) = loads(family);
        let [of_group, at_level] = [SOCKET_CGROUP, level].map(u32::to_be_bytes);
        let map = [map_name(family).as_bytes(), &[0]].concat();
        let [add, first, group] = [ADD, FIRST, group].map(u32::to_be_bytes);
        let timeout = MILLISECONDS.to_be_bytes();
        // Key, register and level are the attributes 1 to 3 of `socket`.
        let socket: [(u16, &[u8]); 3] = [(1, &of_group), (2, &group), (3, &at_level)];
        // The map's name, the operation, the registers of key and value and the timeout are those of `dynset`.
        let noted: [(u16, &[u8]); 5] = [(1, &map), (3, &add), (4, &first), (5, &group), (6, &timeout)];
        self.append(SENDERS, OPENING_CHAIN, |list| {
            let list = by_hand(expressions(list, &of_family).nested_elem(), c"socket", &socket);
            by_hand(expressions(list, &loads).nested_elem(), c"dynset", &noted)
        });
    }

    fn senders_map(&mut self, family: Family) {
        let (address, length) = match family {
            Family::V4 => (IPV4_ADDR, 20),
            Family::V6 => (IPV6_ADDR, 44),
        };
        // nft has six bits for each part.
        let parts = [address, address, INET_SERVICE, INET_SERVICE, MARK];
        let kind = parts.iter().fold(0, |kind, part| kind << 6 | part);
        let flags = SetFlags::Map as u32 | SetFlags::Timeout as u32 | SetFlags::Eval as u32;
        self.sets += 1;
        let mut attributes = Vec::new();
        let names = PushSetAttrs::new(&mut attributes).push_table_bytes(SENDERS.name.as_bytes());
        let map = names.push_name_bytes(map_name(family).as_bytes()).push_flags(flags);
        let map = map.push_key_type(kind).push_key_len(length).push_data_type(CGROUP).push_data_len(8);
        let map = map.push_id(self.sets.to_be()).push_timeout(MILLISECONDS.to_be());
        let map = map.nested_desc().push_size(SIZE).end_nested();
        // `NFTNL_UDATA_SET_DATABYTEORDER`
        let [_, length, order @ ..] = byte_order(MACHINE_ORDER);
        let of_value = [&[1, length][..], &order].concat();
        map.push_userdata(&[&byte_order(NO_ORDER)[..], &of_value].concat()).end_nested();
        self.push(NEW_SET, CREATE, SENDERS.family, attributes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_has_the_bytes_that_the_rules_load() {
        let ends = |own: &str, other: &str| Opening {
            own: (own.parse().unwrap(), 40000),
            other: (other.parse().unwrap(), 443),
            number: 0x0102_0304,
        };
        let ports = [0x9c, 0x40, 0, 0, 0x01, 0xbb, 0, 0, 1, 2, 3, 4];
        let v4 = key(&ends("10.0.0.2", "203.0.113.9"));
        assert_eq!(v4, [&[10, 0, 0, 2, 203, 0, 113, 9][..], &ports].concat());
        let v6 = key(&ends("2001:db8::2", "2001:db8:9::9"));
        assert_eq!(v6[32..], ports);
        for (family, key) in [(Family::V4, v4), (Family::V6, v6)] {
            let (loads, behind) = loads(family);
            assert_eq!(usize::try_from((behind - FIRST) * 4).unwrap(), key.len());
            assert_eq!(loads.len(), 5, "{loads:?}");
        }
    }
}
