//! Sentences in the user's language. Pure: language and time zone are arguments.

use fluent_bundle::{FluentArgs, FluentBundle, FluentResource, FluentValue};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use unic_langid::LanguageIdentifier;

use super::event::Button;
use super::keys::Key;
use super::notice::{Arg, Text};

/// Maximum length of a name or a foreign text in a sentence, in characters.
const LONGEST: usize = 200;

/// The languages. The first one is used if the user's language is missing.
const LANGUAGES: [(&str, &str); 2] =
    [("en", include_str!("texts/en.ftl")), ("de", include_str!("texts/de.ftl"))];

/// The texts of one language.
pub struct Words {
    bundle: FluentBundle<FluentResource>,
    zone: TimeZone,
}

/// The user's language from the environment: `LC_ALL`, then `LC_MESSAGES`, then `LANG`.
pub fn language(variable: impl Fn(&str) -> Option<String>) -> &'static str {
    let said =
        ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().filter_map(variable).find(|said| !said.is_empty());
    let said = said.unwrap_or_default();
    // `de_AT.UTF-8`, `de@euro`, `de`: the language comes first.
    let spoken = said.split(['_', '.', '@', '-']).next().unwrap_or_default();
    let known = LANGUAGES.iter().find(|(language, _)| *language == spoken);
    known.map_or(LANGUAGES[0].0, |(language, _)| language)
}

impl Words {
    /// The texts of a language returned by [`language`].
    pub fn new(language: &str, zone: TimeZone) -> Self {
        let (tag, texts) =
            LANGUAGES.into_iter().find(|(known, _)| *known == language).unwrap_or(LANGUAGES[0]);
        let tag: LanguageIdentifier = tag.parse().unwrap_or_default();
        let mut bundle = FluentBundle::new(vec![tag]);
        // Notification daemons show the isolation marks around an argument as boxes.
        bundle.set_use_isolating(false);
        // Sentences that cannot be parsed are left out. A test checks that all are parsed.
        let resource = FluentResource::try_new(texts.to_owned()).unwrap_or_else(|(rest, _)| rest);
        let _ = bundle.add_resource(resource);
        Self { bundle, zone }
    }

    /// One sentence. For a missing sentence it returns the key.
    pub fn say(&self, text: &Text) -> String {
        let mut args = FluentArgs::new();
        for (name, arg) in &text.args {
            args.set(*name, self.value(arg));
        }
        let key = text.key.as_str();
        let Some(pattern) = self.bundle.get_message(key).and_then(|message| message.value()) else {
            return key.to_owned();
        };
        self.bundle.format_pattern(pattern, Some(&args), &mut Vec::new()).into_owned()
    }

    /// Sentences, one per line.
    pub fn lines(&self, texts: &[Text]) -> String {
        texts.iter().map(|text| self.say(text)).collect::<Vec<_>>().join("\n")
    }

    /// The label of a button.
    pub fn button(&self, button: &Button) -> String {
        self.say(&match button {
            Button::Reconnect => Text::new(Key::Reconnect),
            Button::Connect(name) => Text::new(Key::Connect).word("name", name),
            Button::Details => Text::new(Key::Details),
            Button::Blocked => Text::new(Key::Blocked),
            Button::Pause(minutes) => Text::new(Key::Pause).count("minutes", *minutes),
            Button::PausePortal => Text::new(Key::PausePortal),
            Button::Resume => Text::new(Key::Resume),
            Button::Journal => Text::new(Key::Journal),
        })
    }

    fn value(&self, arg: &Arg) -> FluentValue<'static> {
        match arg {
            Arg::Word(word) => FluentValue::from(plain(word)),
            Arg::Count(count) => FluentValue::from(*count),
            Arg::Moment(moment) => FluentValue::from(self.clock(*moment)),
            Arg::Sentence(key) => FluentValue::from(self.say(&Text::new(*key))),
        }
    }

    fn clock(&self, moment: u64) -> String {
        let moment = i64::try_from(moment).ok().and_then(|moment| Timestamp::from_second(moment).ok());
        let moment = moment.unwrap_or_default().to_zoned_datetime(self.zone.clone());
        moment.strftime("%H:%M").to_string()
    }
}

/// Makes a name or a foreign text safe for a notification: no line breaks, and none of the characters that a
/// notification daemon parses as markup (a link, a picture).
fn plain(word: &str) -> String {
    let mut plain: String = word
        .chars()
        .take(LONGEST)
        .map(|sign| match sign {
            '<' => '‹',
            '>' => '›',
            '&' => '＆',
            sign if sign.is_control() || is_direction(sign) => ' ',
            sign => sign,
        })
        .collect();
    if plain.len() < word.len() && word.chars().count() > LONGEST {
        plain.push('…');
    }
    plain
}

/// Characters that change the direction of text and so can change the meaning of a sentence.
fn is_direction(sign: char) -> bool {
    matches!(sign, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn all_languages() -> [Words; 2] {
        LANGUAGES.map(|(language, _)| Words::new(language, TimeZone::UTC))
    }

    /// The messages of a language, each with the variables in it.
    fn messages(texts: &str) -> BTreeMap<String, BTreeSet<String>> {
        let mut messages = BTreeMap::new();
        let mut current = String::new();
        for line in texts.lines().filter(|line| !line.starts_with('#')) {
            if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with([' ', '}'])) {
                current = key.to_owned();
                assert!(messages.insert(current.clone(), BTreeSet::new()).is_none(), "{key} stands twice");
            }
            let named = line
                .split('$')
                .skip(1)
                .map(|rest| rest.chars().take_while(char::is_ascii_alphanumeric).collect::<String>());
            if let Some(variables) = messages.get_mut(&current) {
                variables.extend(named);
            }
        }
        messages
    }

    #[test]
    fn every_language_file_is_read_without_errors() {
        for (language, texts) in LANGUAGES {
            let read = FluentResource::try_new(texts.to_owned());
            assert!(read.is_ok(), "{language}: {:?}", read.map(drop).map_err(|(_, errors)| errors));
        }
    }

    #[test]
    fn every_language_has_the_same_sentences_with_the_same_arguments() {
        let wanted: BTreeSet<String> = Key::ALL.iter().map(|key| key.as_str().to_owned()).collect();
        let english = messages(LANGUAGES[0].1);
        for (language, texts) in LANGUAGES {
            let messages = messages(texts);
            let keys: BTreeSet<String> = messages.keys().cloned().collect();
            assert_eq!(keys, wanted, "{language}");
            assert_eq!(messages, english, "{language}: the variables");
        }
    }

    #[test]
    fn the_language_is_the_first_one_of_the_environment() {
        let said = |pairs: &[(&str, &str)]| {
            let pairs: BTreeMap<String, String> =
                pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            language(move |name| pairs.get(name).cloned())
        };
        assert_eq!(said(&[]), "en");
        assert_eq!(said(&[("LANG", "de_AT.UTF-8")]), "de");
        assert_eq!(said(&[("LC_ALL", ""), ("LC_MESSAGES", "de@euro"), ("LANG", "en_GB")]), "de");
        assert_eq!(said(&[("LC_ALL", "C.UTF-8"), ("LANG", "de_DE")]), "en");
        assert_eq!(said(&[("LANG", "fr_FR.UTF-8")]), "en");
        assert_eq!(said(&[("LANG", "deutsch")]), "en");
    }

    #[test]
    fn singular_and_plural_are_correct() {
        let [english, german] = all_languages();
        let paused = |minutes| Text::new(Key::PausedBody).count("minutes", minutes);
        assert!(english.say(&paused(1)).starts_with("For a minute "));
        assert!(english.say(&paused(5)).starts_with("For 5 minutes "));
        assert!(german.say(&paused(1)).starts_with("Eine Minute "));
        assert!(german.say(&paused(5)).starts_with("5 Minuten "));
        let title = Text::new(Key::PausedTitle).moment("until", 14 * 3600 + 35 * 60);
        assert_eq!(english.say(&title), "Protection is off until 14:35");
        assert_eq!(german.say(&title), "Der Schutz ist aus bis 14:35 Uhr");
    }

    #[test]
    fn a_name_is_escaped_shortened_and_on_one_line() {
        let [english, _] = all_languages();
        let name = "<a href=\"http://x\">home</a>\n&amp; \u{202e}evil";
        let said = english.say(&Text::new(Key::BackBody).word("name", name));
        assert!(!said.contains(['<', '>', '&', '\n', '\u{202e}']), "{said}");
        let said = english.say(&Text::new(Key::BackBody).word("name", &"x".repeat(10_000)));
        assert!(said.chars().count() < 300, "{}", said.len());
    }
}
