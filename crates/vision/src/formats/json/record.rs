//! Records: objects whose fields are taken one by one, each fault told with its place.

use std::{borrow::Cow, sync::Arc};

use crate::{Attributes, Findings, Limits, Place, Pointer, Rule, formats::image_file};

use super::{Node, Raw, Source, node::escaped};

/// Where in its file a record stands.
#[derive(Debug, Clone)]
pub(crate) enum Spot {
    /// It is the file.
    File,
    /// A row, from 0, of the list of that name; of the list that the file is where the name is empty.
    Row(&'static str, u32),
    /// A JSON pointer.
    Path(Arc<str>),
}

impl Spot {
    pub(crate) fn pointer(&self) -> Option<Pointer> {
        match self {
            Spot::File => None,
            Spot::Row(list, row) => Some(Pointer::Row(list, *row)),
            Spot::Path(path) => Some(Pointer::Path(Arc::clone(path))),
        }
    }

    /// A field of it.
    pub(crate) fn field(&self, name: &'static str) -> Pointer {
        match self {
            Spot::Row(list, row) => Pointer::Field(list, *row, name),
            _ => self.beneath(&format!("/{name}")),
        }
    }

    /// What stands under a key of it.
    pub(crate) fn beneath_key(&self, key: &str) -> Pointer {
        self.beneath(&format!("/{}", escaped(key)))
    }

    /// What the pointer `path` means within it.
    pub(super) fn beneath(&self, path: &str) -> Pointer {
        let above = self.pointer().map(|pointer| pointer.to_string()).unwrap_or_default();
        Pointer::Path((above + path).into())
    }
}

/// A finding was made, and the record is left out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Told;

/// An object whose fields are taken one by one; what is left in the end is attributes.
pub(crate) struct Record<'a, 'f> {
    fields: Vec<(Cow<'a, str>, Node<'a>)>,
    file: &'f Place,
    spot: Spot,
    findings: &'f mut Findings,
}

impl<'a, 'f> Record<'a, 'f> {
    /// Parses an object.
    pub(crate) fn read(
        raw: &Raw<'a>,
        spot: Spot,
        source: &'f Source<'_>,
        limits: &Limits,
        findings: &'f mut Findings,
    ) -> Result<Self, Told> {
        let node = raw.parse(source, &spot, limits, findings).ok_or(Told)?;
        Self::of(node, spot, source.place(), findings)
    }

    /// An object that is parsed already.
    pub(crate) fn of(
        node: Node<'a>,
        spot: Spot,
        file: &'f Place,
        findings: &'f mut Findings,
    ) -> Result<Self, Told> {
        if let Node::Object(fields) = node {
            return Ok(Self { fields, file, spot, findings });
        }
        let place = Place { within: spot.pointer(), ..file.clone() };
        findings.add(Rule::BadType, &place, format!("expected an object, found {node}"));
        Err(Told)
    }

    /// Where it stands.
    pub(crate) fn place(&self) -> Place {
        Place { within: self.spot.pointer(), ..self.file.clone() }
    }

    /// The object in a field that was taken from this one.
    pub(crate) fn within<'r>(&'r mut self, name: &str, node: Node<'a>) -> Result<Record<'a, 'r>, Told> {
        let pointer = self.spot.beneath_key(name).to_string();
        Record::of(node, Spot::Path(pointer.into()), self.file, self.findings)
    }

    /// Tells of a fault of a field.
    pub(crate) fn tell<'t>(
        &mut self,
        field: &'static str,
        rule: Rule,
        found: impl Into<Cow<'t, str>>,
    ) -> Told {
        let place = self.file.at(self.spot.field(field));
        self.findings.add(rule, &place, found);
        Told
    }

    /// Whether it has a field that is not `null`.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(key, node)| key == name && *node != Node::Null)
    }

    /// An object of a list that was taken from this one.
    pub(crate) fn row<'r>(&'r mut self, spot: Spot, node: Node<'a>) -> Result<Record<'a, 'r>, Told> {
        Record::of(node, spot, self.file, self.findings)
    }

    /// Takes a field out; none where it is not there or `null`.
    pub(crate) fn take(&mut self, name: &str) -> Option<Node<'a>> {
        let at = self.fields.iter().position(|(key, _)| key == name)?;
        let (_, node) = self.fields.swap_remove(at);
        (node != Node::Null).then_some(node)
    }

    /// Takes a field that must be there.
    pub(crate) fn must(&mut self, name: &'static str) -> Result<Node<'a>, Told> {
        self.take(name)
            .ok_or_else(|| self.tell(name, Rule::MissingField, format!("expected `{name}`, found none")))
    }

    /// Takes an id: a whole number from 0.
    pub(crate) fn id(&mut self, name: &'static str) -> Result<u64, Told> {
        let node = self.must(name)?;
        node.whole().ok_or_else(|| {
            self.tell(name, Rule::BadType, format!("expected a whole number from 0, found {node}"))
        })
    }

    /// Takes a text that must be there.
    pub(crate) fn text(&mut self, name: &'static str) -> Result<String, Told> {
        match self.must(name)? {
            Node::Text(text) => Ok(text.into_owned()),
            node => Err(self.tell(name, Rule::BadType, format!("expected text, found {node}"))),
        }
    }

    /// Takes the name of a file, which may not lead out of the folder.
    pub(crate) fn file_name(&mut self, name: &'static str) -> Result<String, Told> {
        let file = self.text(name)?;
        image_file::relative(&file).ok_or_else(|| match file.as_str() {
            "" => self.tell(name, Rule::MissingField, "expected the name of a file, found an empty text"),
            _ => self.tell(
                name,
                Rule::PathTraversal,
                format!("expected a file within the folder, found {file}"),
            ),
        })
    }

    /// Takes a number that may be there.
    pub(crate) fn number(&mut self, name: &'static str) -> Result<Option<f64>, Told> {
        let Some(node) = self.take(name) else { return Ok(None) };
        match node.number() {
            Some(number) => Ok(Some(number)),
            None => Err(self.tell(name, Rule::BadType, format!("expected a number, found {node}"))),
        }
    }

    /// Takes a number of pixels that may be there.
    pub(crate) fn pixels(&mut self, name: &'static str) -> Result<Option<u32>, Told> {
        let Some(node) = self.take(name) else { return Ok(None) };
        if node.number().is_some_and(|number| number < 0.0) {
            return Err(self.tell(name, Rule::NegativeSize, format!("expected pixels, found {node}")));
        }
        let Some(whole) = node.whole() else {
            return Err(self.tell(
                name,
                Rule::BadType,
                format!("expected a whole number of pixels, found {node}"),
            ));
        };
        u32::try_from(whole).map(Some).map_err(|_| {
            self.tell(
                name,
                Rule::ResourceLimit,
                format!("expected at most {} pixels, found {whole}", u32::MAX),
            )
        })
    }

    /// The numbers of a list, which stands in field `name`.
    pub(crate) fn numbers(&mut self, name: &'static str, node: &Node<'_>) -> Result<Vec<f64>, Told> {
        let Node::List(rows) = node else {
            return Err(self.tell(name, Rule::BadType, format!("expected a list of numbers, found {node}")));
        };
        let mut numbers = Vec::with_capacity(rows.len());
        for row in rows {
            let Some(number) = row.number() else {
                return Err(self.tell(name, Rule::BadType, format!("expected numbers only, found {row}")));
            };
            numbers.push(number);
        }
        Ok(numbers)
    }

    /// As [`Self::numbers`], so many.
    pub(crate) fn tuple<const N: usize>(
        &mut self,
        name: &'static str,
        node: &Node<'_>,
    ) -> Result<[f64; N], Told> {
        let numbers = self.numbers(name, node)?;
        <[f64; N]>::try_from(numbers).map_err(|numbers| {
            self.tell(name, Rule::BadArity, format!("expected {N} numbers, found {}", numbers.len()))
        })
    }

    /// Puts a field back, to be an attribute.
    pub(crate) fn put_back(&mut self, name: &'static str, node: Node<'a>) {
        self.fields.push((name.into(), node));
    }

    /// All fields that were not taken.
    pub(crate) fn rest(self) -> Attributes {
        self.fields.into_iter().map(|(key, node)| (key.into_owned(), node.into_value())).collect()
    }
}
