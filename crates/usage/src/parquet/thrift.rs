//! As much of Thrift's compact protocol as one layout of Parquet needs: a writer of structs, and a cursor that expects.

pub(crate) const STOP: u8 = 0;
pub(crate) const TRUE: u8 = 1;
pub(crate) const FALSE: u8 = 2;
pub(crate) const BYTE: u8 = 3;
pub(crate) const I32: u8 = 5;
pub(crate) const I64: u8 = 6;
pub(crate) const BINARY: u8 = 8;
pub(crate) const LIST: u8 = 9;
pub(crate) const STRUCT: u8 = 12;

/// The byte before a field whose number is so much above the last one's.
pub(crate) const fn field(delta: u8, kind: u8) -> u8 {
    delta << 4 | kind
}

/// The byte before a short list.
pub(crate) const fn list_header(kind: u8, len: usize) -> u8 {
    (len as u8) << 4 | kind
}

pub(crate) fn put_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// A struct that is being written: its fields in the order of their numbers, then [`Struct::stop`].
pub(crate) struct Struct<'a> {
    bytes: &'a mut Vec<u8>,
    last: u8,
}

impl<'a> Struct<'a> {
    /// One of a list, or the outermost.
    pub(crate) fn element(bytes: &'a mut Vec<u8>) -> Self {
        Self { bytes, last: 0 }
    }

    /// One whose first fields are written already.
    pub(crate) fn after(bytes: &'a mut Vec<u8>, last: u8) -> Self {
        Self { bytes, last }
    }

    fn begin(&mut self, number: u8, kind: u8) {
        self.bytes.push(field(number - self.last, kind));
        self.last = number;
    }

    pub(crate) fn bool(&mut self, number: u8, value: bool) {
        self.begin(number, if value { TRUE } else { FALSE });
    }

    pub(crate) fn byte(&mut self, number: u8, value: u8) {
        self.begin(number, BYTE);
        self.bytes.push(value);
    }

    /// Nothing here is negative.
    pub(crate) fn i32(&mut self, number: u8, value: u32) {
        self.begin(number, I32);
        put_varint(self.bytes, u64::from(value) << 1);
    }

    /// Nothing here is negative.
    pub(crate) fn i64(&mut self, number: u8, value: u64) {
        self.begin(number, I64);
        put_varint(self.bytes, value << 1);
    }

    pub(crate) fn binary(&mut self, number: u8, value: &[u8]) {
        self.begin(number, BINARY);
        self.element_binary(value);
    }

    /// An element of a list of strings.
    pub(crate) fn element_binary(&mut self, value: &[u8]) {
        put_varint(self.bytes, value.len() as u64);
        self.bytes.extend_from_slice(value);
    }

    /// An element of a list of numbers.
    pub(crate) fn element_i32(&mut self, value: u32) {
        put_varint(self.bytes, u64::from(value) << 1);
    }

    /// Begins a list; the elements follow.
    pub(crate) fn list(&mut self, number: u8, kind: u8, len: usize) {
        self.begin(number, LIST);
        if len < 15 {
            self.bytes.push(list_header(kind, len));
        } else {
            self.bytes.push(0xf0 | kind);
            put_varint(self.bytes, len as u64);
        }
    }

    pub(crate) fn inner(&mut self, number: u8) -> Struct<'_> {
        self.begin(number, STRUCT);
        Struct::element(self.bytes)
    }

    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        self.bytes
    }

    pub(crate) fn stop(self) {
        self.bytes.push(STOP);
    }
}

/// Reads from the front; `None` once something else is there than what was expected, or nothing.
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..)?.get(..len)?;
        self.at += len;
        Some(taken)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|taken| taken[0])
    }

    pub(crate) fn expect(&mut self, bytes: &[u8]) -> Option<()> {
        (self.take(bytes.len())? == bytes).then_some(())
    }

    /// At most 63 bits, so that nothing that is made of it overflows.
    pub(crate) fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    /// A number that is not negative, as all here are.
    pub(crate) fn zigzag(&mut self) -> Option<u64> {
        let number = self.varint()?;
        (number % 2 == 0).then_some(number / 2)
    }

    pub(crate) fn binary(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.varint()?).ok()?;
        self.take(len)
    }
}
