//! What the user must do if OpenVPN's packets do not go to the server that the configuration names. Pure.

use super::super::skipped::shown;
use super::client::address;

/// Whether a host is this machine itself. Then another program on this machine connects to the VPN server.
pub(super) fn is_this_machine(host: &str) -> bool {
    let name = host.to_ascii_lowercase();
    let is_loopback = address(host).is_some_and(|address| address.to_canonical().is_loopback());
    is_loopback || name == "localhost" || name.ends_with(".localhost")
}

/// The advice for a server or proxy on this machine. `past` is the address that the configuration routes outside the
/// tunnel: the server to which the other program connects.
pub(super) fn forwarding_advice(host: &str, past: Option<&str>) -> String {
    let server = past.map_or(String::new(), |past| format!(" (here it seems to be {})", shown(past)));
    format!(
        "{} is a loopback address, where another program such as stunnel forwards the VPN's packets; name the server that \
         this program connects to{server} in bootstrap.servers, and the user that it runs as in bootstrap.owners",
        shown(host)
    )
}

/// The advice for a proxy that carries UDP.
pub(super) fn by_udp(host: &str) -> String {
    format!(
        "{}: over UDP a SOCKS proxy uses a new port for each connection, which nobody can know in advance; write \
         `proto tcp`, or name the proxy's ports of UDP in bootstrap.servers",
        shown(host)
    )
}

/// The advice for a name that OpenVPN changes before it looks it up.
pub(super) fn random_name(host: &str) -> String {
    format!(
        "{}: with remote-random-hostname OpenVPN looks up a new name below it at each start, which nobody can know in \
         advance; remove this line, and write one fixed word and a dot before the name",
        shown(host)
    )
}
