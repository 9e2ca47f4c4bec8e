//! Tests of paths that are longer than the maximum request target. The plan reports them, and is
//! correct about all other paths.

use model::compile;
use plan::Plan;
use sources::project::files::Files;
use sources::syntax::Limits;

use crate::{DOCUMENT, GATEWAY, edit, plan};

/// Adds a path to the document.
fn with(path: &str) -> String {
    let operation = "get: {operationId: getLong, security: [], x-gateway: {public: true}, responses: {\"200\": {description: fine}}}";
    let parameter = "parameters: [{$ref: \"#/components/parameters/Id\"}]";
    let id = if path.contains("{id}") {
        parameter
    } else {
        "x-none: 1"
    };
    // YAML limits the length of a simple key, so write the key with `?`.
    let more = format!("  ? {path}\n  : {id}\n    {operation}\n  /status:\n");
    edit(DOCUMENT, "  /status:\n", &more)
}

/// Findings about operations that no URL can reach.
fn unreachable(document: &str) -> Vec<String> {
    let files = [("gateway.yaml", GATEWAY), ("api.yaml", document)];
    let files = Files::in_memory(files, Limits::default());
    let found = compile::project(files, &Vec::new()).findings.into_iter();
    let found = found.filter(|finding| finding.lint.name == "unreachable");
    found.map(|finding| finding.message).collect()
}

/// Length of the request target of the operation's witness, in bytes. `None` without a witness.
fn shown(plan: &Plan) -> Option<usize> {
    let mut changes = plan.changes.iter();
    let added =
        changes.find(|change| change.id == "operation-added" || change.class.name() == "opened");
    let witness = added.expect("the plan has the change").witness.as_ref()?;
    Some(witness.url.len() - "http://gateway".len())
}

#[test]
fn impossible_path_is_reported_without_a_request() {
    let target_bytes = 16_384;
    for (path, shortest) in [
        ("/x".repeat(8_192), target_bytes),
        (format!("{}/{{id}}", "/x".repeat(8_191)), target_bytes),
        (format!("{}/ab", "/x".repeat(8_191)), target_bytes + 1),
        (format!("{}/{{id}}x", "/x".repeat(8_191)), target_bytes + 1),
        ("/x".repeat(15_000), 30_000),
        // Longer than the maximum of the crate `http`.
        ("/x".repeat(40_000), 80_000),
    ] {
        let document = with(&path);
        let fits = shortest <= target_bytes;
        let reported = unreachable(&document);
        assert_eq!(reported.len(), usize::from(!fits), "{shortest}");
        if let [reported] = &reported[..] {
            let why = format!(
                "its path has at least {shortest} bytes, and a request's target may have at most \
16384"
            );
            assert!(reported.ends_with(&why), "{reported}");
        }
        // The comparison itself checks that witnesses are correct.
        let plan = plan((GATEWAY, DOCUMENT), (GATEWAY, &document));
        assert_eq!(shown(&plan), fits.then_some(shortest));
    }
}
