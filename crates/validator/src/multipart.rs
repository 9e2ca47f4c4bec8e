//! Parser of `multipart/form-data` (RFC 7578, RFC 2046 §5.1). It is strict about boundaries and
//! names, because they determine the fields that a server reads.

use std::borrow::Cow;

use memchr::memmem;

use crate::media::{MediaType, split_quoted};

/// Maximum number of parts of a form.
const PARTS_MAX: usize = 1_000;
/// Maximum length of the header fields of a part, in bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Part of a form.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part<'b> {
    pub(crate) name: Cow<'b, str>,
    pub(crate) media_type: Option<MediaType>,
    pub(crate) body: &'b [u8],
}

const FAULT: &str = "is not valid multipart/form-data";

/// Parses the parts of a body. The error describes the mistake and contains no text of the body.
pub(crate) fn read<'b>(bytes: &'b [u8], boundary: &str) -> Result<Vec<Part<'b>>, &'static str> {
    if !is_boundary(boundary) {
        return Err("has no valid boundary in its Content-Type");
    }
    let delimiter = format!("\r\n--{boundary}");
    let lines = memmem::Finder::new(&delimiter.as_bytes()[2..]);
    let finder = memmem::Finder::new(&delimiter);
    // Refuse text before the first delimiter: no client sends any, and a server that finds another
    // boundary would read it as parts. An empty line is harmless.
    let bytes = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
    let first = delimiter.as_bytes().get(2..).unwrap_or_default();
    let mut rest = bytes.strip_prefix(first).ok_or(FAULT)?;
    let mut parts = Vec::new();
    loop {
        if let Some(after) = rest.strip_prefix(b"--") {
            // Refuse text after the last delimiter: a server that finds another boundary would read
            // it as parts.
            let is_blank = after.iter().all(|byte| b" \t\r\n".contains(byte));
            return match is_blank {
                true => Ok(parts),
                false => Err(FAULT),
            };
        }
        let padding = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t'));
        let padding = padding.count();
        rest = rest[padding..].strip_prefix(b"\r\n").ok_or(FAULT)?;
        let end = finder.find(rest).ok_or(FAULT)?;
        if parts.len() == PARTS_MAX {
            return Err("has more than 1,000 parts");
        }
        let begins_line = |at: usize| at > 0 && matches!(rest[at - 1], b'\r' | b'\n');
        if lines.find_iter(&rest[..end]).any(begins_line) {
            return Err(FAULT);
        }
        parts.push(part(&rest[..end])?);
        rest = &rest[end + delimiter.len()..];
    }
}

/// Parses a part: its header fields and its content.
fn part(bytes: &[u8]) -> Result<Part<'_>, &'static str> {
    let window = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
    let end = memmem::find(window, b"\r\n\r\n").ok_or(FAULT)?;
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| FAULT)?;
    let (mut name, mut media_type, mut disposed) = (None, None, false);
    for line in head.split("\r\n") {
        // Refuse a bare CR or LF, which some servers read as a line end, and folded lines, which
        // are obsolete.
        if line.contains(['\r', '\n', '\0']) || line.starts_with([' ', '\t']) {
            return Err(FAULT);
        }
        let (field, value) = line.split_once(':').ok_or(FAULT)?;
        // Refuse an invalid field name, because some servers ignore blanks around the name.
        if http::HeaderName::from_bytes(field.as_bytes()).is_err() {
            return Err(FAULT);
        }
        match field.to_ascii_lowercase().as_str() {
            "content-disposition" if disposed => return Err(FAULT),
            "content-disposition" => {
                disposed = true;
                name = Some(form_name(value).ok_or(FAULT)?);
            }
            "content-type" if media_type.is_some() => return Err(FAULT),
            "content-type" => media_type = Some(MediaType::parse(value).ok_or(FAULT)?),
            // The field is deprecated (RFC 7578 §4.7), but some servers decode the part according
            // to it.
            "content-transfer-encoding" if !is_plain(value) => return Err(FAULT),
            "content-encoding" => return Err(FAULT),
            _ => {}
        }
    }
    let (name, body) = (name.ok_or(FAULT)?, &bytes[end + 4..]);
    let is_foreign = |one: &MediaType| !one.is_utf8();
    // RFC 7578 §4.6: the part `_charset_` names the charset of the other parts.
    let is_renamed = name.eq_ignore_ascii_case("_charset_") && !body.eq_ignore_ascii_case(b"utf-8");
    if is_renamed || media_type.as_ref().is_some_and(is_foreign) {
        return Err("has a part with another charset than UTF-8");
    }
    Ok(Part {
        name,
        media_type,
        body,
    })
}

/// True for a boundary of 1 to 70 characters that RFC 2046 §5.1.1 allows, except blank and comma,
/// at which some servers end a boundary.
fn is_boundary(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_-./:=?".contains(&byte);
    (1..=70).contains(&text.len()) && text.bytes().all(is_allowed)
}

/// True for a transfer encoding that leaves the part as it is.
fn is_plain(encoding: &str) -> bool {
    let plain = ["7bit", "8bit", "binary"];
    plain
        .iter()
        .any(|one| encoding.trim().eq_ignore_ascii_case(one))
}

/// Value of the parameter `name` in `Content-Disposition: form-data`.
fn form_name(value: &str) -> Option<Cow<'_, str>> {
    let mut parts = split_quoted(value);
    if !parts.next()?.trim().eq_ignore_ascii_case("form-data") {
        return None;
    }
    let mut name = None;
    for part in parts {
        let Some((key, value)) = part.split_once('=') else {
            continue;
        };
        // Servers differ in the forms of RFC 2231, such as `name*` and `name*0`, and some search
        // the whole field for `name=`.
        let key = key.trim().to_ascii_lowercase();
        let is_known = matches!(key.as_str(), "name" | "filename" | "filename*");
        // Browsers send the backslashes of a file name as they are, so a quote behind one ends the
        // file name for some servers and not for others.
        let is_plain = key.starts_with("filename") && !value.contains("\\\"");
        let is_hidden = value.to_ascii_lowercase().contains("name=") && !is_plain;
        if is_hidden || key.contains("name") && !is_known {
            return None;
        }
        if key == "name" {
            // Servers differ in which of two names they use.
            if name.is_some() {
                return None;
            }
            name = Some(unquoted(value.trim())?);
        }
    }
    name
}

/// Content of a quoted string, or a token. Browsers escape quotes as `%22`. None for a text with a
/// backslash, which some servers remove and others keep, and for other quotes, which PHP removes.
fn unquoted(text: &str) -> Option<Cow<'_, str>> {
    let inner = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let inside = inner.unwrap_or(text);
    let is_open = |c: char| c == '\'' || c.is_whitespace();
    if inside.contains(['\\', '"']) || inner.is_none() && inside.contains(is_open) {
        return None;
    }
    Some(match inside.contains('%') {
        false => Cow::Borrowed(inside),
        true => Cow::Owned(inside.replace("%22", "\"")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_with_names_and_types() {
        let body = b"\r\n--x\r\nContent-Disposition: form-data; name=\"a;b\"\r\n\r\n1\r\n2\r\n--x \t\r\n\
content-type: image/png\r\ncontent-disposition: form-data; filename=\"name=c\"; name=d\r\n\r\n\r\n--x--\r\n";
        let parts = read(body, "x").unwrap();
        let told: Vec<_> = parts.iter().map(|part| (&*part.name, part.body)).collect();
        assert_eq!(told, [("a;b", &b"1\r\n2"[..]), ("d", b"")]);
        assert_eq!(parts[0].media_type, None);
        assert_eq!(parts[1].media_type, MediaType::parse("image/png"));
        assert_eq!(read(b"--x--", "x"), Ok(Vec::new()));
    }

    #[test]
    fn forms_that_servers_read_differently_are_refused() {
        let head = "Content-Disposition: form-data; name=\"a\"";
        let bodies = [
            String::new(),
            "--x".to_owned(),
            "--x\n\r\n--x--".to_owned(),
            format!("--x\r\n{head}\r\n\r\n1"),
            format!("--x\r\n{head}\n\n1\r\n--x--"),
            format!("--x\r\n{head}\r\n{head}\r\n\r\n1\r\n--x--"),
            format!("--x\r\n{head}; name=b\r\n\r\n1\r\n--x--"),
            format!("--x\r\n{head}\r\n folded: 1\r\n\r\n1\r\n--x--"),
            "--x\r\nX: 1\r\n\r\n1\r\n--x--".to_owned(),
            "--x\r\nContent-Disposition: attachment; name=a\r\n\r\n1\r\n--x--".to_owned(),
            // Some servers read other parts from these bodies.
            format!("junk\n--x\n{head}\n\n2\n--x--\n\r\n--x\r\n{head}\r\n\r\n1\r\n--x--"),
            format!("--x\r\n{head}\r\n\r\n1\n--x\n{head}\n\n2\r\n--x--"),
            format!("--x\r\n{head}\r\n\r\n1\r--x--\r\n--x--"),
            format!("--x\r\n{head}\r\n\r\n1\r\n--x--\r\n--x\r\n{head}\r\n\r\n2\r\n--x--"),
            format!("--x\r\n{head}\r\nContent-Transfer-Encoding: base64\r\n\r\n1\r\n--x--"),
            format!("--x\r\n{head}; name*=UTF-8''b\r\n\r\n1\r\n--x--"),
            format!("--x\r\n{head}; name*0=b\r\n\r\n1\r\n--x--"),
            format!("--x\r\n{head}; x-name=b\r\n\r\n1\r\n--x--"),
            format!("--x\r\n{head}; filename=\"\\\"; name=b; y=\"\r\n\r\n1\r\n--x--"),
            "--x\r\nContent-Disposition: form-data; name=\"ro\\le\"\r\n\r\n1\r\n--x--".to_owned(),
            "--x\r\nContent-Disposition: form-data; name=\"a\\\"b\"\r\n\r\n1\r\n--x--".to_owned(),
            "--x\r\nContent-Disposition: form-data; name='a'\r\n\r\n1\r\n--x--".to_owned(),
            "--x\r\nContent-Disposition: form-data; name=a b\r\n\r\n1\r\n--x--".to_owned(),
            "--x\r\nContent-Disposition: form-data; name=\"a\"b\r\n\r\n1\r\n--x--".to_owned(),
            format!("--x\r\n{head}; x=\"; Name=b\"\r\n\r\n1\r\n--x--"),
            format!(
                "--x\r\n{head}\r\nContent-Type: application/json; charset=utf-7\r\n\r\n1\r\n--x--"
            ),
            // A server that finds another boundary reads other parts from these bodies.
            format!("--y\r\n{head}\r\n\r\n2\r\n--y--\r\n--x\r\n{head}\r\n\r\n1\r\n--x--"),
            format!("--x\r\n{head}\r\n\r\n1\r\n--x--\r\n--y\r\n{head}\r\n\r\n2\r\n--y--"),
            // Some servers ignore a blank before the colon, or decode the part.
            format!("--x\r\n{head}\r\nContent-Disposition : form-data; name=b\r\n\r\n1\r\n--x--"),
            format!("--x\r\n{head}\r\nContent-Encoding: gzip\r\n\r\n1\r\n--x--"),
            format!("--x\r\n{head}\r\nContent-Type: text/plain; charset=utf-16\r\n\r\n1\r\n--x--"),
            "--x\r\nContent-Disposition: form-data; name=_charset_\r\n\r\nutf-7\r\n--x--"
                .to_owned(),
        ];
        for body in bodies {
            assert!(read(body.as_bytes(), "x").is_err(), "{body:?}");
        }
        assert!(read(b"--\r\n", "").is_err());
        for boundary in ["a,b", "a b", "a\"b", "a;b", "é"] {
            let body = format!("--{boundary}--");
            assert!(read(body.as_bytes(), boundary).is_err(), "{boundary}");
        }
        let boundary = "--==_Part(1)'+.-/:?";
        assert_eq!(
            read(format!("--{boundary}--").as_bytes(), boundary),
            Ok(Vec::new())
        );
    }
}
