//! Settings of a connection to a registry: credentials, CA certificates, plain HTTP.
//!
//! Credentials come from a token file or from Docker's configuration (`config.json`). In Docker's
//! configuration, the order is: credential helper of the registry, entry of the registry,
//! credential store. Credentials are read again when the registry refuses them.

mod helper;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use crate::address::Address;

/// Maximum length of a file with credentials or certificates, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// User name with which credential helpers mark an identity token.
const TOKEN_USER: &str = "<token>";

/// Settings of a connection to a registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Folder with docker's `config.json`. `None`: no such configuration.
    pub docker: Option<PathBuf>,
    /// File with a token, which is sent unchanged (`Authorization: Bearer`). `None`: no such file.
    pub token_file: Option<PathBuf>,
    /// File with CA certificates in PEM, which replace the system's certificates. `None`: the
    /// system's certificates.
    pub ca_file: Option<PathBuf>,
    /// True to use HTTP instead of HTTPS. Default: false.
    pub plain_http: bool,
    /// True if a different registry can replace this one: each request has one attempt and short
    /// deadlines. Default: false.
    pub is_replaceable: bool,
}

/// Credentials for a registry.
pub(crate) enum Credentials {
    /// No credentials are configured.
    Absent,
    /// User and password, sent to the registry or to its token endpoint.
    Password(Zeroizing<String>, Zeroizing<String>),
    /// Identity token (OAuth 2 refresh token), sent to the token endpoint only.
    Identity(Zeroizing<String>),
    /// Token, sent to the registry unchanged (`Authorization: Bearer`).
    Token(Zeroizing<String>),
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct DockerConfig {
    auths: BTreeMap<String, Entry>,
    creds_store: Option<String>,
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    auth: Option<Secret>,
    username: Option<Secret>,
    password: Option<Secret>,
    identitytoken: Option<Secret>,
}

/// Secret string whose memory is overwritten on drop.
#[derive(Clone)]
struct Secret(Zeroizing<String>);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

impl Settings {
    /// Folder of Docker's configuration: `docker_config` (`DOCKER_CONFIG`) unless empty, otherwise
    /// `.docker` in the home folder.
    #[must_use]
    pub fn docker_folder(docker_config: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
        let given = docker_config.filter(|path| !path.as_os_str().is_empty());
        given.or_else(|| Some(home?.join(".docker")))
    }

    /// Reads the credentials for a registry.
    pub(crate) fn credentials(&self, address: &Address) -> Result<Credentials, String> {
        if let Some(path) = &self.token_file {
            let text = read(path)?.ok_or_else(|| format!("`{}`: no such file", path.display()))?;
            let token = text.trim();
            let usable = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
            return match usable {
                true => Ok(Credentials::Token(Zeroizing::new(token.to_owned()))),
                false => Err(format!(
                    "the token file `{}` must have exactly one line of printable characters",
                    path.display()
                )),
            };
        }
        let Some(folder) = &self.docker else {
            return Ok(Credentials::Absent);
        };
        let path = folder.join("config.json");
        let Some(text) = read(&path)? else {
            return Ok(Credentials::Absent);
        };
        let config: DockerConfig = serde_json::from_str(&text)
            .map_err(|error| format!("`{}`: {}", path.display(), described(&error)))?;
        config.credentials(address, &path)
    }

    /// Reads the configured CA certificates (PEM). `None`: the system's certificates.
    pub(crate) fn ca(&self) -> Result<Option<Zeroizing<String>>, String> {
        let Some(path) = &self.ca_file else {
            return Ok(None);
        };
        let text = read(path)?.ok_or_else(|| format!("`{}`: no such file", path.display()))?;
        Ok(Some(text))
    }
}

impl DockerConfig {
    fn credentials(&self, address: &Address, path: &Path) -> Result<Credentials, String> {
        let authority = address.authority();
        let is_ours = |key: &str| host_of(key).eq_ignore_ascii_case(&authority);
        let mut helpers = self.cred_helpers.iter();
        // An empty name disables the credential helper.
        let helper = helpers.find(|(key, helper)| is_ours(key) && !helper.is_empty());
        if let Some((key, helper)) = helper {
            return from_helper(helper, key);
        }
        let entry = self.auths.iter().find(|(key, _)| is_ours(key));
        if let Some((_, entry)) = entry
            && let Some(found) = entry.credentials(path)?
        {
            return Ok(found);
        }
        match &self.creds_store {
            Some(helper) if !helper.is_empty() => {
                let key = entry.map_or(authority.as_str(), |(key, _)| key);
                from_helper(helper, key)
            }
            _ => Ok(Credentials::Absent),
        }
    }
}

impl Entry {
    /// Credentials of the entry. `None` if the entry has none, because the credential store has
    /// them.
    fn credentials(&self, path: &Path) -> Result<Option<Credentials>, String> {
        let filled = |secret: &Option<Secret>| {
            let text = secret.as_ref().map(|secret| secret.0.clone());
            text.filter(|text| !text.is_empty())
        };
        if let Some(token) = filled(&self.identitytoken) {
            return Ok(Some(Credentials::Identity(token)));
        }
        if let (Some(user), Some(password)) = (filled(&self.username), filled(&self.password)) {
            return Ok(Some(Credentials::Password(user, password)));
        }
        let Some(auth) = filled(&self.auth) else {
            return Ok(None);
        };
        let wrong = || {
            format!(
                "`{}`: `auth` of the registry is not base64 of USER:PASSWORD",
                path.display()
            )
        };
        let bytes = Zeroizing::new(STANDARD.decode(auth.trim()).map_err(|_| wrong())?);
        let text = std::str::from_utf8(&bytes).map_err(|_| wrong())?;
        let (user, password) = text.split_once(':').ok_or_else(wrong)?;
        Ok(Some(Credentials::Password(
            Zeroizing::new(user.to_owned()),
            Zeroizing::new(password.trim_end_matches('\0').to_owned()),
        )))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "Absent",
            Self::Password(..) => "Password(…)",
            Self::Identity(_) => "Identity(…)",
            Self::Token(_) => "Token(…)",
        })
    }
}

/// Host and port of a registry key in Docker's configuration, such as `https://r.example/v2/`.
fn host_of(key: &str) -> &str {
    let key = key.strip_prefix("https://").unwrap_or(key);
    let key = key.strip_prefix("http://").unwrap_or(key);
    key.split('/').next().unwrap_or(key)
}

/// Requests the credentials for a registry from a credential helper.
fn from_helper(name: &str, key: &str) -> Result<Credentials, String> {
    let Some(answer) = helper::ask(name, key)? else {
        return Ok(Credentials::Absent);
    };
    let helper::Answer {
        username: Secret(user),
        secret: Secret(secret),
    } = answer;
    Ok(match user.as_str() {
        TOKEN_USER => Credentials::Identity(secret),
        _ => Credentials::Password(user, secret),
    })
}

/// Position of a JSON error. The text contains nothing of the document, which may contain secrets.
fn described(error: &serde_json::Error) -> String {
    format!(
        "not valid in line {}, column {}",
        error.line(),
        error.column()
    )
}

/// Reads a text file. `None` if the file does not exist.
fn read(path: &Path) -> Result<Option<Zeroizing<String>>, String> {
    let failed = |error: &dyn fmt::Display| format!("`{}`: {error}", path.display());
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        result => result.map_err(|error| failed(&error))?,
    };
    let mut text = Zeroizing::new(String::new());
    let read = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text);
    read.map_err(|error| failed(&error))?;
    match text.len() as u64 > FILE_BYTES_MAX {
        true => Err(failed(&"the file is too long")),
        false => Ok(Some(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(config: &str, address: &str) -> Result<Credentials, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), config).unwrap();
        let settings = Settings {
            docker: Some(folder.path().to_owned()),
            ..Settings::default()
        };
        settings.credentials(&address.parse().unwrap())
    }

    #[test]
    fn credentials_of_docker_are_found_by_host() {
        let auth = STANDARD.encode("ann:pa:ss");
        for key in [
            "r.example:5000",
            "https://r.example:5000/v2/",
            "http://r.example:5000",
        ] {
            let config = format!("{{\"auths\":{{\"{key}\":{{\"auth\":\"{auth}\"}}}}}}");
            let Credentials::Password(user, password) =
                credentials(&config, "oci://r.example:5000/a").unwrap()
            else {
                panic!("{key}");
            };
            assert_eq!((user.as_str(), password.as_str()), ("ann", "pa:ss"));
            let other = credentials(&config, "oci://r.example/a").unwrap();
            assert!(matches!(other, Credentials::Absent), "{key}");
        }
        let identity = "{\"auths\":{\"r.example\":{\"auth\":\"\",\"identitytoken\":\"t\"}}}";
        let found = credentials(identity, "oci://r.example/a").unwrap();
        assert!(matches!(found, Credentials::Identity(_)));
        let none = Settings::default().credentials(&"oci://r.example/a".parse().unwrap());
        assert!(matches!(none, Ok(Credentials::Absent)));
    }

    #[test]
    fn empty_helper_names_leave_the_entry_in_auths() {
        let auth = STANDARD.encode("ann:pass");
        let auths = format!("\"auths\":{{\"R.example\":{{\"auth\":\"{auth}\"}}}}");
        for more in [
            "\"credHelpers\":{\"r.example\":\"\"}",
            "\"credsStore\":\"\"",
        ] {
            let found = credentials(&format!("{{{auths},{more}}}"), "oci://r.example/a");
            assert!(matches!(found, Ok(Credentials::Password(..))), "{more}");
            let none = credentials(&format!("{{{more}}}"), "oci://r.example/a");
            assert!(matches!(none, Ok(Credentials::Absent)), "{more}");
        }
    }

    #[test]
    fn errors_and_debug_have_no_secret() {
        let secret = "s3cret";
        for config in [
            format!("{{\"auths\":{{\"r.example\":{{\"auth\":\"{secret}\"}}}}}}"),
            format!("{{\"auths\":{{\"r.example\":{{\"auth\":\"{secret}\"}}"),
            format!("{{\"auths\":{{\"r.example\":\"{secret}\"}}}}"),
            format!("{{\"credHelpers\":{{\"r.example\":\"../{secret}\"}}}}"),
        ] {
            let error = credentials(&config, "oci://r.example/a").unwrap_err();
            assert!(!error.contains(secret), "{error}");
        }
        let token = Credentials::Token(Zeroizing::new(secret.to_owned()));
        assert!(!format!("{token:?}").contains(secret));
    }

    #[test]
    fn a_token_file_has_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let settings = Settings {
            token_file: Some(file.clone()),
            ..Settings::default()
        };
        let address = "oci://r.example/a".parse().unwrap();
        assert!(settings.credentials(&address).is_err(), "missing");
        for (text, good) in [
            ("abc\n", true),
            ("", false),
            ("a\nb", false),
            ("a b", false),
        ] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(settings.credentials(&address).is_ok(), good, "{text:?}");
        }
    }

    #[test]
    fn docker_configuration_is_in_its_folder() {
        let of = |config: Option<&str>, home: Option<&str>| {
            Settings::docker_folder(config.map(Into::into), home.map(Into::into))
        };
        assert_eq!(of(Some("/c"), Some("/h")), Some("/c".into()));
        assert_eq!(of(Some(""), Some("/h")), Some("/h/.docker".into()));
        assert_eq!(of(None, None), None);
    }
}
