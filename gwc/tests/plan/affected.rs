//! Tests of operations with paths that the old version refuses (400 `path_ambiguous`) because of
//! another operation. A change of that other operation can open such a path. The plan must then
//! have a line that stops the release, with or without an example.

use plan::{Change, Class, Plan};

use crate::{GATEWAY, edit, plan};

const PUBLIC: &str = "security: [{}], x-gateway: {public: true}";
const INTERNAL: &str = "x-gateway: {internal: true}";
const KEY: &str = "tags: []";

/// Operation: method, path, settings of the path item, settings of the operation.
type Operation = (&'static str, &'static str, &'static str, &'static str);

/// Document with these operations. The settings of a path item are those of its first operation.
fn document(root: &str, operations: &[Operation]) -> String {
    let mut paths: Vec<&str> = operations.iter().map(|one| one.1).collect();
    paths.dedup();
    let item = |path: &&str| {
        let own = || operations.iter().filter(|one| one.1 == *path);
        let names = path.split(['{', '}']).skip(1).step_by(2);
        let parameters = names.map(|name| {
            format!("{{name: {name}, in: path, required: true, schema: {{type: string}}}}")
        });
        let parameters = Vec::from_iter(parameters).join(", ");
        let settings = own().next().map_or("", |one| one.2);
        let methods = own().map(|(method, _, _, operation)| {
            format!(
                "    {method}: {{{operation}, responses: {{\"200\": {{description: fine}}}}}}\n"
            )
        });
        let methods = methods.collect::<String>();
        format!(
            "  \"{path}\":\n    parameters: [{parameters}]\n    x-gateway: {{{settings}}}\n{methods}"
        )
    };
    let security = match root.contains("public") {
        true => "[{}]",
        false => "[{key: []}]",
    };
    format!(
        "openapi: 3.1.0\ninfo: {{title: t, version: \"1\"}}\nx-gateway: {{{root}}}\nsecurity: {security}\npaths:\n{}components:\n  securitySchemes:\n    key: {{type: apiKey, in: header, name: X-Key, x-gateway: {{auth: keys}}}}\n",
        paths
            .iter()
            .map(item)
            .collect::<String>()
            .replace(KEY, "security: [{key: []}]")
    )
}

/// True if the plan has a line about an operation of this path with a class that stops a release.
fn opens(plan: &Plan, path: &str) -> bool {
    plan.changes.iter().any(|change| {
        let class = matches!(
            change.class,
            Class::Weaken | Class::Expose | Class::Incomparable
        );
        let mut places = change.places.iter();
        class && places.any(|place| place.template == path)
    })
}

/// Fingerprints of the lines of a plan for which `passes` returns true.
fn fingerprints(old: &str, new: &str, passes: impl Fn(&Change) -> bool) -> Vec<String> {
    let plan = plan((GATEWAY, old), (GATEWAY, new));
    let lines = plan.changes.into_iter().filter(passes);
    lines.map(|line| line.fingerprint).collect()
}

/// Asserts that the removal of the last operation gives a line about the path of the first
/// operation.
fn assert_opens(gateway: &str, root: &str, operations: &[Operation]) {
    let new = document(root, &operations[..operations.len() - 1]);
    let old = document(root, operations);
    let plan = plan((gateway, &old), (gateway, &new));
    assert_eq!(plan.bugs, Vec::<String>::new());
    let path = operations[0].1;
    assert!(opens(&plan, path), "{path} {:#?}", plan.changes);
    // Without the removal, the plan has no lines.
    let plan = crate::plan((gateway, &old), (gateway, &old));
    assert!(plan.changes.is_empty(), "{:#?}", plan.changes);
}

#[test]
fn letter_case_beyond_ascii_opens() {
    for access in [KEY, INTERNAL] {
        assert_opens(
            GATEWAY,
            "",
            &[
                ("get", "/%C3%89/{n}", "", PUBLIC),
                ("get", "/%C3%A9/admin", "", access),
            ],
        );
    }
}

#[test]
fn reading_below_a_stripped_base_path_opens() {
    let mount = "apis: {a: {path: api.yaml, mount: {base_path: /v1, strip_base_path: true}}}";
    let gateway = edit(GATEWAY, "apis: {a: {path: api.yaml}}", mount);
    let operations = [
        ("get", "/pkg/{n}", "path_readings: keep", PUBLIC),
        ("get", "/admin", "", KEY),
    ];
    let new = document("", &operations[..1]);
    let old = document("", &operations);
    let plan = plan((&gateway, &old), (&gateway, &new));
    assert!(opens(&plan, "/v1/pkg/{n}"), "{:#?}", plan.changes);
}

#[test]
fn one_of_many_removed_operations_opens() {
    let mut operations = vec![("get", "/pkg/{n}", "path_readings: keep", PUBLIC)];
    operations.extend(["/s1", "/s2", "/s3", "/zadmin"].map(|path| ("get", path, "", KEY)));
    assert_opens(GATEWAY, "", &operations);
}

#[test]
fn path_that_another_operation_masks_opens() {
    assert_opens(
        GATEWAY,
        "",
        &[
            ("get", "/pkg/{n}/{m}", "path_readings: keep", PUBLIC),
            ("get", "/pkg/x/admin/{n}/{m}", "", KEY),
            ("get", "/pkg/x/admin/y", "", KEY),
        ],
    );
}

#[test]
fn head_of_another_operation_opens() {
    assert_opens(
        GATEWAY,
        "",
        &[
            ("get", "/users/{n}", "", PUBLIC),
            ("head", "/Users/admin", "", KEY),
        ],
    );
}

#[test]
fn undeclared_methods_of_a_removed_path_open() {
    assert_opens(
        GATEWAY,
        "undeclared_methods: pass, public: true",
        &[("get", "/A", "", KEY), ("get", "/a", "", PUBLIC)],
    );
}

#[test]
fn prefix_with_an_escape_opens() {
    assert_opens(
        GATEWAY,
        "",
        &[
            ("get", "/@scope%2Fpkg", "match: prefix", PUBLIC),
            ("get", "/@scope/pkg/admin", "", INTERNAL),
        ],
    );
}

#[test]
fn prefix_beside_another_prefix_opens() {
    // The old version refuses `/A/b` of the first operation, because servers may read it as `/a/b`.
    assert_opens(
        GATEWAY,
        "",
        &[
            ("get", "/{x}", "match: prefix", PUBLIC),
            ("get", "/a/{x}", "match: prefix", PUBLIC),
            ("get", "/z", "", KEY),
            ("get", "/a/b", "", INTERNAL),
        ],
    );
    assert_opens(
        GATEWAY,
        "",
        &[
            ("get", "/{x}/{y}", "", PUBLIC),
            ("get", "/z", "", KEY),
            ("get", "/a%2F{x}", "match: prefix", INTERNAL),
        ],
    );
}

#[test]
fn acknowledged_readings_cover_no_removal() {
    let operations = |readings: &'static str| {
        [
            ("get", "/pkg/{x}", readings, PUBLIC),
            ("get", "/z", "", KEY),
            ("get", "/admin", "", KEY),
        ]
    };
    let old = document("", &operations(""));
    let keeps = operations("path_readings: keep");
    let kinds = |new: &str| -> Vec<&str> {
        let plan = plan((GATEWAY, &old), (GATEWAY, new));
        plan.changes.iter().map(|change| change.id).collect()
    };
    assert_eq!(kinds(&document("", &keeps)), ["path-readings-changed"]);
    let removed = kinds(&document("", &keeps[..2]));
    assert!(removed.contains(&"refused-paths-changed"), "{removed:?}");
}

#[test]
fn acknowledged_line_covers_no_further_operation() {
    let public = ("get", "/%C3%89/{n}", "", PUBLIC);
    let [one, two] = ["/%C3%A9/one", "/%C3%A9/two"].map(|path| ("get", path, "", INTERNAL));
    let documents = [&[public, one, two][..], &[public, two], &[public]];
    let [all, second, none] = documents.map(|operations| document("", operations));
    let fingerprints =
        |old: &str, new: &str| fingerprints(old, new, |line| line.id == "refused-paths-changed");
    let (first, later) = (fingerprints(&all, &second), fingerprints(&second, &none));
    assert_eq!((first.len(), later.len()), (1, 1));
    assert_ne!(first, later);
}

#[test]
fn acknowledged_line_covers_all_former_operations() {
    let public = ("get", "/x/{n}", "", PUBLIC);
    let moved = ("get", "/x/a", "", PUBLIC);
    let [one, two] = ["/X/a", "/X/b"].map(|path| ("get", path, "", INTERNAL));
    let old = document("", &[public, moved, one, two]);
    // The old version refuses `/x/a` (operation `moved`) and `/x/b` (operation `public`), because
    // servers that ignore letter case read them as the internal `/X/a` and `/X/b`.
    let fingerprints = |operations: &[Operation]| {
        let new = document("", operations);
        fingerprints(&old, &new, |line| {
            matches!(line.class, Class::Weaken | Class::Expose)
        })
    };
    let (first, both) = (fingerprints(&[public, two]), fingerprints(&[public]));
    assert!(!first.is_empty() && !both.is_empty());
    assert_ne!(first, both);
}

/// An operation that redirected a path now matches it as a prefix. The gateway refuses the path,
/// because servers that ignore letter case read it as a path of another operation.
#[test]
fn redirected_path_that_is_refused_is_no_bug() {
    for (path, other, settings) in [
        ("/a/b/", "/{x}/B", "match: prefix"),
        (
            "/a%2Fb/Admin",
            "/{p}-{q}/admin",
            "match: prefix, trailing_slash: ignore",
        ),
    ] {
        let [old, new] = ["trailing_slash: redirect", settings].map(|settings| {
            document(
                "",
                &[("get", path, settings, PUBLIC), ("get", other, "", KEY)],
            )
        });
        for [old, new] in [[&old, &new], [&new, &old]] {
            let plan = plan((GATEWAY, old), (GATEWAY, new));
            assert_eq!(plan.bugs, Vec::<String>::new());
        }
    }
}

/// The gateway serves only `/a%2Fb/c`. It refuses other paths, because servers read them as paths
/// of the internal operation, or of no operation of the method. The search for an example tries no
/// served path.
#[test]
fn opening_without_an_example_has_lines() {
    let keep = "match: prefix, path_readings: keep";
    let (path, prefix) = ("/a%2F{x}", "match: prefix");
    let internal = ("get", "/a/b", prefix, INTERNAL);
    let below = ("delete", "/a/b/", "", KEY);
    let text = |own: &[Operation]| document("unmatched: u", &[own, &[internal, below]].concat());
    let public = text(&[("delete", path, keep, PUBLIC)]);
    for old in [text(&[]), text(&[("delete", path, keep, KEY)])] {
        let plan = plan((GATEWAY, &old), (GATEWAY, &public));
        assert_eq!(plan.bugs, Vec::<String>::new());
        assert!(opens(&plan, path), "{:#?}", plan.changes);
    }
}

/// A removal opens a path of an operation that changes in the same edit.
#[test]
fn path_of_an_edited_operation_opens() {
    const CONDITION: &str =
        "security: [{}], x-gateway: {public: true, match: {headers: {X-V: {exact: \"1\"}}}}";
    let internal = ("get", "/%C3%A9/admin", "", INTERNAL);
    let own = |path, settings, access| ("get", path, settings, access);
    let plain = own("/%C3%89/{n}", "", PUBLIC);
    for (before, after) in [
        (plain, own("/%C3%89/{n}", "priority: 3", PUBLIC)),
        (own("/%C3%89/{n}", "priority: 3", PUBLIC), plain),
        (plain, own("/%C3%89/{n}", "", CONDITION)),
        (
            own("/%C3%89", "match: prefix", PUBLIC),
            own("/%C3%89/{n}", "", PUBLIC),
        ),
        (plain, own("/%C3%89/a{n}", "", PUBLIC)),
    ] {
        let [old, new] = [document("", &[before, internal]), document("", &[after])];
        let plan = plan((GATEWAY, &old), (GATEWAY, &new));
        assert_eq!(plan.bugs, Vec::<String>::new());
        assert!(
            opens(&plan, after.1),
            "{before:?} {after:?} {:#?}",
            plan.changes
        );
    }
}

/// The acknowledgement of an opening does not cover a removal that opens further paths.
#[test]
fn acknowledged_edit_covers_no_removal() {
    let internal = ("get", "/%C3%A9/admin", "", INTERNAL);
    let [plain, prefix] = [("/%C3%89/{n}", ""), ("/%C3%89", "match: prefix")]
        .map(|(path, settings)| ("get", path, settings, PUBLIC));
    let old = document("", &[plain, internal]);
    let fingerprints = |operations: &[Operation]| {
        let new = document("", operations);
        fingerprints(&old, &new, |line| line.class == Class::Weaken)
    };
    let (kept, removed) = (fingerprints(&[prefix, internal]), fingerprints(&[prefix]));
    assert_eq!((kept.len(), removed.len()), (1, 1));
    assert_ne!(kept, removed);
}

/// The gateway refuses `/a/b`, because servers may read it as `/A/b`, which matches `/{p}/{q}` and
/// has only an operation of another method.
#[test]
fn removal_of_another_method_opens() {
    for access in [INTERNAL, KEY] {
        assert_opens(
            GATEWAY,
            "",
            &[
                ("get", "/a/{y}", "", PUBLIC),
                ("get", "/{p}/{q}", "", KEY),
                ("delete", "/A/b", "", access),
            ],
        );
    }
    for access in [INTERNAL, PUBLIC] {
        assert_opens(
            GATEWAY,
            "",
            &[
                ("get", "/{x}/{y}", "", PUBLIC),
                ("get", "/{x}", "match: prefix", KEY),
                ("delete", "/a/b/", "", access),
            ],
        );
    }
}
