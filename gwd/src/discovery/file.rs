//! Hosts from a file that another program writes and replaces:
//!
//! ```json
//! {"targets": [{"address": "10.0.0.7:8080", "weight": 2, "zone": "east"}]}
//! ```
//!
//! The path is checked periodically, so that the file may be replaced in any way: by a rename, by
//! changing a link to a parent folder (`..data`), or in place. A file that cannot be read or parsed
//! changes nothing. Error messages do not quote the file's content, because the configured path may
//! be wrong and name a confidential file.

use std::fs::Metadata;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use crate::discovery::source::{Answer, DiscoveredHost, HOSTS_MAX};
use crate::runtime::files::read_file;

/// Maximum length of a file with hosts, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Maximum weight of a target, as in gateway.yaml.
const WEIGHT_MAX: u32 = 1_000_000;

/// File metadata that shows a change without reading the content: device, inode, length, and change
/// time in seconds and nanoseconds.
pub(crate) type Stamp = (u64, u64, u64, i64, i64);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TargetsFile {
    targets: Vec<Target>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Target {
    address: SocketAddr,
    #[serde(default = "one")]
    weight: u32,
    zone: Option<String>,
}

const fn one() -> u32 {
    1
}

/// Reads the metadata by which a change of a file is detected. `None` if the file does not exist.
pub(crate) fn stamp(path: &Path) -> Option<Stamp> {
    let stamp = |file: Metadata| {
        (
            file.dev(),
            file.ino(),
            file.len(),
            file.ctime(),
            file.ctime_nsec(),
        )
    };
    std::fs::metadata(path).ok().map(stamp)
}

/// Reads a file with hosts and parses it.
pub(crate) fn read(path: &Path) -> Answer {
    let bytes = read_file(path, FILE_BYTES_MAX).map_err(|error| error.to_string());
    match bytes.and_then(|bytes| places(&bytes)) {
        Ok(places) => Answer::Found {
            places,
            ttl_ms: u64::MAX,
        },
        Err(why) => Answer::Failed { why },
    }
}

/// Parses the hosts in a file's content.
///
/// # Errors
/// If the content is invalid. The error states position and reason, without quoting the content.
pub fn places(bytes: &[u8]) -> Result<Vec<DiscoveredHost>, String> {
    let written: TargetsFile = serde_json::from_slice(bytes).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let what = match error.classify() {
            serde_json::error::Category::Data => {
                "it is not `{\"targets\": [{\"address\": \"IP:PORT\", \"weight\": 1, \"zone\": \"…\"}]}`"
            }
            serde_json::error::Category::Eof => "it is truncated",
            serde_json::error::Category::Syntax | serde_json::error::Category::Io => {
                "it is not JSON"
            }
        };
        format!("{what} (line {line}, column {column})")
    })?;
    if written.targets.len() > HOSTS_MAX {
        let count = written.targets.len();
        return Err(format!("it has {count} targets, more than {HOSTS_MAX}"));
    }
    let place = |(at, target): (usize, Target)| {
        if target.address.port() == 0 || target.address.ip().is_unspecified() {
            return Err(format!("the address of target {at} cannot be used"));
        }
        if target.weight > WEIGHT_MAX {
            return Err(format!("the weight of target {at} is above {WEIGHT_MAX}"));
        }
        Ok(DiscoveredHost {
            priority: 0,
            address: target.address,
            weight: target.weight,
            zone: target.zone.map(Arc::from),
        })
    };
    written.targets.into_iter().enumerate().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_have_an_address_and_optional_weight_zone() {
        let text = r#"{"targets": [{"address": "10.0.0.7:80", "weight": 0, "zone": "east"},
                                   {"address": "[::1]:8080"}]}"#;
        let places = places(text.as_bytes()).unwrap();
        let parsed: Vec<_> = places
            .iter()
            .map(|one| (one.address.to_string(), one.weight, one.zone.as_deref()))
            .collect();
        let expected = [
            ("10.0.0.7:80".to_owned(), 0, Some("east")),
            ("[::1]:8080".to_owned(), 1, None),
        ];
        assert_eq!(parsed, expected);
        assert_eq!(super::places(br#"{"targets": []}"#), Ok(Vec::new()));
    }

    #[test]
    fn errors_in_a_host_file_do_not_quote_its_content() {
        for (text, why) in [
            ("", "it is truncated (line 1, column 0)"),
            ("{\"targets\": [", "it is truncated"),
            ("hunter2", "it is not JSON (line 1, column 1)"),
            ("{\"hunter2\": 1}", "it is not `{\"targets\""),
            (
                "{\"targets\": [{\"address\": \"hunter2\"}]}",
                "it is not `{",
            ),
            (
                "{\"targets\": [{\"address\": \"hunter2:80\"}]}",
                "it is not `{",
            ),
            (
                "{\"targets\": [{\"address\": \"10.0.0.1:0\"}]}",
                "the address of target 0 cannot be used",
            ),
            (
                "{\"targets\": [{\"address\": \"0.0.0.0:80\"}]}",
                "the address of target 0 cannot be used",
            ),
            (
                "{\"targets\": [{\"address\": \"10.0.0.1:80\", \"weight\": 1000001}]}",
                "the weight of target 0 is above 1000000",
            ),
            (
                "{\"targets\": [{\"address\": \"10.0.0.1:80\", \"weight\": -1}]}",
                "it is not `{",
            ),
        ] {
            let error = places(text.as_bytes()).unwrap_err();
            assert!(error.starts_with(why), "{text}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        let many = vec!["{\"address\": \"10.0.0.1:80\"}"; 1_025].join(",");
        let many = places(format!("{{\"targets\": [{many}]}}").as_bytes());
        assert_eq!(many.unwrap_err(), "it has 1025 targets, more than 1024");
    }
}
