//! The doctor on a real machine of the laboratory: healthy, and with one thing after another wrong.

use crate::support;

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use support::story::set;
use support::{TUNWARDEN, agent, bus, tunwarden, wait_for_state};
use tunwarden_lab::{Lab, with_lab};

const CONFIG: &str = "[bootstrap]\nservers = [\"198.51.100.7\"]\n";

/// The words for what the doctor finds; each comes with a way to mend it, and the exit says the same.
fn found(lab: &Lab) -> Result<BTreeSet<String>> {
    let output = tunwarden(lab, ["doctor", "--json"])?;
    let report: Value = serde_json::from_str(&output.stdout).with_context(|| format!("{output:?}"))?;
    let problems = report["problems"].as_array().context("no list")?;
    let healthy = problems.is_empty();
    ensure!(report["healthy"] == healthy && output.status.code() == Some(i32::from(!healthy)), "{output:?}");
    for problem in problems {
        let said = |key: &str| problem[key].as_str().is_some_and(|text| !text.is_empty());
        ensure!(said("problem") && said("mend"), "{problem}");
    }
    Ok(problems.iter().filter_map(|one| one["id"].as_str()).map(str::to_owned).collect())
}

#[test]
fn the_doctor_finds_what_is_wrong_and_nothing_else() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let host = lab.host();
        host.file("/etc/xdg/autostart/tunwarden-notify.desktop", "[Desktop Entry]\n")?;
        // The laboratory sees what is installed on the machine it runs on.
        host.file("/etc/nftables.conf", "")?;
        host.file("/etc/ufw/ufw.conf", "ENABLED=no\n")?;
        host.succeed(["rm", "-f", "/etc/systemd/system/multi-user.target.wants/firewalld.service"])?;
        let mut running = agent(lab, CONFIG)?;
        wait_for_state(lab, "locked")?;
        assert_eq!(found(lab)?, BTreeSet::new());
        assert_eq!(tunwarden(lab, ["doctor"])?.stdout.trim(), "nothing is wrong");

        let nobody = host.command([TUNWARDEN, "doctor"]).user("nobody").run()?;
        ensure!(nobody.status.code() == Some(1), "not all of it was read: {nobody:?}");
        ensure!(nobody.stdout.contains("this user may not read"), "{nobody:?}");

        host.file("/etc/ufw/ufw.conf", "ENABLED=yes\n")?;
        host.file("/etc/openvpn/client/office.ovpn", "client\nremote 198.51.100.7\n")?;
        host.file_with_mode("/etc/openvpn/shared.conf", "client\nremote 198.51.100.8\n", 0o666)?;
        host.file("/etc/tunwarden/config.toml", "[lan]\nallow = 1\n")?;
        host.succeed(["iptables-legacy", "-A", "INPUT", "-s", "192.0.2.1", "-j", "DROP"])?;
        host.succeed(["rm", "/etc/xdg/autostart/tunwarden-notify.desktop"])?;
        let flush = "#!/bin/sh\n/sbin/iptables -F\n";
        host.file_with_mode("/etc/NetworkManager/dispatcher.d/50-home", flush, 0o755)?;
        host.succeed(["iptables", "-N", "RB_OUTPUT_VPN_KILL_SWITCH"])?;
        let all = [
            "rules-changed-later",
            "article-scripts",
            "second-firewall",
            "hooks-missing",
            "openvpn-left-out",
            "config-faults",
            "legacy-and-nft",
            "notifications",
        ];
        assert_eq!(found(lab)?, set(&all));
        let people = tunwarden(lab, ["doctor"])?;
        let files = ["/etc/openvpn/client/office.ovpn", "/etc/openvpn/shared.conf: left out: others"];
        for word in ["ufw", "config.toml", "update-alternatives", "dispatcher.d/50-home flushes", "RB_OUTPUT"]
            .into_iter()
            .chain(files)
        {
            ensure!(people.stdout.contains(word), "{word}: {}", people.stdout);
        }

        host.file(
            "/etc/tunwarden/config.toml",
            &format!("{CONFIG}owners = [\"root\", \"nm-openvpn\", \"ghost\"]\n"),
        )?;
        running.stop()?;
        let without = found(lab)?;
        ensure!(without.is_superset(&set(&["agent-not-running", "owner-missing"])), "{without:?}");
        ensure!(!without.contains("config-faults") && !without.contains("rules-not-in-force"), "{without:?}");
        host.succeed(["ip6tables", "-F", "OUTPUT"])?;
        ensure!(found(lab)?.contains("rules-not-in-force"), "without an agent the kernel is asked");
        Ok(())
    })
}
