//! Verifiers that a document defines: in `x-gateway.auth` at its root, and inside security schemes.
//!
//! All these verifiers become verifiers of the bundle, so that plans, routes and gwd treat them
//! like the verifiers of gateway.yaml. Their names contain a character that names in gateway.yaml
//! cannot have: `API/NAME`, and `API/KIND@PLACE` inside a scheme. The names do not contain the name
//! of a scheme under `components`, because such names do not affect behaviour.

use std::collections::BTreeMap;

use bundle::digest::Digest;
use bundle::ir;
use diag::{NodeId, NodeRef, Sink, Tree};
use policy::auth::{self, Place};
use policy::declared::{self, Scalar};

use super::settings::{Settings, name_in, verifier, verifiers};
use super::{Api, Defined, ended_keys};
use openapi::spec::{In, SchemeKind, Spec};
use sources::project::files::{Files, Refusal};

/// Verifiers of one document, with their names in the bundle.
#[derive(Clone, Debug, Default)]
pub struct Own {
    /// Verifiers in `x-gateway.auth` at the root, in the order of the document.
    root: Vec<Defined<ir::Verifier>>,
    /// Verifiers inside security schemes, by the node of the definition.
    inline: BTreeMap<NodeId, Defined<ir::Verifier>>,
}

impl Own {
    /// Reads the verifiers of a document and their key files. Reports findings about the key files.
    /// Findings about the definitions themselves are reported with the other keys of `x-gateway`.
    pub(crate) fn read(files: &mut Files, api: &str, spec: &Spec, sink: &mut Sink) -> Self {
        let mut own = Self::without_keys(&files.tree, api, spec);
        for one in own.root.iter_mut().chain(own.inline.values_mut()) {
            add_keys(files, one, sink);
        }
        own.name_inline();
        own
    }

    /// Reads the verifiers of a document without their key files.
    pub(crate) fn without_keys(tree: &Tree, api: &str, spec: &Spec) -> Self {
        let extension = spec.x_gateway.map(|id| tree.at(id));
        let root = extension.map_or_else(Vec::new, |root| verifiers(root, Some(api)));
        let mut inline = BTreeMap::new();
        for scheme in &spec.schemes {
            let extension = scheme.x_gateway.map(|id| tree.at(id));
            let entry = extension.and_then(|node| node.entry("auth"));
            let Some((entry, node)) = entry.filter(|(_, node)| node.is_map()) else {
                continue;
            };
            let Some(checked) = read(node) else { continue };
            let at = place(&scheme.kind).map_or_else(String::new, |place| described(&place));
            let name = format!("{}@{at}", checked.kind());
            let defined = Defined {
                value: ir::Verifier {
                    name: name_in(api, &name),
                    checked,
                },
                span: entry.key_span,
                node: Some(node.id()),
            };
            inline.insert(node.id(), defined);
        }
        let mut own = Self { root, inline };
        own.name_tokens(api);
        own
    }

    /// Verifier with this name: the document's, else gateway.yaml's.
    pub(crate) fn named<'v>(
        &'v self,
        api: &str,
        name: &str,
        settings: &'v Settings,
    ) -> Option<&'v Defined<ir::Verifier>> {
        let full = name_in(api, name);
        let own = self.root.iter().find(|one| one.value.name == full);
        own.or_else(|| settings.auth.iter().find(|one| one.value.name == name))
    }

    /// Verifier of the document or of gateway.yaml with this name in the bundle.
    pub(crate) fn full<'v>(
        &'v self,
        name: &str,
        settings: &'v Settings,
    ) -> Option<&'v Defined<ir::Verifier>> {
        let mut all = self.iter().chain(&settings.auth);
        all.find(|one| one.value.name == name)
    }

    /// Verifier that is defined at a node, inside a security scheme.
    pub(crate) fn inline(&self, node: NodeId) -> Option<&Defined<ir::Verifier>> {
        self.inline.get(&node)
    }

    /// All verifiers of the document.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Defined<ir::Verifier>> {
        self.root.iter().chain(self.inline.values())
    }

    /// Verifiers at the root of the document, and verifiers inside schemes that operations use,
    /// each name once.
    pub(crate) fn used(self, schemes: &[ir::Scheme]) -> Vec<Defined<ir::Verifier>> {
        let mut all = self.root;
        for one in self.inline.into_values() {
            let verify = ir::Verify::Auth(one.value.name.clone());
            let is_known = all.iter().any(|known| known.value.name == one.value.name);
            if !is_known && schemes.iter().any(|scheme| scheme.verify == verify) {
                all.push(one);
            }
        }
        all
    }

    /// Makes the names of different verifiers inside schemes unique. Verifiers of one kind for one
    /// place have the same name; if their settings differ, a digest of the settings is added to the
    /// name.
    fn name_inline(&mut self) {
        let mut contents: BTreeMap<String, Vec<auth::Checked>> = BTreeMap::new();
        for one in self.inline.values() {
            let known = contents.entry(one.value.name.clone()).or_default();
            if !known.contains(&one.value.checked) {
                known.push(one.value.checked.clone());
            }
        }
        for one in self.inline.values_mut() {
            if contents[&one.value.name].len() > 1 {
                let content = Digest::of(&bundle::codec::encode(&one.value.checked));
                one.value.name.push('#');
                one.value.name.push_str(&content.hex()[..8]);
            }
        }
    }

    /// Replaces the verifier name in `token` of each `dpop` verifier by the name in the bundle.
    fn name_tokens(&mut self, api: &str) {
        let root: Vec<String> = self.root.iter().map(|one| one.value.name.clone()).collect();
        for one in self.root.iter_mut().chain(self.inline.values_mut()) {
            one.value.checked.rename_token(&|name| {
                let full = name_in(api, name);
                if root.contains(&full) {
                    full
                } else {
                    name.to_owned()
                }
            });
        }
    }
}

/// All verifiers of a project, from gateway.yaml and from its documents.
pub(crate) fn all<'m>(
    settings: &'m Settings,
    apis: &'m [Api],
) -> impl Iterator<Item = &'m Defined<ir::Verifier>> {
    let own = apis.iter().flat_map(|api| &api.auth);
    settings.auth.iter().chain(own)
}

/// Verifier of an API's security scheme. `None` if the gateway does not check the scheme's
/// credential.
pub(crate) fn of_scheme<'m>(
    settings: &'m Settings,
    api: &'m Api,
    scheme: &ir::Scheme,
) -> Option<&'m Defined<ir::Verifier>> {
    let ir::Verify::Auth(name) = &scheme.verify else {
        return None;
    };
    named(settings, api, name)
}

/// Verifier of an API or of gateway.yaml, by its name in the bundle.
pub(crate) fn named<'m>(
    settings: &'m Settings,
    api: &'m Api,
    name: &str,
) -> Option<&'m Defined<ir::Verifier>> {
    let mut all = settings.auth.iter().chain(&api.auth);
    all.find(|one| one.value.name == *name)
}

/// Reads a verifier, including kinds that gwd does not support yet.
fn read(node: NodeRef<'_>) -> Option<auth::Checked> {
    verifier(node.get("kind")?.scalar_text()?, node)
}

/// Place of a scheme's credential in requests: field, query parameter, cookie or certificate.
/// `None` for an API key at an unsupported place.
pub(super) fn place(kind: &SchemeKind) -> Option<Place> {
    Some(match kind {
        SchemeKind::ApiKey {
            place: In::Header,
            name,
        } => Place::Header(name.value.to_ascii_lowercase()),
        SchemeKind::ApiKey {
            place: In::Query,
            name,
        } => Place::Query(name.value.clone()),
        SchemeKind::ApiKey {
            place: In::Cookie,
            name,
        } => Place::Cookie(name.value.clone()),
        SchemeKind::ApiKey { .. } => return None,
        SchemeKind::MutualTls => Place::Certificate,
        SchemeKind::Http { scheme } => Place::Authorization(scheme.value.to_ascii_lowercase()),
        SchemeKind::OAuth2 { .. } | SchemeKind::OpenIdConnect { .. } => {
            Place::Authorization("bearer".into())
        }
    })
}

/// Place of a credential (field, parameter or cookie), as used in names: `bearer`, `header:x-key`,
/// …
fn described(place: &Place) -> String {
    let text = match place {
        Place::Header(name) => format!("header:{name}"),
        Place::Query(name) => format!("query:{name}"),
        Place::Cookie(name) => format!("cookie:{name}"),
        Place::Authorization(scheme) => scheme.clone(),
        Place::Certificate => "certificate".to_owned(),
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    let shown = text.chars().map(|c| if is_plain(c) { c } else { '_' });
    shown.collect()
}

/// Adds the content of its `jwks_file` to a verifier. Reports keys of the verifier that have ended
/// or end soon.
pub(crate) fn add_keys(files: &mut Files, one: &mut Defined<ir::Verifier>, sink: &mut Sink) {
    let Some(node) = one.node else { return };
    if let Some(set) = files.tree.at(node).get("jwks") {
        ended_keys::check(set, files.check_time_s(), sink);
    }
    let written = files.tree.at(node).get("jwks_file");
    let written = written.and_then(|node| Some((node.scalar_text()?.to_owned(), node.span())));
    let Some((path, span)) = written else { return };
    match &mut one.value.checked {
        auth::Checked::Declared(verifier) => match files.read(&path) {
            Ok(file) => {
                let digest = Digest::of(files.sources.file(file).text().as_bytes());
                let settings = std::mem::take(&mut verifier.settings);
                let content = Scalar::Text(format!("sha256:{}", digest.hex()));
                verifier.settings = settings
                    .without(|path| path == ["jwks_file"])
                    .with(&["jwks_file"], declared::Value::One(content));
            }
            Err(Refusal::Missing) => {}
            Err(refusal) => sink.push(refusal.finding(&path, one.span)),
        },
        auth::Checked::Jwt(jwt) => {
            if let Some((_, set)) = files.load(&path, span, sink) {
                let (set, node) = (files.tree.at(set), files.tree.at(node));
                ended_keys::check(set, files.check_time_s(), sink);
                jwt.set_keys(auth::jwt::author::read_keys(set, node, sink));
            }
        }
        auth::Checked::ApiKey(_)
        | auth::Checked::Basic(_)
        | auth::Checked::Introspection(_)
        | auth::Checked::Mtls(_)
        | auth::Checked::Dpop(_)
        | auth::Checked::HmacSignature(_)
        | auth::Checked::Oidc(_) => {}
    }
}
