//! The indicator's menu on the screen.

use anyhow::{Context, Result, ensure};
use tunwarden_lab::{DesktopKind, ScreenWindow, Session, wait_for};

use super::panel::{Colour, background, contrast};
use crate::support::SOON;
use crate::support::person::Person;
use crate::support::screen::Screen;

/// Entries of the menu while no VPN is connected.
const ENTRIES: [&str; 8] = [
    "Locked, no VPN",
    "Connect lab",
    "Pause for 5 minutes",
    "Pause to sign in to this network",
    "Check this machine",
    "Blocked",
    "Details",
    "Open the journal",
];

/// Minimum height of a line of text. A separator and a border are lower.
const TEXT: usize = 4;
/// Contrast of a text that is not enabled.
const FAINT: f64 = 1.5;

/// Clicks on an entry of the menu, which was opened a moment ago and must have every entry.
pub(super) fn choose(person: &Person, kind: DesktopKind, entry: &str) -> Result<()> {
    let labels: Vec<_> =
        person.menu(&person.wait_for_indicator()?)?.into_iter().map(|one| one.label).collect();
    ensure!(ENTRIES.iter().all(|entry| labels.iter().any(|label| label == entry)), "{labels:?}");
    match kind {
        DesktopKind::Cinnamon | DesktopKind::Mate => {
            let screen = Screen { session: &person.session, program: "" };
            screen.waits("the menu", |seen| {
                labels.iter().all(|label| seen.find("menu item", label).is_some())
            })?;
            screen.click("menu item", entry)
        }
        DesktopKind::Xfce => choose_line(&person.session, &labels, entry),
    }
}

/// No screen reader sees the menu of Xfce's panel, so its lines of text are found in its picture: there must be as many
/// as entries.
fn choose_line(session: &Session, labels: &[String], entry: &str) -> Result<()> {
    let lines = wait_for("a menu with a line for each entry", SOON, || {
        Ok(lines(session)?.filter(|lines| lines.len() == labels.len()))
    })?;
    let number = labels.iter().position(|label| label == entry).context("no such entry")?;
    let (x, y) = lines[number];
    session.succeed(["xdotool", "mousemove", &x.to_string(), &y.to_string(), "click", "1"]).map(drop)
}

/// The middle of each line of text in the menu of Xfce's panel. Nothing if there is no menu.
fn lines(session: &Session) -> Result<Option<Vec<(usize, usize)>>> {
    // The other window is the indicator.
    let menu = session.windows("wrapper-2.0")?.into_iter().find(|one| one.width > 100 && one.height > 100);
    let Some(ScreenWindow { left, top, width, height, .. }) = menu else { return Ok(None) };
    let rows = session.pixels()?.into_iter().skip(top).take(height);
    let rows: Vec<Vec<Colour>> =
        rows.map(|row| row.into_iter().skip(left + 2).take(width - 4).collect()).collect();
    let menu = background(&rows);
    let has_text = |row: &Vec<Colour>| row.iter().any(|pixel| contrast(*pixel, menu) >= FAINT);
    let with_text: Vec<bool> = rows.iter().map(has_text).collect();
    let mut row = 0;
    let mut lines = Vec::new();
    for group in with_text.chunk_by(|one, next| one == next) {
        if group[0] && group.len() >= TEXT {
            lines.push((left + width / 2, top + row + group.len() / 2));
        }
        row += group.len();
    }
    Ok(Some(lines))
}
