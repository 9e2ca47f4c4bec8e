//! Serials of a chain of links up to the first gap, beyond which readers ignore links.
//!
//! Serials count by 1. Somebody with a stolen key could use up all serials with one statement.
//! Readers therefore ignore a link whose serial is far above the one before it.

/// Maximum distance of a serial to the one before it: 2^20.
const AHEAD_MAX: u64 = 1 << 20;

/// Serials up to the first one that is too far above the one before it. `serials`: ascending.
/// `from`: known serial, or the minimum in the trust file.
pub(crate) fn reachable(serials: &[u64], from: u64) -> &[u64] {
    let mut last = from;
    let end = serials.iter().position(|&serial| {
        let is_far = is_far(serial, last);
        last = last.max(serial);
        is_far
    });
    &serials[..end.unwrap_or(serials.len())]
}

/// True if a serial is too far above a known one.
pub(crate) const fn is_far(serial: u64, known: u64) -> bool {
    serial > known.saturating_add(AHEAD_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_end_before_a_large_gap() {
        let far = AHEAD_MAX + 4;
        let serials = [1, 3, AHEAD_MAX + 3, AHEAD_MAX * 3, AHEAD_MAX * 3 + 1];
        assert_eq!(reachable(&serials, 0), &serials[..3]);
        assert_eq!(reachable(&[1, far], 0), &[1]);
        assert_eq!(reachable(&[far], 0), &[0; 0]);
        assert_eq!(reachable(&[1, far], 4), &[1, far]);
    }
}
