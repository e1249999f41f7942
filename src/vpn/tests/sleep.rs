//! A machine that has slept.

use super::super::*;
use crate::config::Config;

#[test]
fn after_a_sleep_the_kernel_is_looked_at_again() {
    let mut machine = Machine::new(Config::default(), Remembered::default(), 1_000);
    assert!(!machine.step(Event::Clock, 1_100).contains(&Action::CheckRules), "the control");
    assert!(machine.step(Event::Woken, 1_200).contains(&Action::CheckRules));
}
