//! Private keys, loaded from a file or an environment variable. Messages never contain any part of
//! a key.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use bundle::keys::PrivateKey;
use zeroize::Zeroizing;

use model::exit::{Exit, Failure};

/// Private key, with a warning if it is stored unsafely.
pub struct Loaded {
    /// The private key.
    pub key: PrivateKey,
    /// Warning if other users can read the key file. `None` if only its owner can.
    pub warning: Option<String>,
}

/// Loads the private key from `FILE` or `env:NAME`.
///
/// # Errors
/// Returns an input error if the key is missing or not a P-256 key in PKCS#8 PEM.
pub fn load(text: &str) -> anyhow::Result<Loaded> {
    let failed =
        |why: String| Failure::new(Exit::INPUT, "bad-key", format!("the key `{text}`: {why}"));
    if let Some(name) = text.strip_prefix("env:") {
        let pem = std::env::var(name).map(Zeroizing::new).map_err(|_| {
            failed("there is no such variable in the environment, or it is not UTF-8".to_owned())
        })?;
        return Ok(Loaded {
            key: PrivateKey::from_pem(&pem).map_err(|refused| failed(refused.to_string()))?,
            warning: None,
        });
    }
    let path = Path::new(text);
    let pem = std::fs::read_to_string(path).map(Zeroizing::new);
    let pem = pem.map_err(|error| failed(error.to_string()))?;
    let key = PrivateKey::from_pem(&pem).map_err(|refused| failed(refused.to_string()))?;
    let mode = std::fs::metadata(path).map(|data| data.permissions().mode());
    let open = mode.is_ok_and(|mode| mode & 0o077 != 0);
    let warning = open.then(|| {
        format!("warning: others on this machine can read `{text}`; run `chmod 600 {text}`")
    });
    Ok(Loaded { key, warning })
}
