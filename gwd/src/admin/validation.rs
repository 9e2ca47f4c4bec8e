//! Override of request validation by an operator, until the next activation.

use policy::validation::Mode;
use serde_json::json;

use super::order::{self, ValidationOrder};
use crate::published::Shared;
use crate::runtime::program_log::{Audit, OK};

/// Value of `mode` that ends the operator's override of validation.
const RESTORE: &str = "restore";

/// Sets or ends the override of validation, and writes an audit line.
///
/// # Errors
/// If the body is invalid, or no bundle runs.
pub(super) fn order(shared: &Shared, body: &[u8], who: &str) -> Result<(), String> {
    let read = order::read::<ValidationOrder>(body);
    let before = shared.validation_limit.status();
    let requested = read.as_ref().ok();
    let audit = Audit {
        what: "validation",
        who,
        from: Some(before["mode"].as_str().unwrap_or(RESTORE).to_owned()),
        to: requested.map(|order| order.mode.clone()),
        why: requested.and_then(|order| order.reason.as_deref()),
        result: OK,
    };
    let carried_out = match &read {
        Ok(order) => carry_out(shared, order),
        Err(why) => Err(why.clone()),
    };
    match carried_out {
        Ok(()) => audit.write("the override of request validation was changed", json!({})),
        Err(_) => Audit {
            result: "bad-request",
            ..audit
        }
        .write(
            "the override of request validation was not changed",
            json!({}),
        ),
    }
    carried_out
}

fn carry_out(shared: &Shared, order: &ValidationOrder) -> Result<(), String> {
    let mode = match order.mode.as_str() {
        RESTORE => {
            shared.validation_limit.lift();
            return Ok(());
        }
        "off" => Mode::Off,
        "log" => Mode::Log,
        _ => return Err(format!("`mode` must be `off`, `log` or `{RESTORE}`")),
    };
    let current = shared.current();
    let current = current.ok_or("no bundle is active; there is nothing to limit")?;
    let why = order.reason.as_deref();
    let limit = &shared.validation_limit;
    limit.set(mode, current.loaded.bundle, why);
    Ok(())
}
