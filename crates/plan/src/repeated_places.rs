//! Source locations that several lines of a plan share. Reports for people write each of them once.

use std::collections::BTreeMap;

use super::fold::{Line, SectionLines};
use super::links::{SourceLink, located};
use super::short;

/// Source locations that a report has written so far, so that it does not repeat them.
#[derive(Clone, Debug, Default)]
pub struct WrittenPlaces<'a> {
    /// Locations before all lines, which all of them share.
    shared: Vec<SourceLink<'a>>,
    /// Texts of the locations of the last line.
    last: Vec<String>,
    /// Short fingerprint of the line that has these locations, by their texts.
    lines: BTreeMap<Vec<String>, &'a str>,
}

/// Source locations of a line, as a report writes them.
#[derive(Clone, Debug)]
pub enum Location<'a> {
    /// Locations that the report has not written yet. May be empty.
    New(Vec<SourceLink<'a>>),
    /// The locations are those of the text directly before the line: the report writes nothing.
    Last,
    /// The locations are those of an earlier line with this short fingerprint.
    Of(&'a str),
}

fn texts(places: &[SourceLink<'_>]) -> Vec<String> {
    let places = places.iter();
    let places = places.map(|one| format!("{} {}", one.word, one.text()));
    places.collect()
}

impl<'a> WrittenPlaces<'a> {
    /// Source locations that all lines share, which a report writes before the lines. Empty if the
    /// locations differ, or if there is only one line.
    #[must_use]
    pub fn shared(sections: &[SectionLines<'a>]) -> Self {
        let mut lines = sections.iter().flat_map(|section| &section.lines);
        let (Some(first), Some(second)) = (lines.next(), lines.next()) else {
            return Self::default();
        };
        let places = located(first.changes[0]);
        let is_shared =
            |line: &Line<'_>| line.other_places() == 0 && located(line.changes[0]) == places;
        match is_shared(first) && is_shared(second) && lines.all(is_shared) {
            true => Self {
                last: texts(&places),
                shared: places,
                lines: BTreeMap::new(),
            },
            false => Self::default(),
        }
    }

    /// The locations that all lines share, for the text before the lines.
    #[must_use]
    pub fn all(&self) -> &[SourceLink<'a>] {
        &self.shared
    }

    /// Source locations to write with a line. A line with several locations shows the first
    /// location and the number of the others, and never refers to an earlier line.
    #[must_use]
    pub fn of(&self, line: &Line<'a>) -> Location<'a> {
        let places = located(line.changes[0]);
        if places.is_empty() || line.other_places() > 0 {
            return Location::New(places);
        }
        let texts = texts(&places);
        match self.lines.get(&texts) {
            _ if texts == self.last => Location::Last,
            Some(fingerprint) => Location::Of(fingerprint),
            None => Location::New(places),
        }
    }

    /// Records that a report has written a line.
    pub fn add(&mut self, line: &Line<'a>) {
        let change = line.changes[0];
        self.last = match line.other_places() {
            0 => texts(&located(change)),
            _ => Vec::new(),
        };
        let known = self.lines.entry(self.last.clone());
        known.or_insert_with(|| short(&change.fingerprint));
    }
}
