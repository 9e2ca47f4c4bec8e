//! Checks that every recipe in `docs/recipes.md` compiles. The test merges the recipe's YAML blocks
//! into a small project.

use e2e::binaries;
use e2e::project::Project;
use serde_yaml_ng::Value;

const GATEWAY: &str = "\
version: 1
name: shop
apis: {shop: {path: apis/shop.yaml, overlays: [apis/shop.gw.yaml]}}
listeners: {public: {address: \"127.0.0.1:8080\"}}
upstreams: {shop: {targets: {a: {url: \"http://127.0.0.1:9001\"}}}}
defaults: {upstream: shop, security: upstream, timeout: 5s}
";

const DOCUMENT: &str = "\
openapi: 3.1.0
info: {title: Shop, version: \"1\"}
paths:
  /items:
    get: {operationId: listItems, x-gateway: {public: true}, responses: {\"200\": {description: The items.}}}
  /orders:
    post: {operationId: createOrder, x-gateway: {public: true}, responses: {\"201\": {description: The order.}}}
";

const OVERLAY: &str = "\
overlay: 1.0.0
info: {title: shop behind the gateway, version: \"1\"}
actions:
- {target: \"$.info\", update: {summary: a shop}}
";

/// Applies a JSON Merge Patch (RFC 7396) to a tree. Does not support the removal of keys.
pub(crate) fn merge(into: &mut Value, patch: Value) {
    match (into, patch) {
        (Value::Mapping(into), Value::Mapping(patch)) => {
            for (key, value) in patch {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, patch) => *into = patch,
    }
}

/// YAML blocks of a section. Each block is returned with the file name from its first line, and
/// without this line.
fn blocks(section: &str) -> Vec<(&str, &str)> {
    section
        .split("```yaml\n# ")
        .skip(1)
        .map(|block| {
            let block = block.split("\n```").next().expect("a block ends");
            block.split_once('\n').expect("a block has lines")
        })
        .collect()
}

#[test]
fn recipes_compile() {
    let page = std::fs::read_to_string(binaries::workspace().join("docs/recipes.md"));
    let page = page.expect("the page is there");
    let mut recipes = 0;
    for section in page.split("\n## ").skip(1) {
        let title = section.lines().next().unwrap_or_default();
        let mut gateway: Value = serde_yaml_ng::from_str(GATEWAY).expect("YAML");
        let mut overlay = OVERLAY.to_owned();
        let blocks = blocks(section);
        assert!(!blocks.is_empty(), "{title}: no block");
        for (file, text) in blocks {
            match file {
                "gateway.yaml" => merge(&mut gateway, serde_yaml_ng::from_str(text).expect(title)),
                "apis/shop.gw.yaml" => overlay = format!("{overlay}{text}\n"),
                other => panic!("{title}: a block of {other}"),
            }
        }
        let project = Project::new();
        let text = serde_yaml_ng::to_string(&gateway).expect("YAML");
        project.write("gateway.yaml", text);
        project.write("apis/shop.yaml", DOCUMENT);
        project.write("apis/shop.gw.yaml", overlay);
        project.write("acknowledged.yaml", "[]\n");
        project.gwc(&["lint", "--fail-on", "warn"]).succeeds();
        project.build();
        recipes += 1;
    }
    assert!(recipes >= 15, "{recipes} recipes");
}
