//! What the agent learns about servers. No fault may widen the rules: a damaged store, a huge profile, a
//! profile of several servers, a hosts file that cannot be written.

use crate::support;

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use support::leak_test::{allowance, contract, set};
use support::openvpn::seen;
use support::{SOON, agent, bus, chain, status, tunwarden, wait_for_allowance, wait_for_state};
use tunwarden_lab::address::ROUTER;
use tunwarden_lab::openvpn::{Protocol, ServerOptions};
use tunwarden_lab::{Capture, Lab, wait_for, with_lab};

const STORE: &str = "/var/lib/tunwarden/endpoints.json";

/// Root sends packets to an unknown host on the port of a VPN.
fn send_to_unknown_host(lab: &Lab, tag: &str) -> Result<()> {
    lab.host().udp("203.0.113.9:1194")?.tag(tag).count(20).send().map(drop)
}

fn await_seen(capture: &Capture, tag: &str) -> Result<()> {
    wait_for(&format!("{tag} is seen"), SOON, || Ok((seen(&capture.so_far()?, tag) == 20).then_some(())))
}

#[test]
fn a_damaged_store_is_not_an_empty_one() -> Result<()> {
    with_lab(|lab| {
        let capture = lab.capture()?;
        let host = lab.host();
        let lock = || -> Result<String> {
            let output = tunwarden(lab, ["lock"])?;
            ensure!(output.status.success(), "{}", output.stderr);
            Ok(output.stderr)
        };
        lock()?;
        send_to_unknown_host(lab, "empty")?;
        await_seen(&capture, "empty").context("the control: nothing is known, and any server may be it")?;

        let huge = format!("{{\"a\": \"{}\"}}", "x".repeat(9 << 20));
        let vpn = |endpoints: &str| {
            format!(
                "{{\"u\": {{\"name\": \"n\", \"origin\": \"networkmanager\", \"endpoints\": [{endpoints}]}}}}"
            )
        };
        // A valid file, except for one address that no server can have.
        let lie = vpn("\"203.0.113.9:1194/udp\", \"255.255.255.255:1194/udp\"");
        let damages = ["", "{", "[]", "\u{0}\u{1}", "{\"u\": {\"name\": \"n\"}}", &huge, &lie];
        for damage in damages {
            host.file(STORE, damage)?;
            let said = lock()?;
            ensure!(said.contains("endpoints.json is damaged"), "{said}");
            send_to_unknown_host(lab, "damaged")?;
        }
        host.file(STORE, &vpn("\"203.0.113.9:1194/udp\""))?;
        lock()?;
        send_to_unknown_host(lab, "whole")?;
        await_seen(&capture, "whole").context("the control: the same without the lie is read")?;
        // The agent still knows the servers of the configuration, and only those.
        host.file("/etc/tunwarden/config.toml", "[bootstrap]\nservers = [\"198.51.100.8\"]\n")?;
        for damage in damages {
            host.file(STORE, damage)?;
            lock()?;
            assert_eq!(allowance(lab)?, set(&["198.51.100.8:1194/udp"]), "{damage:.60}");
            send_to_unknown_host(lab, "damaged")?;
        }
        host.succeed(["rm", "/etc/tunwarden/config.toml"])?;
        host.succeed(["rm", STORE])?;
        host.succeed(["mkdir", STORE])?;
        ensure!(lock()?.contains("cannot use"), "a folder");
        send_to_unknown_host(lab, "damaged")?;
        host.succeed(["rmdir", STORE])?;

        // A server name whose addresses are lost with the other file still counts as a known server.
        let named = "{\"u\": {\"name\": \"n\", \"origin\": \"networkmanager\", \"endpoints\": [], \
                     \"names\": [[\"vpn.example.net\", \"udp\", 1194]]}}";
        host.file(STORE, named)?;
        host.file("/var/lib/tunwarden/names.json", "{")?;
        let said = lock()?;
        ensure!(said.contains("names.json is damaged") && !said.contains("endpoints.json"), "{said}");
        send_to_unknown_host(lab, "damaged")?;

        the_agent_replaces_a_damaged_store(lab)?;
        let said = lock()?;
        ensure!(!said.contains("endpoints.json"), "{said}");
        let rules = chain(lab, "iptables", "VPN_BOOTSTRAP")?.join("\n");
        ensure!(rules.contains("198.51.100.7/32"), "{rules}");
        assert_eq!(seen(&capture.stop()?, "damaged"), 0);
        Ok(())
    })
}

fn the_agent_replaces_a_damaged_store(lab: &Lab) -> Result<()> {
    lab.host().file(STORE, "{")?;
    let _bus = bus(lab)?;
    let first = agent(lab, "")?;
    send_to_unknown_host(lab, "damaged")?;
    ensure!(first.log().contains("endpoints.json is damaged"), "{}", first.log());
    drop(first);
    let _second = agent(lab, "[bootstrap]\nservers = [\"198.51.100.8\"]\n")?;
    wait_for_allowance(lab, &set(&["198.51.100.8:1194/udp"])).context("what the configuration names")?;
    send_to_unknown_host(lab, "damaged")?;
    // The agent writes the store again as soon as it learns a server.
    lab.host().file("/etc/openvpn/work.conf", "remote 198.51.100.7\n")?;
    wait_for_allowance(lab, &set(&["198.51.100.7:1194/udp", "198.51.100.8:1194/udp"]))
}

/// A profile of the OpenVPN plugin in NetworkManager's format, with these remotes.
fn profile(remotes: &str) -> String {
    format!(
        "[connection]\nid=many\nuuid=3f7c2d0e-9c6f-4f4e-8a53-7d5f0d1c2b3a\ntype=vpn\nautoconnect=false\n\n\
         [vpn]\nservice-type=org.freedesktop.NetworkManager.openvpn\nconnection-type=tls\nremote={remotes}\n\
         ca=/run/lab/pki/ca.crt\ncert=/run/lab/pki/client.crt\nkey=/run/lab/pki/client.key\n\n\
         [ipv4]\nmethod=auto\n\n[ipv6]\nmethod=auto\n"
    )
}

#[test]
fn a_profile_with_ten_thousand_remotes_and_invalid_ones_is_bounded() -> Result<()> {
    with_lab(|lab| {
        let (bus, capture) = (bus(lab)?, lab.capture()?);
        let _nm = lab.host().network_manager(&bus)?;
        let mut remotes: Vec<String> =
            (0..10_000).map(|n| format!("203.0.{}.{}:1194:udp", 74 + n / 250, n % 250 + 1)).collect();
        for lie in ["127.0.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.1", "ff02::1", "::1", "$(id)"] {
            remotes.push(lie.to_owned());
        }
        remotes.push("10.0.0.5:443:tcp".to_owned());
        let path = "/etc/NetworkManager/system-connections/many.nmconnection";
        lab.host().file_with_mode(path, &profile(&remotes.join(" ")), 0o600)?;
        lab.host().succeed(["nmcli", "connection", "load", path])?;
        let agent = agent(lab, "")?;
        wait_for("all of them are known", SOON * 6, || {
            let status = status(lab)?;
            let count = status["bootstrap"].as_array().map_or(0, Vec::len);
            Ok((count == 10_001 && status["enforced"] == true).then_some(()))
        })?;
        let log = agent.log();
        ensure!(log.contains("(and 6 more)"), "the invalid remotes are not reported");
        let send = |target: &str, user: &str, tag: &str| -> Result<()> {
            lab.host().udp(target)?.from_user(user).tag(tag).count(20).send().map(drop)
        };
        send("203.0.113.9:1194", "root", "known")?;
        await_seen(&capture, "known")?;
        send("203.0.113.9:1194", "nobody", "user")?;
        send("203.0.113.9:1195", "root", "port")?;
        send("198.51.100.7:1194", "root", "host")?;

        // As many remotes again in root's own file: the total is bounded, and root's servers are complete.
        let many: String =
            (0..10_000).map(|n| format!("remote 198.51.{}.{}\n", 61 + n / 250, n % 250 + 1)).collect();
        lab.host().file("/etc/openvpn/many.conf", &many)?;
        wait_for("as many as are kept", SOON * 6, || {
            let status = status(lab)?;
            let count = status["bootstrap"].as_array().map_or(0, Vec::len);
            Ok((count == 16_384 && status["enforced"] == true).then_some(()))
        })?;
        ensure!(
            agent.log().contains("many: 3617 of its servers are left out"),
            "the omitted remotes are not reported"
        );
        send("198.51.100.8:1194", "root", "roots")?;
        await_seen(&capture, "roots")?;

        // The next boot reads all of them.
        drop(agent);
        let output = tunwarden(lab, ["lock"])?;
        ensure!(output.status.success() && !output.stderr.contains("damaged"), "{}", output.stderr);
        let before = capture.so_far()?.len();
        send("198.51.100.8:1194", "root", "boot")?;
        send("198.51.100.7:1194", "nobody", "user")?;
        await_seen(&capture, "boot")?;
        let frames = capture.so_far()?;
        ensure!(frames.len() > before);
        for tag in ["user", "port", "host"] {
            assert_eq!(seen(&frames, tag), 0, "{tag}");
        }
        Ok(())
    })
}

#[test]
fn several_remotes_each_with_its_own_port_and_transport_are_followed_as_they_change() -> Result<()> {
    with_lab(|lab| {
        let capture = lab.capture()?;
        let bus = bus(lab)?;
        let options = ServerOptions { port: 443, protocol: Protocol::Tcp, ..ServerOptions::default() };
        let server = lab.openvpn_server(options)?;
        let nm = lab.host().network_manager(&bus)?;
        nm.add_ethernet(&lab.uplinks()[0])?;
        // The profile's `port` and `proto-tcp` apply to a remote that has none.
        let remote = "198.51.100.7 198.51.100.8:1194:udp [2001:db8:7::7]:80:udp6";
        nm.add_vpn_by("lab", &server, remote)?;
        let _agent = agent(lab, "")?;
        let from = capture.so_far()?.len();
        let known = ["198.51.100.7:443/tcp", "198.51.100.8:1194/udp", "[2001:db8:7::7]:80/udp"];
        wait_for_allowance(lab, &set(&known))?;
        nm.up("lab")?;
        wait_for_state(lab, "protected")?;
        assert_eq!(allowance(lab)?, set(&[server.endpoint()]), "the one in use alone");
        nm.down("lab")?;
        wait_for_allowance(lab, &set(&known))?;
        nm.manage(["connection", "modify", "lab", "+vpn.data", "remote=198.51.100.8:80:tcp"])?;
        wait_for_allowance(lab, &set(&["198.51.100.8:80/tcp"])).context("changed while we look")?;
        nm.manage(["connection", "delete", "lab"])?;
        wait_for("nothing is known any more", SOON, || {
            let status = status(lab)?;
            Ok((status["bootstrap"] == serde_json::json!(["any"])).then_some(()))
        })?;
        let frames = capture.so_far()?.split_off(from);
        contract(&[&server])?.check(&frames)
    })
}

/// Sends DNS packets to three resolvers as root, like a container's resolver on the host.
fn dns_leaves(lab: &Lab, capture: &Capture, tag: &str) -> Result<usize> {
    for target in ["10.0.0.1:53", "198.51.100.53:53", "198.51.100.54:853"] {
        lab.host().udp(target)?.tag(tag).count(20).send()?;
    }
    // The last packet sent is the last one captured.
    lab.host().udp("198.51.100.7:1194")?.tag(&format!("{tag}-end")).count(20).send()?;
    await_seen(capture, &format!("{tag}-end"))?;
    Ok(seen(&capture.so_far()?, tag))
}

#[test]
fn a_user_s_profile_opens_no_dns_and_root_s_configuration_does() -> Result<()> {
    with_lab(|lab| {
        let capture = lab.capture()?;
        assert_eq!(dns_leaves(lab, &capture, "control")?, 60, "the control: without an agent");
        let bus = bus(lab)?;
        let server = lab.openvpn_server(ServerOptions::default())?;
        let nm = lab.host().network_manager(&bus)?;
        nm.add_ethernet(&lab.uplinks()[0])?;
        let remote = "198.51.100.7 10.0.0.1:53:udp 198.51.100.53:53:udp 198.51.100.54:853:udp";
        nm.add_vpn_by("provider", &server, remote)?;
        let mut running = agent(lab, "")?;
        wait_for_allowance(lab, &set(&["198.51.100.7:1194/udp"]))?;
        assert_eq!(dns_leaves(lab, &capture, "locked")?, 0);
        let told = |what: &str| -> Result<String> {
            let left_out = status(lab)?["left_out"].clone();
            ensure!(left_out[0]["name"] == "provider" && left_out[1].is_null(), "{what}: {left_out}");
            ensure!(
                left_out[0]["reason"].as_str().is_some_and(|why| why.contains("53")),
                "{what}: {left_out}"
            );
            let line = "vpn.connections = [\"provider\"]";
            let remedy = left_out[0]["remedy"].as_str().unwrap_or_default();
            ensure!(remedy.ends_with(line), "{what}: {left_out}");
            for verb in ["status", "doctor"] {
                let said = tunwarden(lab, [verb])?.stdout;
                ensure!(said.contains(line), "{what}, {verb}: {said}");
            }
            Ok(line.to_owned())
        };
        told("by the agent")?;
        running.kill()?;
        told("without an agent")?;
        // The store of an earlier version, the lock at boot, and the next agent.
        ensure!(lab.host().read(STORE)?.contains("10.0.0.1:53/udp"), "the control: it is kept");
        ensure!(tunwarden(lab, ["lock"])?.status.success());
        assert_eq!(dns_leaves(lab, &capture, "boot")?, 0);
        let line = told("after the lock at boot")?;
        running = support::start_agent(lab)?;
        assert_eq!(dns_leaves(lab, &capture, "restarted")?, 0);
        // The same during activation.
        nm.up("provider")?;
        wait_for_state(lab, "protected")?;
        nm.down("provider")?;
        wait_for_state(lab, "locked")?;
        assert_eq!(dns_leaves(lab, &capture, "activated")?, 0);
        // Root allows it with the line that the agent suggests.
        lab.host().file("/etc/tunwarden/config.toml", &line)?;
        ensure!(tunwarden(lab, ["reload"])?.status.success());
        assert_eq!(dns_leaves(lab, &capture, "named")?, 60, "root's word");
        ensure!(status(lab)?["left_out"] == serde_json::json!([]));
        running.stop().map(drop)
    })
}

#[test]
fn a_hosts_file_that_cannot_be_written_is_reported_and_the_rules_have_the_servers() -> Result<()> {
    with_lab(|lab| {
        let host = lab.host();
        let dns = lab.isp().dns(ROUTER)?;
        dns.set("vpn.example.net", &["198.51.100.8", "255.255.255.255", "10.0.0.5"])?;
        let hosts = "127.0.0.1 localhost\n10.0.0.5 printer";
        host.file("/etc/hosts", hosts)?;
        host.succeed(["mount", "--bind", "/etc/hosts", "/etc/hosts"])?;
        host.succeed(["mount", "-o", "remount,bind,ro", "/etc/hosts"])?;
        host.file("/etc/openvpn/work.conf", "remote vpn.example.net 443 tcp\n")?;
        let _bus = bus(lab)?;
        let agent = agent(lab, "")?;
        // A server on the LAN is valid. The agent drops an address that no server can have.
        let server = |address| serde_json::json!({ "address": address, "port": 443, "protocol": "tcp" });
        let servers = serde_json::json!([server("10.0.0.5"), server("198.51.100.8")]);
        wait_for("its addresses are allowed", SOON, || {
            Ok((status(lab)?["bootstrap"] == servers).then_some(()))
        })?;
        wait_for("the agent logs it", SOON, || {
            Ok(agent.log().contains("cannot write /etc/hosts").then_some(()))
        })?;
        assert_eq!(host.read("/etc/hosts")?, hosts);
        assert_eq!(dns.asked(), BTreeSet::from(["vpn.example.net".to_owned()]));
        ensure!(status(lab)?["enforced"] == true);
        Ok(())
    })
}

#[test]
fn an_owner_that_this_system_lacks_is_skipped_and_check_reports_it() -> Result<()> {
    with_lab(|lab| {
        let config = "[bootstrap]\nowners = [\"root\", \"no-such-user\", \"nobody\"]\n";
        lab.host().file("/etc/tunwarden/config.toml", config)?;
        let said = tunwarden(lab, ["check"])?;
        let line = "bootstrap.owners: this system has no user `no-such-user`. It is ignored.\n";
        ensure!(said.status.success() && said.stdout.contains(line), "{}", said.stdout);
        ensure!(tunwarden(lab, ["lock"])?.status.success());
        let owners = chain(lab, "iptables", "VPN_OWNER")?;
        let of = |uid: u32| format!("-A VPN_OWNER -m owner --uid-owner {uid} -j ACCEPT");
        assert_eq!(owners, [of(0), of(65_534)]);
        Ok(())
    })
}
