//! The doctor in the laboratory: on a healthy machine, and with one fault after another.

use crate::support;

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use support::foreign::{DOCKER_28, UFW};
use support::leak_test::set;
use support::{SOON, TUNWARDEN, agent, bus, tunwarden, wait_for_state};
use tunwarden_lab::{Lab, wait_for, with_lab};

const CONFIG: &str = "[bootstrap]\nservers = [\"198.51.100.7\"]\n";

/// The codes of the doctor's findings. Each finding has a fix, and the exit code agrees with the findings.
fn found(lab: &Lab) -> Result<BTreeSet<String>> {
    let output = tunwarden(lab, ["doctor", "--json"])?;
    let report: Value = serde_json::from_str(&output.stdout).with_context(|| format!("{output:?}"))?;
    support::schema::check(support::schema::DOCTOR, &report)?;
    let problems = report["problems"].as_array().context("no list")?;
    let healthy = problems.is_empty();
    ensure!(report["healthy"] == healthy && output.status.code() == Some(i32::from(!healthy)), "{output:?}");
    for problem in problems {
        let said = |key: &str| problem[key].as_str().is_some_and(|text| !text.is_empty());
        ensure!(said("problem") && said("mend"), "{problem}");
    }
    Ok(problems.iter().filter_map(|one| one["id"].as_str()).map(str::to_owned).collect())
}

#[test]
fn the_doctor_finds_what_is_wrong_and_nothing_else() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let host = lab.host();
        host.file("/etc/xdg/autostart/tunwarden-notify.desktop", "[Desktop Entry]\n")?;
        // The laboratory sees the programs of the machine it runs on.
        host.file("/etc/nftables.conf", "")?;
        host.file("/etc/ufw/ufw.conf", "ENABLED=no\n")?;
        host.succeed(["rm", "-f", "/etc/systemd/system/multi-user.target.wants/firewalld.service"])?;
        let mut running = agent(lab, CONFIG)?;
        wait_for_state(lab, "locked")?;
        assert_eq!(found(lab)?, BTreeSet::new());
        let words = tunwarden(lab, ["doctor"])?.stdout;
        // A busy machine may not compute the proof in time. Then a note says so.
        let is_note = |line: &str| line.contains("the computation took longer than");
        ensure!(
            words.starts_with("No problem was found.\n") && words.lines().skip(1).all(is_note),
            "{words}"
        );

        let nobody = host.command([TUNWARDEN, "doctor"]).user("nobody").run()?;
        ensure!(nobody.status.code() == Some(1), "not all of it was read: {nobody:?}");
        ensure!(nobody.stdout.contains("this user may not read"), "{nobody:?}");

        host.file("/etc/ufw/ufw.conf", "ENABLED=yes\n")?;
        host.file("/etc/openvpn/client/office.ovpn", "client\nremote 198.51.100.7\n")?;
        host.file_with_mode("/etc/openvpn/shared.conf", "client\nremote 198.51.100.8\n", 0o666)?;
        host.file("/etc/tunwarden/config.toml", "[lan]\nallow = 1\n")?;
        host.succeed(["iptables-legacy", "-A", "INPUT", "-s", "192.0.2.1", "-j", "DROP"])?;
        host.succeed(["rm", "/etc/xdg/autostart/tunwarden-notify.desktop"])?;
        let flush = "#!/bin/sh\n/sbin/iptables -F\n";
        host.file_with_mode("/etc/NetworkManager/dispatcher.d/50-home", flush, 0o755)?;
        host.succeed(["iptables", "-N", "RB_OUTPUT_VPN_KILL_SWITCH"])?;
        let all = [
            "rules-changed-later",
            "article-scripts",
            "second-firewall",
            "hooks-missing",
            "openvpn-left-out",
            "config-faults",
            "legacy-and-nft",
            "notifications",
        ];
        assert_eq!(found(lab)?, set(&all));
        let people = tunwarden(lab, ["doctor"])?;
        let files = ["/etc/openvpn/client/office.ovpn", "/etc/openvpn/shared.conf: left out: others"];
        for word in ["ufw", "config.toml", "update-alternatives", "dispatcher.d/50-home flushes", "RB_OUTPUT"]
            .into_iter()
            .chain(files)
        {
            ensure!(people.stdout.contains(word), "{word}: {}", people.stdout);
        }

        host.file(
            "/etc/tunwarden/config.toml",
            &format!("{CONFIG}owners = [\"root\", \"nm-openvpn\", \"ghost\"]\n"),
        )?;
        running.stop()?;
        let without = found(lab)?;
        ensure!(without.is_superset(&set(&["agent-not-running", "owner-missing"])), "{without:?}");
        ensure!(!without.contains("config-faults") && !without.contains("rules-not-in-force"), "{without:?}");
        host.succeed(["ip6tables", "-F", "OUTPUT"])?;
        ensure!(found(lab)?.contains("rules-not-in-force"), "without an agent the kernel is asked");
        Ok(())
    })
}

/// A machine locked in iptables only, without an agent.
fn locked(lab: &Lab, backend: &str) -> Result<()> {
    let config = format!("{CONFIG}[firewall]\nbackend = \"{backend}\"\n");
    lab.host().file("/etc/tunwarden/config.toml", &config)?;
    let lock = tunwarden(lab, ["lock"])?;
    ensure!(lock.status.success(), "{lock:?}");
    Ok(())
}

#[test]
fn the_second_reader_agrees_in_both_worlds_of_iptables() -> Result<()> {
    for backend in ["auto", "nft", "legacy"] {
        with_lab(|lab| {
            locked(lab, backend)?;
            let healthy = found(lab)?;
            ensure!(!healthy.iter().any(|id| id.contains("reader")), "{backend}: {healthy:?}");
            // Both readers see that a jump and a chain are missing. The rules are not in force, and the
            // readers agree.
            let tool = if backend == "legacy" { "iptables-legacy" } else { "iptables" };
            lab.host().succeed([tool, "-w", "-D", "OUTPUT", "-j", "OUTPUT_VPN_KILL_SWITCH"])?;
            let open = found(lab)?;
            ensure!(open.contains("rules-not-in-force"), "{backend}: {open:?}");
            ensure!(!open.iter().any(|id| id.contains("reader")), "{backend}: {open:?}");
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn the_doctor_says_when_the_second_reader_sees_something_else_and_when_it_hangs() -> Result<()> {
    with_lab(|lab| {
        locked(lab, "auto")?;
        let host = lab.host();
        // The first reader uses iptables-save, so a fake iptables deceives only the second one.
        let replace_ip6tables = |script: &str| {
            host.file_with_mode("/run/stand-in", &format!("#!/bin/sh\n{script}\n"), 0o755)?;
            host.succeed(["ln", "-sf", "/run/stand-in", "/etc/alternatives/ip6tables"]).map(drop)
        };

        replace_ip6tables(
            "case \"$*\" in *-C*FORWARD*IPV6*) exit 1;; esac; exec /usr/sbin/ip6tables-nft \"$@\"",
        )?;
        ensure!(found(lab)?.contains("readers-disagree"), "{:?}", found(lab)?);
        let said = tunwarden(lab, ["doctor"])?.stdout;
        let jump = "only our own reader sees ip6tables filter: the jump from FORWARD to DOCKER_VPN_IPV6";
        ensure!(said.contains(jump) && !said.contains("; and"), "{said}");

        replace_ip6tables("exit 4")?;
        let said = tunwarden(lab, ["doctor"])?.stdout;
        ensure!(said.contains("ip6tables cannot list the table filter"), "{said}");

        replace_ip6tables("echo $$ >/run/hangs; exec sleep 600")?;
        let said = tunwarden(lab, ["doctor"])?.stdout;
        ensure!(said.contains("has failed: iptables did not answer it within"), "{said}");
        let left = host.run(["sh", "-c", "kill -0 $(cat /run/hangs)"])?;
        ensure!(!left.status.success(), "the program that hung goes on");
        Ok(())
    })
}

/// What the doctor computed, and its notes. On a busy machine it may need another try.
fn computed(lab: &Lab) -> Result<(Value, String)> {
    wait_for("the computation", SOON * 4, || {
        let output = tunwarden(lab, ["doctor", "--json"])?;
        let report: Value = serde_json::from_str(&output.stdout).with_context(|| format!("{output:?}"))?;
        let notes = report["notes"].to_string();
        Ok((!notes.contains("the computation took longer than")).then(|| (report["proof"].clone(), notes)))
    })
}

/// How many of three packets of a program leave, of those that the doctor names.
fn leave(lab: &Lab) -> Result<usize> {
    let capture = lab.capture()?;
    lab.host().udp("203.0.113.77:4000")?.from_user("nobody").count(3).tag("named").send()?;
    Ok(capture.stop()?.iter().filter(|frame| frame.is_tagged("named")).count())
}

#[test]
fn the_doctor_names_what_the_rules_of_others_would_let_out_and_it_would() -> Result<()> {
    with_lab(|lab| {
        let host = lab.host();
        host.succeed("ip link add docker0 type bridge".split(' '))?;
        for rules in [UFW, DOCKER_28] {
            host.command(["iptables-restore", "--noflush"]).stdin(rules).succeed()?;
        }
        locked(lab, "auto")?;
        let (proof, notes) = computed(lab)?;
        ensure!(proof == "proven", "{proof} {notes}");
        for (rule, whose) in [("-o eth0 -j ACCEPT", "(ufw)"), ("-i docker0 -j ACCEPT", "(Docker)")] {
            ensure!(notes.contains(&format!("{rule} {whose}: an IPv4 packet")), "{rule} {whose}: {notes}");
        }
        ensure!(notes.contains("to 203.0.113.77, port 4000") && leave(lab)? == 0, "{notes}");

        let released = tunwarden(lab, ["release", "--yes"])?;
        ensure!(released.status.success(), "{released:?}");
        host.succeed("iptables -P OUTPUT DROP".split(' '))?;
        ensure!(leave(lab)? == 3, "the rule of ufw lets nothing out");
        host.succeed("iptables -F ufw-before-output".split(' '))?;
        ensure!(leave(lab)? == 0, "another rule lets it out");

        locked(lab, "auto")?;
        let (proof, notes) = computed(lab)?;
        ensure!(
            proof == "proven" && !notes.contains("(ufw)") && notes.contains("(Docker)"),
            "{proof} {notes}"
        );
        Ok(())
    })
}

/// A fake journalctl that prints one line and stores its arguments.
fn journal(lab: &Lab, line: &str) -> Result<()> {
    let script =
        format!("#!/bin/sh\nprintf '%s\\n' \"$*\" >/run/asked\nchmod 666 /run/asked\necho '{line}'\n");
    lab.host().file_with_mode("/run/journalctl", &script, 0o755)?;
    lab.host().succeed(["mount", "--bind", "/run/journalctl", "/usr/bin/journalctl"]).map(drop)
}

/// One file of an archive.
fn part(lab: &Lab, archive: &str, name: &str) -> Result<String> {
    lab.host().succeed(["tar", "-xzOf", archive, &format!("tunwarden-report/{name}")])
}

#[test]
fn a_bundle_holds_everything_but_addresses_and_names() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let host = lab.host();
        host.file("/etc/hostname", "marsbase\n")?;
        host.file("/etc/wireguard/secretplace.conf", "")?;
        journal(lab, "2026-01-31T12:00:00+0000 marsbase tunwarden[1]: gate.secretplace.net is 203.0.113.77")?;
        let _agent = agent(lab, CONFIG)?;
        wait_for_state(lab, "locked")?;
        let archive = "/run/report.tar.gz";
        let written = tunwarden(lab, ["doctor", "--bundle", archive])?;
        ensure!(written.status.success() && written.stdout.contains(archive), "{written:?}");
        assert_eq!(host.succeed(["stat", "-c", "%a %U", archive])?.trim(), "600 root");
        for name in ["README.txt", "versions.txt", "doctor.txt", "status.txt", "status.json", "journal.txt"] {
            ensure!(!part(lab, archive, name)?.is_empty(), "{name} is empty");
        }
        let all = host.succeed(["tar", "-xzOf", archive])?;
        for original in ["198.51.100.7", "203.0.113.77", "secretplace", "marsbase"] {
            ensure!(!all.contains(original), "{original} is in the archive: {all}");
        }
        // The same placeholder stands for the same server, in the rules of both layers and in the status.
        let status = part(lab, archive, "status.txt")?;
        let word = status
            .split_whitespace()
            .find_map(|word| word.split(':').next().filter(|w| w.starts_with("ADDRESS4-")));
        let word = word.with_context(|| status.clone())?;
        for rules in ["rules/iptables-nft.txt", "rules/nftables.txt", "status.json"] {
            ensure!(part(lab, archive, rules)?.contains(word), "{rules} does not name {word}");
        }
        ensure!(
            part(lab, archive, "rules/iptables-nft.txt")?.contains("-A OUTPUT -j OUTPUT_VPN_KILL_SWITCH"),
            "{all}"
        );
        let asked = host.succeed(["cat", "/run/asked"])?;
        ensure!(asked.contains("--unit=tunwarden.service") && asked.contains("--since=-1h"), "{asked}");

        let open = "/run/with-addresses.tar.gz";
        ensure!(tunwarden(lab, ["doctor", "--bundle", open, "--with-addresses"])?.status.success());
        ensure!(
            part(lab, open, "journal.txt")?.contains("marsbase")
                && part(lab, open, "status.txt")?.contains("198.51.100.7")
        );

        // The bundle of an ordinary user holds only what that user can read.
        host.succeed(["install", "-d", "-o", "nobody", "/run/nobodys"])?;
        let nobodys =
            host.command([TUNWARDEN, "doctor", "--bundle", "/run/nobodys/r.tar.gz"]).user("nobody").run()?;
        ensure!(nobodys.status.success(), "{nobodys:?}");
        let rules = part(lab, "/run/nobodys/r.tar.gz", "rules/iptables-nft.txt")?;
        ensure!(rules.starts_with("not read: "), "{rules}");
        Ok(())
    })
}

#[test]
fn a_bundle_is_a_new_file_and_never_follows_a_link() -> Result<()> {
    with_lab(|lab| {
        let host = lab.host();
        host.file("/run/there", "somebody's\n")?;
        host.succeed(["ln", "-s", "/run/nowhere", "/run/link"])?;
        for file in ["/run/there", "/run/link"] {
            let refused = tunwarden(lab, ["doctor", "--bundle", file])?;
            ensure!(refused.status.code() == Some(1) && refused.stderr.contains("a new file"), "{refused:?}");
        }
        assert_eq!(host.succeed(["cat", "/run/there"])?, "somebody's\n");
        ensure!(!host.run(["test", "-e", "/run/nowhere"])?.status.success(), "the link was followed");
        Ok(())
    })
}

#[test]
fn log_asks_for_the_journal_of_both_units_and_version_says_what_this_is() -> Result<()> {
    with_lab(|lab| {
        journal(lab, "a line")?;
        let units = "--unit=tunwarden.service --unit=tunwarden-lock.service";
        for (words, more) in [
            (&["log"][..], ""),
            (&["log", "-f"], " --follow"),
            (&["log", "--since", "-1h; id"], " --since=-1h; id"),
        ] {
            let shown = lab.host().command([&[TUNWARDEN], words].concat()).run()?;
            ensure!(shown.status.success() && shown.stdout == "a line\n", "{shown:?}");
            assert_eq!(lab.host().succeed(["cat", "/run/asked"])?, format!("{units}{more}\n"));
        }
        let version = tunwarden(lab, ["version"])?;
        ensure!(version.status.success(), "{version:?}");
        let first = format!("tunwarden {}\n", env!("CARGO_PKG_VERSION"));
        ensure!(version.stdout.starts_with(&first), "{}", version.stdout);
        for word in ["agent           does not answer", "kernel", "iptables        iptables v1"] {
            ensure!(version.stdout.contains(word), "{word}: {}", version.stdout);
        }
        Ok(())
    })
}
