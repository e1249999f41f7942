//! The names of containers, for people, by their addresses. Pure.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::DockerError;
use super::read::{Container, MAX_NAME, Network, cut, of};
use crate::blocked::{Containers, NamedContainer, SHORT_ID};
use crate::net::IfName;

/// Maximum number of networks, and of containers, that are kept.
const MAX_ENTRIES: usize = 4096;

/// The label with the project of Docker Compose.
const PROJECT: &str = "com.docker.compose.project";

#[derive(Deserialize)]
struct Labelled {
    #[serde(rename = "Id", default)]
    id: Option<String>,
    #[serde(flatten)]
    container: Container,
    #[serde(rename = "Labels", default)]
    labels: Option<BTreeMap<String, String>>,
}

/// The bridges of networks, by the ids of the networks.
pub(super) type Bridges = BTreeMap<String, IfName>;

/// The answer to `/networks`: the bridges.
pub(super) fn of_bridges(answer: &[u8]) -> Result<Bridges, DockerError> {
    let networks: Vec<Network> = serde_json::from_slice(answer).map_err(of("/networks"))?;
    let bridge = |network: Network| Some((network.bridge()?, network.id));
    Ok(networks.into_iter().take(MAX_ENTRIES).filter_map(bridge).map(|(bridge, id)| (id, bridge)).collect())
}

/// The answer to `/containers/json`: each address on a known bridge, and each id, with its container.
pub(super) fn of_containers(answer: &[u8], bridges: &Bridges) -> Result<Containers, DockerError> {
    let all: Vec<Labelled> = serde_json::from_slice(answer).map_err(of("/containers/json"))?;
    let mut found = Containers::default();
    for Labelled { id, container, labels } in all.into_iter().take(MAX_ENTRIES) {
        let project = labels.as_ref().and_then(|labels| labels.get(PROJECT));
        let name = NamedContainer {
            name: container.name(),
            image: container.image(),
            project: project.map(|project| cut(project, MAX_NAME)),
        };
        if let Some(short) = id.as_deref().and_then(|id| id.get(..SHORT_ID)) {
            found.ids.insert(short.to_owned(), name.clone());
        }
        for (network, address) in container.places() {
            if let Some(bridge) = network.and_then(|network| bridges.get(network)) {
                found.addresses.insert((bridge.to_string(), address), name.clone());
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_found_by_each_of_its_addresses_with_its_project() {
        let answer =
            br#"[{"Id":"0123456789abcdef","Names":["/docs-web-1"],"Image":"nginx:1","Labels":{"com.docker.compose.project":"docs"},
            "NetworkSettings":{"Networks":{"a":{"NetworkID":"id-of-a","IPAddress":"172.17.0.2","GlobalIPv6Address":"fd00::2"}}}},
            {"Names":["/plain"],"Image":"busybox","Labels":null,
            "NetworkSettings":{"Networks":{"a":{"NetworkID":"id-of-a","IPAddress":"172.17.0.3"}}}},
            {"Names":["/elsewhere"],"Image":"busybox",
            "NetworkSettings":{"Networks":{"m":{"NetworkID":"id-of-m","IPAddress":"172.17.0.4"},"n":{"IPAddress":"172.17.0.4"}}}}]"#;
        let options = r#"{"com.docker.network.bridge.name":"br-a"}"#;
        let networks = format!(
            r#"[{{"Name":"a","Id":"id-of-a","Driver":"bridge","Options":{options}}},{{"Name":"m","Id":"id-of-m","Driver":"macvlan"}}]"#
        );
        let found = of_containers(answer, &of_bridges(networks.as_bytes()).unwrap()).unwrap();
        let at = |address: &str| ("br-a".to_owned(), address.parse().unwrap());
        let name = |address: &str| found.addresses.get(&at(address)).cloned().unwrap_or_default();
        assert_eq!(found.addresses.len(), 3, "the bridge of the others is not known");
        assert_eq!(name("172.17.0.2"), name("fd00::2"));
        assert_eq!(found.ids.get("0123456789ab"), Some(&name("fd00::2")));
        assert_eq!(
            (name("fd00::2").name.as_str(), name("fd00::2").project.as_deref()),
            ("docs-web-1", Some("docs"))
        );
        assert_eq!((name("172.17.0.3").image.as_str(), name("172.17.0.3").project), ("busybox", None));
        assert!(of_containers(b"{}", &Bridges::new()).is_err() && of_bridges(b"{}").is_err());
    }

    #[test]
    fn no_name_has_control_characters() {
        let answer = br#"[{"Id":"0123456789abcdef","Names":["/we\u0000b"],"Image":"ngi\u001bnx",
            "Labels":{"com.docker.compose.project":"do\ncs"}}]"#;
        let found = of_containers(answer, &Bridges::new()).unwrap();
        let NamedContainer { name, image, project } = &found.ids["0123456789ab"];
        assert_eq!((name.as_str(), image.as_str()), ("we\u{fffd}b", "ngi\u{fffd}nx"));
        assert_eq!(project.as_deref(), Some("do\u{fffd}cs"));
    }

    #[test]
    fn no_name_is_longer_than_a_line() {
        let long = "\u{e9}".repeat(4096);
        let answer = serde_json::json!([{
            "Id": "0123456789abcdef", "Names": [format!("/{long}")], "Image": long,
            "Labels": { "com.docker.compose.project": long, (long.clone()): long },
        }]);
        let found = of_containers(answer.to_string().as_bytes(), &Bridges::new()).unwrap();
        let NamedContainer { name, image, project } = &found.ids["0123456789ab"];
        let lengths = [name, image, project.as_ref().unwrap()].map(|text| text.chars().count());
        assert_eq!(lengths, [MAX_NAME; 3]);
    }
}
