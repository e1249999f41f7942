//! The method `Why` on the bus.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tunwarden_lab::{Lab, Output, with_lab};

use super::CONFIG;
use crate::support::{TUNWARDEN, agent, answer, bus, polkit, wait_for_state};

/// What `Why` on the bus answers to a user.
fn ask(lab: &Lab, user: &str, words: &[&str]) -> Result<Output> {
    let call = "busctl --system --json=short call -- org.tunwarden.Agent1 /org/tunwarden/Agent1 \
                org.tunwarden.Agent1 Why sa{sv}";
    answer(&lab.host().command(call.split_whitespace().chain(words.iter().copied())).user(user))
}

#[test]
fn the_bus_answers_as_the_command_does_to_root_and_to_whom_polkit_allows_it() -> Result<()> {
    with_lab(|lab| {
        let bus = bus(lab)?;
        polkit::allow_only(lab, "blocked", "games")?;
        let _polkit = bus.polkit()?;
        let host = lab.host();
        host.bridged_container("c1", "docker0")?;
        let _agent = agent(lab, CONFIG)?;
        wait_for_state(lab, "locked")?;
        for (words, options) in [
            (["--as", "nobody", "203.0.113.9:443"], &["1", "as", "s", "nobody"][..]),
            (["--as", "65534", "10.0.0.1:631/udp"], &["1", "as", "u", "65534"]),
            (["--as", "games", "198.51.100.7:1194/udp"], &["0"]),
            (["--from", "docker0", "203.0.113.9"], &["1", "from", "s", "docker0"]),
        ] {
            let said = host.run([TUNWARDEN, "why", "--json"].into_iter().chain(words))?;
            let said: Value = serde_json::from_str(&said.stdout).with_context(|| format!("{said:?}"))?;
            let call: Vec<&str> = [words[2]].iter().chain(options).copied().collect();
            let heard = ask(lab, "games", &call)?;
            let heard: Value =
                serde_json::from_str(&heard.stdout).with_context(|| format!("{call:?}: {heard:?}"))?;
            let heard = &heard["data"][0];
            for key in ["verdict", "interface", "reason", "key", "text"] {
                ensure!(heard[key]["data"] == said[key], "{key}: {heard} is not {said}");
            }
            let (rule, port) = (&said["decided_by"]["rule"], &said["destination"]["port"]);
            ensure!(heard["decided_by"]["data"]["rule"]["data"] == *rule, "{heard} is not {said}");
            ensure!(heard["destination"]["data"]["port"]["data"] == *port, "{heard} is not {said}");
        }
        let refused = ask(lab, "nobody", &["203.0.113.9", "0"])?;
        ensure!(!refused.status.success() && refused.stderr.contains("Access denied"), "{refused:?}");
        let wrong = ask(lab, "root", &["203.0.113.9", "1", "to", "s", "x"])?;
        ensure!(wrong.stderr.contains("the options are `as` and `from`"), "{wrong:?}");
        let wrong = ask(lab, "root", &["--help", "0"])?;
        ensure!(!wrong.status.success() && wrong.stderr.contains("--help"), "{wrong:?}");
        let wrong = ask(lab, "root", &["203.0.113.9", "1", "from", "s", "no-such-box"])?;
        ensure!(wrong.stderr.contains("no bridge of this machine has that name"), "{wrong:?}");
        Ok(())
    })
}
