//! Options of a store in a registry.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use registry::{Address, Settings};

use crate::control::RegistryPlan;

/// Shortest interval of polls: 100ms.
const POLL_MIN: Duration = Duration::from_millis(100);
/// Interval of polls, if the option is not set: 15s.
const POLL: Duration = Duration::from_secs(15);

/// Values of the options for registries.
pub(super) struct Given {
    pub(super) poll: Option<Duration>,
    pub(super) config: Option<PathBuf>,
    pub(super) token_file: Option<PathBuf>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) plain_http: Option<bool>,
}

/// Registry of `--store`. `None`: the store is a folder.
///
/// # Errors
/// If `--store` is a URL but not the address of a repository, if an option has no effect, or if the
/// poll interval is too short.
pub(super) fn of(store: &str, given: Given) -> anyhow::Result<Option<RegistryPlan>> {
    let Given {
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
        let any = poll.is_some()
            || config.is_some()
            || token_file.is_some()
            || ca_file.is_some()
            || plain_http == Some(true);
        if any {
            bail!("--registry-…: the store is a folder and has no registry");
        }
        return Ok(None);
    }
    // The text may contain a password by mistake, so do not repeat it.
    let address = store
        .parse::<Address>()
        .map_err(|why| anyhow::anyhow!("--store: {why}"))?;
    let poll = poll.unwrap_or(POLL);
    if poll < POLL_MIN {
        bail!("--registry-poll: at least 100ms");
    }
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    let usual = || Settings::docker_folder(variable("DOCKER_CONFIG"), variable("HOME"));
    Ok(Some(RegistryPlan {
        address,
        settings: Settings {
            docker: config.or_else(usual),
            token_file,
            ca_file,
            plain_http: plain_http.unwrap_or(false),
        },
        poll,
    }))
}
