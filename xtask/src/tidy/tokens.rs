//! What tidy reads off a Rust source, by token: comments and strings are no code, and one file may say the same in
//! many shapes. It looks for patterns of tokens and knows nothing of what names mean.

use std::ops::RangeInclusive;

use proc_macro2::{Delimiter, Group, LexError, TokenStream, TokenTree};

/// A Rust source, cut into tokens.
pub(super) struct Source(TokenStream);

/// A function that a test runner runs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Test {
    pub(super) name: String,
    /// The lines of its documentation.
    pub(super) docs: Vec<String>,
}

impl Source {
    /// # Errors
    ///
    /// When the text is no Rust.
    pub(super) fn read(text: &str) -> Result<Self, LexError> {
        text.parse().map(Self)
    }

    /// The lines, counted from 1, of each `#[cfg(test)] mod tests { .. }` that is in no other module.
    pub(super) fn test_modules(&self) -> Vec<RangeInclusive<usize>> {
        let mut found = Vec::new();
        let mut attributes = Attributes::default();
        let tokens: Vec<_> = self.0.clone().into_iter().collect();
        for (at, token) in tokens.iter().enumerate() {
            if attributes.take(&tokens, at) {
                continue;
            }
            if let [TokenTree::Ident(word), TokenTree::Ident(name), TokenTree::Group(body), ..] =
                &tokens[at..]
                && word == "mod"
                && name == "tests"
                && attributes.0.iter().any(is_cfg_test)
            {
                let first = attributes.0[0].span_open().start().line;
                found.push(first..=body.span_close().end().line);
            }
            // A visibility stands between an item and its attributes; nothing else does.
            if !matches!(token, TokenTree::Ident(word) if word == "pub") {
                attributes.0.clear();
            }
        }
        found
    }

    /// Where the source names one of the modules of the standard library, or of another crate that is called the same:
    /// in a path (`fs::read`) or in an import (`use std::{env, fs}`). What is the crate's own does not count.
    pub(super) fn uses_of(&self, modules: &[&'static str]) -> Vec<(usize, &'static str)> {
        let mut found = Vec::new();
        find_uses(&self.0, modules, &mut found);
        found
    }

    /// Every function under an attribute whose last word is `test`, also inside macros, unless it is ignored.
    pub(super) fn tests(&self) -> Vec<Test> {
        let mut found = Vec::new();
        find_tests(&self.0, &mut found);
        found
    }
}

/// The attributes that stand before the present token.
#[derive(Default)]
struct Attributes(Vec<Group>);

impl Attributes {
    /// Whether the token belongs to an attribute, which is then noted.
    fn take(&mut self, tokens: &[TokenTree], at: usize) -> bool {
        let is_hash = |at: usize| is_punct(tokens.get(at), '#');
        match &tokens[at] {
            TokenTree::Punct(_) => is_hash(at) && matches!(tokens.get(at + 1), Some(TokenTree::Group(_))),
            TokenTree::Group(group)
                if at > 0 && is_hash(at - 1) && group.delimiter() == Delimiter::Bracket =>
            {
                self.0.push(group.clone());
                true
            }
            _ => false,
        }
    }

    /// Whether one of them is `#[word]`, `#[path::word]` or either with arguments.
    fn have(&self, wanted: &str) -> bool {
        self.0.iter().any(|attribute| {
            let words = attribute.stream().into_iter().take_while(|token| match token {
                TokenTree::Ident(_) => true,
                TokenTree::Punct(punct) => punct.as_char() == ':',
                _ => false,
            });
            matches!(words.last(), Some(TokenTree::Ident(word)) if word == wanted)
        })
    }

    fn docs(&self) -> Vec<String> {
        let doc = |attribute: &Group| {
            let tokens: Vec<_> = attribute.stream().into_iter().collect();
            match &tokens[..] {
                [TokenTree::Ident(word), TokenTree::Punct(_), TokenTree::Literal(text)] if word == "doc" => {
                    Some(text.to_string())
                }
                _ => None,
            }
        };
        self.0.iter().filter_map(doc).collect()
    }
}

fn find_tests(tokens: &TokenStream, found: &mut Vec<Test>) {
    let mut attributes = Attributes::default();
    let tokens: Vec<_> = tokens.clone().into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        if attributes.take(&tokens, at) {
            continue;
        }
        match token {
            TokenTree::Ident(word) if word == "fn" => {
                if let Some(TokenTree::Ident(name)) = tokens.get(at + 1)
                    && attributes.have("test")
                    && !attributes.have("ignore")
                {
                    found.push(Test { name: name.to_string(), docs: attributes.docs() });
                }
                attributes.0.clear();
            }
            // `pub`, `async` and their like stand between a function and its attributes.
            TokenTree::Ident(_) => {}
            TokenTree::Group(group) => {
                find_tests(&group.stream(), found);
                if group.delimiter() == Delimiter::Brace {
                    attributes.0.clear();
                }
            }
            TokenTree::Punct(punct) if punct.as_char() == ';' => attributes.0.clear(),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

fn find_uses(tokens: &TokenStream, modules: &[&'static str], found: &mut Vec<(usize, &'static str)>) {
    let tokens: Vec<_> = tokens.clone().into_iter().collect();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match token {
            TokenTree::Ident(word) if word == "use" => {
                let length = tokens[at..].iter().take_while(|token| !is_punct(Some(token), ';')).count();
                let tree = &tokens[at + 1..at + length];
                if !is_own(tree.iter().find(|token| matches!(token, TokenTree::Ident(_)))) {
                    find_imports(tree, modules, found);
                }
                at += length;
                continue;
            }
            TokenTree::Ident(word) if is_path_separator(&tokens, at + 1) => {
                if let Some(module) = modules.iter().find(|module| word == *module)
                    && !(at >= 3 && is_path_separator(&tokens, at - 2) && is_own(tokens.get(at - 3)))
                {
                    found.push((word.span().start().line, *module));
                }
            }
            TokenTree::Group(group) => find_uses(&group.stream(), modules, found),
            _ => {}
        }
        at += 1;
    }
}

fn find_imports(tree: &[TokenTree], modules: &[&'static str], found: &mut Vec<(usize, &'static str)>) {
    for token in tree {
        match token {
            TokenTree::Ident(word) => {
                if let Some(module) = modules.iter().find(|module| word == *module) {
                    found.push((word.span().start().line, *module));
                }
            }
            TokenTree::Group(group) => {
                let inner: Vec<_> = group.stream().into_iter().collect();
                find_imports(&inner, modules, found);
            }
            _ => {}
        }
    }
}

fn is_punct(token: Option<&TokenTree>, wanted: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

fn is_path_separator(tokens: &[TokenTree], at: usize) -> bool {
    is_punct(tokens.get(at), ':') && is_punct(tokens.get(at + 1), ':')
}

fn is_cfg_test(attribute: &Group) -> bool {
    let tokens: Vec<_> = attribute.stream().into_iter().collect();
    matches!(&tokens[..], [TokenTree::Ident(word), TokenTree::Group(condition)]
        if word == "cfg" && condition.stream().to_string() == "test")
}

/// Whether a path that begins so leads into the crate itself.
fn is_own(first: Option<&TokenTree>) -> bool {
    matches!(first, Some(TokenTree::Ident(word)) if ["crate", "self", "super"].iter().any(|own| word == own))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::read(text).expect("the text is Rust")
    }

    #[test]
    fn modules_are_found_in_paths_and_in_imports_of_every_shape() {
        let found = |text| source(text).uses_of(&["fs", "env", "net"]);
        assert_eq!(found("use std::fs;"), [(1, "fs")]);
        assert_eq!(found("use std::fs::{self, File};"), [(1, "fs")]);
        assert_eq!(
            found("use std::{\n    collections::BTreeMap,\n    env,\n    fs::File,\n};"),
            [(3, "env"), (4, "fs")]
        );
        assert_eq!(found("use ::{std::{net as wire}};"), [(1, "net")]);
        assert_eq!(found("use std as base;\nfn f() { base::fs::read(1) }"), [(2, "fs")]);
        assert_eq!(found("fn f() {\n    assert!(std::env::var(1).is_ok());\n}"), [(2, "env")]);
        assert_eq!(found("fn f() { fs :: read(1) }"), [(1, "fs")]);
    }

    #[test]
    fn what_only_looks_like_a_module_is_none() {
        let found = |text| source(text).uses_of(&["fs", "env", "net"]);
        for text in [
            "// use std::fs;\nconst A: &str = \"std::fs::read\";",
            "//! Not of std::fs.\nfn offs::x() {}",
            "use crate::{net, fs::Thing}; fn f() { crate::net::g(); self::fs::h() }",
            "fn f(net: u8) -> u8 { let env = net; env!(\"CARGO\"); env }",
            "use std::{fmt, ops::Deref};",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }

    #[test]
    fn only_the_module_of_tests_is_left_out_and_what_follows_it_is_not() {
        let text = "struct A;\n\nimpl A {\n    #[cfg(test)]\n    fn only() {}\n    mod tests {}\n}\n\n#[cfg(test)]\nuse a;\n\n\
                    mod tests {}\n\n#[cfg(test)]\n#[expect(dead_code)]\nmod tests {\n    fn a() { let _ = \"\n}\n\"; }\n}\nfn b() {}\n";
        assert_eq!(source(text).test_modules(), [14..=20]);
    }

    #[test]
    fn tests_are_functions_that_a_runner_runs() {
        let text = r#"
            //! PAY-1 in a header.
            /// PAY-2 of a helper.
            fn test_helper() {}
            /// PAY-3: of one
            /// and two lines.
            #[test]
            fn first() {}
            #[tokio::test(flavor = "multi_thread")]
            pub(crate) async fn second() {}
            proptest! {
                #![proptest_config(x)]
                /// Of a property.
                #[test]
                fn third(a in 0..9u8) { inner(); }
            }
            #[test]
            #[ignore = "the other half"]
            fn fourth() {}
            #[test]
            const A: u8 = 1;
            fn fifth() { #[test] fn sixth() {} }
        "#;
        let found = source(text).tests();
        let names: Vec<_> = found.iter().map(|test| test.name.as_str()).collect();
        assert_eq!(names, ["first", "second", "third", "sixth"]);
        assert_eq!(found[0].docs, ["\" PAY-3: of one\"", "\" and two lines.\""]);
        assert!(found[1].docs.is_empty());
        assert_eq!(found[2].docs, ["\" Of a property.\""]);
    }
}
