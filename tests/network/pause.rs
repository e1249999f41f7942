//! A pause opens the promised traffic for the promised time. It always ends, also if a process dies or the
//! clock is changed.

use crate::support;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use support::docker::inside;
use support::leak_test::{Desktop, LeakTest};
use support::{SOON, TUNWARDEN, bus, chain, polkit, status, tunwarden, wait_for_state};
use tunwarden_lab::{Capture, Engine, Flood, Lab, Probe, wait_for, wait_until, with_lab};

/// Traffic that a login at a portal needs. The next list is traffic that it does not need.
const WANTED: [(&str, &str, &str); 6] = [
    ("dns", "udp", "203.0.113.30:53"),
    ("dns6", "udp", "[2001:db8:9::30]:53"),
    ("dnstcp", "tcp", "203.0.113.30:53"),
    ("http", "tcp", "203.0.113.30:80"),
    ("https", "tcp", "203.0.113.30:443"),
    ("https6", "tcp", "[2001:db8:9::30]:443"),
];
const UNWANTED: [(&str, &str, &str); 6] = [
    ("quic", "udp", "203.0.113.40:443"),
    ("dot", "tcp", "203.0.113.40:853"),
    ("ssh", "tcp", "203.0.113.40:22"),
    ("udp80", "udp", "203.0.113.40:80"),
    ("any6", "udp", "[2001:db8:9::40]:4000"),
    ("proxy", "tcp", "[2001:db8:9::40]:8080"),
];

/// The address of the web page for containers.
const CONTAINERS: &str = "203.0.113.77";

/// Floods of each kind from an ordinary user.
struct Floods {
    capture: Capture,
    floods: Vec<(std::net::SocketAddr, Flood)>,
}

impl Floods {
    fn begin(lab: &Lab, kinds: &[(&str, &str, &str)]) -> Result<Self> {
        let capture = lab.capture()?;
        let flood = |&(tag, kind, target): &(&str, &str, &str)| {
            let probe = probe(lab, kind, target)?.from_user("nobody").tag(tag);
            Ok((target.parse()?, probe.flood(20)?))
        };
        Ok(Self { capture, floods: kinds.iter().map(flood).collect::<Result<_>>()? })
    }

    fn count(&self) -> Result<Vec<usize>> {
        let frames = self.capture.so_far()?;
        let to = |target: &std::net::SocketAddr| {
            let port = |frame: &tunwarden_lab::Frame| match frame.transport() {
                Some(tunwarden_lab::Transport::Udp { to, .. } | tunwarden_lab::Transport::Tcp { to, .. }) => {
                    to
                }
                _ => 0,
            };
            let same = |frame: &&tunwarden_lab::Frame| {
                frame.destination() == Some(target.ip()) && port(frame) == target.port()
            };
            frames.iter().filter(same).count()
        };
        Ok(self.floods.iter().map(|(target, _)| to(target)).collect())
    }

    /// Waits until new packets of each kind leave.
    fn are_seen(&self, why: &str) -> Result<()> {
        let before = self.count()?;
        wait_for(&format!("{why}: each is seen"), SOON * 2, || {
            let now = self.count()?;
            Ok(now.iter().zip(&before).all(|(now, before)| now > before).then_some(()))
        })
        .with_context(|| format!("{before:?}, {:?}", self.count()))
    }

    /// Checks that none of them leaves while each flood continues.
    fn are_held(&self, why: &str) -> Result<()> {
        let before = self.count()?;
        self.floods.iter().try_for_each(|(_, flood)| flood.await_more(20))?;
        let after = self.count()?;
        ensure!(after == before, "{why}: {before:?} were seen before, {after:?} after");
        Ok(())
    }
}

fn probe(lab: &Lab, kind: &str, target: &str) -> Result<Probe> {
    if kind == "udp" { lab.host().udp(target) } else { lab.host().tcp(target) }
}

#[test]
fn a_pause_for_a_portal_opens_names_and_web_pages_and_ends_when_the_vpn_is_up() -> Result<()> {
    with_lab(|lab| {
        let desktop = Desktop::new(lab, "")?;
        let (wanted, unwanted) = (Floods::begin(lab, &WANTED)?, Floods::begin(lab, &UNWANTED)?);
        wanted.are_held("locked")?;

        let output = tunwarden(lab, ["pause", "--for", "portal", "1h"])?;
        ensure!(output.status.success(), "{}", output.stderr);
        ensure!(output.stdout.contains("OPEN until") && output.stdout.contains("web pages"), "{output:?}");
        let paused = wait_for_state(lab, "paused")?;
        ensure!(paused["pause"]["scope"] == "portal", "{paused}");
        wanted.are_seen("a pause for a portal")?;
        unwanted.are_held("a pause for a portal")?;
        // The control: during a pause that opens everything, each of them leaves.
        ensure!(tunwarden(lab, ["pause", "1h"])?.status.success());
        unwanted.are_seen("a pause")?;
        ensure!(status(lab)?["pause"]["scope"] == "everything");
        // The narrower pause replaces the full one.
        ensure!(tunwarden(lab, ["pause", "--for", "portal"])?.status.success());
        unwanted.are_held("a pause for a portal again")?;

        ensure!(tunwarden(lab, ["resume"])?.status.success());
        wanted.are_held("closed again")?;

        ensure!(tunwarden(lab, ["pause", "--for", "portal", "1h"])?.status.success());
        wanted.are_seen("a second pause for a portal")?;
        desktop.connect()?;
        wanted.are_held("the VPN is up")?;
        let status = wait_for_state(lab, "protected")?;
        ensure!(status["pause"].is_null() && status["paused_until"].is_null(), "{status}");
        let refused = tunwarden(lab, ["pause", "--for", "portal"])?;
        ensure!(!refused.status.success() && refused.stderr.contains("the VPN is up"), "{}", refused.stderr);
        desktop.nm.down("lab")?;
        wait_for_state(lab, "locked")?;
        wanted.are_held("the VPN went down, and the pause is over")?;
        let said = desktop.signals.states();
        let ends = ["paused -> locked", "paused -> protected"].map(|end| said.iter().any(|one| one == end));
        ensure!(ends == [true, true], "{said:?}");
        Ok(())
    })
}

#[test]
fn containers_stay_closed_while_paused_for_a_portal() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let docker = lab.host().docker(Engine::System, [])?;
        docker.run(["--name", "web", "lab", "sleep", "infinity"])?;
        let _agent = support::agent(lab, "")?;
        let capture = lab.capture()?;
        let visit = || {
            let before = seen(&capture)?;
            inside(&docker, "web", &format!("timeout 1 bash -c 'echo >/dev/tcp/{CONTAINERS}/80'; true"))?;
            anyhow::Ok(seen(&capture)? > before)
        };
        ensure!(!visit()?, "locked");
        ensure!(tunwarden(lab, ["pause", "--for", "portal", "1h"])?.status.success());
        let host = lab.host().tcp(&format!("{CONTAINERS}:80"))?.from_user("nobody");
        let before = seen(&capture)?;
        host.send()?;
        ensure!(seen(&capture)? > before, "the host itself may see the page");
        ensure!(!visit()?, "a container may not");
        ensure!(status(lab)?["docker"]["protected"] == true);
        ensure!(tunwarden(lab, ["pause", "1h"])?.status.success());
        ensure!(visit()?, "the control: a pause that opens everything");
        ensure!(status(lab)?["docker"]["protected"] == false);
        Ok(())
    })
}

fn seen(capture: &Capture) -> Result<usize> {
    let to = Some(CONTAINERS.parse()?);
    Ok(capture.so_far()?.iter().filter(|frame| frame.destination() == to).count())
}

#[test]
fn a_clock_outside_the_pause_closes_the_kernel_rules() -> Result<()> {
    with_lab(|lab| {
        let mut leak_test = LeakTest::begin(lab)?;
        let mut apply = |from: &str, until: &str| {
            for (tool, format) in [("iptables-restore", "iptables"), ("ip6tables-restore", "ip6tables")] {
                let words = [TUNWARDEN, "rules", "--state", "paused", "--format", format];
                let text = lab.host().succeed(words)?;
                let date = |line: &str, option: &str, moment: &str| {
                    let Some((before, after)) = line.split_once(option) else { return line.to_owned() };
                    let rest = after.trim_start().split_once(' ').map_or("", |(_, rest)| rest);
                    format!("{before}{option} {moment} {rest}")
                };
                let lines =
                    text.lines().map(|line| date(&date(line, "--datestart", from), "--datestop", until));
                let text: Vec<String> = lines.collect();
                ensure!(text.iter().any(|line| line.contains(from) && line.contains(until)), "{text:?}");
                lab.host().command([tool]).stdin(&(text.join("\n") + "\n")).succeed()?;
            }
            leak_test.close()
        };
        // As if the clock had been set back to a time before the pause.
        apply("2037-01-01T00:00:00", "2037-01-01T01:00:00")?;
        held(lab, "the pause is still to come")?;
        apply("2001-01-01T00:00:00", "2001-01-01T01:00:00")?;
        held(lab, "the pause is over")?;
        apply("2001-01-01T00:00:00", "2037-01-01T00:00:00")?;
        leak_test.is_seen("the control: a pause that lasts now")
    })
}

/// Checks that packets of an ordinary user do not leave.
fn held(lab: &Lab, why: &str) -> Result<()> {
    for target in ["203.0.113.50:4000", "[2001:db8:9::50]:4000"] {
        let capture = lab.capture()?;
        let sent = lab.host().udp(target)?.from_user("nobody").tag("held").count(20).send()?;
        let seen = capture.stop()?.iter().filter(|frame| frame.is_tagged("held")).count();
        ensure!(seen == 0 && sent.forbidden() == 20, "{why}: {seen} to {target} left; {sent:?}");
    }
    Ok(())
}

/// Path of the library that gives one process another clock, in Debian.
#[expect(clippy::disallowed_methods, reason = "a test looks for a library")]
fn libfaketime() -> Result<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib")?.filter_map(|entry| Some(entry.ok()?.path()));
    let paths = folders.map(|folder| folder.join("faketime/libfaketime.so.1"));
    paths.into_iter().find(|path| path.exists()).context("the package faketime")
}

#[test]
fn an_agent_keeps_the_end_of_a_pause_by_clock_boottime_when_the_wall_clock_is_set() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let set = |offset: &str| lab.host().file("/run/clock", offset);
        set("+0")?;
        let agent = lab.host().command([TUNWARDEN, "agent", "--verbose"]);
        let agent = agent.env("LD_PRELOAD", &libfaketime()?.to_string_lossy());
        let agent = agent.env("FAKETIME_TIMESTAMP_FILE", "/run/clock").env("FAKETIME_NO_CACHE", "1");
        let mut agent = support::start_agent_as(lab, agent.env("FAKETIME_DONT_FAKE_MONOTONIC", "1"))?;
        wait_for_state(lab, "locked")?;
        ensure!(tunwarden(lab, ["pause", "1h"])?.status.success());
        let until = |status: serde_json::Value| status["paused_until"].as_u64().context("no pause");
        let first = until(status(lab)?)?;
        // With every event the agent compares both clocks. The kernel's alarm is one such event.
        set("-30")?;
        agent.signal(Signal::SIGHUP)?;
        wait_until("the pause is moved with the clock", SOON, || {
            status(lab).and_then(until).is_ok_and(|now| now < first)
        })?;
        let second = until(status(lab)?)?;
        ensure!((28..=32).contains(&(first - second)), "moved from {first} to {second}");
        agent.wait_for_lines("the clock was set back", 1, SOON)?;
        let date =
            jiff::Timestamp::from_second(second.cast_signed())?.strftime("%Y-%m-%dT%H:%M:%S").to_string();
        let rules = chain(lab, "iptables", "OUTPUT_VPN_KILL_SWITCH")?;
        ensure!(rules.iter().any(|rule| rule.contains(&format!("--datestop {date}"))), "{date}: {rules:?}");

        // A time after the end of the pause, and a time before its start: both end the pause.
        for offset in ["+7200", "-7200"] {
            set("+0")?;
            ensure!(tunwarden(lab, ["pause", "1h"])?.status.success());
            wait_for_state(lab, "paused")?;
            set(offset)?;
            agent.signal(Signal::SIGHUP)?;
            wait_for_state(lab, "locked").with_context(|| format!("the clock moved by {offset}"))?;
            held(lab, offset)?;
        }
        Ok(())
    })
}

#[test]
fn who_opened_and_who_closed_is_logged_and_announced() -> Result<()> {
    with_lab(|lab| {
        let bus = bus(lab)?;
        polkit::allow_only(lab, "pause", "daemon")?;
        let _polkit = bus.polkit()?;
        let mut agent = support::agent(lab, "")?;
        let heard = lab.host().spawn(["dbus-monitor", "--system", "type='signal',member='StateChanged'"])?;
        wait_until("the listener is there", SOON, || heard.log().contains("NameAcquired"))?;
        let as_user = |user: &str, words: &[&str]| {
            lab.host().command([TUNWARDEN].iter().chain(words).copied()).user(user).run()
        };
        for words in [&["pause", "1h"][..], &["pause", "--for", "portal"]] {
            let denied = as_user("nobody", words)?;
            ensure!(!denied.status.success() && denied.stderr.contains("polkit did not allow"), "{denied:?}");
            ensure!(status(lab)?["state"] == "locked", "refused");

            let allowed = as_user("daemon", words)?;
            ensure!(allowed.status.success(), "{}", allowed.stderr);
            agent.wait_for_lines("daemon (user 1) pauses for", 1, SOON)?;
            wait_until("announced with the user", SOON, || {
                let log = heard.log();
                log.contains("uint32 1\n") && log.contains("string \"daemon\"")
            })?;
            // The end of a pause needs no permission, and the agent announces it too.
            ensure!(as_user("nobody", &["resume"])?.status.success());
            wait_for_state(lab, "locked")?;
        }
        agent.wait_for_lines("nobody (user 65534) ends the pause", 2, SOON)?;
        wait_until("announced with the user", SOON, || heard.log().contains("string \"nobody\""))
    })
}
