//! The laboratory.
pub mod guard;
mod machine;
mod wait;
pub use machine::{Machine, Cmd, Output, Process};
pub use wait::{wait_for, wait_until};
