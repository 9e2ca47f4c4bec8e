//! Removal of credentials before a request is forwarded to the upstream.
//!
//! Credentials are removed from the locations of the API's schemes with `strip_credential`, on
//! every operation of the API. Otherwise a client that sends its key with each request would reveal
//! the key to the upstream of an operation that does not require it.

use std::collections::BTreeSet;

use bundle::ir;
use http::Method;
use http::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use policy::RequestHead;
use policy::auth::hmac_signature::aliyun;
use policy::auth::{Place, Removals, dpop, hmac_signature};
use policy::managed::is_lookalike;

/// Locations that are removed from requests before the requests are forwarded, without duplicates.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stripped {
    /// Locations of an API's schemes with `strip_credential`.
    pub(crate) credentials: Box<[Place]>,
    /// Identity fields for upstreams, which only the gateway may write.
    pub(crate) identities: Box<[Place]>,
}

impl Stripped {
    /// Collects the locations of an API. `withheld` are identity fields that other operations write
    /// for the same upstreams.
    pub(crate) fn of(schemes: &ir::Set<ir::Scheme>, withheld: &BTreeSet<String>) -> Self {
        let stripped = schemes.iter().filter(|scheme| scheme.strip_credential);
        let credentials = stripped.map(|scheme| scheme.place.clone());
        let fields = schemes.iter().flat_map(|scheme| scheme.passes.fields());
        let fields = fields.map(str::to_owned).chain(withheld.iter().cloned());
        Self {
            credentials: distinct(credentials.filter(|place| *place != Place::Certificate)),
            identities: distinct(fields.map(Place::Header)),
        }
    }

    /// All locations.
    pub(crate) fn places(&self) -> impl Iterator<Item = &Place> {
        self.credentials.iter().chain(&self.identities)
    }
}

fn distinct(places: impl Iterator<Item = Place>) -> Box<[Place]> {
    let places: BTreeSet<Place> = places.collect();
    places.into_iter().collect()
}

/// True if removing the credentials at one location also removes those at the other location.
pub fn overlap(one: &Place, other: &Place) -> bool {
    let is_whole = |whole: &Place, part: &Place| match (whole, part) {
        (Place::Header(name), Place::Authorization(_)) => name == "authorization",
        (Place::Header(name), Place::Cookie(_)) => name == "cookie",
        _ => false,
    };
    one == other || is_whole(one, other) || is_whole(other, one)
}

/// True if removing the credential at `place` also removes or changes `part`. That holds for the
/// same location, for a name that servers read as the same name, and for a field that contains the
/// credential.
#[must_use]
pub fn removes(place: &Place, part: &Place) -> bool {
    match (place, part) {
        (Place::Header(name), Place::Header(other)) if is_lookalike(other, name) => true,
        (Place::Authorization(_) | Place::Cookie(_) | Place::Header(_), Place::Header(name)) => {
            removes_field(place, name)
        }
        (Place::Cookie(_), Place::Cookie(name)) => {
            let mut headers = HeaderMap::new();
            let value = HeaderValue::try_from(format!("{name}=1"));
            value.is_ok_and(|value| {
                headers.insert(COOKIE, value);
                place.strip_headers(&mut headers)
            })
        }
        (Place::Query(_), Place::Query(name)) => {
            let escaped: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
            place.strip_query(&format!("{escaped}=1")).is_some()
        }
        _ => overlap(place, part),
    }
}

/// True if removing the credentials at `place` also removes or changes the field `name`.
fn removes_field(place: &Place, name: &str) -> bool {
    let Ok(name) = HeaderName::try_from(name) else {
        return false;
    };
    let is_part = match place {
        Place::Authorization(_) => name == AUTHORIZATION,
        Place::Cookie(_) => name == COOKIE,
        Place::Header(_) | Place::Query(_) | Place::Certificate => false,
    };
    if is_part {
        return true;
    }
    let mut head = RequestHead {
        method: Method::GET,
        target: PathAndQuery::from_static("/"),
        host: Box::default(),
        headers: HeaderMap::new(),
        is_ambiguous: false,
    };
    if let Place::Authorization(scheme) = place
        && let Ok(value) = HeaderValue::try_from(format!("{scheme} x"))
    {
        head.headers.insert(AUTHORIZATION, value);
    }
    head.headers.insert(&name, HeaderValue::from_static("x"));
    strip(place, &mut head);
    !head.headers.contains_key(&name)
}

/// Removes all credentials at a location.
pub(crate) fn strip(place: &Place, head: &mut RequestHead) {
    match place {
        Place::Authorization(scheme) => strip_authorization(&mut head.headers, scheme),
        Place::Query(_) => replace_query(head, |query| place.strip_query(query)),
        Place::Header(name) if name == hmac_signature::FIELD => {
            head.headers.remove(hmac_signature::FIELD);
            head.headers.remove(hmac_signature::INPUT);
        }
        Place::Header(name) if name == aliyun::SIGNATURE => {
            for name in [aliyun::SIGNATURE, aliyun::HEADERS, aliyun::METHOD] {
                head.headers.remove(name);
            }
        }
        Place::Header(_) | Place::Cookie(_) | Place::Certificate => {
            let _ = place.strip_headers(&mut head.headers);
        }
    }
}

/// Removes the values at several locations.
pub(crate) fn remove(removals: &Removals, head: &mut RequestHead) {
    for place in removals.others() {
        strip(place, head);
    }
    let _ = removals.strip_cookies(&mut head.headers);
    replace_query(head, |query| removals.strip_query(query));
}

/// Removes the `Authorization` values of one authentication scheme. Keeps values of other schemes.
fn strip_authorization(headers: &mut HeaderMap, scheme: &str) {
    let is_meant = |value: &HeaderValue| {
        let mut words = value.as_bytes().split(u8::is_ascii_whitespace);
        let first_word = words.next().unwrap_or_default();
        first_word.eq_ignore_ascii_case(scheme.as_bytes())
    };
    let values = headers.get_all(AUTHORIZATION);
    if !values.iter().any(is_meant) {
        return;
    }
    let kept = values.iter().filter(|value| !is_meant(value));
    let kept: Vec<HeaderValue> = kept.cloned().collect();
    headers.remove(AUTHORIZATION);
    for value in kept {
        headers.append(AUTHORIZATION, value);
    }
    // Also remove the proof, which is valid only for the URL of this gateway.
    if scheme == dpop::SCHEME {
        headers.remove(dpop::SCHEME);
    }
}

/// Replaces the query by the result of `stripped`. Keeps the query if the result is `None`.
fn replace_query(head: &mut RequestHead, stripped: impl Fn(&str) -> Option<String>) {
    let Some(query) = head.target.query().and_then(stripped) else {
        return;
    };
    let target = if query.is_empty() {
        head.target.path().to_owned()
    } else {
        format!("{}?{query}", head.target.path())
    };
    if let Ok(target) = target.parse() {
        head.target = target;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str) -> Place {
        Place::Header(name.to_owned())
    }

    fn query(name: &str) -> Place {
        Place::Query(name.to_owned())
    }

    fn cookie(name: &str) -> Place {
        Place::Cookie(name.to_owned())
    }

    #[test]
    fn removal_includes_names_that_servers_read_alike() {
        let authorization = |scheme: &str| Place::Authorization(scheme.to_owned());
        for (place, part, expected) in [
            (header("x-t"), header("x-t"), true),
            (header("x-t"), header("x_t"), true),
            (header("x-t"), header("x-tt"), false),
            (header("signature"), header("signature-input"), true),
            (
                header("x-ca-signature"),
                header("x-ca-signature-method"),
                true,
            ),
            (header("x-ca-signature"), header("x-ca-key"), false),
            (authorization("dpop"), header("dpop"), true),
            (authorization("bearer"), header("dpop"), false),
            (authorization("bearer"), header("authorization"), true),
            (header("cookie"), cookie("sid"), true),
            (cookie("sid"), header("cookie"), true),
            (cookie("sid"), cookie("Sid"), true),
            (cookie("sid"), cookie("other"), false),
            (query("tok"), query("Tok"), true),
            (query("tok"), query("tok[]"), true),
            (query("tok"), query("token"), false),
            (query("tok"), header("tok"), false),
        ] {
            assert_eq!(removes(&place, &part), expected, "{place:?} {part:?}");
        }
    }
}
