//! `gwc init`.

use std::fs;
use std::path::Path;

use crate::git::git;
use crate::project::{Ended, command, run};

fn in_folder(folder: &Path, arguments: &[&str]) -> Ended {
    run(command(folder).args(arguments))
}

#[test]
fn new_project_lints_clean_and_can_be_released() {
    let folder = tempfile::tempdir().unwrap();
    in_folder(folder.path(), &["init", "my shop"]).with(0);
    let project = folder.path().join("my shop");
    in_folder(&project, &["lint", "--fail-on", "info"])
        .with(0)
        .contains("no findings");
    let gateway = fs::read_to_string(project.join("gateway.yaml")).unwrap();
    assert!(gateway.starts_with("# yaml-language-server: $schema=schemas/gateway.schema.json\n"));
    assert!(gateway.contains("name: my-shop\n"));
    assert!(project.join("schemas/gateway.schema.json").is_file());
    let ignored = fs::read_to_string(project.join(".gitignore")).unwrap();
    assert!(ignored.contains("*.pem\n"));
    in_folder(&project, &["keygen", "release"]).with(0);
    in_folder(&project, &["apply", "--key", "keys/release.pem", "--yes"]).with(0);
    in_folder(&project, &["init"]).with(64).contains("exists");
}

#[test]
fn new_project_has_an_invariant_that_holds() {
    let folder = tempfile::tempdir().unwrap();
    let text = "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths:\n  /a: {get: {responses: {\"200\": {description: fine}}}}\n";
    fs::write(folder.path().join("open.yaml"), text).unwrap();
    in_folder(folder.path(), &["init", "sample"]).with(0);
    let from = ["init", "given", "--from", "open.yaml"];
    in_folder(folder.path(), &from).with(0);
    for name in ["sample", "given"] {
        let project = folder.path().join(name);
        let gateway = fs::read_to_string(project.join("gateway.yaml")).unwrap();
        assert!(!gateway.contains("violated-invariant"), "{gateway}");
        in_folder(&project, &["lint"]).with(0);
        // The API is mounted at a second listener, too, which violates the invariant.
        let listener = "  public: {address: \"127.0.0.1:8080\"}\n";
        let other = format!("{listener}  other: {{address: \"127.0.0.1:8081\"}}\n");
        let mount = "mount: {base_path: /, listeners: [public, other]}";
        let two = gateway.replace(listener, &other);
        let two = two.replace("mount: {base_path: /}", mount);
        fs::write(project.join("gateway.yaml"), two).unwrap();
        in_folder(&project, &["lint", "--format", "concise"])
            .with(1)
            .contains("it can be reached at the listener `other`");
    }
}

#[test]
fn sample_request_of_init_needs_no_plain_get() {
    let folder = tempfile::tempdir().unwrap();
    let text = "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths:\n  /files/{id}:\n    \
                parameters: [{name: id, in: path, required: true, schema: {type: string}}]\n    \
                put: {responses: {\"204\": {description: stored}}}\n";
    fs::write(folder.path().join("files.yaml"), text).unwrap();
    let from = ["init", "files", "--from", "files.yaml"];
    let ended = in_folder(folder.path(), &from).with(0);
    let request = ended.out.lines().last().expect("a request");
    assert_eq!(request, "  curl -i -X PUT http://127.0.0.1:8080/files/0");
}

#[test]
fn the_folder_is_one_word_of_the_shell_that_enters_it() {
    let folder = tempfile::tempdir().unwrap();
    for (name, shown) in [
        ("My Shop!", "cd 'My Shop!'\n"),
        ("it's", "cd 'it'\\''s'\n"),
        ("shop-2", "cd shop-2\n"),
    ] {
        let ended = in_folder(folder.path(), &["init", name, "--name", "shop"]).with(0);
        assert!(ended.out.contains(shown), "{}", ended.out);
    }
}

#[test]
fn init_from_a_real_document_keeps_its_text() {
    let folder = tempfile::tempdir().unwrap();
    let museum = Path::new(env!("CARGO_MANIFEST_DIR")).join("../specs/museum.yaml");
    let ended = in_folder(
        folder.path(),
        &[
            "init",
            "museum",
            "--from",
            museum.to_str().unwrap(),
            "--format",
            "json",
        ],
    );
    let document = ended.with(0).json("init/v1");
    assert_eq!(document["name"], "museum");
    in_folder(
        &folder.path().join("museum"),
        &["lint", "--fail-on", "warn"],
    )
    .with(0);
    assert_eq!(
        fs::read(folder.path().join("museum/apis/museum.yaml")).unwrap(),
        fs::read(museum).unwrap()
    );
}

#[test]
fn init_copies_referenced_files() {
    let folder = tempfile::tempdir().unwrap();
    let from = folder.path().join("old/parts");
    fs::create_dir_all(&from).unwrap();
    fs::write(from.join("pet.yaml"), "type: object\n").unwrap();
    fs::write(
        folder.path().join("old/pets.yaml"),
        "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\nservers: [{url: /}]\npaths:\n  /pets:\n    get: {operationId: listPets, summary: s, responses: {\"200\": {description: d, content: {application/json: {schema: {$ref: parts/pet.yaml}}}}}}\n",
    )
    .unwrap();
    in_folder(folder.path(), &["init", "new", "--from", "old/pets.yaml"]).with(0);
    assert!(folder.path().join("new/apis/parts/pet.yaml").is_file());
}

#[test]
fn init_overwrites_nothing_and_fails_whole() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("README.md"), "mine\n").unwrap();
    in_folder(folder.path(), &["init", ".", "--name", "shop"])
        .with(0)
        .contains("kept  README.md");
    assert_eq!(
        fs::read_to_string(folder.path().join("README.md")).unwrap(),
        "mine\n"
    );
    fs::write(folder.path().join("noise"), [0u8, 255]).unwrap();
    for from in ["noise", "missing.yaml", "README.md"] {
        in_folder(folder.path(), &["init", "other", "--from", from]).with(65);
    }
    in_folder(folder.path(), &["init", "other", "--name", "A B"]).with(64);
    assert!(!folder.path().join("other").exists());
}

/// Repository with one commit and no project. `origin/main` is at the commit.
fn repository_without_a_project() -> tempfile::TempDir {
    let outer = tempfile::tempdir().unwrap();
    git(outer.path(), &["init", "-q", "-b", "main"]);
    fs::write(outer.path().join("README.md"), "all\n").unwrap();
    commit_all(outer.path());
    let head = ["update-ref", "refs/remotes/origin/main", "HEAD"];
    git(outer.path(), &head);
    outer
}

fn commit_all(folder: &Path) {
    git(folder, &["add", "-A"]);
    git(folder, &["commit", "-qm", "next"]);
}

#[test]
fn init_below_a_repository_moves_the_workflows() {
    let outer = repository_without_a_project();
    let at = |path: &str| outer.path().join(path);
    let read = |path: &str| fs::read_to_string(at(path)).unwrap();
    fs::create_dir_all(at(".github/workflows")).unwrap();
    fs::write(at(".github/workflows/other.yaml"), "name: other\n").unwrap();
    let ended = in_folder(outer.path(), &["init", "services/my shop"]).with(0);
    let (_, help) = ended.err.split_once("run there: ").expect("a command");
    let script = help.lines().next().expect("a line");
    let moved = std::process::Command::new("sh")
        .args(["-ec", script])
        .current_dir(outer.path())
        .status();
    assert!(moved.expect("sh is there").success(), "{script}");
    let workflow = read(".github/workflows/gateway.yaml");
    let start = "\npermissions: {}\n# The project's folder.\ndefaults:\n  run:\n    \
                 working-directory: \"services/my shop\"\nenv:\n";
    assert!(workflow.contains(start), "{workflow}");
    assert_eq!(workflow.matches("working-directory:").count(), 1);
    assert!(at(".github/gateway/comment.py").is_file());
    assert!(at(".github/workflows/other.yaml").is_file());
    assert!(!at("services/my shop/.github").exists());
    // At the root and outside of repositories, there is nothing to move.
    let alone = tempfile::tempdir().unwrap();
    let beside = alone.path().join("shop");
    for folder in [outer.path(), beside.as_path()] {
        let dir = folder.to_str().expect("UTF-8");
        let ended = in_folder(alone.path(), &["init", dir, "--name", "shop"]).with(0);
        assert!(!ended.err.contains("GitHub"), "{}", ended.err);
    }
}

#[test]
fn first_pull_request_of_a_project_has_a_plan() {
    let base = "git:refs/remotes/origin/main";
    let plan = ["plan", "--base", base, "--against", base];
    let json = [&plan[..], &["--format", "json"]].concat();
    for folder in [".", "shop"] {
        let outer = repository_without_a_project();
        git(outer.path(), &["checkout", "-qb", "feat"]);
        in_folder(outer.path(), &["init", folder, "--name", "shop"]).with(0);
        commit_all(outer.path());
        let project = outer.path().join(folder);
        in_folder(&project, &plan)
            .with(0)
            .contains("has no project");
        let document = in_folder(&project, &json).with(0).json("plan/v1");
        assert_eq!(document["changes"][0]["id"], "first-release", "{document}");
        // Gates of the new project apply.
        let file = project.join("gateway.yaml");
        let text = fs::read_to_string(&file).unwrap();
        let gates = "gates: [expose]\n";
        fs::write(&file, format!("{text}{gates}")).unwrap();
        commit_all(outer.path());
        in_folder(&project, &plan).with(1).contains("gate `expose`");
        // Each environment is new, too.
        let environments = "environments: {live: {}, test: {}}\n";
        fs::write(&file, format!("{text}{environments}")).unwrap();
        commit_all(outer.path());
        in_folder(&project, &plan)
            .with(0)
            .contains("has no project");
        let of_one = [&plan[..], &["--env", "live"]].concat();
        in_folder(&project, &of_one)
            .with(0)
            .contains("has no project");
    }
}

#[test]
fn moved_project_is_no_first_release() {
    let outer = repository_without_a_project();
    in_folder(outer.path(), &["init", "shop"]).with(0);
    commit_all(outer.path());
    let plan = ["plan", "--against", "git:main"];
    git(outer.path(), &["checkout", "-qb", "feat"]);
    // Another project beside it is new.
    in_folder(outer.path(), &["init", "store"]).with(0);
    commit_all(outer.path());
    let store = outer.path().join("store");
    in_folder(&store, &plan).with(0).contains("has no project");
    git(outer.path(), &["rm", "-rqf", "shop"]);
    commit_all(outer.path());
    in_folder(&store, &plan)
        .with(65)
        .contains("write git:main:FOLDER");
}

/// Document with every kind of mistake that `gwc init` repairs with an overlay.
const FAULTY: &str = "openapi: 3.0.3
info: {title: t, version: \"1\"}
paths:
  /a:
    get:
      operationId: list
      responses:
        '200':
          description: d
          content:
            application/json:
              schema: {type: object, properties: {\"it's\": {$ref: '#/components/schemas/None'}, p: {type: string, pattern: '['}}}
              examples: {one: {$ref: '#/components/examples/None'}}
  /b:
    get: {operationId: list, responses: {'200': {description: d}}}
  /c:
    get:
      operationId: other
      parameters: [{$ref: '#/components/parameters/One'}, {$ref: '#/components/parameters/Two'}, {name: q, in: query, schema: {type: string}}]
      responses: {'200': {description: d}}
";

#[test]
fn init_from_a_faulty_document_ends_clean() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("api.yaml"), FAULTY).unwrap();
    in_folder(folder.path(), &["init", "shop", "--from", "api.yaml"])
        .with(0)
        .contains("is ready")
        .contains("parts removed by the overlay");
    let project = folder.path().join("shop");
    in_folder(&project, &["lint"]).with(0);
    in_folder(&project, &["build"]).with(0);
    let read = |file: &str| fs::read_to_string(project.join(file)).unwrap();
    assert_eq!(read("apis/api.yaml"), FAULTY);
    assert!(
        read("gateway.yaml").contains("malformed-pattern: warn"),
        "{}",
        read("gateway.yaml")
    );
    let overlay = read("apis/api.gw.yaml");
    assert_eq!(overlay.matches("remove: true").count(), 5, "{overlay}");
    // Valid operations are kept.
    let ended = in_folder(&project, &["route", "GET", "/c?q=1"]).with(0);
    assert!(ended.out.contains("other"), "{}", ended.out);
}

#[test]
fn init_says_what_is_left_to_decide() {
    let folder = tempfile::tempdir().unwrap();
    let text = "openapi: 3.0.3
info: {title: t, version: \"1\"}
paths:
  /a/{x}{y}: {get: {parameters: [{name: x, in: path, required: true, schema: {type: string}}], responses: {'200': {description: d}}}}
  /a/b{y}: {get: {parameters: [{name: y, in: path, required: true, schema: {type: string}}], responses: {'200': {description: d}}}}
  /b: {get: {security: [{none: []}], responses: {'200': {description: d}}}}
";
    fs::write(folder.path().join("api.yaml"), text).unwrap();
    let ended = in_folder(folder.path(), &["init", "shop", "--from", "api.yaml"]).with(1);
    assert!(!ended.out.contains("is ready"), "{}", ended.out);
    assert!(
        ended.out.contains("cannot be built yet. Decide:"),
        "{}",
        ended.out
    );
    let (_, decide) = ended.out.split_once("Decide:\n").unwrap();
    let decide: Vec<&str> = decide
        .lines()
        .take_while(|line| line.starts_with("  "))
        .collect();
    assert!(!decide.is_empty() && decide.len() <= 10, "{}", ended.out);
    assert!(
        decide.iter().all(|line| line.contains("apis/api.yaml:")),
        "{}",
        ended.out
    );
}

#[test]
fn init_copies_references_above_the_document() {
    let folder = tempfile::tempdir().unwrap();
    git(folder.path(), &["init", "-q", "-b", "main"]);
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("specs/shop/v1")).unwrap();
    fs::create_dir_all(at("specs/common")).unwrap();
    fs::write(at("specs/common/id.yaml"), "type: string\nmaxLength: 9\n").unwrap();
    let text = "openapi: 3.0.3
info: {title: t, version: \"1\"}
paths:
  /a: {get: {operationId: a, parameters: [{name: q, in: query, schema: {$ref: ../../common/id.yaml}}], responses: {'200': {description: d}}}}
";
    fs::write(at("specs/shop/v1/api.yaml"), text).unwrap();
    in_folder(folder.path(), &["lint", "specs/shop/v1/api.yaml"]).with(0);
    in_folder(&at("specs/shop/v1"), &["lint", "api.yaml"]).with(0);
    in_folder(
        folder.path(),
        &["init", "new", "--from", "specs/shop/v1/api.yaml"],
    )
    .with(0)
    .contains("is ready");
    assert!(at("new/apis/common/id.yaml").is_file());
    in_folder(&at("new"), &["build"]).with(0);
    // Files outside the repository are not read.
    fs::write(
        at("specs/shop/v1/api.yaml"),
        text.replace("../../common", "../../../../common"),
    )
    .unwrap();
    in_folder(folder.path(), &["lint", "specs/shop/v1/api.yaml"])
        .with(1)
        .contains("outside-project");
}

#[test]
fn init_quotes_the_name_of_the_document() {
    let folder = tempfile::tempdir().unwrap();
    let text = "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths: {}\n";
    for (number, name) in [
        "a #b.yaml",
        "a: b.yaml",
        "null.yaml",
        "1e5.yaml",
        "'q\".yaml",
    ]
    .iter()
    .enumerate()
    {
        fs::write(folder.path().join(name), text).unwrap();
        let project = format!("p{number}");
        in_folder(folder.path(), &["init", &project, "--from", name]).with(0);
        in_folder(&folder.path().join(&project), &["lint"]).with(0);
    }
    let name = "a\nname: other.yaml";
    fs::write(folder.path().join(name), text).unwrap();
    in_folder(folder.path(), &["init", "p", "--from", name]).contains("control character");
    assert!(!folder.path().join("p").exists());
}

#[test]
fn init_from_swagger_2_can_be_built() {
    let folder = tempfile::tempdir().unwrap();
    let text = "swagger: \"2.0\"
info: {title: t, version: \"1\"}
host: api.example.org
basePath: /v1
paths:
  /pets/{id}:
    get:
      operationId: getPet
      parameters: [{name: id, in: path, required: true, type: string}]
      responses: {'200': {description: d, schema: {$ref: '#/definitions/Pet'}}}
definitions: {Pet: {type: object, properties: {name: {type: string}}}}
securityDefinitions: {key: {type: apiKey, in: header, name: X-Key}}
security: [{key: []}]
";
    fs::write(folder.path().join("pets.yaml"), text).unwrap();
    in_folder(folder.path(), &["init", "shop", "--from", "pets.yaml"])
        .with(0)
        .contains("is ready");
    let project = folder.path().join("shop");
    in_folder(&project, &["lint"]).with(0);
    in_folder(&project, &["build"]).with(0);
    in_folder(&project, &["route", "GET", "/pets/7"])
        .with(0)
        .contains("getPet");
    fs::write(folder.path().join("other.yaml"), "asyncapi: 3.0.0\n").unwrap();
    in_folder(folder.path(), &["init", "other", "--from", "other.yaml"])
        .with(65)
        .contains("neither the key `openapi` nor, for Swagger 2.0, `swagger`");
}

#[test]
fn init_is_ready_only_when_build_works() {
    let folder = tempfile::tempdir().unwrap();
    // Lint only warns about settings that gwd does not support yet.
    let text = "openapi: 3.2.0
info: {title: t, version: \"1\"}
paths:
  /a: {get: {parameters: [{name: q, in: querystring, content: {application/json: {schema: {type: object, x-gateway: {redact: true}}}}}], responses: {'200': {description: d}}}}
";
    fs::write(folder.path().join("api.yaml"), text).unwrap();
    let ended = in_folder(folder.path(), &["init", "shop", "--from", "api.yaml"])
        .with(1)
        .contains("cannot be built yet. Decide:")
        .contains("not-available");
    assert!(!ended.out.contains("is ready"), "{}", ended.out);
}

#[test]
fn init_makes_aliases_of_indistinguishable_paths() {
    let folder = tempfile::tempdir().unwrap();
    let path = |key: &str, methods: &str| {
        let operations = methods.split(' ').map(|method| {
            format!("{method}: {{parameters: [{{name: x, in: path, required: true, schema: {{type: string}}}}], responses: {{'200': {{description: d}}}}}}")
        });
        let operations: Vec<String> = operations.collect();
        format!("  \"{key}\": {{{}}}\n", operations.join(", "))
    };
    let text = format!(
        "openapi: 3.0.3\ninfo: {{title: t, version: \"1\"}}\npaths:\n{}{}{}{}{}{}{}{}{}",
        path("/d/{x}", "get"),
        path("/d/{x}#two", "get"),
        path("/d/{x}#one", "get"),
        path("/a/{x}#one", "get"),
        path("/a/{x}#two", "get"),
        path("/a/{x}#three", "get"),
        path("/b/{x}", "get post"),
        path("/c/:id/{x}", "get"),
        path("/c/*/{x}", "get")
    );
    fs::write(folder.path().join("api.yaml"), &text).unwrap();
    in_folder(folder.path(), &["init", "shop", "--from", "api.yaml"])
        .with(0)
        .contains("is ready")
        .contains("paths that only document another path (4)");
    let project = folder.path().join("shop");
    in_folder(&project, &["build"]).with(0);
    let routes = |url: &str| in_folder(&project, &["route", "GET", url]).with(0).out;
    assert!(routes("/a/1").contains("/a/{x}#"), "{}", routes("/a/1"));
    // Paths are literal, as OpenAPI specifies.
    assert!(routes("/c/:id/1").contains("/c/:id/{x}"));
    assert!(routes("/c/*/1").contains("/c/*/{x}"));
    assert!(
        !routes("/c/7/1").contains("/c/:id/{x} "),
        "{}",
        routes("/c/7/1")
    );
}

/// `gwc init` must create a project from each real document. The project builds, or has at most ten
/// open decisions.
#[test]
fn init_from_each_real_document_ends_clean() {
    let corpus = prerequisite::corpus::folder();
    let folder = tempfile::tempdir().unwrap();
    for document in [
        "museum.yaml",
        "petstore.yaml",
        "figma.yaml",
        "discord.json",
        "stripe.yaml",
        "xero_accounting.yaml",
        "digitalocean/specification/DigitalOcean-public.v2.yaml",
    ] {
        ends_clean(
            folder.path(),
            &corpus.join("specs").join(document),
            document,
        );
    }
}

/// Like [`init_from_each_real_document_ends_clean`], for documents of npm packages: GitHub's (13
/// MB) and Netlify's (OpenAPI 2).
#[test]
fn init_from_documents_of_npm_ends_clean() {
    let folder = tempfile::tempdir().unwrap();
    for document in [
        "@octokit/openapi/generated/api.github.com.json",
        "@netlify/open-api/dist/swagger.json",
    ] {
        if let Some(from) = prerequisite::npm_file(document) {
            ends_clean(folder.path(), &from, &document[1..]);
        }
    }
}

/// Makes a project in `folder` from a document, and checks that it is ready and builds.
fn ends_clean(folder: &Path, from: &Path, name: &str) {
    let name = name.replace(['/', '.'], "-");
    let from = from.to_str().expect("a name");
    in_folder(folder, &["init", &name, "--from", from])
        .with(0)
        .contains("is ready");
    let project = folder.join(&name);
    in_folder(&project, &["lint", "--format", "concise"]).with(0);
    in_folder(&project, &["build"]).with(0);
}

#[test]
fn file_of_acknowledgements_takes_a_printed_line() {
    let folder = tempfile::tempdir().expect("a folder");
    in_folder(folder.path(), &["init", "made"]).with(0);
    let made = folder.path().join("made");
    let file = made.join("reviewed.yaml");
    let text = fs::read_to_string(&file).expect("it is written");
    assert!(text.lines().all(|line| line.starts_with('#')), "{text}");
    let line = format!(
        "- {{fingerprint: \"{}\", kind: operation-exposed, operation: a/b, reason: fine, by: ann}}\n",
        "ab".repeat(16)
    );
    fs::write(&file, format!("{text}{line}")).expect("it can be written");
    in_folder(&made, &["lint"]).with(0);
    fs::write(&file, format!("{text}[]\n{line}")).expect("it can be written");
    in_folder(&made, &["lint"])
        .with(1)
        .contains("replace `[]` by the list");
}
