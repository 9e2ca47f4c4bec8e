//! Tests of bundle ids. Sources with the same meaning have the same id on another machine, on
//! another day, and in another notation. Sources with a different meaning have a different id.

use std::process::Command;
use std::time::{Duration, SystemTime};

use e2e::corpus;
use e2e::project::{Ended, Project};
use serde_yaml_ng::{Mapping, Value};

const GATEWAY: &str = "\
version: 1
name: museum
apis:
  m: {path: apis/museum.yaml, overlays: [apis/gw.yaml], mount: {base_path: /v1, strip_base_path: true}}
  other: {path: apis/other.yaml, mount: {hosts: [other.test]}}
upstreams:
  u: {targets: {a: {url: \"http://127.0.0.1:9000\", weight: 2}, b: {url: \"http://127.0.0.1:9001\"}}}
  v: {targets: {a: {url: \"http://127.0.0.1:9002/api\"}}}
auth: {keys: {kind: api_key}, people: {kind: basic}}
consumers:
  acme: {keys: [{sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}]}
policies:
  limit: {kind: rate_limit, limit: 10/s, burst: 20, key: consumer, anonymous: address}
  marks: {kind: headers, response: {set: {X-A: \"1\", X-B: \"2\"}}}
defaults: {upstream: u, policies: [limit, marks], timeout: 5s}
";

const OVERLAY: &str = "\
overlay: 1.0.0
info: {title: museum behind the gateway, version: \"1\"}
actions:
  - target: $.components.securitySchemes.*
    update: {x-gateway: {auth: people}}
";

const OTHER: &str = "\
openapi: 3.1.0
info: {title: other, version: \"1\"}
components:
  schemas:
    Thing: {type: object, properties: {next: {$ref: \"#/components/schemas/Thing\"}, id: {type: integer}}}
  parameters:
    Id: {name: id, in: path, required: true, schema: {type: string, maxLength: 10}}
  securitySchemes:
    key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}
security: [{key: []}]
paths:
  /things/{id}:
    parameters: [{$ref: \"#/components/parameters/Id\"}]
    get:
      operationId: thing
      x-gateway: {upstream: v}
      responses: {\"200\": {description: it, content: {application/json: {schema: {$ref: \"#/components/schemas/Thing\"}}}}}
    delete: {operationId: gone, responses: {\"204\": {description: done}}}
  /things: {post: {operationId: make, requestBody: {content: {application/json: {schema: {$ref: \"#/components/schemas/Thing\"}}}}, responses: {\"201\": {description: made}}}}
";

/// Files of the test project, in the order in which the test writes them.
fn files() -> Vec<(&'static str, String)> {
    vec![
        ("gateway.yaml", GATEWAY.to_owned()),
        ("apis/museum.yaml", corpus::text("museum.yaml")),
        ("apis/gw.yaml", OVERLAY.to_owned()),
        ("apis/other.yaml", OTHER.to_owned()),
    ]
}

fn project(files: &[(&str, String)]) -> Project {
    let project = Project::new();
    for (name, text) in files {
        project.write(name, text);
    }
    project
}

fn id(files: &[(&str, String)]) -> String {
    project(files).build()
}

/// Files of the test project, with each text changed by `change`.
fn changed(change: impl Fn(&str, &str) -> String) -> Vec<(&'static str, String)> {
    let files = files().into_iter();
    files
        .map(|(name, text)| (name, change(name, &text)))
        .collect()
}

/// Files of the test project. `change` changes each parsed tree, which is then written as YAML.
fn rewritten(change: impl Fn(&str, Value) -> Value) -> Vec<(&'static str, String)> {
    changed(|name, text| {
        let tree = serde_yaml_ng::from_str(text).expect("our files are YAML");
        serde_yaml_ng::to_string(&change(name, tree)).expect("a tree can be written")
    })
}

#[test]
fn other_notation_gives_the_same_bundle() {
    let base = id(&files());
    assert_eq!(id(&files()), base, "another folder");
    let mut reversed = files();
    reversed.reverse();
    assert_eq!(id(&reversed), base, "files made in another order");
    assert_eq!(id(&rewritten(|_, tree| tree)), base, "another layout");
    assert_eq!(id(&rewritten(|_, tree| backwards(tree))), base, "key order");
    assert_eq!(id(&changed(with_comments)), base, "comments");
    assert_eq!(id(&rewritten(renamed)), base, "component names");
    assert_eq!(
        id(&rewritten(|_, tree| without_prose(tree))),
        base,
        "descriptions"
    );
    let json = changed(|name, text| {
        if name == "gateway.yaml" {
            return text.to_owned();
        }
        let tree: Value = serde_yaml_ng::from_str(text).expect("our files are YAML");
        serde_json::to_string_pretty(&tree).expect("a tree can be written")
    });
    assert_eq!(id(&json), base, "JSON");
    let mut moved = files();
    for (name, text) in &mut moved {
        if *name == "gateway.yaml" {
            *text = text.replace("apis/other.yaml", "elsewhere.yml");
        } else if *name == "apis/other.yaml" {
            *name = "elsewhere.yml";
        }
    }
    assert_eq!(id(&moved), base, "another file name");
    let phases =
        changed(|_, text| text.replace("policies: [limit, marks]", "policies: [marks, limit]"));
    assert_eq!(
        id(&phases),
        base,
        "the order of policies of different phases"
    );
}

#[test]
fn another_meaning_is_another_bundle() {
    let mut ids = vec![id(&files())];
    let edits = [
        ("timeout: 5s", "timeout: 6s"),
        ("limit: 10/s", "limit: 11/s"),
        ("base_path: /v1", "base_path: /v2"),
        (
            "operationId: thing",
            "deprecated: true\n      operationId: thing",
        ),
        ("\"204\": {", "\"205\": {"),
        ("operationId: gone", "operationId: went"),
        ("weight: 2", "weight: 3"),
    ];
    for (from, to) in edits {
        let files = changed(|_, text| text.replace(from, to));
        ids.push(id(&files));
    }
    let all = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), all, "every edit moves the id");
}

#[test]
fn another_machine_makes_the_same_bundle() {
    let project = project(&files());
    let base = project.build();
    for (name, _) in files() {
        let file = std::fs::File::options()
            .append(true)
            .open(project.path(name))
            .expect("the file is there");
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(86_400);
        file.set_modified(long_ago).expect("times can be set");
    }
    assert_eq!(project.build(), base, "another day");

    let folder = project.root().to_owned();
    let machines: [(&str, &[(&str, &str)]); 4] = [
        ("nothing set", &[]),
        (
            "far away",
            &[
                ("HOME", "/nonexistent"),
                ("TZ", "Pacific/Kiritimati"),
                ("LANG", "tr_TR.UTF-8"),
                ("LC_ALL", "tr_TR.UTF-8"),
                ("USER", "somebody"),
                ("HOSTNAME", "elsewhere"),
            ],
        ),
        (
            "at home",
            &[("HOME", "."), ("TZ", "UTC"), ("LANG", "C"), ("PATH", "")],
        ),
        (
            "with Git set up oddly",
            &[
                ("GIT_DIR", "/nonexistent"),
                ("GIT_AUTHOR_NAME", "x"),
                ("SOURCE_DATE_EPOCH", "1"),
            ],
        ),
    ];
    for (what, variables) in machines {
        let mut command = Command::new(e2e::binaries::gwc());
        command
            .args(["build", "--format", "json"])
            .current_dir(&folder)
            .env_clear()
            .envs(variables.iter().copied());
        let built = Ended::of(&mut command);
        assert_eq!(built.succeeds().json()["bundle"], base.as_str(), "{what}");
    }
    for umask in ["000", "077"] {
        let mut command = Command::new("sh");
        command
            .args([
                "-c",
                &format!("umask {umask}; exec \"$0\" build --format json"),
            ])
            .arg(e2e::binaries::gwc())
            .current_dir(&folder);
        let built = Ended::of(&mut command);
        assert_eq!(built.succeeds().json()["bundle"], base.as_str(), "{umask}");
    }
    let mut command = Command::new(e2e::binaries::gwc());
    command
        .args(["--project", ".", "build", "--format", "json"])
        .current_dir(&folder);
    let built = Ended::of(&mut command);
    assert_eq!(
        built.succeeds().json()["bundle"],
        base.as_str(),
        "--project"
    );
    let mut command = Command::new(e2e::binaries::gwc());
    command
        .args(["build", "--format", "json"])
        .current_dir(folder.join("apis"));
    let built = Ended::of(&mut command);
    assert_eq!(
        built.succeeds().json()["bundle"],
        base.as_str(),
        "from below"
    );
}

#[test]
fn anybody_can_rebuild_what_was_released() {
    let project = project(&files());
    project.keygen();
    let id = project.apply();
    let again = project.gwc(&["build", "--reproduce", &id, "--format", "json"]);
    assert_eq!(again.succeeds().json()["result"], "ok", "{again}");
    let edited = GATEWAY.replace("timeout: 5s", "timeout: 6s");
    project.write("gateway.yaml", edited);
    project.gwc(&["build", "--reproduce", &id]).exits(1);
}

/// Returns the tree with the entries of every map in reverse order. Lists keep their order.
fn backwards(tree: Value) -> Value {
    match tree {
        Value::Mapping(entries) => {
            let mut entries: Vec<(Value, Value)> = entries
                .into_iter()
                .map(|(key, value)| (key, backwards(value)))
                .collect();
            entries.reverse();
            Value::Mapping(Mapping::from_iter(entries))
        }
        Value::Sequence(items) => Value::Sequence(items.into_iter().map(backwards).collect()),
        other => other,
    }
}

/// Adds a comment before every line in block style, and a long comment at the end.
fn with_comments(_: &str, text: &str) -> String {
    let mut out = String::from("# begin\n");
    let mut in_text = false;
    for line in text.lines() {
        // Comments are not possible inside a block scalar.
        let indented = line.starts_with("        ") || line.trim().is_empty();
        in_text = line.ends_with(['|', '>']) || line.ends_with("|-") || in_text && indented;
        if !in_text && !line.trim_start().starts_with(['-', '#']) && !line.is_empty() {
            out.push_str("# what follows\n");
        }
        out.push_str(line);
        out.push('\n');
    }
    out + "# end\n"
}

/// Renames every component of the document, and changes all references accordingly.
fn renamed(name: &str, tree: Value) -> Value {
    if name == "gateway.yaml" || name == "apis/gw.yaml" {
        return tree;
    }
    let Value::Mapping(mut root) = tree else {
        panic!("a document is a mapping");
    };
    if let Some(Value::Mapping(kinds)) = root.get_mut("components") {
        for (_, kind) in kinds.iter_mut() {
            if let Value::Mapping(items) = kind {
                let renamed = std::mem::take(items).into_iter().map(|(key, value)| {
                    let key = format!("Renamed{}", key.as_str().unwrap_or_default());
                    (Value::from(key), value)
                });
                *items = Mapping::from_iter(renamed);
            }
        }
    }
    follow(Value::Mapping(root))
}

fn follow(tree: Value) -> Value {
    match tree {
        Value::Mapping(entries) => {
            let followed = entries.into_iter().map(|(key, value)| {
                let value = match (key.as_str(), value) {
                    (Some("$ref"), Value::String(target)) => {
                        let (folder, name) = target.rsplit_once('/').expect("a pointer");
                        Value::from(format!("{folder}/Renamed{name}"))
                    }
                    (Some("security"), Value::Sequence(alternatives)) => {
                        Value::Sequence(alternatives.into_iter().map(renamed_use).collect())
                    }
                    (_, value) => follow(value),
                };
                (key, value)
            });
            Value::Mapping(followed.collect())
        }
        Value::Sequence(items) => Value::Sequence(items.into_iter().map(follow).collect()),
        other => other,
    }
}

fn renamed_use(alternative: Value) -> Value {
    let Value::Mapping(uses) = alternative else {
        return alternative;
    };
    let renamed = uses.into_iter().map(|(key, scopes)| {
        let key = format!("Renamed{}", key.as_str().unwrap_or_default());
        (Value::from(key), scopes)
    });
    Value::Mapping(renamed.collect())
}

/// Replaces the text of every description and summary of the document.
fn without_prose(tree: Value) -> Value {
    match tree {
        Value::Mapping(entries) => {
            let entries = entries.into_iter().map(|(key, value)| {
                let prose = matches!(key.as_str(), Some("description" | "summary"));
                let value = if prose && value.is_string() {
                    Value::from("other words")
                } else {
                    without_prose(value)
                };
                (key, value)
            });
            Value::Mapping(entries.collect())
        }
        Value::Sequence(items) => Value::Sequence(items.into_iter().map(without_prose).collect()),
        other => other,
    }
}
