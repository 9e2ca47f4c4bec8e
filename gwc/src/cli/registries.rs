//! Options for stores in registries. All commands have them.

use std::ffi::OsString;
use std::path::PathBuf;

use registry::Settings;

use crate::release::stores;

/// Credentials and certificates for a store at `oci://`.
#[derive(Debug, clap::Args)]
pub(super) struct RegistryOptions {
    /// Folder with docker's config.json, for credentials of registries [default: $DOCKER_CONFIG or
    /// ~/.docker]
    #[arg(
        long,
        global = true,
        env = "GWC_REGISTRY_CONFIG",
        value_name = "DIR",
        hide_short_help = true
    )]
    registry_config: Option<PathBuf>,
    /// File with a token for the registry, instead of docker's credentials
    #[arg(
        long,
        global = true,
        env = "GWC_REGISTRY_TOKEN_FILE",
        value_name = "FILE",
        hide_short_help = true
    )]
    registry_token_file: Option<PathBuf>,
    /// File with CA certificates in PEM for the registry, instead of the system's
    #[arg(
        long,
        global = true,
        env = "GWC_REGISTRY_CA_FILE",
        value_name = "FILE",
        hide_short_help = true
    )]
    registry_ca_file: Option<PathBuf>,
    /// Use HTTP instead of HTTPS for the registry
    #[arg(
        long,
        global = true,
        env = "GWC_REGISTRY_PLAIN_HTTP",
        hide_short_help = true
    )]
    registry_plain_http: bool,
}

impl RegistryOptions {
    /// Settings of the connections to registries.
    pub(super) fn settings(&self) -> Settings {
        let variable = |name| std::env::var_os(name).map(PathBuf::from);
        let usual = || Settings::docker_folder(variable("DOCKER_CONFIG"), variable("HOME"));
        Settings {
            docker: self.registry_config.clone().or_else(usual),
            token_file: self.registry_token_file.clone(),
            ca_file: self.registry_ca_file.clone(),
            plain_http: self.registry_plain_http,
            is_replaceable: false,
        }
    }
}

/// Environment variables that pass the registry options of this process to another gwc process.
pub(super) fn variables() -> Vec<(&'static str, OsString)> {
    let Some(settings) = stores::registries() else {
        return Vec::new();
    };
    let files = [
        ("GWC_REGISTRY_CONFIG", &settings.docker),
        ("GWC_REGISTRY_TOKEN_FILE", &settings.token_file),
        ("GWC_REGISTRY_CA_FILE", &settings.ca_file),
    ];
    let files = files.into_iter().filter_map(|(name, file)| {
        let file = file.as_ref()?;
        Some((name, file.clone().into_os_string()))
    });
    let mut all: Vec<_> = files.collect();
    if settings.plain_http {
        all.push(("GWC_REGISTRY_PLAIN_HTTP", OsString::from("true")));
    }
    all
}
