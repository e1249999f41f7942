//! Compares the article's three sets of rules for containers with tunwarden's, one by one.
//! `docs/article-docker.md` lists every rule of both. A rule that the page does not list fails the test.

use crate::support;

use anyhow::{Context, Result, ensure};
use support::kernel::Backend;
use support::page::{DOCKER_STARTS, Row, compare, expanded, rows};
use support::tunwarden;
use tunwarden_lab::{Lab, with_lab};

const PAGE: &str = include_str!("../../docs/article-docker.md");

/// The rows below one example's heading.
fn below(example: &str) -> Result<Vec<Row>> {
    let (_, below) = PAGE.split_once(&format!("## {example}\n")).context("no such heading")?;
    rows(below.split("\n## ").next().unwrap_or(below))
}

/// The rules of Docker's chain for its user, and of the kill switch if there is one.
fn held(lab: &Lab) -> Result<Vec<String>> {
    let listing = lab.host().succeed(["iptables-nft", "-w", "-S"])?;
    let of_containers =
        |line: &&str| line.starts_with("-A DOCKER-USER ") || line.starts_with("-A DOCKER_VPN_KILL_SWITCH ");
    Ok(sorted(listing.lines().filter(of_containers).map(ToOwned::to_owned).collect()))
}

/// Groups the rules by chain and keeps the order within each chain.
fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort_by_key(|line| line.split(' ').nth(1).map(ToOwned::to_owned));
    lines
}

/// Applies the script and the example, each on its own machine after Docker has started.
fn the_page_lists_both(example: &str, script: &str, config: &str) -> Result<()> {
    let rows = below(example)?;
    ensure!(rows.len() > 4, "the table of {example} was not read");
    with_lab(|lab| {
        for script in [DOCKER_STARTS, script] {
            lab.host().command(["sh", "-e"]).stdin(script).succeed()?;
        }
        let listed = rows.iter().flat_map(|row| row.article.clone()).collect();
        compare(&sorted(listed), &held(lab)?).context("the article's script")
    })?;
    with_lab(|lab| {
        lab.host().file("/etc/tunwarden/config.toml", &Backend::Nft.config(config))?;
        lab.host().command(["sh", "-e"]).stdin(DOCKER_STARTS).succeed()?;
        let lock = tunwarden(lab, ["lock"])?;
        ensure!(lock.status.success() && lock.stderr.is_empty(), "{lock:?}");
        let mut listed = Vec::new();
        for rule in rows.iter().flat_map(|row| &row.ours) {
            listed.extend(expanded(PAGE, rule, &[])?);
        }
        compare(&sorted(listed), &held(lab)?).context("ours")
    })?;
    for Row { article, ours, why } in rows {
        ensure!(article == ours || !why.is_empty(), "no reason for {article:?} against {ours:?}");
    }
    Ok(())
}

#[test]
fn the_three_rules_in_dockers_own_chain() {
    let script = include_str!("../data/article-docker-three.sh");
    let config = include_str!("../../examples/docker-three-rules.toml");
    the_page_lists_both("docker-three-rules.toml", script, config).unwrap();
}

#[test]
fn the_three_rules_in_a_chain_of_their_own() {
    let script = include_str!("../data/article-docker.sh");
    let config = include_str!("../../examples/docker-chain.toml");
    the_page_lists_both("docker-chain.toml", script, config).unwrap();
}

#[test]
fn one_rule_a_service_in_place_of_the_first() {
    let script = include_str!("../data/article-docker-ports.sh");
    let config = include_str!("../../examples/docker-ports.toml");
    the_page_lists_both("docker-ports.toml", script, config).unwrap();
}
