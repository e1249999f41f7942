//! The kernel's kinds of links. A [`LinkKind`] may stand for several of them.

use crate::model::rule::{Match, Way};
use crate::vpn::LinkKind;

/// The kinds that alternatives ask for, if each of them asks for the kind of the same link and for nothing else.
pub(super) fn kinds(alternatives: &[Vec<Match>]) -> Option<(Way, Vec<&String>)> {
    let [Match::Kind(first, _)] = &alternatives.first()?[..] else { return None };
    let names = alternatives.iter().map(|matches| match &matches[..] {
        [Match::Kind(way, name)] if way == first => Some(name),
        _ => None,
    });
    Some((*first, names.collect::<Option<_>>()?))
}

/// Whether a link is of one of these kinds; `None` if that is not known.
pub(super) fn is_of_kind(kind: LinkKind, wanted: &[&String]) -> Option<bool> {
    let is = |name: &str| LinkKind::of(Some(name)) == kind;
    if !wanted.iter().any(|name| is(name)) {
        return Some(false);
    }
    match kind {
        LinkKind::Bridge | LinkKind::Veth => Some(true),
        LinkKind::Loopback | LinkKind::Other => None,
        LinkKind::Tunnel | LinkKind::Ipsec | LinkKind::Ppp | LinkKind::WireGuard | LinkKind::OpenVpn => {
            let mut own = LinkKind::tunnels().filter(|name| is(name));
            own.all(|name| wanted.iter().any(|wanted| *wanted == name)).then_some(true)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_known_where_every_name_of_it_is_asked_for() {
        let of = |kind, names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            is_of_kind(kind, &names.iter().collect::<Vec<_>>())
        };
        assert_eq!(of(LinkKind::Tunnel, &["tun"]), Some(true));
        assert_eq!(of(LinkKind::WireGuard, &["wireguard"]), None, "it may be amneziawg");
        assert_eq!(of(LinkKind::WireGuard, &["tun", "wireguard", "amneziawg"]), Some(true));
        assert_eq!(of(LinkKind::OpenVpn, &["tun", "ovpn"]), None, "it may be ovpn-dco");
        assert_eq!(of(LinkKind::OpenVpn, &["ovpn", "ovpn-dco", "ovpn-dco-v2"]), Some(true));
        assert_eq!(of(LinkKind::Other, &["tun"]), Some(false));
        assert_eq!(of(LinkKind::Other, &["vlan"]), None);
    }
}
