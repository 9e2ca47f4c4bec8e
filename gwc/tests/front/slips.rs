//! Tests of mistakes in gateway.yaml that would silently change its meaning. Each is reported at
//! its location.

use sources::project::files::Files;
use sources::syntax::Limits;

const DOCUMENT: &str = "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths:\n  /a: {get: {operationId: a, responses: {\"200\": {description: fine}}}}\n";

/// Findings of a gateway.yaml with a small document: the text at the location, and the message.
fn findings_of(gateway: &str) -> Vec<(String, String)> {
    findings_of_document(gateway, DOCUMENT)
}

fn findings_of_document(gateway: &str, document: &str) -> Vec<(String, String)> {
    let files = [("gateway.yaml", gateway), ("api.yaml", document)];
    let compiled = model::compile::project(Files::in_memory(files, Limits::default()), &Vec::new());
    let findings = compiled.findings.iter();
    findings
        .filter(|finding| finding.level >= diag::Level::Warn)
        .map(|finding| {
            let at = compiled.files.sources.text(finding.span).to_owned();
            (at, format!("{}: {}", finding.lint.code, finding.message))
        })
        .collect()
}

fn gateway(api: &str, upstream: &str) -> String {
    format!(
        "version: 1\nname: s\napis: {{a: {{path: api.yaml{api}}}}}\nupstreams: {{u: {{{upstream}}}}}\n\
defaults: {{upstream: u, security: upstream, timeout: 5s}}\n"
    )
}

const FINE: &str = "targets: {a: {url: \"http://10.0.0.1:9000\"}}";

#[test]
fn target_url_with_another_meaning_is_refused() {
    for url in [
        "http://h:9000/a/b",
        "http://h/a..b/.c",
        "http://[::1]:9000",
        "http://h:65535",
    ] {
        let upstream = format!("targets: {{a: {{url: \"{url}\"}}}}");
        assert_eq!(findings_of(&gateway("", &upstream)), [], "{url}");
    }
    for (url, why) in [
        ("http://h:99999/", "a port must be 1 to 65535"),
        ("http://h:65536", "a port must be 1 to 65535"),
        ("http://h:8o80", "a port must be 1 to 65535"),
        ("http://h:-1", "a port must be 1 to 65535"),
        ("http://h:+1", "a port must be 1 to 65535"),
        ("http://h:/", "a port must be 1 to 65535"),
        ("http://h:0", "a port must be 1 to 65535"),
        ("http://h:1/a/../b", "its path would become `/b`"),
        ("http://h:1/a/%2E%2e/b", "its path would become `/b`"),
        ("http://h:1/./b", "its path would become `/b`"),
        ("http://h:1/{x}", "its path must not have parameters"),
    ] {
        let upstream = format!("targets: {{a: {{url: \"{url}\"}}}}");
        let found = findings_of(&gateway("", &upstream));
        assert!(
            found.contains(&(
                format!("\"{url}\""),
                format!("GW0104: `{url}` cannot be a target: {why}")
            )),
            "{url}: {found:?}"
        );
    }
}

#[test]
fn listener_with_a_wrong_address_is_one_finding() {
    let gateway = gateway("", FINE) + "listeners: {public: {address: \"localhost:8080\"}}\n";
    let reported = findings_of(&gateway);
    let [(place, message)] = &reported[..] else {
        panic!("{reported:?}");
    };
    assert_eq!(place, "\"localhost:8080\"");
    assert!(message.starts_with("GW0104: "), "{message}");
}

#[test]
fn misspelt_host_header_is_refused() {
    for (value, fine) in [
        ("preserve", true),
        ("upstream", true),
        ("api.example.org", true),
        ("upstrem:80", true),
        ("upstrem", false),
        ("Preserve", false),
        ("api.example.org:99999", false),
    ] {
        let found = findings_of(&gateway("", &format!("{FINE}, host_header: \"{value}\"")));
        let expected = (
            format!("\"{value}\""),
            format!("GW0104: `{value}` is not a host"),
        );
        assert_eq!(found.is_empty(), fine, "{value}: {found:?}");
        assert_eq!(found.contains(&expected), !fine, "{value}: {found:?}");
    }
}

#[test]
fn any_address_of_this_machine_is_the_gateway_itself() {
    for (listener, target, is_loop) in [
        ("0.0.0.0:8080", "0.0.0.0:8080", true),
        ("127.0.0.1:8080", "0.0.0.0:8080", true),
        ("0.0.0.0:8080", "127.0.0.1:8080", true),
        ("[::]:8080", "[::]:8080", true),
        ("0.0.0.0:8080", "0.0.0.0:8081", false),
        ("10.1.2.3:8080", "0.0.0.0:8080", false),
    ] {
        let text = gateway("", &format!("targets: {{a: {{url: \"http://{target}\"}}}}"));
        let text = format!("{text}listeners: {{public: {{address: \"{listener}\"}}}}\n");
        let found = findings_of(&text);
        let is_reported = found
            .iter()
            .any(|(_, message)| message.starts_with("GW0535"));
        assert_eq!(is_reported, is_loop, "{listener} {target}: {found:?}");
    }
}

#[test]
fn connect_timeout_above_request_timeout_is_found() {
    let upstream = |timeouts| format!("{FINE}, timeouts: {{{timeouts}}}");
    for fine in ["connect: 5s, request: 5s", "connect: 50s", "request: 1s"] {
        let found = findings_of(&gateway("", &upstream(fine)));
        assert_eq!(found, [], "{fine}");
    }
    assert_eq!(
        findings_of(&gateway("", &upstream("connect: 50s, request: 5s"))),
        [(
            "connect".into(),
            "GW0526: `connect` is 50000ms, longer than `request` with 5000ms".into()
        )]
    );
}

#[test]
fn a_base_path_has_no_dot_segments() {
    for path in ["/a/../b", "/./a", "/a/%2e%2E/b"] {
        let found = findings_of(&gateway(&format!(", mount: {{base_path: {path}}}"), FINE));
        let expected = (
            path.to_owned(),
            format!("GW0104: `{path}` cannot be a base path"),
        );
        assert!(found.contains(&expected), "{path}: {found:?}");
    }
    assert_eq!(
        findings_of(&gateway(", mount: {base_path: /v1.2/.b}", FINE)),
        []
    );
}

#[test]
fn empty_list_is_refused() {
    for api in [
        ", environments: []",
        ", mounts: []",
        ", mount: {hosts: []}",
        ", mount: {listeners: []}",
    ] {
        let found = findings_of(&gateway(api, FINE));
        let expected = ("[]".to_owned(), "GW0104: this list is empty".to_owned());
        assert!(found.contains(&expected), "{api}: {found:?}");
    }
    let defaults = gateway("", FINE).replace("upstream: u,", "upstream: u, listeners: [],");
    let found = findings_of(&defaults);
    assert!(
        found
            .iter()
            .any(|(at, message)| at == "[]" && message.ends_with("is empty")),
        "{found:?}"
    );
}

/// Each request with a wrong password costs as many hashes as the user has passwords.
#[test]
fn user_with_many_passwords_is_a_finding() {
    let password = |at: usize| {
        let (salt, hash) = ("c2FsdHNhbHQ", "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI");
        format!(
            "{{user: u, argon2id: \"$argon2id$v=19$m={},t=1,p=1${salt}${hash}\"}}",
            7168 + at
        )
    };
    let findings = |count: usize| {
        let all: Vec<String> = (0..count).map(password).collect();
        let (first, rest) = all.split_at(2);
        let text = format!(
            "{}consumers: {{one: {{basic: [{}]}}, two: {{basic: [{}]}}}}\n",
            gateway("", FINE),
            first.join(", "),
            rest.join(", ")
        );
        let found = findings_of(&text);
        let wanted = "the user `u` has more than 4 passwords";
        let many = found
            .iter()
            .filter(|(_, message)| message.ends_with(wanted));
        many.count()
    };
    assert_eq!([4, 5, 7].map(findings), [0, 1, 3]);
}

#[test]
fn useless_credential_store_or_condition_is_found() {
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let text = format!(
        "{}consumers: {{acme: {{keys: [{{sha256: {empty}}}]}}}}\n",
        gateway("", FINE)
    );
    let expected = (
        empty.to_owned(),
        "GW0104: this is the sha256 of the empty string".to_owned(),
    );
    assert!(
        findings_of(&text).contains(&expected),
        "{:?}",
        findings_of(&text)
    );
    let text = format!("{}release: {{store: \"oci://r/x\"}}\n", gateway("", FINE));
    let found = findings_of(&text);
    let store = found.iter().find(|(at, _)| at == "\"oci://r/x\"");
    assert!(
        store
            .is_some_and(|(_, message)| message.ends_with("a store at a URL is not available yet")),
        "{found:?}"
    );
    let document = DOCUMENT.replace(
        "operationId: a,",
        "operationId: a, x-gateway: {match: {headers: {X-A: {exact: a}, x-a: {exact: b}}}},",
    );
    let found = findings_of_document(&gateway("", FINE), &document);
    let expected = (
        "x-a".to_owned(),
        "GW0104: the header `x-a` occurs twice".to_owned(),
    );
    assert!(found.contains(&expected), "{found:?}");
    for name in [
        "TE",
        "Host",
        "X-Forwarded-Proto",
        "x_forwarded.for",
        "Client-Cert",
        "Content_Length",
        "content.length",
    ] {
        let condition =
            format!("operationId: a, x-gateway: {{match: {{headers: {{{name}: {{exact: a}}}}}}}},");
        let document = DOCUMENT.replace("operationId: a,", &condition);
        let found = findings_of_document(&gateway("", FINE), &document);
        let message = format!("GW0104: `{name}` cannot be a condition: gwd removes or sets it");
        assert!(found.contains(&(name.to_owned(), message)), "{found:?}");
    }
}

#[test]
fn keys_without_a_value_are_found() {
    let with = |more: &str| format!("{}{more}", gateway("", FINE));
    let error = |key: &str| (key.to_owned(), format!("GW0107: `{key}` has no value"));
    for (more, key) in [
        ("gates:\n", "gates"),
        ("gates: # later\n", "gates"),
        ("required:\n", "required"),
        ("required: {allow_public: }\n", "allow_public"),
        ("owner:\nlint: {}\n", "owner"),
        (
            "consumers:\n  acme:\n    keys:\n      - sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\n        not_after:\n",
            "not_after",
        ),
    ] {
        assert_eq!(findings_of(&with(more)), [error(key)], "{more}");
    }
    let text = with("").replace("security: upstream", "security: ");
    assert!(findings_of(&text).contains(&error("security")), "{text}");
    let text = gateway("", &format!("{FINE}, timeouts: "));
    assert_eq!(findings_of(&text), [error("timeouts")]);
    for more in [
        "gates: null\n",
        "gates: ~\n",
        "required: {}\n",
        "gates: []\n",
    ] {
        assert_eq!(findings_of(&with(more)), [], "{more}");
    }
    let level = |text: &str| {
        let files = [("gateway.yaml", text), ("api.yaml", DOCUMENT)];
        let files = Files::in_memory(files, Limits::default());
        let compiled = model::compile::project(files, &Vec::new());
        let mut findings = compiled.findings.into_iter();
        let found = findings.find(|finding| finding.lint.name == "empty-key");
        found.expect("a finding").level
    };
    assert_eq!(level(&with("gates:\n")), diag::Level::Error);
    assert_eq!(level(&with("owner:\n")), diag::Level::Warn);
}

#[test]
fn double_slash_below_merging_listeners_is_found() {
    let listeners = |merging: [bool; 2]| {
        let [a, b] = merging.map(|merges| format!("merge_slashes: {merges}"));
        format!(
            "{}listeners: {{a: {{address: \"127.0.0.1:8080\", {a}}}, b: {{address: \"127.0.0.1:8081\", {b}}}}}\n",
            gateway("", FINE)
        )
    };
    let document = |path: &str| DOCUMENT.replace("/a:", path);
    let found = |merging, path| {
        let found = findings_of_document(&listeners(merging), &document(path));
        found
            .into_iter()
            .filter(|(_, message)| message.starts_with("GW0603"))
            .count()
    };
    assert_eq!(found([true, true], "/a//b:"), 1);
    assert_eq!(found([true, false], "/a//b:"), 0);
    assert_eq!(found([false, false], "/a//b:"), 0);
    for path in ["/a/b:", "/a/:", "/:"] {
        assert_eq!(found([true, true], path), 0, "{path}");
    }
}
