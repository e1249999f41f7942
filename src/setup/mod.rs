//! The first run: what a machine had before, and the configuration that lets through the same and no
//! more. Pure.
//!
//! ```text
//! script -> shell (words, variables, loops) -> command (one run of iptables) -> chains (in which order)
//!        -> meaning (a key, nothing new, or nothing that a key can say) -> plan -> write
//! ```
//! Nothing of what is read here reaches a shell: words become typed values, or are shown to the
//! person who asked and left alone.

mod chains;
mod command;
mod deed;
mod kernel;
mod machine;
mod meaning;
mod outside;
mod overlap;
mod plan;
mod rule;
mod saved;
mod services;
mod shell;
#[cfg(test)]
mod tests;
mod traffic;
mod write;

pub use deed::{Deed, deed};
pub use kernel::Kernel;
pub use machine::Machine;
pub use plan::{Entry, Fate, Plan, Source, plan};
pub use services::Services;
pub use write::configuration;
