//! Plan as one HTML file without scripts and outside resources.
//!
//! Each section lists its lines as the text output does ([`super::fold`]), with the old and the new
//! value beside each other. Long lists are collapsed (`<details>`). The page follows the colour
//! scheme of the reader, and is usable by keyboard. Its Content Security Policy admits nothing but
//! its own style sheet, so that no text of a source can load or run anything.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use super::Section;
use super::change::MAY_BREAK;
use super::fold::{self, Line, SectionLines};
use super::links::SourceLink;
use super::repeated_places::{Location, WrittenPlaces};
use super::report::{Report, Values, acknowledgement_lines, more_places, sentence};
use diag::count::counted;
use diag::text::printable;

/// Number of lines of a section that are shown without expanding the section.
const OPEN_MAX: usize = 20;

const STYLE: &str = include_str!("html.css");

/// Renders a plan as an HTML document.
#[must_use]
pub fn render(report: &Report<'_>) -> String {
    let title = format!("Gateway plan: {}", report.verdict());
    let sections = fold::sections(&report.plan.changes, |changes| fold::lines(report, changes));
    let mut written = WrittenPlaces::shared(&sections);
    let body = html! {
        header {
            h1 { (title) }
            p { (printable(&report.compared())) }
            @if let Some(name) = &report.subject.environment {
                p { "Environment " code { (printable(name)) } }
            }
            @if report.plan.no_op { p { "The meaning is the same." } }
        }
        main {
            (counts(report))
            @for sentence in &report.plan.logs { p.note { (printable(sentence)) } }
            @if !written.all().is_empty() {
                p.places { "All changes: " (places(report, written.all())) }
            }
            (gates(report))
            @if sections.len() > 1 {
                nav aria-label="Sections" {
                    @for one in &sections {
                        a href={ "#" (one.section.name()) } { (heading(one.section)) " (" (report.section_counts(one.section)) ")" }
                    }
                }
            }
            @for one in &sections { (of_section(report, one, &mut written)) }
            (notes(report))
        }
    };
    page(&title, &body)
}

/// Renders a whole document with the style sheet.
pub(super) fn page(title: &str, body: &Markup) -> String {
    let digest = STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    );
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    };
    document.into_string()
}

fn heading(section: Section) -> String {
    section.name().to_uppercase()
}

/// Table with the number of changes of each class.
fn counts(report: &Report<'_>) -> Markup {
    html! {
        @if !report.plan.changes.is_empty() {
            table {
                caption { "Changes by class" }
                thead { tr { th scope="col" { "Changes" } th scope="col" { "Class" } th scope="col" { "Meaning" } } }
                tbody {
                    @for one in report.counts() {
                        tr class=(one.class.level()) {
                            td.number { (one.count) }
                            th scope="row" { (one.name) }
                            td { (one.meaning) }
                        }
                    }
                }
            }
        }
    }
}

/// Tripped gates, and the entries that accept the changes.
fn gates(report: &Report<'_>) -> Markup {
    let stopping = report.review.stopping(report.plan);
    if stopping.is_empty() {
        return Markup::default();
    }
    let lines = acknowledgement_lines(report.plan, report.review, &stopping);
    html! {
        section.blocked id="gates" {
            h2 { "Blocked" }
            ul {
                @for (gate, by) in report.review.tripped(report.plan) {
                    li { "gate " code { (gate) } " is tripped by " (counted(by.len(), "change")) }
                }
            }
            details {
                summary {
                    "To accept the changes after a review, add these lines to "
                    @match &report.review.file {
                        Some(file) => code { (printable(file)) },
                        None => { "a file that gateway.yaml names (" code { "acknowledge: FILE" } ")" },
                    }
                }
                pre tabindex="0" { (lines.join("\n")) }
            }
        }
    }
}

/// Renders one section. `written`: source locations that the page contains before the sections.
fn of_section<'a>(
    report: &Report<'_>,
    section: &SectionLines<'a>,
    written: &mut WrittenPlaces<'a>,
) -> Markup {
    let lines = section.lines.iter();
    let lines = lines.map(|one| {
        let location = written.of(one);
        written.add(one);
        line(report, one, &location)
    });
    let lines: Vec<Markup> = lines.collect();
    let (open, closed) = lines.split_at(lines.len().min(OPEN_MAX));
    html! {
        section id=(section.section.name()) {
            h2 { (heading(section.section)) " " small { (report.section_counts(section.section)) } }
            ul.lines { @for one in open { (one) } }
            @if !closed.is_empty() {
                details {
                    summary { (counted(closed.len(), "more line")) }
                    ul.lines { @for one in closed { (one) } }
                }
            }
        }
    }
}

fn line(report: &Report<'_>, one: &Line<'_>, location: &Location<'_>) -> Markup {
    let change = one.first();
    html! {
        li class=(one.class.level()) {
            p.head {
                span.class { (one.label) } " "
                strong { (one.what) }
                @if let Some(environments) = report.environments_of(change) { " (" (environments) ")" }
                " " code.fingerprint { (one.fingerprints()) }
            }
            @if let Some(remark) = report.remark(change) { p.remark { (remark) } }
            @if let Some(names) = &one.names { p { (names) } }
            @if let Some(values) = one.values() { (both(&values)) }
            @if let Some(doubt) = change.doubt() { p { (MAY_BREAK) ": " (doubt) } }
            @if let Some(reach) = &change.reaches { p { (printable(&reach.text())) } }
            @match location {
                Location::New(located) if !located.is_empty() => {
                    p.places { (cause(one)) (places(report, located)) (more_places(one.other_places())) }
                }
                Location::Of(fingerprint) => {
                    p.places { (cause(one)) "at the place of " code { (fingerprint) } }
                }
                Location::New(_) | Location::Last => {}
            }
            @if let Some(witness) = &change.witness {
                details { summary { "Witness" } p { (sentence(witness)) } }
            }
            @if let Some(example) = change.message.as_ref().and_then(|message| message.example()) {
                details { summary { "Example" } p { (printable(&example)) } }
            }
            @if let Some(met) = &change.met { p { "Meets " (met.sentence()) } }
        }
    }
}

/// Inherited setting that causes a line, before its source locations.
fn cause(one: &Line<'_>) -> Markup {
    html! { @if let Some(cause) = one.cause() { code { (cause) } ": " } }
}

/// Old and new value, side by side.
pub(super) fn both(values: &Values) -> Markup {
    html! {
        div.values {
            @if !values.subject.is_empty() { p.subject { (values.subject) } }
            @if let Some(old) = &values.old { del { (old) } span aria-label="becomes" { "→" } }
            ins { (values.new) }
        }
    }
}

/// Source locations, as links if their addresses are known.
fn places(report: &Report<'_>, located: &[SourceLink<'_>]) -> Markup {
    html! {
        @for (index, place) in located.iter().enumerate() {
            @if index > 0 { ", " }
            (place.word) " "
            @match report.subject.links.to(place) {
                Some(link) => a href=(link) { code { (place.text()) } },
                None => code { (place.text()) },
            }
        }
    }
}

fn notes(report: &Report<'_>) -> Markup {
    let missing = &report.plan.missing;
    html! {
        @if missing.contains(&"source") {
            p { "DOCS are unavailable: the old side's sources cannot be read." }
        }
        @if missing.contains(&"schemas") {
            p {
                "Schemas were not compared: one of the bundles was built by a gwc that did not \
                 record them."
            }
        }
        @for note in &report.plan.notes { p.note { (printable(note)) } }
    }
}
