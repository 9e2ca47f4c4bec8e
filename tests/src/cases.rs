//! Case files: text files with requests, the expected responses, and the expected requests to the
//! upstream.
//!
//! Each folder under `tests/cases` is a project (`gateway.yaml` and its documents) with case files
//! `*.http`. In the project, `$UPSTREAM` is replaced by the address of a recording upstream, and
//! `http://127.0.0.9:1` by that of other services. A file contains cases:
//!
//! ```text
//! ### a literal beats a parameter
//! GET /pets/mine HTTP/1.1          the version is optional
//! X-Answer: status=201             response of the upstream: see `upstream::Answer`
//!
//! a body, up to the arrow
//! => forward s/getMine             the decision: see `Decision`
//! < 201                            expected response: its status, …
//! < content-type: text/plain       … a field and its value, …
//! < ratelimit: "a";r=0;t=50..60    … a number in its value between two bounds, …
//! < !server                        … a field that must be absent, …
//! < ~ at rest                      … a part of the body
//! ^ GET /pets/mine                 expected upstream request: its first line, …
//! ^ x-forwarded-for: 127.0.0.1     … a field (all its lines joined with `, `), …
//! ^ !connection                    … a field that must be absent, …
//! ^ ~ a body                       … a part of the body
//! ^ 2 requests                     number of requests that upstreams receive. Default: 1 if the
//!                                  decision is `forward`, otherwise 0. At least one of them must
//!                                  meet each line above; all of them must meet a line `^ !FIELD`
//! ```
//!
//! `Host: gateway.test` is added if a case has no `Host`. `=> forward s/getMine` also expects
//! status 200, unless `< STATUS` expects another one. A case whose decision ends in `(gwd)` only
//! runs on gwd, not through `gwc route`, because it depends on raw bytes or on time.

use std::path::{Path, PathBuf};

/// True if a field has the expected value. `50..60` in the expected value matches any number from
/// 50 to 60, inclusive.
#[must_use]
pub fn fits(expected: &str, found: &str) -> bool {
    let is_digit = |found: char| found.is_ascii_digit();
    let Some((head, tail)) = expected.split_once("..") else {
        return expected == found;
    };
    let before = head.trim_end_matches(is_digit);
    let after = tail.trim_start_matches(is_digit);
    let bounds = (
        head[before.len()..].parse::<u64>(),
        tail[..tail.len() - after.len()].parse::<u64>(),
    );
    let (Ok(least), Ok(most)) = bounds else {
        return expected == found;
    };
    let number = found
        .strip_prefix(before)
        .and_then(|rest| rest.strip_suffix(after));
    let number = number.and_then(|number| number.parse::<u64>().ok());
    number.is_some_and(|number| (least..=most).contains(&number))
}

/// Request with its expected results.
#[derive(Clone, Debug)]
pub struct Case {
    /// File and line where the case begins.
    pub place: String,
    /// Title of the case.
    pub title: String,
    /// Method of the request.
    pub method: String,
    /// The request target.
    pub target: String,
    /// Fields of the request, as written in the file.
    pub headers: Vec<(String, String)>,
    /// Body of the request.
    pub body: String,
    /// Expected decision.
    pub decision: Decision,
    /// True if the case also runs through `gwc route`.
    pub by_gwc: bool,
    /// Expectations on the response.
    pub response: Vec<Expected>,
    /// Expectations on requests that upstreams receive.
    pub upstream: Vec<Expected>,
    /// Number of requests that upstreams receive, from the case. `None`: the default.
    pub requests: Option<usize>,
}

/// Expected decision about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// `=> forward KEY`: the request is forwarded. Contains the operation's key.
    Forward(String),
    /// `=> respond STATUS KEY`: a policy responds. Contains the status and the operation's key.
    Respond(u16, String),
    /// `=> reject STATUS REASON [KEY]`: the request is rejected. Contains the status, the reason,
    /// and the operation's key if there is one.
    Reject(u16, String, Option<String>),
    /// `=> none`: no operation matches the request.
    None,
}

/// Expectation on a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Status of a response, or method and target of a request.
    First(String),
    /// Field with this name and value.
    Field(String, String),
    /// No field with this name.
    NoField(String),
    /// Text that the body contains.
    Body(String),
}

/// Folders of the projects under `tests/cases`.
#[must_use]
pub fn features(folder: &Path) -> Vec<PathBuf> {
    let entries = folder.read_dir().expect("tests/cases is there");
    let mut features: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.join("gateway.yaml").is_file())
        .collect();
    features.sort();
    features
}

/// Cases of a project, from all of its files.
#[must_use]
pub fn of(feature: &Path) -> Vec<Case> {
    let entries = feature.read_dir().expect("a folder");
    let mut files: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "http"))
        .collect();
    files.sort();
    let cases = files.iter().flat_map(|file| {
        let text = std::fs::read_to_string(file).expect("a case file is text");
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        parse(&name, &text)
    });
    cases.collect()
}

/// Parses a case file. Text before the first `###` is a comment.
#[must_use]
pub fn parse(file: &str, text: &str) -> Vec<Case> {
    let mut blocks: Vec<(usize, Vec<&str>)> = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        if line.starts_with("###") {
            blocks.push((number, Vec::new()));
        }
        if let Some((_, lines)) = blocks.last_mut() {
            lines.push(line);
        }
    }
    blocks
        .into_iter()
        .map(|(number, lines)| block(format!("{file}:{number}"), &lines))
        .collect()
}

fn block(place: String, lines: &[&str]) -> Case {
    let title = lines[0].trim_start_matches('#').trim().to_owned();
    let arrow = lines
        .iter()
        .position(|line| line.starts_with("=> "))
        .unwrap_or_else(|| panic!("{place}: no `=>`"));
    let mut request = lines[1..arrow].iter().copied();
    let first = request.next().unwrap_or_default();
    let mut words = first.split(' ');
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or_default().to_owned();
    assert!(!target.is_empty(), "{place}: no request line");
    let headers: Vec<(String, String)> = request
        .by_ref()
        .take_while(|line| !line.is_empty())
        .map(|line| {
            let (name, value) = line
                .split_once(':')
                .unwrap_or_else(|| panic!("{place}: not a field: {line}"));
            (name.to_owned(), value.trim_start().to_owned())
        })
        .collect();
    // The body of a chunked request contains its framing, so each `\n` in the file becomes CR LF.
    let chunked = headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("transfer-encoding"));
    let lines_of_body: Vec<&str> = request.collect();
    let body = if chunked {
        lines_of_body
            .iter()
            .map(|line| format!("{line}\r\n"))
            .collect()
    } else {
        lines_of_body.join("\n")
    };
    let decision_text = lines[arrow]["=> ".len()..].trim();
    let (decision_text, by_gwc) = match decision_text.strip_suffix("(gwd)") {
        Some(decision_text) => (decision_text.trim(), false),
        None => (decision_text, true),
    };
    let mut case = Case {
        title,
        method,
        target,
        headers,
        body,
        decision: decision(&place, decision_text),
        by_gwc,
        response: Vec::new(),
        upstream: Vec::new(),
        requests: None,
        place,
    };
    for line in &lines[arrow + 1..] {
        match line.split_at_checked(2) {
            Some(("< ", rest)) => case.response.push(Expected::parse(rest)),
            Some(("^ ", rest)) => match rest.strip_suffix(" requests") {
                Some(count) => case.requests = Some(count.parse().expect("a number of requests")),
                None => case.upstream.push(Expected::parse(rest)),
            },
            _ if line.trim().is_empty() || line.starts_with('#') => {}
            _ => panic!("{}: not an expectation: {line}", case.place),
        }
    }
    case
}

fn decision(place: &str, text: &str) -> Decision {
    let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
    let status = |text: &str| {
        text.parse()
            .unwrap_or_else(|_| panic!("{place}: `{text}` is not a status"))
    };
    // An operation without an operationId has a key with a space: `GET s:/template`.
    let key = |words: &[&str]| words.join(" ");
    match words.as_slice() {
        ["forward", words @ ..] if !words.is_empty() => Decision::Forward(key(words)),
        ["respond", code, words @ ..] if !words.is_empty() => {
            Decision::Respond(status(code), key(words))
        }
        ["reject", code, reason, words @ ..] => Decision::Reject(
            status(code),
            (*reason).to_owned(),
            (!words.is_empty()).then(|| key(words)),
        ),
        ["none"] => Decision::None,
        _ => panic!("{place}: not a decision: {text}"),
    }
}

// === impl Decision ===

impl Decision {
    /// Key of the operation that the request matches. `None` if no operation is expected.
    #[must_use]
    pub fn operation(&self) -> Option<&str> {
        match self {
            Self::Forward(key) | Self::Respond(_, key) => Some(key),
            Self::Reject(_, _, key) => key.as_deref(),
            Self::None => None,
        }
    }
}

// === impl Case ===

impl Case {
    /// Bytes of the request to send.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        let has = |name: &str| {
            let mut names = self.headers.iter().map(|(name, _)| name);
            names.any(|known| known.eq_ignore_ascii_case(name))
        };
        if !has("host") {
            text.push_str("Host: gateway.test\r\n");
        }
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.body.is_empty() && !has("transfer-encoding") && !has("content-length") {
            text.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        text.push_str("\r\n");
        text.push_str(&self.body);
        text.into_bytes()
    }

    /// Arguments for `gwc route` that describe the same request.
    #[must_use]
    pub fn route_arguments(&self) -> Vec<String> {
        let mut arguments: Vec<String> = ["route", &self.method, &self.target, "--format", "json"]
            .map(str::to_owned)
            .into();
        arguments.extend(["--peer".to_owned(), "127.0.0.1".to_owned()]);
        for (name, value) in &self.headers {
            arguments.extend(["-H".to_owned(), format!("{name}: {value}")]);
        }
        let mut names = self.headers.iter().map(|(name, _)| name);
        if !names.any(|name| name.eq_ignore_ascii_case("host")) {
            arguments.extend(["-H".to_owned(), "Host: gateway.test".to_owned()]);
        }
        arguments
    }

    /// Status that the client must receive.
    #[must_use]
    pub fn status(&self) -> u16 {
        let expected_status = self.response.iter().find_map(|expected| match expected {
            Expected::First(status) => status.parse().ok(),
            Expected::Field(..) | Expected::NoField(_) | Expected::Body(_) => None,
        });
        expected_status.unwrap_or(match &self.decision {
            Decision::Forward(_) => 200,
            Decision::Respond(status, _) | Decision::Reject(status, ..) => *status,
            Decision::None => 404,
        })
    }
}

impl Expected {
    fn parse(text: &str) -> Self {
        let text = text.trim_end();
        if let Some(part) = text.strip_prefix("~ ") {
            return Self::Body(part.to_owned());
        }
        if let Some(name) = text.strip_prefix('!') {
            return Self::NoField(name.to_ascii_lowercase());
        }
        // A first line is a status, or consists of a method and a target with a slash.
        match text.split_once(':') {
            Some((name, value)) if !name.contains([' ', '/']) => {
                Self::Field(name.to_ascii_lowercase(), value.trim().to_owned())
            }
            _ => Self::First(text.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_match_a_number_between_them() {
        let fit = |found| fits("\"a\";r=0;t=50..60;x", found);
        assert!(fit("\"a\";r=0;t=50;x") && fit("\"a\";r=0;t=60;x"));
        for found in [
            "\"a\";r=0;t=49;x",
            "\"a\";r=1;t=55;x",
            "\"a\";r=0;t=;x",
            "\"a\";r=0;t=55",
        ] {
            assert!(!fit(found), "{found}");
        }
        assert!(fits("a..b", "a..b") && !fits("a..b", "a5b"));
    }
}
