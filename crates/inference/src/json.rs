//! Tensors as JSON: nested lists of numbers, or `{"shape": [...], "data": [...]}` with the numbers in one list.
//!
//! The numbers go straight into one vector, so that a request takes at most 8 times its length in memory. Lists of
//! different lengths side by side are refused.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::tensor::{MAX_RANK, Numbers, Tensor};

/// Why a text is no tensor.
#[derive(Debug, thiserror::Error)]
#[error("expected nested lists of numbers, or {{\"shape\": [...], \"data\": [...]}}: {0}")]
pub struct JsonError(#[from] serde_json::Error);

/// Reads one tensor; all numbers become 64-bit floats.
///
/// # Errors
/// The first thing that does not fit, with its line and column.
pub(crate) fn parse(bytes: &[u8]) -> Result<Tensor, JsonError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let tensor = Whole.deserialize(&mut reader)?;
    reader.end()?;
    Ok(tensor)
}

/// The whole document.
struct Whole;

impl<'de> DeserializeSeed<'de> for Whole {
    type Value = Tensor;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tensor, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Whole {
    type Value = Tensor;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list or an object with shape and data")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Tensor, A::Error> {
        let mut gathered = Gathered { shape: Vec::new(), depth: None, numbers: Vec::new() };
        Level { depth: 0, gathered: &mut gathered }.visit_seq(list)?;
        let shape: Option<Vec<usize>> = gathered.shape.into_iter().collect();
        shape
            .and_then(|shape| Tensor::new(shape, Numbers::F64(gathered.numbers)))
            .ok_or_else(|| A::Error::custom("the lists do not make one shape"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Tensor, A::Error> {
        let (mut shape, mut data) = (None, None);
        while let Some(key) = object.next_key::<Key>()? {
            let fresh = match key {
                Key::Shape => shape.replace(object.next_value_seed(Flat { max: MAX_RANK })?).is_none(),
                Key::Data => data.replace(object.next_value_seed(Flat { max: usize::MAX })?).is_none(),
            };
            if !fresh {
                return Err(A::Error::custom("shape and data stand once each"));
            }
        }
        let (Some(shape), Some(data)) = (shape, data) else {
            return Err(A::Error::custom("both shape and data are needed"));
        };
        let dimension =
            |size: f64| (size.fract() == 0.0 && (0.0..1e15).contains(&size)).then_some(size as usize);
        let shape: Option<Vec<usize>> = shape.into_iter().map(dimension).collect();
        shape
            .and_then(|shape| Tensor::new(shape, Numbers::F64(data)))
            .ok_or_else(|| A::Error::custom("the shape's product must be the count of data"))
    }
}

#[derive(serde::Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Key {
    Shape,
    Data,
}

/// One list of at most so many numbers.
struct Flat {
    max: usize,
}

impl<'de> DeserializeSeed<'de> for Flat {
    type Value = Vec<f64>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<f64>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Flat {
    type Value = Vec<f64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {} numbers", self.max)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<f64>, A::Error> {
        let mut numbers = Vec::new();
        while let Some(number) = list.next_element()? {
            if numbers.len() == self.max {
                return Err(A::Error::custom(format_args!("more than {} numbers", self.max)));
            }
            numbers.push(number);
        }
        Ok(numbers)
    }
}

struct Gathered {
    /// The lengths of the lists at each depth.
    shape: Vec<Option<usize>>,
    /// The depth of every number.
    depth: Option<usize>,
    numbers: Vec<f64>,
}

/// What may stand at some depth of nested lists: a list or a number.
struct Level<'a> {
    depth: usize,
    gathered: &'a mut Gathered,
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Level<'_> {
    fn number<E: Error>(self, number: f64) -> Result<(), E> {
        if *self.gathered.depth.get_or_insert(self.depth) != self.depth {
            return Err(E::custom("a number beside a list"));
        }
        self.gathered.numbers.push(number);
        Ok(())
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or a list of them")
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        self.number(number)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.number(number as f64)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.number(number as f64)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        if self.depth == MAX_RANK {
            return Err(A::Error::custom(format_args!("more than {MAX_RANK} dimensions")));
        }
        let mut length = 0;
        while list
            .next_element_seed(Level { depth: self.depth + 1, gathered: &mut *self.gathered })?
            .is_some()
        {
            length += 1;
        }
        // The innermost list ends first, so that depths above it are not known yet.
        let shape = &mut self.gathered.shape;
        if shape.len() <= self.depth {
            shape.resize(self.depth + 1, None);
        }
        match shape[self.depth].replace(length) {
            Some(known) if known != length => {
                Err(A::Error::custom(format_args!("a list of {length} beside one of {known}")))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_forms_are_read() {
        let expected = Tensor::new(vec![2, 3], Numbers::F64(vec![1.0, -2.0, 3.5, 4e2, 5.0, 6.0])).unwrap();
        for text in ["[[1,-2,3.5],[4e2,5,6]]", "{\"data\":[1,-2,3.5,4e2,5,6],\"shape\":[2,3]}"] {
            assert_eq!(parse(text.as_bytes()).unwrap(), expected);
        }
        assert_eq!(parse(b"[[]]").unwrap().shape(), [1, 0]);
    }

    #[test]
    fn what_makes_no_shape_is_refused() {
        for text in [
            "[[1],[2,3]]",
            "[1,[2]]",
            "[[1,2],[[3],[4]]]",
            "[[],[1]]",
            "[[1],[[]]]",
            "[\"1\"]",
            "[null]",
            "[1] 2",
            "7",
            "[1",
            "[1e999]",
            "{\"shape\":[2],\"data\":[1]}",
            "{\"shape\":[1]}",
            "{\"shape\":[1],\"data\":[1],\"more\":1}",
            "{\"shape\":[1],\"shape\":[1],\"data\":[1]}",
            "{\"shape\":[-1],\"data\":[]}",
            "{\"shape\":[1e14,1e14],\"data\":[]}",
            "[[[[[[[[[1]]]]]]]]]",
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(parse("[".repeat(100_000).as_bytes()).is_err(), "depth is bounded");
    }

    proptest! {
        #[test]
        fn foreign_text_never_panics(text in "[\\[\\]{}:,\"0-9a-z.-]{0,60}") {
            let _ = parse(text.as_bytes());
        }
    }
}
