//! The functions of a script: their definitions and their calls.

use std::collections::HashMap;
use std::rc::Rc;

use super::Certainty;
use super::leave::Ends;
use super::run::{Last, Runner};
use super::tree::Body;

/// Maximum depth of calls of functions and shells.
pub(super) const MAX_CALLS: usize = 8;

/// The function to which a name refers.
#[derive(Debug, Clone)]
pub(super) struct Function {
    pub(super) body: Rc<Body>,
    /// Conditional if its definition may not have run. Then another function or a program may have this name.
    pub(super) certainty: Certainty,
}

/// The functions by name. A copy costs nothing until it is changed.
pub(super) type Functions = Rc<HashMap<String, Function>>;

impl Runner<'_> {
    /// `NAME () { … }`
    pub(super) fn define(&mut self, name: &str, body: &Rc<Body>) {
        if !body.is_defined.replace(true) {
            self.defined.push((name.to_owned(), Rc::clone(body)));
        }
        let function = Function { body: Rc::clone(body), certainty: Certainty::Certain };
        Rc::make_mut(&mut self.functions).insert(name.to_owned(), function);
    }

    /// Notes that functions that differ from those before may not be defined.
    pub(super) fn forget_changed_functions(&mut self, before: &Functions) {
        if Rc::ptr_eq(before, &self.functions) {
            return;
        }
        for (name, function) in Rc::make_mut(&mut self.functions) {
            let is_same =
                |old: &Function| Rc::ptr_eq(&old.body, &function.body) && old.certainty == function.certainty;
            if !before.get(name).is_some_and(is_same) {
                function.certainty = Certainty::Conditional;
            }
        }
        // `unset -f NAME` may not have run.
        for (name, function) in before.iter() {
            let uncertain = Function { certainty: Certainty::Conditional, ..function.clone() };
            Rc::make_mut(&mut self.functions).entry(name.clone()).or_insert(uncertain);
        }
    }

    /// Follows the bodies of functions that no command has called. Another program may call them, or a command whose
    /// name is in a variable. Their commands are not certain.
    pub(super) fn uncalled(&mut self) {
        while !self.defined.is_empty() {
            let mut bodies = std::mem::take(&mut self.defined);
            bodies.sort_by(|(one, _), (other, _)| one.cmp(other));
            for (_, body) in bodies {
                if !body.is_called.get() {
                    self.ends = Ends::default();
                    self.dormant(|runner| runner.follow(&body, None, Certainty::Conditional));
                }
            }
        }
    }

    /// `unset -f NAME`, or `unset NAME`, which may name a function too.
    pub(super) fn undefine(&mut self, arguments: &[String], certainty: Certainty) {
        if arguments.iter().any(|word| word == "-v") {
            return;
        }
        let is_sure = certainty == Certainty::Certain && arguments.iter().any(|word| word == "-f");
        for name in arguments {
            let functions = Rc::make_mut(&mut self.functions);
            if is_sure {
                functions.remove(name);
            } else if let Some(function) = functions.get_mut(name) {
                function.certainty = Certainty::Conditional;
            }
        }
    }

    /// Calls a function. If `arguments` is `None`, their values are unknown.
    pub(super) fn call(
        &mut self,
        function: &Function,
        arguments: Option<Vec<String>>,
        line: usize,
        certainty: Certainty,
    ) {
        if self.depth >= MAX_CALLS {
            function.body.is_called.set(true);
            return self.too_deep(line);
        }
        match function.certainty {
            Certainty::Certain => self.follow(&function.body, arguments, certainty),
            Certainty::Conditional | Certainty::Never => {
                self.with_unknown_results(|runner| {
                    runner.follow(&function.body, arguments, Certainty::Conditional)
                });
                self.last = Last::Other;
            }
        }
    }

    pub(super) fn too_deep(&mut self, line: usize) {
        self.unread(line, format!("functions or shells call each other more than {MAX_CALLS} times"));
    }

    fn follow(&mut self, body: &Body, arguments: Option<Vec<String>>, certainty: Certainty) {
        body.is_called.set(true);
        self.depth += 1;
        let before = std::mem::replace(&mut self.variables.arguments, arguments);
        let passes = std::mem::take(&mut self.ends.passes);
        let around = (self.ends.may_have_ended.take(), self.shifted);
        let locals = self.locals.len();
        self.steps(&body.steps, certainty);
        let departure = self.ends.may_have_ended.take();
        self.merge_exit(departure);
        for (name, value) in self.locals.split_off(locals).into_iter().rev() {
            match value {
                Some(value) => drop(self.variables.named.insert(name, value)),
                None => drop(self.variables.named.remove(&name)),
            }
        }
        self.ends.passes = passes;
        (self.ends.may_have_ended, self.shifted) = around;
        self.variables.arguments = before;
        self.depth -= 1;
        self.ends.ended = false;
    }
}
