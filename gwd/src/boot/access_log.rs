//! Access log options: destination, rotation of the file, and sampling.

use anyhow::{bail, ensure};

use super::bounds::size;
use super::options::RunOptions;
use super::values::duration;
use crate::node::{AccessLog, LogSampling, Rotation};

/// Minimum of `--access-log-size`, so that files do not rotate before anyone can read them: 64 KiB.
const SIZE_MIN: u64 = 64 << 10;
/// Default number of rotated files to keep.
const KEEP: u32 = 5;
/// Default of `--access-log-slow`, in seconds.
const SLOW_S: u64 = 1;

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

/// Sampling of the access log from the command line, otherwise from the options file. `None`: the log
/// shows all requests. `has_log`: there is an access log, or its lines are exported.
///
/// # Errors
/// If an option is invalid. The error names the option and the reason.
pub(super) fn sampling(
    ours: &RunOptions,
    file: &RunOptions,
    has_log: bool,
) -> anyhow::Result<Option<LogSampling>> {
    let slow = ours
        .access_log_slow
        .clone()
        .or(file.access_log_slow.clone());
    let Some(ratio) = ours.access_log_sample.or(file.access_log_sample) else {
        ensure!(
            slow.is_none(),
            "--access-log-slow needs --access-log-sample"
        );
        return Ok(None);
    };
    ensure!(
        (0.0..=1.0).contains(&ratio),
        "--access-log-sample: `{ratio}` is not between 0 and 1"
    );
    ensure!(
        has_log,
        "--access-log-sample: there is no access log; name it with --access-log"
    );
    let slow = duration("--access-log-slow", slow, SLOW_S)?;
    Ok((ratio < 1.0).then_some(LogSampling { ratio, slow }))
}
