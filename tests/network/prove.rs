//! `prove`: compares its answer with what leaves.

use crate::support;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use support::tunwarden;
use tunwarden_lab::{Lab, with_lab};

const CONFIG: &str = "[bootstrap]\nservers = [\"198.51.100.7\", \"[2001:db8:7::7]\"]\n";

/// Rules of another program in both families of iptables, in our nf_tables table, and before ours at the egress hook.
const OPENED: &str = "
    iptables -I OUTPUT 1 -d 192.0.2.99 -p udp --dport 4567 -j ACCEPT
    nft insert rule inet tunwarden output ip daddr 192.0.2.99 accept
    nft insert rule netdev tunwarden VPN_EGRESS ip daddr 192.0.2.99 accept";

/// A rule that the model does not know, in the same places.
const UNKNOWN: &str = "
    nft insert rule inet tunwarden output limit rate 1000/second accept
    nft insert rule netdev tunwarden VPN_EGRESS limit rate 1000/second accept
    iptables -I OUTPUT 1 -m limit --limit 1000/second -j ACCEPT";

/// The exit status of `prove`, and what it says.
fn prove(lab: &Lab) -> Result<(Option<i32>, Value)> {
    let output = tunwarden(lab, ["prove", "--json"])?;
    let said = serde_json::from_str(&output.stdout).with_context(|| format!("{output:?}"))?;
    support::schema::check(support::schema::PROVE, &said)?;
    Ok((output.status.code(), said))
}

/// Sends what a counterexample describes, and counts how many of three packets leave.
fn sent(lab: &Lab, packet: &Value) -> Result<usize> {
    let address = packet["destination"].as_str().context("no destination")?;
    let port = packet["destination_port"].as_u64().unwrap_or(4000);
    let target = format!("{address}:{port}");
    let probe = match packet["sender"].as_str() {
        Some("raw") => lab.host().raw("eth0", &target)?.from_user("root"),
        Some("program") => lab.host().udp(&target)?.from_user("nobody"),
        other => anyhow::bail!("no sender for {other:?}"),
    };
    let capture = lab.capture()?;
    probe.count(3).tag("counterexample").send()?;
    Ok(capture.stop()?.iter().filter(|frame| frame.is_tagged("counterexample")).count())
}

#[test]
fn a_locked_machine_is_proven_and_a_counterexample_leaves() -> Result<()> {
    with_lab(|lab| {
        // A unit test compares the diagrams with z3, and passes on a machine without it.
        let z3 = lab.host().succeed(["z3", "--version"]);
        z3.context("z3 is missing: scripts/deps test installs it")?;
        lab.host().file("/etc/tunwarden/config.toml", CONFIG)?;
        let (code, said) = prove(lab)?;
        ensure!(code == Some(4), "without rules: {code:?} {said}");
        let first = &said["computed"]["counterexamples"][0];
        ensure!(sent(lab, first)? == 3, "the control: {first}");

        let locked = tunwarden(lab, ["lock"])?;
        ensure!(locked.status.success(), "{locked:?}");
        let (code, said) = prove(lab)?;
        ensure!(code == Some(0) && said["proven"] == true, "locked: {code:?} {said}");
        ensure!(sent(lab, first)? == 0, "it leaves: {first}");
        // It needs no program of nftables.
        lab.host().succeed("mount --bind /dev/null /usr/sbin/nft".split(' '))?;
        let words = tunwarden(lab, ["prove"])?;
        lab.host().succeed("umount /usr/sbin/nft".split(' '))?;
        ensure!(words.stdout.starts_with("PROVEN"), "{words:?}");
        let programs = &said["computed"]["reach"][0];
        let reach = ["lan", "server", "elsewhere", "tunnel"].map(|place| &programs[place]);
        ensure!(reach == ["passes", "passes", "refused", "none"], "{programs}");

        // Tables of iptables-legacy beside those of nf_tables are read too.
        let rules = said["computed"]["rules"].as_u64().context("no number")?;
        lab.host().succeed("iptables-legacy -A OUTPUT -d 192.0.2.98 -j ACCEPT".split(' '))?;
        let (code, said) = prove(lab)?;
        ensure!(code == Some(0) && said["computed"]["rules"] == rules + 1, "legacy: {code:?} {said}");

        lab.host().succeed(["sh", "-ec", OPENED])?;
        let (code, said) = prove(lab)?;
        ensure!(code == Some(4) && said["proven"] == false, "opened: {code:?} {said}");
        let packets = said["computed"]["counterexamples"].as_array().context("no packets")?;
        let of = |sender: &str| packets.iter().find(|packet| packet["sender"] == sender);
        for sender in ["program", "raw"] {
            let packet = of(sender).with_context(|| format!("no packet of {sender}: {said}"))?;
            ensure!(packet["destination"] == "192.0.2.99", "{packet}");
            ensure!(sent(lab, packet)? == 3, "it does not leave: {packet}");
        }
        let rule = of("program").map(|packet| packet["decided_by"]["rule"].to_string()).unwrap_or_default();
        ensure!(rule.contains("-d 192.0.2.99/32"), "{rule}");

        let locked = tunwarden(lab, ["lock"])?;
        ensure!(locked.status.success(), "{locked:?}");
        lab.host().succeed([
            "iptables",
            "-D",
            "OUTPUT",
            "-d",
            "192.0.2.99",
            "-p",
            "udp",
            "--dport",
            "4567",
            "-j",
            "ACCEPT",
        ])?;
        ensure!(prove(lab)?.0 == Some(0), "closed again: {:?}", prove(lab)?);
        lab.host().succeed(["sh", "-ec", UNKNOWN])?;
        let (code, said) = prove(lab)?;
        ensure!(code == Some(1) && said["proven"] == false, "unknown: {code:?} {said}");
        let why = said["computed"]["not_shown"].to_string();
        ensure!(why.contains("limit"), "{why}");
        Ok(())
    })
}

/// Only the tables of iptables. Each of these changes opens something: it deletes a rule, moves one down, or weakens
/// one.
const ONE_LAYER: &str = "[firewall]\nlayers = [\"iptables\"]\n[bootstrap]\nservers = [\"198.51.100.7\"]\n";
const MUTANTS: [&str; 3] = [
    "iptables -D OUTPUT_VPN_KILL_SWITCH -p udp -m multiport --dports 53,853 -j VPN_DNS",
    "iptables -D OUTPUT_VPN_KILL_SWITCH -j VPN_LAN; iptables -I OUTPUT_VPN_KILL_SWITCH 2 -j VPN_LAN",
    "iptables -R VPN_BOOTSTRAP 1 -p udp -m udp --dport 1194 -j ACCEPT",
];

#[test]
fn what_a_rule_of_ours_would_let_out_if_it_were_weaker_leaves() -> Result<()> {
    with_lab(|lab| {
        lab.host().file("/etc/tunwarden/config.toml", ONE_LAYER)?;
        for mutant in MUTANTS {
            let locked = tunwarden(lab, ["lock"])?;
            ensure!(locked.status.success(), "{locked:?}");
            let of_program = |said: &Value| {
                let packets = said["computed"]["counterexamples"].as_array()?;
                packets.iter().find(|packet| packet["sender"] == "program").cloned()
            };
            let (_, said) = prove(lab)?;
            ensure!(of_program(&said).is_none(), "before {mutant}: {said}");
            lab.host().succeed(["sh", "-ec", mutant])?;
            let (code, said) = prove(lab)?;
            let packet = of_program(&said).with_context(|| format!("{mutant}: {said}"))?;
            ensure!(code == Some(4) && packet["decided_by"]["whose"] == "tunwarden", "{mutant}: {packet}");
            // Without a neighbour the packet would not leave.
            let to = packet["destination"].as_str().context("no destination")?;
            let entry = format!("ip neigh replace {to} lladdr 02:00:00:00:00:01 dev eth0");
            lab.host().succeed(entry.split(' '))?;
            ensure!(sent(lab, &packet)? == 3, "{mutant}: it does not leave: {packet}");
        }
        Ok(())
    })
}

/// A rule whose comment is HTML, and a folder of another user.
const REPORT: &str = "
    iptables -I OUTPUT 1 -d 192.0.2.99 -m comment --comment '<script>alert(1)</script>' -j ACCEPT
    install -d -o nobody /run/own
    ln -s /etc/made-by-root /run/own/link.html
    install -d -m 700 /run/roots
    install -d -m 770 -g root /run/group";

#[test]
fn a_report_is_one_page_that_only_its_caller_can_have_made() -> Result<()> {
    with_lab(|lab| {
        let host = lab.host();
        host.file("/etc/tunwarden/config.toml", CONFIG)?;
        host.succeed(["sh", "-ec", REPORT])?;
        let uid = host.succeed("id -u nobody".split(' '))?;
        let report = |file: &str| {
            // Root is in group 0, as on a real machine.
            let words = ["setpriv", "--groups", "0", support::TUNWARDEN, "prove", "--report", file];
            let command = host.command(words);
            command.env("SUDO_UID", uid.trim()).run()
        };
        let made = report("/run/own/report.html")?;
        ensure!(made.status.code() == Some(4) && made.stdout.starts_with("OPEN"), "{made:?}");
        let owner = host.succeed("stat -c %U:%a /run/own/report.html".split(' '))?;
        ensure!(owner.trim() == "nobody:600", "{owner}");
        let page = host.read("/run/own/report.html")?;
        ensure!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"), "{page}");
        ensure!(page.contains("<h1 class=\"open\">") && page.contains("203.0.113.77"), "{page}");
        ensure!(page.contains("tunwarden 0.") && !page.contains("<script"), "{page}");
        for refused in
            ["/run/own/report.html", "/run/own/link.html", "/run/roots/report.html", "/run/group/report.html"]
        {
            let made = report(refused)?;
            ensure!(
                made.status.code() == Some(1) && made.stderr.contains("a new file"),
                "{refused}: {made:?}"
            );
        }
        let by_root =
            host.run("ls /etc/made-by-root /run/roots/report.html /run/group/report.html".split(' '))?;
        ensure!(!by_root.status.success() && by_root.stdout.trim().is_empty(), "{by_root:?}");
        Ok(())
    })
}
