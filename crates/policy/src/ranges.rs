//! Address ranges in a file that gwd reads and watches, one range a line:
//!
//! ```text
//! # blocked networks
//! 192.0.2.0/24
//! 2001:db8::1   ; a note
//! ```
//! A line is a range or an address. The rest of the line after a space, `#` or `;` is a note. If a
//! line has another form, or the file has no range, the whole file is not used.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::addresses::Addresses;
use crate::cidr::Cidr;

/// Ranges of a file, replaced atomically when the file changes.
pub struct RangesCell(ArcSwap<Addresses>);

impl RangesCell {
    /// Creates a cell, which holds the ranges of one file, with its first ranges.
    #[must_use]
    pub fn new(ranges: Addresses) -> Arc<Self> {
        Arc::new(Self(ArcSwap::from_pointee(ranges)))
    }

    /// True if the current ranges contain an address.
    #[must_use]
    pub fn contains(&self, address: std::net::IpAddr) -> bool {
        self.0.load().contains(address)
    }

    /// Replaces the ranges.
    pub fn store(&self, ranges: Addresses) {
        self.0.store(Arc::new(ranges));
    }
}

impl fmt::Debug for RangesCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RangesCell(…)")
    }
}

/// Parses the content of a file of ranges. `None` if a line is not a range, or there is no range.
#[must_use]
pub fn parse(content: &[u8]) -> Option<Addresses> {
    let content = std::str::from_utf8(content).ok()?;
    let mut ranges = Vec::new();
    for line in content.lines() {
        let end = line.trim_start().find(['#', ';', ' ', '\t']);
        let line = line.trim_start();
        let range = end.map_or(line, |end| &line[..end]).trim_end();
        // Refuse a space in front of the prefix length, because the range would otherwise be a
        // single address.
        if end.is_some_and(|end| line[end..].trim_start().starts_with('/')) {
            return None;
        }
        if !range.is_empty() {
            ranges.push(Cidr::parse(range)?);
        } else if !line.is_empty() && !line.starts_with(['#', ';']) {
            return None;
        }
    }
    (!ranges.is_empty()).then(|| Addresses::of(&ranges))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_notes_are_ranges() {
        let file = b"# head\r\n\r\n 192.0.2.0/24\t# note\r\n;x\n2001:db8::1 ; y\n10.0.0.0/8#z\n";
        let ranges = parse(file).unwrap();
        for (address, expected) in [
            ("192.0.2.9", true),
            ("192.0.3.9", false),
            ("2001:db8::1", true),
            ("2001:db8::2", false),
            ("::ffff:10.1.2.3", true),
        ] {
            assert_eq!(ranges.contains(address.parse().unwrap()), expected);
        }
    }

    #[test]
    fn file_with_a_bad_line_is_not_used() {
        let bad: [&[u8]; 8] = [
            b"127.0.0.0 /8\n",
            b"",
            b"# only a note\n",
            b"192.0.2.0/24\n192.0.2.1/24\n",
            b"192.0.2.0/24\nexample.org\n",
            b"192.0.2.0/33",
            b"192.0.2.0/24\n\xff",
            b"{\"allow\": []}",
        ];
        for content in bad {
            assert_eq!(parse(content), None, "{content:?}");
        }
    }

    #[test]
    fn fifty_thousand_ranges_are_searched() {
        let line = |number: u32| format!("{}\n", std::net::Ipv4Addr::from(number << 12));
        let file: String = (0..50_000).map(|number| line(number * 2)).collect();
        let cell = RangesCell::new(parse(file.as_bytes()).unwrap());
        let at = |number: u32| std::net::IpAddr::V4((number << 12).into());
        assert!(cell.contains(at(49_998)) && cell.contains(at(2)));
        assert!(!cell.contains(at(49_999)) && !cell.contains(at(3)));
    }
}
