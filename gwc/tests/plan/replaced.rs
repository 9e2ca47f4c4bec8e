//! Tests of environments that replace another one. The project without an environment replaces its
//! removed environments, or an environment takes the channel of another environment.

use model::compile::{self, Purpose};
use model::source_map::SourceMap;
use plan::environments::{Pair, compare_each};
use plan::{Plan, Side};
use sources::project::files::Files;
use sources::syntax::Limits;

use crate::{DOCUMENT, GATEWAY, lines};

/// Version of a project in an environment.
fn side(gateway: &str, patch: &str, environment: Option<&str>) -> Side {
    let files = [
        ("gateway.yaml", gateway),
        ("api.yaml", DOCUMENT),
        ("prod.yaml", patch),
    ];
    let files = Files::in_memory(files, Limits::default());
    let compiled = compile::project_for(files, &Vec::new(), environment, Purpose::Run);
    let compiled = compiled.expect("the environment is known");
    let source = SourceMap::of(&compiled);
    let lowered = compiled.lowered.expect("it compiles");
    let bundle = gwc::assemble::assemble(&lowered).expect("a bundle").id();
    Side {
        bundle,
        lowered,
        source: Some(source),
    }
}

/// Plan of a project that removes its only environment. `patch`: patch of that environment.
fn without_environment(patch: &str, release: &str) -> Plan {
    let root = format!("{GATEWAY}{release}");
    let old = format!("{root}environments: {{prod: {{patch: prod.yaml}}}}\n");
    let pair = |environment: &str, old: Side, new: Option<Side>| Pair {
        environment: environment.to_owned(),
        old: Some(old),
        new,
        is_beside: false,
    };
    let pairs = [
        pair("", side(&old, patch, None), Some(side(&root, patch, None))),
        pair("prod", side(&old, patch, Some("prod")), None),
    ];
    compare_each(&pairs, None)
        .expect("it builds")
        .expect("a plan")
}

#[test]
fn removed_environment_is_compared_with_the_project() {
    let patch = "gates: [weaken, relax]
required: {policies: [slow]}
release: {channel: prod}
policies: {slow: {limit: 1/s}}
";
    for release in ["release: {channel: prod}\n", ""] {
        let plan = without_environment(patch, release);
        let found = lines(&plan);
        for expected in [
            "rules rules gate-removed gate weaken",
            "rules rules gate-removed gate relax",
            "rules weaken required-policy-dropped required policies slow",
            "policy relax rate-changed policy slow limit",
        ] {
            assert!(found.iter().any(|line| line == expected), "{found:?}");
        }
        for gate in ["weaken", "relax", "rules"] {
            assert!(!plan.tripped(&[gate.into()], &[]).is_empty(), "{gate}");
        }
    }
}

#[test]
fn removed_environment_changes_no_policy() {
    let plan = without_environment("release: {channel: prod}\n", "release: {channel: prod}\n");
    assert_eq!(
        lines(&plan),
        [
            "rules rules environment-changed release environment",
            "routing removed environment-removed environment prod"
        ]
    );
}

/// Plan of environments: name, old rate, old channel, new channel. An empty name is the project
/// without an environment.
fn with_channels(environments: &[(&str, &str, &str, &str)]) -> Plan {
    let of = |rate: &str, channel: &str| {
        let gateway = GATEWAY.replace("limit: 10/s", &format!("limit: {rate}"));
        side(
            &format!("{gateway}release: {{channel: {channel}}}\n"),
            "",
            None,
        )
    };
    let pairs = environments.iter().map(|(name, rate, old, new)| Pair {
        environment: (*name).to_owned(),
        old: Some(of(rate, old)),
        new: (!new.is_empty()).then(|| of(rate, new)),
        is_beside: name.starts_with('-'),
    });
    let pairs: Vec<Pair> = pairs.collect();
    compare_each(&pairs, None)
        .expect("it builds")
        .expect("a plan")
}

/// Environments of the line about a relaxed rate. `None` without such a line.
fn relaxed(plan: &Plan) -> Option<Vec<String>> {
    let line = plan.changes.iter().find(|one| one.id == "rate-changed")?;
    assert_eq!(line.class.name(), "relax");
    Some(line.environments.iter().cloned().collect())
}

#[test]
fn environment_that_takes_a_channel_is_compared() {
    let swapped = with_channels(&[
        ("prod", "10/s", "prod", "test"),
        ("test", "99/s", "test", "prod"),
    ]);
    assert_eq!(relaxed(&swapped), Some(vec!["test".to_owned()]));
    assert!(!swapped.tripped(&["relax".into()], &[]).is_empty());
    assert!(!swapped.no_op);
    // The old environment is read only for this comparison, as with `--env test`.
    let beside = with_channels(&[
        ("test", "99/s", "test", "prod"),
        ("-prod", "10/s", "prod", ""),
    ]);
    assert_eq!(relaxed(&beside), Some(vec!["test".to_owned()]));
    // Another spelling of the same store.
    let spelled = with_channels(&[
        (
            "prod",
            "10/s",
            "prod, store: releases",
            "prod, store: other",
        ),
        (
            "test",
            "99/s",
            "test, store: other",
            "prod, store: ./releases/",
        ),
    ]);
    assert_eq!(relaxed(&spelled), Some(vec!["test".to_owned()]));
    let own = with_channels(&[
        ("prod", "10/s", "prod", "prod"),
        ("test", "99/s", "test", "trial"),
    ]);
    assert_eq!(relaxed(&own), None);
}

#[test]
fn project_that_takes_a_channel_is_compared() {
    let taken = [
        ("", "99/s", "none", "prod"),
        ("prod", "10/s", "prod", "new"),
    ];
    assert_eq!(relaxed(&with_channels(&taken)), Some(vec![String::new()]));
    // The channel still belongs to the environment `prod`.
    let idle = [
        ("", "99/s", "none", "prod"),
        ("prod", "10/s", "prod", "prod"),
    ];
    assert_eq!(relaxed(&with_channels(&idle)), None);
    // Only the project without an environment had the channel.
    let bare = [
        ("", "10/s", "prod", "new"),
        ("test", "99/s", "test", "prod"),
    ];
    assert_eq!(
        relaxed(&with_channels(&bare)),
        Some(vec!["test".to_owned()])
    );
    // An environment of the same channel was released, not the project.
    let both = [
        ("", "10/s", "prod", "new"),
        ("prod", "99/s", "prod", "new"),
        ("test", "99/s", "test", "prod"),
    ];
    assert_eq!(relaxed(&with_channels(&both)), None);
    // The environment leaves its channel to the project, which had no release in this channel
    // before.
    let inherited = [
        ("", "99/s", "prod", "prod"),
        ("prod", "10/s", "prod", "new"),
    ];
    assert_eq!(
        relaxed(&with_channels(&inherited)),
        Some(vec![String::new()])
    );
}

#[test]
fn another_environment_at_a_channel_is_a_rule() {
    let both = "environments: {prod: {release: {channel: p}}, test: {release: {channel: p}}}";
    let root = format!("{GATEWAY}{both}\n");
    let side = |name: Option<&str>| side(&root, "", name);
    for (old, new, count) in [
        (Some("prod"), Some("test"), 1),
        (Some("prod"), None, 1),
        (None, Some("test"), 1),
        (Some("test"), Some("test"), 0),
    ] {
        let plan = plan::compare(Some(&side(old)), &side(new)).expect("it builds");
        let found = plan
            .changes
            .iter()
            .filter(|one| one.id == "environment-changed");
        let tripped = plan.tripped(&["rules".into()], &[]);
        assert_eq!(found.count(), count, "{old:?} {new:?}");
        assert!(count == 0 || !tripped.is_empty());
    }
}
