//! A real browser without a screen, which says what a person would see of a page.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tunwarden_lab::Machine;

/// The browser of `scripts/deps test`.
const BROWSER: [&str; 6] = [
    "chromium-headless-shell",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    // A file may read another one: the page around the one that is looked at.
    "--allow-file-access-from-files",
];

/// The page around another one. It opens what can be opened, and writes down what is visible, at several widths.
const WRAPPER_PAGE: &str = include_str!("browser.html");

/// A browser in a machine of the laboratory.
pub struct Browser<'a> {
    machine: &'a Machine,
}

impl<'a> Browser<'a> {
    /// A browser, which has yet to be started.
    pub fn new(machine: &'a Machine) -> Self {
        Self { machine }
    }

    /// What is visible on a page: `title`, `heading` with its `color`, `text`, `tables` with their rows and cells, the
    /// colors of the cells of a class, what it has `requested`, and by how many pixels it is too wide at some widths.
    pub fn looks_at(&self, page: &str) -> Result<Value> {
        let around = format!("{page}.around.html");
        self.machine.file(&around, &WRAPPER_PAGE.replace("PAGE", page))?;
        let dom = self.run(&["--dump-dom", &around])?;
        let (_, said) = dom.split_once("<pre id=\"seen\">").with_context(|| dom.clone())?;
        let (said, _) = said.split_once("</pre>").with_context(|| dom.clone())?;
        serde_json::from_str(said).with_context(|| dom.clone())
    }

    /// The color of one point of its picture of a page, as `#cf222e`.
    pub fn color_at(&self, page: &str, [x, y]: [u32; 2]) -> Result<String> {
        let picture = format!("{page}.png");
        self.run(&["--window-size=1000,800", &format!("--screenshot={picture}"), page])?;
        let format = format!("#%[hex:u.p{{{x},{y}}}]");
        let color = self.machine.succeed(["convert", &picture, "-format", &format, "info:"])?;
        Ok(color.trim().to_lowercase().chars().take("#rrggbb".len()).collect())
    }

    /// Runs it to its end. The last argument is a file.
    fn run(&self, arguments: &[&str]) -> Result<String> {
        let (file, rest) = arguments.split_last().context("no file")?;
        let file = format!("file://{file}");
        let words = BROWSER.iter().chain(rest).copied().chain([file.as_str()]);
        let output = self.machine.command(words).env("HOME", "/run/browser").run()?;
        ensure!(output.status.success(), "the browser, of scripts/deps test: {output:?}");
        Ok(output.stdout)
    }
}
