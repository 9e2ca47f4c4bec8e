//! Removal of credentials before a request is forwarded to the upstream.
//!
//! Credentials are removed from the locations of the API's schemes with `strip_credential`, on
//! every operation of the API. Otherwise a client that sends its key with each request would reveal
//! the key to the upstream of an operation that does not require it.

use std::collections::BTreeSet;

use bundle::ir;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use policy::RequestHead;
use policy::auth::hmac_signature::aliyun;
use policy::auth::{Place, dpop, hmac_signature};

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

/// Removes all credentials at a location.
pub(crate) fn strip(place: &Place, head: &mut RequestHead) {
    match place {
        Place::Authorization(scheme) => strip_authorization(&mut head.headers, scheme),
        Place::Query(_) => strip_query(place, head),
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

fn strip_query(place: &Place, head: &mut RequestHead) {
    let query = head.target.query();
    let Some(query) = query.and_then(|query| place.strip_query(query)) else {
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
