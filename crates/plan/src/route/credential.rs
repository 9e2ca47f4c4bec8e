//! Credentials that `gwc route` assumes for a request. They are the same as in the witnesses of
//! plans.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir;
use policy::auth::mtls::Source;
use policy::auth::{Place, dpop};
use zeroize::Zeroizing;

use super::route_request::RouteRequest;
use crate::ask::Question;
use crate::security::{self, Tokens};
use crate::witness;

/// Credential from the command line: `SCHEME=valid` or `SCHEME=forged`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Name of the scheme in the document, or its name in a bundle (`header x-key by keys`).
    pub scheme: String,
    /// True if the verifier accepts the credential.
    pub valid: bool,
}

/// Texts of real credentials, by the name of their scheme. A request to a running gateway carries
/// these texts instead of the credentials of witnesses.
#[derive(Default)]
pub struct GivenCredentials(BTreeMap<String, Zeroizing<String>>);

/// Reason why a credential cannot be added to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoCredential {
    /// The API of the request has no such scheme.
    UnknownScheme {
        /// Scheme as written on the command line.
        scheme: String,
        /// Name of the API.
        api: String,
        /// Names of the API's schemes.
        known: Vec<String>,
    },
    /// The request already has a value in the field or parameter of this scheme.
    Twice(String),
    /// The scheme is a client certificate. A forged certificate does not pass the TLS handshake.
    Certificate(String),
}

impl GivenCredentials {
    /// Names of the schemes that have a real credential.
    pub fn schemes(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Text of the real credential for a scheme. `None` if the user gave none.
    #[must_use]
    pub fn get(&self, scheme: &str) -> Option<&str> {
        self.0.get(scheme).map(|text| text.as_str())
    }
}

impl FromIterator<(String, Zeroizing<String>)> for GivenCredentials {
    fn from_iter<I: IntoIterator<Item = (String, Zeroizing<String>)>>(given: I) -> Self {
        Self(given.into_iter().collect())
    }
}

impl std::fmt::Debug for GivenCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl std::str::FromStr for Credential {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The name of a scheme may contain `=`.
        let (scheme, state) = text.rsplit_once('=').unwrap_or((text, ""));
        let valid = match state {
            "valid" => true,
            "forged" => false,
            _ => return Err("write SCHEME=valid or SCHEME=forged".to_owned()),
        };
        Ok(Self {
            scheme: scheme.to_owned(),
            valid,
        })
    }
}

impl std::fmt::Display for NoCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UnknownScheme { scheme, api, known } => {
                let scheme = scheme.escape_debug();
                write!(
                    f,
                    "the request belongs to `{api}`, which has no security scheme `{scheme}`: "
                )?;
                let known = known.iter().map(String::as_str);
                write!(f, "{}", diag::suggest::one_of(known, 8))
            }
            Self::Twice(place) => write!(
                f,
                "the request already has {place}; write either -H or --credential"
            ),
            Self::Certificate(scheme) => write!(
                f,
                "`{}` is a client certificate, and a forged one ends the TLS handshake; leave it out",
                scheme.escape_debug()
            ),
        }
    }
}

/// Name of the consumer for display.
pub(super) fn owner(consumer: &str) -> String {
    match consumer {
        name if name.starts_with(witness::OWNER) => "(owner of the valid credential)".to_owned(),
        name => name.to_owned(),
    }
}

/// Adds credentials to the request, if the request matches an operation: the text in `given`, or
/// else the credential of a witness. The gateway in `route_request` must accept the credentials of
/// witnesses ([`witness::with_witness`]), unless the request goes to a running gateway.
///
/// # Errors
/// Returns an error if the API has no such scheme, or if the request already has a value in the
/// scheme's field or parameter.
pub fn carry(
    route_request: RouteRequest<'_>,
    credentials: &[Credential],
    given: &GivenCredentials,
) -> Result<Option<Question>, NoCredential> {
    let owner = route_request
        .oracle
        .ask(route_request.question, |decided, _, _| {
            decided.route.map(|route| route.api.to_owned())
        });
    let api = owner.ok().flatten();
    let Some(api) = api.and_then(|name| route_request.gateway().apis.get(&name)) else {
        return Ok(None);
    };
    let mut question = route_request.question.clone();
    let found = credentials.iter();
    let found = found.map(|one| Ok((one, find(route_request, api, &one.scheme)?)));
    let found: Vec<(&Credential, &ir::Scheme)> = found.collect::<Result<_, NoCredential>>()?;
    let valid = found.iter().filter(|(credential, _)| credential.valid);
    // Build the tokens for one caller with all credentials, because a token may be bound to the
    // certificate of another scheme.
    let tokens = tokens_for(route_request, api, valid.map(|(_, scheme)| *scheme));
    let roles = witness::required_roles(uses(api));
    for (credential, scheme) in found {
        let source = security::certificate_source(scheme, &route_request.gateway().shared.auth);
        put(
            &mut question,
            (scheme, source),
            credential,
            (&tokens, &roles),
            given.get(&credential.scheme),
        )?;
    }
    Ok(Some(question))
}

fn find<'a>(
    route_request: RouteRequest<'a>,
    api: &'a ir::Api,
    name: &str,
) -> Result<&'a ir::Scheme, NoCredential> {
    let source = route_request.side.source.as_ref();
    let names = source.and_then(|source| source.apis.get(&api.name));
    let canonical = names.and_then(|names| names.schemes.get(name));
    let found = canonical.and_then(|canonical| api.schemes.get(canonical));
    found.or_else(|| api.schemes.get(name)).ok_or_else(|| {
        let of_document = names.into_iter().flat_map(|names| &names.schemes);
        let of_document = of_document.filter(|(_, name)| api.schemes.get(name).is_some());
        let mut known: Vec<String> = of_document.map(|(name, _)| name.clone()).collect();
        if known.is_empty() {
            known = api
                .schemes
                .iter()
                .map(|scheme| scheme.name.clone())
                .collect();
        }
        NoCredential::UnknownScheme {
            scheme: name.to_owned(),
            api: api.name.clone(),
            known,
        }
    })
}

/// Schemes named in the requirements of an API.
fn uses(api: &ir::Api) -> impl Iterator<Item = &ir::SchemeUse> {
    api.treatments.iter().flat_map(|one| one.security.uses())
}

/// Tokens of schemes, with every scope and role that the API requires.
fn tokens_for<'a>(
    route_request: RouteRequest<'_>,
    api: &ir::Api,
    schemes: impl Iterator<Item = &'a ir::Scheme>,
) -> Tokens {
    let roles = witness::required_roles(uses(api));
    let wanted = schemes.map(|scheme| {
        let uses = uses(api).filter(|wanted| wanted.scheme == scheme.name);
        let scopes: BTreeSet<String> = uses.flat_map(|wanted| wanted.scopes.clone()).collect();
        ir::SchemeUse {
            scheme: scheme.name.clone(),
            scopes: scopes.into_iter().collect(),
            roles: roles.iter().cloned().collect(),
        }
    });
    let alternative = ir::Alternative(wanted.collect());
    let auth = &route_request.gateway().shared.auth;
    security::tokens(
        &alternative,
        &api.schemes,
        auth,
        route_request.question.unix_s,
    )
}

fn put(
    question: &mut Question,
    (scheme, source): (&ir::Scheme, Source),
    credential: &Credential,
    (tokens, roles): (&Tokens, &BTreeSet<String>),
    given: Option<&str>,
) -> Result<(), NoCredential> {
    let given = given.filter(|_| credential.valid);
    let token = tokens.get(&scheme.place);
    let token = token.filter(|_| credential.valid && given.is_none());
    let text = match (given, token) {
        (Some(given), _) => given.to_owned(),
        (None, Some(token)) => token.clone(),
        (None, None) => witness::credential(scheme, credential.valid, roles),
    };
    if let Some(token) = token
        && let Some(certificate) = security::certificate_of(token)
        && !question.certificates.contains(&certificate)
    {
        question.certificates.push(certificate);
    }
    let request = &mut question.request;
    match &scheme.place {
        Place::Header(name) => {
            if request.headers.contains_key(name.as_str()) {
                return Err(NoCredential::Twice(format!("the field `{name}`")));
            }
            insert(request, name, text);
        }
        Place::Authorization(kind) => {
            if request.headers.contains_key(http::header::AUTHORIZATION) {
                return Err(NoCredential::Twice("the field `authorization`".to_owned()));
            }
            if let Some(proof) = security::proof_of(&text) {
                insert(request, dpop::SCHEME, proof);
            }
            insert(request, "authorization", format!("{kind} {text}"));
        }
        Place::Cookie(name) => {
            let before = request.headers.get(http::header::COOKIE);
            let before = before.and_then(|value| value.to_str().ok());
            let cookies = match before {
                Some(before) => format!("{before}; {name}={text}"),
                None => format!("{name}={text}"),
            };
            insert(request, "cookie", cookies);
        }
        Place::Query(name) => {
            let target = request.uri.to_string();
            let sign = if target.contains('?') { '&' } else { '?' };
            let target = format!("{target}{sign}{}={text}", validator::escaped(name));
            if let Ok(target) = target.parse() {
                request.uri = target;
            }
        }
        // A forged certificate does not pass the TLS handshake.
        Place::Certificate if !credential.valid => {
            return Err(NoCredential::Certificate(credential.scheme.clone()));
        }
        Place::Certificate => {
            let certificate = (source, token.cloned().unwrap_or_default());
            if !question.certificates.contains(&certificate) {
                question.certificates.push(certificate);
            }
        }
    }
    Ok(())
}

/// Sets a header field and marks its value as sensitive.
fn insert(request: &mut http::request::Parts, name: &str, value: String) {
    let name: Option<http::HeaderName> = name.parse().ok();
    let value = http::HeaderValue::try_from(value).ok();
    if let (Some(name), Some(mut value)) = (name, value) {
        value.set_sensitive(true);
        request.headers.insert(name, value);
    }
}
