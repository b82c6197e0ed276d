//! What an ONNX file unfolds to, found without unfolding it.
//!
//! Two bytes of protobuf can become a kilobyte of structures, so the fields are counted on the wire first. Follows
//! onnx.proto of the ONNX specification as far as messages lie in messages; refuses those parts of it that no model here
//! needs and that hide graphs in graphs.

use thiserror::Error;

/// Fields that a file may have for each operator that it may have; a convolution with its weights takes some 60.
const FIELDS_PER_NODE: usize = 96;
/// An attribute is the largest structure: it counts as so many.
const ATTRIBUTE_FIELDS: usize = 8;
/// Integers in packed form, each of which may unfold from one byte to eight. Weights are not written so.
const MAX_PACKED_BYTES: usize = 8 << 20;

/// Why a file is not unfolded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WireError {
    /// No protobuf, or cut off.
    #[error("the file is no ONNX model, or it is damaged at byte {at}; fetch it again")]
    Damaged {
        /// Where, from 0.
        at: usize,
    },
    /// More pieces than a model of the permitted size needs.
    #[error(
        "the file has more than {limit} fields; export the model without descriptions of inner values, or a smaller one"
    )]
    Fields {
        /// The most that are read.
        limit: usize,
    },
    /// Integers that unfold to many times their size.
    #[error(
        "the file has more than {MAX_PACKED_BYTES} bytes of packed integers; expected weights as raw data: export it so"
    )]
    Packed,
    /// A part of the format that is not served.
    #[error("the file has {part}; expected one plain graph: export the model without")]
    Part {
        /// Which part.
        part: &'static str,
    },
}

/// The messages that are looked into.
#[derive(Clone, Copy)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    Value,
    Type,
    TensorType,
    Shape,
    /// One without messages inside.
    Leaf,
}

/// What a field of a message holds.
enum Holds {
    Message(Message),
    Integers,
    Plain,
    Refused(&'static str),
}

impl Message {
    /// By the field numbers of onnx.proto.
    fn holds(self, field: u64) -> Holds {
        use Holds::{Integers, Message as Inner, Plain, Refused};
        match (self, field) {
            (Self::Model, 7) => Inner(Self::Graph),
            (Self::Model, 8 | 14) => Inner(Self::Leaf),
            (Self::Model, 20) => Refused("training information"),
            (Self::Model, 25) => Refused("functions"),
            (Self::Graph, 1) => Inner(Self::Node),
            (Self::Graph, 5) => Inner(Self::Tensor),
            (Self::Graph, 11..=13) => Inner(Self::Value),
            (Self::Graph, 14) => Refused("quantization annotations"),
            (Self::Graph, 15) => Refused("sparse weights"),
            (Self::Node, 5) => Inner(Self::Attribute),
            (Self::Attribute, 5 | 10) => Inner(Self::Tensor),
            (Self::Attribute, 6 | 11) => Refused("a graph inside an operator"),
            (Self::Attribute, 8) => Integers,
            (Self::Attribute, 14 | 15) => Refused("a type inside an operator"),
            (Self::Attribute, 22 | 23) => Refused("sparse tensors"),
            (Self::Tensor, 1 | 5 | 7 | 11) => Integers,
            (Self::Tensor, 3) => Refused("a tensor in segments"),
            (Self::Tensor, 13) => Refused("weights in other files"),
            (Self::Value, 2) => Inner(Self::Type),
            (Self::Type, 1) => Inner(Self::TensorType),
            (Self::Type, 4 | 5 | 7 | 8 | 9) => Refused("values that are no tensors"),
            (Self::TensorType, 2) => Inner(Self::Shape),
            (Self::Shape, 1) => Inner(Self::Leaf),
            _ => Plain,
        }
    }
}

/// Counts what is left to spend on one file.
struct Scan<'a> {
    bytes: &'a [u8],
    fields_left: usize,
    limit: usize,
    packed_left: usize,
}

/// Checks that decoding `bytes` as an ONNX model takes memory within a small multiple of their length.
///
/// # Errors
/// The first thing that is damaged, too much, or not served.
pub(crate) fn scan(bytes: &[u8], max_nodes: usize) -> Result<(), WireError> {
    let limit = max_nodes.saturating_mul(FIELDS_PER_NODE).saturating_add(1_000);
    let mut scan = Scan { bytes, fields_left: limit, limit, packed_left: MAX_PACKED_BYTES };
    scan.message(Message::Model, 0, bytes.len())
}

impl Scan<'_> {
    /// Messages nest as deep as [`Message`] does and no deeper: nothing in it holds a graph but the model.
    fn message(&mut self, message: Message, mut at: usize, end: usize) -> Result<(), WireError> {
        let own = if matches!(message, Message::Attribute) { ATTRIBUTE_FIELDS } else { 1 };
        self.spend(own)?;
        while at < end {
            let tag_at = at;
            let damaged = WireError::Damaged { at: tag_at };
            let tag = self.varint(&mut at, end)?;
            self.spend(1)?;
            match tag & 7 {
                0 => drop(self.varint(&mut at, end)?),
                1 => at += 8,
                5 => at += 4,
                2 => {
                    let length = self.varint(&mut at, end)?;
                    let length = usize::try_from(length).map_err(|_| damaged)?;
                    let inner_end = at.checked_add(length).filter(|&last| last <= end).ok_or(damaged)?;
                    match message.holds(tag >> 3) {
                        Holds::Message(inner) => self.message(inner, at, inner_end)?,
                        Holds::Integers => {
                            self.packed_left =
                                self.packed_left.checked_sub(length).ok_or(WireError::Packed)?;
                        }
                        Holds::Plain => {}
                        Holds::Refused(part) => return Err(WireError::Part { part }),
                    }
                    at = inner_end;
                }
                // Groups, which protobuf has given up, and what it never had.
                _ => return Err(damaged),
            }
            if at > end {
                return Err(damaged);
            }
        }
        Ok(())
    }

    fn spend(&mut self, fields: usize) -> Result<(), WireError> {
        self.fields_left =
            self.fields_left.checked_sub(fields).ok_or(WireError::Fields { limit: self.limit })?;
        Ok(())
    }

    fn varint(&self, at: &mut usize, end: usize) -> Result<u64, WireError> {
        let damaged = WireError::Damaged { at: *at };
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes[..end].get(*at).ok_or(damaged)?;
            *at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A field with a length, as long as it stays below 128 bytes.
    fn field(number: u8, inner: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, inner.len() as u8], inner].concat()
    }

    #[test]
    fn what_is_not_served_is_named() {
        let part = |part| Err(WireError::Part { part });
        let in_graph = |inner: &[u8]| scan(&field(7, inner), 10);
        let attribute = |inner: &[u8]| in_graph(&field(1, &field(5, inner)));
        assert_eq!(scan(b"", 10), Ok(()));
        assert_eq!(attribute(&field(6, b"")), part("a graph inside an operator"));
        assert_eq!(in_graph(&field(5, &field(13, b""))), part("weights in other files"));
        assert_eq!(in_graph(&field(15, b"")), part("sparse weights"));
        assert_eq!(scan(&[25 << 3 & 0x7f | 2 | 0x80, 1, 0], 10), part("functions"));
    }

    #[test]
    fn a_crowd_of_empty_messages_is_refused_before_it_is_decoded() {
        let nodes = [0x0a, 0].repeat(3_000);
        let length = nodes.len();
        let mut bytes = vec![0x3a, length as u8 | 0x80, (length >> 7) as u8];
        bytes.extend(nodes);
        assert_eq!(scan(&bytes, 10), Err(WireError::Fields { limit: 1_960 }));
        assert_eq!(scan(&bytes, 100), Ok(()));
    }

    #[test]
    fn what_is_cut_off_is_damaged() {
        assert_eq!(scan(&[0x3a, 2, 0x0a], 10), Err(WireError::Damaged { at: 0 }));
        assert_eq!(scan(&[0x3a, 2, 0x0a, 1], 10), Err(WireError::Damaged { at: 2 }));
        assert_eq!(scan(&[0xff; 20], 10), Err(WireError::Damaged { at: 0 }));
        assert_eq!(scan(&[0x0b], 10), Err(WireError::Damaged { at: 0 }), "a group");
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = scan(&bytes, 10);
        }
    }
}
