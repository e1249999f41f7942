//! The package's script after an installation: which sessions it starts the notifier in.

#![allow(clippy::disallowed_methods, reason = "a test starts programs and touches files")]

use std::collections::BTreeSet;
use std::fs::{create_dir_all, read_to_string, write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tunwarden::firewall::WIRES_OPEN;
use tunwarden::notifier::{LANGUAGES, language};

const POSTINST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/debian/postinst");

/// Sessions as logind describes them: number, class, type, state, uid and name.
const SESSIONS: &str = "c1 greeter x11 active 112 lightdm
3 user tty active 1001 anna
4 user x11 active 1001 anna
5 user wayland online 1002 bert
6 user x11 closing 1003 carla
7 user x11 online 1004 dora
";

const LOGINCTL: &str = r#"#!/bin/sh
case "$1" in
list-sessions) cat "$(dirname "$0")/sessions" ;;
show-session)
    set -- $(grep "^$2 " "$(dirname "$0")/sessions") "$3"
    case "$7" in
    --property=Class) echo "$2" ;; --property=Type) echo "$3" ;; --property=State) echo "$4" ;;
    --property=User) echo "$5" ;; --property=Name) echo "$6" ;;
    esac ;;
esac
"#;

/// Runs the command without changing the user. Anna's systemd does not answer. Fails if it gets root's environment.
const RUNUSER: &str = "#!/bin/sh\n[ -z \"$SECRET\" ] || exit 1\necho \"user $2\" >>\"$(dirname \"$0\")/log\"\n[ \"$2\" != anna ] || exit 1\nshift 3\nexec \"$@\"\n";

const SYSTEMD_RUN: &str = "#!/bin/sh\necho \"$XDG_RUNTIME_DIR $*\" >>\"$(dirname \"$0\")/log\"\n";

const SYSTEMCTL: &str = "#!/bin/sh\n[ \"$*\" = \"is-active --quiet systemd-logind\" ]\n";

/// The commands in the report.
const COMMANDS: [&str; 3] = ["tunwarden status", "sudo tunwarden pause 5m", "sudo apt remove tunwarden"];

const GETENT: &str = "#!/bin/sh\necho \"x:x:$2:$2::$(dirname \"$0\")/home/$2:/bin/sh\"\n";

fn started(folder: &Path, options: &str) -> Result<String> {
    let script = read_to_string(POSTINST)?;
    let functions = script.split("case \"$1\" in").next().context("no functions")?;
    let _ = std::fs::remove_file(folder.join("log"));
    let path = format!("{}:{}", folder.display(), std::env::var("PATH")?);
    let script = format!("{functions}\nstart_notifiers {options}");
    let output =
        Command::new("sh").args(["-c", &script]).env("PATH", path).env("SECRET", "of root").output()?;
    ensure!(output.status.success(), "{output:?}");
    Ok(read_to_string(folder.join("log"))?)
}

#[test]
fn the_notifier_starts_in_the_graphical_sessions_of_users_who_did_not_switch_it_off() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("tunwarden-postinst-{}", std::process::id()));
    let switched_off = folder.join("home/1004/.config/autostart");
    create_dir_all(&switched_off)?;
    write(switched_off.join("tunwarden-notify.desktop"), "[Desktop Entry]\nHidden = true\n")?;
    write(folder.join("sessions"), SESSIONS)?;
    for (name, text) in [
        ("loginctl", LOGINCTL),
        ("systemctl", SYSTEMCTL),
        ("runuser", RUNUSER),
        ("systemd-run", SYSTEMD_RUN),
        ("getent", GETENT),
    ] {
        write(folder.join(name), text)?;
        std::fs::set_permissions(folder.join(name), std::fs::Permissions::from_mode(0o755))?;
    }
    let run = "--user --quiet --collect --no-block tunwarden notify";
    let asked = |options: &str| {
        let line = format!("/run/user/1002 {run} {options}");
        format!("user anna\nuser bert\n{}\nuser dora\n", line.trim_end())
    };
    let (first, upgrade) = (started(&folder, ""), started(&folder, "--replace"));
    std::fs::remove_dir_all(&folder)?;
    let (first, upgrade) = (first?, upgrade?);
    ensure!(first == asked(""), "{first}");
    ensure!(upgrade == asked("--replace"), "{upgrade}");
    Ok(())
}

/// The first line of `tunwarden status` when both layers are in force.
const HELD: &str = "locked: no VPN, nothing leaves in clear";

/// What the script prints after an installation that has locked, with these environment variables.
fn report(environment: &[(&str, &str)]) -> Result<String> {
    report_for(HELD, environment)
}

/// The same for another output of `tunwarden status`.
fn report_for(status: &str, environment: &[(&str, &str)]) -> Result<String> {
    let script = read_to_string(POSTINST)?;
    let functions = script.split("case \"$1\" in\nconfigure").next().context("no functions")?;
    let script = format!("tunwarden() {{ [ \"$1\" != status ] || echo \"$STATUS\"; }}\n{functions}\nreport");
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).env_clear().env("PATH", std::env::var("PATH")?).env("STATUS", status);
    let output = shell.envs(environment.iter().copied()).output()?;
    ensure!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn the_report_after_an_installation_is_in_the_language_of_the_notifications() -> Result<()> {
    for (list, locale) in [
        ("", "de_AT.UTF-8"),
        ("", "fr_CA.UTF-8"),
        ("", "es_ES.utf8"),
        ("", "pt_PT.UTF-8"),
        ("", "pl_PL.UTF-8@euro"),
        ("", "nl_NL.UTF-8"),
        ("nl:pl:fr", "de_DE.UTF-8"),
        ("en_US:de", "de_DE.UTF-8"),
        ("*:$(exit 7):'", "de_DE.UTF-8"),
        ("de", "C.UTF-8"),
        ("de", ""),
        ("", ""),
    ] {
        let environment = [("LANGUAGE", list), ("LANG", locale)];
        let value = |name: &str| environment.iter().find(|(known, _)| *known == name);
        let tag = language(|name| value(name).map(|(_, value)| (*value).to_owned()));
        let texts = LANGUAGES.iter().find(|(known, _)| *known == tag).context("no texts")?.1;
        let text = |name: &str| {
            let start = format!("file-installed-{name} = ");
            texts.lines().find_map(|line| line.strip_prefix(&start)).context(start.clone())
        };
        let said = report(&environment)?;
        ensure!(
            said.starts_with(&format!("{}\n  {}", text("locked")?, text("show")?)),
            "{environment:?}: {said}"
        );
        ensure!(said.contains(text("pause")?) && said.contains(text("remove")?), "{environment:?}: {said}");
        let column = |(line, command): (&str, &str)| Some(line.strip_suffix(command)?.chars().count());
        let columns: BTreeSet<_> = said.lines().skip(1).zip(COMMANDS).map(column).collect();
        ensure!(columns.len() == 1 && !columns.contains(&None), "not in one column: {said}");
    }
    let english =
        "  show the state:         tunwarden status\n  open for five minutes:  sudo tunwarden pause 5m\n";
    ensure!(report(&[])?.contains(english), "the English report has changed");
    let latin = report(&[("LANG", "de_DE.ISO-8859-1")])?;
    ensure!(latin == report(&[])?, "a terminal without UTF-8: {latin}");
    Ok(())
}

#[test]
fn the_report_says_that_nothing_leaves_only_where_status_says_it() -> Result<()> {
    let open = [
        format!("locked: no VPN, {WIRES_OPEN}\n  since      now"),
        format!("protected: what leaves goes through the VPN; {WIRES_OPEN}"),
        "unknown: the agent cannot read the kernel's rules; see: journalctl -u tunwarden".to_owned(),
        String::new(),
    ];
    for (tag, texts) in LANGUAGES {
        let text = |name: &str| {
            let start = format!("file-installed-{name} = ");
            texts.lines().find_map(|line| line.strip_prefix(&start)).context(start.clone())
        };
        let locale = format!("{}.UTF-8", tag.replace('-', "_"));
        let said = |status: &str| report_for(status, &[("LANG", locale.as_str())]);
        for status in &open {
            let said = said(status)?;
            ensure!(said.starts_with(&format!("{}\n", text("wires")?)), "{tag}, {status}: {said}");
            ensure!(!said.contains(text("locked")?), "{tag}, {status}: {said}");
        }
        for status in [HELD, "protected: what leaves goes through the VPN"] {
            ensure!(said(status)?.starts_with(&format!("{}\n", text("locked")?)), "{tag}, {status}");
        }
    }
    Ok(())
}
