//! Credentials in the requests that an API sends: the field `security` of a callback or a webhook.

use bundle::ir::Value;
use diag::NodeRef;

use super::Parts;

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
pub(super) fn of(parts: &Parts<'_, '_>, request: NodeRef<'_>) -> Option<Value> {
    let of_root = alternatives(parts, parts.resolver.root());
    let own = match request.get("security") {
        Some(_) => alternatives(parts, request),
        None => of_root.clone(),
    }?;
    Some(match of_root == Some(own.clone()) {
        true => Value::Map(vec![(ROOT.into(), own)]),
        false => own,
    })
}

/// Alternatives of the field `security` of an operation or of the root. `None` without credentials.
fn alternatives(parts: &Parts<'_, '_>, holder: NodeRef<'_>) -> Option<Value> {
    let list = holder.get("security")?;
    let mut alternatives: Vec<Vec<String>> = list
        .items()
        .map(|requirement| credentials(parts, requirement))
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

fn credentials(parts: &Parts<'_, '_>, requirement: NodeRef<'_>) -> Vec<String> {
    let mut all = Vec::new();
    for (entry, scopes) in requirement.entries() {
        let credential = credential(parts, &entry.key);
        let scopes = scopes.items().filter_map(NodeRef::as_str);
        all.extend(scopes.map(|scope| format!("{credential} scope {scope}")));
        all.push(credential);
    }
    all.sort();
    all.dedup();
    all
}

/// Text for the credential of a security scheme. The name, if the document has no such scheme.
fn credential(parts: &Parts<'_, '_>, name: &str) -> String {
    let components = parts.field(parts.resolver.root(), "components");
    let schemes = components.and_then(|components| parts.field(components, "securitySchemes"));
    let Some(scheme) = schemes.and_then(|schemes| parts.field(schemes, name)) else {
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
    let flows = parts.entries(parts.field(scheme, "flows"));
    let holders = flows.into_iter().map(|(_, flow)| flow).chain([scheme]);
    for holder in holders {
        let urls = URLS.iter().filter_map(|key| holder.get(key)?.as_str());
        words.extend(urls.map(str::to_owned));
    }
    words.join(" ")
}
