//! Tests of the settings of retries, circuit breakers and balancing in gateway.yaml and in
//! documents, through gwc and gwd.

use e2e::gateway::Options;
use e2e::openssl;
use e2e::project::Project;
use e2e::upstream::{Answer, Upstream};

const DOCUMENT: &str = "\
openapi: 3.1.0
info: {title: what is tried again, version: \"1\"}
paths:
  /again: {get: {operationId: again, responses: {}}}
  /once: {get: {operationId: once, x-gateway: {retries: {attempts: 0}}, responses: {}}}
  /breaker: {get: {operationId: breaker, x-gateway: {policies: [breaker], retries: {attempts: 0}}, responses: {}}}
";

#[test]
fn retries_and_breakers_run_and_operations_override() {
    let upstream = Upstream::scripted(|_| {
        let mut answer = Answer::ok("no");
        answer.status = 503;
        answer
    });
    let project = Project::new();
    project.write("openapi.yaml", DOCUMENT);
    project.write(
        "gateway.yaml",
        format!(
            "version: 1\nname: upstreams\napis: {{a: {{path: openapi.yaml}}}}\n\
             upstreams: {{u: {{targets: {{a: {{url: \"{}\"}}}}, lb: least_request, \
               retries: {{attempts: 2, \"on\": [gateway-error], backoff: {{base: 1ms, max: 2ms}}}}}}}}\n\
             policies: {{breaker: {{kind: circuit_breaker, consecutive_failures: 2, open: 1h, open_max: 1h}}}}\n\
             defaults: {{upstream: u, security: upstream}}\n",
            upstream.url()
        ),
    );
    project.keygen();
    project.apply();
    let gwd = Options::of(&project).start();
    let get = |path: &str| gwd.ask(&format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n"));
    assert_eq!(get("/again").status, 503);
    assert_eq!(upstream.take().len(), 3, "one and two more");
    assert_eq!(get("/once").status, 503);
    assert_eq!(upstream.take().len(), 1);
    for _ in 0..2 {
        assert_eq!(get("/breaker").text(), "no");
    }
    assert_eq!(get("/breaker").json()["code"], "circuit_open");
    assert_eq!(upstream.take().len(), 2);
    assert_eq!(get("/once").text(), "no", "another chain, another breaker");
}

#[test]
fn configured_health_check_avoids_a_failing_host() {
    let upstream_with = |name: &'static str, status: u16| {
        Upstream::scripted(move |seen| {
            let mut answer = Answer::ok(name);
            if seen.target == "/health" {
                answer.status = status;
            }
            answer
        })
    };
    let (sick, well) = (upstream_with("sick", 500), upstream_with("well", 202));
    let project = Project::new();
    project.write(
        "openapi.yaml",
        "openapi: 3.1.0\ninfo: {title: who works, version: \"1\"}\npaths:\n  /a: {get: {operationId: a, responses: {}}}\n",
    );
    project.write(
        "gateway.yaml",
        format!(
            "version: 1\nname: upstreams\napis: {{a: {{path: openapi.yaml}}}}\n\
             upstreams: {{u: {{targets: {{a: {{url: \"{}\"}}, b: {{url: \"{}\"}}}}, \
               health: {{active: {{path: /health, statuses: [200, 202], interval: 50ms, timeout: 50ms}}}}}}}}\n\
             defaults: {{upstream: u, security: upstream}}\n",
            sick.url(),
            well.url()
        ),
    );
    project.keygen();
    project.apply();
    let gwd = Options::of(&project).start();
    let get = || gwd.ask("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    e2e::wait::until("the sick one is left out", || {
        (0..10).all(|_| get().text() == "well").then_some(())
    });
}

#[test]
fn consumer_tags_choose_its_host_and_share_its_limit() {
    let hosts = ["a", "b", "c"].map(|name| Upstream::scripted(move |_| Answer::ok(name)));
    let project = Project::new();
    project.write(
        "openapi.yaml",
        "openapi: 3.1.0\ninfo: {title: who calls, version: \"1\"}\n\
         components: {securitySchemes: {key: {type: apiKey, in: header, name: x-key, x-gateway: {auth: keys}}}}\n\
         security: [{key: []}]\n\
         paths:\n  /a: {get: {operationId: a, responses: {}}}\n  \
         /few: {get: {operationId: few, x-gateway: {policies: [few]}, responses: {}}}\n",
    );
    let consumers = (0..24).map(|number| {
        let key = openssl::sha256(format!("key-{number}").as_bytes());
        // The last consumer has no tenant.
        let claims = match number {
            23 => "{seat: 5}".to_owned(),
            _ => format!("{{tenant: {}, seat: [1, 2]}}", number % 12),
        };
        format!("  c{number}: {{keys: [{{sha256: {key}}}], claims: {claims}}}\n")
    });
    let targets: String = ["a", "b", "c"]
        .iter()
        .zip(&hosts)
        .map(|(name, host)| format!("{name}: {{url: \"{}\"}},", host.url()))
        .collect();
    project.write(
        "gateway.yaml",
        format!(
            "version: 1\nname: upstreams\napis: {{a: {{path: openapi.yaml}}}}\n\
             auth: {{keys: {{kind: api_key}}}}\nconsumers:\n{}\
             upstreams: {{u: {{targets: {{{targets}}}, lb: maglev, hash_on: \"claim:tenant\"}}}}\n\
             policies: {{few: {{kind: rate_limit, limit: 2/h, key: \"claim:tenant\"}}}}\n\
             defaults: {{upstream: u}}\n",
            consumers.collect::<String>()
        ),
    );
    project.keygen();
    project.apply();
    let gwd = Options::of(&project).start();
    let get = |path: &str, number: usize| {
        gwd.ask(&format!(
            "GET {path} HTTP/1.1\r\nhost: h\r\nx-key: key-{number}\r\n\r\n"
        ))
    };
    let mut all = std::collections::BTreeSet::new();
    for tenant in 0..11 {
        // Two consumers of one tenant send several requests each.
        let tenants = [tenant, tenant + 12].repeat(3);
        let answers = tenants.into_iter().map(|number| get("/a", number).text());
        let answers: std::collections::BTreeSet<String> = answers.collect();
        assert_eq!(answers.len(), 1, "tenant {tenant}: {answers:?}");
        all.extend(answers);
    }
    assert!(all.len() > 1, "{all:?}");
    // The limit is two requests per tenant, so consumers of one tenant share the limit.
    assert_eq!(get("/few", 1).status, 200);
    assert_eq!(get("/few", 13).status, 200);
    assert_eq!(get("/few", 1).status, 429);
    assert_eq!(get("/few", 13).status, 429);
    assert_eq!(get("/few", 2).status, 200);
    // A consumer without a tenant is counted by client address.
    let statuses = (0..3).map(|_| get("/few", 23).status);
    assert_eq!(statuses.collect::<Vec<_>>(), [200, 200, 429]);
}
