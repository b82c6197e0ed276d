//! NumPy's npy, versions 1 and 2: little-endian f32, f64, u8 and i64 in C order.
//!
//! Follows NumPy Enhancement Proposal 1. Refuses other types, Fortran order, and headers that do not say exactly
//! how many bytes follow.

use thiserror::Error;

use crate::excerpt::excerpt;
use crate::python::{self, Literal, LiteralError};
use crate::tensor::{Element, MAX_RANK, Numbers, Tensor, volume};

const MAGIC: &[u8] = b"\x93NUMPY";
/// NumPy's own are some hundred bytes, padded to a multiple of this.
const ALIGNMENT: usize = 64;
const MAX_HEADER_BYTES: usize = 1_024;

/// Why bytes are no tensor in npy.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NpyError {
    /// Another format, or cut off within the header.
    #[error("expected npy (its magic, a version and a header), found other bytes; write it with numpy.save")]
    NotNpy,
    /// A version that is not read.
    #[error("expected npy version 1 or 2, found {found}; write it with numpy.save")]
    Version {
        /// The major version.
        found: u8,
    },
    /// A header beyond any sense.
    #[error("the npy header has {found} bytes; expected at most {MAX_HEADER_BYTES}")]
    HeaderLength {
        /// What it claims.
        found: usize,
    },
    /// A header that is not Python's.
    #[error("the npy header is no Python literal: {0}")]
    Literal(#[from] LiteralError),
    /// A header that lacks something or has something else.
    #[error("the npy header's {key} is not what is read; expected {expected}")]
    Header {
        /// Which entry.
        key: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// An element type that is not read.
    #[error("expected elements <f4, <f8, |u1 or <i8, found {found}; convert the array with astype")]
    Element {
        /// NumPy's name for it, shortened.
        found: String,
    },
    /// More or fewer bytes than the shape asks for.
    #[error("expected {expected} bytes of data for the shape, found {found}")]
    Data {
        /// What the header asks for.
        expected: usize,
        /// What follows it.
        found: usize,
    },
}

/// Reads one array.
///
/// # Errors
/// The first thing that is not as the format has it, before the data is copied.
pub(crate) fn parse(bytes: &[u8]) -> Result<Tensor, NpyError> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(NpyError::NotNpy)?;
    let (length, rest) = match *rest {
        [1, 0, low, high, ..] => (usize::from(u16::from_le_bytes([low, high])), &rest[4..]),
        [2, 0, a, b, c, d, ..] => (u32::from_le_bytes([a, b, c, d]) as usize, &rest[6..]),
        [major, _, ..] if !matches!(major, 1 | 2) => return Err(NpyError::Version { found: major }),
        _ => return Err(NpyError::NotNpy),
    };
    if length > MAX_HEADER_BYTES {
        return Err(NpyError::HeaderLength { found: length });
    }
    let (header, data) = rest.split_at_checked(length).ok_or(NpyError::NotNpy)?;
    let (element, shape) = read_header(header)?;
    let expected = volume(&shape).unwrap_or(usize::MAX).saturating_mul(element_bytes(element));
    if data.len() != expected {
        return Err(NpyError::Data { expected, found: data.len() });
    }
    let numbers = match element {
        Element::F32 => Numbers::F32(data.as_chunks().0.iter().copied().map(f32::from_le_bytes).collect()),
        Element::F64 => Numbers::F64(data.as_chunks().0.iter().copied().map(f64::from_le_bytes).collect()),
        Element::I64 => Numbers::I64(data.as_chunks().0.iter().copied().map(i64::from_le_bytes).collect()),
        Element::U8 => Numbers::U8(data.to_vec()),
    };
    Tensor::new(shape, numbers).ok_or(NpyError::Data { expected, found: data.len() })
}

fn element_bytes(element: Element) -> usize {
    match element {
        Element::U8 => 1,
        Element::F32 => 4,
        Element::F64 | Element::I64 => 8,
    }
}

fn read_header(header: &[u8]) -> Result<(Element, Vec<usize>), NpyError> {
    let wrong = |key, expected| NpyError::Header { key, expected };
    // Version 1 and 2 are Latin-1, but nothing that is read is beyond ASCII.
    let text = str::from_utf8(header).map_err(|_| wrong("text", "ASCII"))?;
    let Literal::Dict(entries) = python::parse(text.trim_end_matches('\n'))? else {
        return Err(wrong("text", "a dictionary"));
    };
    let (mut descr, mut fortran_order, mut shape) = (None, None, None);
    for (key, value) in entries {
        let place = match key {
            Literal::Text(key) if key == "descr" => &mut descr,
            Literal::Text(key) if key == "fortran_order" => &mut fortran_order,
            Literal::Text(key) if key == "shape" => &mut shape,
            _ => return Err(wrong("keys", "descr, fortran_order and shape")),
        };
        if place.replace(value).is_some() {
            return Err(wrong("keys", "each of them once"));
        }
    }
    let element = match descr {
        Some(Literal::Text(name)) => match name.as_str() {
            "<f4" => Element::F32,
            "<f8" => Element::F64,
            "|u1" => Element::U8,
            "<i8" => Element::I64,
            _ => return Err(NpyError::Element { found: excerpt(name.as_bytes()) }),
        },
        _ => return Err(wrong("descr", "the name of an element type")),
    };
    if fortran_order != Some(Literal::Bool(false)) {
        return Err(wrong("fortran_order", "False: save numpy.ascontiguousarray of the array"));
    }
    let dimensions = match shape {
        Some(Literal::Sequence(dimensions)) if dimensions.len() <= MAX_RANK => dimensions,
        _ => return Err(wrong("shape", "a tuple of at most 8 whole numbers")),
    };
    let dimension = |literal| match literal {
        Literal::Whole(size) => usize::try_from(size).ok(),
        _ => None,
    };
    let shape: Option<Vec<usize>> = dimensions.into_iter().map(dimension).collect();
    Ok((element, shape.ok_or(wrong("shape", "a tuple of at most 8 whole numbers"))?))
}

/// Writes an array as NumPy does, version 1.
pub(crate) fn write(shape: &[usize], numbers: &Numbers) -> Vec<u8> {
    let descr = match numbers.element() {
        Element::F32 => "<f4",
        Element::F64 => "<f8",
        Element::U8 => "|u1",
        Element::I64 => "<i8",
    };
    let dimensions: String = shape.iter().map(|dimension| format!("{dimension}, ")).collect();
    // A tuple of one needs its comma, longer ones do not have it.
    let dimensions = if shape.len() == 1 { dimensions.trim_end() } else { dimensions.trim_end_matches(", ") };
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({dimensions}), }}");
    let before = MAGIC.len() + 4;
    let padded = (before + header.len() + 1).next_multiple_of(ALIGNMENT) - before;
    header.extend(std::iter::repeat_n(' ', padded - header.len() - 1));
    header.push('\n');
    let length = u16::try_from(header.len()).expect("eight dimensions of twenty digits fit");
    let mut bytes = [MAGIC, &[1, 0], &length.to_le_bytes(), header.as_bytes()].concat();
    match numbers {
        Numbers::F32(numbers) => bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes())),
        Numbers::F64(numbers) => bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes())),
        Numbers::I64(numbers) => bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes())),
        Numbers::U8(numbers) => bytes.extend(numbers),
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn numbers() -> impl Strategy<Value = (Vec<usize>, Numbers)> {
        prop::collection::vec(0..5_usize, 0..4).prop_flat_map(|shape| {
            let count = shape.iter().product::<usize>();
            let numbers = prop_oneof![
                prop::collection::vec(any::<f32>(), count).prop_map(Numbers::F32),
                prop::collection::vec(any::<f64>(), count).prop_map(Numbers::F64),
                prop::collection::vec(any::<u8>(), count).prop_map(Numbers::U8),
                prop::collection::vec(any::<i64>(), count).prop_map(Numbers::I64),
            ];
            (Just(shape), numbers)
        })
    }

    fn with_header(header: &str) -> Vec<u8> {
        [MAGIC, &[1, 0], &(header.len() as u16).to_le_bytes(), header.as_bytes()].concat()
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back((shape, numbers) in numbers()) {
            let bytes = write(&shape, &numbers);
            let back = parse(&bytes).unwrap();
            prop_assert_eq!(back.shape(), &shape);
            // By the bytes, since what is no number is not equal to itself.
            prop_assert_eq!(write(back.shape(), back.numbers()), bytes);
        }

        #[test]
        fn damaged_arrays_never_panic(
            (shape, numbers) in numbers(),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
            length in any::<prop::sample::Index>(),
        ) {
            let mut bytes = write(&shape, &numbers);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = parse(&bytes);
            bytes.truncate(length.index(bytes.len()));
            let _ = parse(&bytes);
        }
    }

    #[test]
    fn hostile_headers_are_refused_before_anything_is_allocated() {
        let shape = |shape: &str| {
            parse(&with_header(&format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}")))
        };
        assert_eq!(
            shape("(9223372036854775807, 9223372036854775807)"),
            Err(NpyError::Data { expected: usize::MAX, found: 0 })
        );
        assert_eq!(shape("(101,)"), Err(NpyError::Data { expected: 404, found: 0 }));
        assert_eq!(shape("(100,)"), Err(NpyError::Data { expected: 400, found: 0 }));
        assert!(matches!(shape("(-1,)"), Err(NpyError::Header { key: "shape", .. })));
        assert!(matches!(shape("(1, 1, 1, 1, 1, 1, 1, 1, 1)"), Err(NpyError::Header { key: "shape", .. })));
        let header = |header: &str| parse(&with_header(header)).unwrap_err();
        assert!(matches!(
            header("{'descr': '<f4', 'fortran_order': True, 'shape': ()}"),
            NpyError::Header { key: "fortran_order", .. }
        ));
        assert_eq!(
            header("{'descr': '|O', 'fortran_order': False, 'shape': ()}"),
            NpyError::Element { found: "\"|O\"".to_owned() }
        );
        assert!(matches!(header("{'descr': '<f4', 'descr': '<f4'}"), NpyError::Header { key: "keys", .. }));
        assert!(matches!(header("{'a': 1}"), NpyError::Header { key: "keys", .. }));
        assert!(matches!(header("[]"), NpyError::Header { .. }));
        assert_eq!(parse(b"\x93NUMPY\x03\0aaaa"), Err(NpyError::Version { found: 3 }));
        assert_eq!(
            parse(b"\x93NUMPY\x02\0\xff\xff\xff\xff"),
            Err(NpyError::HeaderLength { found: 0xffff_ffff })
        );
        assert_eq!(parse(b"\x93NUM"), Err(NpyError::NotNpy));
    }
}
