//! How the benchmarks print their results.
#![allow(dead_code, reason = "every benchmark uses its own part of it")]

use std::time::Duration;

/// The median, the smallest and the largest of times in milliseconds.
pub(crate) fn spread(values: &[f64]) -> String {
    spread_of(values, "ms")
}

/// The median; not a number if nothing was measured.
pub(crate) fn median(values: &[f64]) -> f64 {
    let sorted = sorted(values.to_vec());
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The median of the ratios of each pair.
pub(crate) fn median_ratio(a: &[f64], b: &[f64]) -> f64 {
    median(&pairs(a, b))
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

fn pairs(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a / b).collect()
}

pub(crate) fn spread_of(values: &[f64], unit: &str) -> String {
    let sorted = sorted(values.to_vec());
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
    let ratios = sorted(pairs(a, b));
    match ratios[..] {
        [first, .., last] => format!("{:.2} ({first:.2} to {last:.2})", ratios[ratios.len() / 2]),
        _ => "nothing measured".to_owned(),
    }
}

/// The limits that measurements did not keep.
#[derive(Debug, Default)]
pub(crate) struct Missed(Vec<String>);

impl Missed {
    pub(crate) fn at_least(&mut self, limit: f64, what: &str, value: f64) {
        if value.is_nan() || value < limit {
            self.0.push(format!("{what} is {value:.2} and not at least {limit}"));
        }
    }

    pub(crate) fn at_most(&mut self, limit: f64, what: &str, value: f64) {
        if value.is_nan() || value > limit {
            self.0.push(format!("{what} is {value:.2} and not at most {limit}"));
        }
    }

    /// An error that names every limit that was not kept.
    pub(crate) fn result(self) -> anyhow::Result<()> {
        anyhow::ensure!(self.0.is_empty(), "{}", self.0.join("\n"));
        Ok(())
    }
}

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
