//! The agent dies, comes back, and starts early or late, and so do the services it uses. Nothing leaves in
//! clear during that time, and the agent finds the state again.

use crate::support;

use std::os::unix::net::UnixDatagram;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use support::journal::{Journal, in_journal};
use support::leak_test::{Desktop, allowance, set};
use support::{SOON, TUNWARDEN, bus, chain, status, tunwarden, wait_for_state};
use tunwarden_lab::{TAG_MARK, wait_for, wait_until, with_lab};

/// Kills the agent while the floods continue, and starts it again. Checks that the state and its start time
/// are the same as before.
fn kill_and_restart_agent(desktop: &mut Desktop<'_>, state: &str) -> Result<()> {
    let before = wait_for_state(desktop.lab, state)?;
    let (states, losses) = (desktop.signals.states().len(), desktop.signals.losses().len());
    desktop.agent.kill()?;
    desktop.check(&format!("the agent was killed while {state}"))?;
    let without = status(desktop.lab)?;
    ensure!(without["agent"] == false && without["enforced"] == true, "without an agent: {without}");
    await_the_next_second(&before)?;
    desktop.agent = support::start_agent(desktop.lab)?;
    let after = wait_for_state(desktop.lab, state).with_context(|| format!("{state} is found again"))?;
    for key in ["state", "since", "tunnels", "bootstrap", "enforced", "paused_until"] {
        ensure!(before[key] == after[key], "{key} after {state}: {} is now {}", before[key], after[key]);
    }
    desktop.check(&format!("the agent came back while {state}"))?;
    let said = desktop.signals.states().split_off(states);
    ensure!(said.is_empty(), "nothing changed while {state}, but: {said:?}");
    ensure!(desktop.signals.losses().len() == losses, "a false loss while {state}");
    Ok(())
}

/// Waits for the next second. A new date then differs from a date that the agent restored.
fn await_the_next_second(status: &Value) -> Result<()> {
    let moments = std::iter::once(&status["since"])
        .chain(status["tunnels"].as_array().into_iter().flatten().map(|tunnel| &tunnel["since"]));
    let last = moments.filter_map(Value::as_u64).max().unwrap_or_default();
    wait_until("the next second", SOON, || support::seconds() > last)
}

#[test]
fn an_agent_killed_in_any_state_leaves_the_rules_and_finds_the_state_again() -> Result<()> {
    with_lab(|lab| {
        let start = support::seconds();
        let mut desktop = Desktop::new(lab, "")?;
        ensure!(status(lab)?["since"].as_u64() >= Some(start), "locked since the first agent began");
        kill_and_restart_agent(&mut desktop, "locked")?;
        desktop.server.silence()?;
        desktop.nm.nmcli(["--wait", "0", "connection", "up", "lab"])?;
        kill_and_restart_agent(&mut desktop, "connecting")?;
        desktop.server.resume()?;
        desktop.signals.wait_for("protected", 1)?;
        kill_and_restart_agent(&mut desktop, "protected")?;
        desktop.carries()?;
        lab.host().signal_all("openvpn", Signal::SIGKILL)?;
        kill_and_restart_agent(&mut desktop, "lost")?;

        desktop.connect()?;
        desktop.agent.kill()?;
        lab.host().signal_all("openvpn", Signal::SIGKILL)?;
        wait_until("the tunnel is gone", SOON, || !lab.host().outside("/sys/class/net/tun0").exists())?;
        desktop.check("the VPN was lost while no agent ran")?;
        let losses = desktop.signals.losses().len();
        desktop.agent = support::start_agent(lab)?;
        desktop.check_state("lost", "the VPN was lost while no agent ran")?;
        ensure!(
            desktop.signals.losses().len() == losses + 1,
            "the agent does not report an unseen loss exactly once"
        );
        Ok(())
    })
}

#[test]
fn a_pause_ends_by_the_kernels_clock_when_no_agent_runs() -> Result<()> {
    with_lab(|lab| {
        let mut desktop = Desktop::new(lab, "")?;
        ensure!(tunwarden(lab, ["pause", "60s"])?.status.success());
        kill_and_restart_paused_agent(&mut desktop)?;
        for verb in ["resume", "lock"] {
            ensure!(tunwarden(lab, ["pause", "60s"])?.status.success());
            desktop.leak_test.is_seen("a pause")?;
            ensure!(tunwarden(lab, [verb])?.status.success());
            desktop.leak_test.close()?;
            desktop.check_state("locked", verb)?;
        }

        ensure!(tunwarden(lab, ["pause", "20s"])?.status.success());
        desktop.leak_test.is_seen("an open pause")?;
        desktop.agent.kill()?;
        desktop.leak_test.await_silence()?;
        desktop.leak_test.close()?;
        desktop.check("the pause is over and nobody runs")?;
        desktop.agent = support::start_agent(lab)?;
        desktop.check_state("locked", "the pause ended while no agent ran")?;
        Ok(())
    })
}

fn kill_and_restart_paused_agent(desktop: &mut Desktop<'_>) -> Result<()> {
    let before = wait_for_state(desktop.lab, "paused")?;
    desktop.leak_test.is_seen("a pause")?;
    desktop.agent.kill()?;
    await_the_next_second(&before)?;
    desktop.agent = support::start_agent(desktop.lab)?;
    let after = wait_for_state(desktop.lab, "paused")?;
    for key in ["since", "paused_until"] {
        ensure!(before[key] == after[key], "{key}: {} is now {}", before[key], after[key]);
    }
    Ok(())
}

#[test]
fn an_agent_that_ends_on_sigterm_leaves_every_rule() -> Result<()> {
    with_lab(|lab| {
        let mut desktop = Desktop::new(lab, "")?;
        desktop.connect()?;
        let rules = || {
            let saved = [lab.host().succeed(["iptables-save"])?, lab.host().succeed(["ip6tables-save"])?];
            let rules = saved.concat();
            let lines = rules.lines().filter(|line| !line.starts_with('#'));
            // Without the counters.
            anyhow::Ok(
                lines.map(|line| line.split(" [").next().unwrap_or(line).to_owned()).collect::<Vec<_>>(),
            )
        };
        let before = rules()?;
        ensure!(before.iter().any(|rule| rule.contains("VPN_BOOTSTRAP")), "{before:?}");
        ensure!(desktop.agent.stop()?.success(), "SIGTERM is no failure");
        assert_eq!(rules()?, before);
        desktop.check("the agent ended on SIGTERM")
    })
}

#[test]
fn a_second_agent_refuses_and_names_the_first() -> Result<()> {
    with_lab(|lab| {
        let desktop = Desktop::new(lab, "")?;
        let second = tunwarden(lab, ["agent"])?;
        assert_eq!(second.status.code(), Some(1));
        let first = format!("process {}", desktop.agent.id_inside());
        ensure!(second.stderr.contains(&first), "{first}: {}", second.stderr);
        desktop.check_state("locked", "a second agent refused")?;
        Ok(())
    })
}

/// A user who can lock the agent's file can prevent its start, and can make `release` end another process.
#[test]
fn only_root_can_lock_the_agents_file() -> Result<()> {
    const HOLD: &str = "exec 9<\"$1\" && flock -s 9 && echo held && exec sleep infinity";
    with_lab(|lab| {
        let mut desktop = Desktop::new(lab, "")?;
        desktop.agent.kill()?;
        let hold = |file: &str| lab.host().command(["bash", "-c", HOLD, "hold", file]).user("nobody").spawn();
        let mut control = hold("/etc/passwd")?;
        control.wait_for_line("held", SOON).context("the control failed: the user cannot lock any file")?;
        let mut held = hold("/run/tunwarden/agent.lock")?;
        wait_until("the user holds the lock or was refused", SOON, || {
            held.log().contains("held") || !held.is_running()
        })?;
        desktop.agent = support::start_agent(lab)?;
        desktop.check_state("locked", "the agent came back")?;
        Ok(())
    })
}

#[test]
fn a_good_configuration_is_taken_without_a_gap_and_a_bad_one_is_refused() -> Result<()> {
    with_lab(|lab| {
        let mut desktop = Desktop::new(lab, "")?;
        desktop.connect()?;
        // In one step: a file that is empty for a moment is a valid configuration for that moment.
        let write = |text: &str| {
            lab.host().file("/etc/tunwarden/new.toml", text)?;
            lab.host().succeed(["mv", "/etc/tunwarden/new.toml", "/etc/tunwarden/config.toml"])
        };
        let other = "[bootstrap]\nservers = [\"198.51.100.8\"]\n";
        let lan = || anyhow::Ok(chain(lab, "iptables", "VPN_LAN")?.len());
        ensure!(lan()? > 0);

        write("[lan]\nallow = false\n")?;
        let output = tunwarden(lab, ["reload"])?;
        assert_eq!(output.status.code(), Some(0), "{}", output.stderr);
        assert_eq!(lan()?, 0, "the new configuration is in force when reload comes back");
        desktop.check_state("protected", "a reload")?;

        for broken in ["[lan]\nallow = 1\n", "[lann]\n", "[lan\n", "\u{0}"] {
            write(broken)?;
            let output = tunwarden(lab, ["reload"])?;
            assert_eq!(output.status.code(), Some(2), "{broken:?}: {}", output.stderr);
            ensure!(output.stderr.contains("config.toml"), "it names the file: {}", output.stderr);
            assert_eq!(lan()?, 0, "the old one stays in force");
            assert_eq!(support::status(lab)?["configuration"]["source"], "kept", "{broken:?}");
            desktop.agent.signal(Signal::SIGHUP)?;
        }
        desktop.agent.wait_for_lines("the configuration was refused", 4, SOON)?;
        assert_eq!(lan()?, 0, "the old one stays in force after a signal too");

        // The next agent finds the broken file and uses the configuration that was in force.
        desktop.agent.kill()?;
        desktop.agent = support::start_agent(lab)?;
        desktop.agent.wait_for_line("in force last is in force", SOON)?;
        assert_eq!(lan()?, 0, "the old one is in force after a restart");
        desktop.check_state("protected", "a restart")?;
        let said = support::status(lab)?["configuration"].clone();
        ensure!(said["source"] == "kept" && said["fault"].as_str().is_some(), "{said}");

        write(other)?;
        desktop.agent.signal(Signal::SIGHUP)?;
        wait_until("the signal is obeyed", SOON, || lan().is_ok_and(|rules| rules > 0))?;
        desktop.check_state("protected", "a reload by signal")?;
        assert_eq!(support::status(lab)?["configuration"]["source"], "file");
        desktop.nm.down("lab")?;
        wait_for_state(lab, "locked")?;
        let both = set(&[desktop.server.endpoint(), "198.51.100.8:1194/udp".to_owned()]);
        assert_eq!(allowance(lab)?, both, "the server of the new configuration");
        assert_eq!(desktop.signals.losses(), []);
        Ok(())
    })
}

#[test]
fn systemd_receives_readiness_status_and_watchdog_messages() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let socket = UnixDatagram::bind(lab.host().outside("/run/notify"))?;
        socket.set_read_timeout(Some(SOON))?;
        let agent = lab.host().command([TUNWARDEN, "agent"]).env("NOTIFY_SOCKET", "/run/notify");
        let mut agent = agent.env("WATCHDOG_USEC", "400000").spawn()?;
        let mut said = String::new();
        let mut hear = |wanted: &str| {
            let mut buffer = [0; 4096];
            while !said.contains(wanted) {
                let length = socket.recv(&mut buffer).with_context(|| format!("{wanted} after {said}"))?;
                said += &format!("{}\n", String::from_utf8_lossy(&buffer[..length]));
            }
            anyhow::Ok(std::mem::take(&mut said))
        };
        let before = hear("READY=1")?;
        ensure!(before.contains("STATUS=locked"), "the status comes before: {before}");
        ensure!(!chain(lab, "iptables", "OUTPUT_VPN_KILL_SWITCH")?.is_empty(), "ready means closed");
        for _ in 0..3 {
            hear("WATCHDOG=1")?;
        }
        agent.signal(Signal::SIGHUP)?;
        let reloading = hear("RELOADING=1")?;
        ensure!(reloading.contains("MONOTONIC_USEC="), "Type=notify-reload wants the time: {reloading}");
        hear("READY=1")?;
        agent.signal(Signal::SIGTERM)?;
        hear("STOPPING=1")?;
        ensure!(agent.wait(SOON)?.success());
        Ok(())
    })
}

#[test]
fn a_user_that_a_package_makes_while_the_agent_runs_reaches_the_server_without_a_restart() -> Result<()> {
    with_lab(|lab| {
        let capture = lab.capture()?;
        let _bus = bus(lab)?;
        let config = "[bootstrap]\nservers = [\"198.51.100.7\"]\nowners = [\"root\", \"late-vpn\"]\n";
        lab.host().file("/etc/openvpn/late.conf", "user late-user\nremote 198.51.100.8\n")?;
        let agent = support::agent(lab, config)?;
        let rules = |name: &str| Ok::<_, anyhow::Error>(chain(lab, "iptables", name)?.join("\n"));
        let allowed = || -> Result<(bool, bool)> {
            let owner = rules("VPN_OWNER")?.contains("--uid-owner 4711");
            Ok((owner, rules("VPN_BOOTSTRAP")?.contains("--uid-owner 4712")))
        };
        ensure!(allowed()? == (false, false), "the control: there are no such users");
        let passwd = lab.host().read("/etc/passwd")?;
        let user = |name: &str, uid: u32| format!("{name}:x:{uid}:{uid}::/:/usr/sbin/nologin\n");
        let with = format!("{passwd}{}{}", user("late-vpn", 4711), user("late-user", 4712));
        for write in ["cat >/etc/passwd", "cat >/etc/passwd+ && mv /etc/passwd+ /etc/passwd"] {
            lab.host().command(["sh", "-ec", write]).stdin(&with).succeed()?;
            let both = || Ok((allowed()? == (true, true)).then_some(()));
            wait_for("the new users are allowed", SOON, both).with_context(|| agent.log())?;
            for (uid, server) in [("4711", "198.51.100.7"), ("4712", "198.51.100.8")] {
                let tag = format!("{uid}-{}", write.len());
                let send = format!(
                    "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM)\
                     .sendto(b'{TAG_MARK}{tag}', ('{server}', 1194))\n"
                );
                let reuid = format!("--reuid={uid}");
                // One layer has its new rules before the other.
                wait_for(&format!("{uid} reaches {server}"), SOON, || {
                    let sent = ["setpriv", &reuid, "--clear-groups", "/usr/bin/python3", "-c", &send];
                    lab.host().run(sent)?;
                    Ok(capture.so_far()?.iter().any(|frame| frame.is_tagged(&tag)).then_some(()))
                })?;
            }
            lab.host().command(["sh", "-ec", write]).stdin(&passwd).succeed()?;
            let none = || Ok((allowed()? == (false, false)).then_some(()));
            wait_for("users that are gone are not", SOON, none)?;
        }
        Ok(())
    })
}

#[test]
fn the_journal_gets_priorities_and_fields_and_other_files_get_text() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let journal = Journal::new(lab)?;
        let mut agent = support::start_agent_as(lab, in_journal(lab, "agent"))?;
        ensure!(tunwarden(lab, ["pause", "60s"])?.status.success());
        let entry = journal.wait_for("TUNWARDEN_NEW", "paused")?;
        for (field, value) in [("TUNWARDEN_EVENT", "state"), ("TUNWARDEN_OLD", "locked"), ("PRIORITY", "6")] {
            ensure!(entry.get(field).is_some_and(|held| held == value), "{field}: {entry:#?}");
        }
        ensure!(entry["MESSAGE"].starts_with("locked -> paused; "), "the message is whole: {entry:#?}");
        ensure!(tunwarden(lab, ["resume"])?.status.success());
        let warning = journal.wait_for("PRIORITY", "4")?;
        ensure!(warning["MESSAGE"].contains("ends the pause"), "a warning: {warning:#?}");
        ensure!(agent.stop()?.success() && agent.log().is_empty(), "twice in the journal: {}", agent.log());

        // The process inherits the variable, but its standard error is another file.
        let other = lab.host().command([TUNWARDEN, "agent"]).env("JOURNAL_STREAM", "1:1");
        let mut agent = support::start_agent_as(lab, other)?;
        agent.wait_for_line("on the system bus as", SOON)?;
        agent.stop()?;

        // Commands do not connect to the journal. The journal reads the priority prefix of their lines.
        lab.host().file("/etc/tunwarden/config.toml", "[lann]\n")?;
        let lock = in_journal(lab, "lock").run()?;
        let lines = |text: &str, prefix: &str| text.lines().all(|line| line.starts_with(prefix));
        ensure!(lock.stderr.contains("lann") && lines(&lock.stderr, "<4>"), "a warning: {lock:?}");
        let reconnect = in_journal(lab, "reconnect").run()?;
        ensure!(reconnect.stderr.starts_with("<3>tunwarden: "), "an error: {reconnect:?}");
        let text = tunwarden(lab, ["reconnect"])?;
        ensure!(text.stderr.starts_with("tunwarden: "), "no prefix on a terminal: {text:?}");
        Ok(())
    })
}
