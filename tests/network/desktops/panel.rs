//! The indicator as pixels of the panel: where it is, and how well it can be seen there.

use anyhow::{Context, Result, ensure};
use tunwarden_lab::{DesktopKind, Session, wait_for};

use crate::support::SOON;
use crate::support::person::ICONS;

/// Minimum number of pixels in the colour of an icon.
const FEWEST: usize = 20;
/// How much a channel may differ from the colour in the icon's file.
const TOLERANCE: u8 = 12;
/// Half of the side of a square around the indicator. The largest icon has 24 pixels.
const HALF: usize = 12;
/// Minimum contrast of a picture with what is beside it (WCAG 2.1, 1.4.11).
const CONTRAST: f64 = 3.0;

pub(super) type Colour = [u8; 3];

/// The panel of a session.
pub(super) struct Panel<'a> {
    pub(super) session: &'a Session,
    pub(super) kind: DesktopKind,
}

/// The middle of an indicator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) x: usize,
    pub(super) y: usize,
}

impl Panel<'_> {
    /// Waits until the panel shows the icon of a state and the icon does not move. Fails if it has not enough contrast
    /// with the panel.
    pub(super) fn shows(&self, state: &str) -> Result<Place> {
        let mut last = None;
        let place = wait_for(&format!("the icon of {state} in the panel"), SOON, || {
            let rows = self.rows()?;
            let now = place(&rows, colour(state)?).map(|place| (place, contrasting(&rows, place)));
            let is_still = now.is_some() && now == last;
            last = now;
            Ok(now.filter(|_| is_still))
        });
        let (place, contrasting) = place?;
        ensure!(contrasting >= FEWEST, "{state}: only {contrasting} pixels have enough contrast");
        Ok(Place { y: place.y + self.kind.panel().start, ..place })
    }

    /// Clicks on the icon of a state with a button of the mouse.
    pub(super) fn click(&self, state: &str, button: &str) -> Result<()> {
        let Place { x, y } = self.shows(state)?;
        let (x, y) = (x.to_string(), y.to_string());
        self.session.succeed(["xdotool", "mousemove", &x, &y, "click", button]).map(drop)
    }

    fn rows(&self) -> Result<Vec<Vec<Colour>>> {
        Ok(self.session.pixels()?[self.kind.panel()].to_vec())
    }
}

/// The colour of the shape of an icon, the first in its file.
fn colour(state: &str) -> Result<Colour> {
    let file =
        ICONS.iter().find(|(name, _)| *name == state).with_context(|| format!("no icon of {state}"))?.1;
    let hex = file.split("fill=\"#").nth(1).and_then(|rest| rest.get(..6)).context("no colour")?;
    let number = u32::from_str_radix(hex, 16).context(hex)?.to_be_bytes();
    Ok([number[1], number[2], number[3]])
}

/// The middle of the pixels that have this colour, if there are enough.
fn place(rows: &[Vec<Colour>], colour: Colour) -> Option<Place> {
    let is_near = |pixel: &Colour| {
        pixel.iter().zip(colour).all(|(channel, wanted)| channel.abs_diff(wanted) <= TOLERANCE)
    };
    let pixels = rows.iter().enumerate().flat_map(|(y, row)| row.iter().enumerate().map(move |x| (x, y)));
    let pixels = pixels.filter(|((_, pixel), _)| is_near(pixel)).map(|((x, _), y)| (x, y));
    let (columns, lines): (Vec<_>, Vec<_>) = pixels.unzip();
    let middle = |all: &[usize]| Some(usize::midpoint(*all.iter().min()?, *all.iter().max()?));
    let place = Place { x: middle(&columns)?, y: middle(&lines)? };
    (columns.len() >= FEWEST).then_some(place)
}

/// The number of pixels of the indicator that have enough contrast with the panel.
fn contrasting(rows: &[Vec<Colour>], place: Place) -> usize {
    let panel = background(rows);
    let square = rows.iter().skip(place.y.saturating_sub(HALF)).take(2 * HALF);
    let pixels = square.flat_map(|row| row.iter().skip(place.x.saturating_sub(HALF)).take(2 * HALF));
    pixels.filter(|pixel| contrast(**pixel, panel) >= CONTRAST).count()
}

/// The most frequent colour.
pub(super) fn background(rows: &[Vec<Colour>]) -> Colour {
    let mut counts = std::collections::BTreeMap::<Colour, usize>::new();
    for pixel in rows.iter().flatten() {
        *counts.entry(*pixel).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(pixel, _)| pixel).unwrap_or_default()
}

/// The contrast of two colours, from 1 to 21 (WCAG 2.1).
pub(super) fn contrast(one: Colour, other: Colour) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

fn luminance(colour: Colour) -> f64 {
    let [red, green, blue] = colour.map(|channel| {
        let share = f64::from(channel) / 255.0;
        if share <= 0.04045 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
    });
    0.0722f64.mul_add(blue, 0.2126f64.mul_add(red, 0.7152 * green))
}
