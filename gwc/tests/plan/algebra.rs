//! Tests of the routing comparison against brute force. Every request over a small alphabet is
//! looked up in two naive tables. The tables share only the type of templates with the compiler and
//! the engine.

use std::collections::{BTreeMap, BTreeSet};

use bundle::digest::Digest;
use bundle::ir::{self, Condition, Owns, Template, Test, TrailingSlash};
use model::lower::Lowered;
use plan::{self, Outcome, Section, Side, Witness};
use policy::StateId;

use crate::dice::Dice;
use crate::naive::{Naive, Paths, differences, shadowed};

/// Segments of templates.
const PIECES: [&str; 10] = ["a", "b", "ab", "", "{}", "{}", "{}", "a{}", "{}b", "a{}b"];
/// Segments of request paths: one for each way in which [`PIECES`] can match, in both letter cases.
pub(crate) const TEXTS: [&str; 19] = [
    "", "0", "1", "a", "b", "A", "B", "ab", "aB", "Ab", "AB", "a0", "A0", "0b", "0B", "a0b", "A0B",
    "A0b", "a0B",
];
pub(crate) const METHODS: [&str; 4] = ["GET", "HEAD", "POST", "PUT"];
/// Values of the field `v` in a request. The tests have no repeated fields with different outcomes
/// of a condition, because the gateway refuses them (`condition_ambiguous`).
pub(crate) const FIELDS: [&[&str]; 5] = [&[], &["1"], &["10"], &["0"], &["2"]];
/// Values of the query parameter `q`.
pub(crate) const QUERIES: [&[&str]; 2] = [&[], &["0"]];
/// Hosts of requests, each with the host patterns that match it, highest precedence first.
pub(crate) const HOSTS: [(&str, [&str; 3]); 3] = [
    ("x.h", ["x.h", "*.h", ""]),
    ("any.h", ["*.h", "", ""]),
    ("gateway", ["", "", ""]),
];

/// Number of pairs of tables that the test compares.
fn pairs() -> u64 {
    if prerequisite::is_full() {
        30_000
    } else {
        10_000
    }
}

/// Seeds with which [`ownership_of_requests_agrees_with_enumeration`] once failed: a renamed
/// operation that redirected requests now serves them.
#[test]
fn seeds_that_once_failed_agree_with_enumeration() {
    let paths = Paths::new();
    for seed in [59_919, 83_928] {
        Tally::default().compare(seed, &paths);
    }
}

#[test]
fn ownership_of_requests_agrees_with_enumeration() {
    let paths = Paths::new();
    let count = pairs();
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let tallies: Vec<Tally> = std::thread::scope(|scope| {
        let share = |thread: u64| {
            let paths = &paths;
            scope.spawn(move || {
                let mut tally = Tally::default();
                for seed in (thread..count).step_by(usize::try_from(threads).unwrap_or(1)) {
                    tally.compare(seed, paths);
                }
                tally
            })
        };
        let running: Vec<_> = (0..threads).map(share).collect();
        running
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .collect()
    });
    let sum = |of: fn(&Tally) -> u64| tallies.iter().map(of).sum::<u64>();
    let (compared, refused) = (sum(|tally| tally.compared), sum(|tally| tally.refused));
    let shadows = sum(|tally| tally.shadows);
    let (cells, witnesses) = (sum(|tally| tally.cells), sum(|tally| tally.witnesses));
    let unshown = sum(|tally| tally.unshown);
    let ambiguous = sum(|tally| tally.ambiguous);
    println!(
        "{compared} pairs compared, {refused} with identical routes, {cells} cells, {witnesses} witnesses, {shadows} shadows, {ambiguous} with `//` only"
    );
    assert!(ambiguous * 100 < cells, "{ambiguous}");
    let refused_paths = sum(|tally| tally.refused_paths);
    assert!(refused_paths * 50 < cells, "{refused_paths}");
    let untried = sum(|tally| tally.untried);
    assert!(untried * 50 < cells, "{untried}");
    let longer = sum(|tally| tally.longer);
    assert!(longer * 50 < cells, "{longer}");
    assert!(compared > count * 9 / 10, "{compared}");
    // Some witnesses are refused as ambiguous: their path differs from the path of another
    // operation only in letter case or in the final slash. Other cells have a witness with `//` in
    // its path.
    assert!(
        cells > count * 2 && witnesses + unshown == cells && unshown * 50 < cells,
        "{cells} {witnesses} {unshown}"
    );
}

#[derive(Default)]
struct Tally {
    compared: u64,
    refused: u64,
    cells: u64,
    witnesses: u64,
    /// Number of cells without a witness.
    unshown: u64,
    /// Number of cells whose witness has `//` in its path.
    ambiguous: u64,
    shadows: u64,
    /// Number of witnesses that are longer than the shortest request of their cell, because the
    /// gateway refuses the shorter requests.
    longer: u64,
    /// Number of lines about requests that one version refuses because of another operation.
    refused_paths: u64,
    /// Number of lines about added operations without a served path.
    untried: u64,
}

/// Method that no operation has. The plan tries requests with this method, but the enumeration does
/// not contain them.
const UNKNOWN_METHOD: &str = "DELETE";

/// True if one version has no operation for a cell, because the gateway refuses the path of the
/// witness.
fn is_path_refused(witness: &Witness, cell: &Cell) -> bool {
    let refused = Outcome::Refused { status: 400 };
    match cell {
        (None, Some(_)) => witness.old == refused,
        (Some(_), None) => witness.new == refused,
        _ => false,
    }
}

/// Cell: the old and the new operation of a set of requests. `None`: no operation.
pub(crate) type Cell = (Option<String>, Option<String>);

/// Reason for a missing witness if the gateway refuses all tried paths as ambiguous.
const NO_PATH: &str = "no example: the gateway refuses the paths that gwc tried";

impl Tally {
    fn compare(&mut self, seed: u64, paths: &Paths) {
        let mut dice = Dice::new(seed);
        let old = gateway(&mut dice);
        let new = edited(&mut dice, &old);
        let (Some(before), Some(after)) = (side(&old, 1), side(&new, 2)) else {
            self.refused += 1;
            return;
        };
        // One of the tables has two routes that no request can distinguish, so it cannot run.
        let runs = |side: &Side| plan::ask::Oracle::build(&side.lowered.gateway, "b").is_ok();
        if !runs(&before) || !runs(&after) {
            self.refused += 1;
            return;
        }
        let plan = plan::compare(Some(&before), &after).expect("both sides build");
        let shown = || format!("seed {seed}\n{}\n{}", printed(&old), printed(&new));
        assert_eq!(plan.bugs, Vec::<String>::new(), "{}", shown());
        let (was, is) = (Naive::new(&old, paths), Naive::new(&new, paths));
        let expected = differences(&was, &is, paths);
        // True if the gateway may refuse paths of a table because of another operation: the table
        // has a hidden operation, or an operation for undescribed requests.
        let refuses = |tables: &[Mounted]| {
            let rest = |one: &ir::Operation| one.owns != Owns::Described;
            let mut tables = tables.iter();
            tables.any(|one| !one.hidden.is_empty() || one.operations.iter().any(rest))
        };
        let mut shown_cells: BTreeMap<Cell, Witness> = BTreeMap::new();
        let mut unshown: BTreeSet<Cell> = BTreeSet::new();
        let moves = plan.changes.iter().filter(|change| {
            change.section == Section::Routing
                && change.class != plan::Class::Shadowed
                // Skip lines about lists of hosts, and about operations without requests, because
                // they change no request.
                && !change.operations.is_empty()
        });
        for change in moves {
            let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
            let cell = (text(&change.old), text(&change.new));
            match &change.witness {
                // The enumeration contains no paths with `//`. Some cells also contain requests
                // without `//`.
                Some(witness) if witness.url["http://".len()..].contains("//") => {
                    match expected.contains_key(&cell) {
                        true => drop(unshown.insert(cell)),
                        false => self.ambiguous += 1,
                    }
                }
                // An operation matches the request in both versions, but one version refuses the
                // path, because servers may read it as a path of another operation.
                Some(witness)
                    if is_path_refused(witness, &cell)
                        && (witness.method == UNKNOWN_METHOD
                            || was.owner(witness).is_some() && is.owner(witness).is_some()) =>
                {
                    match expected.contains_key(&cell) {
                        true => drop(unshown.insert(cell)),
                        false => self.refused_paths += 1,
                    }
                }
                Some(witness) => drop(shown_cells.insert(cell, witness.clone())),
                // The gateway refuses all paths of the operation that the plan tried, so the line
                // has no example.
                None if change.why_none == Some(NO_PATH) => match expected.contains_key(&cell) {
                    true => drop(unshown.insert(cell)),
                    false => self.untried += 1,
                },
                // Both versions refuse all requests of the cell, because servers may read their
                // paths as paths of another operation.
                None if refuses(&old) || refuses(&new) => {
                    assert_eq!(
                        change.why_none,
                        Some("no request is handled differently because of the change")
                    );
                    unshown.insert(cell);
                }
                None => panic!("{cell:?} has no witness\n{}", shown()),
            }
        }
        // A renamed operation has a line without an example, because its requests are served in the
        // same way.
        let renamed = plan.changes.iter();
        let renamed = renamed.filter(|change| change.id == "operation-renamed");
        let renamed: BTreeSet<Cell> = renamed
            .map(|change| {
                let key = |value: &serde_json::Value| Some(format!("{}@m", value.as_str()?));
                (key(&change.old), key(&change.new))
            })
            .filter(|cell| expected.contains_key(cell))
            .collect();
        let keys = |cells: BTreeSet<&Cell>| cells.into_iter().cloned().collect::<Vec<_>>();
        assert_eq!(
            keys(shown_cells.keys().chain(&unshown).chain(&renamed).collect()),
            keys(expected.keys().collect()),
            "{}",
            shown()
        );
        // The enumeration contains no paths with `//`, so skip operations with such templates.
        let doubled: BTreeSet<&str> = old
            .iter()
            .chain(&new)
            .flat_map(|mounted| &mounted.operations)
            .filter(|one| one.template.to_string().contains("//"))
            .map(|one| one.key.as_str())
            .collect();
        let shadows: BTreeSet<(&str, String)> = plan
            .changes
            .iter()
            .filter(|change| change.class == plan::Class::Shadowed)
            .map(|change| (change.id, change.operations[0].clone()))
            .filter(|(_, key)| !doubled.contains(key.as_str()))
            .collect();
        let mut expected_shadows = shadowed(&was, &is, paths);
        expected_shadows.retain(|(_, key)| !doubled.contains(key.as_str()));
        assert_eq!(shadows, expected_shadows, "{}", shown());
        self.shadows += shadows.len() as u64;
        for (cell, witness) in &shown_cells {
            let owners = (was.owner(witness), is.owner(witness));
            assert_eq!(&owners, cell, "{witness:?}\n{}", shown());
            let size = witness.method.len() + witness.url.len() - "http://".len()
                + witness
                    .headers
                    .iter()
                    .map(|(name, value)| name.len() + value.len() + 4)
                    .sum::<usize>();
            // The gateway refuses shorter requests whose paths differ from that of another
            // operation only in letter case or in the final slash.
            assert!(
                size <= expected[cell] || refuses(&old) || refuses(&new),
                "{cell:?}: {witness:?} is longer than {}\n{}",
                expected[cell],
                shown()
            );
            self.longer += u64::from(size > expected[cell]);
            self.witnesses += 1;
        }
        self.unshown += unshown
            .union(&renamed)
            .filter(|cell| !shown_cells.contains_key(cell))
            .count() as u64;
        self.cells += expected.len() as u64;
        self.compared += 1;
    }
}

// === the tables ===

/// API with a single mount and its operations.
#[derive(Clone, Debug)]
pub(crate) struct Mounted {
    pub(crate) api: String,
    pub(crate) host: &'static str,
    pub(crate) base: &'static str,
    pub(crate) operations: Vec<ir::Operation>,
    /// Described paths that no operation serves.
    pub(crate) hidden: Vec<ir::Hidden>,
}

fn gateway(dice: &mut Dice) -> Vec<Mounted> {
    let count = 1 + dice.below(3);
    let mounted = |number: usize, dice: &mut Dice| Mounted {
        api: format!("s{number}"),
        host: dice.pick(&["", "", "x.h", "*.h"]),
        base: dice.pick(&["", "", "/a"]),
        operations: Vec::new(),
        hidden: Vec::new(),
    };
    let mut mounts: Vec<Mounted> = (0..count).map(|number| mounted(number, dice)).collect();
    for number in 0..2 + dice.below(7) {
        let operation = operation(dice, number);
        let at = dice.below(count);
        mounts[at].operations.push(operation);
    }
    for mounted in &mut mounts {
        for owns in [Owns::Undeclared, Owns::Unmatched] {
            if dice.chance(2) {
                toggle(mounted, owns);
            }
        }
        if dice.chance(2) {
            mounted.hidden = hidden(dice);
        }
    }
    mounts
}

/// Adds an operation for undescribed requests of the kind `owns` to a mount. If the mount has such
/// an operation, removes it instead.
fn toggle(mounted: &mut Mounted, owns: Owns) {
    let count = mounted.operations.len();
    mounted.operations.retain(|one| one.owns != owns);
    if mounted.operations.len() == count {
        mounted.operations.push(ir::Operation {
            key: format!("{}#{owns:?}", mounted.api),
            method: "*".into(),
            template: Template::parse("/").expect("a template").into_prefix(),
            conditions: Vec::new(),
            priority: 0,
            treatment: 0,
            trailing_slash: TrailingSlash::Strict,
            owns,
        });
    }
}

fn hidden(dice: &mut Dice) -> Vec<ir::Hidden> {
    let ir::Operation {
        method,
        template,
        conditions,
        priority,
        ..
    } = operation(dice, 0);
    vec![ir::Hidden {
        method,
        template,
        conditions,
        priority,
        upstreams: Vec::new(),
    }]
}

fn operation(dice: &mut Dice, number: usize) -> ir::Operation {
    let mut text = String::new();
    for piece in 0..1 + dice.below(2) {
        let name = format!("{{p{piece}}}");
        text.push('/');
        text.push_str(&dice.pick(&PIECES).replace("{}", &name));
    }
    let mut template = Template::parse(&text).expect("a template");
    if dice.chance(2) {
        template = template.into_prefix();
    }
    if dice.chance(2) {
        template = template.into_folded();
    }
    let tests = || {
        [
            Test::Exact("1".into()),
            Test::Exact("2".into()),
            Test::Prefix("1".into()),
            Test::Present,
        ]
    };
    let mut conditions = Vec::new();
    if dice.chance(4) {
        conditions.push(Condition::Header("v".into(), dice.pick(&tests())));
    }
    if dice.chance(1) {
        conditions.push(Condition::Query("q".into(), Test::Present));
    }
    let usual = dice.chance(8);
    ir::Operation {
        key: format!("k{number}"),
        method: dice.pick(&["GET", "GET", "GET", "HEAD", "POST"]).into(),
        template,
        conditions,
        priority: if usual { 0 } else { dice.pick(&[-1, 1]) },
        treatment: 0,
        trailing_slash: dice.pick(&[
            TrailingSlash::Strict,
            TrailingSlash::Strict,
            TrailingSlash::Strict,
            TrailingSlash::Ignore,
            TrailingSlash::Redirect,
        ]),
        owns: Owns::Described,
    }
}

/// Makes a few edits: adds or removes routes, or changes their template, priority or condition;
/// moves mounts.
fn edited(dice: &mut Dice, old: &[Mounted]) -> Vec<Mounted> {
    let mut new = old.to_vec();
    for edit in 0..1 + dice.below(3) {
        let at = dice.below(new.len());
        // Operations for undescribed requests are last.
        let described = new[at].operations.iter();
        let count = described.filter(|one| one.owns == Owns::Described).count();
        let fresh = operation(dice, 100 + edit);
        match dice.below(9) {
            0 => new[at].operations.insert(0, fresh),
            1 if count > 0 => {
                let gone = dice.below(count);
                new[at].operations.remove(gone);
            }
            2 if count > 0 => {
                let other = dice.below(count);
                let key = new[at].operations[other].key.clone();
                new[at].operations[other] = ir::Operation { key, ..fresh };
            }
            3 if count > 0 => {
                let other = dice.below(count);
                new[at].operations[other].priority = dice.pick(&[-1, 0, 1]);
            }
            4 if count > 0 => {
                let other = dice.below(count);
                new[at].operations[other].conditions = fresh.conditions;
                new[at].operations[other].trailing_slash = fresh.trailing_slash;
            }
            5 => toggle(&mut new[at], Owns::Undeclared),
            6 => toggle(&mut new[at], Owns::Unmatched),
            7 => new[at].hidden = hidden(dice),
            _ => new[at].host = dice.pick(&["", "x.h", "*.h"]),
        }
    }
    new
}

/// Compiled gateway with these mounts. `None` if it is invalid.
fn side(mounts: &[Mounted], id: u8) -> Option<Side> {
    let apis = mounts.iter().map(|mounted| {
        Some(ir::Api {
            name: mounted.api.clone(),
            mounts: ir::Set::new(vec![ir::Mount {
                name: "m".into(),
                hosts: Some(mounted.host)
                    .filter(|host| !host.is_empty())
                    .map(str::to_owned)
                    .into_iter()
                    .collect(),
                base_path: mounted.base.into(),
                strip_base_path: false,
                listeners: vec!["public".into()],
            }])
            .ok()?,
            schemes: ir::Set::default(),
            policies: ir::Set::default(),
            treatments: vec![ir::Treatment {
                path_readings: ir::PathReadings::Strict,
                security: ir::Security::default(),
                chain: Vec::new(),
                upstream: "u".into(),
                timeout_ms: 1_000,
                max_body_bytes: None,
                retries: None,
                declared: policy::declared::Settings::default(),
                forwarding: ir::Forwarding::default(),
            }],
            operations: ir::Set::new(mounted.operations.clone()).ok()?,
            declared: policy::declared::Settings::default(),
            errors: policy::declared::Settings::default(),
            hidden: mounted.hidden.clone(),
            messages: None,
        })
    });
    let apis = ir::Set::new(apis.collect::<Option<Vec<_>>>()?).ok()?;
    let limits = ir::ListenerLimits {
        connections: 10,
        header_bytes: 10_000,
        headers: 100,
        header_timeout_ms: 1_000,
        idle_timeout_ms: 1_000,
        target_bytes: 1_000,
        body_timeout_ms: 60_000,
        min_rate_bytes: 240,
        stream_idle_timeout_ms: 300_000,
    };
    let shared = ir::Shared {
        documents: Vec::new(),
        project: "p".into(),
        listeners: ir::Set::new(vec![ir::Listener {
            merge_slashes: false,
            forward_client_cert: None,
            forwarding_fields: None,
            name: "public".into(),
            address: "127.0.0.1:0".into(),
            protocol: ir::Protocol::Http,
            limits,
            trusted_proxies: Vec::new(),
            http2: false,
            proxy_protocol: None,
            declared: policy::declared::Settings::default(),
        }])
        .ok()?,
        upstreams: ir::Set::new(vec![ir::Upstream {
            name: "u".into(),
            state: StateId(1),
            targets: ir::Set::new(vec![ir::Target {
                name: "t".into(),
                host: "127.0.0.1".into(),
                port: 9,
                path: String::new(),
                weight: 1,
                zone: None,
                tls: false,
            }])
            .ok()?,
            connect_timeout_ms: 1_000,
            idle_timeout_ms: 1_000,
            host_header: ir::HostHeader::Preserve,
            balance: policy::upstream::Balance::default(),
            health: policy::upstream::Health::default(),
            retries: None,
            circuit_breaker: None,
            limits: policy::upstream::Limits::default(),
            protocol: ir::UpstreamProtocol::default(),
            discovery: None,
            proxy_protocol: None,
            rewrite_responses: None,
            tls: None,
            declared: policy::declared::Settings::default(),
        }])
        .ok()?,
        auth: ir::Set::default(),
        consumers: ir::Set::default(),
        policies: ir::Set::default(),
        apis: ir::Set::new(
            apis.iter()
                .map(|api| ir::ApiRef {
                    name: api.name.clone(),
                    digest: model::lower::digest(&bundle::codec::encode(api)),
                })
                .collect(),
        )
        .ok()?,
        expose_bundle: false,
        errors: policy::declared::Settings::default(),
        required: policy::declared::Settings::default(),
        declared: policy::declared::Settings::default(),
    };
    Some(Side {
        bundle: Digest::of(&[id]),
        lowered: Lowered {
            gateway: ir::Gateway { shared, apis },
            contracts: ir::Set::default(),
            consumers_file: None,
            prose: Default::default(),
            sites: Default::default(),
            documents: Default::default(),
        },
        source: None,
    })
}

fn printed(mounts: &[Mounted]) -> String {
    let mut text = String::new();
    for mounted in mounts {
        for hidden in &mounted.hidden {
            let ir::Hidden {
                method,
                template,
                conditions,
                priority,
                ..
            } = hidden;
            let prefix = if template.is_prefix() { "/**" } else { "" };
            let folded = if template.is_folded() { " ~" } else { "" };
            text.push_str(&format!(
                "{} hides {method} {}{template}{prefix}{folded} p{priority} {conditions:?}\n",
                mounted.api, mounted.base
            ));
        }
        for operation in &mounted.operations {
            text.push_str(&format!(
                "{}/{} {:?} {} {}{}{} p{} {:?} {:?}\n",
                mounted.api,
                operation.key,
                mounted.host,
                operation.method,
                mounted.base,
                operation.template,
                match (
                    operation.template.is_prefix(),
                    operation.template.is_folded()
                ) {
                    (true, true) => "/** ~",
                    (true, false) => "/**",
                    (false, true) => " ~",
                    (false, false) => "",
                },
                operation.priority,
                operation.trailing_slash,
                operation.conditions,
            ));
        }
    }
    text
}
