//! Progressive releases: records that name their bundle for a share of the nodes.

use bundle::channel::{self, Memory};
use bundle::digest::Digest;
use bundle::follow;
use bundle::refused::Refused;
use bundle::rollout::ALL_PPM;
use bundle::statement::predicate::{
    Guard, OnOutage, Pointer, Record, RecordKind, Rollout, Step, Sticky, Testers, Webhook,
};
use bundle::store::memory::Memory as Store;
use bundle::store::{Batch, WriteError};

use crate::acceptance::{forge, record};
use crate::fixture::*;

fn step(base: Pointer, step: u32, steps: &[u32]) -> Option<Rollout> {
    let steps = steps.iter().map(|share| Step::from(*share));
    Some(stepped(base, step, steps.collect()))
}

fn stepped(base: Pointer, step: u32, steps: Vec<Step>) -> Rollout {
    Rollout {
        base,
        guard: None,
        step,
        steps,
        sticky: None,
        testers: None,
    }
}

/// Stores a base with serial 1, and a record after it. Returns the result of accepting the record.
fn accepted_with(change: impl FnOnce(&mut Record, Pointer)) -> Result<(), Refused> {
    let store = Store::default();
    let bundle = Digest::of(b"some bundle");
    let base = forge(&store, bundle, record(1, None), "rita");
    let mut next = record(2, Some(base));
    change(&mut next, base);
    let pointer = forge(&store, bundle, next, "rita");
    let (trust, prod) = (trust(), prod());
    let context = context(&trust, &prod);
    let accepted = channel::accept(&store, &context, &nothing(), pointer)?;
    let memory = accepted.memory();
    channel::recall(&store, &context, &memory, pointer).map(drop)
}

#[test]
fn steps_that_are_not_valid_are_refused() {
    let with = |number, steps: &'static [u32]| {
        accepted_with(|next, base| next.rollout = step(base, number, steps))
    };
    assert_eq!(with(1, &[1]), Ok(()));
    assert_eq!(with(2, &[50_000, 999_999]), Ok(()));
    let bad: [(u32, &[u32]); 8] = [
        (1, &[]),
        (0, &[50_000]),
        (2, &[50_000]),
        (1, &[0]),
        (1, &[1_000_000]),
        (1, &[50_000, 50_000]),
        (1, &[500_000, 50_000]),
        (
            1,
            &[
                1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
            ],
        ),
    ];
    for (number, steps) in bad {
        let refused = with(number, steps).unwrap_err();
        assert_eq!(refused.reason(), "bad-rollout", "{number} of {steps:?}");
        assert!(refused.permanent());
    }
    let later = accepted_with(|next, base| {
        next.rollout = step(Pointer { serial: 2, ..base }, 1, &[50_000]);
    });
    assert_eq!(later.unwrap_err().reason(), "bad-rollout");
    let rollback = accepted_with(|next, base| {
        next.kind = RecordKind::Rollback;
        next.rollout = step(base, 1, &[50_000]);
    });
    assert_eq!(rollback.unwrap_err().reason(), "bad-rollout");
}

#[test]
fn complete_record_keeps_its_bytes() {
    let text = serde_json::to_string(&record(1, None)).unwrap();
    assert!(!text.contains("rollout"), "{text}");
}

/// Steps: shares of the nodes and of the requests.
fn split(steps: &[(u32, u32)]) -> Vec<Step> {
    let steps = steps.iter().map(|(nodes_ppm, traffic_ppm)| Step {
        nodes_ppm: *nodes_ppm,
        traffic_ppm: *traffic_ppm,
        shadow_ppm: 0,
    });
    steps.collect()
}

#[test]
fn steps_of_requests_keep_the_bytes_of_others() {
    let base = Pointer {
        digest: Digest::of(b"base"),
        serial: 1,
    };
    let text = |rollout: &Rollout| {
        let mut value = serde_json::to_value(rollout).unwrap();
        value.as_object_mut().unwrap().remove("base");
        value.to_string()
    };
    let nodes = step(base, 1, &[50_000, 500_000]).unwrap();
    assert_eq!(text(&nodes), r#"{"step":1,"steps":[50000,500000]}"#);
    let both = Rollout {
        sticky: Some(Sticky::Header("x-user".to_owned())),
        testers: Some(Testers {
            header: "x-release".to_owned(),
        }),
        ..stepped(
            base,
            2,
            split(&[(50_000, ALL_PPM), (200_000, 500_000), (ALL_PPM, 500_000)]),
        )
    };
    assert_eq!(
        text(&both),
        r#"{"step":2,"steps":[50000,{"nodes":200000,"traffic":500000},{"traffic":500000}],"sticky":{"header":"x-user"},"testers":{"header":"x-release"}}"#
    );
    assert_eq!(
        (both.nodes_ppm(), both.traffic_ppm(), both.of()),
        (200_000, 500_000, 4)
    );
    assert!(both.splits_requests() && !nodes.splits_requests());
}

#[test]
fn steps_of_requests_are_checked() {
    let with = |steps: &[(u32, u32)]| {
        let steps = split(steps);
        accepted_with(|next, base| next.rollout = Some(stepped(base, 1, steps)))
    };
    assert_eq!(with(&[(ALL_PPM, 1), (ALL_PPM, 999_999)]), Ok(()));
    // 5 % of the nodes, then 10 % of the requests of all nodes.
    assert_eq!(with(&[(50_000, ALL_PPM), (ALL_PPM, 100_000)]), Ok(()));
    let bad: [&[(u32, u32)]; 6] = [
        &[(ALL_PPM, 0)],
        &[(0, 100_000)],
        &[(ALL_PPM, ALL_PPM)],
        &[(ALL_PPM, ALL_PPM + 1)],
        // 10 % of the requests are not more than 10 % of the nodes.
        &[(100_000, ALL_PPM), (ALL_PPM, 100_000)],
        &[(500_000, 500_000), (200_000, ALL_PPM)],
    ];
    for steps in bad {
        let refused = with(steps).unwrap_err();
        assert_eq!(refused.reason(), "bad-rollout", "{steps:?}");
    }
}

/// Shadow steps, as shares of the nodes and of their requests, and then steps like [`split`].
fn shadowed(shadows: &[(u32, u32)], steps: &[(u32, u32)]) -> Vec<Step> {
    let shadows = shadows.iter().map(|(nodes_ppm, shadow_ppm)| Step {
        nodes_ppm: *nodes_ppm,
        traffic_ppm: 0,
        shadow_ppm: *shadow_ppm,
    });
    shadows.chain(split(steps)).collect()
}

#[test]
fn shadow_steps_come_first_and_increase() {
    let with =
        |steps: Vec<Step>| accepted_with(|next, base| next.rollout = Some(stepped(base, 1, steps)));
    let good = [
        shadowed(&[(ALL_PPM, ALL_PPM)], &[]),
        shadowed(
            &[(50_000, ALL_PPM), (ALL_PPM, 100_000)],
            &[(1, ALL_PPM), (ALL_PPM, 999_999)],
        ),
    ];
    for steps in good {
        assert_eq!(with(steps), Ok(()));
    }
    let mut last = split(&[(50_000, ALL_PPM)]);
    last.extend(shadowed(&[(ALL_PPM, ALL_PPM)], &[]));
    let bad = [
        last,
        shadowed(&[(0, 100_000)], &[]),
        shadowed(&[(ALL_PPM, ALL_PPM + 1)], &[]),
        shadowed(&[(ALL_PPM, 100_000), (100_000, ALL_PPM)], &[]),
    ];
    for steps in bad {
        let refused = with(steps.clone()).unwrap_err();
        assert_eq!(refused.reason(), "bad-rollout", "{steps:?}");
    }
}

#[test]
fn choice_of_the_version_is_checked() {
    let with = |traffic_ppm, sticky: Option<Sticky>, testers: Option<&str>| {
        accepted_with(|next, base| {
            next.rollout = Some(Rollout {
                sticky,
                testers: testers.map(|name| Testers {
                    header: name.to_owned(),
                }),
                ..stepped(base, 1, split(&[(500_000, traffic_ppm)]))
            });
        })
    };
    let header = |name: &str| Some(Sticky::Header(name.to_owned()));
    let cookie = |name: &str| Some(Sticky::Cookie(name.to_owned()));
    assert_eq!(with(1, header("x-user"), Some("x-release")), Ok(()));
    assert_eq!(with(1, cookie("Sid"), None), Ok(()));
    let bad = [
        (ALL_PPM, header("x-user"), None),
        (ALL_PPM, None, Some("x-release")),
        (1, header("X-User"), None),
        (1, header("x user"), None),
        (1, cookie(""), None),
        (1, cookie("a=b"), None),
        (1, None, Some("")),
    ];
    let unsuitable = [
        "authorization",
        "connection",
        "content-length",
        "cookie",
        "host",
        "proxy-authorization",
        "te",
        "transfer-encoding",
        "upgrade",
    ];
    let unsuitable = unsuitable.into_iter().flat_map(|name| {
        let (sticky, testers) = (header(name), Some(name));
        [(1, sticky, None), (1, None, testers)]
    });
    for (traffic_ppm, sticky, testers) in bad.into_iter().chain(unsuitable) {
        let shown = format!("{traffic_ppm} {sticky:?} {testers:?}");
        let refused = with(traffic_ppm, sticky, testers).unwrap_err();
        assert_eq!(refused.reason(), "bad-rollout", "{shown}");
    }
}

/// Accepts a record and reads its base.
fn base_of(store: &Store, head: Pointer) -> Result<Option<Pointer>, Refused> {
    let (trust, prod) = (trust(), prod());
    let context = context(&trust, &prod);
    let accepted = channel::accept(store, &context, &nothing(), head)?;
    let base = follow::rollout_base(store, &context, &accepted)?;
    Ok(base.map(|base| base.pointer()))
}

#[test]
fn base_is_the_last_complete_record() {
    let store = Store::default();
    let [old, new] = [Digest::of(b"old"), Digest::of(b"new")];
    let shares = [50_000, 500_000];
    let one = forge(&store, old, record(1, None), "rita");
    let base = forge(&store, old, record(2, Some(one)), "rita");
    let after = |previous: Pointer, named: Pointer, number| {
        let mut next = record(previous.serial + 1, Some(previous));
        next.rollout = step(named, number, &shares);
        forge(&store, new, next, "rita")
    };
    let first = after(base, base, 1);
    let second = after(first, base, 2);
    assert_eq!(base_of(&store, base), Ok(None), "complete");
    assert_eq!(base_of(&store, first), Ok(Some(base)));
    assert_eq!(base_of(&store, second), Ok(Some(base)));

    let stray = forge(&store, old, record(1, None), "rob");
    let bad = [
        ("not the last complete record", after(base, one, 1)),
        ("not complete", after(second, first, 2)),
        (
            "not in the chain",
            after(base, Pointer { serial: 1, ..stray }, 1),
        ),
    ];
    for (what, head) in bad {
        let refused = base_of(&store, head).unwrap_err();
        assert_eq!(refused.reason(), "bad-rollout", "{what}");
    }
    let wrong_serial = after(base, Pointer { serial: 1, ..base }, 1);
    assert_eq!(
        base_of(&store, wrong_serial).unwrap_err().reason(),
        "replayed"
    );
}

#[test]
fn base_by_a_revoked_or_unknown_key_is_refused() {
    for signer in ["rob", "nobody"] {
        let store = Store::default();
        let base = forge(&store, Digest::of(b"old"), record(1, None), signer);
        let mut next = record(2, Some(base));
        next.rollout = step(base, 1, &[50_000]);
        let head = forge(&store, Digest::of(b"new"), next, "rita");
        let refused = base_of(&store, head).unwrap_err();
        assert!(
            ["wrong-role", "unknown-key"].contains(&&*refused.reason()),
            "{refused}"
        );
    }
}

#[test]
fn missing_record_of_a_rollout_is_waited_for() {
    let store = Store::default();
    let base = forge(&store, Digest::of(b"old"), record(1, None), "rita");
    let mut next = record(2, Some(base));
    next.rollout = step(base, 1, &[50_000, 500_000]);
    let first = forge(&store, Digest::of(b"new"), next.clone(), "rita");
    let mut last = record(3, Some(first));
    last.rollout = next.rollout.as_ref().and_then(Rollout::next);
    let head = forge(&store, Digest::of(b"new"), last, "rita");
    for (missing, reason) in [(first, "chain-incomplete"), (base, "blob-missing")] {
        let partial = Store::default();
        let mut all = Vec::new();
        for pointer in [base, first, head] {
            if pointer != missing {
                all.extend(copied(&store, &pointer));
            }
        }
        let all = all.iter().map(Vec::as_slice);
        bundle::store::Store::commit(&partial, &Batch::of(all)).unwrap();
        let refused = base_of(&partial, head).unwrap_err();
        assert_eq!(refused.reason(), reason);
        assert!(!refused.permanent());
    }
}

/// Blobs of a stored statement: its manifest and its envelope.
fn copied(store: &Store, pointer: &Pointer) -> Vec<Vec<u8>> {
    let manifest = bundle::store::read(store, &pointer.digest, 1 << 20).unwrap();
    let layer = bundle::statement::stored::layer(&manifest).unwrap();
    let envelope = bundle::store::read_exact(store, &layer).unwrap();
    vec![manifest, envelope]
}

#[test]
fn release_without_the_bundle_of_its_base_fails() {
    let store = Store::default();
    let base = forge(&store, Digest::of(b"never stored"), record(1, None), "rita");
    bundle::store::Store::create_link(
        &store,
        &bundle::store::Chain::Channel(prod()),
        1,
        &base.digest,
    )
    .unwrap();
    let candidate = bundle("new");
    let evidence = put(&store, &candidate);
    let mut next = draft(candidate.id(), &[evidence]);
    next.rollout = step(base, 1, &[50_000]);
    let failed = release(&store, next).unwrap_err();
    assert!(
        matches!(failed, WriteError::Refused(Refused::BlobMissing { .. })),
        "{failed:?}"
    );
}

#[test]
fn head_of_a_rollout_is_remembered_with_its_step() {
    let store = Store::default();
    let base = ship(&store, "old");
    let candidate = bundle("new");
    let evidence = put(&store, &candidate);
    let mut next = draft(candidate.id(), &[evidence]);
    next.rollout = step(base, 1, &[50_000, 500_000]);
    let head = release(&store, next).unwrap();
    let (trust, prod) = (trust(), prod());
    let context = context(&trust, &prod);
    let read = follow::head(&store, &context, &Memory::default())
        .unwrap()
        .unwrap();
    assert_eq!(read.accepted.pointer(), head);
    let rollout = read.accepted.record().rollout.as_ref().unwrap();
    assert_eq!((rollout.nodes_ppm(), rollout.of()), (50_000, 3));
}

fn webhook() -> Webhook {
    Webhook {
        authorization: Some("${file:/run/secrets/judge}".into()),
        failures: 3,
        interval_ms: 10_000,
        on_outage: OnOutage::Ignore,
        timeout_ms: 10_000,
        url: "https://judge.example/gate".into(),
    }
}

#[test]
fn guard_that_is_not_valid_is_refused() {
    let good = Guard {
        errors_ppm: Some(10_000),
        for_ms: 600_000,
        p99_ppm: Some(500_000),
        refusals_ppm: Some(30_000),
        requests: 200,
        webhook: None,
    };
    let with = |change: fn(&mut Guard)| {
        let mut guard = good.clone();
        change(&mut guard);
        accepted_with(|next, base| {
            next.rollout = step(base, 1, &[50_000]);
            next.rollout.as_mut().unwrap().guard = Some(guard);
        })
    };
    assert_eq!(with(|_| {}), Ok(()));
    assert_eq!(with(|guard| guard.p99_ppm = None), Ok(()));
    let only_refusals = |guard: &mut Guard| (guard.errors_ppm, guard.p99_ppm) = (None, None);
    assert_eq!(with(only_refusals), Ok(()));
    let only_webhook = |guard: &mut Guard| {
        (guard.errors_ppm, guard.p99_ppm, guard.refusals_ppm) = (None, None, None);
        guard.webhook = Some(webhook());
    };
    assert_eq!(with(only_webhook), Ok(()));
    let bad: [fn(&mut Webhook); 9] = [
        |webhook| webhook.url = "http://judge.example/".into(),
        |webhook| webhook.url = "judge".into(),
        |webhook| webhook.url = format!("https://a/{}", "a".repeat(2_048)),
        |webhook| webhook.interval_ms = 999,
        |webhook| webhook.interval_ms = 3_600_001,
        |webhook| webhook.timeout_ms = 0,
        |webhook| webhook.timeout_ms = 10_001,
        |webhook| webhook.failures = 0,
        |webhook| webhook.authorization = Some("Bearer secret".into()),
    ];
    for (at, change) in bad.into_iter().enumerate() {
        let mut wrong = webhook();
        change(&mut wrong);
        let refused = accepted_with(|next, base| {
            next.rollout = step(base, 1, &[50_000]);
            next.rollout.as_mut().unwrap().guard = Some(Guard {
                webhook: Some(wrong),
                ..good.clone()
            });
        });
        assert_eq!(refused.unwrap_err().reason(), "bad-rollout", "webhook {at}");
    }
    let bad: [fn(&mut Guard); 7] = [
        |guard| {
            (guard.errors_ppm, guard.p99_ppm, guard.refusals_ppm) = (None, None, None);
        },
        |guard| guard.errors_ppm = Some(0),
        |guard| guard.refusals_ppm = Some(0),
        |guard| guard.p99_ppm = Some(1_000_001),
        |guard| guard.requests = 19,
        |guard| guard.for_ms = 999,
        |guard| guard.for_ms = 604_800_001,
    ];
    for (at, change) in bad.into_iter().enumerate() {
        assert_eq!(with(change).unwrap_err().reason(), "bad-rollout", "{at}");
    }
}
