//! NetworkManager's dispatcher, put into the words that OpenVPN's hooks use. Pure.
//!
//! `$1` is an interface and `$2` what happened to it; for a VPN `VPN_IP_IFACE` is the tunnel's, which
//! is missing when the VPN crashed (then `$1` is the parent's: facts of NetworkManager 1.42).

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

/// The fields to report; `None` when what happened is no business of ours.
pub fn fields(arguments: &[OsString], vpn_interface: Option<&OsStr>) -> Option<BTreeMap<String, String>> {
    let [interface, action, ..] = arguments else { return None };
    let kind = match action.to_str()? {
        "vpn-up" => "up",
        "vpn-down" => "down",
        _ => return None,
    };
    let interface = vpn_interface.unwrap_or(interface).to_str()?;
    let field = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    Some(BTreeMap::from([field("script_type", kind), field("dev", interface)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_actions_and_nonsense_are_no_business_of_ours() {
        let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        for other in [&["eth0", "up"][..], &["tun0"], &[], &["tun0", "vpn-up; id"]] {
            assert_eq!(fields(&words(other), None), None, "{other:?}");
        }
        let up = fields(&words(&["eth0", "vpn-up"]), Some(OsStr::new("tun1"))).unwrap();
        assert_eq!((up["script_type"].as_str(), up["dev"].as_str()), ("up", "tun1"));
    }
}
