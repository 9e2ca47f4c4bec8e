//! Rule for a component that the document does not use.

use std::collections::HashSet;

use diag::{Diagnostic, Level, Lint, NodeId, NodeRef, Sink};

use crate::lint::Whole;
use crate::spec::reference::{Resolver, reference};
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0733",
    name: "unused-component",
    level: Level::Warn,
    summary: "a component that the document does not use",
    explain: "The document's paths, webhooks and security, and everything that they refer to, \
contain no reference to the component. A component that only unused components refer to is unused \
as well. Other documents may refer to the component, so this rule is off by default.",
    bad: v30!("paths: {}\ncomponents: {schemas: {A: {type: string}}}\n"),
    good: v30!(
        "paths:\n  /a:\n    get:\n      parameters: [{name: p, in: query, schema: {$ref: '#/components/schemas/A'}}]\n",
        "      responses: {'200': {description: ok}}\ncomponents: {schemas: {A: {type: string}}}\n"
    ),
};

pub(super) fn check(whole: &Whole<'_, '_>, sink: &mut Sink) {
    let resolver = whole.resolver;
    let root = resolver.root();
    let components = root.get("components").and_then(|all| resolver.resolve(all));
    let Some(components) = components else { return };
    let mut used = Used {
        resolver,
        schemas: components.get("schemas"),
        seen: HashSet::from([root.id()]),
        schemes: HashSet::new(),
    };
    let rest = root
        .entries()
        .filter(|(entry, _)| &*entry.key != "components");
    used.add(rest.map(|(_, value)| value).collect());
    used.ask(root);
    used.add_descendants();
    for (kind, all) in components.entries() {
        for (entry, node) in all.entries() {
            let extension = kind.key.starts_with("x-") || entry.key.starts_with("x-");
            if !extension && !used.has(&kind.key, &entry.key, node) {
                let message = format!(
                    "the document does not use the component `{}`",
                    entry.key.escape_debug()
                );
                sink.push(Diagnostic::new(&LINT, entry.key_span, message));
            }
        }
    }
}

/// Used components: references from outside of the components lead to each of them, directly or
/// indirectly.
struct Used<'r, 'a> {
    resolver: &'r Resolver<'a>,
    schemas: Option<NodeRef<'a>>,
    seen: HashSet<NodeId>,
    /// Names of the security schemes that `security` requires.
    schemes: HashSet<&'a str>,
}

impl<'a> Used<'_, 'a> {
    fn has(&self, kind: &str, name: &str, node: NodeRef<'_>) -> bool {
        let is_required = kind == "securitySchemes" && self.schemes.contains(name);
        is_required || self.seen.contains(&node.id())
    }

    /// Records the security schemes that a node's `security` requires.
    fn ask(&mut self, node: NodeRef<'a>) {
        let security = node.get("security").into_iter().flat_map(NodeRef::items);
        let names = security.flat_map(NodeRef::entries);
        self.schemes.extend(names.map(|(entry, _)| &*entry.key));
    }

    fn add(&mut self, mut waiting: Vec<NodeRef<'a>>) {
        while let Some(node) = waiting.pop() {
            if !(node.is_map() || node.is_list()) || !self.seen.insert(node.id()) {
                continue;
            }
            self.ask(node);
            let texts = reference(node).into_iter().chain(node.get("$dynamicRef"));
            waiting.extend(texts.filter_map(|text| self.resolver.target(text).ok()));
            if node.get("propertyName").is_some() {
                let mapped = node.get("mapping").into_iter().flat_map(NodeRef::entries);
                let mapped = mapped.map(|(_, value)| value);
                for value in mapped.chain(node.get("defaultMapping")) {
                    let named = self.schemas.and_then(|all| all.get(value.as_str()?));
                    let target = named.or_else(|| self.resolver.target(value).ok());
                    waiting.extend(target);
                }
            }
            waiting.extend(node.entries().map(|(_, value)| value));
            waiting.extend(node.items());
        }
    }

    /// Adds the schemas that a discriminator names implicitly: those whose `allOf` refers to a used
    /// schema with a discriminator.
    fn add_descendants(&mut self) {
        let Some(schemas) = self.schemas else { return };
        loop {
            let extends = |schema: NodeRef<'a>| {
                let mut parents = schema.get("allOf").into_iter().flat_map(NodeRef::items);
                parents.any(|parent| {
                    let target = reference(parent).and_then(|text| self.resolver.target(text).ok());
                    target.is_some_and(|target| {
                        target.get("discriminator").is_some() && self.seen.contains(&target.id())
                    })
                })
            };
            let all = schemas.entries().map(|(_, schema)| schema);
            let new: Vec<NodeRef<'a>> = all
                .filter(|schema| !self.seen.contains(&schema.id()) && extends(*schema))
                .collect();
            if new.is_empty() {
                return;
            }
            self.add(new);
        }
    }
}
