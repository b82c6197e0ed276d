//! Tensors as they come and go: a shape and numbers, row by row.

use serde::Serialize;
use thiserror::Error;

use crate::program::Port;

/// The most dimensions of a tensor.
pub const MAX_RANK: usize = 8;

/// The largest whole number below which an `f64` holds every whole number.
const EXACT_WHOLE: f64 = 9_007_199_254_740_992.0;

/// What a tensor is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Element {
    /// 32-bit float.
    F32,
    /// 64-bit float.
    F64,
    /// Byte.
    U8,
    /// 64-bit integer.
    I64,
}

/// The numbers of a tensor. As JSON a plain list; what is no number (NaN, infinite) becomes null there.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Numbers {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 64-bit floats.
    F64(Vec<f64>),
    /// Bytes.
    U8(Vec<u8>),
    /// 64-bit integers.
    I64(Vec<i64>),
}

/// A tensor of at most [`MAX_RANK`] dimensions, whose shape's product is the count of its numbers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tensor {
    shape: Vec<usize>,
    #[serde(rename = "data")]
    numbers: Numbers,
}

/// A number that the model's elements cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
#[error("number {index} is {value}; expected {expected}")]
pub struct ConversionError {
    /// Which one, from 0.
    pub index: usize,
    /// What it is.
    pub value: f64,
    /// What the model takes.
    pub expected: &'static str,
}

impl Numbers {
    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(numbers) => numbers.len(),
            Self::F64(numbers) => numbers.len(),
            Self::U8(numbers) => numbers.len(),
            Self::I64(numbers) => numbers.len(),
        }
    }

    /// None at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What they are.
    pub fn element(&self) -> Element {
        match self {
            Self::F32(_) => Element::F32,
            Self::F64(_) => Element::F64,
            Self::U8(_) => Element::U8,
            Self::I64(_) => Element::I64,
        }
    }

    /// The same numbers as `element`s. Floats may be rounded to the nearest, whole numbers stay what they are.
    ///
    /// # Errors
    /// The first that is not finite, or that `element` cannot hold.
    pub(crate) fn convert(self, element: Element) -> Result<Self, ConversionError> {
        match (self, element) {
            (Self::I64(numbers), Element::I64) => Ok(Self::I64(numbers)),
            (Self::U8(numbers), Element::U8) => Ok(Self::U8(numbers)),
            (Self::U8(numbers), Element::I64) => Ok(Self::I64(numbers.into_iter().map(i64::from).collect())),
            (Self::I64(numbers), Element::U8) => {
                let byte = |(index, number)| {
                    u8::try_from(number).map_err(|_| ConversionError {
                        index,
                        value: number as f64,
                        expected: "a byte, 0 to 255",
                    })
                };
                Ok(Self::U8(numbers.into_iter().enumerate().map(byte).collect::<Result<_, _>>()?))
            }
            (Self::F32(numbers), Element::F32) => {
                match numbers.iter().position(|number| !number.is_finite()) {
                    None => Ok(Self::F32(numbers)),
                    Some(index) => Err(not_finite(index, f64::from(numbers[index]))),
                }
            }
            (numbers, element) => from_f64(numbers.into_f64(), element),
        }
    }

    /// As floats; integers beyond 2^53 are rounded.
    pub(crate) fn into_f64(self) -> Vec<f64> {
        match self {
            Self::F32(numbers) => numbers.into_iter().map(f64::from).collect(),
            Self::F64(numbers) => numbers,
            Self::U8(numbers) => numbers.into_iter().map(f64::from).collect(),
            Self::I64(numbers) => numbers.into_iter().map(|number| number as f64).collect(),
        }
    }

    /// The rows of a batch.
    pub(crate) fn split(self, rows: usize) -> Vec<Self> {
        fn chunks<T: Copy>(numbers: &[T], rows: usize, wrap: fn(Vec<T>) -> Numbers) -> Vec<Numbers> {
            // A row of nothing never comes here: the ports of a program have elements.
            numbers.chunks((numbers.len() / rows).max(1)).map(|row| wrap(row.to_vec())).collect()
        }
        if rows == 1 {
            return vec![self];
        }
        match self {
            Self::F32(numbers) => chunks(&numbers, rows, Self::F32),
            Self::F64(numbers) => chunks(&numbers, rows, Self::F64),
            Self::U8(numbers) => chunks(&numbers, rows, Self::U8),
            Self::I64(numbers) => chunks(&numbers, rows, Self::I64),
        }
    }
}

fn not_finite(index: usize, value: f64) -> ConversionError {
    ConversionError { index, value, expected: "a finite number of 32 bits" }
}

fn from_f64(numbers: Vec<f64>, element: Element) -> Result<Numbers, ConversionError> {
    fn all<T>(
        numbers: &[f64],
        expected: &'static str,
        one: impl Fn(f64) -> Option<T>,
    ) -> Result<Vec<T>, ConversionError> {
        let fault = |index, value| ConversionError { index, value, expected };
        numbers.iter().enumerate().map(|(index, &value)| one(value).ok_or(fault(index, value))).collect()
    }
    let whole = |value: f64| value.fract() == 0.0;
    match element {
        Element::F32 => all(&numbers, "a finite number of 32 bits", |value| {
            Some(value as f32).filter(|narrow| narrow.is_finite())
        })
        .map(Numbers::F32),
        Element::F64 => {
            all(&numbers, "a finite number", |value| Some(value).filter(|v| v.is_finite())).map(Numbers::F64)
        }
        Element::U8 => all(&numbers, "a byte, 0 to 255", |value| {
            Some(value as u8).filter(|_| whole(value) && (0.0..=255.0).contains(&value))
        })
        .map(Numbers::U8),
        Element::I64 => all(&numbers, "a whole number within +-2^53", |value| {
            Some(value as i64).filter(|_| whole(value) && value.abs() <= EXACT_WHOLE)
        })
        .map(Numbers::I64),
    }
}

impl Tensor {
    /// Joins a shape and its numbers; nothing when they do not fit, or at more than [`MAX_RANK`] dimensions.
    pub fn new(shape: Vec<usize>, numbers: Numbers) -> Option<Self> {
        let fits = shape.len() <= MAX_RANK && volume(&shape) == Some(numbers.len());
        fits.then_some(Self { shape, numbers })
    }

    /// Its dimensions, the slowest first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Its numbers, the last dimension fastest.
    pub fn numbers(&self) -> &Numbers {
        &self.numbers
    }

    pub(crate) fn into_numbers(self) -> Numbers {
        self.numbers
    }

    /// How many rows for `port` it is: one of the port's shape, or the port's shape under one more dimension, or in
    /// place of a leading 1.
    pub(crate) fn rows_for(&self, port: &Port) -> Option<usize> {
        if self.shape == port.shape {
            return Some(1);
        }
        let row = port.row()?;
        if self.shape == row {
            return Some(1);
        }
        let (&rows, rest) = self.shape.split_first()?;
        (rest == row).then_some(rows)
    }
}

/// The count of a shape's elements, unless it is beyond counting.
pub(crate) fn volume(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |product, &dimension| product.checked_mul(dimension))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_converted_or_refused_never_bent() {
        let f64s = |number| Numbers::F64(vec![number]);
        assert_eq!(f64s(0.1).convert(Element::F32), Ok(Numbers::F32(vec![0.1])));
        assert_eq!(f64s(-7.0).convert(Element::I64), Ok(Numbers::I64(vec![-7])));
        assert_eq!(Numbers::U8(vec![9]).convert(Element::F32), Ok(Numbers::F32(vec![9.0])));
        assert_eq!(Numbers::I64(vec![255]).convert(Element::U8), Ok(Numbers::U8(vec![255])));
        for (numbers, element) in [
            (f64s(1e39), Element::F32),
            (f64s(f64::NAN), Element::F64),
            (Numbers::F32(vec![f32::INFINITY]), Element::F32),
            (f64s(0.5), Element::I64),
            (f64s(1e16), Element::I64),
            (f64s(256.0), Element::U8),
            (f64s(-1.0), Element::U8),
            (Numbers::I64(vec![-1]), Element::U8),
        ] {
            assert_eq!(numbers.clone().convert(element).map_err(|error| error.index), Err(0), "{numbers:?}");
        }
    }

    #[test]
    fn a_shape_must_fit_its_numbers() {
        let numbers = || Numbers::U8(vec![0; 6]);
        assert!(Tensor::new(vec![2, 3], numbers()).is_some());
        assert!(Tensor::new(vec![7], numbers()).is_none());
        assert!(Tensor::new(vec![usize::MAX, 2], numbers()).is_none());
        assert!(Tensor::new([vec![6], vec![1; MAX_RANK]].concat(), numbers()).is_none());
    }
}
