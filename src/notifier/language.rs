//! The languages of the texts, and the choice of a user's language. Pure: the environment is an argument.

/// Every language by its BCP 47 tag, with its texts. The first one is used if there are no texts in the user's
/// languages.
pub const LANGUAGES: [(&str, &str); 6] = [
    ("en", include_str!("texts/en.ftl")),
    ("de", include_str!("texts/de.ftl")),
    ("fr", include_str!("texts/fr.ftl")),
    ("es", include_str!("texts/es.ftl")),
    ("pt-BR", include_str!("texts/pt-BR.ftl")),
    ("pl", include_str!("texts/pl.ftl")),
];

/// The tag of the user's language. It is chosen as gettext, and so the rest of the desktop, chooses it: by the list in
/// `LANGUAGE`, or, without a list, by the locale in `LC_ALL`, `LC_MESSAGES` or `LANG`. In the locale `C` it is English
/// even if `LANGUAGE` has a list.
pub fn language(variable: impl Fn(&str) -> Option<String>) -> &'static str {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().find_map(&set).unwrap_or_default();
    let list = match language_of_locale(&locale) {
        "" | "C" | "POSIX" => None,
        _ => set("LANGUAGE"),
    };
    let wanted = list.unwrap_or(locale);
    let known =
        |locale| LANGUAGES.iter().find(|(tag, _)| language_of_locale(tag) == language_of_locale(locale));
    wanted.split(':').find_map(known).map_or(LANGUAGES[0].0, |(tag, _)| *tag)
}

/// The language of a locale or a tag, without country, encoding and variant: `pt` for `pt_BR.UTF-8` and for `pt-BR`. No
/// language has texts for two countries. For `pt_PT` the texts of Brazil are used, because a reader in Portugal
/// understands them better than English.
pub fn language_of_locale(locale: &str) -> &str {
    locale.split(['_', '.', '@', '-']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn chosen(pairs: &[(&str, &str)]) -> &'static str {
        let pairs: BTreeMap<String, String> =
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        language(move |name| pairs.get(name).cloned())
    }

    #[test]
    fn the_locale_names_the_language_and_its_country_does_not_matter() {
        assert_eq!(chosen(&[]), "en");
        for (locale, tag) in [
            ("de_AT.UTF-8", "de"),
            ("fr_CA.UTF-8", "fr"),
            ("es_MX.UTF-8", "es"),
            ("pt_BR.UTF-8", "pt-BR"),
            ("pt_PT.UTF-8", "pt-BR"),
            ("pl", "pl"),
            ("en_GB.UTF-8", "en"),
            ("nl_NL.UTF-8", "en"),
            ("deutsch", "en"),
        ] {
            assert_eq!(chosen(&[("LANG", locale)]), tag, "{locale}");
        }
        assert_eq!(chosen(&[("LC_ALL", ""), ("LC_MESSAGES", "de@euro"), ("LANG", "en_GB")]), "de");
        assert_eq!(chosen(&[("LC_ALL", "C.UTF-8"), ("LANG", "de_DE")]), "en");
    }

    #[test]
    fn the_list_comes_before_the_locale_and_its_first_known_language_is_taken() {
        let listed = |list, locale| chosen(&[("LANGUAGE", list), ("LANG", locale)]);
        assert_eq!(listed("nl:pl:fr", "de_DE.UTF-8"), "pl");
        assert_eq!(listed("en_US:de", "de_DE.UTF-8"), "en");
        assert_eq!(listed("pt_PT:pt", "fr_FR.UTF-8"), "pt-BR");
        assert_eq!(
            listed("nl", "de_DE.UTF-8"),
            "en",
            "as gettext: no text in the language that was asked for"
        );
        assert_eq!(listed("", "de_DE.UTF-8"), "de");
        for locale in ["", "C", "POSIX", "C.UTF-8"] {
            assert_eq!(listed("de", locale), "en", "{locale}");
        }
    }
}
