//! The addresses of one container.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use super::{DockerError, RUN, http, may_answer, read};

/// The addresses of the running container of this name; `None` if Docker does not answer, or has none of that name. A
/// container on the host's network has no address of its own.
pub async fn addresses(name: &str) -> Option<BTreeSet<IpAddr>> {
    let run = Path::new(RUN);
    if !may_answer(run) {
        return None;
    }
    let answer: Result<Vec<u8>, DockerError> = http::get(&run.join("docker.sock"), "/containers/json").await;
    read::addresses(&answer.ok()?, name).ok()?
}
