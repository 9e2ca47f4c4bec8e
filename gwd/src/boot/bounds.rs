//! Limits of the process, as configured or derived from its available memory and file descriptors.

use anyhow::{Context as _, bail};

use super::options::RunOptions;
use crate::limits::budget::{HANDSHAKE_BYTES, HTTP2_BYTES};
use crate::limits::descriptors;
use crate::limits::measure;
use crate::node::Bounds;

/// Minimum memory limit: 64 MiB, because gwd itself needs a part of it.
const MEMORY_BYTES_MIN: u64 = 64 << 20;
/// Estimated memory of one idle connection in bytes, including the kernel's memory.
const BYTES_PER_CONNECTION: u64 = 8 << 10;
/// Upper bound of the default for connections per client address, so that other addresses can still
/// connect.
const PER_ADDRESS_MAX: u32 = 2_500;
/// Maximum concurrent TLS handshakes by default; more would not finish sooner.
const HANDSHAKES_MAX: u64 = 512;
/// Estimated memory of one request, in bytes.
const BYTES_PER_REQUEST: u64 = 64 << 10;

/// Limits from the command line, otherwise from the options file, otherwise derived from the
/// system.
///
/// # Errors
/// If an option is invalid. The error names the option and the reason.
pub(super) fn of(ours: &RunOptions, file: &RunOptions) -> anyhow::Result<Bounds> {
    let memory = match ours.memory.as_ref().or(file.memory.as_ref()) {
        Some(text) => Some(size("--memory", text)?),
        None => measure::limit(),
    };
    if memory.is_some_and(|bytes| bytes < MEMORY_BYTES_MIN) && ours.memory.is_some() {
        bail!("--memory: write 64MiB or more; gwd itself needs a part of it");
    }
    let connections = ours.connections.or(file.connections);
    let per_address = ours
        .connections_per_address
        .or(file.connections_per_address);
    let requests = ours.requests.or(file.requests);
    for (option, number) in [
        ("--connections", connections),
        ("--connections-per-address", per_address.map(u64::from)),
        ("--requests", requests),
    ] {
        if number == Some(0) {
            bail!("{option}: at least 1");
        }
    }
    let by_memory = |each: u64| memory.map_or(u64::MAX, |bytes| (bytes / each).max(1));
    let descriptors = descriptors::possible().saturating_sub(descriptors::KEPT) / 4 * 3;
    let connections =
        connections.unwrap_or_else(|| descriptors.min(by_memory(BYTES_PER_CONNECTION)).max(1));
    // The active connections of one address may use at most a quarter of the memory limit, whatever
    // their protocol.
    let quarter = (connections / 4).min(by_memory(4 * HTTP2_BYTES));
    let quarter = u32::try_from(quarter).unwrap_or(u32::MAX);
    Ok(Bounds {
        connections,
        connections_per_address: per_address.unwrap_or(quarter.clamp(1, PER_ADDRESS_MAX)),
        requests: requests.unwrap_or_else(|| by_memory(BYTES_PER_REQUEST)),
        // Handshakes may use at most an eighth of the memory limit.
        handshakes: by_memory(8 * HANDSHAKE_BYTES).min(HANDSHAKES_MAX),
        memory_bytes: memory.unwrap_or(u64::MAX),
    })
}

/// Parses sizes such as `512MiB`, `2GiB` and `300MB`; a bare number counts bytes.
pub(super) fn size(option: &str, text: &str) -> anyhow::Result<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" => Some(1),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        "KB" => Some(1_000),
        "MB" => Some(1_000_000),
        "GB" => Some(1_000_000_000),
        _ => None,
    };
    let number: Option<u64> = digits.parse().ok();
    unit.zip(number)
        .and_then(|(unit, number)| number.checked_mul(unit))
        .with_context(|| format!("{option}: `{text}` is not a size like `512MiB`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_of_one_address_have_a_default() {
        let limit = |connections, per_address| {
            let mut ours = RunOptions::default();
            ours.memory = Some("16GiB".to_owned());
            ours.connections = Some(connections);
            ours.connections_per_address = per_address;
            let bounds = of(&ours, &RunOptions::default()).unwrap();
            bounds.connections_per_address
        };
        assert_eq!(limit(1_000, None), 250);
        assert_eq!(limit(100_000, None), 2_500);
        assert_eq!(limit(1, None), 1);
        assert_eq!(limit(1_000, Some(7)), 7);
    }

    #[test]
    fn connections_of_one_address_fit_into_the_memory() {
        let of_memory = |memory: &str| {
            let mut ours = RunOptions::default();
            ours.memory = Some(memory.to_owned());
            ours.connections = Some(1_000_000);
            let bounds = of(&ours, &RunOptions::default()).unwrap();
            bounds.connections_per_address
        };
        // A quarter of 128 MiB, divided by 96 KiB per connection.
        assert_eq!(of_memory("128MiB"), 341);
        assert_eq!(of_memory("512MiB"), 1_365);
        assert_eq!(of_memory("4GiB"), 2_500);
    }
}
