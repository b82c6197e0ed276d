//! XML as annotations use it, in bounds: elements, attributes and text, child by child of the root.
//!
//! Refuses entities: a document type that declares any, or that fetches some from elsewhere, ends the reading before a
//! reference is looked at. Those that would grow into more than the whole file are an attack on the reader's memory
//! (`RESOURCE_LIMIT`); any others are an attack on its files or a difference between readers (`XML_ENTITY`). Nothing is
//! ever expanded to find out. Refuses also other encodings than UTF-8, depth, elements and attributes without end, and what
//! is not well-formed, each with its line.

use std::{borrow::Cow, collections::HashMap};

use quick_xml::{
    Reader,
    events::{BytesStart, Event, attributes::AttrError},
};

use super::lines;
use crate::{Limits, Rule};

/// The most elements within one child of the root.
const ELEMENTS: usize = 1_000_000;

/// The most attributes of one element: they are compared with each other.
const ATTRIBUTES: usize = 256;

/// How many entities may lead from one to the next before they count as endless.
const ENTITY_DEPTH: usize = 32;

/// Why a file is not read further.
#[derive(Debug, PartialEq)]
pub(crate) struct Fault {
    pub(crate) rule: Rule,
    pub(crate) line: u32,
    pub(crate) found: String,
}

/// An element with all that is in it.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Element {
    pub(crate) name: Box<str>,
    pub(crate) attributes: Vec<(Box<str>, Box<str>)>,
    /// The text directly within it, as it stands.
    raw: String,
    pub(crate) children: Vec<Element>,
    /// From 1.
    pub(crate) line: u32,
}

impl Element {
    /// Its text without blanks around it.
    pub(crate) fn text(&self) -> &str {
        self.raw.trim()
    }

    /// The value of an attribute.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(one, _)| &**one == name).map(|(_, value)| &**value)
    }

    /// Its children of this name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |child| &*child.name == name)
    }

    /// Its first child of this name.
    pub(crate) fn first(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| &*child.name == name)
    }
}

/// A document whose root is open.
pub(crate) struct Document<'a> {
    reader: Reader<&'a [u8]>,
    source: &'a str,
    nesting: usize,
    /// How far lines were counted: the byte, and its line.
    counted: (usize, u32),
    /// The root, without its children.
    pub(crate) root: Element,
    ended: bool,
}

impl<'a> Document<'a> {
    /// Reads up to the root's start.
    pub(crate) fn open(content: &'a [u8], limits: &Limits) -> Result<Self, Fault> {
        let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
        let source = std::str::from_utf8(content).map_err(|error| {
            let at = error.valid_up_to();
            let found = format!("expected UTF-8, found the byte 0x{:02x}", content[at]);
            Fault { rule: Rule::BadEncoding, line: lines::line_of(content, at), found }
        })?;
        let reader = Reader::from_str(source);
        let mut document = Self {
            reader,
            source,
            nesting: limits.nesting,
            counted: (0, 1),
            root: Element::default(),
            ended: false,
        };
        loop {
            match document.event()? {
                Event::Decl(declaration) => {
                    if let Some(Ok(encoding)) = declaration.encoding() {
                        document.check_encoding(&String::from_utf8_lossy(&encoding))?;
                    }
                }
                Event::DocType(declared) => {
                    let declared = String::from_utf8_lossy(&declared).into_owned();
                    document.check_document_type(&declared)?;
                }
                Event::Start(start) => {
                    document.root = document.element(&start)?;
                    return Ok(document);
                }
                Event::Empty(start) => {
                    document.root = document.element(&start)?;
                    document.ended = true;
                    return Ok(document);
                }
                Event::Comment(_) | Event::PI(_) => {}
                Event::Text(text) if text.trim_ascii().is_empty() => {}
                Event::Eof => return Err(document.fault("expected an element, found none")),
                _ => return Err(document.fault("expected an element, found text")),
            }
        }
    }

    /// The next child of the root; none behind the last, when the document is at its end as it should be.
    pub(crate) fn next(&mut self) -> Result<Option<Element>, Fault> {
        while !self.ended {
            match self.event()? {
                Event::Start(start) => {
                    let child = self.element(&start)?;
                    return self.within(child).map(Some);
                }
                Event::Empty(start) => return self.element(&start).map(Some),
                Event::End(_) => self.ended = true,
                event => {
                    let mut text = String::new();
                    self.take_text(event, &mut text)?;
                    self.root.raw.push_str(text.trim());
                }
            }
        }
        loop {
            match self.event()? {
                Event::Comment(_) | Event::PI(_) => {}
                Event::Text(text) if text.trim_ascii().is_empty() => {}
                Event::Eof => return Ok(None),
                _ => return Err(self.fault("expected the end of the file, found more")),
            }
        }
    }

    /// Reads up to the end of an element that has begun.
    fn within(&mut self, element: Element) -> Result<Element, Fault> {
        let mut open = vec![element];
        let mut elements = 1;
        while let Some(mut innermost) = open.pop() {
            let done = match self.event()? {
                Event::Start(start) => {
                    self.check_depth(open.len())?;
                    let child = self.element(&start)?;
                    elements += 1;
                    open.push(innermost);
                    open.push(child);
                    continue;
                }
                Event::Empty(start) => {
                    self.check_depth(open.len())?;
                    innermost.children.push(self.element(&start)?);
                    elements += 1;
                    false
                }
                Event::End(_) => true,
                event => {
                    self.take_text(event, &mut innermost.raw)?;
                    false
                }
            };
            if elements > ELEMENTS {
                let found = format!("expected at most {ELEMENTS} elements within one of the root's");
                return Err(self.fault_of(Rule::ResourceLimit, found));
            }
            match (done, open.last_mut()) {
                (false, _) => open.push(innermost),
                (true, Some(outer)) => {
                    // Blanks between elements say nothing.
                    innermost.raw.shrink_to_fit();
                    outer.children.push(innermost);
                }
                (true, None) => return Ok(innermost),
            }
        }
        Err(self.fault("expected an element, found none"))
    }

    /// Whether an element may open within one that has so many around it beside the root.
    fn check_depth(&self, around: usize) -> Result<(), Fault> {
        if around + 3 > self.nesting {
            let found = format!("expected elements at most {} deep", self.nesting);
            return Err(self.fault_of(Rule::ResourceLimit, found));
        }
        Ok(())
    }

    /// What an event adds to the text around it.
    fn take_text(&self, event: Event<'_>, text: &mut String) -> Result<(), Fault> {
        match event {
            Event::Text(more) => {
                let more = String::from_utf8_lossy(&more);
                // What only sets elements apart is not kept.
                if !(text.is_empty() && more.trim().is_empty()) {
                    text.push_str(&more);
                }
            }
            Event::CData(more) => text.push_str(&String::from_utf8_lossy(&more)),
            Event::GeneralRef(reference) => match reference.resolve_char_ref() {
                Ok(Some(character)) => text.push(character),
                Ok(None) => {
                    let name = String::from_utf8_lossy(&reference);
                    let known = quick_xml::escape::resolve_predefined_entity(&name);
                    text.push_str(known.ok_or_else(|| {
                        self.fault(format!("expected an entity that XML defines, found &{name};"))
                    })?);
                }
                Err(error) => return Err(self.fault(error.to_string())),
            },
            Event::Eof => {
                return Err(self.fault("expected elements to be closed, found the end of the file"));
            }
            Event::DocType(_) | Event::Decl(_) => {
                return Err(self.fault("expected a declaration before the first element, found one within"));
            }
            _ => {}
        }
        Ok(())
    }

    fn event(&mut self) -> Result<Event<'a>, Fault> {
        self.reader.read_event().map_err(|error| {
            let at = usize::try_from(self.reader.error_position()).unwrap_or(usize::MAX);
            let line = lines::line_of(self.source.as_bytes(), at.min(self.source.len()));
            Fault { rule: Rule::ParseError, line, found: error.to_string() }
        })
    }

    fn element(&mut self, start: &BytesStart<'_>) -> Result<Element, Fault> {
        let line = self.line();
        let fault = |rule, found: String| Fault { rule, line, found };
        let name = String::from_utf8_lossy(start.name().as_ref()).into_owned();
        if !name.starts_with(|first: char| first.is_alphabetic() || first == '_' || first == ':') {
            return Err(fault(Rule::ParseError, format!("expected an element's name, found {name:?}")));
        }
        let mut attributes = Vec::new();
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| match error {
                AttrError::Duplicated(..) => {
                    fault(Rule::DuplicateKey, format!("expected each attribute of <{name}> once: {error}"))
                }
                _ => fault(Rule::ParseError, format!("in <{name}>: {error}")),
            })?;
            if attributes.len() >= ATTRIBUTES {
                let found = format!("expected at most {ATTRIBUTES} attributes of <{name}>");
                return Err(fault(Rule::ResourceLimit, found));
            }
            let raw = std::str::from_utf8(&attribute.value).unwrap_or_default();
            let value = quick_xml::escape::unescape(raw)
                .map_err(|error| fault(Rule::ParseError, format!("in <{name}>: {error}")))?;
            attributes.push((String::from_utf8_lossy(attribute.key.as_ref()).into(), value.into()));
        }
        Ok(Element { name: name.into(), attributes, line, ..Element::default() })
    }

    /// The line that has been read to.
    fn line(&mut self) -> u32 {
        let to = usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX).min(self.source.len());
        let (from, line) = self.counted;
        let more = self.source.as_bytes()[from..to].iter().filter(|byte| **byte == b'\n').count();
        self.counted = (to, line.saturating_add(u32::try_from(more).unwrap_or(u32::MAX)));
        self.counted.1
    }

    fn fault(&self, found: impl Into<String>) -> Fault {
        self.fault_of(Rule::ParseError, found.into())
    }

    fn fault_of(&self, rule: Rule, found: String) -> Fault {
        let at = usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX);
        let line = lines::line_of(self.source.as_bytes(), at.min(self.source.len()));
        Fault { rule, line, found }
    }

    /// Only UTF-8 is read. What is ASCII throughout reads the same in the encodings that extend it.
    fn check_encoding(&self, encoding: &str) -> Result<(), Fault> {
        let lower = encoding.to_ascii_lowercase();
        let extends_ascii = ["iso-8859-", "windows-125"].iter().any(|one| lower.starts_with(one));
        if ["utf-8", "utf8", "ascii", "us-ascii"].contains(&lower.as_str())
            || (extends_ascii && self.source.is_ascii())
        {
            return Ok(());
        }
        Err(self.fault_of(Rule::BadEncoding, format!("expected UTF-8, found a declaration of {encoding:?}")))
    }

    fn check_document_type(&self, declared: &str) -> Result<(), Fault> {
        let (entities, external) = entities(declared);
        let Some((name, _)) = entities.first() else {
            if !external {
                return Ok(());
            }
            let found =
                "expected a document without entities, found a document type that is fetched from elsewhere";
            return Err(self.fault_of(Rule::XmlEntity, found.to_owned()));
        };
        let mut sizes = Sizes { values: HashMap::new(), known: HashMap::new() };
        for (name, value) in &entities {
            // The first declaration counts.
            sizes.values.entry(name).or_insert(value);
        }
        let largest = entities.iter().map(|(name, _)| sizes.of(name, 0)).max().unwrap_or(0);
        if largest > self.source.len() as u64 {
            let bytes =
                if largest == u64::MAX { "without end".to_owned() } else { format!("to {largest} bytes") };
            let found = format!("expected a document without entities, found some that grow {bytes}");
            return Err(self.fault_of(Rule::ResourceLimit, found));
        }
        let found = format!("expected a document without entities, found a declaration of {name:?}");
        Err(self.fault_of(Rule::XmlEntity, found))
    }
}

/// How many bytes entities would expand to.
struct Sizes<'a> {
    values: HashMap<&'a str, &'a str>,
    known: HashMap<&'a str, u64>,
}

impl<'a> Sizes<'a> {
    /// Of one entity; `u64::MAX` where it leads to itself, or further than is looked. Each is looked at once.
    fn of(&mut self, name: &'a str, depth: usize) -> u64 {
        if let Some(size) = self.known.get(name) {
            return *size;
        }
        let Some(value) = self.values.get(name).copied() else { return 0 };
        if depth >= ENTITY_DEPTH {
            return u64::MAX;
        }
        // What leads back here has no end.
        self.known.insert(name, u64::MAX);
        let mut size = 0u64;
        let mut rest = value;
        while let Some(at) = rest.find(['&', '%']) {
            size = size.saturating_add(at as u64);
            rest = &rest[at + 1..];
            match rest.find(';').map(|end| (&rest[..end], &rest[end + 1..])) {
                Some((inner, behind)) if self.values.contains_key(inner) => {
                    size = size.saturating_add(self.of(inner, depth + 1));
                    rest = behind;
                }
                _ => size = size.saturating_add(1),
            }
        }
        size = size.saturating_add(rest.len() as u64);
        self.known.insert(name, size);
        size
    }
}

/// The entities that a document type declares, each with its value (empty where it is fetched), and whether the document
/// type itself is fetched.
fn entities(declared: &str) -> (Vec<(&str, &str)>, bool) {
    let mut found = Vec::new();
    let outside = declared.split('[').next().unwrap_or_default();
    let external = outside.split_whitespace().any(|word| word == "SYSTEM" || word == "PUBLIC");
    let mut rest = declared;
    while let Some(at) = rest.find("<!") {
        rest = &rest[at + 2..];
        if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.split_once("-->").map_or("", |(_, behind)| behind);
        } else if let Some(entity) = rest.strip_prefix("ENTITY") {
            let entity = entity.trim_start();
            let entity = entity.strip_prefix('%').map_or(entity, str::trim_start);
            let (name, definition) = entity.split_once(char::is_whitespace).unwrap_or((entity, ""));
            let definition = definition.trim_start();
            let (value, behind) = match definition.chars().next() {
                Some(quote @ ('"' | '\'')) => {
                    definition[1..].split_once(quote).unwrap_or((&definition[1..], ""))
                }
                _ => ("", definition),
            };
            found.push((name, value));
            rest = behind;
        }
    }
    (found, external)
}

/// Text as it stands within an element or an attribute. Characters that XML has no way to say are left out.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    let plain =
        |one: char| !matches!(one, '&' | '<' | '>' | '"' | '\'' | '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}');
    if text.chars().all(plain) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for one in text.chars() {
        match one {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            '\t' => escaped.push_str("&#9;"),
            '\n' => escaped.push_str("&#10;"),
            '\r' => escaped.push_str("&#13;"),
            one if plain(one) => escaped.push(one),
            _ => {}
        }
    }
    Cow::Owned(escaped)
}

/// Whether text is read again as it is from what [`escaped`] writes, when blanks around it are taken off.
pub(crate) fn can_say(text: &str) -> bool {
    text.trim() == text
        && !text.contains(|one: char| matches!(one, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<(Element, Vec<Element>), Fault> {
        let limits = Limits { nesting: 4, ..Limits::default() };
        let mut document = Document::open(text.as_bytes(), &limits)?;
        let mut children = Vec::new();
        while let Some(child) = document.next()? {
            children.push(child);
        }
        Ok((document.root, children))
    }

    fn fault(text: &str) -> (Rule, u32) {
        let fault = read(text).unwrap_err();
        (fault.rule, fault.line)
    }

    #[test]
    fn elements_come_child_by_child() {
        let text = "<?xml version='1.0' encoding='ISO-8859-1'?>\n<!DOCTYPE a>\n<a x='1 &lt; 2'>\n <b> c &amp; &#100; <!-- no --></b><e f=\"g\"/>\n</a>\n";
        let (root, children) = read(text).unwrap();
        assert_eq!(root.attribute("x"), Some("1 < 2"));
        assert_eq!(children.len(), 2);
        assert_eq!((children[0].text(), children[0].line), ("c & d", 4));
        assert_eq!(children[1].attribute("f"), Some("g"));
    }

    #[test]
    fn what_is_not_well_formed_is_refused_with_its_line() {
        let faulty = [
            "",
            "<a>",
            "<a>\n<b></a>",
            "<a></a>\n<b/>",
            "a",
            "<a>&b;</a>",
            "<a b='&c;'/>",
            "<a><1/></a>",
            "<a",
            "<a><!DOCTYPE a></a>",
        ];
        for text in faulty {
            assert_eq!(fault(text).0, Rule::ParseError, "{text}");
        }
        assert_eq!(fault("<a>\n<b>\n</c>\n</b></a>"), (Rule::ParseError, 3));
        assert_eq!(fault("<a b='1' b='2'/>"), (Rule::DuplicateKey, 1));
        assert_eq!(fault("<a><b><c><d><e/></d></c></b></a>").0, Rule::ResourceLimit);
        assert_eq!(fault("<a><b><c><d><e></e></d></c></b></a>").0, Rule::ResourceLimit);
        assert!(read("<a><b><c><d/></c></b></a>").is_ok());
    }

    #[test]
    fn other_encodings_are_refused() {
        assert_eq!(fault("<?xml version='1.0' encoding='ISO-8859-1'?><a>ä</a>").0, Rule::BadEncoding);
        assert_eq!(fault("<?xml version='1.0' encoding='UTF-16'?><a/>").0, Rule::BadEncoding);
        let latin = Document::open(b"<a>\n\xe4</a>", &Limits::default()).err().unwrap();
        assert_eq!((latin.rule, latin.line), (Rule::BadEncoding, 2));
    }

    #[test]
    fn entities_are_refused_and_never_expanded() {
        let declares = |inside: &str| fault(&format!("<!DOCTYPE a [{inside}]><a>&b;</a>")).0;
        assert_eq!(declares("<!ENTITY b 'c'>"), Rule::XmlEntity);
        assert_eq!(declares("<!ENTITY % b SYSTEM 'http://example.org/b'>"), Rule::XmlEntity);
        assert_eq!(declares("<!ENTITY b '&c;'><!ENTITY c '&b;'>"), Rule::ResourceLimit);
        let hundred = "&d;".repeat(100);
        let thousands = format!("<!ENTITY d '0123456789'><!ENTITY c '{hundred}'><!ENTITY b '&c;&c;'>");
        assert_eq!(declares(&thousands), Rule::ResourceLimit);
        assert_eq!(fault("<!DOCTYPE a SYSTEM 'file:///etc/a.dtd'><a/>").0, Rule::XmlEntity);
        assert!(read("<!DOCTYPE a [<!ELEMENT a ANY><!-- <!ENTITY b 'c'> -->]><a/>").is_ok());
        let chain: String = (0..100_000).map(|one| format!("<!ENTITY e{one} '&e{};'>", one + 1)).collect();
        assert_eq!(declares(&chain), Rule::ResourceLimit);
    }

    proptest! {
        #[test]
        fn text_comes_back(text in "\\PC{0,20}|[ -~\\n\\t\\r&<>]{0,20}") {
            let text = text.trim();
            prop_assert!(can_say(text));
            let (_, children) = read(&format!("<a><b c=\"{0}\">{0}</b></a>", escaped(text))).unwrap();
            prop_assert_eq!(children[0].text(), text);
            prop_assert_eq!(children[0].attribute("c"), Some(text));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[<>/a!\\[\\]\"'=&;?DOCTYPENI% -]{0,60}") {
            let _ = read(&text);
        }
    }
}
