//! A provider's whole list of servers: a set in the kernel. tunwarden checks it like the rules that use it.

use crate::support;

use anyhow::{Context, Result, ensure};
use support::kernel::{Backend, FAMILIES};
use support::{SOON, agent, bus, status, tunwarden};
use tunwarden_lab::{Contract, Frame, Lab, with_lab};

/// A configuration with `count` servers of each family. The last byte of the addresses starts at `from`:
/// `198.51.100.1` and `[2001:db8:7::1]` for 1.
fn servers(from: u32, count: u32) -> String {
    let numbers = from..from + count;
    let all = numbers.flat_map(|n| [format!("\"198.51.100.{n}\""), format!("\"[2001:db8:7::{n:x}]\"")]);
    format!("[bootstrap]\nservers = [{}]\n", all.collect::<Vec<_>>().join(", "))
}

/// The names of tunwarden's sets in the kernel, without the digest of their members.
fn sets(lab: &Lab) -> Result<Vec<String>> {
    let names = lab.host().succeed(["ipset", "list", "-name"])?;
    let ours = names.lines().filter(|name| name.starts_with("VPN_ENDPOINTS_"));
    Ok(ours.map(|name| name[..name.rfind('_').unwrap_or(0)].to_owned()).collect())
}

/// The full name of the IPv4 set.
fn v4_set(lab: &Lab) -> Result<String> {
    let names = lab.host().succeed(["ipset", "list", "-name"])?;
    let found = names.lines().find(|name| name.starts_with("VPN_ENDPOINTS_V4_"));
    found.map(ToOwned::to_owned).with_context(|| format!("no set of IPv4: {names}"))
}

/// The user, the target, and whether the packet may leave if servers 1 to 100 are known.
const PROBES: [(&str, &str, bool); 12] = [
    ("root", "198.51.100.1:1194", true),
    ("root", "198.51.100.100:1194", true),
    ("root", "[2001:db8:7::1]:1194", true),
    ("root", "[2001:db8:7::64]:1194", true),
    ("nobody", "198.51.100.1:1194", false),
    ("nobody", "[2001:db8:7::64]:1194", false),
    ("root", "198.51.100.101:1194", false),
    ("root", "[2001:db8:7::65]:1194", false),
    ("root", "198.51.100.1:1195", false),
    ("root", "[2001:db8:7::64]:53", false),
    ("root", "203.0.113.9:1194", false),
    ("root", "[2001:db8:9::9]:1194", false),
];

fn send_probes(lab: &Lab) -> Result<()> {
    for (n, (user, target, _)) in PROBES.iter().enumerate() {
        lab.host().udp(target)?.from_user(user).tag(&format!("probe{n}")).count(3).send()?;
        let mut tcp = lab.host().tcp(target)?;
        tcp = tcp.from_user(user);
        tcp.send()?;
    }
    Ok(())
}

fn left(frames: &[Frame], n: usize) -> usize {
    frames.iter().filter(|frame| frame.is_tagged(&format!("probe{n}"))).count()
}

fn contract() -> Result<Contract> {
    let numbers = 1..=100;
    numbers.fold(Contract::locked().lan("10.0.0.0/24"), |contract, n| {
        contract?
            .endpoint(&format!("198.51.100.{n}:1194/udp"))?
            .endpoint(&format!("[2001:db8:7::{n:x}]:1194/udp"))
    })
}

/// Sends the probes, and checks which of them the ISP captured.
fn check_packets(lab: &Lab, what: &str) -> Result<()> {
    let capture = lab.capture()?;
    send_probes(lab)?;
    // Packets to a member of the set arrive last.
    capture.wait_for(3, SOON, |frame| frame.is_tagged("probe3"))?;
    let frames = capture.stop()?;
    for (n, (user, target, may)) in PROBES.iter().enumerate() {
        let expected = if *may { 3 } else { 0 };
        ensure!(left(&frames, n) == expected, "{what}: {} of {user} to {target} left", left(&frames, n));
    }
    contract()?.discovery().lan("fd00:0:0:1::/64")?.lan("fe80::/10")?.check(&frames).context(what.to_owned())
}

fn a_set_holds(backend: Backend) -> Result<()> {
    with_lab(|lab| {
        let capture = lab.capture()?;
        send_probes(lab)?;
        let open = capture.stop()?;
        for (n, (user, target, _)) in PROBES.iter().enumerate() {
            ensure!(left(&open, n) == 3, "the control failed: {user} to {target}");
        }
        backend.lock(lab, &servers(1, 100))?;
        ensure!(sets(lab)? == ["VPN_ENDPOINTS_V4", "VPN_ENDPOINTS_V6"], "{:?}", sets(lab)?);
        for family in FAMILIES {
            let rules = backend.chain(lab, family, "VPN_BOOTSTRAP")?;
            ensure!(rules.len() == 1 && rules[0].contains("--match-set"), "{family}: {rules:#?}");
        }
        check_packets(lab, "locked")?;
        ensure!(tunwarden(lab, ["verify"])?.status.success(), "{:?}", tunwarden(lab, ["verify"])?);

        // Another program changes the set: `verify` lists each difference, and the next lock repairs it.
        let name = v4_set(lab)?;
        for (change, said) in [
            (["add", &name, "203.0.113.9,udp:1194"], "foreign: 203.0.113.9,udp:1194"),
            (["del", &name, "198.51.100.1,udp:1194"], "missing: 198.51.100.1,udp:1194"),
            (["flush", &name, ""], "missing: 95 more"),
        ] {
            lab.host().succeed(std::iter::once("ipset").chain(change).filter(|word| !word.is_empty()))?;
            let verify = tunwarden(lab, ["verify"])?;
            ensure!(verify.status.code() == Some(4), "{said}: {verify:?}");
            ensure!(verify.stdout.contains(said), "{said}: {}", verify.stdout);
            backend.lock(lab, &servers(1, 100))?;
            ensure!(tunwarden(lab, ["verify"])?.status.success(), "not repaired: {said}");
        }
        check_packets(lab, "mended")?;

        // With few servers tunwarden uses rules again, and no sets.
        backend.lock(lab, &servers(1, 3))?;
        let rules = backend.chain(lab, "iptables", "VPN_BOOTSTRAP")?;
        let first = "-A VPN_BOOTSTRAP -d 198.51.100.1/32 -p udp -m udp --dport 1194 -j VPN_OWNER";
        ensure!(rules.len() == 3 && rules[0] == first, "{rules:#?}");
        backend.lock(lab, &servers(1, 100))?;
        ensure!(tunwarden(lab, ["release", "--yes"])?.status.success());
        ensure!(sets(lab)?.is_empty(), "the release left {:?}", sets(lab)?);
        Ok(())
    })
}

#[test]
fn members_of_a_set_are_reached_by_root_and_nothing_else_is_with_nft() {
    a_set_holds(Backend::Nft).unwrap();
}

#[test]
fn members_of_a_set_are_reached_by_root_and_nothing_else_is_with_legacy() {
    a_set_holds(Backend::Legacy).unwrap();
}

/// Changes from one list to another and back. A packet to a server in neither list never leaves. A packet to
/// a server in both lists always leaves.
#[test]
fn while_lists_change_nothing_leaves_that_neither_allows() {
    with_lab(|lab| {
        let backend = Backend::Nft;
        let (one, other) = (servers(1, 100), servers(50, 150));
        backend.lock(lab, &one)?;
        let capture = lab.capture()?;
        let neither = lab.host().udp("198.51.100.250:1194")?.tag("neither").flood(2000)?;
        let both = lab.host().udp("198.51.100.75:1194")?.tag("both").flood(1000)?;
        for _ in 0..5 {
            backend.lock(lab, &other)?;
            backend.lock(lab, &one)?;
            backend.lock(lab, &servers(75, 1))?;
            backend.lock(lab, &one)?;
        }
        neither.await_more(200)?;
        let (neither, both) = (neither.stop()?, both.stop()?);
        let frames = capture.stop()?;
        let tagged = |tag| frames.iter().filter(|frame| frame.is_tagged(tag)).count();
        ensure!(neither.forbidden() > 500 && tagged("neither") == 0, "{} left", tagged("neither"));
        ensure!(
            both.forbidden() == 0,
            "{} packets to a server that both allow were refused",
            both.forbidden()
        );
        ensure!(sets(lab)?.len() == 2, "{:?}", sets(lab)?);
        Ok(())
    })
    .unwrap();
}

/// Replaces ipset by a script, or removes it if there is no script.
fn replace_ipset(lab: &Lab, script: Option<&str>) -> Result<()> {
    let put = script.map_or(
        "rm $to/sbin/ipset",
        |_| "rm $to/sbin/ipset; cp /run/ipset $to/sbin/ipset; chmod 755 $to/sbin/ipset",
    );
    if let Some(script) = script {
        lab.host().file("/run/ipset", script)?;
    }
    let hide = format!(
        "mkdir -p /run/other/upper /run/other/work; cp /usr/sbin/ipset /run/real-ipset; \
         mount -t overlay -o lowerdir=/usr/sbin,upperdir=/run/other/upper,workdir=/run/other/work overlay \
         /usr/sbin; to=/usr; {put}"
    );
    lab.host().succeed(["sh", "-ec", &hide]).map(drop)
}

/// Checks that every server has its own rule without ipset: the rules are neither wider nor closed.
fn rules_take_the_place(script: Option<&str>, said: &str) -> Result<()> {
    with_lab(|lab| {
        replace_ipset(lab, script)?;
        let log = Backend::Nft.lock(lab, &servers(1, 100))?;
        ensure!(log.contains(said), "the reason is missing: {log}");
        for family in FAMILIES {
            let rules = Backend::Nft.chain(lab, family, "VPN_BOOTSTRAP")?;
            ensure!(rules.len() == 100, "{family}: {} rules", rules.len());
        }
        check_packets(lab, "without ipset")?;
        ensure!(tunwarden(lab, ["verify"])?.status.success(), "verify: {:?}", tunwarden(lab, ["verify"])?);
        if script.is_none() {
            let check = tunwarden(lab, ["check"])?;
            ensure!(check.stdout.contains("apt install ipset"), "check does not report it: {}", check.stdout);
        }
        Ok(())
    })
}

#[test]
fn without_ipset_every_server_is_a_rule() {
    rules_take_the_place(None, "apt install ipset").unwrap();
}

#[test]
fn an_ipset_that_fails_half_way_leaves_rules_in_its_place() {
    let half = "#!/bin/sh\n\
        case $* in *restore*) head -n 50 | /run/real-ipset \"$@\"; exit 1;; esac\n\
        exec /run/real-ipset \"$@\"\n";
    rules_take_the_place(Some(half), "ipset failed").unwrap();
}

#[test]
fn an_ipset_that_loads_half_and_reports_success_is_not_trusted() {
    let half = "#!/bin/sh\n\
        case $* in *restore*) grep -v 'add.*[02468],udp' | exec /run/real-ipset \"$@\";; esac\n\
        exec /run/real-ipset \"$@\"\n";
    rules_take_the_place(Some(half), "does not hold the set").unwrap();
}

/// Ten thousand servers, from `198.18.0.1` on for 0.
fn ten_thousand(from: u32) -> String {
    let all = (from..from + 10_000).map(|n| format!("\"198.18.{}.{}\"", n / 250, n % 250 + 1));
    format!("[bootstrap]\nservers = [{}]\n", all.collect::<Vec<_>>().join(", "))
}

/// One list replaces another in each layer at once. Without ipset there is one rule for each server, and the rules are
/// no wider.
#[test]
fn ten_thousand_servers_change_at_once_and_need_no_ipset() {
    with_lab(|lab| {
        let chain = || Backend::Nft.chain(lab, "iptables", "VPN_BOOTSTRAP");
        Backend::Nft.lock(lab, &ten_thousand(0))?;
        let table = lab.host().succeed(["nft", "list", "table", "inet", "tunwarden"])?;
        ensure!(table.matches("198.18.").count() == 10_000, "{}", table.matches("198.18.").count());
        ensure!(chain()?.len() == 1, "{:#?}", chain()?);

        let capture = lab.capture()?;
        let neither = lab.host().udp("198.19.200.1:1194")?.tag("neither").flood(1000)?;
        let both = lab.host().udp("198.18.1.1:1194")?.tag("both").flood(1000)?;
        Backend::Nft.lock(lab, &ten_thousand(100))?;
        replace_ipset(lab, None)?;
        let log = Backend::Nft.lock(lab, &ten_thousand(0))?;
        ensure!(log.contains("apt install ipset"), "the reason is missing: {log}");
        ensure!(chain()?.len() == 10_000, "{} rules", chain()?.len());
        let old = lab.host().udp("198.18.40.1:1194")?.tag("old").count(3).send()?;
        neither.await_more(200)?;
        both.await_more(200)?;
        let (neither, both) = (neither.stop()?, both.stop()?);
        let frames = capture.stop()?;
        let seen = |tag| frames.iter().filter(|frame| frame.is_tagged(tag)).count();
        ensure!(neither.forbidden() > 200 && seen("neither") == 0, "{} left", seen("neither"));
        ensure!(
            both.forbidden() == 0 && seen("both") > 200,
            "{} of {} refused",
            both.forbidden(),
            seen("both")
        );
        ensure!(old.accepted == 0 && seen("old") == 0, "a server of the other list: {old:?}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn the_agent_repairs_a_set_and_reports_it() {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        // One layer only: a second layer would block what the changed set allows.
        let config = format!("{}[firewall]\nlayers = [\"iptables\"]\n", servers(1, 100));
        let mut agent = agent(lab, &config)?;
        let name = v4_set(lab)?;
        lab.host().succeed(["ipset", "add", &name, "203.0.113.9,udp:1194"])?;
        ensure!(lab.host().udp("203.0.113.9:1194")?.send()?.accepted == 1, "the control failed");
        ensure!(tunwarden(lab, ["verify"])?.status.code() == Some(4), "verify sees nothing");
        agent.wait_for_line("foreign: 203.0.113.9,udp:1194", SOON)?;
        ensure!(tunwarden(lab, ["verify"])?.status.success(), "not repaired");
        ensure!(status(lab)?["repairs"] == 1, "{}", status(lab)?);
        check_packets(lab, "mended by the agent")
    })
    .unwrap();
}
