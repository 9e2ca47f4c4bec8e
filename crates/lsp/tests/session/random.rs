//! Random edits: after each, the diagnostics are those of a fresh session with the same texts.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Value, json};

use super::{Client, GATEWAY, ORDERS};

const COMMON: &str = "openapi: 3.0.3
info: {title: Common, version: '1'}
paths: {}
components:
  schemas:
    Money:
      type: object
      description: |
        An amount.

        # not a comment
      required: [amount]
      properties:
        amount: {type: integer, default: 1}
        unit:
          type: string
          enum:
          - EUR
          - USD
";

const BILLS: &str = "openapi: 3.0.3
info:
  title: Bills
  version: '1'
paths:
  /bills/{id}:
    parameters:
    - name: id
      in: path
      required: true
      schema: {type: string, maxLength: 10}
    get:
      operationId: bill
      x-gateway:
        timeout: 3s
        policies:
          - slow
      responses:
        '200':
          description: fine
          content:
            application/json:
              schema:
                $ref: 'common.yaml#/components/schemas/Money'
    delete:
      operationId: cancel
      responses: {'204': {description: gone}}
";

const STAGED: &str = "version: 1
name: staged
apis:
  orders: {path: orders.yaml}
  bills: {path: bills.yaml}
upstreams:
  main: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}
policies:
  per_client: {kind: rate_limit, limit: 10/s}
  slow: {kind: rate_limit, limit: 1/s}
defaults:
  upstream: main
  security: upstream
  timeout: 5s
environments:
  test: {defaults: {timeout: 6s}}
  prod:
    policies:
      slow: {limit: 2/s}
";

/// Texts that edits insert. No text has a carriage return, because the protocol has no position
/// between a carriage return and a line feed.
const PIECES: &[&str] = &[
    "\n",
    "\n  ",
    "\n    ",
    " ",
    ": ",
    "- ",
    "#",
    "\"",
    "'",
    "|",
    "{",
    "}",
    "[",
    ",",
    "&a ",
    "*a",
    "x",
    "1",
    "~",
    "é",
    "type: strin\n",
    "      x-gateway: {timeout: 1}\n",
    "    Other: {type: object}\n",
    "  /bills: {get: {}}\n",
    "operationId: list\n",
    "per_client",
    "        default: a\n",
    "    # comment\n",
    "<<: ",
    "...\n",
    "$ref: '#/components/schemas/Order'",
    "  environments: {}\n",
];

/// Pseudo-random numbers (Knuth's linear congruential generator).
struct Dice(u64);

impl Dice {
    fn below(&mut self, count: usize) -> usize {
        let next = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = next.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % count.max(1)
    }
}

/// Random edit of a text: start and end of the replaced range in bytes, and the new text.
fn edit(text: &str, dice: &mut Dice) -> (usize, usize, String) {
    let start = text.floor_char_boundary(dice.below(text.len() + 1));
    let length = if dice.below(3) == 0 {
        dice.below(15)
    } else {
        0
    };
    let end = text
        .floor_char_boundary((start + length).min(text.len()))
        .max(start);
    let new = PIECES[dice.below(PIECES.len())];
    let new = if dice.below(6) == 0 { "" } else { new };
    (start, end, new.to_owned())
}

/// Position of the protocol. All characters have one UTF-16 unit.
fn position(text: &str, offset: usize) -> Value {
    let before = &text[..offset];
    let line = before.matches('\n').count();
    let column = before.rsplit('\n').next().unwrap().chars().count();
    json!({"line": line, "character": column})
}

/// Non-empty lists of diagnostics, by URI.
fn present(client: &Client) -> BTreeMap<&String, &Value> {
    let all = client.diagnostics.iter();
    all.filter(|(_, list)| !list.as_array().unwrap().is_empty())
        .collect()
}

/// Waits until the server has sent all diagnostics of the newest texts. gateway.yaml always belongs
/// to the project, so the version of its diagnostics shows the compiled texts.
fn settle(client: &mut Client, version: i64) {
    let gateway = client.uri("gateway.yaml");
    while client.versions.get(&gateway) != Some(&version) {
        client.receive();
    }
    // The response follows all notifications of the same compilation.
    assert!(client.send("gwc/none", &Value::Null).is_err());
}

/// Starts a session in the same folder, opens the texts, and waits for the diagnostics.
fn fresh(client: &Client, texts: &BTreeMap<&str, String>) -> Client {
    let mut other = Client::start_in(Rc::clone(&client.folder));
    let last = texts.iter().filter(|(name, _)| **name == "gateway.yaml");
    for (name, text) in texts
        .iter()
        .filter(|(name, _)| **name != "gateway.yaml")
        .chain(last)
    {
        other.open_text(name, text);
    }
    settle(&mut other, 1);
    other
}

fn edits_equal_a_fresh_session(files: &[(&'static str, &str)], seed: u64, edits: usize) {
    let mut dice = Dice(seed);
    let mut client = Client::start(files);
    let mut texts: BTreeMap<&str, String> = BTreeMap::new();
    for (name, text) in files {
        client.open(name);
        texts.insert(*name, (*text).to_owned());
    }
    let mut version = 1;
    for step in 0..edits {
        // Edits come one by one, or several at once.
        for _ in 0..=dice.below(2) {
            version += 1;
            let (name, original) = files[dice.below(files.len())];
            let text = texts.get_mut(name).unwrap();
            // A text that is broken for long has few findings, so return to the original.
            let (start, end, new) = match dice.below(4) {
                0 => (0, text.len(), original.to_owned()),
                _ => edit(text, &mut dice),
            };
            let range = json!({"start": position(text, start), "end": position(text, end)});
            text.replace_range(start..end, &new);
            client.notify(
                "textDocument/didChange",
                &json!({
                    "textDocument": {"uri": client.uri(name), "version": version},
                    "contentChanges": [{"range": range, "text": new}],
                }),
            );
        }
        version += 1;
        let gateway = json!({"uri": client.uri("gateway.yaml"), "version": version});
        let none = json!({"textDocument": gateway, "contentChanges": []});
        client.notify("textDocument/didChange", &none);
        settle(&mut client, version);
        let expected = fresh(&client, &texts);
        assert_eq!(
            present(&client),
            present(&expected),
            "seed {seed}, step {step}: {texts:#?}"
        );
        expected.end();
    }
    client.end();
}

#[test]
fn random_edits_give_findings_of_a_fresh_session() {
    let projects: [&[(&str, &str)]; 3] = [
        &[("gateway.yaml", GATEWAY), ("orders.yaml", ORDERS)],
        &[
            ("gateway.yaml", STAGED),
            ("orders.yaml", ORDERS),
            ("bills.yaml", BILLS),
            ("common.yaml", COMMON),
        ],
        &[
            ("gateway.yaml", STAGED),
            ("bills.yaml", BILLS),
            ("orders.yaml", COMMON),
        ],
    ];
    let is_full = std::env::var_os("GWC_TEST_FULL").is_some();
    let (seeds, edits) = if is_full { (60, 100) } else { (4, 25) };
    for (at, files) in projects.iter().enumerate() {
        for seed in 0..seeds {
            edits_equal_a_fresh_session(files, seed * 3 + at as u64, edits);
        }
    }
}
