//! Tests of plans between real revisions of real documents (corpus/history). An independent program
//! has extracted facts from their texts. Every pair must have a plan that lists the changed routes
//! exactly, and that misses or contradicts no fact about access.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::Path;

use flate2::read::GzDecoder;
use plan::{self, Class, Plan, Section, Side};
use serde_json::Value;

use prerequisite::corpus;

/// Gateway settings for a document.
const GATEWAY: &str = "version: 1
name: history
apis: {a: {path: api.json}}
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}
defaults: {upstream: u, security: upstream}
lint: {malformed-pattern: warn, array-without-items: warn, undeclared-path-parameter: warn}
";

#[test]
fn oasdiff_findings_of_real_revisions_are_reported() {
    let folder = corpus::folder();
    let mut pairs: Vec<_> = ["discord", "stripe", "digitalocean"]
        .iter()
        .flat_map(|name| {
            let folder = folder.join("history").join(name);
            let files = std::fs::read_dir(&folder).expect("the folder of a document");
            files
                .filter_map(|file| {
                    let path = file.expect("a file").path();
                    let name = path.file_name()?.to_str()?.strip_suffix("-facts.json")?;
                    Some(folder.join(name))
                })
                .collect::<Vec<_>>()
        })
        .collect();
    pairs.sort();
    let least = if corpus::is_whole() { 40 } else { 8 };
    assert!(pairs.len() >= least, "{pairs:?}");
    let mut found = BTreeMap::new();
    std::thread::scope(|scope| {
        let half = pairs.len() / 2;
        let running: Vec<_> = [&pairs[..half], &pairs[half..]]
            .map(|pairs| scope.spawn(|| pairs.iter().map(|pair| judge(pair)).collect::<Vec<_>>()))
            .into();
        for thread in running {
            for counts in thread.join().expect("no panic") {
                for (fact, count) in counts {
                    *found.entry(fact).or_insert(0) += count;
                }
            }
        }
    });
    println!("{} pairs: {found:?}", pairs.len());
    for fact in [
        "became_anonymous",
        "lost_scope",
        "gained_alternative",
        "stricter",
        "operations_added_anonymous",
    ] {
        assert!(found[fact] > 10, "{fact}: {found:?}");
    }
}

/// Checks one pair of revisions. Returns the number of its facts by kind.
fn judge(pair: &Path) -> BTreeMap<&'static str, usize> {
    let shown = pair.display().to_string();
    let beside = |end: &str| {
        pair.with_file_name(format!(
            "{}-{end}",
            pair.file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default()
        ))
    };
    let unpacked = |end: &str| {
        let file = std::fs::File::open(beside(end)).expect("a document");
        let mut text = String::new();
        GzDecoder::new(file)
            .read_to_string(&mut text)
            .expect("gzip of UTF-8");
        text
    };
    let facts = std::fs::read_to_string(beside("facts.json")).expect("facts");
    let facts: Value = serde_json::from_str(&facts).expect("JSON");
    let facts = &facts["facts"];
    let parsed = |end: &str| -> Value { serde_json::from_str(&unpacked(end)).expect("JSON") };
    let mut documents = [parsed("base.json.gz"), parsed("revision.json.gz")];
    let repeated = without_repeated_ids(&mut documents);
    let [old, new] = documents.map(|document| {
        crate::side(&[
            ("gateway.yaml", GATEWAY),
            ("api.json", &document.to_string()),
        ])
    });
    let plan = plan::compare(Some(&old), &new).expect("both sides build");
    assert_eq!(plan.bugs, Vec::<String>::new(), "{shown}");
    let reported = OperationLines::new(&plan, &old, &new);

    // The plan must list exactly the changed routes. It lists an added route as moved if another
    // operation had it before, and a removed route as moved if another operation has it now.
    let listed = |key: &str| -> BTreeSet<String> {
        let list = facts[key].as_array();
        list.into_iter()
            .flatten()
            .map(|op| erased(op.as_str().unwrap_or_default()))
            .collect()
    };
    let (added, removed) = (listed("operations_added"), listed("operations_removed"));
    let renamed = facts["operation_id_changed"]
        .as_array()
        .into_iter()
        .flatten();
    let known = |id: &Value| !id.as_str().is_some_and(|id| repeated.contains(id));
    let renamed: BTreeSet<String> = renamed
        .filter(|one| known(&one["base"]) && known(&one["revision"]))
        .map(|one| erased(one["op"].as_str().unwrap_or_default()))
        .collect();
    let routing = |class| reported.of(Section::Routing, &[class]);
    let from: BTreeSet<&String> = reported.moves().map(|(old, _)| old).collect();
    let to: BTreeSet<&String> = reported.moves().map(|(_, new)| new).collect();
    let served = routing(Class::Added);
    assert!(served.is_subset(&added), "{shown}: {served:?} {added:?}");
    assert!(
        added
            .iter()
            .all(|one| served.contains(one) || to.contains(one)),
        "{shown}: {added:?}"
    );
    let gone = routing(Class::Removed);
    assert!(gone.is_subset(&removed), "{shown}: {gone:?} {removed:?}");
    assert!(
        removed
            .iter()
            .all(|one| gone.contains(one) || from.contains(one)),
        "{shown}: {removed:?}"
    );
    assert!(
        renamed.iter().all(|one| to.contains(one)),
        "{shown}: {renamed:?} {to:?}"
    );
    for (old, new) in reported.moves() {
        let same = old == new && (renamed.contains(new) || !repeated.is_empty());
        let captured = added.contains(new) || removed.contains(old);
        assert!(same || captured, "{shown}: {old} -> {new}");
    }

    // Operations whose access became wider, narrower, or both.
    let opened = reported.of(Section::Security, &[Class::Weaken, Class::Incomparable]);
    let closed = reported.of(Section::Security, &[Class::Strengthen, Class::Incomparable]);
    // With `security: upstream`, the upstream checks scopes, so a change of scopes has no access
    // class.
    let restated = reported.of(Section::Policy, &[Class::Changed]);
    let of_scopes = |fact: &str| !matches!(fact, "became_anonymous" | "became_authenticated");
    let mut counts = BTreeMap::new();
    for (fact, opens, closes) in [
        ("became_anonymous", true, false),
        ("lost_scope", true, false),
        ("lost_scheme", true, false),
        ("gained_alternative", true, false),
        ("became_authenticated", false, true),
        ("stricter", false, true),
        ("lost_alternative_or_tightened", false, true),
    ] {
        let records: Vec<&Value> = facts["security"][fact]
            .as_array()
            .into_iter()
            .flatten()
            .collect();
        for record in &records {
            let operation = erased(record["op"].as_str().unwrap_or_default());
            if record["same_by_definition"].as_bool() == Some(true) {
                let silent = !opened.contains(&operation) && !closed.contains(&operation);
                assert!(silent, "{shown}: {operation} is the same");
                continue;
            }
            let is_restated = of_scopes(fact) && restated.contains(&operation);
            assert!(
                !opens || is_restated || opened.contains(&operation),
                "{shown}: {fact} {operation}"
            );
            assert!(
                !closes || is_restated || closed.contains(&operation),
                "{shown}: {fact} {operation}"
            );
            if fact == "stricter" || fact == "became_authenticated" {
                assert!(
                    !opened.contains(&operation),
                    "{shown}: {operation} is called weaker"
                );
            }
        }
        *counts.entry(fact).or_insert(0) += records.len();
    }
    let anonymous = listed("operations_added_anonymous");
    assert!(opened.is_superset(&anonymous), "{shown}: {anonymous:?}");
    counts.insert("operations_added_anonymous", anonymous.len());
    counts.insert("operations_added", listed("operations_added").len());
    counts.insert("operations_removed", listed("operations_removed").len());
    counts
}

/// Removes each id that occurs twice in one of the documents from both documents. gwc would refuse
/// the few old documents that contain such ids.
fn without_repeated_ids(documents: &mut [Value; 2]) -> BTreeSet<String> {
    let mut repeated = BTreeSet::new();
    for document in &*documents {
        let mut seen = BTreeSet::new();
        let paths = document["paths"].as_object().into_iter().flatten();
        for operation in paths.flat_map(|(_, path)| path.as_object().into_iter().flatten()) {
            let id = operation.1["operationId"].as_str();
            repeated.extend(id.filter(|id| !seen.insert(*id)).map(str::to_owned));
        }
    }
    for document in documents {
        let paths = document["paths"].as_object_mut().into_iter().flatten();
        for (_, operation) in paths.flat_map(|(_, path)| path.as_object_mut().into_iter().flatten())
        {
            let id = operation["operationId"].as_str();
            if id.is_some_and(|id| repeated.contains(id)) {
                operation
                    .as_object_mut()
                    .map(|operation| operation.remove("operationId"));
            }
        }
    }
    repeated
}

/// Lines of a plan about operations, by method and path.
struct OperationLines<'p> {
    plan: &'p Plan,
    /// Operations (`METHOD PATH`) with this key in either version.
    paths: BTreeMap<String, BTreeSet<String>>,
}

impl<'p> OperationLines<'p> {
    fn new(plan: &'p Plan, old: &Side, new: &Side) -> Self {
        let mut paths: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for side in [old, new] {
            for api in &side.lowered.gateway.apis {
                for operation in &api.operations {
                    let path = erased(&format!("{} {}", operation.method, operation.template));
                    paths.entry(operation.key.clone()).or_default().insert(path);
                }
            }
        }
        Self { plan, paths }
    }

    fn of(&self, section: Section, classes: &[Class]) -> BTreeSet<String> {
        let changes = self
            .plan
            .changes
            .iter()
            .filter(|change| change.section == section && classes.contains(&change.class));
        let mut found = BTreeSet::new();
        for change in changes {
            match (&change.operation, section) {
                (Some(operation), Section::Routing) => {
                    found.insert(erased(&format!("{} {}", operation.method, operation.path)));
                }
                _ => found.extend(
                    change
                        .operations
                        .iter()
                        .flat_map(|key| &self.paths[key])
                        .cloned(),
                ),
            }
        }
        found
    }

    /// Pairs of operations between which requests moved: the operation before, and the operation
    /// after.
    fn moves(&self) -> impl Iterator<Item = (&String, &String)> {
        let of = |value: &Value| {
            let key = value.as_str();
            let key = key.map(|key| key.strip_suffix("@default").unwrap_or(key));
            let paths = key.and_then(|key| self.paths.get(key));
            paths.and_then(BTreeSet::first).expect("an operation")
        };
        let moved =
            |change: &&plan::Change| matches!(change.id, "owner-changed" | "operation-renamed");
        let changes = self.plan.changes.iter().filter(moved);
        changes.map(move |change| (of(&change.old), of(&change.new)))
    }
}

/// Replaces the names of parameters in `GET /a/{x}`, because they do not affect routing.
fn erased(operation: &str) -> String {
    let mut text = String::new();
    let mut depth = 0;
    for letter in operation.chars() {
        match letter {
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                text.push_str("{}");
            }
            _ if depth == 0 => text.push(letter),
            _ => {}
        }
    }
    text
}
