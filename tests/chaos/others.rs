//! Steps of other tools that change the firewall, and of Docker.

use anyhow::Result;

use crate::Step;
use crate::random::Random;
use crate::support::status;
use crate::test_machine::TestMachine;

pub(crate) const STEPS: &[Step] = &[
    (10, "another tool", |machine, random| {
        let what = *random.one(TOOLS);
        machine.try_run(what)?;
        Ok(Some(format!("({what})")))
    }),
    (2, "everything of nftables is flushed", flush),
    (1, "ufw", |machine, random| {
        let what = *random.one(&["ufw --force enable", "ufw --force disable"]);
        machine.try_run(what)?;
        Ok(Some(format!("({what})")))
    }),
    (3, "Docker", docker),
];

/// Each step removes at most one of the two layers.
const TOOLS: &[&str] = &[
    "iptables -w -F",
    "ip6tables -w -F",
    "iptables -w -F; iptables -w -X",
    "iptables -w -F DOCKER-USER",
    "iptables -w -t mangle -F; ip6tables -w -t mangle -F",
    "for c in INPUT FORWARD OUTPUT; do iptables -w -P $c ACCEPT; ip6tables -w -P $c ACCEPT; done",
    "iptables -w -I OUTPUT -j ACCEPT",
    "ip6tables -w -I FORWARD -j ACCEPT",
    "printf '*filter\\n:OUTPUT ACCEPT\\n:FORWARD ACCEPT\\nCOMMIT\\n' | iptables-restore",
    "nft delete table ip filter",
    "nft delete table ip6 mangle",
    "nft add table inet other; nft add chain inet other c '{ type filter hook output priority -300; policy accept; }'",
    "nft delete table inet other",
    // A rule that iptables cannot print.
    "nft add rule ip filter INPUT meta skuid 1000 counter",
    "iptables -w -t nat -A POSTROUTING -j RETURN",
];

/// If the agent does not own its tables, this step opens both layers for a moment. The documentation names
/// this limit, and the tests in `network/drift` count the packets.
fn flush(machine: &mut TestMachine<'_>, _: &mut Random) -> Result<Option<String>> {
    if machine.agent.is_none() || status(machine.lab)?["layers"][1]["owned"] != true {
        return Ok(None);
    }
    machine.try_run("nft flush ruleset")?;
    Ok(Some(String::new()))
}

/// Other tools' steps remove Docker's own chains, or leave a rule that `iptables` cannot print. Docker can fail
/// after that with or without tunwarden, so the record says what it did, and the run continues.
fn docker(machine: &mut TestMachine<'_>, random: &mut Random) -> Result<Option<String>> {
    let Some(docker) = &mut machine.docker else { return Ok(None) };
    let what = *random.one(&["restart", "kill", "network", "container"]);
    let done = match what {
        "restart" => docker.restart(),
        "kill" => docker.kill().and_then(|()| docker.restart()),
        "network" => {
            let made = docker.cli(["network", "create", "more"]);
            docker.cli(["network", "rm", "more"]).and(made).map(drop)
        }
        _ => docker.cli(["restart", "-t", "0", "flood"]).map(drop),
    };
    let Err(error) = done else { return Ok(Some(format!("({what})"))) };
    let text = format!("{error:#}");
    let line = text.lines().find(|line| line.contains("Error")).unwrap_or("no answer");
    Ok(Some(format!("({what} failed: {})", line.trim())))
}
