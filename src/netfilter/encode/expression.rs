//! One instruction of a rule as an attribute. Pure.

use std::ffi::CStr;

use netlink_bindings::nftables::{PushExprAttrs, PushExprListAttrs, VerdictCode};
use netlink_bindings::traits::Pusher;
use netlink_bindings::utils::{finalize_nested_header, push_header, push_nested_header};

use super::OWN_SET;
use crate::policy::nftables::{ASKED_MILLISECONDS, Comparison, Fib, Instruction, Keys, Loads, NftVerdict};
use crate::policy::{Answer, LOG_GROUP, LOG_PREFIX};
use crate::vpn::Refusal;

/// `NFTA_EXPR_DATA`
const EXPRESSION_DATA: u16 = 2;
/// `NFT_BYTEORDER_HTON`
const TO_NETWORK: u32 = 1;
/// `NFT_EXTHDR_F_PRESENT`
const PRESENT: u32 = 1;
/// `NFT_DYNSET_OP_UPDATE`
const UPDATE: u32 = 1;
/// `IP_CT_DIR_ORIGINAL`
const ORIGINAL: u8 = 0;
/// `NFTA_FIB_F_SADDR`, and `NFTA_FIB_F_IIF`: only a route back through the link that the packet came from.
const OF_SOURCE: u32 = 1;
const BY_SAME_LINK: u32 = 8;
/// `NFT_REJECT_TCP_RST`, `NFT_REJECT_ICMPX_UNREACH`, and `NFT_REJECT_ICMPX_ADMIN_PROHIBITED`
const TCP_RESET: u32 = 1;
const ANY_ICMP: u32 = 2;
const PROHIBITED: u8 = 3;
/// The register of a verdict, and the first one for values.
const VERDICT: u32 = 0;
const FIRST: u32 = 1;
/// Appends one instruction. `own` has the numbers of the rule's own sets.
pub(super) fn expression<P: Pusher>(
    list: PushExprListAttrs<P>,
    step: &Instruction,
    own: &mut impl Iterator<Item = u32>,
) -> PushExprListAttrs<P> {
    let element = list.nested_elem();
    match step {
        Instruction::Meta(meta, register) => {
            let meta = element.nested_data_meta().push_key(*meta as u32).push_dreg(*register);
            meta.end_nested().end_nested()
        }
        Instruction::Payload { base, offset, length, register } => {
            let payload = element.nested_data_payload().push_dreg(*register).push_base(*base as u32);
            payload.push_offset(*offset).push_len(*length).end_nested().end_nested()
        }
        Instruction::Extension { header, offset, loads } => extension(element, *header, *offset, *loads),
        Instruction::Ct(ct) => {
            element.nested_data_ct().push_key(*ct as u32).push_dreg(FIRST).end_nested().end_nested()
        }
        Instruction::CtOriginal(ct) => {
            let ct = element.nested_data_ct().push_key(*ct as u32).push_dreg(FIRST);
            ct.push_direction(ORIGINAL).end_nested().end_nested()
        }
        Instruction::Fib(result) => fib(element, *result),
        Instruction::Reject(answer) => reject(element, *answer),
        Instruction::Limit(rate, burst) => limit(element, *rate, *burst),
        Instruction::Log(reason) => log(element, *reason),
        Instruction::Mask(mask) => {
            let length = u32::try_from(mask.len()).unwrap_or(u32::MAX);
            let bitwise = element.nested_data_bitwise().push_sreg(FIRST).push_dreg(FIRST).push_len(length);
            let bitwise = bitwise.nested_mask().push_value(mask).end_nested();
            bitwise.nested_xor().push_value(&vec![0; mask.len()]).end_nested().end_nested().end_nested()
        }
        Instruction::NetworkOrder(size) => {
            let numbers = [FIRST, FIRST, TO_NETWORK, *size, *size].map(u32::to_be_bytes);
            let attributes: Vec<(u16, &[u8])> = (1..).zip(numbers.iter().map(|number| &number[..])).collect();
            by_hand(element, c"byteorder", &attributes)
        }
        Instruction::Compare(comparison, value) => {
            let cmp = element.nested_data_cmp().push_sreg(FIRST).push_op(operation(*comparison));
            cmp.nested_data().push_value(value).end_nested().end_nested().end_nested()
        }
        Instruction::Lookup(Keys::Named(name)) => lookup(element, name.as_bytes(), None),
        Instruction::Lookup(Keys::Own(..)) => lookup(element, OWN_SET, own.next()),
        Instruction::Update(set) => update(element, set),
        Instruction::Verdict(verdict) => {
            let (code, chain) = match verdict {
                NftVerdict::Accept => (VerdictCode::Accept, None),
                // An answer and a line are instructions of their own.
                NftVerdict::Drop | NftVerdict::Reject(_) => (VerdictCode::Drop, None),
                NftVerdict::Log(_) => (VerdictCode::Continue, None),
                NftVerdict::Return => (VerdictCode::Return, None),
                NftVerdict::Jump(chain) => (VerdictCode::Jump, Some(chain)),
                NftVerdict::Goto(chain) => (VerdictCode::Goto, Some(chain)),
            };
            let data = element.nested_data_immediate().push_dreg(VERDICT).nested_data();
            let verdict = data.nested_verdict().push_code(code as u32);
            let verdict = match chain {
                Some(chain) => verdict.push_chain_bytes(chain.as_bytes()),
                None => verdict,
            };
            verdict.end_nested().end_nested().end_nested().end_nested()
        }
    }
}

/// `NFT_CMP_…`
fn operation(comparison: Comparison) -> u32 {
    match comparison {
        Comparison::Equal => 0,
        Comparison::Other => 1,
        Comparison::Below => 2,
        Comparison::AtMost => 3,
        Comparison::AtLeast => 5,
    }
}

/// `lookup`: the set's name, the register and the set's number in this transaction are its attributes 1, 2 and 4.
fn lookup<P: Pusher>(element: PushExprAttrs<P>, set: &[u8], number: Option<u32>) -> P {
    let (name, register) = ([set, &[0]].concat(), FIRST.to_be_bytes());
    let number = number.map(u32::to_be_bytes);
    let mut attributes: Vec<(u16, &[u8])> = vec![(1, &name), (2, &register)];
    attributes.extend(number.iter().map(|number| (4, &number[..])));
    by_hand(element, c"lookup", &attributes)
}

/// `dynset`: the set's name, the operation, the register and the timeout are its attributes 1, 3, 4 and 6.
fn update<P: Pusher>(element: PushExprAttrs<P>, set: &str) -> P {
    let name = [set.as_bytes(), &[0]].concat();
    let [operation, register] = [UPDATE, FIRST].map(u32::to_be_bytes);
    let timeout = ASKED_MILLISECONDS.to_be_bytes();
    by_hand(element, c"dynset", &[(1, &name), (3, &operation), (4, &register), (6, &timeout)])
}

/// `exthdr`: register, header, offset, length and flags are its attributes 1 to 5.
fn extension<P: Pusher>(element: PushExprAttrs<P>, header: u8, offset: u32, loads: Loads) -> P {
    let (length, flags) = match loads {
        Loads::Bytes(length) => (length, 0),
        Loads::Presence => (1, PRESENT),
    };
    let [register, offset, length, flags] = [FIRST, offset, length, flags].map(u32::to_be_bytes);
    by_hand(element, c"exthdr", &[(1, &register), (2, &[header]), (3, &offset), (4, &length), (5, &flags)])
}

/// `fib`: register, result and flags are its attributes 1 to 3.
fn fib<P: Pusher>(element: PushExprAttrs<P>, result: Fib) -> P {
    let flags = match result {
        Fib::LinkName => OF_SOURCE | BY_SAME_LINK,
        Fib::AddressType => OF_SOURCE,
    };
    let [register, result, flags] = [FIRST, result as u32, flags].map(u32::to_be_bytes);
    by_hand(element, c"fib", &[(1, &register), (2, &result), (3, &flags)])
}

/// `reject`: the kind of answer, and the code of ICMP, are its attributes 1 and 2.
fn reject<P: Pusher>(element: PushExprAttrs<P>, answer: Answer) -> P {
    match answer {
        Answer::Reset => by_hand(element, c"reject", &[(1, &TCP_RESET.to_be_bytes())]),
        Answer::Prohibited => {
            by_hand(element, c"reject", &[(1, &ANY_ICMP.to_be_bytes()), (2, &[PROHIBITED])])
        }
    }
}

/// `limit`: rate, seconds of its unit, burst, type (packets) and flags are its attributes 1 to 5.
fn limit<P: Pusher>(element: PushExprAttrs<P>, rate: u32, burst: u32) -> P {
    let (rate, second) = (u64::from(rate).to_be_bytes(), 1_u64.to_be_bytes());
    let [burst, none] = [burst, 0].map(u32::to_be_bytes);
    by_hand(element, c"limit", &[(1, &rate), (2, &second), (3, &burst), (4, &none), (5, &none)])
}

/// `log`: group and prefix are its attributes 1 and 2.
fn log<P: Pusher>(element: PushExprAttrs<P>, reason: Refusal) -> P {
    let prefix = format!("{}{reason}\0", LOG_PREFIX);
    by_hand(element, c"log", &[(1, &LOG_GROUP.to_be_bytes()), (2, prefix.as_bytes())])
}

/// An instruction that is written without the library: see the first lines of `encode.rs`.
pub(super) fn by_hand<P: Pusher>(element: PushExprAttrs<P>, name: &CStr, attributes: &[(u16, &[u8])]) -> P {
    let mut element = element.push_name(name);
    let bytes = element.as_vec_mut();
    let start = push_nested_header(bytes, EXPRESSION_DATA);
    for (kind, value) in attributes {
        // A number, or a name of at most 32 bytes.
        push_header(bytes, *kind, u16::try_from(value.len()).unwrap_or(u16::MAX));
        bytes.extend(*value);
    }
    finalize_nested_header(bytes, start);
    element.end_nested()
}
