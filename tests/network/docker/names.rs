//! Containers look up names with the router, a resolver of the internet, and Docker's own resolver.

use anyhow::{Context, Result, ensure};
use tunwarden_lab::{Dns, Docker, Engine, Frame, Lab, Transport, wait_for, with_lab};

use super::protected::Protected;
use crate::blocked::blocked;
use crate::support::SOON;
use crate::support::docker::{inside, user_network};
use crate::support::leak_test::contract;
use crate::support::wait_for_state;

/// A resolver of the internet. The ISP answers in its place.
const RESOLVER: &str = "203.0.113.9";
const ROUTER: &str = "10.0.0.1";

const LOOPBACK: &str = "127.0.0.1";

/// How a container gets its resolver.
#[derive(Clone, Copy)]
enum Given {
    /// `--dns`: the container's own network sends the queries.
    Directly,
    /// The host's `/etc/resolv.conf`: from Docker 28 on, the host sends the queries as root.
    ByTheHost,
    /// A resolver on the host's loopback, which sends the queries itself.
    Behind(&'static str),
}

/// One container for each way to get a resolver. On Docker's own bridge a container uses the host's resolver
/// or the one of `--dns` directly. On a user's network it asks Docker's resolver first.
const CONTAINERS: [(&str, &str, &str, Given); 7] = [
    ("default-router", "bridge", ROUTER, Given::Directly),
    ("default-public", "bridge", RESOLVER, Given::Directly),
    ("user-router", "user", ROUTER, Given::Directly),
    ("user-public", "user", RESOLVER, Given::Directly),
    ("host-router", "user", ROUTER, Given::ByTheHost),
    ("host-public", "user", RESOLVER, Given::ByTheHost),
    ("loopback-public", "user", RESOLVER, Given::Behind(LOOPBACK)),
];

fn resolvers(lab: &Lab) -> Result<[Dns; 2]> {
    let resolver = |address: &str| {
        let dns = lab.isp().dns(address.parse()?)?;
        dns.set("*.name.test", &["203.0.113.80"])?;
        Ok::<_, anyhow::Error>(dns)
    };
    Ok([resolver(RESOLVER)?, resolver(ROUTER)?])
}

fn containers(lab: &Lab, docker: &Docker) -> Result<()> {
    user_network(docker)?;
    for (name, network, resolver, given) in CONTAINERS {
        let (network, dns) = (format!("--network={network}"), format!("--dns={resolver}"));
        let (of_host, dns) = match given {
            Given::Directly => (resolver, Some(dns.as_str())),
            Given::ByTheHost => (resolver, None),
            Given::Behind(address) => (address, None),
        };
        lab.host().file("/etc/resolv.conf", &format!("nameserver {of_host}\n"))?;
        let project = "--label=com.docker.compose.project=docs";
        let options = ["--name", name, &network, project].into_iter().chain(dns);
        docker.run(options.chain(["lab", "sleep", "1000"]))?;
    }
    Ok(())
}

/// Checks that `blocked` names three containers of a compose project, with what each was refused.
fn are_named(lab: &Lab, docker: &Docker) -> Result<()> {
    for (container, _, resolver, _) in &CONTAINERS[..3] {
        let name = format!("{container} (lab, project docs)");
        wait_for(&format!("{name} is listed"), SOON, || {
            let groups = blocked(lab, "root")?;
            let is_listed = groups.iter().any(|group| {
                let (who, to) = (&group["who"], &group["destination"]);
                who["kind"] == "container"
                    && who["name"] == *name
                    && to["address"] == **resolver
                    && group["reason"] == "dns-outside-tunnel"
            });
            if is_listed {
                return Ok(Some(()));
            }
            // The kernel drops some lines if there are many.
            resolves(docker, container, "again").map(|_| None)
        })?;
    }
    Ok(())
}

/// Whether a container gets an answer for a new name.
fn resolves(docker: &Docker, container: &str, label: &str) -> Result<bool> {
    let question = format!("timeout 3 nslookup -type=a {label}.{container}.name.test");
    let output = docker.exec(container, &question)?;
    Ok(output.status.success() && output.stdout.contains("203.0.113.80"))
}

fn queries(frames: &[Frame]) -> usize {
    let dns = |frame: &&Frame| {
        matches!(
            frame.transport(),
            Some(Transport::Udp { to: 53 | 853, .. } | Transport::Tcp { to: 53 | 853, .. })
        )
    };
    frames.iter().filter(dns).count()
}

with_each_engine!(containers_ask_for_names_through_the_tunnel_or_nowhere);

fn containers_ask_for_names_through_the_tunnel_or_nowhere(engine: Engine) -> Result<()> {
    with_lab(|lab| {
        let [public, router] = resolvers(lab)?;
        let desktop = Protected::prepare(lab, engine)?;
        containers(lab, &desktop.docker)?;
        let _local = lab.host().dns_forwarder(LOOPBACK.parse()?, RESOLVER.parse()?)?;
        let capture = lab.capture()?;
        for (container, ..) in CONTAINERS {
            let seen = queries(&capture.so_far()?);
            ensure!(
                resolves(&desktop.docker, container, "control")?,
                "the control: {container} resolves nothing"
            );
            ensure!(queries(&capture.so_far()?) > seen, "the control: {container}'s question is not seen");
        }

        let _agent = desktop.guard("")?;
        let from = capture.so_far()?.len();
        let contract = contract(&[&desktop.server])?;
        for (container, ..) in CONTAINERS {
            ensure!(!resolves(&desktop.docker, container, "locked")?, "{container} resolves while locked");
        }
        are_named(lab, &desktop.docker)?;
        contract.check(&capture.so_far()?[from..]).context("names, locked")?;

        desktop.nm.up("lab")?;
        wait_for_state(lab, "protected")?;
        inside(&desktop.docker, CONTAINERS[1].0, &format!("ping -c 1 -W 5 {RESOLVER}"))?;
        let through = desktop.through_the_tunnel(RESOLVER, "udp")?;
        for (container, _, asked, _) in CONTAINERS {
            // The router is on the LAN and forwards queries to the ISP: it must answer none of them.
            if asked == ROUTER {
                let answered = resolves(&desktop.docker, container, "protected")?;
                ensure!(!answered, "{container} asks the router while protected");
                continue;
            }
            wait_for("an answer", SOON, || {
                Ok(resolves(&desktop.docker, container, "protected")?.then_some(()))
            })
            .with_context(|| format!("{container} resolves nothing through the tunnel"))?;
        }
        ensure!(desktop.through_the_tunnel(RESOLVER, "udp")? > through, "no question came out of the tunnel");
        contract.check(&capture.stop()?[from..]).context("names, protected")?;
        let asked = public.asked();
        for (container, ..) in CONTAINERS.iter().filter(|(_, _, asked, _)| *asked == RESOLVER) {
            let name = format!("protected.{container}.name.test");
            ensure!(asked.contains(&name), "who has answered {container}? {asked:?}");
        }
        let asked = router.asked();
        ensure!(!asked.iter().any(|name| name.starts_with("protected.")), "the router was asked {asked:?}");
        Ok(())
    })
}
