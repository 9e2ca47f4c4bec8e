//! Parser of `multipart/form-data` (RFC 7578, RFC 2046 §5.1). Delimiters and names determine the
//! fields that a server finds. The parser therefore accepts only delimiters and names that every
//! server reads in the same way.

use std::borrow::Cow;

use memchr::memmem;
use policy::managed::is_lookalike;

use crate::media::{ExactParameter, MediaType, exact_parameters};

/// Maximum number of parts of a form.
const PARTS_MAX: usize = 1_000;
/// Maximum length of the header fields of a part, in bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Header fields of a part that change its name or content. A part with a lookalike of one of these
/// fields, such as `Content_Disposition`, is refused.
const READ_FIELDS: [&str; 4] = [
    "content-disposition",
    "content-encoding",
    "content-transfer-encoding",
    "content-type",
];
/// Maximum number of parameters of a `Content-Disposition`.
const PARAMETERS_MAX: usize = 16;

/// Part of a form.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part<'b> {
    pub(crate) name: Cow<'b, str>,
    pub(crate) media_type: Option<MediaType>,
    pub(crate) body: &'b [u8],
    pub(crate) has_file_name: bool,
}

const FAULT: &str = "is not valid multipart/form-data";
const STRAY_BOUNDARY: &str = "contains its boundary outside of a delimiter line";
const DISPOSITION: &str =
    "has a part with a Content-Disposition that some servers interpret differently";
/// Start of an encoded word (RFC 2047 §2). Some servers decode encoded words in parameters.
const ENCODED_WORD: &str = "=?";

/// Parses the parts of a body. The error describes the mistake and contains no text of the body.
pub(crate) fn read<'b>(bytes: &'b [u8], boundary: &str) -> Result<Vec<Part<'b>>, &'static str> {
    if !is_boundary(boundary) {
        return Err("has no valid boundary in its Content-Type");
    }
    let delimiter = format!("--{boundary}");
    let finder = memmem::Finder::new(&delimiter);
    // Refuse text before the first delimiter: clients send no such text, and a server that finds
    // another boundary would read it as parts. Allow an empty line.
    let bytes = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
    let mut rest = bytes.strip_prefix(delimiter.as_bytes()).ok_or(FAULT)?;
    let mut parts = Vec::new();
    loop {
        if let Some(after) = rest.strip_prefix(b"--") {
            // Refuse text after the last delimiter: a server that finds another boundary would read
            // it as parts. Allow empty lines, because some clients send them.
            let mut lines = after.chunks(2);
            return match lines.all(|line| line == b"\r\n") {
                true => Ok(parts),
                false => Err(FAULT),
            };
        }
        // Refuse transport padding (RFC 2046 §5.1.1): `multiparty` and `formidable` find no
        // delimiter in such a line.
        rest = rest.strip_prefix(b"\r\n").ok_or(STRAY_BOUNDARY)?;
        let end = finder.find(rest).ok_or(FAULT)?;
        if parts.len() == PARTS_MAX {
            return Err("has more than 1,000 parts");
        }
        // Django ends a part at each `--boundary`. Other servers end it at a `--boundary` after a
        // bare CR or LF.
        let written = rest[..end].strip_suffix(b"\r\n").ok_or(STRAY_BOUNDARY)?;
        parts.push(part(written)?);
        rest = &rest[end + delimiter.len()..];
    }
}

/// Parses a part: its header fields and its content.
fn part(bytes: &[u8]) -> Result<Part<'_>, &'static str> {
    let window = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
    let end = memmem::find(window, b"\r\n\r\n").ok_or(FAULT)?;
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| FAULT)?;
    // Rack before 3.1 uses the first `Content-Disposition:` at any position in the head.
    if occurs_twice(head, "content-disposition") || occurs_twice(head, "content-type") {
        return Err(FAULT);
    }
    let (mut disposition, mut media_type) = (None, None);
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
            name if READ_FIELDS.iter().any(|read| is_lookalike(name, read)) => return Err(FAULT),
            "content-disposition" if disposition.is_some() => return Err(FAULT),
            "content-disposition" => {
                disposition = Some(Disposition::parse(value).ok_or(DISPOSITION)?);
            }
            "content-type" if media_type.is_some() => return Err(FAULT),
            "content-type" => {
                let exact = MediaType::parse(value).filter(|one| one.is_exact);
                media_type = Some(exact.ok_or(FAULT)?);
            }
            // `Content-Transfer-Encoding` is deprecated (RFC 7578 §4.7), but some servers decode
            // the part according to it.
            "content-transfer-encoding" if !is_plain(value) => return Err(FAULT),
            "content-encoding" => return Err(FAULT),
            _ => {}
        }
    }
    let Disposition {
        name,
        has_file_name,
    } = disposition.ok_or(FAULT)?;
    let body = &bytes[end + 4..];
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
        has_file_name,
    })
}

/// True if a text contains a lower-case word more than once, in any letter case.
fn occurs_twice(text: &str, word: &str) -> bool {
    text.to_ascii_lowercase().matches(word).nth(1).is_some()
}

/// True if the text is a valid boundary: 1 to 70 characters that RFC 2046 §5.1.1 allows, without
/// blank and comma, at which some servers end a boundary.
fn is_boundary(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_-./:=?".contains(&byte);
    (1..=70).contains(&text.len()) && text.bytes().all(is_allowed)
}

/// True for a transfer encoding that does not change the content.
fn is_plain(encoding: &str) -> bool {
    let plain = ["7bit", "8bit", "binary"];
    plain
        .iter()
        .any(|one| encoding.trim().eq_ignore_ascii_case(one))
}

/// Parameters of a `Content-Disposition: form-data`.
struct Disposition<'t> {
    name: Cow<'t, str>,
    has_file_name: bool,
}

impl<'t> Disposition<'t> {
    /// Parses a `Content-Disposition` field. `None` if servers differ in the name that they read.
    fn parse(value: &'t str) -> Option<Self> {
        let (kind, after) = value.split_once(';')?;
        if !kind.trim().eq_ignore_ascii_case("form-data") {
            return None;
        }
        let (mut name, mut has_file_name) = (None, false);
        let mut known: Vec<String> = Vec::new();
        let parameters = exact_parameters(after)?;
        if parameters.len() > PARAMETERS_MAX {
            return None;
        }
        for parameter in parameters {
            let key = &*parameter.name;
            // Servers differ in which of two values they use, and in the forms of RFC 2231, such as
            // `name*` and `name*0`.
            let is_known = matches!(key, "name" | "filename" | "filename*");
            let is_other_name = key.contains("name") && !is_known;
            if known.contains(&parameter.name) || is_other_name || hides_name(&parameter) {
                return None;
            }
            match key {
                "name" => name = Some(field_name(&parameter)?),
                "filename" | "filename*" => has_file_name = true,
                _ => {}
            }
            known.push(parameter.name);
        }
        Some(Self {
            name: name?,
            has_file_name,
        })
    }
}

/// True if some servers could find another name inside the value of a parameter, for example
/// `name=`. Some servers search the whole field, and some end a quoted string at `\"`. Browsers
/// send the backslashes of a file name unchanged.
fn hides_name(parameter: &ExactParameter<'_>) -> bool {
    let value = parameter.value.to_ascii_lowercase();
    let is_plain = parameter.name.starts_with("filename") && !value.contains("\\\"");
    if !is_plain && value.contains("name=") {
        return true;
    }
    let mut names = value.match_indices("name");
    names.any(|(at, name)| {
        let (before, after) = (&value[..at], &value[at + name.len()..]);
        let is_end = before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        let is_filler = |c: char| c.is_ascii_digit() || matches!(c, ' ' | '\t' | '*');
        !is_end && after.trim_start_matches(is_filler).starts_with('=')
    })
}

/// Name of a form field, with `%22` decoded, because browsers escape quotes as `%22`. `None` if
/// servers read the name in different ways. Examples:
/// - a backslash, which some remove and others keep;
/// - a single quote outside of a quoted string, which PHP reads as a quote;
/// - an encoded word or a byte order mark, which some decode or remove;
/// - a `;`, at which `HTTP::Body` ends a name;
/// - a name that begins or ends with a byte that Netty removes.
fn field_name<'t>(parameter: &ExactParameter<'t>) -> Option<Cow<'t, str>> {
    let text = parameter.value;
    let is_decoded = text.contains('\\') || text.contains(ENCODED_WORD);
    let is_removed = |c: char| matches!(c, ':' | ',' | '=' | '\t');
    let is_cleaned =
        text.contains(';') || text.starts_with(is_removed) || text.ends_with(is_removed);
    let has_quote = !parameter.is_quoted && text.contains('\'');
    if is_decoded || is_cleaned || text.starts_with('\u{feff}') || has_quote {
        return None;
    }
    Some(match text.contains('%') {
        false => Cow::Borrowed(text),
        true => Cow::Owned(text.replace("%22", "\"")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_with_names_and_types() {
        let body = b"\r\n--x\r\nContent-Disposition: form-data; name=\"a b\"\r\n\r\n1\r\n2\r\n--x\r\n\
content-type: image/png\r\ncontent-disposition: form-data; name=d; filename=\"rename=c\"\r\n\r\n\r\n--x--\r\n";
        let parts = read(body, "x").unwrap();
        let contents: Vec<_> = parts.iter().map(|part| (&*part.name, part.body)).collect();
        assert_eq!(contents, [("a b", &b"1\r\n2"[..]), ("d", b"")]);
        assert_eq!(parts[0].media_type, None);
        assert_eq!(parts[1].media_type, MediaType::parse("image/png"));
        for empty in ["--x--", "--x--\r\n", "--x--\r\n\r\n"] {
            assert_eq!(read(empty.as_bytes(), "x"), Ok(Vec::new()));
        }
        // Jersey writes the parameter `name` last.
        let body = b"--x\r\nContent-Disposition: form-data; filename=\"a.txt\"; name=\"f\"\r\n\r\n1\r\n--x--";
        assert_eq!(read(body, "x").unwrap()[0].name, "f");
    }

    #[test]
    fn second_dispositions_in_a_head_are_refused() {
        let own = "Content-Disposition: form-data; name=\"y\"";
        for head in [
            format!("X-Content-Disposition: a; name=\"amount\"\r\n{own}"),
            format!("X: content-disposition: a; name=\"amount\"\r\n{own}"),
            format!("{own}\r\nContent-Type: text/plain; x=\"Content-Disposition: a; name=amount\""),
            format!("X-Content-Type: text/plain\r\n{own}\r\nContent-Type: text/plain"),
            format!("{own}\r\nContent_Disposition: form-data; name=\"amount\""),
            format!("content.disposition: form-data; name=\"amount\"\r\n{own}"),
            format!("{own}\r\nContent_Type: text/plain; charset=utf-16"),
            format!("{own}\r\nContent_Transfer-Encoding: base64"),
            format!("{own}\r\nContent_Encoding: gzip"),
        ] {
            let body = format!("--x\r\n{head}\r\n\r\n1\r\n--x--");
            assert_eq!(read(body.as_bytes(), "x"), Err(FAULT), "{head}");
        }
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
            // Some servers find other parts than gwd in these bodies.
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
            // A server that finds another boundary finds other parts in these bodies.
            format!("--y\r\n{head}\r\n\r\n2\r\n--y--\r\n--x\r\n{head}\r\n\r\n1\r\n--x--"),
            format!("--x\r\n{head}\r\n\r\n1\r\n--x--\r\n--y\r\n{head}\r\n\r\n2\r\n--y--"),
            // Some servers ignore a blank before the colon. Some decode a part with
            // `Content-Encoding`, a charset or `_charset_`.
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
    /// Body with one part. `disposition`: parameters of its `Content-Disposition: form-data`.
    fn named(disposition: &str) -> String {
        format!("--x\r\nContent-Disposition: form-data{disposition}\r\n\r\n9\r\n--x--\r\n")
    }

    #[test]
    fn dispositions_with_several_readings_are_refused() {
        for disposition in [
            // Encoded words (RFC 2047), which Commons FileUpload, Tomcat and Python's `email`
            // decode.
            r#"; name="=?utf-8?q?amount?=""#,
            r#"; name="=?UTF-8?B?YW1vdW50?=""#,
            r#"; name="a =?utf-8?q?amount?=""#,
            // `formidable` searches the whole field for `name=`.
            r#"; filename="a;name=amount"; name="y""#,
            r#"; name="y"; filename="a;name=amount""#,
            r#"; name="y"; filename="name=amount""#,
            r#"; name="y"; filename="a NAME=amount""#,
            r#"; name="y"; filename="a; name =amount""#,
            r#"; name="y"; filename="a; name*=amount""#,
            r#"; name="y"; filename="a; name*0*=amount""#,
            r#"; name="y"; filename="\"xname=amount""#,
            r#"; name="y"; filename="éname=amount""#,
            r#"; name="amount;x""#,
            r#"; name="amount:""#,
            r#"; name=",amount""#,
            r#"; name="=amount""#,
            r#"; name="y"; x="a name*=amount""#,
            r#"; name="y; name=amount""#,
            // werkzeug, `multipart`, `email` and `formidable` end an unquoted name at these bytes.
            "; name=amount/x",
            "; name=amount=",
            "; name=amount,x",
            "; name=amount:x",
            "; name=amount@x",
            "; name=amount(x",
            "; name=amount)",
            "; name=amount[x",
            "; name=amount]",
            "; name=amount?x",
            "; name=amount<",
            "; name=amount>",
            "; name=amount{x",
            "; name=amount}",
            "; name=amount\tx",
            "; name=amounté",
            "; name=amount'",
            "; name=",
            "; name",
            // Malformed parameters besides `name`.
            r#"; name="y"; filename=a b"#,
            r#"; name="y"; filename=a/b"#,
            r#"; name="y"; filename="a"#,
            r#"; name="y"; filename="a\""#,
            r#"; name="y"; filename="a"b"#,
            r#"; name="y"; filename=a"b""#,
            r#"; name="y"; x"#,
            r#"; name="y"; x=a b"#,
            r#"; name="y"; x y=a"#,
            r#"; name="y"; "x"=a"#,
            r#"; name="y" x=a"#,
            r#"; name="y"; x=a; X=b"#,
            r#"; name="y"; filename=a; filename=b"#,
            r#"; name ="y""#,
            r#"; name= "y""#,
            "; name=\"y\u{7f}\"",
            "; name=\"\u{feff}amount\"",
            r#"x; name="y""#,
            r#", name="y""#,
            "",
        ] {
            let body = named(disposition);
            let found = read(body.as_bytes(), "x").map(|_| ());
            assert_eq!(found, Err(DISPOSITION), "{disposition}");
        }
        let many: String = (0..PARAMETERS_MAX).map(|n| format!("; x{n}=1")).collect();
        assert!(read(named(&format!("; name=a{}", &many[6..])).as_bytes(), "x").is_ok());
        assert!(read(named(&format!("; name=a{many}")).as_bytes(), "x").is_err());
        for media_type in ["text/plain; a=b/c", "text/plain; a", "text/(x)", "text"] {
            let body = named(&format!("; name=a\r\nContent-Type: {media_type}"));
            assert!(read(body.as_bytes(), "x").is_err(), "{media_type}");
        }
    }

    #[test]
    fn dispositions_of_clients_are_accepted() {
        for (disposition, name) in [
            // Fields that Chrome, Firefox and Safari send.
            (r#"; name="full name""#, "full name"),
            (r#"; name="größe""#, "größe"),
            (r#"; name="a%22b""#, "a\"b"),
            (r#"; name="it's""#, "it's"),
            (r#"; name="'a'""#, "'a'"),
            (r#"; name="items[0].id""#, "items[0].id"),
            (r#"; name="f"; filename="""#, "f"),
            (r#"; name="f"; filename="a;b=c, d.txt""#, "f"),
            (r#"; name="f"; filename="Müller & Söhne.pdf""#, "f"),
            (r#"; name="f"; filename="a%22b%0D%0A.txt""#, "f"),
            (r#"; name="f"; filename="C:\dir\name.txt""#, "f"),
            (r#"; name="f"; filename="username=bob.txt""#, "f"),
            // curl before version 7.81 escapes quotes as `\"`.
            (r#"; name="f"; filename="a\"b\\c.txt""#, "f"),
            // Field that python-requests with urllib3 1.24 sends.
            (r#"; name="f"; filename*=utf-8''M%C3%BCller.pdf"#, "f"),
            // Fields that .NET, Go and Java clients send.
            ("; name=f; filename=a.txt; filename*=utf-8''a.txt", "f"),
            (r#"; name=f; filename="=?utf-8?B?w7wudHh0?=""#, "f"),
            (r#"; size=1; name="f"; creation-date="Wed, 12 Feb""#, "f"),
            (";name=\"f\";", "f"),
            (" ;\t name=\"f\" ; x=y", "f"),
        ] {
            let body = named(disposition);
            let parts =
                read(body.as_bytes(), "x").map_err(|fault| format!("{disposition} {fault}"));
            let parts = parts.unwrap();
            assert_eq!(&*parts[0].name, name, "{disposition}");
        }
    }

    #[test]
    fn boundaries_outside_of_delimiters_are_refused() {
        let head = "Content-Disposition: form-data; name=\"a\"";
        let other = "Content-Disposition: form-data; name=\"b\"";
        for body in [
            // Django ends a part at each `--x`.
            format!("--x\r\n{head}\r\n\r\n1--x\r\n{other}\r\n\r\n9\r\n--x--\r\n"),
            format!("--x\r\n{head}\r\n\r\n1 --x\r\n--x--\r\n"),
            format!("--x\r\n{head}\r\nX: --x\r\n\r\n1\r\n--x--\r\n"),
            format!("--x\r\n{head}\r\n\r\n\r\n---x\r\n--x--\r\n"),
            format!("--x\r\n{head}\r\n\r\n1\r\n--xy\r\n--x--\r\n"),
            format!("--x\r\n{head}\r\n\r\n1\n--x\r\n{other}\r\n\r\n9\r\n--x--\r\n"),
            format!("--x\r\n{head}\r\n\r\n1\r--x\r\n{other}\r\n\r\n9\r\n--x--\r\n"),
            // `multiparty` and `formidable` do not recognize a delimiter with padding.
            format!("--x \r\n{head}\r\n\r\n1\r\n--x--\r\n"),
            format!("--x\r\n{head}\r\n\r\n1\r\n--x \r\n{other}\r\n\r\n9\r\n--x--\r\n"),
            format!("--x\r\n{head}\r\n\r\n1\r\n--x\t\r\n{other}\r\n\r\n9\r\n--x--\r\n"),
            format!("--x\r\n{head}\r\n\r\n1\r\n--x\n{other}\r\n\r\n9\r\n--x--\r\n"),
        ] {
            let found = read(body.as_bytes(), "x").map(|_| ());
            assert_eq!(found, Err(STRAY_BOUNDARY), "{body:?}");
        }
        for end in ["-- ", "-- \r\n", "--\n", "--\r\n ", "--\r\n--x", "---", "-"] {
            let body = format!("--x\r\n{head}\r\n\r\n1\r\n--x{end}");
            assert!(read(body.as_bytes(), "x").is_err(), "{end:?}");
        }
    }

    #[test]
    fn generated_bodies_are_read_as_written() {
        let names = ["a", "b c", "ä", "x[]", "it's", "", "-", "a:b", "filename"];
        let files = ["", "a.txt", "a;b.txt", "ü x.pdf", "C:\\x", "-", "1,2"];
        let pieces = [
            "", "\r\n", "\r", "\n", "-", "--", "--B", "x", "\0", "ü", "\r\n\r\n", "a=b", "\u{feff}",
        ];
        let boundaries = ["Bx-1", "----WebKitFormBoundaryA1", "Bx'()+_./:=?", "1"];
        let mut state = 1_u64;
        let mut below = |count: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            usize::try_from(state >> 33).unwrap() % count
        };
        for _ in 0..2_000 {
            let boundary = boundaries[below(boundaries.len())];
            let delimiter = format!("--{boundary}");
            let (mut body, mut expected) = (String::new(), Vec::new());
            for _ in 0..below(4) {
                let name = names[below(names.len())];
                let file = match below(3) {
                    0 => format!("; filename=\"{}\"", files[below(files.len())]),
                    _ => String::new(),
                };
                let kind = ["", "Content-Type: text/plain;charset=UTF-8\r\n"][below(2)];
                let count = below(5);
                let text: String = (0..count).map(|_| pieces[below(pieces.len())]).collect();
                let content = text.replace(&delimiter, "");
                body.push_str(&format!(
                    "{delimiter}\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\
{kind}\r\n{content}\r\n"
                ));
                expected.push((name, content));
            }
            body.push_str(&format!("{delimiter}--{}", ["", "\r\n"][below(2)]));
            let parts = read(body.as_bytes(), boundary);
            let parts = parts.map_err(|fault| format!("{fault}: {body:?}")).unwrap();
            let found: Vec<_> = parts.iter().map(|part| (&*part.name, part.body)).collect();
            let expected = expected.iter();
            let expected: Vec<_> = expected
                .map(|(name, text)| (*name, text.as_bytes()))
                .collect();
            assert_eq!(found, expected, "{body:?}");
        }
    }
}
