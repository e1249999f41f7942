//! Shows a status. On a terminal it uses colours, wraps lines to the width, and with `--watch` overwrites the earlier
//! status. Other outputs get plain text.

use std::io::IsTerminal;

use anstyle::{AnsiColor, Style};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tokio::sync::oneshot;

use super::say;
use crate::status::{Status, Verdict};
use crate::vpn::State;

/// Indent of wrapped lines: the width of a row's title.
const INDENT: usize = 13;

/// Standard output, and what it can display.
#[derive(Debug, Default)]
pub(super) struct Screen {
    /// Number of columns; `None` if it is not a terminal.
    width: Option<usize>,
    colour: Colour,
    /// Number of lines shown, which the next status overwrites.
    lines: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Colour {
    #[default]
    None,
    Ansi,
}

impl Screen {
    /// Standard output.
    pub(super) fn of_stdout() -> Self {
        if !std::io::stdout().is_terminal() {
            return Self::default();
        }
        // https://no-color.org: any value except the empty one disables colours.
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        // A terminal that does not know its width wraps lines itself.
        let width = terminal_size::terminal_size().map_or(usize::MAX, |(width, _)| usize::from(width.0));
        let width = Some(width);
        Self { width, colour: if refused || dumb { Colour::None } else { Colour::Ansi }, lines: 0 }
    }

    /// Whether an earlier status can be overwritten.
    pub(super) fn is_terminal(&self) -> bool {
        self.width.is_some()
    }

    /// Shows a status: on a terminal it replaces the earlier one, elsewhere it follows the earlier one.
    pub(super) fn show(&mut self, status: &Status, now: u64) {
        let text = self.painted(status, now);
        let back = match (self.lines, self.width) {
            (0, _) | (_, None) => String::new(),
            (lines, Some(_)) => format!("\u{1b}[{lines}A\u{1b}[J"),
        };
        self.lines = text.lines().count();
        say(&format!("{back}{text}"));
    }

    fn painted(&self, status: &Status, now: u64) -> String {
        let text = status.for_people(now);
        let text = self.width.map_or_else(|| text.clone(), |width| wrapped(&text, width));
        match self.colour {
            Colour::None => text,
            Colour::Ansi => {
                // The verdict may be wrapped into several lines.
                let end = text.find("\n  ").unwrap_or(text.len());
                let (verdict, rest) = text.split_at(end);
                let style = style(status);
                format!("{style}{verdict}{style:#}{rest}")
            }
        }
    }
}

fn style(status: &Status) -> Style {
    let colour = match (status.verdict(), status.state) {
        (Verdict::Open, _) | (Verdict::Locked, State::Lost) => AnsiColor::Red,
        (Verdict::Protected, _) => AnsiColor::Green,
        (Verdict::Locked, State::Locked | State::Connecting | State::Protected | State::Paused)
        | (Verdict::Unknown, _) => AnsiColor::Yellow,
    };
    Style::new().bold().fg_color(Some(colour.into()))
}

/// Wraps lines between words. Continuation lines are indented to the row's text.
fn wrapped(text: &str, width: usize) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        let indent = if line.starts_with("  ") { INDENT } else { 0 };
        // In a very narrow terminal the indent would leave no space for text.
        let indent = if width < 3 * INDENT { 0 } else { indent };
        let mut now = String::new();
        for word in line.split_inclusive(' ') {
            if !now.trim().is_empty() && now.chars().count() + word.trim_end().chars().count() > width {
                lines.push(now.trim_end().to_owned());
                now = " ".repeat(indent);
            }
            now.push_str(word);
        }
        lines.push(now.trim_end().to_owned());
    }
    lines.join("\n")
}

/// Returns when the reader of standard output has ended, as with `| head -1`. It never returns if the output is a file.
pub(super) async fn reader_gone() {
    let (gone, heard) = oneshot::channel();
    std::thread::spawn(move || {
        let output = std::io::stdout();
        // If no events are requested, poll reports only errors and hang-ups.
        let mut wait = [PollFd::new(&output, PollFlags::empty())];
        while poll(&mut wait, None) == Err(Errno::INTR) {}
        let _ = gone.send(());
    });
    if heard.await.is_err() {
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Enforcement;
    use crate::vpn::Situation;

    fn status(state: State, enforcement: Enforcement) -> Status {
        Status::new(&Situation { state, ..Situation::default() }, 0, enforcement, false)
    }

    #[test]
    fn lines_break_between_words_and_stay_under_their_row() {
        let text = "locked: no VPN\n  outside    198.51.100.7:1194/udp, 198.51.100.8:1194/udp, by nobody";
        assert_eq!(wrapped(text, 200), text);
        let narrow = wrapped(text, 45);
        assert!(narrow.lines().all(|line| line.chars().count() <= 45), "{narrow}");
        assert!(narrow.lines().nth(2).is_some_and(|line| line.starts_with("             198")), "{narrow}");
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        for width in [1, 10, 39, 80] {
            assert_eq!(words(&wrapped(text, width)), words(text), "nothing is lost at {width}");
        }
    }

    #[test]
    fn only_the_verdict_is_coloured_and_only_where_that_is_wanted() {
        let plain = Screen::default();
        let colours = Screen { width: Some(200), colour: Colour::Ansi, lines: 0 };
        let cases = [
            (State::Protected, Enforcement::Enforced, "\u{1b}[32m"),
            (State::Locked, Enforcement::Enforced, "\u{1b}[33m"),
            (State::Lost, Enforcement::Enforced, "\u{1b}[31m"),
            (State::Protected, Enforcement::NotEnforced, "\u{1b}[31m"),
        ];
        for (state, enforcement, colour) in cases {
            let status = status(state, enforcement);
            assert!(!plain.painted(&status, 0).contains('\u{1b}'));
            let painted = colours.painted(&status, 0);
            assert!(painted.lines().next().is_some_and(|line| line.contains(colour)), "{painted:?}");
            assert!(painted.lines().skip(1).all(|line| !line.contains('\u{1b}')), "{painted:?}");
        }
    }
}
