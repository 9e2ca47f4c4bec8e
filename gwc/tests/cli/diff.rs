//! Tests of `gwc diff` and `gwc plan --against`, with every kind of version.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use crate::git::{commit, committed, git};
use crate::project::{Ended, PLAN_TEXT_FORMATS, Project, command, run, unescaped};

const OPEN: &str = "openapi: 3.1.0
info: {title: t, version: \"1\"}
paths:
  /a: {get: {operationId: getA, responses: {\"200\": {description: fine}}}}
";

/// Changes of a plan, as `CLASS ID`.
fn changes_of(ended: &Ended) -> Vec<String> {
    let plan = ended.json("plan/v1");
    let changes = plan["changes"].as_array().expect("a list").iter();
    changes
        .map(|change| {
            let text = |field: &str| change[field].as_str().expect("a text").to_owned();
            format!("{} {}", text("class"), text("id"))
        })
        .collect()
}

fn diff(project: &Project, old: &str, new: &str) -> Ended {
    project.run(&["diff", old, new, "--format", "json"])
}

#[test]
fn documents_with_other_file_names_are_compared() {
    let project = Project::bare();
    project.write("old.yaml", OPEN);
    project.write("brand-new.yml", OPEN);
    assert_eq!(
        changes_of(&diff(&project, "old.yaml", "brand-new.yml").with(0)),
        [""; 0]
    );
    project.write(
        "new.yaml",
        OPEN.replace("/a:", "/b:").replace("getA", "getB"),
    );
    let ended = diff(&project, "old.yaml", "new.yaml").with(0);
    assert!(
        changes_of(&ended)
            .iter()
            .any(|line| line.starts_with("added "))
            && changes_of(&ended)
                .iter()
                .any(|line| line.starts_with("removed ")),
        "{:?}",
        changes_of(&ended)
    );
    // Operations with the same operationId, as in real documents, are matched by method and path.
    let twice = OPEN.replace("operationId: getA", "operationId: \"it's \\\"twice\\\"\"");
    let twice = format!(
        "{twice}{}",
        twice.lines().last().unwrap().replace("/a:", "/c:")
    );
    project.write("twice.yaml", &twice);
    let ended = diff(&project, "old.yaml", "twice.yaml").with(0);
    assert!(
        ended.err.contains("compared by method and path"),
        "{}",
        ended.err
    );
    project.write("again.yaml", format!("{twice}\n"));
    assert_eq!(
        changes_of(&diff(&project, "twice.yaml", "again.yaml").with(0)),
        [""; 0]
    );
    // References to names that only a project defines are allowed.
    let keyed = "get: {x-gateway: {policies: [slow], upstream: orders}, ";
    project.write("keyed.yaml", OPEN.replace("get: {", keyed));
    diff(&project, "old.yaml", "keyed.yaml").with(0);
    // Settings that gwd does not support yet are allowed, too.
    project.write(
        "later.yaml",
        OPEN.replace("get: {", "get: {x-gateway: {cost: 5}, "),
    );
    diff(&project, "old.yaml", "later.yaml").with(0);
    // Compare with the same document as JSON.
    let same: Value = serde_yaml_ng::from_str(OPEN).unwrap();
    project.write("same.json", same.to_string());
    assert_eq!(
        changes_of(&diff(&project, "old.yaml", "same.json").with(0)),
        [""; 0]
    );
}

#[test]
fn diff_fails_on_the_class_of_its_option() {
    let project = Project::released();
    fs::create_dir(project.file("elsewhere")).unwrap();
    for file in ["gateway.yaml", "orders.yaml", "trust.json"] {
        fs::copy(project.file(file), project.file("elsewhere").join(file)).unwrap();
    }
    let fail = |what: &str| project.run(&["diff", "elsewhere", ".", "--fail-on", what]);
    fail("any").with(0).contains("No changes");
    project.change("6s");
    fail("weaken").with(0);
    fail("any").with(1).contains("timeout");
    project.edit(
        "orders.yaml",
        "operationId: listOrders,",
        "operationId: listOrders, security: [], x-gateway: {public: true},",
    );
    fail("weaken").with(1).contains("weaken");
    fail("break").with(0);
    // A listener on a public address exposes its operations, but weakens no access rule.
    fs::copy(
        project.file("orders.yaml"),
        project.file("elsewhere/orders.yaml"),
    )
    .unwrap();
    let listener = |address: &str| {
        format!("name: shop\nlisteners: {{public: {{address: \"{address}:8080\"}}}}\n")
    };
    project.edit("gateway.yaml", "name: shop\n", &listener("127.0.0.1"));
    fs::copy(
        project.file("gateway.yaml"),
        project.file("elsewhere/gateway.yaml"),
    )
    .unwrap();
    fail("weaken").with(0);
    project.edit("gateway.yaml", "127.0.0.1:8080", "0.0.0.0:8080");
    fail("weaken").with(1).contains("expose");
    fail("break").with(0);
    project.run(&["diff", "elsewhere", "."]).with(0);
    project.run(&["diff", "elsewhere"]).with(64);
    fail("breaks").with(64);
}

#[test]
fn bundles_are_compared_by_id_and_as_files() {
    let project = Project::new();
    let first = project.build();
    project.run(&["build", "-o", "first.tar"]).with(0);
    project.change("6s");
    let second = project.build();
    let digits = |id: &str| id["sha256:".len()..][..16].to_owned();
    let lines = changes_of(&diff(&project, &digits(&first), &digits(&second)).with(0));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(
        changes_of(&diff(&project, "first.tar", &second).with(0)),
        lines
    );
    assert_eq!(changes_of(&diff(&project, "first.tar", ".").with(0)), lines);
    assert_eq!(
        changes_of(&diff(&project, "first.tar", &first).with(0)),
        [""; 0]
    );
    diff(&project, "first.tar", "0123456789ab").with(65);
    diff(&project, "first.tar", "missing.yaml")
        .with(65)
        .contains("there is no file");
}

#[test]
fn a_project_is_compared_with_itself_in_git() {
    let project = committed();
    let one = git(project.path(), &["rev-parse", "HEAD"]);
    project.change("6s");
    commit(&project, "two");
    for revision in ["git:HEAD~1", &format!("git:{}", &one[..9]), "git:main^"] {
        let ended = project.run(&["plan", "--against", revision, "--format", "json"]);
        let plan = ended.with(0);
        assert_eq!(changes_of(&plan).len(), 1, "{revision}");
        let plan = plan.json("plan/v1");
        assert_eq!(plan["base"]["from"]["commit"], one.as_str());
        assert_eq!(plan["base"]["from"]["name"], revision);
        assert_eq!(plan["base"]["channel"], Value::Null);
        assert_eq!(plan["target"]["from"]["uncommitted"], json!([]));
    }
    assert_eq!(
        changes_of(&diff(&project, "git:HEAD", ".").with(0)),
        [""; 0]
    );
    assert_eq!(
        changes_of(&diff(&project, "git:HEAD~1", "git:HEAD").with(0)).len(),
        1
    );
    git(project.path(), &["tag", "-a", "v1", "-m", "one", "HEAD~1"]);
    let document = diff(&project, "git:v1:orders.yaml", "orders.yaml").with(0);
    assert_eq!(changes_of(&document), [""; 0]);
    // The comparison must not check out or write files.
    assert_eq!(git(project.path(), &["status", "--porcelain"]), "");
}

#[test]
fn plan_names_uncommitted_files() {
    let project = committed();
    project.change("6s");
    project.write("other.yaml", OPEN);
    project.edit(
        "gateway.yaml",
        "apis: {",
        "apis: {other: {path: other.yaml, mount: {base_path: /o}}, ",
    );
    project.edit(
        "gateway.yaml",
        "gates: [weaken]",
        "required: {allow_public: [\"*\"]}",
    );
    project.edit("orders.yaml", "title: Orders", "title: All orders");
    project.write("notes.txt", "nobody compiles this\n");
    project.edit("other.yaml", "get: {", "get: {x-gateway: {public: true}, ");
    // The gate of the old commit still applies, and stops the new public operation.
    let ended = project
        .run(&["plan", "--against", "git:HEAD", "--format", "json"])
        .with(1);
    let plan = ended.json("plan/v1");
    assert_eq!(
        plan["target"]["from"]["uncommitted"],
        json!(["gateway.yaml", "orders.yaml", "other.yaml"])
    );
    assert!(
        ended
            .err
            .contains("not committed: gateway.yaml, orders.yaml, other.yaml"),
        "{}",
        ended.err
    );
}

#[test]
fn document_that_git_ignores_is_refused() {
    let project = committed();
    let plan = diff(&project, "git:HEAD", ".").with(0).json("plan/v1");
    assert_eq!(plan["target"]["from"]["uncommitted"], json!([]));
    project.write(".gitignore", "*.pem\n/releases/\nother.yaml\n");
    project.write(
        "other.yaml",
        OPEN.replace("get: {", "get: {x-gateway: {public: true}, "),
    );
    project.edit(
        "gateway.yaml",
        "apis: {",
        "apis: {other: {path: other.yaml, mount: {base_path: /o}}, ",
    );
    diff(&project, "git:HEAD", ".")
        .with(65)
        .contains("Git ignores `other.yaml`");
    project.write(".gitignore", "*.pem\n/releases/\n");
    let ended = diff(&project, "git:HEAD", ".").with(0);
    assert_eq!(
        ended.json("plan/v1")["target"]["from"]["uncommitted"],
        json!(["gateway.yaml", "other.yaml"])
    );
}

#[test]
fn gate_removed_by_a_branch_still_applies() {
    let project = committed();
    project.edit("gateway.yaml", "gates: [weaken]\n", "");
    let plan = |more: &[&str]| project.run(&[&["plan", "--against", "git:main"], more].concat());
    let note = "gate `weaken` is no longer in gateway.yaml";
    plan(&[])
        .with(1)
        .contains(note)
        .contains("gate `rules` is tripped");
    project.edit(
        "orders.yaml",
        "operationId: listOrders,",
        "operationId: listOrders, security: [], x-gateway: {public: true},",
    );
    let ended = plan(&["--format", "json"]).with(1);
    let document = ended.json("plan/v1");
    assert_eq!(document["gates"][0]["name"], "weaken");
    assert_eq!(document["gates"][0]["tripped"], true);
    for format in ["human", "markdown", "github"] {
        let ended = plan(&["--format", format]).with(1);
        assert!(ended.out.contains(note), "{format}: {}", ended.out);
    }
}

#[test]
fn unicode_line_separators_are_escaped_in_plans() {
    let project = committed();
    project.edit(
        "orders.yaml",
        "operationId: listOrders,",
        "operationId: listOrders, summary: \"a\\u2028b\\u2029c\",",
    );
    for format in PLAN_TEXT_FORMATS {
        let ended = project
            .run(&["plan", "--against", "git:main", "--format", format])
            .with(0);
        assert!(
            !ended.out.contains(['\u{2028}', '\u{2029}'])
                && unescaped(&ended.out).contains("a\\u{2028}b\\u{2029}c"),
            "{format}: {:?}",
            ended.out
        );
    }
}

#[test]
fn missing_store_is_named_in_a_note() {
    let project = Project::released();
    let ended = project.run(&["plan"]).with(0);
    assert!(!ended.err.contains("no store"), "{}", ended.err);
    let ended = project.run(&["plan", "--store", "relases"]).with(0);
    assert!(
        ended
            .err
            .contains("note: no store at `relases`: the plan compares with nothing\nhelp: "),
        "{}",
        ended.err
    );
}

#[test]
fn unknown_environment_lists_the_existing_ones() {
    let project = Project::bare();
    project
        .run(&["lint", "--env", "x"])
        .with(64)
        .contains("there is no environment `x`; gateway.yaml has no `environments`\n");
    let text = project.read("gateway.yaml");
    project.write(
        "gateway.yaml",
        format!("{text}environments: {{production: {{}}}}\n"),
    );
    project
        .run(&["lint", "--env", "x"])
        .with(64)
        .contains("there is no environment `x`; gateway.yaml has only `production`\n");
}

#[test]
fn missing_revision_gets_a_suggestion() {
    let project = committed();
    let plan = |revision: &str| project.run(&["plan", "--against", revision]);
    plan("git:mian")
        .with(65)
        .contains("did you mean `git:main`?");
    plan("git:").with(64).contains("git:main");
    plan("git:main:nowhere")
        .with(65)
        .contains("there is no `nowhere` in main");
    plan("git:main:../out")
        .with(64)
        .contains("is outside the repository");
    plan("git:HEAD^{/no such commit}")
        .with(65)
        .contains("no revision");
    git(project.path(), &["branch", "origin-like"]);
    git(
        project.path(),
        &["update-ref", "refs/remotes/origin/release", "HEAD"],
    );
    plan("git:release")
        .with(65)
        .contains("did you mean `git:origin/release`?");
    // A commit without a project: everything is new.
    let before = git(
        project.path(),
        &[
            "commit-tree",
            "-m",
            "empty",
            "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
        ],
    );
    plan(&format!("git:{before}"))
        .with(0)
        .contains("has no project")
        .contains("against nothing");
    let alone = Project::new();
    alone
        .run(&["plan", "--against", "git:main"])
        .with(65)
        .contains("is not in a Git repository");
}

#[test]
fn mistakes_are_reported_with_the_name_of_the_side() {
    let project = committed();
    let good = project.read("orders.yaml");
    project.edit(
        "orders.yaml",
        "security: [{key: []}]",
        "security: [{kee: []}]",
    );
    commit(&project, "broken");
    project.write("orders.yaml", good);
    commit(&project, "mended");
    project
        .run(&["plan", "--against", "git:HEAD~1"])
        .with(65)
        .contains("the old side, git:HEAD~1, has errors")
        .contains("HEAD~1:orders.yaml:3:");
    project
        .run(&["diff", "git:HEAD", "git:HEAD~1"])
        .with(65)
        .contains("the new side, git:HEAD~1, has errors");
    project.write("orders.yaml", "openapi: [");
    commit(&project, "unreadable");
    project
        .run(&["diff", "git:HEAD~1", "git:HEAD"])
        .with(65)
        .contains("HEAD:orders.yaml");
}

#[test]
fn project_below_the_root_in_a_worktree_is_compared() {
    let project = Project::bare();
    let root = tempfile::tempdir().unwrap();
    let inside = root.path().join("services/shop");
    fs::create_dir_all(&inside).unwrap();
    for file in ["gateway.yaml", "orders.yaml"] {
        fs::copy(project.file(file), inside.join(file)).unwrap();
    }
    git(root.path(), &["init", "-q", "-b", "main"]);
    git(root.path(), &["add", "-A"]);
    git(root.path(), &["commit", "-qm", "one"]);
    let in_folder =
        |folder: &std::path::Path, arguments: &[&str]| run(command(folder).args(arguments));
    let text = fs::read_to_string(inside.join("gateway.yaml")).unwrap();
    fs::write(inside.join("gateway.yaml"), text.replace("5s", "6s")).unwrap();
    let timeout = |ended: &Ended| assert_eq!(changes_of(ended).len(), 1, "{ended:?}");
    timeout(
        &in_folder(
            &inside,
            &["plan", "--against", "git:main", "--format", "json"],
        )
        .with(0),
    );
    // From another folder, `--project` names the project.
    timeout(
        &in_folder(
            root.path(),
            &[
                "diff",
                "git:main:services/shop",
                "services/shop",
                "--format",
                "json",
            ],
        )
        .with(0),
    );
    timeout(&in_folder(&inside, &["diff", "git:main:./", ".", "--format", "json"]).with(0));
    git(root.path(), &["commit", "-qam", "two"]);

    let worktree = root.path().join("tree");
    git(root.path(), &["worktree", "add", "-q", "tree", "HEAD~1"]);
    let there = worktree.join("services/shop");
    timeout(
        &in_folder(
            &there,
            &["plan", "--against", "git:main", "--format", "json"],
        )
        .with(0),
    );

    // A bare repository has no `.git` folder, and its files may be untrusted.
    let bare = tempfile::tempdir().unwrap();
    git(
        bare.path(),
        &[
            "clone",
            "-q",
            "--bare",
            root.path().to_str().unwrap(),
            "shop.git",
        ],
    );
    in_folder(
        &bare.path().join("shop.git"),
        &["diff", "git:main~1:services/shop", "git:main:services/shop"],
    )
    .with(65)
    .contains("is not in a Git repository");
}

#[test]
fn links_inside_a_revision_are_followed_others_not() {
    let project = committed();
    fs::create_dir(project.file("apis")).unwrap();
    fs::rename(project.file("orders.yaml"), project.file("apis/real.yaml")).unwrap();
    symlink("apis/real.yaml", project.file("orders.yaml")).unwrap();
    commit(&project, "a link");
    project.write("apis/real.yaml", project.read("apis/real.yaml"));
    assert_eq!(
        changes_of(&diff(&project, "git:HEAD", ".").with(0)),
        [""; 0]
    );
    assert_eq!(
        changes_of(&diff(&project, "git:HEAD~1", "git:HEAD").with(0)),
        [""; 0]
    );
    // The link leads to a file outside the project's folder, but inside the repository.
    fs::create_dir(project.file("inner")).unwrap();
    project.write("inner/gateway.yaml", project.read("gateway.yaml"));
    project.write("inner/trust.json", project.read("trust.json"));
    symlink("../apis/real.yaml", project.file("inner/orders.yaml")).unwrap();
    commit(&project, "a project inside");
    project
        .run(&["diff", "git:HEAD:inner", "."])
        .with(65)
        .contains("HEAD:inner/gateway.yaml")
        .contains("lies outside the project's folder");
    symlink("inner", project.file("same")).unwrap();
    fs::remove_file(project.file("inner/orders.yaml")).unwrap();
    fs::copy(
        project.file("apis/real.yaml"),
        project.file("inner/orders.yaml"),
    )
    .unwrap();
    commit(&project, "a link to a folder");
    assert_eq!(
        changes_of(&diff(&project, "git:HEAD:same", ".").with(0)),
        [""; 0]
    );
    let broken = |target: &str, says: &str| {
        fs::remove_file(project.file("orders.yaml")).unwrap();
        symlink(target, project.file("orders.yaml")).unwrap();
        commit(&project, target);
        project
            .run(&["diff", "git:HEAD", "."])
            .with(65)
            .contains(says);
    };
    broken("/etc/passwd", "lies outside the project's folder");
    broken("orders.yaml", "symbolic links in the path");
    git(
        project.path(),
        &["checkout", "-q", "HEAD~2", "--", "orders.yaml"],
    );
    // Write a Git LFS pointer, first on disk and then in Git.
    fs::remove_file(project.file("orders.yaml")).unwrap();
    project.write(
        "orders.yaml",
        "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n",
    );
    project.run(&["lint"]).with(65).contains("git lfs pull");
    commit(&project, "lfs");
    project
        .run(&["diff", "git:HEAD", "git:main~3"])
        .with(65)
        .contains("`orders.yaml` is a pointer file of Git LFS");
}

#[test]
fn a_file_of_a_submodule_is_named() {
    let other = committed();
    let project = Project::bare();
    git(project.path(), &["init", "-q", "-b", "main"]);
    git(
        project.path(),
        &[
            "submodule",
            "add",
            "-q",
            other.path().to_str().unwrap(),
            "shared",
        ],
    );
    project.edit(
        "gateway.yaml",
        "path: orders.yaml",
        "path: shared/orders.yaml",
    );
    commit(&project, "one");
    project
        .run(&["build"])
        .with(65)
        .contains("belongs to another repository, `shared`");
    project
        .run(&["diff", "git:HEAD", "git:HEAD"])
        .with(65)
        .contains("is in the submodule `shared`");
}

#[test]
fn both_sides_are_read_in_one_environment() {
    let project = committed();
    project.edit("gateway.yaml", "timeout: 5s", "timeout: \"${var:WAIT}\"");
    let text = project.read("gateway.yaml");
    project.write(
        "gateway.yaml",
        format!(
            "{text}environments:\n  test: {{vars: {{WAIT: 5s}}}}\n  prod: {{vars: {{WAIT: 9s}}}}\n"
        ),
    );
    commit(&project, "two");
    project.edit("gateway.yaml", "WAIT: 9s", "WAIT: 8s");
    let plan = |environment: &str| {
        changes_of(
            &project
                .run(&[
                    "plan",
                    "--env",
                    environment,
                    "--against",
                    "git:HEAD",
                    "--format",
                    "json",
                ])
                .with(0),
        )
        .len()
    };
    assert_eq!((plan("test"), plan("prod")), (0, 1));
    // Without `--env`, all environments are compared.
    assert_eq!(
        changes_of(&diff(&project, "git:HEAD", ".").with(0)).len(),
        1
    );
    project
        .run(&["diff", "--env", "prod", "git:HEAD~1", "."])
        .with(0)
        .contains("environment prod");
    // The new version must have the environment.
    project
        .run(&["diff", "--env", "prod", ".", "git:HEAD~1"])
        .with(64)
        .contains("the new side, git:HEAD~1");
}

#[test]
fn github_format_has_annotations_and_a_summary() {
    let project = committed();
    fs::create_dir(project.file("elsewhere")).unwrap();
    project.edit(
        "orders.yaml",
        "operationId: listOrders,",
        "operationId: listOrders, security: [], x-gateway: {public: true},",
    );
    project.write("elsewhere/summary.md", "before\n");
    let run_in = |folder: &str, more: &[&str]| {
        let mut command = command(&project.path().join(folder));
        command
            .args(["plan", "--against", "git:main", "--format", "github"])
            .args(more)
            .env("GITHUB_STEP_SUMMARY", project.file("elsewhere/summary.md"));
        run(&mut command)
    };
    let ended = run_in(".", &[]).with(1);
    let first = ended.out.lines().next().unwrap_or_default();
    assert!(
        first.starts_with("::error file=orders.yaml,line=6,col=")
            && first.contains("title=weaken trips a gate::GET /orders"),
        "{}",
        ended.out
    );
    let summary = project.read("elsewhere/summary.md");
    assert!(
        summary.starts_with("before\n<!-- gwc plan -->\n### Gateway plan: blocked"),
        "{summary}"
    );
    // From a subfolder, paths are shown relative to it. Without a terminal there are no colours.
    let below = run_in("elsewhere", &["--project", ".."]).with(1);
    assert!(
        below.out.starts_with("::error file=../orders.yaml"),
        "{}",
        below.out
    );
    let mut colourful = command(project.path());
    colourful
        .env_remove("NO_COLOR")
        .args(["plan", "--against", "git:main"]);
    assert!(!run(&mut colourful).with(1).out.contains('\u{1b}'));
}

/// Document whose paths have one segment with eight parameters, and literals that overlap.
fn patterns(folder: &str) -> String {
    let mut text =
        String::from("openapi: 3.0.3\ninfo: {title: t, version: \"1\"}\nsecurity: []\npaths:\n");
    for bits in 0..24_u32 {
        let literal = |at: u32| if (bits * 11) >> at & 1 == 0 { "a" } else { "b" };
        let segment = (0..8).map(|at| format!("{{p{at}}}{}", literal(at)));
        let segment: String = segment.collect();
        let parameters = (0..8).map(|at| {
            format!("{{name: p{at}, in: path, required: true, schema: {{type: string}}}}")
        });
        let parameters: Vec<String> = parameters.collect();
        text.push_str(&format!(
            "  \"/{folder}/{segment}\": {{get: {{parameters: [{}], responses: {{'200': {{description: d}}}}}}}}\n",
            parameters.join(", ")
        ));
    }
    text
}

#[test]
fn patterns_that_explode_are_not_compared() {
    let project = Project::empty();
    project.write("old.yaml", patterns("x"));
    project.write("new.yaml", patterns("y"));
    project
        .run(&["diff", "old.yaml", "new.yaml"])
        .with(0)
        .contains("! incomparable paths of listener public, host gateway");
}
