//! A server that dies without a word: neither NetworkManager nor a hook says anything of it. It is
//! noticed by what no longer comes from it, and by nothing else: an idle tunnel is not silent.

use crate::support;

use anyhow::{Result, ensure};
use support::story::{Desktop, allowance, contract, set};
use support::{status, wait_for_state};
use tunwarden_lab::address::OTHER_VPN;
use tunwarden_lab::openvpn::ServerOptions;
use tunwarden_lab::with_lab;

const CONFIG: &str = "[vpn]\nsilence = \"5s\"\n";

#[test]
fn a_silent_server_is_a_loss_and_protects_again_when_it_speaks() -> Result<()> {
    with_lab(|lab| {
        // It pings every second, and its client gives up only long after the silence.
        let options = ServerOptions { keepalive: (1, 600), ..ServerOptions::default() };
        let mut desktop = Desktop::with(lab, CONFIG, options)?;
        let other = lab.openvpn_server(ServerOptions { address: OTHER_VPN, ..ServerOptions::default() })?;
        desktop.nm.add_vpn("other", &other)?;
        let both = set(&[desktop.server.endpoint(), other.endpoint()]);
        desktop.connect()?;
        desktop.server.silence()?;
        desktop.signals.wait_for("lost", 1)?;
        let losses = desktop.signals.losses();
        ensure!(losses == [("lab".to_owned(), "tun0".to_owned(), "silent server".to_owned())], "{losses:?}");
        let lost = status(lab)?;
        ensure!(lost["loss"]["seen_by"] == "silence", "{lost}");
        let active = desktop.nm.manage(["-t", "-f", "NAME,STATE", "connection", "show", "--active"])?;
        ensure!(active.contains("lab:activated"), "NetworkManager noticed too: {active}");
        // The row of `lost`, and nothing wider.
        support::wait_for_allowance(lab, &both)?;
        desktop.story.check("the server is silent", &contract(&[&desktop.server, &other])?)?;

        desktop.server.resume()?;
        desktop.signals.wait_for("protected", 2)?;
        wait_for_state(lab, "protected")?;
        ensure!(allowance(lab)? == set(&[desktop.server.endpoint()]), "narrowed again");
        desktop.carries()?;
        ensure!(desktop.signals.losses().len() == 1, "told once: {:?}", desktop.signals.losses());
        desktop.story.check("the server speaks again", &contract(&[&desktop.server, &other])?)
    })
}

#[test]
fn nothing_sent_and_nothing_heard_is_no_silence() -> Result<()> {
    with_lab(|lab| {
        // Nobody pings; what the story's floods send is answered by nobody.
        let options = ServerOptions { keepalive: (3600, 7200), ..ServerOptions::default() };
        let mut desktop = Desktop::with(lab, CONFIG, options)?;
        desktop.connect()?;
        desktop.story.quiet();
        let before = desktop.signals.states();
        std::thread::sleep(std::time::Duration::from_secs(15));
        ensure!(desktop.signals.states() == before, "{:?}", desktop.signals.states());
        // The control: the same tunnel, spoken to by one packet after another that nobody answers.
        desktop.server.silence()?;
        let _flood = lab.host().udp("203.0.113.9:4000")?.from_user("nobody").tag("late").flood(5)?;
        desktop.signals.wait_for("lost", 1)?;
        ensure!(desktop.signals.losses()[0].2 == "silent server", "{:?}", desktop.signals.losses());
        Ok(())
    })
}

#[test]
fn switched_off_nobody_listens() -> Result<()> {
    with_lab(|lab| {
        let options = ServerOptions { keepalive: (1, 600), ..ServerOptions::default() };
        let mut desktop = Desktop::with(lab, "[vpn]\nsilence = \"off\"\n", options)?;
        desktop.connect()?;
        let sockets = lab.host().succeed(["cat", "/proc/net/packet"])?;
        // NetworkManager has one for ARP (0806), by which it sees that its address is nobody else's.
        let others = sockets.lines().skip(1).filter(|line| line.split_whitespace().nth(3) != Some("0806"));
        ensure!(others.count() == 0, "packet sockets: {sockets}");
        desktop.server.silence()?;
        std::thread::sleep(std::time::Duration::from_secs(15));
        wait_for_state(lab, "protected").map(drop)
    })
}
