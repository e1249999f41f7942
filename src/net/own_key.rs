//! The private key of a WireGuard device, as far as it has to be known: whether two are the same.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::str::FromStr;
use std::sync::LazyLock;

use super::PeerKeyError;
use super::peer_key::{of_base64, of_hex};

/// A keyed hash of a private key. The key itself is not kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OwnKey([u64; 2]);

/// The secrets of the hash. Each process has others, and no hash leaves the process, so nobody can look for another key
/// with the same hash.
static SECRETS: LazyLock<[RandomState; 2]> = LazyLock::new(|| [RandomState::new(), RandomState::new()]);

/// Without the hash: events are logged.
impl fmt::Debug for OwnKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnKey")
    }
}

impl OwnKey {
    /// From 32 bytes; `None` if they are all 0, which means that a device has no key.
    fn of(mut bytes: [u8; 32]) -> Option<Self> {
        if bytes == [0; 32] {
            return None;
        }
        // What Curve25519 does with every private key: a device shows the key as it is afterwards.
        bytes[0] &= 248;
        bytes[31] = bytes[31] & 127 | 64;
        Some(Self([SECRETS[0].hash_one(bytes), SECRETS[1].hash_one(bytes)]))
    }

    /// Reads 64 hexadecimal digits.
    ///
    /// # Errors
    /// Any other text, and the key that is 0.
    pub fn from_hex(text: &str) -> Result<Self, PeerKeyError> {
        Self::of(of_hex(text)?).ok_or(PeerKeyError)
    }
}

impl TryFrom<&[u8]> for OwnKey {
    type Error = PeerKeyError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        Self::of(bytes.try_into().map_err(|_| PeerKeyError)?).ok_or(PeerKeyError)
    }
}

impl FromStr for OwnKey {
    type Err = PeerKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::of(of_base64(text)?).ok_or(PeerKeyError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_recognised_as_a_device_shows_it_and_is_in_no_text() {
        // Not clamped, as some providers give it.
        let key: OwnKey = "//////////////////////////////////////////8=".parse().unwrap();
        let mut clamped = [255; 32];
        (clamped[0], clamped[31]) = (248, 127);
        assert_eq!(OwnKey::try_from(&clamped[..]), Ok(key));
        assert_eq!(OwnKey::from_hex(&format!("f8{}7f", "ff".repeat(30))), Ok(key));
        clamped[7] = 0;
        assert_ne!(OwnKey::try_from(&clamped[..]), Ok(key));
        assert_eq!(format!("{key:?}"), "OwnKey");
    }

    #[test]
    fn a_device_without_a_key_has_none() {
        for none in ["", "no key", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="] {
            assert!(none.parse::<OwnKey>().is_err(), "{none:?}");
        }
        assert!(OwnKey::from_hex(&"0".repeat(64)).is_err() && OwnKey::try_from(&[0; 32][..]).is_err());
    }
}
