//! Real WireGuard by wg-quick, which reports nothing to the agent: root's file names the server, and the kernel shows
//! the tunnel.

mod hung;
mod kernel;
mod steps;

use crate::support;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use support::leak_test::LeakTest;
use support::openvpn::{flows_to, seen};
use support::wireguard::{SERVER, Server, wg_quick};
use support::{SOON, agent, bus, start_agent, status, tunwarden, wait_for_state};
use tunwarden_lab::address::{INTERNET, INTERNET_V6};
use tunwarden_lab::{Contract, Lab, Uplink, wait_for, with_lab};

const KNOWN: &str = "[bootstrap]\nscope = \"known\"\n";

/// The mark that wg-quick gives the first device with a default route: 51820.
const MARKED: &str = "mark 0xca6c";

fn contract() -> Result<Contract> {
    let lan = Contract::locked().lan("10.0.0.0/24")?.lan("fd00:0:0:1::/64")?.discovery();
    lan.endpoint(&format!("{SERVER}/udp"))
}

fn server(by: &str) -> Value {
    json!([{ "address": "198.51.100.9", "port": 51820, "protocol": "udp", "by": by }])
}

fn await_bootstrap(lab: &Lab, wanted: &Value) -> Result<()> {
    wait_for(&format!("the bootstrap is {wanted}"), SOON, || {
        Ok(status(lab).is_ok_and(|is| is["bootstrap"] == *wanted && is["enforced"] == true).then_some(()))
    })
}

/// Waits until the status shows what a VPN lacks, with a remedy that ends like this.
fn await_left_out(lab: &Lab, name: &str, remedy: &str) -> Result<()> {
    wait_for(&format!("status shows what is left out of {name}"), SOON, || {
        let status = status(lab)?;
        let mut left_out = status["left_out"].as_array().into_iter().flatten();
        let is_it = |one: &Value| {
            one["name"] == name && one["remedy"].as_str().is_some_and(|told| told.ends_with(remedy))
        };
        Ok(left_out.any(is_it).then_some(()))
    })
}

/// Checks that pings of both families through the tunnel are answered.
fn flows(lab: &Lab) -> Result<()> {
    [INTERNET, INTERNET_V6].into_iter().try_for_each(|target| flows_to(lab, target))
}

/// Checks that a tunnel of this name protects because of this source. Returns the status.
fn protects(lab: &Lab, name: &str, source: &str) -> Result<Value> {
    let status = wait_for_state(lab, "protected")?;
    let tunnel = &status["tunnels"][0];
    ensure!(tunnel["interface"] == name && tunnel["source"] == source, "{status}");
    ensure!(tunnel["endpoint"]["address"] == "198.51.100.9" && tunnel["carrying"] == true, "{status}");
    flows(lab)?;
    Ok(status)
}

/// Checks that a tunnel of this name protects because of what the kernel shows.
fn protected_by(lab: &Lab, name: &str) -> Result<()> {
    let status = protects(lab, name, "kernel")?;
    ensure!(status["bootstrap"] == server(MARKED), "{status}");
    Ok(())
}

#[test]
fn a_tunnel_of_wg_quick_protects_over_a_restart_of_the_agent_and_its_end_is_a_loss() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let wireguard = Server::start(lab)?;
        wireguard.write(lab, "office", "")?;
        let mut leak_test = LeakTest::begin(lab)?;
        let mut first = agent(lab, KNOWN)?;
        await_bootstrap(lab, &server(MARKED))?;
        leak_test.await_silence()?;
        leak_test.close()?;
        let post_up = lab.host().outside("/run/post-up");
        ensure!(!post_up.exists(), "the agent ran a command of the file");

        wg_quick(lab, "up", "office")?;
        protected_by(lab, "office")?;
        ensure!(post_up.exists(), "the control: wg-quick runs it");
        for user in ["root", "nobody"] {
            lab.host().udp(SERVER)?.on("eth0").from_user(user).tag("beside").count(20).send()?;
        }
        first.stop()?;
        let second = start_agent(lab)?;
        protected_by(lab, "office")?;
        ensure!(!second.log().contains(" is lost: "), "{}", second.log());

        // If an administrator ends the tunnel, it looks the same as any other loss.
        wg_quick(lab, "down", "office")?;
        wait_for_state(lab, "lost")?;
        wg_quick(lab, "up", "office")?;
        protected_by(lab, "office")?;
        lab.host().signal_all("wireguard-go", Signal::SIGKILL)?;
        let lost = wait_for_state(lab, "lost")?;
        ensure!(lost["loss"]["name"] == "office" && lost["loss"]["seen_by"] == "links", "{lost}");
        ensure!(lost["bootstrap"] == server(MARKED), "{lost}");
        leak_test.check("wg-quick", &contract()?)?;
        let beside = seen(&leak_test.since_closed()?, "beside");
        assert_eq!(beside, 0, "no packet without the mark reaches the server");
        Ok(())
    })
}

#[test]
fn of_two_files_only_the_named_one_counts_and_status_shows_the_line_for_the_other() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let wireguard = Server::start(lab)?;
        wireguard.write(lab, "office", "")?;
        wireguard.write(lab, "home", "FwMark = 0x7766")?;
        // The agent reads no server from a file that others can write.
        wireguard.write(lab, "open", "FwMark = 0x8888")?;
        lab.host().succeed(["chmod", "666", "/etc/wireguard/open.conf"])?;
        let mut leak_test = LeakTest::begin(lab)?;
        let agent = agent(lab, &format!("{KNOWN}[vpn]\nconnections = [\"wireguard:office\"]\n"))?;
        await_bootstrap(lab, &server(MARKED))?;
        ensure!(
            agent.log().contains("/etc/wireguard/open.conf: left out: others than root"),
            "{}",
            agent.log()
        );
        leak_test.await_silence()?;
        leak_test.close()?;

        // The device has every route, but no packet passes, neither into it nor out of it.
        wg_quick(lab, "up", "home")?;
        let line = "vpn.connections = [\"wireguard:home\", \"wireguard:office\"]";
        await_left_out(lab, "home", line)?;
        await_left_out(lab, "/etc/wireguard/open.conf", "make it root's alone: chown root, chmod go-w")?;
        ensure!(status(lab)?["state"] == "locked", "{}", status(lab)?);
        ensure!(tunwarden(lab, ["status"])?.stdout.contains(line), "status");
        ensure!(tunwarden(lab, ["doctor"])?.stdout.contains("home"), "doctor");
        let sent = lab.host().ping(INTERNET).count(3).send()?;
        ensure!(sent.answered == 0, "a tunnel that does not count carries: {sent:?}");
        wg_quick(lab, "down", "home")?;

        wg_quick(lab, "up", "office")?;
        protected_by(lab, "office").with_context(|| agent.log())?;
        leak_test.check("two files", &contract()?)
    })
}

/// The mark that wg-quick gives a device while another device uses the table 51820.
const NEXT_MARK: &str = "mark 0xca6d";

/// Checks that the device `office` protects, and that only its server at this address may be reached.
fn at(lab: &Lab, address: &str) -> Result<()> {
    wait_for_state(lab, "protected")?;
    let server = json!([{ "address": address, "port": 51820, "protocol": "udp", "by": NEXT_MARK }]);
    await_bootstrap(lab, &server)?;
    // The device waits 5 seconds before it repeats its handshake.
    for target in [INTERNET, INTERNET_V6] {
        wait_for(&format!("{target} answers through the tunnel"), SOON * 2, || {
            let ping = lab.host().ping(target).await_answers(Duration::from_secs(1));
            Ok((ping.send()?.answered == 1).then_some(()))
        })?;
    }
    Ok(())
}

#[test]
fn a_second_device_protects_over_a_restart_and_is_lost_with_its_server_which_nothing_follows_to_dns()
-> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let wireguard = Server::start(lab)?;
        wireguard.write(lab, "office", "")?;
        lab.host().succeed("ip route add blackhole 192.0.2.0/24 table 51820".split(' '))?;
        let count = "-t raw -A OUTPUT -d 198.51.100.8 -p udp --dport 53";
        lab.host().succeed(["iptables", "-w"].into_iter().chain(count.split(' ')))?;
        let mut leak_test = LeakTest::begin(lab)?;
        let mut first = agent(lab, &format!("{KNOWN}[vpn]\nsilence = \"15s\"\n"))?;
        await_bootstrap(lab, &server(MARKED))?;
        leak_test.await_silence()?;
        leak_test.close()?;
        wg_quick(lab, "up", "office")?;
        at(lab, "198.51.100.9").with_context(|| first.log())?;
        first.kill()?;
        let second = start_agent(lab)?;
        at(lab, "198.51.100.9").with_context(|| second.log())?;

        // Any packet of the server would set its address again, so the server is silent while it moves.
        lab.isp().signal_all("wireguard-go", Signal::SIGSTOP)?;
        let lost = wait_for_state(lab, "lost")?;
        ensure!(lost["loss"]["name"] == "office" && lost["loss"]["seen_by"] == "silence", "{lost}");
        wireguard.move_to(lab, "office", "198.51.100.8", 53)?;
        await_left_out(lab, "office", "as Endpoint of its peer")?;
        wait_for("the device sends there", SOON, || {
            let rules = lab.host().succeed(["iptables", "-w", "-t", "raw", "-vxnL", "OUTPUT"])?;
            let counted = rules.lines().find(|line| line.ends_with("dpt:53"));
            Ok(counted.is_some_and(|line| line.split_whitespace().next() != Some("0")).then_some(()))
        })?;
        wireguard.move_to(lab, "office", "198.51.100.8", 51_820)?;
        let moved = json!({ "address": "198.51.100.8", "port": 51820, "protocol": "udp", "by": NEXT_MARK });
        wait_for("the server may be reached at its new address", SOON, || {
            let bootstrap = status(lab)?["bootstrap"].clone();
            Ok(bootstrap.as_array().is_some_and(|all| all.contains(&moved)).then_some(()))
        })?;
        lab.isp().signal_all("wireguard-go", Signal::SIGCONT)?;
        wait_for_state(lab, "protected").with_context(|| second.log())?;
        leak_test.check("the server moves", &contract()?.endpoint("198.51.100.8:51820/udp")?)
    })
}

/// A server does not answer a multicast packet, and some programs send such packets by themselves.
#[test]
fn questions_by_multicast_into_a_device_are_no_silence() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let wireguard = Server::start(lab)?;
        wireguard.write(lab, "office", "")?;
        let agent = agent(lab, &format!("{KNOWN}[vpn]\nsilence = \"5s\"\n"))?;
        await_bootstrap(lab, &server(MARKED))?;
        wg_quick(lab, "up", "office")?;
        protected_by(lab, "office").with_context(|| agent.log())?;
        lab.isp().signal_all("wireguard-go", Signal::SIGSTOP)?;
        let questions = ["224.0.0.251:5353", "[ff02::fb]:5353"];
        let flood = |target: &str| lab.host().udp(target)?.on("office").flood(20);
        let floods = questions.into_iter().map(flood).collect::<Result<Vec<_>>>()?;
        floods.iter().try_for_each(|flood| flood.await_more(300))?;
        ensure!(!agent.log().contains(" is lost: "), "{}", agent.log());
        ensure!(status(lab)?["state"] == "protected", "{}", status(lab)?);
        // The control: a packet that the server would answer.
        let _flood = lab.host().udp("203.0.113.9:4000")?.from_user("nobody").flood(5)?;
        let lost = wait_for_state(lab, "lost")?;
        ensure!(lost["loss"]["seen_by"] == "silence", "{lost}");
        Ok(())
    })
}

/// The server's endpoint over IPv6.
const SERVER_V6: &str = "[2001:db8:7::7]:51820";

#[test]
fn over_ipv6_a_device_is_lost_with_its_network_and_protects_again_on_another_one() -> Result<()> {
    with_lab(|lab| {
        let host = lab.host();
        let _bus = bus(lab)?;
        let wireguard = Server::start(lab)?;
        wireguard.write(lab, "office", "")?;
        let path = "/etc/wireguard/office.conf";
        let text = host.read(path)?.replace(SERVER, SERVER_V6);
        host.file_with_mode(path, &text, 0o600)?;
        let mut leak_test = LeakTest::begin(lab)?;
        let agent = agent(lab, KNOWN)?;
        let server = json!([{ "address": "2001:db8:7::7", "port": 51820, "protocol": "udp", "by": MARKED }]);
        await_bootstrap(lab, &server)?;
        leak_test.await_silence()?;
        leak_test.close()?;
        wg_quick(lab, "up", "office")?;
        wait_for_state(lab, "protected").with_context(|| agent.log())?;
        flows(lab)?;
        let listed = status(lab)?["vpns"].clone();
        let office = json!([{ "name": "office", "origin": "wireguard", "servers": [format!("{SERVER_V6}/udp")], "more": 0,
                              "mark": "0xca6c", "counts": true, "fault": null, "uuid": null }]);
        ensure!(listed == office, "{listed}");

        host.succeed(["ip", "link", "set", "eth0", "down"])?;
        let lost = wait_for_state(lab, "lost").with_context(|| agent.log())?;
        ensure!(lost["loss"]["code"] == "unreachable" && lost["bootstrap"] == server, "{lost}");
        lab.add_uplink(Uplink::numbered("usb0", 1))?;
        wait_for_state(lab, "protected").with_context(|| agent.log())?;
        flows(lab)?;
        let lans = Contract::locked().discovery().lan("10.0.0.0/24")?.lan("fd00:0:0:1::/64")?;
        let lans = lans.lan("10.0.1.0/24")?.lan("fd00:0:0:2::/64")?;
        leak_test.check("WireGuard over IPv6", &lans.endpoint(&format!("{SERVER_V6}/udp"))?)
    })
}

/// Routes of a hostile DHCP server past the tunnel.
const HOSTILE: [&str; 4] = ["0.0.0.0/2", "64.0.0.0/2", "128.0.0.0/2", "192.0.0.0/2"];

#[test]
fn a_killed_agent_and_hostile_routes_open_nothing_for_programs_and_containers() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let wireguard = Server::start(lab)?;
        wireguard.write(lab, "office", "")?;
        let mut leak_test = LeakTest::begin(lab)?;
        let (host, capture) = (lab.host(), lab.capture()?);
        let containers =
            [host.bridged_container("bridged", "br-lab")?, host.macvlan_container("onlink", "eth0")?];
        let floods = ["bridged", "onlink"].into_iter().zip(&containers);
        let floods = floods.map(|(tag, container)| container.flood("203.0.113.9:4000", tag, 50));
        let floods = floods.collect::<Result<Vec<_>>>()?;
        for tag in ["bridged", "onlink"] {
            let seen = capture.wait_for(5, SOON, |frame| frame.is_tagged(tag));
            seen.with_context(|| format!("the control: {tag} is seen without an agent"))?;
        }
        let mut agent = agent(lab, KNOWN)?;
        await_bootstrap(lab, &server(MARKED))?;
        leak_test.await_silence()?;
        leak_test.close()?;
        let check = |promise: &str| {
            floods.iter().try_for_each(|flood| flood.await_more(20))?;
            leak_test.check(promise, &contract()?)
        };
        agent.kill()?;
        check("killed while locked")?;
        agent = start_agent(lab)?;
        wg_quick(lab, "up", "office")?;
        protected_by(lab, "office").with_context(|| agent.log())?;
        agent.kill()?;
        check("killed while protected")?;
        agent = start_agent(lab)?;
        protected_by(lab, "office").with_context(|| agent.log())?;
        for route in HOSTILE {
            host.succeed(["ip", "route", "add", route, "via", "10.0.0.1"])?;
        }
        let lost = wait_for_state(lab, "lost")?;
        ensure!(lost["loss"]["seen_by"] == "links", "{lost}");
        agent.kill()?;
        check("killed while lost")?;
        agent = start_agent(lab)?;
        wait_for_state(lab, "lost")?;
        for route in HOSTILE {
            host.succeed(["ip", "route", "del", route])?;
        }
        protected_by(lab, "office").with_context(|| agent.log())?;
        check("protected again")
    })
}

/// Opens a tun device as its user, and reads the packets that the kernel routes into it.
const READ: &str = "
import fcntl, os, struct
tun = os.open('/dev/net/tun', os.O_RDWR)
fcntl.ioctl(tun, 0x400454ca, struct.pack('16sH', b'tun2', 0x1001))
print('open', flush=True)
while True: os.read(tun, 4096)
";

/// An ordinary user can make links in a network namespace of their own. NetworkManager also makes tun devices for
/// users, which the users' programs may open.
#[test]
fn the_links_of_an_ordinary_user_are_no_tunnel() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let _agent = agent(lab, KNOWN)?;
        let make = "ip link add tun0 type vxlan id 7 remote 198.51.100.9 dstport 51820 && \
                    ip addr add 10.7.0.2/24 dev tun0 && ip link set tun0 up && ip route add default dev tun0 && \
                    echo made && exec sleep 1000";
        let mut forger = lab.host().command(["unshare", "-Urn", "sh", "-c", make]).user("nobody").spawn()?;
        forger.wait_for_line("made", SOON)?;
        // A device of root that has a tunnel's name is no tunnel either, if it is of another kind.
        let batch = "link add tun1 type vxlan id 8 remote 198.51.100.9 dstport 51820\n\
                     addr add 10.8.0.2/24 dev tun1\nlink set tun1 up\nroute replace default dev tun1\n";
        lab.host().command(["ip", "-batch", "-"]).stdin(batch).succeed()?;
        wait_for("the agent has seen the link", SOON, || {
            let rules = support::chain(lab, "iptables", "VPN_TUNNEL")?;
            Ok(rules.first().is_some_and(|rule| rule == "-A VPN_TUNNEL -o tun1 -j RETURN").then_some(()))
        })?;
        lab.host().succeed("ip tuntap add dev tun2 mode tun user nobody".split(' '))?;
        let mut reader = lab.host().command(["python3", "-c", READ]).user("nobody").spawn()?;
        reader.wait_for_line("open", SOON)?;
        // The route comes before the address: once the agent has seen the address, it has seen the route too.
        let batch = "link set tun2 up\nroute replace default dev tun2\naddr add 10.9.0.2/24 dev tun2\n";
        lab.host().command(["ip", "-batch", "-"]).stdin(batch).succeed()?;
        wait_for("the agent has seen its address", SOON, || {
            let rules = support::chain(lab, "iptables", "VPN_TUNNEL_ADDRESS")?;
            Ok(rules.iter().any(|rule| rule.contains("10.9.0.2/32")).then_some(()))
        })?;
        let status = status(lab)?;
        ensure!(status["state"] == "locked" && status["tunnels"] == json!([]), "{status}");
        Ok(())
    })
}
