//! Checks every page of the repository: its links work, the real command line accepts its commands, the real
//! parser accepts its configurations, and its paths exist.

#![allow(clippy::disallowed_methods, reason = "a test reads the repository")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a page has many events, and a few matter")]

#[allow(dead_code, unreachable_pub, reason = "the network tests use it too")]
#[path = "../support/schema.rs"]
mod schema;

use std::collections::BTreeSet;
use std::fs::read_to_string;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::CommandFactory;
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use tunwarden::cli::Cli;
use tunwarden::config::Config;
use tunwarden::guide::{VpnKind, table};
use tunwarden::vpn::Refusal;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Folders with Markdown files, besides the root of the repository.
const FOLDERS: [&str; 3] = ["docs", ".github", ".github/ISSUE_TEMPLATE"];

/// The kinds of VPN in the table of the README.
const README: [VpnKind; 6] = [
    VpnKind::ManagedOpenVpn,
    VpnKind::OpenVpn,
    VpnKind::ManagedWireGuard,
    VpnKind::WgQuick,
    VpnKind::Provider,
    VpnKind::Tailscale,
];

/// Inline code with one of these prefixes is a path of the repository.
const PATHS: [&str; 13] = [
    "src/",
    "tests/",
    "docs/",
    "benches/",
    "examples/",
    "packaging/",
    "scripts/",
    "dbus/",
    "hooks/",
    "systemd/",
    "desktop/",
    "fuzz/",
    ".github/",
];

/// The languages of code blocks with commands. A block may have no language.
const SHELLS: [&str; 3] = ["", "sh", "console"];

/// A page with one fault of each kind, and a correct example of each.
const FAULTY: &str = "\
# A title of two parts, `code` too

[right](README.md), [right](#a-title-of-two-parts-code-too), [right](docs/security.md#who-is-believed)
[gone](docs/gone.md) [no such title](docs/security.md#gone) [none here](#gone) [unsafe](http://example.org)

`sudo tunwarden pause 5m` and `tunwarden unlock`, `src/lib.rs` and `src/gone.rs`, `make lint` and `make gone`

```sh
sudo tunwarden status --json | jq .state && tunwarden status --xml   # a comment: tunwarden gone
```

```toml
[tunnel]
interface = [\"tun+\"]
```

```json
{ \"version\": 1 }
```
";

#[test]
fn the_pages_have_no_faults() -> Result<()> {
    let mut pages = Vec::new();
    for folder in [""].into_iter().chain(FOLDERS) {
        for entry in std::fs::read_dir(Path::new(ROOT).join(folder))? {
            let path = entry?.path();
            pages.extend(path.extension().is_some_and(|end| end == "md").then_some(path));
        }
    }
    ensure!(pages.len() > 10, "only {} pages were found", pages.len());
    let mut faults = Vec::new();
    for path in pages {
        faults.extend(faults_of(&path, &read_to_string(&path)?)?);
    }
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}

#[test]
fn a_fault_of_each_kind_is_found() -> Result<()> {
    let faults = faults_of(&Path::new(ROOT).join("page.md"), FAULTY)?;
    let expected = [
        "page.md:4: no file docs/gone.md",
        "page.md:4: no title docs/security.md#gone",
        "page.md:4: no title #gone",
        "page.md:4: not https: http://example.org",
        "page.md:6: `tunwarden unlock` is no command",
        "page.md:6: no file src/gone.rs",
        "page.md:6: make has no target gone",
        "page.md:8: `tunwarden status --xml` is no command",
        "page.md:12: the configuration has a fault:",
        "page.md:17: the schema refuses it:",
    ];
    ensure!(faults.len() == expected.len(), "{faults:#?}");
    for (fault, expected) in faults.iter().zip(expected) {
        ensure!(fault.starts_with(expected), "{fault:?} instead of {expected:?}");
    }
    Ok(())
}

/// `docs/reference.md` names every member on the bus, with its types, and no other.
#[test]
fn the_reference_names_every_member_on_the_bus() -> Result<()> {
    let root = Path::new(ROOT);
    let xml = read_to_string(root.join("dbus/org.tunwarden.Agent1.xml"))?;
    let node = zbus_xml::Node::from_reader(xml.as_bytes())?;
    let ours = node.interfaces().first().context("no interface")?;
    let types = |args: &[zbus_xml::Arg<'_>]| args.iter().map(|arg| arg.ty().to_string()).collect::<Vec<_>>();
    let methods = ours.methods().map(|one| (one.name().to_string(), types(one.args())));
    let signals = ours.signals().map(|one| (one.name().to_string(), types(one.args())));
    let properties = ours.properties().map(|one| (one.name().to_string(), vec![one.ty().to_string()]));
    let members: BTreeSet<(String, Vec<String>)> = methods.chain(signals).chain(properties).collect();

    let page = read_to_string(root.join("docs/reference.md"))?;
    let (_, bus) = page.split_once("\n## D-Bus\n").context("no part on D-Bus")?;
    let (bus, _) = bus.split_once("\n## Files\n").context("no part on files")?;
    let rows = bus.lines().filter_map(|line| line.strip_prefix("| `"));
    let member = |row: &str| {
        let (name, rest) = row.split_once("` |")?;
        let types = rest.split(" |").next()?.split('`').skip(1).step_by(2);
        Some((name.to_owned(), types.map(str::to_owned).collect()))
    };
    let named: BTreeSet<(String, Vec<String>)> = rows.filter_map(member).collect();
    let missing: Vec<_> = members.difference(&named).collect();
    let wrong: Vec<_> = named.difference(&members).collect();
    ensure!(missing.is_empty() && wrong.is_empty(), "the page lacks {missing:?} and has {wrong:?}");
    Ok(())
}

/// The tables of what works with which VPN say what the program says.
#[test]
fn the_tables_of_vpns_are_the_program_s_own() -> Result<()> {
    let all = table();
    let place = |kind| VpnKind::ALL.iter().position(|one| *one == kind);
    let first = README.into_iter().filter_map(place).map(|place| all[place].clone()).collect();
    for (page, expected) in [("docs/getting-started.md", all), ("README.md", first)] {
        let text = read_to_string(Path::new(ROOT).join(page))?.replace('`', "");
        let rows = text.lines().skip_while(|line| !line.starts_with("| Your VPN ")).skip(2);
        let rows: Vec<&str> = rows.take_while(|line| line.starts_with('|')).collect();
        ensure!(rows == expected, "{page}: {rows:#?} instead of {expected:#?}");
    }
    Ok(())
}

/// The faults of a page, one line each: `FILE:LINE: fault`.
fn faults_of(path: &Path, text: &str) -> Result<Vec<String>> {
    let page = Page { path, text };
    let mut faults = Vec::new();
    let mut block: Option<(String, String)> = None;
    for (event, place) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
        let fault = match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => page.link(&dest_url)?,
            Event::Start(Tag::CodeBlock(kind)) => {
                let language = match kind {
                    CodeBlockKind::Fenced(language) => language.to_string(),
                    CodeBlockKind::Indented => String::new(),
                };
                block = Some((language, String::new()));
                Vec::new()
            }
            Event::End(TagEnd::CodeBlock) => match block.take() {
                Some((language, code)) if language == "toml" => configuration(&code)?,
                Some((language, code)) if language == "json" => json(&code)?,
                Some((language, code)) if SHELLS.contains(&language.as_str()) => shell(&code)?,
                Some(_) | None => Vec::new(),
            },
            Event::Text(code) if block.is_some() => {
                block.iter_mut().for_each(|(_, text)| text.push_str(&code));
                Vec::new()
            }
            Event::Code(code) => inline(&code)?,
            _ => Vec::new(),
        };
        faults.extend(fault.into_iter().map(|fault| page.at(&place, &fault)));
    }
    Ok(faults)
}

struct Page<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Page<'_> {
    fn at(&self, place: &Range<usize>, fault: &str) -> String {
        let line = 1 + self.text[..place.start].matches('\n').count();
        let name = self.path.strip_prefix(ROOT).unwrap_or(self.path);
        format!("{}:{line}: {fault}", name.display())
    }

    /// Checks that a link within the repository leads to a file and to a title in it, and that every other
    /// link uses HTTPS.
    fn link(&self, target: &str) -> Result<Vec<String>> {
        if target.contains("://") {
            let fault = (!target.starts_with("https://")).then(|| format!("not https: {target}"));
            return Ok(fault.into_iter().collect());
        }
        let (file, title) =
            target.split_once('#').map_or((target, None), |(file, title)| (file, Some(title)));
        let path = match file {
            "" => self.path.to_owned(),
            _ => self.path.parent().context("a page in a folder")?.join(file),
        };
        if !file.is_empty() && !path.exists() {
            return Ok(vec![format!("no file {file}")]);
        }
        let text = match (title, file) {
            (None, _) => return Ok(Vec::new()),
            (Some(_), "") => self.text.to_owned(),
            (Some(_), _) => read_to_string(&path)?,
        };
        let known = title.is_some_and(|title| titles(&text).contains(title));
        Ok((!known).then(|| format!("no title {target}")).into_iter().collect())
    }
}

/// The anchors of a page's titles, as GitHub and similar sites make them.
fn titles(text: &str) -> BTreeSet<String> {
    let (mut titles, mut title) = (BTreeSet::new(), None::<String>);
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Heading { .. }) => title = Some(String::new()),
            Event::Text(text) | Event::Code(text) => {
                if let Some(title) = &mut title {
                    title.push_str(&text);
                }
            }
            Event::End(TagEnd::Heading(_)) => titles.extend(title.take().map(|title| anchor(&title))),
            _ => {}
        }
    }
    titles
}

fn anchor(title: &str) -> String {
    let kept = title.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

fn inline(code: &str) -> Result<Vec<String>> {
    let is_path = PATHS.iter().any(|start| code.starts_with(start)) && !code.contains([' ', '*', '<', '{']);
    if is_path && !Path::new(ROOT).join(code).exists() {
        return Ok(vec![format!("no file {code}")]);
    }
    shell(code)
}

/// Checks every tunwarden command and every target of make in a block of commands.
fn shell(code: &str) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for line in code.replace("\\\n", " ").lines() {
        let line = line.trim_start_matches("$ ");
        let line = if line.starts_with('#') { "" } else { line.split(" #").next().unwrap_or_default() };
        for command in line.split(['|', ';', '&']) {
            let command = command.split(['>', '<']).next().unwrap_or_default().trim();
            let words: Vec<&str> = command.split_whitespace().skip_while(|word| *word == "sudo").collect();
            match words.as_slice() {
                ["tunwarden", _, ..]
                    if Cli::command().try_get_matches_from(&words).is_err_and(|e| e.use_stderr()) =>
                {
                    faults.push(format!("`{}` is no command", words.join(" ")));
                }
                ["make", targets @ ..] => {
                    let targets = targets.iter().filter(|target| !target.contains('=')).copied();
                    faults.extend(
                        targets
                            .filter(|target| !makes(target))
                            .map(|target| format!("make has no target {target}")),
                    );
                }
                _ => {}
            }
        }
    }
    Ok(faults)
}

fn makes(target: &str) -> bool {
    include_str!("../../Makefile")
        .lines()
        .any(|line| line.strip_prefix(target).is_some_and(|rest| rest.starts_with(':')))
}

/// An example of what `status --json` prints.
fn json(code: &str) -> Result<Vec<String>> {
    let fault = schema::check(schema::STATUS, &serde_json::from_str(code)?).err();
    Ok(fault.map(|fault| format!("the schema refuses it: {fault:#}")).into_iter().collect())
}

#[test]
fn the_page_and_the_schema_of_refusals_have_every_reason() -> Result<()> {
    let known = Refusal::ALL.map(|reason| reason.as_str().to_owned());
    let schema: serde_json::Value = serde_json::from_str(schema::BLOCKED)?;
    assert_eq!(schema["properties"]["reason"]["enum"], serde_json::json!(known));
    let page = read_to_string(Path::new(ROOT).join("docs/blocked.md"))?;
    for reason in Refusal::ALL {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{}` |", reason.as_str())));
        let key = reason.key().map_or(String::new(), |key| format!("`{key}` "));
        ensure!(row.is_some_and(|row| row.ends_with(&format!("| {key}|"))), "{reason:?}: {row:?}");
    }
    Ok(())
}

fn configuration(code: &str) -> Result<Vec<String>> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), code)?;
    let fault = Config::read(&PathBuf::from(file.path())).err();
    Ok(fault.map(|fault| format!("the configuration has a fault: {fault}")).into_iter().collect())
}
