//! Tests of files inside the project's folder to which an untrusted document refers: keys, ignored
//! files and hidden files.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::git::{commit, committed, git};
use crate::project::{Ended, Project};

const SECRET: &str = "correct-horse-battery-staple";

/// First 24 characters of the content of a PEM file.
fn body(pem: &str) -> String {
    let lines: Vec<&str> = pem
        .lines()
        .filter(|line| !line.starts_with("---"))
        .collect();
    lines[0][..24].to_owned()
}

/// Checks that none of the secrets was printed or stored.
#[track_caller]
fn shows_none(ended: &Ended, store: &Path, secrets: &[&str]) {
    for secret in secrets {
        assert!(
            !ended.out.contains(secret) && !ended.err.contains(secret),
            "`{secret}` was printed\n{}\n{}",
            ended.out,
            ended.err
        );
        let mut folders = vec![store.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten() {
                let path = entry.expect("it can be read").path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let bytes = fs::read(&path).expect("it can be read");
                let text = String::from_utf8_lossy(&bytes);
                assert!(
                    !text.contains(secret),
                    "`{secret}` is in {}",
                    path.display()
                );
            }
        }
    }
}

/// Documents that refer to a file: with `$ref` in an example, and with `$ref` in a schema.
fn refer(project: &Project, to: &str) -> [String; 2] {
    let orders = project.read("orders.yaml");
    ["example", "schema"].map(|key| {
        let response = format!(
            "\"200\": {{description: fine, content: {{text/plain: {{{key}: {{$ref: \"{to}\"}}}}}}}}"
        );
        orders.replacen("\"200\": {description: fine}", &response, 1)
    })
}

/// Checks that the reference is refused, that nothing is published, and that no content of the file
/// is shown.
#[track_caller]
fn is_refused(project: &Project, to: &str, secrets: &[&str]) {
    let before = project.read("orders.yaml");
    // `$ref` in an example is data. In a schema, it is a reference, so that lint reports an error.
    for (text, code) in refer(project, to).into_iter().zip([None, Some(1)]) {
        project.write("orders.yaml", text);
        let store = project.file("releases");
        for command in [
            &["lint"][..],
            &["lint", "--format", "sarif"],
            &["build"],
            &["plan"],
            &[
                "apply",
                "--key",
                "keys/release.pem",
                "--yes",
                "--reason",
                "x",
            ],
            &["strip", "-o", "elsewhere"],
        ] {
            let ended = project.run(command);
            shows_none(&ended, &store, secrets);
            shows_none(&ended, &project.file("elsewhere"), secrets);
            if let Some(code) = code.filter(|_| command[0] != "strip") {
                assert_eq!(ended.code, code, "{to}, {command:?}: {ended:?}");
            }
        }
        if code.is_some() {
            project.run(&["lint"]).with(1).contains("GW0225");
        }
    }
    project.write("orders.yaml", before);
}

#[test]
fn reference_to_a_private_key_is_refused() {
    let project = committed();
    let key = project.read("keys/release.pem");
    let secret = body(&key);
    for name in ["keys/release.pem", "keys/copy.yaml", "keys/copy.json"] {
        project.write(name, &key);
        is_refused(&project, name, &[&secret]);
    }
    let pem = key.lines().collect::<Vec<_>>().join("\\n");
    let account = format!("{{\"type\": \"service_account\", \"private_key\": \"{pem}\"}}");
    project.write("account.json", account);
    is_refused(&project, "account.json", &[&secret]);
    let jwk = format!("{{\"kty\": \"EC\", \"crv\": \"P-256\", \"d\": \"{SECRET}\"}}");
    project.write("jwk.json", jwk);
    is_refused(&project, "jwk.json", &[SECRET]);
}

#[test]
fn private_key_set_is_refused_without_git_add() {
    let key = |kid: &str, private: &str| {
        format!(
            "{{\"kty\": \"OKP\", \"crv\": \"Ed25519\", \"kid\": \"{kid}\", \
             \"x\": \"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"{private}}}"
        )
    };
    let private = format!(", \"d\": \"{SECRET}\"");
    // Test key sets with a private key, and with a key that only the verifier rejects.
    for set in [key("a", &private), key("a", ", \"k\": \"c2VjcmV0\"")] {
        let project = committed();
        project.edit(
            "gateway.yaml",
            "auth: {",
            "auth: {idp: {kind: jwt, issuer: i, audience: [a], algorithms: [EdDSA], jwks_file: keys.json}, ",
        );
        project.write("keys.json", format!("{{\"keys\": [{set}]}}"));
        let ended = project.run(&["lint"]).with(1);
        assert!(!ended.out.contains("git add"), "{}", ended.out);
        assert!(ended.out.contains("outside the project"), "{}", ended.out);
        assert!(!ended.out.contains(SECRET), "{}", ended.out);
    }
}

#[test]
fn reference_to_a_bare_text_is_refused() {
    let project = Project::new();
    for text in [
        SECRET.to_owned(),
        format!("TOKEN={SECRET}\nOTHER=x\n"),
        format!("# token\n\"{SECRET}\"\n"),
        format!("--- {SECRET}\n"),
    ] {
        project.write("token.yaml", text);
        is_refused(&project, "token.yaml", &[SECRET]);
    }
    project.write("token.json", format!("\"{SECRET}\""));
    is_refused(&project, "token.json", &[SECRET]);
}

#[test]
fn reference_to_a_hidden_or_ignored_file_is_refused() {
    let project = committed();
    let document = format!("password: {SECRET}\n");
    fs::create_dir(project.file(".state")).expect("there is room");
    project.write(
        ".gitignore",
        "*.pem\n/releases/\n/elsewhere/\nlocal.yaml\n/build/\n",
    );
    fs::create_dir(project.file("build")).expect("there is room");
    for name in [
        ".env.yaml",
        ".state/a.json",
        "local.yaml",
        "build/out.json",
        "notes.txt",
        "Makefile",
    ] {
        project.write(name, &document);
        is_refused(&project, name, &[SECRET]);
    }
}

#[test]
fn link_is_checked_by_its_target() {
    let project = committed();
    project.write(".gitignore", "*.pem\n/releases/\n/elsewhere/\nlocal.yaml\n");
    project.write("local.yaml", format!("password: {SECRET}\n"));
    project.write(".hidden.yaml", format!("password: {SECRET}\n"));
    project.write("notes.txt", format!("password: {SECRET}\n"));
    for (index, to) in [
        "local.yaml",
        ".hidden.yaml",
        "notes.txt",
        "keys/release.pem",
    ]
    .iter()
    .enumerate()
    {
        let link = format!("link{index}.yaml");
        symlink(to, project.file(&link)).expect("there is room");
        let key = body(&project.read("keys/release.pem"));
        is_refused(&project, &link, &[SECRET, &key]);
    }
    project.write("shared.yaml", "type: string\n");
    symlink("shared.yaml", project.file("good.yaml")).expect("there is room");
    let [_, schema] = refer(&project, "good.yaml");
    project.write("orders.yaml", schema);
    project.run(&["lint"]).with(0);
}

#[test]
fn ignored_link_to_an_untracked_file_is_refused() {
    let project = committed();
    let [_, schema] = refer(&project, "public/local.yaml");
    let kept = project.read(".gitignore");
    project.write(".gitignore", format!("{kept}/private/\n"));
    commit(&project, "ignore");
    project.write("orders.yaml", schema);
    fs::create_dir(project.file("public")).expect("there is room");
    project.write("public/keep.txt", "");
    let local = format!("type: string\ndescription: {SECRET}\n");
    project.write("public/local.yaml", local);
    symlink("public", project.file("private")).expect("there is room");
    for arguments in [
        &["add", "orders.yaml", "public/keep.txt"][..],
        &["add", "-f", "private"],
        &["commit", "-q", "-m", "link"],
    ] {
        git(project.path(), arguments);
    }
    let refused = |arguments: &[&str]| {
        let ended = project.run(arguments);
        assert_ne!(ended.code, 0, "{ended:?}");
        let text = format!("{}{}", ended.out, ended.err);
        assert!(text.contains("Git ignores `private`"), "{text}");
        assert!(!text.contains(SECRET), "{text}");
    };
    refused(&["lint"]);
    // The pull request also removes the rule.
    project.write(".gitignore", &kept);
    project.run(&["lint"]).with(0);
    refused(&["lint", "--base", "git:HEAD~1"]);
    // A tracked file is reviewed, wherever links lead.
    project.write(".gitignore", format!("{kept}/private/\n"));
    git(project.path(), &["add", "public/local.yaml"]);
    project.run(&["lint"]).with(0);
}

#[test]
fn tracked_file_stays_readable_when_it_is_ignored() {
    let project = committed();
    project.write("local.yaml", "type: string\n");
    let [_, schema] = refer(&project, "local.yaml");
    project.write("orders.yaml", schema);
    // The file is untracked but not ignored.
    project.run(&["lint"]).with(0);
    commit(&project, "two");
    project.write(".gitignore", "*.pem\n/releases/\n/elsewhere/\nlocal.yaml\n");
    project.run(&["lint"]).with(0);
}

#[test]
fn project_in_an_ignored_folder_is_read() {
    let outer = Project::empty();
    git(outer.path(), &["init", "-q", "-b", "main"]);
    outer.write(".gitignore", "/tmp/\n");
    crate::project::copy(Project::bare().path(), &outer.file("tmp"));
    let ended = crate::project::run(crate::project::command(&outer.file("tmp")).arg("lint"));
    ended.with(0);
}

#[test]
fn every_key_that_names_a_file_refuses_a_secret() {
    let secret = format!("password: {SECRET}\n");
    let named = [
        (
            "apis: {orders: {path: orders.yaml}}",
            "apis: {orders: {path: FILE}}",
        ),
        (
            "apis: {orders: {path: orders.yaml}}",
            "apis: {orders: {path: orders.yaml, overlays: [FILE]}}",
        ),
        ("gates: [weaken]", "gates: [weaken]\nacknowledge: FILE"),
        (
            "gates: [weaken]",
            "gates: [weaken]\nenvironments: {a: {patch: FILE}}",
        ),
        ("gates: [weaken]", "gates: [weaken]\nconsumers_file: FILE"),
        ("gates: [weaken]", "gates: [weaken]\ninvariants: [FILE]"),
        ("gates: [weaken]", "gates: [weaken]\ntests: [FILE]"),
        (
            "auth: {keys: {kind: api_key}}",
            "auth: {keys: {kind: api_key}, j: {kind: jwt, jwks_file: FILE, algorithms: [RS256], issuer: x, audience: [y]}}",
        ),
    ];
    for (old, new) in named {
        for file in [
            ".env.yaml",
            "local.yaml",
            "notes.txt",
            "key.yaml",
            "bare.yaml",
            "link.yaml",
        ] {
            let project = committed();
            project.write(".gitignore", "*.pem\n/releases/\n/elsewhere/\nlocal.yaml\n");
            for name in [".env.yaml", "local.yaml", "notes.txt"] {
                project.write(name, &secret);
            }
            let key = project.read("keys/release.pem");
            project.write("key.yaml", &key);
            project.write("bare.yaml", SECRET);
            symlink("local.yaml", project.file("link.yaml")).expect("there is room");
            project.edit("gateway.yaml", old, &new.replace("FILE", file));
            if new.contains("consumers_file") {
                project.edit("gateway.yaml", "consumers:\n  acme: {keys: [{sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}]}\n", "");
            }
            let ended = project.run(&["lint"]);
            // For a pattern that matches no source, gwc reports only a warning.
            if !new.contains("tests: [") {
                assert_ne!(ended.code, 0, "{new}, {file}: {ended:?}");
                assert!(ended.out.contains("GW0225"), "{new}, {file}: {ended:?}");
            }
            shows_none(&ended, &project.file("releases"), &[SECRET, &body(&key)]);
        }
    }
}

#[test]
fn pattern_leaves_ignored_documents_out() {
    let project = committed();
    project.write(".gitignore", "*.pem\n/releases/\n/elsewhere/\nlocal.yaml\n");
    project.edit(
        "gateway.yaml",
        "apis: {orders: {path: orders.yaml}}",
        "apis_glob: [\"*.yaml\", \"!gateway.yaml\"]",
    );
    project.write("local.yaml", format!("password: {SECRET}\n"));
    let ended = project.run(&["lint"]).with(0);
    shows_none(&ended, &project.file("releases"), &[SECRET]);
}

/// The file is a source after the merge: a review that leaves it out would hide its operations.
#[test]
fn pattern_names_a_document_that_the_base_ignores() {
    let project = committed();
    project.write(".gitignore", "*.pem\n/releases/\nbuild/\n");
    project.edit(
        "gateway.yaml",
        "apis: {orders: {path: orders.yaml}}",
        "apis_glob: [\"*.yaml\", \"!gateway.yaml\", \"build/*.yaml\"]",
    );
    let base = format!("git:{}", commit(&project, "base"));
    fs::create_dir(project.file("build")).unwrap();
    project.write("build/local.yaml", "openapi: 3.1.0\n");
    project.run(&["lint", "--base", &base]).with(0);
    git(project.path(), &["add", "-f", "build/local.yaml"]);
    commit(&project, "a document in an ignored folder");
    for command in [
        &["lint", "--base", &base][..],
        &["plan", "--base", &base, "--against", &base],
        &["plan", "--against", &base],
    ] {
        let ended = project.run(command);
        assert_ne!(ended.code, 0, "{ended:?}");
        let all = format!("{}{}", ended.out, ended.err);
        assert!(all.contains("ignores `build/local.yaml`"), "{all}");
    }
}

#[test]
fn document_of_the_command_line_may_have_any_name() {
    let project = Project::bare();
    let orders = project.read("orders.yaml");
    for name in [".orders", "orders.txt", "local.yaml"] {
        project.write(name, &orders);
        let ended = project.run(&["lint", name]);
        assert!(!ended.out.contains("GW0225"), "{name}: {ended:?}");
    }
    project.write("key.yaml", "-----BEGIN PRIVATE KEY-----\nTU9OS0VZ\n");
    let ended = project.run(&["lint", "key.yaml"]);
    assert_ne!(ended.code, 0);
    shows_none(&ended, &project.file("releases"), &["TU9OS0VZ"]);
}

#[test]
fn link_of_the_command_line_to_a_secret_is_refused() {
    let project = committed();
    let secret = format!("password: {SECRET}\n");
    project.write("keys/local.pem", &secret);
    let outside = Project::empty();
    outside.write("outside.yaml", &secret);
    for to in [project.file("keys/local.pem"), outside.file("outside.yaml")] {
        let link = project.file("given.yaml");
        symlink(&to, &link).expect("there is room");
        for command in [
            &["lint", "--baseline", "given.yaml"][..],
            &["lint", "given.yaml"],
            &["diff", "given.yaml", "orders.yaml"],
            &["init", "new", "--from", "given.yaml"],
        ] {
            let ended = project.run(command).with(65).contains("symbolic link");
            shows_none(&ended, &project.file("releases"), &[SECRET]);
        }
        fs::remove_file(link).expect("it is there");
    }
    assert!(!project.file("new").exists());
    symlink("orders.yaml", project.file("given.yaml")).expect("there is room");
    project.run(&["diff", "given.yaml", "orders.yaml"]).with(0);
    project.run(&["init", "new", "--from", "given.yaml"]);
    assert!(project.file("new/apis/given.yaml").is_file());
}
