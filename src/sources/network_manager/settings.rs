//! A saved profile's settings, read into the servers it may connect to. Pure.
//!
//! Any local user may save a profile, so none of this text is trusted. It is parsed exactly as nm-openvpn parses it
//! (`nmovpn_remote_parse`, and the code that builds its command line). So the agent allows exactly the servers to which
//! OpenVPN will connect. A part that cannot be parsed is left out and reported.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;

use serde::Deserialize;
use zbus::{Type, as_variant};

use super::super::skipped::{Skipped, shown};
use super::gateway;
use crate::config::MAX_SERVERS;
use crate::guide::VpnKind;
use crate::net::{Endpoint, EndpointError, Host, HostName, PeerKey, Port, Server, Transport};
use crate::vpn::{Profile, Sender};

/// OpenVPN's port where the profile names none (IANA).
const DEFAULT_PORT: Port = Port::fixed(1194);

/// Maximum number of servers of one profile: as many as are kept for all VPNs together.
const MAX_REMOTES: usize = MAX_SERVERS;

/// Maximum length of a profile's name and of its UUID, in characters. The stored list of servers must be small enough
/// to be read at boot.
const LONGEST_NAME: usize = 1_024;

/// The part of the answer of `Settings.Connection.GetSettings` (`a{sa{sv}}`) that is read.
#[derive(Debug, Deserialize, Type)]
#[zbus(signature = "a{sa{sv}}")]
pub(crate) struct Settings {
    connection: ConnectionSetting,
    #[serde(default, deserialize_with = "present")]
    vpn: Option<VpnSetting>,
    #[serde(default, deserialize_with = "present")]
    wireguard: Option<WireGuardSetting>,
    #[serde(default)]
    ipv4: IpSetting,
    #[serde(default)]
    ipv6: IpSetting,
}

/// D-Bus has no null: a setting that is there has a value.
fn present<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// The `connection` setting, which every profile has.
#[derive(Debug, Deserialize, Type)]
#[zbus(signature = "dict")]
struct ConnectionSetting {
    #[serde(with = "as_variant")]
    id: String,
    #[serde(with = "as_variant")]
    uuid: String,
    #[serde(rename = "type", with = "as_variant")]
    kind: String,
    /// The name of the profile's own device; empty for a VPN of a plugin.
    #[serde(rename = "interface-name", default, with = "as_variant")]
    interface: String,
}

/// The `vpn` setting.
#[derive(Debug, Deserialize, Type)]
#[zbus(signature = "dict")]
struct VpnSetting {
    #[serde(rename = "service-type", with = "as_variant")]
    service: String,
    /// `vpn.data`: the plugin's own keys.
    #[serde(default, with = "as_variant")]
    data: HashMap<String, String>,
}

/// The `ipv4` or `ipv6` setting.
#[derive(Debug, Default, Deserialize, Type)]
#[zbus(signature = "dict")]
struct IpSetting {
    #[serde(rename = "never-default", default, with = "as_variant")]
    never_default: bool,
    #[serde(default, with = "as_variant")]
    gateway: String,
}

/// The `wireguard` setting.
#[derive(Debug, Default, Deserialize, Type)]
#[zbus(signature = "dict")]
struct WireGuardSetting {
    /// The mark on its packets; 0 when NetworkManager chooses one or sets none.
    #[serde(default, with = "as_variant")]
    fwmark: u32,
    /// `NMTernary`: whether NetworkManager routes everything into it, by a mark.
    #[serde(rename = "ip4-auto-default-route", default = "unset", with = "as_variant")]
    auto_v4: i32,
    #[serde(rename = "ip6-auto-default-route", default = "unset", with = "as_variant")]
    auto_v6: i32,
    #[serde(default, with = "as_variant")]
    peers: Vec<Peer>,
}

/// One peer, without its secrets.
#[derive(Debug, Default, Deserialize, Type)]
#[zbus(signature = "dict")]
struct Peer {
    /// `host:port`; empty for a peer that always starts the connection itself.
    #[serde(default, with = "as_variant")]
    endpoint: String,
    #[serde(rename = "public-key", default, with = "as_variant")]
    key: String,
    #[serde(rename = "allowed-ips", default, with = "as_variant")]
    allowed: Vec<String>,
}

/// `NM_TERNARY_DEFAULT`: the value of a setting that is missing.
const fn unset() -> i32 {
    -1
}

/// A VPN profile as far as it could be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) profile: Profile,
    /// What was left out, for the log.
    pub(crate) skipped: Option<Skipped>,
}

/// Why one remote was left out.
#[derive(Debug, thiserror::Error)]
pub(super) enum RemoteError {
    #[error("it names no host")]
    Empty,
    #[error("a profile may have {MAX_REMOTES} servers")]
    TooMany,
    #[error("it names no port")]
    NoPort,
    #[error("it is no host with a port")]
    Form,
    #[error(transparent)]
    Part(#[from] EndpointError),
}

impl Settings {
    /// The VPN profile that these settings make, or `None` if they make something else.
    pub(crate) fn vpn_profile(self) -> Option<Reading> {
        let ConnectionSetting { id, uuid, kind, interface } = self.connection;
        let (endpoints, names) = (Vec::new(), Vec::new());
        let (sender, mark) = (Sender::Client, None);
        let interface = interface.parse().ok().filter(|_| kind == "wireguard");
        let service = self.vpn.as_ref().map_or("", |vpn| &vpn.service);
        let kind = match kind.as_str() {
            "vpn" => VpnKind::of_service(service),
            "wireguard" => VpnKind::ManagedWireGuard,
            _ => return None,
        };
        let (uuid, id) = (cut(uuid), cut(id));
        let (user, manager_marks, keys) = (None, false, Vec::new());
        let mut profile =
            Profile { uuid, id, endpoints, names, sender, mark, interface, kind, user, manager_marks, keys };
        let data = self.vpn.map(|vpn| vpn.data).unwrap_or_default();
        let skipped = if kind == VpnKind::ManagedOpenVpn {
            read_remotes(&data, &mut profile)
        } else if kind == VpnKind::ManagedWireGuard {
            let setting = self.wireguard.unwrap_or_default();
            profile.manager_marks = marks(&setting, &self.ipv4, &self.ipv6);
            read_peers(&setting, &mut profile)
        } else {
            gateway::read(&data, &mut profile)
        };
        profile.endpoints.sort_unstable();
        profile.endpoints.dedup();
        profile.names.sort_unstable();
        profile.names.dedup();
        Some(Reading { profile, skipped })
    }
}

/// Cuts a name to its maximum length. No configuration can have a longer one.
fn cut(name: String) -> String {
    if name.len() > LONGEST_NAME { name.chars().take(LONGEST_NAME).collect() } else { name }
}

/// Whether NetworkManager routes everything into a WireGuard device, and marks its packets for that
/// (`_auto_default_route_init` of NetworkManager).
fn marks(setting: &WireGuardSetting, ipv4: &IpSetting, ipv6: &IpSetting) -> bool {
    let has = |default: &str| setting.peers.iter().any(|peer| peer.allowed.iter().any(|net| net == default));
    let by_itself =
        |ip: &IpSetting, default: &str| !ip.never_default && ip.gateway.is_empty() && has(default);
    let wanted = |auto: i32, ip, default| auto == 1 || auto == unset() && by_itself(ip, default);
    wanted(setting.auto_v4, ipv4, "0.0.0.0/0") || wanted(setting.auto_v6, ipv6, "::/0")
}

/// Reads the peers of a WireGuard profile. The kernel itself sends their packets, over UDP only.
fn read_peers(setting: &WireGuardSetting, profile: &mut Profile) -> Option<Skipped> {
    profile.sender = Sender::Kernel;
    profile.mark = NonZeroU32::new(setting.fwmark);
    // A malformed key identifies no peer.
    let keys = setting.peers.iter().take(MAX_REMOTES).filter_map(|peer| peer.key.parse::<PeerKey>().ok());
    profile.keys.extend(keys);
    let mut skipped = None;
    let endpoints = setting.peers.iter().map(|peer| peer.endpoint.as_str());
    for (seen, endpoint) in endpoints.filter(|endpoint| !endpoint.is_empty()).enumerate() {
        let read = if seen < MAX_REMOTES { read_peer(endpoint, profile) } else { Err(RemoteError::TooMany) };
        if let Err(error) = read {
            Skipped::note(&mut skipped, &format!("{}: {error}", shown(endpoint)));
        }
    }
    skipped
}

/// One `host:port` or `[v6]:port`.
fn read_peer(endpoint: &str, profile: &mut Profile) -> Result<(), RemoteError> {
    let Server { host, port, transport } = endpoint.parse()?;
    let (Some(port), None) = (port, transport) else { return Err(RemoteError::NoPort) };
    match host {
        Host::Address(address) => {
            let endpoint = Endpoint::new(address, Transport::Udp, port).map_err(EndpointError::from)?;
            profile.endpoints.push(endpoint);
        }
        Host::Name(name) => profile.names.push((name, Transport::Udp, port)),
    }
    Ok(())
}

/// What a remote uses when it names no port or protocol itself.
struct Defaults<'a> {
    port: Option<&'a str>,
    transport: Transport,
}

fn read_remotes(data: &HashMap<String, String>, profile: &mut Profile) -> Option<Skipped> {
    let value = |key: &str| data.get(key).map(String::as_str).filter(|value| !value.is_empty());
    let transport = if value("proto-tcp") == Some("yes") { Transport::Tcp } else { Transport::Udp };
    let defaults = Defaults { port: value("port"), transport };

    let mut skipped: Option<Skipped> = None;
    if let Some(proxy) = proxy(data) {
        // With a proxy, the client connects to the proxy only.
        if let Err(error) = read_remote(&proxy, &defaults, profile) {
            Skipped::note(&mut skipped, &format!("{}: {error}", shown(&proxy)));
        }
        return skipped;
    }
    let tokens = value("remote").unwrap_or_default().split([' ', '\t', ',']);
    for (seen, token) in tokens.filter(|token| !token.is_empty()).enumerate() {
        let read = if seen < MAX_REMOTES {
            read_remote(token, &defaults, profile)
        } else {
            Err(RemoteError::TooMany)
        };
        if let Err(error) = read {
            Skipped::note(&mut skipped, &format!("{}: {error}", shown(token)));
        }
    }
    skipped
}

/// The proxy of a profile, as a remote, with the default ports of nm-openvpn.
fn proxy(data: &HashMap<String, String>) -> Option<String> {
    let value = |key: &str| data.get(key).map(String::as_str).filter(|value| !value.is_empty());
    let port = match value("proxy-type")? {
        "http" => "8080",
        "socks" => "1080",
        _ => return None,
    };
    let port = value("proxy-port").filter(|&port| port != "0").unwrap_or(port);
    Some(format!("{}:{port}:tcp", value("proxy-server")?))
}

/// One `host`, `host:port`, `host:port:proto`, `[v6]:port:proto` or bare IPv6 address.
fn read_remote(token: &str, defaults: &Defaults<'_>, profile: &mut Profile) -> Result<(), RemoteError> {
    let Remote { host, port, proto } = Remote::split(token);
    if host.is_empty() {
        return Err(RemoteError::Empty);
    }
    let port: Port = match port.or(defaults.port) {
        Some(port) => port.parse().map_err(EndpointError::from)?,
        None => DEFAULT_PORT,
    };
    let transport = match proto {
        Some(proto) => Transport::from_openvpn(proto).map_err(EndpointError::from)?,
        None => defaults.transport,
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match bare.parse::<IpAddr>() {
        Ok(address) => {
            profile.endpoints.push(Endpoint::new(address, transport, port).map_err(EndpointError::from)?);
        }
        Err(_) => profile.names.push((HostName::try_from(host.to_owned())?, transport, port)),
    }
    Ok(())
}

/// The parts of a remote. nm-openvpn cuts from the right, at most twice, and never into an address.
struct Remote<'a> {
    host: &'a str,
    port: Option<&'a str>,
    proto: Option<&'a str>,
}

impl<'a> Remote<'a> {
    fn split(token: &'a str) -> Self {
        let filled = |part: &'a str| Some(part).filter(|part| !part.is_empty());
        let Some((front, last)) = cut_off(token) else {
            return Self { host: token, port: None, proto: None };
        };
        match cut_off(front) {
            Some((host, port)) => Self { host, port: filled(port), proto: filled(last) },
            None => Self { host: front, port: filled(last), proto: None },
        }
    }
}

/// Cuts at the last colon, unless the whole text is one IPv6 address.
fn cut_off(text: &str) -> Option<(&str, &str)> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if bare.parse::<Ipv6Addr>().is_ok() { None } else { text.rsplit_once(':') }
}

#[cfg(test)]
pub(super) mod tests;
