//! The addresses of one container, and the networks that one can be attached to.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

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
        name: cut(&network.name, MAX_NAME),
        driver: cut(&network.driver, MAX_NAME),
        id: network.id,
    });
    Ok(attachable.collect())
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
}
