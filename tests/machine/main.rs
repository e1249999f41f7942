//! Whole machines, from power-on to power-off: a Debian that boots with its own systemd, NetworkManager
//! and Docker, the package installed by apt, and a capture from before its link exists.

#![allow(clippy::disallowed_methods, reason = "a test starts programs and touches files")]

mod control;
mod desktop;
mod etc;
mod everything;
mod first_minute;
mod first_run;
mod life;
mod lock_failed;
mod mirror;
mod named;
mod plain;
mod readme;
#[path = "../support/mod.rs"]
mod support;
mod ufw;

/// Makes a test of each scenario on each Debian. `make test` runs the first, `make test-all` every one.
macro_rules! on_each_release {
    ($($scenario:ident),+ $(,)?) => {
        mod bookworm {
            $(#[test]
            fn $scenario() -> anyhow::Result<()> {
                super::$scenario(tunwarden_lab::Release::Bookworm)
            })+
        }
        on_each_release!(@ trixie Trixie $($scenario)+);
        on_each_release!(@ forky Forky $($scenario)+);
    };
    (@ $module:ident $release:ident $($scenario:ident)+) => {
        mod $module {
            $(#[test]
            #[ignore = "make test-all runs it"]
            fn $scenario() -> anyhow::Result<()> {
                super::$scenario(tunwarden_lab::Release::$release)
            })+
        }
    };
}
pub(crate) use on_each_release;
