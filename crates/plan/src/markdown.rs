//! Plan as a comment on a pull request, at most [`BYTES_MAX`] bytes long.
//!
//! The head contains the counts, the tripped gates and the fingerprints to acknowledge, and is
//! never truncated. Details follow in collapsed sections. Lines that do not fit are omitted and
//! counted. Text from sources is in code spans (CommonMark §6.1), which disable links, mentions,
//! tags and tables. Source locations are links if the address of the commit is known.

use super::change::MAY_BREAK;
use super::fold::{self, Line, SectionLines};
use super::links::SourceLink;
use super::repeated_places::{Location, WrittenPlaces};
use super::report::{Report, acknowledgement_lines, arrow_within, joined, more_places, sentence};
use super::{Change, Class, Section};
use diag::count::counted;
use diag::text::printable;

/// Maximum size of a comment, in bytes: 60,000. GitHub accepts 65,536 characters.
pub const BYTES_MAX: usize = 60_000;

/// Maximum number of results of replayed logs that the head contains.
const LOGS_MAX: usize = 16;

/// Maximum number of blocked changes that the head describes.
const STOPPING_MAX: usize = 30;

/// Maximum number of fingerprints that the head lists.
const LISTED_MAX: usize = 200;
/// Minimum space for sections and notes after the list of fingerprints, in bytes.
const REST_BYTES: usize = 12_000;
/// Maximum size of all notes, in bytes.
const NOTES_BYTES_MAX: usize = 6_000;
/// Maximum length of one note, in characters.
const NOTE_MAX: usize = 1_500;

/// Maximum length of one code span, in characters.
const SPAN_MAX: usize = 240;

/// Maximum length of a witness, in characters. A longer witness is omitted, because part of a
/// request is useless.
const WITNESS_MAX: usize = 20_000;

/// Maximum length of a code span before the sections of the comment, in characters.
const HEAD_SPAN_MAX: usize = 100;

/// Maximum length of the values of a blocked change in the head, in characters.
const ARROW_MAX: usize = 180;

/// Bytes reserved for the last line, and for the markup of each section.
const FOOT_BYTES: usize = 400;

/// Renders a plan as Markdown.
#[must_use]
pub fn render(report: &Report<'_>) -> String {
    let sections = fold::sections(&report.plan.changes, |changes| fold::lines(report, changes));
    let mut written = WrittenPlaces::shared(&sections);
    let mut out = head(report, &written);
    let notes = notes(report);
    let mut left_out = 0;
    for (index, section) in sections.iter().enumerate() {
        // Reserve space for the headings of later sections.
        let later = (sections.len() - index - 1) * FOOT_BYTES + FOOT_BYTES + notes.len();
        let room = BYTES_MAX.saturating_sub(out.len() + later);
        left_out += folded(&mut out, report, section, &mut written, room);
    }
    if report.plan.missing.contains(&"source") {
        out.push_str("\nDOCS are unavailable: the old side's sources cannot be read.\n");
    }
    if report.plan.missing.contains(&"schemas") {
        out.push_str(
            "\nSchemas were not compared: one of the bundles was built by a gwc that did \
not record them.\n",
        );
    }
    out.push_str(&notes);
    if left_out > 0 {
        out.push_str(&format!(
            "\n_{} left out here: `--format human --all` or `-o plan.json` shows all._\n",
            counted(left_out, "change")
        ));
    }
    out
}

/// Renders the head of the comment: title, counts, blocked changes, and fingerprints to
/// acknowledge. `written`: source locations that all changes share.
fn head(report: &Report<'_>, written: &WrittenPlaces<'_>) -> String {
    let stopping = report.review.stopping(report.plan);
    let verdict = report.verdict();
    let environment = match &report.subject.environment {
        Some(name) => format!(", environment {}", code(name, HEAD_SPAN_MAX)),
        None => String::new(),
    };
    // A later run searches for this marker to update the comment.
    let mut out = format!("<!-- gwc plan -->\n### Gateway plan: {verdict}\n");
    out.push_str(&counts(report));
    for sentence in report.plan.logs.iter().take(LOGS_MAX) {
        out.push_str(&format!("\n{}\n", code(sentence, SPAN_MAX)));
    }
    out.push_str(&format!(
        "\n{}{environment}\n",
        code(&report.compared(), SPAN_MAX)
    ));
    if report.plan.changes.is_empty() {
        return out;
    }
    if !written.all().is_empty() {
        out.push_str(&format!(
            "\nAll changes: {}\n",
            places(report, written.all())
        ));
    }
    if !stopping.is_empty() {
        blocked(&mut out, report, &stopping);
        acknowledgements(&mut out, report, &stopping);
    }
    out
}

/// Line after the title of the comment: number of operations of each class, with its meaning. If no
/// caller gains or loses access and no client breaks, the line states this.
fn counts(report: &Report<'_>) -> String {
    if report.result() == "ok" {
        return "\nThe meaning is the same.\n".to_owned();
    }
    let counts = report.counts();
    if counts.is_empty() {
        return String::new();
    }
    let is_harmless = counts
        .iter()
        .all(|one| matches!(one.class, Class::Added | Class::Changed | Class::Doc));
    let each = counts
        .iter()
        .map(|one| format!("**{}** {} ({})", one.count, one.name, one.meaning));
    let each = each.collect::<Vec<_>>().join(" · ");
    match is_harmless {
        true => format!("\nNo break, and the same callers have access: {each}\n"),
        false => format!("\n{each}\n"),
    }
}

/// Renders the tripped gates and the changes that trip them.
fn blocked(out: &mut String, report: &Report<'_>, stopping: &[String]) {
    out.push('\n');
    for (gate, by) in report.review.tripped(report.plan) {
        out.push_str(&format!(
            "- gate `{gate}` is tripped by {}\n",
            counted(by.len(), "change")
        ));
    }
    out.push('\n');
    let stops = |change: &&Change| stopping.contains(&change.fingerprint);
    let described: Vec<&Change> = report.plan.changes.iter().filter(stops).collect();
    let sections = Section::ALL.into_iter().flat_map(|section| {
        let of_section = described.iter().filter(|change| change.section == section);
        fold::lines(report, &of_section.copied().collect::<Vec<_>>())
    });
    let mut left = described.len();
    for one in sections.take(STOPPING_MAX) {
        left -= one.changes.len();
        out.push_str(&blocked_line(report, &one));
    }
    if left > 0 {
        out.push_str(&format!("- … and {left} more\n"));
    }
}

/// Renders a line of changes that trip a gate, in the form of the sections but without locations.
fn blocked_line(report: &Report<'_>, one: &Line<'_>) -> String {
    let change = one.first();
    let arrow = match (one.changes.len(), one.values()) {
        (_, None) => None,
        (1, Some(_)) => Some(arrow_within(change, ARROW_MAX)),
        (_, Some(values)) => Some(joined(values)),
    };
    let arrow = arrow.map(|arrow| format!(" {}", code(&arrow, ARROW_MAX)));
    let names = one.names.as_ref();
    let names = names.map(|names| format!("\n  - {}", code(names, HEAD_SPAN_MAX)));
    format!(
        "- `{}` **{}** {}{}{}{}\n",
        one.fingerprints(),
        one.label,
        code(&one.what, HEAD_SPAN_MAX),
        environments_text(report, change),
        arrow.unwrap_or_default(),
        names.unwrap_or_default()
    )
}

/// Renders the entries that accept the changes, as many as fit.
fn acknowledgements(out: &mut String, report: &Report<'_>, stopping: &[String]) {
    // Leave out a line that does not fit, because a truncated entry would acknowledge nothing.
    let mut lines = acknowledgement_lines(
        report.plan,
        report.review,
        &stopping[..stopping.len().min(LISTED_MAX)],
    );
    let room = BYTES_MAX.saturating_sub(out.len() + REST_BYTES);
    let mut used = 0;
    let fits = lines.iter().take_while(|line| {
        used += line.len() + 1;
        used <= room
    });
    let shown = fits.count();
    lines.truncate(shown);
    let into = match &report.review.file {
        Some(file) => code(file, HEAD_SPAN_MAX),
        None => "a file that gateway.yaml names (`acknowledge: FILE`)".to_owned(),
    };
    out.push_str(&format!(
        "\nTo accept the changes after a review, add these lines to {into}:\n\n```yaml\n{}\n```\n",
        lines.join("\n")
    ));
    if stopping.len() > shown {
        out.push_str(&format!(
            "\n… and {} more (`-o plan.json` shows all fingerprints).\n",
            stopping.len() - shown
        ));
    }
}

/// Renders as many notes as fit.
fn notes(report: &Report<'_>) -> String {
    let mut out = String::new();
    for note in &report.plan.notes {
        let note = format!("\n{}\n", code(note, NOTE_MAX));
        if out.len() + note.len() <= NOTES_BYTES_MAX {
            out.push_str(&note);
        }
    }
    out
}

/// Renders one collapsed section, without its heading, in at most `room` bytes. `written`: source
/// locations of the comment so far. Returns the number of omitted changes.
fn folded<'a>(
    out: &mut String,
    report: &Report<'_>,
    section: &SectionLines<'a>,
    written: &mut WrittenPlaces<'a>,
    room: usize,
) -> usize {
    out.push_str(&format!(
        "\n<details><summary>{}: {}</summary>\n\n",
        section.section.name().to_uppercase(),
        report.section_counts(section.section)
    ));
    let mut used = 0;
    let mut shown = 0;
    for one in &section.lines {
        let line = line(report, one, &written.of(one));
        if used + line.len() > room {
            break;
        }
        written.add(one);
        used += line.len();
        shown += one.changes.len();
        out.push_str(&line);
    }
    let left_out = section.count - shown;
    if left_out > 0 {
        out.push_str(&format!("- _… and {left_out} more_\n"));
    }
    out.push_str("\n</details>\n");
    left_out
}

fn line(report: &Report<'_>, one: &Line<'_>, location: &Location<'_>) -> String {
    let change = one.first();
    let mut line = format!(
        "- `{}` **{}** {}{} `{}`",
        one.symbol(),
        one.label,
        code(&one.what, SPAN_MAX),
        environments_text(report, change),
        one.fingerprints()
    );
    if let Some(remark) = report.remark(change) {
        line.push(' ');
        line.push_str(&code(&remark, SPAN_MAX));
    }
    line.push('\n');
    if let Some(names) = &one.names {
        line.push_str(&format!("  - {}\n", code(names, SPAN_MAX)));
    }
    if let Some(values) = one.values() {
        let arrow = match one.changes.len() {
            1 => arrow_within(change, SPAN_MAX),
            _ => joined(values),
        };
        line.push_str(&format!("  - {}\n", code(&arrow, SPAN_MAX)));
    }
    if let Some(doubt) = change.doubt() {
        line.push_str(&format!("  - {MAY_BREAK}: {doubt}\n"));
    }
    if let Some(reach) = &change.reaches {
        line.push_str(&format!("  - {}\n", code(&reach.text(), SPAN_MAX)));
    }
    let cause = one
        .cause()
        .map(|cause| format!("{}: ", code(cause, SPAN_MAX)));
    let cause = cause.unwrap_or_default();
    match location {
        Location::New(located) if !located.is_empty() => {
            let (places, more) = (places(report, located), more_places(one.other_places()));
            line.push_str(&format!("  - {cause}{places}{more}\n"));
        }
        Location::Of(fingerprint) => {
            line.push_str(&format!("  - {cause}at the place of `{fingerprint}`\n"));
        }
        Location::New(_) | Location::Last => {}
    }
    if let Some(witness) = &change.witness {
        line.push_str(&format!(
            "  - witness: {}\n",
            code(&sentence(witness), WITNESS_MAX)
        ));
    }
    if let Some(example) = change
        .message
        .as_ref()
        .and_then(|message| message.example())
    {
        line.push_str(&format!(
            "  - for example {}\n",
            code(&example, WITNESS_MAX)
        ));
    }
    if let Some(met) = &change.met {
        line.push_str(&format!(
            "  - meets {}\n",
            code(&met.sentence(), WITNESS_MAX)
        ));
    }
    line
}

/// Source locations as text, as links if their addresses are known.
fn places(report: &Report<'_>, located: &[SourceLink<'_>]) -> String {
    let place = |one: &SourceLink<'_>| {
        let (word, text) = (one.word, code(&one.text(), SPAN_MAX));
        match report.subject.links.to(one) {
            Some(link) => format!("{word} [{text}]({link})"),
            None => format!("{word} {text}"),
        }
    };
    let places = located.iter().map(place);
    places.collect::<Vec<_>>().join(", ")
}

/// Environments of a change, preceded by a space. Empty if the change occurs in all environments.
fn environments_text(report: &Report<'_>, change: &Change) -> String {
    let environments = report.environments_of(change);
    environments.map_or_else(String::new, |environments| {
        format!(" {}", code(&environments, HEAD_SPAN_MAX))
    })
}

/// Formats a code span on one line. The fence is longer than any run of backticks in the text, so
/// that the text cannot end the span.
pub(super) fn code(text: &str, chars_max: usize) -> String {
    let text = printable(text);
    let mut clipped: String = text.chars().take(chars_max).collect();
    if clipped.len() < text.len() {
        clipped.push('…');
    }
    let clipped = clipped.replace('\t', " ");
    let mut longest = 0;
    let mut run = 0;
    for c in clipped.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    let fence = "`".repeat(longest + 1);
    // Markdown removes one space from each end if both ends have one.
    let pad = if longest > 0 || clipped.trim().is_empty() || clipped.starts_with(' ') {
        " "
    } else {
        ""
    };
    format!("{fence}{pad}{clipped}{pad}{fence}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_span_cannot_be_ended_by_its_text() {
        assert_eq!(code("a|b<c>@d", 99), "`a|b<c>@d`");
        assert_eq!(code("a`b", 99), "`` a`b ``");
        assert_eq!(code("``", 99), "``` `` ```");
        assert_eq!(code("a\n- b", 99), "`a␊- b`");
        assert_eq!(code("", 99), "`  `");
        assert_eq!(code("abcdef", 3), "`abc…`");
    }
}
