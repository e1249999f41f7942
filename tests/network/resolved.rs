//! A server that has only a name, on a system with systemd-resolved: a stub on loopback, with a cache, that
//! sends queries to the ISP's resolver as its own user.

use crate::support;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use support::leak_test::{Desktop, contract, set};
use support::{SOON, status, tunwarden, wait_for_state};
use tunwarden_lab::address::{OTHER_VPN, ROUTER};
use tunwarden_lab::openvpn::ServerOptions;
use tunwarden_lab::{Contract, Dns, Lab, Process, wait_for, with_lab};

const NAME: &str = "vpn.example.net";
const HOSTS: &str = "127.0.0.1 localhost\n10.0.0.5 printer";

/// Path of the installed systemd-resolved, or of the one that `scripts/resolved` has unpacked.
fn binary() -> Result<String> {
    let cache = std::env::var("TUNWARDEN_LAB_CACHE");
    let cache = cache.as_deref().unwrap_or("/var/cache/tunwarden-lab");
    let mut places = ["".to_owned(), format!("{cache}/resolved")].into_iter();
    let mut found = places.by_ref().map(|place| format!("{place}/lib/systemd/systemd-resolved"));
    found.find(|path| Path::new(path).exists()).context("no systemd-resolved; run: scripts/resolved")
}

/// The real systemd-resolved, as Debian configures it, with the router as its resolver.
fn resolved(lab: &Lab) -> Result<Process> {
    let host = lab.host();
    let own = "r=/run/systemd/resolve; mkdir -p $r; chmod 755 /run /run/systemd; \
               getent passwd systemd-resolve || echo systemd-resolve:x:996:996::/:/usr/sbin/nologin >>/etc/passwd; \
               getent group systemd-resolve || echo systemd-resolve:x:996: >>/etc/group; \
               chown systemd-resolve:systemd-resolve $r; ln -sf $r/stub-resolv.conf /etc/resolv.conf";
    host.succeed(["sh", "-ec", own])?;
    let config = format!("[Resolve]\nDNS={ROUTER}\nFallbackDNS=\nLLMNR=no\nMulticastDNS=no\nDNSSEC=no\n");
    host.file("/etc/systemd/resolved.conf", &config)?;
    let process = host.spawn([binary()?])?;
    wait_for("its stub answers", SOON, || Ok(asks(lab, "root", "up")?.then_some(())))?;
    Ok(process)
}

/// Whether a program of this user can resolve a new name.
fn asks(lab: &Lab, user: &str, host: &str) -> Result<bool> {
    let name = format!("{host}.other.example.net");
    let command =
        lab.host().command(["getent", "ahostsv4", &name]).env("RES_OPTIONS", "timeout:2 attempts:1");
    Ok(command.user(user).run()?.status.success())
}

/// The stub's answer for the server's name, without `/etc/hosts`.
fn by_the_stub(lab: &Lab) -> Result<String> {
    let command = lab.host().command(["getent", "-s", "hosts:dns", "ahostsv4", NAME]);
    let answer = command.env("RES_OPTIONS", "timeout:2 attempts:1").user("nobody").run()?.stdout;
    Ok(answer.split_whitespace().next().unwrap_or_default().to_owned())
}

/// Checks that other programs cannot resolve names, and that the ISP received queries for the server only.
fn nobody_else_asks(desktop: &Desktop<'_>, dns: &Dns, round: &str, contract: &Contract) -> Result<()> {
    for user in ["root", "nobody"] {
        ensure!(!asks(desktop.lab, user, &format!("{round}-{user}"))?, "{round}: {user} got a name resolved");
    }
    let asked = dns.asked();
    ensure!(asked.iter().all(|name| name == NAME), "{round}: the ISP was asked for {asked:?}");
    desktop.leak_test.check(round, contract)
}

fn await_allowed(lab: &Lab, addresses: &[&str]) -> Result<()> {
    wait_for(&format!("allowed are {addresses:?}"), SOON * 3, || {
        let status = status(lab)?;
        let parts = status["bootstrap"].as_array().into_iter().flatten();
        let found: Vec<&str> = parts.filter_map(|part| part["address"].as_str()).collect();
        Ok((set(&found) == set(addresses)).then_some(()))
    })
}

#[test]
fn behind_systemd_resolved_only_the_agent_looks_names_up() -> Result<()> {
    with_lab(|lab| {
        let dns = lab.isp().dns(ROUTER)?;
        dns.set(NAME, &["198.51.100.7"])?;
        dns.set("*.other.example.net", &["203.0.113.80"])?;
        lab.host().file("/etc/hosts", HOSTS)?;
        let _resolved = resolved(lab)?;
        for user in ["root", "nobody"] {
            ensure!(asks(lab, user, user)?, "the control: without an agent names resolve");
        }
        ensure!(dns.asked().contains("nobody.other.example.net"), "the control: and the ISP sees it");

        let desktop = Desktop::with_remote(lab, "[vpn]\nconnections = [\"lab\"]\n", NAME)?;
        let questions = |servers: &[&_]| {
            contract(servers)?.endpoint(&format!("{ROUTER}:53/udp"))?.endpoint(&format!("{ROUTER}:53/tcp"))
        };
        await_allowed(lab, &["198.51.100.7"])?;
        wait_for("the stub knows the pin", SOON, || Ok((by_the_stub(lab)? == "198.51.100.7").then_some(())))?;
        nobody_else_asks(&desktop, &dns, "locked", &questions(&[])?)?;
        desktop.connect()?;
        nobody_else_asks(&desktop, &dns, "protected", &questions(&[&desktop.server])?)?;

        // The server has a new address. The agent must not use the old answer in the stub's cache.
        let pool = "10.9.0.0/24".parse()?;
        let moved =
            lab.openvpn_server(ServerOptions { address: OTHER_VPN, pool, ..ServerOptions::default() })?;
        dns.set(NAME, &[OTHER_VPN.to_string()])?;
        lab.host().signal_all("openvpn", nix::sys::signal::Signal::SIGKILL)?;
        desktop.signals.wait_for("lost", 1)?;
        await_allowed(lab, &["198.51.100.7", "198.51.100.8"])?;
        wait_for("the stub follows", SOON, || Ok((by_the_stub(lab)? == "198.51.100.8").then_some(())))?;
        desktop.connect()?;
        let used = wait_for_state(lab, "protected")?["tunnels"][0]["endpoint"]["address"].clone();
        ensure!(used == OTHER_VPN.to_string(), "by {used}");
        desktop.leak_test.check("it moved", &questions(&[&desktop.server, &moved])?)?;
        tunwarden(lab, ["release", "--yes"])?;
        assert_eq!(lab.host().read("/etc/hosts")?, HOSTS, "released, every byte is as it was");
        Ok(())
    })
}
