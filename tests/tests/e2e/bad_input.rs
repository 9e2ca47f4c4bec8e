//! Tests of gwc with invalid files. gwc reports the mistake with the right exit code, within limits
//! on time, memory and output, and never panics.

use std::path::Path;
use std::process::{Command, Stdio};

use e2e::binaries;
use e2e::project::{Ended, Project};

/// Address space of a command: 2 GiB, in KiB.
const MEMORY_KIB: u64 = 2 << 20;
/// Maximum CPU time of a command in seconds, far more than any command needs. The kernel ends a
/// command that takes longer (RLIMIT_CPU). Wall time would depend on the load of the machine.
const CPU_S: u64 = 20;
/// Maximum output of a command, in bytes.
const WORDS_MAX: usize = 64 << 10;

const FINDINGS: i32 = 1;
const UNVERIFIED: i32 = 4;
const USAGE: i32 = 64;
const INPUT: i32 = 65;

/// Invalid content, and the exit codes of commands that read it from a YAML or JSON file.
struct Bad {
    name: &'static str,
    bytes: Vec<u8>,
    as_source: i32,
}

fn contents() -> Vec<Bad> {
    let bad = |name, bytes: Vec<u8>, as_source| Bad {
        name,
        bytes,
        as_source,
    };
    // This text is longer than the maximum length of a file. Unless the slow tests run, a shorter
    // text is used.
    let long = if prerequisite::is_full() {
        60_000_000
    } else {
        10_000_000
    };
    let line = |bytes: usize| {
        [
            b"openapi: \"",
            b"x".repeat(bytes).as_slice(),
            b"\"
",
        ]
        .concat()
    };
    let garbage: Vec<u8> = (0..4_096u32)
        .map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[0])
        .collect();
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let below = format!("*a{}, ", level - 1).repeat(9);
        bomb.push_str(&format!(
            "a{level}: &a{level} [{}]\n",
            below.trim_end_matches(", ")
        ));
    }
    let mut all = vec![
        bad("nothing", Vec::new(), INPUT),
        bad("garbage", garbage, INPUT),
        bad("a NUL byte", b"openapi: \"\x00\"\n".to_vec(), INPUT),
        bad(
            "invalid UTF-8",
            b"openapi: 3.1.0\ninfo: \"\xff\xfe\"\n".to_vec(),
            INPUT,
        ),
        bad("another type", b"- a\n- b\n".to_vec(), FINDINGS),
        bad("deep JSON", b"[".repeat(200_000), INPUT),
        bad("deep maps", b"{\"a\":".repeat(100_000), INPUT),
        bad("deep YAML", b"- ".repeat(100_000), INPUT),
        bad("an alias bomb", bomb.into_bytes(), INPUT),
        bad(
            "a merge of itself",
            b"a: &a {b: 1, <<: *a}\n<<: [*a, *a]\n".to_vec(),
            FINDINGS,
        ),
        bad("a long line", line(long), FINDINGS),
        bad(
            "a long list",
            [
                b"{\"openapi\": [",
                b"1,".repeat(long / 20).as_slice(),
                b"1]}",
            ]
            .concat(),
            FINDINGS,
        ),
    ];
    if prerequisite::is_full() {
        all.push(bad("a line of 100 MB", line(100_000_000), INPUT));
    }
    all
}

/// Project that contains every file that a command may read.
struct Base {
    project: Project,
    bundle: String,
}

fn base() -> Base {
    let project = Project::new();
    project.write(
        "gateway.yaml",
        "version: 1\nname: s\napis: {s: {path: openapi.yaml, overlays: [overlay.yaml]}}\n\
         upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\n\
         defaults: {upstream: u, security: upstream}\n",
    );
    project.write(
        "openapi.yaml",
        "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths: {/a: {get: {responses: {}}}}\n",
    );
    project.write(
        "overlay.yaml",
        "overlay: 1.0.0\ninfo: {title: t, version: \"1\"}\n\
         actions: [{target: $.info, update: {x-a: 1}}]\n",
    );
    project.keygen();
    let bundle = project.apply();
    project.gwc(&["plan", "-o", "plan.json"]).succeeds();
    project.gwc(&["build", "-o", "bundle.tar"]).succeeds();
    Base { project, bundle }
}

/// Creates a command with limits on memory and CPU time.
fn limited(cpu_s: u64, program: &Path) -> Command {
    let limits = format!("ulimit -v {MEMORY_KIB}; ulimit -t {cpu_s}; exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &limits]).arg(program);
    command
}

/// Runs gwc with limits on memory and CPU time.
fn bounded(folder: &Path, arguments: &[&str]) -> Ended {
    let mut command = limited(CPU_S, binaries::gwc());
    command
        .args(arguments)
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Ended::of(&mut command)
}

#[test]
fn command_that_computes_too_long_is_ended() {
    let mut command = limited(1, Path::new("sh"));
    let status = command.args(["-c", "while :; do :; done"]).status();
    assert_eq!(status.expect("a shell").code(), None, "a signal ends it");
}

#[track_caller]
fn assert_short_error(ended: &Ended, code: i32, what: &str) {
    let length = ended.stdout.len() + ended.stderr.len();
    let short = |text: &str| text.chars().take(1_000).collect::<String>();
    let story = format!(
        "{what}: {}\n{}\n{}",
        ended.command,
        short(&ended.stdout),
        short(&ended.stderr)
    );
    assert_eq!(ended.code, Some(code), "{story}");
    assert!(length > 0, "no output: {story}");
    assert!(length < WORDS_MAX, "{length} bytes of output: {story}");
    for word in ["panicked", "a bug", "stack overflow", "RUST_BACKTRACE"] {
        assert!(!ended.stderr.contains(word), "{story}");
    }
}

#[test]
fn sources() {
    let Base { project, .. } = base();
    let root = project.root();
    let commands: [&[&str]; 5] = [
        &["lint"],
        &["build"],
        &["plan"],
        &["route", "GET", "/a"],
        &["apply", "--key", "keys/release.pem", "--yes"],
    ];
    for file in ["gateway.yaml", "openapi.yaml", "overlay.yaml"] {
        let good = project.read(file);
        for bad in contents() {
            project.write(file, &bad.bytes);
            for command in commands {
                // All commands read files by the same code, so test large contents with `lint`
                // only.
                if bad.bytes.len() > 1 << 20 && command[0] != "lint" && !prerequisite::is_full() {
                    continue;
                }
                let what = format!("{} in {file}", bad.name);
                assert_short_error(&bounded(root, command), bad.as_source, &what);
            }
        }
        std::fs::remove_file(project.path(file)).expect("the file was there");
        for command in commands {
            assert_short_error(&bounded(root, command), INPUT, &format!("no {file}"));
        }
        std::fs::create_dir(project.path(file)).expect("a folder");
        assert_short_error(
            &bounded(root, &["lint"]),
            INPUT,
            &format!("{file} is a folder"),
        );
        std::fs::remove_dir(project.path(file)).expect("a folder");
        project.write(file, good);
    }
    bounded(root, &["lint"]).succeeds();
}

#[test]
fn a_document_without_a_project() {
    for bad in contents() {
        let project = Project::new();
        project.write("one.yaml", &bad.bytes);
        let ended = bounded(project.root(), &["lint", "one.yaml"]);
        assert_short_error(&ended, bad.as_source, bad.name);
        // `gwc init` accepts an API document with mistakes, but rejects a file that is not an API
        // document.
        let ended = bounded(project.root(), &["init", "new", "--from", "one.yaml"]);
        let begun = project.path("new/gateway.yaml").exists();
        assert_short_error(&ended, if begun { FINDINGS } else { INPUT }, bad.name);
    }
    let project = Project::new();
    let ended = bounded(project.root(), &["lint", "nowhere.yaml"]);
    assert_short_error(&ended, INPUT, "no such document");
}

#[test]
fn references_that_go_round() {
    let project = Project::new();
    let head = "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\n";
    let loops = [
        "paths: {/a: {$ref: \"#/paths/~1b\"}, /b: {$ref: \"#/paths/~1a\"}}\n",
        "paths: {/a: {get: {parameters: [{$ref: \"#/components/parameters/P\"}], responses: {}}}}\n\
         components: {parameters: {P: {$ref: \"#/components/parameters/P\"}}}\n",
        "paths: {/a: {$ref: \"other.yaml#/x\"}}\n",
        "paths: {/a: {get: {responses: {200: {description: d, content: {a/b: {schema: {$ref: \"#/components/schemas/S\"}}}}}}}}\n\
         components: {schemas: {S: {$ref: \"#/components/schemas/T\"}, T: {$ref: \"#/components/schemas/S\"}}}\n",
    ];
    project.write("other.yaml", "x: {$ref: \"one.yaml#/paths/~1a\"}\n");
    for text in loops {
        project.write("one.yaml", format!("{head}{text}"));
        let ended = bounded(project.root(), &["lint", "one.yaml"]);
        assert_short_error(&ended, FINDINGS, text);
        assert!(ended.stdout.contains("reference-cycle"), "{ended}");
    }
    // A recursive schema is valid, so gwc must accept it.
    project.write(
        "one.yaml",
        format!(
            "{head}paths: {{}}\ncomponents: {{schemas: {{S: {{type: object, properties: \
             {{s: {{$ref: \"#/components/schemas/S\"}}}}}}}}}}\n"
        ),
    );
    let ended = bounded(project.root(), &["lint", "one.yaml"]);
    assert!(!ended.stdout.contains("reference-cycle"), "{ended}");
}

/// 24 paths of one segment with six parameters. Many strings match several of these paths.
fn paths_of_six_parameters(suffix: &str) -> String {
    let mut text = String::from("openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths:\n");
    for number in 0..24 {
        let literal = |at: u32| (number * 7 + 3) * (at + 11) * 31;
        let mut path = String::from("/{a}");
        let mut parameters = String::new();
        for (at, name) in (0..).zip(["a", "b", "c", "d", "e", "f"]) {
            if at > 0 {
                path.push_str(&format!("{:b}{{{name}}}", literal(at) % 512));
            }
            parameters.push_str(&format!(
                "{{name: {name}, in: path, required: true, schema: {{type: string}}}}, "
            ));
        }
        text.push_str(&format!(
            "  \"{path}\": {{parameters: [{parameters}], get: {{operationId: o{number}{suffix}, \
             responses: {{default: {{description: d}}}}}}}}\n"
        ));
    }
    text
}

#[test]
fn paths_of_many_parameters_are_one_line() {
    let projects = [Project::new(), Project::new()];
    for (project, suffix) in projects.iter().zip(["", "x"]) {
        project.write(
            "gateway.yaml",
            "version: 1\nname: s\napis: {s: {path: openapi.yaml}}\n\
             upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\n\
             defaults: {upstream: u, security: upstream}\n\
             environments: {one: {}, two: {}, three: {}}\n",
        );
        project.write("openapi.yaml", paths_of_six_parameters(suffix));
    }
    let [old, new] = projects.each_ref().map(|project| project.root());
    let linted = bounded(new, &["lint"]);
    assert_eq!(linted.code, Some(0), "{linted}");
    let old = old.to_str().expect("a path");
    let planned = bounded(new, &["plan", "--against", old]);
    assert_eq!(planned.code, Some(0), "{planned}");
    let line = "! incomparable paths of listener public";
    assert!(planned.stdout.contains(line), "{planned}");
}

/// Items of a list or map in a file, with a different text for each side.
fn listed(count: usize, item: impl Fn(usize) -> String) -> String {
    (0..count).map(item).collect::<Vec<_>>().join(", ")
}

/// Files with thousands of items in one setting: the value of `apis`, the value of `policies` and
/// the settings of the operation. `side` is part of the names.
fn with_many_items(side: &str) -> [(&'static str, [String; 3]); 6] {
    let api = || "{path: openapi.yaml}".to_owned();
    let policy = |policy: &str| {
        let policies = format!("{{p: {{{policy}}}}}");
        [api(), policies, "policies: [p]".to_owned()]
    };
    let name = |at: usize| format!("{side}{at}");
    let shares = listed(3_500, |at| {
        let when = format!("{{headers: {{x-{side}: {{exact: v{at}}}}}}}");
        format!("{{upstream: u, weight: 0, when: {when}}}")
    });
    let split = format!("kind: split, among: [{{upstream: u}}, {shares}]");
    let mounts = listed(750, |at| {
        format!("{{name: m{at}, hosts: [\"a.{side}{at}.example\"]}}")
    });
    let mounts = format!("{{path: openapi.yaml, mounts: [{mounts}]}}");
    let fields = listed(8_000, name);
    let asked = format!("kind: forward_auth, url: \"http://a/\", request_headers: [{fields}]");
    let claims = listed(9_000, |at| format!("{}: [a]", name(at)));
    let claims = format!("kind: authorize, claims: {{{claims}}}");
    let set = listed(12_000, |at| format!("{}: a", name(at)));
    let removed = listed(12_000, |at| format!("r{}", name(at)));
    let rewrite = format!("rewrite: {{query: {{set: {{{set}}}, remove: [{removed}]}}}}");
    let conditions = listed(16_000, |at| format!("x-{}: {{exact: a}}", name(at)));
    let selected = format!("match: {{headers: {{{conditions}}}}}");
    [
        ("split", policy(&split)),
        (
            "mounts",
            [mounts, "{}".to_owned(), "policies: []".to_owned()],
        ),
        ("forward_auth", policy(&asked)),
        ("authorize", policy(&claims)),
        ("rewrite", [api(), "{}".to_owned(), rewrite]),
        ("match", [api(), "{}".to_owned(), selected]),
    ]
}

/// Files with many policies at one operation, as [`with_many_items`].
fn with_many_policies(side: &str) -> [(&'static str, [String; 3]); 4] {
    let chain = |count: usize, prefix: &str, policy: &dyn Fn(usize) -> String| {
        let policies = listed(count, |at| format!("{prefix}{at}: {{{}}}", policy(at)));
        let names = listed(count, |at| format!("{prefix}{at}"));
        [
            "{path: openapi.yaml}".to_owned(),
            format!("{{{policies}}}"),
            format!("policies: [{names}]"),
        ]
    };
    let expression = |at: usize| {
        format!("kind: authorize, expression: 'request.headers[\"x-{side}{at}\"] == \"a\"'")
    };
    let rate = if side == "b" { 5 } else { 6 };
    let limit = |at: usize| format!("kind: rate_limit, limit: {}/s, key: address", rate + at);
    let renamed = |_: usize| "kind: rate_limit, limit: 5/s, key: address".to_owned();
    let field = |at: usize| format!("kind: headers, request: {{set: {{x-{side}{at}: a}}}}");
    [
        ("expressions", chain(80, side, &expression)),
        ("fields", chain(900, side, &field)),
        ("limits", chain(600, "p", &limit)),
        ("renamed limits", chain(600, side, &renamed)),
    ]
}

/// Comparisons of each item with all items would take minutes, or gigabytes.
#[test]
fn plans_of_thousands_of_items_end() {
    let project = Project::new();
    let old = Project::new();
    let write = |project: &Project, [apis, policies, settings]: &[String; 3]| {
        project.write(
            "gateway.yaml",
            format!(
                "version: 1\nname: s\napis: {{s: {apis}}}\npolicies: {policies}\n\
                 upstreams: {{u: {{targets: {{a: {{url: \"http://127.0.0.1:9000\"}}}}}}}}\n\
                 defaults: {{upstream: u}}\n"
            ),
        );
        project.write(
            "openapi.yaml",
            format!(
                "openapi: 3.1.0\ninfo: {{title: t, version: \"1\"}}\npaths: {{/a: {{get: \
                 {{operationId: a, x-gateway: {{public: true, {settings}}}, responses: {{}}}}}}}}\n"
            ),
        );
    };
    let against = old.root().to_str().expect("a path").to_owned();
    let files = |side: &str| {
        let items = with_many_items(side).into_iter();
        items.chain(with_many_policies(side))
    };
    for ((name, was), (_, is)) in files("b").zip(files("c")) {
        write(&old, &was);
        write(&project, &is);
        let planned = bounded(project.root(), &["plan", "--against", &against]);
        assert_eq!(planned.code, Some(0), "{name}: {}", planned.stderr);
        assert!(!planned.stdout.contains("No changes"), "{name}: {planned}");
    }
}

/// Files of projects with thousands of details of one operation or test: the end of gateway.yaml,
/// the end of openapi.yaml and the file of tests.
fn with_many_details(side: &str) -> [(&'static str, [String; 3]); 3] {
    let operation =
        |settings: &str| format!("paths: {{/a: {{get: {{operationId: a, {settings}}}}}}}\n");
    let claims = listed(900, |at| format!("{side}{at}: X-{side}{at}"));
    let secured = operation("security: [{o: [read]}], responses: {}");
    let secured = format!(
        "{secured}components: {{securitySchemes: {{o: {{type: oauth2, flows: {{clientCredentials: \
         {{tokenUrl: \"https://i.example/t\", scopes: {{read: x}}}}}}, x-gateway: {{auth: j, \
         claims_to_headers: {{{claims}}}}}}}}}}}\n"
    );
    let jwt = "auth: {j: {kind: jwt, issuer: \"https://i.example\", audience: [a], \
               algorithms: [RS256]}}\n";
    let types = listed(2_200, |at| {
        format!("\"application/{side}{at}+json\": {{schema: {{type: object}}}}")
    });
    let validated = operation(&format!(
        "x-gateway: {{public: true, validate: {{response: block}}}}, \
         responses: {{\"200\": {{description: ok, content: {{{types}}}}}}}"
    ));
    let fields = listed(6_500, |at| format!("{side}{at}: x"));
    let test = format!(
        "- {{name: a, request: GET /, headers: {{{fields}}}, expect: {{decision: none, \
         response: {{headers: {{{fields}}}}}}}}}\n"
    );
    let public = operation("x-gateway: {public: true}, responses: {}");
    let none = String::new;
    [
        ("claims", [jwt.to_owned(), secured, none()]),
        ("media types", [none(), validated, none()]),
        ("tests", ["tests: [t.yaml]\n".to_owned(), public, test]),
    ]
}

#[test]
fn plans_of_thousands_of_details_end() {
    let project = Project::new();
    let old = Project::new();
    let write = |project: &Project, [gateway, document, tests]: &[String; 3]| {
        project.write(
            "gateway.yaml",
            format!(
                "version: 1\nname: s\napis: {{s: {{path: openapi.yaml}}}}\n\
                 upstreams: {{u: {{targets: {{a: {{url: \"http://127.0.0.1:9000\"}}}}}}}}\n\
                 defaults: {{upstream: u}}\n{gateway}"
            ),
        );
        let start = "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\n";
        project.write("openapi.yaml", format!("{start}{document}"));
        project.write("t.yaml", tests);
    };
    let against = old.root().to_str().expect("a path").to_owned();
    for ((name, was), (_, is)) in with_many_details("b")
        .into_iter()
        .zip(with_many_details("c"))
    {
        write(&old, &was);
        write(&project, &is);
        let planned = bounded(project.root(), &["plan", "--against", &against]);
        assert!(matches!(planned.code, Some(0 | 1)), "{name}: {planned}");
        // A test whose fields have other names is neither removed nor weaker.
        let is_unchanged = planned.stdout.contains("No changes");
        assert_eq!(is_unchanged, name == "tests", "{name}: {planned}");
    }
}

#[test]
fn what_a_release_is_made_of() {
    let Base { project, bundle } = base();
    let root = project.root();
    let key = ["--key", "keys/release.pem"];
    let id = bundle.as_str();
    let head = "releases/channels/prod/00000000000000000001";
    // Each row contains the file, the arguments, the exit code for invalid content, and the exit
    // code if the file is missing.
    let commands: [(&str, &[&str], i32, Option<i32>); 16] = [
        (
            "plan.json",
            &["apply", "plan.json", key[0], key[1], "--yes"],
            INPUT,
            Some(INPUT),
        ),
        ("trust.json", &["verify", id], INPUT, Some(INPUT)),
        ("trust.json", &["trust", "floor"], INPUT, Some(INPUT)),
        (
            "trust.json",
            &["apply", key[0], key[1], "--yes"],
            INPUT,
            None,
        ),
        ("trust.json", &["keygen", "other"], INPUT, None),
        ("trust.json", &["history"], INPUT, None),
        (
            "keys/release.pem",
            &["apply", key[0], key[1], "--yes"],
            INPUT,
            Some(INPUT),
        ),
        (
            "keys/release.pem",
            &["sign", id, key[0], key[1]],
            INPUT,
            Some(INPUT),
        ),
        ("bundle.tar", &["inspect", "bundle.tar"], INPUT, Some(INPUT)),
        ("bundle.tar", &["verify", "bundle.tar"], INPUT, Some(INPUT)),
        (
            "bundle.tar",
            &["plan", "--against", "bundle.tar"],
            INPUT,
            Some(INPUT),
        ),
        (head, &["history"], UNVERIFIED, None),
        (head, &["plan"], UNVERIFIED, None),
        (head, &["status"], UNVERIFIED, None),
        (
            head,
            &["rollback", "--yes", key[0], key[1]],
            UNVERIFIED,
            Some(INPUT),
        ),
        (head, &["apply", "--yes", key[0], key[1]], UNVERIFIED, None),
    ];
    for bad in contents() {
        for (file, command, code, _) in commands {
            let good = project.read(file);
            project.write(file, &bad.bytes);
            let ended = bounded(root, command);
            assert_short_error(&ended, code, &format!("{} in {file}", bad.name));
            project.write(file, good);
        }
    }
    for (file, command, _, missing) in commands {
        let Some(code) = missing else { continue };
        let good = project.read(file);
        std::fs::remove_file(project.path(file)).expect("the file was there");
        assert_short_error(&bounded(root, command), code, &format!("no {file}"));
        project.write(file, good);
    }
    bounded(root, &["verify", id]).succeeds();
}

#[test]
fn invalid_command_lines_are_refused() {
    let Base { project, .. } = base();
    let root = project.root();
    let commands: [(&[&str], i32); 12] = [
        (&["frobnicate"], USAGE),
        (&["lint", "--no-such-option"], USAGE),
        (&["lint", "--rule", "no-such-rule=off"], USAGE),
        (&["explain", "GW9999"], USAGE),
        (&["schema", "nothing"], USAGE),
        (&["inspect", "zzz"], USAGE),
        (&["inspect", "abcdef0123"], INPUT),
        (&["keygen", "../escape"], USAGE),
        (&["route", "GET", "http://[/"], USAGE),
        (&["plan", "--against", "nowhere.tar"], INPUT),
        (&["--project", "nowhere", "lint"], INPUT),
        (
            &["rollback", "-99", "--yes", "--key", "keys/release.pem"],
            INPUT,
        ),
    ];
    for (command, code) in commands {
        assert_short_error(&bounded(root, command), code, "on the command line");
    }
}

/// Files are larger than the maximum of 64 MiB. They are sparse, so that they need no disk space.
#[test]
fn files_beyond_every_limit() {
    let Base { project, .. } = base();
    let root = project.root();
    for (file, command) in [
        ("openapi.yaml", &["lint", "openapi.yaml"][..]),
        ("overlay.yaml", &["lint"]),
        ("openapi.yaml", &["build"]),
        ("gateway.yaml", &["lint"]),
        (
            "gateway.yaml",
            &["apply", "--yes", "--key", "keys/release.pem"],
        ),
        ("trust.json", &["history"]),
        (
            "plan.json",
            &["apply", "plan.json", "--yes", "--key", "keys/release.pem"],
        ),
        (
            "keys/release.pem",
            &["apply", "--yes", "--key", "keys/release.pem"],
        ),
        ("bundle.tar", &["inspect", "bundle.tar"]),
        ("bundle.tar", &["plan", "--against", "bundle.tar"]),
    ] {
        let good = project.read(file);
        std::fs::File::options()
            .write(true)
            .open(project.path(file))
            .and_then(|file| file.set_len(1 << 30))
            .expect("files may have holes");
        assert_short_error(&bounded(root, command), INPUT, &format!("1 GiB of {file}"));
        project.write(file, good);
    }
}

/// A failure of a command with `--format json` is also reported as a JSON document.
#[test]
fn failures_as_json() {
    let Base { project, .. } = base();
    project.write("gateway.yaml", b"\xff\xfe");
    for command in [
        &["build", "--format", "json"][..],
        &["plan", "--format=json"],
    ] {
        let ended = bounded(project.root(), command);
        let document = ended.exits(INPUT).json();
        assert_eq!(document["result"], "error");
        assert_eq!(document["error"]["exit"], INPUT);
        assert!(document["error"]["message"].is_string(), "{document:#}");
    }
    let lint = bounded(project.root(), &["lint", "--format", "json"]);
    let report = lint.exits(INPUT).json();
    assert_eq!(report["schema"], "lint/v1");
    assert_eq!(report["findings"][0]["file"], "gateway.yaml");
    assert_eq!(report["findings"][0]["line"], 1);
}
