//! Reuse of allocated header maps, so that an exchange need not allocate new ones.
//!
//! A request's map is used until the response head is complete, because a retry may need it. A
//! response's map is used until its head is written. Then both are cleared and stored here for
//! other messages.

use std::cell::RefCell;

use http::HeaderMap;

/// Maximum number of stored maps. Enough for the exchanges that begin while other exchanges end.
const KEPT_MAX: usize = 64;
/// Maximum capacity of a stored map. Larger ones are freed.
const FIELDS_MAX: usize = 64;

/// Empty header maps of one worker, with allocated capacity.
#[derive(Debug, Default)]
pub(crate) struct SpareMaps(RefCell<Vec<HeaderMap>>);

impl SpareMaps {
    /// Takes an empty map. Allocates nothing yet if none is stored.
    pub(crate) fn take(&self) -> HeaderMap {
        self.0.borrow_mut().pop().unwrap_or_default()
    }

    /// Clears a header map and stores it for reuse.
    pub(crate) fn keep(&self, mut map: HeaderMap) {
        let mut kept = self.0.borrow_mut();
        if kept.len() < KEPT_MAX && (1..=FIELDS_MAX).contains(&map.capacity()) {
            map.clear();
            kept.push(map);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::{ACCEPT, HOST, HeaderName};

    use super::*;

    #[test]
    fn stored_maps_are_empty_and_bounded() {
        let spare = SpareMaps::default();
        assert_eq!(spare.take().capacity(), 0, "no map is stored");
        let mut map = HeaderMap::new();
        map.insert(HOST, HeaderValue::from_static("h"));
        map.append(ACCEPT, HeaderValue::from_static("a"));
        map.append(ACCEPT, HeaderValue::from_static("b"));
        let room = map.capacity();
        spare.keep(map);
        spare.keep(HeaderMap::new());
        let taken = spare.take();
        assert!(taken.is_empty() && taken.capacity() == room);
        assert_eq!(
            spare.take().capacity(),
            0,
            "a map without capacity is not stored"
        );
        let mut large = HeaderMap::new();
        for number in 0..500 {
            let name = HeaderName::from_bytes(format!("x-{number}").as_bytes()).unwrap();
            large.insert(name, HeaderValue::from_static("v"));
        }
        spare.keep(large);
        assert_eq!(spare.take().capacity(), 0, "a large map is not stored");
        for _ in 0..2 * KEPT_MAX {
            spare.keep(HeaderMap::with_capacity(8));
        }
        assert_eq!(spare.0.borrow().len(), KEPT_MAX);
    }
}
