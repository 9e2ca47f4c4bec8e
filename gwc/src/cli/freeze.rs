//! Freeze windows (`release.freeze`): `gwc apply` and `gwc promote` refuse to move the channel
//! inside of a window. Rollbacks are always possible.

use bundle::moment::Moment;
use diag::text::printable;
use model::exit::{Exit, Failure};
use model::freeze::{self, Freeze};

use super::options::REASON_MAX;
use super::say;
use crate::release::{self, Place};

#[derive(Debug, clap::Args)]
pub(super) struct FreezeOption {
    /// Proceed in a freeze window of gateway.yaml, for this reason; the signed record has it
    #[arg(long, value_name = "REASON", value_parser = reason)]
    override_freeze: Option<String>,
}

impl FreezeOption {
    /// Refuses to move the channel in a freeze window, unless the option has a reason. Returns this
    /// reason for the record; `None` if there is no window.
    pub(super) fn check(&self, place: &Place) -> anyhow::Result<Option<String>> {
        let now = release::now();
        match (freeze::current(&place.freeze, now), &self.override_freeze) {
            (None, None) => Ok(None),
            (None, Some(_)) => {
                say::note_once(
                    "note: there is no freeze now, so the record does not have the reason of \
                     --override-freeze",
                );
                Ok(None)
            }
            (Some(freeze), None) => Err(refusal(place, &freeze, now).into()),
            (Some(freeze), Some(reason)) => {
                say::note_once(&format!(
                    "warning: proceeding in a freeze of channel {}{}: {}",
                    place.channel,
                    until(&freeze),
                    printable(&freeze.window.reason)
                ));
                Ok(Some(reason.clone()))
            }
        }
    }
}

/// Prints a note if a release is refused now because of a freeze window.
pub(super) fn note(place: &Place) {
    if let Some(freeze) = freeze::current(&place.freeze, release::now()) {
        say::note_once(&format!(
            "note: channel {} is frozen{}: {}; `gwc apply` refuses to release",
            place.channel,
            until(&freeze),
            printable(&freeze.window.reason)
        ));
    }
}

fn refusal(place: &Place, freeze: &Freeze<'_>, now: Moment) -> Failure {
    Failure::new(
        Exit::ROLLOUT,
        "frozen",
        format!(
            "channel {} is frozen{} (now {now}): {}; try again later, or pass --override-freeze \
             REASON. `gwc rollback` and `gwc abort` are possible",
            place.channel,
            until(freeze),
            printable(&freeze.window.reason)
        ),
    )
}

fn until(freeze: &Freeze<'_>) -> String {
    freeze.until.map_or_else(
        || " without an end".to_owned(),
        |until| format!(" until {until}"),
    )
}

/// Checks a reason for a release in a freeze window.
fn reason(text: &str) -> Result<String, String> {
    match text.trim().is_empty() {
        true => Err("the reason is empty".to_owned()),
        false if text.chars().count() > REASON_MAX => {
            Err(format!("the reason is longer than {REASON_MAX} characters"))
        }
        false => Ok(text.to_owned()),
    }
}
