//! Tables of query parameters whose values logs do not show in the default form.

use std::ops::Deref;
use std::sync::LazyLock;

use rustc_hash::FxHashMap;

use super::form::{LogForm, LoggedLocation, LoggedParameter};
use crate::auth::compared_in_query;
use crate::auth::names::{self, NameTable};

/// Bytes that separate the parts of the name of an object's member.
const SEPARATORS: &[u8] = b".[]";

/// Names of query parameters, with the position of each name. A lookup also finds the names of
/// members. It takes time in proportion to the length of the request's name, regardless of the
/// number of names in the table.
#[derive(Clone, Debug)]
pub(super) struct MemberNames {
    whole: NameTable,
    /// Names as sequences of parts, as a trie. The first node is the root.
    nodes: Vec<Node>,
    /// Maps bytes that are equal in comparisons to the same byte.
    folded: fn(u8) -> u8,
}

/// Node of a trie of names.
#[derive(Clone, Debug, Default)]
struct Node {
    /// Position of the first name whose last part leads to this node.
    end: Option<usize>,
    /// Indexes of the next nodes, by the folded part of a name.
    next: FxHashMap<Box<[u8]>, usize>,
}

/// Query parameters of security schemes: their values are redacted.
#[derive(Clone, Debug)]
pub struct SecretParameters(MemberNames);

/// Parameters of an operation with a form for logs, prepared for lookups.
#[derive(Clone, Debug)]
pub struct LoggedParameters {
    all: Box<[LoggedParameter]>,
    /// Names of the query parameters that are redacted or hashed.
    hidden: MemberNames,
    /// Index in `all` of each name in `hidden`. Redacted parameters precede hashed ones.
    order: Box<[usize]>,
    /// Query parameters that are kept, with their indexes in `all`.
    kept: FxHashMap<Box<[u8]>, usize>,
}

// === impl MemberNames ===

impl MemberNames {
    /// Creates a table. Lookups treat names as equal if some server does.
    pub(super) fn new<'n>(all: impl Iterator<Item = &'n [u8]> + Clone) -> Self {
        let whole = NameTable::of_parameters(all.clone());
        Self::with(all, (whole, names::plain))
    }

    /// Like [`Self::new`]. Lookups also treat `-` and `_` as equal.
    pub(super) fn resembling<'n>(all: impl Iterator<Item = &'n [u8]> + Clone) -> Self {
        let whole = NameTable::of_resembling(all.clone());
        Self::with(all, (whole, names::resembling))
    }

    fn with<'n>(
        all: impl Iterator<Item = &'n [u8]>,
        (whole, folded): (NameTable, fn(u8) -> u8),
    ) -> Self {
        let mut table = Self {
            whole,
            nodes: vec![Node::default()],
            folded,
        };
        for (position, name) in all.enumerate() {
            table.add(name, position);
        }
        table
    }

    /// Adds the parts of a name to the trie.
    fn add(&mut self, name: &[u8], position: usize) {
        let mut at = 0;
        for part in parts(name) {
            let part = part.trim_ascii().iter().map(|byte| (self.folded)(*byte));
            let new = self.nodes.len();
            at = *self.nodes[at].next.entry(part.collect()).or_insert(new);
            if at == new {
                self.nodes.push(Node::default());
            }
        }
        if at > 0 {
            self.nodes[at].end.get_or_insert(position);
        }
    }

    /// Position of the first name that is equal to a decoded name, or whose parts are equal to
    /// consecutive parts of the decoded name. Parts are compared because some servers bind
    /// parameters to objects. They read `model[email]` and `model.email` as the member `email`, and
    /// `a[filter][id]` as `filter[id]`. Control characters are ignored, and the name is also
    /// compared up to the first one, because servers remove them or end the name there.
    pub(super) fn find(&self, name: &[u8]) -> Option<usize> {
        if self.whole.is_empty() {
            return None;
        }
        if !name.iter().any(u8::is_ascii_control) {
            return self.find_printable(name);
        }
        let printable: Vec<u8> = name
            .iter()
            .copied()
            .filter(|byte| !byte.is_ascii_control())
            .collect();
        let first = name.split(u8::is_ascii_control).next();
        let first = first.and_then(|first| self.find_printable(first));
        smaller(self.find_printable(&printable), first)
    }

    fn find_printable(&self, name: &[u8]) -> Option<usize> {
        let whole = self.whole.find(name);
        match name.iter().any(|byte| SEPARATORS.contains(byte)) {
            true => smaller(whole, self.find_run(name)),
            false => whole,
        }
    }

    /// Position of the first name whose parts are consecutive parts of `name`.
    fn find_run(&self, name: &[u8]) -> Option<usize> {
        let own: Vec<&[u8]> = parts(name).collect();
        let mut found = None;
        let (mut at, mut after) = (Vec::new(), Vec::new());
        for start in 0..own.len() {
            at.clear();
            at.push(0);
            for part in &own[start..] {
                after.clear();
                for node in &at {
                    self.follow(*node, part, &mut after);
                }
                std::mem::swap(&mut at, &mut after);
                if at.is_empty() {
                    break;
                }
                for node in &at {
                    found = smaller(found, self.nodes[*node].end);
                }
            }
        }
        found
    }

    /// Adds the nodes to which the forms of `part` lead from `node`. A part has at most four forms.
    fn follow(&self, node: usize, part: &[u8], after: &mut Vec<usize>) {
        let next = &self.nodes[node].next;
        if next.is_empty() {
            return;
        }
        compared_in_query(part, |form| -> Option<()> {
            names::steps::count();
            let form: Vec<u8> = form.iter().map(|byte| (self.folded)(*byte)).collect();
            let reached = next.get(&form[..]);
            after.extend(reached.filter(|reached| !after.contains(reached)));
            None
        });
    }
}

/// Smaller one of two positions.
fn smaller(one: Option<usize>, other: Option<usize>) -> Option<usize> {
    [one, other].into_iter().flatten().min()
}

/// Parts of a name, without separators.
fn parts(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    let all = name.split(|byte| SEPARATORS.contains(byte));
    all.filter(|part| !part.is_empty())
}

// === impl SecretParameters ===

impl SecretParameters {
    /// Creates the table of these names.
    #[must_use]
    pub fn new(names: &[impl AsRef<str>]) -> Self {
        Self(MemberNames::new(
            names.iter().map(|name| name.as_ref().as_bytes()),
        ))
    }

    /// Table without names.
    #[must_use]
    pub fn none() -> &'static Self {
        static NONE: LazyLock<SecretParameters> =
            LazyLock::new(|| SecretParameters::new(&[] as &[&str]));
        &NONE
    }

    /// True if servers could read a decoded name as one of the parameters, or as a member of one.
    pub(super) fn has(&self, name: &[u8]) -> bool {
        self.0.find(name).is_some()
    }
}

// === impl LoggedParameters ===

impl LoggedParameters {
    /// Prepares the parameters of an operation.
    #[must_use]
    pub fn new(all: &[LoggedParameter]) -> Self {
        let with = |form: LogForm| {
            let all = all.iter().enumerate();
            all.filter(move |(_, one)| one.place == LoggedLocation::Query && one.form == form)
        };
        // If several parameters match, the form that hides most applies.
        let hidden = with(LogForm::Redact).chain(with(LogForm::Hash));
        let mut kept: FxHashMap<Box<[u8]>, usize> = FxHashMap::default();
        for (index, one) in with(LogForm::Keep) {
            kept.entry(one.name.as_bytes().into()).or_insert(index);
        }
        Self {
            all: all.into(),
            hidden: MemberNames::new(hidden.clone().map(|(_, one)| one.name.as_bytes())),
            order: hidden.map(|(index, _)| index).collect(),
            kept,
        }
    }

    /// Operation without such parameters.
    #[must_use]
    pub fn none() -> &'static Self {
        static NONE: LazyLock<LoggedParameters> = LazyLock::new(|| LoggedParameters::new(&[]));
        &NONE
    }

    /// Query parameter whose form applies to a decoded name. Servers may assign the name to several
    /// parameters. If one of these parameters is redacted, the value is redacted, even if the
    /// parameter with the exact name shows the value. [`LogForm::Keep`] applies only to the exact
    /// name.
    pub(super) fn own_form(&self, name: &[u8]) -> Option<&LoggedParameter> {
        let hidden = self.hidden.find(name).map(|position| self.order[position]);
        let index = hidden.or_else(|| self.kept.get(name).copied())?;
        self.all.get(index)
    }
}

impl Deref for LoggedParameters {
    type Target = [LoggedParameter];

    fn deref(&self) -> &Self::Target {
        &self.all
    }
}

impl Default for &LoggedParameters {
    fn default() -> Self {
        LoggedParameters::none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(names: &[&str]) -> MemberNames {
        MemberNames::new(names.iter().map(|name| name.as_bytes()))
    }

    #[test]
    fn runs_of_parts_are_found() {
        let names = table(&["email", "filter[tax]", "filter.tax.id", "..", "!a.b"]);
        for (name, expected) in [
            ("email", Some(0)),
            ("x[Email][y]", Some(0)),
            ("x.!email", Some(0)),
            ("x[ email ]", Some(0)),
            ("emails", None),
            ("x[emails]", None),
            ("filter[tax][id]", Some(1)),
            ("a.filter.TAX", Some(1)),
            ("a[filter]x[tax]", None),
            ("tax.id", None),
            ("filter[email]", Some(0)),
            ("x.!a[b]", Some(4)),
            ("x.a[b]", None),
            ("..", Some(3)),
            ("...", None),
            ("[]", None),
            ("em\0ail", Some(0)),
            ("email\0x", Some(0)),
        ] {
            assert_eq!(names.find(name.as_bytes()), expected, "{name:?}");
        }
    }

    #[test]
    fn lookups_do_not_grow_with_the_parameters() {
        let all: Vec<LoggedParameter> = (0..1_000)
            .map(|number| LoggedParameter {
                place: LoggedLocation::Query,
                name: format!("x{number}[a]"),
                form: LogForm::Redact,
            })
            .collect();
        let lookups = |count: usize| {
            let own = LoggedParameters::new(&all[..count]);
            names::steps::of(|| assert!(own.own_form(b"x.a.b[c][d]").is_none()))
        };
        assert_eq!(lookups(1_000), lookups(1));
    }
}
