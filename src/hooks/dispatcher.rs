//! Turns what NetworkManager's dispatcher passes to our hook into fields such as OpenVPN's hooks have. Pure.
//!
//! `$1` is an interface and `$2` what happened to it. For a VPN, `VPN_IP_IFACE` is the tunnel's interface.
//! It is missing after a crash of the VPN: then `$1` is the parent's interface (seen with NetworkManager 1.42).
//!
//! The actions keep NetworkManager's names, so that the agent does not take them for reports of
//! an OpenVPN hook: the dispatcher runs as root, but reports every profile that any local user
//! has made. It also reports later than NetworkManager does on the bus, with profile, server and
//! reason.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

/// The actions that concern VPNs.
pub const ACTIONS: [&str; 2] = ["vpn-up", "vpn-down"];

/// The fields to report; `None` for actions that do not concern tunnels.
pub fn fields(arguments: &[OsString], vpn_interface: Option<&OsStr>) -> Option<BTreeMap<String, String>> {
    let [interface, action, ..] = arguments else { return None };
    let kind = action.to_str().filter(|action| ACTIONS.contains(action))?;
    let interface = vpn_interface.unwrap_or(interface).to_str()?;
    let field = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    Some(BTreeMap::from([field("script_type", kind), field("dev", interface)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_actions_and_malformed_ones_are_ignored() {
        let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        for other in [&["eth0", "up"][..], &["tun0"], &[], &["tun0", "vpn-up; id"]] {
            assert_eq!(fields(&words(other), None), None, "{other:?}");
        }
        let up = fields(&words(&["eth0", "vpn-up"]), Some(OsStr::new("tun1"))).unwrap();
        assert_eq!((up["script_type"].as_str(), up["dev"].as_str()), ("vpn-up", "tun1"));
    }

    #[test]
    fn an_action_of_the_dispatcher_is_never_a_report_of_a_tunnel() {
        for action in ACTIONS {
            let fields = fields(&["tun0".into(), action.into()], None).unwrap();
            assert_eq!(crate::hooks::openvpn::parse(&fields), Ok(None), "{action}");
        }
    }
}
