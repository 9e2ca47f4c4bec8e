//! `gwc lint --fix`.

use crate::project::Project;

/// Document with fixable mistakes in every style of quoting, between comments.
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
fn fix_changes_only_the_mistakes() {
    let project = Project::bare();
    project.write("a.yaml", MESSY);
    project
        .run(&["lint", "a.yaml", "--fix"])
        .with(0)
        .contains("fixed 6 findings in 1 file");
    assert_eq!(project.read("a.yaml"), TIDY);
    project
        .run(&["lint", "a.yaml", "--fix"])
        .with(0)
        .contains("fixed 0 findings in 0 files");
    assert_eq!(project.read("a.yaml"), TIDY);
}

#[test]
fn dry_run_prints_a_patch_and_writes_nothing() {
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
fn fix_of_json_gives_json() {
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
fn fix_makes_no_uncertain_correction() {
    let project = Project::bare();
    // No fix if the correct key exists already, or if two corrections are equally likely: `pet` is
    // as near to `get` as to `put`.
    let text = "openapi: 3.0.3\ninfo: {title: t, version: \"1\", titel: u}\npaths:\n  /a: {pet: {responses: {'200': {description: ok}}}}\n";
    project.write("a.yaml", text);
    project.run(&["lint", "a.yaml", "--fix"]).with(1);
    assert_eq!(project.read("a.yaml"), text);
}

#[test]
fn fix_of_a_project_edits_each_file_of_a_mistake() {
    let project = Project::bare();
    project.edit(
        "gateway.yaml",
        "defaults: {upstream: orders",
        "defaults: {upstreem: orders",
    );
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
    let after = before.replace("upstreem", "upstream");
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
fn silenced_finding_is_not_fixed() {
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

/// Fixable mistakes: rule, document, wrong text and corrected text.
const MENDED: &[(&str, &str, &str, &str)] = &[
    (
        "optional-path-parameter",
        "3.0.3",
        "paths: {}\ncomponents:\n  parameters:\n    P:\n      name: p # its name\n      in: path\n      schema: {type: string}\n",
        "paths: {}\ncomponents:\n  parameters:\n    P:\n      name: p # its name\n      required: true\n      in: path\n      schema: {type: string}\n",
    ),
    (
        "ignored-sibling",
        "3.0.3",
        "paths: {}\ncomponents: {schemas: {A: {type: string}, B: {$ref: '#/components/schemas/A', nullable: true}}} # end\n",
        "paths: {}\ncomponents: {schemas: {A: {type: string}, B: {allOf: [{$ref: '#/components/schemas/A'}], nullable: true}}} # end\n",
    ),
    (
        "ignored-sibling",
        "3.0.3",
        "paths: {}\ncomponents:\n  schemas:\n    A: {type: string}\n    B:\n      description: kept # too\n      $ref: '#/components/schemas/A' # the one\n      nullable: true\n",
        "paths: {}\ncomponents:\n  schemas:\n    A: {type: string}\n    B:\n      description: kept # too\n      allOf: [{$ref: '#/components/schemas/A'}] # the one\n      nullable: true\n",
    ),
    (
        "duplicate-enum-value",
        "3.0.3",
        "paths: {}\ncomponents:\n  schemas:\n    A:\n      enum:\n        - a # the first\n        - b\n        - a\n        # c would be next\n",
        "paths: {}\ncomponents:\n  schemas:\n    A:\n      enum:\n        - a # the first\n        - b\n        # c would be next\n",
    ),
    (
        "duplicate-operation-tag",
        "3.0.3",
        "paths: {/a: {get: {tags: [a, b, b, a], responses: {'200': {description: ok}}}}}\n",
        "paths: {/a: {get: {tags: [a, b], responses: {'200': {description: ok}}}}}\n",
    ),
    (
        "duplicate-required",
        "3.0.3",
        "paths: {}\ncomponents: {schemas: {A: {type: object, required: [a, a], properties: {a: {}}}}}\n",
        "paths: {}\ncomponents: {schemas: {A: {type: object, required: [a], properties: {a: {}}}}}\n",
    ),
    (
        "nullable-without-effect",
        "3.1.0",
        "paths: {}\ncomponents:\n  schemas:\n    A:\n      type: string\n      nullable: true\n      description: text\n    B: {type: integer, nullable: true} # a number\n",
        "paths: {}\ncomponents:\n  schemas:\n    A:\n      type: [string, \"null\"]\n      description: text\n    B: {type: [integer, \"null\"]} # a number\n",
    ),
    (
        "limit-of-other-version",
        "3.1.0",
        "paths: {}\ncomponents: {schemas: {A: {type: integer, minimum: 3, exclusiveMinimum: true, exclusiveMaximum: false}}}\n",
        "paths: {}\ncomponents: {schemas: {A: {type: integer, exclusiveMinimum: 3}}}\n",
    ),
    (
        "ignored-encoding",
        "3.0.3",
        "paths: {}\ncomponents: {requestBodies: {B: {content: {text/plain: {encoding: {a: {style: form}}, schema: {type: string}}}}}}\n",
        "paths: {}\ncomponents: {requestBodies: {B: {content: {text/plain: {schema: {type: string}}}}}}\n",
    ),
    (
        "ignored-scheme-field",
        "3.0.3",
        "paths: {}\ncomponents: {securitySchemes: {s: {type: http, scheme: basic, bearerFormat: JWT, flows: {}}}}\n",
        "paths: {}\ncomponents: {securitySchemes: {s: {type: http, scheme: basic, bearerFormat: JWT}}}\n",
    ),
    (
        "type-of-other-version",
        "3.0.3",
        "paths: {}\ncomponents:\n  schemas:\n    A: # one\n      description: d\n      type: [string, 'null']\n    B: {type: [integer]}\n    C: {\"type\": [\"null\", \"number\"]}\n",
        "paths: {}\ncomponents:\n  schemas:\n    A: # one\n      description: d\n      nullable: true\n      type: string\n    B: {type: integer}\n    C: {\"nullable\": true, \"type\": \"number\"}\n",
    ),
    (
        "unknown-keyword",
        "3.0.3",
        "paths: {}\ncomponents: {schemas: {A: {const: 'a', tipe: string}, B: {const: 2 }}} # end\n",
        "paths: {}\ncomponents: {schemas: {A: {enum: ['a'], type: string}, B: {enum: [2] }}} # end\n",
    ),
    (
        "duplicate-type",
        "3.1.0",
        "paths: {}\ncomponents: {schemas: {A: {type: [string, 'null', string]}}}\n",
        "paths: {}\ncomponents: {schemas: {A: {type: [string, 'null']}}}\n",
    ),
    (
        "misplaced-empty-value",
        "3.0.3",
        "paths: {}\ncomponents:\n  headers:\n    H:\n      schema: {}\n      allowEmptyValue: false\n      # end\n",
        "paths: {}\ncomponents:\n  headers:\n    H:\n      schema: {}\n      # end\n",
    ),
    (
        "unknown-link-operation",
        "3.0.3",
        "paths: {/a: {get: {operationId: getOrder, responses: {'200': {description: ok}}}}}\ncomponents: {links: {L: {operationId: \"getOrdr\"}}}\n",
        "paths: {/a: {get: {operationId: getOrder, responses: {'200': {description: ok}}}}}\ncomponents: {links: {L: {operationId: \"getOrder\"}}}\n",
    ),
    (
        "unknown-rule",
        "3.0.3",
        "paths: {}\ntags: [{name: a}, {name: a}]\nx-gateway-lint: {allow: [duplicate-tags]} # for now\n",
        "paths: {}\ntags: [{name: a}, {name: a}]\nx-gateway-lint: {allow: [duplicate-tag]} # for now\n",
    ),
];

#[test]
fn mechanical_mistakes_are_fixed_and_nothing_else() {
    let project = Project::bare();
    let whole = |version: &str, text: &str| {
        format!("# head\nopenapi: {version}\ninfo: {{title: t, version: \"1\"}}\n{text}")
    };
    for (name, version, before, after) in MENDED {
        for end in ["\n", "\r\n"] {
            let (before, after) = (whole(version, before), whole(version, after));
            let (before, after) = (before.replace('\n', end), after.replace('\n', end));
            project.write("a.yaml", &before);
            let found = || {
                let text = project.run(&["lint", "a.yaml", "--format", "json"]).out;
                text.contains(&format!("\"{name}\""))
            };
            assert!(found(), "{name}");
            project.run(&["lint", "a.yaml", "--fix"]);
            assert_eq!(project.read("a.yaml"), after, "{name}");
            assert!(!found(), "{name}");
        }
    }
}

#[test]
fn text_of_comments_and_anchors_is_not_removed() {
    let project = Project::bare();
    for schema in [
        "      enum:\n        - a\n        - a # why\n",
        "      enum: [a, &x a]\n      default: *x\n",
        "      enum: &all [a]\n      nullable: false\n      not: {enum: [*all, *all]}\n",
    ] {
        let text = format!(
            "openapi: 3.0.3\ninfo: {{title: t, version: \"1\"}}\npaths: {{}}\ncomponents:\n  schemas:\n    A:\n{schema}"
        );
        project.write("a.yaml", &text);
        project.run(&["lint", "a.yaml", "--fix"]);
        assert_eq!(project.read("a.yaml"), text);
    }
}

/// Fixable mistakes in the names of gateway.yaml: rule, wrong text, correct text.
const NAMES: &[(&str, &str, &str)] = &[
    ("unknown-key", "owne: me", "owner: me"),
    (
        "unknown-key",
        "defaults: {upstream: orders, timeot: 5s}",
        "defaults: {upstream: orders, timeout: 5s}",
    ),
    (
        "unknown-upstream",
        "defaults: {upstream: order}",
        "defaults: {upstream: orders}",
    ),
    (
        "unknown-upstream",
        "defaults: {upstream: \"ordrs\"}",
        "defaults: {upstream: \"orders\"}",
    ),
    (
        "unknown-rule",
        "lint: {unknown-feild: warn} # why",
        "lint: {unknown-field: warn} # why",
    ),
    (
        "unknown-rule",
        "lint:\n  weak-flows: off\n",
        "lint:\n  weak-flow: off\n",
    ),
];

#[test]
fn names_in_gateway_yaml_are_fixed_where_used() {
    const HEAD: &str = "# the shop\nversion: 1\nname: shop\nauth: {keys: {kind: api_key}}\napis: {orders: {path: orders.yaml}}\n\
upstreams: {orders: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\npolicies: {slow: {kind: rate_limit, limit: 10/s}}\n";
    let project = Project::bare();
    for (rule, wrong, right) in NAMES {
        project.write("gateway.yaml", format!("{HEAD}{wrong}\n"));
        let found = project.run(&["lint", "--format", "json"]).out;
        assert!(found.contains(&format!("\"{rule}\"")), "{wrong}: {found}");
        project.run(&["lint", "--fix"]);
        assert_eq!(project.read("gateway.yaml"), format!("{HEAD}{right}\n"));
        let found = project.run(&["lint", "--format", "json"]).out;
        assert!(!found.contains(&format!("\"{rule}\"")), "{right}: {found}");
    }
}

#[test]
fn name_of_one_letter_gets_no_suggestion() {
    let project = Project::bare();
    let text = "version: 1\nname: shop\nauth: {keys: {kind: api_key}}\napis: {orders: {path: orders.yaml}}\n\
upstreams: {a: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\ndefaults: {upstream: b}\n";
    project.write("gateway.yaml", text);
    project.run(&["lint", "--fix"]).with(1);
    assert_eq!(project.read("gateway.yaml"), text);
}

#[test]
fn key_without_space_keeps_its_value() {
    let project = Project::bare();
    let fixed = |gateway: &str, document: &str| {
        project.write("gateway.yaml", gateway);
        project.write("orders.yaml", document);
        project.run(&["lint", "--fix"]);
        (project.read("gateway.yaml"), project.read("orders.yaml"))
    };
    let gateway = |timeouts: &str| {
        format!(
            "version: 1\nname: shop\napis: {{orders: {{path: orders.yaml}}}}\nupstreams: {{orders: {{targets: {{a: {{url: \"http://127.0.0.1:9000\"}}}}, timeouts: {{{timeouts}}}}}}}\ndefaults: {{upstream: orders}}\n"
        )
    };
    let document = |operation: &str, schema: &str| {
        format!(
            "openapi: 3.1.0\ninfo: {{title: t, version: \"1\"}}\npaths: {{/a: {{get: {{{operation}}}}}}}\ncomponents: {{schemas: {{A: {{{schema}}}}}}}\n"
        )
    };
    let (left, right) = fixed(
        &gateway("connect:1s, reqest:10s"),
        &document("operationId:a, responses: {}", "type:string, minLength:1"),
    );
    assert_eq!(left, gateway("connect: 1s, request: 10s"));
    let wanted = document(
        "operationId: a, responses: {}",
        "type: string, minLength: 1",
    );
    assert_eq!(right, wanted);
    // The correct key already has a value, so there is no fix.
    let kept = gateway("\"connect:1s\": 2s");
    assert_eq!(fixed(&kept, &wanted), (kept, wanted.clone()));
    let kept = gateway("connect:1s: 2s");
    assert_eq!(fixed(&kept, &wanted), (kept, wanted.clone()));
    let lines = "version: 1\nname: shop\ndefaults:\n  timeout:5s:\n";
    assert_eq!(fixed(lines, &wanted).0, lines);
}

#[test]
fn fix_that_changes_access_is_only_suggested() {
    let project = Project::bare();
    let gateway = project.read("gateway.yaml");
    let orders = project.read("orders.yaml");
    let get = "operationId: listOrders,";
    for changed in [
        "operationId: listOrders, x-gatway: {public: true},",
        "operationId: listOrders, x-gateway: {publik: true},",
        "operationId: listOrders, x-gateway: {public:true},",
        "operationId: listOrders, securty: [],",
        "operationId: listOrders, security: [{keey: []}],",
    ] {
        let document = orders.replace(get, changed);
        assert_ne!(document, orders);
        project.write("orders.yaml", &document);
        let ended = project.run(&["lint", "--fix"]);
        assert_eq!(project.read("orders.yaml"), document, "{ended:?}");
        assert!(ended.out.contains("did you mean") || ended.out.contains("no space"));
    }
    project.write("orders.yaml", &orders);
    for (old, changed) in [
        ("timeout: 5s}", "timeout: 5s, security: upstraem}"),
        ("timeout: 5s}", "timeout: 5s, securty: upstream}"),
        ("gates: [weaken]", "required: {allow_publc: [x]}"),
        ("gates: [weaken]", "consumers: {alice: {grups: [x]}}"),
    ] {
        let text = gateway.replace(old, changed);
        assert_ne!(text, gateway);
        project.write("gateway.yaml", &text);
        let ended = project.run(&["lint", "--fix"]);
        assert_eq!(project.read("gateway.yaml"), text, "{ended:?}");
    }
}

#[test]
fn fix_of_access_settings_is_only_suggested() {
    let project = Project::bare();
    let gateway = project.read("gateway.yaml");
    let slow = "policies: {slow: {kind: rate_limit, limit: 10/s, burst: 5}";
    let auth = "auth: {keys: {kind: api_key}";
    let policy = |text: &str| (slow, format!("{slow}, other: {text}"));
    let verifier = |text: &str| (auth, format!("{auth}, idp: {text}"));
    let jwt = "kind: jwt, issuer: \"https://idp.example\", jwks_url: \"https://idp.example/keys\"";
    let listener = |text: &str| {
        let listeners = format!("listeners: {{public: {{address: \"127.0.0.1:8080\", {text}}}}}");
        ("gates: [weaken]", listeners)
    };
    for (old, new) in [
        policy("{kind: forward_auth, url: \"http://127.0.0.1:9002/check\", on_outge: open}"),
        policy("{kind: forward_auth, url: \"http://127.0.0.1:9002/check\", on_outage: opn}"),
        policy("{kind: csrf, mod: log}"),
        policy("{kind: csrf, mode: lgo}"),
        policy("{kind: ip_filter, alow: [0.0.0.0/0]}"),
        policy("{kind: ip_filtr, allow: [0.0.0.0/0]}"),
        verifier(&format!("{{{jwt}, audience: [a], leway: 1m}}")),
        verifier(&format!("{{{jwt}, audince: [a]}}")),
        listener("trusted_proxis: [10.0.0.0/8]"),
        ("policies: [slow]", "policies: [slwo]".to_owned()),
        ("policies: [slow]", "polices: []".to_owned()),
        (
            "sha256: 9f86",
            "not_aftr: 2099-01-01, sha256: 9f86".to_owned(),
        ),
        ("gates: [weaken]", "required: {polices: [slow]}".to_owned()),
        (
            "path: orders.yaml}",
            "path: orders.yaml, unmatched: ordrs}".to_owned(),
        ),
        (
            "path: orders.yaml}",
            "path: orders.yaml, unmatchd: orders}".to_owned(),
        ),
    ] {
        let text = gateway.replacen(old, &new, 1);
        assert_ne!(text, gateway, "{new}");
        project.write("gateway.yaml", &text);
        let ended = project.run(&["lint", "--fix"]);
        assert_eq!(project.read("gateway.yaml"), text, "{ended:?}");
        assert!(ended.out.contains("did you mean"), "{new}: {ended:?}");
    }
}

#[test]
fn fix_of_access_in_documents_is_only_suggested() {
    let project = Project::bare();
    let orders = project.read("orders.yaml");
    let get = "operationId: listOrders,";
    let path = "  /orders:\n";
    let scheme = "type: apiKey, in: header, name: X-Key";
    for (old, new) in [
        (path, "  /orders:\n    x-gateway: {polices: []}\n"),
        (get, "operationId: listOrders, x-gateway: {+polices: []},"),
        (
            get,
            "operationId: listOrders, x-gateway: {policies: [slwo]},",
        ),
        (scheme, "type: http, scheme: baerer"),
        ("paths:\n", "pathz:\n"),
    ] {
        let text = orders.replacen(old, new, 1);
        assert_ne!(text, orders, "{new}");
        project.write("orders.yaml", &text);
        let ended = project.run(&["lint", "--fix"]);
        assert_eq!(project.read("orders.yaml"), text, "{ended:?}");
        assert!(ended.out.contains("did you mean"), "{new}: {ended:?}");
    }
}
