//! `gwc lint --fix`.

use crate::project::Project;

/// A document with mistakes that edits mend, in every way of quoting, among comments.
const MESSY: &str = "\u{feff}# at the top\r
openapi: 3.0.3\r
info: {title: t, version: 1.0}   # a number\r
paths:\r
  /a/{id}:   # 漢字\r
    parameters:\r
      - {name: id, in: path, requird: true, schema: {\"tipe\": string}}\r
    GET:\r
      'sumary': x   # keep   me\r
\r
      descripton: >\r
        folded\r
      responses: {'200': {description: ok}}\r
";

const TIDY: &str = "\u{feff}# at the top\r
openapi: 3.0.3\r
info: {title: t, version: \"1.0\"}   # a number\r
paths:\r
  /a/{id}:   # 漢字\r
    parameters:\r
      - {name: id, in: path, required: true, schema: {\"type\": string}}\r
    get:\r
      'summary': x   # keep   me\r
\r
      description: >\r
        folded\r
      responses: {'200': {description: ok}}\r
";

#[test]
fn only_what_is_wrong_changes() {
    let project = Project::bare();
    project.write("a.yaml", MESSY);
    project
        .run(&["lint", "a.yaml", "--fix"])
        .with(0)
        .says("mended 6 findings in 1 file");
    assert_eq!(project.read("a.yaml"), TIDY);
    project
        .run(&["lint", "a.yaml", "--fix"])
        .with(0)
        .says("mended 0 findings in 0 files");
    assert_eq!(project.read("a.yaml"), TIDY);
}

#[test]
fn a_dry_run_prints_a_diff_that_patch_takes_and_writes_nothing() {
    let project = Project::bare();
    project.write("a.yaml", MESSY);
    let ended = project
        .run(&["lint", "a.yaml", "--fix", "--dry-run"])
        .with(0);
    assert_eq!(project.read("a.yaml"), MESSY);
    assert!(
        ended.out.starts_with("--- a/a.yaml\n+++ b/a.yaml\n@@ "),
        "{}",
        ended.out
    );
    assert!(
        ended.out.contains("-      'sumary': x   # keep   me\r\n"),
        "{}",
        ended.out
    );
    project.write("a.diff", &ended.out);
    let git = std::process::Command::new("git")
        .args(["apply", "--whitespace=nowarn", "a.diff"])
        .current_dir(project.path())
        .output()
        .expect("git runs");
    assert!(
        git.status.success(),
        "{}",
        String::from_utf8_lossy(&git.stderr)
    );
    assert_eq!(project.read("a.yaml"), TIDY);
}

#[test]
fn json_stays_json() {
    let project = Project::bare();
    let messy = "{\n  \"openapi\": \"3.0.3\",\n  \"info\": {\"titel\": \"t\", \"version\": 1},\n  \"paths\": {\"/a\": {\"GET\": {\"responses\": {\"200\": {\"description\": \"ok\"}}}}}\n}\n";
    project.write("a.json", messy);
    project.run(&["lint", "a.json", "--fix"]).with(0);
    let tidy = messy
        .replace("titel", "title")
        .replace("\"version\": 1", "\"version\": \"1\"")
        .replace("GET", "get");
    assert_eq!(project.read("a.json"), tidy);
    assert!(serde_json::from_str::<serde_json::Value>(&tidy).is_ok());
}

#[test]
fn guesses_are_not_made() {
    let project = Project::bare();
    // A neighbour has the name already; `pet` is as near to `get` as to `put`.
    let text = "openapi: 3.0.3\ninfo: {title: t, version: \"1\", titel: u}\npaths:\n  /a: {pet: {responses: {'200': {description: ok}}}}\n";
    project.write("a.yaml", text);
    project.run(&["lint", "a.yaml", "--fix"]).with(1);
    assert_eq!(project.read("a.yaml"), text);
}

#[test]
fn a_project_is_mended_where_each_thing_was_written() {
    let project = Project::bare();
    project.edit(
        "gateway.yaml",
        "defaults: {upstream: orders",
        "defaults: {upstreem: orders",
    );
    project.edit("gateway.yaml", "policies: [slow]", "policies: [slowe]");
    project.edit(
        "orders.yaml",
        "operationId: getOrder",
        "sumary: x, operationId: getOrder",
    );
    project.edit(
        "gateway.yaml",
        "{orders: {path: orders.yaml}}",
        "{orders: {path: orders.yaml, overlays: [over.yaml]}}",
    );
    project.write(
        "over.yaml",
        "overlay: 1.0.0\ninfo: {title: o, version: \"1\"}\nactions:\n- {target: \"$.paths['/orders'].get\", update: {descripton: y}}\n",
    );
    let before = project.read("gateway.yaml");
    project.run(&["lint", "--fix"]).with(0);
    let after = before
        .replace("upstreem", "upstream")
        .replace("[slowe]", "[slow]");
    assert_eq!(project.read("gateway.yaml"), after);
    assert!(
        project
            .read("orders.yaml")
            .contains("{summary: x, operationId")
    );
    assert!(
        project
            .read("over.yaml")
            .contains("update: {description: y}")
    );
}

#[test]
fn what_is_silenced_is_not_mended() {
    let project = Project::bare();
    let text = "openapi: 3.0.3\ninfo: {title: t, version: \"1\", tite: x, x-gateway-lint: {allow: [unknown-field]}}\npaths: {}\ntagz: []\n";
    project.write("a.yaml", text);
    project
        .run(&["lint", "a.yaml", "--write-baseline", "b.json"])
        .with(0);
    project
        .run(&["lint", "a.yaml", "--baseline", "b.json", "--fix"])
        .with(0);
    assert_eq!(project.read("a.yaml"), text);
    project.run(&["lint", "a.yaml", "--fix"]).with(0);
    assert_eq!(project.read("a.yaml"), text.replace("tagz", "tags"));
    project.run(&["lint", "a.yaml", "--dry-run"]).with(64);
}
