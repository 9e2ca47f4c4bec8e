//! Comparison of `contentSchema`, `contentMediaType` and `contentEncoding` (encoded content of
//! texts).

use super::{Effect, Pair};

pub(super) fn compare(pair: &mut Pair<'_>) {
    pair.single("contentSchema", "content-schema", "");
    for (keyword, what) in [
        ("contentMediaType", "content-media-type-changed"),
        ("contentEncoding", "content-encoding-changed"),
    ] {
        if !pair.is_same(keyword) {
            pair.keyword(keyword, what, Effect::Changed);
        }
    }
}
