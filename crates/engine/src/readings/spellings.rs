//! Texts that upstreams may derive from a path.

use rustc_hash::FxHashSet;

use crate::path::{self, blank_before, blank_behind};
use crate::{invalid_utf8, overlong};

/// Maximum number of readings (interpretations by upstreams) of a path. A path with more readings
/// is refused.
pub(super) const READINGS_MAX: usize = 64;

/// Maximum length of all readings (interpretations by upstreams) of a path together: 128 KiB. A
/// path that exceeds this length is refused.
const READING_BYTES_MAX: usize = 128 << 10;

/// Maximum number of escaped separators (`%2F`, `%5C`) and repeated slashes of a reading. A path
/// that exceeds this number is refused before its other readings are computed. Object keys and
/// project paths have a few dozen at most.
pub(super) const SEPARATORS_MAX: usize = 128;

/// Steps for each segment and each escape of a text, in addition to one step for each byte. Some
/// functions in [`STEPS`] visit each segment, others each escape.
const PART_STEPS: usize = 4;

/// Reason why the paths that upstreams may derive from a path cannot be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A path leads above the root (`/..`).
    Outside,
    /// A limit is exceeded: texts, their bytes, their separators, or steps.
    TooMany,
}

/// Changes that an upstream may make to a path. Each function returns `None` if it changes nothing.
/// Servers apply these changes in different orders, and a request may pass several servers.
const STEPS: [fn(&str) -> Option<String>; 18] = [
    overlong::shortened,
    invalid_utf8::dropped,
    |path| replaced(path, "%2F", "/"),
    |path| replaced(path, "%5C", "/"),
    |path| replaced(path, "%3B", ";"),
    decoded_again,
    without_parameters,
    without_dot_parameters,
    |path| cut(path, "%3F"),
    // Fastify reads the part after `;` as the query.
    |path| cut(path, ";"),
    |path| cut(path, "%23"),
    // Cut at NUL, which ends strings in C. The edge refuses `%00`, but not an overlong form of NUL.
    |path| cut(path, "%00"),
    |path| trimmed(path, "/%", without_blanks_before),
    |path| trimmed(path, "%", without_blanks_behind),
    |path| trimmed(path, ".", without_final_dots),
    path::without_host,
    path::without_host_behind_slashes,
    path::merge_slashes,
];

/// All paths that [`STEPS`] and the removal of dot segments can produce from a path, in any order.
/// Subtracts the steps of the search from `left`: one for each byte of a text, and [`PART_STEPS`]
/// for each segment and escape.
pub(super) fn spellings(path: &str, left: &mut usize) -> Result<Vec<String>, Fault> {
    let mut texts = vec![path.to_owned()];
    let mut known = FxHashSet::from_iter([path.to_owned()]);
    let mut next = 0;
    while let Some(text) = texts.get(next).cloned() {
        next += 1;
        spend(left, text.len())?;
        if separators(&text) > SEPARATORS_MAX {
            return Err(Fault::TooMany);
        }
        let parts = memchr::memchr2_iter(b'/', b'%', text.as_bytes()).count();
        spend(left, PART_STEPS * parts)?;
        let resolved = path::remove_dot_segments(&text).map_err(|_| Fault::Outside)?;
        let turned = STEPS.iter().filter_map(|step| step(&text));
        for one in turned.chain(resolved) {
            if known.insert(one.clone()) {
                texts.push(one);
            }
        }
        if texts.len() > READINGS_MAX || texts.len() * path.len() > READING_BYTES_MAX {
            return Err(Fault::TooMany);
        }
    }
    Ok(texts)
}

fn spend(left: &mut usize, steps: usize) -> Result<(), Fault> {
    *left = left.checked_sub(steps).ok_or(Fault::TooMany)?;
    Ok(())
}

/// Number of escaped separators, and of slashes that follow a slash.
pub(super) fn separators(path: &str) -> usize {
    let repeated = path.as_bytes().windows(2).filter(|pair| *pair == b"//");
    let escaped = memchr::memchr_iter(b'%', path.as_bytes());
    let escaped = escaped.filter(|at| matches!(path.get(at + 1..at + 3), Some("2F" | "5C")));
    repeated.count() + escaped.count()
}

fn replaced(path: &str, escape: &str, with: &str) -> Option<String> {
    path.contains(escape).then(|| path.replace(escape, with))
}

/// Path without the `;parameters` of each segment.
fn without_parameters(path: &str) -> Option<String> {
    if !path.contains(';') {
        return None;
    }
    let segments = path.split('/');
    let bare: Vec<&str> = segments
        .map(|segment| segment.split(';').next().unwrap_or_default())
        .collect();
    Some(bare.join("/"))
}

/// Path without the `;parameters` of dot segments. Envoy with `normalize_path` treats `..;a` as
/// `..` and keeps the parameters of other segments.
fn without_dot_parameters(path: &str) -> Option<String> {
    if !path.contains(".;") {
        return None;
    }
    let segments: Vec<&str> = path
        .split('/')
        .map(|segment| match segment.split_once(';') {
            Some((dots @ ("." | ".."), _)) => dots,
            _ => segment,
        })
        .collect();
    let bare = segments.join("/");
    (bare != path).then_some(bare)
}

/// Part of the path before an escape of `?`, `#` or NUL. `/` if nothing precedes the escape.
fn cut(path: &str, escape: &str) -> Option<String> {
    let at = path.find(escape)?;
    Some(match &path[..at] {
        "" => "/".to_owned(),
        before => before.to_owned(),
    })
}

/// Path with each segment trimmed by `trim`. `None` if nothing changes. `trim` changes no path that
/// does not contain `mark`.
fn trimmed(path: &str, mark: &str, trim: fn(&str) -> &str) -> Option<String> {
    if !path.contains(mark) {
        return None;
    }
    let mut text = String::with_capacity(path.len());
    for (number, segment) in path.split('/').enumerate() {
        if number > 0 {
            text.push('/');
        }
        text.push_str(trim(segment));
    }
    (text.len() < path.len()).then_some(text)
}

fn without_blanks_before(mut segment: &str) -> &str {
    while let Some(length) = blank_before(segment) {
        segment = &segment[length..];
    }
    segment
}

fn without_blanks_behind(mut segment: &str) -> &str {
    while let Some(length) = blank_behind(segment) {
        segment = &segment[..segment.len() - length];
    }
    segment
}

/// Segment without its final dots, which Windows ignores. Dot segments are unchanged.
fn without_final_dots(segment: &str) -> &str {
    match segment {
        "." | ".." => segment,
        _ => segment.trim_end_matches('.'),
    }
}

/// Path in which `%25` is decoded if the result is another escape. `%2500` is unchanged. `None` if
/// nothing changes.
fn decoded_again(path: &str) -> Option<String> {
    let mut text = String::with_capacity(path.len());
    let mut rest = path;
    let mut changed = false;
    while let Some(at) = rest.find("%25") {
        let behind = &rest[at + 3..];
        let digits = behind.get(..2).unwrap_or_default();
        let escape = digits.len() == 2
            && digits != "00"
            && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        text.push_str(&rest[..at]);
        text.push_str(if escape { "%" } else { "%25" });
        changed |= escape;
        rest = behind;
    }
    text.push_str(rest);
    if !changed {
        return None;
    }
    Some(path::decode_unreserved(&text).ok()?.into_owned())
}
