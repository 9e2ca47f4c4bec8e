//! Media types of API descriptions and of messages (RFC 9110 §8.3.1).

/// Format of a body, determined by its media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// JSON, or a type with the suffix `+json`.
    Json,
    /// Fields in `application/x-www-form-urlencoded`.
    Urlencoded,
    /// Parts in `multipart/form-data`.
    Multipart,
    /// Text of a type `text/*`.
    Text,
    /// Content of another type, which is not checked against a schema.
    Other,
}

/// Format of a sequence whose items are checked while gwd streams the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SequenceFormat {
    /// A JSON value in each line.
    Lines,
    /// JSON text sequence (RFC 7464).
    Records,
    /// Event stream (WHATWG HTML §9.2).
    Events,
}

/// Media type in lower case, with its parameters sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MediaType {
    pub(crate) essence: Box<str>,
    parameters: Vec<(Box<str>, Box<str>)>,
    /// True if the type and its parameters have the form of RFC 9110 §8.3.1.
    pub(crate) is_exact: bool,
    /// True if the parameters are exact, and all servers find the same boundary or no boundary.
    has_one_boundary: bool,
}

impl MediaType {
    /// Parses a media type or range. `None` if the text has no subtype or is a list. Also `None` if
    /// servers read the parameters differently. Examples: a duplicate parameter, a form of RFC
    /// 2231, `boundary` in another parameter, a backslash in the charset.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (essence, after) = text.split_once(';').unwrap_or((text, ""));
        let essence = essence.trim().to_ascii_lowercase();
        let (kind, subtype) = essence.split_once('/')?;
        if kind.is_empty() || subtype.is_empty() || essence.contains([' ', '\t', ',']) {
            return None;
        }
        let mut parameters: Vec<(Box<str>, Box<str>)> = split_quoted(after)
            .filter_map(|one| {
                let (name, value) = one.split_once('=')?;
                let name = name.trim().to_ascii_lowercase();
                Some((name.into(), unquoted(value.trim()).into()))
            })
            .collect();
        // Servers differ in which member of a list they use.
        let is_list = split_outside_quotes(after, ',').nth(1).is_some();
        parameters.sort();
        // Refuse duplicate parameters, and forms of RFC 2231, because servers differ in the value
        // that they use.
        let twice = parameters.windows(2).any(|two| two[0].0 == two[1].0);
        let extended = |name: &str| name.starts_with("boundary*") || name.starts_with("charset*");
        // Some servers search the whole field for `boundary=`.
        let hidden = |(name, value): &(Box<str>, Box<str>)| {
            let is_in_name = name.contains("boundary") && **name != *"boundary";
            is_in_name || value.to_ascii_lowercase().contains("boundary=")
        };
        let differs = parameters.iter().any(|one| extended(&one.0) || hidden(one));
        let differs = differs || has_escaped_charset(after);
        let exact = exact_parameters(after);
        if twice || differs || is_list {
            return None;
        }
        Some(Self {
            is_exact: exact.is_some() && is_token(kind) && is_token(subtype),
            has_one_boundary: exact.as_deref().is_some_and(has_one_boundary),
            essence: essence.into(),
            parameters,
        })
    }

    /// Boundary of a multipart body. `None` if the boundary is absent, or if servers read it
    /// differently. Examples: a text that is neither a token nor a quoted string, a backslash,
    /// `boundary` in another parameter.
    pub(crate) fn boundary(&self) -> Option<&str> {
        let boundary = self.parameter("boundary");
        boundary.filter(|_| self.has_one_boundary)
    }

    /// Value of a parameter.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        let mut all = self.parameters.iter();
        all.find(|(known, _)| **known == *name)
            .map(|(_, value)| &**value)
    }

    /// True if text of this type is UTF-8: `charset` is absent, UTF-8 or US-ASCII.
    pub(crate) fn is_utf8(&self) -> bool {
        let charset = self.parameter("charset");
        charset.is_none_or(|name| {
            let known = ["utf-8", "utf8", "us-ascii", "ascii"];
            known.iter().any(|one| one.eq_ignore_ascii_case(name))
        })
    }

    /// True if bodies of this type are sequences of items, which a server may send over a long
    /// time.
    pub(crate) fn is_sequence(&self) -> bool {
        let known = [
            "application/json-seq",
            "application/jsonl",
            "application/x-ndjson",
            "multipart/mixed",
            "text/event-stream",
        ];
        known.contains(&&*self.essence) || self.essence.ends_with("+json-seq")
    }

    /// Format of the items of a sequence. `None` for other types, and for `multipart/mixed`.
    pub(crate) fn sequence(&self) -> Option<SequenceFormat> {
        match &*self.essence {
            "application/jsonl" | "application/x-ndjson" => Some(SequenceFormat::Lines),
            "text/event-stream" => Some(SequenceFormat::Events),
            "application/json-seq" => Some(SequenceFormat::Records),
            other if other.ends_with("+json-seq") => Some(SequenceFormat::Records),
            _ => None,
        }
    }

    /// Format of bodies of this type.
    pub(crate) fn form(&self) -> Form {
        match &*self.essence {
            "application/json" => Form::Json,
            "application/x-www-form-urlencoded" => Form::Urlencoded,
            "multipart/form-data" => Form::Multipart,
            other if other.ends_with("+json") => Form::Json,
            other if other.starts_with("text/") && self.is_utf8() => Form::Text,
            _ => Form::Other,
        }
    }

    /// Formats of bodies that this media type or range of a description includes, as far as gwd
    /// checks them: JSON in ranges such as `application/*`.
    pub(crate) fn forms(&self) -> &'static [Form] {
        match (&*self.essence, self.form()) {
            ("*/*" | "application/*", _) => &[Form::Other, Form::Json],
            (_, Form::Json) => &[Form::Json],
            (_, Form::Multipart) => &[Form::Multipart],
            (_, Form::Other) => &[Form::Other],
            (_, Form::Text) => &[Form::Text],
            (_, Form::Urlencoded) => &[Form::Urlencoded],
        }
    }

    /// True for a range of types, such as `application/*`.
    pub(crate) fn is_range(&self) -> bool {
        self.essence.ends_with("/*")
    }

    /// True if gwd checks some bodies of this media type or range.
    fn is_checked(&self) -> bool {
        self.forms().iter().any(|form| *form != Form::Other)
    }

    /// Rank of this media type or range of a description for the media type of a message. The
    /// greatest rank is the best match. In descending order: equal parameters, equal type,
    /// `type/*`, `*/*`. `None` if they do not match, for example because a parameter other than
    /// `charset` and `boundary` has another value.
    pub(crate) fn rank(&self, message: &Self) -> Option<u8> {
        let (kind, subtype) = self.essence.split_once('/')?;
        if self.essence == message.essence {
            let given = |(name, value): &(Box<str>, Box<str>)| {
                let known = message.parameter(name);
                known.is_some_and(|known| known.eq_ignore_ascii_case(value))
            };
            let differs = |one: &(Box<str>, Box<str>)| {
                let is_coding = matches!(&*one.0, "charset" | "boundary");
                !is_coding && message.parameter(&one.0).is_some() && !given(one)
            };
            if self.parameters.iter().any(differs) {
                return None;
            }
            return Some(match self.parameters.iter().all(given) {
                true if !self.parameters.is_empty() => 4,
                true => 3,
                false => 2,
            });
        }
        match (kind, subtype) {
            ("*", "*") => Some(0),
            (kind, "*") => {
                let own = message.essence.split_once('/').map(|(own, _)| own);
                (own == Some(kind)).then_some(1)
            }
            _ => None,
        }
    }
}

/// Index of the described media type or range by which gwd checks a message with this media type.
/// `message` can be a range: a wider range is found for it. `None`: no described type matches.
#[must_use]
pub fn nearest<'n>(described: impl Iterator<Item = &'n str>, message: &str) -> Option<usize> {
    let message = MediaType::parse(message)?;
    let ranked = described.enumerate().filter_map(|(index, name)| {
        let rank = MediaType::parse(name)?.rank(&message)?;
        Some((rank, usize::MAX - index))
    });
    ranked.max().map(|(_, index)| usize::MAX - index)
}

/// True if request bodies of this media type are read and checked against a schema.
#[must_use]
pub fn is_read(name: &str) -> bool {
    MediaType::parse(name).is_some_and(|one| one.is_checked())
}

/// True if response bodies of this media type are read and checked against a schema.
#[must_use]
pub fn is_read_in_responses(name: &str) -> bool {
    let parsed = MediaType::parse(name);
    parsed.is_some_and(|one| one.is_checked() && !one.is_sequence())
}

/// True if the items of bodies of this media type are checked one by one, given an `itemSchema`.
#[must_use]
pub fn is_split(name: &str) -> bool {
    MediaType::parse(name).is_some_and(|one| one.sequence().is_some())
}

/// True if bodies of this media type are urlencoded or multipart forms.
pub(crate) fn is_form(name: &str) -> bool {
    let form = MediaType::parse(name).map(|one| one.form());
    matches!(form, Some(Form::Urlencoded | Form::Multipart))
}

/// Splits a text at the semicolons that are outside quoted strings.
pub(crate) fn split_quoted(text: &str) -> impl Iterator<Item = &str> {
    split_outside_quotes(text, ';')
}

fn split_outside_quotes(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c| {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            c if c == separator => return !quoted,
            _ => {}
        }
        false
    })
}

/// True if the `charset` parameter contains a backslash, which some servers remove and others keep.
fn has_escaped_charset(parameters: &str) -> bool {
    split_quoted(parameters).any(|one| {
        let pair = one.split_once('=');
        let charset = pair.filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
        charset.is_some_and(|(_, value)| value.contains('\\'))
    })
}

/// True if the boundary contains no backslash, and no other parameter contains `boundary`. Some
/// servers remove backslashes and others keep them. PHP searches the whole field for `boundary`.
fn has_one_boundary(parameters: &[ExactParameter<'_>]) -> bool {
    parameters.iter().all(|one| match &*one.name {
        "boundary" => !one.value.contains('\\'),
        _ => !one.value.to_ascii_lowercase().contains("boundary"),
    })
}

/// Parameter of a field in the form of RFC 9110 §5.6.6: `token=token` or `token=quoted-string`.
pub(crate) struct ExactParameter<'t> {
    /// Name in lower case.
    pub(crate) name: String,
    /// Value without quotes. Backslashes are kept.
    pub(crate) value: &'t str,
    pub(crate) is_quoted: bool,
}

/// Parameters in the text after the first semicolon of a field. `None` if a parameter has another
/// form, because some servers cut such a value at the first byte that is no token character.
pub(crate) fn exact_parameters(text: &str) -> Option<Vec<ExactParameter<'_>>> {
    let all = split_quoted(text).map(|one| one.trim_matches([' ', '\t']));
    let all = all.filter(|one| !one.is_empty()).map(|one| {
        let (name, value) = one.split_once('=')?;
        let inner = value.strip_prefix('"').map(|rest| rest.strip_suffix('"'));
        let value = match inner {
            Some(inner) => inner.filter(|inner| is_quotable(inner))?,
            None => Some(value).filter(|value| is_token(value))?,
        };
        is_token(name).then(|| ExactParameter {
            name: name.to_ascii_lowercase(),
            value,
            is_quoted: inner.is_some(),
        })
    });
    all.collect()
}

/// True if the text is a token (RFC 9110 §5.6.2).
fn is_token(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_allowed)
}

/// True if the text may be between the quotes of a quoted string (RFC 9110 §5.6.4).
fn is_quotable(text: &str) -> bool {
    let mut escaped = false;
    let is_inner = text.bytes().all(|byte| {
        let is_open = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        !is_open && (byte == b'\t' || !byte.is_ascii_control())
    });
    is_inner && !escaped
}

fn unquoted(text: &str) -> String {
    let inner = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    match inner {
        None => text.to_owned(),
        Some(inner) => {
            let mut out = String::with_capacity(inner.len());
            let mut chars = inner.chars();
            while let Some(c) = chars.next() {
                match c {
                    '\\' => out.extend(chars.next()),
                    c => out.push(c),
                }
            }
            out
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_description_of_a_type_has_the_top_rank() {
        let of = |text: &str| MediaType::parse(text).unwrap();
        let message = of("Application/JSON; Version=2;charset=\"utf-8\"");
        let rank = |text: &str| of(text).rank(&message);
        assert_eq!(rank("application/json; version=2"), Some(4));
        assert_eq!(rank("application/json"), Some(3));
        assert_eq!(rank("application/json;profile=a"), Some(2));
        assert_eq!(rank("application/json;version=2;profile=a"), Some(2));
        assert_eq!(rank("application/json;version=3"), None);
        assert_eq!(rank("application/json;charset=utf-16"), Some(2));
        assert_eq!(rank("application/*"), Some(1));
        assert_eq!(rank("*/*"), Some(0));
        assert_eq!(rank("text/*"), None);
        assert_eq!(rank("application/xml"), None);
    }

    #[test]
    fn nearest_type_of_several_is_the_first_of_the_best() {
        let names = [
            "*/*",
            "application/json; v=1",
            "application/json; v=2",
            "text/*",
        ];
        for (message, expected) in [
            ("application/json; v=2", Some(2)),
            // A message without the parameter, and a parameter with another value.
            ("application/json", Some(1)),
            ("application/json; v=3", Some(0)),
            ("text/plain", Some(3)),
            ("application/*", Some(0)),
            ("text/*", Some(3)),
        ] {
            assert_eq!(nearest(names.into_iter(), message), expected, "{message}");
        }
        assert_eq!(
            nearest(["text/plain"].into_iter(), "application/json"),
            None
        );
        assert_eq!(
            nearest(["application/json"].into_iter(), "application/*"),
            None
        );
    }

    #[test]
    fn faulty_types_are_not_parsed() {
        for text in [
            "",
            "json",
            "/json",
            "application/",
            "a/b, c/d",
            "a b/c",
            "a/b; x=y, c/d",
            "a/b;, c/d",
            "a/b; boundary=x; boundary=y",
            "a/b; boundary=x; Boundary=x",
            "a/b; boundary=x; boundary*=UTF-8''y",
            "a/b; boundary*0=x",
            "a/b; charset*=UTF-8''utf-7",
            "a/b; xboundary=y; boundary=x",
            "a/b; y=\"; Boundary=z\"; boundary=x",
            "a/b; charset=\"utf\\-8\"",
            "a/b; Charset =\"utf\\-8\"",
        ] {
            assert_eq!(MediaType::parse(text), None, "{text}");
        }
        let quoted = MediaType::parse("a/b; x=\"1;y=\\\"2\"; z=3").unwrap();
        assert_eq!(quoted.parameter("x"), Some("1;y=\"2"));
        assert_eq!(quoted.parameter("z"), Some("3"));
        assert_eq!(quoted.parameter("y"), None);
    }

    #[test]
    fn boundaries_with_several_readings_are_not_used() {
        for (text, expected) in [
            ("boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW", true),
            ("boundary=------------------------d74496d66958873e", true),
            ("boundary=0f3c0a6e5cbd4cf5a5bd4ef4a2a4b3b8", true),
            ("boundary=\"6f3c5c6b-08ff-4f5a-9a3e-2f7f0c7f9b6d\"", true),
            (
                "charset=utf-8; Boundary=\"----=_Part_1_2.3=:/?()+'\"; a=\"\\\"\";",
                true,
            ),
            ("charset=utf-8", false),
            ("boundary=", false),
            ("boundary=\"B\\x\"", false),
            ("boundary=\"B", false),
            ("boundary=\"B\"x", false),
            ("boundary=B\"x\"", false),
            ("boundary=B x", false),
            ("boundary =B", false),
            ("boundary= B", false),
            ("boundary=B; x=a b", false),
            ("boundary=B; x", false),
            ("boundary=B; x y=z", false),
            ("x=Boundary; y=C; boundary=B", false),
        ] {
            let parsed = MediaType::parse(&format!("multipart/form-data; {text}"));
            let boundary = parsed.as_ref().and_then(MediaType::boundary);
            assert_eq!(boundary.is_some(), expected, "{text}");
        }
        for byte in "/:,@()<>[]{}?=é".chars() {
            let text = format!("multipart/form-data; boundary=B{byte}x");
            let parsed = MediaType::parse(&text);
            assert_eq!(
                parsed.as_ref().and_then(MediaType::boundary),
                None,
                "{text}"
            );
        }
    }

    #[test]
    fn suffix_and_type_decide_about_the_form() {
        let form = |text: &str| MediaType::parse(text).unwrap().form();
        assert_eq!(form("application/problem+json"), Form::Json);
        assert_eq!(form("text/csv"), Form::Text);
        assert_eq!(form("application/octet-stream"), Form::Other);
    }
}
