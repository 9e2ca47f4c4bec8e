//! Lines about the messages that only one side of a cell accepts, with their witnesses.

use validator::compare::Difference;
use validator::example::{Examples, NoExample};
use validator::example_response::ResponseReading;

use super::cell::{Cell, CellResults, Cells, NO_REQUEST};
use super::{Pair, Route};
use crate::security::schemas::{self, EnforcedDescriptions, EnforcedLine};
use crate::{Change, Witness};

/// Reason for a missing witness: none of the generated messages shows the change.
const NO_MESSAGE: &str = "no example: both versions treat every generated message alike";
/// Reason for a missing witness: the schemas of the messages refer to each other too often.
const TOO_MANY_STEPS: &str = "no example: the search for a message ended at its limit of steps";
/// Reason for a missing witness: no generated request has a response on both sides.
const NO_RESPONSE: &str = "no example: no generated request reaches the upstream in both versions";

impl<'a> Cells<'_, 'a> {
    /// Reports differences between the sets of messages that the old side and the new side accept.
    pub(super) fn messages(
        &self,
        pair: &Pair,
        cell: &Cell,
        is: &Route<'_>,
        results: &mut CellResults,
    ) {
        let Some(enforced) = &pair.enforced else {
            return;
        };
        let examples = enforced.examples();
        for (line, difference) in enforced.lines() {
            let EnforcedLine {
                section,
                class,
                id,
                subject,
                old,
                new,
            } = line;
            let change = Change::new(section, class, id, subject, old, new);
            if id == schemas::FORWARDED {
                self.push(results, change, is, None, NO_REQUEST);
                continue;
            }
            let found = match &difference.status {
                None => schemas::example(&examples, difference)
                    .map(|found| self.with_message(cell, found, results))
                    .map_err(why)
                    .and_then(|found| found.ok_or(NO_MESSAGE)),
                Some(_) => self.response(cell, (enforced, &examples), difference, results),
            };
            let (witness, why) = match found {
                Ok(witness) => (Some(witness), NO_MESSAGE),
                Err(why) => (None, why),
            };
            self.push(results, change, is, witness, why);
        }
    }

    /// Finds a request and a response of the upstream that only one side passes to the client.
    fn response(
        &self,
        cell: &Cell,
        (enforced, examples): (&EnforcedDescriptions, &Examples<'_>),
        difference: &Difference,
        results: &mut CellResults,
    ) -> Result<Witness, &'static str> {
        let reading = ResponseReading {
            has_content: cell.bare.method != "HEAD",
            is_endless: enforced.is_endless,
        };
        let found = schemas::example_response(examples, difference, reading);
        let (response, opens) = found.map_err(why)?;
        let request = match enforced.checks_requests {
            true => Some(examples.request().ok_or(NO_RESPONSE)?),
            false => None,
        };
        self.with_response(cell, (request, response), opens, results)
            .ok_or(NO_RESPONSE)
    }
}

/// Reason for a missing witness.
fn why(none: NoExample) -> &'static str {
    match none {
        NoExample::TooManySteps => TOO_MANY_STEPS,
        NoExample::Alike => NO_MESSAGE,
    }
}
