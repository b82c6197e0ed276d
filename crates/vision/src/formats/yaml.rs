//! YAML as lists of classes use it (`data.yaml`), in bounds: one document of maps, lists and scalars.
//!
//! The parser only tells events; the tree is built here, so that aliases cost what they expand to, and a bomb of them ends
//! at the limit. A key that stands twice in a map is refused.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Number, Value};

use super::xml::Fault;
use crate::{Limits, Rule};

/// The most bytes of a file: a hundred thousand classes take some two million.
pub(crate) const FILE_BYTES: u64 = 16 << 20;

/// The most bytes of scalars and values, with all aliases expanded.
const EXPANDED: usize = 32 << 20;

/// What a value costs beside its text.
const VALUE_COST: usize = 16;

/// A map or list that is open.
enum Open {
    List(Vec<Value>),
    Map(Map<String, Value>, Option<String>),
}

/// The first document of a file as a JSON value; scalars are what YAML's core schema makes of them. Keys become text.
pub(crate) fn parse(text: &str, limits: &Limits) -> Result<Value, Fault> {
    let mut open: Vec<(usize, Open)> = Vec::new();
    let mut anchors: HashMap<usize, (Value, usize)> = HashMap::new();
    let mut spent = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let line = u32::try_from(error.marker().line()).unwrap_or(u32::MAX);
            Fault { rule: Rule::ParseError, line, found: error.info().to_owned() }
        })?;
        let line = u32::try_from(span.start.line()).unwrap_or(u32::MAX);
        let fault = |rule, found: String| Fault { rule, line, found };
        let (anchor, value) = match event {
            Event::Scalar(text, style, anchor, _) => {
                let value = if style == ScalarStyle::Plain { plain(&text) } else { Value::from(&*text) };
                // As a key it is text, whatever it looks like.
                match open.last_mut() {
                    Some((_, Open::Map(map, key @ None))) => {
                        if map.contains_key(&*text) {
                            return Err(fault(
                                Rule::DuplicateKey,
                                format!("expected each key once, found {text:?} again"),
                            ));
                        }
                        spent += VALUE_COST + text.len();
                        *key = Some(text.into_owned());
                        continue;
                    }
                    _ => (anchor, value),
                }
            }
            Event::SequenceStart(anchor, _) => {
                open.push((anchor, Open::List(Vec::new())));
                check_depth(&open, limits, fault)?;
                continue;
            }
            Event::MappingStart(anchor, _) => {
                open.push((anchor, Open::Map(Map::new(), None)));
                check_depth(&open, limits, fault)?;
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some((anchor, Open::List(list))) => (anchor, Value::Array(list)),
                Some((anchor, Open::Map(map, _))) => (anchor, Value::Object(map)),
                None => return Err(fault(Rule::ParseError, "expected a value, found an end".to_owned())),
            },
            Event::Alias(anchor) => {
                let Some((value, cost)) = anchors.get(&anchor) else {
                    return Err(fault(Rule::ParseError, "expected an alias of what is complete".to_owned()));
                };
                spent += cost;
                if spent > EXPANDED {
                    return Err(fault(
                        Rule::ResourceLimit,
                        format!("expected at most {EXPANDED} bytes with all aliases"),
                    ));
                }
                (0, value.clone())
            }
            Event::DocumentEnd => break,
            _ => continue,
        };
        spent += VALUE_COST + value.as_str().map_or(0, str::len);
        if anchor > 0 {
            let cost = cost(&value);
            spent += cost;
            if spent <= EXPANDED {
                anchors.insert(anchor, (value.clone(), cost));
            }
        }
        if spent > EXPANDED {
            return Err(fault(
                Rule::ResourceLimit,
                format!("expected at most {EXPANDED} bytes with all aliases"),
            ));
        }
        match open.last_mut() {
            None => return Ok(value),
            Some((_, Open::List(list))) => list.push(value),
            Some((_, Open::Map(map, key))) => match key.take() {
                Some(key) => {
                    map.insert(key, value);
                }
                None => {
                    return Err(fault(Rule::BadType, "expected a key that is a word, found more".to_owned()));
                }
            },
        }
    }
    Ok(Value::Null)
}

fn check_depth(
    open: &[(usize, Open)],
    limits: &Limits,
    fault: impl Fn(Rule, String) -> Fault,
) -> Result<(), Fault> {
    if open.len() > limits.nesting {
        return Err(fault(Rule::ResourceLimit, format!("expected values at most {} deep", limits.nesting)));
    }
    Ok(())
}

fn cost(value: &Value) -> usize {
    let inner: usize = match value {
        Value::String(text) => text.len(),
        Value::Array(list) => list.iter().map(cost).sum(),
        Value::Object(map) => map.iter().map(|(key, value)| VALUE_COST + key.len() + cost(value)).sum(),
        _ => 0,
    };
    VALUE_COST + inner
}

/// A scalar without quotes by the core schema (YAML 1.2, 10.3), but for octal and hexadecimal numbers and infinities.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    if !text.starts_with(|one: char| one.is_ascii_digit() || matches!(one, '-' | '+' | '.')) {
        return Value::from(text);
    }
    if let Ok(whole) = text.parse::<u64>() {
        return Value::from(whole);
    }
    if let Ok(whole) = text.parse::<i64>() {
        return Value::from(whole);
    }
    text.parse().ok().and_then(Number::from_f64).map_or_else(|| Value::from(text), Value::Number)
}

/// A value in YAML's flow style, on one line: JSON, in which only what both read alike stands.
pub(crate) fn written(value: &Value) -> String {
    let json = value.to_string();
    let mut written = String::with_capacity(json.len());
    for one in json.chars() {
        // Outside of strings JSON has none of these.
        let strange =
            one.is_control() || matches!(one, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}');
        if strange {
            written.push_str(&format!("\\u{:04x}", u32::from(one)));
        } else {
            written.push(one);
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Result<Value, Rule> {
        parse(text, &Limits::default()).map_err(|fault| fault.rule)
    }

    #[test]
    fn lists_of_classes_are_read_in_every_style() {
        let expected = json!({"nc": 2, "names": ["a b", "c"]});
        assert_eq!(read("nc: 2\nnames: ['a b', c]\n"), Ok(expected.clone()));
        assert_eq!(read("# x\nnc: 2\nnames:\n- a b\n- \"c\"\n"), Ok(expected));
        assert_eq!(read("names:\n  0: a\n  1: no\n"), Ok(json!({"names": {"0": "a", "1": "no"}})));
        assert_eq!(read("a: &x [1, ~]\nb: *x\n"), Ok(json!({"a": [1, null], "b": [1, null]})));
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        assert_eq!(read("a: 1\na: 2\n"), Err(Rule::DuplicateKey));
        assert_eq!(read("a: [1\nb: 2"), Err(Rule::ParseError));
        assert_eq!(read(&"[".repeat(100)), Err(Rule::ResourceLimit));
        assert_eq!(read("? [a]\n: b\n"), Err(Rule::BadType));
        assert_eq!(parse("a: b\nc: [\n", &Limits::default()).unwrap_err().line, 3);
    }

    #[test]
    fn a_bomb_of_aliases_ends_at_the_limit() {
        let mut text = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
        for one in 1..12 {
            let inner = vec![format!("*a{}", one - 1); 10].join(", ");
            text += &format!("a{one}: &a{one} [{inner}]\n");
        }
        assert_eq!(read(&text), Err(Rule::ResourceLimit));
    }

    fn values() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e6..1e6f64).prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            Just(Value::Null),
        ];
        scalar.prop_recursive(3, 20, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_value_comes_back(value in values()) {
            prop_assert_eq!(read(&format!("k: {}\n", written(&value))), Ok(json!({ "k": value })));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[a1:\\-? \\n\\[\\]{},&*!|>'\"#%@`\\\\\\t~]{0,60}|\\PC{0,60}") {
            let _ = read(&text);
        }
    }
}
