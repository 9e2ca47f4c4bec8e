//! Overlays: the conformance sets, and what the vocabulary says about them.

use std::path::Path;

use diag::{Kind, NodeRef, Sink};
use gwc::project::files::{Document, Files};
use gwc::syntax::Limits;

use crate::{corpus, project};

/// Applies an overlay of a folder and gives the files and the document.
fn apply(folder: &Path, document: &str, overlay: &str) -> (Files, Document, Vec<diag::Diagnostic>) {
    let mut files = Files::open(folder, Limits::default()).expect("the folder is there");
    let mut sink = Sink::default();
    let file = files.read(document).expect("the document is there");
    let overlay = files.read(overlay).expect("the overlay is there");
    files.report(overlay, &mut sink);
    let mut document = Document {
        file,
        root: files.root(file).expect("a root"),
        overlays: Vec::new(),
    };
    gwc::overlay::apply(&mut files, &mut document, overlay, &mut sink);
    (files, document, sink.into_sorted())
}

/// Equal but for places and the order of keys.
fn same(a: NodeRef<'_>, b: NodeRef<'_>) -> bool {
    match (a.kind(), b.kind()) {
        (Kind::Map(_), Kind::Map(_)) => {
            a.entries().len() == b.entries().len()
                && a.entries()
                    .all(|(entry, value)| b.get(&entry.key).is_some_and(|other| same(value, other)))
        }
        (Kind::List(_), Kind::List(_)) => {
            a.items().len() == b.items().len() && a.items().zip(b.items()).all(|(a, b)| same(a, b))
        }
        (a, b) => a == b,
    }
}

#[test]
fn compliance_sets_give_their_output() {
    let Some(corpus) = corpus::folder() else {
        return;
    };
    let sets = corpus.join("conformance/overlay-apply/apply");
    let mut count = 0;
    for set in std::fs::read_dir(sets).expect("the sets").flatten() {
        let folder = set.path();
        let (mut files, document, findings) = apply(&folder, "openapi.yaml", "overlay.yaml");
        assert_eq!(findings.len(), 0, "{}: {findings:?}", folder.display());
        let output = files.read("output.yaml").expect("the output");
        let output = files.root(output).expect("a root");
        assert!(
            same(files.tree.at(document.root), files.tree.at(output)),
            "{}",
            folder.display()
        );
        count += 1;
    }
    assert_eq!(count, 4);
}

#[test]
fn overlays_are_judged_as_the_suites_say() {
    let Some(corpus) = corpus::folder() else {
        return;
    };
    let mut wrong = Vec::new();
    for (suite, label) in [
        ("overlay-1.0", "pass"),
        ("overlay-1.0", "fail"),
        ("overlay-1.1", "pass"),
        ("overlay-1.1", "fail"),
    ] {
        let folder = corpus.join("conformance").join(suite).join(label);
        for entry in std::fs::read_dir(&folder).expect("the suite").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let text = std::fs::read(folder.join(&name)).expect("the overlay");
            let document = b"openapi: 3.0.3\ninfo: {title: t, version: '1'}\npaths: {/foo: {get: {}}, /bar: {get: {}}}\n".to_vec();
            let mut files = Files::in_memory(
                [("openapi.yaml", document), ("overlay.yaml", text)],
                Limits::default(),
            );
            let mut sink = Sink::default();
            let file = files.read("openapi.yaml").expect("in memory");
            let overlay = files.read("overlay.yaml").expect("in memory");
            let mut document = Document {
                file,
                root: files.root(file).expect("a root"),
                overlays: Vec::new(),
            };
            gwc::overlay::apply(&mut files, &mut document, overlay, &mut sink);
            if sink.has_errors() != (label == "fail") {
                wrong.push(format!("{suite}/{label}/{name}: {:?}", sink.findings()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

const DOCUMENT: &str = "openapi: 3.0.3
info: {title: t, version: \"1\"}
x-shared: &shared {description: ok, x-n: 1}
security: [{key: []}]
paths:
  /a:
    get: {operationId: a, tags: [one], responses: {'200': *shared}}
  /b:
    get: {operationId: b, responses: {'200': *shared}}
components: {securitySchemes: {key: {type: apiKey, in: header, name: k}}}
";

fn overlaid(actions: &str) -> project::Linted {
    let overlay =
        format!("overlay: 1.0.0\ninfo: {{title: o, version: \"1\"}}\nactions:\n{actions}");
    project::memory(&[("openapi.yaml", DOCUMENT), ("overlay.yaml", &overlay)])
}

fn at<'a>(linted: &'a project::Linted, path: &[&str]) -> Option<NodeRef<'a>> {
    let root = linted.document.as_ref().expect("a document").root;
    path.iter()
        .try_fold(linted.files.tree.at(root), |node, key| node.get(key))
}

#[test]
fn what_an_alias_shares_is_copied_before_it_is_changed() {
    let linted = overlaid(
        "- {target: \"$.paths['/a'].get.responses['200']\", update: {description: new}}\n",
    );
    assert_eq!(linted.lines(), "");
    let text = |path: &str| {
        let node = at(
            &linted,
            &["paths", path, "get", "responses", "200", "description"],
        );
        node.and_then(NodeRef::as_str).map(str::to_owned)
    };
    assert_eq!(text("/a").as_deref(), Some("new"));
    assert_eq!(text("/b").as_deref(), Some("ok"));
    // The file's own root is as it was.
    let file = linted.document.as_ref().expect("a document").file;
    let root = linted
        .files
        .tree
        .at(linted.files.root(file).expect("a root"));
    let old = root.get("paths").and_then(|paths| {
        paths
            .get("/a")?
            .get("get")?
            .get("responses")?
            .get("200")?
            .get("description")
    });
    assert_eq!(old.and_then(NodeRef::as_str), Some("ok"));
}

#[test]
fn what_an_overlay_adds_has_the_overlays_place() {
    let linted =
        overlaid("- {target: \"$.paths.*.get\", update: {x-gateway: {owner: me}, tags: [two]}}\n");
    assert_eq!(linted.lines(), "");
    let spec = linted.spec.as_ref().expect("a spec");
    let operation = &spec.paths[0].operations[0];
    let node = linted
        .files
        .tree
        .at(operation.x_gateway.expect("x-gateway"));
    assert_eq!(
        linted.files.sources.file(node.span().file).path(),
        "overlay.yaml"
    );
    let tags: Vec<&str> = operation
        .tags
        .iter()
        .map(|tag| tag.value.as_str())
        .collect();
    assert_eq!(tags, ["one", "two"]);
    assert_eq!(spec.paths[1].operations[0].tags.len(), 1);
}

#[test]
fn later_actions_see_what_earlier_ones_did() {
    let linted = overlaid(
        "- {target: \"$.paths.*.get\", update: {x-n: {deep: [1]}}}
- {target: \"$.paths[*].get[?@.deep]\", update: {deep: [2]}}
- {target: \"$.paths['/b']\", remove: true}
- {target: \"$.paths[*].get.x-n.deep[0]\", update: 5}
- {target: \"$.paths[*].get['x-n'].deep[0]\", remove: true}
",
    );
    // `x-n` in dots is no JSONPath.
    assert_eq!(linted.names(), ["invalid-target"]);
    assert!(at(&linted, &["paths", "/b"]).is_none());
    let deep = at(&linted, &["paths", "/a", "get", "x-n", "deep"]).expect("deep");
    let items: Vec<&str> = deep.items().filter_map(NodeRef::scalar_text).collect();
    assert_eq!(items, ["2"]);
}

#[test]
fn lists_that_open_doors_are_not_appended_to() {
    for actions in [
        "- {target: $, update: {security: [{}]}}\n",
        "- {target: $.security, update: {}}\n",
        "- {target: $.security, update: [{}]}\n",
        "- {target: $, update: {x-gateway: {policies: [a]}}}\n- {target: $, update: {x-gateway: {policies: [b]}}}\n",
    ] {
        assert_eq!(
            overlaid(actions).names(),
            ["overlay-appends-list"],
            "{actions}"
        );
    }
    for actions in [
        "- {target: $.security, remove: true}\n- {target: $, update: {security: []}}\n",
        "- {target: $, update: {x-gateway: {+policies: [a]}}}\n- {target: $, update: {x-gateway: {+policies: [b]}}}\n",
        "- {target: \"$.paths['/a'].get\", update: {security: [{key: []}]}}\n",
    ] {
        assert_eq!(overlaid(actions).names(), Vec::<&str>::new(), "{actions}");
    }
}

#[test]
fn growth_is_bounded() {
    let mut actions = String::new();
    for index in 0..60 {
        actions.push_str(&format!(
            "- {{target: \"$..*\", update: {{x-k{index}: {{a: {{b: 1}}}}}}}}\n"
        ));
    }
    let start = std::time::Instant::now();
    let linted = overlaid(&actions);
    assert!(linted.names().contains(&"too-large"));
    assert!(
        start.elapsed() < std::time::Duration::from_secs(60),
        "{:?}",
        start.elapsed()
    );
}
