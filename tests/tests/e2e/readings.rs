//! Tests of request targets that third-party servers interpret differently (docs/paths.md). The
//! tests check which path each server serves for forty targets. Behind the gateway, no server may
//! serve a protected path.

mod origins;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use e2e::binaries;
use e2e::gateway::Options;
use e2e::project::Project;
use e2e::wait;

use origins::Origin;

/// Request targets that servers interpret differently.
const TARGETS: [&str; 40] = [
    "/open/a",
    "/open/a%20b",
    "/open/a%2Fb",
    "/open/a%5Cb",
    "/open/50%25",
    "/open/a;v=1",
    "/open//a",
    "//open/a",
    "/open/a/",
    "/open/a//",
    "/open/./a",
    "/open/../secret/1",
    "/open/%2e%2e/secret/1",
    "/open/..%2fsecret%2f1",
    "/open/..%2Fsecret/1",
    "/open/%2e%2e%2fsecret/1",
    "/open/..%5csecret%5c1",
    "/open/..%5Csecret/1",
    "/open/..;/secret/1",
    "/open/..;a=b/secret/1",
    "/open/%2e%2e;/secret/1",
    "/open/.;/a",
    "/open/;/a",
    "/open/..%3b/secret/1",
    "/open/%252e%252e/secret/1",
    "/open/..%252fsecret%252f1",
    "/open/..%255csecret",
    "/open/%25252e%25252e/secret/1",
    "/public/..;/admin/x",
    "/public//../admin/x",
    "/public/a//../../admin/x",
    "/public/%2e%2e%2fadmin/x",
    "/public/a/..%2f..%2fadmin/x",
    "//admin/x",
    "/admin;a=b/x",
    "/secret;/1",
    "/secret%2f1",
    "/secret%5c1",
    "/;/secret/1",
    "/%2e/secret/1",
];

/// Sends a GET request with this exact target. Returns the status and the body.
fn get(address: SocketAddr, target: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream
        .set_read_timeout(Some(wait::WAIT_MAX))
        .expect("a socket");
    let head = format!("GET {target} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("it reads");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("an answer");
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let status = head.get(9..12).and_then(|text| text.parse().ok());
    (status.expect("a status"), body.to_owned())
}

/// Requests a target from the server. Returns the path that the server served, or the status of a
/// refusal.
fn made_of(origin: &Origin, target: &str) -> String {
    match get(origin.address(), target) {
        (200, body) => body,
        (status, _) => status.to_string(),
    }
}

/// Reads the column of a server in the tables of docs/paths.md. Returns pairs of target and result.
fn documented(name: &str) -> Vec<(String, String)> {
    let path = binaries::workspace().join("docs/paths.md");
    let text = std::fs::read_to_string(path).expect("the page is there");
    let cells = |line: &str| -> Vec<String> {
        let cells = line.trim_matches('|').split('|');
        cells
            .map(|cell| cell.trim().trim_matches('`').to_owned())
            .collect()
    };
    let mut rows = text.lines().filter(|line| line.starts_with('|')).map(cells);
    let at = rows.by_ref().find_map(|cells| {
        let at = cells.iter().position(|cell| cell == name);
        at.filter(|_| cells[0] == "target")
    });
    let at = at.unwrap_or_else(|| panic!("no table has the column {name}"));
    let rows = rows.skip(1).take(TARGETS.len());
    rows.map(|cells| (cells[0].clone(), cells[at].clone()))
        .collect()
}

#[test]
fn servers_read_targets_as_the_book_says() {
    for origin in Origin::all() {
        let found: Vec<(String, String)> = TARGETS
            .iter()
            .map(|target| ((*target).to_owned(), made_of(&origin, target)))
            .collect();
        assert_eq!(found, documented(origin.name), "{}", origin.name);
    }
}

const DOCUMENT: &str = "\
openapi: 3.1.0
info: {title: readings, version: \"1\"}
security: [{key: []}]
paths:
  /open/{x}:
    parameters: [{name: x, in: path, required: true, schema: {type: string}}]
    get: {operationId: open, security: [], x-gateway: {public: true}, responses: {}}
  /public:
    x-gateway: {match: prefix}
    get: {operationId: public, security: [], x-gateway: {public: true}, responses: {}}
  /secret/{x}:
    parameters: [{name: x, in: path, required: true, schema: {type: string}}]
    get: {operationId: secret, responses: {}}
  /admin:
    x-gateway: {match: prefix}
    get: {operationId: admin, responses: {}}
components:
  securitySchemes: {key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}}
";

/// Starts a gateway in front of an origin. `more` is added to the defaults, and `listener` to the
/// listener's settings.
fn gateway(origin: &Origin, more: &str, listener: &str) -> (Project, e2e::gateway::Gateway) {
    gateway_of(DOCUMENT, origin, more, listener)
}

fn gateway_of(
    document: &str,
    origin: &Origin,
    more: &str,
    listener: &str,
) -> (Project, e2e::gateway::Gateway) {
    let project = Project::with(
        &format!(
            "version: 1\nname: readings\napis: {{s: {{path: openapi.yaml}}}}\n\
             listeners: {{public: {{address: \"127.0.0.1:0\"{listener}}}}}\n\
             upstreams: {{u: {{targets: {{a: {{url: \"http://127.0.0.1:{}\"}}}}}}}}\n\
             auth: {{keys: {{kind: api_key}}}}\n\
             policies: {{unforced: {{kind: authorize, expression: '!(\"force\" in request.query)'}}}}\n\
             defaults: {{upstream: u{more}}}\n\
             lint: {{way-round: \"off\"}}\n",
            origin.port
        ),
        document,
    );
    project.keygen();
    project.apply();
    let gateway = Options::of(&project).workers(1).start();
    (project, gateway)
}

fn serves_nothing_protected(origin: &Origin, more: &str) {
    let (_project, gateway) = gateway(origin, more, "");
    let mut served = 0;
    for target in TARGETS {
        let (status, body) = get(gateway.address(), target);
        if status == 200 {
            served += 1;
            let protected = ["/secret/", "/admin/"];
            let reached = body == "/admin" || protected.iter().any(|path| body.starts_with(path));
            assert!(!reached, "{}: {target} reached {body}", origin.name);
        }
    }
    assert!(served >= 4, "{served}");
    gateway.stops_clean();
}

#[test]
fn no_server_serves_a_protected_path_to_anyone() {
    let careless = Origin::script("careless", "node", &["paths_origin.js", "careless"]);
    for origin in Origin::all().into_iter().chain(careless) {
        serves_nothing_protected(&origin, "");
        serves_nothing_protected(&origin, ", path_readings: keep");
    }
}

#[test]
fn merged_slashes_are_matched_and_forwarded() {
    let Some(origin) = Origin::haproxy() else {
        return prerequisite::skip("there is no HAProxy");
    };
    let (_project, gateway) = gateway(&origin, "", ", merge_slashes: true");
    for (target, expected) in [
        ("//open//a", (200, "/open/a")),
        ("/public//a///b/", (200, "/public/a/b/")),
        ("/open/./a", (200, "/open/a")),
        ("/public//../open//b", (200, "/open/b")),
        ("//admin/x", (401, "")),
        ("/public//..//admin/x", (401, "")),
        ("/open/a?b=//c", (200, "/open/a")),
    ] {
        let (status, body) = get(gateway.address(), target);
        let body = if status == 200 { body.as_str() } else { "" };
        assert_eq!((status, body), expected, "{target}");
    }
    gateway.stops_clean();
}

#[test]
fn bytes_that_a_server_drops_open_nothing() {
    let Some(origin) = Origin::bottle() else {
        return prerequisite::skip("Bottle is not installed");
    };
    let (_project, gateway) = gateway(&origin, "", "");
    for (target, path) in [
        ("/public/.%FF./admin/x", "/admin/x"),
        ("/public/%C3../secret/1", "/secret/1"),
        ("/public/.%ED%A0%80./secret/1", "/secret/1"),
    ] {
        assert_eq!(made_of(&origin, target), path, "{target}");
        assert_eq!(get(gateway.address(), target).0, 400, "{target}");
    }
    let latin = "/open/caf%E9";
    assert_eq!(get(gateway.address(), latin), (200, "/open/caf".to_owned()));
    gateway.stops_clean();
}

const USERS: &str = "\
openapi: 3.1.0
info: {title: users, version: \"1\"}
security: [{key: []}]
paths:
  /u/{name}:
    parameters: [{name: name, in: path, required: true, schema: {type: string}}]
    get: {operationId: user, security: [], x-gateway: {public: true, policies: [unforced]}, responses: {}}
  /u/admin:
    get: {operationId: admin, responses: {}}
components:
  securitySchemes: {key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}}
";

#[test]
fn text_behind_a_semicolon_opens_nothing() {
    let Some(origin) = Origin::fastify() else {
        return prerequisite::skip("Fastify is not installed");
    };
    let (_project, gateway) = gateway_of(USERS, &origin, "", "");
    for (target, made, status) in [
        ("/u/a", "/u/a", 200),
        ("/u/a?b=1", "/u/a?b=1", 200),
        ("/u/a?force=1", "/u/a?force=1", 403),
        ("/u/a;force=1", "/u/a?force=1", 400),
        ("/u/a;force=1?b=1", "/u/a?force=1%3Fb%3D1", 400),
        ("/u/admin", "/u/admin", 401),
        ("/u/admin;b", "/u/admin?b=", 400),
        ("/u/admin;", "/u/admin", 400),
        ("/u/admin%3Bb", "/u/admin;b", 400),
    ] {
        assert_eq!(made_of(&origin, target), made, "{target}");
        assert_eq!(get(gateway.address(), target).0, status, "{target}");
    }
    gateway.stops_clean();
}

const VALIDATED: &str = "\
openapi: 3.1.0
info: {title: validated, version: \"1\"}
paths:
  /v/{name}:
    parameters: [{name: name, in: path, required: true, schema: {type: string, not: {enum: [admin]}}}]
    get: {operationId: value, security: [], x-gateway: {public: true}, responses: {}}
components:
  securitySchemes: {key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}}
";

#[test]
fn value_with_bytes_that_a_server_drops_is_checked() {
    let Some(origin) = Origin::bottle() else {
        return prerequisite::skip("Bottle is not installed");
    };
    let (_project, gateway) = gateway_of(VALIDATED, &origin, ", validate: {request: block}", "");
    // On a busy machine, gwd compiles the validator longer than a request waits for it.
    wait::until("a compiled validator", || {
        (get(gateway.address(), "/v/x").0 != 503).then_some(())
    });
    for (target, made, status) in [
        ("/v/admin", "/v/admin", 400),
        ("/v/admin%FF", "/v/admin", 400),
        ("/v/ad%C3min", "/v/admin", 400),
        ("/v/caf%E9", "/v/caf", 200),
        ("/v/admin%3Bb", "/v/admin;b", 200),
    ] {
        assert_eq!(made_of(&origin, target), made, "{target}");
        assert_eq!(get(gateway.address(), target).0, status, "{target}");
    }
    gateway.stops_clean();
}
