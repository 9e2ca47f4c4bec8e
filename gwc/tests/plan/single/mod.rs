//! Tests of single edits at random positions of real documents. Plans must have exactly the
//! expected lines.
//!
//! A kind of edit prepares the old and the new version, and changes one of them. It derives the
//! expected lines only from the project's texts: from the operations, their requirements, and
//! overlapping templates. The engines of both versions check every witness again.

#![allow(
    clippy::needless_pass_by_value,
    reason = "`json!` values are given where they are written"
)]

mod access;
mod declared;
mod numbers;
mod project;
mod routing;
mod transport;
mod witness;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use plan::{self, Plan, Section};

use crate::dice::Dice;
use project::{Operation, Project, documents};

/// Single edit, with the lines that the plan must have.
pub(crate) struct Case {
    pub(crate) old: Project,
    pub(crate) new: Project,
    pub(crate) dice: Dice,
    /// Expected lines `SECTION CLASS ID SUBJECT: OPERATIONS`.
    pub(crate) expected: BTreeSet<String>,
    /// True if one version lacks schemas that only one operation uses. Changes of the prose in
    /// these schemas are not compared.
    pub(crate) hides_schemas: bool,
    /// True if operations with parameters may reach the old paths of other operations at the
    /// upstream.
    pub(crate) moves_paths: bool,
}

/// Kind of edit: name, and the function that makes the edit. The function returns `None` if the
/// document has no suitable position.
pub(crate) type Kind = (&'static str, fn(&mut Case) -> Option<()>);

/// All kinds of edits.
pub(crate) fn kinds() -> impl Iterator<Item = &'static Kind> {
    [
        access::KINDS,
        declared::KINDS,
        numbers::KINDS,
        routing::KINDS,
        transport::KINDS,
    ]
    .into_iter()
    .flatten()
}

impl Case {
    /// Applies a change to both versions.
    pub(crate) fn both(&mut self, change: impl Fn(&mut Project)) {
        change(&mut self.old);
        change(&mut self.new);
    }

    /// Turns the edit into its reverse.
    pub(crate) fn reverse(&mut self) {
        std::mem::swap(&mut self.old, &mut self.new);
    }

    /// Expects a line without operations.
    pub(crate) fn expect(&mut self, line: &str) {
        assert!(self.expected.insert(line.to_owned()), "{line} twice");
    }

    /// Expects one line about all these operations.
    pub(crate) fn expect_of(&mut self, line: &str, operations: &[Operation]) {
        let mut keys: Vec<String> = operations.iter().map(|one| one.key.clone()).collect();
        keys.sort();
        self.expect(&format!("{line}: {}", keys.join("+")));
    }

    /// Expects a separate line about each of these operations.
    pub(crate) fn expect_each(&mut self, line: &str, operations: &[Operation]) {
        for operation in operations {
            self.expect_of(line, std::slice::from_ref(operation));
        }
    }

    /// Expects a line for each group of these operations with the same requirement.
    pub(crate) fn expect_alike(
        &mut self,
        line: impl Fn(&serde_json::Value) -> &'static str,
        operations: &[Operation],
    ) {
        for (requirement, alike) in self.new.alike(operations) {
            self.expect_of(line(&requirement), &alike);
        }
    }

    /// Random operation.
    pub(crate) fn operation(&mut self) -> Operation {
        let all = self.old.operations();
        self.dice.pick(&all)
    }

    /// Random operations, at least one.
    pub(crate) fn some(&mut self) -> Vec<Operation> {
        let mut all = self.old.operations();
        let first = all.remove(self.dice.below(all.len()));
        all.retain(|_| self.dice.chance(3));
        all.push(first);
        all
    }
}

/// Makes an edit of this kind at a random position of a document. `None` if the edit is not
/// possible there.
pub(crate) fn case(kind: &Kind, document: &Project, seed: u64) -> Option<Case> {
    let mut dice = Dice::new(seed);
    let mut both = document.clone();
    both.ask_at_random(&mut dice);
    let mut case = Case {
        new: both.clone(),
        old: both,
        dice,
        expected: BTreeSet::new(),
        hides_schemas: false,
        moves_paths: false,
    };
    kind.1(&mut case)?;
    Some(case)
}

/// Changes as lines `SECTION CLASS ID SUBJECT: OPERATIONS`.
pub(crate) fn lines(plan: &Plan) -> Vec<String> {
    let line = |change: &plan::Change| {
        let (section, class) = (change.section.name(), change.class.name());
        let line = format!("{section} {class} {} {}", change.id, change.subject);
        match change.operations.is_empty() {
            true => line,
            false => format!("{line}: {}", change.operations.join("+")),
        }
    };
    plan.changes.iter().map(line).collect()
}

/// Maximum number of documents per required case that are tried for a kind of edit. Above this
/// number, the kind is reported as not applicable.
const DOCUMENTS_MAX: usize = 40;

/// Makes `count` edits of one kind.
pub(crate) fn cases(
    kind: &Kind,
    documents: &[Project],
    count: usize,
) -> Vec<(&'static str, u64, Case)> {
    let seeds = 0..u64::try_from(DOCUMENTS_MAX * count).unwrap();
    let found = seeds.filter_map(|seed| {
        let hash = kind
            .0
            .bytes()
            .fold(seed, |hash, byte| hash.wrapping_mul(31) + u64::from(byte));
        let document = Dice::new(hash).pick(documents);
        Some((kind.0, hash, case(kind, &document, hash)?))
    });
    let found: Vec<_> = found.take(count).collect();
    assert_eq!(found.len(), count, "{}: no document has a place", kind.0);
    found
}

#[test]
fn edit_of_each_kind_gives_its_lines_and_requests() {
    let kinds: Vec<&Kind> = kinds().collect();
    assert!(kinds.len() >= 40);
    let count = if prerequisite::is_full() { 12 } else { 3 };
    let documents = documents();
    let (next, mut wrong, mut requests) = (AtomicUsize::new(0), Vec::new(), 0);
    // A thread keeps the edits of one kind only: the documents of all edits need many gigabytes.
    let judge_kinds = || {
        let mut results: Vec<CaseResult> = Vec::new();
        while let Some(kind) = kinds.get(next.fetch_add(1, Ordering::Relaxed)) {
            results.extend(cases(kind, &documents, count).iter().map(judge));
        }
        results
    };
    std::thread::scope(|scope| {
        let threads = [(); 2].map(|()| scope.spawn(judge_kinds));
        for thread in threads {
            for (fault, witnesses) in thread.join().expect("no panic") {
                wrong.extend(fault);
                requests += witnesses;
            }
        }
    });
    let edits = kinds.len() * count;
    println!("{edits} edits, {requests} witnesses");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(requests >= edits / 4, "only {requests} witnesses");
}

/// Description of an error in a plan (`None`: no error), and number of checked witnesses.
type CaseResult = (Option<String>, usize);

fn judge((name, seed, case): &(&'static str, u64, Case)) -> CaseResult {
    let (old, new) = match (case.old.side(), case.new.side()) {
        (Ok(old), Ok(new)) => (old, new),
        (Err(why), _) | (_, Err(why)) => return (Some(format!("{name} {seed}: {why}")), 0),
    };
    let plan = plan::compare(Some(&old), &new).expect("both sides build");
    let expected: Vec<&String> = case.expected.iter().collect();
    let mut found = lines(&plan);
    // Webhooks without `security` have that of the root.
    let of_root = "breaking changed outgoing-security-changed ";
    found.retain(|line| !line.starts_with(of_root));
    if case.hides_schemas {
        found.retain(|line| !line.starts_with("docs doc prose-changed "));
    }
    // Ignore lines about contracts for moved requests, because they cover all differences between
    // the contracts of both operations.
    let mut expected_lines = case.expected.iter();
    if expected_lines.any(|line| line.contains("owner-changed")) {
        found.retain(|line| !line.starts_with("breaking ") || case.expected.contains(line));
    }
    if case.moves_paths {
        found.retain(|line| !line.contains(", before: "));
    }
    found.sort();
    if !plan.bugs.is_empty() || found.iter().ne(expected) {
        let problem = format!(
            "{name} {seed}: {found:#?} instead of {:#?} {:?}",
            case.expected, plan.bugs
        );
        return (Some(problem), 0);
    }
    match witness::check(&plan, (&old, &new), case) {
        Ok(count) => (None, count),
        Err(why) => (Some(format!("{name} {seed}: {why}")), 0),
    }
}

/// Kinds of lines that no edit in this test causes. `Some`: the file of `tests/plan` that tests the
/// kind. Left out: kinds of the section RULES, and an addition (`…-added`) whose removal has an edit.
const ELSEWHERE: &[(&str, Option<&str>)] = &[
    ("refused-paths-changed", Some("affected")),
    ("request-body-unchecked", Some("messages")),
    ("parameter-forwarded", Some("resembling")),
    ("response-unchecked", Some("enforced_responses")),
    ("guard-changed", Some("guards")),
    ("response-field-changed", Some("responses")),
    ("path-readings-changed", Some("edits")),
    ("paths-not-compared", Some("overlaps")),
    ("self-check-failed", Some("edits")),
    // `gwc/tests/cli/left_out.rs`: only files have errors.
    ("sources-not-compared", None),
    ("way-round-added", Some("rounds")),
    ("way-round-not-compared", Some("rounds")),
    ("upstream-client-certificate-changed", Some("ordered")),
    ("listener-key-changed", Some("listeners")),
    ("client-address-changed", Some("addresses")),
    ("peers-admitted", Some("listeners")),
    ("consumer-plan-changed", Some("plans")),
    ("group-plan-changed", Some("plans")),
    ("first-release", Some("first")),
    ("logout-path-removed", Some("logins")),
    ("shadow-appears", Some("algebra")),
    ("shadow-disappears", Some("algebra")),
    ("mount-hosts-changed", Some("hidden")),
    ("unserved-operation-changed", Some("no_difference")),
    ("internal-changed", Some("rest")),
    // Changes of environments, tested in gwc/tests/cli/every.rs.
    ("environment-added", None),
    ("environment-removed", None),
    ("peers-refused", Some("listeners")),
    ("oauth-flow-changed", Some("gated")),
    ("servers-changed", Some("gates")),
    ("request-check-widened", Some("messages")),
    ("request-check-narrowed", Some("messages")),
    ("request-check-changed", Some("messages")),
    ("response-check-widened", Some("enforced_responses")),
    ("response-check-narrowed", Some("enforced_responses")),
    ("response-check-changed", Some("enforced_responses")),
    ("setting-restated", Some("hidden")),
    ("limit-key-changed", Some("cells")),
    ("limit-split", Some("counters")),
    ("limit-joined", Some("counters")),
    ("traffic-moved", Some("cells")),
    ("sunset-changed", Some("cells")),
    ("document-changed", Some("served")),
    ("policy-redefined", Some("edits")),
    ("window-limit-changed", Some("loosened")),
    ("operation-setting-changed", Some("declared")),
    ("consumer-changed", None),
    ("listener-headers-changed", None),
    ("listener-header-timeout-changed", None),
    ("listener-idle-timeout-changed", None),
    ("listener-target-bytes-changed", None),
    ("idle-timeout-changed", None),
    ("gateway-setting-changed", None),
    ("api-setting-changed", None),
    ("unclassified", Some("gated")),
    ("upstream-setting-changed", Some("declared")),
];

#[test]
fn each_kind_of_line_is_needed_by_an_edit() {
    let mut first: std::collections::BTreeMap<&str, Case> = std::collections::BTreeMap::new();
    let documents = documents();
    for (_, _, case) in kinds().flat_map(|kind| cases(kind, &documents, 1)) {
        let ids: Vec<&'static str> = plan::ids::ALL
            .iter()
            .map(|kind| kind.id)
            .filter(|id| {
                let named = |line: &String| line.split(' ').nth(2) == Some(id);
                case.expected.iter().any(named)
            })
            .collect();
        for id in ids {
            first.entry(id).or_insert_with(|| Case {
                old: case.old.clone(),
                new: case.new.clone(),
                dice: Dice::new(0),
                expected: case.expected.clone(),
                hides_schemas: case.hides_schemas,
                moves_paths: case.moves_paths,
            });
        }
    }
    // Rules of releases are outside bundles: gwc/tests/cli/rules.rs tests them.
    let has_rules = |kind: &&plan::ids::Kind| kind.section == Section::Rules;
    let has_removal = |kind: &&plan::ids::Kind| {
        let what = kind.id.strip_suffix("-added");
        what.is_some_and(|what| first.contains_key(&*format!("{what}-removed")))
    };
    let missing: Vec<&str> = plan::ids::ALL
        .iter()
        .filter(|kind| !first.contains_key(kind.id) && !has_rules(kind) && !has_removal(kind))
        .map(|kind| kind.id)
        .collect();
    let elsewhere: Vec<&str> = ELSEWHERE.iter().map(|(id, _)| *id).collect();
    assert_eq!(missing, elsewhere);
    for (id, case) in first {
        let (old, new) = (case.old.side(), case.new.side());
        let (Ok(old), Ok(new)) = (old, new) else {
            panic!("{id}: a side does not build");
        };
        let compare = || plan::compare(Some(&old), &new).expect("both sides build");
        let mut found = lines(&plan::ids::without(id, compare));
        found.sort();
        assert!(
            found.iter().ne(&case.expected),
            "{id}: no case fails without its lines"
        );
    }
}
