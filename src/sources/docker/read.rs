//! What Docker's answers mean. Pure.
//!
//! Every user of Docker can choose the names, drivers and bridges of its networks. So a bridge counts only if
//! the parser takes it for an interface's name, and all other text is cut to a maximum length.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::Deserialize;

use super::DockerError;
use super::attached::Options;
use crate::net::{IfName, Port, printable};
use crate::vpn::{DockerBackend, DockerNetwork, PublishedPort};

/// Maximum number of networks that are read. An address pool of Docker has room for a few hundred.
const MAX_NETWORKS: usize = 4096;

/// Maximum number of published ports of one container that are read. A port of both families counts twice.
const MAX_PORTS: usize = 2048;

/// Maximum number of addresses of one container that are read.
const MAX_ADDRESSES: usize = 64;

/// Maximum length of a version, and of the name of a network or driver, in characters. Longer text is cut: no
/// name in the configuration is as long.
const MAX_VERSION: usize = 64;
pub(super) const MAX_NAME: usize = 300;

/// Number of characters of a network's id that Docker puts after `br-`.
const SHORT_ID: usize = 12;

#[derive(Deserialize)]
struct Version {
    #[serde(rename = "Version")]
    version: String,
}

#[derive(Deserialize)]
struct Info {
    /// From Docker 28.2 on.
    #[serde(rename = "FirewallBackend")]
    backend: Option<Backend>,
}

#[derive(Deserialize)]
struct Backend {
    #[serde(rename = "Driver")]
    driver: String,
}

#[derive(Deserialize)]
pub(super) struct Network {
    #[serde(rename = "Name")]
    pub(super) name: String,
    #[serde(rename = "Id")]
    pub(super) id: String,
    #[serde(rename = "Driver")]
    pub(super) driver: String,
    #[serde(rename = "Internal", default)]
    internal: bool,
    #[serde(rename = "EnableIPv6", default)]
    ipv6: bool,
    #[serde(rename = "Options")]
    pub(super) options: Option<Options>,
}

/// A container that uses the host's network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostContainer {
    /// The container's name.
    pub name: String,
    /// The container's image, as written by the user who created it.
    pub image: String,
}

#[derive(Deserialize)]
pub(super) struct Container {
    #[serde(rename = "Names", default)]
    names: Option<Vec<String>>,
    #[serde(rename = "Image", default)]
    image: Option<String>,
    #[serde(rename = "HostConfig", default)]
    host: Option<HostConfig>,
    #[serde(rename = "Ports", default)]
    ports: Option<Vec<Published>>,
    #[serde(rename = "NetworkSettings", default)]
    settings: Option<NetworkSettings>,
}

impl Container {
    /// The container's own name. A name with one more slash is the name of a link to this container.
    pub(super) fn name(&self) -> String {
        let names = self.names.iter().flatten().map(|name| name.trim_start_matches('/'));
        let own = names.clone().find(|name| !name.contains('/')).or(names.clone().next());
        cut(own.unwrap_or_default(), MAX_NAME)
    }

    /// The name of its image, cut to the maximum length.
    pub(super) fn image(&self) -> String {
        cut(self.image.as_deref().unwrap_or_default(), MAX_NAME)
    }

    fn addresses(&self) -> BTreeSet<IpAddr> {
        self.places().map(|(_, address)| address).collect()
    }

    /// The container's addresses, each with the id of its network.
    pub(super) fn places(&self) -> impl Iterator<Item = (Option<&str>, IpAddr)> {
        let networks = self.settings.iter().flat_map(|settings| &settings.networks).flatten();
        let attachments = networks.filter_map(|(_, attachment)| attachment.as_ref());
        let texts = attachments.flat_map(|on| [&on.ipv4, &on.ipv6].map(|text| (on.network.as_deref(), text)));
        texts.filter_map(|(id, text)| Some((id, text.as_ref()?.parse().ok()?))).take(MAX_ADDRESSES)
    }

    /// The names of the container's networks, all of them. A network that is cut off closes the ports of its
    /// containers: if it were left out, they would stay open.
    fn networks(&self) -> BTreeSet<String> {
        let networks = self.settings.iter().flat_map(|settings| &settings.networks).flatten();
        networks.map(|(name, _)| cut(name, MAX_NAME)).collect()
    }
}

#[derive(Deserialize)]
struct NetworkSettings {
    #[serde(rename = "Networks", default)]
    networks: Option<BTreeMap<String, Option<Attachment>>>,
}

/// A network that a container is on.
#[derive(Deserialize)]
struct Attachment {
    #[serde(rename = "NetworkID", default)]
    network: Option<String>,
    #[serde(rename = "IPAddress", default)]
    ipv4: Option<String>,
    #[serde(rename = "GlobalIPv6Address", default)]
    ipv6: Option<String>,
}

#[derive(Deserialize)]
struct HostConfig {
    #[serde(rename = "NetworkMode", default)]
    network: Option<String>,
}

#[derive(Deserialize)]
struct Published {
    #[serde(rename = "IP", default)]
    address: String,
    #[serde(rename = "PublicPort", default)]
    port: i64,
    #[serde(rename = "PrivatePort", default)]
    inner: i64,
    #[serde(rename = "Type", default)]
    transport: String,
}

/// The answer to `/containers/json`: the ports that containers publish for other machines.
pub(crate) fn published(answer: &[u8]) -> Result<BTreeSet<PublishedPort>, DockerError> {
    let containers: Vec<Container> = serde_json::from_slice(answer).map_err(of("/containers/json"))?;
    let ports = |container: Container| {
        let (name, addresses, networks) = (container.name(), container.addresses(), container.networks());
        let port = move |published: Published| {
            Some(PublishedPort {
                container: name.clone(),
                transport: published.transport.parse().ok()?,
                host: published.address.parse().ok().filter(|host: &IpAddr| !host.is_loopback())?,
                port: Port::try_from(published.port).ok()?,
                inner: Port::try_from(published.inner).ok()?,
                addresses: addresses.clone(),
                networks: networks.clone(),
            })
        };
        container.ports.unwrap_or_default().into_iter().take(MAX_PORTS).filter_map(port)
    };
    Ok(containers.into_iter().flat_map(ports).collect())
}

/// The answer to `/containers/json`: the names and images of containers that use the host's network.
pub(crate) fn on_host_network(answer: &[u8]) -> Result<Vec<HostContainer>, DockerError> {
    let containers: Vec<Container> = serde_json::from_slice(answer).map_err(of("/containers/json"))?;
    let network = |container: &Container| container.host.as_ref()?.network.clone();
    let on_host = containers
        .into_iter()
        .filter(|container| network(container).is_some_and(|network| network == "host"));
    let of = |container: Container| HostContainer { name: container.name(), image: container.image() };
    Ok(on_host.map(of).take(MAX_NETWORKS).collect())
}

/// The answer to `/containers/json`: the addresses of the container of this name; `None` if there is none.
pub(crate) fn addresses(answer: &[u8], name: &str) -> Result<Option<BTreeSet<IpAddr>>, DockerError> {
    let containers: Vec<Container> = serde_json::from_slice(answer).map_err(of("/containers/json"))?;
    let found = containers.into_iter().find(|container| container.name() == name);
    Ok(found.map(|container| container.addresses()))
}

/// The answer to `/version`.
pub(crate) fn version(answer: &[u8]) -> Result<String, DockerError> {
    let Version { version } = serde_json::from_slice(answer).map_err(of("/version"))?;
    Ok(cut(&version, MAX_VERSION))
}

/// The answer to `/info`.
pub(crate) fn backend(answer: &[u8], version: &str) -> Result<DockerBackend, DockerError> {
    let Info { backend } = serde_json::from_slice(answer).map_err(of("/info"))?;
    let driver = backend.map(|backend| backend.driver);
    // Releases before 29 have iptables alone. `nftables+firewalld` is nftables.
    let old =
        || version.split('.').next().and_then(|major| major.parse::<u32>().ok()).is_some_and(|n| n < 29);
    Ok(match driver.as_deref().map(|driver| driver.split('+').next().unwrap_or(driver)) {
        Some("iptables") => DockerBackend::Iptables,
        Some("nftables") => DockerBackend::Nftables,
        None if old() => DockerBackend::Iptables,
        Some(_) | None => DockerBackend::Unknown,
    })
}

/// The answer to `/networks`.
pub(crate) fn networks(answer: &[u8]) -> Result<Vec<DockerNetwork>, DockerError> {
    let networks: Vec<Network> = serde_json::from_slice(answer).map_err(of("/networks"))?;
    if networks.len() > MAX_NETWORKS {
        tracing::warn!("Docker has {} networks; only {MAX_NETWORKS} are read", networks.len());
    }
    Ok(networks.into_iter().take(MAX_NETWORKS).map(Network::into_view).collect())
}

impl Network {
    fn into_view(self) -> DockerNetwork {
        DockerNetwork {
            bridge: self.bridge(),
            name: cut(&self.name, MAX_NAME),
            driver: cut(&self.driver, MAX_NAME),
            internal: self.internal,
            ipv6: self.ipv6,
        }
    }

    pub(super) fn bridge(&self) -> Option<IfName> {
        if self.driver != "bridge" {
            return None;
        }
        let named = self.options.as_ref().and_then(|options| options.bridge.as_deref());
        // For Docker an empty name is no name.
        if let Some(named) = named.filter(|named| !named.is_empty()) {
            return named.parse().ok();
        }
        let short = self.id.get(..SHORT_ID).filter(|id| id.bytes().all(|b| b.is_ascii_hexdigit()))?;
        format!("br-{short}").parse().ok()
    }
}

pub(super) fn of(question: &'static str) -> impl FnOnce(serde_json::Error) -> DockerError {
    move |error| DockerError::Json(question, error)
}

/// The first characters of a text, without control characters: the bus daemon disconnects the agent if a text contains
/// a NUL.
pub(super) fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).map(printable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_on_the_hosts_network_are_named() {
        let answer = br#"[
            {"Names":["/vpn"],"Image":"qmcgaw/gluetun:v3","HostConfig":{"NetworkMode":"host"},"Ports":[]},
            {"Names":["/web"],"Image":"nginx","HostConfig":{"NetworkMode":"bridge"}},
            {"Names":null,"Image":null,"HostConfig":null}]"#;
        let vpn = HostContainer { name: "vpn".to_owned(), image: "qmcgaw/gluetun:v3".to_owned() };
        assert_eq!(on_host_network(answer).unwrap(), [vpn]);
    }

    fn bridge(network: &str) -> Option<String> {
        let [network] = &networks(format!("[{network}]").as_bytes()).unwrap()[..] else { panic!() };
        network.bridge.as_ref().map(ToString::to_string)
    }

    #[test]
    fn a_bridge_without_a_valid_interface_name_is_ignored() {
        let network = |id: &str, driver: &str, option: &str| {
            let option = format!(r#"{{"com.docker.network.bridge.name":{option}}}"#);
            bridge(&format!(r#"{{"Name":"a","Id":"{id}","Driver":"{driver}","Options":{option}}}"#))
        };
        let id = "0123456789abcdef";
        for bad in [r#""eth0; id""#, r#""a b""#, r#""br-+""#, r#""..""#, r#""a\nb""#, r#""sixteen-bytes-xx""#]
        {
            assert_eq!(network(id, "bridge", bad), None, "{bad}");
        }
        assert_eq!(network(id, "bridge", r#""br0""#).as_deref(), Some("br0"));
        for none in [r#""""#, "null"] {
            assert_eq!(network(id, "bridge", none).as_deref(), Some("br-0123456789ab"));
        }
        assert_eq!(network(id, "macvlan", r#""br0""#), None);
        for bad in ["", "0123456789a", "0123456789a+", "€€€€€€"] {
            assert_eq!(network(bad, "bridge", "null"), None, "{bad}");
        }
    }

    #[test]
    fn a_network_without_options_is_read() {
        let read =
            networks(br#"[{"Name":"x","Id":"","Driver":"null","Options":null,"Scope":"local"}]"#).unwrap();
        assert_eq!((read[0].name.as_str(), read[0].internal), ("x", false));
        for bad in ["", "{}", "[{}]", r#"[{"Name":1,"Id":"","Driver":""}]"#, "[", "404 page not found"] {
            assert!(networks(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_published_port_is_one_that_other_machines_may_reach() {
        let ports = |text: &str| {
            let read = published(format!(r#"[{{"Ports":[{text}]}},{{"Ports":null}},{{}}]"#).as_bytes());
            let said = |one: PublishedPort| format!("{} {}/{}", one.host, one.port, one.transport);
            read.unwrap().into_iter().map(said).collect::<Vec<_>>()
        };
        let of = |ip: &str, port: &str, kind: &str| {
            format!(r#"{{"IP":"{ip}","PrivatePort":80,"PublicPort":{port},"Type":"{kind}"}}"#)
        };
        assert_eq!(ports(&of("::", "8080", "tcp")), [":: 8080/tcp"]);
        assert_eq!(ports(&of("fd00::1", "53", "udp")), ["fd00::1 53/udp"]);
        assert_eq!(ports(&of("0.0.0.0", "8080", "tcp")), ["0.0.0.0 8080/tcp"]);
        for (ip, port, kind) in [
            ("127.0.0.1", "8080", "tcp"),
            ("::1", "8080", "tcp"),
            ("", "8080", "tcp"),
            ("::", "0", "tcp"),
            ("::", "70000", "tcp"),
            ("::", "80", "sctp"),
            ("$(id)", "80", "tcp"),
        ] {
            assert_eq!(ports(&of(ip, port, kind)), [""; 0], "{ip} {port} {kind}");
        }
        assert_eq!(ports(r#"{"PrivatePort":80,"Type":"tcp"}"#), [""; 0], "one that is not published");
    }

    #[test]
    fn a_published_port_has_the_name_and_the_addresses_of_its_container() {
        let answer = br#"[{
            "Names":["/web/alias","/bt"],
            "Ports":[{"IP":"0.0.0.0","PrivatePort":51413,"PublicPort":6000,"Type":"udp"}],
            "NetworkSettings":{"Networks":{
                "bridge":{"IPAddress":"172.17.0.2","GlobalIPv6Address":""},
                "user":{"IPAddress":"172.18.0.2","GlobalIPv6Address":"fd00:d0d::2","GlobalIPv6PrefixLen":64},
                "odd":null,
                "other":{"IPAddress":null}}}}]"#;
        let [port] = &published(answer).unwrap().into_iter().collect::<Vec<_>>()[..] else { panic!() };
        let ports = (port.container.as_str(), port.port.get(), port.inner.get());
        assert_eq!(ports, ("bt", 6000, 51413));
        let addresses: Vec<String> = port.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["172.17.0.2", "172.18.0.2", "fd00:d0d::2"]);
        let networks: Vec<&str> = port.networks.iter().map(String::as_str).collect();
        assert_eq!(networks, ["bridge", "odd", "other", "user"]);
        for odd in ["[{\"NetworkSettings\":null}]", "[{\"NetworkSettings\":{\"Networks\":null}}]"] {
            assert!(published(odd.as_bytes()).unwrap().is_empty(), "{odd}");
        }
    }

    #[test]
    fn the_ports_of_one_container_leave_room_for_those_of_another() {
        let ports = |first: u16, count: u16| {
            let port = |n| format!(r#"{{"IP":"0.0.0.0","PrivatePort":80,"PublicPort":{n},"Type":"tcp"}}"#);
            (first..first + count).map(port).collect::<Vec<_>>().join(",")
        };
        let (many, one) = (ports(10000, 4000), ports(6000, 1));
        let answer =
            format!(r#"[{{"Names":["/new"],"Ports":[{many}]}},{{"Names":["/bt"],"Ports":[{one}]}}]"#);
        let read = published(answer.as_bytes()).unwrap();
        let of = |name: &str| read.iter().filter(|port| port.container == name).count();
        assert_eq!((of("new"), of("bt")), (MAX_PORTS, 1));
    }

    #[test]
    fn the_backend_is_what_docker_says() {
        let said = |driver: &str| {
            backend(format!(r#"{{"FirewallBackend":{{"Driver":"{driver}"}}}}"#).as_bytes(), "29.1.0").unwrap()
        };
        assert_eq!(said("iptables"), DockerBackend::Iptables);
        assert_eq!(said("nftables+firewalld"), DockerBackend::Nftables);
        assert_eq!(said("ebpf"), DockerBackend::Unknown);
        assert_eq!(backend(b"{}", "20.10.24+dfsg1").unwrap(), DockerBackend::Iptables);
        assert_eq!(backend(b"{}", "29.0.0").unwrap(), DockerBackend::Unknown);
        assert_eq!(backend(b"{}", "v?").unwrap(), DockerBackend::Unknown);
    }

    proptest::proptest! {
        #[test]
        fn no_answer_panics(answer in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = (version(&answer), backend(&answer, "29"), networks(&answer), published(&answer));
        }
    }
}
