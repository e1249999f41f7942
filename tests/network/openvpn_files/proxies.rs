//! A SOCKS proxy and an HTTP proxy on this machine in front of OpenVPN, as docs/openvpn.md has them.

use anyhow::{Context, Result, ensure};
use tunwarden_lab::address::VPN;
use tunwarden_lab::openvpn::{ClientOptions, Protocol, READY, ServerOptions};
use tunwarden_lab::{Contract, Lab, Process, wait_for, with_lab};

use super::provider::examples;
use super::{KNOWN, await_allowed};
use crate::support::openvpn::{CONNECT, background_traffic, flows, hooked};
use crate::support::{SOON, agent, bus, status, wait_for_state};

/// Checks that the VPN connects through a proxy and protects, and that only the proxy's packets to the server leave.
fn protects(lines: &str, config: &str, proxy: impl FnOnce(&Lab) -> Result<Process>) -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let tcp = ServerOptions { protocol: Protocol::Tcp, ..ServerOptions::default() };
        let _server = lab.openvpn_server(tcp)?;
        let client = lines.lines().fold(ClientOptions::default(), ClientOptions::line);
        let client = hooked(lab, client)?;
        let _proxy = proxy(lab)?;

        // Without the example's lines the message says what to write.
        let agent_alone = agent(lab, KNOWN)?;
        let mut shut = lab.host().openvpn_client(&client)?;
        wait_for("the remedy is reported", SOON, || {
            let status = status(lab)?["left_out"].to_string();
            let told =
                [&format!("here it seems to be \\\"{VPN}\\\""), "bootstrap.servers", "bootstrap.owners"];
            Ok(told.iter().all(|text| status.contains(*text)).then_some(()))
        })
        .with_context(|| format!("{:?}", status(lab)))?;
        shut.kill()?;
        drop(agent_alone);

        let agent = agent(lab, &format!("{config}\nscope = \"known\"\n"))?;
        await_allowed(lab, &[format!("{VPN}:1194/tcp")])?;
        let capture = lab.capture()?;
        let _floods = background_traffic(lab)?;
        let mut client = lab.host().openvpn_client(&client)?;
        client.wait_for_line(READY, CONNECT).with_context(|| agent.log())?;
        wait_for_state(lab, "protected")?;
        flows(lab)?;
        ensure!(
            status(lab)?["left_out"].to_string().contains("loopback"),
            "the file's proxy is reported as before"
        );
        let contract = Contract::locked().lan("10.0.0.0/24")?.lan("fd00:0:0:1::/64")?.discovery();
        contract.endpoint(&format!("{VPN}:1194/tcp"))?.check(&capture.stop()?)
    })
}

#[test]
fn behind_a_socks_proxy_as_documented_the_vpn_protects_and_nothing_else_leaves() -> Result<()> {
    let examples = examples("SOCKS")?;
    let [lines, config] = &examples[..] else { anyhow::bail!("other examples: {examples:?}") };
    protects(lines, config, |lab| {
        let microsocks = lab.host().command(["microsocks", "-i", "127.0.0.1", "-p", "1080"]);
        await_port(lab, microsocks.user("proxy").spawn()?, 1080)
    })
}

#[test]
fn behind_an_http_proxy_as_documented_the_vpn_protects_and_nothing_else_leaves() -> Result<()> {
    let examples = examples("HTTP")?;
    let [lines, proxy, config] = &examples[..] else { anyhow::bail!("other examples: {examples:?}") };
    protects(lines, config, |lab| {
        lab.host().file("/etc/tinyproxy/tinyproxy.conf", proxy)?;
        await_port(lab, lab.host().spawn(["tinyproxy", "-d", "-c", "/etc/tinyproxy/tinyproxy.conf"])?, 8888)
    })
}

/// Waits until a proxy listens.
fn await_port(lab: &Lab, mut proxy: Process, port: u16) -> Result<Process> {
    wait_for("the proxy listens", SOON, || {
        ensure!(proxy.is_running(), "it has ended: {}", proxy.log());
        let connects = || Ok(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        Ok(lab.host().enter(connects)?.then_some(()))
    })?;
    Ok(proxy)
}
