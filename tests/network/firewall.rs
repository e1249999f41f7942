//! tunwarden's rules among the rules of other programs: they come first, exist once, are complete or closed,
//! and are gone after `release`.

use crate::support;

use std::time::SystemTime;

use anyhow::{Result, ensure};
use support::foreign::{DOCKER_20, DOCKER_28, UFW};
use support::kernel::{Backend, FAMILIES};
use support::{agent, bus, tunwarden};
use tunwarden_lab::{Contract, Lab, with_lab};

const KNOWN: &str = "[bootstrap]\nservers = [\"198.51.100.7\", \"[2001:db8:7::7]\"]\n";

/// The built-in chains.
const BUILT_IN: [&str; 5] = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];

/// The prefixes of the chain names of the article and of tunwarden.
const OURS: [&str; 4] = ["OUTPUT_VPN_KILL_SWITCH", "RELATED_AND_ESTABLISHED", "VPN_", "DOCKER_VPN_"];

/// Chains and rules of other programs, with their table. None of these lines names a chain of tunwarden.
fn of_others(saved: &[String]) -> Vec<String> {
    let mut table = "";
    let mut found = Vec::new();
    for line in saved {
        let own = OURS.iter().any(|ours| line.contains(&format!(" {ours}")) || line[1..].starts_with(ours));
        match line.chars().next() {
            Some('*') => table = line,
            Some(':') if BUILT_IN.iter().any(|chain| line[1..].starts_with(&format!("{chain} "))) => {}
            Some(':' | '-') if !own => found.push(format!("{table} {line}")),
            _ => {}
        }
    }
    found
}

/// Checks that a chain has our jump exactly once, and that only rules ending with `allowed` come before it.
fn check_first(rules: &[String], ours: &str, allowed: &str) -> Result<()> {
    let at: Vec<usize> = (0..rules.len()).filter(|&n| rules[n].ends_with(&format!("-j {ours}"))).collect();
    ensure!(at.len() == 1, "{} jumps to {ours}: {rules:#?}", at.len());
    ensure!(rules[..at[0]].iter().all(|rule| rule.ends_with(allowed)), "{ours} is not first: {rules:#?}");
    Ok(())
}

fn check_jumps(lab: &Lab, backend: Backend, family: &str) -> Result<()> {
    let chain = |name| backend.chain(lab, family, name);
    check_first(&chain("OUTPUT")?, "OUTPUT_VPN_KILL_SWITCH", "-")?;
    check_first(&chain("INPUT")?, "RELATED_AND_ESTABLISHED", "-")?;
    check_first(&chain("DOCKER-USER")?, "DOCKER_VPN_KILL_SWITCH", "-")?;
    check_first(&chain("FORWARD")?, "DOCKER_VPN_KILL_SWITCH", "-j DOCKER-USER")?;
    let mut mangle = backend.table(lab, family, "mangle")?;
    mangle.retain(|line| line.starts_with("-A FORWARD"));
    check_first(&mangle, "DOCKER_VPN_KILL_SWITCH", "-")?;
    let filter = backend.table(lab, family, "filter")?;
    for built_in in ["INPUT", "FORWARD", "OUTPUT"] {
        ensure!(filter.contains(&format!(":{built_in} DROP")), "{family}: the policy of {built_in}");
    }
    Ok(())
}

/// Rules that other programs add while tunwarden's rules are in force. After the next check none of them may
/// come before tunwarden's.
const FOREIGN_RULES: [&str; 5] = [
    "-I OUTPUT 1 -o eth0 -j ACCEPT",
    "-I INPUT 1 -p tcp -m tcp --dport 8080 -j ACCEPT",
    "-I FORWARD 1 -i docker0 -j ACCEPT",
    "-I DOCKER-USER 1 -i docker0 -j ACCEPT",
    "-A OUTPUT -d 192.0.2.9/32 -j REJECT",
];

fn first_among_foreign_rules(backend: Backend, docker: &str) -> Result<()> {
    with_lab(|lab| {
        for family in FAMILIES {
            let neutral = if family == "ip6tables" { "fd00:9::9/128" } else { "192.0.2.7/32" };
            let nat = if family == "ip6tables" { "fd00:17::/64" } else { "172.17.0.0/16" };
            let docker = docker.replace("192.0.2.7/32", neutral).replace("172.17.0.0/16", nat);
            backend.restore(lab, family, &(UFW.to_owned() + &docker))?;
        }
        let before = of_others(&backend.all_saved(lab)?);
        ensure!(before.len() > 20, "the control failed: others hold only {before:#?}");
        backend.lock(lab, KNOWN)?;
        let locked = of_others(&backend.all_saved(lab)?);
        ensure!(locked == before, "locking changed what others hold: {locked:#?}");
        for family in FAMILIES {
            check_jumps(lab, backend, family)?;
            for change in FOREIGN_RULES {
                let neutral = if family == "ip6tables" { "fd00:9::8/128" } else { "192.0.2.9/32" };
                backend.change(lab, family, &change.replace("192.0.2.9/32", neutral))?;
            }
            ensure!(check_jumps(lab, backend, family).is_err(), "the meddling shows nowhere");
        }
        let meddled = of_others(&backend.all_saved(lab)?);
        backend.lock(lab, KNOWN)?;
        ensure!(of_others(&backend.all_saved(lab)?) == meddled, "a second lock changed what others hold");
        FAMILIES.iter().try_for_each(|family| check_jumps(lab, backend, family))?;
        release(lab, backend)?;
        let released = of_others(&backend.all_saved(lab)?);
        ensure!(released == meddled, "the release changed what others hold: {released:#?}");
        Ok(())
    })
}

/// Releases, and checks that none of tunwarden's rules is left.
fn release(lab: &Lab, backend: Backend) -> Result<()> {
    let output = tunwarden(lab, ["release", "--yes"])?;
    ensure!(output.status.success(), "release: {output:?}");
    let saved = backend.all_saved(lab)?;
    // If Docker has rules in FORWARD, its policy is Docker's own. If tunwarden could not read the earlier
    // policy, FORWARD stays closed, and the command says so.
    let stays = output.stdout.contains("FORWARD stays closed")
        || saved.iter().any(|line| line.contains("-A FORWARD -j DOCKER-USER"));
    for line in &saved {
        ensure!(!OURS.iter().any(|ours| line.contains(ours)), "the release left {line}");
        let of_ours = line.ends_with(" DROP") && line.starts_with(':');
        ensure!(!of_ours || stays && line.contains(":FORWARD "), "the release left a policy: {line}");
    }
    Ok(())
}

#[test]
fn we_come_first_and_others_keep_their_rules_with_nft_and_docker_20() {
    first_among_foreign_rules(Backend::Nft, DOCKER_20).unwrap();
}

#[test]
fn we_come_first_and_others_keep_their_rules_with_nft_and_docker_28() {
    first_among_foreign_rules(Backend::Nft, DOCKER_28).unwrap();
}

#[test]
fn we_come_first_and_others_keep_their_rules_with_legacy_and_docker_20() {
    first_among_foreign_rules(Backend::Legacy, DOCKER_20).unwrap();
}

#[test]
fn we_come_first_and_others_keep_their_rules_with_legacy_and_docker_28() {
    first_among_foreign_rules(Backend::Legacy, DOCKER_28).unwrap();
}

fn a_refused_commit_closes(backend: Backend, from: From) -> Result<()> {
    with_lab(|lab| {
        match from {
            From::Open => {}
            From::Locked => drop(backend.lock(lab, KNOWN)?),
            From::Unreadable => {
                backend.change(lab, "iptables", "-A OUTPUT -m owner --uid-owner 1 -j ACCEPT")?
            }
        }
        // Simulates an iptables without the owner match.
        let plugin = "/usr/lib/x86_64-linux-gnu/xtables/libxt_owner.so";
        lab.host().succeed(["mount", "--bind", "/dev/null", plugin])?;
        let refused = backend.change(lab, "iptables", "-A OUTPUT -m owner --uid-owner 0 -j DROP");
        ensure!(refused.is_err(), "the control failed: the match is still there");
        lab.host().file("/etc/tunwarden/config.toml", &backend.config(KNOWN))?;
        let capture = lab.capture()?;
        let lock = tunwarden(lab, ["lock"])?;
        let before = capture.so_far()?.len();
        ensure!(lock.status.code() == Some(1), "a commit that failed ends with {:?}", lock.status);
        ensure!(lock.stderr.contains("closed completely"), "{}", lock.stderr);
        ensure!(lock.stderr.contains("owner"), "the reason is missing: {}", lock.stderr);
        ensure!(!lock.stdout.contains("locked"), "it says that it is locked: {}", lock.stdout);
        for target in ["203.0.113.9:4000", "198.51.100.7:1194", "10.0.0.5:4000", "[fd00:0:0:1::1]:4000"] {
            ensure!(lab.host().udp(target)?.send()?.forbidden() == 1, "{target} is open");
        }
        Contract::locked().check(&capture.so_far()?[before..])?;
        ensure!(lab.host().udp("127.0.0.1:4000")?.send()?.accepted == 1, "the loopback is closed too");
        // Without the plugin no tool can print tunwarden's owner rules, which the kernel still holds. If the
        // owner rule is another program's, the kernel shows that tunwarden's chains and jumps are missing.
        let code = match (from, backend) {
            (From::Open, _) | (From::Unreadable, Backend::Nft) => 4,
            (From::Locked | From::Unreadable, _) => 5,
        };
        let status = tunwarden(lab, ["status"])?;
        ensure!(status.status.code() == Some(code), "status claims what it cannot know: {status:?}");
        ensure!(tunwarden(lab, ["lock"])?.status.code() == Some(1), "a second try");
        lab.host().succeed(["umount", plugin])?;
        check_first(&backend.chain(lab, "iptables", "OUTPUT")?, "OUTPUT_VPN_KILL_SWITCH", "-")?;
        backend.lock(lab, KNOWN)?;
        ensure!(tunwarden(lab, ["verify"])?.status.success(), "not repaired once the match is there");
        release(lab, backend)
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    /// The kernel has no rules.
    Open,
    /// The kernel has tunwarden's rules, and the tools cannot read them any more.
    Locked,
    /// The kernel has a rule of another program that the tools cannot read.
    Unreadable,
}

#[test]
fn a_commit_that_is_refused_leaves_closed_rules_with_nft() {
    a_refused_commit_closes(Backend::Nft, From::Open).unwrap();
    a_refused_commit_closes(Backend::Nft, From::Locked).unwrap();
    a_refused_commit_closes(Backend::Nft, From::Unreadable).unwrap();
}

#[test]
fn a_commit_that_is_refused_leaves_closed_rules_with_legacy() {
    a_refused_commit_closes(Backend::Legacy, From::Open).unwrap();
    a_refused_commit_closes(Backend::Legacy, From::Locked).unwrap();
    a_refused_commit_closes(Backend::Legacy, From::Unreadable).unwrap();
}

/// Runs `lock` on a system without iptables for IPv4, with this configuration.
fn lock_without_iptables(lab: &Lab, config: &str) -> Result<tunwarden_lab::Output> {
    lab.host().file("/etc/tunwarden/config.toml", config)?;
    let hide = "mkdir -p /run/sbin/upper /run/sbin/work; \
             mount -t overlay -o lowerdir=/usr/sbin,upperdir=/run/sbin/upper,workdir=/run/sbin/work overlay /usr/sbin; \
             rm /usr/sbin/iptables-save /usr/sbin/iptables-restore";
    lab.host().succeed(["sh", "-ec", hide])?;
    let lock = tunwarden(lab, ["lock"])?;
    ensure!(lock.status.code() == Some(1), "{lock:?}");
    ensure!(lock.stderr.contains("apt install iptables"), "{}", lock.stderr);
    Ok(lock)
}

#[test]
fn without_iptables_the_lock_fails_and_the_other_layer_holds() {
    with_lab(|lab| {
        let lock = lock_without_iptables(lab, "")?;
        ensure!(!lock.stderr.contains("NOT closed"), "it says that it is open: {}", lock.stderr);
        for target in ["203.0.113.9:4000", "[2001:db8:9::9]:4000"] {
            ensure!(lab.host().udp(target)?.send()?.forbidden() == 1, "{target} is open");
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn without_iptables_the_lock_fails_and_names_the_package() {
    with_lab(|lab| {
        let lock = lock_without_iptables(
            lab,
            "[firewall]
layers = [\"iptables\"]
",
        )?;
        ensure!(lock.stderr.contains("nothing is routed any more (IPv4)"), "{}", lock.stderr);
        ensure!(lab.host().udp("203.0.113.9:4000")?.send()?.accepted == 0, "IPv4 was left open");
        // The other family still has its rules.
        ensure!(lab.host().udp("[2001:db8:9::9]:4000")?.send()?.forbidden() == 1, "IPv6 was left open");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_release_that_is_not_possible_leaves_everything_closed() {
    with_lab(|lab| {
        let backend = Backend::Nft;
        backend.lock(lab, KNOWN)?;
        let hide = "mkdir -p /run/sbin/upper /run/sbin/work; \
             mount -t overlay -o lowerdir=/usr/sbin,upperdir=/run/sbin/upper,workdir=/run/sbin/work overlay /usr/sbin; \
             rm /usr/sbin/iptables-nft-restore";
        lab.host().succeed(["sh", "-ec", hide])?;
        let output = tunwarden(lab, ["release", "--yes"])?;
        ensure!(output.status.code() == Some(1), "{output:?}");
        ensure!(!output.stdout.contains("released"), "it says that it is released: {}", output.stdout);
        ensure!(lab.host().udp("203.0.113.9:4000")?.send()?.forbidden() == 1, "IPv4 is half open");
        lab.host().succeed(["umount", "/usr/sbin"])?;
        release(lab, backend)
    })
    .unwrap();
}

#[test]
fn a_release_removes_the_rules_in_the_variant_of_iptables_that_was_used_before() {
    for (before, now) in [(Backend::Legacy, Backend::Nft), (Backend::Nft, Backend::Legacy)] {
        with_lab(|lab| {
            // A rule of another program in the same chain stays.
            before.change(lab, "iptables", "-A INPUT -s 192.0.2.1 -j DROP")?;
            before.lock(lab, KNOWN)?;
            now.lock(lab, KNOWN)?;
            let forbidden = || anyhow::Ok(lab.host().udp("203.0.113.9:4000")?.send()?.forbidden());
            ensure!(forbidden()? == 1, "it is open");
            tunwarden(lab, ["release", "--yes"])?;
            ensure!(forbidden()? == 0, "{before:?} before {now:?}: released, and yet closed");
            let left = before.all_saved(lab)?;
            ensure!(!left.iter().any(|line| OURS.iter().any(|ours| line.contains(ours))), "left: {left:#?}");
            ensure!(left.iter().any(|line| line.contains("192.0.2.1")), "not ours, and gone: {left:#?}");
            Ok(())
        })
        .unwrap();
    }
}

#[test]
fn a_release_that_is_not_confirmed_changes_nothing() {
    with_lab(|lab| {
        Backend::Nft.lock(lab, KNOWN)?;
        let whole = Backend::Nft.all_saved(lab)?;
        let output = tunwarden(lab, ["release"])?;
        ensure!(output.status.code() == Some(1) && output.stderr.contains("--yes"), "{output:?}");
        ensure!(Backend::Nft.all_saved(lab)? == whole);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_release_ends_the_agent_and_puts_arp_back() {
    with_lab(|lab| {
        let setting = "net.ipv4.conf.all.arp_ignore";
        let arp = || lab.host().succeed(["sysctl", "-n", setting]).map(|text| text.trim().to_owned());
        let _bus = bus(lab)?;
        for (before, held) in [("0", "1"), ("2", "2")] {
            lab.host().sysctl(setting, before)?;
            let mut agent = agent(lab, &Backend::Nft.config(KNOWN))?;
            ensure!(arp()? == held, "arp_ignore is {} while locked, after {before}", arp()?);
            release(lab, Backend::Nft)?;
            ensure!(!agent.is_running(), "the agent goes on after a release");
            ensure!(arp()? == before, "arp_ignore is {} after a release, not {before}", arp()?);
            ensure!(lab.host().udp("203.0.113.9:4000")?.send()?.accepted == 1, "still closed");
        }
        Ok(())
    })
    .unwrap();
}

#[expect(clippy::disallowed_methods, reason = "captured frames carry the clock's time")]
fn a_flood_ends_with_the_lock(backend: Backend) -> Result<()> {
    with_lab(|lab| {
        let capture = lab.capture()?;
        let floods = [
            lab.host().udp("203.0.113.9:5000")?.from_user("nobody").tag("flood").flood(2000)?,
            lab.host().udp("[2001:db8:9::9]:5000")?.from_user("nobody").tag("flood").flood(2000)?,
        ];
        floods.iter().try_for_each(|flood| flood.await_more(200))?;
        let start = SystemTime::now();
        backend.lock(lab, KNOWN)?;
        let took = start.elapsed()?;
        let returned = capture.so_far()?.len();
        floods.iter().try_for_each(|flood| flood.await_more(1000))?;
        for flood in floods {
            flood.stop()?;
        }
        let seen = capture.stop()?;
        let flood =
            |frames: &[tunwarden_lab::Frame]| frames.iter().filter(|frame| frame.is_tagged("flood")).count();
        let leaked = seen[..returned].iter().filter(|frame| frame.is_tagged("flood") && frame.at >= start);
        println!("{backend:?}: {} of 4,000/s left while the lock took {took:?}", leaked.count());
        ensure!(flood(&seen[..returned]) > 100, "the control failed: the flood was not seen before");
        ensure!(flood(&seen[returned..]) == 0, "{} left after the lock returned", flood(&seen[returned..]));
        Ok(())
    })
}

#[test]
fn a_flood_ends_with_the_lock_with_nft() {
    a_flood_ends_with_the_lock(Backend::Nft).unwrap();
}

#[test]
fn a_flood_ends_with_the_lock_with_legacy() {
    a_flood_ends_with_the_lock(Backend::Legacy).unwrap();
}
