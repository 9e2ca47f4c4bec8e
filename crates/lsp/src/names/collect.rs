//! Search for the names in the files of one compilation.

use diag::shape::{self, Role as ShapeRole, Shape};
use diag::{NodeRef, Span};
use model::compile::Compiled;
use vocab::{gateway, invariant_file, test_file};

use super::name::{Name, Role, Scope};

/// Prefix of the names under which the limits of a plan run: `plan:POLICY`.
const PLAN_PREFIX: &str = "plan:";

/// Collector of names in the files of a compilation.
pub(super) struct Collector<'c, 'n> {
    pub(super) compiled: &'c Compiled,
    /// Root of gateway.yaml without patches. `None` for a document without a project.
    gateway: Option<NodeRef<'c>>,
    names: &'n mut Vec<Name<'c>>,
}

impl<'c, 'n> Collector<'c, 'n> {
    /// Creates a collector for a compilation and the root of its gateway.yaml.
    pub(super) fn new(
        (compiled, gateway): (&'c Compiled, Option<NodeRef<'c>>),
        names: &'n mut Vec<Name<'c>>,
    ) -> Self {
        Self {
            compiled,
            gateway,
            names,
        }
    }

    /// Collects from all files but documents and overlays.
    pub(super) fn files(&mut self) {
        self.gateway_files();
        self.project_files();
    }

    /// Collects from gateway.yaml, from the patches of its environments, and from files with
    /// consumers.
    fn gateway_files(&mut self) {
        let Some(root) = self.gateway else { return };
        self.node((root, None), &gateway::SHAPE, Scope::Gateway);
        let patches: Vec<NodeRef<'c>> = environments(root)
            .filter_map(|environment| self.file(environment.get("patch")?))
            .collect();
        for patch in &patches {
            self.node((*patch, Some(root)), &gateway::SHAPE, Scope::Gateway);
        }
        for part in std::iter::once(&root).chain(&patches) {
            for named in self.values(part.get("consumers_file")) {
                if let Some(file) = self.file(named) {
                    self.node((file, None), &gateway::CONSUMERS, Scope::Gateway);
                }
            }
        }
    }

    /// Collects from invariants and tests.
    fn project_files(&mut self) {
        let Some(model) = &self.compiled.model else {
            return;
        };
        let settings = &model.settings;
        let files = &self.compiled.files;
        let mut all = Vec::new();
        let invariants = settings.invariants.files.iter();
        all.extend(invariants.map(|file| (&file.value, &invariant_file::INVARIANTS)));
        let tests = settings.tests.files.iter();
        all.extend(tests.map(|file| (&file.value, &test_file::TESTS)));
        for (path, shape) in all {
            let root = files.known(path).and_then(|file| files.root(file));
            if let Some(root) = root {
                self.node((files.tree.at(root), None), shape, Scope::Project);
            }
        }
    }

    /// Root of the file that a value names. `None` if the file was not read.
    fn file(&self, named: NodeRef<'c>) -> Option<NodeRef<'c>> {
        let files = &self.compiled.files;
        let file = files.known(named.scalar_text()?)?;
        Some(files.tree.at(files.root(file)?))
    }

    /// Collects the names in a value. The second node is the value to which a part belongs.
    pub(super) fn node(
        &mut self,
        node: (NodeRef<'c>, Option<NodeRef<'c>>),
        shape: &'static Shape,
        scope: Scope<'c>,
    ) {
        let mut found = Vec::new();
        shape::names_in(node, shape, &mut |name| found.push(name));
        self.found(&found, scope);
    }

    /// Collects the names in a map with the keys of `object`.
    pub(super) fn object(
        &mut self,
        node: NodeRef<'c>,
        object: &'static shape::Object,
        scope: Scope<'c>,
    ) {
        let mut found = Vec::new();
        shape::names_of(node, object, &mut |name| found.push(name));
        self.found(&found, scope);
    }

    fn found(&mut self, found: &[shape::Name<'c>], scope: Scope<'c>) {
        for name in found {
            for kind in name.kinds {
                // `a store or `local``: the text is a name or a built-in word.
                let (kind, built_in) = kind.split_once(" or ").unwrap_or((kind, ""));
                if built_in.trim_matches('`') != name.text {
                    self.add(kind, (name.text, name.span), scope, name.role);
                }
            }
        }
    }

    fn add(
        &mut self,
        kind: &'static str,
        (text, span): (&'c str, Span),
        scope: Scope<'c>,
        role: ShapeRole,
    ) {
        let role = match role {
            ShapeRole::Definition => Role::Definition,
            ShapeRole::Reference => Role::Reference,
            ShapeRole::Pattern => Role::Pattern,
            ShapeRole::Expression => Role::Expression,
        };
        let compiled = self.compiled;
        let name = Name {
            kind,
            text,
            compiled,
            span,
            scope,
            role,
            is_selector: false,
        };
        if role == Role::Definition || role == Role::Expression {
            self.names.push(name);
            return;
        }
        if text.starts_with("${var:") {
            self.variable(name);
            return;
        }
        self.names.push(self.specific(name));
    }

    /// Name without the prefix that invariants and tests write: `API/NAME` for a definition of a
    /// document, `plan:POLICY` for the limits of a plan.
    fn specific(&self, name: Name<'c>) -> Name<'c> {
        if name.scope != Scope::Project {
            return name;
        }
        let end = name.text.len();
        if name.kind == "a policy" && name.text.starts_with(PLAN_PREFIX) {
            return name.part(name.kind, PLAN_PREFIX.len(), end);
        }
        let Some((api, _)) = name.text.split_once('/') else {
            return name;
        };
        let is_qualified = matches!(name.kind, "an upstream" | "a verifier");
        let apis = self.compiled.model.iter().flat_map(|model| &model.apis);
        let mut apis = apis.filter(|one| one.name == api);
        match apis.next().filter(|_| is_qualified) {
            Some(api) => Name {
                scope: Scope::Api(&api.name),
                ..name.part(name.kind, api.name.len() + 1, end)
            },
            None => name,
        }
    }

    /// Adds the values of a variable that is used as a name.
    fn variable(&mut self, name: Name<'c>) {
        let values = self.variables(name.text);
        let values = values.into_iter().filter_map(|value| {
            let text = value.scalar_text()?;
            let span = value.span();
            Some(Name { text, span, ..name })
        });
        self.names.extend(values);
    }

    /// Values of the variable `${var:NAME}` in all environments.
    fn variables(&self, text: &str) -> Vec<NodeRef<'c>> {
        let name = text.strip_prefix("${var:");
        let name = name.and_then(|name| name.strip_suffix('}'));
        let (Some(name), Some(root)) = (name, self.gateway) else {
            return Vec::new();
        };
        let values = environments(root).filter_map(|one| one.get("vars")?.get(name));
        values.collect()
    }

    /// Value, or the values of the variable that it names.
    fn values(&self, value: Option<NodeRef<'c>>) -> Vec<NodeRef<'c>> {
        let Some(value) = value else {
            return Vec::new();
        };
        match value.scalar_text() {
            Some(text) if text.starts_with("${var:") => self.variables(text),
            _ => vec![value],
        }
    }

    /// Adds a name that no shape describes.
    pub(super) fn push(&mut self, name: Name<'c>) {
        self.names.push(name);
    }
}

/// Environments of gateway.yaml.
fn environments(root: NodeRef<'_>) -> impl Iterator<Item = NodeRef<'_>> {
    let all = root.get("environments").into_iter();
    all.flat_map(NodeRef::entries).map(|(_, value)| value)
}
