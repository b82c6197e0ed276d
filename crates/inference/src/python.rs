//! Python's literals, as far as NumPy writes them into npy headers and exporters into ONNX metadata: dictionaries, lists,
//! tuples, strings, whole numbers, True, False and None.

use thiserror::Error;

/// How deep literals may lie in each other.
const MAX_DEPTH: usize = 4;

/// A literal.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Literal {
    /// Pairs in the order of the text; keys may repeat.
    Dict(Vec<(Literal, Literal)>),
    /// A list or a tuple.
    Sequence(Vec<Literal>),
    Text(String),
    Whole(i64),
    Bool(bool),
    None,
}

/// Why a text is no literal.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("expected {expected} at character {at}")]
pub struct LiteralError {
    /// What would be right there.
    pub expected: &'static str,
    /// The place in bytes, from 0.
    pub at: usize,
}

/// Reads one literal and nothing else.
///
/// # Errors
/// The first place that does not fit.
pub(crate) fn parse(text: &str) -> Result<Literal, LiteralError> {
    let mut reader = Reader { text, at: 0 };
    let literal = reader.literal(MAX_DEPTH)?;
    reader.skip_spaces();
    if reader.at < text.len() { Err(reader.expected("the end")) } else { Ok(literal) }
}

struct Reader<'a> {
    text: &'a str,
    /// Always on the border of a character.
    at: usize,
}

impl Reader<'_> {
    fn literal(&mut self, depth: usize) -> Result<Literal, LiteralError> {
        self.skip_spaces();
        let depth = depth.checked_sub(1).ok_or_else(|| self.expected("a flatter literal"))?;
        match self.peek() {
            Some('{') => self
                .sequence('}', |reader| {
                    let key = reader.literal(depth)?;
                    reader.skip_spaces();
                    if !reader.take(':') {
                        return Err(reader.expected("a colon"));
                    }
                    Ok((key, reader.literal(depth)?))
                })
                .map(Literal::Dict),
            Some('[') => self.sequence(']', |reader| reader.literal(depth)).map(Literal::Sequence),
            Some('(') => self.sequence(')', |reader| reader.literal(depth)).map(Literal::Sequence),
            Some(quote @ ('\'' | '"')) => self.string(quote),
            Some('-' | '0'..='9') => self.whole(),
            _ => self.word(),
        }
    }

    /// Items with commas between them; one may follow the last.
    fn sequence<T>(
        &mut self,
        close: char,
        mut item: impl FnMut(&mut Self) -> Result<T, LiteralError>,
    ) -> Result<Vec<T>, LiteralError> {
        self.at += 1;
        let mut items = Vec::new();
        loop {
            self.skip_spaces();
            if self.take(close) {
                return Ok(items);
            }
            items.push(item(self)?);
            self.skip_spaces();
            if !self.take(',') && self.peek() != Some(close) {
                return Err(self.expected("a comma or the closing bracket"));
            }
        }
    }

    fn string(&mut self, quote: char) -> Result<Literal, LiteralError> {
        self.at += 1;
        let mut text = String::new();
        while let Some(character) = self.next() {
            match character {
                end if end == quote => return Ok(Literal::Text(text)),
                '\\' => match self.next() {
                    Some(plain @ ('\\' | '\'' | '"')) => text.push(plain),
                    _ => return Err(self.expected("an escaped quote or backslash")),
                },
                other => text.push(other),
            }
        }
        Err(self.expected("the closing quote"))
    }

    fn whole(&mut self) -> Result<Literal, LiteralError> {
        let rest = &self.text[self.at..];
        let digits = rest.strip_prefix('-').unwrap_or(rest);
        let sign = rest.len() - digits.len();
        let length = sign + digits.bytes().take_while(u8::is_ascii_digit).count();
        let number = rest[..length].parse().map_err(|_| self.expected("a whole number of 64 bits"))?;
        self.at += length;
        Ok(Literal::Whole(number))
    }

    fn word(&mut self) -> Result<Literal, LiteralError> {
        let words = [("True", Literal::Bool(true)), ("False", Literal::Bool(false)), ("None", Literal::None)];
        for (word, literal) in words {
            if self.text[self.at..].starts_with(word) {
                self.at += word.len();
                return Ok(literal);
            }
        }
        Err(self.expected("a literal"))
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.at += character.len_utf8();
        Some(character)
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn skip_spaces(&mut self) {
        while self.take(' ') {}
    }

    fn expected(&self, expected: &'static str) -> LiteralError {
        LiteralError { expected, at: self.at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_numpy_and_exporters_write_is_read() {
        use Literal::{Bool, Dict, Sequence, Text, Whole};
        let text = |text: &str| Text(text.to_owned());
        assert_eq!(
            parse("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }"),
            Ok(Dict(vec![
                (text("descr"), text("<f4")),
                (text("fortran_order"), Bool(false)),
                (text("shape"), Sequence(vec![Whole(3)])),
            ]))
        );
        assert_eq!(
            parse("{0: 'a', 1: \"b's\"}").map(|dict| matches!(dict, Dict(two) if two.len() == 2)),
            Ok(true)
        );
        assert_eq!(parse("[640, -2]"), Ok(Sequence(vec![Whole(640), Whole(-2)])));
        assert_eq!(parse("()"), Ok(Sequence(vec![])));
        assert_eq!(parse("'a\\'\\\\b'"), Ok(text("a'\\b")));
    }

    #[test]
    fn what_is_no_literal_is_refused_where_it_stops_being_one() {
        for (bad, at) in [
            ("", 0),
            ("{1 2}", 3),
            ("[1", 2),
            ("(1 2)", 3),
            ("'a", 2),
            ("1 1", 2),
            ("-", 0),
            ("[[[[[]]]]]", 4),
        ] {
            assert_eq!(parse(bad).unwrap_err().at, at, "{bad}");
        }
        assert!(parse("99999999999999999999").is_err());
    }

    proptest! {
        #[test]
        fn foreign_text_never_panics(text in "[\\[\\](){}:,'\"\\\\ 0-9aTé-]{0,40}") {
            let _ = parse(&text);
        }
    }
}
