//! The first run: what a machine had before, and the configuration that it becomes. Pure.
//!
//! Nothing of what is read here reaches a shell: words become typed values, or are shown to the
//! person who asked and left alone.

mod script;
mod write;

pub use script::{Carried, Left, read_script};
pub use write::configuration;
