//! Messages of an ordinary user change nothing, even if they look like messages of NetworkManager or of a
//! hook.

use crate::support;

use anyhow::{Context, Result, ensure};
use support::leak_test::Desktop;
use support::openvpn::{CONNECT, connect, hooked, protected_by};
use support::{SOON, chain, status, tunwarden, wait_for_state};
use tunwarden_lab::address::OTHER_VPN;
use tunwarden_lab::openvpn::{ClientOptions, READY, ServerOptions};
use tunwarden_lab::{Lab, Output, wait_for, wait_until, with_lab};

const AGENT: &str = "org.tunwarden.Agent1 /org/tunwarden/Agent1 org.tunwarden.Agent1";

/// How busctl shows `org.freedesktop.DBus.Error.AccessDenied`.
const DENIED: &str = "Call failed: Access denied";

/// Everything that a message could change: the state, and what the kernel allows.
fn everything(lab: &Lab) -> Result<impl PartialEq + std::fmt::Debug> {
    let status = status(lab)?;
    let chains = [("iptables", "VPN_BOOTSTRAP"), ("ip6tables", "VPN_BOOTSTRAP")];
    let chains = chains.into_iter().chain([("iptables", "VPN_TUNNEL"), ("ip6tables", "VPN_TUNNEL")]);
    let allowed = chains.map(|(tool, name)| chain(lab, tool, name)).collect::<Result<Vec<_>>>()?;
    Ok((status["state"].clone(), status["since"].clone(), status["tunnels"].clone(), allowed))
}

/// Calls a method of the agent as a user.
fn call(lab: &Lab, user: &str, words: &[&str]) -> Result<Output> {
    let words =
        ["busctl", "--system", "call", "--"].into_iter().chain(AGENT.split(' ')).chain(words.iter().copied());
    lab.host().command(words).user(user).run()
}

/// Checks that the agent refuses a method with this error and changes nothing.
fn refused(lab: &Lab, user: &str, words: &[&str], error: &str) -> Result<()> {
    let before = everything(lab)?;
    let output = call(lab, user, words)?;
    let shown: String = words.join(" ").chars().take(200).collect();
    ensure!(!output.status.success(), "{shown} as {user} was not refused");
    ensure!(output.stderr.contains(error), "{shown} as {user}: {error}, not {}", output.stderr);
    ensure!(everything(lab)? == before, "{shown} as {user} changed {before:?}");
    Ok(())
}

#[test]
fn signals_that_only_look_like_networkmanagers_change_nothing() -> Result<()> {
    with_lab(|lab| {
        let desktop = Desktop::new(lab, "")?;
        desktop.connect()?;
        let active =
            desktop.nm.manage(["-g", "GENERAL.DBUS-PATH", "connection", "show", "--active", "lab"])?;
        let active = active.lines().next().context("the VPN's path")?.to_owned();
        let before = everything(lab)?;
        let vpn = "org.freedesktop.NetworkManager.VPN.Connection";
        let connection = "org.freedesktop.NetworkManager.Connection.Active";
        let plugin = "/org/freedesktop/NetworkManager/VPN/Plugin org.freedesktop.NetworkManager.VPN.Plugin";
        let forged = [
            format!("{active} {vpn} VpnStateChanged uu 7 2"),
            format!("{active} {vpn} VpnStateChanged uu 3 0"),
            format!("{active} {connection} StateChanged uu 4 2"),
            format!("{active} org.freedesktop.DBus.Properties PropertiesChanged sa{{sv}}as {vpn} 1 VpnState u 7 0"),
            format!("{plugin} Config a{{sv}} 1 gateway u 151150790"),
            "/org/freedesktop/DBus org.freedesktop.DBus NameOwnerChanged sss org.freedesktop.NetworkManager :1.1 "
                .to_owned(),
        ];
        let watch = lab.host().spawn([
            "dbus-monitor",
            "--system",
            "type='signal',path_namespace='/org/freedesktop'",
        ])?;
        wait_until("the control listens", SOON, || watch.log().contains("NameAcquired"))?;
        // To everybody, and to each program alone: a message addressed to the agent passes its match rules.
        let names = lab.host().succeed(["busctl", "--system", "list", "--unique", "--no-legend"])?;
        let names = names.lines().filter_map(|line| line.split(' ').next());
        let targets: Vec<String> = names.map(|name| format!("--destination={name}")).collect();
        ensure!(targets.len() >= 4, "{targets:?}");
        for signal in &forged {
            for target in targets.iter().map(Some).chain([None]) {
                let emit = ["busctl", "--system", "emit"].into_iter().chain(target.map(String::as_str));
                let emit = lab.host().command(emit.chain(signal.split(' '))).user("nobody");
                // Some programs have ended since the listing, for example busctl itself.
                let sent = emit.run()?;
                ensure!(target.is_some() || sent.status.success(), "{signal}: {}", sent.stderr);
            }
        }
        wait_until("the bus carries forged signals", SOON, || {
            let log = watch.log();
            log.matches("member=VpnStateChanged").count() >= 2 && log.contains("member=Config")
        })?;
        // The agent answers this call after it has handled all earlier messages.
        assert_eq!(everything(lab)?, before);
        assert_eq!(desktop.signals.losses(), []);
        desktop.check("forged signals")?;
        desktop.carries()?;
        // The control: a real signal still counts.
        desktop.nm.down("lab")?;
        wait_for_state(lab, "locked").map(drop)
    })
}

/// The start of a call of `ReportTunnel`.
const REPORT: [&str; 2] = ["ReportTunnel", "a{ss}"];

/// A report of a tunnel and a server that do not exist.
const UP: [&str; 9] =
    ["4", "script_type", "up", "dev", "tun7", "trusted_ip", "203.0.113.9", "trusted_port", "4000"];

/// Values of a report that are not names, addresses, ports or process ids.
const HOSTILE_VALUES: [(&str, &str); 10] = [
    ("dev", "tun0; reboot"),
    ("dev", "tun0 -j ACCEPT"),
    ("dev", "../tun0"),
    ("dev", "a-name-that-is-too-long"),
    ("trusted_ip", "203.0.113.9/0"),
    ("trusted_ip", "0.0.0.0"),
    ("trusted_ip", "224.0.0.1"),
    ("trusted_port", "0"),
    ("trusted_port", "1194:65535"),
    ("daemon_pid", "-1"),
];

#[test]
fn methods_that_move_anything_are_refused_to_ordinary_users_and_nonsense_to_root() -> Result<()> {
    with_lab(|lab| {
        let desktop = Desktop::new(lab, "")?;
        desktop.connect()?;
        ordinary_users_only_read(lab)?;
        // The client's user may report its tunnel as lost, and nothing else.
        refused(lab, "nm-openvpn", &[&REPORT[..], &UP].concat(), DENIED)?;
        wrong_arguments_are_refused_to_root(lab)?;
        hostile_reports_change_nothing(lab)?;
        huge_reports_are_refused(lab)?;
        desktop.check("hostile calls")?;
        desktop.check_state("protected", "hostile calls").map(drop)
    })
}

fn ordinary_users_only_read(lab: &Lab) -> Result<()> {
    let down = ["2", "script_type", "down", "dev", "tun0"];
    for user in ["nobody", "daemon"] {
        refused(lab, user, &[&REPORT[..], &UP].concat(), DENIED)?;
        refused(lab, user, &[&REPORT[..], &down].concat(), DENIED)?;
        // The agent checks the sender before it reads the message.
        refused(lab, user, &["ReportTunnel", "as", "1", "up"], DENIED)?;
        refused(lab, user, &["Pause", "t", "60"], DENIED)?;
        refused(lab, user, &["Reload"], DENIED)?;
        let read = "busctl --system call org.tunwarden.Agent1 /org/tunwarden/Agent1 \
                    org.freedesktop.DBus.Properties GetAll s org.tunwarden.Agent1";
        let read = lab.host().command(read.split_whitespace()).user(user).succeed()?;
        ensure!(read.contains("protected"), "everybody may read: {read}");
    }
    Ok(())
}

fn wrong_arguments_are_refused_to_root(lab: &Lab) -> Result<()> {
    for seconds in ["0", "86401", "18446744073709551615"] {
        refused(lab, "root", &["Pause", "t", seconds], "Call failed: ")?;
    }
    refused(lab, "root", &["Pause", "s", "60"], "Call failed: ")?;
    refused(lab, "root", &["ReportTunnel", "as", "1", "up"], "Call failed: ")?;
    refused(lab, "root", &["ReportTunnel", "a{sv}", "1", "dev", "s", "tun0"], "Call failed: ")?;
    refused(lab, "root", &["ReportTunnel", "a{ss}", "0"], "Call failed: ")
}

fn hostile_reports_change_nothing(lab: &Lab) -> Result<()> {
    let sound =
        [("dev", "tun0"), ("trusted_ip", "203.0.113.9"), ("trusted_port", "1194"), ("daemon_pid", "99")];
    for (key, value) in HOSTILE_VALUES {
        let mut words = vec!["ReportTunnel", "a{ss}", "6", "script_type", "up", "proto_1", "udp", key, value];
        words.extend(sound.iter().filter(|(other, _)| *other != key).flat_map(|&(key, value)| [key, value]));
        refused(lab, "root", &words, "Call failed: ")?;
    }
    // Valid link names with characters that are special in a shell. No such link exists.
    for name in ["$(reboot)", "`reboot`", "-j", "--help"] {
        let before = everything(lab)?;
        let output = call(lab, "root", &[&REPORT[..], &["2", "script_type", "up", "dev", name]].concat())?;
        ensure!(output.status.success(), "{name}: {}", output.stderr);
        ensure!(everything(lab)? == before, "{name} changed {before:?}");
    }
    Ok(())
}

fn huge_reports_are_refused(lab: &Lab) -> Result<()> {
    let long = "x".repeat(60_000);
    let words = [&REPORT[..], &["2", "script_type", "up", "dev", &long]].concat();
    refused(lab, "root", &words, "Call failed: ")?;
    let many: Vec<String> = (0..20_000).flat_map(|n| [format!("k{n}"), "v".to_owned()]).collect();
    let mut words = vec!["ReportTunnel", "a{ss}", "20000"];
    words.extend(many.iter().map(String::as_str));
    refused(lab, "root", &words, "Call failed: ")
}

#[test]
fn a_profile_that_is_not_named_never_becomes_an_endpoint_or_a_tunnel() -> Result<()> {
    with_lab(|lab| {
        let desktop = Desktop::new(lab, "[vpn]\nconnections = [\"lab\"]\n")?;
        let one = support::leak_test::set(&[desktop.server.endpoint()]);
        support::wait_for_allowance(lab, &one)?;
        let other = lab.openvpn_server(ServerOptions {
            address: OTHER_VPN,
            pool: "10.9.0.0/24".parse()?,
            push: Vec::new(),
            ..ServerOptions::default()
        })?;
        desktop.nm.add_vpn("other", &other)?;
        desktop.nm.nmcli(["--wait", "0", "connection", "up", "other"])?;
        wait_for("NetworkManager activates it", SOON, || {
            let active = desktop.nm.manage(["-t", "-f", "NAME", "connection", "show", "--active"])?;
            Ok(active.contains("other").then_some(()))
        })?;
        desktop.check_state("locked", "a profile that is not named is on its way")?;
        desktop.nm.nmcli(["connection", "down", "other"])?;

        desktop.connect()?;
        let status = desktop.check_state("protected", "the named one is up")?;
        assert_eq!(status["tunnels"].as_array().map(Vec::len), Some(1));
        let only = ["-A VPN_TUNNEL -o tun0 -j ACCEPT"];
        assert_eq!(chain(lab, "iptables", "VPN_TUNNEL")?, only);
        assert_eq!(chain(lab, "ip6tables", "VPN_TUNNEL")?, only);

        // A tunnel of another program: it exists and has routes, but may carry nothing.
        second_tunnel(lab)?;
        let probe = lab.host().udp("203.0.113.77:4000")?.on("tun5").from_user("nobody").count(20);
        assert_eq!(probe.send()?.forbidden(), 20, "a second tunnel carries nothing");
        assert_eq!(chain(lab, "iptables", "VPN_TUNNEL")?, only);
        desktop.check("a second tunnel")?;
        desktop.carries()?;
        // The control: if the configuration accepts every tunnel, this one counts.
        lab.host().file("/etc/tunwarden/config.toml", "")?;
        ensure!(tunwarden(lab, ["reload"])?.status.success());
        assert_eq!(probe.send()?.forbidden(), 0, "any tunnel may carry when none is named");
        Ok(())
    })
}

/// Makes a tun device that is up and has an address, without a program behind it.
fn second_tunnel(lab: &Lab) -> Result<()> {
    for command in [
        "ip tuntap add dev tun5 mode tun",
        "ip addr add 10.99.0.2/24 dev tun5",
        "ip link set tun5 up",
        "ip route add 203.0.113.77/32 dev tun5",
    ] {
        lab.host().succeed(command.split(' '))?;
    }
    Ok(())
}

/// The VPN client's user also runs other programs, and a user in `bootstrap.owners` may run any program. The
/// agent accepts reports on a tunnel from none of them.
#[test]
fn only_a_hook_that_the_client_started_reports_its_tunnel_lost_or_restored() -> Result<()> {
    with_lab(|lab| {
        let _bus = support::bus(lab)?;
        let mut server = lab.openvpn_server(ServerOptions::default())?;
        let agent = support::agent(lab, "")?;
        let options = ClientOptions::of(&server).user("nobody").persist().up_restart();
        let mut client = connect(lab, &hooked(lab, options)?)?;
        protected_by(lab, &server)?;
        let pid = client.id_inside().to_string();
        let status_file = lab.host().read(&format!("/proc/{pid}/status"))?;
        ensure!(status_file.contains("Uid:\t65534\t65534"), "the client has become nobody: {status_file}");
        let report = |kind: &str| -> Vec<String> {
            let fields = [("script_type", kind), ("script_context", "restart"), ("dev", "tun0")];
            let server = [("trusted_ip", "198.51.100.7"), ("trusted_port", "1194"), ("proto_1", "udp")];
            let pid = [("daemon_pid", &*pid)];
            let fields = fields.iter().chain(&server).chain(&pid).flat_map(|&(key, value)| [key, value]);
            ["ReportTunnel", "a{ss}", "7"].into_iter().chain(fields).map(str::to_owned).collect()
        };
        let refused = |kind: &str| -> Result<()> {
            let words = report(kind);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            for user in ["nobody", "nm-openvpn", "daemon"] {
                refused(lab, user, &words, DENIED)?;
            }
            Ok(())
        };
        refused("down")?;
        refused("up")?;
        server.silence()?;
        // The control: the client's own hook, as the same user.
        let lost = wait_for_state(lab, "lost")?;
        ensure!(lost["loss"]["seen_by"] == "hook", "{lost}");
        refused("up")?;
        server.restart()?;
        client.wait_for_lines(READY, 2, CONNECT)?;
        protected_by(lab, &server)?;
        let said = agent.log();
        ensure!(said.contains("reports tun0 down") && said.contains("user 65534 reports tun0 up"), "{said}");
        Ok(())
    })
}
