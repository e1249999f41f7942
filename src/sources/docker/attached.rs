//! The addresses of one container, and the networks that one can be attached to.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use serde::Deserialize;

use super::read::{MAX_NAME, Network, cut, of};
use super::{DockerError, RUN, http, may_answer, read};
use crate::net::IfName;

/// A network that a container can be attached to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachable {
    /// Hexadecimal digits.
    pub id: String,
    /// For people.
    pub name: String,
    /// Docker's word for its kind.
    pub driver: String,
    /// Its bridge, if it has one.
    pub bridge: Option<IfName>,
    /// The card that its containers share, each with a link of its own, if they do (macvlan, ipvlan).
    pub card: Option<IfName>,
}

/// The addresses of the running container of this name; `None` if Docker does not answer, or has none of that name. A
/// container on the host's network has no address of its own.
pub async fn addresses(name: &str) -> Option<BTreeSet<IpAddr>> {
    let answer = asked("/containers/json").await?;
    read::addresses(&answer.ok()?, name).ok()?
}

/// The networks of Docker, without the host's and the one of containers that have no network; `None` if no Docker runs.
///
/// # Errors
/// Docker does not answer. The text is for people.
pub async fn attachable() -> Option<Result<Vec<Attachable>, String>> {
    let answer = asked("/networks").await?;
    let networks = answer.and_then(|answer| attachable_in(&answer));
    Some(networks.map_err(|error| format!("{:#}", anyhow::Error::from(error))))
}

/// The answer to a question, if a Docker runs.
async fn asked(question: &str) -> Option<Result<Vec<u8>, DockerError>> {
    let run = Path::new(RUN);
    match may_answer(run) {
        true => Some(http::get(&run.join("docker.sock"), question).await),
        false => None,
    }
}

fn attachable_in(answer: &[u8]) -> Result<Vec<Attachable>, DockerError> {
    let networks: Vec<Network> = serde_json::from_slice(answer).map_err(of("/networks"))?;
    let is_id = |id: &str| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let networks = networks.into_iter().filter(|network| is_id(&network.id));
    let networks = networks.filter(|network| !["host", "null"].contains(&network.driver.as_str()));
    let attachable = networks.map(|network| Attachable {
        bridge: network.bridge(),
        card: network.card(),
        name: cut(&network.name, MAX_NAME),
        driver: cut(&network.driver, MAX_NAME),
        id: network.id,
    });
    Ok(attachable.collect())
}

/// The options of a network that say where its containers are attached.
#[derive(Deserialize)]
pub(super) struct Options {
    #[serde(rename = "com.docker.network.bridge.name")]
    pub(super) bridge: Option<String>,
    pub(super) parent: Option<String>,
    pub(super) macvlan_mode: Option<String>,
    pub(super) ipvlan_mode: Option<String>,
}

impl Network {
    /// The card, if each container has a link of its own there (macvlan, ipvlan).
    fn card(&self) -> Option<IfName> {
        let options = self.options.as_ref()?;
        let shares = match self.driver.as_str() {
            // With `passthru` a container takes the card from this machine.
            "macvlan" => options.macvlan_mode.as_deref() != Some("passthru"),
            // With `l3` its packets pass the filters of this machine first.
            "ipvlan" => matches!(options.ipvlan_mode.as_deref(), None | Some("" | "l2")),
            _ => false,
        };
        options.parent.as_ref().filter(|_| shares)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_id_of_docker_names_a_network() {
        let network = |id: &str, driver: &str| serde_json::json!({ "Name": "n", "Id": id, "Driver": driver, "Options": null });
        let answer = [
            network("0123456789abcdef", "bridge"),
            network("-v/:/", "bridge"),
            network("", "bridge"),
            network("ab", "host"),
            network("ab", "null"),
            network("ff", "macvlan"),
        ];
        let read = attachable_in(serde_json::json!(answer).to_string().as_bytes()).unwrap();
        let ids: Vec<&str> = read.iter().map(|network| network.id.as_str()).collect();
        assert_eq!(ids, ["0123456789abcdef", "ff"]);
        assert_eq!(read[0].bridge.as_ref().map(IfName::as_str), Some("br-0123456789ab"));
        assert_eq!(read[1].bridge, None);
        assert!(attachable_in(b"[{}").is_err());
    }

    #[test]
    fn a_card_is_shared_unless_a_container_would_take_it() {
        let card = |driver: &str, options: serde_json::Value| {
            let answer =
                serde_json::json!([{ "Name": "n", "Id": "ab", "Driver": driver, "Options": options }]);
            let read = attachable_in(answer.to_string().as_bytes()).unwrap();
            read[0].card.as_ref().map(ToString::to_string)
        };
        let eth0 = Some("eth0".to_owned());
        assert_eq!(card("macvlan", serde_json::json!({ "parent": "eth0" })), eth0);
        assert_eq!(card("macvlan", serde_json::json!({ "parent": "eth0", "macvlan_mode": "bridge" })), eth0);
        assert_eq!(card("ipvlan", serde_json::json!({ "parent": "eth0", "ipvlan_mode": "l2" })), eth0);
        for (driver, options) in [
            ("macvlan", serde_json::json!({ "parent": "eth0", "macvlan_mode": "passthru" })),
            ("ipvlan", serde_json::json!({ "parent": "eth0", "ipvlan_mode": "l3" })),
            ("macvlan", serde_json::json!({ "parent": "-v/:/" })),
            ("macvlan", serde_json::json!({})),
            ("bridge", serde_json::json!({ "parent": "eth0" })),
            ("overlay", serde_json::json!(null)),
        ] {
            assert_eq!(card(driver, options.clone()), None, "{driver} {options}");
        }
    }
}
