//! Progressive releases in channels that need approvals.

use bundle::refused::Refused;
use bundle::statement::predicate::{Guard, OnOutage, Record, RecordKind, Rollout, Webhook};

use super::{World, keys, prod, trust_of, two, two_releases};
use crate::acceptance::record;

/// A thief of a release key repeats an approved bundle with another guard.
#[test]
fn webhook_gets_no_secret_without_approvals() {
    let world = World::new();
    let trust = two(keys());
    let ([one, _], evidence) = two_releases(&world);
    let step = |authorization: Option<&str>| {
        let mut rollout = Rollout::first(one, &[50_000], None).expect("a step");
        rollout.guard = Some(Guard {
            errors_ppm: None,
            for_ms: 600_000,
            p99_ppm: None,
            refusals_ppm: None,
            requests: 50,
            webhook: Some(Webhook {
                authorization: authorization.map(str::to_owned),
                failures: 1,
                interval_ms: 1_000,
                on_outage: OnOutage::Ignore,
                timeout_ms: 1_000,
                url: "https://thief.example/".to_owned(),
            }),
        });
        let next = Record {
            kind: RecordKind::Pin,
            evidence: evidence.clone(),
            rollout: Some(rollout),
            ..record(one.serial + 1, Some(one))
        };
        world.forge(world.new, next)
    };
    assert_eq!(world.accept(&trust, Some(one), step(None)), Ok(()));
    let bad = step(Some("${env:GWS_OTHER}"));
    let refused = world.accept(&trust, Some(one), bad);
    assert!(
        matches!(refused, Err(Refused::BadRollout { .. })),
        "{refused:?}"
    );
}

#[test]
fn rollout_that_began_before_the_rule_continues() {
    let world = World::new();
    let mut step = record(2, Some(world.base));
    step.rollout = Rollout::first(world.base, &[50_000, 500_000], None);
    let first = world.forge(world.new, step.clone());
    let trust = trust_of(keys());
    let trust = trust.with_approvals(prod(), 2, Some(first.digest)).unwrap();
    assert_eq!(world.accept(&trust, None, first), Ok(()));
    let promoted = Record {
        kind: RecordKind::Pin,
        rollout: step.rollout.as_ref().and_then(Rollout::next),
        ..record(3, Some(first))
    };
    let promoted = world.forge(world.new, promoted);
    assert_eq!(world.accept(&trust, Some(first), promoted), Ok(()));
}
