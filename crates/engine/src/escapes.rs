//! Percent-escapes of single bytes (RFC 3986 §2.1).

/// Appends the percent-escape of a byte, in upper case.
pub(crate) fn push_escape(text: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    text.push('%');
    text.push(char::from(DIGITS[usize::from(byte >> 4)]));
    text.push(char::from(DIGITS[usize::from(byte & 0xF)]));
}

/// Byte that an escape in a sequence of percent-escapes encodes. `number`: index of the escape in
/// the sequence. `None` if there is no such escape.
pub(crate) fn byte(escapes: &[u8], number: usize) -> Option<u8> {
    let escape = escapes.get(3 * number..3 * number + 3)?;
    let digit = |at: usize| char::from(escape[at]).to_digit(16);
    let value = (escape[0] == b'%').then_some(digit(1)? << 4 | digit(2)?)?;
    u8::try_from(value).ok()
}
