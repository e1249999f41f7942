//! The names of containers, for people, by their addresses. Pure.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::DockerError;
use super::read::{Container, MAX_NAME, cut, of};
use crate::blocked::{ContainerName, Containers};

/// Maximum number of containers that are kept.
const MOST: usize = 4096;

/// Number of characters of an id that are kept.
const SHORT_ID: usize = 12;

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

/// The answer to `/containers/json`: each address and each id with its container.
pub(super) fn of_containers(answer: &[u8]) -> Result<Containers, DockerError> {
    let all: Vec<Labelled> = serde_json::from_slice(answer).map_err(of("/containers/json"))?;
    let mut found = Containers::default();
    for Labelled { id, container, labels } in all.into_iter().take(MOST) {
        let project = labels.as_ref().and_then(|labels| labels.get(PROJECT));
        let name = ContainerName {
            name: container.name(),
            image: container.image(),
            project: project.map(|project| cut(project, MAX_NAME)),
        };
        if let Some(short) = id.as_deref().and_then(|id| id.get(..SHORT_ID)) {
            found.ids.insert(short.to_owned(), name.clone());
        }
        for address in container.addresses() {
            found.addresses.insert(address, name.clone());
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
            "NetworkSettings":{"Networks":{"a":{"IPAddress":"172.17.0.2","GlobalIPv6Address":"fd00::2"}}}},
            {"Names":["/plain"],"Image":"busybox","Labels":null,
            "NetworkSettings":{"Networks":{"a":{"IPAddress":"172.17.0.3"}}}}]"#;
        let found = of_containers(answer).unwrap();
        let name =
            |address: &str| found.addresses.get(&address.parse().unwrap()).cloned().unwrap_or_default();
        assert_eq!(name("172.17.0.2"), name("fd00::2"));
        assert_eq!(found.ids.get("0123456789ab"), Some(&name("fd00::2")));
        assert_eq!(
            (name("fd00::2").name.as_str(), name("fd00::2").project.as_deref()),
            ("docs-web-1", Some("docs"))
        );
        assert_eq!((name("172.17.0.3").image.as_str(), name("172.17.0.3").project), ("busybox", None));
        assert!(of_containers(b"{}").is_err());
    }
}
