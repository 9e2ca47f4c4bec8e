//! Verifiers that a document defines itself: at its root, or inside a security scheme.

use crate::{GATEWAY, edit, lines, plan};

const IDP: &str = "kind: jwt, issuer: \"https://idp.example\", audience: [shop], algorithms: [RS256], \
jwks_url: \"https://idp.example/keys\"";

/// Document whose security scheme has the verifier `auth` (a name, or a definition). `root`:
/// further text at the root, such as definitions of verifiers.
fn document(root: &str, auth: &str) -> String {
    format!(
        "openapi: 3.1.0
info: {{title: t, version: \"1\"}}
{root}security: [{{oauth: []}}]
paths:
  /orders: {{get: {{operationId: list, responses: {{\"200\": {{description: fine}}}}}}}}
components:
  securitySchemes:
    oauth: {{type: http, scheme: bearer, x-gateway: {{auth: {auth}}}}}
"
    )
}

fn of_gateway() -> (String, String) {
    let gateway = edit(
        GATEWAY,
        "staff: {kind: basic}",
        &format!("idp: {{{IDP}}}, staff: {{kind: basic}}"),
    );
    (gateway, document("", "idp"))
}

fn of_root(verifier: &str) -> (String, String) {
    let root = format!("x-gateway: {{auth: {{idp: {{{verifier}}}}}}}\n");
    (GATEWAY.to_owned(), document(&root, "idp"))
}

fn inside(verifier: &str) -> (String, String) {
    (GATEWAY.to_owned(), document("", &format!("{{{verifier}}}")))
}

fn planned(old: &(String, String), new: &(String, String)) -> Vec<String> {
    lines(&plan((&old.0, &old.1), (&new.0, &new.1)))
}

#[test]
fn moved_verifier_is_no_access_change() {
    let places = [
        ("auth idp", of_gateway()),
        ("auth a/idp", of_root(IDP)),
        ("auth a/jwt@bearer", inside(IDP)),
    ];
    for (was, old) in &places {
        for (is, new) in &places {
            let lines = planned(old, new);
            let is_moved = |line: &String| {
                *line == format!("policy changed verifier-added {is}")
                    || *line == format!("policy changed verifier-removed {was}")
                    // The description of the requirement names the verifier.
                    || *line == "policy changed security-restated a/list"
            };
            assert!(lines.iter().all(is_moved), "{was} -> {is}: {lines:?}");
            assert_eq!(lines.is_empty(), was == is, "{was} -> {is}: {lines:?}");
        }
    }
}

#[test]
fn changed_own_verifier_has_the_lines_of_a_shared_one() {
    let wider = IDP.replace("[shop]", "[shop, desk]");
    for (old, new) in [
        (of_root(IDP), of_root(&wider)),
        (inside(IDP), inside(&wider)),
        (of_gateway(), of_root(&wider)),
        (of_gateway(), inside(&wider)),
    ] {
        let lines = planned(&old, &new);
        let access: Vec<&String> = lines
            .iter()
            .filter(|one| one.contains("security"))
            .collect();
        assert_eq!(access.len(), 1, "{lines:?}");
        assert!(access[0].starts_with("security weaken "), "{lines:?}");
        assert!(access[0].ends_with(" a/list"), "{lines:?}");
    }
}

#[test]
fn renamed_scheme_with_its_verifier_has_an_empty_plan() {
    let old = inside(IDP);
    let new = (old.0.clone(), old.1.replace("oauth", "tokens"));
    assert_eq!(planned(&old, &new), Vec::<String>::new());
}

#[test]
fn other_name_hides_no_looser_verifier() {
    let introspection = |cache: &str, token: &str| {
        format!(
            "kind: introspection, url: \"https://idp.example/i\", client_id: g, client_secret: \"${{env:S}}\", \
issuer: \"https://idp.example\", audience: [a], cache_inactive: {cache}, token_bytes: {token}"
        )
    };
    let of = |name: &str, verifier: &str| {
        let gateway = edit(
            GATEWAY,
            "staff: {kind: basic}",
            &format!("{name}: {{{verifier}}}, staff: {{kind: basic}}"),
        );
        (gateway, document("", name))
    };
    let relaxed = |lines: Vec<String>| -> Vec<String> {
        let lines = lines.into_iter();
        lines.filter(|line| line.contains(" relax ")).collect()
    };
    let (tight, loose) = (introspection("1h", "1KiB"), introspection("1s", "64KiB"));
    let same = planned(&of("idp", &tight), &of("idp", &loose));
    assert_eq!(relaxed(same).len(), 2);
    let renamed = planned(&of("idp", &tight), &of("other", &loose));
    assert_eq!(
        relaxed(renamed),
        [
            "policy relax verifier-changed a/list",
            "policy relax verifier-changed a/list"
        ]
    );
    let plain = planned(&of("idp", &tight), &of("other", &tight));
    assert!(
        !plain.iter().any(|line| line.contains("verifier-changed")),
        "{plain:?}"
    );
}
