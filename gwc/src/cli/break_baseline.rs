//! Baseline of `gwc diff`: a file with known breaking changes, which `--fail-on break` ignores.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::replace::output;
use super::say;
use ::plan::Plan;
use model::exit::{Exit, Failure};

use crate::release::links;

/// Value of `schema` in a baseline file.
const SCHEMA: &str = "break-baseline/v1";

/// Options of a baseline.
#[derive(Debug, clap::Args)]
pub(super) struct BaselineOptions {
    /// With `--fail-on break`, ignore the breaks that this baseline file lists
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Write the present breaks and removed operations to this file as a baseline
    #[arg(long, value_name = "FILE")]
    write_baseline: Option<PathBuf>,
}

/// Entry of a baseline: a known breaking change.
struct Entry {
    fingerprint: String,
    /// Kind and operation of the change, for human readers.
    about: String,
}

impl BaselineOptions {
    /// Writes the baseline if `--write-baseline` is set. Returns the fingerprints of known changes.
    /// Prints a note about entries that match no change.
    pub(super) fn known(&self, plan: &Plan) -> anyhow::Result<Vec<String>> {
        if let Some(file) = &self.write_baseline {
            write(file, plan)?;
        }
        let Some(file) = self.baseline.as_ref().or(self.write_baseline.as_ref()) else {
            return Ok(Vec::new());
        };
        let entries = read(file)?;
        let all: BTreeSet<&str> = plan.changes.iter().map(|one| &*one.fingerprint).collect();
        for entry in &entries {
            if !all.contains(&*entry.fingerprint) {
                say::note(&format!(
                    "stale entry of the baseline: {}; write the file again",
                    diag::text::printable(&entry.about),
                ));
            }
        }
        Ok(entries.into_iter().map(|entry| entry.fingerprint).collect())
    }
}

fn write(file: &Path, plan: &Plan) -> Result<(), Failure> {
    if file.exists() {
        // Refuse to overwrite a file that is not a baseline.
        read(file)?;
    }
    let breaks = plan.changes.iter().filter(|one| one.class.trips("break"));
    let changes = breaks.map(|change| {
        json!({
            "fingerprint": change.fingerprint,
            "id": change.id,
            "operation": change.about(),
            "subject": change.subject,
        })
    });
    let baseline = json!({"schema": SCHEMA, "changes": changes.collect::<Vec<_>>()});
    let text = format!("{baseline:#}\n");
    output(file, text.as_bytes()).map_err(|error| failure(format!("{error:#}")))
}

fn read(file: &Path) -> Result<Vec<Entry>, Failure> {
    let shown = file.display();
    links::check(file).map_err(|error| failure(format!("{error:#}")))?;
    let text = std::fs::read_to_string(file)
        .map_err(|error| failure(format!("cannot read the baseline `{shown}`: {error}")))?;
    let document = serde_json::from_str::<Value>(&text).unwrap_or_default();
    let changes = document["changes"].as_array();
    let entry = |one: &Value| {
        let text = |key: &str| one[key].as_str().map(str::to_owned);
        Some(Entry {
            fingerprint: text("fingerprint")?,
            about: format!("{} {}", text("id")?, text("operation")?),
        })
    };
    changes
        .filter(|_| document["schema"] == SCHEMA)
        .and_then(|changes| changes.iter().map(entry).collect())
        .ok_or_else(|| {
            failure(format!(
                "`{shown}` is not a baseline of breaks; `gwc diff A B --write-baseline FILE` writes one"
            ))
        })
}

fn failure(message: String) -> Failure {
    Failure::new(Exit::INPUT, "baseline", message)
}
