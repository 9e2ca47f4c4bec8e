//! Names and their uses. An undefined name is an error, whose message suggests the most similar
//! defined name. An unused name is a warning at its definition.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use diag::shape::{self, Role, Shape, UNKNOWN_KEY};
use diag::{Diagnostic, Lint, NodeRef, Sink, Span, suggest};

use vocab::lints::{
    SHADOWED_NAME, UNKNOWN_AUTH, UNKNOWN_LISTENER, UNKNOWN_PLAN, UNKNOWN_POLICY, UNKNOWN_STORE,
    UNKNOWN_UPSTREAM, UNUSED_DEFINITION, WRONG_KIND,
};

/// Kind of named definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Policy of a chain.
    Policy,
    /// Upstream service.
    Upstream,
    /// Verifier of credentials.
    Verifier,
    /// Listener of the gateway.
    Listener,
    /// Store of shared counters and caches.
    Store,
    /// Consumer plan: a named set of limits for consumers.
    Plan,
}

/// All kinds, with the key under which they are defined.
const KINDS: [(Kind, &str); 6] = [
    (Kind::Policy, "policies"),
    (Kind::Upstream, "upstreams"),
    (Kind::Verifier, "auth"),
    (Kind::Listener, "listeners"),
    (Kind::Store, "stores"),
    (Kind::Plan, "plans"),
];

/// Names defined in one file, by kind.
#[derive(Debug)]
pub struct AllNames([Names; KINDS.len()]);

/// Defined names of one kind.
#[derive(Debug)]
pub struct Names {
    kind: Kind,
    defined: BTreeMap<String, Definition>,
    /// True if the key that contains the definitions is misspelt. The misspelling is reported, and
    /// undefined names are then not reported.
    misspelt: bool,
}

#[derive(Debug)]
struct Definition {
    span: Span,
    /// True if at least one API uses the name. Atomic, because APIs are resolved in parallel.
    used: AtomicBool,
}

impl Kind {
    /// Noun for messages: `policy`, `upstream`, …
    fn noun(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Upstream => "upstream",
            Self::Verifier => "verifier",
            Self::Listener => "listener",
            Self::Store => "store",
            Self::Plan => "plan",
        }
    }

    /// Noun with its article, as in [`Shape::Name`]: `a policy`, `an upstream`, …
    fn article(self) -> &'static str {
        match self {
            Self::Policy => "a policy",
            Self::Upstream => "an upstream",
            Self::Verifier => "a verifier",
            Self::Listener => "a listener",
            Self::Store => "a store",
            Self::Plan => "a plan",
        }
    }

    /// Rule that reports an undefined name of this kind.
    fn unknown(self) -> &'static Lint {
        match self {
            Self::Policy => &UNKNOWN_POLICY,
            Self::Upstream => &UNKNOWN_UPSTREAM,
            Self::Verifier => &UNKNOWN_AUTH,
            Self::Listener => &UNKNOWN_LISTENER,
            Self::Store => &UNKNOWN_STORE,
            Self::Plan => &UNKNOWN_PLAN,
        }
    }
}

/// Keys under which names are defined, with the kind of the names in [`Shape::Name`].
pub fn sections() -> impl Iterator<Item = (&'static str, &'static str)> {
    KINDS.iter().map(|(kind, key)| (*key, kind.article()))
}

impl AllNames {
    /// Collects the names that gateway.yaml or a document's `x-gateway` defines.
    #[must_use]
    pub fn of(root: Option<NodeRef<'_>>) -> Self {
        Self(KINDS.map(|(kind, key)| {
            let node = root.and_then(|root| root.get(key));
            let entries = node.into_iter().flat_map(NodeRef::entries);
            let mut names = Names::new(
                kind,
                entries.map(|(entry, _)| (entry.key.to_string(), entry.key_span)),
            );
            let is_misspelt = |written: &str| {
                let known = KINDS.iter().all(|(_, known)| *known != written);
                known && suggest::nearest(written, [key]).is_some()
            };
            names.misspelt = node.is_none()
                && root
                    .is_some_and(|root| root.entries().any(|(entry, _)| is_misspelt(&entry.key)));
            names
        }))
    }

    /// Names of one kind.
    #[must_use]
    pub fn kind(&self, kind: Kind) -> &Names {
        let at = KINDS.iter().position(|(known, _)| *known == kind);
        &self.0[at.expect("every kind is in the table")]
    }

    /// Defines a built-in name. Has no effect if the file defines the name.
    pub fn define(&mut self, kind: Kind, name: &str, at: Span) {
        let names = self.0.iter_mut().find(|names| names.kind == kind);
        let names = names.expect("every kind is in the table");
        if !names.defined.contains_key(name) {
            names.defined.insert(name.to_owned(), Definition::at(at));
            names.knows(name);
        }
    }

    /// Reports a name that is not defined. `own` contains the definitions of the document. The
    /// message mentions a definition of another kind with this name.
    fn resolve(&self, own: Option<&Self>, kind: Kind, name: &str, span: Span, sink: &mut Sink) {
        let names = self.kind(kind);
        if names.misspelt || names.knows(name) {
            return;
        }
        let all = own.into_iter().chain([self]).flat_map(|all| &all.0);
        let others = all.filter(|other| other.kind != kind);
        names.report_unknown(name, span, own.map(|own| own.kind(kind)), others, sink);
    }

    /// Resolves every name in a node.
    pub fn resolve_all(&self, node: NodeRef<'_>, shape: &'static Shape, sink: &mut Sink) {
        shape::names(node, shape, &mut |name| {
            self.resolve_name(None, name, sink);
        });
    }

    /// Resolves every name in an `x-gateway`. Definitions of the document (`own`) take precedence.
    pub fn resolve_in(
        &self,
        own: &Self,
        node: NodeRef<'_>,
        object: &'static shape::Object,
        sink: &mut Sink,
    ) {
        shape::names_of(node, object, &mut |name| {
            self.resolve_name(Some(own), name, sink);
        });
    }

    fn resolve_name(&self, own: Option<&Self>, name: shape::Name<'_>, sink: &mut Sink) {
        let ([word], Role::Reference) = (name.kinds, name.role) else {
            return;
        };
        let (article, built_in) = word.split_once(" or ").unwrap_or((word, ""));
        let Some((kind, _)) = KINDS.iter().find(|(kind, _)| kind.article() == article) else {
            return;
        };
        // A variable `${var:NAME}` without a value was already reported.
        if built_in.trim_matches('`') == name.text || name.text.starts_with("${") {
            return;
        }
        let is_own = |own: &Self| own.kind(*kind).misspelt || own.kind(*kind).knows(name.text);
        if !own.is_some_and(is_own) {
            self.resolve(own, *kind, name.text, name.span, sink);
        }
    }

    /// Marks the names as used that `other` uses. `other` contains the names of the same file in
    /// another environment.
    pub fn absorb(&self, other: &Self) {
        for (own, other) in self.0.iter().zip(&other.0) {
            own.absorb(other);
        }
    }

    /// Reports names that both the document and gateway.yaml define.
    pub fn report_shadows(&self, gateway: &Self, sink: &mut Sink) {
        for (own, shared) in self.0.iter().zip(&gateway.0) {
            for (name, definition) in &own.defined {
                let Some(first) = shared.defined(name) else {
                    continue;
                };
                sink.push(
                    Diagnostic::new(
                        &SHADOWED_NAME,
                        definition.span,
                        format!(
                            "gateway.yaml already defines `{name}` as {}",
                            own.kind.article()
                        ),
                    )
                    .related(first, "it is defined here")
                    .help("give this one another name"),
                );
            }
        }
    }

    /// Reports unused names. Reports no name if there is a finding about an unknown key, because a
    /// misspelt key may contain the use of a name.
    pub fn report_unused(&self, sink: &mut Sink) {
        let unknown = |finding: &Diagnostic| std::ptr::eq(finding.lint, &UNKNOWN_KEY);
        if sink.findings().iter().any(unknown) {
            return;
        }
        for names in &self.0 {
            names.report_unused(sink);
        }
    }
}

impl Definition {
    fn at(span: Span) -> Self {
        Self {
            span,
            used: AtomicBool::new(false),
        }
    }
}

impl Names {
    fn new(kind: Kind, defined: impl Iterator<Item = (String, Span)>) -> Self {
        Self {
            kind,
            defined: defined
                .map(|(name, span)| (name, Definition::at(span)))
                .collect(),
            misspelt: false,
        }
    }

    /// Source location where a name is defined.
    #[must_use]
    pub fn defined(&self, name: &str) -> Option<Span> {
        self.defined.get(name).map(|definition| definition.span)
    }

    /// Marks all names as used.
    pub fn use_all(&self) {
        for name in self.defined.keys() {
            self.knows(name);
        }
    }

    /// True if `name` is defined. Marks the name as used.
    pub fn knows(&self, name: &str) -> bool {
        let definition = self.defined.get(name);
        if let Some(definition) = definition {
            // Write the flag only once, because several threads share its cache line.
            if !definition.used.load(Ordering::Relaxed) {
                definition.used.store(true, Ordering::Relaxed);
            }
        }
        definition.is_some()
    }

    fn report_unknown<'n>(
        &self,
        name: &str,
        span: Span,
        own: Option<&'n Self>,
        mut others: impl Iterator<Item = &'n Self>,
        sink: &mut Sink,
    ) {
        let shown = name.escape_debug();
        let wanted = self.kind.article();
        if let Some(other) = others.find(|other| other.defined.contains_key(name)) {
            sink.push(
                Diagnostic::new(
                    &WRONG_KIND,
                    span,
                    format!("`{shown}` is not {wanted} but {}", other.kind.article()),
                )
                .label(format!("{wanted} is needed here"))
                .related(
                    other.defined[name].span,
                    format!("`{shown}` is defined here"),
                ),
            );
            return;
        }
        let noun = self.kind.noun();
        let mut finding = Diagnostic::new(
            self.kind.unknown(),
            span,
            format!("there is no {noun} `{shown}`"),
        );
        let known = || own.into_iter().chain([self]);
        let words = || known().flat_map(|names| names.defined.keys().map(String::as_str));
        let near = suggest::nearest(name, words());
        let near = near.and_then(|near| {
            // Mark the suggested name as used, so that it is not also reported as unused.
            let names = known().find(|names| names.knows(near))?;
            Some((near, names.defined(near)?))
        });
        finding =
            match near {
                Some((near, at)) => finding
                    .label(format!("did you mean `{near}`?"))
                    .related(at, format!("`{near}` is defined here"))
                    .fix(span, near)
                    .help(format!("write `{near}`")),
                None => finding.label(format!("not {wanted} of this project")).help(
                    match words().next() {
                        None => format!("define `{shown}` in gateway.yaml"),
                        Some(_) => format!(
                            "write {}, or define `{shown}` in gateway.yaml",
                            suggest::choice(words(), 8)
                        ),
                    },
                ),
            };
        sink.push(finding);
    }

    /// Marks the names as used that `other` uses. `other` contains the names of the same file in
    /// another environment.
    pub fn absorb(&self, other: &Self) {
        let used = |definition: &Definition| definition.used.load(Ordering::Relaxed);
        for (name, _) in other.defined.iter().filter(|(_, one)| used(one)) {
            self.knows(name);
        }
    }

    fn report_unused(&self, sink: &mut Sink) {
        for (name, definition) in &self.defined {
            if definition.used.load(Ordering::Relaxed) {
                continue;
            }
            sink.push(
                Diagnostic::new(
                    &UNUSED_DEFINITION,
                    definition.span,
                    format!("the {} `{name}` is never used", self.kind.noun()),
                )
                .help("use it or remove it"),
            );
        }
    }
}
