//! Path templates in OpenAPI's syntax, as the router compares them (semantics.md §1).

use std::fmt;

use minicbor::{Decode, Encode};

/// Path template: a list of segments.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Template {
    segments: Vec<Segment>,
    prefix: bool,
}

/// Segment of a path template: the part between two slashes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// Literal, compared exactly. Empty for the segment after a final slash.
    Literal(String),
    /// Literal in lower case, compared case-insensitively.
    Folded(String),
    /// Parameter that is the whole segment and matches one or more bytes. Contains the parameter's
    /// name.
    Parameter(String),
    /// Parameters with literals around or between them: `{id}:cancel`, `{base}...{head}`.
    Pattern(Pattern),
}

/// Segment of a path template that mixes literals and parameters, such as `{id}:cancel`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern {
    /// Literal before the first parameter.
    pub head: String,
    /// Name of each parameter, with the literal after it. Only the last literal may be empty.
    pub rest: Vec<(String, String)>,
    /// True if the literals are compared case-insensitively; they are then in lower case.
    pub folded: bool,
}

/// Error of parsing a path template: the reason and its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateFault {
    /// Reason why the template is faulty.
    pub kind: TemplateFaultKind,
    /// Byte range of the faulty part in the template's text.
    pub range: std::ops::Range<usize>,
}

/// Reason why a text is not a path template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TemplateFaultKind {
    /// The text does not begin with `/`.
    NoSlash,
    /// `{` without `}`, `}` without `{`, or `{` in a name.
    Brace,
    /// Empty parameter name: `{}`.
    EmptyName,
    /// Two parameters without a literal between them: `{a}{b}`. The end of the first parameter is
    /// then undefined.
    Adjacent,
    /// Two parameters with the same name.
    Repeated,
    /// Parameter name with `/` in it, or the segment `**`, which is reserved for the encoding of
    /// prefixes. `:id` and `{x*}`, which are special in other frameworks, are ordinary text.
    Unsupported,
}

impl Template {
    /// Parses a template such as `/a/{b}/c{d}e`. Does not normalise literals.
    pub fn parse(text: &str) -> Result<Self, TemplateFault> {
        let fault = |kind, range| Err(TemplateFault { kind, range });
        let Some(rest) = text.strip_prefix('/') else {
            return fault(TemplateFaultKind::NoSlash, 0..text.len());
        };
        let mut segments = Vec::new();
        let mut names: Vec<&str> = Vec::new();
        let mut at = 1;
        for piece in split_segments(rest) {
            segments.push(segment(piece, at, &mut names)?);
            at += piece.len() + 1;
        }
        Ok(Self {
            segments,
            prefix: false,
        })
    }

    /// Converts the template to a prefix, which also matches all paths below it.
    #[must_use]
    pub fn into_prefix(mut self) -> Self {
        // `/foo/` and `/foo` are the same prefix; `/` is the empty prefix.
        if self.segments.last() == Some(&Segment::Literal(String::new())) {
            self.segments.pop();
        }
        self.prefix = true;
        self
    }

    /// Makes the literals match ASCII letters case-insensitively (`case_insensitive`). Literals
    /// without letters do not change.
    #[must_use]
    pub fn into_folded(mut self) -> Self {
        for segment in &mut self.segments {
            match segment {
                Segment::Literal(text) if has_letter(text) => {
                    *segment = Segment::Folded(text.to_ascii_lowercase());
                }
                Segment::Pattern(pattern) => {
                    let literals = pattern.rest.iter().map(|(_, literal)| literal);
                    pattern.folded = literals.chain([&pattern.head]).any(|text| has_letter(text));
                    if pattern.folded {
                        pattern.head.make_ascii_lowercase();
                        for (_, literal) in &mut pattern.rest {
                            literal.make_ascii_lowercase();
                        }
                    }
                }
                Segment::Literal(_) | Segment::Folded(_) | Segment::Parameter(_) => {}
            }
        }
        self
    }

    /// True if a literal of the template matches case-insensitively.
    #[must_use]
    pub fn is_folded(&self) -> bool {
        self.segments.iter().any(|segment| match segment {
            Segment::Folded(_) => true,
            Segment::Pattern(pattern) => pattern.folded,
            Segment::Literal(_) | Segment::Parameter(_) => false,
        })
    }

    /// Adds a base path (empty or `/…`) in front of the template. The base path stays
    /// case-sensitive.
    #[must_use]
    pub fn behind(mut self, base_path: &str) -> Self {
        let base = base_path.split('/').skip(1);
        let base = base.map(|text| Segment::Literal(text.to_owned()));
        self.segments.splice(0..0, base);
        self
    }

    /// Prefix of the template with at most this number of segments. Returns the template itself if
    /// it has no more segments.
    #[must_use]
    pub fn cut(mut self, segments: usize) -> Self {
        if self.segments.len() > segments {
            self.segments.truncate(segments);
            self.prefix = true;
        }
        self
    }

    /// Template with the final slash added or removed. `None` for a prefix, which matches paths
    /// with and without a final slash.
    #[must_use]
    pub fn twin(&self) -> Option<Self> {
        if self.prefix {
            return None;
        }
        let mut segments = self.segments.clone();
        match segments.last() {
            Some(Segment::Literal(text)) if text.is_empty() => drop(segments.pop()),
            _ => segments.push(Segment::Literal(String::new())),
        }
        Some(Self {
            segments,
            prefix: false,
        })
    }

    /// Segments of the template. The template `/` has one empty literal.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// True if the template is a prefix, which also matches all paths below it.
    #[must_use]
    pub fn is_prefix(&self) -> bool {
        self.prefix
    }

    /// Replaces each literal by the result of `f`.
    #[must_use]
    pub fn map_literals(self, f: impl Fn(String) -> String) -> Self {
        let segments = self.segments.into_iter().map(|segment| match segment {
            Segment::Literal(text) => Segment::Literal(f(text)),
            Segment::Folded(text) => Segment::Folded(f(text)),
            Segment::Parameter(name) => Segment::Parameter(name),
            Segment::Pattern(Pattern { head, rest, folded }) => Segment::Pattern(Pattern {
                folded,
                head: f(head),
                rest: rest
                    .into_iter()
                    .map(|(name, text)| (name, f(text)))
                    .collect(),
            }),
        });
        Self {
            segments: segments.collect(),
            prefix: self.prefix,
        }
    }

    /// Parameters with their byte ranges in a path that the template matches, from left to right.
    /// `from` is the length of the mount's base path in bytes. The template must match the rest of
    /// the path.
    pub fn bind<'t>(&'t self, path: &str, from: usize) -> Vec<(&'t str, std::ops::Range<usize>)> {
        let mut bound = Vec::new();
        let mut at = from;
        for segment in &self.segments {
            // Skip the slash.
            at += 1;
            let text = path.get(at..).unwrap_or_default();
            let text = text.split('/').next().unwrap_or_default();
            match segment {
                Segment::Literal(_) | Segment::Folded(_) => {}
                Segment::Parameter(name) => bound.push((name.as_str(), at..at + text.len())),
                Segment::Pattern(pattern) => {
                    pattern.bind(text, &mut |name, range| {
                        bound.push((name, at + range.start..at + range.end));
                    });
                }
            }
            at += text.len();
        }
        bound
    }

    /// True if the template matches a path without the base path.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let mut texts = path.split('/').skip(1);
        let is_matched = |segment: &Segment, text: &str| match segment {
            Segment::Literal(literal) => literal == text,
            Segment::Folded(literal) => literal.eq_ignore_ascii_case(text),
            Segment::Parameter(_) => !text.is_empty(),
            Segment::Pattern(pattern) => pattern.matches(text),
        };
        let mut segments = self.segments.iter();
        let all =
            segments.all(|segment| texts.next().is_some_and(|text| is_matched(segment, text)));
        all && (self.prefix || texts.next().is_none())
    }

    /// Names of the parameters from left to right.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().flat_map(|segment| match segment {
            Segment::Literal(_) | Segment::Folded(_) => Vec::new(),
            Segment::Parameter(name) => vec![name.as_str()],
            Segment::Pattern(pattern) => {
                pattern.rest.iter().map(|(name, _)| name.as_str()).collect()
            }
        })
    }
}

impl Pattern {
    /// True if the pattern matches a segment. From left to right, each parameter matches the
    /// shortest possible text of at least one byte.
    #[must_use]
    pub fn matches(&self, segment: &str) -> bool {
        self.bind(segment, &mut |_, _| {})
    }

    /// Like [`Self::matches`]. Also calls `each` with each parameter and its byte range in the
    /// segment. Ignore the calls if the result is false.
    pub fn bind<'p>(
        &'p self,
        segment: &str,
        each: &mut dyn FnMut(&'p str, std::ops::Range<usize>),
    ) -> bool {
        let folded;
        let segment = match self.folded {
            false => segment,
            // Only case-insensitive patterns, which are rare, allocate. Changing the case does not
            // change the byte ranges.
            true => {
                folded = segment.to_ascii_lowercase();
                folded.as_str()
            }
        };
        let Some(mut left) = segment.strip_prefix(self.head.as_str()) else {
            return false;
        };
        let Some(((last, tail), middle)) = self.rest.split_last() else {
            return left.is_empty();
        };
        let at = |left: &str| segment.len() - left.len();
        for (name, literal) in middle {
            // A parameter matches at least one character.
            let Some(from) = left.char_indices().nth(1).map(|(at, _)| at) else {
                return false;
            };
            let Some(found) = left[from..].find(literal.as_str()) else {
                return false;
            };
            each(name, at(left)..at(left) + from + found);
            left = &left[from + found + literal.len()..];
        }
        each(last, at(left)..segment.len().saturating_sub(tail.len()));
        left.len() > tail.len() && left.ends_with(tail.as_str())
    }

    /// Pattern without parameter names, for comparisons: `{}:cancel`.
    #[must_use]
    pub fn erased(&self) -> String {
        let mut text = self.head.clone();
        for (_, literal) in &self.rest {
            text.push_str("{}");
            text.push_str(literal);
        }
        text
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            write!(f, "/{segment}")?;
        }
        if self.segments.is_empty() {
            f.write_str("/")
        } else {
            Ok(())
        }
    }
}

impl Segment {
    /// Segment without parameter names. Segments that are then equal match the same strings.
    #[must_use]
    pub fn erased(&self) -> Self {
        match self {
            Self::Parameter(_) => Self::Parameter(String::new()),
            Self::Pattern(pattern) => {
                let mut pattern = pattern.clone();
                for (name, _) in &mut pattern.rest {
                    name.clear();
                }
                Self::Pattern(pattern)
            }
            Self::Literal(_) | Self::Folded(_) => self.clone(),
        }
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(text) | Self::Folded(text) => f.write_str(text),
            Self::Parameter(name) => write!(f, "{{{name}}}"),
            Self::Pattern(pattern) => {
                f.write_str(&pattern.head)?;
                pattern
                    .rest
                    .iter()
                    .try_for_each(|(name, literal)| write!(f, "{{{name}}}{literal}"))
            }
        }
    }
}

/// Splits the text of a template at slashes outside braces.
fn split_segments(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0usize;
    text.split(move |c| {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == '/' && depth == 0
    })
}

fn segment<'t>(
    text: &'t str,
    at: usize,
    names: &mut Vec<&'t str>,
) -> Result<Segment, TemplateFault> {
    let fault = |kind, range: std::ops::Range<usize>| {
        Err(TemplateFault {
            kind,
            range: at + range.start..at + range.end,
        })
    };
    if text == "**" {
        return fault(TemplateFaultKind::Unsupported, 0..text.len());
    }
    let mut head = None;
    let mut rest: Vec<(String, String)> = Vec::new();
    let mut from = 0;
    loop {
        let open = text[from..].find(['{', '}']).map(|found| from + found);
        let literal = &text[from..open.unwrap_or(text.len())];
        match rest.last_mut() {
            None => head = Some(literal),
            Some((_, behind)) => literal.clone_into(behind),
        }
        let Some(open) = open else { break };
        let close = text[open + 1..]
            .find(['{', '}'])
            .map(|found| open + 1 + found);
        let Some(close) =
            close.filter(|close| text.as_bytes()[open] == b'{' && text.as_bytes()[*close] == b'}')
        else {
            return fault(TemplateFaultKind::Brace, open..open + 1);
        };
        let name = &text[open + 1..close];
        if name.is_empty() {
            return fault(TemplateFaultKind::EmptyName, open..close + 1);
        }
        if name.contains('/') {
            return fault(TemplateFaultKind::Unsupported, open..close + 1);
        }
        if names.contains(&name) {
            return fault(TemplateFaultKind::Repeated, open..close + 1);
        }
        if rest.last().is_some_and(|(_, literal)| literal.is_empty()) {
            return fault(TemplateFaultKind::Adjacent, open..close + 1);
        }
        names.push(name);
        rest.push((name.to_owned(), String::new()));
        from = close + 1;
    }
    let head = head.unwrap_or_default().to_owned();
    Ok(match rest.as_mut_slice() {
        [] => Segment::Literal(head),
        [(name, tail)] if head.is_empty() && tail.is_empty() => {
            Segment::Parameter(std::mem::take(name))
        }
        _ => Segment::Pattern(Pattern {
            head,
            rest,
            folded: false,
        }),
    })
}

impl<C> Encode<C> for Template {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        // The encoding of a prefix ends with `/**`, which is not a valid segment of a template. The
        // encoding of a case-insensitive template begins with `~`, and of all others with `/`.
        let mut text = if self.is_folded() { "~" } else { "" }.to_owned();
        match (self.prefix, self.segments.is_empty()) {
            (false, true) => {}
            (true, true) => text.push_str("/**"),
            (false, false) => text.push_str(&self.to_string()),
            (true, false) => text.push_str(&format!("{self}/**")),
        }
        e.str(&text)?;
        Ok(())
    }
}

impl<'b, C> Decode<'b, C> for Template {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let text = d.str()?;
        let malformed = |_| minicbor::decode::Error::message("not a path template");
        if let Some(folded) = text.strip_prefix('~') {
            let folded = unfolded(folded).map_err(malformed)?.into_folded();
            return Ok(folded);
        }
        unfolded(text).map_err(malformed)
    }
}

/// Parses an encoded template without the leading `~`.
fn unfolded(text: &str) -> Result<Template, TemplateFault> {
    match text.strip_suffix("/**") {
        Some("") => Ok(Template {
            segments: Vec::new(),
            prefix: true,
        }),
        // Keep an empty last segment, because it is part of the prefix.
        Some(prefix) => Template::parse(prefix).map(|template| Template {
            prefix: true,
            ..template
        }),
        None => Template::parse(text),
    }
}

/// True if a literal has a letter whose case may differ. Ignores the letters in percent-escapes
/// (`%C3`).
fn has_letter(literal: &str) -> bool {
    let mut bytes = literal.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            bytes.nth(1);
        } else if byte.is_ascii_alphabetic() {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> Result<String, (TemplateFaultKind, &str)> {
        Template::parse(text)
            .map(|template| template.to_string())
            .map_err(|fault| (fault.kind, &text[fault.range]))
    }

    #[test]
    fn templates_are_read_and_printed_alike() {
        for text in [
            "/",
            "/a",
            "/a/",
            "/a/{b}",
            "/{a}.json",
            "/x{a}y{b}z",
            "/{base}...{head}",
            "/{id}:cancel",
            "//a",
            "//",
            "/a//",
            "/a/:id",
            "/a/*",
            "/{+a}/{b*}/{c:[0-9]+}",
        ] {
            assert_eq!(kind(text), Ok(text.to_owned()));
            let template = Template::parse(text).unwrap();
            for template in [template.clone(), template.into_prefix()] {
                let bytes = crate::codec::encode(&template);
                assert_eq!(crate::codec::decode::<Template>(&bytes), Ok(template));
            }
        }
    }

    #[test]
    fn faults_are_reported_at_their_place() {
        use TemplateFaultKind::{Adjacent, Brace, EmptyName, NoSlash, Repeated, Unsupported};
        let cases = [
            ("a/b", NoSlash, "a/b"),
            ("/a/{b", Brace, "{"),
            ("/a/b}", Brace, "}"),
            ("/a/{b{c}}", Brace, "{"),
            ("/{}", EmptyName, "{}"),
            ("/{a}{b}", Adjacent, "{b}"),
            ("/{a}/{a}", Repeated, "{a}"),
            ("/{a/b}", Unsupported, "{a/b}"),
            ("/a/**", Unsupported, "**"),
        ];
        for (text, fault, range) in cases {
            assert_eq!(kind(text), Err((fault, range)), "{text}");
        }
    }

    #[test]
    fn parameters_are_ranges_of_the_path() {
        let bound = |template: &str, path: &str, from: usize| {
            let template = Template::parse(template).unwrap();
            let bound = template.bind(path, from);
            let bound = bound.into_iter();
            bound
                .map(|(name, range)| format!("{name}={}", &path[range]))
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(bound("/a/{b}/c/{d}", "/v1/a/x%20/c/y", 3), "b=x%20 d=y");
        assert_eq!(bound("/{a}...{b}", "/x...y...z", 0), "a=x b=y...z");
        assert_eq!(bound("/x{a}y{b}z/", "/x1y2z/", 0), "a=1 b=2");
        assert_eq!(bound("/{id}:cancel", "/7:cancel", 0), "id=7");
        assert_eq!(bound("/a", "/a", 0), "");
        let folded = Template::parse("/{id}:CANCEL").unwrap().into_folded();
        assert_eq!(folded.bind("/Ab:Cancel", 0), [("id", 1..3)]);
    }

    #[test]
    fn patterns_bind_leftmost_and_shortest() {
        let matches =
            |template: &str, segment: &str| match &Template::parse(template).unwrap().segments()[0]
            {
                Segment::Pattern(pattern) => pattern.matches(segment),
                other => panic!("{other:?}"),
            };
        assert!(matches("/{a}...{b}", "x...y...z"));
        assert!(matches("/{a}...{b}", "....b"));
        assert!(!matches("/{a}...{b}", "...b"));
        assert!(!matches("/{a}...{b}", "a..."));
        assert!(matches("/{id}:cancel", "7:cancel"));
        assert!(!matches("/{id}:cancel", ":cancel"));
        assert!(matches("/x{a}y{b}z", "x1y2z"));
        assert!(!matches("/x{a}y{b}z", "xyz"));
        assert!(matches("/{a}.json", "a.json.json"));
        assert!(matches("/{a}é{b}", "éé€"));
    }
}
