//! The words that a key with a fixed choice accepts.

use super::{Access, Backend, Dns, InboundOn, LanService, Layer, PublishedPorts, Reconnect, Scope};
use crate::net::Transport;

/// A choice that is written as one of a few words.
pub(super) trait Word: Copy + 'static {
    /// Each word and its meaning.
    const WORDS: &'static [(&'static str, Self)];
}

impl Word for Scope {
    const WORDS: &'static [(&'static str, Self)] =
        &[("known", Self::Known), ("any", Self::Any), ("auto", Self::Auto)];
}

impl Word for Dns {
    const WORDS: &'static [(&'static str, Self)] = &[("pin", Self::Pin), ("off", Self::Off)];
}

impl Word for LanService {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("ws-discovery", Self::WsDiscovery),
        ("localsend", Self::LocalSend),
        ("kde-connect", Self::KdeConnect),
        ("wake-on-lan", Self::WakeOnLan),
    ];
}

impl Word for InboundOn {
    const WORDS: &'static [(&'static str, Self)] = &[("tunnel", Self::Tunnel)];
}

impl Word for PublishedPorts {
    const WORDS: &'static [(&'static str, Self)] = &[("lan", Self::Lan), ("none", Self::None)];
}

impl Word for Access {
    const WORDS: &'static [(&'static str, Self)] =
        &[("tunnel", Self::Tunnel), ("lan", Self::Lan), ("none", Self::None)];
}

impl Word for Reconnect {
    const WORDS: &'static [(&'static str, Self)] =
        &[("ask", Self::Ask), ("auto", Self::Auto), ("never", Self::Never)];
}

impl Word for Backend {
    const WORDS: &'static [(&'static str, Self)] =
        &[("auto", Self::Auto), ("nft", Self::Nft), ("legacy", Self::Legacy)];
}

impl Word for Layer {
    const WORDS: &'static [(&'static str, Self)] =
        &[("iptables", Self::Iptables), ("nftables", Self::Nftables)];
}

impl Word for Transport {
    const WORDS: &'static [(&'static str, Self)] = &[("tcp", Self::Tcp), ("udp", Self::Udp)];
}

/// The protocols that a rule can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// ICMP and ICMPv6, which have no ports.
    Icmp,
    /// UDP or TCP.
    Ports(Transport),
}

impl Word for Protocol {
    const WORDS: &'static [(&'static str, Self)] =
        &[("tcp", Self::Ports(Transport::Tcp)), ("udp", Self::Ports(Transport::Udp)), ("icmp", Self::Icmp)];
}
