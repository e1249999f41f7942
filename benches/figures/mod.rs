//! How the benchmarks print their results.
#![allow(dead_code, reason = "every benchmark uses its own part of it")]

use std::time::Duration;

/// The median, the smallest and the largest of times in milliseconds.
pub(crate) fn spread(values: &[f64]) -> String {
    spread_of(values, "ms")
}

pub(crate) fn spread_of(values: &[f64], unit: &str) -> String {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted[..] {
        [] => "nothing measured".to_owned(),
        [first, .., last] => {
            format!("{:.2} {unit} ({first:.2} to {last:.2}, {} runs)", sorted[sorted.len() / 2], sorted.len())
        }
        [only] => format!("{only:.2} {unit}"),
    }
}

/// The median, the smallest and the largest ratio of each pair, in the order in which the pairs ran.
pub(crate) fn ratios(a: &[f64], b: &[f64]) -> String {
    let mut ratios: Vec<f64> = a.iter().zip(b).map(|(a, b)| a / b).collect();
    ratios.sort_by(f64::total_cmp);
    match ratios[..] {
        [first, .., last] => format!("{:.2} ({first:.2} to {last:.2})", ratios[ratios.len() / 2]),
        _ => "nothing measured".to_owned(),
    }
}

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
