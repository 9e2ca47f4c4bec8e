//! Source locations of the schemas of a contract. Kept in memory for the reports of one run; never
//! part of a bundle.
//!
//! The contract merges equal schemas. This table has one entry (site) for each schema in the
//! document. A report therefore names the schema at the path in the message, and not another schema
//! with equal content.

use std::collections::BTreeMap;

use diag::{FileId, Sources, Span};
use rustc_hash::FxHashMap;

use crate::place::Place;

/// Source locations of one API's contract.
#[derive(Clone, Debug, Default)]
pub struct Sites {
    files: Vec<String>,
    sites: Vec<Site>,
    /// Source location of each part, by the key of its operation and the name of the part, such as
    /// `body application/json`.
    parts: BTreeMap<(String, String), At>,
    /// Site of the schema of each part, as an index into `sites`, by the key of the operation and
    /// the name of the part.
    roots: BTreeMap<(String, String), u32>,
}

#[derive(Clone, Debug)]
struct Site {
    at: Option<At>,
    /// Number of the schema in the contract. `None`: the contract does not contain the schema.
    number: Option<u32>,
    /// Indices of the sites of inner schemas, by the keyword and name that lead to them, such as
    /// `properties/price` or `items`.
    inner: Vec<(Box<str>, u32)>,
}

/// Source location: index of the file, line, and column.
type At = (u32, u32, u32);

impl Sites {
    /// Source location of a part of an operation, such as its body. `None` if the location is
    /// unknown.
    #[must_use]
    pub fn part(&self, operation: &str, part: &str) -> Option<Place> {
        let key = (operation.to_owned(), part.to_owned());
        self.place(*self.parts.get(&key)?)
    }

    /// Source location of the schema at the end of a path. Each step consists of the keyword and
    /// name, and the number of the schema in the contract. If a step leads to no known schema,
    /// returns the location of the schema before the step.
    #[must_use]
    pub fn schema(&self, operation: &str, part: &str, steps: &[(&str, u32)]) -> Option<Place> {
        let key = (operation.to_owned(), part.to_owned());
        let mut site = *self.roots.get(&key)?;
        for (step, number) in steps {
            let Some(next) = self.inner(site, step, *number, 0) else {
                break;
            };
            site = next;
        }
        self.place(self.sites.get(site as usize)?.at?)
    }

    /// Schema to which a step leads from the schema of a site. Also follows `allOf` and `$ref` of
    /// that schema. `number` selects one schema if there are several.
    fn inner(&self, site: u32, step: &str, number: u32, depth: usize) -> Option<u32> {
        const DEPTH_MAX: usize = 8;
        let own = &self.sites.get(site as usize)?.inner;
        let mut named = own.iter().filter(|(name, _)| **name == *step);
        let is_it = |(_, site): &&(Box<str>, u32)| {
            let site = self.sites.get(*site as usize);
            site.is_some_and(|site| site.number == Some(number))
        };
        let found = named.clone().find(is_it).or_else(|| named.next());
        if let Some((_, found)) = found {
            return Some(*found);
        }
        if depth == DEPTH_MAX {
            return None;
        }
        let mut wrapped = own
            .iter()
            .filter(|(name, _)| matches!(&**name, "allOf" | "$ref"));
        wrapped.find_map(|(_, site)| self.inner(*site, step, number, depth + 1))
    }

    fn place(&self, (file, line, column): At) -> Option<Place> {
        Some(Place {
            file: self.files.get(file as usize)?.clone(),
            line,
            column,
        })
    }
}

/// Schema while the document is read: its source location, and the sites of its inner schemas.
#[derive(Default)]
struct Draft {
    span: Option<Span>,
    inner: Vec<(Box<str>, u32)>,
}

/// Collector of the sites while a document is read.
#[derive(Default)]
pub(super) struct Drafts {
    sites: Vec<Draft>,
    parts: BTreeMap<(String, String), Span>,
    roots: BTreeMap<(String, String), u32>,
    /// Part that is being read: the key of the operation, and the name of the part.
    part: (String, String),
    /// Schema that is being read, with the keyword and name of the next inner schema.
    owner: Option<u32>,
    step: String,
    /// Source location of the key that contains the next inner schema.
    next: Option<Span>,
}

impl Drafts {
    /// Sets the operation to which the following parts and schemas belong.
    pub(super) fn operation(&mut self, key: &str) {
        key.clone_into(&mut self.part.0);
    }

    /// Sets the part of the operation to which the following schemas belong, with its source
    /// location.
    pub(super) fn part(&mut self, part: String, span: Span) {
        self.part.1 = part;
        self.parts.insert(self.part.clone(), span);
        self.owner = None;
    }

    /// Sets the keyword and name that lead to the next inner schema.
    pub(super) fn step(&mut self, keyword: &str, name: Option<&str>) {
        self.step.clear();
        self.step.push_str(keyword);
        if let Some(name) = name {
            self.step.push('/');
            self.step.push_str(name);
        }
    }

    /// Keyword, and name if any, that [`Self::step`] set last.
    pub(super) fn keyword(&self) -> String {
        self.step.clone()
    }

    /// Sets the key that contains the next inner schema. Has no effect if the schema is in another
    /// file or the target of a reference.
    pub(super) fn next_at(&mut self, span: Span) {
        self.next = Some(span);
    }

    /// Adds the source location of a schema: inside the current schema, or as the root of the
    /// current part. `id` is the schema's number while the document is read.
    pub(super) fn add(&mut self, id: u32, span: Span, is_referred: bool) {
        let at = id as usize;
        if self.sites.len() <= at {
            self.sites.resize_with(at + 1, Default::default);
        }
        // The target of a reference is not at the key that contains the reference.
        let key = self
            .next
            .take()
            .filter(|key| !is_referred && key.file == span.file);
        self.sites[at].span.get_or_insert(key.unwrap_or(span));
        match self.owner {
            Some(owner) => self.sites[owner as usize]
                .inner
                .push((self.step.as_str().into(), id)),
            None => {
                self.roots.entry(self.part.clone()).or_insert(id);
            }
        }
    }

    /// Makes a schema the current one. Returns the former state, which [`Self::leave`] restores.
    pub(super) fn enter(&mut self, id: u32) -> (Option<u32>, String) {
        let at = id as usize;
        if self.sites.len() <= at {
            self.sites.resize_with(at + 1, Default::default);
        }
        (self.owner.replace(id), std::mem::take(&mut self.step))
    }

    /// Restores the state that [`Self::enter`] returned.
    pub(super) fn leave(&mut self, (owner, step): (Option<u32>, String)) {
        self.owner = owner;
        self.step = step;
    }

    /// Completes the table and returns it. `number` contains the number of each schema in the
    /// contract.
    pub(super) fn finish(self, sources: &Sources, number: &[Option<u32>]) -> Sites {
        let mut files = Vec::new();
        let mut known: FxHashMap<FileId, u32> = FxHashMap::default();
        let mut at = |span: Span| {
            let file = *known.entry(span.file).or_insert_with(|| {
                files.push(sources.file(span.file).path().to_owned());
                u32::try_from(files.len() - 1).unwrap_or(u32::MAX)
            });
            let position = sources.position(span);
            (file, position.line, position.column)
        };
        let parts = self.parts.into_iter();
        let parts = parts.map(|(part, span)| (part, at(span))).collect();
        let sites = self.sites.into_iter().enumerate();
        let sites = sites.map(|(id, draft)| Site {
            at: draft.span.map(&mut at),
            number: number.get(id).copied().flatten(),
            inner: draft.inner,
        });
        let sites = sites.collect();
        Sites {
            files,
            sites,
            parts,
            roots: self.roots,
        }
    }
}
