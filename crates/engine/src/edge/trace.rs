//! Validation of trace context: an invalid `traceparent` is not forwarded (W3C Trace Context §3.2).

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
