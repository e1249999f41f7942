//! A published port of a container without IPv6. docker-proxy serves it on the host itself.

use std::time::Duration;

use anyhow::{Result, ensure};
use tunwarden_lab::{Engine, Lab, wait_for, with_lab};

use crate::support::{SOON, agent, bus, chain, wait_for_state};

/// How long a test waits for an answer that must not come.
const SILENCE: Duration = Duration::from_millis(500);

/// The host's address on the LAN, a client on the LAN, and a client beyond it.
const HOST: &str = "[fd00:0:0:1::2]:8080";
const LAN: &str = "fd00:0:0:1::1";
const BEYOND: &str = "2001:db8:7::7";

fn page(lab: &Lab, from: &str) -> Result<bool> {
    Ok(lab.isp().fetch(from, HOST, SILENCE * 4)?.is_some_and(|page| page.contains("page of")))
}

with_each_engine!(a_port_that_docker_proxy_serves_is_open_to_the_lan_only);

fn a_port_that_docker_proxy_serves_is_open_to_the_lan_only(engine: Engine) -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let mut docker = lab.host().docker(engine, [])?;
        let web = "mkdir -p /www; echo \"page of $HOSTNAME\" >/www/index.html; exec httpd -f -h /www";
        docker.run(["--name", "web", "--publish=8080:80", "lab", "bash", "-c", web])?;
        for from in [LAN, BEYOND] {
            wait_for("the control: everybody has the page", SOON, || Ok(page(lab, from)?.then_some(())))?;
        }

        let capture = lab.capture()?;
        let running = agent(lab, "")?;
        wait_for_state(lab, "locked")?;
        wait_for("the LAN has the page", SOON, || Ok(page(lab, LAN)?.then_some(())))?;
        ensure!(!page(lab, BEYOND)?, "a published port is open to the internet");
        let other = lab.isp().fetch(LAN, "[fd00:0:0:1::2]:8081", SILENCE)?;
        ensure!(other.is_none(), "another port is open");

        // tunwarden removes the rule when the container or Docker stops.
        let rules = || Ok::<_, anyhow::Error>(chain(lab, "ip6tables", "RELATED_AND_ESTABLISHED")?.join("\n"));
        ensure!(rules()?.contains("--dport 8080"), "{}", rules()?);
        docker.cli(["stop", "web"])?;
        wait_for("the rule is removed", SOON, || Ok((!rules()?.contains("--dport 8080")).then_some(())))?;
        docker.cli(["start", "web"])?;
        wait_for("the rule exists again", SOON, || Ok(rules()?.contains("--dport 8080").then_some(())))?;
        docker.stop()?;
        wait_for("the rule is removed with Docker", SOON, || {
            Ok((!rules()?.contains("--dport 8080")).then_some(()))
        })?;
        drop(running);

        docker.start()?;
        docker.cli(["start", "web"])?;
        let _agent = agent(lab, "[docker]\npublished_ports = \"none\"\n")?;
        wait_for_state(lab, "locked")?;
        ensure!(!page(lab, LAN)?, "published_ports = \"none\" publishes");
        super::locked()?.check(&capture.stop()?)
    })
}
