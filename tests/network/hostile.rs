//! A hostile server, user or caller sends data through the hooks. Nothing executes it, the rules do not
//! become wider, the hook exits 0, and the log gives the reason.

#![allow(clippy::unwrap_used, reason = "a test")]

use crate::support;

use anyhow::{Result, ensure};
use serde_json::json;
use support::openvpn::{
    BACKGROUND_TAG, background_traffic, becomes, connect, contract, endpoint, flows, hooked, seen,
};
use support::{SOON, TUNWARDEN, agent, bus, chain, status, wait_for_state};
use tunwarden_lab::openvpn::{ClientOptions, ServerOptions};
use tunwarden_lab::{Cmd, Lab, Output, Uplink, wait_for, with_lab};

/// The environment of an honest `up` hook of OpenVPN.
const UP: [(&str, &str); 7] = [
    ("script_type", "up"),
    ("dev", "tun0"),
    ("daemon_pid", "4000000"),
    ("trusted_ip", "198.51.100.7"),
    ("trusted_port", "1194"),
    ("proto_1", "udp"),
    ("ifconfig_local", "10.8.0.2"),
];

/// The hook with the honest environment and these changes to it.
fn hook(lab: &Lab, changes: &[(&str, &str)]) -> Cmd {
    let command = lab.host().command([TUNWARDEN, "hook", "openvpn", "tun0", "1500", "0", "init"]);
    UP.iter().chain(changes).fold(command, |command, (key, value)| command.env(key, value))
}

/// Everything that could have changed: the status and the rules in the kernel.
fn all(lab: &Lab) -> Result<String> {
    let rules: String = ["iptables-save", "ip6tables-save"]
        .map(|tool| lab.host().succeed([tool]))
        .into_iter()
        .collect::<Result<String>>()?
        .lines()
        .filter(|line| !line.starts_with('#') && !line.starts_with(':'))
        .collect::<Vec<_>>()
        .join("\n");
    Ok(format!("{}\n{rules}", status(lab)?))
}

/// Checks that the hook exits 0, and executes and changes nothing.
fn check_harmless(lab: &Lab, what: &str, command: &Cmd) -> Result<Output> {
    let before = all(lab)?;
    let output = command.run()?;
    ensure!(output.status.code() == Some(0), "{what}: {:?}", output.status);
    let after = all(lab)?;
    ensure!(before == after, "{what} changed\n{before}\nto\n{after}");
    ensure!(lab.host().read("/run/pwned").is_err(), "{what} was executed");
    Ok(output)
}

#[test]
fn a_hostile_environment_changes_nothing_and_the_hook_exits_0() {
    with_lab(|lab| {
        let capture = lab.capture()?;
        let _bus = bus(lab)?;
        let agent = agent(lab, "[bootstrap]\nservers = [\"198.51.100.7\"]\n")?;
        let _pressure = background_traffic(lab)?;
        let refused: [(&str, &str, &str); 18] = [
            ("dev", "tun0; id", "an interface name"),
            ("dev", "`touch /run/pwned`", "an interface name"),
            ("dev", "tun+", "an interface name"),
            ("dev", "", "an interface name"),
            ("dev", "a-name-longer-than-the-kernel-has", "an interface name"),
            ("trusted_ip", "$(touch /run/pwned)", "an address"),
            ("trusted_ip", "198.51.100.7/0", "an address"),
            ("trusted_ip", "255.255.255.255", "a server can have"),
            ("trusted_ip", "224.0.0.1", "a server can have"),
            ("trusted_ip", "0.0.0.0", "a server can have"),
            ("trusted_port", "0", "a port"),
            ("trusted_port", "65536", "a port"),
            ("trusted_port", "1194:65535", "a port"),
            ("proto_1", "udp -j ACCEPT", "a transport"),
            ("daemon_pid", "-1", "daemon_pid"),
            ("daemon_pid", "0", "daemon_pid"),
            ("ifconfig_local", "10.8.0.2 -j ACCEPT", "an address"),
            ("trusted_ip", &"9".repeat(4096), "at most"),
        ];
        for (key, value, why) in refused {
            let output = check_harmless(lab, &format!("{key}={value:.60}"), &hook(lab, &[(key, value)]))?;
            let said = format!("{}{}", output.stderr, output.stdout);
            let log = agent.log();
            let last = log.lines().rfind(|line| line.contains("refused a report")).unwrap_or_default();
            ensure!(said.contains(key) && said.contains(why), "{key}: the hook said {said:?}");
            ensure!(why == "at most" || last.contains(key), "{key}: the agent said {last:?}");
        }
        // A program on this machine, such as stunnel, carries the VPN on: the report names no server.
        check_harmless(lab, "a server on this machine", &hook(lab, &[("trusted_ip", "127.0.0.1")]))?;
        for address in ["::1", "ff02::1", "::", "fe80::1%eth0"] {
            let v6 = [("trusted_ip6", address), ("trusted_ip", "")];
            check_harmless(lab, address, &hook(lab, &v6))?;
        }
        let script = "trusted_ip=$(printf '\\377\\376') exec \"$0\" hook openvpn";
        let bytes = lab.host().command(["sh", "-c", script, TUNWARDEN]);
        let output =
            check_harmless(lab, "invalid UTF-8", &bytes.env("script_type", "up").env("dev", "tun0"))?;
        ensure!(output.stderr.contains("UTF-8"), "{output:?}");

        // Without an existing interface the hook makes no tunnel, even with all options.
        let mut pushed = hook(lab, &[("script_type", "no-script-of-theirs")]);
        for n in 0..400 {
            let option =
                format!("dhcp-option DOMAIN `touch /run/pwned`$(touch /run/pwned);'\"|{}", "x".repeat(200));
            pushed = pushed.env(&format!("foreign_option_{n}"), &option);
            pushed = pushed.env(&format!("OPENVPN_{n}"), &option).env(&format!("proto_{n}"), &option);
        }
        check_harmless(lab, "400 options", &pushed)?;
        for user in ["nobody", "daemon"] {
            let output = check_harmless(lab, user, &hook(lab, &[]).user(user))?;
            ensure!(output.stderr.contains("may report"), "{user}: {output:?}");
        }
        contract(&[])?.endpoint("198.51.100.7:1194/udp")?.check(&capture.stop()?)
    })
    .unwrap();
}

#[test]
fn with_any_arguments_the_hooks_exit_0_and_change_nothing() {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let _agent = agent(lab, "[bootstrap]\nservers = [\"198.51.100.7\"]\n")?;
        let hostile =
            ["", "--help=`id`", "-x", "--", "$(touch /run/pwned)", "vpn-up; id", "\u{1}", "tun0", "☂"];
        for first in hostile {
            for second in ["vpn-up", "vpn-down", "up", "--yes", "`touch /run/pwned`"] {
                let words = [TUNWARDEN, "hook", "dispatcher", first, second, "more"];
                check_harmless(lab, &format!("dispatcher {first} {second}"), &lab.host().command(words))?;
            }
            let words = [TUNWARDEN, "hook", "openvpn", first, "--no-such-option"];
            check_harmless(lab, &format!("openvpn {first}"), &lab.host().command(words))?;
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_card_never_becomes_a_tunnel_even_if_root_says_so() {
    with_lab(|lab| {
        let capture = lab.capture()?;
        let _bus = bus(lab)?;
        lab.add_uplink(Uplink::numbered("tunusb0", 1))?;
        let tagged = |tag: &str| lab.host().udp("203.0.113.9:4000").map(|probe| probe.on("tunusb0").tag(tag));
        // A packet that comes before the link is ready is lost.
        wait_for("the control: packets leave by the card", SOON, || {
            tagged("control")?.count(20).send()?;
            Ok((seen(&capture.so_far()?, "control") >= 20).then_some(()))
        })?;
        let _agent = agent(lab, "[bootstrap]\nservers = [\"198.51.100.7\"]\n")?;
        let _pressure = background_traffic(lab)?;
        let _card = tagged("card")?.flood(200)?;
        let start = capture.so_far()?.len();
        for device in ["eth0", "lo", "tunusb0"] {
            for script in ["up", "route-up", "ipchange"] {
                check_harmless(lab, device, &hook(lab, &[("dev", device), ("script_type", script)]))?;
            }
        }
        for tool in ["iptables", "ip6tables"] {
            let rules = chain(lab, tool, "VPN_TUNNEL")?;
            assert_eq!(rules.first().map(String::as_str), Some("-A VPN_TUNNEL -o tunusb0 -j RETURN"));
        }
        tagged("card")?.count(50).send()?;
        let frames = capture.stop()?;
        let contract = contract(&[])?.endpoint("198.51.100.7:1194/udp")?;
        contract.lan("10.0.1.0/24")?.lan("fd00:0:0:2::/64")?.check(&frames[start..])?;
        assert_eq!(seen(&frames[start..], "card"), 0);
        Ok(())
    })
    .unwrap();
}

#[test]
fn what_a_server_really_pushes_is_not_executed_and_leads_no_traffic_past_the_tunnel() {
    with_lab(|lab| {
        let capture = lab.capture()?;
        let _bus = bus(lab)?;
        let push = [
            "redirect-gateway def1",
            "dhcp-option DOMAIN `touch${IFS}/run/pwned`",
            "dhcp-option DOMAIN $(touch${IFS}/run/pwned)",
            "dhcp-option DNS 10.0.0.1",
            "setenv-safe X `touch${IFS}/run/pwned`",
            "setenv-safe dev eth0",
            "setenv script_type down",
            "route 203.0.113.0 255.255.255.0 net_gateway",
            "route 10.0.0.0 255.255.255.0 net_gateway",
        ];
        let push = push.map(ToOwned::to_owned).into();
        let server = lab.openvpn_server(ServerOptions { push, ..ServerOptions::default() })?;
        let _agent = agent(lab, "")?;
        let floods = background_traffic(lab)?;
        // The program that the hooks run next gets the same environment.
        let next = "#!/bin/sh\nenv >/run/environment\n";
        lab.host().file_with_mode("/etc/openvpn/update-resolv-conf", next, 0o755)?;
        let _client = connect(lab, &hooked(lab, ClientOptions::of(&server))?)?;
        let status = wait_for_state(lab, "protected")?;
        assert_eq!(status["bootstrap"], json!([endpoint(&server)]));
        assert_eq!(status["tunnels"][0]["interface"], "tun0");
        let pushed = lab.host().read("/run/environment")?;
        ensure!(pushed.contains("DOMAIN `touch") && pushed.contains("OPENVPN_X=`touch"), "{pushed}");
        for flood in &floods {
            flood.await_more(50)?;
        }
        lab.host().udp("10.0.0.1:53")?.tag("dns").count(20).send()?;
        assert!(lab.host().read("/run/pwned").is_err(), "what the server pushed was executed");
        let frames = capture.stop()?;
        assert_eq!(seen(&frames, BACKGROUND_TAG) + seen(&frames, "dns"), 0);
        contract(&[&server])?.check(&frames)
    })
    .unwrap();
}

#[test]
fn the_dispatcher_makes_no_tunnel_and_widens_none() {
    with_lab(|lab| {
        let capture = lab.capture()?;
        let bus = bus(lab)?;
        let server = lab.openvpn_server(ServerOptions::default())?;
        let dispatch = |action: &str| {
            let words = [TUNWARDEN, "hook", "dispatcher", "tun0", action];
            lab.host().command(words).env("VPN_IP_IFACE", "tun0").env("CONNECTION_ID", "`touch /run/pwned`")
        };
        let nm = lab.host().network_manager(&bus)?;
        nm.add_ethernet(&lab.uplinks()[0])?;
        let config = "[bootstrap]\nservers = [\"198.51.100.7\", \"198.51.100.8\"]\n";
        let mut first = agent(lab, config)?;
        let _pressure = background_traffic(lab)?;

        // A tunnel that no trusted program has reported, like that of an unnamed profile.
        let mut stranger = connect(lab, &ClientOptions::of(&server))?;
        let hidden = |is: bool| {
            wait_for("the agent has seen the links", SOON, || {
                let rules = chain(lab, "iptables", "VPN_TUNNEL_ADDRESS")?;
                Ok((rules.is_empty() != is).then_some(()))
            })
        };
        // The kernel alone shows it.
        becomes(lab, "protected")?;
        hidden(true)?;
        for action in ["vpn-up", "vpn-down", "vpn-up"] {
            check_harmless(lab, action, &dispatch(action))?;
        }
        stranger.stop()?;
        hidden(false)?;
        becomes(lab, "lost")?;

        nm.add_vpn("lab", &server)?;
        nm.up("lab")?;
        let status = wait_for_state(lab, "protected")?;
        assert_eq!(status["bootstrap"], json!([endpoint(&server)]));
        check_harmless(lab, "vpn-up", &dispatch("vpn-up"))?;
        flows(lab)?;
        nm.down("lab")?;
        becomes(lab, "locked")?;
        hidden(false)?;
        check_harmless(lab, "vpn-down", &dispatch("vpn-down"))?;
        ensure!(!first.log().contains("lab is lost: "), "the user asked for it, and it was called a loss");
        first.stop()?;

        let _agent = agent(lab, &format!("{config}[vpn]\nconnections = [\"another\"]\n"))?;
        nm.up("lab")?;
        hidden(true)?;
        wait_for("the agent tells that the tunnel does not count", SOON, || {
            Ok((support::status(lab)?["left_out"][0]["name"] == "tun0").then_some(()))
        })?;
        check_harmless(lab, "vpn-up of a profile not named", &dispatch("vpn-up"))?;
        assert_eq!(support::status(lab)?["tunnels"], json!([]));
        let answered = wait_for("the verdict of the unnamed tunnel", SOON, || {
            let sent = lab.host().ping(server.tunnel_address()).count(3);
            Ok(Some(sent.await_answers(std::time::Duration::from_millis(300)).send()?.answered))
        })?;
        assert_eq!(answered, 0, "a profile not named carries traffic");
        contract(&[&server])?.check(&capture.stop()?)
    })
    .unwrap();
}
