//! Trace context of requests: an invalid `traceparent` is not forwarded (W3C Trace Context §3.2).

use http::{HeaderMap, HeaderName};

/// Field `traceparent` of W3C Trace Context.
pub static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Field `tracestate` of W3C Trace Context.
pub static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Trace context that a request's sender states in `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// Id of the trace. Not zero.
    pub trace_id: [u8; 16],
    /// Id of the sender's span. Not zero.
    pub parent_id: [u8; 8],
    /// Flags of the trace; the lowest bit is set if the sender samples the trace.
    pub flags: u8,
}

/// Trace context of a request. `None` if the request has no `traceparent`, several, or an invalid
/// one: the edge then forwards none (W3C Trace Context §3.2).
#[must_use]
pub fn trace_parent(headers: &HeaderMap) -> Option<TraceParent> {
    let mut values = headers.get_all(&TRACEPARENT).iter();
    let value = values.next()?.as_bytes();
    if values.next().is_some() || !is_traceparent(value) {
        return None;
    }
    Some(TraceParent {
        trace_id: of_hex(&value[3..35]),
        parent_id: of_hex(&value[36..52]),
        flags: of_hex::<1>(&value[53..55])[0],
    })
}

/// Bytes that hexadecimal digits in lower case encode. [`is_traceparent`] must have checked the
/// digits.
fn of_hex<const N: usize>(digits: &[u8]) -> [u8; N] {
    let digit = |at: usize| match digits[at] {
        digit @ b'0'..=b'9' => digit - b'0',
        letter => letter - b'a' + 10,
    };
    std::array::from_fn(|index| digit(2 * index) << 4 | digit(2 * index + 1))
}

/// True if the value has the form `VERSION-TRACE_ID-PARENT_ID-FLAGS`. Versions after `00` may be
/// longer (W3C Trace Context §3.2).
pub(super) fn is_traceparent(value: &[u8]) -> bool {
    let hex = |range: std::ops::Range<usize>| {
        value
            .get(range)
            .is_some_and(|part| part.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
    };
    let zero = |range: std::ops::Range<usize>| {
        value
            .get(range)
            .is_some_and(|part| part.iter().all(|b| *b == b'0'))
    };
    let dash = |at: usize| value.get(at) == Some(&b'-');
    let shape =
        hex(0..2) && dash(2) && hex(3..35) && dash(35) && hex(36..52) && dash(52) && hex(53..55);
    let length = match value.get(..2) {
        Some(b"00") => value.len() == 55,
        Some(b"ff") => false,
        _ => value.len() == 55 || dash(55),
    };
    shape && length && !zero(3..35) && !zero(36..52)
}
