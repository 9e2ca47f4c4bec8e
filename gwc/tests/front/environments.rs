//! Tests of environments: patches, variables, APIs that exist in a single environment, and source
//! locations in messages.

use std::collections::BTreeMap;

use bundle::ir;
use model::compile::{self, Compiled};
use sources::project::files::Files;
use sources::syntax::Limits;

const DOCUMENT: &str = "openapi: 3.0.3
info: {title: t, version: \"1\"}
x-gateway: {defaults: {timeout: \"${var:WAIT}\"}}
paths:
  /a: {get: {operationId: a, responses: {'200': {description: ok}}}}
";

const GATEWAY: &str = "version: 1
name: shop
apis: {api: {path: api.yaml}}
upstreams:
  near: {targets: {a: {url: \"${var:NEAR}\"}}}
  far: {targets: {a: {url: \"http://127.0.0.1:9001\"}}}
defaults: {upstream: near, security: upstream, max_body: 1MiB}
release: {channel: staging}
environments:
  test: {vars: {NEAR: \"http://127.0.0.1:9000\", WAIT: 2s}}
  prod:
    patch: prod.yaml
    vars: {NEAR: \"http://127.0.0.1:9002\", WAIT: 4s}
    release: {channel: live}
";

const PATCH: &str = "# What is bigger there.
defaults: {max_body: 2MiB, upstream: far}
upstreams: {far: {targets: {a: null, b: {url: \"http://127.0.0.1:9003\"}}}}
";

fn project(gateway: &str, patch: &str, environment: Option<&str>) -> Compiled {
    let files = [
        ("gateway.yaml", gateway),
        ("api.yaml", DOCUMENT),
        ("prod.yaml", patch),
    ];
    let files = Files::in_memory(files, Limits::default());
    compile::project_in(files, &Vec::new(), environment).expect("it is known")
}

/// Findings of level warning or above, as lines with location and name.
fn lines(compiled: &Compiled) -> Vec<String> {
    let sources = &compiled.files.sources;
    let line = |finding: &diag::Diagnostic| {
        let at = sources.position(finding.span);
        let file = sources.file(finding.span.file).path();
        let related: Vec<String> = finding
            .related
            .iter()
            .map(|(span, _)| format!(" < {}", sources.text(*span)))
            .collect();
        format!(
            "{file}:{}:{} {}{}",
            at.line,
            at.column,
            finding.lint.name,
            related.concat()
        )
    };
    let findings = compiled.findings.iter();
    findings
        .filter(|finding| finding.level > diag::Level::Info)
        .map(line)
        .collect()
}

#[track_caller]
fn lowered(compiled: &Compiled) -> &ir::Gateway {
    let lines = lines(compiled);
    &compiled
        .lowered
        .as_ref()
        .unwrap_or_else(|| panic!("{lines:#?}"))
        .gateway
}

/// Settings of the only operation: upstream, URL of the upstream's only target, timeout in
/// milliseconds, body limit in bytes.
#[track_caller]
fn treatment(compiled: &Compiled) -> (String, String, u64, Option<u64>) {
    let gateway = lowered(compiled);
    let api = gateway.apis.get("api").expect("it is there");
    let treatment = &api.treatments[0];
    let upstream = gateway.shared.upstreams.get(&treatment.upstream).unwrap();
    let targets: Vec<String> = upstream
        .targets
        .iter()
        .map(|target| format!("{}={}:{}", target.name, target.host, target.port))
        .collect();
    (
        treatment.upstream.clone(),
        targets.concat(),
        treatment.timeout_ms,
        treatment.max_body_bytes,
    )
}

#[test]
fn each_environment_has_its_values_and_its_channel() {
    let test = project(GATEWAY, PATCH, Some("test"));
    assert_eq!(
        treatment(&test),
        (
            "near".into(),
            "a=127.0.0.1:9000".into(),
            2000,
            Some(1 << 20)
        )
    );
    assert_eq!(test.model.as_ref().unwrap().settings.channel, "staging");
    let prod = project(GATEWAY, PATCH, Some("prod"));
    assert_eq!(
        treatment(&prod),
        ("far".into(), "b=127.0.0.1:9003".into(), 4000, Some(2 << 20))
    );
    assert_eq!(prod.model.as_ref().unwrap().settings.channel, "live");
}

#[test]
fn without_an_environment_lint_works_and_build_fails() {
    // `far` counts as used although only one environment uses it.
    let compiled = project(GATEWAY, PATCH, None);
    assert_eq!(lines(&compiled), Vec::<String>::new());
    assert!(compiled.lowered.is_none());
    let (name, span) = compiled.open_variable.clone().expect("one is open");
    assert_eq!(
        (name.as_str(), compiled.files.sources.text(span)),
        ("NEAR", "\"${var:NEAR}\"")
    );
    // Without variables, no environment must be chosen.
    let plain = GATEWAY.replace("\"${var:NEAR}\"", "\"http://127.0.0.1:9000\"");
    let files = [
        (
            "gateway.yaml",
            plain
                .replace("NEAR: \"http://127.0.0.1:9000\", ", "")
                .replace("NEAR: \"http://127.0.0.1:9002\", ", "")
                .replace("WAIT: 2s", "")
                .replace("WAIT: 4s", ""),
        ),
        ("api.yaml", DOCUMENT.replace("\"${var:WAIT}\"", "3s")),
        ("prod.yaml", PATCH.to_owned()),
    ];
    let files = Files::in_memory(files, Limits::default());
    let compiled = compile::project(files, &Vec::new());
    assert_eq!(treatment(&compiled).2, 3000);
}

#[test]
fn a_name_that_no_environment_has_offers_the_nearest() {
    let files = Files::in_memory([("gateway.yaml", GATEWAY)], Limits::default());
    let unknown = compile::project_in(files, &Vec::new(), Some("prd"))
        .err()
        .unwrap();
    assert_eq!(
        unknown.to_string(),
        "there is no environment `prd`; did you mean `prod`?"
    );
}

#[test]
fn wrong_value_is_reported_at_its_origin_and_use() {
    let wrong = GATEWAY.replace("WAIT: 2s", "WAIT: 2");
    let compiled = project(&wrong, PATCH, Some("test"));
    assert_eq!(
        lines(&compiled),
        ["gateway.yaml:10:54 unit-missing < \"${var:WAIT}\""]
    );
    // For the same mistake in a patch, the finding also shows the location of the replaced value.
    let wrong = PATCH.replace("2MiB", "2");
    let expected = "prod.yaml:2:22 unit-missing < 1MiB";
    for environment in [Some("prod"), Some("test"), None] {
        let lines = lines(&project(GATEWAY, &wrong, environment));
        assert!(
            lines.iter().any(|line| line.starts_with(expected)),
            "{environment:?}: {lines:#?}"
        );
    }
}

#[test]
fn mistake_of_another_environment_is_reported_early() {
    let patch = "upstreams: {near: null, far: {targets: {a: {url: \"ftp://127.0.0.1\"}}}}\n";
    let compiled = project(GATEWAY, patch, Some("test"));
    let lines = lines(&compiled);
    // `defaults.upstream` refers to an upstream that the patch removes. The finding names the
    // environment.
    assert_eq!(
        lines,
        [
            "gateway.yaml:6:3 unused-definition",
            "gateway.yaml:7:22 unknown-upstream < near < prod",
            "gateway.yaml:13:12 unused-variable",
            "prod.yaml:1:50 bad-value < \"http://127.0.0.1:9001\" < prod",
        ]
    );
}

#[test]
fn patches_are_json_merge_patches() {
    // RFC 7396, appendix A, the cases about maps: `upstreams` before and after the patch.
    let cases = [
        ("{a: b}", "{a: c}", "{a: c}"),
        ("{a: b}", "{b: c}", "{a: b, b: c}"),
        ("{a: b}", "{a: null}", "{}"),
        ("{a: b, b: c}", "{a: null}", "{b: c}"),
        ("{a: [b]}", "{a: c}", "{a: c}"),
        ("{a: c}", "{a: [b]}", "{a: [b]}"),
        ("{a: {b: c}}", "{a: {b: d, c: null}}", "{a: {b: d}}"),
        ("{a: [{b: c}]}", "{a: [1]}", "{a: [1]}"),
        ("{e: 1}", "{a: 1}", "{e: 1, a: 1}"),
        ("{}", "{a: {bb: {ccc: null}}}", "{a: {bb: {}}}"),
    ];
    for (before, patch, after) in cases {
        let gateway = format!(
            "version: 1\nname: s\nowner: {before}\nenvironments: {{e: {{patch: p.yaml}}}}\n"
        );
        let patch = format!("owner: {patch}\n");
        let expected = format!("x: {after}\n");
        let texts = [
            ("gateway.yaml", gateway.as_str()),
            ("p.yaml", &patch),
            ("after.yaml", &expected),
        ];
        let mut files = Files::in_memory(texts, Limits::default());
        let mut sink = diag::Sink::default();
        let nowhere = diag::Span::start_of(diag::FileId(0));
        let (_, root) = files.load("gateway.yaml", nowhere, &mut sink).unwrap();
        let (_, after) = files.load("after.yaml", nowhere, &mut sink).unwrap();
        let chosen = model::environment::choose(&mut files, root, Some("e"), &mut sink)
            .expect("it is there");
        let plain = |id: diag::NodeId, key: &str| plain(files.tree.at(id).get(key).unwrap());
        assert_eq!(
            plain(chosen.reading.root, "owner"),
            plain(after, "x"),
            "{before} + {patch}"
        );
    }
}

fn plain(node: diag::NodeRef<'_>) -> serde_json::Value {
    if node.is_map() {
        let map: BTreeMap<String, _> = node
            .entries()
            .map(|(entry, value)| (entry.key.to_string(), plain(value)))
            .collect();
        return serde_json::to_value(map).unwrap();
    }
    if node.is_list() {
        return node.items().map(plain).collect();
    }
    node.scalar_text().into()
}

#[test]
fn api_of_one_environment_is_served_there_only() {
    let gateway = "version: 1
name: shop
apis:
  api: {path: api.yaml, mount: {base_path: /x}}
  new: {path: new.yaml, mount: {base_path: /x}, environments: [test]}
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}
defaults: {upstream: u, security: upstream}
environments: {test: {}, prod: {}}
";
    let document = DOCUMENT.replace("\"${var:WAIT}\"", "3s");
    let compiled = |environment, new: &str| {
        let files = [
            ("gateway.yaml", gateway),
            ("api.yaml", &document),
            ("new.yaml", new),
        ];
        let files = Files::in_memory(files, Limits::default());
        compile::project_in(files, &Vec::new(), environment).unwrap()
    };
    // Two APIs have the same path, which is an error only in environments with both APIs.
    let same = compiled(Some("test"), &document);
    assert!(
        lines(&same)
            .iter()
            .any(|line| line.contains(" identical-route < api < ")),
        "{:?}",
        lines(&same)
    );
    for environment in [None, Some("prod")] {
        let one = compiled(environment, &document);
        assert_eq!(lines(&one), Vec::<String>::new());
        let names: Vec<&str> = lowered(&one)
            .apis
            .iter()
            .map(|api| api.name.as_str())
            .collect();
        assert_eq!(names, ["api"]);
    }
    let other = document.replace("/a:", "/b:");
    assert_eq!(lowered(&compiled(Some("test"), &other)).apis.len(), 2);
    // A mistake in an API is reported even without its environment.
    let broken = document.replace("description: ok", "descripton: ok");
    for environment in [None, Some("prod"), Some("test")] {
        let lines = lines(&compiled(environment, &broken));
        assert!(
            lines.iter().any(|line| line.contains("new.yaml:5")),
            "{lines:#?}"
        );
    }
}

#[test]
fn variables_of_a_lone_document_have_no_value() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.yaml");
    std::fs::write(&path, DOCUMENT).unwrap();
    let compiled = compile::compile(&compile::Input::Document(path), compile::Options::default());
    let compiled = compiled.unwrap();
    assert!(!compiled.has_errors(), "{:?}", lines(&compiled));
    assert!(
        !lines(&compiled)
            .iter()
            .any(|line| line.contains("variable") || line.contains("wrong-type")),
        "{:?}",
        lines(&compiled)
    );
}

#[test]
fn globs_add_apis_by_their_stems() {
    let gateway = "version: 1
name: shop
apis: {first: {path: apis/b.yaml, mount: {base_path: /first}}}
apis_glob: [\"apis/*.yaml\", \"more/**/openapi.json\"]
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}
defaults: {upstream: u, security: upstream}
";
    let document = |path: &str| {
        DOCUMENT
            .replace("\"${var:WAIT}\"", "3s")
            .replace("/a:", path)
    };
    let json =
        "{\"openapi\": \"3.0.3\", \"info\": {\"title\": \"t\", \"version\": \"1\"}, \"paths\": {}}";
    let texts = [
        ("gateway.yaml", gateway.to_owned()),
        ("apis/a.yaml", document("/a:")),
        ("apis/b.yaml", document("/b:")),
        ("apis/deep/c.yaml", document("/c:")),
        ("apis/notes.txt", "nothing".to_owned()),
        ("more/x/y/openapi.json", json.to_owned()),
    ];
    let mut names = Vec::new();
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in &texts {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    for files in [
        Files::in_memory(texts, Limits::default()),
        Files::open(folder.path(), Limits::default()).unwrap(),
    ] {
        let compiled = compile::project(files, &Vec::new());
        let apis = lowered(&compiled).apis.iter();
        names.push(apis.map(|api| api.name.clone()).collect::<Vec<_>>());
    }
    assert_eq!(
        names,
        [["a", "first", "openapi"], ["a", "first", "openapi"]]
    );
}

#[test]
fn consumers_in_their_own_file_count_like_others() {
    const A: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let gateway = format!(
        "version: 1\nname: shop\nconsumers: {{own: {{keys: [{{sha256: {A}}}]}}}}\nconsumers_file: who.yaml\n"
    );
    let compiled = |who: &str| {
        let files = [("gateway.yaml", gateway.as_str()), ("who.yaml", who)];
        compile::project(Files::in_memory(files, Limits::default()), &Vec::new())
    };
    let other = A.replace("9f", "8e");
    let fine = compiled(&format!("acme: {{keys: [{{sha256: {other}}}]}}\n"));
    assert_eq!(lines(&fine), Vec::<String>::new());
    let names = lowered(&fine).shared.consumers.iter();
    assert_eq!(
        names.map(|it| it.name.as_str()).collect::<Vec<_>>(),
        ["acme", "own"]
    );
    let twice = compiled(&format!("acme: {{keys: [{{sha256: {A}}}]}}\n"));
    assert_eq!(
        lines(&twice),
        [format!("who.yaml:1:24 credential-twice < {A}")]
    );
    let wrong = compiled("acme: {kys: []}\n");
    assert_eq!(lines(&wrong), ["who.yaml:1:8 unknown-key"]);
}

#[test]
fn plain_lint_finds_mistakes_of_one_environment() {
    // `prod` removes a policy that the document uses. It also sets a variable of the document to a
    // value without a unit.
    let document = DOCUMENT.replace(
        "{get: {operationId",
        "{get: {x-gateway: {policies: [slow]}, operationId",
    );
    let gateway = GATEWAY
        .replace(
            "defaults:",
            "policies: {slow: {kind: rate_limit, limit: 1/s, burst: 1, key: route}}\ndefaults:",
        )
        .replace("WAIT: 4s", "WAIT: 4");
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("gateway.yaml", gateway.as_str()),
        ("api.yaml", &document),
        ("prod.yaml", "policies: {slow: null}\n"),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let input = compile::Input::Project(folder.path().to_owned());
    let compiled = |environment| {
        let options = compile::Options {
            environment,
            ..compile::Options::default()
        };
        lines(&compile::compile(&input, options).unwrap())
    };
    assert!(
        !compiled(None)
            .iter()
            .any(|line| line.contains("unknown-policy"))
    );
    assert!(
        compiled(Some("prod"))
            .iter()
            .any(|line| line.contains("unknown-policy"))
    );
    let everywhere = compile::everywhere(&input, &compile::Options::default()).unwrap();
    let everywhere = lines(&everywhere);
    let has = |text: &str| {
        everywhere
            .iter()
            .any(|line| line.starts_with(text) && line.ends_with("< prod"))
    };
    assert!(has("api.yaml:5:"), "{everywhere:#?}");
    assert!(
        has("gateway.yaml:14:49 unit-missing < \"${var:WAIT}\""),
        "{everywhere:#?}"
    );
    // Each finding is reported once, although several environments were checked.
    let unique: std::collections::BTreeSet<&String> = everywhere.iter().collect();
    assert_eq!(unique.len(), everywhere.len(), "{everywhere:#?}");
}

#[test]
fn wrong_variable_syntax_gets_a_suggestion() {
    for wrong in ["${WAIT}", "${var.WAIT}", "$WAIT", "${env:WAIT}"] {
        let text = DOCUMENT.replace("${var:WAIT}", wrong);
        let files = [
            ("gateway.yaml", GATEWAY),
            ("api.yaml", &text),
            ("prod.yaml", PATCH),
        ];
        let compiled = compile::project(Files::in_memory(files, Limits::default()), &Vec::new());
        let finding = compiled
            .findings
            .iter()
            .find(|finding| finding.lint.name == "bad-value");
        let help = finding
            .and_then(|finding| finding.help.clone())
            .unwrap_or_default();
        assert!(
            help.contains("`${var:NAME}`"),
            "{wrong}: {:?}",
            lines(&compiled)
        );
    }
    // An undefined variable is reported once, without a second finding about an invalid value.
    let text = GATEWAY.replace("\"${var:NEAR}\"", "\"http://${var:NEAR}\"");
    let names: Vec<String> = lines(&project(&text, "{}", None));
    let errors: Vec<&String> = names
        .iter()
        .filter(|line| !line.contains("unused-"))
        .collect();
    assert_eq!(errors.len(), 1, "{names:#?}");
    assert!(errors[0].contains("variable-inside-text"), "{names:#?}");
}

#[test]
fn glob_skips_removed_files_and_files_of_other_kinds() {
    let gateway = "version: 1
name: shop
apis: {a: {path: apis/a.yaml, overlays: [apis/a.gw.yaml], mount: {base_path: /a}}}
apis_glob: [\"apis/**/*.yaml\", \"!apis/old/*\"]
consumers_file: apis/who.yaml
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}
defaults: {upstream: u, security: upstream}
";
    let document = DOCUMENT.replace("\"${var:WAIT}\"", "3s");
    let overlay = "overlay: 1.0.0\ninfo: {title: o, version: \"1\"}\nactions: [{target: $.info, update: {title: x}}]\n";
    let files = [
        ("gateway.yaml", gateway),
        ("apis/a.yaml", &document),
        ("apis/a.gw.yaml", overlay),
        ("apis/b.yaml", &document),
        ("apis/old/c.yaml", &document),
        ("apis/who.yaml", "acme: {keys: []}\n"),
    ];
    let compiled = compile::project(Files::in_memory(files, Limits::default()), &Vec::new());
    let names = lowered(&compiled).apis.iter();
    assert_eq!(
        names.map(|api| api.name.as_str()).collect::<Vec<_>>(),
        ["a", "b"]
    );
}

#[test]
fn consumers_file_with_a_top_level_key_gets_help() {
    let files = [
        (
            "gateway.yaml",
            "version: 1\nname: s\nconsumers_file: who.yaml\n",
        ),
        ("who.yaml", "consumers:\n  acme: {keys: []}\n"),
    ];
    let compiled = compile::project(Files::in_memory(files, Limits::default()), &Vec::new());
    assert_eq!(lines(&compiled), ["who.yaml:1:1 bad-value"]);
    assert!(
        compiled.findings[0]
            .help
            .as_ref()
            .unwrap()
            .contains("remove the line")
    );
}

#[test]
fn mistake_made_by_a_patch_is_at_its_line() {
    let gateway = GATEWAY.replace(
        "defaults:",
        "policies: {two: {kind: timeout, request: 1s}, three: {kind: respond, status: 204}}\ndefaults: {policies: [two, three], ",
    );
    let gateway = gateway.replace("policies: [two, three],  {", "policies: [two, three], ");
    let patch = "policies: {two: {kind: respond, status: 200}, three: null}\n";
    let compiled = project(&gateway, patch, Some("test"));
    let lines = lines(&compiled);
    let has = |text: &str, end: &str| {
        lines
            .iter()
            .any(|line| line.contains(text) && line.contains(end))
    };
    assert!(has("gateway.yaml:7:", "unknown-key < two"), "{lines:#?}");
    assert!(has("unknown-policy", "< three"), "{lines:#?}");
}

#[test]
fn requirement_applies_only_in_its_environment() {
    let gateway = "version: 1
name: shop
apis:
  api: {path: api.yaml, environments: [test]}
  live: {path: live.yaml, environments: [prod]}
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}
required: {allow_public: [\"api/*\"]}
defaults: {upstream: u, security: upstream}
environments: {test: {}, prod: {patch: prod.yaml}}
";
    let document = DOCUMENT.replace("\"${var:WAIT}\"", "3s");
    let closed = document.replace("paths:", "security: [{key: []}]\ncomponents: {securitySchemes: {key: {type: apiKey, in: header, name: K}}}\npaths:");
    let compiled = |environment| {
        let files = [
            ("gateway.yaml", gateway),
            ("api.yaml", &document),
            ("live.yaml", &closed),
            ("prod.yaml", "required: {allow_public: []}\n"),
        ];
        compile::project_in(
            Files::in_memory(files, Limits::default()),
            &Vec::new(),
            environment,
        )
        .unwrap()
    };
    for (environment, name) in [(Some("test"), "api"), (Some("prod"), "live")] {
        let one = compiled(environment);
        let apis: Vec<&str> = lowered(&one)
            .apis
            .iter()
            .map(|api| api.name.as_str())
            .collect();
        assert_eq!(apis, [name]);
    }
    assert_eq!(lines(&compiled(None)), Vec::<String>::new());
}
