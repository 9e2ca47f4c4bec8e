//! `WWW-Authenticate` challenges (RFC 9110 §11.6.1) of registries.

/// Maximum length of a challenge, in bytes.
pub const CHALLENGE_BYTES_MAX: usize = 4 << 10;
/// Maximum number of parameters of a challenge.
const PARAMETERS_MAX: usize = 16;

/// Authentication scheme that a registry requests in a challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// User and password in each request.
    Basic,
    /// Token that a token endpoint issues.
    Bearer {
        /// URL of the token endpoint.
        realm: String,
        /// Name under which the token endpoint knows the registry (parameter `service`).
        service: Option<String>,
    },
}

/// Parses the challenges in the value of a `WWW-Authenticate` field. Challenges of other schemes
/// are left out. Empty if the value is malformed.
#[must_use]
pub fn read(value: &[u8]) -> Vec<Challenge> {
    if value.len() > CHALLENGE_BYTES_MAX {
        return Vec::new();
    }
    let Ok(text) = std::str::from_utf8(value) else {
        return Vec::new();
    };
    let mut reader = Reader { rest: text };
    let mut found = Vec::new();
    loop {
        reader.skip(&[' ', '\t', ',']);
        if reader.rest.is_empty() {
            return found;
        }
        let Some(scheme) = reader.token() else {
            return Vec::new();
        };
        let Some(parameters) = reader.parameters() else {
            return Vec::new();
        };
        let value = |name: &str| {
            let mut all = parameters.iter();
            let found = all.find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.clone())
        };
        if scheme.eq_ignore_ascii_case("basic") {
            found.push(Challenge::Basic);
        } else if scheme.eq_ignore_ascii_case("bearer")
            && let Some(realm) = value("realm")
        {
            let service = value("service");
            found.push(Challenge::Bearer { realm, service });
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn skip(&mut self, characters: &[char]) {
        self.rest = self.rest.trim_start_matches(characters);
    }

    fn token(&mut self) -> Option<&'a str> {
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        let end = self.rest.find(|c| !is_token(c)).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!token.is_empty()).then_some(token)
    }

    /// Parameters of a challenge, up to the scheme of the next challenge. `None` if they are
    /// malformed.
    fn parameters(&mut self) -> Option<Vec<(&'a str, String)>> {
        let mut found = Vec::new();
        loop {
            let before = self.rest;
            self.skip(&[' ', '\t', ',']);
            if self.rest.is_empty() {
                return Some(found);
            }
            let name = self.token()?;
            self.skip(&[' ', '\t']);
            let Some(rest) = self.rest.strip_prefix('=') else {
                // A word without `=` is the scheme of the next challenge. Require a comma before
                // it, because the word could otherwise also be a parameter.
                self.rest = before;
                let follows = before.trim_start_matches([' ', '\t']).starts_with(',');
                return follows.then_some(found);
            };
            self.rest = rest;
            self.skip(&[' ', '\t']);
            let value = match self.rest.strip_prefix('"') {
                Some(rest) => {
                    self.rest = rest;
                    self.quoted()?
                }
                None => self.token()?.to_owned(),
            };
            if found.len() == PARAMETERS_MAX {
                return None;
            }
            found.push((name, value));
        }
    }

    fn quoted(&mut self) -> Option<String> {
        let mut value = String::new();
        let mut characters = self.rest.char_indices();
        while let Some((at, c)) = characters.next() {
            match c {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return Some(value);
                }
                '\\' => value.push(characters.next()?.1),
                c if c.is_control() => return None,
                c => value.push(c),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>) -> Challenge {
        Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
        }
    }

    #[test]
    fn challenges_of_known_schemes_are_found() {
        for (value, expected) in [
            ("Basic realm=\"x\"", vec![Challenge::Basic]),
            ("basic", vec![Challenge::Basic]),
            (
                "Bearer realm=\"https://a/token\",service=\"r\",scope=\"repository:a:pull,push\"",
                vec![bearer("https://a/token", Some("r"))],
            ),
            (
                "bearer Realm = \"a\\\"b\" , Service=r",
                vec![bearer("a\"b", Some("r"))],
            ),
            (
                "Negotiate, Basic realm=\"x\", Bearer realm=\"y\"",
                vec![Challenge::Basic, bearer("y", None)],
            ),
            ("Digest realm=\"x\", nonce=\"y\"", vec![]),
            ("Bearer service=\"r\"", vec![]),
            ("", vec![]),
            ("Bearer realm=\"x", vec![]),
            ("Bearer realm=", vec![]),
            ("Basic x", vec![]),
            ("=", vec![]),
            ("Basic realm=\"a\\", vec![]),
        ] {
            assert_eq!(read(value.as_bytes()), expected, "{value}");
        }
        assert!(read(b"Basic \xff").is_empty());
        let long = format!("Basic realm=\"{}\"", "a".repeat(CHALLENGE_BYTES_MAX));
        assert!(read(long.as_bytes()).is_empty());
        let many = format!("Basic {}", "a=b,".repeat(PARAMETERS_MAX + 1));
        assert!(read(many.as_bytes()).is_empty());
    }
}
