//! The JSON that programs read, checked against the schemas in `docs/`. It knows the keywords that those schemas use
//! and refuses every other one. A library (boon, jsonschema) would bring a second version of getrandom.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

pub const STATUS: &str = include_str!("../../docs/status.schema.json");
pub const DOCTOR: &str = include_str!("../../docs/doctor.schema.json");
pub const PROVE: &str = include_str!("../../docs/prove.schema.json");
pub const WHY: &str = include_str!("../../docs/why.schema.json");
pub const BLOCKED: &str = include_str!("../../docs/blocked.schema.json");

/// Keywords that only describe, and restrict no value.
const ANNOTATIONS: [&str; 4] = ["$schema", "$defs", "title", "description"];

/// Fails unless the schema allows the value and describes every key in it. The schema itself allows keys that it
/// does not know, because a later version may add some.
pub fn check(schema: &str, value: &Value) -> Result<()> {
    let root = serde_json::from_str(schema)?;
    Schema { root: &root }.check(&root, value, "").with_context(|| value.to_string())
}

struct Schema<'s> {
    root: &'s Value,
}

impl Schema<'_> {
    fn check(&self, schema: &Value, value: &Value, place: &str) -> Result<()> {
        for (keyword, expected) in schema.as_object().context("a schema is an object")? {
            if ANNOTATIONS.contains(&keyword.as_str()) {
                continue;
            }
            let holds = self.holds(keyword, expected, value, place)?;
            ensure!(holds, "{place}: {value} is not what {keyword} allows: {expected}");
        }
        Ok(())
    }

    /// Whether a value is what one keyword allows.
    fn holds(&self, keyword: &str, expected: &Value, value: &Value, place: &str) -> Result<bool> {
        let strings = || expected.as_array().into_iter().flatten().filter_map(Value::as_str);
        Ok(match keyword {
            "type" => expected.as_str().into_iter().chain(strings()).any(|name| is(name, value)),
            "enum" => expected.as_array().context("enum is a list")?.contains(value),
            "const" => expected == value,
            "minimum" => value.as_i64().is_none_or(|number| Some(number) >= expected.as_i64()),
            "maximum" => value.as_i64().is_none_or(|number| Some(number) <= expected.as_i64()),
            "required" => {
                value.as_object().is_none_or(|object| strings().all(|key| object.contains_key(key)))
            }
            "properties" => {
                for (key, one) in value.as_object().into_iter().flatten() {
                    let place = format!("{place}/{key}");
                    let schema = expected.get(key).with_context(|| format!("{place}: is not described"))?;
                    self.check(schema, one, &place)?;
                }
                true
            }
            "items" => {
                for (index, one) in value.as_array().into_iter().flatten().enumerate() {
                    self.check(expected, one, &format!("{place}/{index}"))?;
                }
                true
            }
            "$ref" => {
                let path = expected.as_str().and_then(|path| path.strip_prefix('#')).context("a path")?;
                let schema = self.root.pointer(path).with_context(|| format!("no schema {path}"))?;
                self.check(schema, value, place)?;
                true
            }
            "oneOf" | "anyOf" => {
                let schemas = expected.as_array().into_iter().flatten();
                let fitting = schemas.filter(|schema| self.check(schema, value, place).is_ok()).count();
                fitting == 1 || keyword == "anyOf" && fitting > 1
            }
            "not" => self.check(expected, value, place).is_err(),
            _ => bail!("this check does not know the keyword {keyword}"),
        })
    }
}

fn is(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "null" => value.is_null(),
        _ => false,
    }
}
