//! Variables: `${var:NAME}` instead of a scalar, in gateway.yaml and in `x-gateway`.
//!
//! A variable is always a whole scalar. Its value replaces the scalar in the tree before the field
//! is read, so any field can use variables. In gateway.yaml, a copy of the tree is changed, because
//! each environment has other values. Documents are changed in place, because one run compiles them
//! for one environment only.

use std::collections::{BTreeMap, BTreeSet};

use diag::{Diagnostic, Kind, NodeId, NodeRef, Sink, Span, Tree, suggest};

use super::{Environment, Origins, Scope, entries};
use sources::project::files::Files;
use vocab::environment_lints::{
    UNKNOWN_VARIABLE, UNUSED_VARIABLE, VARIABLE_INSIDE_TEXT, VARIABLE_WITHOUT_VALUE,
};

/// Start of a variable.
const OPEN: &str = "${var:";

/// Source location of the first use of each variable.
type Uses = BTreeMap<String, Span>;

/// Values and uses of the variables (`${var:NAME}`) in gateway.yaml and in documents.
#[derive(Debug)]
pub struct Variables {
    /// Values and uses of variables in each environment, in the order of gateway.yaml.
    given: Vec<Given>,
    /// Index of the chosen environment in `given`. `None`: no environment is chosen.
    current: Option<usize>,
    /// Values that replace variables in documents, by the name of the variable.
    values: BTreeMap<String, NodeId>,
    /// Variables that gateway.yaml uses if no environment is selected.
    base: Uses,
    /// Variables that documents use.
    documents: Uses,
}

/// Values that one environment defines, and variables that it uses.
#[derive(Debug)]
struct Given {
    name: String,
    span: Span,
    /// Values, with the spans of the variables' names.
    values: BTreeMap<String, (Span, NodeId)>,
    /// Variables that gateway.yaml uses after the environment's patch was applied.
    used: Uses,
}

impl Variables {
    pub(super) fn of(files: &Files, environments: &[Environment], current: Option<usize>) -> Self {
        let given: Vec<Given> = environments
            .iter()
            .map(|environment| {
                let vars = files.tree.at(environment.node).get("vars");
                let vars = vars.into_iter().flat_map(NodeRef::entries);
                Given {
                    name: environment.name.clone(),
                    span: environment.span,
                    values: vars
                        .map(|(entry, value)| (entry.key.to_string(), (entry.key_span, value.id())))
                        .collect(),
                    used: Uses::new(),
                }
            })
            .collect();
        // Without an environment, a variable has the value of the first environment that defines
        // it.
        let mut values = BTreeMap::new();
        let counting = given
            .iter()
            .enumerate()
            .filter(|(index, _)| current.is_none_or(|current| current == *index));
        for (_, given) in counting {
            for (name, (_, value)) in &given.values {
                values.entry(name.clone()).or_insert(*value);
            }
        }
        Self {
            given,
            current,
            values,
            base: Uses::new(),
            documents: Uses::new(),
        }
    }

    /// Variables of a document without a project, which have no values.
    #[must_use]
    pub fn unknown() -> Self {
        Self {
            given: Vec::new(),
            current: None,
            values: BTreeMap::new(),
            base: Uses::new(),
            documents: Uses::new(),
        }
    }

    /// Replaces the variables in gateway.yaml without an environment. Documents get the same
    /// values.
    pub(super) fn fill_base(
        &mut self,
        files: &mut Files,
        root: NodeId,
        origins: &mut Origins,
        sink: &mut Sink,
    ) -> NodeId {
        let mut used = std::mem::take(&mut self.base);
        let filled = self
            .filling(&self.values, &mut used, origins, sink)
            .root(files, root);
        self.base = used;
        filled
    }

    /// Replaces the variables in a patched gateway.yaml by the values of its environment.
    pub(super) fn fill_patched(
        &mut self,
        files: &mut Files,
        root: NodeId,
        environment: usize,
        origins: &mut Origins,
        sink: &mut Sink,
    ) -> NodeId {
        let values = self.given[environment].values.iter();
        let values = values
            .map(|(name, (_, value))| (name.clone(), *value))
            .collect();
        let mut used = Uses::new();
        let filled = self
            .filling(&values, &mut used, origins, sink)
            .root(files, root);
        self.given[environment].used = used;
        filled
    }

    /// Replaces the variables in every `x-gateway` that was read, in place.
    pub fn fill_documents(&mut self, files: &mut Files, origins: &mut Origins, sink: &mut Sink) {
        let mut texts = files.sources.iter().map(|(_, file)| file.text());
        if !texts.any(|text| text.contains(OPEN)) {
            return;
        }
        let extensions = files.tree.nodes().filter_map(|node| node.get("x-gateway"));
        let mut waiting: Vec<NodeId> = extensions.map(NodeRef::id).collect();
        let mut seen = BTreeSet::new();
        let mut used = std::mem::take(&mut self.documents);
        let mut filling = self.filling(&self.values, &mut used, origins, sink);
        while let Some(id) = waiting.pop() {
            if !seen.insert(id) {
                continue;
            }
            let node = files.tree.at(id);
            filling.keys(node);
            waiting.extend(node.entries().map(|(_, value)| value.id()));
            waiting.extend(node.items().map(NodeRef::id));
            if let Some(kind) = filling.value(files, id) {
                files.tree.node_mut(id).kind = kind;
            }
        }
        self.documents = used;
    }

    /// First variable that is used, and the source location of its first use, if no environment is
    /// chosen. No bundle can then be built, because only environments give values to variables.
    /// `None` in an environment.
    #[must_use]
    pub fn open(&self) -> Option<(&str, Span)> {
        let used = self.base.iter().chain(&self.documents);
        let first = used.min_by_key(|(_, span)| **span)?;
        self.current
            .is_none()
            .then_some((first.0.as_str(), *first.1))
    }

    /// Reports variables that have no value in some environment, and values that are never used, in
    /// the environments of the scope. Call this after all variables were replaced.
    pub fn check(&self, tree: &Tree, scope: Scope, sink: &mut Sink) {
        let known = self.known();
        let given = self.given.iter().enumerate();
        let given =
            given.filter(|(index, _)| scope == Scope::Every || self.current == Some(*index));
        for (_, given) in given {
            let used: Uses = given
                .used
                .iter()
                .chain(&self.documents)
                .map(|(name, span)| (name.clone(), *span))
                .collect();
            for (name, span) in &used {
                if known.contains(name.as_str()) && !given.values.contains_key(name) {
                    sink.push(
                        Diagnostic::new(
                            &VARIABLE_WITHOUT_VALUE,
                            given.span,
                            format!("the environment `{}` has no value for `{name}`", given.name),
                        )
                        .related(*span, format!("`${{var:{name}}}` is used here"))
                        .help(format!("write `{name}: …` under its `vars`")),
                    );
                }
            }
            for (name, (span, value)) in &given.values {
                let text = tree.at(*value).as_str();
                if text.is_some_and(|text| text.contains(OPEN)) {
                    sink.push(inside_text(
                        tree.at(*value).span(),
                        "the value of a variable cannot be a variable",
                    ));
                }
                if !used.contains_key(name) {
                    sink.push(
                        Diagnostic::new(
                            &UNUSED_VARIABLE,
                            *span,
                            format!("the variable `{}` is never used", name.escape_debug()),
                        )
                        .help(format!(
                            "write `${{var:{}}}` where it belongs, or remove it",
                            name.escape_debug()
                        )),
                    );
                }
            }
        }
    }

    fn filling<'f>(
        &'f self,
        values: &'f BTreeMap<String, NodeId>,
        used: &'f mut Uses,
        origins: &'f mut Origins,
        sink: &'f mut Sink,
    ) -> Filling<'f> {
        Filling {
            known: self.known(),
            values,
            used,
            origins,
            sink,
        }
    }

    /// Names of all variables that at least one environment defines.
    fn known(&self) -> BTreeSet<&str> {
        let names = self.given.iter().flat_map(|given| given.values.keys());
        names.map(String::as_str).collect()
    }
}

/// State while variables in one tree are replaced.
struct Filling<'f> {
    known: BTreeSet<&'f str>,
    values: &'f BTreeMap<String, NodeId>,
    used: &'f mut Uses,
    origins: &'f mut Origins,
    sink: &'f mut Sink,
}

impl Filling<'_> {
    /// Replaces the variables in gateway.yaml, except in `environments`, which defines them.
    fn root(&mut self, files: &mut Files, root: NodeId) -> NodeId {
        let mut top = entries(files.tree.at(root));
        self.keys(files.tree.at(root));
        for entry in top.iter_mut().filter(|entry| &*entry.key != "environments") {
            entry.value = self.copy(files, entry.value);
        }
        if !files.tree.at(root).is_map() {
            return root;
        }
        let span = files.tree.at(root).span();
        files.tree.push(span, Kind::Map(top))
    }

    /// Returns a copy of a value with variables replaced. Returns the value itself if it contains
    /// no variables.
    fn copy(&mut self, files: &mut Files, id: NodeId) -> NodeId {
        let span = files.tree.at(id).span();
        self.keys(files.tree.at(id));
        let kind = match files.tree.at(id).kind().clone() {
            Kind::Map(mut fields) => {
                let mut changed = false;
                for field in &mut fields {
                    let value = self.copy(files, field.value);
                    changed |= value != field.value;
                    field.value = value;
                }
                changed.then_some(Kind::Map(fields))
            }
            Kind::List(mut items) => {
                let mut changed = false;
                for item in &mut items {
                    let value = self.copy(files, *item);
                    changed |= value != *item;
                    *item = value;
                }
                changed.then_some(Kind::List(items))
            }
            _ => self.value(files, id),
        };
        match kind {
            Some(kind) => files.tree.push(span, kind),
            None => id,
        }
    }

    /// Resolves a scalar that is a variable with a value, and returns this value. A variable
    /// without a value is not replaced; findings about its field are suppressed. Reports a variable
    /// that no environment defines.
    fn value(&mut self, files: &Files, id: NodeId) -> Option<Kind> {
        let node = files.tree.at(id);
        let text = node.as_str().filter(|text| text.contains(OPEN))?;
        let span = node.span();
        if !named(text).is_some_and(|name| self.values.contains_key(name)) {
            self.origins.open.insert(span);
        }
        let Some(name) = named(text) else {
            self.sink
                .push(inside_text(span, "a variable must be a whole value"));
            return None;
        };
        self.used.entry(name.to_owned()).or_insert(span);
        if let Some(value) = self.values.get(name) {
            let value = files.tree.at(*value);
            self.origins
                .set
                .insert(span, (name.to_owned(), value.span()));
            return Some(value.kind().clone());
        }
        if !self.known.contains(name) {
            let finding = Diagnostic::new(
                &UNKNOWN_VARIABLE,
                span,
                format!("there is no variable `{}`", name.escape_debug()),
            );
            let near = suggest::nearest(name, self.known.iter().copied());
            self.sink.push(match near {
                Some(near) => finding
                    .label(format!("did you mean `{near}`?"))
                    .fix(span, format!("${{var:{near}}}")),
                None => finding.help("environments give variables their values, under `vars`"),
            });
        }
        None
    }

    /// Reports variables in keys, where they have no effect.
    fn keys(&mut self, node: NodeRef<'_>) {
        for (entry, _) in node.entries().filter(|(entry, _)| entry.key.contains(OPEN)) {
            self.sink
                .push(inside_text(entry.key_span, "a key cannot be a variable"));
        }
    }
}

/// Returns NAME if the whole text is `${var:NAME}`.
fn named(text: &str) -> Option<&str> {
    let name = text.strip_prefix(OPEN)?.strip_suffix('}')?;
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (!name.is_empty() && name.bytes().all(letter)).then_some(name)
}

fn inside_text(span: Span, message: &str) -> Diagnostic {
    Diagnostic::new(&VARIABLE_INSIDE_TEXT, span, message)
        .label("`${var:NAME}` and nothing else, NAME of letters, digits and `_`")
        .help("let the variable be the whole value, for example the whole URL")
}
