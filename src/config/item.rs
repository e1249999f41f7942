//! One value or table of the file, with its position, and its conversion to a type.
//!
//! Reading continues after a fault: a faulty value is reported and then treated as absent, so that one pass over
//! the file finds every fault.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::hint::{listed, nearest, shown};
use super::words::Word;

/// Maximum number of entries of a list. For each packet, the kernel checks the rules one after the other.
const MAX_ENTRIES: usize = 1024;

/// Words that users write instead of `"any"`.
const EVERYTHING: [&str; 6] = ["all", "everything", "yes", "true", "on", "*"];

/// What is wrong with one value and what to write instead.
pub(super) struct Wrong {
    pub(super) what: String,
    pub(super) hint: String,
}

/// A fault with its byte range, not yet with its line.
pub(super) struct Finding {
    pub(super) span: Range<usize>,
    pub(super) wrong: Wrong,
}

/// Collects the faults of a text.
pub(super) struct Findings<'t> {
    pub(super) text: &'t str,
    pub(super) found: RefCell<Vec<Finding>>,
}

impl<'t> Findings<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, found: RefCell::default() }
    }

    pub(super) fn add(&self, span: Range<usize>, what: impl Into<String>, hint: impl Into<String>) {
        let wrong = Wrong { what: what.into(), hint: hint.into() };
        self.found.borrow_mut().push(Finding { span, wrong });
    }
}

/// Whether a list may be empty; if not, what to write instead.
#[derive(Clone, Copy)]
pub(super) enum Empty {
    Allowed,
    Refused(&'static str),
}

/// One value and the key it belongs to.
#[derive(Clone, Copy)]
pub(super) struct Item<'d> {
    key: &'d str,
    value: &'d Spanned<DeValue<'d>>,
    findings: &'d Findings<'d>,
}

impl<'d> Item<'d> {
    /// Reports what is wrong with this value. Returns `None`, so that the caller can return it instead of the
    /// value.
    pub(super) fn wrong<T>(&self, what: impl Into<String>, hint: impl Into<String>) -> Option<T> {
        self.findings.add(self.value.span(), what, hint);
        None
    }

    fn wrong_type<T>(&self, wanted: &str, hint: impl Into<String>) -> Option<T> {
        let is = match self.value.get_ref() {
            DeValue::String(_) => "text",
            DeValue::Integer(_) | DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.wrong(format!("`{}` takes {wanted}, not {is}", self.key), hint)
    }

    /// The value's own text, if it is short and on one line.
    pub(super) fn written(&self) -> Option<&'d str> {
        let written = self.findings.text.get(self.value.span())?;
        (written.len() <= 40 && !written.contains('\n')).then_some(written)
    }

    /// The value as text, if it is text.
    pub(super) fn as_text(&self) -> Option<&'d str> {
        self.value.get_ref().as_str()
    }

    /// The value as a number, if it is one. A number that does not fit is `i64::MAX` or `i64::MIN`.
    pub(super) fn as_number(&self) -> Option<i64> {
        let number = self.value.get_ref().as_integer()?;
        let cut = if number.as_str().starts_with('-') { i64::MIN } else { i64::MAX };
        Some(i64::from_str_radix(number.as_str(), number.radix()).unwrap_or(cut))
    }

    /// Reads true or false.
    pub(super) fn flag(self) -> Option<bool> {
        match self.value.get_ref().as_bool() {
            Some(flag) => Some(flag),
            None => self.wrong_type("true or false", "write true or false, without quotes"),
        }
    }

    /// Reads a text that `parse` accepts.
    pub(super) fn text<T>(self, parse: impl FnOnce(&str) -> Result<T, Wrong>) -> Option<T> {
        let Some(text) = self.as_text() else {
            let quoted = match self.written() {
                Some(written) if !self.value.get_ref().is_array() && !self.value.get_ref().is_table() => {
                    match parse(written) {
                        Ok(_) => format!("write it in quotes: \"{written}\""),
                        Err(wrong) => wrong.hint,
                    }
                }
                Some(_) | None => "write one text in quotes".to_owned(),
            };
            return self.wrong_type("text", quoted);
        };
        parse(text).map_or_else(|Wrong { what, hint }| self.wrong(what, hint), Some)
    }

    /// Reads one of the words of a fixed choice.
    pub(super) fn word<W: Word>(self) -> Option<W> {
        let words: Vec<String> = W::WORDS.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let choice = listed(&words, "or");
        let Some(text) = self.as_text() else {
            return self.wrong_type(&choice, format!("write {choice}"));
        };
        if let Some((_, meaning)) = W::WORDS.iter().find(|(word, _)| *word == text) {
            return Some(*meaning);
        }
        let hint = match nearest(text, W::WORDS.iter().map(|(word, _)| *word)) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("write {choice}"),
        };
        self.wrong(format!("`{}` cannot be \"{}\"", self.key, shown(text)), hint)
    }

    /// Reads a list without repetitions. `each` reads an entry.
    pub(super) fn list<T: Ord + Clone>(
        self,
        empty: Empty,
        each: impl Fn(Item<'d>) -> Option<T>,
    ) -> Option<Vec<T>> {
        self.list_of_at_most(MAX_ENTRIES, empty, each)
    }

    /// Reads a list with its own maximum length. It is for lists whose entries do not become one rule each, so a long
    /// list costs no time for each packet.
    pub(super) fn list_of_at_most<T: Ord + Clone>(
        self,
        most: usize,
        empty: Empty,
        each: impl Fn(Item<'d>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Some(array) = self.value.get_ref().as_array() else {
            let hint = match self.written().filter(|_| self.is_entry(&each)) {
                Some(written) => format!("write it in brackets: [{written}]"),
                None => "write it in brackets: [ … ]".to_owned(),
            };
            return self.wrong_type("a list", hint);
        };
        if let (true, Empty::Refused(hint)) = (array.is_empty(), empty) {
            return self.wrong(format!("`{}` cannot be empty", self.key), hint);
        }
        if array.len() > most {
            let what = format!("`{}` has {} entries; at most {most} can be", self.key, array.len());
            return self.wrong(what, "sum them up: a range of ports, a shorter prefix or a wildcard");
        }
        let (mut entries, mut seen) = (Vec::with_capacity(array.len()), BTreeSet::new());
        for value in array.iter() {
            let item = Item { value, ..self };
            let Some(entry) = each(item) else { continue };
            if seen.insert(entry.clone()) {
                entries.push(entry);
            } else {
                let what = format!("`{}` has this entry twice", self.key);
                item.wrong::<()>(what, "keep the first and remove this one");
            }
        }
        Some(entries)
    }

    /// Whether this value can be an entry of a list. Faults in it are reported.
    fn is_entry<T>(self, each: impl Fn(Item<'d>) -> Option<T>) -> bool {
        let faults = || self.findings.found.borrow().len();
        let before = faults();
        each(self).is_some() && faults() == before
    }

    /// Reads the word for everything, or a list. `example` is a list for the hint, for keys where the value
    /// in brackets would not be a valid list.
    pub(super) fn word_or<T>(
        self,
        word: &str,
        example: Option<&str>,
        whole: T,
        list: impl FnOnce(Self) -> Option<T>,
    ) -> Option<T> {
        match self.as_text() {
            Some(text) if text == word => Some(whole),
            Some(text) => {
                let what = format!("`{}` is \"{word}\" or a list, not \"{}\"", self.key, shown(text));
                let near = nearest(text, [word]).is_some()
                    || word == "any" && EVERYTHING.contains(&text.to_lowercase().as_str());
                let hint = match near {
                    true => format!("did you mean \"{word}\"?"),
                    false => self.in_brackets(word, example),
                };
                self.wrong(what, hint)
            }
            None if self.value.get_ref().is_array() => list(self),
            None => self.wrong_type(&format!("\"{word}\" or a list"), self.in_brackets(word, example)),
        }
    }

    fn in_brackets(&self, word: &str, example: Option<&str>) -> String {
        if let Some(example) = example {
            return format!("write \"{word}\", or a list: {example}");
        }
        match self.written() {
            Some(written) => format!("write \"{word}\", or a list in brackets: [{written}]"),
            None => format!("write \"{word}\", or a list in brackets"),
        }
    }

    /// Reads a table whose keys are names that the user chose.
    pub(super) fn entries<T>(
        self,
        hint: &str,
        name: impl Fn(&str) -> Result<String, Wrong>,
        each: impl Fn(Item<'d>) -> Option<T>,
    ) -> Option<BTreeMap<String, T>> {
        let Some(table) = self.value.get_ref().as_table() else { return self.wrong_type("a table", hint) };
        if table.len() > MAX_ENTRIES {
            let what = format!("`{}` has {} entries; at most {MAX_ENTRIES} can be", self.key, table.len());
            return self.wrong(what, "name only those that are not to be like the others");
        }
        let mut entries = BTreeMap::new();
        for (key, value) in table.iter() {
            let entry = each(Item { key: key.get_ref(), value, findings: self.findings });
            match name(key.get_ref()) {
                Ok(name) => entries.extend(entry.map(|entry| (name, entry))),
                Err(Wrong { what, hint }) => self.findings.add(key.span(), what, hint),
            }
        }
        Some(entries)
    }

    /// Reads a table with these keys. `name` is its name in messages, and `example` one that is valid.
    pub(super) fn table(
        self,
        name: &'d str,
        keys: &'static [&'static str],
        example: &str,
    ) -> Option<Section<'d>> {
        match self.value.get_ref().as_table() {
            Some(table) => {
                Some(Section { name, keys, span: self.value.span(), table, findings: self.findings })
            }
            None => self.wrong_type("a table for each entry", format!("write {example}")),
        }
    }
}

/// A table with a fixed set of keys.
pub(super) struct Section<'d> {
    name: &'d str,
    keys: &'static [&'static str],
    span: Range<usize>,
    table: &'d DeTable<'d>,
    findings: &'d Findings<'d>,
}

impl<'d> Section<'d> {
    /// The whole file, as a section whose keys are the names of the sections.
    pub(super) fn root(
        table: &'d DeTable<'d>,
        keys: &'static [&'static str],
        findings: &'d Findings<'d>,
    ) -> Self {
        Self { name: "the file", keys, span: 0..0, table, findings }
    }

    /// The value of a key; `None` if the key is missing.
    pub(super) fn get(&self, key: &'static str) -> Option<Item<'d>> {
        let value = self.table.get(key)?;
        Some(Item { key, value, findings: self.findings })
    }

    /// The value of a key as `read` reads it, or `default`.
    pub(super) fn read<T>(
        &self,
        key: &'static str,
        default: T,
        read: impl FnOnce(Item<'d>) -> Option<T>,
    ) -> T {
        self.get(key).and_then(read).unwrap_or(default)
    }

    /// The value of a required key. Reports a fault if the key is missing.
    pub(super) fn require(&self, key: &'static str, hint: &str) -> Option<Item<'d>> {
        let item = self.get(key);
        if item.is_none() {
            self.findings.add(self.span.clone(), format!("`{key}` is missing in {}", self.name), hint);
        }
        item
    }

    /// Reports every unknown key. `elsewhere` returns a hint if the key belongs to another section.
    pub(super) fn refuse_others(&self, elsewhere: impl Fn(&str) -> Option<String>) {
        let known = |key: &str| self.keys.contains(&key);
        for (key, value) in self.table.iter().filter(|(key, _)| !known(key.get_ref())) {
            let name = key.get_ref().as_ref();
            let kind = if value.get_ref().is_table() { "section" } else { "key" };
            let hint = elsewhere(name)
                .or_else(|| {
                    nearest(name, self.keys.iter().copied()).map(|near| format!("did you mean `{near}`?"))
                })
                .unwrap_or_else(|| format!("{} has {}", self.name, self.known()));
            self.findings.add(key.span(), format!("unknown {kind} `{}` in {}", shown(name), self.name), hint);
        }
    }

    /// One section of the file; `None` if it is missing or not a section.
    pub(super) fn section(
        &self,
        name: &'static str,
        title: &'d str,
        keys: &'static [&'static str],
    ) -> Option<Self> {
        let item = self.get(name)?;
        match item.value.get_ref().as_table() {
            Some(table) => {
                Some(Section { name: title, keys, span: item.value.span(), table, findings: self.findings })
            }
            None if item.value.get_ref().is_array() => {
                item.wrong(format!("{title} is written once"), format!("write {title}, in single brackets"))
            }
            None => item
                .wrong_type("keys of its own", format!("write {title} on a line of its own, its keys below")),
        }
    }

    fn known(&self) -> String {
        let known: Vec<String> = self.keys.iter().map(|key| format!("`{key}`")).collect();
        listed(&known, "and")
    }
}
