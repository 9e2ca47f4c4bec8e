//! Access log of a gateway under test, read while it grows.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use crate::wait;

/// Access log of a gateway: a file of JSON lines.
#[derive(Clone, Debug)]
pub struct AccessLog {
    path: PathBuf,
}

impl AccessLog {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Reads all complete lines. Each line must be JSON.
    #[must_use]
    pub fn lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.path).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let parse = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"))
        };
        whole.lines().map(parse).collect()
    }

    /// Waits until the log has a line for the request id.
    #[must_use]
    pub fn line(&self, request_id: &str) -> Value {
        wait::until(&format!("the access log has {request_id}"), || {
            let mut lines = self.lines().into_iter();
            lines.find(|line| line["request_id"] == request_id)
        })
    }

    /// Waits until the log has at least `count` lines. Returns the lines by request id.
    #[must_use]
    pub fn by_request(&self, count: usize) -> BTreeMap<String, Value> {
        let lines = wait::until(&format!("the access log has {count} lines"), || {
            let lines = self.lines();
            (lines.len() >= count).then_some(lines)
        });
        let with_id = lines.into_iter().filter_map(|line| {
            let id = line["request_id"].as_str()?.to_owned();
            Some((id, line))
        });
        with_id.collect()
    }
}
