//! Address of a gateway's admin interface, as users write it: `http://HOST:PORT`, `HOST:PORT` or
//! `unix:PATH`.

use std::path::PathBuf;

use model::exit::Failure;

/// Admin interface of a gateway.
#[derive(Clone, Debug)]
pub struct Node {
    /// Address as written by the user.
    pub name: String,
    pub(super) at: At,
}

/// Address of an admin interface.
#[derive(Clone, Debug)]
pub(super) enum At {
    Tcp { authority: String, address: String },
    Unix(PathBuf),
}

impl Node {
    /// Parses `http://HOST:PORT`, `HOST:PORT` or `unix:PATH`.
    ///
    /// # Errors
    /// Returns a usage error if the text has none of these forms.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        // A text before `@` is a password.
        let shown = match text.rsplit_once('@') {
            Some((_, host)) => format!("…@{host}"),
            None => text.to_owned(),
        };
        Self::parse_at(text, &format!("`--node {shown}`"))
    }

    /// Parses the same forms. `place`: beginning of error messages.
    pub(super) fn parse_at(text: &str, place: &str) -> anyhow::Result<Self> {
        let wrong = |why: &str| Failure::usage(format!("{place}: {why}"));
        let name = text.to_owned();
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() {
                return Err(wrong("write unix:PATH").into());
            }
            return Ok(Self {
                name,
                at: At::Unix(path.into()),
            });
        }
        if text.starts_with("https://") {
            return Err(wrong(
                "the admin interface serves plain HTTP; use http://, a unix socket, or a tunnel",
            )
            .into());
        }
        let authority = text.strip_prefix("http://").unwrap_or(text);
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let parsed: http::uri::Authority = authority
            .parse()
            .map_err(|_| wrong("write http://HOST:PORT or unix:PATH"))?;
        if authority.contains('@') {
            return Err(wrong("give the token with --admin-token-file").into());
        }
        let port = parsed
            .port_u16()
            .ok_or_else(|| wrong("the port is missing: write http://HOST:PORT or unix:PATH"))?;
        let host = parsed.host().trim_matches(['[', ']']);
        let address = if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        };
        Ok(Self {
            name,
            at: At::Tcp {
                authority: authority.to_owned(),
                address,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_addresses_are_parsed_or_refused() {
        for good in [
            "http://127.0.0.1:9000",
            "http://127.0.0.1:9000/",
            "localhost:9000",
            "http://[::1]:9000",
            "unix:/run/gwd/admin.sock",
        ] {
            assert!(Node::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "unix:",
            "https://gateway:9000",
            "http://gateway",
            "http://a:b@gateway:1",
            "http://gateway:9000/path",
            "http://gateway:99999",
        ] {
            assert!(Node::parse(bad).is_err(), "{bad}");
        }
        let refused = Node::parse("http://a:s3cret@gateway:1").unwrap_err();
        assert!(!format!("{refused:#}").contains("s3cret"), "{refused:#}");
    }
}
