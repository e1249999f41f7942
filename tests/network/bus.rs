//! The interface for other programs: `org.tunwarden.Agent1`, and the JSON of `tunwarden status`.

use crate::support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use support::leak_test::{Desktop, set};
use support::signals::BusSignal;
use support::{SOON, TUNWARDEN, status, tunwarden, wait_for_state};
use tunwarden_lab::{Lab, wait_for, with_lab};

/// The fixed interface: later versions may add members and must not change these.
const FIXED: [&str; 21] = [
    "property Version s",
    "property State s",
    "property Since t",
    "property Enforced b",
    "property Verdict s",
    "property Tunnels aa{sv}",
    "property Bootstrap aa{sv}",
    "property PausedUntil t",
    "property Repairs u",
    "method Pause t ",
    "method Resume  ",
    "method Reload  ",
    "method Verify  as",
    "method Reconnect  ",
    "method ReportTunnel a{ss} ",
    "method RecentlyBlocked t aa{sv}",
    "method Why sa{sv} a{sv}",
    "signal StateChanged ssa{sv}",
    "signal VpnLost sss",
    "signal Repaired sa{sv}",
    "signal EnforcementFailed s",
];

/// The agent's members on the bus, as `busctl introspect` lists them.
fn members(lab: &Lab) -> Result<BTreeSet<String>> {
    let listed = "busctl --system introspect org.tunwarden.Agent1 /org/tunwarden/Agent1 org.tunwarden.Agent1";
    let listed = lab.host().succeed(listed.split(' '))?;
    let member = |line: &str| {
        let mut words = line.split_whitespace();
        let (name, kind) = (words.next()?.strip_prefix('.')?, words.next()?);
        let (takes, gives) = (words.next()?.replace('-', ""), words.next()?.replace('-', ""));
        Some(if kind == "method" {
            format!("{kind} {name} {takes} {gives}")
        } else {
            format!("{kind} {name} {takes}")
        })
    };
    Ok(listed.lines().filter_map(member).collect())
}

#[test]
fn the_interface_on_the_bus_is_the_documented_one() -> Result<()> {
    with_lab(|lab| {
        let desktop = Desktop::new(lab, "")?;
        let members = members(lab)?;
        for promised in FIXED {
            ensure!(members.contains(promised), "{promised:?} is missing in {members:#?}");
        }
        desktop.check("a look at the bus")
    })
}

/// Every member of tunwarden's interface with its types, names and annotations, one line each.
fn described(xml: &str) -> Result<BTreeSet<String>> {
    let node = zbus_xml::Node::from_reader(xml.as_bytes())?;
    let ours = node.interfaces().iter().find(|one| one.name() == "org.tunwarden.Agent1");
    let ours = ours.context("no interface of ours")?;
    let args = |args: &[zbus_xml::Arg<'_>]| {
        let arg = |arg: &zbus_xml::Arg<'_>| {
            let way = arg.direction().map_or(String::new(), |way| format!(" {way:?}"));
            format!("{}: {}{way}", arg.name().unwrap_or("-"), arg.ty())
        };
        args.iter().map(arg).collect::<Vec<_>>().join(", ")
    };
    let methods = ours.methods().map(|one| format!("method {}({})", one.name(), args(one.args())));
    let signals = ours.signals().map(|one| format!("signal {}({})", one.name(), args(one.args())));
    let properties = ours.properties().map(|one| {
        let notes = one.annotations().iter().map(|note| format!("{}={}", note.name(), note.value()));
        let notes: Vec<String> = notes.collect();
        format!("property {}: {} {:?} {notes:?}", one.name(), one.ty(), one.access())
    });
    Ok(methods.chain(signals).chain(properties).collect())
}

#[test]
fn the_introspection_is_that_of_the_file_where_every_member_is_explained() -> Result<()> {
    let file = include_str!("../../dbus/org.tunwarden.Agent1.xml");
    let mut before = "";
    for line in file.lines().map(str::trim) {
        let member = ["<method ", "<signal ", "<property "].iter().any(|start| line.starts_with(start));
        ensure!(!member || before.ends_with("-->"), "no word on {line}");
        before = line;
    }
    with_lab(|lab| {
        let _bus = support::bus(lab)?;
        let _agent = support::agent(lab, "")?;
        let introspect =
            "busctl --system introspect --xml-interface org.tunwarden.Agent1 /org/tunwarden/Agent1";
        let running = described(&lab.host().succeed(introspect.split(' '))?)?;
        let promised = described(file)?;
        ensure!(running.len() > FIXED.len() - 1, "{running:#?}");
        let missing: Vec<_> = promised.difference(&running).collect();
        let unsaid: Vec<_> = running.difference(&promised).collect();
        ensure!(missing.is_empty() && unsaid.is_empty(), "the agent lacks {missing:#?} and has {unsaid:#?}");
        Ok(())
    })
}

#[test]
fn root_alone_may_own_the_name_and_everybody_may_read() -> Result<()> {
    with_lab(|lab| {
        let _bus = support::bus(lab)?;
        let mut agent = support::agent(lab, "")?;
        let own = |user: &str| {
            let request = "busctl --system call org.freedesktop.DBus /org/freedesktop/DBus \
                           org.freedesktop.DBus RequestName su org.tunwarden.Agent1 4";
            lab.host().command(request.split_whitespace()).user(user).run()
        };
        assert_eq!(support::property(lab, "nobody", "State")?, "s \"locked\"");
        let write = "busctl --system set-property org.tunwarden.Agent1 /org/tunwarden/Agent1 \
                     org.tunwarden.Agent1 State s protected";
        let written = lab.host().run(write.split_whitespace())?;
        ensure!(!written.status.success(), "a property of ours cannot be set, not by root either");
        agent.kill()?;
        let refused = own("nobody")?;
        ensure!(!refused.status.success() && refused.stderr.contains("denied"), "{refused:?}");
        ensure!(own("root")?.status.success(), "the control: root may");
        Ok(())
    })
}

/// How long several commits, one after the other, may take on a busy machine before the test fails.
const COMMITS: Duration = Duration::from_secs(120);

#[test]
fn calls_during_a_commit_are_answered_and_the_last_call_wins() -> Result<()> {
    with_lab(|lab| {
        let _desktop = Desktop::new(lab, "")?;
        let huge = "x".repeat(100_000);
        for round in 0..5 {
            let call = |words: &[&str]| {
                let agent = "org.tunwarden.Agent1 /org/tunwarden/Agent1 org.tunwarden.Agent1";
                let words = ["busctl", "--system", "--timeout=120", "call", "--"]
                    .into_iter()
                    .chain(agent.split(' '))
                    .chain(words.iter().copied());
                lab.host().command(words.map(str::to_owned)).spawn()
            };
            // Each call changes the rules or reads them. Some calls are invalid.
            let mut calls = [
                call(&["Pause", "t", "3600"])?,
                call(&["Verify"])?,
                call(&["Reload"])?,
                call(&["Resume"])?,
                call(&["PausePortal", "t", "3600"])?,
                call(&["Verify"])?,
            ];
            let mut nonsense = [
                call(&["Pause", "s", "3600"])?,
                call(&["Resume", "s", "now"])?,
                call(&["Verify", "u", "7"])?,
                call(&["ReportTunnel", "a{ss}", "1", "script_type", &huge])?,
                call(&["Open"])?,
            ];
            for call in &mut calls {
                // A resume that comes while a pause is put in force ends that pause.
                let ended = |log: &str| log.contains("not paused") && log.contains("somebody asked to close");
                // On a busy machine the programs need longer than the agent lets a caller of `Verify` wait.
                let slow = |log: &str| log.contains("it is not known what is in force");
                let succeeds = call.wait(COMMITS)?.success();
                let log = call.log();
                ensure!(succeeds || ended(&log) || slow(&log), "round {round}: {log}");
            }
            for call in &mut nonsense {
                ensure!(!call.wait(SOON)?.success(), "round {round}: nonsense was taken: {}", call.log());
                ensure!(call.log().contains("Call failed"), "round {round}: {}", call.log());
            }
            ensure!(tunwarden(lab, ["resume"])?.status.success());
            wait_for_state(lab, "locked")?;
            let verified = tunwarden(lab, ["verify"])?;
            ensure!(verified.status.success(), "round {round}: {}", verified.stdout);
        }
        ensure!(status(lab)?["repairs"] == 0, "nothing had to be repaired");
        Ok(())
    })
}

#[test]
fn properties_changed_carries_what_changed_and_nothing_else() -> Result<()> {
    with_lab(|lab| {
        let desktop = Desktop::new(lab, "")?;
        wait_for("the profile's server is allowed", SOON, || {
            let bootstrap = status(lab)?["bootstrap"].clone();
            Ok(bootstrap.to_string().contains("198.51.100.7").then_some(()))
        })?;
        desktop.connect()?;
        desktop.nm.down("lab")?;
        desktop.signals.wait_for("locked", 1)?;
        let mut known = BTreeMap::new();
        let changes = desktop.signals.so_far().into_iter().filter_map(|heard| match heard {
            BusSignal::Properties(changed) => Some(changed),
            BusSignal::State(..) | BusSignal::Lost(..) | BusSignal::Repaired(..) | BusSignal::Other(_) => {
                None
            }
        });
        // The agent still learns about the system until the VPN comes up.
        for changed in changes.skip_while(|changed| !changed.contains_key("State")) {
            ensure!(!changed.is_empty(), "a change of nothing");
            for (name, value) in changed {
                let before = known.insert(name.clone(), value.clone());
                ensure!(before.as_ref() != Some(&value), "{name} has not changed: it is {value}");
            }
        }
        ensure!(known.get("State").is_some_and(|state| state.contains("locked")), "{known:?}");
        let changed: BTreeSet<String> = known.into_keys().collect();
        // All changes may happen within one second. A commit on a busy machine takes longer, and is pending: until
        // it ends, nothing is said to be in force.
        let least = set(&["State", "Tunnels"]);
        let unknown: &[&str] = if changed.contains("Enforced") { &["Bootstrap", "Enforced"] } else { &[] };
        let most = &set(&["Pending", "Since", "State", "Tunnels", "Verdict"]) | &set(unknown);
        ensure!(changed.is_superset(&least) && changed.is_subset(&most), "the allowance stayed: {changed:?}");

        let before = desktop.signals.so_far().len();
        ensure!(tunwarden(lab, ["pause", "1h"])?.status.success());
        desktop.signals.wait_for("paused", 1)?;
        let paused = tunwarden(lab, ["status", "--json"])?;
        ensure!(paused.stdout.contains(r#""verdict":"open""#), "{paused:?}");
        assert_eq!(paused.status.code(), Some(4), "a pause is open");
        ensure!(tunwarden(lab, ["resume"])?.status.success());
        desktop.signals.wait_for("locked", 2)?;
        let until = desktop.signals.so_far().split_off(before).into_iter().filter_map(|heard| match heard {
            BusSignal::Properties(changed) => changed.get("PausedUntil").cloned(),
            BusSignal::State(..) | BusSignal::Lost(..) | BusSignal::Repaired(..) | BusSignal::Other(_) => {
                None
            }
        });
        let until: Vec<String> = until.collect();
        ensure!(until.len() == 2 && until[0] != until[1] && until[1] == "uint64 0", "{until:?}");
        Ok(())
    })
}

/// A bus that hangs does not delay the agent. After the bus continues, every signal of a loss arrives.
#[test]
fn every_loss_while_the_bus_hangs_is_reported_afterwards() -> Result<()> {
    const ROUNDS: usize = 60;
    with_lab(|lab| {
        // Long lists make the signals too large for the socket buffer of a bus that does not read.
        let servers: Vec<String> = (1..=250).map(|last| format!("\"192.0.2.{last}\"")).collect();
        let mut desktop = Desktop::new(lab, &format!("[bootstrap]\nservers = [{}]\n", servers.join(", ")))?;
        desktop.connect()?;
        let route = lab.host().succeed(["ip", "route", "show", "default", "dev", "tun0"])?;
        let route = format!("{} dev tun0", route.trim());
        let default = |verb: &str| {
            let words = ["ip", "route", verb].into_iter().chain(route.split_whitespace());
            lab.host().succeed(words).map(drop)
        };
        desktop.bus.signal(Signal::SIGSTOP)?;
        for round in 1..=ROUNDS {
            default("del")?;
            desktop.agent.wait_for_lines("protected -> lost;", round, SOON)?;
            default("add")?;
            desktop.agent.wait_for_lines("lost -> protected;", round, SOON)?;
        }
        default("del")?;
        desktop.agent.wait_for_lines("protected -> lost;", ROUNDS + 1, SOON)?;
        desktop.bus.signal(Signal::SIGCONT)?;
        desktop.signals.wait_for("lost", ROUNDS + 1)?;
        wait_for("every loss is reported", SOON, || {
            Ok((desktop.signals.losses().len() == ROUNDS + 1).then_some(()))
        })
        .with_context(|| format!("{:?}", desktop.signals.losses()))?;
        let states = desktop.signals.states();
        ensure!(states.last().is_some_and(|last| last == "protected -> lost"), "{states:?}");
        let told = desktop.signals.so_far().into_iter().rev().find_map(|heard| match heard {
            BusSignal::Properties(mut changed) => changed.remove("State"),
            BusSignal::State(..) | BusSignal::Lost(..) | BusSignal::Repaired(..) | BusSignal::Other(_) => {
                None
            }
        });
        ensure!(told.as_ref().is_some_and(|state| state.contains("lost")), "the property is {told:?}");
        desktop.check("the bus hung")
    })
}

#[test]
fn status_agrees_in_its_text_its_json_and_its_exit_code() -> Result<()> {
    with_lab(|lab| {
        let mut desktop = Desktop::new(lab, "")?;
        // While a firewall program works for longer than two seconds, the status is unknown.
        let exits =
            |code, why: &str| {
                wait_for(why, SOON, || {
                    Ok((tunwarden(lab, ["status"])?.status.code() == Some(code)).then_some(()))
                })
            };
        exits(3, "locked")?;
        let mut watch = lab.host().spawn([TUNWARDEN, "status", "--watch", "--json"])?;
        watch.wait_for_line(r#""state":"locked""#, SOON)?;
        desktop.connect()?;
        watch.wait_for_line(r#""state":"protected""#, SOON)?;
        exits(0, "protected")?;

        let status = status(lab)?;
        let keys = |value: &serde_json::Value| {
            let keys = value.as_object().map(|object| object.keys().cloned().collect::<BTreeSet<_>>());
            keys.with_context(|| format!("an object, not {value}"))
        };
        let top = "version agent state verdict since enforced tunnels bootstrap paused_until repairs docker";
        let has = |value: &serde_json::Value, promised: &str| {
            let keys = keys(value)?;
            let missing: Vec<&str> = promised.split(' ').filter(|key| !keys.contains(*key)).collect();
            ensure!(missing.is_empty(), "{missing:?} missing in {value}");
            Ok(())
        };
        has(&status, top)?;
        has(&status["docker"], "present protected")?;
        let tunnel = &status["tunnels"][0];
        has(tunnel, "interface endpoint source name since")?;
        for endpoint in [&tunnel["endpoint"], &status["bootstrap"][0]] {
            has(endpoint, "address port protocol")?;
            assert_eq!(endpoint.to_string(), r#"{"address":"198.51.100.7","port":1194,"protocol":"udp"}"#);
        }
        assert!(status["since"].is_u64() && status["paused_until"].is_null() && status["repairs"] == 0);
        let people = tunwarden(lab, ["status"])?.stdout;
        ensure!(people.starts_with("protected") && people.contains("tun0 (lab)"), "{people}");

        // The kernel does not hold the rules: the agent repairs them at once and reports it.
        lab.host().succeed(["iptables", "-F", "VPN_TUNNEL"])?;
        watch.wait_for_line(r#""repairs":1"#, SOON)?;
        exits(0, "it was repaired")?;

        desktop.agent.stop()?;
        assert_eq!(watch.wait(SOON)?.code(), Some(1), "the watch ends with the agent");
        let without = support::status(lab)?;
        let told = (without["agent"].as_bool(), without["state"].as_str(), without["enforced"].as_bool());
        assert_eq!(told, (Some(false), Some("locked"), Some(true)));
        exits(3, "nobody watches the VPN")?;
        lab.host().succeed(["ip6tables", "-F", "OUTPUT"])?;
        exits(4, "without an agent the kernel is asked")
    })
}

#[test]
fn status_has_colours_only_on_a_terminal_and_watch_redraws_in_place() -> Result<()> {
    with_lab(|lab| {
        let _bus = support::bus(lab)?;
        let _agent = support::agent(lab, "")?;
        // `script` gives the command a terminal and copies its output.
        let shown = |no_colour: &str, verb: &str| {
            let command = lab.host().command(["script", "-qec", &format!("{TUNWARDEN} {verb}"), "/dev/null"]);
            command.env("TERM", "xterm").env("NO_COLOR", no_colour)
        };
        let coloured = shown("", "status").run()?.stdout;
        ensure!(coloured.contains("\u{1b}[") && coloured.contains("locked"), "{coloured:?}");
        let plain = shown("1", "status").run()?.stdout;
        ensure!(!plain.contains('\u{1b}') && plain.contains("locked"), "{plain:?}");
        let piped =
            lab.host().command([TUNWARDEN, "status"]).env("TERM", "xterm").env("NO_COLOR", "").run()?.stdout;
        ensure!(!piped.contains('\u{1b}'), "{piped:?}");
        let json = shown("", "status --json").run()?.stdout;
        ensure!(!json.contains('\u{1b}') && json.contains("\"state\":\"locked\""), "{json:?}");

        // The command moves the cursor up and clears: every second, and at once after a change.
        let mut watch = shown("1", "status --watch").spawn()?;
        watch.wait_for_lines("A\u{1b}[Jlocked", 2, SOON)?;
        ensure!(tunwarden(lab, ["pause", "1h"])?.status.success());
        watch.wait_for_line("A\u{1b}[JPAUSED", SOON).map(drop)
    })
}

#[test]
fn a_watch_ends_with_its_reader_though_nothing_changes() -> Result<()> {
    with_lab(|lab| {
        let _bus = support::bus(lab)?;
        let _agent = support::agent(lab, "")?;
        for verb in ["status --watch", "status --watch --json"] {
            let script = format!("{{ {TUNWARDEN} {verb}; echo \"watched: $?\" >&2; }} | head -c 1");
            let mut watch = lab.host().spawn(["bash", "-c", &script])?;
            watch.wait_for_line("watched: 3", SOON)?;
            ensure!(watch.wait(SOON)?.success());
        }
        Ok(())
    })
}
