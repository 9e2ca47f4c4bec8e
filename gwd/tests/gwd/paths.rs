//! Random bytes as paths. Routing, policies, authorisation, logs and forwarding all use the same
//! path, or the request is not forwarded (semantics.md §2).
//!
//! The expected paths are computed here independently of the gateway's code, from RFC 3986 §5.2.4
//! and §6.2.2 and the precedence of routes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

use gwd::node::AccessLog;

use crate::fixture::*;
use crate::routes::rewrite;

/// Parts of generated paths: segments of routes, separators, dots, and their percent-encodings.
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
    b"%09",
    b"%3f",
    b"%23",
    b"%C3%A9",
    b"%c3",
    b"\xC3\xA9",
    b"\x01",
    b"\x7F",
    b"\xFF",
    b"#",
];

/// Number of requested paths.
const PATHS: usize = 4_000;

/// Random number generator (SplitMix64).
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

/// Path that all parts of the gateway must use, or `None` if the request must be refused.
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
                    0..=0x1F | 0x7F => return None,
                    // Unreserved characters (RFC 3986 §2.3).
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

/// Removes dot segments (RFC 3986 §5.2.4). `None` if the path leaves the root.
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

/// Collects all variants that servers may make of a path, with their changes in any order. `None`
/// if a variant leaves the root.
fn spellings(path: &str) -> Option<BTreeSet<String>> {
    let mut known = BTreeSet::from([path.to_owned()]);
    let mut fresh = vec![path.to_owned()];
    while let Some(text) = fresh.pop() {
        let bare: Vec<&str> = text
            .split('/')
            .map(|segment| segment.find(';').map_or(segment, |at| &segment[..at]))
            .collect();
        let mut merged = text.clone();
        while let Some(at) = merged.find("//") {
            merged.remove(at);
        }
        let each = |trim: fn(&str) -> String| {
            let trimmed: Vec<String> = text.split('/').map(trim).collect();
            trimmed.join("/")
        };
        let up_to = |escape: &str| match text.find(escape) {
            Some(0) => "/".to_owned(),
            Some(at) => text[..at].to_owned(),
            None => text.clone(),
        };
        // The path begins like a URL with a host.
        let behind = text.strip_prefix("//");
        let behind = behind.map(|rest| rest.find('/').map_or("/", |at| &rest[at..]));
        for other in [
            behind.unwrap_or(&text).to_owned(),
            text.replace("%2F", "/"),
            text.replace("%5C", "/"),
            text.replace("%3B", ";"),
            again(&text),
            utf8_only(&text),
            bare.join("/"),
            merged,
            up_to("%3F"),
            up_to(";"),
            up_to("%23"),
            each(|name| {
                let mut name = name;
                while name.get(..3).is_some_and(is_blank) {
                    name = &name[3..];
                }
                name.to_owned()
            }),
            each(|name| {
                let mut name = name;
                while name.len() >= 3 && name.get(name.len() - 3..).is_some_and(is_blank) {
                    name = &name[..name.len() - 3];
                }
                name.to_owned()
            }),
            each(|name| match name {
                "." | ".." => name.to_owned(),
                _ => name.trim_end_matches('.').to_owned(),
            }),
            without_dots(&text)?,
        ] {
            if known.insert(other.clone()) {
                fresh.push(other);
            }
        }
    }
    Some(known)
}

/// True for an encoded blank or line break.
fn is_blank(escape: &str) -> bool {
    matches!(escape, "%20" | "%09" | "%0A" | "%0B" | "%0C" | "%0D")
}

/// Decodes a path once more: `%25` before two digits becomes `%`, except for an encoded NUL.
fn again(text: &str) -> String {
    let mut decoded = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("%25") {
        let digits: String = rest[at + 3..].chars().take(2).collect();
        let escape = digits.len() == 2 && u8::from_str_radix(&digits, 16).is_ok_and(|it| it > 0);
        let escape = escape && !digits.starts_with('+');
        decoded.push_str(&rest[..at]);
        decoded.push_str(if escape { "%" } else { "%25" });
        rest = &rest[at + 3..];
    }
    decoded.push_str(rest);
    let escapes = decoded.clone();
    let mut text = String::new();
    let mut rest = escapes.as_str();
    while let Some(at) = rest.find('%') {
        let byte = u8::from_str_radix(&rest[at + 1..at + 3], 16).expect("an escape");
        let letter = char::from(byte);
        text.push_str(&rest[..at]);
        match letter.is_ascii_alphanumeric() || "-._~".contains(letter) {
            true => text.push(letter),
            false => text.push_str(&format!("%{byte:02X}")),
        }
        rest = &rest[at + 3..];
    }
    text.push_str(rest);
    text
}

/// Drops the escapes that are not UTF-8.
fn utf8_only(text: &str) -> String {
    let mut kept = String::new();
    let mut escapes = Vec::new();
    let flush = |escapes: &mut Vec<u8>, kept: &mut String| {
        for chunk in escapes.utf8_chunks() {
            let valid = chunk.valid().bytes();
            kept.extend(valid.map(|byte| format!("%{byte:02X}")));
        }
        escapes.clear();
    };
    let mut rest = text;
    while !rest.is_empty() {
        let end = if rest.starts_with('%') { 3 } else { 1 };
        match rest.strip_prefix('%') {
            Some(_) => escapes.push(u8::from_str_radix(&rest[1..3], 16).expect("an escape")),
            None => {
                flush(&mut escapes, &mut kept);
                kept.push_str(&rest[..1]);
            }
        }
        rest = &rest[end..];
    }
    flush(&mut escapes, &mut kept);
    kept
}

/// Operation that a path belongs to.
fn operation(path: &str) -> &'static str {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match segments[..] {
        ["raw", one] if !one.is_empty() => "GET shop:/raw/{x}",
        ["item", one] if !one.is_empty() => "GET shop:/item/{x}",
        ["admin", ..] => "GET shop:/admin",
        _ => "GET shop:/",
    }
}

/// Expected status, operation and forwarded path, with or without an API key.
fn answer(path: &str, key: bool) -> (u16, &'static str, Option<String>) {
    let own = operation(path);
    let refused = (400, own, None);
    let Some(spellings) = spellings(path) else {
        return refused;
    };
    let (dotted, plain): (Vec<&String>, Vec<&String>) = spellings
        .iter()
        .partition(|text| text.split('/').any(|segment| matches!(segment, "." | "..")));
    if plain.iter().any(|reading| operation(reading) != own) || spellings.len() > 64 {
        return refused;
    }
    // A server that ignores letter case serves the protected `/admin`.
    let in_other_case = |reading: &str| {
        let first = reading.split('/').nth(1).unwrap_or_default();
        first != "admin" && first.eq_ignore_ascii_case("admin")
    };
    // A server that ignores final slashes runs the operation with the policy.
    let in_other_slash = |reading: &str| {
        let bare = reading.trim_end_matches('/');
        bare.len() < reading.len() && own.ends_with(":/") && operation(bare).ends_with("item/{x}")
    };
    if plain
        .iter()
        .any(|reading| in_other_case(reading) || in_other_slash(reading))
    {
        return refused;
    }
    match path.strip_prefix("/item/") {
        // The `rewrite` policy builds a path from the parameter.
        Some(one) if own.ends_with("item/{x}") => match dotted.is_empty() {
            true => (200, own, Some(format!("/in/{one}"))),
            false => refused,
        },
        _ if own.ends_with("/admin") && !key => (401, own, None),
        _ => (200, own, Some(path.to_owned())),
    }
}

/// Path as the access log shows it for a refused request. The log shows `REDACTED` for the text of
/// a segment before its last `@`, which may be a user name and password.
fn without_user_information(path: &str) -> String {
    let segments = path.split('/').map(|segment| {
        let at = segment.rfind('@').max(segment.rfind("%40"));
        match at {
            Some(at) if at > 0 => format!("REDACTED{}", &segment[at..]),
            _ => segment.to_owned(),
        }
    });
    segments.collect::<Vec<_>>().join("/")
}

#[test]
fn matched_path_is_bound_authorised_and_forwarded() {
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
    // Expected path and operation in the log, by request id.
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
        let shown_path = match status {
            400 => without_user_information(&path),
            _ => path,
        };
        logged.insert(id.to_owned(), (shown_path, operation));
    }
    // Each kind of response must occur often, so that the test proves something about it.
    assert!(statuses.values().all(|count| *count > 50), "{statuses:?}");
    assert_eq!(statuses.len(), 4, "{statuses:?}");
    eventually("all requests are logged", || {
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
