//! Checks this machine for the user: runs `prove` as an administrator, with a report in the user's home folder.

use std::env::{current_exe, var_os};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::{Output, Stdio};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::event::{Check, Checked, Refusal};
use super::keys::Key;
use crate::system::{self, program};

/// The program that asks for an administrator's password, and runs a command.
const PKEXEC: &str = "pkexec";
/// Its exit status if the user closed the window, and if the user is not allowed to run the command or pkexec failed.
const CLOSED: i32 = 126;
const NOT_DONE: i32 = 127;

/// Runs `prove`.
pub(super) async fn check() -> Result<Check, Refusal> {
    let failed = |why: &str| Refusal::Failed(why.to_owned());
    let pkexec = program::path(PKEXEC).ok_or(Refusal::Own(Key::NoPkexec))?;
    let home = var_os("HOME").filter(|home| !home.is_empty()).ok_or(Refusal::Own(Key::NoHome))?;
    let report = PathBuf::from(home).join(name(system::now(), TimeZone::system()));
    let own = current_exe().map_err(|error| failed(&error.to_string()))?;
    let arguments = [OsStr::new("prove"), OsStr::new("--report"), report.as_os_str()];
    // pkexec asks in a window, so it needs the environment of the session.
    #[expect(clippy::disallowed_methods, reason = "it needs the environment of the session")]
    let mut command = tokio::process::Command::new(pkexec);
    command.arg("--disable-internal-agent").arg(own).args(arguments).stdin(Stdio::null());
    let output = command.output().await.map_err(|error| failed(&error.to_string()))?;
    answer(&output, report.as_os_str(), report.exists())
}

/// The name of a report that is made at this time, in seconds since the epoch.
fn name(now: u64, zone: TimeZone) -> OsString {
    let moment = i64::try_from(now).ok().and_then(|now| Timestamp::from_second(now).ok()).unwrap_or_default();
    let moment = moment.to_zoned_datetime(zone).strftime("%Y-%m-%d-%H%M%S");
    format!("tunwarden-check-{moment}.html").into()
}

/// The meaning of the exit status. Without a report nothing was checked.
fn answer(output: &Output, report: &OsStr, is_there: bool) -> Result<Check, Refusal> {
    let result = match output.status.code() {
        Some(0) => Checked::Proven,
        Some(4) => Checked::Open,
        Some(1) => Checked::NotShown,
        Some(CLOSED | NOT_DONE) => return Err(Refusal::NotAllowed),
        Some(_) | None => return Err(failed(output)),
    };
    match is_there {
        true => Ok(Check { result, report: report.to_string_lossy().into_owned() }),
        false => Err(failed(output)),
    }
}

fn failed(output: &Output) -> Refusal {
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty());
    Refusal::Failed(last.map_or_else(|| output.status.to_string(), ToOwned::to_owned))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use super::*;

    #[test]
    fn only_a_report_with_an_answer_counts_as_a_check() {
        let of = |status, is_there| {
            let stderr = b"first\ntunwarden: it could not be shown\n\n".to_vec();
            let output = Output { status: ExitStatus::from_raw(status), stdout: Vec::new(), stderr };
            answer(&output, OsStr::new("/home/ann/x.html"), is_there)
        };
        for (code, result) in [(0, Checked::Proven), (4, Checked::Open), (1, Checked::NotShown)] {
            assert_eq!(of(code << 8, true), Ok(Check { result, report: "/home/ann/x.html".to_owned() }));
            assert_eq!(
                of(code << 8, false),
                Err(Refusal::Failed("tunwarden: it could not be shown".to_owned()))
            );
        }
        assert_eq!(of(126 << 8, false), Err(Refusal::NotAllowed));
        assert_eq!(of(127 << 8, true), Err(Refusal::NotAllowed));
        for other in [2 << 8, 9] {
            assert!(matches!(of(other, true), Err(Refusal::Failed(_))), "{other}");
        }
    }

    #[test]
    fn two_reports_have_two_names() {
        assert_eq!(name(1_800_000_000, TimeZone::UTC), "tunwarden-check-2027-01-15-080000.html");
        assert_ne!(name(1_800_000_000, TimeZone::UTC), name(1_800_000_001, TimeZone::UTC));
    }
}
