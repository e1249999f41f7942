//! What the command line reports about a lock, compared with the kernel.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tunwarden_lab::openvpn::{ClientOptions, READY, ServerOptions};
use tunwarden_lab::{Contract, Lab, Output, with_lab};

use super::{KNOWN, TIMEOUT};
use crate::support::kernel::{Backend, FAMILIES};
use crate::support::nft::fake_tool;
use crate::support::{SOON, status, tunwarden};

fn exit_code<const N: usize>(lab: &Lab, words: [&str; N]) -> Result<Option<i32>> {
    Ok(tunwarden(lab, words)?.status.code())
}

/// The configuration's source in `status --json`, and the reason if it is not the file.
fn configuration(lab: &Lab) -> Result<(String, String)> {
    let said = status(lab)?["configuration"].clone();
    ensure!(said["path"] == CONFIG, "{said}");
    let word = |key: &str| said[key].as_str().unwrap_or_default().to_owned();
    Ok((word("source"), word("fault")))
}

const CONFIG: &str = "/etc/tunwarden/config.toml";

/// A configuration that allows little and names what it allows.
const NARROW: &str = "[tunnel]\nallow = [{ protocol = \"tcp\", ports = [443] }]\n\
    [bootstrap]\nservers = [\"198.51.100.7\"]\nscope = \"known\"\n\
    [lan]\nallow = false\n[docker]\nallow = []\npublished_ports = \"none\"\n\
    [vpn]\nconnections = [\"office\"]\n";

/// Commands that make the file or its path unreadable.
const BROKEN: [&str; 7] = [
    "echo '[lann]' >$c",
    "printf '\\0' >$c",
    "printf '[lan' >$c",
    "rm $c; mkdir $c",
    "rm -r $c; ln -s /nowhere $c",
    "rm $c; mkfifo $c",
    "rm $c; mv /etc/tunwarden /etc/away; ln -s /nowhere /etc/tunwarden",
];

#[test]
fn with_a_broken_configuration_the_last_good_one_is_in_force() {
    with_lab(|lab| {
        lab.host().file(CONFIG, NARROW)?;
        let fine = tunwarden(lab, ["lock"])?;
        ensure!(fine.status.success() && fine.stderr.is_empty(), "{fine:?}");
        ensure!(configuration(lab)? == ("file".to_owned(), String::new()));
        let saved = Backend::Nft.all_saved(lab)?;
        let rules = tunwarden(lab, ["rules"])?.stdout;
        for broken in BROKEN {
            lab.host().succeed(["sh", "-ec", &format!("c={CONFIG}; {broken}")])?;
            // As at the next boot, the kernel has no rules.
            lab.host().succeed(["nft", "flush", "ruleset"])?;
            let output = tunwarden(lab, ["lock"])?;
            ensure!(output.status.success(), "{broken}: {output:?}");
            ensure!(output.stderr.contains("in force last is in force"), "{broken}: {}", output.stderr);
            ensure!(
                Backend::Nft.all_saved(lab)? == saved,
                "{broken}: other rules than those in force before"
            );
            let (source, fault) = configuration(lab)?;
            ensure!(source == "kept" && fault.contains("config.toml"), "{broken}: {source} {fault}");
            ensure!(tunwarden(lab, ["status"])?.stdout.contains("the last valid configuration"), "{broken}");
            ensure!(exit_code(lab, ["verify"])? == Some(0), "{broken}: verify compares with another");
            ensure!(tunwarden(lab, ["rules"])?.stdout == rules, "{broken}: rules prints others");
            let doctor = tunwarden(lab, ["doctor"])?.stdout;
            ensure!(doctor.contains("the last valid configuration is in force"), "{broken}: {doctor}");
            ensure!(exit_code(lab, ["check"])? == Some(2), "{broken}: check takes it");
        }
        // A missing file counts as an empty one, and not as a broken one.
        lab.host().succeed(["sh", "-ec", "rm /etc/tunwarden; mkdir /etc/tunwarden"])?;
        let absent = tunwarden(lab, ["lock"])?;
        ensure!(absent.status.success() && absent.stderr.is_empty(), "{absent:?}");
        ensure!(configuration(lab)? == ("file".to_owned(), String::new()));
        Ok(())
    })
    .unwrap();
}

/// No stored configuration exists, or it cannot be read any more.
#[test]
fn a_broken_configuration_without_a_stored_one_closes_and_is_reported() {
    let stores = [
        "true",
        "echo '{\"te' >/var/lib/tunwarden/configuration.json",
        "printf '{\"text\":\"[lann]\"}' >/var/lib/tunwarden/configuration.json",
        "rm -rf /var/lib/tunwarden; touch /var/lib/tunwarden",
        "rm -rf /var/lib/tunwarden; mkdir /var/lib/tunwarden; mount -t tmpfs -o ro tmpfs /var/lib/tunwarden",
    ];
    for store in stores {
        with_lab(|lab| {
            let server = lab.openvpn_server(ServerOptions::default())?;
            let mut client = lab.host().openvpn_client(&ClientOptions::of(&server))?;
            client.wait_for_line(READY, TIMEOUT)?;
            let _far = lab.isp().udp_echo("10.8.0.1:7000")?;
            let through = || lab.host().udp("10.8.0.1:7000")?.send();
            ensure!(through()?.forbidden() == 0, "the control: the tunnel carries");
            // An endpoint that was learned before does not count any more.
            let learned =
                r#"{"hook:tun0":{"name":"tun0","origin":"hook","endpoints":["198.51.100.7:1194/udp"]}}"#;
            lab.host().file("/var/lib/tunwarden/endpoints.json", learned)?;
            lab.host().succeed(["sh", "-ec", store])?;
            lab.host().file(CONFIG, "[lan]\nallow = maybe\n")?;
            let capture = lab.capture()?;
            let output = tunwarden(lab, ["lock"])?;
            ensure!(output.status.success(), "{store}: {output:?}");
            ensure!(output.stderr.contains("strictest rules"), "{store}: {}", output.stderr);
            ensure!(output.stderr.contains("config.toml"), "the file is not named: {}", output.stderr);
            let before = capture.so_far()?.len();
            for target in [
                "10.8.0.1:7000",
                "198.51.100.7:1194",
                "203.0.113.9:4000",
                "203.0.113.9:1194",
                "10.0.0.5:4000",
                "10.0.0.1:53",
                "[fd00:0:0:1::1]:4000",
                "[2001:db8:9::9]:1194",
            ] {
                for user in ["root", "nobody"] {
                    let sent = lab.host().udp(target)?.from_user(user).send()?;
                    ensure!(sent.forbidden() == 1, "{store}: {user} sends to {target}: {sent:?}");
                }
            }
            Contract::locked().check(&capture.stop()?[before..])?;
            // A log rule opens nothing, and its prefix has the words of a reason.
            let named = |line: &&String| {
                !line.contains("NFLOG") && (line.contains("tun") || line.contains("198.51.100.7"))
            };
            let opens = Backend::Nft.all_saved(lab)?.iter().filter(named).cloned().collect::<Vec<_>>();
            ensure!(opens.is_empty(), "{store}: {opens:?}");
            ensure!(exit_code(lab, ["status"])? == Some(3));
            ensure!(configuration(lab)?.0 == "strictest", "{store}");
            Ok(())
        })
        .unwrap();
    }
}

/// The unit, the package and a user may run `lock` at the same time.
#[test]
fn several_locks_at_once_are_one_lock() {
    const LOCKS: &str = r#"
        for lock in 1 2 3 4 5 6; do "$1" lock & pids="$pids $!"; done
        for pid in $pids; do wait "$pid" || exit 1; done"#;
    with_lab(|lab| {
        lab.host().file("/etc/tunwarden/config.toml", KNOWN)?;
        for _ in 0..3 {
            lab.host().succeed(["nft", "flush", "ruleset"])?;
            ensure!(
                exit_code(lab, ["verify"])? == Some(4),
                "nothing is in force, and verify does not say so"
            );
            lab.host().succeed(["bash", "-c", LOCKS, "locks", env!("CARGO_BIN_EXE_tunwarden")])?;
            let verified = tunwarden(lab, ["verify"])?;
            ensure!(verified.status.success(), "{verified:?}");
        }
        Ok(())
    })
    .unwrap();
}

fn status_and_verify_report_the_kernel(backend: Backend) -> Result<()> {
    with_lab(|lab| {
        lab.host().file("/etc/tunwarden/config.toml", &backend.config(KNOWN))?;
        ensure!(exit_code(lab, ["status"])? == Some(4), "nothing is in force, and status does not say so");
        ensure!(exit_code(lab, ["verify"])? == Some(4), "nothing is in force, and verify does not say so");
        backend.lock(lab, KNOWN)?;
        ensure!(exit_code(lab, ["status"])? == Some(3), "locked, and status does not say so");
        let said = status(lab)?;
        ensure!(said["agent"] == false && said["state"] == "locked" && said["enforced"] == true, "{said}");
        ensure!(
            said["repairs"] == 0
                && said["paused_until"].is_null()
                && said["tunnels"] == serde_json::json!([]),
            "{said}"
        );
        let servers: Vec<_> =
            said["bootstrap"].as_array().into_iter().flatten().map(|one| one["address"].clone()).collect();
        ensure!(servers == ["198.51.100.7", "2001:db8:7::7"], "{said}");
        ensure!(exit_code(lab, ["verify"])? == Some(0), "verify finds fault with a fresh lock");

        // Each of these changes opens something. `status` names its family and table.
        let damages = [
            ("iptables", "-F VPN_LAN", "missing: -A VPN_LAN"),
            ("iptables", "-I VPN_BOOTSTRAP 1 -p udp -j ACCEPT", "foreign: -A VPN_BOOTSTRAP -p udp -j ACCEPT"),
            (
                "ip6tables",
                "-D OUTPUT -j OUTPUT_VPN_KILL_SWITCH",
                "OUTPUT does not jump to OUTPUT_VPN_KILL_SWITCH",
            ),
            ("iptables", "-I OUTPUT 1 -j ACCEPT", "is rule 2, not the first"),
            ("ip6tables", "-P OUTPUT ACCEPT", "the policy of OUTPUT is ACCEPT"),
            ("iptables", "-t mangle -F DOCKER_VPN_KILL_SWITCH", "mangle: missing: -A DOCKER_VPN_KILL_SWITCH"),
            (
                "ip6tables",
                "-I FORWARD 1 -j DOCKER_VPN_KILL_SWITCH",
                "FORWARD jumps to DOCKER_VPN_KILL_SWITCH 2 times",
            ),
        ];
        let whole = backend.all_saved(lab)?;
        for (family, change, named) in damages {
            backend.change(lab, family, change)?;
            let verify = tunwarden(lab, ["verify"])?;
            ensure!(verify.status.code() == Some(4), "{change} is not noticed: {verify:?}");
            let line = verify.stdout.lines().find(|line| line.contains(named));
            ensure!(
                line.is_some_and(|line| line.starts_with(&format!("{family} "))),
                "{change}: {}",
                verify.stdout
            );
            ensure!(exit_code(lab, ["status"])? == Some(4), "status does not notice {change}");
            backend.lock(lab, KNOWN)?;
            ensure!(exit_code(lab, ["verify"])? == Some(0), "not repaired: {change}");
            let foreign = change == "-I OUTPUT 1 -j ACCEPT";
            if foreign {
                backend.change(lab, family, "-D OUTPUT -j ACCEPT")?;
            }
            ensure!(backend.all_saved(lab)? == whole, "mended otherwise than it was: {change}");
        }
        Ok(())
    })
}

#[test]
fn status_and_verify_report_the_kernel_with_nft() {
    status_and_verify_report_the_kernel(Backend::Nft).unwrap();
}

#[test]
fn status_and_verify_report_the_kernel_with_legacy() {
    status_and_verify_report_the_kernel(Backend::Legacy).unwrap();
}

fn locking_twice_changes_nothing(backend: Backend) -> Result<()> {
    with_lab(|lab| {
        backend.lock(lab, KNOWN)?;
        let once = backend.all_saved(lab)?;
        backend.lock(lab, KNOWN)?;
        ensure!(backend.all_saved(lab)? == once, "the second lock changed the rules");
        for family in FAMILIES {
            for (chain, ours) in [
                ("OUTPUT", "OUTPUT_VPN_KILL_SWITCH"),
                ("INPUT", "RELATED_AND_ESTABLISHED"),
                ("FORWARD", "DOCKER_VPN_KILL_SWITCH"),
                ("DOCKER-USER", "DOCKER_VPN_KILL_SWITCH"),
            ] {
                let rules = backend.chain(lab, family, chain)?;
                let mut wanted = vec![format!("-A {chain} -j {ours}")];
                if chain == "FORWARD" {
                    let last = if family == "iptables" { "IPV4" } else { "IPV6" };
                    wanted.push(format!("-A FORWARD -j DOCKER_VPN_{last}"));
                }
                ensure!(rules == wanted, "{family} {chain}: {rules:?}");
            }
        }
        Ok(())
    })
}

#[test]
fn locking_twice_changes_nothing_with_nft() {
    locking_twice_changes_nothing(Backend::Nft).unwrap();
}

#[test]
fn locking_twice_changes_nothing_with_legacy() {
    locking_twice_changes_nothing(Backend::Legacy).unwrap();
}

fn json(output: &Output) -> Result<Value> {
    serde_json::from_str(&output.stdout).with_context(|| format!("{output:?}"))
}

/// An ordinary user cannot read the rules. So `status` reports "unknown", and neither "in force" nor "open".
#[test]
fn rules_that_an_ordinary_user_cannot_read_are_unknown() {
    with_lab(|lab| {
        let nobody = |verb: &str| {
            let words = std::iter::once(env!("CARGO_BIN_EXE_tunwarden")).chain(verb.split(' '));
            lab.host().command(words).user("nobody").run()
        };
        for locked in [false, true] {
            if locked {
                ensure!(tunwarden(lab, ["lock"])?.status.success());
                ensure!(exit_code(lab, ["status"])? == Some(3), "the control: root reads it");
            }
            let text = nobody("status")?;
            let said = format!("{}{}", text.stdout, text.stderr);
            ensure!(text.status.code() == Some(5), "locked: {locked}: {text:?}");
            ensure!(text.stdout.starts_with("unknown") && said.contains("sudo tunwarden status"), "{said}");
            for claim in
                ["OPEN", "NOT IN FORCE", "no nftables", "leaves in clear", "does not hold", "nothing"]
            {
                ensure!(!said.contains(claim), "it cannot know of {claim:?}: {said}");
            }
            let said = json(&nobody("status --json")?)?;
            ensure!(said["verdict"] == "unknown" && said["enforced"] == false, "{said}");

            let verify = nobody("verify")?;
            ensure!(verify.status.code() == Some(1) && verify.stdout.is_empty(), "{verify:?}");
            ensure!(verify.stderr.contains("cannot be read as this user"), "{verify:?}");
            let doctor = json(&nobody("doctor --json")?)?;
            let ids = doctor["problems"].as_array().into_iter().flatten().map(|one| one["id"].clone());
            let ids: Vec<Value> = ids.collect();
            ensure!(ids.contains(&"rules-unknown".into()), "{doctor}");
            ensure!(!ids.contains(&"rules-not-in-force".into()), "{doctor}");
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_released_machine_is_reported_as_open() {
    with_lab(|lab| {
        lab.host().file("/etc/tunwarden/config.toml", KNOWN)?;
        ensure!(tunwarden(lab, ["lock"])?.status.success());
        ensure!(tunwarden(lab, ["release", "--yes"])?.status.success());
        let capture = lab.capture()?;
        lab.host().udp("203.0.113.9:4000")?.tag("released").send()?;
        capture.wait_for(1, SOON, |frame| frame.is_tagged("released"))?;
        let text = tunwarden(lab, ["status"])?;
        ensure!(text.status.code() == Some(4), "{text:?}");
        ensure!(text.stdout.starts_with("OPEN") && text.stdout.contains("sudo tunwarden lock"), "{text:?}");
        for claim in ["nothing", "locked", "by the VPN client only"] {
            ensure!(!text.stdout.contains(claim), "everything leaves, and it says {claim:?}: {text:?}");
        }
        let said = json(&tunwarden(lab, ["status", "--json"])?)?;
        ensure!(said["verdict"] == "open" && said["enforced"] == false, "{said}");
        ensure!(
            said["bootstrap"] == serde_json::json!([]) && said["tunnels"] == serde_json::json!([]),
            "{said}"
        );
        ensure!(said["docker"]["protected"] == false, "{said}");
        Ok(())
    })
    .unwrap();
}

/// The output of a tool that dies does not show what the kernel holds.
#[test]
fn a_layer_that_cannot_be_read_is_reported_as_unknown() {
    const DIES: &str = "kill -SEGV $$";
    with_lab(|lab| {
        ensure!(tunwarden(lab, ["lock"])?.status.success());
        // If iptables-save fails, tunwarden reads the kernel and `iptables -S`.
        fake_tool(lab, "iptables-save", DIES)?;
        ensure!(exit_code(lab, ["status"])? == Some(3), "one tool alone keeps the layer from being read");
        lab.host().succeed(["umount", "/usr/sbin"])?;
        for (programs, how) in
            [(["iptables-save", "iptables"], DIES), (["ip6tables-save", "ip6tables"], "exit 3")]
        {
            for program in programs {
                fake_tool(lab, program, how)?;
            }
            let output = tunwarden(lab, ["status", "--json"])?;
            let said = json(&output)?;
            ensure!(output.status.code() == Some(5), "{programs:?}, {how}: {output:?}");
            ensure!(said["verdict"] == "unknown" && said["enforced"] == false, "{programs:?}, {how}: {said}");
            let (unread, other) = (&said["layers"][0], &said["layers"][1]);
            ensure!(
                unread["enforced"] == false && unread["unknown"].is_string(),
                "{programs:?}, {how}: {said}"
            );
            ensure!(unread["lacks"].is_null(), "nothing is lacking: {said}");
            ensure!(other["enforced"] == true && other["unknown"].is_null(), "{programs:?}, {how}: {said}");
            let verify = tunwarden(lab, ["verify"])?;
            ensure!(verify.status.code() == Some(1) && verify.stdout.is_empty(), "{verify:?}");
            for _ in programs {
                lab.host().succeed(["umount", "/usr/sbin"])?;
            }
        }
        ensure!(exit_code(lab, ["status"])? == Some(3), "the control: every tool is back");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_pause_of_no_length_is_refused_with_a_hint_and_is_not_open() {
    with_lab(|lab| {
        for (length, hint) in [
            ("5", "Missing unit. Use 5s, 5m or 5h."),
            ("0s", "1s to 24h"),
            ("2d", "1s to 24h"),
            ("1x", "Use a number with a unit"),
        ] {
            let output = tunwarden(lab, ["pause", length])?;
            ensure!(output.status.code() == Some(1) && output.stderr.contains(hint), "{length}: {output:?}");
        }
        ensure!(exit_code(lab, ["pause", "--help"])? == Some(0));
        Ok(())
    })
    .unwrap();
}
