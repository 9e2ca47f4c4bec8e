//! Path templates with placeholders, such as `/up{path}` and `/users/{id}`.

use minicbor::{Decode, Decoder, Encode, Encoder};

use crate::cx::Cx;

/// Parsed path template of literals, path parameters and `{path}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathText {
    text: String,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Parameter(String),
    Path,
}

/// Error: the request's path does not have a parameter of the template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissingPathParameter;

impl PathText {
    /// Parses a template. `None` if braces are unbalanced or a literal is not allowed in a path.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (name, behind) = rest[at..].strip_prefix('{')?.split_once('}')?;
            if name.is_empty() || name.contains('{') {
                return None;
            }
            pieces.push(Piece::Literal(rest[..at].to_owned()));
            pieces.push(match name {
                "path" => Piece::Path,
                name => Piece::Parameter(name.to_owned()),
            });
            rest = behind;
        }
        pieces.push(Piece::Literal(rest.to_owned()));
        pieces.retain(|piece| *piece != Piece::Literal(String::new()));
        let begins = matches!(pieces.first(), Some(Piece::Path | Piece::Parameter(_)))
            || text.starts_with('/');
        let fine = |piece: &Piece| match piece {
            Piece::Literal(literal) => literal
                .bytes()
                .all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'\\')),
            Piece::Parameter(_) | Piece::Path => true,
        };
        (begins && pieces.iter().all(fine)).then(|| Self {
            text: text.to_owned(),
            pieces,
        })
    }

    /// Template as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// True if the template uses any part of the request's path.
    #[must_use]
    pub fn reads_path(&self) -> bool {
        let mut pieces = self.pieces.iter();
        pieces.any(|piece| !matches!(piece, Piece::Literal(_)))
    }

    /// Names of the path parameters in the template.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Parameter(name) => Some(name.as_str()),
            Piece::Literal(_) | Piece::Path => None,
        })
    }

    /// Fills the template. `{path}` is replaced by `path`. A path parameter is replaced by its
    /// bytes in `whole`, which is the request's path. Adds a leading `/` if it is missing.
    ///
    /// # Errors
    /// The request's path does not have a parameter of the template.
    pub fn fill(
        &self,
        whole: &str,
        path: &str,
        cx: &Cx<'_>,
    ) -> Result<String, MissingPathParameter> {
        let mut filled = String::with_capacity(self.text.len() + path.len());
        for piece in &self.pieces {
            filled.push_str(match piece {
                Piece::Literal(literal) => literal,
                Piece::Path => path,
                Piece::Parameter(name) => {
                    let range = cx.parameters.iter().find(|(known, _)| known == name);
                    let (_, range) = range.ok_or(MissingPathParameter)?;
                    whole.get(range.clone()).ok_or(MissingPathParameter)?
                }
            });
        }
        if !filled.starts_with('/') {
            filled.insert(0, '/');
        }
        Ok(filled)
    }
}

impl<C> Encode<C> for PathText {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.str(&self.text)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for PathText {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Self::parse(d.str()?).ok_or_else(|| minicbor::decode::Error::message("not a path template"))
    }
}

#[cfg(feature = "author")]
pub(crate) mod author {
    //! Parser of a path template in the configuration.

    use diag::shape::BAD_VALUE;
    use diag::{Diagnostic, NodeRef, Sink};

    use super::PathText;

    /// Reads a path template.
    pub(crate) fn read(node: NodeRef<'_>, sink: &mut Sink) -> Option<PathText> {
        let text = PathText::parse(node.scalar_text()?);
        if text.is_none() {
            sink.push(
                Diagnostic::new(
                    &BAD_VALUE,
                    node.span(),
                    "a path cannot contain this character unescaped",
                )
                .help("percent-encode characters that a URL cannot contain: `%C3%A9` for `é`"),
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cx::tests::with_cx;

    #[test]
    fn a_path_is_filled_with_the_bytes_of_the_request() {
        let fill = |text: &str, path: &str| {
            with_cx(|cx| {
                cx.parameters = vec![("id", 7..11)];
                let text = PathText::parse(text).unwrap();
                text.fill("/users/a%20/x", path, cx)
            })
        };
        assert_eq!(fill("/up{path}", "/users"), Ok("/up/users".into()));
        assert_eq!(fill("/u/{id}.json", "/"), Ok("/u/a%20.json".into()));
        assert_eq!(fill("{id}", "/"), Ok("/a%20".into()));
        assert_eq!(fill("{path}", ""), Ok("/".into()));
        assert_eq!(fill("/{other}", "/"), Err(MissingPathParameter));
    }

    #[test]
    fn malformed_template_is_refused() {
        for text in [
            "", "up", "/{", "/{}", "/}", "/a?b", "/a#b", "/a b", "/a\\b", "/é",
        ] {
            assert_eq!(PathText::parse(text), None, "{text}");
        }
    }
}
