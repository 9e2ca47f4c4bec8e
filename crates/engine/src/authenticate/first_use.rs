//! Credentials that are accepted once: proofs of possession, and nonces of signatures.
//!
//! The table of this process decides first. Then each store that the verifiers of the satisfied
//! alternative name records the credential, unless it has a record already. A store that a verifier
//! of this process named before a release is called in the same way, until its records are too old.

use std::sync::Arc;

use policy::Cx;
use policy::ask::{AskId, CheckResult, Effect};
use policy::auth::Life;
use policy::store::{OnOutage, Store, StoreOutage};
use policy::used::{FirstUse, Table};

use super::caller::Caller;

/// Used credential of a request.
#[derive(Clone, Copy)]
struct Credential {
    table: Table,
    hash: [u8; 16],
    life: Life,
}

/// Reason why a credential is not known to be used for the first time.
pub(super) enum NotFirst {
    /// The credential was used before.
    Replayed,
    /// A store does not answer, and its verifier requires an answer.
    Unavailable,
    /// A store must be called first.
    Ask(Box<Effect>),
}

/// Stores that the verifiers of an alternative name, with their tables.
pub(super) type Named<'s> = [(Table, &'s Arc<Store>)];

/// Checks that the proof and the nonces of a caller were not used before: in this process, and in
/// the stores of the satisfied alternative. Returns true if these stores have recorded all of them.
///
/// # Errors
/// The reason why a credential is not known to be used for the first time, with its table.
pub(super) fn check<'s>(
    named: &Named<'s>,
    caller: &Caller<'_>,
    cx: &mut Cx<'s>,
) -> Result<bool, (Table, NotFirst)> {
    let proof = caller.proved.map(|proved| Credential {
        table: Table::Proofs,
        hash: proved.proof,
        life: proved.life,
    });
    let nonces = caller.signed.iter().filter_map(|signed| signed.used);
    let nonces = nonces.map(|used| Credential {
        table: Table::Nonces,
        hash: used.hash,
        life: used.life,
    });
    let mut is_shared = true;
    for one in proof.into_iter().chain(nonces) {
        is_shared &= is_recorded(named, one, cx).map_err(|why| (one.table, why))?;
    }
    Ok(is_shared)
}

/// True if all stores of the alternative for this table have recorded the use of a credential.
/// False if there is no such store, or if one does not answer and its verifier accepts that.
fn is_recorded<'s>(
    named: &Named<'s>,
    Credential { table, hash, life }: Credential,
    cx: &mut Cx<'s>,
) -> Result<bool, NotFirst> {
    let (limits, unix_s) = (cx.limits, cx.unix_s);
    let known = limits.used(table);
    let former = limits.used_stores.former(table, unix_s);
    let own = || named.iter().filter(|(of, _)| *of == table);
    let mut is_shared = own().next().is_some();
    if !is_shared && former.is_empty() {
        return Ok(false);
    }
    if known.contains(hash, unix_s) {
        return Err(NotFirst::Replayed);
    }
    let times = (unix_s, known.end_of(hash, life));
    for (_, store) in own() {
        if is_recorded_in(FirstUse::new(store, (table, hash), times), cx)? {
            continue;
        }
        is_shared = false;
        cx.store_outage = Some(StoreOutage {
            store: &store.name,
            on_outage: store.on_outage,
        });
        if store.on_outage != OnOutage::Local {
            return Err(NotFirst::Unavailable);
        }
    }
    for store in &former {
        let used = FirstUse::new(store, (table, hash), times);
        let _outage = is_recorded_in(used, cx)?;
    }
    Ok(is_shared)
}

/// True if a store has recorded the use, false if it does not answer.
fn is_recorded_in(used: FirstUse, cx: &Cx<'_>) -> Result<bool, NotFirst> {
    match cx.answers.check_result(&AskId::of_first_use(&used)) {
        CheckResult::Pending => Err(NotFirst::Ask(Box::new(Effect::FirstUse(Box::new(used))))),
        CheckResult::Computed(true) => Ok(true),
        CheckResult::Computed(false) => Err(NotFirst::Replayed),
        CheckResult::Unavailable => Ok(false),
    }
}
