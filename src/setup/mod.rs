//! The first run: reads the earlier firewall rules, and makes a configuration that allows the same and no
//! more. Pure.
//!
//! ```text
//! script -> shell (words, variables, loops) -> command (one call of iptables) -> chains (the order of rules)
//!        -> meaning (a key, nothing new, or something that no key can express) -> plan -> write
//! ```
//! No text from a script reaches a shell: words become typed values, or are only shown to the user.

mod chains;
mod command;
mod families;
mod kernel;
#[cfg(test)]
mod kinds;
mod machine;
mod meaning;
mod outside;
mod overlap;
mod piece;
mod plan;
mod reader;
mod rule;
mod rule_change;
mod saved;
mod shell;
#[cfg(test)]
mod tests;
mod traffic;
mod uncertain;
#[cfg(test)]
mod unsure;
#[cfg(test)]
mod variants;
#[cfg(test)]
mod wider;
mod write;

pub use chains::Source;
pub use kernel::{Kernel, ufw_refuses};
pub use machine::Machine;
pub use plan::{Entry, Plan, RuleResult, plan};
pub use rule_change::{RuleChange, worst_change};

pub use write::configuration;
