//! Tests of help texts for new users, and of mistakes that must be reported only once.

use model::compile;
use sources::project::files::Files;
use sources::syntax::Limits;

use crate::project;

const GATEWAY: &str = "version: 1\nname: s\napis: {a: {path: a.yaml, overlays: [o.yaml]}}\n\
    upstreams: {u: {targets: {x: {url: \"http://127.0.0.1:9000\"}}}}\nauth: {keys: {kind: api_key}}\n\
    policies: {slow: {kind: rate_limit, limit: 1/s}}\n\
    defaults: {upstream: u, timeout: 5s, max_body: 1MiB, policies: [slow]}\nlint: {missing-tags: off}\n";
const DOCUMENT: &str = "openapi: 3.0.3\ninfo: {title: t, version: \"1\"}\nsecurity: [{key: []}]\nx-gateway: {}\n\
    paths: {/a: {x-gateway: {}, get: {x-gateway: {}, responses: {'200': {description: ok}}}}}\n\
    components: {securitySchemes: {key: {type: apiKey, in: header, name: K, x-gateway: {auth: keys}}}}\n";
const OVERLAY: &str = "overlay: 1.0.0\ninfo: {title: o, version: \"1\"}\nactions: [{target: \"$.paths['/a'].get\", update: {summary: x}}]\n";

/// Lints the project after one replacement in one of its files.
fn changed(old: &str, new: &str) -> project::Linted {
    let texts = [
        ("gateway.yaml", GATEWAY),
        ("a.yaml", DOCUMENT),
        ("o.yaml", OVERLAY),
    ];
    let all: usize = texts
        .iter()
        .map(|(_, text)| text.matches(old).count())
        .sum();
    assert!(old.is_empty() || all == 1, "`{old}` is there {all} times");
    let texts = texts.map(|(path, text)| {
        (
            path,
            if old.is_empty() {
                text.to_owned()
            } else {
                text.replace(old, new)
            },
        )
    });
    let texts = texts.iter().map(|(path, text)| (*path, text.as_str()));
    project::of(compile::project(
        Files::in_memory(texts, Limits::default()),
        &Vec::new(),
    ))
}

#[test]
fn each_mistake_has_a_help_with_the_correction() {
    assert_eq!(changed("", "").lines(), "");
    let document = "openapi: 3.0.3";
    for (old, new, expected) in [
        ("version: 1\n", "version: 2\n", "help: write `1`"),
        (
            document,
            "openapi: 4.0.0",
            "help: 3.0, 3.1 and 3.2 are supported, and Swagger 2.0",
        ),
        (
            document,
            "swagger: '1.2'",
            "help: 2.0 is supported, as `swagger: \"2.0\"`",
        ),
        (
            "overlay: 1.0.0",
            "overlay: 2.0.0",
            "help: `1.0.0` and `1.1.0` are supported",
        ),
        ("policies: [slow]", "policies: slow", "help: write `[slow]`"),
        (
            "9000\"}}}}",
            "9000\"}}, protocol: h2c, proxy_protocol: v1}}",
            "help: write `protocol: h1`, or remove `proxy_protocol`",
        ),
        (
            "9000\"}}}}",
            "9000\"}}, limits: {response_header_bytes: 2MiB}}}",
            "help: write `64KiB`, or remove it: `64KiB` is the default",
        ),
        (
            "auth: {keys: {kind: api_key}}\n",
            "auth: {keys: {kind: api_key}}\nlisteners: {l: {address: \"127.0.0.1:8080\", limits: {header_bytes: 1KiB}}}\n",
            "help: write `8KiB` or more, or remove it: `64KiB` is the default",
        ),
        (
            "auth: {keys: {kind: api_key}}\n",
            "auth: {keys: {kind: api_key}}\nlisteners: {l: {address: \"127.0.0.1:8080\", proxy_protocol: optional}}\n",
            "help: write a map with the keys `from`",
        ),
        (
            "auth: {keys: {kind: api_key}}\n",
            "auth: {keys: {kind: api_key}}\nlisteners: {l: {address: \"127.0.0.1:8080\", forwarding_fields: [x-forwarded-for]}}\n",
            "help: write `trusted_proxies: [10.0.0.0/8]` beside it, or remove the key",
        ),
        (
            "auth: {keys: {kind: api_key}}\n",
            "auth: {keys: {kind: api_key}}\nlisteners: {l: {address: \"127.0.0.1:8080\", trusted_proxies: [10.0.0.0/8], forwarding_fields: [x-forwarded-proto]}}\n",
            "help: add `x-forwarded-for`, or remove `trusted_proxies`",
        ),
        (
            "auth: {keys: {kind: api_key}}\n",
            "auth: {keys: {kind: api_key}}\nlisteners: {l: {address: \"127.0.0.1:8080\", trusted_proxies: [10.0.0.0/8], forwarding_fields: [forwarded, x-forwarded-for]}}\n",
            "help: write the field that the proxies set; gwd removes the other one",
        ),
        (
            "auth: {keys: {kind: api_key}}\n",
            "auth: {keys: {kind: api_key}}\nlisteners: {l: {address: \"127.0.0.1:8080\", forward_client_cert: pass}}\n",
            "help: write `trusted_proxies: [10.0.0.0/8]` beside it",
        ),
        (
            "auth: {keys: {kind: api_key}}\n",
            "auth: {keys: {kind: api_key}}\nlisteners: {l: {address: \"127.0.0.1:8080\", forward_client_cert: xfcc}}\n",
            "help: write `tls: {client_auth: {ca: \"${file:PATH}\"}}` beside it",
        ),
        (
            "auth: {keys: {kind: api_key}}\n",
            "auth: {keys: {kind: api_key}}\nlisteners: {l: {address: \"127.0.0.1:8080\", proxy_protocol: true}}\n",
            "help: write `trusted_proxies`, or `proxy_protocol: {from: [10.0.0.0/8]}`",
        ),
        (
            "missing-tags: off",
            "missing-tags: warning",
            "help: write `warn`",
        ),
        (
            "missing-tags: off",
            "missing-tags: errors",
            "help: write `error`",
        ),
        (
            "/a: {x-gateway: {}",
            "/a: {x-gateway: {public: true}",
            "help: it belongs at the document's root or at an operation",
        ),
        (
            "\nx-gateway: {}",
            "\nx-gateway: {timeout: 5s}",
            "help: it belongs under `defaults`, or at an operation",
        ),
        (
            "get: {x-gateway: {}",
            "get: {x-gateway: {trailing_slash: ignore}",
            "help: it belongs at a path item",
        ),
        (
            "slow: {kind: rate_limit, limit: 1/s}",
            "slow: {rate_limit: {limit: 1/s}}",
            "help: write `kind: rate_limit`, and the keys of `rate_limit` beside it",
        ),
        (
            "targets: {x: {url: \"http://127.0.0.1:9000\"}}",
            "targets: {x: {url: \"http://127.0.0.1:9000\"}}, timeout: {request: 5s}",
            "help: write `timeouts`",
        ),
        // A misspelled key is reported with the correct key, at every position.
        (
            "get: {x-gateway: {}",
            "get: {x-gateway: {timeuot: 5s}",
            "help: write `timeout`",
        ),
        (
            "max_body: 1MiB",
            "max_body: 64KB",
            "help: write `64KiB` (65536 bytes) or `64kB` (64000 bytes)",
        ),
        ("timeout: 5s", "timeout: 10 seconds", "help: write `10s`"),
        ("limit: 1/s", "limit: 100rps", "help: write `100/s`"),
        (
            "max_body: 1MiB",
            "max_body: -3",
            "help: it must not be negative",
        ),
        // Quotes are shown unchanged.
        (".get\"", ".git\"", "`$.paths['/a'].git`"),
        (
            ".get\"",
            ".get[\"",
            "`$.paths['/a'].get[` is not a JSONPath: ",
        ),
    ] {
        let lines = changed(old, new).lines();
        assert!(
            lines.contains(expected),
            "{new} should say {expected}:\n{lines}"
        );
        assert!(!lines.contains("\\'"), "{lines}");
    }
    let json = project::memory(&[("a.json", "{\"openapi\" \"3.0.3\"}")]).lines();
    assert!(json.contains("found `\"`"), "{json}");
}

#[test]
fn one_mistake_is_one_finding() {
    for (old, new, expected) in [
        // The definition with the similar name must not be reported as unused in addition.
        ("policies: [slow]", "policies: [slw]", "unknown-policy"),
        ("{auth: keys}", "{auth: keyz}", "unknown-auth"),
        // If the key of a map is misspelled, the names that the map defines are unknown. Only the
        // misspelled key is reported.
        ("upstreams:", "upstraems:", "unknown-key"),
        ("\nauth:", "\nauht:", "unknown-key"),
        ("\npolicies:", "\npolices:", "unknown-key"),
        // Definitions that only a misspelled key uses are not reported as unused.
        ("policies: [slow]", "polices: [slow]", "unknown-key"),
        (
            "\nx-gateway: {}",
            "\nx-gateway: {polices: {own: {kind: rate_limit, limit: 1/s}}, defaults: {policies: [slow, own]}}",
            "unknown-key",
        ),
        // Definitions that only an unreadable document could use are not reported as unused.
        ("openapi: 3.0.3", "openapi: 4.0.0", "unsupported-version"),
        ("openapi: 3.0.3", "openapi: [3.0.3", "malformed-yaml"),
    ] {
        let names = changed(old, new).names();
        assert_eq!(names, [expected], "{new}:\n{}", changed(old, new).lines());
    }
    let schema =
        "paths: {}\ncomponents: {schemas: {A: {type: objekt, properties: {}, required: [a]}}}\n";
    let text = format!("openapi: 3.0.3\ninfo: {{title: t, version: \"1\"}}\n{schema}");
    let linted = project::text(&text);
    assert!(
        !linted.names().contains(&"keyword-of-other-type"),
        "{}",
        linted.lines()
    );
}

#[test]
fn two_apis_at_one_mount_are_one_finding() {
    let gateway = GATEWAY.replace(
        "apis: {a: {path: a.yaml, overlays: [o.yaml]}}",
        "apis:\n  orders: {path: a.yaml}\n  other: {path: b.yaml}",
    );
    let two = DOCUMENT.replace(
        "paths: {",
        "paths: {/b: {get: {responses: {'200': {description: ok}}}}, ",
    );
    let found = |gateway: &str| {
        let texts = [
            ("gateway.yaml", gateway),
            ("a.yaml", &*two),
            ("b.yaml", &*two),
        ];
        project::of(compile::project(
            Files::in_memory(texts, Limits::default()),
            &Vec::new(),
        ))
    };
    let linted = found(&gateway);
    assert_eq!(
        linted.lines(),
        "gateway.yaml:5:3: error[GW0601]: `orders` and `other` match exactly the same requests: `GET /b`, and 1 more; \
         help: both are mounted at `/`: change the `base_path` or the `hosts` of a `mount`\n"
    );
    assert_eq!(linted.findings[0].related.len(), 5);
    let apart = gateway.replace("b.yaml}", "b.yaml, mount: {base_path: /x}}");
    assert_eq!(found(&apart).lines(), "");
}
