//! Tests of conditions on query parameters whose names some servers treat as the same parameter.
//! gwd refuses requests with the other spelling, so no operation receives them.

use model::compile::Purpose;
use plan::Side;

const GATEWAY: &str = "version: 1\nname: s\napis: {a: {path: api.yaml}}\nupstreams: {u: {targets: {a: {url: \"http://u.org:80\"}}}}\ndefaults: {upstream: u}\nauth: {keys: {kind: api_key}}\nrequired: {allow_public: [a/one]}\n";

/// Version with an open operation, and a protected operation that this condition on the query
/// selects.
fn side(condition: &str) -> Side {
    let document = format!(
        "openapi: 3.1.0\ninfo: {{title: t, version: \"1\"}}\nsecurity: [{{key: []}}]\npaths:\n  /m: {{get: {{operationId: one, security: [], x-gateway: {{public: true}}, responses: {{\"200\": {{description: fine}}}}}}}}\n  /m#q: {{get: {{operationId: two, x-gateway: {{match: {{query: {{{condition}}}}}}}, responses: {{\"200\": {{description: fine}}}}}}}}\ncomponents: {{securitySchemes: {{key: {{type: apiKey, in: header, name: X-Key, x-gateway: {{auth: keys}}}}}}}}\n"
    );
    let files = [("gateway.yaml", GATEWAY), ("api.yaml", &document)];
    crate::compiled(&files, Purpose::Route).unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn other_spellings_of_a_parameter_are_no_cells() {
    for (old, new) in [("adm", "ADM"), ("\" adm\"", "ADM"), ("a_b", "a.b")] {
        let name = |name: &str| side(&format!("{name}: {{exact: \"1\"}}"));
        let plan = plan::compare(Some(&name(old)), &name(new)).expect("both sides build");
        assert_eq!(plan.bugs, Vec::<String>::new(), "{old} {new}");
        let found = |id: &str| {
            let mut all = plan.changes.iter().filter(|change| change.id == id);
            let found = all.next().and_then(|change| change.witness.clone());
            found.unwrap_or_else(|| panic!("{old} {new}: {id} without a witness"))
        };
        // The old version serves requests with the old name, and the new version requests with the
        // new name. Each version refuses the other spelling as ambiguous.
        let (added, removed) = (found("requests-added"), found("requests-removed"));
        assert_ne!(added.url, removed.url);
        assert_eq!(found("operation-exposed").url, added.url);
    }
}

#[test]
fn elements_of_a_list_are_another_parameter() {
    for (old, new) in [("a", "\"a[0]\""), ("\"a[]\"", "A")] {
        let name = |name: &str| side(&format!("{name}: {{exact: \"1\"}}"));
        let plan = plan::compare(Some(&name(old)), &name(new)).expect("both sides build");
        assert_eq!(plan.bugs, Vec::<String>::new(), "{old} {new}");
        let mut moved = plan.changes.iter();
        assert!(
            moved.any(|change| matches!(change.id, "owner-changed" | "operation-exposed")),
            "{old} {new} {:?}",
            crate::lines(&plan)
        );
    }
}

/// An old version may have two spellings in one path. Old versions cannot be corrected.
#[test]
fn two_spellings_of_the_old_side_are_compared() {
    let side = |second: &str, purpose: Purpose| {
        let operation = |id: &str, condition: &str| {
            format!(
                "  /m#{id}: {{get: {{operationId: {id}, x-gateway: {{match: {{query: {{{condition}}}}}}}, responses: {{\"200\": {{description: fine}}}}}}}}\n"
            )
        };
        let document = format!(
            "openapi: 3.1.0\ninfo: {{title: t, version: \"1\"}}\nsecurity: [{{key: []}}]\npaths:\n{}{}components: {{securitySchemes: {{key: {{type: apiKey, in: header, name: X-Key, x-gateway: {{auth: keys}}}}}}}}\n",
            operation("one", "user_id: {exact: \"1\"}"),
            operation("two", &format!("{second}: {{exact: \"2\"}}")),
        );
        let gateway = GATEWAY.replace("required: {allow_public: [a/one]}\n", "");
        crate::compiled(
            &[("gateway.yaml", &gateway), ("api.yaml", &document)],
            purpose,
        )
    };
    let (alike, same) = ("user.id", "user_id");
    assert!(side(alike, Purpose::Run).is_err());
    assert!(side(alike, Purpose::Compare).is_err());
    let old = side(alike, Purpose::Past).unwrap_or_else(|errors| panic!("{errors}"));
    let new = side(same, Purpose::Run).unwrap_or_else(|errors| panic!("{errors}"));
    let plan = plan::compare(Some(&old), &new).expect("both sides build");
    assert_eq!(plan.bugs, Vec::<String>::new());
    let lines = crate::lines(&plan);
    assert!(
        lines
            .iter()
            .any(|line| line.contains("requests-added a/two")),
        "{lines:?}"
    );
}
