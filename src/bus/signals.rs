//! The dictionaries in the signals. `dbus/org.tunwarden.Agent1.xml` explains their keys.

use std::collections::HashMap;

use zbus::{Message, OwnedVariant, Variant};

use super::Requester;
use crate::netfilter::Program;
use crate::status::Status;

/// The key of the program that made a repair necessary, in `Repaired`.
const PROGRAM: &str = "program";

/// The details of `StateChanged`.
pub(super) fn state_details<'a>(
    now: &Status,
    by: Option<&'a Requester>,
) -> HashMap<&'static str, Variant<'a>> {
    let mut details =
        HashMap::from([("enforced", Variant::from(now.enforced())), ("since", Variant::from(now.since))]);
    if let Some(by) = by {
        details.insert("uid", Variant::from(by.uid));
        details.extend(by.name.as_deref().map(|name| ("user", Variant::from(name))));
    }
    details
}

/// The program that made a repair necessary; empty while it is unknown.
pub(super) fn repairer(by: Option<&Program>) -> HashMap<&'static str, Variant<'_>> {
    let Some(Program { name, pid }) = by else { return HashMap::new() };
    HashMap::from([(PROGRAM, Variant::from(name.as_str())), ("pid", Variant::from(*pid))])
}

/// The name of the program in a signal `Repaired`, if the agent knows it.
pub(crate) fn repairer_in(repaired: &Message) -> Option<String> {
    let body = repaired.body();
    let (_, mut by): (String, HashMap<String, OwnedVariant>) = body.deserialize().ok()?;
    String::try_from(by.remove(PROGRAM)?).ok().filter(|program| !program.is_empty())
}
