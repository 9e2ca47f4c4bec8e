//! Servers of documents, path items and operations.

use plan::compare;

use crate::side;

const GATEWAY: &str = "version: 1
name: shop
apis: {a: {path: api.yaml}}
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9001\"}}}}
defaults: {upstream: u, security: upstream}
";

/// Lists of servers of the document, of the path item of `/x`, and of the operations `x` and `y`.
/// An empty text means none.
type Lists<'a> = [&'a str; 4];

/// Changes between two documents: class, operations and subject.
fn changes(old: Lists<'_>, new: Lists<'_>) -> Vec<String> {
    let list = |urls: &str| match urls {
        "" => String::new(),
        _ => {
            let urls = urls.split(' ').map(|url| format!("{{url: '{url}'}}"));
            format!("servers: [{}]", urls.collect::<Vec<_>>().join(", "))
        }
    };
    let document = |[root, item, x, y]: Lists<'_>| {
        let operation = |id: &str, servers: &str| {
            let servers = match list(servers) {
                servers if servers.is_empty() => servers,
                servers => format!("{servers}, "),
            };
            format!("{{operationId: {id}, {servers}responses: {{\"200\": {{description: d}}}}}}")
        };
        let item = match list(item) {
            item if item.is_empty() => item,
            item => format!("    {item}\n"),
        };
        format!(
            "openapi: 3.1.0\ninfo: {{title: t, version: '1'}}\n{}\npaths:\n  /x:\n{item}    get: {}\n  \
             /y: {{get: {}}}\n",
            list(root),
            operation("x", x),
            operation("y", y)
        )
    };
    let side =
        |lists: Lists<'_>| side(&[("gateway.yaml", GATEWAY), ("api.yaml", &document(lists))]);
    let plan = compare(Some(&side(old)), &side(new)).expect("both build");
    let line = |change: &plan::Change| {
        assert_eq!(change.id, "servers-changed");
        let operations = change.operations.join("+");
        format!("{} {operations} {}", change.class.name(), change.subject)
    };
    plan.changes.iter().map(line).collect()
}

#[test]
fn servers_of_each_operation_are_compared() {
    let (a, b, c) = ("https://a.x", "https://b.x", "https://c.x");
    for (old, new, expected) in [
        (
            ["", "", b, c],
            ["", "", c, b],
            &["moved a/x servers", "moved a/y servers"][..],
        ),
        ([a, "", b, ""], [a, "", b, b], &["moved a/y servers"]),
        (
            [a, "", b, ""],
            [a, "", "", b],
            &["moved a/x servers", "moved a/y servers"],
        ),
        ([a, b, "", b], [a, c, "", b], &["moved a/x servers"]),
        ([a, "", "", ""], [a, b, "", ""], &["moved a/x servers"]),
        // An operation with a list of its own ignores the other lists.
        ([a, b, c, ""], [a, a, c, ""], &[]),
        ([a, "", "", ""], [b, "", "", ""], &["moved  a: servers"]),
        ([a, "", "", c], [b, "", "", c], &["moved  a: servers"]),
        ([a, "", c, c], [b, "", c, c], &[]),
    ] {
        assert_eq!(changes(old, new), expected, "{old:?} {new:?}");
    }
}

#[test]
fn list_at_another_place_is_no_change() {
    let (a, b) = ("https://a.x", "https://b.x");
    let none: [&str; 0] = [];
    for (old, new) in [
        ([a, "", "", ""], ["", "", a, a]),
        ([a, "", "", ""], ["", a, "", a]),
        ([a, b, "", ""], [a, "", b, ""]),
        (["", a, "", b], [b, a, "", ""]),
    ] {
        assert_eq!(changes(old, new), none, "{old:?} {new:?}");
        assert_eq!(changes(new, old), none, "{new:?} {old:?}");
    }
}

#[test]
fn first_server_is_the_default() {
    let (one, other) = ("https://a.x https://b.x", "https://b.x https://a.x");
    let root = |list| [list, "", "", ""];
    assert_eq!(changes(root(one), root(other)), ["moved  a: servers"]);
    let three = "https://a.x https://c.x https://b.x";
    let reordered = "https://a.x https://b.x https://c.x";
    assert_eq!(changes(root(three), root(reordered)), ["doc  a: servers"]);
    for kept in ["https://a.x", "https://b.x"] {
        assert_eq!(changes(root(one), root(kept)), ["moved  a: servers"]);
    }
}

#[test]
fn base_path_is_a_part_of_the_url() {
    for (old, new, expected) in [
        ("https://a.x/v1", "https://a.x/v2", "moved"),
        ("https://a.x/v1", "https://A.x/v1/", "doc"),
        ("https://a.x/v1", "https://a.x/V1", "moved"),
        ("https://a.x", "https://a.x/v1", "moved"),
        ("/v1", "/v2", "moved"),
        ("/", "/v2", "moved"),
        ("", "/v2", "moved"),
        ("", "/", "doc"),
        ("/v1", "https://a.x/v1", "moved"),
    ] {
        let found = changes([old, "", "", ""], [new, "", "", ""]);
        assert_eq!(found, [format!("{expected}  a: servers")], "{old} {new}");
    }
}

#[test]
fn variable_without_enum_has_any_value() {
    let variable = |values: &str| {
        format!(
            "openapi: 3.1.0\ninfo: {{title: t, version: '1'}}\nservers: [{{url: 'https://{{h}}.x', variables: \
             {{h: {{default: a{values}}}}}}}]\npaths: {{/x: {{get: {{operationId: x, responses: {{\"200\": {{description: d}}}}}}}}}}\n"
        )
    };
    let changed = |old: &str, new: &str| {
        let side = |text: &str| side(&[("gateway.yaml", GATEWAY), ("api.yaml", text)]);
        let (old, new) = (side(&variable(old)), side(&variable(new)));
        let plan = compare(Some(&old), &new).expect("both build");
        let classes = plan.changes.iter().map(|change| change.class.name());
        classes.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(changed(", enum: [a]", ""), "moved");
    assert_eq!(changed(", enum: [a, b]", ", enum: [b, a]"), "");
}
