//! Text that other programs chose.

/// A character for the bus: a control character becomes U+FFFD. The bus daemon disconnects a sender whose text has a NUL.
/// It is replaced, not left out: `we\0b` must not become the name of the network `web`.
pub(crate) fn printable(c: char) -> char {
    if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }
}
