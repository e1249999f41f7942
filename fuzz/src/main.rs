//! One program for all targets. `TUNWARDEN_FUZZ=NAME` selects the target; libFuzzer reads the arguments.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tunwarden::fuzzing::TARGETS;

static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let wanted = std::env::var("TUNWARDEN_FUZZ").unwrap_or_default();
    let target = TARGETS.iter().find(|(name, _)| *name == wanted);
    target.map(|(_, run)| *run).unwrap_or_else(|| panic!("TUNWARDEN_FUZZ={wanted}: no such target"))
});

fuzz_target!(|data: &[u8]| TARGET(data));
