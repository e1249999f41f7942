//! The page that `prove --report` writes, as a person sees it in a real browser.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tunwarden_lab::{Lab, Transport, with_lab};

use crate::support::browser::Browser;
use crate::support::{SOON, tunwarden};

const CONFIG: &str = "[bootstrap]\nservers = [\"198.51.100.7\"]\n";

/// A page that is too wide and loads a picture from the internet.
const CONTROL: &str = "<!doctype html>
<title>The control</title>
<h1>Control</h1>
<div style=\"width: 3000px\">wide</div>
<img src=\"http://203.0.113.77/pixel.png\" alt=\"\">
";

/// Only this rule opens something. Its comment would load the picture if it became HTML.
const OPENED: &str = "
    iptables -P OUTPUT DROP
    ip6tables -P OUTPUT DROP
    iptables -A OUTPUT -d 192.0.2.99 -m comment --comment '<img src=http://203.0.113.77/pixel.png>' -j ACCEPT";

/// The colors of the verdict: `--good` and `--bad` of the page.
const GREEN: &str = "#1a7f37";
const RED: &str = "#cf222e";
/// A point of the verdict that has no letter, in a window 1000 pixels wide.
const VERDICT: [u32; 2] = [900, 55];

/// What a person sees of a report. It fits into a window of any width, and it has loaded nothing.
fn seen(lab: &Lab, page: &str) -> Result<Value> {
    let capture = lab.capture()?;
    let seen = Browser::new(lab.host()).looks_at(page)?;
    let frames = capture.stop()?;
    let mut sent = frames.iter().filter_map(|frame| Some((frame.destination()?, frame.transport()?)));
    let sent = sent.find(|(_, transport)| matches!(transport, Transport::Tcp { .. } | Transport::Udp { .. }));
    ensure!(sent.is_none() && seen["requested"] == json!([]), "it has loaded something: {sent:?} {seen}");
    ensure!(seen["tooWide"] == json!({ "1200": 0, "800": 0, "360": 0 }), "{}", seen["tooWide"]);
    Ok(seen)
}

/// The same measurements see what a bad page does.
fn control(lab: &Lab) -> Result<()> {
    let page = "/run/control.html";
    lab.host().file(page, CONTROL)?;
    let capture = lab.capture()?;
    let seen = Browser::new(lab.host()).looks_at(page)?;
    let to = "203.0.113.77".parse()?;
    capture.wait_for(1, SOON, |frame| frame.destination() == Some(to)).context("no request arrives")?;
    ensure!(seen["requested"] == json!(["http://203.0.113.77/pixel.png"]), "{seen}");
    ensure!(seen["tooWide"]["800"].as_u64() > Some(2000), "{seen}");
    Ok(())
}

/// The cells of a table, without its first row.
fn rows(seen: &Value, table: usize) -> Result<&[Value]> {
    let rows = seen["tables"][table].as_array().with_context(|| format!("no table {table}: {seen}"))?;
    Ok(rows.get(1..).unwrap_or_default())
}

#[test]
fn a_person_sees_the_verdict_and_the_tables_and_the_page_loads_nothing() -> Result<()> {
    with_lab(|lab| {
        let host = lab.host();
        control(lab)?;
        host.file("/etc/tunwarden/config.toml", CONFIG)?;
        let locked = tunwarden(lab, ["lock"])?;
        ensure!(locked.status.success(), "{locked:?}");
        let tried = tunwarden(lab, ["prove", "--live", "--report", "/run/locked.html"])?;
        ensure!(tried.status.success(), "{tried:?}");
        let released = tunwarden(lab, ["release", "--yes"])?;
        ensure!(released.status.success(), "{released:?}");
        host.succeed(["sh", "-ec", OPENED])?;
        let open = tunwarden(lab, ["prove", "--report", "/run/open.html"])?;
        ensure!(open.status.code() == Some(4), "{open:?}");
        // What a page loads would be seen at the provider.
        host.succeed("iptables -P OUTPUT ACCEPT".split(' '))?;

        let closed = seen(lab, "/run/locked.html")?;
        ensure!(closed["title"] == "tunwarden prove: PROVEN", "{closed}");
        ensure!(closed["heading"] == "PROVEN: no packet can leave in clear.", "{closed}");
        ensure!(Browser::new(host).color_at("/run/locked.html", VERDICT)? == GREEN, "{closed}");
        // First each probe, then who may send where.
        let probes = rows(&closed, 0)?;
        let refused = probes.iter().filter(|row| row[1].to_string().contains("refused"));
        ensure!(probes.len() > 20 && refused.count() == probes.len(), "{closed}");
        ensure!(
            rows(&closed, 1)?[0] == json!(["programs", "none", "passes", "passes", "passes", "refused"]),
            "{closed}"
        );
        // One link leads out here, and the control has one.
        let control = format!("control {0} of {0} seen", probes.len());
        ensure!(closed["text"].as_str().unwrap_or_default().contains(&control), "{control}: {closed}");

        let open = seen(lab, "/run/open.html")?;
        ensure!(open["heading"] == "OPEN: packets can leave in clear.", "{open}");
        ensure!(Browser::new(host).color_at("/run/open.html", VERDICT)? == RED, "{open}");
        let programs = &rows(&open, 0)?[0];
        ensure!(programs[0] == "programs" && programs[5] == "passes", "{open}");
        ensure!(open["colors"]["elsewhere passes"] == "rgb(207, 34, 46)", "{}", open["colors"]);
        let text = open["text"].as_str().unwrap_or_default();
        for visible in ["<img src=http://203.0.113.77/pixel.png>", "Let out by:", "What to do:", "Versions"] {
            ensure!(text.contains(visible), "{visible}: {text}");
        }
        Ok(())
    })
}
