//! Values as the kernel compares them.

use crate::net::IfPattern;

/// `IFNAMSIZ`: names of links and of kinds are compared with all these bytes.
const NAME: usize = 16;

/// The bytes that a link of such a name has.
pub(super) fn name_bytes(names: &IfPattern) -> Vec<u8> {
    let text = names.to_string();
    match text.strip_suffix('+') {
        Some(stem) => stem.as_bytes().to_vec(),
        None => padded(&text),
    }
}

/// Nanoseconds since 1970. The words of nft have whole seconds.
pub(super) fn nanoseconds(moment: jiff::Timestamp) -> [u8; 8] {
    u64::try_from(moment.as_second()).unwrap_or_default().saturating_mul(1_000_000_000).to_be_bytes()
}

/// A name with the zero bytes after it.
pub(super) fn padded(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(NAME, 0);
    bytes
}
