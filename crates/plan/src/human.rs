//! Plan as text for people: counts first, then one line per change. Changes of routing with one
//! cause share a line ([`super::fold`]). Long lists are shortened.

use std::collections::BTreeMap;

use super::change::MAY_BREAK;
use super::fold::{self, Line};
use super::links::{SourceLink, located};
use super::repeated_places::{Location, WrittenPlaces};
use super::report::{Report, acknowledgement_lines, joined, more_places, sentence};
use super::{Class, Section};
use diag::text::printable;

/// Options of the text output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// True to use colours.
    pub color: bool,
    /// True to show all changes of long lists, one per line.
    pub all: bool,
}

/// Maximum number of changes of one class and section that are shown. The rest are counted.
const SHOWN_MAX: usize = 20;

/// Maximum number of fingerprints in the message about tripped gates.
const NAMED_MAX: usize = 10;

/// Renders a plan as text.
#[must_use]
pub fn render(report: &Report<'_>, look: Look) -> String {
    let plan = report.plan;
    let paint = Paint { color: look.color };
    let mut out = format!("Plan: {}\n", report.compared());
    if plan.no_op {
        out.push_str("No changes: the meaning is the same.\n");
    }
    if plan.changes.is_empty() {
        logs(&mut out, report);
        missing(&mut out, report);
        return out;
    }
    counts(&mut out, report, paint);
    logs(&mut out, report);
    let sections = fold::sections(&plan.changes, |changes| match look.all {
        true => fold::unfolded(changes),
        false => fold::lines(report, changes),
    });
    let mut written = match look.all {
        true => WrittenPlaces::default(),
        false => WrittenPlaces::shared(&sections),
    };
    if !written.all().is_empty() {
        let places = format!("all changes: {}", texts(written.all()));
        out.push_str(&format!("  {}\n", paint.dim(&places)));
    }
    for one in &sections {
        let heading = paint.bold(&one.section.name().to_uppercase());
        out.push_str(&format!("\n{heading}\n"));
        lines(&mut out, report, &one.lines, &mut written, (look, paint));
    }
    missing(&mut out, report);
    gates(&mut out, report, paint);
    out
}

/// Renders the results of replayed logs.
fn logs(out: &mut String, report: &Report<'_>) {
    for sentence in &report.plan.logs {
        out.push_str(&format!("{sentence}\n"));
    }
}

/// Renders the number of changes of each class, with the meaning of the class.
fn counts(out: &mut String, report: &Report<'_>, paint: Paint) {
    let counts = report.counts();
    let widest = counts.iter().map(|one| one.count.to_string().len()).max();
    let width = widest.unwrap_or_default();
    for one in counts {
        let (count, meaning) = (one.count, paint.dim(one.meaning));
        out.push_str(&format!("  {count:>width$} {:<12} {meaning}\n", one.name));
    }
}

/// Renders the changes of a section. Shows at most [`SHOWN_MAX`] lines of each class and counts the
/// rest. A location is written once, except with [`Look::all`].
fn lines<'a>(
    out: &mut String,
    report: &Report<'_>,
    lines: &[Line<'a>],
    written: &mut WrittenPlaces<'a>,
    (look, paint): (Look, Paint),
) {
    let mut shown: BTreeMap<Class, usize> = BTreeMap::new();
    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    for one in lines {
        let count = shown.entry(one.class).or_default();
        if *count < SHOWN_MAX || look.all {
            *count += 1;
            let location = match look.all {
                true => Location::New(located(one.first())),
                false => written.of(one),
            };
            written.add(one);
            line(out, report, (one, &location), (look, paint));
        } else {
            *left.entry(one.label).or_default() += one.changes.len();
        }
    }
    for (label, count) in left {
        out.push_str(&paint.dim(&format!(
            "  … and {count} more {label} (--all shows them)\n"
        )));
    }
}

/// Renders a line with its source locations.
fn line(
    out: &mut String,
    report: &Report<'_>,
    (line, location): (&Line<'_>, &Location<'_>),
    (look, paint): (Look, Paint),
) {
    let (symbol, change) = (line.symbol(), line.first());
    let remark = report
        .remark(change)
        .map(|remark| format!(" ({remark})"))
        .unwrap_or_default();
    let environments = report
        .environments_of(change)
        .map(|environments| format!(" ({environments})"));
    // People read the meaning of a check; `--all` also names it.
    let id = match change.message.is_some() && look.all {
        true => format!(" {}", change.id),
        false => String::new(),
    };
    let head = format!(
        "{symbol} {:<12} {}{}  {}{remark}",
        line.label,
        line.what,
        environments.unwrap_or_default(),
        paint.dim(&(line.fingerprints() + &id))
    );
    out.push_str("  ");
    out.push_str(&if symbol == "!" {
        paint.red(&head)
    } else {
        head
    });
    out.push('\n');
    if let Some(names) = &line.names {
        out.push_str(&format!("      {names}\n"));
    }
    if let Some(values) = line.values() {
        out.push_str(&format!("      {}\n", joined(values)));
    }
    if let Some(doubt) = change.doubt() {
        out.push_str(&format!("      {MAY_BREAK}: {doubt}\n"));
    }
    if let Some(reach) = &change.reaches {
        out.push_str(&format!("      {}\n", reach.text()));
    }
    let places = match location {
        Location::New(places) if !places.is_empty() => {
            Some(texts(places) + &more_places(line.other_places()))
        }
        Location::Of(fingerprint) => Some(format!("at the place of {fingerprint}")),
        Location::New(_) | Location::Last => None,
    };
    if let Some(places) = places {
        let cause = line.cause().map(|cause| format!("{cause}: "));
        let places = cause.unwrap_or_default() + &places;
        out.push_str(&format!("      {}\n", paint.dim(&places)));
    }
    if let Some(witness) = change.witness.as_ref().filter(|_| {
        let is_shown = matches!(change.section, Section::Security | Section::Breaking);
        is_shown || change.class == Class::Moved
    }) {
        out.push_str(&format!("      witness: {}\n", sentence(witness)));
    }
    if let Some(example) = change
        .message
        .as_ref()
        .and_then(|message| message.example())
    {
        out.push_str(&format!("      for example {}\n", printable(&example)));
    }
    if let Some(met) = &change.met {
        out.push_str(&format!("      meets {}\n", met.sentence()));
    }
}

/// Text of source locations: `was gateway.yaml:3:11, now gateway.yaml:3:36`.
fn texts(places: &[SourceLink<'_>]) -> String {
    let places = places.iter();
    let places = places.map(|one| format!("{} {}", one.word, one.text()));
    places.collect::<Vec<_>>().join(", ")
}

fn missing(out: &mut String, report: &Report<'_>) {
    if report.plan.missing.contains(&"source") {
        out.push_str("\nDOCS are unavailable: the old side's sources cannot be read\n");
    }
    if report.plan.missing.contains(&"schemas") {
        out.push_str(
            "\nSchemas were not compared: one of the bundles was built by a gwc that did not \
record them\n",
        );
    }
    for note in &report.plan.notes {
        out.push_str(&format!("\n{note}\n"));
    }
}

/// Writes the tripped gates, and the acknowledgements that would allow the changes.
fn gates(out: &mut String, report: &Report<'_>, paint: Paint) {
    let stopping = report.review.stopping(report.plan);
    if stopping.is_empty() {
        return;
    }
    out.push('\n');
    for (gate, by) in report.review.tripped(report.plan) {
        let named: Vec<&str> = by.iter().take(NAMED_MAX).map(String::as_str).collect();
        let more = match by.len().saturating_sub(NAMED_MAX) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        out.push_str(&paint.red(&format!(
            "gate `{gate}` is tripped by {}{more}\n",
            named.join(", ")
        )));
    }
    let lines = acknowledgement_lines(
        report.plan,
        report.review,
        &stopping[..stopping.len().min(NAMED_MAX)],
    );
    match &report.review.file {
        Some(file) => out.push_str(&format!(
            "To accept a reviewed change, add its line to {}, or pass --ack FINGERPRINT=REASON:\n",
            printable(file)
        )),
        None => out.push_str(
            "To accept a reviewed change, pass --ack FINGERPRINT=REASON, or add its line to a file \
that gateway.yaml names (`acknowledge: FILE`):\n",
        ),
    }
    for line in lines {
        out.push_str(&format!("  {line}\n"));
    }
    if stopping.len() > NAMED_MAX {
        out.push_str(&format!(
            "  … and {} more (--format json shows all fingerprints)\n",
            stopping.len() - NAMED_MAX
        ));
    }
}

#[derive(Clone, Copy)]
struct Paint {
    color: bool,
}

impl Paint {
    fn wrap(self, code: &str, text: &str) -> String {
        if self.color {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
    fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }
    fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }
    fn red(self, text: &str) -> String {
        self.wrap("31", text)
    }
}
