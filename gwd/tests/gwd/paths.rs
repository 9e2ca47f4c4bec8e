//! Random bytes as paths: what the router matches, what policies bind, what is authorised, logged
//! and forwarded is one path, or nothing is forwarded (semantics.md §2).
//!
//! What to expect is written down once more here, from RFC 3986 §5.2.4 and §6.2.2 and the order of
//! routes, and shares nothing with the gateway.

use std::collections::BTreeMap;
use std::io::Write as _;

use gwd::node::AccessLog;

use crate::fixture::*;
use crate::routes::rewrite;

/// What paths are made of: names that routes know, separators, dots, and how they are hidden.
const PIECES: &[&[u8]] = &[
    b"/",
    b"/",
    b"/",
    b"/admin",
    b"/raw/",
    b"/item/",
    b"admin",
    b"raw",
    b"item",
    b"a",
    b"B",
    b"7",
    b".",
    b"..",
    b"/..",
    b"/../",
    b"/.",
    b"/./",
    b"//",
    b"%2e",
    b"%2E%2e",
    b"/%2e%2e/",
    b"%2f",
    b"%2F",
    b"%5c",
    b"%5C",
    b"\\",
    b"%00",
    b"%25",
    b"%252e",
    b"%252f",
    b"%",
    b"%4",
    b"%zz",
    b"%G0",
    b"%61",
    b"%41dmin",
    b"%7e",
    b"~",
    b";",
    b";x=1",
    b"..;",
    b":",
    b"@",
    b"+",
    b"=",
    b"&",
    b"*",
    b"%20",
    b"%0d%0a",
    b"%C3%A9",
    b"%c3",
    b"\xC3\xA9",
    b"\x01",
    b"\x7F",
    b"\xFF",
    b"#",
];

/// How many paths are asked for.
const PATHS: usize = 4_000;

/// A generator of numbers (SplitMix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % bound as u64).unwrap()
    }

    fn path(&mut self) -> Vec<u8> {
        let mut path = b"/".to_vec();
        if self.below(2) == 0 {
            let begins: [&[u8]; 4] = [b"admin/", b"raw/", b"item/", b"a/"];
            path.extend(begins[self.below(4)]);
        }
        for _ in 0..self.below(7) {
            path.extend(PIECES[self.below(PIECES.len())]);
        }
        path
    }
}

/// The path that everybody shall see; none where it cannot be served.
fn expected(raw: &[u8]) -> Option<String> {
    let mut text = String::new();
    let mut rest = raw;
    while let [first, tail @ ..] = rest {
        rest = tail;
        match first {
            b'%' => {
                let [high, low, tail @ ..] = rest else {
                    return None;
                };
                rest = tail;
                let digits = String::from_utf8(vec![*high, *low]).ok()?;
                if !digits.chars().all(|digit| digit.is_ascii_hexdigit()) {
                    return None;
                }
                let byte = u8::from_str_radix(&digits, 16).ok()?;
                let letter = char::from(byte);
                match byte {
                    0 => return None,
                    // RFC 3986 §2.3
                    _ if letter.is_ascii_alphanumeric() || "-._~".contains(letter) => {
                        text.push(letter);
                    }
                    _ => text.push_str(&format!("%{}", digits.to_ascii_uppercase())),
                }
            }
            0x21..=0x7E if !b"\\#".contains(first) => text.push(char::from(*first)),
            _ => return None,
        }
    }
    without_dots(&text)
}

/// RFC 3986 §5.2.4, step by step; none where a segment would be taken from above the root.
fn without_dots(text: &str) -> Option<String> {
    let (mut input, mut output) = (text.to_owned(), String::new());
    while !input.is_empty() {
        if input.starts_with("/./") {
            input.replace_range(..2, "");
        } else if input == "/." {
            input = "/".into();
        } else if input.starts_with("/../") || input == "/.." {
            input.replace_range(..3, "");
            if input.is_empty() {
                input = "/".into();
            }
            let last = output.rfind('/')?;
            output.truncate(last);
        } else {
            let end = input[1..].find('/').map_or(input.len(), |at| at + 1);
            output.push_str(&input[..end]);
            input.replace_range(..end, "");
        }
    }
    Some(output)
}

/// Status, operation, and the path that the upstream gets, with a key or without one.
fn answer(path: &str, key: bool) -> (u16, &'static str, Option<String>) {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let split = path.contains("%2F") || path.contains("%5C");
    match segments[..] {
        ["raw", one] if !one.is_empty() => (200, "GET shop:/raw/{x}", Some(path.to_owned())),
        // A policy makes a path of the parameter.
        ["item", one] if !one.is_empty() => match split {
            true => (400, "GET shop:/item/{x}", None),
            false => (200, "GET shop:/item/{x}", Some(format!("/in/{one}"))),
        },
        ["admin", ..] if split => (400, "GET shop:/admin", None),
        ["admin", ..] if !key => (401, "GET shop:/admin", None),
        ["admin", ..] => (200, "GET shop:/admin", Some(path.to_owned())),
        _ if split => (400, "GET shop:/", None),
        _ => (200, "GET shop:/", Some(path.to_owned())),
    }
}

#[test]
fn what_is_matched_is_what_is_bound_authorised_logged_and_forwarded() {
    let upstream = Upstream::echoing();
    let ops = vec![
        op("GET", "/").prefix(),
        op("GET", "/admin").prefix().secured("key"),
        op("GET", "/raw/{x}"),
        op("GET", "/item/{x}").policy("inner"),
    ];
    let mut shop = shop(upstream.address, ops);
    shop.policies = vec![rewrite("inner", "/in/{x}", "GET", "in.example")];
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let served = shop.serve_with(1, AccessLog::File(log.clone()));
    let mut dice = Dice(20_260_101);
    let mut client = Client::connect(served.address);
    // By request id: the path and the operation that the log must have.
    let mut logged: BTreeMap<String, (String, &str)> = BTreeMap::new();
    let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
    for _ in 0..PATHS {
        let raw = dice.path();
        let key = dice.below(2) == 0;
        let shown = raw.escape_ascii().to_string();
        let credential = if key { "x-key: letmein\r\n" } else { "" };
        let head = format!(" HTTP/1.1\r\nhost: shop.example\r\n{credential}\r\n");
        let request = [b"GET ", &raw[..], b"?q=%2e%2E/..", head.as_bytes()].concat();
        let mut stream = client.another();
        let _closed = stream.write_all(&request);
        let answered = client.answer();
        let Some(path) = expected(&raw) else {
            assert_eq!(answered.status, 400, "{shown}");
            *statuses.entry(0).or_default() += 1;
            client = Client::connect(served.address);
            continue;
        };
        let (status, operation, forwarded) = answer(&path, key);
        assert_eq!(answered.status, status, "{shown} as {path}");
        *statuses.entry(status).or_default() += 1;
        if let Some(forwarded) = forwarded {
            let line = answered.text().lines().next().unwrap_or_default();
            let target = format!("GET {forwarded}?q=%2e%2E/.. HTTP/1.1");
            assert_eq!(line, target, "{shown} as {path}");
        } else {
            assert!(!answered.text().starts_with("GET "), "{shown} as {path}");
        }
        let [id] = answered.field("x-request-id")[..] else {
            panic!("{shown}: {answered:?}");
        };
        logged.insert(id.to_owned(), (path, operation));
    }
    // Each kind of answer came often enough to mean something.
    assert!(statuses.values().all(|count| *count > 50), "{statuses:?}");
    assert_eq!(statuses.len(), 4, "{statuses:?}");
    eventually("everything is logged", || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let lines: Vec<serde_json::Value> = lines.collect();
        let found = lines.iter().filter(|line| {
            let id = line["request_id"].as_str().unwrap_or_default();
            logged.get(id).is_some_and(|(path, operation)| {
                assert_eq!(line["path"], *path, "{line}");
                assert_eq!(line["operation_id"], *operation, "{line}");
                true
            })
        });
        found.count() == logged.len()
    });
}
