//! The `metrics.json` of an artifact, read by dotted names such as `test.auc.value`.
//!
//! By convention the file is a tree of JSON objects whose leaves are numbers. An undefined number
//! is null or missing, and `undefined` beside it says why. Lists (curves, say) are not leaves.

pub mod gate;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ctpipe_stage::did_you_mean;
use serde_json::{Map, Value};

/// The name of the file in an artifact.
pub const METRICS: &str = "metrics.json";

/// The key that says why a figure has no value; it stands beside the figure.
const UNDEFINED: &str = "undefined";

/// What a dotted name refers to.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// A number.
    Number(f64),
    /// Null, and the reason if the file gives one.
    Null(Option<String>),
    /// Null, because this group above it is null.
    Empty(String),
    /// Not a number, but what these words say.
    Other(String),
    /// There is no such name. The text is a hint at the nearest existing name, to be put after the
    /// name.
    Missing(String),
}

/// The metrics of the artifact in `folder`; `None` if there are none that can be read.
pub fn read(folder: &Path) -> Option<Value> {
    try_read(folder).ok()
}

/// The metrics of the artifact in `folder`, or in words why they cannot be read.
pub(crate) fn try_read(folder: &Path) -> Result<Value, String> {
    let bytes = std::fs::read(folder.join(METRICS)).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => format!("wrote no {METRICS}"),
        _ => format!("has a {METRICS} that cannot be read: {e}"),
    })?;
    parse(&bytes).map_err(|e| format!("has a {METRICS} that is not JSON: {e}"))
}

/// Python writes NaN and Infinity, which JSON does not have. They become undefined figures.
fn parse(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice(bytes).or_else(|_| serde_json::from_slice(&with_nulls(bytes)))
}

fn with_nulls(bytes: &[u8]) -> Vec<u8> {
    let mut json = Vec::with_capacity(bytes.len());
    let (mut rest, mut in_text) = (bytes, false);
    while let [first, after @ ..] = rest {
        let word: Option<&[u8]> = ["NaN", "-Infinity", "Infinity"]
            .map(str::as_bytes)
            .into_iter()
            .find(|word| rest.starts_with(word));
        if let Some(word) = word.filter(|_| !in_text) {
            json.extend_from_slice(b"null");
            rest = &rest[word.len()..];
            continue;
        }
        json.push(*first);
        rest = after;
        match first {
            b'"' => in_text = !in_text,
            // An escaped quotation mark does not end the text.
            b'\\' if in_text => {
                json.extend(rest.first());
                rest = rest.get(1..).unwrap_or_default();
            }
            _ => {}
        }
    }
    json
}

/// What a dotted name refers to.
pub fn lookup(metrics: &Value, name: &str) -> Found {
    let mut here = metrics;
    let mut beside: Option<&Map<String, Value>> = None;
    let mut rest = name;
    while !rest.is_empty() {
        let passed = name.get(..name.len() - rest.len()).unwrap_or_default().trim_end_matches('.');
        let Some(object) = here.as_object() else {
            return match here {
                Value::Null => match reason(beside) {
                    Some(why) => Found::Null(Some(why)),
                    None => Found::Empty(passed.to_owned()),
                },
                _ => missing(metrics, name),
            };
        };
        // A key may itself contain dots: the longest key that fits is meant.
        let after = |key: &str| {
            let after = rest.strip_prefix(key)?;
            if after.is_empty() { Some(after) } else { after.strip_prefix('.') }
        };
        let fits = object.iter().filter_map(|(key, value)| Some((key, value, after(key)?)));
        let Some((_, value, after)) = fits.max_by_key(|(key, ..)| key.len()) else {
            // A figure without a value may lack the other names, too; a name that resembles an
            // existing one is misspelt.
            let part = rest.split('.').next().unwrap_or(rest);
            let others = object.keys().map(String::as_str).filter(|key| *key != UNDEFINED);
            let mistyped = !did_you_mean(part, others).is_empty();
            let why = reason(Some(object)).filter(|_| !mistyped);
            return why.map_or_else(|| missing(metrics, name), |why| Found::Null(Some(why)));
        };
        (rest, beside, here) = (after, Some(object), value);
    }
    if name.is_empty() {
        return missing(metrics, name);
    }
    match here {
        Value::Number(number) => number.as_f64().map_or(Found::Null(None), Found::Number),
        Value::Null => Found::Null(reason(beside)),
        Value::String(text) => Found::Other(format!("the text \"{text}\"")),
        Value::Bool(truth) => Found::Other(truth.to_string()),
        Value::Array(_) => Found::Other("a list".to_owned()),
        Value::Object(_) => Found::Other("a group of figures".to_owned()),
    }
}

/// Does a dotted name refer to something: a figure, even an undefined one, or a group of figures?
/// If not, and an existing name resembles it, the error is a hint at that name.
pub(crate) fn stands_for_something(metrics: &Value, name: &str) -> Result<bool, String> {
    match lookup(metrics, name) {
        Found::Number(_) | Found::Other(_) | Found::Null(Some(_)) => Ok(true),
        Found::Null(None) | Found::Empty(_) => Ok(false),
        Found::Missing(_) => {
            let known = names(metrics);
            let meant = known.iter().map(String::as_str).filter(|known| is_slip(name, known));
            let hint = did_you_mean(name, meant);
            if hint.is_empty() { Ok(false) } else { Err(hint) }
        }
    }
}

/// Is `name` a misspelling of `known`: does one of its parts have a letter too many, too few or in
/// the wrong place? `test_a` is not one of `test_b`, nor `male` of `female`, nor `external_b` of
/// `external`.
fn is_slip(name: &str, known: &str) -> bool {
    let differing: Vec<(&str, &str)> =
        name.split('.').zip(known.split('.')).filter(|(a, b)| a != b).collect();
    let [(a, b)] = differing[..] else { return false };
    let plain = |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    let letters = |text: &str| {
        let mut letters: Vec<char> = text.chars().collect();
        letters.sort_unstable();
        letters
    };
    name.split('.').count() == known.split('.').count()
        && strsim::damerau_levenshtein(a, b) == 1
        && plain(a) != plain(b)
        && !(a.starts_with(b) || b.starts_with(a))
        && (a.chars().count() != b.chars().count() || letters(a) == letters(b))
}

/// All dotted names, including those of groups.
fn names(metrics: &Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    walk(metrics, "", &mut |name, _| {
        let ends = name.match_indices('.').map(|(at, _)| at).chain([name.len()]);
        names.extend(ends.filter_map(|end| name.get(..end)).map(str::to_owned));
    });
    names
}

/// Every number with its dotted name.
pub fn numbers(metrics: &Value) -> BTreeMap<String, f64> {
    let mut found = BTreeMap::new();
    walk(metrics, "", &mut |name, leaf| {
        if let Some(number) = leaf.as_f64() {
            found.insert(name.to_owned(), number);
        }
    });
    found
}

fn reason(object: Option<&Map<String, Value>>) -> Option<String> {
    object?.get(UNDEFINED)?.as_str().map(str::to_owned)
}

fn missing(metrics: &Value, name: &str) -> Found {
    let mut names = Vec::new();
    walk(metrics, "", &mut |name, leaf| {
        if leaf.is_number() || leaf.is_null() {
            names.push(name.to_owned());
        }
    });
    Found::Missing(did_you_mean(name, names.iter().map(String::as_str)))
}

fn walk(value: &Value, name: &str, visit: &mut impl FnMut(&str, &Value)) {
    let Some(object) = value.as_object() else {
        return visit(name, value);
    };
    for (part, value) in object {
        let name = if name.is_empty() { part.clone() } else { format!("{name}.{part}") };
        walk(value, &name, visit);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_python_writes_for_no_number_is_undefined() {
        // json.dumps({"auc": nan, "all": [inf, -inf, 1], "why": 'NaN "\\" and Infinity', "n": 3})
        let text =
            r#"{"auc": NaN, "all": [Infinity, -Infinity, 1], "why": "NaN \"\\\" and Infinity", "n": 3}"#;
        let expected =
            json!({ "auc": null, "all": [null, null, 1], "why": "NaN \"\\\" and Infinity", "n": 3 });
        assert_eq!(parse(text.as_bytes()).ok(), Some(expected));
        assert_eq!(parse(b"{\"n\": Nan}").ok(), None);
        assert_eq!(parse(b"{\"n\": \"\\").ok(), None);
    }

    fn metrics() -> Value {
        json!({
            "test": {
                "auc": { "value": 0.75, "ci_low": 0.5 },
                "pr_auc": { "value": null, "undefined": "no positives" },
                "count": 12, "name": "x", "curve": [1, 2],
            },
            "a.b": { "c": 3 },
            "comparison": null,
        })
    }

    #[test]
    fn a_name_leads_to_its_number_or_to_why_there_is_none() {
        let look = |name| lookup(&metrics(), name);
        assert_eq!(look("test.auc.value"), Found::Number(0.75));
        assert_eq!(look("test.count"), Found::Number(12.0));
        assert_eq!(look("a.b.c"), Found::Number(3.0));
        for name in ["test.pr_auc.value", "test.pr_auc.ci_low"] {
            assert_eq!(look(name), Found::Null(Some("no positives".to_owned())), "{name}");
        }
        assert_eq!(look("comparison.delta.value"), Found::Empty("comparison".to_owned()));
        assert_eq!(look("test.name"), Found::Other("the text \"x\"".to_owned()));
        assert_eq!(look("test.curve"), Found::Other("a list".to_owned()));
        assert_eq!(look("test"), Found::Other("a group of figures".to_owned()));
    }

    #[test]
    fn the_nearest_name_is_suggested() {
        let hint = Found::Missing(" (did you mean \"test.auc.value\"?)".to_owned());
        for name in ["test.auc.valeu", "test.aucvalue", "tset.auc.value", "test.auc.value.more"] {
            assert_eq!(lookup(&metrics(), name), hint, "{name}");
        }
        let undefined = Found::Missing(" (did you mean \"test.pr_auc.value\"?)".to_owned());
        assert_eq!(lookup(&metrics(), "test.pr_auc.vlaue"), undefined);
        assert_eq!(lookup(&metrics(), "zzzzzzzzzzzzzzzz"), Found::Missing(String::new()));
        assert_eq!(lookup(&metrics(), ""), Found::Missing(String::new()));
    }

    #[test]
    fn every_number_has_a_name_and_lists_have_none() {
        let names: Vec<String> = numbers(&metrics()).into_keys().collect();
        assert_eq!(names, ["a.b.c", "test.auc.ci_low", "test.auc.value", "test.count"]);
    }
}
