//! Ordinary users flood the agent with calls. It still answers others and follows the VPN, and the calls
//! cannot queue up work.

use crate::support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use support::leak_test::{Desktop, allowance, set};
use support::{SOON, status, wait_for_state};
use tunwarden_lab::{Lab, Process, wait_for, with_lab};

const KIND: &str = "TUNWARDEN_TEST_FLOOD";

/// The methods that ordinary users call without pause.
const KINDS: [&str; 4] = ["Verify", "Resume", "ReportTunnel", "GetAll"];

/// Maximum number of calls that each user has pending.
const AT_ONCE: usize = 64;

/// Starts this test program again as an ordinary user that floods.
fn flooder(lab: &Lab, kind: &str) -> Result<Process> {
    let program = std::env::current_exe()?;
    let program = program.to_str().context("a path in UTF-8")?;
    let words = [program, "--exact", "flood::the_other_process_floods", "--ignored", "--nocapture"];
    lab.host().command(words).env(KIND, kind).user("nobody").spawn()
}

#[test]
#[ignore = "started by the test below, as another user in its laboratory"]
fn the_other_process_floods() -> Result<()> {
    let kind = std::env::var(KIND)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let connection = zbus::Connection::system().await?;
        let (answers, errors) = (AtomicU64::new(0), AtomicU64::new(0));
        let callers = (0..AT_ONCE).map(|_| async {
            loop {
                let answer = call(&connection, &kind).await;
                let count = answers.fetch_add(1, Ordering::Relaxed) + 1;
                if let Err(error) = &answer
                    && errors.fetch_add(1, Ordering::Relaxed) == 0
                {
                    println!("the first error: {error}");
                }
                if count.is_multiple_of(500) {
                    println!("answered {count}");
                }
            }
        });
        futures_util::future::join_all(callers).await;
        Ok(())
    })
}

/// Unexpected messages of 30 MiB: calls of every kind, and signals to each program on the bus.
async fn oversized_messages(connection: &zbus::Connection) -> Result<()> {
    use zbus::message::{Flags, Message};
    let (name, path) = ("org.tunwarden.Agent1", "/org/tunwarden/Agent1");
    let properties = "org.freedesktop.DBus.Properties";
    let call = |interface: &'static str, member: &'static str| {
        let call = Message::method_call(path, member).destination(name).interface(interface);
        call.with_flags(Flags::NO_REPLY_EXPECTED)
    };
    let many: BTreeMap<String, &str> = (0..900_000).map(|n| (format!("key{n:06}"), "v")).collect();
    let large = "x".repeat(30 << 20);
    let one = BTreeMap::from([("script_type", large.as_str())]);
    let calls = [
        call(name, "ReportTunnel").build(&many)?,
        call(name, "ReportTunnel").build(&one)?,
        call(name, "Resume").build(&large)?,
        call(name, "NoSuchMethod").build(&large)?,
        call(properties, "Set").build(&(name, "State", zbus::Variant::from(&*large)))?,
        call(properties, "GetAll").build(&large)?,
    ];
    for call in calls.iter().cycle().take(OVERSIZED_CALLS) {
        connection.send(call).await?;
    }
    let names = zbus::fdo::DBusProxy::new(connection).await?.list_names().await?;
    for name in names.iter().filter(|name| name.starts_with(":1.")) {
        let signal = Message::signal("/", "org.freedesktop.NetworkManager", "CheckPermissions");
        connection.send(&signal.destination(name.as_str()).build(&large)?).await?;
    }
    Ok(())
}

/// Number of calls of 30 MiB.
const OVERSIZED_CALLS: usize = 24;

/// Starts this test program again as an ordinary user that sends giant messages.
#[test]
#[ignore = "started by the test below, as another user in its laboratory"]
fn the_other_process_sends_oversized_messages() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let connection = zbus::Connection::system().await?;
        oversized_messages(&connection).await?;
        // The bus answers this call after it has delivered all of them.
        call(&connection, "GetAll").await?;
        println!("the agent has answered");
        Ok(())
    })
}

#[test]
fn oversized_messages_of_ordinary_users_take_no_memory() -> Result<()> {
    with_lab(|lab| {
        let desktop = Desktop::new(lab, "")?;
        desktop.connect()?;
        let before = most_memory(&desktop.agent)?;
        let program = std::env::current_exe()?;
        let program = program.to_str().context("a path in UTF-8")?;
        let words = [
            program,
            "--exact",
            "flood::the_other_process_sends_oversized_messages",
            "--ignored",
            "--nocapture",
        ];
        let oversized_messages = lab.host().command(words).user("nobody").run()?;
        ensure!(
            oversized_messages.stdout.contains("the agent has answered"),
            "{} {}",
            oversized_messages.stdout,
            oversized_messages.stderr
        );
        let after = most_memory(&desktop.agent)?;
        println!("at most {before} KiB before, {after} KiB after, {} KiB now", memory(&desktop.agent)?);
        ensure!(after < before + 32 * 1024, "from {before} KiB to {after} KiB");
        // The control: the messages arrived.
        let left_out = said(&desktop.agent, "left out the body of a message of");
        ensure!(left_out > OVERSIZED_CALLS, "{left_out} messages came");
        ensure!(status(lab)?["state"] == "protected", "{}", status(lab)?);
        desktop.check("giant messages")
    })
}

async fn call(connection: &zbus::Connection, kind: &str) -> zbus::Result<()> {
    let (name, path) = ("org.tunwarden.Agent1", "/org/tunwarden/Agent1");
    let down = BTreeMap::from([("script_type", "down"), ("dev", "tun0")]);
    let message = match kind {
        "GetAll" => {
            let properties = Some("org.freedesktop.DBus.Properties");
            connection.call_method(Some(name), path, properties, kind, &name).await?
        }
        "ReportTunnel" => connection.call_method(Some(name), path, Some(name), kind, &down).await?,
        _ => connection.call_method(Some(name), path, Some(name), kind, &()).await?,
    };
    drop(message);
    Ok(())
}

/// Number of lines in the agent's log with this text.
fn said(agent: &Process, what: &str) -> usize {
    agent.log().lines().filter(|line| line.contains(what)).count()
}

/// The agent's resident memory in KiB (`VmRSS` of proc(5)).
fn memory(agent: &Process) -> Result<u64> {
    size(agent, "VmRSS:")
}

#[expect(clippy::disallowed_methods, reason = "a test reads what the kernel says of a process")]
fn size(agent: &Process, what: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", agent.id()))?;
    let line = status.lines().find(|line| line.starts_with(what)).context("no such size")?;
    Ok(line.split_whitespace().nth(1).context("no number")?.parse()?)
}

/// The agent's peak resident memory in KiB (`VmHWM`).
fn most_memory(agent: &Process) -> Result<u64> {
    size(agent, "VmHWM:")
}

fn answered(flooder: &Process) -> u64 {
    let log = flooder.log();
    let last = log.lines().rev().find_map(|line| line.strip_prefix("answered "));
    last.and_then(|count| count.parse().ok()).unwrap_or_default()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test measures a rate")]
fn a_flood_of_calls_delays_nothing_and_starts_no_programs() -> Result<()> {
    with_lab(|lab| {
        let desktop = Desktop::new(lab, "")?;
        desktop.connect()?;
        let (quiet, begun) = (memory(&desktop.agent)?, Instant::now());
        let looks = said(&desktop.agent, "looked at the kernel");
        let flooders = KINDS.map(|kind| flooder(lab, kind));
        let flooders = flooders.into_iter().collect::<Result<Vec<_>>>()?;
        wait_for("each floods", SOON * 6, || {
            Ok(flooders.iter().all(|one| answered(one) >= 2000).then_some(()))
        })?;
        // Root has asked for none of these checks so far.
        let looked = said(&desktop.agent, "looked at the kernel") - looks;
        let seconds = begun.elapsed().as_secs();
        println!(
            "{looked} looks in {seconds} s, for {:?} answers",
            flooders.iter().map(answered).collect::<Vec<_>>()
        );
        ensure!(looked >= 1, "the control: they are answered");
        ensure!(looked as u64 <= seconds + 2, "{looked} looks in {seconds} s");

        // During the flood the VPN drops and reconnects three times. The agent follows.
        for _ in 0..3 {
            let losses = desktop.signals.losses().len();
            lab.host().signal_all("openvpn", Signal::SIGKILL)?;
            wait_for("the agent reports the loss", SOON, || {
                Ok((desktop.signals.losses().len() > losses).then_some(()))
            })?;
            let lost = wait_for_state(lab, "lost")?;
            ensure!(lost["enforced"] == true, "{lost}");
            assert_eq!(allowance(lab)?, set(&[desktop.server.endpoint()]));
            desktop.connect()?;
        }
        desktop.check("a flood of calls")?;
        ensure!(flooders.iter().all(|one| answered(one) > 2000), "they flood on");
        drop(flooders);

        let status = status(lab)?;
        ensure!(status["state"] == "protected" && status["repairs"] == 0, "{status}");
        let lines = said(&desktop.agent, "refused a report of user");
        ensure!((1..10).contains(&lines), "the log was flooded: {lines} lines");
        let full = memory(&desktop.agent)?;
        println!("{quiet} KiB before, {full} KiB after");
        ensure!(full < quiet + 32 * 1024, "from {quiet} KiB to {full} KiB");
        Ok(())
    })
}
