//! Values, parsed within what they may cost.

use std::{borrow::Cow, collections::HashSet, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::{Findings, Limits, Place, Rule};

use super::{Raw, Source, Spot};

/// Keys that stand twice, of one record, that are told; a record with more is no better known by them.
const DUPLICATES_TOLD: usize = 100;

/// From here on an object's keys are compared by hash.
const FEW_KEYS: usize = 16;

impl<'a> Raw<'a> {
    /// Parses it. What is wrong with it becomes findings, and there is no value unless it is JSON.
    pub(crate) fn parse(
        &self,
        source: &Source<'_>,
        spot: &Spot,
        limits: &Limits,
        findings: &mut Findings,
    ) -> Option<Node<'a>> {
        let here = |line: Place| Place { within: spot.pointer(), ..line };
        if self.depth > limits.nesting {
            let found = format!("expected values at most {} deep, found {}", limits.nesting, self.depth);
            findings.add(Rule::ParseError, &here(source.at(self.offset)), found);
            return None;
        }
        let mut walk = Walk {
            // A vertex is two numbers and the list around them; the rest is room for everything else.
            room: limits.vertices.saturating_mul(3).saturating_add(10_000),
            over: false,
            duplicates: Vec::new(),
        };
        let mut deserializer = serde_json::Deserializer::from_str(self.text);
        let parsed = walk.node(&mut deserializer).and_then(|node| deserializer.end().map(|()| node));
        for path in &walk.duplicates {
            let place = Place { within: Some(spot.beneath(path)), ..source.place().clone() };
            let key = path.rsplit('/').next().unwrap_or_default();
            findings.add(Rule::DuplicateKey, &place, format!("expected `{key}` once, found it again"));
        }
        let error = match parsed {
            Ok(node) => return Some(node),
            Err(error) => error,
        };
        if walk.over {
            let found =
                format!("expected at most {} values in one record", limits.vertices.saturating_mul(3));
            findings.add(Rule::ResourceLimit, &here(source.place().clone()), found);
            return None;
        }
        let within = offset_of(self.text, error.line(), error.column());
        let place = here(source.at(self.offset + within));
        match not_finite(self.text, within) {
            Some(word) => {
                findings.add(Rule::NotFinite, &place, format!("expected a finite number, found `{word}`"));
            }
            None => findings.add(Rule::ParseError, &place, format!("expected JSON: {}", reason(&error))),
        }
        None
    }
}
/// What serde_json says without the line and column, which are those of the record and not of the file.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(reason, _)| reason.to_owned())
}

/// The offset of a line and a column, both from 1 as serde_json counts them.
fn offset_of(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    (start + column.saturating_sub(1)).min(text.len())
}

/// The number at an offset, or one byte to either side, when it is one that is not finite, as `NaN`, `-Infinity` and
/// `1e999` are.
fn not_finite(text: &str, offset: usize) -> Option<&str> {
    const LONGEST: usize = 400;
    let part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    let bytes = text.as_bytes();
    (offset.saturating_sub(1)..=offset.saturating_add(1)).find_map(|at| {
        let before = bytes.get(..at)?.iter().rev().take(LONGEST).take_while(|byte| part(byte)).count();
        let after = bytes.get(at..)?.iter().take(LONGEST).take_while(|byte| part(byte)).count();
        let word = text.get(at - before..at + after)?;
        word.parse::<f64>().is_ok_and(|number| !number.is_finite()).then_some(word)
    })
}

/// A parsed value. Of keys that stand twice it has the first.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node<'a> {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(Cow<'a, str>),
    List(Vec<Node<'a>>),
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
}

impl Node<'_> {
    /// A number.
    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Node::Unsigned(number) => Some(*number as f64),
            Node::Signed(number) => Some(*number as f64),
            Node::Float(number) => Some(*number),
            _ => None,
        }
    }

    /// A whole number from 0, be it written with a decimal point as some exporters do.
    pub(crate) fn whole(&self) -> Option<u64> {
        // Up to here every whole number has its own float.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        match self {
            Node::Unsigned(number) => Some(*number),
            Node::Float(number) if number.fract() == 0.0 && (0.0..=EXACT).contains(number) => {
                Some(*number as u64)
            }
            _ => None,
        }
    }

    /// As a value that outlives the file.
    pub(crate) fn into_value(self) -> Value {
        match self {
            Node::Null => Value::Null,
            Node::Bool(one) => one.into(),
            Node::Unsigned(number) => number.into(),
            Node::Signed(number) => number.into(),
            Node::Float(number) => number.into(),
            Node::Text(text) => Value::String(text.into_owned()),
            Node::List(rows) => rows.into_iter().map(Node::into_value).collect(),
            Node::Object(fields) => {
                fields.into_iter().map(|(key, node)| (key.into_owned(), node.into_value())).collect()
            }
        }
    }
}

/// What stands there, in words for a finding.
impl fmt::Display for Node<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::Null => out.write_str("null"),
            Node::Bool(one) => write!(out, "{one}"),
            Node::Unsigned(number) => write!(out, "{number}"),
            Node::Signed(number) => write!(out, "{number}"),
            Node::Float(number) => write!(out, "{number}"),
            Node::Text(text) => write!(out, "the text \"{:.60}\"", text),
            Node::List(rows) => write!(out, "a list of {}", rows.len()),
            Node::Object(_) => out.write_str("an object"),
        }
    }
}

/// Builds nodes, within what they may cost.
struct Walk {
    room: usize,
    over: bool,
    /// Paths of keys that stand twice, from the value the walk began at.
    duplicates: Vec<String>,
}

impl Walk {
    fn node<'a, D: Deserializer<'a>>(&mut self, deserializer: D) -> Result<Node<'a>, D::Error> {
        deserializer.deserialize_any(Step(self))
    }

    /// Puts a step before the paths that were found beneath it.
    fn climb(&mut self, before: usize, step: &str) {
        for path in &mut self.duplicates[before..] {
            path.insert_str(0, step);
        }
    }
}

struct Step<'w>(&'w mut Walk);

impl<'a> DeserializeSeed<'a> for Step<'_> {
    type Value = Node<'a>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Node<'a>, D::Error> {
        if self.0.room == 0 {
            self.0.over = true;
            return Err(D::Error::custom("too many values"));
        }
        self.0.room -= 1;
        self.0.node(deserializer)
    }
}

impl<'a> Visitor<'a> for Step<'_> {
    type Value = Node<'a>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Node<'a>, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, one: bool) -> Result<Node<'a>, E> {
        Ok(Node::Bool(one))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Node<'a>, E> {
        Ok(Node::Unsigned(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Node<'a>, E> {
        Ok(Node::Signed(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Node<'a>, E> {
        Ok(Node::Float(number))
    }

    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<Node<'a>, E> {
        Ok(Node::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node<'a>, E> {
        Ok(Node::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut list: A) -> Result<Node<'a>, A::Error> {
        let mut rows = Vec::new();
        loop {
            let before = self.0.duplicates.len();
            let Some(row) = list.next_element_seed(Step(self.0))? else { return Ok(Node::List(rows)) };
            if self.0.duplicates.len() > before {
                self.0.climb(before, &format!("/{}", rows.len()));
            }
            rows.push(row);
        }
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Node<'a>, A::Error> {
        let mut fields: Vec<(Cow<'a, str>, Node<'a>)> = Vec::new();
        let mut many: HashSet<Cow<'a, str>> = HashSet::new();
        while let Some(key) = map.next_key_seed(Text)? {
            let twice = if fields.len() < FEW_KEYS {
                fields.iter().any(|(other, _)| *other == key)
            } else {
                if many.is_empty() {
                    many.extend(fields.iter().map(|(key, _)| key.clone()));
                }
                !many.insert(key.clone())
            };
            let before = self.0.duplicates.len();
            let node = map.next_value_seed(Step(self.0))?;
            if self.0.duplicates.len() > before {
                self.0.climb(before, &format!("/{}", escaped(&key)));
            }
            if !twice {
                fields.push((key, node));
            } else if self.0.duplicates.len() < DUPLICATES_TOLD {
                self.0.duplicates.push(format!("/{}", escaped(&key)));
            }
        }
        Ok(Node::Object(fields))
    }
}

/// A key as a JSON pointer has it (RFC 6901).
pub(super) fn escaped(key: &str) -> Cow<'_, str> {
    if key.contains(['~', '/']) { key.replace('~', "~0").replace('/', "~1").into() } else { key.into() }
}

/// Text, borrowed where it has no escapes.
pub(super) struct Text;

impl<'a> DeserializeSeed<'a> for Text {
    type Value = Cow<'a, str>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Cow<'a, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for Text {
    type Value = Cow<'a, str>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("text")
    }

    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<Cow<'a, str>, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Cow<'a, str>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}
