//! Addresses of stores in registries: `oci://HOST[:PORT]/REPOSITORY`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// URL scheme of the address of a registry.
pub const SCHEME: &str = "oci://";
/// Maximum length of an address, in bytes.
const ADDRESS_BYTES_MAX: usize = 512;

/// Address of a repository in a registry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    host: String,
    port: Option<u16>,
    repository: String,
}

/// Error: a text is not the address of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadAddress(&'static str);

impl Address {
    /// True if a text is the address of a registry. False for the path of a folder.
    #[must_use]
    pub fn is_one(text: &str) -> bool {
        text.starts_with(SCHEME)
    }

    /// Host name or IP address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Port as written. `None`: the default port.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// Host and port as written, which Docker's configuration uses as the key.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        match self.port {
            Some(port) => format!("{host}:{port}"),
            None => host,
        }
    }

    /// Name of the repository, such as `shop/releases`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// True if the registry is on this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let address: Option<IpAddr> = self.host.parse().ok();
        self.host == "localhost" || address.is_some_and(|address| address.is_loopback())
    }
}

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        if text.len() > ADDRESS_BYTES_MAX {
            return Err(BadAddress("it is too long"));
        }
        let rest = text
            .strip_prefix(SCHEME)
            .ok_or(BadAddress("it must begin with `oci://`"))?;
        let (authority, repository) = rest
            .split_once('/')
            .ok_or(BadAddress("the repository is missing"))?;
        if authority.contains('@') {
            return Err(BadAddress(
                "it must not contain a user or password; use the configuration of docker or --registry-token-file",
            ));
        }
        if repository.contains([':', '@']) {
            return Err(BadAddress("it must not contain a tag or digest"));
        }
        let (host, port) = split(authority)?;
        if !is_repository(repository) {
            return Err(BadAddress(
                "a repository has parts of lower-case letters and digits, separated by `/`; single `.`, `_` or `-` inside a part",
            ));
        }
        Ok(Self {
            host: host.to_ascii_lowercase(),
            port,
            repository: repository.to_owned(),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.authority(), self.repository)
    }
}

impl fmt::Display for BadAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "not the address of a registry (oci://HOST[:PORT]/REPOSITORY): {}",
            self.0
        )
    }
}

impl std::error::Error for BadAddress {}

fn split(authority: &str) -> Result<(&str, Option<u16>), BadAddress> {
    const HOST: BadAddress = BadAddress("the host is not valid");
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or(HOST)?;
            let address: IpAddr = host.parse().map_err(|_| HOST)?;
            if !address.is_ipv6() {
                return Err(HOST);
            }
            let port = match after.strip_prefix(':') {
                Some(port) => Some(port),
                None if after.is_empty() => None,
                None => return Err(HOST),
            };
            (host, port)
        }
        None => {
            let (host, port) = match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            };
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
            let is_host = host.bytes().all(is_name)
                && host.starts_with(|first: char| first.is_ascii_alphanumeric());
            if !is_host {
                return Err(HOST);
            }
            (host, port)
        }
    };
    let digits = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let port = match port {
        None => None,
        Some(port) => {
            let port: Option<u16> = port.parse().ok().filter(|_| digits(port));
            Some(
                port.filter(|port| *port != 0)
                    .ok_or(BadAddress("the port is not valid"))?,
            )
        }
    };
    Ok((host, port))
}

/// True if the text is a repository name of the OCI distribution specification.
fn is_repository(name: &str) -> bool {
    const BYTES_MAX: usize = 255;
    let is_word = |word: &str| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        !word.is_empty() && word.bytes().all(plain)
    };
    let is_part = |part: &str| {
        let mut rest = part;
        loop {
            let end = rest.find(['.', '_', '-']).unwrap_or(rest.len());
            if !is_word(&rest[..end]) {
                return false;
            }
            rest = &rest[end..];
            if rest.is_empty() {
                return true;
            }
            let run = rest.len() - rest.trim_start_matches(['.', '_', '-']).len();
            let between = &rest[..run];
            let dashes = between.bytes().all(|byte| byte == b'-');
            if !dashes && ![".", "_", "__"].contains(&between) {
                return false;
            }
            rest = &rest[run..];
        }
    };
    name.len() <= BYTES_MAX && name.split('/').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_parsed_or_refused() {
        for (text, host, port, repository) in [
            ("oci://r.example/a", "r.example", None, "a"),
            (
                "oci://R.example:5000/a/b-c",
                "r.example",
                Some(5000),
                "a/b-c",
            ),
            ("oci://127.0.0.1:1/a__b.c", "127.0.0.1", Some(1), "a__b.c"),
            ("oci://[::1]:5000/a--b", "::1", Some(5000), "a--b"),
            ("oci://[::1]/a", "::1", None, "a"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.host(), host, "{text}");
            assert_eq!(address.port(), port, "{text}");
            assert_eq!(address.repository(), repository, "{text}");
            assert_eq!(address.to_string().parse(), Ok(address), "{text}");
        }
        for bad in [
            "",
            "releases",
            "oci://",
            "oci://host",
            "oci://host/",
            "oci:///a",
            "oci://host:0/a",
            "oci://host:+1/a",
            "oci://host:99999/a",
            "oci://host:/a",
            "oci://user:secret@host/a",
            "oci://host/a:tag",
            "oci://host/a@sha256:00",
            "oci://host/A",
            "oci://host/a//b",
            "oci://host/../a",
            "oci://host/a..b",
            "oci://host/a___b",
            "oci://host/-a",
            "oci://host/a-",
            "oci://host/a?b",
            "oci://ho st/a",
            "oci://[::1/a",
            "oci://[::1]x/a",
            "oci://[127.0.0.1]/a",
            "https://host/a",
        ] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
        let error = "oci://user:secret@host/a".parse::<Address>().unwrap_err();
        assert!(!error.to_string().contains("secret"));
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for (host, expected) in [
            ("localhost", true),
            ("127.0.0.1", true),
            ("127.8.8.8", true),
            ("[::1]", true),
            ("10.0.0.1", false),
            ("localhost.example", false),
        ] {
            let address: Address = format!("oci://{host}:5000/a").parse().unwrap();
            assert_eq!(address.is_loopback(), expected, "{host}");
        }
    }
}
