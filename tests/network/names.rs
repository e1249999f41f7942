//! A VPN server that has only a name: the agent resolves it although no other program can send DNS queries.

mod read_only;
mod user_profiles;

use crate::support;

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use support::leak_test::{Desktop, contract, set};
use support::{SOON, chain, tunwarden, wait_for_state};
use tunwarden_lab::address::{OTHER_VPN, ROUTER};
use tunwarden_lab::openvpn::{Server, ServerOptions};
use tunwarden_lab::{AnswerMode, Contract, Dns, Frame, Lab, TAG_MARK, Transport, wait_for, with_lab};

const NAME: &str = "vpn.example.net";

/// Root names the profile in the configuration. So the agent may look up its server at any time.
const ROOTS: &str = "[vpn]\nconnections = [\"lab\"]\n";

/// `/etc/hosts` before the test. It ends without a newline.
const HOSTS: &str = "127.0.0.1 localhost\n10.0.0.5 printer";

/// A desktop whose one profile has a server name, an ISP with a resolver, and probes that send queries.
struct Named<'a> {
    desktop: Desktop<'a>,
    dns: Dns,
}

impl<'a> Named<'a> {
    fn new(lab: &'a Lab, config: &str, addresses: &[&str]) -> Result<Self> {
        let dns = lab.isp().dns(ROUTER)?;
        dns.set(NAME, addresses)?;
        dns.set("other.example.net", &["203.0.113.9"])?;
        lab.host().file("/etc/hosts", HOSTS)?;
        ensure!(asks(lab, "root")? && asks(lab, "nobody")?, "the control: without an agent names resolve");
        ensure!(dns.asked().contains("other.example.net"), "the control: and the ISP sees it");
        let desktop = Desktop::with_remote(lab, config, NAME)?;
        Ok(Self { desktop, dns })
    }

    /// Checks that other programs get no answer, and that the ISP has seen only the agent's queries.
    fn nobody_else_asks(&self, promise: &str) -> Result<()> {
        for user in ["root", "nobody"] {
            ensure!(!asks(self.desktop.lab, user)?, "{promise}: {user} got a name resolved");
        }
        let asked = self.dns.asked();
        ensure!(asked.iter().all(|name| name == NAME), "{promise}: the ISP was asked for {asked:?}");
        self.desktop.leak_test.check(promise, &questions(&[&self.desktop.server])?)
    }

    /// Waits until the kernel allows exactly these addresses of the server.
    fn await_allowance(&self, addresses: &[&str]) -> Result<()> {
        let wanted: BTreeSet<String> =
            addresses.iter().map(|address| format!("{address}:1194/udp")).collect();
        wait_for(&format!("the kernel allows {wanted:?}"), SOON * 6, || {
            Ok((endpoints(self.desktop.lab)? == wanted).then_some(()))
        })
    }
}

/// The contract, and the agent's queries to the router.
fn questions(servers: &[&Server]) -> Result<Contract> {
    contract(servers)?.endpoint(&format!("{ROUTER}:53/udp"))?.endpoint(&format!("{ROUTER}:53/tcp"))
}

/// Whether a program of this user can resolve a name with glibc's own resolver.
fn asks(lab: &Lab, user: &str) -> Result<bool> {
    let mut command = lab.host().command(["getent", "ahostsv4", "other.example.net"]);
    command = command.env("RES_OPTIONS", "timeout:1 attempts:1");
    Ok(command.user(user).run()?.status.success())
}

/// The endpoints that the kernel allows. Fails if it allows more than these and the agent's queries.
fn endpoints(lab: &Lab) -> Result<BTreeSet<String>> {
    let mut allowed = BTreeSet::new();
    for rule in chain(lab, "iptables", "VPN_BOOTSTRAP")? {
        if rule.contains("--mark 0x") {
            let question = rule.contains(&format!("-d {ROUTER}/32")) && rule.contains("--dport 53");
            ensure!(question && rule.contains("--uid-owner 0"), "{rule}");
            continue;
        }
        if rule == "-A VPN_BOOTSTRAP -p udp -m udp --dport 1194 -j VPN_OWNER" {
            allowed.insert("any".to_owned());
            continue;
        }
        let words: Vec<&str> = rule.split(' ').collect();
        let ["-A", _, "-d", to, "-p", protocol, "-m", _, "--dport", port, "-j", "VPN_OWNER"] = words[..]
        else {
            anyhow::bail!("more than an endpoint is allowed: {rule}");
        };
        allowed.insert(format!("{}:{port}/{protocol}", to.trim_end_matches("/32")));
    }
    Ok(allowed)
}

#[test]
fn a_server_with_a_name_is_found_pinned_and_followed_when_it_moves() -> Result<()> {
    with_lab(|lab| {
        let named = Named::new(lab, ROOTS, &["198.51.100.7"])?;
        let desktop = &named.desktop;
        named.await_allowance(&["198.51.100.7"])?;
        // The pin follows the rules.
        wait_for("the pin exists", SOON, || {
            let hosts = lab.host().read("/etc/hosts")?;
            let stands = hosts.starts_with(HOSTS) && hosts.contains("\n198.51.100.7 vpn.example.net\n");
            Ok(stands.then_some(()))
        })?;
        named.nobody_else_asks("locked, the agent alone asks")?;

        // Another program changes or replaces the file: the agent keeps its text and adds the pin again.
        for (write, text) in
            [("cat >/etc/hosts", "127.0.0.1 localhost\n"), ("cat >/etc/h && mv /etc/h /etc/hosts", HOSTS)]
        {
            lab.host().command(["sh", "-ec", write]).stdin(text).succeed()?;
            wait_for("the pin exists again", SOON, || {
                let hosts = lab.host().read("/etc/hosts")?;
                let stands = hosts.starts_with(text) && hosts.contains("\n198.51.100.7 vpn.example.net\n");
                Ok(stands.then_some(()))
            })?;
        }

        desktop.connect()?;
        assert_eq!(endpoints(lab)?, set(&[desktop.server.endpoint()]), "protected, the endpoint in use");
        let marked = chain(lab, "iptables", "VPN_BOOTSTRAP")?.join("\n");
        ensure!(!marked.contains("--mark"), "protected, nobody asks outside the tunnel: {marked}");
        named.nobody_else_asks("protected")?;

        // The server moves to another address behind the same name.
        let pool = "10.9.0.0/24".parse()?;
        let options = ServerOptions { address: OTHER_VPN, pool, ..ServerOptions::default() };
        let moved = lab.openvpn_server(options)?;
        named.dns.set(NAME, &[OTHER_VPN.to_string()])?;
        lab.host().signal_all("openvpn", nix::sys::signal::Signal::SIGKILL)?;
        desktop.signals.wait_for("lost", 1)?;
        named.await_allowance(&["198.51.100.7", "198.51.100.8"])?;
        wait_for("the pin follows", SOON, || {
            let hosts = lab.host().read("/etc/hosts")?;
            let follows = hosts.contains("198.51.100.8 vpn.example.net") && !hosts.contains("198.51.100.7");
            Ok(follows.then_some(()))
        })?;
        desktop.connect()?;
        assert_eq!(endpoints(lab)?, set(&[moved.endpoint()]), "protected by the server that moved");
        desktop.leak_test.check("after the move", &questions(&[&desktop.server, &moved])?)?;

        // The option is switched off while the agent runs, and on again.
        desktop.nm.down("lab")?;
        wait_for_state(lab, "locked")?;
        let pinned = || Ok::<_, anyhow::Error>(lab.host().read("/etc/hosts")? != HOSTS);
        for (config, is) in [("[bootstrap]\ndns = \"off\"\n", false), ("", true)] {
            lab.host().file("/etc/tunwarden/config.toml", &format!("{config}{ROOTS}"))?;
            ensure!(tunwarden(lab, ["reload"])?.status.success());
            wait_for(&format!("it is pinned: {is}"), SOON, || Ok((pinned()? == is).then_some(())))?;
        }

        tunwarden(lab, ["release", "--yes"])?;
        assert_eq!(lab.host().read("/etc/hosts")?, HOSTS, "released, every byte is as it was");
        Ok(())
    })
}

#[test]
fn a_pin_whose_address_is_no_longer_served_expires_and_the_vpn_comes_back_by_itself() -> Result<()> {
    with_lab(|lab| {
        let Named { mut desktop, dns } = Named::new(lab, "[vpn]\nsilence = \"5s\"\n", &["198.51.100.7"])?;
        desktop.connect()?;
        ensure!(lab.host().read("/etc/hosts")?.contains("198.51.100.7 vpn.example.net"), "it is pinned");
        // The server has a new address. Nothing reports this, and the name is still pinned to the old one.
        dns.set(NAME, &[OTHER_VPN.to_string()])?;
        let moved = lab.openvpn_server(ServerOptions { address: OTHER_VPN, ..ServerOptions::default() })?;
        desktop.server.stop()?;
        desktop.signals.wait_for("lost", 1)?;
        let hosts = lab.host().read("/etc/hosts")?;
        println!("when it was lost: {hosts:?}");
        wait_for("the VPN comes back by itself", SOON * 12, || {
            Ok((support::status(lab)?["state"] == "protected").then_some(()))
        })
        .with_context(|| desktop.agent.log())?;
        assert_eq!(endpoints(lab)?, set(&[moved.endpoint()]), "protected by the server where it is now");
        desktop.carries()?;
        let hosts = lab.host().read("/etc/hosts")?;
        ensure!(hosts.contains("198.51.100.8 vpn.example.net"), "{hosts}");
        ensure!(!hosts.contains("198.51.100.7"), "the pin still has the old address: {hosts}");
        desktop.leak_test.check("the whole time", &questions(&[&desktop.server, &moved])?)
    })
}

/// Datagrams to a resolver with a mark, from a process of a user with additional capabilities.
#[derive(Clone, Copy)]
struct Marked<'a> {
    user: &'a str,
    capabilities: &'a str,
    mark: u32,
    to: &'a str,
    tag: &'a str,
}

/// Sends twenty of these datagrams. Returns whether the process could set the mark.
fn send_marked(lab: &Lab, datagram: Marked<'_>) -> Result<bool> {
    let Marked { user, capabilities, mark, to, tag } = datagram;
    let send = format!(
        "import socket, struct\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
         s.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, struct.pack('I', {mark}))\n\
         for _ in range(20):\n    try: s.sendto(b'{TAG_MARK}{tag}', ('{to}', 53))\n    except OSError: pass\n"
    );
    let as_user = format!(
        "setpriv --reuid={user} --clear-groups --inh-caps={capabilities} --ambient-caps={capabilities} /usr/bin/python3 -c"
    );
    let sent = lab.host().run(as_user.split(' ').chain([send.as_str()]))?;
    ensure!(sent.status.success() || sent.stderr.contains("PermissionError"), "{sent:?}");
    Ok(sent.status.success())
}

/// The mark of the agent's own questions, which only CAP_NET_ADMIN can read.
fn question_mark(lab: &Lab) -> Result<u32> {
    let rules = support::chain(lab, "iptables", "VPN_BOOTSTRAP")?;
    let mark = rules.iter().find_map(|rule| rule.split("--mark 0x").nth(1)?.split(' ').next());
    Ok(u32::from_str_radix(mark.with_context(|| format!("no mark in {rules:?}"))?, 16)?)
}

/// `tw` in ASCII: the mark of every agent once. Root in a container on the host's network can set it with
/// CAP_NET_RAW alone.
const KNOWN_MARK: u32 = 0x7477;

#[test]
fn queries_need_both_root_and_the_mark() -> Result<()> {
    with_lab(|lab| {
        let named = Named::new(lab, ROOTS, &["198.51.100.7"])?;
        named.await_allowance(&["198.51.100.7"])?;
        let router = ROUTER.to_string();
        let mark = question_mark(lab)?;
        let control = Marked { user: "root", capabilities: "+net_admin", mark, to: &router, tag: "control" };
        ensure!(send_marked(lab, control)?, "root sets a mark");
        wait_for("the control: root with the mark is let out", SOON, || {
            let seen = named.desktop.leak_test.since_closed()?;
            Ok((seen.iter().filter(|frame| frame.is_tagged("control")).count() == 20).then_some(()))
        })?;
        for user in ["root", "nobody", "nm-openvpn"] {
            let probe = lab.host().udp(&format!("{ROUTER}:53"))?.from_user(user).tag("question").count(20);
            probe.send()?;
        }
        let question = Marked { tag: "question", ..control };
        ensure!(send_marked(lab, Marked { mark: mark.wrapping_add(1), ..question })?, "another mark");
        ensure!(send_marked(lab, Marked { mark: KNOWN_MARK, ..question })?, "the mark of every agent once");
        ensure!(send_marked(lab, Marked { to: "203.0.113.9", ..question })?, "another resolver");
        for user in ["nobody", "nm-openvpn"] {
            let question = Marked { user, ..question };
            ensure!(send_marked(lab, question)?, "{user}, given CAP_NET_ADMIN");
            let without = Marked { capabilities: "-all", ..question };
            ensure!(!send_marked(lab, without)?, "{user} sets a mark");
        }
        let seen = named.desktop.leak_test.since_closed()?;
        let leaked = seen.iter().filter(|frame| frame.is_tagged("question")).count();
        ensure!(leaked == 0, "{leaked} questions left that were not the agent's");
        Ok(())
    })
}

#[test]
fn while_a_vpn_protects_names_are_looked_up_through_the_tunnel_only() -> Result<()> {
    with_lab(|lab| {
        const RESOLVER: &str = "203.0.113.9";
        let dns = lab.isp().dns(RESOLVER.parse()?)?;
        dns.set(NAME, &["198.51.100.7"])?;
        lab.host().file("/etc/resolv.conf", &format!("nameserver {RESOLVER}\n"))?;
        let capture = lab.capture()?;
        let mut desktop = Desktop::with_remote(lab, ROOTS, NAME)?;
        wait_for("it is known", SOON, || Ok((endpoints_known(lab)? == ["198.51.100.7"]).then_some(())))?;
        let questions = |frames: &[Frame]| {
            let to_it = |frame: &&Frame| frame.destination().is_some_and(|to| to.to_string() == RESOLVER);
            let asks = |frame: &&Frame| matches!(frame.transport(), Some(Transport::Udp { to: 53, .. }));
            frames.iter().filter(to_it).filter(asks).count()
        };
        wait_for("the control: locked, it is asked in clear", SOON, || {
            Ok((questions(&capture.so_far()?) >= 2).then_some(()))
        })?;

        desktop.connect()?;
        ensure!(dns.asked() == BTreeSet::from([NAME.to_owned()]), "it was asked for more");
        desktop.leak_test.close()?;
        // Root adds another server while the VPN protects.
        dns.set("second.example.net", &["198.51.100.8"])?;
        lab.host().file("/etc/openvpn/second.conf", "remote second.example.net\n")?;
        wait_for("the other is found too", SOON, || {
            let hosts = lab.host().read("/etc/hosts")?;
            Ok(hosts.contains("198.51.100.8 second.example.net").then_some(()))
        })?;
        ensure!(dns.asked().contains("second.example.net"), "not through the tunnel");
        let frames = desktop.leak_test.since_closed()?;
        ensure!(questions(&frames) == 0, "{} questions in clear", questions(&frames));
        // The agent knows more servers, but the kernel allows no more.
        desktop.check_state("protected", "the one in use alone").map(drop)
    })
}

/// The addresses of the servers in the status.
fn endpoints_known(lab: &Lab) -> Result<Vec<String>> {
    let status = support::status(lab)?;
    let parts = status["bootstrap"].as_array().into_iter().flatten();
    Ok(parts.filter_map(|part| part["address"].as_str()).map(str::to_owned).collect())
}

#[test]
fn the_next_boot_knows_the_addresses_of_the_name() -> Result<()> {
    with_lab(|lab| {
        let named = Named::new(lab, ROOTS, &["198.51.100.7", "2001:db8:7::7"])?;
        named.await_allowance(&["198.51.100.7"])?;
        let Named { mut desktop, dns } = named;
        desktop.agent.stop()?;
        lab.host().succeed(["nft", "flush", "ruleset"])?;
        drop(dns);
        let output = tunwarden(lab, ["lock"])?;
        ensure!(output.status.success(), "{}", output.stderr);
        assert_eq!(endpoints(lab)?, set(&["198.51.100.7:1194/udp"]));
        let v6 = chain(lab, "ip6tables", "VPN_BOOTSTRAP")?.join("\n");
        ensure!(v6.contains("2001:db8:7::7"), "{v6}");
        Ok(())
    })
}

#[test]
fn switched_off_no_name_is_looked_up_and_none_is_pinned() -> Result<()> {
    with_lab(|lab| {
        let config = "[bootstrap]\ndns = \"off\"\nscope = \"known\"\n";
        let named = Named::new(lab, config, &["198.51.100.7"])?;
        wait_for_state(lab, "locked")?;
        named.desktop.leak_test.check("nothing is asked", &contract(&[])?)?;
        assert_eq!(named.dns.asked(), BTreeSet::new());
        assert_eq!(endpoints(lab)?, BTreeSet::new());
        assert_eq!(lab.host().read("/etc/hosts")?, HOSTS);
        Ok(())
    })
}

#[test]
fn hostile_answers_widen_nothing_and_the_true_one_still_counts() -> Result<()> {
    with_lab(|lab| {
        let lies = ["127.0.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.251", "::1", "ff02::1"];
        let config = format!("[bootstrap]\nscope = \"known\"\n{ROOTS}");
        let named = Named::new(lab, &config, &lies)?;
        let mut log = String::new();
        let refused = || -> Result<String> { Ok(named.desktop.agent.log()) };
        let manners = [
            AnswerMode::Correct,
            AnswerMode::WrongId,
            AnswerMode::OtherQuestion,
            AnswerMode::OtherSource,
            AnswerMode::Garbage,
        ];
        for (number, manner) in (100..).zip(manners) {
            named.dns.answer(manner);
            if manner != AnswerMode::Correct {
                // The address is valid, but no valid answer contains it. The server gives no honest answer
                // before the end, because each lookup sends queries at two times for each family.
                named.dns.set(NAME, &["198.51.100.66"])?;
            }
            // A new network resets the retry delay, which is long after many failures.
            lab.host().succeed(["ip", "addr", "add", &format!("10.0.0.{number}/24"), "dev", "eth0"])?;
            // Two queries: an agent that trusted the first answer would not send a second one.
            for _ in 0..2 {
                let _ = named.dns.asked();
                wait_for(&format!("{manner:?}: it was asked"), SOON * 3, || {
                    Ok(named.dns.asked().contains(NAME).then_some(()))
                })?;
            }
            assert_eq!(endpoints(lab)?, BTreeSet::new(), "{manner:?}");
            log = refused()?;
        }
        ensure!(log.contains("vpn.example.net"), "the log does not name the fault: {log}");
        assert_eq!(lab.host().read("/etc/hosts")?, HOSTS);

        // An answer that is too large for a datagram comes over TCP. The agent uses a part of it.
        let many: Vec<String> = (0..200).map(|host| format!("198.51.100.{host}")).collect();
        named.dns.set(NAME, &many)?;
        named.dns.answer(AnswerMode::Correct);
        let allowed = wait_for("the true answer counts", SOON * 8, || {
            Ok(Some(endpoints(lab)?).filter(|allowed| !allowed.is_empty()))
        })?;
        assert_eq!(allowed.len(), 32, "a bounded part of it");
        Ok(())
    })
}

#[test]
fn a_hosts_file_that_is_a_link_is_unchanged_and_the_rules_have_the_servers() -> Result<()> {
    with_lab(|lab| {
        lab.host().succeed(["sh", "-c", "rm -f /etc/hosts; ln -s /etc/hosts.real /etc/hosts"])?;
        let named = Named::new(lab, ROOTS, &["198.51.100.7"])?;
        named.await_allowance(&["198.51.100.7"])?;
        wait_for("the agent logs it", SOON, || {
            Ok(named.desktop.agent.log().contains("/etc/hosts is a symbolic link").then_some(()))
        })?;
        assert_eq!(lab.host().read("/etc/hosts.real")?, HOSTS);
        lab.host().succeed(["test", "-L", "/etc/hosts"]).context("it is a link still")?;
        Ok(())
    })
}
