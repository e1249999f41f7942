//! The one server that a profile of a plugin other than OpenVPN's names. Pure.

use std::collections::HashMap;

use super::super::skipped::{Skipped, shown};
use super::settings::RemoteError;
use crate::guide::VpnKind;
use crate::net::{Endpoint, EndpointError, Host, Port, Server, Transport};
use crate::vpn::Profile;

const HTTPS: Port = Port::fixed(443);
const IKE: Port = Port::fixed(500);
/// The port of ESP in UDP: the standard's (RFC 3948), and GlobalProtect's.
const NAT_TRAVERSAL: Port = Port::fixed(4500);
const GLOBAL_PROTECT: Port = Port::fixed(4501);

/// For each kind of plugin: the key of its server, and the key of a proxy. Profiles of other kinds are not read here.
const KEYS: [(VpnKind, &str, &str); 4] = [
    (VpnKind::ManagedOpenConnect, "gateway", "proxy"),
    (VpnKind::Vpnc, "IPSec gateway", ""),
    (VpnKind::Fortinet, "gateway", ""),
    (VpnKind::Sstp, "gateway", "proxy-server"),
];

/// Reads the server of a profile. If the profile has a proxy, the client connects to the proxy instead.
pub(super) fn read(data: &HashMap<String, String>, profile: &mut Profile) -> Option<Skipped> {
    let value = |key: &str| data.get(key).map(String::as_str).filter(|value| !value.is_empty());
    let (_, key, proxy) = KEYS.into_iter().find(|(kind, ..)| *kind == profile.kind)?;
    let mut skipped = None;
    if value(proxy).is_some() {
        Skipped::note(&mut skipped, "it connects through a proxy: name that in bootstrap.servers");
        return skipped;
    }
    let gateway = value(key).unwrap_or_default();
    if let Err(error) = add(gateway, value("protocol"), profile) {
        Skipped::note(&mut skipped, &format!("{}: {error}", shown(gateway)));
    }
    skipped
}

fn add(gateway: &str, protocol: Option<&str>, profile: &mut Profile) -> Result<(), RemoteError> {
    let place = match profile.kind == VpnKind::ManagedOpenConnect {
        // openconnect also takes the address of a page.
        true => gateway.strip_prefix("https://").unwrap_or(gateway).split('/').next().unwrap_or_default(),
        false => gateway,
    };
    let Server { host, port, transport: None } = place.parse()? else { return Err(RemoteError::Form) };
    for (transport, port) in ways(profile.kind, protocol, port.unwrap_or(HTTPS)) {
        match &host {
            Host::Address(address) => {
                let endpoint = Endpoint::new(*address, transport, port).map_err(EndpointError::from)?;
                profile.endpoints.push(endpoint);
            }
            Host::Name(name) => profile.names.push((name.clone(), transport, port)),
        }
    }
    Ok(())
}

/// How a client connects to a server at `port`: with TLS first, and then with UDP if the network lets UDP pass.
fn ways(kind: VpnKind, protocol: Option<&str>, port: Port) -> Vec<(Transport, Port)> {
    let tls = (Transport::Tcp, port);
    match (kind, protocol) {
        (VpnKind::Vpnc, _) => vec![(Transport::Udp, IKE), (Transport::Udp, NAT_TRAVERSAL)],
        (VpnKind::ManagedOpenConnect, Some("gp")) => vec![tls, (Transport::Udp, GLOBAL_PROTECT)],
        (VpnKind::ManagedOpenConnect, Some("nc" | "pulse")) => vec![tls, (Transport::Udp, NAT_TRAVERSAL)],
        // DTLS uses the same port as TLS.
        (VpnKind::ManagedOpenConnect, _) => vec![tls, (Transport::Udp, port)],
        (_, _) => vec![tls],
    }
}
