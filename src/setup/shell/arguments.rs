//! `$1` and the other arguments of the script or of a function, which `shift` and `set` change.

use super::Certainty;
use super::run::Runner;

impl Runner<'_> {
    /// `shift N`
    pub(super) fn shift(&mut self, words: &[String], certainty: Certainty) {
        let count = words.first().map_or(Some(1), |word| word.parse().ok());
        let rest = |own: &Vec<String>| own.get(count?..).map(<[String]>::to_vec);
        match self.variables.arguments.as_ref().and_then(rest) {
            Some(rest) if certainty == Certainty::Certain => self.variables.arguments = Some(rest),
            Some(_) | None => self.lose_arguments(),
        }
    }

    /// `set -- WORD…` replaces the arguments. Other options do not change them.
    pub(super) fn set(&mut self, words: &[String], certainty: Certainty) {
        let is_option = |word: &String| word.starts_with(['-', '+']);
        let new = match words.iter().position(|word| word == "--") {
            Some(at) => words.get(at + 1..),
            None if words.first().is_none_or(is_option) => return,
            None => Some(words),
        };
        match certainty {
            Certainty::Certain => self.variables.arguments = new.map(<[String]>::to_vec),
            Certainty::Conditional | Certainty::Never => self.lose_arguments(),
        }
    }

    /// From here on the arguments are unknown.
    pub(super) fn lose_arguments(&mut self) {
        (self.variables.arguments, self.shifted) = (None, true);
    }
}
