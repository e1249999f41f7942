//! The tests that need neither root nor a laboratory. `make check` runs them.

mod dependencies;
mod documents;
mod hooks;
mod manual;
mod named_tests;
mod postinst;
mod pure;
mod rules;
mod sizes;
mod source_package;
mod texts;
mod window;
