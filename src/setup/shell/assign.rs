//! The values that assignments give to variables.

use super::MAX_COMMANDS;
use super::expand::Variable;
use super::run::Runner;
use super::tree::{Assignment, Simple, Value};

impl Runner<'_> {
    /// Makes the assignments of a command.
    pub(super) fn assign_all(&mut self, simple: &Simple) {
        for assignment in &simple.assignments {
            self.assign(assignment);
        }
    }

    /// Assigns to variables that end with the function.
    pub(super) fn declare(&mut self, simple: &Simple) {
        for Assignment { name, .. } in &simple.assignments {
            self.locals.push((name.clone(), self.variables.named.get(name).cloned()));
        }
        self.assign_all(simple);
    }

    fn assign(&mut self, assignment: &Assignment) {
        let Assignment { name, appends, value } = assignment;
        let new = match value {
            Value::One(word) => {
                let of_script = word.parts.iter().any(|part| self.is_first_argument(part));
                match self.variables.text(word) {
                    Err(_) if of_script => Ok(Variable::FirstArgument),
                    text => text.map(Variable::Text),
                }
            }
            Value::List(words) => {
                let words: Result<Vec<_>, _> = words.iter().map(|word| self.variables.expand(word)).collect();
                words.map(|words| Variable::List(words.concat()))
            }
        };
        let new = match (new, appends) {
            (Ok(new), false) => new,
            (Ok(new), true) => match (self.variables.named.remove(name), new) {
                (Some(Variable::Text(old)), Variable::Text(new)) if old.len() < super::MAX_BYTES / 64 => {
                    Variable::Text(old + &new)
                }
                (Some(Variable::List(old)), Variable::List(new)) if old.len() < MAX_COMMANDS => {
                    Variable::List([old, new].concat())
                }
                _ => Variable::Unknown,
            },
            (Err(_), _) => Variable::Unknown,
        };
        self.variables.named.insert(name.clone(), new);
    }
}
