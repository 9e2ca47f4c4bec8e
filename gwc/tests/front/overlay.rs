//! Tests of overlays: conformance sets, and findings about keys of overlays.

use std::path::Path;

use diag::{Kind, NodeRef, Sink};
use sources::project::files::{Document, Files};
use sources::syntax::Limits;

use prerequisite::corpus;

use crate::project;

/// Applies an overlay in a folder. Returns the files and the document.
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
    openapi::overlay::apply(&mut files, &mut document, overlay, &mut sink);
    (files, document, sink.into_sorted())
}

/// True if two nodes are equal, ignoring source locations and the order of keys.
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
fn overlay_compliance_sets_give_their_output() {
    let corpus = corpus::folder();
    let sets = corpus.join("conformance/overlay-apply/apply");
    let mut count = 0;
    for set in std::fs::read_dir(sets).expect("the sets").flatten() {
        let folder = set.path();
        let (mut files, document, mut findings) = apply(&folder, "openapi.yaml", "overlay.yaml");
        // Ignore this finding: one overlay extends `openapi-with-servers.yaml`, which the set does
        // not contain.
        findings.retain(|finding| finding.lint.name != "overlay-of-another");
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
fn overlay_suites_have_their_stated_verdicts() {
    let corpus = corpus::folder();
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
            openapi::overlay::apply(&mut files, &mut document, overlay, &mut sink);
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
fn aliased_node_is_copied_before_it_is_changed() {
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
    // The root node of the document's own file must be unchanged.
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
fn value_of_an_overlay_has_its_place_there() {
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
    // `x-n` after a dot is not a valid JSONPath.
    assert_eq!(linted.names(), ["invalid-target"]);
    assert!(at(&linted, &["paths", "/b"]).is_none());
    let deep = at(&linted, &["paths", "/a", "get", "x-n", "deep"]).expect("deep");
    let items: Vec<&str> = deep.items().filter_map(NodeRef::scalar_text).collect();
    assert_eq!(items, ["2"]);
}

#[test]
fn overlay_cannot_append_to_security_or_policies() {
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

/// Lints the document with an overlay of version 1.1 and these actions.
fn overlaid_11(actions: &str) -> project::Linted {
    let overlay =
        format!("overlay: 1.1.0\ninfo: {{title: o, version: \"1\"}}\nactions:\n{actions}");
    project::memory(&[("openapi.yaml", DOCUMENT), ("overlay.yaml", &overlay)])
}

#[test]
fn later_edit_of_a_copy_leaves_its_source_unchanged() {
    // gwc may edit in place a value that an earlier action has changed. Change `/b` before the
    // copy, so that an edit of the copy could change `/b` by mistake, and the reverse.
    let linted = overlaid_11(
        "- {target: \"$.paths['/b'].get\", update: {tags: [one]}}
- {target: $.paths, update: {/c: {}}}
- {target: \"$.paths['/c']\", copy: \"$.paths['/b']\"}
- {target: \"$.paths['/c'].get\", update: {operationId: c, tags: [two]}}
- {target: \"$.paths['/b'].get.tags\", update: [three]}
",
    );
    assert_eq!(linted.lines(), "");
    let tags = |path: &str| {
        let tags = at(&linted, &["paths", path, "get", "tags"]).expect("tags");
        tags.items().filter_map(NodeRef::as_str).collect::<Vec<_>>()
    };
    assert_eq!(tags("/b"), ["one", "three"]);
    assert_eq!(tags("/c"), ["one", "two"]);
    let id = at(&linted, &["paths", "/b", "get", "operationId"]).expect("an id");
    assert_eq!(id.as_str(), Some("b"));
}

#[test]
fn copy_into_many_places_uses_the_original_value() {
    let linted = overlaid_11(
        "- {target: \"$.paths['/b'].get\", update: {tags: [x]}}
- {target: \"$.paths.*.get.tags\", copy: \"$.paths['/b'].get.tags\"}
",
    );
    let tags = |path: &str| {
        let tags = at(&linted, &["paths", path, "get", "tags"]).expect("tags");
        tags.items().filter_map(NodeRef::as_str).collect::<Vec<_>>()
    };
    assert_eq!(tags("/a"), ["one", "x"]);
    assert_eq!(tags("/b"), ["x", "x"]);
}

#[test]
fn copy_source_must_select_exactly_one_value() {
    for (source, names) in [
        ("$.paths['/nowhere']", vec!["overlay-mismatch"]),
        ("$.paths.*", vec!["overlay-mismatch"]),
        ("$.paths[", vec!["invalid-target"]),
        ("$.info.title", vec!["overlay-mismatch"]),
    ] {
        let linted = overlaid_11(&format!(
            "- {{target: \"$.paths['/a']\", copy: \"{source}\"}}\n"
        ));
        assert_eq!(linted.names(), names, "{source}");
    }
    // Overlay 1.0 has no `copy`.
    let linted = overlaid("- {target: \"$.paths['/a']\", copy: \"$.paths['/b']\"}\n");
    assert_eq!(
        linted.names(),
        ["overlay-does-nothing", "malformed-overlay"]
    );
}

#[test]
fn action_with_two_operations_is_reported() {
    let linted = overlaid_11("- {target: $.info, update: {title: u}, remove: true}\n");
    assert_eq!(linted.names(), ["missing-field", "overlay-does-nothing"]);
    assert!(at(&linted, &["info"]).is_none(), "removed all the same");
    let linted = overlaid_11("- {target: $.info, update: {title: u}, copy: $.paths}\n");
    assert_eq!(linted.names(), ["malformed-overlay"]);
    let title = at(&linted, &["info", "title"]).and_then(NodeRef::as_str);
    assert_eq!(title, Some("t"), "neither was done");
}

#[test]
fn a_target_selects_values_of_one_sort() {
    let linted = overlaid("- {target: \"$.paths['/a'].get.*\", update: {x-n: 1}}\n");
    assert_eq!(linted.names(), ["overlay-mismatch"]);
    assert!(
        linted.lines().contains("selects a string as well as a map"),
        "{}",
        linted.lines()
    );
    // A wildcard target may select any values for removal.
    let linted =
        overlaid("- {target: \"$.paths['/a'].get['tags', 'operationId']\", remove: true}\n");
    assert_eq!(linted.names(), Vec::<&str>::new());
}

#[test]
fn overlays_work_one_after_the_other() {
    let overlay = |actions: &str| {
        format!("overlay: 1.0.0\ninfo: {{title: o, version: \"1\"}}\nactions:\n{actions}")
    };
    let first = overlay("- {target: $.info, update: {title: first, x-n: 1}}\n");
    let second = overlay(
        "- {target: \"$.info[?@ == 'first']\", update: second}\n- {target: $.info.x-n, remove: true}\n- {target: \"$.info['x-n']\", remove: true}\n",
    );
    let linted = project::memory(&[
        ("openapi.yaml", DOCUMENT),
        ("overlay1.yaml", &first),
        ("overlay2.yaml", &second),
    ]);
    assert_eq!(linted.names(), ["invalid-target"]);
    let title = at(&linted, &["info", "title"]).and_then(NodeRef::as_str);
    assert_eq!(title, Some("second"));
    assert!(at(&linted, &["info", "x-n"]).is_none());
}

#[test]
fn mistake_of_a_wildcard_is_one_finding_with_a_count() {
    // The wrong key is added to an existing map, to a map that an earlier action created, and
    // inside a new value.
    for (actions, name) in [
        (
            "- {target: $.paths.*.get, update: {sumary: x}}\n",
            "unknown-field",
        ),
        (
            "- {target: $.paths.*.get, update: {externalDocs: {}}}\n- {target: $.paths.*.get.externalDocs, update: {url: 'https://a.example', urll: x}}\n",
            "unknown-field",
        ),
        (
            "- {target: $.paths.*.get.operationId, update: 7}\n",
            "wrong-field-type",
        ),
        (
            "- {target: $.paths.*.get.operationId, update: same}\n",
            "duplicate-operation-id",
        ),
        (
            "- {target: $.paths.*.get, update: {security: [{gone: []}]}}\n",
            "undefined-security-scheme",
        ),
    ] {
        let linted = overlaid(actions);
        assert_eq!(linted.names(), [name], "{}", linted.lines());
        assert_eq!(linted.findings[0].places, 2, "{}", linted.lines());
        let file = linted.findings[0].span.file;
        assert_eq!(linted.files.sources.file(file).path(), "overlay.yaml");
    }
    let once = overlaid("- {target: \"$.paths['/a'].get\", update: {sumary: x}}\n");
    assert_eq!(once.findings[0].places, 1);
}

#[test]
fn growth_is_bounded() {
    // Each action doubles the number of values with the key `x`.
    let mut actions = String::from("- {target: $.info, update: {x-0: {x: {}}}}\n");
    for index in 0..60 {
        actions.push_str(&format!(
            "- {{target: \"$..x\", update: {{k{index}: {{x: {{}}}}}}}}\n"
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

/// Applies actions to a document whose `x-t` has a map and a list of 60,000 entries each. Returns
/// the number of remaining entries, and the names of the findings except `no-…`.
fn with_many(actions: &str) -> (usize, Vec<&'static str>) {
    let entries = (0..60_000).map(|at| format!("\"k{at:05}\": {{\"v\": {at}}}"));
    let items = (0..60_000).map(|at| format!("{{\"v\": {at}}}"));
    let [entries, items] = [entries.collect::<Vec<_>>(), items.collect()].map(|all| all.join(","));
    let many = format!("x-t: {{\"map\": {{{entries}}}, \"list\": [{items}]}}\nx-shared:");
    let document = DOCUMENT.replacen("x-shared:", &many, 1);
    let overlay =
        format!("overlay: 1.0.0\ninfo: {{title: o, version: \"1\"}}\nactions:\n{actions}");
    let linted = project::memory(&[("openapi.yaml", &document), ("overlay.yaml", &overlay)]);
    let below = |key: &str| {
        let node = at(&linted, &["x-t", key]).expect("it is kept");
        node.entries().len() + node.items().len()
    };
    let names = linted.names().into_iter();
    let names = names.filter(|name| !name.starts_with("no-")).collect();
    (below("map") + below("list"), names)
}

#[test]
fn action_on_each_of_many_entries_is_linear() {
    // With quadratic time, an action would take more than ten minutes.
    for (actions, left) in [
        ("- {target: \"$['x-t'].map[*]\", remove: true}\n", 60_000),
        ("- {target: \"$['x-t'].list[*]\", remove: true}\n", 60_000),
        ("- {target: \"$['x-t']..[?@.v > 9]\", remove: true}\n", 20),
        ("- {target: \"$['x-t'].*[*]\", update: {w: 1}}\n", 120_000),
        (
            "- {target: \"$['x-t'].*[?@.v > 9]\", update: {w: {x: 1}}}\n",
            120_000,
        ),
    ] {
        let (count, names) = with_many(actions);
        assert_eq!(count, left, "{actions}");
        assert!(!names.contains(&"invalid-target"), "{names:?}");
    }
}

#[test]
fn target_of_too_many_steps_is_an_error() {
    for target in [
        "$..[?count($..*) > 3]",
        "$['x-t'].map[?count($['x-t'].map[*]) > @.v]",
        "$..[?search(@.v, 'a{100}')]",
        "$..[?search(@.v, @.w)]",
    ] {
        let (_, names) = with_many(&format!("- {{target: \"{target}\", remove: true}}\n"));
        assert!(names.contains(&"invalid-target"), "{target}: {names:?}");
    }
    // All actions of an overlay share one limit.
    let actions = |count: usize| -> String {
        let each = (0..count)
            .map(|at| format!("- {{target: \"$..[?search(@.v, 'none{at}')]\", remove: true}}\n"));
        each.collect()
    };
    assert!(!with_many(&actions(1)).1.contains(&"invalid-target"));
    assert!(with_many(&actions(6)).1.contains(&"invalid-target"));
    // A small document allows such targets.
    let linted = overlaid("- {target: \"$..[?count($..*) > 3]\", update: {x-w: 1}}\n");
    assert!(
        !linted.names().contains(&"invalid-target"),
        "{:?}",
        linted.names()
    );
}

#[test]
fn name_twice_in_a_list_of_a_target_is_an_error() {
    // Each list would select each value 300 times: 27 million values together.
    let list = |name: &str| format!("[{}]", vec![format!("'{name}'"); 300].join(","));
    let lists = ["components", "securitySchemes", "key"].map(list).concat();
    let linted = overlaid(&format!("- {{target: \"${lists}\", update: {{x-a: 1}}}}\n"));
    assert_eq!(linted.names(), ["invalid-target"]);
    let linted = overlaid("- {target: \"$.paths['/a', '/b'].get\", update: {x-a: 1}}\n");
    assert_eq!(linted.names(), Vec::<&str>::new());
}

#[test]
fn target_with_too_long_paths_is_an_error() {
    // 100 values with 150 levels each. The second `..` selects a value once for each level above.
    let (open, close) = ("{a: ".repeat(150), "}".repeat(150));
    let deep = vec![format!("{open}1{close}"); 100].join(", ");
    let deep = format!("x-t: [{deep}]\nx-shared:");
    let document = DOCUMENT.replacen("x-shared:", &deep, 1);
    for (target, is_error) in [("$..*..*", true), ("$..zz", false), ("$..zz..zz", true)] {
        let overlay = format!(
            "overlay: 1.0.0\ninfo: {{title: o, version: \"1\"}}\nactions:\n- {{target: \"{target}\", remove: true}}\n"
        );
        let linted = project::memory(&[("openapi.yaml", &document), ("overlay.yaml", &overlay)]);
        let names = linted.names();
        assert_eq!(names.contains(&"invalid-target"), is_error, "{target}");
    }
}

#[test]
fn overlays_of_one_run_share_a_limit_of_steps() {
    let overlay = "overlay: 1.0.0\ninfo: {title: o, version: \"1\"}\nactions:\n- {target: \"$..get\", update: {x-a: 1}}\n";
    for (taken, expected) in [(0, None), (500_000_000, Some("invalid-target"))] {
        let texts = [("openapi.yaml", DOCUMENT), ("overlay.yaml", overlay)];
        let mut files = Files::in_memory(texts, Limits::default());
        files.overlay_steps = taken;
        let file = files.read("openapi.yaml").expect("in memory");
        let overlay = files.read("overlay.yaml").expect("in memory");
        let mut document = Document {
            file,
            root: files.root(file).expect("a root"),
            overlays: Vec::new(),
        };
        let mut sink = Sink::default();
        openapi::overlay::apply(&mut files, &mut document, overlay, &mut sink);
        let first = sink.findings().first().map(|finding| finding.lint.name);
        assert_eq!(first, expected);
        assert_eq!(files.overlay_steps > taken, expected.is_none());
    }
}

#[test]
fn removal_of_many_values_keeps_all_others() {
    let list = DOCUMENT.replacen(
        "x-shared:",
        "x-l: [[0, 1], [2, 3], {a: 4, b: [5, 6]}]\nx-shared:",
        1,
    );
    let left = |target: &str| {
        let overlay = format!(
            "overlay: 1.0.0\ninfo: {{title: o, version: \"1\"}}\nactions:\n- {{target: \"{target}\", remove: true}}\n"
        );
        let linted = project::memory(&[("openapi.yaml", &list), ("overlay.yaml", &overlay)]);
        let node = at(&linted, &["x-l"]).expect("it is kept");
        fn text(node: NodeRef<'_>) -> String {
            let items: Vec<String> = node.items().map(text).collect();
            let entries = node.entries();
            let entries: Vec<String> = entries
                .map(|(entry, value)| format!("{}{}", entry.key, text(value)))
                .collect();
            match node.kind() {
                Kind::List(_) => format!("[{}]", items.join(" ")),
                Kind::Map(_) => format!("{{{}}}", entries.join(" ")),
                kind => match kind {
                    Kind::Number(number) => number.to_string(),
                    _ => "?".to_owned(),
                },
            }
        }
        text(node)
    };
    assert_eq!(left("$['x-l'][0,1]"), "[{a4 b[5 6]}]");
    assert_eq!(left("$['x-l'][*][0]"), "[[1] [3] {a4 b[5 6]}]");
    assert_eq!(left("$['x-l']..[0]"), "[[3] {a4 b[6]}]");
    assert_eq!(left("$['x-l'][*].*"), "[[] [] {}]");
    assert_eq!(left("$['x-l']..*"), "[]");
}
