//! Tests of policies on message content that check less than before: formats, limits and rules.

use crate::{DOCUMENT, GATEWAY, edit, lines, plan};

/// gateway.yaml in which these policies apply to every operation.
fn gateway(policies: &[&str]) -> String {
    let names: Vec<String> = (0..policies.len()).map(|at| format!("t{at}")).collect();
    let defined = names.iter().zip(policies);
    let defined: String = defined
        .map(|(name, policy)| format!("  {name}: {{kind: threat, {policy}}}\n"))
        .collect();
    let with = edit(GATEWAY, "policies:\n", &format!("policies:\n{defined}"));
    let own = format!("policies: [slow, edge, {}]", names.join(", "));
    edit(&with, "policies: [slow, edge]", &own)
}

/// Classes of the lines about guards.
fn classes(old: &[&str], new: &[&str]) -> Vec<String> {
    let lines = lines(&plan((&gateway(old), DOCUMENT), (&gateway(new), DOCUMENT)));
    let guards = lines
        .iter()
        .filter_map(|line| line.split_once(" guard-changed "));
    guards.map(|(class, _)| class.to_owned()).collect()
}

const ALL: &str = "json: {depth: 4, keys: 5}, xml: {depth: 4}, rules: [sql_union, path_traversal]";

#[test]
fn removed_part_of_a_guard_weakens() {
    for less in [
        "json: {depth: 4, keys: 5}, rules: [sql_union, path_traversal]",
        "json: {depth: 4, keys: 5}, xml: {depth: 4}",
        "json: {depth: 4, keys: 5}, xml: {depth: 4}, rules: [sql_union]",
        "json: {depth: 4}, xml: {depth: 4}, rules: [sql_union, path_traversal]",
        "xml: {depth: 4}, rules: [sql_union, path_traversal]",
        "json: {depth: 1000}",
    ] {
        assert_eq!(classes(&[ALL], &[less]), ["security weaken"], "{less}");
        assert_eq!(classes(&[less], &[ALL]), ["security strengthen"], "{less}");
    }
    let other = "json: {depth: 4}, rules: [sql_union]";
    assert_eq!(
        classes(&["xml: {depth: 4}"], &[other]),
        ["security incomparable"]
    );
}

#[test]
fn part_that_another_policy_checks_is_no_change() {
    let (json, xml) = ("json: {depth: 4}", "xml: {depth: 4}");
    assert_eq!(
        classes(&["json: {depth: 4}, xml: {depth: 4}"], &[json, xml]),
        [""; 0]
    );
    // The plan reports a greater limit as a change of the policy's definition, so there is no line
    // about guards.
    assert_eq!(classes(&[json], &["json: {depth: 9}"]), [""; 0]);
    let logged = "xml: {depth: 4}, mode: log";
    assert_eq!(classes(&[json, xml], &[json, logged]), ["security weaken"]);
}
