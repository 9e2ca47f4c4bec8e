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
    /// `properties/price` or `items`. Sorted by name; sites of one name are in the order of the
    /// document.
    inner: Vec<(Box<str>, u32)>,
    /// Indices of the sites in `allOf` and `$ref`, in the order of the document.
    wrapped: Vec<u32>,
}

/// Maximum number of schemas that are searched for one step of a path, through `allOf` and `$ref`.
const SEARCHED_MAX: usize = 1_000;

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
            let mut left = SEARCHED_MAX;
            let Some(next) = self.inner((site, 0), (step, *number), &mut left) else {
                break;
            };
            site = next;
        }
        self.place(self.sites.get(site as usize)?.at?)
    }

    /// Schema to which a step leads from the schema of a site. Also follows `allOf` and `$ref` of
    /// that schema, whose number is `depth`. The number in the step selects one schema if there are
    /// several. Subtracts the searched schemas from `left`.
    fn inner(
        &self,
        (site, depth): (u32, usize),
        (step, number): (&str, u32),
        left: &mut usize,
    ) -> Option<u32> {
        const DEPTH_MAX: usize = 8;
        *left = left.checked_sub(1)?;
        let Site { inner, wrapped, .. } = self.sites.get(site as usize)?;
        let from = inner.partition_point(|(name, _)| **name < *step);
        let mut named = inner[from..].iter().take_while(|(name, _)| **name == *step);
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
        let mut wrapped = wrapped.iter();
        wrapped.find_map(|site| self.inner((*site, depth + 1), (step, number), left))
    }

    fn place(&self, (file, line, column): At) -> Option<Place> {
        Some(Place {
            file: self.files.get(file as usize)?.clone(),
            line,
            column,
        })
    }
}

impl Site {
    /// Creates a site with these inner schemas, which are in the order of the document.
    fn new(at: Option<At>, number: Option<u32>, mut inner: Vec<(Box<str>, u32)>) -> Self {
        let wrapped = inner.iter();
        let wrapped = wrapped.filter(|(name, _)| matches!(&**name, "allOf" | "$ref"));
        let wrapped = wrapped.map(|(_, site)| *site).collect();
        // The sort keeps the order of equal names.
        inner.sort_by(|(one, _), (other, _)| one.cmp(other));
        Self {
            at,
            number,
            inner,
            wrapped,
        }
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
        let sites = sites.map(|(id, draft)| {
            let number = number.get(id).copied().flatten();
            Site::new(draft.span.map(&mut at), number, draft.inner)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Sites with these inner schemas. The number of each schema is its index.
    fn sites(inner: &[&[(&str, u32)]]) -> Sites {
        let all = inner.iter().zip(0..);
        let all = all.map(|(inner, number)| {
            let inner = inner.iter().map(|(name, site)| ((*name).into(), *site));
            Site::new(Some((0, number, 0)), Some(number), inner.collect())
        });
        Sites {
            sites: all.collect(),
            ..Sites::default()
        }
    }

    fn found(sites: &Sites, step: (&str, u32)) -> (Option<u32>, usize) {
        let mut left = SEARCHED_MAX;
        let found = sites.inner((0, 0), step, &mut left);
        (found, SEARCHED_MAX - left)
    }

    #[test]
    fn steps_lead_to_schemas_by_name_and_number() {
        let root: &[(&str, u32)] = &[
            ("properties/b", 1),
            ("anyOf", 3),
            ("allOf", 4),
            ("properties/a", 2),
            ("anyOf", 2),
            ("$ref", 5),
        ];
        let sites = sites(&[root, &[], &[], &[], &[("items", 1)], &[("items", 2)]]);
        assert_eq!(found(&sites, ("properties/a", 9)), (Some(2), 1));
        assert_eq!(found(&sites, ("anyOf", 2)), (Some(2), 1));
        assert_eq!(found(&sites, ("anyOf", 9)), (Some(3), 1), "the first one");
        assert_eq!(
            found(&sites, ("items", 9)),
            (Some(1), 2),
            "`allOf` is first"
        );
        assert_eq!(found(&sites, ("not", 9)), (None, 3));
    }

    #[test]
    fn repeated_alternatives_end_at_the_limit() {
        // Each schema contains itself twenty times: 20^8 paths of `allOf`.
        let sites = sites(&[&[("allOf", 0); 20]]);
        assert_eq!(found(&sites, ("items", 9)), (None, SEARCHED_MAX));
    }
}
