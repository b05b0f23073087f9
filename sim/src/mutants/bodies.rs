//! A Rust source file as the bodies of its functions, and the rest.
//!
//! Two files with the same rest differ in bodies only, so one function can hold both bodies and choose
//! between them when it is called: a body sees nothing but its own function's signature and the items of the
//! file, and these are the same. Only outermost bodies count; a closure or a nested function is part of one.
//! Left out, that is in the rest: bodies of a `const fn`, which cannot choose at run time, and those whose
//! result is an `impl Trait`, a type of each body's own. What a macro is given is in the rest, too, and so is
//! documentation; comments and white space are not.

use std::ops::Range;

use proc_macro2::TokenStream;
use syn::{
    Block, ImplItemFn, ItemFn, ReturnType, Signature, TraitItemFn, TypeImplTrait,
    visit::{self, Visit},
};

/// A source file, taken apart.
pub struct Source<'a> {
    text: &'a str,
    bodies: Vec<Range<usize>>,
    rest: String,
}

impl<'a> Source<'a> {
    /// Takes a file apart, if it is Rust.
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut bodies = Bodies::default();
        bodies.visit_file(&syn::parse_file(text).ok()?);
        let bodies = bodies.0;
        let mut rest = String::new();
        let mut end = 0;
        for body in &bodies {
            rest.push_str(&text[end..body.start]);
            rest.push_str("{}");
            end = body.end;
        }
        rest.push_str(&text[end..]);
        let rest = rest.parse::<TokenStream>().ok()?.to_string();
        Some(Self { text, bodies, rest })
    }

    /// Where `mutant` has other bodies, and which: by the number of the function in the file. None if more
    /// than that differs.
    pub fn other_bodies<'b>(&self, mutant: &Source<'b>) -> Option<Vec<(usize, &'b str)>> {
        let alike = self.rest == mutant.rest && self.bodies.len() == mutant.bodies.len();
        let other = |function: &usize| self.body(*function) != mutant.body(*function);
        alike.then(|| {
            let functions = (0..self.bodies.len()).filter(other);
            functions.map(|function| (function, mutant.body(function))).collect()
        })
    }

    fn body(&self, function: usize) -> &'a str {
        &self.text[self.bodies[function].clone()]
    }

    /// The file with each body replaced by what becomes of it, or left as it is.
    pub fn with_bodies(&self, mut new: impl FnMut(usize, &str) -> Option<String>) -> String {
        let mut text = String::new();
        let mut end = 0;
        for (function, body) in self.bodies.iter().enumerate() {
            let old = self.body(function);
            text.push_str(&self.text[end..body.start]);
            text.push_str(&new(function, old).unwrap_or_else(|| old.into()));
            end = body.end;
        }
        text.push_str(&self.text[end..]);
        text
    }
}

/// Collects where bodies are, braces included, in order.
#[derive(Default)]
struct Bodies(Vec<Range<usize>>);

impl Bodies {
    /// Goes no deeper: what is in a body is part of it.
    fn note(&mut self, signature: &Signature, body: &Block) {
        if signature.constness.is_none() && !returns_type_of_its_own(&signature.output) {
            let braces = body.brace_token.span;
            self.0.push(braces.open().byte_range().start..braces.close().byte_range().end);
        }
    }
}

impl Visit<'_> for Bodies {
    fn visit_item_fn(&mut self, function: &ItemFn) {
        self.note(&function.sig, &function.block);
    }

    fn visit_impl_item_fn(&mut self, function: &ImplItemFn) {
        self.note(&function.sig, &function.block);
    }

    fn visit_trait_item_fn(&mut self, function: &TraitItemFn) {
        if let Some(body) = &function.default {
            self.note(&function.sig, body);
        }
    }
}

fn returns_type_of_its_own(result: &ReturnType) -> bool {
    struct Search(bool);
    impl Visit<'_> for Search {
        fn visit_type_impl_trait(&mut self, _: &TypeImplTrait) {
            self.0 = true;
        }
    }
    let mut search = Search(false);
    visit::visit_return_type(&mut search, result);
    search.0
}
