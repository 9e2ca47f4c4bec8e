//! Values of options: output formats, durations, addresses of the admin interface, and files.

use std::path::Path;

use anyhow::Context as _;
use clap::ValueEnum;

use crate::admin::Interface;

/// Default address of the admin interface.
const ADMIN: &str = "127.0.0.1:9901";
/// Maximum length of a configuration or token file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Output format of results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    #[default]
    Human,
    Json,
}

/// Invalid or missing option, with the reason.
#[derive(Debug)]
pub(super) enum OptionsError {
    Usage(String),
    Input(String),
}

/// Reads a configuration or token file.
pub(super) fn read_text(path: &Path) -> std::io::Result<String> {
    let bytes = crate::runtime::files::read_file(path, FILE_BYTES_MAX)?;
    String::from_utf8(bytes).map_err(|_| std::io::Error::other("it is not UTF-8 text"))
}

/// Parses the address of the admin interface. `None`: the default address.
pub(super) fn interface(text: Option<&str>) -> anyhow::Result<Interface> {
    let text = text.unwrap_or(ADMIN);
    if let Some(path) = text.strip_prefix("unix:") {
        return Ok(Interface::Unix(path.into()));
    }
    let address = text.strip_prefix("http://").unwrap_or(text);
    let address = address
        .parse()
        .with_context(|| format!("--admin: `{text}` is neither IP:PORT nor unix:PATH"))?;
    Ok(Interface::Tcp(address))
}

/// Parses durations such as `500ms`, `5s` and `2m`; a bare number counts seconds.
pub(super) fn duration(
    option: &str,
    text: Option<String>,
    default_s: u64,
) -> anyhow::Result<std::time::Duration> {
    let Some(text) = text else {
        return Ok(std::time::Duration::from_secs(default_s));
    };
    let (number, unit_ms) = if let Some(number) = text.strip_suffix("ms") {
        (number, 1)
    } else if let Some(number) = text.strip_suffix('s') {
        (number, 1_000)
    } else if let Some(number) = text.strip_suffix('m') {
        (number, 60_000)
    } else {
        (text.as_str(), 1_000)
    };
    let number: u64 = number
        .parse()
        .with_context(|| format!("{option}: `{text}` is not a duration like `5s`"))?;
    Ok(std::time::Duration::from_millis(
        number.saturating_mul(unit_ms),
    ))
}
