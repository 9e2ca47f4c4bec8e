//! Release rules: gates, acknowledgements, lint levels, invariants, the channel, the store and the
//! trust file. Release rules are part of sources and source artifacts, but not of bundles.

use std::collections::{BTreeMap, BTreeSet};

use bundle::digest::Digest;
use bundle::rollout::VersionChoice;
use bundle::statement::predicate::{Guard, Step};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sources::project::TRUST_FILE;

use crate::Api;
use crate::acknowledge::Acknowledgement;
use crate::compile::Compiled;
use crate::selection::Selection;
use crate::settings::Settings;

/// Name of the gate for changes of release rules.
pub const GATE: &str = "rules";

/// Id of the change that is reported if the rules of the old version are unknown.
pub const UNKNOWN: &str = "rules-unknown";

/// Settings of a project for releases: gates, acknowledgements, lint levels, channel, store, steps
/// and trust file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Gates that gateway.yaml enables.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub gates: BTreeSet<String>,
    /// Path of the acknowledgement file. `None`: gateway.yaml names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledge: Option<String>,
    /// Levels of lint rules, by rule name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lint: BTreeMap<String, String>,
    /// Levels of checks of client contracts that gateway.yaml sets, by id of the check.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub break_levels: BTreeMap<String, String>,
    /// Notice periods of deprecations in days by API. The key `*` is for all other APIs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub notice_days: BTreeMap<String, u32>,
    /// Lint rules that `x-gateway-lint` silences, by file and JSON pointer of the node. `None` for
    /// a source artifact of an older gwc that did not record them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silenced: Option<BTreeMap<String, String>>,
    /// Name of the environment. Empty for the project without an environment. `None` for a source
    /// artifact of an older gwc that did not record it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Key `release.channel`.
    #[serde(default)]
    pub channel: String,
    /// Key `release.store`.
    #[serde(default)]
    pub store: String,
    /// Steps of progressive releases (`release.steps`). Empty: no progressive releases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// Choice of the version for a request (`release.sticky`, `release.testers`).
    #[serde(default, skip_serializing_if = "VersionChoice::is_default")]
    pub choice: VersionChoice,
    /// Guard of progressive releases (`release.guard`). `None`: no guard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<Guard>,
    /// Freeze windows (`release.freeze`), each as one line.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub freeze: BTreeSet<String>,
    /// Digests of the parts of the trust file, by name of the part.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub trust: BTreeMap<String, String>,
    /// Numbers in the trust file that may only grow, by channel and kind: minimum serials, which
    /// releases raise, and required approvals.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub floors: BTreeMap<String, u64>,
    /// Invariants: selection and requirements as one line, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub invariants: BTreeMap<String, String>,
    /// Operations that invariants select by names. `None` for a source artifact of an older gwc
    /// that did not record them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection: Option<Selection>,
    /// Patterns of the test files (`tests`), sorted. `None` for a source artifact of an older gwc
    /// that did not record them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<BTreeSet<String>>,
    /// Digests of the checks of each test of the project, by `FILE: NAME`. Empty for a source
    /// artifact of an older gwc that did not record them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub test_checks: BTreeMap<String, BTreeSet<String>>,
    /// Entries of the acknowledgement file. `None` for a source artifact. New entries are thus
    /// reported when a branch is compared before its merge, and not again at a release with several
    /// merges.
    #[serde(skip)]
    pub acknowledged: Option<Vec<Acknowledgement>>,
}

impl Rules {
    /// Store of the releases without `.` segments, empty segments and a final slash: `./releases/`
    /// and `releases` are one folder.
    #[must_use]
    pub fn store(&self) -> String {
        if self.store.contains("://") {
            return self.store.trim_end_matches('/').to_owned();
        }
        let segments = self.store.split('/');
        let segments = segments.filter(|one| !matches!(*one, "" | "."));
        let root = if self.store.starts_with('/') { "/" } else { "" };
        format!("{root}{}", segments.collect::<Vec<_>>().join("/"))
    }

    /// Collects the rules of a compiled project.
    #[must_use]
    pub fn of(compiled: &Compiled, settings: &Settings, apis: &[Api]) -> Self {
        let level = |level: &Option<diag::Level>| match level {
            Some(level) => level.name().to_owned(),
            None => "off".to_owned(),
        };
        // Ignore a trust file that Git does not track, because plans print its values.
        let bytes = compiled.files.tracked_bytes(TRUST_FILE);
        let (trust, floors) = bytes.map_or_else(Default::default, |bytes| trust(&bytes));
        Self {
            gates: settings.gates.iter().cloned().collect(),
            acknowledge: settings.acknowledge.as_ref().map(|file| file.value.clone()),
            lint: settings
                .lint
                .iter()
                .map(|(name, (wanted, _))| (name.clone(), level(wanted)))
                .collect(),
            break_levels: settings
                .break_levels
                .iter()
                .map(|(id, (level, _))| (id.clone(), level.name().to_owned()))
                .collect(),
            notice_days: settings.notice_days.clone(),
            silenced: Some(openapi::lint::allow::silenced(&compiled.files)),
            environment: Some(settings.environment.clone().unwrap_or_default()),
            channel: settings.channel.clone(),
            store: settings.store.clone(),
            steps: settings.release_steps.clone(),
            choice: settings.release_choice.clone(),
            guard: settings.release_guard.clone(),
            freeze: settings
                .release_freeze
                .iter()
                .map(ToString::to_string)
                .collect(),
            trust,
            floors,
            invariants: settings
                .invariants
                .all
                .iter()
                .map(|one| (one.name.clone(), one.text.clone()))
                .collect(),
            selection: Some(Selection::of(settings, apis)),
            tests: Some(
                settings
                    .tests
                    .patterns
                    .iter()
                    .map(|one| one.value.clone())
                    .collect(),
            ),
            test_checks: settings
                .tests
                .cases
                .iter()
                .map(|case| {
                    let name = format!("{}: {}", case.file, case.name.value);
                    (name, case.checks())
                })
                .collect(),
            acknowledged: Some(settings.acknowledgements.clone()),
        }
    }

    /// Environment of the rules `before` of the old version, if these rules have another
    /// environment. Empty: the project without an environment. `None` also if a source artifact
    /// does not record its environment.
    #[must_use]
    pub fn replaced_environment<'r>(&self, before: &'r Self) -> Option<&'r str> {
        let was = before.environment.as_deref()?;
        let is = self.environment.as_deref()?;
        (was != is).then_some(was)
    }

    /// Notice period of deprecations of an API, in days. `None`: no notice is required.
    #[must_use]
    pub fn notice_days(&self, api: &str) -> Option<u32> {
        let own = self.notice_days.get(api);
        own.or_else(|| self.notice_days.get("*")).copied()
    }

    /// Gates that apply to changes of these rules. Includes [`GATE`] if any gate is enabled.
    #[must_use]
    pub fn rule_gates(&self) -> Vec<String> {
        let mut gates: Vec<String> = self.gates.iter().cloned().collect();
        if !gates.is_empty() && !self.gates.contains(GATE) {
            gates.push(GATE.to_owned());
        }
        gates
    }
}

/// Splits a trust file into parts (each key, and the other settings) and the numbers that may only
/// grow (minimum serials, required approvals). A file that cannot be parsed is one part.
fn trust(bytes: &[u8]) -> (BTreeMap<String, String>, BTreeMap<String, u64>) {
    let mut parts = BTreeMap::new();
    let mut floors = BTreeMap::new();
    let Ok(Value::Object(root)) = serde_json::from_slice::<Value>(bytes) else {
        parts.insert("file".to_owned(), Digest::of(bytes).to_string());
        return (parts, floors);
    };
    for (name, value) in root {
        match (name.as_str(), value) {
            ("$schema", _) => {}
            ("keys", Value::Array(keys)) => {
                for mut key in keys {
                    let id = key.get("id").and_then(Value::as_str).unwrap_or("none");
                    let name = format!("key {id}");
                    // The digest covers the public key, which is left out of the text.
                    let digest = Digest::of(key.to_string().as_bytes());
                    if let Some(key) = key.as_object_mut() {
                        key.retain(|name, _| name != "id" && name != "spki");
                    }
                    let text = format!("{key} ({})", digest.hex());
                    let known: &mut String = parts.entry(name).or_default();
                    known.push_str(&text);
                }
            }
            ("channels", Value::Object(channels)) => {
                for (channel, kinds) in channels {
                    for (kind, value) in kinds.as_object().into_iter().flatten() {
                        if matches!(kind.as_str(), "approvals_after" | "accepted_until") {
                            let name = format!("{kind} of channel {channel}");
                            parts.insert(name, value.to_string());
                            continue;
                        }
                        let name = match kind.as_str() {
                            "approvals" => format!("approvals of channel {channel}"),
                            _ => format!("floor {channel} {kind}"),
                        };
                        floors.insert(name, value.as_u64().unwrap_or_default());
                    }
                }
            }
            (name, value) => {
                parts.insert(name.to_owned(), value.to_string());
            }
        }
    }
    (parts, floors)
}
