//! polkit's prompts are in the user's language, as a real polkit reads our file.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tunwarden::notifier::LANGUAGES;
use tunwarden_lab::with_lab;

use crate::support::{bus, polkit};

/// Locales as users have them, each with the language of its prompts.
const LOCALES: [(&str, &str); 9] = [
    ("en_US.UTF-8", "en"),
    ("de_AT.UTF-8", "de"),
    ("fr_FR.UTF-8", "fr"),
    ("es_MX.UTF-8", "es"),
    ("pt_BR.UTF-8", "pt-BR"),
    ("pt_PT.UTF-8", "pt-BR"),
    ("pl_PL.UTF-8", "pl"),
    ("pl_PL", "pl"),
    ("nl_NL.UTF-8", "en"),
];

#[test]
fn polkit_asks_in_the_language_of_the_user() -> Result<()> {
    with_lab(|lab| {
        let bus = bus(lab)?;
        polkit::rules(lab, "")?;
        let _polkit = bus.polkit()?;
        for (locale, language) in LOCALES {
            let authority = "org.freedesktop.PolicyKit1.Authority";
            let object = ["org.freedesktop.PolicyKit1", "/org/freedesktop/PolicyKit1/Authority", authority];
            let call = ["busctl", "--system", "--json=short", "call"].into_iter().chain(object);
            let said = lab.host().succeed(call.chain(["EnumerateActions", "s", locale]))?;
            let said: Value = serde_json::from_str(&said)?;
            let actions = said["data"][0].as_array().context("no actions")?;
            for action in ["pause", "reconnect", "blocked"] {
                let id = format!("org.tunwarden.agent1.{action}");
                let found = actions.iter().find(|one| one[0] == id.as_str());
                let found = found.with_context(|| format!("{id} in {said}"))?;
                let wanted = [text(language, action, "description")?, text(language, action, "message")?];
                ensure!(
                    found[1] == wanted[0] && found[2] == wanted[1],
                    "{locale}: {found} and not {wanted:?}"
                );
            }
        }
        Ok(())
    })
}

/// The text for a prompt of polkit in `src/notifier/texts`.
fn text(language: &str, action: &str, part: &str) -> Result<&'static str> {
    let (_, texts) = LANGUAGES.iter().find(|(tag, _)| *tag == language).context("no such language")?;
    let start = format!("file-{action}-{part} = ");
    texts.lines().find_map(|line| line.strip_prefix(&start)).context(start.clone())
}
