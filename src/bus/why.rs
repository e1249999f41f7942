//! `Why` on the bus: what would happen to one packet, and why.
//!
//! A process of its own computes the answer. It reads all that other programs have put into the kernel, which may take
//! seconds and 200 MB.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use zbus::{OwnedVariant, Variant, fdo};

use crate::system::program::{brief, run_self};

/// How long the computation may take. Callers usually wait for 25 seconds.
const LIMIT: Duration = Duration::from_secs(20);

/// Maximum length of an argument. The longest name of a host has 253 bytes.
const LONGEST: usize = 300;

/// The arguments of `tunwarden why`. Without an option the packet is of a program of the caller's.
///
/// # Errors
/// `InvalidArgs` for an option that is not known or not a text, and for a text that is too long.
pub(super) fn arguments(
    destination: &str,
    options: &HashMap<String, OwnedVariant>,
    uid: u32,
) -> fdo::Result<[String; 5]> {
    let wrong = |why: String| fdo::Error::InvalidArgs(why);
    let mut sender = None;
    for (name, value) in options {
        let text = match (name.as_str(), <&str>::try_from(value), u32::try_from(value)) {
            ("as" | "from", Ok(text), _) => text.to_owned(),
            ("as", _, Ok(uid)) => uid.to_string(),
            ("as" | "from", ..) => return Err(wrong(format!("`{name}` must be a string"))),
            _ => return Err(wrong("the options are `as` and `from`".to_owned())),
        };
        if sender.replace(format!("--{name}={text}")).is_some() {
            return Err(wrong("use only one of `as` and `from`".to_owned()));
        }
    }
    let sender = sender.unwrap_or_else(|| format!("--as={uid}"));
    if [destination, &sender].iter().any(|text| text.len() > LONGEST || text.contains('\0')) {
        return Err(wrong(format!("a text is too long (at most {LONGEST} bytes), or has a zero byte")));
    }
    Ok(["why".to_owned(), "--json".to_owned(), sender, "--".to_owned(), destination.to_owned()])
}

/// Runs `tunwarden why`. The keys are those of `docs/why.schema.json`, without those that are null.
///
/// # Errors
/// `Failed` with the reason, if there is no answer.
pub(super) async fn ask(arguments: &[String; 5]) -> fdo::Result<HashMap<String, OwnedVariant>> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = run_self(LIMIT, &words, b"").await;
    let output = output.map_err(|error| failed(&format!("{:#}", anyhow::Error::from(error))))?;
    match serde_json::from_slice::<Value>(&output.stdout) {
        Ok(Value::Object(answer)) => Ok(entries(answer)),
        Ok(_) | Err(_) => {
            let said = brief(String::from_utf8_lossy(&output.stderr).lines());
            Err(failed(&if said.is_empty() { output.status.to_string() } else { said }))
        }
    }
}

fn failed(why: &str) -> fdo::Error {
    fdo::Error::Failed(format!("the answer could not be computed: {why}"))
}

fn entries(object: serde_json::Map<String, Value>) -> HashMap<String, OwnedVariant> {
    let entry = |(key, value)| Some((key, OwnedVariant::try_from(variant(value)?).ok()?));
    object.into_iter().filter_map(entry).collect()
}

/// A value of the answer: its only numbers are ports, and its only lists are of texts.
fn variant(value: Value) -> Option<Variant<'static>> {
    match value {
        Value::Null => None,
        Value::Bool(flag) => Some(Variant::from(flag)),
        Value::Number(number) => Some(Variant::from(u16::try_from(number.as_u64()?).ok()?)),
        Value::String(text) => Some(Variant::from(text)),
        Value::Array(all) => {
            let texts: Vec<String> =
                all.into_iter().filter_map(|one| one.as_str().map(ToOwned::to_owned)).collect();
            Some(Variant::from(texts))
        }
        Value::Object(object) => Some(Variant::from(entries(object))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(destination: &str, options: &[(&str, Variant<'static>)]) -> Option<String> {
        let owned = |(name, value): &(&str, Variant<'static>)| {
            Some(((*name).to_owned(), OwnedVariant::try_from(value.clone()).ok()?))
        };
        let options = options.iter().filter_map(owned).collect();
        arguments(destination, &options, 1000).ok().map(|words| words.join(" "))
    }

    #[test]
    fn the_options_name_one_sender_and_nothing_else_reaches_the_command() {
        assert_eq!(of("203.0.113.9", &[]).as_deref(), Some("why --json --as=1000 -- 203.0.113.9"));
        let anna = [("as", Variant::from("anna"))];
        assert_eq!(of("203.0.113.9", &anna).as_deref(), Some("why --json --as=anna -- 203.0.113.9"));
        let root = [("as", Variant::from(0_u32))];
        assert_eq!(of("-h", &root).as_deref(), Some("why --json --as=0 -- -h"), "a destination is no option");
        let web = [("from", Variant::from("web --as root"))];
        assert_eq!(of("x", &web).as_deref(), Some("why --json --from=web --as root -- x"));
        assert_eq!(arguments("x", &HashMap::new(), 0).unwrap()[2], "--as=0");
        for wrong in [
            vec![("as", Variant::from("a")), ("from", Variant::from("b"))],
            vec![("to", Variant::from("a"))],
            vec![("from", Variant::from(7_u32))],
            vec![("as", Variant::from(vec!["a".to_owned()]))],
            vec![("as", Variant::from("a".repeat(LONGEST)))],
        ] {
            assert_eq!(of("203.0.113.9", &wrong), None, "{wrong:?}");
        }
        assert_eq!(of(&"a".repeat(LONGEST + 1), &[]), None);
        assert_eq!(of("a\0b", &[]), None);
    }

    #[test]
    fn an_answer_keeps_its_keys_without_those_that_are_null() {
        let said = serde_json::json!({
            "verdict": "refused",
            "key": null,
            "destination": { "port": 443 },
            "unknown": ["a", "b"],
        });
        let Value::Object(said) = said else { panic!("it is an object") };
        let mut entries = entries(said);
        let text = |value: Option<OwnedVariant>| value.map(|value| format!("{value:?}")).unwrap_or_default();
        assert!(text(entries.remove("verdict")).contains("refused"));
        assert!(text(entries.remove("destination")).contains("443"));
        assert!(text(entries.remove("unknown")).contains('b'));
        assert!(entries.is_empty(), "{entries:?}");
    }
}
