//! Removal of parameters and credentials at several locations of a request.

use http::HeaderMap;

use super::names::NameTable;
use super::place::{Place, strip_cookies_in};
use super::spelling::without_names;

/// Locations from which values are removed. The names of the query and of the `Cookie` field are
/// read once, regardless of the number of locations.
#[derive(Clone, Debug)]
pub struct Removals {
    /// Names of the query parameters.
    queries: NameTable,
    /// Names of the cookies.
    cookies: NameTable,
    /// Locations other than query parameters and cookies.
    others: Box<[Place]>,
}

impl Removals {
    /// Prepares the removal of the values at `places`.
    #[must_use]
    pub fn new(places: &[Place]) -> Self {
        let others = places
            .iter()
            .filter(|place| !matches!(place, Place::Query(_) | Place::Cookie(_)));
        Self {
            queries: NameTable::of_parameters(places.iter().filter_map(query_name)),
            cookies: NameTable::of_cookies(places.iter().filter_map(cookie_name)),
            others: others.cloned().collect(),
        }
    }

    /// Locations other than query parameters and cookies.
    #[must_use]
    pub fn others(&self) -> &[Place] {
        &self.others
    }

    /// Query without the parameters to be removed, in all spellings that some servers treat as
    /// their names. `None` if the query has no such parameter.
    #[must_use]
    pub fn strip_query(&self, query: &str) -> Option<String> {
        if self.queries.is_empty() {
            return None;
        }
        without_names(query, |written| self.queries.has_written(written))
    }

    /// Removes the cookies of these locations, in all spellings that some servers treat as their
    /// names. Returns true if a cookie was removed.
    #[must_use]
    pub fn strip_cookies(&self, headers: &mut HeaderMap) -> bool {
        !self.cookies.is_empty()
            && strip_cookies_in(headers, |name| self.cookies.find(name).is_some())
    }
}

/// Name of a query parameter. `None` for any other location.
fn query_name(place: &Place) -> Option<&[u8]> {
    match place {
        Place::Query(name) => Some(name.as_bytes()),
        Place::Header(_) | Place::Cookie(_) | Place::Authorization(_) | Place::Certificate => None,
    }
}

/// Name of a cookie. `None` for any other location.
fn cookie_name(place: &Place) -> Option<&[u8]> {
    match place {
        Place::Cookie(name) => Some(name.as_bytes()),
        Place::Header(_) | Place::Query(_) | Place::Authorization(_) | Place::Certificate => None,
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::super::names::steps;
    use super::*;

    #[test]
    fn removal_at_once_is_that_of_each_place() {
        let places = ["q", "api_key", "a.b"].map(|name| Place::Query(name.into()));
        let removals = Removals::new(&places);
        for query in [
            "q=1&r=2",
            "r=1;Q=2&api.key=3;q=4&api-key=5",
            "a[b]=1&a[c]=2&=q=3",
            "%u0071=1&r;%61pi_key=2",
            "q&&api_key&a.b",
            "r=q&s=%71",
            "a%FFpi_key=1&%C3q=2;r%FF=3",
            "&",
            "",
        ] {
            let mut kept = query.to_owned();
            for place in &places {
                kept = place.strip_query(&kept).unwrap_or(kept);
            }
            let removed = removals.strip_query(query);
            assert_eq!(removed.unwrap_or_else(|| query.to_owned()), kept, "{query}");
        }
        let places = ["sid", "app_sid"].map(|name| Place::Cookie(name.into()));
        let removals = Removals::new(&places);
        for cookies in [
            "a=1; SID=2; app.sid=3; b=4",
            "a=1, sid=2; =app_sid=3;c==sid",
            "sid[0]=1",
            "sid.x=1; app%5Fsid=2",
            "s%FFid=1; app%FF_sid=2; a%FF=3",
        ] {
            let mut expected = HeaderMap::new();
            expected.insert("cookie", HeaderValue::from_static(cookies));
            let mut headers = expected.clone();
            let mut is_changed = false;
            for place in &places {
                is_changed |= place.strip_headers(&mut expected);
            }
            assert_eq!(removals.strip_cookies(&mut headers), is_changed);
            assert_eq!(headers, expected, "{cookies}");
        }
    }

    #[test]
    fn removal_does_not_grow_with_the_places() {
        let all: Vec<Place> = (0..500)
            .flat_map(|number| {
                let name = format!("p{number}");
                [Place::Query(name.clone()), Place::Cookie(name)]
            })
            .collect();
        let steps_for = |count: usize| {
            let removals = Removals::new(&all[..count]);
            let mut headers = HeaderMap::new();
            headers.insert("cookie", HeaderValue::from_static("a=1; b=2 c=3"));
            steps::of(|| {
                assert_eq!(removals.strip_query("a=1&b[x]=2;c"), None);
                assert!(!removals.strip_cookies(&mut headers));
            })
        };
        assert_eq!(steps_for(2), steps_for(1_000));
    }
}
