//! Environments that a project loses: the project without an environment takes their place.

use model::compile::{self, Purpose};
use model::source_map::SourceMap;
use plan::environments::{Pair, compare_each};
use plan::{Plan, Side};
use sources::project::files::Files;
use sources::syntax::Limits;

use crate::{DOCUMENT, GATEWAY, lines};

/// Side of a project in an environment.
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

/// Plan of a project that loses its only environment, whose patch this is.
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
    compare_each(&pairs).expect("it builds").expect("a plan")
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
fn removed_environment_without_settings_is_one_line() {
    let plan = without_environment("release: {channel: prod}\n", "release: {channel: prod}\n");
    assert_eq!(
        lines(&plan),
        ["routing removed environment-removed environment prod"]
    );
}
