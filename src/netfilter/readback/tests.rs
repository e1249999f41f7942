//! What is read of bytes that are ours, another program's, or cut.

use proptest::prelude::*;

use super::*;
use crate::config::Config;
use crate::netlink::attribute;
use crate::netlink::{ANSWER, DONE, INTERRUPTED, messages};
use crate::policy::nftables::{NftFamily, tables};
use crate::policy::{Owners, last_resort, ruleset};
use crate::vpn::{Situation, Wire};

const INET: TableId = TableId::ours(NftFamily::Inet);
const NETDEV: TableId = TableId::ours(NftFamily::Netdev);

fn differences(table: &NftTable, held: &Held) -> Vec<String> {
    let lines = super::differences(table, held, |_| true);
    assert_eq!(differs(table, held, |_| true), !lines.is_empty());
    lines
}

fn made(table: &NftTable) -> Vec<u8> {
    let mut transaction = Transaction::default();
    transaction.replace(table, Found::Absent);
    transaction.into_bytes()
}

#[test]
fn tables_of_other_families_and_names_are_not_ours() {
    let [inet, netdev] = tables(&last_resort());
    let mut held = Held::default();
    assert_eq!(held.take(NETDEV, &made(&inet)), Ok(Progress::More));
    let other = message(NEW_TABLE, 1, 0, protocol(NftFamily::Netdev), &text(1, "others"));
    assert_eq!(held.take(NETDEV, &other), Ok(Progress::More));
    assert_eq!(held, Held::default());
    assert_eq!(held.take(NETDEV, &made(&netdev)), Ok(Progress::More));
    assert!(held.is_there() && !held.chains.is_empty());
}

#[test]
fn a_table_that_cannot_be_read_is_an_error_and_no_table() {
    let [inet, _] = tables(&last_resort());
    let whole = made(&inet);
    for cut in [whole.len() - 2, 30, 21, 3] {
        assert!(Held::default().take(INET, &whole[..cut]).is_err(), "{cut}");
    }
    let long = [&64_u16.to_ne_bytes()[..], &2_u16.to_ne_bytes(), &[0; 4]].concat();
    let body = [text(1, INET.name), attribute(2, &[0; 4]), long].concat();
    let table = message(NEW_TABLE, 1, 0, protocol(NftFamily::Inet), &body);
    assert_eq!(Held::default().take(INET, &table), Err(Malformed));
    let refused = {
        let mut answer = message(ANSWER, 1, 0, 0, &[]);
        answer[16..20].copy_from_slice(&(-1_i32).to_ne_bytes());
        answer
    };
    assert_eq!(Held::default().take(INET, &refused), Ok(Progress::Refused(1)));
    let mut ended = message(DONE, 1, 0, 0, &[]);
    ended[16..20].copy_from_slice(&(-12_i32).to_ne_bytes());
    assert_eq!(Held::default().take(INET, &ended), Ok(Progress::Refused(12)));
    let interrupted = message(DONE, 1, INTERRUPTED, 1, &[]);
    assert_eq!(Held::default().take(INET, &interrupted), Ok(Progress::Again));
}

#[test]
fn a_question_has_no_end_and_another_name() {
    let [inet, _] = tables(&last_resort());
    let asked = Transaction::question(&inet).into_bytes();
    let kinds = |bytes: &[u8]| -> Vec<u16> {
        messages(bytes).map(|message| message.unwrap().message_type()).collect()
    };
    let committed = kinds(&made(&inet));
    assert_eq!(kinds(&asked)[..], committed[..committed.len() - 1], "the last message commits");
    let mut held = Held::default();
    assert_eq!(held.take(INET, &asked), Ok(Progress::More));
    assert!(!held.is_there(), "it asks for our table");
}

#[test]
fn a_hook_on_a_link_that_is_gone_is_no_difference() {
    let on = |links: &[&str]| {
        let wires = links.iter().map(|link| Wire { interface: link.parse().unwrap(), index: 2 }).collect();
        let situation = Situation { wires, ..Situation::default() };
        let [_, netdev] = tables(&ruleset(&Config::default(), &Owners::from([0]), &situation));
        netdev
    };
    let (wanted, held) = (on(&["eth0"]), Held::of(&on(&["eth0", "usb0"])));
    let there = |there: &[&str]| super::differences(&wanted, &held, |link| there.contains(&link));
    assert_eq!(there(&["eth0", "usb0"]), ["nft netdev tunwarden: foreign: egress on usb0"]);
    assert_eq!(there(&["eth0"]), [""; 0]);
    assert_eq!(there(&[]), ["nft netdev tunwarden: egress is not on eth0"]);
}

#[test]
fn one_attribute_more_in_an_instruction_is_a_difference() {
    let [inet, _] = tables(&last_resort());
    let mut held = Held::of(&inet);
    assert_eq!(differences(&inet, &held), [""; 0]);
    let rule = held.chains.values_mut().flat_map(|chain| &mut chain.rules).next().unwrap();
    rule[0].attributes.0.extend_from_slice(&[9, 0, 1, 0, 0, 0, 0]);
    let lines = differences(&inet, &held);
    assert!(lines.iter().any(|line| line.contains("foreign: ")), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("missing: ")), "{lines:?}");
}

#[test]
fn what_packets_put_into_a_set_is_no_difference_and_another_timeout_is_one() {
    let [inet, _] = tables(&ruleset(&Config::default(), &Owners::from([0]), &Situation::default()));
    let element = |more: &[u8]| {
        let key = [attribute(1, &attribute(1, &[7; 12])), more.to_vec()].concat();
        let list = attribute(3, &attribute(1, &key));
        let body = [text(1, INET.name), text(2, "VPN_ASKED_V4"), list].concat();
        message(NEW_ELEMENTS, 1, 0, protocol(NftFamily::Inet), &body)
    };
    let mut held = Held::of(&inet);
    let expires = attribute(5, &5000_u64.to_be_bytes());
    assert_eq!(held.take(INET, &element(&expires)), Ok(Progress::More));
    assert_eq!(differences(&inet, &held), [""; 0]);
    // Kernels before 6.12 also send the timeout, which is the set's.
    let usual = attribute(4, &6000_u64.to_be_bytes());
    assert_eq!(held.take(INET, &element(&[usual, expires].concat())), Ok(Progress::More));
    assert_eq!(differences(&inet, &held), [""; 0]);
    let forever = attribute(4, &0_u64.to_be_bytes());
    assert_eq!(held.take(INET, &element(&forever)), Ok(Progress::More));
    assert_eq!(differences(&inet, &held), ["nft inet tunwarden: set VPN_ASKED_V4 has other elements"]);
    let mut held = Held::of(&inet);
    let set = held.sets.get_mut("VPN_ASKED_V4").unwrap();
    set.bounds.as_mut().unwrap()[1] = vec![0; 4];
    assert_eq!(differences(&inet, &held).len(), 1, "another size");
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Held::default().take(INET, &bytes);
        let body = [text(1, INET.name), text(2, "c"), attribute(4, &bytes)].concat();
        let rule = message(NEW_RULE, 1, 0, protocol(NftFamily::Inet), &body);
        let _ = Held::default().take(INET, &rule);
    }
}
