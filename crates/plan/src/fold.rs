//! Lines of a plan for people: changes of routing and of access with one cause are one line.
//!
//! A removed and an added path of one operation are a *new path*. Changes of several operations by
//! the same mount, default or policy are counted, with some of their operations. So are changes of
//! access with the same new or the same old requirement ([`access`]). Folding is for
//! display only: JSON, fingerprints, gates and acknowledgements keep one change per operation.

mod access;

use std::collections::{BTreeMap, BTreeSet};

use self::access::Same;
use super::report::{Report, Values, has_arrow, symbol, values, what};
use super::{Change, Class, Section, short};
use diag::count::counted;
use diag::text::printable;

/// Maximum number of operations named in a line about several operations.
const NAMED_MAX: usize = 5;

/// Minimum number of changes that form one line although their source locations differ: additions
/// or removals of operations of one mount, and changes of access. Fewer changes have one line each.
const MANY_MIN: usize = 4;

/// Line of a plan.
#[derive(Clone, Debug)]
pub struct Line<'a> {
    /// Changes of the line, at least one.
    pub changes: Vec<&'a Change>,
    /// Class of the line, or `may break` ([`Change::label`]). For a line with changes of several
    /// classes, a text instead of the class.
    pub label: &'static str,
    /// True if the operations of the line moved to a different path, host, listener or method.
    pub is_move: bool,
    /// Class by which lines are counted and limited.
    pub class: Class,
    /// Operations or subject of the line, safe for display.
    pub what: String,
    /// Some of the operations, safe for display. `None` if [`Self::what`] names them.
    pub names: Option<String>,
    /// Values of all changes of the line. `None` if the first change has the values.
    values: Option<Values>,
}

/// Lines of one section of a plan.
#[derive(Clone, Debug)]
pub struct SectionLines<'a> {
    /// Section of the lines.
    pub section: Section,
    /// Number of changes in the section.
    pub count: usize,
    /// Lines of the section, at least one.
    pub lines: Vec<Line<'a>>,
}

/// Change of one operation, or a removal and an addition that together move the operation to
/// another path, host or listener.
struct Unit<'a> {
    changes: Vec<&'a Change>,
    /// Position of the first change in the plan.
    at: usize,
    moved: Option<Movement>,
}

/// Former and new location of an operation that moved.
#[derive(Clone, Debug)]
struct Movement {
    label: &'static str,
    sites: [Site; 2],
    /// End that the old and the new path have in common.
    common: String,
}

/// Location of an operation without the common end of its paths.
#[derive(Clone, Debug)]
struct Site {
    /// Text before the path: method and hosts, each only if they differ between the two locations.
    before: String,
    path: String,
    /// Text after the path: listeners, only if they differ between the two locations.
    after: String,
}

/// Properties that the changes of one line have in common: class, ids, subject, and further values
/// as text.
type Cause = (Class, Vec<&'static str>, String, Vec<String>);

/// Sections of a plan that have changes. `lines` converts the changes of a section to lines.
#[must_use]
pub fn sections<'a>(
    changes: &'a [Change],
    lines: impl Fn(&[&'a Change]) -> Vec<Line<'a>>,
) -> Vec<SectionLines<'a>> {
    let sections = Section::ALL.into_iter().filter_map(|section| {
        let of_section = changes.iter().filter(|change| change.section == section);
        let of_section: Vec<&Change> = of_section.collect();
        (!of_section.is_empty()).then(|| SectionLines {
            section,
            count: of_section.len(),
            lines: lines(&of_section),
        })
    });
    sections.collect()
}

/// Folds the changes of one section into lines. Changes of other kinds than routing and access have
/// one line each.
#[must_use]
pub fn lines<'a>(report: &Report<'_>, changes: &[&'a Change]) -> Vec<Line<'a>> {
    let units = moved(report, changes);
    let (mut groups, single) = folded(units, 2, |unit| cause(report, unit));
    // Fold many changes into one line, even if their source locations differ.
    let (by_mount, single) = folded(single, MANY_MIN, |unit| of_mount(report, unit));
    let (by_new, single) = folded(single, MANY_MIN, |unit| of_access(report, unit, Same::New));
    let (by_old, single) = folded(single, MANY_MIN, |unit| of_access(report, unit, Same::Old));
    groups.extend(by_mount.into_iter().chain(by_new).chain(by_old));
    groups.extend(single.into_iter().map(|unit| vec![unit]));
    groups.sort_by_key(|group| group[0].at);
    groups.into_iter().map(line).collect()
}

/// Converts changes to lines. An operation that moved has one line for its removal and addition.
/// Every other change has its own line.
#[must_use]
pub fn moves<'a>(report: &Report<'_>, changes: &[&'a Change]) -> Vec<Line<'a>> {
    let units = moved(report, changes).into_iter();
    units.map(|unit| line(vec![unit])).collect()
}

/// Groups units with equal keys. Returns the groups of at least `size_min` units, and all other
/// units.
fn folded<'a>(
    units: Vec<Unit<'a>>,
    size_min: usize,
    key: impl Fn(&Unit<'a>) -> Option<Cause>,
) -> (Vec<Vec<Unit<'a>>>, Vec<Unit<'a>>) {
    let groups = grouped(units, key).into_iter();
    let (many, few): (Vec<_>, Vec<_>) = groups.partition(|group| group.len() >= size_min);
    (many, few.into_iter().flatten().collect())
}

/// Groups units with equal keys. A unit without a key forms a group of its own.
fn grouped<'a>(
    units: Vec<Unit<'a>>,
    key: impl Fn(&Unit<'a>) -> Option<Cause>,
) -> Vec<Vec<Unit<'a>>> {
    let mut groups: Vec<Vec<Unit<'a>>> = Vec::new();
    let mut known: BTreeMap<Cause, usize> = BTreeMap::new();
    for unit in units {
        let index = key(&unit).map(|key| *known.entry(key).or_insert(groups.len()));
        match index.and_then(|index| groups.get_mut(index)) {
            Some(group) => group.push(unit),
            None => groups.push(vec![unit]),
        }
    }
    groups
}

/// Converts changes to lines without folding: one line for each change.
#[must_use]
pub fn unfolded<'a>(changes: &[&'a Change]) -> Vec<Line<'a>> {
    changes.iter().map(|change| single(change)).collect()
}

impl Line<'_> {
    /// First change of the line.
    #[must_use]
    pub fn first(&self) -> &Change {
        self.changes[0]
    }

    /// Old and new value of the line. `None` if [`Self::what`] already contains the values.
    #[must_use]
    pub fn values(&self) -> Option<Values> {
        let first = self.first();
        let own = || has_arrow(first).then(|| values(first));
        self.values.clone().or_else(own)
    }

    /// Inherited setting that causes the line. `None` for a line about one operation, and if the
    /// changes have several causes.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        let first = self.first();
        let is_same = self.changes.iter().all(|one| one.cause == first.cause);
        let concerns_several = self.changes.len() > 1 || first.operations.len() > 1;
        let cause = first.cause.as_deref();
        cause.filter(|_| is_same && concerns_several)
    }

    /// Number of changes whose source locations differ from those of the first change.
    #[must_use]
    pub fn other_places(&self) -> usize {
        let of = |change: &Change| (change.source_old.clone(), change.source_new.clone());
        let first = of(self.first());
        let others = self.changes.iter().filter(|change| of(change) != first);
        others.count()
    }

    /// Symbol shown before the line: `~` for moved operations, otherwise the symbol of the class.
    #[must_use]
    pub fn symbol(&self) -> &'static str {
        match self.is_move {
            true => "~",
            false => symbol(self.class),
        }
    }

    /// Fingerprints of the line's changes, for display. For more than two changes: the first
    /// fingerprint and the number of the others.
    #[must_use]
    pub fn fingerprints(&self) -> String {
        let shown: Vec<&str> = self
            .changes
            .iter()
            .map(|one| short(&one.fingerprint))
            .collect();
        match &shown[..] {
            [first, _, _, ..] => format!("{first} and {} more", shown.len() - 1),
            few => few.join(" "),
        }
    }
}

/// Pairs of a removal and an addition of one operation, and all other changes.
fn moved<'a>(report: &Report<'_>, changes: &[&'a Change]) -> Vec<Unit<'a>> {
    let mut candidates: BTreeMap<(&str, &BTreeSet<String>), [Vec<usize>; 2]> = BTreeMap::new();
    for (at, change) in changes.iter().enumerate() {
        let side = match change.id {
            "operation-removed" | "requests-removed" => 0,
            "operation-added" | "requests-added" => 1,
            _ => continue,
        };
        if let ([key], Section::Routing) = (&change.operations[..], change.section) {
            let known = candidates.entry((key, &change.environments)).or_default();
            known[side].push(at);
        }
    }
    let mut pairs: BTreeMap<usize, (usize, Movement)> = BTreeMap::new();
    for sides in candidates.values() {
        let [[removed], [added]] = [&sides[0][..], &sides[1][..]] else {
            continue;
        };
        let (was, is) = (changes[*removed], changes[*added]);
        let is_one_review = report.remark(was) == report.remark(is);
        if let Some(movement) = movement(was, is).filter(|_| is_one_review) {
            let (first, second) = (removed.min(added), removed.max(added));
            pairs.insert(*first, (*second, movement));
        }
    }
    let second: BTreeSet<usize> = pairs.values().map(|(second, _)| *second).collect();
    let all = changes.iter().enumerate();
    let all = all.filter(|(at, _)| !second.contains(at));
    all.map(|(at, change)| match pairs.remove(&at) {
        Some((second, movement)) => {
            let mut both = vec![*change, changes[second]];
            both.sort_by_key(|change| change.class != Class::Removed);
            Unit {
                changes: both,
                at,
                moved: Some(movement),
            }
        }
        None => Unit {
            changes: vec![*change],
            at,
            moved: None,
        },
    })
    .collect()
}

/// Describes the movement of an operation. `None` if neither path, method, hosts nor listeners
/// differ, or if several paths move differently.
fn movement(was: &Change, is: &Change) -> Option<Movement> {
    let (old, new) = (was.operation.as_ref()?, is.operation.as_ref()?);
    let (from, to): (Vec<&str>, Vec<&str>) = (
        was.paths().into_iter().collect(),
        is.paths().into_iter().collect(),
    );
    if from.len() != to.len() || from.is_empty() {
        return None;
    }
    let mut all = from.iter().zip(&to).map(|(from, to)| stems(from, to));
    let first = all.next()?;
    if all.any(|other| other.paths != first.paths) {
        return None;
    }
    let (hosts, listeners) = ([hosts(was), hosts(is)], [listeners(was), listeners(is)]);
    let label = match () {
        () if from != to => "new path",
        () if hosts[0] != hosts[1] => "new host",
        () if listeners[0] != listeners[1] => "new listener",
        () if old.method != new.method => "new method",
        () => return None,
    };
    let Stems { paths, common } = first;
    let [old_path, new_path] = paths;
    let site = |side: usize, method: &str, path: String| {
        let method = match old.method == new.method {
            true => String::new(),
            false => format!("{method} "),
        };
        let host = match hosts[0] == hosts[1] {
            true => "",
            false => &hosts[side],
        };
        let after = match listeners[0] == listeners[1] {
            true => String::new(),
            false => format!(" at listener {}", listeners[side]),
        };
        Site {
            before: format!("{method}{host}"),
            path,
            after,
        }
    };
    Some(Movement {
        label,
        sites: [
            site(0, &old.method, old_path),
            site(1, &new.method, new_path),
        ],
        common,
    })
}

impl Movement {
    /// Old and new location, with `common` in place of the common end of the paths, if there is
    /// one.
    fn text(&self, common: &str) -> String {
        let common = if self.common.is_empty() { "" } else { common };
        let [from, to] = self.sites.each_ref().map(|site| {
            let Site {
                before,
                path,
                after,
            } = site;
            format!("{before}{path}{common}{after}")
        });
        format!("{from} → {to}")
    }

    /// Old and new location, with `/…` in place of the common end, which differs between
    /// operations.
    fn pattern(&self) -> String {
        self.text("/…")
    }
}

/// Beginnings of two paths, and the segments that both have in common at the end.
struct Stems {
    paths: [String; 2],
    common: String,
}

fn stems(from: &str, to: &str) -> Stems {
    let sides: [Vec<&str>; 2] = [from, to].map(|path| path.split('/').collect());
    let [old, new] = &sides;
    // Each path begins with a slash, so the first segment is always empty. Exclude it.
    let common_max = old.len().min(new.len()) - 1;
    let pairs = old.iter().rev().zip(new.iter().rev());
    let common = pairs.take_while(|(a, b)| a == b).count().min(common_max);
    let end = &old[old.len() - common..];
    Stems {
        common: end.iter().map(|segment| format!("/{segment}")).collect(),
        paths: sides
            .each_ref()
            .map(|path| path[..path.len() - common].join("/")),
    }
}

/// Hosts of a change: a list, or `any host`.
fn hosts(change: &Change) -> String {
    let all: BTreeSet<&str> = change
        .places
        .iter()
        .flat_map(|place| place.hosts.iter().map(String::as_str))
        .collect();
    match all.is_empty() {
        true => "any host ".to_owned(),
        false => all.into_iter().collect::<Vec<_>>().join("|"),
    }
}

fn listeners(change: &Change) -> String {
    let places = change.places.iter();
    let all: BTreeSet<&str> = places.map(|place| place.listener.as_str()).collect();
    all.into_iter().collect::<Vec<_>>().join(", ")
}

/// Cause of a change. Changes with equal causes are folded into one line. `None` for a change that
/// has its own line.
fn cause(report: &Report<'_>, unit: &Unit<'_>) -> Option<Cause> {
    let (first, mut parts) = common(report, unit)?;
    match &unit.moved {
        Some(movement) => parts.extend([movement.label.to_owned(), movement.pattern()]),
        None => {
            for place in [&first.source_old, &first.source_new] {
                parts.push(format!("{place:?}"));
            }
            // For an added or removed operation, the values name the operation itself.
            if !is_of_requests(first) {
                parts.extend([&first.old, &first.new].map(ToString::to_string));
            }
        }
    }
    let ids = unit.changes.iter().map(|change| change.id).collect();
    Some((first.class, ids, first.subject.clone(), parts))
}

/// Mount and file of an added or removed operation. `None` for all other changes.
fn of_mount(report: &Report<'_>, unit: &Unit<'_>) -> Option<Cause> {
    let (first, mut parts) = common(report, unit)?;
    if unit.moved.is_some() || !is_of_requests(first) {
        return None;
    }
    for place in [&first.source_old, &first.source_new] {
        parts.push(
            place
                .as_ref()
                .map(|place| place.file.clone())
                .unwrap_or_default(),
        );
    }
    Some((first.class, vec![first.id], first.subject.clone(), parts))
}

/// Requirement that a change of access has in common with others. `None` for all other changes.
fn of_access(report: &Report<'_>, unit: &Unit<'_>, same: Same) -> Option<Cause> {
    let first = unit.changes[0];
    let parts = access::common(report, first, same)?;
    Some((first.class, vec![first.id], first.subject.clone(), parts))
}

/// True for a change in which requests are newly served or no longer served.
fn is_of_requests(change: &Change) -> bool {
    matches!(change.class, Class::Added | Class::Removed)
}

/// Returns the first change of a unit, and the properties that all changes of a folded line share:
/// API, mount, environments and review. For an operation that did not move, also hosts and
/// listeners. `None` for changes outside of Routing, and for changes of no or several operations.
fn common<'a>(report: &Report<'_>, unit: &Unit<'a>) -> Option<(&'a Change, Vec<String>)> {
    let first = unit.changes[0];
    let operation = first.operation.as_ref()?;
    if first.section != Section::Routing || first.operations.len() != 1 {
        return None;
    }
    let environments: Vec<&str> = first.environments.iter().map(String::as_str).collect();
    let mut parts = vec![
        operation.api.clone(),
        operation.mount.clone(),
        environments.join(" "),
        report.remark(first).unwrap_or_default(),
    ];
    if unit.moved.is_none() {
        parts.extend([hosts(first), listeners(first)]);
    }
    Some((first, parts))
}

fn line(units: Vec<Unit<'_>>) -> Line<'_> {
    if let [unit] = &units[..] {
        return match &unit.moved {
            None => single(unit.changes[0]),
            Some(movement) => Line {
                changes: unit.changes.clone(),
                label: movement.label,
                is_move: true,
                class: Class::Moved,
                what: printable(&moved_operation(unit, movement)),
                names: None,
                values: None,
            },
        };
    }
    let first = &units[0];
    let api = first.changes[0].operation.as_ref();
    let api = api.map_or("", |operation| &operation.api);
    if first.changes[0].section != Section::Routing {
        return line_of_access(units, api);
    }
    let operations = counted(units.len(), "operation");
    let (label, class, what) = match &first.moved {
        Some(movement) => {
            let (count, both) = (units.len(), movement.pattern());
            let text = format!("{operations} of {api}: {both} ({count} removed, {count} added)");
            (movement.label, Class::Moved, text)
        }
        None => {
            let class = first.changes[0].class;
            (
                class.name(),
                class,
                format!("{operations} of {api}{}", below(&units)),
            )
        }
    };
    let is_move = first.moved.is_some();
    let mut units = units;
    units.sort_by_key(|unit| unit.at);
    let names = units.iter().take(NAMED_MAX);
    let names = names.map(|unit| name(unit.changes[0]));
    let mut names = names.collect::<Vec<_>>().join(", ");
    if let more @ 1.. = units.len().saturating_sub(NAMED_MAX) {
        names.push_str(&format!(" and {more} more"));
    }
    Line {
        is_move,
        changes: units.into_iter().flat_map(|unit| unit.changes).collect(),
        label,
        class,
        what: printable(&what),
        names: Some(printable(&names)),
        values: None,
    }
}

/// Line of several changes of access.
fn line_of_access<'a>(units: Vec<Unit<'a>>, api: &str) -> Line<'a> {
    let changes: Vec<&Change> = units.into_iter().flat_map(|unit| unit.changes).collect();
    let count = access::operations(&changes);
    let named: Vec<String> = changes
        .iter()
        .take(NAMED_MAX)
        .map(|one| name(one))
        .collect();
    let mut names = named.join(", ");
    if let more @ 1.. = count.saturating_sub(named.len()) {
        names.push_str(&format!(" and {more} more"));
    }
    Line {
        label: changes[0].label(),
        is_move: false,
        class: changes[0].class,
        what: printable(&format!("{} of {api}", counted(count, "operation"))),
        names: Some(printable(&names)),
        values: Some(access::values(&changes)),
        changes,
    }
}

/// Method and path of an operation, with the number of its other paths: `GET /x (+1 path)`.
fn name(change: &Change) -> String {
    let Some(operation) = &change.operation else {
        return change.subject.clone();
    };
    let more = match change.paths().len().saturating_sub(1) {
        0 => String::new(),
        more => format!(" (+{})", counted(more, "path")),
    };
    format!("{} {}{more}", operation.method, operation.path)
}

fn single(change: &Change) -> Line<'_> {
    Line {
        changes: vec![change],
        label: change.label(),
        is_move: false,
        class: change.class,
        what: what(change),
        names: None,
        values: None,
    }
}

/// Old and new location of one operation: `GET /x → /v2/x (key)`.
fn moved_operation(unit: &Unit<'_>, movement: &Movement) -> String {
    let both = movement.text(&movement.common);
    let Some(operation) = &unit.changes[0].operation else {
        return both;
    };
    let method = match movement.sites[0].before.starts_with(&operation.method) {
        true => String::new(),
        false => format!("{} ", operation.method),
    };
    format!("{method}{both} ({})", operation.key)
}

/// Longest path prefix that all operations share, as ` below /v2`. Empty if they have no segment in
/// common.
fn below(units: &[Unit<'_>]) -> String {
    let paths = units.iter().filter_map(|unit| {
        let operation = unit.changes[0].operation.as_ref()?;
        Some(operation.path.split('/').collect::<Vec<_>>())
    });
    let common = paths.reduce(|common, path| {
        let both = common.into_iter().zip(path);
        let equal = both.take_while(|(a, b)| a == b);
        equal.map(|(segment, _)| segment).collect()
    });
    match common.unwrap_or_default().join("/") {
        none if none.is_empty() => String::new(),
        path => format!(" below {path}"),
    }
}
