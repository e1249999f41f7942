//! Which tables nf_tables holds besides those of iptables-nft. Their rules are not read. Pure.

use std::collections::BTreeSet;

use netlink_bindings::nftables::TableAttrs;

use super::dump::{self, Progress};
use super::held::{GET_TABLE, NEW_TABLE, text_of};
use super::message::message;
use super::{Malformed, NFGENMSG};
use crate::netlink::{DUMP, REQUEST};

/// The tables that iptables-nft, arptables-nft and ebtables-nft make.
const OF_IPTABLES: [&str; 5] = ["filter", "nat", "mangle", "raw", "security"];

/// The request for the tables of every family.
pub(super) fn question() -> Vec<u8> {
    message(GET_TABLE, 1, REQUEST | DUMP, 0, &[])
}

/// The name of a family, as nft writes it. `None` for a number that is no family of nf_tables.
fn family(number: u8) -> Option<&'static str> {
    Some(match number {
        1 => "inet",
        2 => "ip",
        3 => "arp",
        5 => "netdev",
        7 => "bridge",
        10 => "ip6",
        _ => return None,
    })
}

/// Reads one datagram of the dump. `tables` gets the names with their families: `inet filter`.
///
/// # Errors
/// [`Malformed`]
pub(super) fn take(tables: &mut BTreeSet<String>, datagram: &[u8]) -> Result<Progress, Malformed> {
    dump::read(datagram, |kind, payload| {
        if kind != NEW_TABLE {
            return Ok(());
        }
        let family = payload.first().copied().and_then(family);
        let name = text_of(TableAttrs::new(payload.get(NFGENMSG..).ok_or(Malformed)?).get_name()?);
        let of_iptables = family != Some("inet") && family != Some("netdev");
        if let Some(family) = family
            && !(of_iptables && OF_IPTABLES.contains(&name.as_str()))
        {
            tables.insert(format!("{family} {name}"));
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::super::message::text;
    use super::*;
    use crate::netlink::{self, ANSWER, DONE, INTERRUPTED};

    #[test]
    fn tables_of_iptables_are_left_out_and_a_refusal_is_no_empty_list() {
        let table = |family, name| message(NEW_TABLE, 1, 0, family, &text(1, name));
        let dump =
            [table(2, "filter"), table(1, "filter"), table(10, "mine"), table(5, "filter"), table(9, "x")];
        let mut tables = BTreeSet::new();
        assert_eq!(take(&mut tables, &dump.concat()), Ok(Progress::More));
        let names: Vec<&str> = tables.iter().map(String::as_str).collect();
        assert_eq!(names, ["inet filter", "ip6 mine", "netdev filter"]);
        assert_eq!(take(&mut tables, &netlink::message(DONE, 2, 1, &[0; 4])), Ok(Progress::Done));
        for end in [ANSWER, DONE] {
            let refusal = netlink::message(end, 0, 1, &[0xff; 4]);
            assert_eq!(take(&mut tables, &refusal), Ok(Progress::Refused(1)));
        }
        let changed = message(NEW_TABLE, 1, INTERRUPTED, 2, &[]);
        assert_eq!(take(&mut tables, &changed), Ok(Progress::Again));
    }
}
