//! `gwc lint`, tested through the command line.

use crate::project::{Project, command, run};

#[test]
fn misspelt_key_of_a_lone_document_is_found() {
    let linted = |root: &str, path: &str, operation: &str| {
        let project = Project::empty();
        project.write(
            "openapi.yaml",
            format!(
                "{{openapi: 3.1.0, x-gateway: {{{root}}}, info: {{title: t, version: '1'}}, paths: {{/a: {{x-gateway: {{{path}}}, \
                 get: {{x-gateway: {{{operation}}}, responses: {{'200': {{description: ok}}}}}}}}}}}}\n"
            ),
        );
        project.run(&["lint", "openapi.yaml"]).out
    };
    assert!(!linted("", "", "").contains("unknown-key"));
    for (root, path, operation, meant) in [
        ("defualts: {}", "", "", "defaults"),
        ("defaults: {timeuot: 5s}", "", "", "timeout"),
        ("", "trailing_slahs: ignore", "", "trailing_slash"),
        ("", "", "timeuot: 5s", "timeout"),
        ("", "", "retries: {atempts: 2}", "attempts"),
    ] {
        let out = linted(root, path, operation);
        assert!(out.contains("unknown-key"), "{meant}: {out}");
        assert!(out.contains(&format!("`{meant}`")), "{meant}: {out}");
    }
}

#[test]
fn several_formats_in_one_run() {
    let project = Project::bare();
    project.edit(
        "orders.yaml",
        "operationId: getOrder",
        "operationId: listOrders",
    );
    let formats = [
        "human",
        "concise",
        "json",
        "jsonl",
        "sarif",
        "github",
        "gitlab",
        "junit",
        "checkstyle",
    ];
    let outputs: Vec<String> = formats
        .iter()
        .map(|format| format!("--output={format}=report.{format}"))
        .collect();
    let mut arguments = vec!["lint", "--format", "concise"];
    arguments.extend(outputs.iter().map(String::as_str));
    let ended = project.run(&arguments).with(1);
    assert!(
        ended.out.starts_with("orders.yaml:9:24: error[GW0320]: "),
        "{}",
        ended.out
    );
    assert_eq!(project.read("report.concise"), ended.out);
    for format in formats {
        let text = project.read(&format!("report.{format}"));
        assert!(
            text.contains("GW0320") || text.contains("duplicate-operation-id"),
            "{format}: {text}"
        );
    }
    let left: Vec<_> = std::fs::read_dir(project.path())
        .expect("a folder")
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .filter(|name| name.starts_with('.'))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn an_output_that_cannot_be_written_is_named() {
    let project = Project::bare();
    project
        .run(&["lint", "--output", "json=missing/report.json"])
        .with(65)
        .contains("cannot write `missing/report.json`");
    project
        .run(&["lint", "--output", "yaml=report"])
        .with(64)
        .contains("`yaml` is not a format");
    project
        .run(&["lint", "--output", "json"])
        .with(64)
        .contains("FORMAT=FILE");
    project
        .run(&["lint", "--format", "yaml"])
        .with(64)
        .contains("checkstyle");
}

#[test]
fn formats_show_paths_from_the_working_folder() {
    let project = Project::bare();
    std::fs::create_dir(project.file("apis")).expect("a folder");
    project.write(
        "apis/a.yaml",
        "openapi: 3.0.3\ninfo: {title: t}\npaths: {}\n",
    );
    let ended = project
        .run(&["lint", "apis/a.yaml", "--format", "github"])
        .with(1);
    assert!(
        ended.out.starts_with("::error file=apis/a.yaml,line=2,"),
        "{}",
        ended.out
    );
    for (format, start) in [
        ("concise", "apis/a.yaml:2:1: "),
        ("human", "error[GW0303] missing-field"),
    ] {
        let ended = project
            .run(&["lint", "apis/a.yaml", "--format", format])
            .with(1);
        assert!(ended.out.starts_with(start), "{}", ended.out);
        assert!(ended.out.contains("apis/a.yaml:2:1"), "{}", ended.out);
    }
    let json = project.run(&["lint", "apis/a.yaml", "--format", "json"]);
    let json = json.with(1).json("lint/v1");
    assert_eq!(json["findings"][0]["file"], "apis/a.yaml");
    // Run from the folder above and from a folder inside the project.
    let below =
        run(command(&project.file("apis")).args(["lint", "a.yaml", "--format", "concise"])).with(1);
    assert!(below.out.starts_with("a.yaml:2:1: "), "{}", below.out);
    project.edit(
        "orders.yaml",
        "operationId: getOrder",
        "operationId: listOrders",
    );
    let below = run(command(&project.file("apis")).args(["lint", "--format", "concise"])).with(1);
    assert!(
        below.out.starts_with("../orders.yaml:9:24: "),
        "{}",
        below.out
    );
    let below = run(command(&project.file("apis")).args(["build"])).with(1);
    assert!(below.err.contains("../orders.yaml:9:24"), "{}", below.err);
    let both = ["lint", "apis/a.yaml", "orders.yaml", "--format"];
    project.run(&[&both[..], &["jsonl"]].concat()).with(1);
    project.run(&[&both[..], &["sarif"]].concat()).with(64);
}

#[test]
fn a_baseline_is_written_and_read() {
    let project = Project::bare();
    project.edit(
        "orders.yaml",
        "operationId: getOrder",
        "sumary: x, operationId: getOrder",
    );
    project.run(&["lint"]).with(1);
    let written = project
        .run(&["lint", "--write-baseline", "lint-baseline.json"])
        .with(0);
    assert!(!written.out.contains("unknown-field"), "{}", written.out);
    let read = [
        "lint",
        "--baseline",
        "lint-baseline.json",
        "--format",
        "json",
    ];
    let report = project.run(&read).with(0).json("lint/v1");
    assert_eq!(report["counts"]["error"], 0);
    project.edit(
        "orders.yaml",
        "operationId: listOrders",
        "sumary: x, operationId: listOrders",
    );
    project.run(&read).with(1).contains("GW0302");
    project.edit("orders.yaml", "sumary: x, ", "");
    let stale = project.run(&read).with(0).json("lint/v1");
    let stale = stale["findings"].as_array().expect("a list");
    let stale = stale
        .iter()
        .find(|found| found["code"] == "GW0310")
        .expect("it is stale");
    assert_eq!(
        (&stale["file"], &stale["line"]),
        (&"lint-baseline.json".into(), &9.into())
    );
    // With both options, entries of the baseline that match no finding are removed.
    project
        .run(&[
            "lint",
            "--baseline",
            "lint-baseline.json",
            "--write-baseline",
            "lint-baseline.json",
        ])
        .with(0);
    assert!(
        project
            .read("lint-baseline.json")
            .contains("\"findings\": []")
    );
    // Findings show the path of the baseline relative to the working directory, which is not the
    // project here.
    let above = project.path().parent().expect("a folder");
    let name = project
        .path()
        .file_name()
        .expect("a name")
        .to_string_lossy();
    std::fs::create_dir(project.file("kept")).expect("a folder");
    project.write("kept/b.json", project.read("lint-baseline.json").replace("\"findings\": []", "\"findings\": [{\"fingerprint\": \"0\", \"count\": 1, \"code\": \"GW0302\", \"name\": \"unknown-field\", \"file\": \"x\", \"message\": \"\"}]"));
    let github = |project: &str, baseline: &str, folder: &std::path::Path| {
        let arguments = [
            "--project",
            project,
            "lint",
            "--baseline",
            baseline,
            "--format",
            "github",
        ];
        run(command(folder).args(arguments)).with(0).out
    };
    let annotations = github(&name, &format!("{name}/kept/b.json"), above);
    assert!(
        annotations.contains(&format!("file={name}/kept/b.json,")),
        "{annotations}"
    );
    let annotations = github("..", "b.json", &project.file("kept"));
    assert!(
        annotations.contains("file=../kept/b.json,"),
        "{annotations}"
    );
    project
        .run(&["lint", "--baseline", "none.json"])
        .with(65)
        .contains("none.json");
    project.write("broken.json", "{\"schema\": 1");
    project.run(&["lint", "--baseline", "broken.json"]).with(65);
}

/// Output of `gwc lint` does not depend on the seeds of hash maps, which differ in each process.
#[test]
fn twenty_runs_of_lint_have_equal_output() {
    let project = Project::bare();
    let mut text = String::from("openapi: 3.0.3\ninfo: {titel: t}\npaths:\n");
    for index in 0..40 {
        text.push_str(&format!(
            "  /p{index}: {{gte: {{}}, get: {{operationId: same, sumary: x, security: [{{none{index}: []}}], tags: [a, a], \
responses: {{'200': {{$ref: '#/components/responses/R{}'}}}}}}}}\n",
            index % 7
        ));
    }
    text.push_str("components: {responses: {R1: {descripton: x}, R2: {descripton: x}}}\n");
    project.write("orders.yaml", text);
    project.edit(
        "gateway.yaml",
        "policies: {slow:",
        "policies: {a: {kind: cors}, b: {kind: cros}, slow:",
    );
    let run = || project.run(&["lint", "--format", "json"]).with(1).out;
    let first = run();
    assert!(first.lines().count() > 1_000, "{first}");
    for _ in 1..20 {
        assert!(run() == first, "two runs differ");
    }
}

#[test]
fn every_command_of_the_page_runs() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/lint.md");
    let page = std::fs::read_to_string(page).expect("the page is there");
    let blocks = page.split("<!-- run -->\n```sh\n").skip(1);
    let lines = blocks.flat_map(|block| block.split("```").next().unwrap_or_default().lines());
    let commands: Vec<&str> = lines.collect();
    assert!(commands.len() >= 10, "{commands:?}");
    assert_eq!(
        page.matches("```sh").count(),
        page.matches("<!-- run -->").count()
    );
    let project = Project::bare();
    for command in commands {
        let words: Vec<&str> = command.split_whitespace().collect();
        assert_eq!(words[0], "gwc", "{command}");
        project.run(&words[1..]).with(0);
    }
    for written in ["lint.sarif", "lint.xml", "lint-baseline.json"] {
        assert!(!project.read(written).is_empty(), "{written}");
    }
}

#[test]
fn style_rule_reports_only_if_enabled() {
    let project = Project::bare();
    let concise = |more: &[&str]| {
        let ended = project.run(&[&["lint", "--format", "concise"], more].concat());
        ended.with(0).out
    };
    assert!(!concise(&[]).contains("missing-contact"));
    let findings = concise(&["--rule", "missing-contact=info"]);
    assert!(findings.contains("info[GW0700]"), "{findings}");
    project.edit(
        "gateway.yaml",
        "version: 1\n",
        "version: 1\nlint: {missing-contact: warn}\n",
    );
    assert!(concise(&[]).contains("warn[GW0700]"));
    assert!(!concise(&["--rule", "missing-contact=off"]).contains("GW0700"));
    let rules = project.run(&["rules"]).with(0).out;
    assert!(rules.contains("GW0700 off   missing-contact"), "{rules}");
    let page = project.run(&["explain", "missing-contact"]).with(0).out;
    assert!(page.contains("(off by default)"), "{page}");
    assert!(page.contains("--rule missing-contact=warn"), "{page}");
}

#[test]
fn write_baseline_names_findings_it_cannot_contain() {
    let project = Project::bare();
    project.edit("orders.yaml", "[{key: []}]", "[{kay: []}]");
    project
        .run(&["lint", "--write-baseline", "b.json"])
        .with(1)
        .contains("not in the baseline, because they prevent a build: undefined-security-scheme");
    project.edit("orders.yaml", "[{kay: []}]", "[{key: []}]");
    let ended = project.run(&["lint", "--write-baseline", "b.json"]).with(0);
    assert!(!ended.err.contains("not in the baseline"), "{}", ended.err);
}

/// A used upstream has two histograms of 20 series: its calls, and the times in which its
/// connections opened.
#[test]
fn upstreams_have_metric_series_of_their_own() {
    let series = |second: &str| {
        let project = Project::bare();
        let path = |name: &str, upstream: &str| {
            let own = format!("x-gateway: {{upstream: {upstream}, public: true}}");
            format!(
                "  /{name}: {{get: {{operationId: {name}, {own}, responses: {{\"200\": {{description: ok}}}}}}}}\n"
            )
        };
        let paths = path("a", "u") + &path("b", second);
        project.write(
            "orders.yaml",
            format!("openapi: 3.1.0\ninfo: {{title: t, version: '1'}}\npaths:\n{paths}"),
        );
        project.write(
            "gateway.yaml",
            "version: 1\nname: s\napis: {s: {path: orders.yaml}}\ndefaults: {security: upstream}\n\
             upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}, \
             v: {targets: {a: {url: \"http://127.0.0.1:9001\"}}}}\n",
        );
        let linted = project.run(&["lint", "--format", "json"]).with(0);
        let series = linted.json("lint/v1")["metrics"]["series"].clone();
        series.as_u64().expect("a count")
    };
    assert_eq!(series("v"), series("u") + 40);
}

#[test]
fn lint_reports_the_number_of_metric_series() {
    let project = Project::bare();
    let linted = project.run(&["lint"]).with(0);
    assert!(linted.err.contains("metric series"), "{}", linted.err);
    let metrics = |project: &Project| {
        let ended = project.run(&["lint", "--format", "json"]).with(0);
        let metrics = ended.json("lint/v1")["metrics"].clone();
        let count = |key: &str| metrics[key].as_u64().expect("a count");
        (count("routes"), count("series"))
    };
    let (routes, series) = metrics(&project);
    assert!(routes > 0 && series > routes * 20, "{routes} {series}");
    // A second mount doubles the number of routes.
    let text = project.read("gateway.yaml");
    let mounts = "mounts: [{name: a, base_path: /a}, {name: b, base_path: /b}]";
    project.write(
        "gateway.yaml",
        text.replacen(
            "path: orders.yaml",
            &format!("path: orders.yaml, {mounts}"),
            1,
        ),
    );
    let (twice, more) = metrics(&project);
    assert_eq!(twice, 2 * routes);
    assert!(more > series, "{more} {series}");
}

#[test]
fn rules_have_names_codes_and_names_of_other_linters() {
    let project = Project::bare();
    let concise = |rule: &str| project.run(&["lint", "--format", "concise", "--rule", rule]);
    assert!(concise("GW0700=info").with(0).out.contains("info[GW0700]"));
    assert!(concise("gw0700=info").with(0).out.contains("info[GW0700]"));
    concise("operation-tags=warn").with(64).contains(
        "there is no rule `operation-tags`; gwc's name of the rule is `missing-operation-tags`",
    );
    concise("path-params=warn")
        .with(64)
        .contains("gwc's name of the rule is `undeclared-path-parameter`, `unused-path-parameter`");
    concise("oas2-anyOf=warn")
        .with(64)
        .contains("gwc has no such rule: 2.0 is converted to 3.0");
    concise("missing-contakt=warn")
        .with(64)
        .contains("did you mean `missing-contact`?");
    project
        .run(&["explain", "oas3-schema"])
        .with(64)
        .contains("gwc's name of the rule is `unknown-field`, `missing-field`");
    project.edit(
        "gateway.yaml",
        "version: 1\n",
        "version: 1\nlint: {GW0700: warn, operation-tags: warn, GW0501: off}\n",
    );
    let ended = project.run(&["lint", "--format", "concise"]).with(1);
    assert!(ended.out.contains("warn[GW0700]"), "{}", ended.out);
    ended
        .contains("there is no rule `operation-tags`; help: write `missing-operation-tags`")
        .contains("`unknown-policy` cannot be set below an error");
}

#[test]
fn written_baseline_reports_its_number_of_findings() {
    let project = Project::bare();
    project.edit(
        "orders.yaml",
        "operationId: getOrder",
        "sumary: x, operationId: getOrder",
    );
    let written = project.run(&["lint", "--write-baseline", "b.json"]).with(0);
    assert!(
        written.err.contains("recorded 1 finding in b.json"),
        "{}",
        written.err
    );
    assert!(!written.out.contains("no findings"), "{}", written.out);
    project.edit(
        "orders.yaml",
        "operationId: listOrders",
        "sumary: x, operationId: listOrders",
    );
    project
        .run(&["lint", "--write-baseline", "b.json"])
        .with(0)
        .contains("recorded 2 findings in b.json");
}

#[test]
fn report_option_with_two_documents_is_refused() {
    let project = Project::bare();
    let two = ["lint", "orders.yaml", "orders.yaml"];
    for (more, expected) in [
        (&["--format", "sarif"][..], "`--format sarif` takes one"),
        (&["--output", "json=x"], "`--output` takes one"),
        (&["--baseline", "b.json"], "`--baseline` takes one"),
        (
            &["--write-baseline", "b.json"],
            "`--write-baseline` takes one",
        ),
    ] {
        project
            .run(&[&two[..], more].concat())
            .with(64)
            .contains(expected);
    }
    std::fs::create_dir(project.file("specs")).expect("a folder");
    project
        .run(&["lint", "specs"])
        .with(65)
        .contains("there is no gateway.yaml in specs, so it is not a project")
        .contains("`gwc lint specs/openapi.yaml`");
    project
        .run(&["rules", "--project", "."])
        .with(64)
        .contains("reads no project; omit --project");
    project.run(&["rules"]).with(0);
}

#[test]
fn reports_and_baselines_do_not_replace_what_is_read() {
    let project = Project::bare();
    let sources = ["gateway.yaml", "orders.yaml"];
    let before = sources.map(|name| project.read(name));
    project.write("notes.json", "{\"notes\": 1}\n");
    std::fs::create_dir(project.file("sub")).expect("a folder");
    for target in ["gateway.yaml", "orders.yaml", "sub/../orders.yaml"] {
        project
            .run(&["lint", "--write-baseline", target])
            .with(64)
            .contains("which this run reads");
        project
            .run(&["lint", "--output", &format!("json={target}")])
            .with(64)
            .contains("which this run reads");
    }
    project
        .run(&["lint", "orders.yaml", "--output", "json=orders.yaml"])
        .with(64)
        .contains("`--output` would replace `orders.yaml`");
    project
        .run(&["lint", "--write-baseline", "notes.json"])
        .with(64)
        .contains("which is not a baseline");
    assert_eq!(project.read("notes.json"), "{\"notes\": 1}\n");
    assert_eq!(sources.map(|name| project.read(name)), before);
    project
        .run(&["lint", "--output", "json=-"])
        .with(64)
        .contains("`--format json`");
    assert!(!project.file("-").exists());
    // `--write-baseline` may overwrite a baseline, and `--output` may overwrite a report.
    for _ in 0..2 {
        project
            .run(&["lint", "--write-baseline", "set-aside.json"])
            .with(0);
        project
            .run(&["lint", "--output", "json=report.json"])
            .with(0);
    }
    // The baseline itself is an input, so it cannot be overwritten by a report.
    project
        .run(&[
            "lint",
            "--baseline",
            "set-aside.json",
            "--output",
            "json=set-aside.json",
        ])
        .with(64)
        .contains("which this run reads");
}

#[test]
fn an_empty_text_cannot_be_read_in_any_notation() {
    let project = Project::bare();
    for (name, text) in [("a.yaml", ""), ("b.yaml", "# nothing\n"), ("c.json", "")] {
        project.write(name, text);
        project.run(&["lint", name]).with(65);
    }
    project.write("orders.yaml", "");
    project.run(&["lint"]).with(65);
    project.write("gateway.yaml", "");
    project.run(&["lint"]).with(65);
}

#[test]
fn timeout_of_zero_is_refused() {
    let listener = |key: &str, value: &str| {
        format!(
            "listeners: {{public: {{address: \"127.0.0.1:8080\", limits: {{{key}: {value}}}}}}}\n"
        )
    };
    for key in [
        "header_timeout",
        "idle_timeout",
        "body_timeout",
        "stream_idle_timeout",
    ] {
        let project = Project::bare();
        let text = project.read("gateway.yaml");
        project.write("gateway.yaml", text.clone() + &listener(key, "0s"));
        project.run(&["lint"]).with(1).contains("1ms");
        project.write("gateway.yaml", text + &listener(key, "2s"));
        project.run(&["lint"]).with(0);
    }
}

/// Otherwise the requests of an alias go to whatever other path matches them.
#[test]
fn alias_must_be_served_by_the_named_path() {
    let project = Project::bare();
    let document = |paths: &str| {
        format!(
            "openapi: 3.1.0\ninfo: {{title: orders, version: '1'}}\nsecurity: []\npaths:\n{paths}"
        )
    };
    let get = "x-gateway: {public: true}, responses: {'200': {description: fine}}";
    let named = format!("  /users/current: {{get: {{operationId: current, {get}}}}}\n");
    let name = format!(
        "  /users/{{name}}: {{parameters: [{{name: name, in: path, required: true, schema: {{type: \
         string}}}}], get: {{operationId: profile, {get}}}}}\n"
    );
    let alias = |path: &str, of: &str| {
        format!("  {path}: {{x-gateway: {{alias_of: {of:?}}}, get: {{{get}}}}}\n")
    };
    let lint = |paths: &str| {
        project.write("orders.yaml", document(paths));
        project.run(&["lint", "--format", "concise"])
    };
    let me = alias("/users/me", "/users/current");
    let found = lint(&format!("{named}{name}{me}")).with(1);
    found.contains("`/users/current` does not match the requests of `GET orders:/users/me`");
    let fragment = alias("'/users/current#new'", "/users/current");
    lint(&format!("{named}{name}{fragment}")).with(0);
    let named = named.replace(
        "public: true",
        "public: true, match: {headers: {A: {exact: x}}}",
    );
    let found = lint(&format!("{named}{name}{fragment}")).with(1);
    found.contains("has a `match` that");
    // A part of the requests of the named path, unless another path is closer.
    let me = alias("/users/me", "/users/{name}");
    lint(&format!("{name}{me}")).with(0);
    let current = alias("'/users/current#old'", "/users/{name}");
    let found = lint(&format!("{named}{name}{current}")).with(1);
    found.contains("`/users/current` matches requests of");
    let internal = alias("/users/me", "/users/{name}").replace("public", "internal");
    let found = lint(&format!("{name}{internal}")).with(1);
    found.contains("is internal, and");
}
