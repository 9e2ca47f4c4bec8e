//! Tests of full tables of used proofs and nonces. A full table refuses new entries, and keeps the
//! entries that it has.

use policy::auth::hmac_signature::{Signed, Used};
use policy::auth::{Life, Refused, Replays};

use super::*;

/// Time until which the entries of the tests are in the table (Unix time, seconds).
const ENDS_S: u64 = NOW_S + 60;
/// Validity of the proofs and signatures of the tests.
const LIFE: Life = Life {
    created_s: NOW_S,
    ends_s: ENDS_S,
    expires_s: u64::MAX,
};

/// Hash of a proof or nonce. All these hashes belong to one shard of a table.
fn hash(number: u32) -> [u8; 16] {
    let mut hash = [0; 16];
    hash[12..].copy_from_slice(&number.to_be_bytes());
    hash
}

/// Fills a shard of a table with entries of many callers. Returns the number of entries.
fn fill(table: &Replays) -> u32 {
    let remember = |number: &u32| {
        let owner = (number % 64).to_be_bytes();
        table.remember(hash(*number), &owner, NOW_S, ENDS_S)
    };
    let full = (0..1_000_000).find(|number| remember(number) == Err(Refused::Full));
    full.expect("the table has a bound")
}

/// Caller with a proof of possession.
fn proving(number: u32) -> Caller<'static> {
    let mut caller = Caller::default();
    caller.proved = Some(dpop::ValidProof {
        proof: hash(number),
        life: LIFE,
        key: [7; 32],
        needs_nonce: false,
    });
    caller
}

/// Caller with a signed request.
fn signing(number: u32) -> Caller<'static> {
    let used = Used {
        hash: hash(number),
        life: LIFE,
    };
    let mut caller = Caller::default();
    caller.signed.push(Signed {
        used: Some(used),
        content: None,
    });
    caller
}

/// Status and code of the refusal, and its reason in the access log. `None`: the caller is
/// admitted.
fn refusal_of(
    caller: Caller<'static>,
    limits: &Limits,
    unix_s: u64,
) -> Option<(u16, &'static str, &'static str)> {
    let requirement = keys_in_two_fields(&[&["x-one"]]);
    let (_, revoked) = shared();
    let mut cx = Cx::new(0, unix_s, "10.0.0.1".parse().unwrap(), limits, &revoked);
    let shown = AdmittingCredentials::default();
    match requirement.admit(&[], (caller, shown), &mut head("/", &[]), &mut cx, &[]) {
        Ok(()) => None,
        Err(Stop::Reject(reject)) => {
            let reason = cx.fault.expect("a reason").label();
            Some((reject.status, reject.code, reason))
        }
        Err(Stop::Ask(effect)) => panic!("no effect is expected: {effect:?}"),
    }
}

fn is_full_and_keeps_its_entries(
    table: fn(&Limits) -> &Replays,
    caller: fn(u32) -> Caller<'static>,
    [full, replayed]: [(u16, &'static str, &'static str); 2],
) {
    let (limits, _) = shared();
    let count = fill(table(&limits));
    let refusal = |number, unix_s| refusal_of(caller(number), &limits, unix_s);
    assert_eq!(refusal(count, NOW_S), Some(full));
    // No entry was removed to make room: the first and the last proof are still refused.
    for number in [0, 1, count / 2, count - 1] {
        assert_eq!(refusal(number, NOW_S), Some(replayed), "{number}");
    }
    assert_eq!(refusal(count, ENDS_S), Some(full), "no entry has ended");
    assert_eq!(table(&limits).len(), count as usize);
    // All entries have ended, so there is room again.
    assert_eq!(refusal(count, ENDS_S + 1), None);
    assert_eq!(table(&limits).len(), 1);
}

#[test]
fn full_table_of_proofs_is_503_and_forgets_none() {
    is_full_and_keeps_its_entries(
        |limits| &limits.proofs,
        proving,
        [
            (503, "dpop_proofs_full", "full"),
            (401, "dpop_proof_invalid", "replayed"),
        ],
    );
}

#[test]
fn full_table_of_nonces_is_503_and_forgets_none() {
    is_full_and_keeps_its_entries(
        |limits| &limits.nonces,
        signing,
        [
            (503, "signatures_full", "full"),
            (401, "signature_invalid", "replayed"),
        ],
    );
}
