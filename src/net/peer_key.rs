//! The public key of a WireGuard peer, which identifies the peer at every address.

use std::str::FromStr;

/// Curve25519, as `wg pubkey` prints it in base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerKey([u8; 32]);

/// Why a text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no key: 44 characters of base64, as `wg pubkey` prints them")]
pub struct PeerKeyError;

/// Number of digits of a key in base64, without the `=` at its end.
const DIGITS: usize = 43;

impl PeerKey {
    /// Reads 64 hexadecimal digits.
    ///
    /// # Errors
    /// Any other text.
    pub fn from_hex(text: &str) -> Result<Self, PeerKeyError> {
        of_hex(text).map(Self)
    }
}

/// The bytes of 64 hexadecimal digits.
pub(super) fn of_hex(text: &str) -> Result<[u8; 32], PeerKeyError> {
    let mut key = [0; 32];
    if text.len() != 2 * key.len() || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(PeerKeyError);
    }
    for (place, byte) in key.iter_mut().enumerate() {
        let digits = text.get(2 * place..2 * place + 2).ok_or(PeerKeyError)?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| PeerKeyError)?;
    }
    Ok(key)
}

/// The bytes of a key in base64.
pub(super) fn of_base64(text: &str) -> Result<[u8; 32], PeerKeyError> {
    let digits = text.strip_suffix('=').filter(|digits| digits.len() == DIGITS).ok_or(PeerKeyError)?;
    let (mut bytes, mut rest, mut bits) = (Vec::with_capacity(32), 0_u32, 0);
    for digit in digits.bytes() {
        rest = rest << 6 | value(digit).ok_or(PeerKeyError)?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(rest >> bits).map_err(|_| PeerKeyError)?);
            rest &= (1 << bits) - 1;
        }
    }
    // wg(8) refuses a key whose last digit has bits that do not belong to the key.
    if rest == 0 { bytes.try_into().map_err(|_| PeerKeyError) } else { Err(PeerKeyError) }
}

impl TryFrom<&[u8]> for PeerKey {
    type Error = PeerKeyError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        bytes.try_into().map(Self).map_err(|_| PeerKeyError)
    }
}

impl FromStr for PeerKey {
    type Err = PeerKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        of_base64(text).map(Self)
    }
}

/// What a digit of base64 stands for.
fn value(digit: u8) -> Option<u32> {
    let from = |first: u8, value: u32| value + u32::from(digit - first);
    match digit {
        b'A'..=b'Z' => Some(from(b'A', 0)),
        b'a'..=b'z' => Some(from(b'a', 26)),
        b'0'..=b'9' => Some(from(b'0', 52)),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_is_refused() {
        let long = "A".repeat(44);
        let foreign = format!("{}é=", "A".repeat(41));
        for bad in [
            "",
            "=",
            "no key",
            &long,
            &foreign,
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA-A=",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==",
        ] {
            assert!(bad.parse::<PeerKey>().is_err(), "{bad:?}");
            assert!(PeerKey::from_hex(bad).is_err(), "{bad:?}");
        }
        assert!(PeerKey::from_hex(&format!("+{}", "0".repeat(63))).is_err());
        assert!(PeerKey::try_from(&[0; 31][..]).is_err());
    }

    #[test]
    fn a_key_is_the_same_in_base64_in_hexadecimal_and_as_bytes() {
        let text = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";
        let hex = "c53201039adba14be71f886da1d8dbe9eebded08cb111b75340078999aa9f038";
        let key: PeerKey = text.parse().unwrap();
        assert_eq!(PeerKey::from_hex(hex), Ok(key));
        assert_eq!(PeerKey::try_from(&key.0[..]), Ok(key));
        let last = "//////////////////////////////////////////8=".parse::<PeerKey>().unwrap();
        assert_eq!(last, PeerKey([255; 32]));
    }
}
