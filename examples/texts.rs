//! Writes the texts of the package's files in every language: `cargo run --example texts`. They come from
//! `src/notifier/texts/*.ftl`, from the messages whose keys begin with `file-`. A test compares the files with this.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use fluent_bundle::{FluentArgs, FluentBundle, FluentResource};
use tunwarden::notifier::{LANGUAGES, language_of_locale};

const POLICY: &str = "dbus/org.tunwarden.agent1.policy";
const METAINFO: &str = "desktop/org.tunwarden.tunwarden.metainfo.xml";
const MENU: &str = "desktop/org.tunwarden.tunwarden.desktop";
const AUTOSTART: &str = "desktop/tunwarden-notify.desktop";
const SETTINGS: &str = "desktop/org.tunwarden.settings.desktop";
const WINDOW: &str = "desktop/settings/texts.json";
const POSTINST: &str = "packaging/debian/postinst";

/// The lines of `postinst` around the part that this program writes.
const BEGIN: &str = "# Made from src/notifier/texts by: cargo run --example texts";
const END: &str = "# End of what is made.";

/// The texts of the notifier that the window of settings shows too: single ones, and those that begin so.
const SHARED: [&str; 8] =
    ["tunnel", "no-tunnel", "gone-hint", "not-allowed", "reconnect", "resume", "check", "refused-why"];
const SHARED_KINDS: [&str; 4] = ["window-", "state-", "blocked-", "refused-"];
/// Texts of these kinds that it does not show, because their words depend on a number.
const COUNTED: [&str; 2] = ["blocked-line", "blocked-by"];
/// Answers of a check.
const CHECKED: [&str; 3] = ["check-proven", "check-open", "check-not-shown"];
/// The lengths of the pauses in the window, in minutes.
const PAUSES: [u64; 3] = [5, 30, 60];
/// The variables of these texts. In the window's file they are written `{name}`.
const VARIABLES: [&str; 7] = ["name", "interface", "why", "what", "protocol", "ports", "from"];

/// The messages of the installation: sentences, and labels of a column.
const SENTENCES: [&str; 4] = ["locked", "wires", "disabled", "failed"];
const LABELS: [&str; 3] = ["show", "pause", "remove"];

/// The texts for files.
pub(crate) struct Texts {
    /// Each language as a locale names it, with its texts by their keys. English comes first.
    languages: Vec<(&'static str, BTreeMap<String, String>)>,
    /// The keys that a file has used.
    asked: BTreeSet<String>,
}

impl Texts {
    /// Reads the texts of every language.
    ///
    /// # Errors
    /// When a file cannot be parsed, or a text for a file has variables or more than one line.
    pub(crate) fn read() -> Result<Self> {
        let languages = LANGUAGES.into_iter().map(|(tag, texts)| {
            let texts = of_language(tag, texts).with_context(|| format!("{tag}.ftl"))?;
            Ok((language_of_locale(tag), texts))
        });
        Ok(Self { languages: languages.collect::<Result<_>>()?, asked: BTreeSet::new() })
    }

    /// The keys that no file has used.
    #[allow(dead_code, reason = "the test asks for them")]
    pub(crate) fn unused(&self) -> Vec<&String> {
        let all = self.languages.iter().flat_map(|(_, texts)| texts.keys());
        all.filter(|key| !self.asked.contains(*key)).collect()
    }

    /// One text in every language, English first.
    fn all(&mut self, key: &str) -> Result<Vec<(&'static str, &str)>> {
        self.asked.insert(key.to_owned());
        let each = self.languages.iter().map(|(language, texts)| {
            let text = texts.get(key).with_context(|| format!("{language} lacks {key}"))?;
            Ok((*language, text.as_str()))
        });
        each.collect()
    }
}

type Bundle = FluentBundle<FluentResource>;

fn bundle(tag: &str, texts: &str) -> Result<Bundle> {
    let resource = FluentResource::try_new(texts.to_owned()).map_err(|(_, errors)| {
        anyhow::anyhow!("{}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    })?;
    let mut bundle = FluentBundle::new(vec![tag.parse()?]);
    let _ = bundle.add_resource(resource);
    bundle.set_use_isolating(false);
    Ok(bundle)
}

/// One text of a bundle.
fn formatted(bundle: &Bundle, key: &str, arguments: Option<&FluentArgs<'_>>) -> Result<String> {
    let pattern = bundle.get_message(key).and_then(|message| message.value());
    let mut errors = Vec::new();
    let text = bundle.format_pattern(pattern.context("no text")?, arguments, &mut errors).into_owned();
    ensure!(errors.is_empty(), "{key} has other variables");
    Ok(text)
}

fn of_language(tag: &str, texts: &str) -> Result<BTreeMap<String, String>> {
    let bundle = bundle(tag, texts)?;
    let keys =
        texts.lines().filter(|line| line.starts_with("file-")).filter_map(|line| line.split_once(" ="));
    let value = |key: &str| {
        let text = formatted(&bundle, key, None).context("a text for a file has no variables")?;
        // A root shell runs one of the files.
        ensure!(!text.contains(['\\', '`', '$']) && !text.contains(char::is_control), "one plain line");
        Ok(text)
    };
    keys.map(|(key, _)| Ok((key.to_owned(), value(key).with_context(|| key.to_owned())?))).collect()
}

/// Every file with all texts, by its path in the repository.
///
/// # Errors
/// When a file is not there, or a text in it has no key.
#[expect(clippy::disallowed_methods, reason = "this program reads the repository")]
pub(crate) fn files(texts: &mut Texts) -> Result<BTreeMap<&'static str, String>> {
    let mut made: BTreeMap<&'static str, String> = BTreeMap::new();
    for path in [POLICY, METAINFO, MENU, AUTOSTART, SETTINGS, POSTINST] {
        let file = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))?;
        let text = match path {
            POLICY => policy(&file, texts),
            METAINFO => metainfo(&file, texts),
            MENU => desktop(&file, "menu", texts),
            AUTOSTART => desktop(&file, "autostart", texts),
            SETTINGS => desktop(&file, "settings", texts),
            _ => postinst(&file, texts),
        };
        made.insert(path, text.with_context(|| path)?);
    }
    made.insert(WINDOW, window(texts)?);
    Ok(made)
}

/// The texts of the window of settings, which reads them as JSON.
fn window(texts: &mut Texts) -> Result<String> {
    let names: BTreeMap<&str, String> = texts
        .all("file-settings-name")?
        .into_iter()
        .map(|(language, name)| (language, name.to_owned()))
        .collect();
    let mut languages = BTreeMap::new();
    for (tag, source) in LANGUAGES {
        let (language, bundle) = (language_of_locale(tag), bundle(tag, source)?);
        let mut arguments = FluentArgs::new();
        VARIABLES.iter().for_each(|name| arguments.set(*name, format!("{{{name}}}")));
        let is_shown = |key: &&str| {
            let is_of_kind = SHARED_KINDS.iter().any(|kind| key.starts_with(kind)) && !COUNTED.contains(key);
            is_of_kind || SHARED.contains(key) || CHECKED.contains(key)
        };
        let keys =
            source.lines().filter_map(|line| line.split_once(" =")).map(|(key, _)| key).filter(is_shown);
        let texts = keys.map(|key| Ok((key.to_owned(), formatted(&bundle, key, Some(&arguments))?)));
        let mut texts = texts.collect::<Result<BTreeMap<_, _>>>().with_context(|| format!("{tag}.ftl"))?;
        for minutes in PAUSES {
            arguments.set("minutes", minutes);
            texts.insert(format!("pause-{minutes}"), formatted(&bundle, "pause", Some(&arguments))?);
        }
        texts.insert("settings-name".to_owned(), names.get(language).context("no name")?.clone());
        languages.insert(language, texts);
    }
    Ok(serde_json::to_string_pretty(&languages)? + "\n")
}

/// polkit's actions: the description of each, and the text of its prompt.
fn policy(file: &str, texts: &mut Texts) -> Result<String> {
    let mut action = String::new();
    translate(file, texts, |line| {
        if let Some(id) = line.strip_prefix("<action id=\"org.tunwarden.") {
            let id = id.trim_end_matches("\">");
            action = id.strip_prefix("agent1.").unwrap_or(id).to_owned();
        }
        let element = ["description", "message"].into_iter().find(|element| opens(line, element))?;
        Some((format!("file-{action}-{element}"), element))
    })
}

/// The text for software managers. The notes of releases are in English only.
fn metainfo(file: &str, texts: &mut Texts) -> Result<String> {
    let (mut paragraph, mut ended) = (0, false);
    translate(file, texts, |line| {
        ended |= line == "</description>";
        if opens(line, "summary") {
            return Some(("file-about-summary".to_owned(), "summary"));
        }
        (opens(line, "p") && !ended).then(|| {
            paragraph += 1;
            (format!("file-about-{paragraph}"), "p")
        })
    })
}

fn opens(line: &str, element: &str) -> bool {
    line.starts_with(&format!("<{element}>"))
}

/// Writes every translated element of an XML file in every language. `place` returns the key and the element of an
/// English line.
fn translate<'a>(
    file: &'a str,
    texts: &mut Texts,
    mut place: impl FnMut(&'a str) -> Option<(String, &'static str)>,
) -> Result<String> {
    let mut made = String::new();
    for line in file.lines().filter(|line| !line.contains(" xml:lang=\"")) {
        let (indent, rest) = line.split_at(line.len() - line.trim_start().len());
        let Some((key, element)) = place(rest) else {
            writeln!(made, "{line}")?;
            continue;
        };
        ensure!(rest.ends_with(&format!("</{element}>")), "not in one line: {rest}");
        for (language, text) in texts.all(&key)? {
            let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            let lang = if language == "en" { String::new() } else { format!(" xml:lang=\"{language}\"") };
            writeln!(made, "{indent}<{element}{lang}>{text}</{element}>")?;
        }
    }
    Ok(made)
}

/// A `.desktop` file. Its name is the program's, and the same in every language.
fn desktop(file: &str, name: &str, texts: &mut Texts) -> Result<String> {
    let mut made = String::new();
    for line in file.lines().filter(|line| !line.contains("]=")) {
        let (field, _) = line.split_once('=').unwrap_or((line, ""));
        let key = match field {
            "GenericName" => "generic",
            "Comment" => "comment",
            "Keywords" => "keywords",
            // The other entries have the name of the program, which is the same in every language.
            "Name" if name == "settings" => "name",
            _ => {
                writeln!(made, "{line}")?;
                continue;
            }
        };
        for (language, text) in texts.all(&format!("file-{name}-{key}"))? {
            let locale = if language == "en" { String::new() } else { format!("[{language}]") };
            writeln!(made, "{field}{locale}={text}")?;
        }
    }
    Ok(made)
}

/// The script after an installation, with a function that prints its sentences.
fn postinst(file: &str, texts: &mut Texts) -> Result<String> {
    let (before, rest) = file.split_once(BEGIN).context("the first line of what is made is missing")?;
    let (_, after) = rest.split_once(END).context("the last line of what is made is missing")?;
    let languages: Vec<&str> = texts.languages.iter().map(|(language, _)| *language).collect();
    let mut cases = vec![String::new(); languages.len()];
    for name in SENTENCES {
        for (cases, (language, text)) in cases.iter_mut().zip(texts.all(&format!("file-installed-{name}"))?) {
            writeln!(cases, "{}", case(language, name, text))?;
        }
    }
    let labels = LABELS.map(|name| format!("file-installed-{name}"));
    for (cases, (language, texts)) in cases.iter_mut().zip(&texts.languages) {
        let label = |key| texts.get(key).with_context(|| format!("{language} lacks {key}"));
        let said: Vec<&String> = labels.iter().map(label).collect::<Result<_>>()?;
        let width = said.iter().map(|label| label.chars().count()).max().unwrap_or_default() + 2;
        for (name, label) in LABELS.into_iter().zip(said) {
            writeln!(cases, "{}", case(language, name, &format!("{label:width$}")))?;
        }
    }
    texts.asked.extend(labels);
    // English comes last: it is also the default for every other language.
    cases.rotate_left(1);
    Ok(format!(
        "{before}{BEGIN}\nLANGUAGES='{}'\n# $1: the name of a sentence; $language: the user's.\ntell() {{\n    \
         case \"$language-$1\" in\n{}    esac\n}}\n{END}{after}",
        languages.join(" "),
        cases.concat()
    ))
}

fn case(language: &str, name: &str, text: &str) -> String {
    let language = if language == "en" { "*" } else { language };
    format!("    {language}-{name}) echo '{}' ;;", text.replace('\'', "'\\''"))
}

#[allow(dead_code, reason = "the test takes the files and writes none")]
#[expect(clippy::disallowed_methods, reason = "this program writes files")]
fn main() -> Result<()> {
    for (path, text) in files(&mut Texts::read()?)? {
        std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(path), text)?;
    }
    Ok(())
}
