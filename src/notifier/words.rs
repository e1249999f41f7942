//! Sentences in the user's language. Pure: language and time zone are arguments.

use fluent_bundle::{FluentArgs, FluentBundle, FluentResource, FluentValue};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use unic_langid::LanguageIdentifier;

use super::event::Button;
use super::keys::Key;
use super::language::LANGUAGES;
use super::notice::{Arg, Text};
use crate::config::is_plain;

/// Maximum length of a name or a foreign text in a sentence, in characters.
const LONGEST: usize = 200;
/// The same maximum for a title, a button and the menu, which have little room.
const LONGEST_IN_LABEL: usize = 24;

/// The texts of one language.
pub struct Words {
    bundle: FluentBundle<FluentResource>,
    zone: TimeZone,
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
        // A sentence that cannot be parsed is left out. A test checks that all can be parsed.
        let resource = FluentResource::try_new(texts.to_owned()).unwrap_or_else(|(rest, _)| rest);
        let _ = bundle.add_resource(resource);
        Self { bundle, zone }
    }

    /// One sentence. If the sentence is missing, it returns the key.
    pub fn say(&self, text: &Text) -> String {
        self.put(text, LONGEST)
    }

    /// A text for a place with little room: a title, a button or an entry of the menu.
    pub fn label(&self, text: &Text) -> String {
        self.put(text, LONGEST_IN_LABEL)
    }

    fn put(&self, text: &Text, longest: usize) -> String {
        let mut args = FluentArgs::new();
        for (name, arg) in &text.args {
            args.set(*name, self.value(arg, longest));
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

    /// The label of a button in the menu.
    pub fn button(&self, button: &Button) -> String {
        self.label(&match button {
            Button::Reconnect => Text::new(Key::Reconnect),
            Button::Connect(vpn) => Text::new(Key::Connect).word("name", &vpn.name),
            Button::Details => Text::new(Key::Details),
            Button::Blocked => Text::new(Key::Blocked),
            Button::Pause(minutes) => Text::new(Key::Pause).count("minutes", *minutes),
            Button::PausePortal => Text::new(Key::PausePortal),
            Button::Resume => Text::new(Key::Resume),
            Button::Journal => Text::new(Key::Journal),
            Button::Check => Text::new(Key::Check),
        })
    }

    /// The short label of a button in a notice, whose buttons are in one row.
    pub fn short_button(&self, button: &Button) -> String {
        match button {
            Button::PausePortal => self.label(&Text::new(Key::PausePortalShort)),
            Button::Reconnect
            | Button::Connect(_)
            | Button::Details
            | Button::Blocked
            | Button::Pause(_)
            | Button::Resume
            | Button::Journal
            | Button::Check => self.button(button),
        }
    }

    fn value(&self, arg: &Arg, longest: usize) -> FluentValue<'static> {
        match arg {
            Arg::Word(word) => FluentValue::from(plain(word, longest)),
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
fn plain(word: &str, longest: usize) -> String {
    let mut plain: String = word
        .chars()
        .take(longest)
        .map(|sign| match sign {
            '<' => '‹',
            '>' => '›',
            '&' => '＆',
            sign if !is_plain(sign) => ' ',
            sign => sign,
        })
        .collect();
    if word.chars().nth(longest).is_some() {
        plain.push('…');
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_escaped_shortened_and_on_one_line() {
        let english = Words::new("en", TimeZone::UTC);
        let name = "<a href=\"http://x\">home</a>\n&amp; \u{202e}evil\u{61c}\u{200b}\u{feff}";
        let said = english.say(&Text::new(Key::BackBody).word("name", name));
        let hidden = ['\u{202e}', '\u{61c}', '\u{200b}', '\u{feff}'];
        assert!(!said.contains(['<', '>', '&', '\n']) && !said.contains(hidden), "{said}");
        let long = Text::new(Key::BackBody).word("name", &"<".repeat(10_000));
        assert_eq!(english.say(&long).matches('‹').count(), LONGEST);
        let label = english.label(&long);
        assert_eq!(label.matches('‹').count(), LONGEST_IN_LABEL);
        assert!(label.contains("‹…"), "{label}");
    }
}
