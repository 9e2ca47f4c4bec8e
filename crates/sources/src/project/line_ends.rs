//! Comparison of texts apart from their line ends.

use bundle::digest::Digest;

/// True if the content has this SHA-256, either as it is or with other line ends.
pub(super) fn is_same_text(content: &[u8], sha256: &str) -> bool {
    let is = |bytes: &[u8]| Digest::of(bytes).hex() == sha256;
    if is(content) {
        return true;
    }
    let mut lf = Vec::with_capacity(content.len());
    for (index, byte) in content.iter().enumerate() {
        if *byte != b'\r' || content.get(index + 1) != Some(&b'\n') {
            lf.push(*byte);
        }
    }
    let mut crlf = Vec::with_capacity(lf.len());
    for byte in &lf {
        crlf.extend((*byte == b'\n').then_some(b'\r'));
        crlf.push(*byte);
    }
    is(&lf) || is(&crlf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_do_not_change_a_text() {
        let sha256 = |text: &str| Digest::of(text.as_bytes()).hex();
        for (content, disk, expected) in [
            ("a\nb\n", "a\nb\n", true),
            ("a\nb\n", "a\r\nb\r\n", true),
            ("a\r\nb\r\n", "a\nb\n", true),
            ("a\r\nb\n", "a\r\nb\r\n", true),
            ("a\nb\n", "a\rb\n", false),
            ("a\nb\n", "a\nc\n", false),
        ] {
            let is_same = is_same_text(content.as_bytes(), &sha256(disk));
            assert_eq!(is_same, expected, "{content:?} {disk:?}");
        }
    }
}
