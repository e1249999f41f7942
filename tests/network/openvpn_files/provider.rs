//! OpenVPN files as providers ship them, and the examples of docs/openvpn.md.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tunwarden_lab::address::{OTHER_VPN, ROUTER, VPN};
use tunwarden_lab::openvpn::{ClientOptions, Protocol, READY, ServerOptions};
use tunwarden_lab::{Contract, Lab, wait_for, with_lab};

use super::{KNOWN, allowed, await_allowed};
use crate::support::leak_test::LeakTest;
use crate::support::openvpn::{CONNECT, background_traffic, connect, contract, endpoint, flows, hooked};
use crate::support::{SOON, agent, bus, status, tunwarden, wait_for_state};

const PAGE: &str = include_str!("../../../docs/openvpn.md");

/// The code blocks of a section of the page.
pub(super) fn examples(title: &str) -> Result<Vec<String>> {
    let (_, section) = PAGE.split_once(&format!("# {title}\n")).with_context(|| title.to_owned())?;
    let section = section.split("\n##").next().unwrap_or_default();
    let blocks = section.split("\n```").skip(1).step_by(2);
    Ok(blocks.filter_map(|block| Some(block.split_once('\n')?.1.to_owned() + "\n")).collect())
}

#[test]
fn with_a_providers_thousands_of_files_the_vpn_connects_and_the_log_is_short() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let host = lab.host();
        let script = "mkdir -p /etc/openvpn/ovpn/udp /etc/openvpn/ovpn/tcp; cd /etc/openvpn/ovpn
            for i in $(seq 1 1500); do
                host=10.201.$((i / 250)).$((i % 250 + 1))
                printf 'client\\ndev tun\\nproto udp\\nremote %s 1194\\n' $host >udp/us$i.example.net.udp.ovpn
                printf 'client\\ndev tun\\nproto tcp\\nremote %s 443\\n' $host >tcp/us$i.example.net.tcp.OVPN
            done
            for i in $(seq 1 300); do printf 'remote c%s.prod.example.net 1194\\n' $i >udp/c$i.ovpn; done
            for i in $(seq 1 40); do : >udp/open$i.ovpn; chmod 666 udp/open$i.ovpn; done";
        host.succeed(["bash", "-ec", script])?;
        let server = lab.openvpn_server(ServerOptions::default())?;
        let agent = agent(lab, KNOWN)?;
        let _client = connect(lab, &ClientOptions::of(&server))?;
        flows(lab)?;
        wait_for("every server is allowed", SOON * 2, || {
            // The rules are not in force while they are being changed.
            let Ok(all) = allowed(lab) else { return Ok(None) };
            let has = |server: &str| all.contains(server);
            let whole =
                has("10.201.0.2:1194/udp") && has("10.201.6.1:443/tcp") && has("198.51.100.7:1194/udp");
            Ok((whole && all.len() >= 3001).then_some(()))
        })?;
        let status = status(lab)?;
        let left_out = status["left_out"].as_array().context("no left_out")?;
        let about = |text: &str| left_out.iter().filter(|one| one.to_string().contains(text)).count();
        ensure!(about("44 names of servers in these files are not looked up") == 1, "{left_out:#?}");
        ensure!(about("others than root can write it") == 16, "{left_out:#?}");
        ensure!(about("and so are 23 more files") == 1, "{left_out:#?}");
        let log = agent.log();
        let lines =
            log.lines().filter(|line| line.contains(" WARN ") && line.contains("/etc/openvpn")).count();
        ensure!(lines == left_out.len(), "{lines} lines in the log: {log}");
        let doctor = tunwarden(lab, ["doctor"])?.stdout;
        ensure!(doctor.contains("44 names of servers"), "{doctor}");
        Ok(())
    })
}

#[test]
fn a_device_that_a_file_names_is_the_tunnel_without_a_hook_while_the_file_counts() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let server = lab.openvpn_server(ServerOptions::default())?;
        let options = ClientOptions::of(&server).persist().line("dev nordvpn0").line("dev-type tun");
        let mut leak_test = LeakTest::begin(lab)?;
        let _agent = agent(lab, KNOWN)?;
        leak_test.await_silence()?;
        leak_test.close()?;
        let protects = || {
            let status = wait_for_state(lab, "protected")?;
            let (tunnel, server) = (&status["tunnels"][0], endpoint(&server));
            ensure!(tunnel["interface"] == "nordvpn0" && tunnel["source"] == "kernel", "{status}");
            ensure!(tunnel["endpoint"] == server && status["bootstrap"] == json!([server]), "{status}");
            ensure!(status["left_out"] == json!([]), "{status}");
            flows(lab)
        };
        let mut client = connect(lab, &options)?;
        protects()?;
        client.kill()?;
        wait_for_state(lab, "lost")?;
        leak_test.check("the client is killed", &contract(&[&server])?)?;
        let _client = connect(lab, &options)?;
        protects()?;

        // The list names another file: no packet passes any more, and the status shows the line to add.
        let other = format!("{KNOWN}[vpn]\nconnections = [\"openvpn:other\"]\n");
        lab.host().file("/etc/tunwarden/config.toml", &other)?;
        let reload = tunwarden(lab, ["reload"])?;
        ensure!(reload.status.success(), "{}", reload.stderr);
        let status = wait_for_state(lab, "locked")?;
        let left_out = status["left_out"][0].to_string();
        ensure!(left_out.contains("nordvpn0") && left_out.contains("openvpn:lab"), "{status}");
        let sent = lab.host().ping(tunwarden_lab::address::INTERNET).count(3).send()?;
        ensure!(sent.answered == 0, "a tunnel that does not count carries: {sent:?}");
        leak_test.check("another file is named", &contract(&[&server])?)
    })
}

/// Starts stunnel in the ISP, in front of a VPN server.
fn outer_server(lab: &Lab) -> Result<tunwarden_lab::Process> {
    let text = format!(
        "foreground = yes\npid =\n[vpn]\naccept = {OTHER_VPN}:443\nconnect = {VPN}:1194\n\
         cert = /run/lab/pki/server.crt\nkey = /run/lab/pki/server.key\n"
    );
    lab.isp().file("/run/lab/stunnel.conf", &text)?;
    let mut stunnel = lab.isp().spawn(["stunnel4", "/run/lab/stunnel.conf"])?;
    stunnel.wait_for_line("Configuration successful", SOON)?;
    Ok(stunnel)
}

#[test]
fn behind_stunnel_as_documented_the_vpn_protects_and_nothing_else_leaves() -> Result<()> {
    let examples = examples("stunnel")?;
    let [stunnel, lines, config] = &examples[..] else { anyhow::bail!("other examples: {examples:?}") };
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let host = lab.host();
        let tcp = ServerOptions { port: 1194, protocol: Protocol::Tcp, ..ServerOptions::default() };
        let _server = lab.openvpn_server(tcp)?;
        let _outer = outer_server(lab)?;
        let client = lines.lines().fold(ClientOptions::default(), ClientOptions::line);
        let client = hooked(lab, client)?;
        host.file("/etc/stunnel/vpn.conf", stunnel)?;
        let mut here = host.spawn(["stunnel4", "/etc/stunnel/vpn.conf"])?;
        here.wait_for_line("Configuration successful", SOON)?;

        // Without the example's lines the message says what to write.
        let agent_alone = agent(lab, KNOWN)?;
        let mut shut = host.openvpn_client(&client)?;
        wait_for("the remedy is reported", SOON, || {
            let status = status(lab)?["left_out"].to_string();
            let told = ["stunnel forwards the VPN's packets", "here it seems to be", "bootstrap.servers"];
            Ok(told.iter().all(|text| status.contains(text)).then_some(()))
        })?;
        shut.kill()?;
        drop(agent_alone);

        let _agent = agent(lab, &format!("{config}\nscope = \"known\"\n"))?;
        await_allowed(lab, &[format!("{OTHER_VPN}:443/tcp")])?;
        let capture = lab.capture()?;
        let _floods = background_traffic(lab)?;
        let mut client = host.openvpn_client(&client)?;
        client.wait_for_line(READY, CONNECT)?;
        wait_for_state(lab, "protected")?;
        flows(lab)?;
        let contract = Contract::locked().lan("10.0.0.0/24")?.lan("fd00:0:0:1::/64")?.discovery();
        contract.endpoint(&format!("{OTHER_VPN}:443/tcp"))?.check(&capture.stop()?)
    })
}

#[test]
fn a_name_of_ones_own_takes_the_place_of_a_random_one_as_documented() -> Result<()> {
    let examples = examples("A random host name")?;
    let [remote] = &examples[..] else { anyhow::bail!("other examples: {examples:?}") };
    let name = remote.split_whitespace().nth(1).context("no name")?;
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let dns = lab.isp().dns(ROUTER)?;
        dns.set(name, &["198.51.100.8"])?;
        lab.host().file("/etc/hosts", "127.0.0.1 localhost\n")?;
        let random = remote.replace("tunwarden.", "") + "remote-random-hostname\n";
        lab.host().file("/etc/openvpn/aws.ovpn", &random)?;
        let agent = agent(lab, KNOWN)?;
        wait_for("the remedy is reported", SOON, || {
            Ok(agent.log().contains("write one fixed word and a dot before the name").then_some(()))
        })?;
        lab.host().file("/etc/openvpn/aws.ovpn", remote)?;
        await_allowed(lab, &["198.51.100.8:443/udp"])
    })
}
