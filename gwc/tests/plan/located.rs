//! Tests that the source locations of changes are near the edited line in both versions. The tests
//! edit every kind of line, including lines in an environment's patch.

use model::compile::{self, Purpose};
use model::source_map::SourceMap;
use plan::{Plan, Side};
use sources::project::files::Files;
use sources::syntax::Limits;

use crate::{edit, side};

const GATEWAY: &str = "version: 1
name: shop
apis:
  a:
    path: api.yaml
    mount:
      base_path: /v1
  b:
    path: other.yaml
    mounts:
      - name: near
        base_path: /b
        hosts:
          - b.example
      - name: far
        base_path: /c
listeners:
  public:
    address: \"127.0.0.1:8080\"
    trusted_proxies:
      - 10.0.0.0/8
    limits:
      headers: 50
auth:
  keys:
    kind: api_key
  staff:
    kind: basic
upstreams:
  u:
    targets:
      a:
        url: \"http://127.0.0.1:9000\"
        weight: 2
      b:
        url: \"http://127.0.0.1:9002\"
    timeouts:
      connect: 1s
    retries:
      attempts: 2
  v:
    targets:
      a:
        url: \"http://127.0.0.1:9001\"
policies:
  slow:
    kind: rate_limit
    limit: 10/s
    burst: 5
  edge:
    kind: headers
    request:
      remove:
        - X-User
    response:
      remove:
        - Server
  brief:
    kind: timeout
    request: 2s
required:
  policies:
    - edge
defaults:
  upstream: u
  policies:
    - slow
    - edge
  timeout: 5s
  max_body: 1MiB
";

const DOCUMENT: &str = "openapi: 3.1.0
info:
  title: t
  version: \"1\"
security:
  - key: []
paths:
  /orders:
    get:
      operationId: listOrders
      responses:
        \"200\":
          description: fine
    post:
      operationId: createOrder
      security:
        - key: []
        - pair: []
      x-gateway:
        timeout: 8s
        retries:
          attempts: 1
      responses:
        \"201\":
          description: made
  /orders/{id}:
    x-gateway:
      trailing_slash: ignore
    parameters:
      - name: id
        in: path
        required: true
        schema:
          type: string
    get:
      operationId: getOrder
      responses:
        \"200\":
          description: fine
  /status:
    get:
      operationId: getStatus
      security: []
      x-gateway:
        public: true
        upstream: v
      responses:
        \"200\":
          description: fine
components:
  securitySchemes:
    key:
      type: apiKey
      in: header
      name: X-Key
      x-gateway:
        auth: keys
    pair:
      type: http
      scheme: basic
      x-gateway:
        auth: staff
";

/// Second API, which is not edited.
const OTHER: &str = "openapi: 3.1.0
info:
  title: o
  version: \"1\"
security:
  - key: []
paths:
  /parts:
    get:
      operationId: listParts
      responses:
        \"200\":
          description: fine
components:
  securitySchemes:
    key:
      type: apiKey
      in: header
      name: X-Other-Key
      x-gateway:
        auth: keys
";

/// Edits of gateway.yaml: old text, new text.
const OF_GATEWAY: &[(&str, &str)] = &[
    (
        "base_path: /v1",
        "base_path: /v1\n      strip_base_path: true",
    ),
    ("base_path: /v1", "base_path: /v2"),
    ("base_path: /c", "base_path: /d"),
    ("- b.example", "- c.example"),
    ("127.0.0.1:8080", "127.0.0.1:8081"),
    ("- 10.0.0.0/8", "- 10.0.0.0/7"),
    ("headers: 50", "headers: 60"),
    ("127.0.0.1:9000", "127.0.0.1:9009"),
    ("weight: 2", "weight: 3"),
    ("connect: 1s", "connect: 2s"),
    ("attempts: 2", "attempts: 3"),
    ("127.0.0.1:9001", "127.0.0.1:9008"),
    ("limit: 10/s", "limit: 20/s"),
    ("burst: 5", "burst: 9"),
    ("- X-User", "- X-Other"),
    ("- Server", "- X-Powered-By"),
    ("    - edge\ndefaults", "    - slow\ndefaults"),
    ("  upstream: u\n", "  upstream: v\n"),
    ("    - slow\n    - edge\n  timeout", "    - edge\n  timeout"),
    ("timeout: 5s", "timeout: 6s"),
    ("max_body: 1MiB", "max_body: 2MiB"),
];

/// Edits of the document: old text, new text.
const OF_DOCUMENT: &[(&str, &str)] = &[
    (
        "security:\n  - key: []\npaths",
        "security:\n  - pair: []\npaths",
    ),
    ("        - key: []\n        - pair", "        - pair"),
    ("timeout: 8s", "timeout: 9s"),
    ("attempts: 1", "attempts: 4"),
    ("trailing_slash: ignore", "trailing_slash: strict"),
    ("        upstream: v\n", "        upstream: u\n"),
    ("name: X-Key", "name: X-Api-Key"),
    ("auth: staff", "auth: staff\n        strip_credential: true"),
    (
        "          description: fine\n    post",
        "          description: good\n    post",
    ),
    ("title: t", "title: u"),
    (
        "      operationId: listOrders\n",
        "      operationId: listOrders\n      x-gateway:\n        timeout: 1s\n",
    ),
    (
        "      operationId: getOrder\n",
        "      operationId: getOrder\n      security: []\n      x-gateway:\n        public: true\n",
    ),
    ("/status:", "/state:"),
];

/// Line of the first difference of two texts, 1-based.
fn edited(old: &str, new: &str) -> u32 {
    let same = old.lines().zip(new.lines());
    let same = same.take_while(|(old, new)| old == new).count();
    u32::try_from(same).expect("a line") + 1
}

fn planned(old: (&str, &str), new: (&str, &str)) -> Plan {
    let of = |(gateway, document): (&str, &str)| {
        side(&[
            ("gateway.yaml", gateway),
            ("api.yaml", document),
            ("other.yaml", OTHER),
        ])
    };
    let plan = plan::compare(Some(&of(old)), &of(new)).expect("both sides build");
    assert_eq!(plan.bugs, Vec::<String>::new());
    plan
}

/// Maximum number of lines between an edit and the source location of its change.
pub(crate) const NEAR: u32 = 3;

#[test]
fn places_are_the_lines_that_were_edited() {
    let (mut near, mut all) = (0u32, 0u32);
    let mut far = Vec::new();
    let of = |edits: &'static [(&'static str, &'static str)], file: &'static str| {
        edits.iter().map(move |edit| (file, edit))
    };
    for (file, (from, to)) in of(OF_GATEWAY, "gateway.yaml").chain(of(OF_DOCUMENT, "api.yaml")) {
        let (mut gateway, mut document) = (GATEWAY.to_owned(), DOCUMENT.to_owned());
        let (text, before) = match file {
            "gateway.yaml" => (&mut gateway, GATEWAY),
            _ => (&mut document, DOCUMENT),
        };
        *text = edit(text, from, to);
        let line = edited(before, text);
        // Check the change and its reverse.
        let (old, new) = ((GATEWAY, DOCUMENT), (gateway.as_str(), document.as_str()));
        for plan in [planned(old, new), planned(new, old)] {
            for change in &plan.changes {
                let sides = [
                    (&change.source_old, &change.old),
                    (&change.source_new, &change.new),
                ];
                for (place, value) in sides {
                    // A version without the value needs no source location.
                    if value.is_null() && place.is_none() {
                        continue;
                    }
                    all += 1;
                    let is_near = place.as_ref().is_some_and(|place| {
                        place.file == file && place.line.abs_diff(line) <= NEAR
                    });
                    near += u32::from(is_near);
                    if !is_near {
                        let place = place
                            .as_ref()
                            .map(|place| format!("{}:{}", place.file, place.line));
                        far.push(format!(
                            "{file}:{line} {to:?}: {} {} {place:?}",
                            change.id, change.subject
                        ));
                    }
                }
            }
        }
    }
    let percent = near * 100 / all;
    assert!(percent >= 95, "{near} of {all}:\n{}", far.join("\n"));
}

const PATCH: &str = "upstreams:
  u:
    targets:
      a:
        url: \"http://127.0.0.1:9100\"
    timeouts:
      connect: 3s
policies:
  slow:
    limit: 50/s
defaults:
  timeout: 9s
  max_body: 3MiB
";

#[test]
fn places_of_patched_values_are_in_the_patch() {
    let gateway = format!("{GATEWAY}environments:\n  prod:\n    patch: prod.yaml\n");
    let side = |patch: &str| {
        let files = [
            ("gateway.yaml", gateway.as_str()),
            ("api.yaml", DOCUMENT),
            ("other.yaml", OTHER),
            ("prod.yaml", patch),
        ];
        let files = Files::in_memory(files, Limits::default());
        let compiled = compile::project_for(files, &Vec::new(), Some("prod"), Purpose::Route);
        let compiled = compiled.expect("the environment is known");
        let source = SourceMap::of(&compiled);
        let lowered = compiled.lowered.expect("it compiles");
        let bundle = gwc::assemble::assemble(&lowered).expect("a bundle").id();
        Side {
            bundle,
            lowered,
            source: Some(source),
        }
    };
    for (from, to) in [
        ("9100", "9101"),
        ("connect: 3s", "connect: 4s"),
        ("50/s", "60/s"),
        ("9s", "8s"),
        ("3MiB", "4MiB"),
    ] {
        let patch = edit(PATCH, from, to);
        let line = edited(PATCH, &patch);
        for (old, new) in [(PATCH, &*patch), (&*patch, PATCH)] {
            let plan = plan::compare(Some(&side(old)), &side(new)).expect("both sides build");
            assert!(!plan.changes.is_empty(), "{to}");
            for change in &plan.changes {
                for place in [&change.source_old, &change.source_new] {
                    let place = place.as_ref().expect("a place");
                    let near = place.line.abs_diff(line) <= NEAR;
                    assert!(place.file == "prod.yaml" && near, "{to}: {place:?}");
                }
            }
        }
    }
}

#[test]
fn source_map_of_version_3_is_read() {
    let text = |version: u32| {
        format!(
            r#"{{"version":{version},"files":{{}},"fields":[],"operations":{{}},"definitions":{{}}}}"#
        )
    };
    for (version, is_read) in [(2, false), (3, true), (4, true), (5, false)] {
        let map = SourceMap::decode(text(version).as_bytes());
        assert_eq!(map.is_some(), is_read, "{version}");
    }
}
