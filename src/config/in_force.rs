//! Chooses the configuration in force: that of the file, the one that was in force last, or the strictest lock. Pure:
//! the caller has read the file and the store.

use serde::Serialize;

use super::{Config, Faults, plain};

/// A configuration with the text that it was read from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Written {
    /// The settings that the text contains.
    pub config: Config,
    /// The text, which is saved for a later start.
    pub text: String,
}

/// Where the configuration in force comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The file, as it is now.
    File,
    /// The state directory: the configuration that was in force last.
    Kept,
    /// [`Config::strictest`]: the file has a fault, and no other configuration can be used.
    Strictest,
    /// The file has a fault, and only root can read the configuration that was saved.
    Unknown,
}

impl Source {
    /// The word for it on the bus and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Kept => "kept",
            Self::Strictest => "strictest",
            Self::Unknown => "unknown",
        }
    }
}

/// What the state directory has of the configuration that was in force last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// The configuration's text.
    Text(String),
    /// No configuration was saved.
    Nothing,
    /// It cannot be read, for this reason.
    Damaged(String),
    /// Only root can read it.
    Denied,
}

/// The configuration in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    /// The settings in force.
    pub config: Config,
    /// Its text; `None` for a configuration that is never saved.
    pub text: Option<String>,
    /// Where it comes from.
    pub source: Source,
    /// Why the file's configuration is not in force, in full and in one line.
    pub fault: Option<(String, String)>,
    /// Why the saved configuration is not in force either.
    kept_fault: Option<String>,
}

impl InForce {
    /// The file's configuration if it has no fault, else the saved one, else the strictest.
    pub fn choose(file: Result<Written, Faults>, kept: impl FnOnce() -> Kept) -> Self {
        match file {
            Ok(Written { config, text }) => {
                Self { config, text: Some(text), source: Source::File, fault: None, kept_fault: None }
            }
            Err(faults) => Self::without_file(&faults, kept()),
        }
    }

    fn without_file(faults: &Faults, kept: Kept) -> Self {
        let strictest = |source, kept_fault| (Config::strictest(), None, source, kept_fault);
        let (config, text, source, kept_fault) = match kept {
            Kept::Text(text) => match Config::parse(&text, "the configuration that was in force last") {
                Ok(config) => (config, Some(text), Source::Kept, None),
                Err(faults) => strictest(Source::Strictest, Some(faults.summary())),
            },
            Kept::Nothing => strictest(Source::Strictest, None),
            Kept::Damaged(why) => strictest(Source::Strictest, Some(plain(&why))),
            Kept::Denied => strictest(Source::Unknown, None),
        };
        let fault = Some((faults.to_string(), faults.summary()));
        Self { config, text, source, fault, kept_fault }
    }

    /// The message for people when the file's configuration is not in force: which one is, why, and what to
    /// do.
    pub fn announcement(&self) -> Option<String> {
        let (fault, _) = self.fault.as_ref()?;
        let in_force = match (self.source, &self.kept_fault) {
            (Source::File, _) => return None,
            (Source::Kept, _) => "The configuration that was in force last is in force.".to_owned(),
            (Source::Unknown, _) => {
                "The configuration that was in force last is in force; only root can read it.".to_owned()
            }
            (Source::Strictest, None) => {
                format!("No other configuration was ever in force on this machine. {STRICTEST}")
            }
            (Source::Strictest, Some(why)) => {
                format!("The configuration that was in force last cannot be used: {why}. {STRICTEST}")
            }
        };
        Some(format!("{fault}\n{in_force} {REMEDY}"))
    }
}

const STRICTEST: &str = "The strictest rules are in force: no tunnel, no VPN server, no LAN and no \
    container passes.";

/// What to do about a configuration with a fault.
const REMEDY: &str = "Fix the file, check it with `tunwarden check`, then: sudo tunwarden reload";

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[vpn]\nconnections = [\"office\"]\n";

    fn broken() -> Result<Written, Faults> {
        Err(Config::parse("[lann]\n", "config.toml").unwrap_err())
    }

    #[test]
    fn with_a_fault_in_the_file_the_last_configuration_is_in_force() {
        let in_force = InForce::choose(broken(), || Kept::Text(GOOD.to_owned()));
        assert_eq!(in_force.config, Config::parse(GOOD, "").unwrap());
        assert_eq!((in_force.source, in_force.text.as_deref()), (Source::Kept, Some(GOOD)));
        let said = in_force.announcement().unwrap();
        assert!(said.contains("config.toml:1:") && said.contains("in force last"), "{said}");
    }

    #[test]
    fn without_a_usable_configuration_the_strictest_is_in_force() {
        let unusable = [
            (Kept::Nothing, "ever in force"),
            (Kept::Damaged("EOF".to_owned()), "EOF"),
            (Kept::Text("[vpnn]\n".to_owned()), "vpnn"),
        ];
        for (kept, why) in unusable {
            let in_force = InForce::choose(broken(), || kept.clone());
            assert_eq!(in_force.config, Config::strictest(), "{kept:?}");
            assert_eq!((in_force.source, &in_force.text), (Source::Strictest, &None), "{kept:?}");
            let said = in_force.announcement().unwrap();
            assert!(said.contains(why) && said.contains("strictest rules"), "{said}");
        }
        let denied = InForce::choose(broken(), || Kept::Denied);
        assert_eq!((denied.config, denied.source), (Config::strictest(), Source::Unknown));
    }

    #[test]
    fn a_good_file_is_in_force_and_no_other_is_read() {
        let written = Written { config: Config::default(), text: String::new() };
        let in_force = InForce::choose(Ok(written), || panic!("the store was asked"));
        assert_eq!((in_force.source, in_force.announcement()), (Source::File, None));
    }
}
