//! The tests that need neither root nor a laboratory. `make check` runs them.

mod hooks;
mod manual;
mod pure;
mod rules;
