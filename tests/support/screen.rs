//! What is on the screen of a user: the texts and buttons that a screen reader reads, with their places, and clicks on
//! them.

use anyhow::{Context, Result};
use serde_json::Value;
use tunwarden_lab::{Session, wait_for};

use super::SOON;

const READER: &str = include_str!("reader.py");

/// Whether a thing is in a state, for example checked.
fn is_in(one: &Value, state: &str) -> bool {
    one["states"].as_array().is_some_and(|states| states.iter().any(|one| one == state))
}

/// The things of the windows, also those of the pages behind and those that must be scrolled to.
pub struct Seen(pub Vec<Value>);

impl Seen {
    /// What is on the screen.
    fn shown(&self) -> impl Iterator<Item = &Value> {
        self.0.iter().filter(|one| is_in(one, "showing"))
    }

    pub fn find(&self, role: &str, name: &str) -> Option<&Value> {
        self.shown().find(|one| one["role"] == role && one["name"] == name)
    }

    /// The first thing on the screen that has these words.
    pub fn saying(&self, text: &str) -> Option<&Value> {
        let has = |value: &Value| value.as_str().is_some_and(|said| said.contains(text));
        self.shown().find(|one| has(&one["name"]) || has(&one["text"]))
    }

    pub fn says(&self, text: &str) -> bool {
        self.saying(text).is_some()
    }

    pub fn is(&self, role: &str, name: &str, state: &str) -> bool {
        self.find(role, name).is_some_and(|one| is_in(one, state))
    }
}

/// The screen of a session that has an accessibility bus.
#[derive(Clone, Copy)]
pub struct Screen<'a> {
    pub session: &'a Session,
    /// A part of the name of the program whose windows are read; empty for every program.
    pub program: &'a str,
}

impl Screen<'_> {
    /// Reads the windows.
    pub fn read(&self) -> Result<Seen> {
        let said = self.session.readable(["/usr/bin/python3", "-c", READER, self.program]).run()?;
        let lines = said.stdout.lines().map(serde_json::from_str).collect::<Result<_, _>>();
        Ok(Seen(lines.with_context(|| format!("{said:?}"))?))
    }

    /// Waits until the windows are as described.
    pub fn waits(&self, what: &str, is_there: impl Fn(&Seen) -> bool) -> Result<Seen> {
        let found = wait_for(what, SOON, || Ok(Some(self.read()?).filter(|seen| is_there(seen))));
        found.with_context(|| match self.read() {
            Ok(seen) => seen.0.iter().map(|one| format!("{one}\n")).collect(),
            Err(error) => error.to_string(),
        })
    }

    /// Clicks on a thing that can be used.
    pub fn click(&self, role: &str, name: &str) -> Result<()> {
        let seen = self.waits(name, |seen| seen.is(role, name, "sensitive"))?;
        self.click_on(seen.find(role, name).context(name.to_owned())?)
    }

    /// Clicks in the middle of a thing.
    pub fn click_on(&self, thing: &Value) -> Result<()> {
        let (x, y) = (thing["x"].to_string(), thing["y"].to_string());
        self.session.succeed(["xdotool", "mousemove", &x, &y, "click", "1"]).map(drop)
    }
}
