//! API keys whose name no request can contain: every request to their operations is refused.

use diag::{Diagnostic, Sink};
use openapi::spec::{In, SchemeKind};
use policy::managed::{self, Allowed, FRAMING};
use vocab::verifier_lints::CREDENTIAL_NAME;

use super::Api;

/// Reports each security scheme of type `apiKey` whose name no request can contain.
pub(super) fn check(apis: &[Api], sink: &mut Sink) {
    for scheme in apis.iter().flat_map(|api| &api.spec.schemes) {
        let SchemeKind::ApiKey { place, name } = &scheme.kind else {
            continue;
        };
        let Some(reason) = reason(*place, &name.value) else {
            continue;
        };
        let shown = diag::text::printable(&name.value);
        let message = format!("no request can contain the API key `{shown}`");
        let finding = Diagnostic::new(&CREDENTIAL_NAME, name.span, message).label(reason);
        sink.push(
            finding.help("write the name of the field, parameter or cookie that clients send"),
        );
    }
}

/// Reason why no request can contain a credential of this name. `None` if a request can contain
/// such a credential.
fn reason(place: In, name: &str) -> Option<&'static str> {
    let is_token = || http::HeaderName::try_from(name).is_ok();
    let lower = name.to_ascii_lowercase();
    match place {
        _ if name.is_empty() => Some("the name is empty"),
        In::Header if !is_token() => Some("this is not the name of a header field"),
        In::Header if FRAMING.contains(&lower.as_str()) => {
            Some("this field belongs to the connection or has another meaning")
        }
        In::Header if managed::is_managed(&lower, Allowed::default()) => {
            Some("the gateway removes this field from the requests of clients")
        }
        In::Cookie if !is_token() => Some("this is not the name of a cookie"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_requests_can_contain() {
        for (place, name, is_possible) in [
            (In::Header, "X-Key", true),
            (In::Header, "Authorization", true),
            (In::Header, "X Key", false),
            (In::Header, "}", false),
            (In::Header, ":path", false),
            (In::Header, "Host", false),
            (In::Header, "connection", false),
            (In::Header, "X-Forwarded-For", false),
            (In::Cookie, "sid", true),
            (In::Cookie, "a=b", false),
            (In::Cookie, "a;b", false),
            (In::Query, "a b", true),
            (In::Query, "", false),
        ] {
            assert_eq!(reason(place, name).is_none(), is_possible, "{name}");
        }
    }
}
