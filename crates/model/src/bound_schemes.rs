//! Security schemes of the bundle, with names that describe their effect, and security schemes of a
//! document that expand to several schemes of the bundle.
//!
//! A scheme whose verifier is a login with the key `bearer` expands to two schemes of the bundle:
//! the session's cookie, and a token that the verifier named by `bearer` checks. Each alternative
//! of `security` that uses the scheme becomes two alternatives: one with the session, then one with
//! the token. In the same way, a scheme with a list of verifiers expands to one scheme for each
//! verifier of the list.

use std::collections::BTreeMap;

use bundle::ir::{self, Passes};
use diag::shape::BAD_VALUE;
use diag::{Diagnostic, NodeRef, Sink, Span, Spanned};
use policy::auth::{self, Place, dpop};
use policy::declared::Settings as Declared;

use super::Defined;
use vocab::lints::WRONG_KIND;

/// Value of `bearer` of a login: the name of the verifier of bearer tokens. `None` if the verifier
/// is not a login, or has no `bearer`.
pub(super) fn bearer_of(
    verifier: &Defined<ir::Verifier>,
    node: Option<NodeRef<'_>>,
) -> Option<Spanned<String>> {
    let auth::Checked::Oidc(_) = &verifier.value.checked else {
        return None;
    };
    let named = node?.get("bearer").filter(|node| !node.is_null())?;
    Some(Spanned::new(named.scalar_text()?.to_owned(), named.span()))
}

/// Place in requests of the bearer tokens that a verifier checks: `Authorization`, with the scheme
/// `dpop` or `bearer`.
pub(super) fn bearer_place(checked: &auth::Checked) -> Place {
    let scheme = match checked {
        auth::Checked::Dpop(_) => dpop::SCHEME,
        _ => "bearer",
    };
    Place::Authorization(scheme.to_owned())
}

/// Returns the alternatives of a requirement that needs all of `uses`. Each pair of `others`
/// contains a scheme of the requirement and another scheme that is accepted instead. An alternative
/// may occur twice.
pub(super) fn alternatives(
    uses: Vec<ir::SchemeUse>,
    others: &[(String, String)],
) -> Vec<ir::Alternative> {
    let mut all = vec![uses];
    for (first, other) in others {
        let replaced = all.iter().map(|uses| {
            let mut uses = uses.clone();
            let replaced = uses.iter_mut().filter(|wanted| wanted.scheme == *first);
            replaced.for_each(|wanted| wanted.scheme.clone_from(other));
            uses
        });
        let replaced: Vec<Vec<ir::SchemeUse>> = replaced.collect();
        all.extend(replaced);
    }
    all.into_iter().map(merged).collect()
}

/// Reports verifiers in the list of one scheme that gwd can never select by the issuer of a token:
/// verifiers of a kind that cannot be in a list, verifiers without an issuer, and verifiers with
/// the issuer of an earlier verifier.
pub(super) fn check_issuers(listed: &[(Span, &ir::Verifier)], sink: &mut Sink) {
    let mut known: BTreeMap<&str, (Span, &str)> = BTreeMap::new();
    for &(span, verifier) in listed {
        let (name, checked) = (verifier.name.as_str(), &verifier.checked);
        let shown = name.escape_debug();
        let issuer = match checked {
            auth::Checked::Jwt(jwt) => Some(jwt.issuer()),
            auth::Checked::Introspection(introspection) => introspection.issuer(),
            _ => {
                let kind = checked.kind();
                let message = format!("`{shown}` of kind `{kind}` cannot share a scheme");
                sink.push(Diagnostic::new(&WRONG_KIND, span, message).help(
                    "list only verifiers of kind `jwt` or `introspection`; for another kind, add a \
security scheme, and an alternative of `security`",
                ));
                continue;
            }
        };
        let Some(issuer) = issuer else {
            let message =
                format!("`{shown}` has no `issuer`, which selects the verifier of a token");
            let finding = Diagnostic::new(&BAD_VALUE, span, message);
            sink.push(finding.help("write `issuer` at this verifier"));
            continue;
        };
        if let Some((first, other)) = known.insert(issuer, (span, name)) {
            let message = match other == name {
                true => format!("`{shown}` occurs twice"),
                false => format!(
                    "`{shown}` has the same issuer as `{}`",
                    other.escape_debug()
                ),
            };
            sink.push(
                Diagnostic::new(&BAD_VALUE, span, message)
                    .related(first, "tokens of this issuer are checked here")
                    .help("remove one of them: the issuer of a token selects its verifier"),
            );
        }
    }
}

/// Merges several uses of a scheme in an alternative into one use, with the scopes and roles of all
/// uses.
fn merged(uses: Vec<ir::SchemeUse>) -> ir::Alternative {
    let mut merged: Vec<ir::SchemeUse> = Vec::new();
    for one in uses {
        match merged.iter_mut().find(|known| known.scheme == one.scheme) {
            Some(known) => {
                known.scopes.extend(one.scopes);
                known.roles.extend(one.roles);
            }
            None => merged.push(one),
        }
    }
    for names in merged
        .iter_mut()
        .flat_map(|one| [&mut one.scopes, &mut one.roles])
    {
        names.sort();
        names.dedup();
    }
    merged.sort();
    ir::Alternative(merged)
}

/// Place of a token in requests. Swagger 2.0 and many documents describe `Authorization` as an API
/// key in a header. The token then follows the word `Bearer`.
///
/// A token with a proof follows the word `DPoP` (RFC 9449 §7.1). OpenAPI has no scheme type for
/// DPoP, so documents use `oauth2`, `openIdConnect` and `http: bearer` for it.
pub(super) fn token_place(place: Place, scheme: &str) -> Place {
    match place {
        Place::Header(name) if name == "authorization" => Place::Authorization(scheme.to_owned()),
        Place::Authorization(bearer) if bearer == "bearer" => {
            Place::Authorization(scheme.to_owned())
        }
        place => place,
    }
}

/// Scheme for credentials that no verifier of this gateway checks.
pub(super) fn unverified(place: &Place) -> ir::Scheme {
    canonical(
        (place.clone(), ir::Verify::Upstream, false),
        Declared::default(),
        Passes::default(),
    )
}

/// Creates a scheme with a name that describes its effect.
pub(super) fn canonical(
    (place, verify, strip_credential): (Place, ir::Verify, bool),
    declared: Declared,
    passes: Passes,
) -> ir::Scheme {
    let by = match &verify {
        ir::Verify::Auth(name) => name.clone(),
        ir::Verify::Upstream => "upstream".to_owned(),
    };
    let at = match &place {
        Place::Header(name) => format!("header {name}"),
        Place::Query(name) => format!("query {name}"),
        Place::Cookie(name) => format!("cookie {name}"),
        Place::Authorization(scheme) => scheme.clone(),
        Place::Certificate => "client certificate".to_owned(),
    };
    // `*` is not valid in the name of a verifier, so `*upstream` differs from a verifier that is
    // named `upstream`.
    let mark = if verify == ir::Verify::Upstream {
        "*"
    } else {
        ""
    };
    let stripped = if strip_credential { ", stripped" } else { "" };
    let mut scheme = ir::Scheme {
        name: String::new(),
        place,
        verify,
        strip_credential,
        declared,
        passes,
    };
    let settings = scheme.settings();
    let suffix = if settings.is_empty() {
        String::new()
    } else {
        let digest = bundle::digest::Digest::of(&bundle::codec::encode(&settings));
        format!(", settings {}", &digest.hex()[..8])
    };
    scheme.name = format!("{at} by {mark}{by}{stripped}{suffix}");
    scheme
}
