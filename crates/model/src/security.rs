//! Resolution of OpenAPI's `security`: binds schemes to verifiers. Alternatives keep their order.
//!
//! The bundle names a scheme by its effect: place, verifier and `strip_credential`. The name in the
//! document is not used, because names under `components` do not change behaviour.

use std::collections::BTreeMap;

use bundle::ir::{self, Passes};
use diag::shape;
use diag::{Diagnostic, Level, NodeRef, Sink, Span, Spanned};
use policy::auth::{self, Place, dpop, hmac_signature};
use policy::declared::{Settings as Declared, later};
use policy::guard::authorize::ROLES;

use super::Defined;
use super::bound_schemes::{self, canonical, token_place, unverified};
use super::passes;
use super::settings::{self, SecurityMode, Settings};
use super::unreachable_alternative;
use super::verifiers::{Own, place};
use openapi::spec::{Requirement, SchemeKind, Security, SecurityScheme, Version};
use vocab::extension::SCHEME;
use vocab::lints::{NO_VERIFIER, SCOPES_NOT_GIVEN, WRONG_KIND};

/// Security schemes of a document, bound to verifiers.
pub(super) struct Schemes {
    by_name: BTreeMap<String, Scheme>,
    mode: SecurityMode,
    version: Version,
    /// True if a consumer has the claim `roles`.
    has_roles: bool,
}

struct Scheme {
    span: Span,
    /// Resolved scheme. `None` if the scheme or its verifier has an error, which was reported.
    ir: Option<Bound>,
    /// Schemes that are accepted instead of `ir`: the scheme for the bearer tokens of a login, or
    /// the schemes of the other verifiers in a list.
    others: Vec<ir::Scheme>,
    takes_scopes: bool,
    /// Name of the verifier, if its credentials have no scopes. Otherwise `None`.
    lacks_scopes: Option<String>,
}

/// Verifiers that can be named in the schemes of a document.
#[derive(Clone, Copy)]
pub(super) struct Verifiers<'v> {
    /// Name of the API.
    pub(super) api: &'v str,
    /// Verifiers of the document.
    pub(super) own: &'v Own,
    /// gateway.yaml with its verifiers.
    pub(super) settings: &'v Settings,
}

impl<'v> Verifiers<'v> {
    fn named(self, name: &str) -> Option<&'v Defined<ir::Verifier>> {
        self.own.named(self.api, name, self.settings)
    }
}

/// Verifier of a scheme as the document names it.
struct Named {
    /// Name of the verifier in messages.
    name: String,
    /// True if credentials of the verifier have no scopes.
    lacks_scopes: bool,
}

/// Verification of a scheme's credentials.
enum Bound {
    /// Scheme whose credentials a verifier or the upstream checks. The second value is the verifier
    /// as the document names it; `None` for the upstream.
    Checked(ir::Scheme, Option<Named>),
    /// No verifier is configured. Contains the place of the credential in the request.
    Unverified(Place),
}

impl Bound {
    /// Name of the verifier for messages, if its credentials have no scopes. Otherwise `None`.
    fn without_scopes(&self) -> Option<String> {
        match self {
            Self::Checked(_, Some(named)) if named.lacks_scopes => Some(named.name.clone()),
            Self::Checked(..) | Self::Unverified(_) => None,
        }
    }
}

/// Source of the `security` of an operation.
pub(super) enum SecuritySource<'a> {
    /// Key `security` of the document.
    Document(&'a Security),
    /// Key `security` of `x-gateway`.
    Extension(Security),
}

impl SecuritySource<'_> {
    fn security(&self) -> &Security {
        match self {
            SecuritySource::Document(security) => security,
            SecuritySource::Extension(security) => security,
        }
    }

    /// Alternatives of the requirement.
    pub(super) fn requirements(&self) -> &[Requirement] {
        &self.security().alternatives
    }

    /// Source location of the requirement.
    pub(super) fn span(&self) -> Span {
        self.security().span
    }
}

/// Reads `security` of `x-gateway`. Another check reports a wrong shape.
pub(super) fn read_security(node: NodeRef<'_>) -> Security {
    let scopes = |node: NodeRef<'_>| {
        let items = node.items();
        items
            .filter_map(|item| Some(Spanned::new(item.scalar_text()?.to_owned(), item.span())))
            .collect()
    };
    let requirement = |node: NodeRef<'_>| Requirement {
        span: node.span(),
        schemes: node
            .entries()
            .map(|(entry, value)| {
                (
                    Spanned::new(entry.key.to_string(), entry.key_span),
                    scopes(value),
                )
            })
            .collect(),
    };
    let maps = node.items().filter(|item| item.is_map());
    Security {
        span: node.span(),
        alternatives: maps.map(requirement).collect(),
        readable: node.is_list() && node.items().all(NodeRef::is_map),
    }
}

impl Schemes {
    /// Binds the security schemes of a document to verifiers.
    pub(super) fn bind<'a>(
        (schemes, version): (&[SecurityScheme], Version),
        verifiers: Verifiers<'_>,
        node_of: impl Fn(diag::NodeId) -> NodeRef<'a>,
        sink: &mut Sink,
    ) -> Self {
        let mut by_name = BTreeMap::new();
        for scheme in schemes {
            let extension = scheme.x_gateway.map(&node_of);
            let place = place(&scheme.kind);
            let (ir, mut others) = match place {
                Some(place) => bind_all(place, extension, verifiers, sink),
                None => (None, Vec::new()),
            };
            let bearer = ir.as_ref();
            let bearer = bearer.and_then(|bound| bearer_scheme(bound, verifiers, &node_of));
            others.extend(bearer);
            let takes_scopes = matches!(
                scheme.kind,
                SchemeKind::OAuth2 { .. } | SchemeKind::OpenIdConnect { .. }
            );
            by_name.insert(
                scheme.name.value.clone(),
                Scheme {
                    span: scheme.name.span,
                    lacks_scopes: ir.as_ref().and_then(Bound::without_scopes),
                    others,
                    ir,
                    takes_scopes,
                },
            );
        }
        Self {
            by_name,
            mode: verifiers.settings.defaults.security,
            version,
            has_roles: has_roles(verifiers.settings),
        }
    }

    /// Canonical names of the schemes, by name in the document.
    pub(super) fn names(&self) -> BTreeMap<String, String> {
        let canonical = |scheme: &Scheme| match scheme.ir.as_ref()? {
            Bound::Checked(bound, _) => Some(bound.name.clone()),
            Bound::Unverified(place) => Some(unverified(place).name),
        };
        let named = self.by_name.iter();
        named
            .filter_map(|(name, scheme)| Some((name.clone(), canonical(scheme)?)))
            .collect()
    }

    /// Adds unused schemes with `strip_credential`, `forward_as` or `claims_to_headers`, because
    /// their fields are removed from every request of the API. Leaves out schemes that neither a
    /// verifier nor the upstream checks, and schemes with errors.
    pub(super) fn add_stripped(&self, used: &mut BTreeMap<String, ir::Scheme>) {
        for scheme in self.by_name.values() {
            let Some(Bound::Checked(bound, _)) = &scheme.ir else {
                continue;
            };
            for bound in [bound].into_iter().chain(&scheme.others) {
                add_stripped(bound, used);
            }
        }
    }

    /// Resolves a requirement for the bundle. The boolean is true if every alternative of the
    /// requirement could be read. Adds the used schemes to `used`, and reports mistakes at their
    /// source location.
    pub(super) fn resolve(
        &self,
        written: &SecuritySource<'_>,
        used: &mut BTreeMap<String, ir::Scheme>,
        sink: &mut Sink,
    ) -> (ir::Security, bool) {
        unreachable_alternative::check(written.requirements(), sink);
        let mut readable = written.security().readable;
        let mut alternatives: Vec<ir::Alternative> = Vec::new();
        for requirement in written.requirements() {
            let mut uses: Vec<ir::SchemeUse> = Vec::new();
            let mut others: Vec<(String, String)> = Vec::new();
            // Leave out an alternative with a scheme that could not be read, because the
            // alternative would be weaker without it. The reported mistake fails the build.
            let mut whole = true;
            for (name, scopes) in &requirement.schemes {
                let Some(scheme) = self.by_name.get(&name.value) else {
                    // OpenAPI rules report mistakes in `security` of the document itself.
                    if let SecuritySource::Extension(_) = written {
                        sink.push(
                            Diagnostic::new(
                                &vocab::lints::UNKNOWN_AUTH,
                                name.span,
                                format!(
                                    "there is no security scheme `{}`",
                                    name.value.escape_debug()
                                ),
                            )
                            .help(diag::suggest::one_of(
                                self.by_name.keys().map(String::as_str),
                                8,
                            )),
                        );
                    }
                    whole = false;
                    continue;
                };
                let Some(bound) = self.scheme(scheme, name, sink) else {
                    whole = false;
                    continue;
                };
                self.check_scopes(scheme, &bound, scopes, sink);
                let names = scopes.iter().map(|scope| scope.value.clone()).collect();
                let (scopes, roles) = match self.lists_roles(scheme, &bound) {
                    true => (Vec::new(), names),
                    false => (names, Vec::new()),
                };
                uses.push(ir::SchemeUse {
                    scheme: bound.name.clone(),
                    scopes,
                    roles,
                });
                for other in &scheme.others {
                    others.push((bound.name.clone(), other.name.clone()));
                    used.insert(other.name.clone(), other.clone());
                }
                used.insert(bound.name.clone(), bound);
            }
            readable &= whole;
            for alternative in bound_schemes::alternatives(uses, &others) {
                if whole && !alternatives.contains(&alternative) {
                    alternatives.push(alternative);
                }
            }
        }
        // `[{}]` requires no credential and is stored like `[]`.
        if alternatives
            .iter()
            .all(|alternative| alternative.0.is_empty())
        {
            alternatives.clear();
        }
        (ir::Security(alternatives), readable)
    }

    fn scheme(
        &self,
        scheme: &Scheme,
        name: &Spanned<String>,
        sink: &mut Sink,
    ) -> Option<ir::Scheme> {
        let bound = scheme.ir.as_ref()?;
        match bound {
            Bound::Checked(bound, _) => Some(bound.clone()),
            Bound::Unverified(place) if self.mode == SecurityMode::Upstream => {
                Some(unverified(place))
            }
            Bound::Unverified(place) => {
                sink.push(
                    Diagnostic::new(&NO_VERIFIER, scheme.span, format!("no verifier checks the security scheme `{}`", name.value))
                        .label("used by an operation, but has no verifier")
                        .help("add `x-gateway: {auth: NAME}` here (an overlay can), or `defaults: {security: upstream}` in gateway.yaml"),
                );
                Some(unverified(place))
            }
        }
    }

    /// True if the list of a requirement contains roles that the gateway checks. OpenAPI 3.1 and
    /// later have such lists for scheme types other than `oauth2` and `openIdConnect`.
    fn lists_roles(&self, scheme: &Scheme, bound: &ir::Scheme) -> bool {
        let is_checked = bound.verify != ir::Verify::Upstream;
        is_checked && !scheme.takes_scopes && self.version != Version::V30
    }

    fn check_scopes(
        &self,
        scheme: &Scheme,
        bound: &ir::Scheme,
        scopes: &[Spanned<String>],
        sink: &mut Sink,
    ) {
        let Some(first) = scopes.first() else {
            return;
        };
        let finding = |message: String| {
            Diagnostic::new(&SCOPES_NOT_GIVEN, first.span, message)
                .related(scheme.span, "the scheme is defined here")
                .help("write `[]`: every valid credential is admitted")
        };
        let scope = first.value.escape_debug();
        if self.lists_roles(scheme, bound) {
            if scheme.lacks_scopes.is_some() && !self.has_roles {
                sink.push(
                    finding(format!("`{scope}` is a role, and no consumer has roles"))
                        .help("give roles to consumers (`claims: {roles: [NAME]}`), or write `[]`: every valid credential is admitted"),
                );
            }
        } else if let Some(verifier) = &scheme.lacks_scopes {
            sink.push(finding(format!(
                "`{scope}` is a scope, and credentials of {verifier} have no scopes"
            )));
        } else if scheme.takes_scopes || self.version != Version::V30 {
            // The verifier or the upstream compares the scopes.
        } else if !matches!(bound.verify, ir::Verify::Upstream) {
            sink.push(
                finding(format!(
                    "`{scope}` is a scope that this scheme does not have in OpenAPI 3.0"
                ))
                .help("declare the scheme with `type: oauth2` and its scopes (an overlay can), or write `[]`: every valid credential is admitted"),
            );
        } else {
            // Report this only once, at the scheme: the gateway does not check the scopes, but the
            // upstream may.
            sink.push(
                Diagnostic::new(
                    &SCOPES_NOT_GIVEN,
                    scheme.span,
                    "OpenAPI 3.0 has no scopes for this type of scheme",
                )
                .level(Level::Warn)
                .label("operations require scopes here")
                .help("the gateway leaves them to the upstream, which checks the credential"),
            );
        }
    }
}

/// Adds an unused scheme with `strip_credential`, `forward_as` or `claims_to_headers`.
fn add_stripped(bound: &ir::Scheme, used: &mut BTreeMap<String, ir::Scheme>) {
    let is_plain = !bound.strip_credential && bound.passes.is_empty();
    if is_plain || used.contains_key(&bound.name) {
        return;
    }
    let added = match bound.declared.is_empty() {
        true => bound.clone(),
        false => canonical(
            (
                bound.place.clone(),
                ir::Verify::Upstream,
                bound.strip_credential,
            ),
            Declared::default(),
            bound.passes.clone(),
        ),
    };
    used.insert(added.name.clone(), added);
}

/// Scheme of the bearer tokens of a login that names a verifier for them. `None` for other schemes.
fn bearer_scheme<'a>(
    bound: &Bound,
    verifiers: Verifiers<'_>,
    node_of: impl Fn(diag::NodeId) -> NodeRef<'a>,
) -> Option<ir::Scheme> {
    let Bound::Checked(session, Some(_)) = bound else {
        return None;
    };
    let ir::Verify::Auth(name) = &session.verify else {
        return None;
    };
    let login = verifiers.own.full(name, verifiers.settings)?;
    let named = bound_schemes::bearer_of(login, login.node.map(node_of))?;
    let full = settings::named_beside(&login.value.name, &named.value);
    let full = verifiers.own.full(&full, verifiers.settings);
    let verifier = full.or_else(|| verifiers.own.full(&named.value, verifiers.settings))?;
    // A verifier of another kind was reported.
    if !verifier.value.checked.takes_tokens() {
        return None;
    }
    let place = bound_schemes::bearer_place(&verifier.value.checked);
    let verify = ir::Verify::Auth(verifier.value.name.clone());
    Some(canonical(
        (place, verify, session.strip_credential),
        session.declared.clone(),
        session.passes.clone(),
    ))
}

/// Binds a scheme to its verifier, or to the first verifier of a list. Also returns the schemes of
/// the other verifiers in the list.
fn bind_all(
    place: Place,
    extension: Option<NodeRef<'_>>,
    verifiers: Verifiers<'_>,
    sink: &mut Sink,
) -> (Option<Bound>, Vec<ir::Scheme>) {
    let auth = extension.and_then(|node| node.get("auth"));
    let auth = auth.filter(|value| !value.is_null());
    let Some(list) = auth.filter(|auth| auth.is_list()) else {
        return (
            bind_one((place, auth), extension, verifiers, sink),
            Vec::new(),
        );
    };
    let listed = list.items().filter_map(|item| {
        let verifier = verifiers.named(item.as_str()?)?;
        Some((item.span(), &verifier.value))
    });
    bound_schemes::check_issuers(&listed.collect::<Vec<_>>(), sink);
    let bind = |auth| bind_one((place.clone(), Some(auth)), extension, verifiers, sink);
    let mut all: Vec<Option<Bound>> = list.items().map(bind).collect();
    // A mistake in one of the verifiers was reported.
    if all.is_empty() || all.iter().any(Option::is_none) {
        return (None, Vec::new());
    }
    let first = all.remove(0);
    let others = all.into_iter().flatten().filter_map(|bound| match bound {
        Bound::Checked(scheme, _) => Some(scheme),
        Bound::Unverified(_) => None,
    });
    (first, others.collect())
}

/// Binds a scheme to the verifier that `auth` names or defines. `None` after a mistake, which is
/// reported.
fn bind_one(
    (place, auth): (Place, Option<NodeRef<'_>>),
    extension: Option<NodeRef<'_>>,
    verifiers: Verifiers<'_>,
    sink: &mut Sink,
) -> Option<Bound> {
    let get = |key: &str| {
        extension
            .and_then(|node| node.get(key))
            .filter(|value| !value.is_null())
    };
    let strip = get("strip_credential")
        .and_then(NodeRef::as_bool)
        .unwrap_or(false);
    let passes = extension.map_or_else(Passes::default, |node| passes::read(node, sink));
    let future = extension.map(|node| later(node, &shape::Shape::Object(&SCHEME)));
    let bound = |place, verify, named| {
        let declared = future.clone().unwrap_or_default();
        let scheme = canonical((place, verify, strip), declared, passes.clone());
        Bound::Checked(scheme, named)
    };
    if let Some(auth) = auth {
        let (verifier, name) = match auth.as_str() {
            Some(name) => (verifiers.named(name)?, format!("`{name}`")),
            None => (verifiers.own.inline(auth.id())?, "this verifier".to_owned()),
        };
        let fits = match &verifier.value.checked {
            auth::Checked::ApiKey(_) => {
                place != Place::Authorization("basic".into()) && place != Place::Certificate
            }
            auth::Checked::Basic(_) => place == Place::Authorization("basic".into()),
            auth::Checked::Jwt(_) | auth::Checked::Introspection(_) => match &place {
                Place::Authorization(scheme) => scheme == "bearer",
                Place::Header(_) | Place::Query(_) | Place::Cookie(_) => true,
                Place::Certificate => false,
            },
            auth::Checked::Dpop(_) => matches!(
                token_place(place.clone(), dpop::SCHEME),
                Place::Authorization(scheme) if scheme == dpop::SCHEME
            ),
            auth::Checked::Mtls(_) => place == Place::Certificate,
            auth::Checked::HmacSignature(signed) => {
                token_place(place.clone(), hmac_signature::tencent::SCHEME)
                    == signed.style().place()
            }
            auth::Checked::Oidc(_) => place == Place::Authorization("bearer".into()),
            auth::Checked::Declared(_) => true,
        };
        if !fits {
            let kind = verifier.value.checked.kind();
            sink.push(
                Diagnostic::new(
                    &WRONG_KIND,
                    auth.span(),
                    format!("{name} cannot check this scheme: it is of kind `{kind}`"),
                )
                .related(verifier.span, format!("{name} is defined here"))
                .help("`basic` checks `http: basic`; `api_key` checks keys and bearer tokens, `jwt` and `introspection` bearer tokens, `dpop` tokens in `Authorization`, `hmac_signature` an API key in the header `Signature`, `X-Ca-Signature` or `Authorization`, as its `style` says, `mtls` schemes of the type `mutualTLS`, `oidc` schemes of the types `openIdConnect` and `oauth2`"),
            );
            return None;
        }
        let place = match &verifier.value.checked {
            auth::Checked::Dpop(_) => token_place(place, dpop::SCHEME),
            // The settings of the verifier name the session's cookie, because a scheme of OpenAPI
            // cannot name the cookie.
            auth::Checked::Oidc(login) => Place::Cookie(login.cookie().to_owned()),
            auth::Checked::HmacSignature(signed) => signed.style().place(),
            checked if checked.takes_tokens() => token_place(place, "bearer"),
            _ => place,
        };
        let verify = ir::Verify::Auth(verifier.value.name.clone());
        let named = Named {
            name,
            lacks_scopes: lacks_scopes(&verifier.value.checked),
        };
        return Some(bound(place, verify, Some(named)));
    }
    if get("verify").is_some() {
        let wanted = ["forward_as", "claims_to_headers"]
            .into_iter()
            .find_map(get);
        if let Some(wanted) = wanted {
            let message = "no effect: the upstream checks the credential, so the gateway does not identify the caller";
            let finding = Diagnostic::new(&shape::BAD_VALUE, wanted.span(), message);
            sink.push(finding.help("name a verifier (`auth: NAME`), or remove this key"));
        }
        return Some(bound(place, ir::Verify::Upstream, None));
    }
    if let Some(node) = extension {
        passes::check_unverified(node, sink);
    }
    Some(Bound::Unverified(place))
}

/// True if a consumer has the claim `roles`. Keys, passwords, certificates and signatures have no
/// claims, so that their callers have the roles of their consumers only.
fn has_roles(settings: &Settings) -> bool {
    let mut consumers = settings.consumers.iter();
    consumers.any(|consumer| {
        let mut claims = consumer.value.claims.iter();
        claims.any(|one| one.path.first().is_some_and(|name| name == ROLES))
    })
}

/// True if credentials of a verifier have no scopes. Operations that require a scope from such a
/// verifier would refuse every request.
fn lacks_scopes(checked: &auth::Checked) -> bool {
    use auth::Checked::{ApiKey, Basic, HmacSignature, Mtls};
    matches!(checked, ApiKey(_) | Basic(_) | HmacSignature(_) | Mtls(_))
}

#[cfg(test)]
mod tests {
    use diag::FileId;

    use super::*;

    fn at() -> Span {
        Span::start_of(FileId(0))
    }

    /// Test schemes. `key` and `other` can be read. `broken` is defined but cannot be read.
    fn schemes() -> Schemes {
        let scheme = |name: &str, readable: bool| {
            let verify = ir::Verify::Auth("keys".into());
            let place = Place::Header(format!("x-{name}"));
            let scheme = Scheme {
                span: at(),
                ir: readable
                    .then(|| {
                        canonical(
                            (place, verify, false),
                            Declared::default(),
                            Passes::default(),
                        )
                    })
                    .map(|scheme| Bound::Checked(scheme, None)),
                others: Vec::new(),
                takes_scopes: false,
                lacks_scopes: None,
            };
            (name.to_owned(), scheme)
        };
        Schemes {
            by_name: [("key", true), ("other", true), ("broken", false)]
                .map(|(name, readable)| scheme(name, readable))
                .into(),
            mode: SecurityMode::Enforce,
            version: Version::V31,
            has_roles: false,
        }
    }

    /// Resolves a requirement. Returns the names of the schemes of each alternative. The boolean is
    /// true if all alternatives could be read.
    fn resolve(alternatives: &[&[&str]]) -> (Vec<Vec<String>>, bool) {
        let named = |name: &&str| (Spanned::new((*name).to_owned(), at()), Vec::new());
        let requirement = |names: &&[&str]| Requirement {
            span: at(),
            schemes: names.iter().map(named).collect(),
        };
        let written = SecuritySource::Extension(Security {
            span: at(),
            alternatives: alternatives.iter().map(requirement).collect(),
            readable: true,
        });
        let mut sink = Sink::default();
        let (security, readable) = schemes().resolve(&written, &mut BTreeMap::new(), &mut sink);
        let uses = |alternative: &ir::Alternative| {
            let names = alternative.0.iter();
            names.map(|wanted| wanted.scheme.clone()).collect()
        };
        (security.0.iter().map(uses).collect(), readable)
    }

    #[test]
    fn an_unreadable_scheme_drops_its_alternative() {
        let (key, other) = ("header x-key by keys", "header x-other by keys");
        for (written, expected, readable) in [
            (&[&["key", "other"][..]][..], &[&[key, other][..]][..], true),
            (&[&["key", "broken"]], &[], false),
            (&[&["broken", "key"]], &[], false),
            (&[&["broken"], &["key"]], &[&[key]], false),
            (&[&["missing", "key"], &["other"]], &[&[other]], false),
        ] {
            let (found, whole) = resolve(written);
            assert_eq!(
                (&*found, whole),
                (&*owned(expected), readable),
                "{written:?}"
            );
        }
    }

    fn owned(alternatives: &[&[&str]]) -> Vec<Vec<String>> {
        let owned = |names: &&[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        alternatives.iter().map(owned).collect()
    }
}
