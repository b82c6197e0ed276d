//! Goes over JSON without looking into values: which members an object has, which rows a list.

use std::borrow::Cow;

use serde::de::DeserializeSeed;

use super::node::Text;

/// Where the scan could not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(super) offset: usize,
    expected: &'static str,
    found: Option<u8>,
}

impl Broken {
    pub(super) fn found(&self) -> String {
        match self.found {
            Some(byte) => format!("expected {}, found `{}`", self.expected, byte.escape_ascii()),
            None => format!("expected {}, found the end of the file", self.expected),
        }
    }
}

/// The text of one value, with brackets and quotes that match and nothing else known of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Raw<'a> {
    pub(super) text: &'a str,
    pub(super) offset: usize,
    /// Brackets within brackets.
    pub(super) depth: usize,
}

impl<'a> Raw<'a> {
    /// Whether it is a list.
    pub(crate) fn is_list(&self) -> bool {
        self.text.starts_with('[')
    }

    /// Whether it is `null`.
    pub(crate) fn is_null(&self) -> bool {
        self.text == "null"
    }

    /// The rows of a list.
    pub(crate) fn rows(&self) -> Rows<'a> {
        Rows(Series::new(self.text, 0, self.offset, false))
    }
}

/// Goes over values without looking into them.
pub(super) struct Scanner<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl Scanner<'_> {
    fn broken(&self, expected: &'static str) -> Broken {
        Broken { offset: self.at, expected, found: self.bytes.get(self.at).copied() }
    }

    pub(super) fn space(&mut self) {
        while self.bytes.get(self.at).copied().is_some_and(is_space) {
            self.at += 1;
        }
    }

    pub(super) fn take(&mut self, byte: u8) -> bool {
        let there = self.bytes.get(self.at) == Some(&byte);
        self.at += usize::from(there);
        there
    }

    /// Goes past a value, and says how deep brackets are nested in it.
    pub(super) fn value(&mut self) -> Result<usize, Broken> {
        match self.bytes.get(self.at) {
            Some(b'{' | b'[') => self.nested(),
            Some(b'"') => self.string().map(|()| 0),
            _ => {
                let start = self.at;
                let ends = |byte: u8| {
                    is_space(byte) || matches!(byte, b',' | b':' | b'{' | b'}' | b'[' | b']' | b'"')
                };
                while self.bytes.get(self.at).is_some_and(|byte| !ends(*byte)) {
                    self.at += 1;
                }
                if self.at == start { Err(self.broken("a value")) } else { Ok(0) }
            }
        }
    }

    fn nested(&mut self) -> Result<usize, Broken> {
        let (mut depth, mut deepest) = (0_usize, 0);
        loop {
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.string()?;
                    continue;
                }
                Some(b'{' | b'[') => {
                    depth += 1;
                    deepest = deepest.max(depth);
                }
                Some(b'}' | b']') => depth -= 1,
                Some(_) => {}
                None => return Err(self.broken("`]` or `}`")),
            }
            self.at += 1;
            if depth == 0 {
                return Ok(deepest);
            }
        }
    }

    fn string(&mut self) -> Result<(), Broken> {
        self.at += 1;
        loop {
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
                None => return Err(self.broken("`\"`")),
            }
        }
    }

    pub(super) fn end(&mut self) -> Result<(), Broken> {
        self.space();
        if self.at < self.bytes.len() { Err(self.broken("the end of the file")) } else { Ok(()) }
    }
}

pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// What stands between two brackets, with commas.
pub(super) struct Series<'a> {
    text: &'a str,
    pub(super) scanner: Scanner<'a>,
    /// The offset of `text` in the file.
    offset: usize,
    /// Whether nothing may come after.
    whole: bool,
    started: bool,
    done: bool,
}

impl<'a> Series<'a> {
    pub(super) fn new(text: &'a str, at: usize, offset: usize, whole: bool) -> Self {
        let scanner = Scanner { bytes: text.as_bytes(), at };
        Self { text, scanner, offset, whole, started: false, done: false }
    }

    /// Goes to the next item; false at the end.
    pub(super) fn advance(
        &mut self,
        open: u8,
        close: u8,
        expected: [&'static str; 2],
    ) -> Result<bool, Broken> {
        let scanner = &mut self.scanner;
        scanner.space();
        if !self.started {
            self.started = true;
            if !scanner.take(open) {
                return Err(scanner.broken(expected[0]));
            }
            scanner.space();
            if !scanner.take(close) {
                return Ok(true);
            }
        } else if scanner.take(b',') {
            scanner.space();
            return Ok(true);
        } else if !scanner.take(close) {
            return Err(scanner.broken(expected[1]));
        }
        self.done = true;
        if self.whole {
            scanner.end()?;
        }
        Ok(false)
    }

    pub(super) fn value(&mut self) -> Result<Raw<'a>, Broken> {
        let (start, depth) = (self.scanner.at, self.scanner.value()?);
        // Every value starts and ends at a byte of ASCII, so that the cut is between characters.
        Ok(Raw { text: &self.text[start..self.scanner.at], offset: self.offset + start, depth })
    }

    /// One item, or the end, or a fault after which nothing comes.
    fn item<T>(
        &mut self,
        item: impl FnOnce(&mut Self) -> Result<Option<T>, Broken>,
    ) -> Option<Result<T, Broken>> {
        if self.done {
            return None;
        }
        item(self)
            .map_err(|broken| Broken { offset: broken.offset + self.offset, ..broken })
            .inspect_err(|_| self.done = true)
            .transpose()
    }
}

/// The members of an object, in their order, keys that stand twice too. Ends after the first fault.
pub(crate) struct Members<'a>(pub(super) Series<'a>);

impl<'a> Iterator for Members<'a> {
    type Item = Result<(Cow<'a, str>, Raw<'a>), Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.item(|series| {
            if !series.advance(b'{', b'}', ["`{`", "`,` or `}`"])? {
                return Ok(None);
            }
            let key = key(series)?;
            Ok(Some((key, series.value()?)))
        })
    }
}

/// A key, and on to its value.
pub(super) fn key<'a>(series: &mut Series<'a>) -> Result<Cow<'a, str>, Broken> {
    let scanner = &mut series.scanner;
    let start = scanner.at;
    if scanner.bytes.get(start) != Some(&b'"') {
        return Err(scanner.broken("a key"));
    }
    scanner.string()?;
    let mut deserializer = serde_json::Deserializer::from_str(&series.text[start..scanner.at]);
    let key = Text.deserialize(&mut deserializer);
    let key =
        key.map_err(|_| Broken { offset: start, expected: "a key of valid characters", found: Some(b'"') })?;
    scanner.space();
    if !scanner.take(b':') {
        return Err(scanner.broken("`:`"));
    }
    scanner.space();
    Ok(key)
}

/// The rows of a list, in their order. Ends after the first fault.
pub(crate) struct Rows<'a>(pub(super) Series<'a>);

impl<'a> Iterator for Rows<'a> {
    type Item = Result<Raw<'a>, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.item(|series| {
            let more = series.advance(b'[', b']', ["`[`", "`,` or `]`"])?;
            if more { series.value().map(Some) } else { Ok(None) }
        })
    }
}
