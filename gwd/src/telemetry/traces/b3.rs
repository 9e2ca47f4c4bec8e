//! Trace context in the fields of B3 (<https://github.com/openzipkin/b3-propagation>), which
//! Zipkin's libraries and older service meshes use.
//!
//! The single field is `b3: TRACE_ID-SPAN_ID-SAMPLED-PARENT_SPAN_ID`; the last two parts may be
//! absent. The field may also contain only the sampling decision. The other form has a field for
//! each part.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::context::{Span, write_hex};

/// Form of the fields that upstreams get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The field `b3`.
    Single,
    /// The fields `X-B3-TraceId`, `X-B3-SpanId` and `X-B3-Sampled`.
    Multi,
}

/// Trace context that the sender of a request states in B3 fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Context {
    /// Ids of the trace and of the sender's span. `None`: the sender states only its decision.
    pub(super) ids: Option<([u8; 16], [u8; 8])>,
    /// The sampling decision. `None`: the receiver decides.
    pub(super) is_sampled: Option<bool>,
}

static SINGLE: HeaderName = HeaderName::from_static("b3");
static TRACE_ID: HeaderName = HeaderName::from_static("x-b3-traceid");
static SPAN_ID: HeaderName = HeaderName::from_static("x-b3-spanid");
static PARENT_SPAN_ID: HeaderName = HeaderName::from_static("x-b3-parentspanid");
static SAMPLED: HeaderName = HeaderName::from_static("x-b3-sampled");
static FLAGS: HeaderName = HeaderName::from_static("x-b3-flags");

/// Reads the trace context of a request, in either form. The field `b3` takes precedence over the
/// other fields. `None` without valid B3 fields.
pub(super) fn read(headers: &HeaderMap) -> Option<Context> {
    let text = |name: &HeaderName| -> Option<&str> {
        let mut values = headers.get_all(name).iter();
        let value = values.next()?.to_str().ok()?;
        values.next().is_none().then_some(value)
    };
    if headers.contains_key(&SINGLE) {
        return of_single(text(&SINGLE)?);
    }
    let is_debug = text(&FLAGS) == Some("1");
    let is_sampled = match is_debug {
        true => Some(true),
        false => text(&SAMPLED).and_then(decision),
    };
    match (text(&TRACE_ID), text(&SPAN_ID)) {
        (None, None) => is_sampled.map(|_| Context {
            ids: None,
            is_sampled,
        }),
        (trace_id, span_id) => Some(Context {
            ids: Some((of_trace(trace_id?)?, of_hex(span_id?)?)),
            is_sampled,
        }),
    }
}

/// Removes the B3 fields of a sender.
pub(crate) fn remove(headers: &mut HeaderMap) {
    for name in [
        &SINGLE,
        &TRACE_ID,
        &SPAN_ID,
        &PARENT_SPAN_ID,
        &SAMPLED,
        &FLAGS,
    ] {
        headers.remove(name);
    }
}

/// Sets the B3 fields that name a span as the parent. Replaces those that [`insert`] has set
/// before.
pub(crate) fn insert(span: Span, form: Form, headers: &mut HeaderMap) {
    let mut trace_id = [0; 32];
    let mut span_id = [0; 16];
    write_hex(&span.trace_id, &mut trace_id);
    write_hex(&span.span_id, &mut span_id);
    let sampled = if span.is_sampled() { b"1" } else { b"0" };
    let value = |text: &[u8]| HeaderValue::from_bytes(text).expect("hex digits and dashes");
    match form {
        Form::Single => {
            let parts = [&trace_id[..], &span_id, sampled].join(&b'-');
            headers.insert(&SINGLE, value(&parts));
        }
        Form::Multi => {
            headers.insert(&TRACE_ID, value(&trace_id));
            headers.insert(&SPAN_ID, value(&span_id));
            headers.insert(&SAMPLED, value(sampled));
        }
    }
}

fn of_single(text: &str) -> Option<Context> {
    let mut parts = text.split('-');
    let first = parts.next()?;
    let Some(span_id) = parts.next() else {
        let is_sampled = Some(decision(first)?);
        return Some(Context {
            ids: None,
            is_sampled,
        });
    };
    let ids = (of_trace(first)?, of_hex(span_id)?);
    let is_sampled = match parts.next() {
        None => None,
        Some(text) => Some(decision(text)?),
    };
    if let Some(parent) = parts.next() {
        of_hex::<8>(parent)?;
    }
    parts.next().is_none().then_some(Context {
        ids: Some(ids),
        is_sampled,
    })
}

/// Sampling decision: `1`, `0` or `d` (debug), and `true` or `false` of old libraries.
fn decision(text: &str) -> Option<bool> {
    match text {
        "1" | "d" | "true" => Some(true),
        "0" | "false" => Some(false),
        _ => None,
    }
}

/// Trace id of 32 digits, or of 16 digits, to which zeros are added on the left.
fn of_trace(text: &str) -> Option<[u8; 16]> {
    let mut id = [0; 16];
    match text.len() {
        16 => id[8..].copy_from_slice(&of_hex::<8>(text)?),
        _ => id = of_hex(text)?,
    }
    Some(id)
}

/// Id in hexadecimal digits. `None` for an id of only zeros, which is invalid.
fn of_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut id = [0; N];
    for (at, byte) in id.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    (id != [0; N]).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "80f198ee56343ba864fe8b2a57d3eff7";
    const SPAN: &str = "e457b5a2e4d86bd1";

    fn of(fields: &[(&'static str, &str)]) -> Option<Context> {
        let fields = fields.iter().map(|(name, value)| {
            let value = HeaderValue::from_str(value).unwrap();
            (HeaderName::from_static(name), value)
        });
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, value);
        }
        read(&headers)
    }

    fn ids() -> Option<([u8; 16], [u8; 8])> {
        Some((of_hex(TRACE).unwrap(), of_hex(SPAN).unwrap()))
    }

    #[test]
    fn single_field_has_all_forms() {
        for (end, is_sampled) in [
            ("", None),
            ("-1", Some(true)),
            ("-0", Some(false)),
            ("-d", Some(true)),
            ("-1-05e3ac9a4f6e3b90", Some(true)),
        ] {
            let expected = Context {
                ids: ids(),
                is_sampled,
            };
            let found = of(&[("b3", &format!("{TRACE}-{SPAN}{end}"))]);
            assert_eq!(found, Some(expected), "{end}");
        }
        for (value, is_sampled) in [("0", false), ("1", true), ("d", true)] {
            let found = of(&[("b3", value)]).unwrap();
            assert_eq!((found.ids, found.is_sampled), (None, Some(is_sampled)));
        }
        let short = of(&[("b3", &format!("64fe8b2a57d3eff7-{SPAN}-1"))]).unwrap();
        let expected = of_hex::<16>("000000000000000064fe8b2a57d3eff7");
        assert_eq!(short.ids.map(|ids| ids.0), expected);
    }

    #[test]
    fn invalid_fields_are_no_context() {
        let zero = "0".repeat(32);
        for value in [
            "",
            "-",
            "2",
            TRACE,
            &format!("{TRACE}-{SPAN}-2"),
            &format!("{TRACE}-{SPAN}-1-{SPAN}-1"),
            &format!("{TRACE}-{SPAN}-1-x"),
            &format!("{zero}-{SPAN}-1"),
            &format!("{TRACE}-0000000000000000-1"),
            &format!("+{}-{SPAN}-1", &TRACE[1..]),
            &format!("{}-{SPAN}-1", &TRACE[1..]),
        ] {
            assert_eq!(of(&[("b3", value)]), None, "{value}");
        }
        assert_eq!(of(&[("b3", "1"), ("b3", "1")]), None, "two fields");
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("x-b3-traceid", TRACE)]), None, "no span");
        assert_eq!(of(&[("x-b3-spanid", SPAN), ("x-b3-sampled", "1")]), None);
        assert_eq!(of(&[("x-b3-sampled", "maybe")]), None);
    }

    #[test]
    fn several_fields_are_one_context() {
        let both = [("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN)];
        for (field, is_sampled) in [
            (None, None),
            (Some(("x-b3-sampled", "1")), Some(true)),
            (Some(("x-b3-sampled", "true")), Some(true)),
            (Some(("x-b3-sampled", "0")), Some(false)),
            (Some(("x-b3-flags", "1")), Some(true)),
            (Some(("x-b3-flags", "0")), None),
        ] {
            let fields: Vec<_> = both.into_iter().chain(field).collect();
            let expected = Context {
                ids: ids(),
                is_sampled,
            };
            assert_eq!(of(&fields), Some(expected), "{field:?}");
        }
        let denied = of(&[("x-b3-sampled", "0")]).unwrap();
        assert_eq!((denied.ids, denied.is_sampled), (None, Some(false)));
    }

    #[test]
    fn inserted_fields_are_read_again() {
        let (trace_id, span_id) = ids().unwrap();
        for form in [Form::Single, Form::Multi] {
            for flags in [0, 1] {
                let span = Span {
                    trace_id,
                    span_id,
                    flags,
                };
                let mut headers = HeaderMap::new();
                insert(span, form, &mut headers);
                let expected = Context {
                    ids: ids(),
                    is_sampled: Some(flags == 1),
                };
                assert_eq!(read(&headers), Some(expected));
                remove(&mut headers);
                assert!(headers.is_empty());
            }
        }
    }
}
