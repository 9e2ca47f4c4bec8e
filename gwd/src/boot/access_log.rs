//! Access log options: destination, and rotation of the file.

use anyhow::{bail, ensure};

use super::bounds::size;
use super::options::RunOptions;
use crate::node::{AccessLog, Rotation};

/// Minimum of `--access-log-size`, so that files do not rotate before anyone can read them: 64 KiB.
const SIZE_MIN: u64 = 64 << 10;
/// Default number of rotated files to keep.
const KEEP: u32 = 5;

/// Access log settings from the command line, otherwise from the options file.
///
/// # Errors
/// If an option is invalid. The error names the option and the reason.
pub(super) fn of(ours: &RunOptions, file: &RunOptions) -> anyhow::Result<AccessLog> {
    let sink = ours.access_log.as_ref().or(file.access_log.as_ref());
    let max_bytes = ours.access_log_size.as_ref();
    let max_bytes = max_bytes.or(file.access_log_size.as_ref());
    let max_bytes = max_bytes
        .map(|text| size("--access-log-size", text))
        .transpose()?;
    let keep = ours.access_log_keep.or(file.access_log_keep);
    let path = match sink.map(String::as_str) {
        None | Some("off") => None,
        Some("stdout") if max_bytes.is_none() && keep.is_none() => return Ok(AccessLog::Stdout),
        Some("stdout") => None,
        Some(path) => Some(path),
    };
    let Some(max_bytes) = max_bytes else {
        if keep.is_some() {
            bail!("--access-log-keep needs --access-log-size");
        }
        return Ok(path.map_or(AccessLog::Off, |path| AccessLog::File(path.into())));
    };
    let Some(path) = path else {
        bail!("--access-log-size: name the file with --access-log FILE");
    };
    ensure!(
        max_bytes >= SIZE_MIN,
        "--access-log-size: write a size of at least 64KiB"
    );
    let keep = keep.unwrap_or(KEEP);
    ensure!(keep > 0, "--access-log-keep: at least 1");
    Ok(AccessLog::Rotated(
        path.into(),
        Rotation { max_bytes, keep },
    ))
}
