//! Options of a store in a registry.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use registry::{Address, Settings};

use crate::control::{RegistryPlan, Source};

/// Shortest interval of polls: 100ms.
const POLL_MIN: Duration = Duration::from_millis(100);
/// Interval of polls, if the option is not set: 15s.
const POLL: Duration = Duration::from_secs(15);

/// Maximum number of further registries.
const FALLBACKS_MAX: usize = 8;

/// Values of the options for registries.
pub(super) struct Given {
    /// Addresses of further registries with copies of the repository.
    pub(super) fallbacks: Vec<String>,
    pub(super) poll: Option<Duration>,
    pub(super) config: Option<PathBuf>,
    pub(super) token_file: Option<PathBuf>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) plain_http: Option<bool>,
}

/// Registry of `--store`. `None`: the store is a folder.
///
/// # Errors
/// If `--store` is a URL but not the address of a repository, or if an option has no effect. Also
/// if the poll interval is too short, or if a further registry is no address or occurs twice.
pub(super) fn of(store: &str, given: Given) -> anyhow::Result<Option<RegistryPlan>> {
    let Given {
        fallbacks,
        poll,
        config,
        token_file,
        ca_file,
        plain_http,
    } = given;
    if !Address::is_one(store) {
        if store.contains("://") {
            bail!("--store: give a folder, or a registry as oci://HOST[:PORT]/REPOSITORY");
        }
        let any = !fallbacks.is_empty()
            || poll.is_some()
            || config.is_some()
            || token_file.is_some()
            || ca_file.is_some()
            || plain_http == Some(true);
        if any {
            bail!("--registry-…: the store is a folder and has no registry");
        }
        return Ok(None);
    }
    let poll = poll.unwrap_or(POLL);
    if poll < POLL_MIN {
        bail!("--registry-poll: at least 100ms");
    }
    if fallbacks.len() > FALLBACKS_MAX {
        bail!("--registry-fallback: at most {FALLBACKS_MAX} registries");
    }
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    let usual = || Settings::docker_folder(variable("DOCKER_CONFIG"), variable("HOME"));
    let settings = Settings {
        docker: config.or_else(usual),
        token_file,
        ca_file,
        plain_http: plain_http.unwrap_or(false),
        is_replaceable: !fallbacks.is_empty(),
    };
    let mut sources = vec![Source {
        address: address("--store", store)?,
        settings: settings.clone(),
    }];
    for text in &fallbacks {
        let address = address("--registry-fallback", text)?;
        if sources.iter().any(|source| source.address == address) {
            bail!("--registry-fallback: {address} is given twice");
        }
        sources.push(Source {
            address,
            // The token is meant for the registry of `--store` only.
            settings: Settings {
                token_file: None,
                ..settings.clone()
            },
        });
    }
    Ok(Some(RegistryPlan { sources, poll }))
}

/// Parses the address of a repository. The text may contain a password by mistake, so errors do not
/// repeat it.
fn address(option: &str, text: &str) -> anyhow::Result<Address> {
    text.parse::<Address>()
        .map_err(|why| anyhow::anyhow!("{option}: {why}"))
}
