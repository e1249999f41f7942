//! The texts of every language: they are complete, have correct plural forms, and fit into their places.
//! `docs/translating.md` says where the limits come from.

use std::collections::{BTreeMap, BTreeSet};

use fluent_bundle::FluentResource;

use super::menu::{vpn, with_vpns};
use super::*;

/// Maximum width of a title, of a line of the menu and of all buttons of one notice, in characters.
const TITLE: usize = 80;
const LINE: usize = 72;
const BUTTONS: usize = 42;
/// Maximum width of one sentence of a notice, in characters.
const SENTENCE: usize = 300;

/// Messages that may be the same in two languages.
const SAME: [&str; 5] = ["tunnel", "details", "window-port", "window-where", "window-who"];

/// A name that is too long for every place.
const LONG: &str = "a name that somebody gave without a thought of the panel";

fn all_languages() -> [(&'static str, Words); LANGUAGES.len()] {
    LANGUAGES.map(|(language, _)| (language, Words::new(language, TimeZone::UTC)))
}

/// The messages of a language, each with its text.
fn messages(texts: &str) -> BTreeMap<String, String> {
    let mut messages: BTreeMap<String, String> = BTreeMap::new();
    let mut current = String::new();
    for line in texts.lines().filter(|line| !line.starts_with('#')) {
        let begins = line.split_once(" = ").filter(|_| !line.starts_with([' ', '}']));
        if let Some((key, text)) = begins {
            current = key.to_owned();
            assert!(messages.insert(current.clone(), text.to_owned()).is_none(), "{key} stands twice");
        } else if let Some(text) = messages.get_mut(&current) {
            text.push('\n');
            text.push_str(line);
        }
    }
    messages
}

fn variables(text: &str) -> BTreeSet<String> {
    let names = text.split('$').skip(1);
    names.map(|rest| rest.chars().take_while(char::is_ascii_alphanumeric).collect()).collect()
}

/// The first text of a notice that does not fit into its place.
pub(super) fn too_wide(words: &Words, notice: &Notice) -> Option<String> {
    let wider = |text: String, widest: usize| (text.chars().count() > widest).then_some(text);
    let row: Vec<String> = notice.buttons.iter().map(|button| words.short_button(button)).collect();
    let sentences = notice.body.iter().filter_map(|text| wider(words.say(text), SENTENCE));
    let (title, row) = (wider(words.label(&notice.title), TITLE), wider(row.concat(), BUTTONS));
    title.into_iter().chain(row).chain(sentences).next()
}

#[test]
fn every_language_file_is_read_without_errors() {
    for (language, texts) in LANGUAGES {
        let read = FluentResource::try_new(texts.to_owned());
        assert!(read.is_ok(), "{language}: {:?}", read.map(drop).map_err(|(_, errors)| errors));
    }
}

#[test]
fn every_language_has_the_same_messages_with_the_same_variables() {
    let wanted: BTreeSet<String> = Key::ALL.iter().map(|key| key.as_str().to_owned()).collect();
    let english = messages(LANGUAGES[0].1);
    let of_files: BTreeSet<String> = english
        .keys()
        .filter(|key| key.starts_with("file-") || key.starts_with("window-"))
        .cloned()
        .collect();
    let wanted = &wanted | &of_files;
    for (language, texts) in LANGUAGES {
        let messages = messages(texts);
        let keys: BTreeSet<String> = messages.keys().cloned().collect();
        let (missing, unknown) = (&wanted - &keys, &keys - &wanted);
        assert!(missing.is_empty() && unknown.is_empty(), "{language} lacks {missing:?} and has {unknown:?}");
        for (key, text) in messages {
            assert_eq!(variables(&text), variables(&english[&key]), "{language}: the variables of {key}");
            let same = language != "en" && text == english[&key];
            assert!(!same || SAME.contains(&key.as_str()), "{language}: {key} is not translated");
        }
    }
}

#[test]
fn every_number_has_the_forms_of_the_language() {
    for (language, texts) in LANGUAGES {
        let forms: &[&str] = match language {
            "pl" => &["[one]", "[few]", "*[many]"],
            _ => &["[one]", "*[other]"],
        };
        let mut count = 0;
        for (key, text) in messages(texts) {
            let lines = text.lines().map(str::trim_start).filter(|line| line.starts_with(['[', '*']));
            let found: Vec<&str> = lines.filter_map(|line| line.split(' ').next()).collect();
            assert!(found.is_empty() || found == forms, "{language}: {key} has {found:?}");
            count += found.len();
        }
        assert!(count >= 6 * forms.len(), "{language}: only {count} forms were found");
    }
}

#[test]
fn singular_and_plural_are_correct() {
    let minutes = [1, 2, 5, 12, 22, 25, 101, 112];
    let left = |language: &str| {
        let words = Words::new(language, TimeZone::UTC);
        minutes.map(|count| words.say(&Text::new(Key::Left).count("minutes", count)))
    };
    let said = |one: &str, more: &dyn Fn(u64) -> String| {
        minutes.map(|count| if count == 1 { one.to_owned() } else { more(count) })
    };
    assert_eq!(left("en"), said("one minute left", &|count| format!("{count} minutes left")));
    assert_eq!(left("de"), said("noch eine Minute", &|count| format!("noch {count} Minuten")));
    assert_eq!(left("fr"), said("encore une minute", &|count| format!("encore {count} minutes")));
    assert_eq!(left("es"), said("queda un minuto", &|count| format!("quedan {count} minutos")));
    assert_eq!(left("pt-BR"), said("falta um minuto", &|count| format!("faltam {count} minutos")));
    let polish = |count: u64| match count {
        2 | 22 => format!("pozostały {count} minuty"),
        _ => format!("pozostało {count} minut"),
    };
    assert_eq!(left("pl"), said("pozostała minuta", &polish));

    let polish = Words::new("pl", TimeZone::UTC);
    let waiting = |count| polish.say(&Text::new(Key::Waiting).count("count", count));
    assert_eq!(waiting(1), "Czeka na niego jeden kontener.");
    assert_eq!(waiting(3), "Czekają na niego 3 kontenery.");
    assert_eq!(waiting(13), "Czeka na niego 13 kontenerów.");
    assert_eq!(polish.button(&Button::Pause(30)), "Wstrzymaj na 30 minut");
    assert_eq!(polish.button(&Button::Pause(22)), "Wstrzymaj na 22 minuty");
}

#[test]
fn one_refusal_is_once_in_every_language() {
    let once = ["once", "einmal", "une fois", "una vez", "uma vez", "raz"];
    for ((language, words), once) in all_languages().into_iter().zip(once) {
        for key in [Key::BlockedLine, Key::BlockedBy] {
            let line = |count| {
                let text = Text::new(key).word("who", "w").word("destination", "x").word("why", "y");
                words.say(&text.count("count", count))
            };
            assert!(line(1).contains(once) && !line(1).contains('1'), "{language}: {}", line(1));
            assert!(line(22).contains(", 22"), "{language}: {}", line(22));
        }
    }
}

#[test]
fn a_time_and_a_name_are_written_as_each_language_writes_them() {
    let until = Text::new(Key::PausedTitle).moment("until", 14 * 3600 + 35 * 60);
    let said: Vec<String> = all_languages().iter().map(|(_, words)| words.say(&until)).collect();
    assert_eq!(
        said,
        [
            "Protection is off until 14:35",
            "Der Schutz ist aus bis 14:35 Uhr",
            "La protection est désactivée jusqu'à 14:35",
            "La protección está desactivada hasta las 14:35",
            "A proteção está desativada até as 14:35",
            "Ochrona jest wyłączona do 14:35",
        ]
    );
}

#[test]
fn no_title_and_no_line_of_the_menu_is_wider_than_its_place() {
    let filled = |key: Key| {
        let text = Text::new(key).moment("at", START).moment("until", START).moment("moment", START);
        text.word("name", LONG)
            .word("program", LONG)
            .word("interface", "wlx0123456789ab")
            .count("minutes", 60)
    };
    let menu = [
        Key::Tunnel,
        Key::UncountedTitle,
        Key::Since,
        Key::Until,
        Key::Left,
        Key::NoTunnel,
        Key::GoneHint,
        Key::Reconnect,
        Key::Connect,
        Key::Pause,
        Key::PausePortal,
        Key::Resume,
        Key::Blocked,
        Key::Details,
        Key::Journal,
    ];
    for (language, words) in all_languages() {
        let repairs = words.label(&Text::new(Key::DetailRepairs).count("count", 1000));
        assert!(repairs.chars().count() <= LINE, "{language}: {repairs}");
        for &key in Key::ALL {
            let name = key.as_str();
            let widest = match (name.ends_with("-title"), name.starts_with("state-") || menu.contains(&key)) {
                (_, true) => LINE,
                (true, false) => TITLE,
                (false, false) => continue,
            };
            let said = words.label(&filled(key));
            assert!(said.chars().count() <= widest, "{language}: {name} has place for {widest}: {said}");
            assert!(!said.contains(LONG) && !said.contains('$'), "{language}: {said}");
        }
    }
}

/// The notices with the most buttons, with and without the details.
#[test]
fn the_buttons_of_a_notice_are_not_wider_than_its_row() {
    let home = vec![vpn("home", "networkmanager")];
    let welcome = TestNotifier::begin_with(Memory::default(), with_vpns(home, status(State::Locked)));
    let mut lost = TestNotifier::begin(lost_at(START));
    lost.send(Event::Portal(Portal::Found));
    let mut portal = TestNotifier::begin(status(State::Locked));
    portal.send(Event::Portal(Portal::Found));
    let mut widest = 0;
    for test in [welcome, lost, portal] {
        let mut detailed = test.notifier.clone();
        detailed.step(Event::Pressed(Button::Details), START);
        for notice in [test.notifier.notice(), detailed.notice()].into_iter().flatten() {
            widest = widest.max(notice.buttons.len());
            for (language, words) in all_languages() {
                assert_eq!(too_wide(&words, &notice), None, "{language}");
            }
        }
    }
    assert_eq!(widest, 3, "the control: notices with three buttons were looked at");
}
