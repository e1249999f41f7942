//! Plain OpenVPN without any hook: the agent reads the servers from root's own configuration files.

mod provider;
mod proxies;
mod users;

use crate::support;

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use support::openvpn::{CONNECT, background_traffic, connect, contract, flows, seen};
use support::{SOON, agent, bus, status, tunwarden};
use tunwarden_lab::address::{OTHER_VPN, VPN, VPN_V6};
use tunwarden_lab::openvpn::{ClientOptions, Protocol, READY, ServerOptions};
use tunwarden_lab::{Frame, Lab, Transport, wait_for, with_lab};

/// Allows only known servers.
const KNOWN: &str = "[bootstrap]\nscope = \"known\"\n";

/// The endpoints that the status lists as allowed outside the tunnel. Fails if the rules are not in force.
fn allowed(lab: &Lab) -> Result<BTreeSet<String>> {
    let status = status(lab)?;
    let parts = status["bootstrap"].as_array().context("no bootstrap")?;
    ensure!(status["enforced"] == true, "{status}");
    let text = |part: &serde_json::Value| -> Option<String> {
        let address = part["address"].as_str()?.parse().ok()?;
        let port = u16::try_from(part["port"].as_u64()?).ok()?;
        Some(format!("{}/{}", std::net::SocketAddr::new(address, port), part["protocol"].as_str()?))
    };
    Ok(parts.iter().map(|part| text(part).unwrap_or_else(|| part.to_string())).collect())
}

fn await_allowed<T: ToString>(lab: &Lab, endpoints: &[T]) -> Result<()> {
    let wanted: BTreeSet<String> = endpoints.iter().map(ToString::to_string).collect();
    wait_for(&format!("allowed are {wanted:?}"), SOON * 2, || {
        Ok(allowed(lab).is_ok_and(|allowed| allowed == wanted).then_some(()))
    })
}

fn tcp_to(frames: &[Frame], to: std::net::IpAddr, port: u16) -> usize {
    let is = |frame: &&Frame| {
        frame.destination() == Some(to)
            && matches!(frame.transport(), Some(Transport::Tcp { to, .. }) if to == port)
    };
    frames.iter().filter(is).count()
}

#[test]
fn a_file_s_servers_are_allowed_at_once_to_its_user_too_and_forgotten_with_it() -> Result<()> {
    with_lab(|lab| {
        let capture = lab.capture()?;
        let _bus = bus(lab)?;
        let host = lab.host();
        for (name, target) in [("a", "198.51.100.7:1194"), ("b", "198.51.100.8:1194")] {
            host.udp(target)?.from_user("nobody").tag(name).count(5).send()?;
        }
        wait_for("the control: without an agent they leave", SOON, || {
            let frames = capture.so_far()?;
            Ok((seen(&frames, "a") == 5 && seen(&frames, "b") == 5).then_some(()))
        })?;
        let _agent = agent(lab, KNOWN)?;
        await_allowed(lab, &[""; 0])?;

        let file = "client\nremote 198.51.100.7\nremote 2001:db8:7::7 1194 udp6\nremote 198.51.100.8 443 tcp\n\
                    user nobody\n<ca>\nremote 203.0.113.9\n</ca>\n";
        host.file("/etc/openvpn/client/work.conf", file)?;
        // The server of another client, which runs as root.
        host.file("/etc/openvpn/other.conf", "remote 203.0.113.20\n")?;
        let servers = [
            "198.51.100.7:1194/udp",
            "[2001:db8:7::7]:1194/udp",
            "198.51.100.8:443/tcp",
            "203.0.113.20:1194/udp",
        ];
        await_allowed(lab, &servers)?;
        let before = capture.so_far()?.len();
        let send = |target: &str, user: &str, tag: &str| -> Result<()> {
            host.udp(target)?.from_user(user).tag(tag).count(20).send().map(drop)
        };
        for user in ["root", "nobody"] {
            send("198.51.100.7:1194", user, &format!("{user}v4"))?;
            send("[2001:db8:7::7]:1194", user, &format!("{user}v6"))?;
            host.tcp("198.51.100.8:443")?.from_user(user).count(3).send()?;
            send("198.51.100.8:1194", user, "transport")?;
            send("198.51.100.7:1195", user, "port")?;
            send("203.0.113.9:1194", user, "host")?;
        }
        send("198.51.100.7:1194", "man", "user")?;
        send("203.0.113.20:1194", "root", "rootother")?;
        send("203.0.113.20:1194", "nobody", "nobodyother")?;
        host.tcp("198.51.100.8:1194")?.from_user("nobody").count(3).send()?;
        wait_for("what may leave has left", SOON, || {
            let frames = capture.so_far()?.split_off(before);
            let tags = ["rootv4", "rootv6", "nobodyv4", "nobodyv6", "rootother"];
            let whole = tags.iter().all(|tag| seen(&frames, tag) == 20);
            Ok((whole && tcp_to(&frames, OTHER_VPN, 443) >= 6).then_some(()))
        })?;
        let frames = capture.so_far()?.split_off(before);
        for tag in ["transport", "port", "host", "user", "nobodyother"] {
            assert_eq!(seen(&frames, tag), 0, "{tag}");
        }
        assert_eq!(tcp_to(&frames, OTHER_VPN, 1194), 0);

        host.succeed(["rm", "/etc/openvpn/client/work.conf", "/etc/openvpn/other.conf"])?;
        await_allowed(lab, &[""; 0])
    })
}

/// Without a hook and without NetworkManager the agent knows this client only from its file.
#[test]
fn a_client_without_hooks_connects_as_root_and_reconnects_as_nobody() -> Result<()> {
    with_lab(|lab| {
        let capture = lab.capture()?;
        let _bus = bus(lab)?;
        let mut server = lab.openvpn_server(ServerOptions::default())?;
        let _agent = agent(lab, KNOWN)?;
        let _floods = background_traffic(lab)?;
        let mut client = connect(lab, &ClientOptions::of(&server).user("nobody").persist())?;
        flows(lab)?;
        server.restart()?;
        client.wait_for_lines(READY, 2, CONNECT)?;
        flows(lab)?;
        lab.host().udp("198.51.100.8:1194")?.from_user("nobody").tag("further").count(20).send()?;
        let frames = capture.stop()?;
        let ports: BTreeSet<u16> = frames
            .iter()
            .filter(|frame| frame.destination() == Some(VPN))
            .filter_map(|frame| match frame.transport() {
                Some(Transport::Udp { from, to: 1194 }) => Some(from),
                _ => None,
            })
            .collect();
        ensure!(ports.len() > 1, "it did not come back from another socket: {ports:?}");
        assert_eq!(seen(&frames, "further"), 0);
        contract(&[&server])?.check(&frames)
    })
}

#[test]
fn over_tcp_and_ipv6_clients_without_hooks_connect() -> Result<()> {
    let tcp = ServerOptions { port: 443, protocol: Protocol::Tcp, ..ServerOptions::default() };
    let v6 = ServerOptions { address: VPN_V6, ..ServerOptions::default() };
    for options in [tcp, v6] {
        with_lab(|lab| {
            let capture = lab.capture()?;
            let _bus = bus(lab)?;
            let mut server = lab.openvpn_server(options)?;
            let _agent = agent(lab, KNOWN)?;
            let mut client = connect(lab, &ClientOptions::of(&server).user("nobody").persist())?;
            await_allowed(lab, &[server.endpoint()])?;
            server.restart()?;
            client.wait_for_lines(READY, 2, CONNECT)?;
            flows(lab)?;
            contract(&[&server])?.check(&capture.stop()?)
        })?;
    }
    Ok(())
}

#[test]
fn the_next_boot_knows_the_servers_and_named_profiles_do_not_exclude_them() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let host = lab.host();
        host.file("/etc/openvpn/work.ovpn", "remote 198.51.100.7 443 tcp\n")?;
        let mut agent = agent(lab, "[vpn]\nconnections = [\"another\"]\n")?;
        await_allowed(lab, &["198.51.100.7:443/tcp"])?;
        agent.stop()?;
        host.succeed(["nft", "flush", "ruleset"])?;
        let output = tunwarden(lab, ["lock"])?;
        ensure!(output.status.success(), "{}", output.stderr);
        let rules = support::chain(lab, "iptables", "VPN_BOOTSTRAP")?;
        assert_eq!(rules, ["-A VPN_BOOTSTRAP -d 198.51.100.7/32 -p tcp -m tcp --dport 443 -j VPN_OWNER"]);
        Ok(())
    })
}

#[test]
fn files_that_only_look_like_root_s_are_refused_and_reported() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let host = lab.host();
        let bad = "remote 198.51.100.66\n";
        host.file("/etc/openvpn/foreign.conf", bad)?;
        host.succeed(["chown", "nobody", "/etc/openvpn/foreign.conf"])?;
        host.file_with_mode("/etc/openvpn/open.conf", bad, 0o666)?;
        host.file("/run/elsewhere.conf", bad)?;
        host.succeed(["ln", "-s", "/run/elsewhere.conf", "/etc/openvpn/link.conf"])?;
        host.succeed(["mkfifo", "/etc/openvpn/pipe.conf"])?;
        host.succeed(["mkdir", "/etc/openvpn/folder.conf"])?;
        let lies = "remote 127.0.0.1\nremote 0.0.0.0\nremote 255.255.255.255\nremote 224.0.0.1\nremote ff02::1\n\
                    remote 10.0.0.5\n";
        host.file("/etc/openvpn/lies.conf", lies)?;
        let agent = agent(lab, KNOWN)?;
        // A server on the LAN is valid.
        await_allowed(lab, &["10.0.0.5:1194/udp"])?;
        let log = agent.log();
        for name in ["foreign", "open", "link", "pipe", "folder"] {
            let said = format!("/etc/openvpn/{name}.conf: left out: ");
            ensure!(log.matches(&said).count() == 1, "{name} is not reported once: {log}");
        }
        ensure!(
            log.contains("lies.conf: left out of it: line 1: \"127.0.0.1\"") && log.contains("(and 4 more)")
        );
        Ok(())
    })
}

/// The endpoints in the connection profiles that OpenVPN itself prints.
fn by_openvpn(lab: &Lab, path: &str) -> Result<BTreeSet<String>> {
    let said = lab.host().run(["openvpn", "--cd", "/etc/openvpn", "--config", path])?.stdout;
    let value = |line: &str, key: &str| {
        let (_, rest) = line.split_once(&format!("  {key} = "))?;
        Some(rest.trim_matches('\'').to_owned())
    };
    let (mut servers, mut proto, mut host) = (BTreeSet::new(), String::new(), String::new());
    let profiles = said.split("Connection profiles END").next().unwrap_or_default();
    for line in profiles.lines() {
        if let Some(found) = value(line, "proto") {
            proto = if found.starts_with("tcp") { "tcp".into() } else { "udp".into() };
        } else if let Some(found) = value(line, "remote") {
            host = found;
        } else if let Some(port) = value(line, "remote_port") {
            // OpenVPN leaves scopes and names of ports to the C library.
            let address = host.split('%').next().unwrap_or_default().parse().with_context(|| said.clone())?;
            let port = if port == "https" { 443 } else { port.parse()? };
            servers.insert(format!("{}/{proto}", std::net::SocketAddr::new(address, port)));
        }
    }
    Ok(servers)
}

#[test]
fn a_file_is_read_as_openvpn_itself_reads_it() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let _agent = agent(lab, KNOWN)?;
        let texts = [
            "remote 198.51.100.1\nport 700\n",
            "port 700\nrport 800\nproto tcp\nremote 198.51.100.1\nremote 198.51.100.2 53 udp\n",
            "--remote \"198.51.100.1\" '443' tcp-client # a comment\n;remote 198.51.100.9\n",
            "remote 198.51.100.1 #no-port\n",
            "\tremote\t2001:db8::1 1194 udp6\r\n",
            "port 1\nremote 198.51.100.1\n<connection>\nremote 198.51.100.2\nproto tcp\n</connection>\nport 2\n\
             <connection>\n  remote 198.51.100.3\n  rport 9\n</connection>\nport 3\n",
            "<tls-auth>\nremote 198.51.100.9\n</tls-auth>\nremote 198.51.100.1\n",
            "remote 198.51.100.1 1194\nremote 198.51.100.1 1194\nremote-random\n",
            "remote 198.51.100.1 https tcp\n",
            "port https\nremote 198.51.100.1\n",
            "remote fe80::1%eth0 1194 udp6\n",
            "setenv opt remote 198.51.100.1 443 tcp\nsetenv opt no-such-option 1\nsetenv remote 198.51.100.9\n",
            "config parts/common\nremote 198.51.100.1\n",
            "cd parts\nconfig common\nremote 198.51.100.1\n",
            "remote 198.51.100.1\nconfig /etc/openvpn/parts/common\nproto udp\n",
            "<connection>\nremote 198.51.100.2\n</connection>\nconfig parts/connection\n",
            "proto udp4\r\nremote 198.51.100.1 1194 # x\r\nremote\t198.51.100.2\t1195 udp4 ; y\r\n\
             remote 198.51.100.3 443 tcp4-client\r\nremote-random\r\nresolv-retry infinite\r\nnobind",
            "<tls-crypt>\nremote 198.51.100.9\n</tls-crypt>\n<extra-certs>\n<connection>\nremote 198.51.100.8\n\
             </connection>\n</extra-certs>\nremote 198.51.100.1 \"0443\" tcp\n",
            "ignore-unknown-option foo bar\nfoo remote 198.51.100.9\nbar\nsetenv-safe remote 198.51.100.8\n\
             remote 198.51.100.1\n",
            "<connection>\n remote 198.51.100.1\n port 900\n proto tcp4\n</connection>\n;<connection>\n\
             ;remote 198.51.100.9\n;</connection>\n<connection>\nremote 2001:db8::1 443 tcp6-client\n\
             connect-retry 5\n</connection>\n",
            &(1..=70).map(|host| format!("remote 198.51.100.{host}\n")).collect::<String>(),
        ];
        lab.host().file("/etc/openvpn/parts/common", "port 900\nconfig /etc/openvpn/parts/more\n")?;
        lab.host().file("/etc/openvpn/parts/more", "proto tcp\n")?;
        lab.host()
            .file("/etc/openvpn/parts/connection", "<connection>\nremote 198.51.100.3\n</connection>\n")?;
        for (number, text) in texts.iter().enumerate() {
            let path = "/etc/openvpn/case.conf";
            let head = "\u{feff}client\ndev null\nverb 4\nauth-user-pass /dev/null\n<ca>\nx\n</ca>\n";
            let text = format!("{head}{text}");
            lab.host().file(path, &text)?;
            let servers: Vec<String> = by_openvpn(lab, path)?.into_iter().collect();
            ensure!(!servers.is_empty(), "openvpn names no server in case {number}:\n{text}");
            await_allowed(lab, &servers).with_context(|| format!("case {number}:\n{text}"))?;
        }
        // OpenVPN refuses a text in UTF-16, and a file that includes itself without end.
        let utf16 =
            "printf '\\377\\376' >case.conf; printf 'remote 198.51.100.1\\n' | iconv -t UTF-16LE >>case.conf";
        for script in [utf16, "printf 'config case.conf\\n' >case.conf"] {
            lab.host().succeed(["sh", "-ec", &format!("cd /etc/openvpn; {script}")])?;
            ensure!(by_openvpn(lab, "/etc/openvpn/case.conf")?.is_empty(), "openvpn reads {script}");
            await_allowed(lab, &[""; 0])?;
        }
        Ok(())
    })
}
