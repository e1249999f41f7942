//! Reads scripts and texts for `iptables-restore` into chains.

use std::collections::BTreeSet;

use super::chains::{Chains, Origin, Source};
use super::command::{Action, Command, Program, command};
use super::kernel::is_of_others;
use super::machine::Machine;
use super::saved::{self, Before};
use super::shell::{self, Call, Certainty, Input, UNKNOWN};
use crate::net::Family;

/// The content of the files.
#[derive(Debug, Default)]
pub(super) struct Scripts {
    pub(super) chains: Chains,
    /// Lines that are not carried over, with the reason.
    pub(super) left_out: Vec<(Origin, String)>,
    /// Sentences about other programs that the scripts run.
    pub(super) others: Vec<String>,
    /// Files from which a script restores rules.
    pub(super) restores: BTreeSet<String>,
}

/// Reads all files, in order.
pub(super) fn read(sources: &[Source], machine: &Machine) -> Scripts {
    let mut scripts = Scripts::default();
    for source in sources {
        Reader { source, machine, scripts: &mut scripts }.read();
    }
    scripts
}

/// How `iptables-restore` uses a text.
#[derive(Debug, Clone, Copy)]
struct Restore {
    certainty: Certainty,
    before: Before,
}

impl Restore {
    const WHOLE_FILE: Self = Self { certainty: Certainty::Certain, before: Before::Dumped };

    /// Reads the options of `iptables-restore`. With `--table` or `--test` it may restore nothing.
    fn of(call: &Call) -> Self {
        let letters = |word: &str| {
            let short = word.strip_prefix('-').filter(|short| !short.starts_with('-')).unwrap_or_default();
            short.chars().take_while(|c| "vhtcn46T".contains(*c)).collect::<String>()
        };
        let has = |letter: char, long: &str| {
            call.words.iter().any(|word| word.starts_with(long) || letters(word).contains(letter))
        };
        let is_partial = has('T', "--ta") || has('t', "--te");
        let certainty = if is_partial { Certainty::Conditional } else { call.certainty };
        let before = if has('n', "--n") { Before::Kept } else { Before::Flushed };
        Self { certainty, before }
    }
}

/// Reads one file.
struct Reader<'a> {
    source: &'a Source,
    machine: &'a Machine,
    scripts: &'a mut Scripts,
}

impl Reader<'_> {
    fn read(&mut self) {
        let Source { name, text } = self.source;
        if saved::is_saved(text) {
            let is_ipv6 = ["v6", "ip6"].iter().any(|part| name.contains(part));
            let family = if is_ipv6 { Family::V6 } else { saved::family(text) };
            return self.restore(family, text, 0, Restore::WHOLE_FILE);
        }
        let reading = shell::read(text);
        for call in &reading.calls {
            self.call(call);
        }
        for unread in reading.unread {
            let origin = self.origin(unread.line, unread.text);
            self.leave_out(origin, unread.why);
        }
        if !reading.others.is_empty() {
            let names: Vec<&str> = reading.others.iter().map(String::as_str).collect();
            self.scripts.others.push(format!("{name} also runs {}", names.join(", ")));
        }
    }

    fn call(&mut self, call: &Call) {
        let (family, name) = match call.program {
            Program::Rules(family) => (family, family.iptables()),
            Program::Restore(family) => return self.restore_call(call, family),
        };
        let text = format!("{name} {}", call.words.join(" ")).replace(UNKNOWN, "?");
        let text: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
        let origin = self.origin(call.line, text);
        if call.words.iter().any(|word| word == UNKNOWN) {
            // This line is already listed as not understood.
            return self.note_uncertain_command(family, &call.words, &origin, call.certainty);
        }
        match command(family, &call.words, &self.machine.services) {
            Ok(command) => self.apply(family, command, origin, call.certainty),
            Err(why) => {
                self.note_uncertain_command(family, &call.words, &origin, call.certainty);
                self.leave_out(origin, why);
            }
        }
    }

    fn note_uncertain_command(
        &mut self,
        family: Family,
        words: &[String],
        origin: &Origin,
        certainty: Certainty,
    ) {
        if certainty != Certainty::Never {
            self.scripts.chains.note_uncertain_command(family, words, &self.machine.services, origin);
        }
    }

    fn apply(&mut self, family: Family, command: Command, origin: Origin, certainty: Certainty) {
        if command.table == "filter" {
            return self.scripts.chains.apply(family, command, &origin, certainty);
        }
        if certainty != Certainty::Never {
            self.scripts.chains.refused_elsewhere(family, &command, &origin);
        }
        if matches!(command.action, Action::Append(..) | Action::Insert(..) | Action::Replace(..)) {
            let why = format!(
                "the table {} stays unchanged; tunwarden carries over only the table filter",
                command.table
            );
            self.leave_out(origin, why);
        }
    }

    fn restore_call(&mut self, call: &Call, family: Family) {
        let how = Restore::of(call);
        let is_known = matches!(call.input, Input::Text(_));
        if !is_known && how.before == Before::Flushed && how.certainty != Certainty::Never {
            self.scripts.chains.mark_uncertain(family, None, &self.source.name);
        }
        match &call.input {
            Input::Text(text) => self.restore(family, text, call.line, how),
            Input::File(file) => self.restore_file(call, file, how.certainty),
            Input::Unknown => {}
            Input::Pipe | Input::None => {
                if let Some(file) = call.words.iter().find(|word| word.starts_with('/')) {
                    self.restore_file(call, file, how.certainty);
                } else {
                    let text = format!("{}-restore {}", family.iptables(), call.words.join(" "));
                    let why = "the rules that it restores are known only when it runs".to_owned();
                    self.leave_out(self.origin(call.line, text), why);
                }
            }
        }
    }

    /// Notes a file from which rules are restored, or lists the line if it may not run.
    fn restore_file(&mut self, call: &Call, file: &str, certainty: Certainty) {
        match certainty {
            Certainty::Certain => drop(self.scripts.restores.insert(file.to_owned())),
            Certainty::Conditional | Certainty::Never => {
                let origin = self.origin(call.line, format!("iptables-restore < {file}"));
                self.leave_out(origin, "it restores a file only under a condition".to_owned());
            }
        }
    }

    /// Reads a text for `iptables-restore`, which begins after line `offset` of the file.
    fn restore(&mut self, family: Family, text: &str, offset: usize, how: Restore) {
        let is_whole_file = offset == 0;
        for line in saved::lines(family, text, &self.machine.services, how.before) {
            let origin = self.origin(offset + line.number, line.text);
            match line.command {
                Ok(_) if is_whole_file && is_of_others(&origin.text) => {}
                Ok(command) => self.apply(family, command, origin, how.certainty),
                Err(why) => {
                    self.note_uncertain_command(family, &line.words, &origin, how.certainty);
                    self.leave_out(origin, why);
                }
            }
        }
    }

    fn origin(&self, line: usize, text: String) -> Origin {
        Origin { file: self.source.name.clone(), line, text }
    }

    fn leave_out(&mut self, origin: Origin, why: String) {
        self.scripts.left_out.push((origin, why));
    }
}
