//! Writes a part of the status to the bus, and reads it from there, with one definition for both directions.
//!
//! A part of the status is an `a{sv}` whose keys are the names of its fields. Unknown facts are left out. A key that
//! this version does not know is ignored, because an agent of a later version may have more.

use std::collections::HashMap;

use zbus::{OwnedVariant, Variant};

use super::{BootstrapStatus, EndpointStatus, PauseStatus, StatusError, Verdict, Watch};
use super::{ConfigurationStatus, DockerStatus, FightStatus, LayerStatus, LeftOutStatus};
use super::{ForwardedStatus, ManagementStatus, NetworkStatus, TunnelStatus, VpnStatus};
use crate::config::Reconnect;
use crate::vpn::{LastLoss, Reason, State};

/// An `a{sv}` that will be sent.
pub(super) type Written = HashMap<&'static str, Variant<'static>>;

/// An `a{sv}` that was read.
pub(super) struct Entries(pub(super) HashMap<String, OwnedVariant>);

impl Entries {
    /// Takes out an entry that must be there.
    pub(super) fn take<T: OnBus>(&mut self, key: &str) -> Result<T, StatusError> {
        self.take_known(key)?.ok_or_else(|| StatusError(format!("{key} is missing")))
    }

    /// Takes out an entry that may be missing.
    pub(super) fn take_known<T: OnBus>(&mut self, key: &str) -> Result<Option<T>, StatusError> {
        let Some(value) = self.0.remove(key) else { return Ok(None) };
        T::read(value).map(Some).map_err(|StatusError(why)| StatusError(format!("{key}{why}")))
    }
}

/// A value on the bus.
pub(super) trait OnBus: Sized {
    fn write(&self) -> Variant<'static>;
    /// Reads the value. The text of the error is added to the key's name.
    fn read(value: OwnedVariant) -> Result<Self, StatusError>;
}

/// A part of the status that is an `a{sv}`.
pub(super) trait Dictionary: Sized {
    fn to_dict(&self) -> Written;
    fn from_dict(entries: Entries) -> Result<Self, StatusError>;
}

fn present<const N: usize>(
    known: [Option<(&'static str, Variant<'static>)>; N],
) -> impl Iterator<Item = (&'static str, Variant<'static>)> {
    known.into_iter().flatten()
}

/// Declares the fields of a dictionary: those that are always there; `later` for those that an older agent does not
/// have; `known` for those that are left out while they are `None`.
macro_rules! dictionary {
    ($type:ident { $($field:ident),+ } $(later { $($later:ident),+ })? $(known { $($known:ident),+ })?) => {
        impl Dictionary for $type {
            fn to_dict(&self) -> Written {
                let always = [
                    $((stringify!($field), self.$field.write()),)+
                    $($((stringify!($later), self.$later.write()),)+)?
                ];
                let known = [$($(self.$known.as_ref().map(|value| (stringify!($known), value.write())),)+)?];
                always.into_iter().chain(present(known)).collect()
            }

            fn from_dict(mut entries: Entries) -> Result<Self, StatusError> {
                Ok(Self {
                    $($field: entries.take(stringify!($field))?,)+
                    $($($later: entries.take_known(stringify!($later))?.unwrap_or_default(),)+)?
                    $($($known: entries.take_known(stringify!($known))?,)+)?
                })
            }
        }
    };
}

dictionary!(EndpointStatus { address, port, protocol });
dictionary!(LastLoss { name, interface, reason, seen_by, at } later { code, held } known { uuid });
dictionary!(ConfigurationStatus { source, path } known { fault });
dictionary!(LeftOutStatus { name, reason, remedy } later { carries });
dictionary!(VpnStatus { name, origin, servers, more, counts } known { uuid, mark, fault });
dictionary!(ManagementStatus { file, socket, heard } known { fault });
dictionary!(LayerStatus { name, enforced } later { closed, owned } known { lacks, unknown });
dictionary!(FightStatus { program, count });
dictionary!(DockerStatus { present, protected, networks, missing } later { forwarded } known { version, backend });
dictionary!(ForwardedStatus { port, protocol, to } known { fault });
dictionary!(NetworkStatus { name, driver, internal, access, covered } known { bridge, fault });

/// The fields of a tunnel. The fields of its endpoint are in the same dictionary if the endpoint is known.
impl Dictionary for TunnelStatus {
    fn to_dict(&self) -> Written {
        let mut dict = Written::from([
            ("interface", self.interface.write()),
            ("source", self.source.write()),
            ("name", self.name.write()),
            ("since", self.since.write()),
            ("carrying", self.carrying.write()),
        ]);
        dict.extend(self.endpoint.iter().flat_map(Dictionary::to_dict));
        dict
    }

    fn from_dict(mut entries: Entries) -> Result<Self, StatusError> {
        Ok(Self {
            interface: entries.take("interface")?,
            source: entries.take("source")?,
            name: entries.take("name")?,
            since: entries.take("since")?,
            carrying: entries.take("carrying")?,
            endpoint: entries
                .0
                .contains_key("address")
                .then(|| Dictionary::from_dict(entries))
                .transpose()?,
        })
    }
}

/// An endpoint, with `by` if the kernel itself sends the packets; or `any`.
impl Dictionary for BootstrapStatus {
    fn to_dict(&self) -> Written {
        match self {
            Self::Endpoint(endpoint) => Dictionary::to_dict(endpoint),
            Self::Kernel { endpoint, by } => {
                let mut dict = Dictionary::to_dict(endpoint);
                dict.insert("by", by.write());
                dict
            }
            Self::Any => Written::from([("any", true.write())]),
        }
    }

    fn from_dict(mut entries: Entries) -> Result<Self, StatusError> {
        if entries.0.contains_key("any") {
            return Ok(Self::Any);
        }
        let by = entries.take_known("by")?;
        let endpoint = Dictionary::from_dict(entries)?;
        Ok(match by {
            Some(by) => Self::Kernel { endpoint, by },
            None => Self::Endpoint(endpoint),
        })
    }
}

/// Reads a dictionary inside another one. Its error text comes after the outer key.
fn read_part<T: Dictionary>(entries: HashMap<String, OwnedVariant>) -> Result<T, StatusError> {
    T::from_dict(Entries(entries)).map_err(|StatusError(why)| StatusError(format!(": {why}")))
}

fn of_type<T: TryFrom<OwnedVariant>>(value: OwnedVariant) -> Result<T, StatusError> {
    T::try_from(value).map_err(|_| StatusError(" is of another type".to_owned()))
}

/// Types that the bus itself has.
macro_rules! plain {
    ($($type:ty),+) => {$(
        impl OnBus for $type {
            fn write(&self) -> Variant<'static> {
                Variant::from(self.clone())
            }

            fn read(value: OwnedVariant) -> Result<Self, StatusError> {
                of_type(value)
            }
        }
    )+};
}

plain!(bool, u16, u32, u64, String, Vec<String>);

/// Enums that are one word on the bus, and an empty word if they are `None`.
macro_rules! words {
    ($($type:ty: $write:path, $read:expr);+ $(;)?) => {$(
        impl OnBus for Option<$type> {
            fn write(&self) -> Variant<'static> {
                Variant::from(self.map_or("", $write))
            }

            fn read(value: OwnedVariant) -> Result<Self, StatusError> {
                let word: String = of_type(value)?;
                if word.is_empty() { Ok(None) } else { ($read)(&word) }
            }
        }
    )+};
}

words! {
    State: State::as_str, |word: &str| word.parse().map(Some).map_err(unknown);
    Verdict: Verdict::as_str, |word: &str| word.parse().map(Some).map_err(unknown);
    Watch: Watch::as_str, |word| Watch::from_word(word).map(Some).ok_or_else(|| unknown(word));
    PauseStatus: scope, |word: &str| word.parse().map(|scope| Some(PauseStatus { scope })).map_err(unknown);
    // A later version may have more of these words.
    Reconnect: Reconnect::as_str, |word| Ok(Reconnect::from_word(word));
    Reason: Reason::code, |word| Ok(Reason::from_code(word));
}

fn unknown(why: impl std::fmt::Display) -> StatusError {
    StatusError(format!(" is a word that this version does not know: {why}"))
}

fn scope(pause: PauseStatus) -> &'static str {
    pause.scope.as_str()
}

/// A text for people; empty if it is `None`.
impl OnBus for Option<String> {
    fn write(&self) -> Variant<'static> {
        self.as_deref().unwrap_or_default().to_owned().write()
    }

    fn read(value: OwnedVariant) -> Result<Self, StatusError> {
        String::read(value).map(|text| Some(text).filter(|text| !text.is_empty()))
    }
}

/// A time in seconds since the epoch; 0 if it is `None`.
impl OnBus for Option<u64> {
    fn write(&self) -> Variant<'static> {
        self.unwrap_or_default().write()
    }

    fn read(value: OwnedVariant) -> Result<Self, StatusError> {
        u64::read(value).map(|moment| Some(moment).filter(|&moment| moment != 0))
    }
}

impl<T: Dictionary> OnBus for T {
    fn write(&self) -> Variant<'static> {
        Variant::from(Dictionary::to_dict(self))
    }

    fn read(value: OwnedVariant) -> Result<Self, StatusError> {
        read_part(of_type(value)?)
    }
}

/// An empty dictionary stands for `None`.
impl<T: Dictionary> OnBus for Option<T> {
    fn write(&self) -> Variant<'static> {
        Variant::from(self.as_ref().map(Dictionary::to_dict).unwrap_or_default())
    }

    fn read(value: OwnedVariant) -> Result<Self, StatusError> {
        let entries: HashMap<String, OwnedVariant> = of_type(value)?;
        if entries.is_empty() { Ok(None) } else { read_part(entries).map(Some) }
    }
}

impl<T: Dictionary> OnBus for Vec<T> {
    fn write(&self) -> Variant<'static> {
        Variant::from(self.iter().map(Dictionary::to_dict).collect::<Vec<Written>>())
    }

    fn read(value: OwnedVariant) -> Result<Self, StatusError> {
        let all: Vec<HashMap<String, OwnedVariant>> = of_type(value)?;
        all.into_iter().map(read_part).collect()
    }
}
