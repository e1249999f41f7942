//! A real compose project.

use anyhow::{Context, Result};
use serde_json::Value;
use tunwarden_lab::{Engine, wait_for, with_lab};

use super::{KNOWN, blocked};
use crate::support::{SOON, agent, bus, wait_for_state};

/// Three services. Each sends to a different port.
const PROJECT: &str = r#"
version: "2.4"
x-service: &service
  image: lab
  stop_signal: KILL
  entrypoint: ["bash", "-c", "exec 3<>/dev/udp/203.0.113.77/$$0; while :; do echo refused >&3; sleep 0.1; done"]
services:
  web: { <<: *service, command: ["4001"] }
  db: { <<: *service, command: ["4002"] }
  cache: { <<: *service, command: ["4003"] }
"#;

#[test]
fn three_services_of_a_compose_project_are_named() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let _docker = lab.host().docker(Engine::System, [])?;
        let _agent = agent(lab, KNOWN)?;
        wait_for_state(lab, "locked")?;
        lab.host().file("/run/docs/docker-compose.yml", PROJECT)?;
        let up = ["docker-compose", "--project-directory=/run/docs", "--file=/run/docs/docker-compose.yml"];
        let up = lab.host().command(up.into_iter().chain(["up", "--detach"]));
        up.env("DOCKER_HOST", "unix:///run/docker.sock").succeed()?;
        for (service, port) in [("web", 4001), ("db", 4002), ("cache", 4003)] {
            // The second version writes `-` where the first one writes `_`.
            let names = ['_', '-'].map(|dash| format!("docs{dash}{service}{dash}1 (lab, project docs)"));
            let mut last = Vec::new();
            wait_for(&format!("{} is listed", names[0]), SOON, || {
                last = blocked(lab, "root")?;
                let is_listed = |group: &Value| {
                    let (who, to) = (&group["who"], &group["destination"]);
                    who["kind"] == "container"
                        && names.iter().any(|name| who["name"] == **name)
                        && to["address"] == "203.0.113.77"
                        && to["port"] == port
                        && group["reason"] == "no-vpn"
                };
                Ok(last.iter().any(is_listed).then_some(()))
            })
            .with_context(|| format!("{last:#?}"))?;
        }
        Ok(())
    })
}
