//! Tests of the source locations of changes after random edits: at least 95 of 100 locations are at
//! most three lines from the edit, in both versions.

use std::collections::BTreeSet;

use model::compile::Purpose;

use crate::compiled;
use crate::dice::Dice;
use crate::located::NEAR;

const GATEWAY: &str = "version: 1
name: shop
apis:
  a:
    path: api.yaml
    mount:
      base_path: /v1
listeners:
  public:
    address: \"127.0.0.1:8080\"
    trusted_proxies:
      - 10.0.0.0/8
    limits:
      headers: 50
      connections: 1000
      body_timeout: 40s
      min_rate: 1KiB
auth:
  keys:
    kind: api_key
  idp:
    kind: jwt
    issuer: https://i.example
    audience:
      - shop
    algorithms:
      - HS256
    secret: \"${env:JWT_SECRET}\"
    leeway: 10s
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
    limits:
      connections: 100
      requests: 200
    health:
      passive:
        consecutive_5xx: 5
  v:
    targets:
      a:
        url: \"http://127.0.0.1:9001\"
consumers:
  acme:
    groups:
      - gold
    keys:
      - sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
policies:
  slow:
    kind: rate_limit
    limit: 10/s
    burst: 5
  month:
    kind: quota
    limit: 1000
    period: month
  few:
    kind: concurrency
    limit: 7
  inner:
    kind: ip_filter
    allow:
      - 10.0.0.0/8
      - 192.168.0.0/16
  web:
    kind: cors
    origins:
      - https://a.example
    max_age: 60s
  waf:
    kind: threat
    json:
      depth: 9
  away:
    kind: split
    among:
      - upstream: u
        weight: 9
      - upstream: v
        weight: 1
  edge:
    kind: headers
    request:
      set:
        X-Tier: gold
    response:
      remove:
        - Server
defaults:
  upstream: u
  policies:
    - slow
    - month
    - few
    - inner
    - waf
    - edge
  timeout: 5s
  max_body: 1MiB
lint:
  missing-license: off
  way-round: off
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
      x-gateway:
        timeout: 3s
      parameters:
        - name: q
          in: query
          schema:
            type: string
            maxLength: 8
      responses:
        \"200\":
          description: fine
    post:
      operationId: createOrder
      security:
        - key: []
        - tok: []
      x-gateway:
        timeout: 8s
        validate:
          request: block
        retries:
          attempts: 1
      requestBody:
        content:
          application/json:
            schema:
              type: object
              required:
                - n
              properties:
                n:
                  type: integer
                  maximum: 9
                s:
                  type: string
                  maxLength: 20
      responses:
        \"201\":
          description: made
  /orders/{id}:
    parameters:
      - name: id
        in: path
        required: true
        schema:
          type: string
    get:
      operationId: getOrder
      x-gateway:
        policies:
          - web
        cost: 3
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
  /canary:
    get:
      operationId: canary
      x-gateway:
        policies:
          - away
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
    tok:
      type: http
      scheme: bearer
      x-gateway:
        auth: idp
";

/// Words that an edit replaces. An edit of another line increments its last number, or removes an
/// entry of a list.
const WORDS: &[(&str, &str)] = &[
    ("GET", "POST"),
    ("X-Tier", "X-Rank"),
    ("- gold", "- silver"),
    ("- Server", "- X-Powered-By"),
    ("X-Key", "X-Api-Key"),
    ("block", "log"),
    ("period: month", "period: day"),
    ("https://a.example", "https://b.example"),
    ("https://i.example", "https://j.example"),
    ("- shop", "- mall"),
    ("upstream: v", "upstream: u"),
    ("/status", "/state"),
    ("/orders/", "/order/"),
    ("type: integer", "type: number"),
    ("description: fine", "description: good"),
    ("HS256", "HS512"),
    ("getOrder", "fetchOrder"),
    ("title: t", "title: u"),
    ("type: string", "type: integer"),
    ("/v1", "/v2"),
    ("sha256: 9f", "sha256: aa"),
];

/// Line with its last number incremented. `None` without a number.
fn incremented(line: &str) -> Option<String> {
    let end = line.rfind(|c: char| c.is_ascii_digit())? + 1;
    let start = line[..end].rfind(|c: char| !c.is_ascii_digit());
    let start = start.map_or(0, |before| before + 1);
    let number: u64 = line[start..end].parse().ok()?;
    Some(format!("{}{}{}", &line[..start], number + 1, &line[end..]))
}

/// Edits of one line: the new line, or `None` to remove it.
fn edits(line: &str) -> Vec<Option<String>> {
    let words = WORDS.iter().filter(|(from, _)| line.contains(from));
    let mut all: Vec<Option<String>> = words
        .map(|(from, to)| Some(line.replacen(from, to, 1)))
        .collect();
    let is_fixed = ["version", "operationId", "\"20", "sha256", "openapi"];
    if !is_fixed.iter().any(|word| line.contains(word)) {
        all.extend(incremented(line).map(Some));
    }
    let entry = line.trim_start().strip_prefix("- ");
    if entry.is_some_and(|entry| !entry.contains(": ")) {
        all.push(None);
    }
    all
}

/// Text in which `line` replaces the line at index `at` (0-based). `None` removes that line.
fn edited(text: &str, at: usize, line: Option<&str>) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    match line {
        Some(line) => lines[at] = line,
        None => drop(lines.remove(at)),
    }
    lines.join("\n") + "\n"
}

#[test]
fn places_of_random_edits_are_near() {
    let mut all: Vec<(&str, usize, Option<String>)> = Vec::new();
    for (file, text) in [("gateway.yaml", GATEWAY), ("api.yaml", DOCUMENT)] {
        for (at, line) in text.lines().enumerate() {
            all.extend(edits(line).into_iter().map(|edit| (file, at, edit)));
        }
    }
    assert!(all.len() > 70, "{}", all.len());
    let mut dice = Dice::new(16);
    let chosen: BTreeSet<usize> = (0..100).map(|_| dice.below(all.len())).collect();
    let side = |gateway: &str, document: &str| {
        compiled(
            &[("gateway.yaml", gateway), ("api.yaml", document)],
            Purpose::Run,
        )
    };
    let base = side(GATEWAY, DOCUMENT).expect("it compiles");
    let (mut near, mut count, mut plans) = (0, 0, 0);
    let mut far = Vec::new();
    for (file, at, line) in chosen.into_iter().map(|index| &all[index]) {
        let [mut gateway, mut document] = [GATEWAY, DOCUMENT].map(str::to_owned);
        let text = match *file {
            "gateway.yaml" => &mut gateway,
            _ => &mut document,
        };
        *text = edited(text, *at, line.as_deref());
        // Skip a random edit that the compiler reports as a mistake.
        let Ok(other) = side(&gateway, &document) else {
            continue;
        };
        let number = u32::try_from(at + 1).expect("a line");
        for (old, new) in [(&base, &other), (&other, &base)] {
            plans += 1;
            let plan = plan::compare(Some(old), new).expect("both sides build");
            assert_eq!(plan.bugs, Vec::<String>::new());
            for change in &plan.changes {
                let sides = [
                    (&change.source_old, &change.old),
                    (&change.source_new, &change.new),
                ];
                // A version without the value needs no source location.
                let sides = sides
                    .into_iter()
                    .filter(|(place, value)| !value.is_null() || place.is_some());
                for (place, _) in sides {
                    count += 1;
                    let is_near = place.as_ref().is_some_and(|place| {
                        place.file == *file && place.line.abs_diff(number) <= NEAR
                    });
                    near += u32::from(is_near);
                    if !is_near {
                        let place = place
                            .as_ref()
                            .map(|place| format!("{}:{}", place.file, place.line));
                        far.push(format!(
                            "{file}:{number} {line:?}: {} {} {place:?}",
                            change.id, change.subject
                        ));
                    }
                }
            }
        }
    }
    assert!(plans > 80 && count > 200, "{plans} plans, {count} places");
    assert!(
        near * 100 >= count * 95,
        "{near} of {count}:\n{}",
        far.join("\n")
    );
}
