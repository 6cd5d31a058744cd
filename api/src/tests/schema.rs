//! Checks a JSON value against a schema of the description.
//!
//! It knows the keywords that the description uses and panics on any other, so that none is passed
//! over. It is stricter than JSON Schema: a field that no schema names is a breach too, which shows
//! a field that was added to an answer and not to its description.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Map, Value};

/// Keywords that do not bind, or are checked elsewhere.
const SILENT: [&str; 7] = [
    "description",
    "default",
    "propertyNames",
    "uniqueItems",
    "example",
    "title",
    "contentMediaType",
];

/// Every breach of a schema, as a path and a sentence.
pub fn breaches(api: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let check = Check { api };
    let named = check.value("$", schema, value, &mut found);
    unnamed("$", value, &named, &mut found);
    found
}

struct Check<'a> {
    api: &'a Value,
}

/// The fields of an object that a schema names, or all of them.
#[derive(Default)]
struct Named {
    fields: BTreeSet<String>,
    is_open: bool,
}

fn unnamed(at: &str, value: &Value, named: &Named, found: &mut Vec<String>) {
    for name in value.as_object().into_iter().flat_map(Map::keys) {
        if !named.is_open && !named.fields.contains(name) {
            found.push(format!("{at}.{name}: is not described"));
        }
    }
}

impl Check<'_> {
    /// Checks one value, and returns the fields that the schema names.
    fn value(&self, at: &str, schema: &Value, value: &Value, found: &mut Vec<String>) -> Named {
        let keywords = schema.as_object().expect("a schema is an object");
        let mut named = Named { is_open: keywords.is_empty(), ..Named::default() };
        for (keyword, rule) in keywords {
            let mut say = |what: &str| found.push(format!("{at}: {what} {rule}, not {value}"));
            match keyword.as_str() {
                "$ref" => {
                    let pointer = rule.as_str().and_then(|text| text.strip_prefix('#'));
                    let target = self.api.pointer(pointer.expect("a local reference"));
                    let target = target.unwrap_or_else(|| panic!("{rule} does not exist"));
                    named.add(self.value(at, target, value, found));
                }
                "type" if !is_of_type(rule, value) => say("must be of type"),
                "type" if *rule == "object" && keywords.len() < 3 => {
                    named.is_open |= !keywords.contains_key("properties");
                }
                "enum" if !rule.as_array().expect("a list").contains(value) => say("must be in"),
                "minimum" if value.as_f64() < rule.as_f64() && value.is_number() => say("below"),
                "maximum" if value.as_f64() > rule.as_f64() && value.is_number() => say("above"),
                "minLength" if value.as_str().is_some_and(str::is_empty) => say("is shorter than"),
                "maxLength" if length(value) > rule.as_u64() => say("is longer than"),
                "maxItems" if n_items(value) > rule.as_u64() => say("more than"),
                "minItems" if value.as_array().is_some_and(Vec::is_empty) => say("fewer than"),
                "format" if !fits_format(rule, value) => say("must be a"),
                "pattern" if !fits_pattern(rule, value) => say("must fit"),
                "type" | "enum" | "minimum" | "maximum" | "minLength" | "maxLength" => {}
                "minItems" | "maxItems" | "format" | "pattern" => {}
                "allOf" => {
                    for part in rule.as_array().expect("a list") {
                        named.add(self.value(at, part, value, found));
                    }
                }
                "oneOf" | "anyOf" => named.add(self.any(at, rule, value, found)),
                "required" => {
                    let missing = rule.as_array().expect("a list").iter();
                    let missing = missing.filter(|name| {
                        value.is_object() && value.get(name.as_str().expect("text")).is_none()
                    });
                    found.extend(missing.map(|name| format!("{at}: lacks {name}")));
                }
                "properties" => {
                    for (name, part) in rule.as_object().expect("schemas") {
                        named.fields.insert(name.clone());
                        if let Some(inner) = value.get(name) {
                            self.inner(&format!("{at}.{name}"), part, inner, found);
                        }
                    }
                }
                "additionalProperties" if rule.is_object() => {
                    named.is_open = true;
                    for (name, inner) in value.as_object().into_iter().flatten() {
                        self.inner(&format!("{at}.{name}"), rule, inner, found);
                    }
                }
                "contentSchema" => {
                    let text = value.as_str().unwrap_or_default();
                    let inner = serde_json::from_str(text).unwrap_or_default();
                    self.inner(&format!("{at}.."), rule, &inner, found);
                }
                "additionalProperties" => assert_eq!(*rule, false, "the only other value in use"),
                "items" => {
                    for (idx, inner) in value.as_array().into_iter().flatten().enumerate() {
                        self.inner(&format!("{at}[{idx}]"), rule, inner, found);
                    }
                }
                other => assert!(SILENT.contains(&other), "{at}: the keyword {other} is unknown"),
            }
        }
        named
    }

    fn inner(&self, at: &str, schema: &Value, value: &Value, found: &mut Vec<String>) {
        let named = self.value(at, schema, value, found);
        // A schema without a word on the form of a value takes every value.
        let is_open = named.is_open || schema.get("type").is_none() && named.fields.is_empty();
        unnamed(at, value, &Named { is_open, ..named }, found);
    }

    /// The first of some schemas that a value fits.
    fn any(&self, at: &str, parts: &Value, value: &Value, found: &mut Vec<String>) -> Named {
        let mut all = Vec::new();
        for part in parts.as_array().expect("a list") {
            let mut own = Vec::new();
            let named = self.value(at, part, value, &mut own);
            if own.is_empty() {
                return named;
            }
            all.extend(own);
        }
        found.push(format!("{at}: fits none of them: {}", all.join("; ")));
        Named { is_open: true, ..Named::default() }
    }
}

impl Named {
    fn add(&mut self, other: Named) {
        self.fields.extend(other.fields);
        self.is_open |= other.is_open;
    }
}

fn length(value: &Value) -> Option<u64> {
    value.as_str().map(|text| text.chars().count() as u64)
}

fn n_items(value: &Value) -> Option<u64> {
    value.as_array().map(|items| items.len() as u64)
}

fn is_of_type(rule: &Value, value: &Value) -> bool {
    let types: Vec<&str> = match rule {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    };
    types.iter().any(|name| match *name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no type {other}"),
    })
}

fn fits_format(rule: &Value, value: &Value) -> bool {
    match (rule.as_str(), value) {
        (Some("date-time"), Value::String(text)) => text.parse::<Timestamp>().is_ok(),
        (Some("date-time"), _) => true,
        (Some("int32" | "int64" | "double"), _) => true,
        other => panic!("no format {other:?}"),
    }
}

/// Patterns are either a list of words, or rules that the tests of their own module know.
fn fits_pattern(rule: &Value, value: &Value) -> bool {
    let words = rule.as_str().expect("text").trim_matches(['^', '$', '(', ')']);
    let is_list = words.chars().all(|c| c.is_ascii_lowercase() || c == '|');
    !is_list || value.as_str().is_none_or(|text| words.split('|').any(|word| word == text))
}
