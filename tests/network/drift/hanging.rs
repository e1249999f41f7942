//! Firewall programs that hang, or that wait for a lock that another process holds, and a kernel that does not
//! answer. The agent still answers calls, pings systemd's watchdog, and ends on SIGTERM.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use tunwarden_lab::{Capture, Lab, Process, wait_for, with_lab};

use super::BOTH;
use crate::support::kernel::Backend;
use crate::support::nft::{self, fake_tool};
use crate::support::{
    BUSY_MESSAGE, SOON, TUNWARDEN, bus, chain, start_agent_as, status, tunwarden, wait_for_state,
};

/// A fake tool that hangs while `/run/hangs` exists.
const HANGING: &str = r#"
    if test -e /run/hangs; then exec sleep 1000; fi
    exec $real "$@""#;

/// Receives a message. A signal interrupts a socket that has a timeout, so the call is repeated.
fn receive(systemd: &UnixDatagram, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match systemd.recv(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// An agent and how often it has pinged systemd's watchdog.
struct Supervised {
    agent: Process,
    pings: Arc<AtomicUsize>,
}

/// How long a starting agent may send nothing while a program hangs. systemd's own timeout is shorter, and the
/// start may take longer: each run of the program hangs for 20 s.
const START: Duration = Duration::from_secs(100);

impl Supervised {
    fn start(lab: &Lab, config: &str) -> Result<Self> {
        lab.host().file("/etc/tunwarden/config.toml", config)?;
        let systemd = UnixDatagram::bind(lab.host().outside("/run/notify"))?;
        systemd.set_read_timeout(Some(SOON))?;
        let pings = Arc::new(AtomicUsize::new(0));
        let heard = Arc::clone(&pings);
        // The thread reads without pause, as systemd does. Otherwise the agent would block on its messages.
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length) = receive(&systemd, &mut buffer) {
                let is_ping = String::from_utf8_lossy(&buffer[..length]).contains("WATCHDOG=1");
                heard.fetch_add(usize::from(is_ping), Ordering::Relaxed);
            }
        });
        let agent = lab.host().command([TUNWARDEN, "agent", "--verbose"]).env("NOTIFY_SOCKET", "/run/notify");
        let agent = start_agent_as(lab, agent.env("WATCHDOG_USEC", "400000"))?;
        wait_for_state(lab, "locked")?;
        Ok(Self { agent, pings })
    }

    /// Waits for new pings.
    fn await_pings(&self) -> Result<()> {
        let wanted = self.pings.load(Ordering::Relaxed) + 3;
        wait_for("the agent pings the watchdog", SOON, || {
            Ok((self.pings.load(Ordering::Relaxed) >= wanted).then_some(()))
        })
    }
}

/// Gives an uplink another network, which changes the rules for the LAN.
fn move_the_lan(lab: &Lab) -> Result<()> {
    let uplink = lab.uplinks()[0].name.clone();
    lab.host().succeed(["ip", "address", "add", "192.168.77.2/24", "dev", &uplink]).map(drop)
}

fn call(lab: &Lab, words: &[&str]) -> Result<Process> {
    let agent = "busctl --system call --timeout=25 -- org.tunwarden.Agent1 /org/tunwarden/Agent1 \
                 org.tunwarden.Agent1";
    let words = agent.split_whitespace().chain(words.iter().copied());
    lab.host().command(words.map(str::to_owned)).spawn()
}

/// Checks that the agent answers and pings during a commit that does not end.
fn answers_during_a_commit(lab: &Lab, supervised: &Supervised) -> Result<()> {
    let mut last = serde_json::Value::Null;
    wait_for("the status says that a program is at work", SOON, || {
        last = status(lab)?;
        Ok(last["pending"].as_str().is_some_and(|pending| pending.contains(BUSY_MESSAGE)).then_some(()))
    })
    .with_context(|| format!("the last status: {last}"))?;
    ensure!(last["verdict"] == "unknown" && last["enforced"] == false, "it claims to know: {last}");
    supervised.await_pings()
}

/// Checks that the agent answers calls and pings during a commit that does not end.
fn answers_calls(lab: &Lab, supervised: &Supervised) -> Result<()> {
    move_the_lan(lab)?;
    answers_during_a_commit(lab, supervised)?;
    // The agent accepts a hook's report, so that OpenVPN continues. A check of the rules fails with the reason.
    let mut report = call(lab, &["ReportTunnel", "a{ss}", "2", "script_type", "down", "dev", "tun7"])?;
    ensure!(report.wait(SOON)?.success(), "the hook waits: {}", report.log());
    let mut look = call(lab, &["Verify"])?;
    ensure!(!look.wait(SOON)?.success(), "{}", look.log());
    // If nothing else reads the rules at that moment, the check itself meets the program that hangs.
    let log = look.log();
    ensure!(log.contains(BUSY_MESSAGE) || log.contains("did not end within 20 seconds"), "{log}");
    Ok(())
}

fn the_agent_continues_while(tool: &str) -> Result<()> {
    with_lab(|lab| {
        fake_tool(lab, tool, HANGING)?;
        let _bus = bus(lab)?;
        let mut supervised = Supervised::start(lab, BOTH)?;
        lab.host().file("/run/hangs", "")?;
        answers_calls(lab, &supervised)?;
        supervised.agent.signal(Signal::SIGTERM)?;
        ensure!(supervised.agent.wait(SOON)?.success(), "{}", supervised.agent.log());
        ensure!(!chain(lab, "iptables", "OUTPUT_VPN_KILL_SWITCH")?.is_empty(), "it ended open");
        lab.host().succeed(["rm", "/run/hangs"])?;
        ensure!(tunwarden(lab, ["lock"])?.status.success(), "the control: {tool} works again");
        Ok(())
    })
}

#[test]
fn an_agent_continues_while_iptables_restore_hangs() {
    the_agent_continues_while("iptables-nft-restore").unwrap();
}

/// A pipe in the place of the new file holds the agent's write, as a disk that does not answer.
#[test]
fn an_agent_continues_while_the_disk_holds_a_write() -> Result<()> {
    const PIPE: &str = "/var/lib/tunwarden/configuration.new";
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let mut supervised = Supervised::start(lab, BOTH)?;
        lab.host().succeed(["mkfifo", "--mode=600", PIPE])?;
        lab.host().file("/etc/tunwarden/config.toml", &format!("{BOTH}\n[lan]\nallow = false\n"))?;
        ensure!(tunwarden(lab, ["reload"])?.status.success(), "{}", supervised.agent.log());
        wait_for("the agent reports the disk", SOON, || {
            Ok(supervised.agent.log().contains("the disk has not taken").then_some(()))
        })?;
        let now = status(lab)?;
        ensure!(now["state"] == "locked" && now["enforced"] == true, "{now}");
        supervised.await_pings()?;
        move_the_lan(lab)?;
        supervised.await_pings()?;
        // A reader lets the write go on.
        let text = lab.host().succeed(["timeout", "30", "cat", PIPE])?;
        ensure!(text.contains("allow = false"), "the write that was held: {text}");
        lab.host().succeed(["rm", PIPE])?;
        supervised.agent.signal(Signal::SIGTERM)?;
        ensure!(supervised.agent.wait(SOON)?.success(), "{}", supervised.agent.log());
        Ok(())
    })
}

#[test]
fn an_agent_continues_while_ip6tables_save_hangs() {
    the_agent_continues_while("ip6tables-nft-save").unwrap();
}

#[test]
fn an_agent_continues_while_nf_tables_does_not_answer() {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let mut supervised = Supervised::start(lab, BOTH)?;
        let stopped = nft::stop_thread(&supervised.agent)?;
        answers_calls(lab, &supervised)?;
        drop(stopped);
        wait_for_state(lab, "locked")?;
        ensure!(tunwarden(lab, ["verify"])?.status.success());
        supervised.agent.signal(Signal::SIGTERM)?;
        ensure!(supervised.agent.wait(SOON)?.success(), "{}", supervised.agent.log());
        Ok(())
    })
    .unwrap();
}

#[test]
fn an_agent_continues_while_another_process_holds_the_lock_of_iptables_legacy() {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let supervised = Supervised::start(lab, &Backend::Legacy.config(""))?;
        let mut holder = lab.host().spawn(["flock", "--no-fork", "/run/xtables.lock", "sleep", "1000"])?;
        wait_for("the lock is held", SOON, || {
            let free = lab.host().run(["flock", "--nonblock", "/run/xtables.lock", "true"])?;
            Ok((!free.status.success()).then_some(()))
        })?;
        move_the_lan(lab)?;
        answers_during_a_commit(lab, &supervised)?;
        holder.kill()?;
        wait_for_state(lab, "locked")?;
        ensure!(status(lab)?["pending"].is_null());
        let lan = Backend::Legacy.chain(lab, "iptables", "VPN_LAN")?;
        ensure!(lan.iter().any(|rule| rule.contains("192.168.77.0/24")), "{lan:?}");
        ensure!(tunwarden(lab, ["verify"])?.status.success());
        Ok(())
    })
    .unwrap();
}

#[test]
fn an_agent_starts_while_iptables_restore_hangs_and_asks_systemd_for_the_time() {
    with_lab(|lab| {
        fake_tool(lab, "iptables-nft-restore", HANGING)?;
        let _bus = bus(lab)?;
        lab.host().file("/etc/tunwarden/config.toml", BOTH)?;
        lab.host().file("/run/hangs", "")?;
        let systemd = UnixDatagram::bind(lab.host().outside("/run/notify"))?;
        systemd.set_read_timeout(Some(START))?;
        let agent = lab.host().command([TUNWARDEN, "agent", "--verbose"]).env("NOTIFY_SOCKET", "/run/notify");
        let agent = agent.spawn()?;
        let (mut asked, mut buffer) = (0, [0; 4096]);
        loop {
            let length = receive(&systemd, &mut buffer).with_context(|| agent.log())?;
            let said = String::from_utf8_lossy(&buffer[..length]);
            asked += usize::from(said.contains("EXTEND_TIMEOUT_USEC=30000000"));
            if said.contains("READY=1") {
                break;
            }
        }
        ensure!(asked > 1, "it asked {asked} times: {}", agent.log());
        // `systemd` stays bound. Otherwise the agent would block on its messages.
        std::thread::spawn(move || while receive(&systemd, &mut [0; 4096]).is_ok() {});
        wait_for("the agent answers", SOON, || Ok(status(lab)?["agent"].as_bool().filter(|&agent| agent)))
            .with_context(|| agent.log())?;
        let sent = lab.host().udp("203.0.113.9:5000")?.from_user("nobody").send()?;
        ensure!(sent.accepted == 0, "the second layer is open: {sent:?}");
        lab.host().succeed(["rm", "/run/hangs"])?;
        wait_for("iptables holds the rules", START, || {
            Ok((status(lab)?["layers"][0]["enforced"] == true).then_some(()))
        })
        .with_context(|| agent.log())
    })
    .unwrap();
}

/// Whether a program of an ordinary user and a raw sender get a packet to the ISP.
fn leaves(lab: &Lab, capture: &Capture, tag: &str) -> Result<(bool, bool)> {
    let tags = [format!("{tag}-program"), format!("{tag}-raw")];
    lab.host().udp("203.0.113.9:5000")?.from_user("nobody").tag(&tags[0]).send()?;
    lab.host().raw("eth0", "203.0.113.9:5001")?.tag(&tags[1]).send()?;
    let frames = capture.so_far()?;
    Ok(tags.map(|tag| frames.iter().any(|frame| frame.is_tagged(&tag))).into())
}

/// nf_tables does not answer during a commit in a pause, and a user runs `resume`. The agent closes iptables at once,
/// and its answer says what may still leave. When nf_tables answers again, the commit that closes is the last one.
#[test]
fn a_resume_while_nf_tables_does_not_answer_closes_iptables_at_once_and_says_what_is_open() {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let capture = lab.capture()?;
        let supervised = Supervised::start(lab, BOTH)?;
        ensure!(tunwarden(lab, ["pause", "1h"])?.status.success());
        let stopped = nft::stop_thread(&supervised.agent)?;
        move_the_lan(lab)?;
        answers_during_a_commit(lab, &supervised)?;

        let resume = tunwarden(lab, ["resume"])?;
        ensure!(!resume.status.success(), "it says that it is closed: {resume:?}");
        ensure!(resume.stderr.contains("may hold the rules of the pause until"), "{resume:?}");
        let rules = chain(lab, "iptables", "OUTPUT_VPN_KILL_SWITCH")?;
        ensure!(!rules.iter().any(|rule| rule.contains("datestop")), "iptables is open: {rules:?}");
        ensure!(leaves(lab, &capture, "stopped")? == (false, true), "what it says is not so");
        // During each attempt to close, the verdict is "unknown", otherwise "open".
        let said = status(lab)?;
        ensure!(said["verdict"] != "locked" && said["enforced"] == false, "it hides what leaves: {said}");

        drop(stopped);
        wait_for_state(lab, "locked")?;
        wait_for("both layers", SOON, || Ok((status(lab)?["layers"][1]["enforced"] == true).then_some(())))
            .with_context(|| supervised.agent.log())?;
        ensure!(leaves(lab, &capture, "answers")? == (false, false), "it is not closed");
        ensure!(status(lab)?["verdict"] == "locked", "{}", status(lab)?);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_lock_while_ipset_hangs_has_a_rule_for_each_server() {
    with_lab(|lab| {
        fake_tool(lab, "ipset", HANGING)?;
        let servers: Vec<String> = (1..=100).map(|n| format!("\"198.51.100.{n}\"")).collect();
        let config = format!("[bootstrap]\nservers = [{}]\n", servers.join(", "));
        lab.host().file("/etc/tunwarden/config.toml", &config)?;
        lab.host().file("/run/hangs", "")?;
        let lock = tunwarden(lab, ["lock"])?;
        ensure!(lock.status.success(), "{lock:?}");
        ensure!(lock.stderr.contains("ipset did not end within 5 seconds"), "{lock:?}");
        let rules = chain(lab, "iptables", "VPN_BOOTSTRAP")?;
        ensure!(rules.iter().any(|rule| rule.contains("198.51.100.100/32")), "{rules:?}");
        Ok(())
    })
    .unwrap();
}
