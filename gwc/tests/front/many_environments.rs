//! Tests of projects with many environments: their maximum number, and compilations that read only
//! one of them.

use model::compile::{self, Purpose};
use model::environment::Scope;
use sources::project::files::Files;
use sources::syntax::Limits;

const DOCUMENT: &str = "openapi: 3.0.3
info: {title: t, version: \"1\"}
paths:
  /a: {get: {operationId: a, responses: {'200': {description: ok}}}}
";

/// Findings about a project with `count` environments, e1 and so on. The timeout is wrong in e2
/// only. No environment uses the policy.
fn with_environments(count: usize, chosen: (Option<&str>, Scope)) -> Result<Vec<String>, String> {
    let names: Vec<String> = (1..=count)
        .map(|number| match number {
            2 => "e2: {patch: prod.yaml}".to_owned(),
            _ => format!("e{number}: {{}}"),
        })
        .collect();
    let gateway = format!(
        "version: 1
name: shop
apis: {{api: {{path: api.yaml}}}}
upstreams: {{near: {{targets: {{a: {{url: \"http://127.0.0.1:9000\"}}}}}}}}
policies: {{slow: {{kind: rate_limit, limit: 1/s, burst: 1, key: address}}}}
defaults: {{upstream: near, security: upstream}}
environments: {{{}}}
",
        names.join(", ")
    );
    let files = [
        ("gateway.yaml", gateway.as_str()),
        ("api.yaml", DOCUMENT),
        ("prod.yaml", "defaults: {timeout: 4}\n"),
    ];
    let files = Files::in_memory(files, Limits::default());
    let compiled = compile::project_in_scope(files, &Vec::new(), chosen, Purpose::Run);
    let compiled = compiled.map_err(|unknown| unknown.to_string())?;
    let findings = compiled.findings.iter();
    Ok(findings
        .map(|finding| format!("{} {}", finding.lint.name, finding.message))
        .collect())
}

#[test]
fn number_of_environments_is_limited() {
    let all = (None, Scope::Every);
    let is_limit = |line: &&String| line.contains("at most 64 environments");
    let limits = |count| {
        let found = with_environments(count, all).unwrap();
        found.iter().filter(is_limit).cloned().collect::<Vec<_>>()
    };
    assert_eq!(limits(64), [""; 0]);
    let message = "bad-value a project can have at most 64 environments, this one has 66";
    assert_eq!(limits(66), [message]);
    assert!(with_environments(66, (Some("e64"), Scope::Every)).is_ok());
    let unknown = with_environments(66, (Some("e65"), Scope::Every)).unwrap_err();
    assert!(unknown.contains("among the first 64"), "{unknown}");
    let unknown = with_environments(66, (Some("e99"), Scope::Every)).unwrap_err();
    assert!(!unknown.contains("among"), "{unknown}");
}

#[test]
fn other_environments_are_read_on_request_only() {
    let has = |chosen: (Option<&str>, Scope), text: &str| {
        let found = with_environments(3, chosen).unwrap();
        found.iter().any(|line| line.starts_with(text))
    };
    // The scope `Every` has the findings of the other environments, `Chosen` those of its own.
    for (name, scope, is_found) in [
        (None, Scope::Every, true),
        (Some("e1"), Scope::Every, true),
        (Some("e2"), Scope::Every, true),
        (Some("e1"), Scope::Chosen, false),
        (Some("e2"), Scope::Chosen, true),
    ] {
        assert_eq!(
            has((name, scope), "unit-missing"),
            is_found,
            "{name:?} {scope:?}"
        );
        // Another environment may use a name, so only the scope `Every` shows that none does.
        let is_unused = has((name, scope), "unused-definition");
        assert_eq!(is_unused, scope == Scope::Every, "{name:?} {scope:?}");
    }
}

#[test]
fn environments_are_chosen_without_the_others() {
    let gateway =
        "version: 1\nname: t\nenvironments: {a: {patch: prod.yaml}, b: {patch: prod.yaml}}\n";
    let texts = [("gateway.yaml", gateway), ("prod.yaml", "owner: x\n")];
    for (wanted, scope, others) in [
        (None, Scope::Every, 2),
        (Some("a"), Scope::Every, 2),
        (Some("a"), Scope::Chosen, 0),
        (Some("b"), Scope::Chosen, 0),
        (None, Scope::Chosen, 0),
    ] {
        let mut files = Files::in_memory(texts, Limits::default());
        let mut sink = diag::Sink::default();
        let nowhere = diag::Span::start_of(diag::FileId(0));
        let (_, root) = files.load("gateway.yaml", nowhere, &mut sink).unwrap();
        let choice = model::environment::choose_in(&mut files, root, (wanted, scope), &mut sink);
        let choice = choice.expect("it is there");
        assert_eq!(choice.others.len(), others, "{wanted:?} {scope:?}");
        let name = choice.reading.environment.map(|it| it.name);
        assert_eq!(name.as_deref(), wanted, "{scope:?}");
    }
}
