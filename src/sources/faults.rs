//! Lists for people what is left out of root's configurations: a few files by name, and the number of the others.

use std::collections::BTreeMap;

use crate::vpn::FileFault;

/// Maximum number of files that are named.
const NAMED: usize = 16;

/// What to do where a fault does not say it.
const REMEDY: &str = "fix what is named here; the agent reads a changed file automatically";

/// What is wrong with each path. A text may name the remedy after a semicolon.
#[derive(Debug, Default)]
pub(super) struct Faults(BTreeMap<String, String>);

impl Faults {
    pub(super) fn note(&mut self, path: String, fault: String) {
        self.0.insert(path, fault);
    }

    /// The first [`NAMED`] faults, and one more entry with the number of the others. `name` turns a path into the name
    /// that is shown.
    pub(super) fn summed_up(&self, name: impl Fn(&str) -> String) -> Vec<FileFault> {
        let fault = |(path, fault): (&String, &String)| {
            let (reason, remedy) = fault.split_once("; ").unwrap_or((fault.as_str(), REMEDY));
            FileFault { path: name(path), reason: reason.to_owned(), remedy: remedy.to_owned() }
        };
        let mut all: Vec<FileFault> = self.0.iter().take(NAMED).map(fault).collect();
        let more = self.0.len().saturating_sub(NAMED);
        if more > 0 {
            let path = name(self.0.keys().nth(NAMED).map_or("", String::as_str));
            let reason = format!("left out, and so are {} more files, or parts of them", more - 1);
            all.push(FileFault { path, reason, remedy: "fix those that are named first".to_owned() });
        }
        all
    }

    #[cfg(test)]
    pub(super) fn all(&self) -> &BTreeMap<String, String> {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_thousands_of_faults_a_few_are_named_and_the_others_are_counted() {
        let mut faults = Faults::default();
        for n in 0..5_000 {
            faults.note(format!("/etc/openvpn/{n:04}.ovpn"), "left out: why; do it".to_owned());
        }
        let all = faults.summed_up(ToOwned::to_owned);
        assert_eq!(all.len(), NAMED + 1);
        let first = ("/etc/openvpn/0000.ovpn", "left out: why", "do it");
        assert_eq!((all[0].path.as_str(), all[0].reason.as_str(), all[0].remedy.as_str()), first);
        let last = format!("left out, and so are {} more files, or parts of them", 5_000 - NAMED - 1);
        assert_eq!(all[NAMED].reason, last);
    }
}
