//! Reads the attributes of a netlink message.

use netlink_bindings::utils::IterableChunks;

/// An attribute is cut off or missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// Attributes by their numbers.
pub(super) struct Attributes<'a>(Vec<(u16, &'a [u8])>);

impl<'a> Attributes<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut chunks = IterableChunks::new(bytes);
        let all = chunks.by_ref().map(|(header, value)| (header.r#type, value)).collect();
        // The list ends at an attribute that is cut off, and bytes are left.
        if chunks.is_empty() { Ok(Self(all)) } else { Err(Malformed) }
    }

    pub(super) fn find(&self, kind: u16) -> Option<&'a [u8]> {
        self.0.iter().find(|(one, _)| *one == kind).map(|(_, value)| *value)
    }

    /// The attributes inside this one; none if it is missing.
    pub(super) fn nested(&self, kind: u16) -> Result<Self, Malformed> {
        self.find(kind).map_or(Ok(Self(Vec::new())), Self::of)
    }

    /// The values in their order, without their numbers.
    pub(super) fn values(&self) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().map(|(_, value)| *value)
    }

    /// The values as text.
    pub(super) fn texts(&self) -> impl Iterator<Item = String> {
        self.values().map(text)
    }

    pub(super) fn text(&self, kind: u16) -> Result<String, Malformed> {
        self.find(kind).map(text).ok_or(Malformed)
    }

    pub(super) fn number(&self, kind: u16) -> Result<Option<u32>, Malformed> {
        let bytes = self.find(kind).map(|bytes| bytes.try_into().map_err(|_| Malformed)).transpose()?;
        Ok(bytes.map(u32::from_be_bytes))
    }

    pub(super) fn long(&self, kind: u16) -> Result<Option<u64>, Malformed> {
        let bytes = self.find(kind).map(|bytes| bytes.try_into().map_err(|_| Malformed)).transpose()?;
        Ok(bytes.map(u64::from_be_bytes))
    }

    /// The name of a set. During a transaction, an anonymous set of a rule has a number in addition to its name.
    pub(super) fn set_name(&self, [name, number]: [u16; 2]) -> Result<String, Malformed> {
        let name = self.text(name)?;
        match name.contains('%') {
            true => Ok(format!("{name}{}", self.number(number)?.unwrap_or_default())),
            false => Ok(name),
        }
    }
}

/// Text without the zero byte at its end.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.strip_suffix(&[0]).unwrap_or(bytes)).into_owned()
}
