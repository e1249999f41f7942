//! Compares the article's rules with tunwarden's, one by one. `docs/article.md` lists every rule of both. A
//! rule that the page does not list fails the test.

use crate::support;

use anyhow::{Result, ensure};
use support::kernel::Backend;
use support::page::{DOCKER_STARTS, Row, compare, expanded, rows};
use support::tunwarden;
use tunwarden_lab::{Lab, with_lab};

const PAGE: &str = include_str!("../../docs/article.md");
const HOST: &str = include_str!("../data/article-host.sh");
const DOCKER: &str = include_str!("../data/article-docker.sh");
const CONFIG: &str = include_str!("../../examples/article.toml");

/// The ids of the further owners on this system, in the kernel's order.
fn owners(lab: &Lab) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for user in ["nm-openvpn", "openvpn"] {
        let id = lab.host().run(["id", "-u", user])?;
        found.extend(id.status.success().then(|| id.stdout.trim().parse::<u32>()).transpose()?);
    }
    found.sort_unstable();
    Ok(found.iter().map(ToString::to_string).collect())
}

/// The rules of a table, in the notation of the page.
fn held(lab: &Lab, table: &str) -> Result<Vec<String>> {
    let listing = lab.host().succeed(["iptables-nft", "-w", "-t", table, "-S"])?;
    let prefix = if table == "filter" { String::new() } else { format!("{table}: ") };
    let of_filter = |line: &&str| table == "filter" || !line.starts_with("-P");
    let lines = listing.lines().filter(|line| !line.starts_with("-N")).filter(of_filter);
    Ok(lines.map(|line| format!("{prefix}{line}")).collect())
}

/// Table and chain of a line.
fn chain(line: &str) -> String {
    let (table, rule) = line.split_once(": ").unwrap_or(("filter", line));
    format!("{table} {}", rule.split(' ').take(2).collect::<Vec<_>>().join(" "))
}

/// Groups the rules by chain and keeps the order within each chain.
fn by_chain(mut lines: Vec<String>) -> Vec<String> {
    lines.sort_by_key(|line| chain(line));
    lines
}

#[test]
fn the_page_lists_every_rule_that_the_articles_scripts_make() {
    with_lab(|lab| {
        for script in [HOST, DOCKER_STARTS, DOCKER] {
            lab.host().command(["sh", "-e"]).stdin(script).succeed()?;
        }
        let mut held = held(lab, "filter")?;
        let mut listed: Vec<String> = rows(PAGE)?.into_iter().flat_map(|row| row.article).collect();
        // Where the orders differ, the page uses tunwarden's order.
        held.sort();
        listed.sort();
        ensure!(held.len() > 15, "the scripts did nothing: {held:#?}");
        compare(&listed, &held)?;
        let ipv6 = lab.host().succeed(["ip6tables-nft", "-w", "-S"])?;
        assert_eq!(ipv6, "-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n");
        Ok(())
    })
    .unwrap();
}

#[test]
fn the_page_lists_every_rule_of_ours_in_the_kernels_order() {
    with_lab(|lab| {
        lab.host().file("/etc/tunwarden/config.toml", &Backend::Nft.config(CONFIG))?;
        for _ in 0..2 {
            let lock = tunwarden(lab, ["lock"])?;
            ensure!(lock.status.success() && lock.stderr.is_empty(), "{lock:?}");
            if !lab.host().succeed(["iptables-nft", "-S", "DOCKER-USER"])?.contains("RETURN") {
                lab.host().command(["sh", "-e"]).stdin(DOCKER_STARTS).succeed()?;
            }
        }
        let (owners, networkd) = (owners(lab)?, lab.host().run(["id", "-u", "systemd-network"])?);
        let mut listed = Vec::new();
        for rule in rows(PAGE)?.into_iter().flat_map(|row| row.ours) {
            // A system without systemd-networkd has no such user.
            if networkd.status.success() || !rule.contains("<networkd>") {
                let rule = rule.replace("<networkd>", networkd.stdout.trim());
                listed.extend(expanded(PAGE, &rule, &owners)?);
            }
        }
        let held = [held(lab, "filter")?, held(lab, "mangle")?].concat();
        compare(&by_chain(listed), &by_chain(held))
    })
    .unwrap();
}

#[test]
fn every_difference_has_its_reason() {
    let rows = rows(PAGE).unwrap();
    assert!(rows.len() > 25, "the page's table was not read");
    for Row { article, ours, why } in rows {
        assert!(article == ours || !why.is_empty(), "no reason for {article:?} against {ours:?}");
    }
}

#[test]
fn ipv6_holds_the_same_chains_and_jumps() {
    with_lab(|lab| {
        lab.host().file("/etc/tunwarden/config.toml", &Backend::Nft.config(CONFIG))?;
        ensure!(tunwarden(lab, ["lock"])?.status.success());
        for table in ["filter", "mangle"] {
            let frame = |tool: &str| -> Result<Vec<String>> {
                let listing = lab.host().succeed([tool, "-w", "-t", table, "-S"])?;
                let jump = |line: &str| line.contains(" -j VPN_") && !line.starts_with("-A VPN_");
                let ours =
                    |line: &&str| !line.starts_with("-A") || jump(line) || line.contains("KILL_SWITCH");
                Ok(listing.lines().filter(ours).map(ToOwned::to_owned).collect())
            };
            let (v4, mut v6) = (frame("iptables-nft")?, frame("ip6tables-nft")?);
            // The last chain is named after its family.
            let last = v6.iter_mut().find(|line| *line == "-N DOCKER_VPN_IPV6");
            ensure!(last.is_some() == (table == "filter"), "{table}");
            last.into_iter().for_each(|line| *line = "-N DOCKER_VPN_IPV4".to_owned());
            ensure!(
                v4.iter().any(|line| line.contains("DOCKER_VPN_KILL_SWITCH")),
                "nothing to compare: {v4:?}"
            );
            assert_eq!(v4, v6, "{table}");
        }
        Ok(())
    })
    .unwrap();
}
