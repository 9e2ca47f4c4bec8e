//! Source locations that several lines of a plan share. Reports for people write each of them once.

use super::fold::{Line, SectionLines};
use super::links::{SourceLink, located};

/// Source locations that a report has written last, so that it does not repeat them.
#[derive(Clone, Debug, Default)]
pub struct WrittenPlaces<'a>(Vec<SourceLink<'a>>);

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
            true => Self(places),
            false => Self::default(),
        }
    }

    /// The locations, for the text before the lines.
    #[must_use]
    pub fn all(&self) -> &[SourceLink<'a>] {
        &self.0
    }

    /// Source locations to write with a line. Empty if they were written last.
    pub fn of(&mut self, line: &Line<'a>) -> Vec<SourceLink<'a>> {
        let places = located(line.changes[0]);
        // The other locations of a line are only counted, so they can differ from those before.
        let has_others = line.other_places() > 0;
        if !has_others && places == self.0 {
            return Vec::new();
        }
        self.0 = match has_others {
            true => Vec::new(),
            false => places.clone(),
        };
        places
    }
}
