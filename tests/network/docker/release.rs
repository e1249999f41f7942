//! `release` while Docker runs: containers reach the internet, and Docker's rules are unchanged.

use anyhow::{Result, ensure};
use tunwarden_lab::{Engine, with_lab};

use super::{KNOWN, lock, locked};
use crate::support::docker::{IPV6, Watch, count_tries, counted, flooding, user_network};
use crate::support::kernel::Backend;
use crate::support::tunwarden;

with_each_engine!(release_leaves_docker_as_it_found_it);

fn release_leaves_docker_as_it_found_it(engine: Engine) -> Result<()> {
    with_lab(|lab| {
        count_tries(lab)?;
        let docker = lab.host().docker(engine, IPV6)?;
        user_network(&docker)?;
        for (name, network) in [("default", "bridge"), ("user", "user")] {
            flooding(&docker, name, network)?;
        }
        let mut watch = Watch::begin(lab, locked()?)?;
        watch.is_seen("without tunwarden")?;
        let before = Backend::Nft.all_saved(lab)?;
        lock(lab, KNOWN)?;
        watch.close()?;
        watch.check("locked")?;
        let during = Backend::Nft.all_saved(lab)?;
        ensure!(during.iter().any(|line| line.contains("DOCKER_VPN_KILL_SWITCH")), "the lock is not there");

        let output = tunwarden(lab, ["release", "--yes"])?;
        ensure!(output.status.success(), "release: {} {}", output.status, output.stderr);
        watch.is_seen("released")?;
        let after = Backend::Nft.all_saved(lab)?;
        let ours = after.iter().find(|line| line.contains("VPN") || line.contains("RELATED_AND"));
        ensure!(ours.is_none(), "something of ours is left: {ours:?}");
        let [before, after] = [before, after].map(rules);
        ensure!(before == after, "Docker's rules were\n{before:#?}\nand are\n{after:#?}");
        Ok(())
    })
}

/// A second link of the host. A machine on the LAN may try to reach it through the host.
const BEHIND: &str = "10.9.0.2";

#[test]
fn a_released_machine_with_docker_does_not_route_for_everybody() -> Result<()> {
    with_lab(|lab| {
        let _docker = lab.host().docker(Engine::System, IPV6)?;
        for words in [
            "ip link add behind type veth peer name inside",
            "ip addr add 10.9.0.1/24 dev behind",
            "ip link set behind up",
            "ip link set inside up",
            // No machine is there: the test counts the forwarded packets and expects no answer.
            "ip neigh add 10.9.0.2 lladdr 02:00:00:00:00:09 dev behind",
        ] {
            lab.host().succeed(words.split(' '))?;
        }
        lab.isp().succeed(["ip", "route", "add", "10.9.0.0/24", "via", "10.0.0.2"])?;
        let routed = || counted(lab.host(), "mangle", "POSTROUTING -d 10.9.0.2/32 -o behind -p icmp");
        let knock = || {
            let before = routed()?;
            lab.isp().ping(BEHIND.parse::<std::net::IpAddr>()?).send()?;
            Ok::<_, anyhow::Error>(routed()? - before)
        };
        let policy = |to| lab.host().succeed(["iptables", "-w", "-P", "FORWARD", to]);
        policy("ACCEPT")?;
        ensure!(knock()? > 0, "the control: with the policy ACCEPT this machine routes for the LAN");
        policy("DROP")?;
        ensure!(knock()? == 0, "the control: Docker's own policy does not");

        lock(lab, KNOWN)?;
        let output = tunwarden(lab, ["release", "--yes"])?;
        ensure!(output.status.success(), "release: {} {}", output.status, output.stderr);
        ensure!(
            output.stdout.contains("iptables: FORWARD stays closed (DROP), because Docker's rules"),
            "{}",
            output.stdout
        );
        ensure!(knock()? == 0, "a released machine routes for the LAN");
        // This Docker has no rules for IPv6 and sets no policy there.
        for (tool, chains) in
            [("iptables", ["INPUT", "OUTPUT", ""]), ("ip6tables", ["INPUT", "OUTPUT", "FORWARD"])]
        {
            for chain in chains.iter().filter(|chain| !chain.is_empty()) {
                let listing = lab.host().succeed([tool, "-w", "-S", chain])?;
                ensure!(listing.starts_with(&format!("-P {chain} ACCEPT")), "{tool} {listing}");
            }
        }
        Ok(())
    })
}

/// Rules in their order, chains and tables. After a release all policies are ACCEPT, except FORWARD if
/// Docker set its policy. Used tables stay in the kernel, but empty.
fn rules(saved: Vec<String>) -> Vec<String> {
    saved.into_iter().filter(|line| line.starts_with('-') || line.contains("DOCKER")).collect()
}
