//! Tests of untracked files to which untrusted documents refer: nested repositories, keys inside
//! strings, ignore rules of the base commit, and concealed texts.

use std::fs;

use crate::git::{commit, committed, git};
use crate::project::{Ended, PLAN_FORMATS, Project};

const SECRET: &str = "correct-horse-battery-staple";

/// Base64 text with the beginning of a private key. It is not a usable key.
const BODY: &str = "MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQDB";

/// Sets the example and the schema in the first operation's response.
fn refer(project: &Project, example: &str, schema: &str) {
    let text = project.read("orders.yaml");
    let response = format!(
        "\"200\": {{description: fine, content: {{application/json: {{example: {example}, schema: {schema}}}}}}}"
    );
    let new = text.replacen("\"200\": {description: fine}", &response, 1);
    assert_ne!(text, new);
    project.write("orders.yaml", new);
}

/// Runs every command that reads sources, and checks that no output contains the text.
fn hides(project: &Project, text: &str) -> Vec<Ended> {
    let commands = [
        &["lint"][..],
        &["lint", "--format", "json"],
        &["lint", "--format", "sarif"],
        &["lint", "--fix", "--dry-run"],
        &["build"],
        &["route", "GET", "/orders"],
    ];
    let ended = commands.map(|command| project.run(command));
    for (command, ended) in commands.iter().zip(&ended) {
        let shown = ended.out.contains(text) || ended.err.contains(text);
        assert!(!shown, "{command:?}\n{}\n{}", ended.out, ended.err);
    }
    ended.into()
}

#[test]
fn file_of_a_nested_repository_is_no_source() {
    let project = committed();
    fs::create_dir(project.file("other")).expect("there is room");
    project.write("other/a.yaml", "type: string\n");
    refer(&project, "x", "{$ref: other/a.yaml}");
    project.run(&["lint"]).with(0);
    git(&project.file("other"), &["init", "-q"]);
    let ended = project.run(&["lint"]).with(1).contains("GW0225");
    assert!(
        ended.out.contains("another repository, `other`"),
        "{ended:?}"
    );
    // The result is the same before and after a commit.
    git(&project.file("other"), &["add", "-A"]);
    git(&project.file("other"), &["commit", "-qm", "one"]);
    project
        .run(&["lint"])
        .with(1)
        .contains("another repository");
    project.edit(
        "gateway.yaml",
        "apis: {orders: {path: orders.yaml}}",
        "apis: {orders: {path: orders.yaml}}\napis_glob: [\"other/*.yaml\"]",
    );
    project
        .run(&["lint"])
        .with(1)
        .contains("glob-matches-nothing");
}

/// Content of all files of the store, joined.
fn stored(project: &Project) -> String {
    let mut text = String::new();
    let mut folders = vec![project.file("releases")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.expect("it can be read").path();
            match path.is_dir() {
                true => folders.push(path),
                false => {
                    let bytes = fs::read(&path).expect("it can be read");
                    text.push_str(&String::from_utf8_lossy(&bytes));
                }
            }
        }
    }
    text
}

#[test]
fn private_key_in_a_tracked_file_is_not_stored() {
    let pem = format!("-----BEGIN PRIVATE KEY-----\\n{BODY}\\n-----END PRIVATE KEY-----");
    let jwk = format!("{{kty: EC, crv: P-256, d: {BODY}}}");
    for schema in [
        format!("type: string\nexample: \"{pem}\"\ndescription: \"{pem}\"\n"),
        format!("type: string\nenum: [a, \"{pem}\"]\ndefault: \"{pem}\"\n"),
        format!("type: object\ndefault: {{a: [{jwk}, \"{pem}\"]}}\nexamples: [{jwk}]\n"),
        format!("password: \"{pem}\"\nkey: {jwk}\n"),
        format!("type: object\nproperties: {{a: {jwk}}}\n"),
    ] {
        let project = committed();
        project.write("k.yaml", &schema);
        refer(&project, "{$ref: k.yaml}", "{$ref: k.yaml}");
        project.edit(
            "orders.yaml",
            "operationId: listOrders",
            &format!("operationId: listOrders, description: \"{pem}\""),
        );
        commit(&project, "two");
        let apply = [
            "apply",
            "--key",
            "keys/release.pem",
            "--yes",
            "--reason",
            "x",
        ];
        let ended = project.run(&apply).with(0);
        assert!(
            !ended.out.contains(BODY) && !ended.err.contains(BODY),
            "{ended:?}"
        );
        let text = stored(&project);
        assert!(text.contains("listOrders"), "{schema}");
        assert!(
            !text.contains(BODY) && !text.contains(&BODY[..30]),
            "{schema}"
        );
        assert!(text.contains("(private key, sha256:"), "{schema}");
        // The plan reports a changed key by its fingerprint, without the text of the key.
        project.write("k.yaml", schema.replace(BODY, &BODY.replace("AQD", "AQE")));
        let text = project
            .read("orders.yaml")
            .replace(BODY, &BODY.replace("AQD", "AQE"));
        project.write("orders.yaml", text);
        let ended = project.run(&["plan", "--format", "json"]).with(0);
        assert!(!ended.out.contains(&BODY[..30]), "{ended:?}");
        assert!(ended.out.contains("\"fingerprint\""), "{ended:?}");
    }
}

#[test]
fn file_of_a_submodule_is_no_source() {
    let other = Project::empty();
    git(other.path(), &["init", "-q", "-b", "main"]);
    other.write("a.yaml", "type: string\n");
    commit(&other, "one");
    let project = committed();
    let from = other.path().to_str().expect("a name");
    git(
        project.path(),
        &["submodule", "--quiet", "add", from, "other"],
    );
    refer(&project, "x", "{$ref: other/a.yaml}");
    commit(&project, "two");
    project
        .run(&["lint"])
        .with(1)
        .contains("another repository, `other`");
    // The folder stays a submodule, even if its `.git` is removed.
    fs::remove_file(project.file("other/.git")).expect("it is there");
    project
        .run(&["lint"])
        .with(1)
        .contains("another repository, `other`");
}

#[test]
fn key_in_a_string_is_refused_with_its_place() {
    let pem = format!("-----BEGIN PRIVATE KEY-----\\n{BODY}\\n-----END PRIVATE KEY-----");
    for (name, text, line) in [
        (
            "a.yaml",
            format!("a: 1\nkey: |\n  -----BEGIN EC PRIVATE KEY-----\n  {BODY}\n"),
            3,
        ),
        ("a.json", format!("{{\"a\": 1,\n \"b\": [\"{pem}\"]}}"), 2),
        (
            "a.json",
            format!("{{\"a\":\n \"{}\"}}", pem.replace("BEGIN", "BEG\\u0049N")),
            2,
        ),
        (
            "a.yaml",
            format!("a: 1\nkey: >\n  -----BEGIN PGP PRIVATE KEY BLOCK-----\n\n  {BODY}\n"),
            3,
        ),
        ("a.yaml", format!("a:\n  b: [{{kty: EC, d: {BODY}}}]\n"), 2),
    ] {
        let project = committed();
        project.write(name, &text);
        refer(&project, "x", &format!("{{$ref: {name}}}"));
        let ended = hides(&project, BODY);
        let message = format!("`{name}` has key material in line {line}");
        assert!(ended[0].out.contains(&message), "{text}\n{}", ended[0].out);
        assert_eq!(ended[4].code, 1, "{text}");
        // Git tracks the file now, so everyone can read it. Its text is still not shown.
        git(project.path(), &["add", "-f", name]);
        let ended = hides(&project, BODY);
        assert!(
            ended[0].out.contains("key-in-source"),
            "{text}\n{}",
            ended[0].out
        );
        assert_eq!(ended[0].code, 0, "{text}\n{}", ended[0].out);
    }
}

#[test]
fn text_of_an_untracked_file_is_never_shown() {
    let project = committed();
    // The finding is in the concealed file itself, or in the file that refers to it.
    for text in [
        format!("type: {SECRET}\n"),
        format!("type: string\npattern: '[{SECRET}'\n"),
        format!("type: string\nenum: [{SECRET}]\n"),
        format!("type: object\nrequired: [{SECRET}]\nproperties: {{}}\n"),
        format!("$ref: '#/{SECRET}'\n"),
        format!("{{a: [1, {SECRET}\n"),
    ] {
        let before = project.read("orders.yaml");
        project.write("new.yaml", &text);
        refer(&project, "x", "{$ref: new.yaml}");
        let ended = hides(&project, SECRET);
        let places = ended[0].out.matches("GW0").count();
        assert!(places > 0, "{text}\n{}", ended[0].out);
        project.write("orders.yaml", before);
    }
    // Texts of files that Git tracks are shown.
    project.write("new.yaml", format!("type: {SECRET}\n"));
    refer(&project, "x", "{$ref: new.yaml}");
    git(project.path(), &["add", "new.yaml"]);
    project.run(&["lint"]).with(1).contains(SECRET);
}

#[test]
fn plan_of_an_untracked_file_shows_no_values() {
    let project = committed();
    let shown = |text: &str, is_tracked: bool| {
        for format in PLAN_FORMATS {
            let against = ["--against", "git:HEAD", "--format", format];
            let ended = project.run(&[&["plan"], &against[..]].concat());
            let shown = ended.out.contains(SECRET) || ended.err.contains(SECRET);
            assert_eq!(shown, is_tracked, "{text}\n{format}: {ended:?}");
            let is_reported =
                format!("{}{}", ended.out, ended.err).contains("new.yaml is not tracked");
            assert_eq!(is_reported, !is_tracked, "{text}\n{format}: {ended:?}");
        }
    };
    let number = "{type: integer, enum: [1, 2]}";
    refer(&project, "x", number);
    commit(&project, "a number");
    for text in [
        format!("type: string\nenum: [{SECRET}, other]\n"),
        format!("type: string\nconst: \"{SECRET}\"\n"),
        format!("type: string\npattern: '^{SECRET}$'\n"),
        format!("type: string\ndescription: is {SECRET}\n"),
        format!("type: object\nproperties: {{{SECRET}: {{type: string}}}}\n"),
        // An escape sequence in the file must not reveal a secret.
        format!("type: string\nconst: \"\\u0063{}\"\n", &SECRET[1..]),
    ] {
        let before = project.read("orders.yaml");
        project.write("new.yaml", &text);
        project.edit("orders.yaml", number, "{$ref: new.yaml}");
        shown(&text, false);
        project.write("orders.yaml", before);
    }
    project.write("new.yaml", "type: string\nenum: [other]\n");
    project.edit("orders.yaml", number, "{$ref: new.yaml}");
    commit(&project, "tracked");
    let text = format!("type: string\nenum: [{SECRET}, other]\n");
    project.write("new.yaml", &text);
    shown(&text, true);
}

/// A witness for a wider schema can contain a value of the schema, so it must be concealed.
#[test]
fn witness_of_an_untracked_schema_is_not_shown() {
    let project = committed();
    let text = project.read("orders.yaml");
    let schema = "{type: string, enum: [other]}";
    let parameter = format!(
        "  /kinds: {{get: {{operationId: kinds, parameters: [{{in: query, name: kind, schema: {schema}}}], x-gateway: {{validate: {{request: block}}}}, responses: {{\"200\": {{description: fine}}}}}}}}\ncomponents:"
    );
    project.write("orders.yaml", text.replacen("components:", &parameter, 1));
    commit(&project, "checked");
    project.edit("orders.yaml", schema, "{$ref: new.yaml}");
    project.write(
        "new.yaml",
        format!("type: string\nenum: [other, {SECRET}]\n"),
    );
    for (format, is_tracked) in PLAN_FORMATS
        .map(|format| (format, false))
        .into_iter()
        .chain([("json", true)])
    {
        if is_tracked {
            git(project.path(), &["add", "new.yaml"]);
        }
        let ended = project.run(&["plan", "--against", "git:HEAD", "--format", format]);
        assert!(ended.out.contains("relax"), "{ended:?}");
        let in_request = format!("/kinds?kind={SECRET}");
        assert_eq!(
            ended.out.contains(&in_request),
            is_tracked,
            "{format}: {ended:?}"
        );
        let shown = ended.out.contains(SECRET) || ended.err.contains(SECRET);
        assert_eq!(shown, is_tracked, "{format}: {ended:?}");
    }
}

#[test]
fn new_project_is_shown_before_its_first_commit() {
    let project = Project::new();
    git(project.path(), &["init", "-q", "-b", "main"]);
    project.write("new.yaml", "type: strin\n");
    refer(&project, "x", "{$ref: new.yaml}");
    project.run(&["lint"]).with(1).contains("strin");
}

#[test]
fn base_decides_which_files_are_ignored() {
    let project = committed();
    fs::create_dir_all(project.file("parts/deep")).expect("there is room");
    project.write(
        ".gitignore",
        "*.pem\n/releases/\n/elsewhere/\nlocal.yaml\n/state/\n/again/\n/opened/\n",
    );
    project.write("parts/.gitignore", "token.*\n!token.yml\n/own.yaml\n");
    project.write("parts/keep.yaml", "type: string\n");
    commit(&project, "rules");
    // The change removes the ignore rules, but those of the base commit still apply. Below an
    // ignored folder, Git never re-includes a file (`!/again/*`).
    project.write(
        ".gitignore",
        "*.pem\n/releases/\n/elsewhere/\n/again/\n!/again/*\n!/opened/\n!/opened/*\n",
    );
    fs::remove_file(project.file("parts/.gitignore")).expect("it is there");
    commit(&project, "no rules");
    for folder in ["state", "again", "opened"] {
        fs::create_dir(project.file(folder)).expect("there is room");
    }
    let before = project.read("orders.yaml");
    let base = ["--base", "git:refs/heads/main~1"];
    for (name, is_ignored) in [
        ("local.yaml", true),
        ("state/a.json", true),
        ("opened/a.json", true),
        ("parts/token.yaml", true),
        ("parts/deep/token.json", true),
        ("parts/token.yml", false),
        ("parts/own.yaml", true),
        ("parts/deep/own.yaml", false),
        ("other.yaml", false),
        ("parts/keep.yaml", false),
    ] {
        if name != "parts/keep.yaml" {
            project.write(name, "{\"type\": \"string\"}\n");
        }
        refer(&project, "x", &format!("{{$ref: {name}}}"));
        for command in [
            &["lint"][..],
            &["build"],
            &["route", "GET", "/orders"],
            &["plan"],
        ] {
            let ended = project.run(command);
            assert_eq!(ended.code, 0, "{name}, {command:?}: {ended:?}");
            let ended = project.run(&[command, &base].concat());
            assert_eq!(
                ended.code != 0,
                is_ignored,
                "{name}, {command:?}: {ended:?}"
            );
            let is_reported =
                ended.out.contains("untracked-source") || ended.err.contains("untracked-source");
            assert_eq!(is_reported, is_ignored, "{name}, {command:?}: {ended:?}");
        }
        project.write("orders.yaml", &before);
    }
    project
        .run(&["lint", "--base", "git:nowhere"])
        .with(65)
        .contains("no revision `nowhere`");
    project
        .run(&["lint", "--base", "main"])
        .with(64)
        .contains("--base git:");
    project.write("again/a.json", "{\"type\": \"string\"}\n");
    refer(&project, "x", "{$ref: again/a.json}");
    for base in [&[][..], &base] {
        let ended = project.run(&[&["lint"], base].concat()).with(1);
        assert!(ended.out.contains("untracked-source"), "{ended:?}");
    }
    project.write("orders.yaml", &before);
    project.run(&["strip", "--base", "git:main"]).with(0);
    project
        .run(&[
            "apply",
            "--base",
            "git:main",
            "--key",
            "keys/release.pem",
            "--yes",
            "--reason",
            "x",
        ])
        .with(0);
}

#[test]
fn against_decides_which_files_are_ignored() {
    let project = committed();
    let ignored = "*.pem\n/releases/\n/elsewhere/\nlocal.yaml\n";
    project.write(".gitignore", ignored);
    commit(&project, "one file more is ignored");
    project.write("local.yaml", "type: string\n");
    refer(&project, "x", "{$ref: local.yaml}");
    // The change removes the ignore rule.
    project.write(".gitignore", "*.pem\n/releases/\n/elsewhere/\n");
    commit(&project, "no rule");
    for revision in ["git:main~1", "git:main~1:./"] {
        let ended = project.run(&["plan", "--against", revision]);
        assert_ne!(ended.code, 0, "{ended:?}");
        assert!(ended.err.contains("untracked-source"), "{ended:?}");
    }
    project.run(&["plan", "--against", "git:main"]).with(0);
}

#[test]
fn ignored_gateway_yaml_still_limits_references() {
    let outer = Project::empty();
    crate::project::copy(Project::new().path(), &outer.file("deploy"));
    outer.write(
        ".gitignore",
        "*.pem\nreleases/\nlocal.yaml\ndeploy/gateway.yaml\n",
    );
    git(outer.path(), &["init", "-q", "-b", "main"]);
    git(outer.path(), &["add", "-A"]);
    git(outer.path(), &["commit", "-qm", "one"]);
    outer.write(
        "deploy/local.yaml",
        format!("type: string\nexample: {SECRET}\n"),
    );
    let text = outer.read("deploy/orders.yaml");
    let response =
        "\"200\": {description: fine, content: {application/json: {schema: {$ref: local.yaml}}}}";
    let text = text.replacen("\"200\": {description: fine}", response, 1);
    outer.write("deploy/orders.yaml", text);
    let ended = crate::project::run(crate::project::command(&outer.file("deploy")).arg("lint"));
    assert_ne!(ended.code, 0, "{ended:?}");
    assert!(ended.out.contains("untracked-source"), "{ended:?}");
}

#[test]
fn file_that_is_no_baseline_is_never_shown() {
    let project = committed();
    for text in [
        format!("{{\"password\": \"{SECRET}\"}}\n"),
        format!("{{\"schema\": \"x\", \"findings\": [\"{SECRET}\"]}}"),
        format!("password {SECRET}"),
    ] {
        project.write("given.json", &text);
        let ended = project
            .run(&["lint", "--baseline", "given.json"])
            .with(65)
            .contains("`given.json` is not a baseline");
        for part in [SECRET, "password"] {
            assert!(!format!("{ended:?}").contains(part), "{ended:?}");
        }
    }
}

#[test]
fn link_outside_a_repository_stays_in_its_folder() {
    let (project, elsewhere) = (Project::bare(), Project::empty());
    elsewhere.write("orders.yaml", project.read("orders.yaml"));
    let link = |to: &std::path::Path| {
        drop(fs::remove_file(project.file("given.yaml")));
        std::os::unix::fs::symlink(to, project.file("given.yaml")).expect("there is room");
    };
    link(&elsewhere.file("orders.yaml"));
    for command in [
        &["lint", "given.yaml"][..],
        &["diff", "given.yaml", "orders.yaml"],
    ] {
        project.run(command).with(65).contains("symbolic link");
    }
    link(std::path::Path::new("orders.yaml"));
    project.run(&["diff", "given.yaml", "orders.yaml"]).with(0);
}

#[test]
fn untracked_link_is_no_trust_or_plan_file() {
    let project = committed();
    project.run(&["plan", "-o", "plan.json"]).with(0);
    let elsewhere = Project::empty();
    for (name, command) in [
        ("trust.json", &["plan"][..]),
        (
            "plan.json",
            &[
                "apply",
                "plan.json",
                "--key",
                "keys/release.pem",
                "--yes",
                "--reason",
                "x",
            ],
        ),
        (
            "plan.json",
            &["route", "--witness", "0123456789ab", "plan.json"],
        ),
    ] {
        fs::rename(project.file(name), elsewhere.file(name)).expect("there is room");
        std::os::unix::fs::symlink(elsewhere.file(name), project.file(name)).expect("room");
        project.run(command).with(65).contains("symbolic link");
        fs::remove_file(project.file(name)).expect("it is there");
        fs::rename(elsewhere.file(name), project.file(name)).expect("there is room");
    }
}

/// A plan compares and prints the entries of trust.json only if Git tracks the file. The same holds
/// for a file behind a link.
#[test]
fn plan_of_an_untracked_trust_file_shows_no_values() {
    let project = committed();
    let trust = project.read("trust.json");
    let mut changed: serde_json::Value = serde_json::from_str(&trust).expect("JSON");
    changed["keys"][0]["owner"] = SECRET.into();
    let changed = changed.to_string();
    let is_shown = || {
        let shown = PLAN_FORMATS.map(|format| {
            let ended = project.run(&["plan", "--against", "git:HEAD", "--format", format]);
            ended.out.contains(SECRET) || ended.err.contains(SECRET)
        });
        shown.contains(&true)
    };
    project.write("trust.json", &changed);
    assert!(is_shown(), "of a tracked file");
    git(project.path(), &["rm", "-q", "--cached", "trust.json"]);
    git(project.path(), &["commit", "-q", "-m", "no trust"]);
    assert!(!is_shown(), "of an untracked file");
    // Test untracked links to untracked files inside and outside the project, then a tracked link
    // to the file inside the project.
    let elsewhere = Project::empty();
    elsewhere.write("trust.json", &changed);
    project.write("other.json", &changed);
    for target in [project.file("other.json"), elsewhere.file("trust.json")] {
        fs::remove_file(project.file("trust.json")).expect("it is there");
        std::os::unix::fs::symlink(&target, project.file("trust.json")).expect("room");
        assert!(!is_shown(), "behind an untracked link");
    }
    fs::remove_file(project.file("trust.json")).expect("it is there");
    std::os::unix::fs::symlink("other.json", project.file("trust.json")).expect("room");
    git(project.path(), &["add", "trust.json"]);
    git(project.path(), &["commit", "-q", "-m", "a link"]);
    assert!(!is_shown(), "behind a tracked link");
}

#[test]
fn results_of_an_untracked_test_file_have_no_text() {
    let project = committed();
    let gateway = project.read("gateway.yaml");
    project.write("gateway.yaml", format!("{gateway}tests: [tests/*.yaml]\n"));
    commit(&project, "tests");
    fs::create_dir(project.file("tests")).expect("there is room");
    project.write(
        "tests/new.yaml",
        format!(
            "- {{name: {SECRET}, request: GET http://127.0.0.1:8080/{SECRET}, expect: {{operation: orders/{SECRET}}}}}\n\
             - {{name: of {SECRET}, request: GET http://127.0.0.1:8080/{SECRET}, expect: {{sent: {{headers: {{x-{SECRET}: a}}}}}}}}\n"
        ),
    );
    let run = |more: &[&str]| {
        let formats = ["human", "json", "junit", "tap"];
        formats.map(|format| {
            project
                .run(&[&["test", "--format", format], more].concat())
                .with(1)
        })
    };
    for ended in run(&[]) {
        let shown = ended.out.contains(SECRET) || ended.err.contains(SECRET);
        assert!(!shown, "{ended:?}");
        assert!(ended.out.contains("tests/new.yaml"), "{ended:?}");
    }
    // The text is shown if the user names the file, or if Git tracks it.
    for ended in run(&["tests/new.yaml"]) {
        assert!(ended.out.contains(SECRET), "{ended:?}");
    }
    git(project.path(), &["add", "tests/new.yaml"]);
    for ended in run(&[]) {
        assert!(ended.out.contains(SECRET), "{ended:?}");
    }
}
