//! Credentials in the requests that an API sends: the field `security` of a callback or a webhook.

use bundle::ir::Value;
use diag::NodeRef;
use openapi::spec::reference::Resolver;

/// Fields of a security scheme or flow with a URL by which receivers recognise an issuer.
const URLS: [&str; 4] = [
    "authorizationUrl",
    "tokenUrl",
    "deviceAuthorizationUrl",
    "openIdConnectUrl",
];

/// Key of the alternatives that are those of the root.
pub const ROOT: &str = "root";

/// Alternatives of `security` of a request: a sorted list of alternatives. Each alternative is the
/// sorted list of its credentials as texts, such as `apiKey header x-key`. The names of the schemes
/// have no effect. `None`: the request has no credentials.
///
/// A request without `security` has that of the root (OpenAPI 3.1.1, section 4.8.10.1). The root
/// mainly describes the requests of clients, so alternatives that are equal to those of the root are
/// a map with the key [`ROOT`].
pub(super) fn of(resolver: &Resolver<'_>, request: NodeRef<'_>) -> Option<Value> {
    let of_root = alternatives(resolver, resolver.root());
    let own = match request.get("security") {
        Some(_) => alternatives(resolver, request),
        None => of_root.clone(),
    }?;
    Some(match of_root == Some(own.clone()) {
        true => Value::Map(vec![(ROOT.into(), own)]),
        false => own,
    })
}

/// Alternatives of the field `security` of an operation or of the root. `None` without credentials.
fn alternatives(resolver: &Resolver<'_>, holder: NodeRef<'_>) -> Option<Value> {
    let list = holder.get("security")?;
    let mut alternatives: Vec<Vec<String>> = list
        .items()
        .map(|requirement| credentials(resolver, requirement))
        .collect();
    alternatives.sort();
    alternatives.dedup();
    if alternatives.iter().all(Vec::is_empty) {
        return None;
    }
    let text = |one: String| Value::Text(one.into());
    let list = |all: Vec<String>| Value::List(all.into_iter().map(text).collect());
    Some(Value::List(alternatives.into_iter().map(list).collect()))
}

fn credentials(resolver: &Resolver<'_>, requirement: NodeRef<'_>) -> Vec<String> {
    let mut all = Vec::new();
    for (entry, scopes) in requirement.entries() {
        let credential = credential(resolver, &entry.key);
        let scopes = scopes.items().filter_map(NodeRef::as_str);
        all.extend(scopes.map(|scope| format!("{credential} scope {scope}")));
        all.push(credential);
    }
    all.sort();
    all.dedup();
    all
}

/// Text for the credential of a security scheme. The name, if the document has no such scheme.
fn credential<'a>(resolver: &Resolver<'a>, name: &str) -> String {
    let get = |node: NodeRef<'a>, key| node.get(key).and_then(|value| resolver.resolve(value));
    let components = get(resolver.root(), "components");
    let schemes = components.and_then(|components| get(components, "securitySchemes"));
    let Some(scheme) = schemes.and_then(|schemes| get(schemes, name)) else {
        return name.to_owned();
    };
    let text = |key: &str| scheme.get(key).and_then(NodeRef::as_str);
    let mut words = vec![text("type").unwrap_or(name).to_owned()];
    // Names of header fields and of authentication schemes are case-insensitive (RFC 9110, sections
    // 5.1 and 11.1).
    words.extend(text("scheme").map(str::to_ascii_lowercase));
    words.extend(text("in").map(str::to_owned));
    words.extend(text("name").map(|name| match text("in") {
        Some("header") => name.to_ascii_lowercase(),
        _ => name.to_owned(),
    }));
    let mut flows: Vec<_> = get(scheme, "flows")
        .into_iter()
        .flat_map(NodeRef::entries)
        .collect();
    flows.sort_by(|(a, _), (b, _)| a.key.cmp(&b.key));
    let flows = flows
        .into_iter()
        .filter_map(|(_, flow)| resolver.resolve(flow));
    let holders = flows.chain([scheme]);
    for holder in holders {
        let urls = URLS.iter().filter_map(|key| holder.get(key)?.as_str());
        words.extend(urls.map(str::to_owned));
    }
    words.join(" ")
}
