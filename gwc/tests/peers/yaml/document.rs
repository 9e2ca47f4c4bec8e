//! Generator of random YAML documents: block and flow style, every style of scalar, anchors,
//! aliases, merge keys, comments, and CRLF. Also byte order marks, allowed tabs, wide characters,
//! all forms of numbers in the YAML 1.2 core schema, and unusual keys.

use crate::random::Random;

/// Writes a random document.
pub(super) fn generate(random: &mut Random) -> String {
    let mut writer = Writer {
        random,
        out: String::new(),
        anchors: Vec::new(),
        maps: Vec::new(),
        names: 0,
    };
    writer.document();
    let mut text = writer.out;
    if random.once_in(6) {
        text = text.replace('\n', "\r\n");
    }
    if random.once_in(12) {
        text.insert(0, '\u{feff}');
    }
    text
}

/// Plain scalars that fit on one line and are valid in block and flow style.
#[rustfmt::skip]
const PLAIN: &[&str] = &[
    "a", "word", "two words", "ünï", "漢字", "😀 face", "x-y_z", "a#b", "a:b", "http://h:80/p?q=1#f", "1.2.3", "12:30",
    "2026-01-31", "-x", "?x", ":x", "-1a", "yes", "No", "on", "y", "tRue", "nULL", "0o8", "0x", "1_000", "+", ".",
    "-.", "1e", "0b1", "=", "a'b", "a\"b", "a\\n", "~x", "null", "Null", "NULL", "~", "true", "True", "TRUE", "false",
    "False", "FALSE", "0", "-0", "+12", "007", "0o17", "0xFf", "1.5", ".5", "5.", "1e3", "-.5E-2", "6.02e+23", ".inf",
    "-.INF", "+.Inf", ".nan", ".NaN", "123456789012345678901234567890", "0.1000",
];
#[rustfmt::skip]
const DOUBLE: &[&str] = &[
    "", "plain", "two  spaces", "\\n", "a\\tb", "\\x41\\u00e9", "\\U0001F600", "q\\\"q", "b\\\\s", "\\/",
    "\\0\\a\\b\\e\\f\\v\\r", "\\N\\_\\L\\P", "'", "#no", ": ", "- x", "12", "true", "漢", "a\tb", "{}[]",
];
#[rustfmt::skip]
const SINGLE: &[&str] = &[
    "", "plain", "it''s", "\\n stays", "\"", "#no", "a: b", "12", "~", "😀", "a\tb", "[", "''",
];
#[rustfmt::skip]
const KEYS: &[&str] = &[
    "k", "key", "two words", "/a/{b}", "200", "1.5", "true", "null", "~", "x-y", "$ref", "a#b", "é", "漢",
    "\"quoted\"", "'it''s'", "\"\"", "'<<'", "\"a: b\"", "-1", "a:b", "?q", "\"\\u0041\"", "0x1F", "=", ".5",
];
#[rustfmt::skip]
const LINES: &[&str] = &[
    "text", "more of it", "# no comment", "- no list", "a: b", "'quoted'", "ünï 漢", "tab\there", "ends with \\",
    "%not",
];

const LINE_ENDS: &[&str] = &[
    "",
    "",
    "",
    "",
    "",
    " ",
    " # comment",
    "\t# tab before",
    "  #",
];

struct Writer<'r> {
    random: &'r mut Random,
    out: String,
    /// Names of the anchors of completely written values.
    anchors: Vec<String>,
    /// Names of the anchors of maps, to which merge keys can refer.
    maps: Vec<String>,
    names: usize,
}

impl Writer<'_> {
    fn document(&mut self) {
        if self.random.once_in(5) {
            self.comment(0);
        }
        let directive = self.random.once_in(15);
        if directive {
            self.out.push_str("%YAML 1.2\n");
        }
        if directive || self.random.once_in(4) {
            self.out.push_str("---");
            self.line_end();
        }
        match self.random.below(8) {
            0 => {
                let text = self.flow(3);
                self.out.push_str(&text);
                self.line_end();
            }
            1 => self.list(0, 4),
            _ => self.map(0, 4),
        }
        if self.random.once_in(8) {
            self.out.push_str("...\n");
        } else if self.random.once_in(8) {
            // A file may end without a line feed.
            while self.out.ends_with('\n') {
                self.out.pop();
            }
        }
    }

    /// Writes a map whose keys are indented by `indent`. The line before has ended.
    fn map(&mut self, indent: usize, depth: usize) {
        let count = 1 + self.random.below(5);
        let mut used: Vec<&str> = Vec::new();
        for _ in 0..count {
            let key = self.random.of(KEYS);
            if used.contains(&key) || same_text(&used, key) {
                continue;
            }
            used.push(key);
            self.pad(indent);
            if self.random.once_in(20) {
                self.out.push_str("? ");
                self.out.push_str(key);
                self.line_end();
                self.pad(indent);
                self.out.push(':');
            } else {
                self.out.push_str(key);
                if self.random.once_in(12) {
                    self.out.push(' ');
                }
                self.out.push(':');
            }
            self.value(indent, depth);
        }
        if !self.maps.is_empty() && self.random.once_in(4) {
            self.pad(indent);
            let at = self.random.below(self.maps.len());
            let first = self.maps[at].clone();
            let other = self.maps[self.random.below(self.maps.len())].clone();
            if self.random.once_in(3) {
                self.out.push_str(&format!("<<: [*{first} , *{other} ]"));
            } else {
                self.out.push_str(&format!("<<: *{first}"));
            }
            self.line_end();
        }
    }

    /// Writes a list whose dashes are indented by `indent`.
    fn list(&mut self, indent: usize, depth: usize) {
        for _ in 0..1 + self.random.below(4) {
            self.pad(indent);
            self.out.push('-');
            if depth > 0 && self.random.once_in(4) {
                // Write a map or list that begins on the line of the dash.
                let gap = 1 + self.random.below(3);
                let before = self.out.len();
                let inner = indent + 1 + gap;
                match self.random.below(2) {
                    0 => self.map(inner, depth - 1),
                    _ => self.list(inner, depth - 1),
                }
                // The dash and the gap replace the indentation of the first line.
                let written = self.out.split_off(before);
                let text = written.trim_start_matches(' ');
                let comment = text.starts_with('#') || text.starts_with('\n');
                if comment {
                    self.out.push('\n');
                    self.out.push_str(&written);
                } else {
                    self.out.push_str(&" ".repeat(gap));
                    self.out.push_str(text);
                }
            } else {
                self.value(indent, depth);
            }
        }
    }

    /// Writes the value after `key:` or `-`, up to the end of its last line.
    fn value(&mut self, indent: usize, depth: usize) {
        if !self.anchors.is_empty() && self.random.once_in(10) {
            let at = self.random.below(self.anchors.len());
            let name = self.anchors[at].clone();
            self.out.push_str(&format!(" *{name}"));
            return self.line_end();
        }
        let anchor = self.random.once_in(8).then(|| {
            self.names += 1;
            format!("n{}", self.names)
        });
        if let Some(name) = &anchor {
            self.out.push_str(&format!(" &{name}"));
        }
        let shape = if depth == 0 {
            2 + self.random.below(8)
        } else {
            self.random.below(10)
        };
        match shape {
            0 => {
                self.line_end();
                let inner = indent + 1 + self.random.below(4);
                self.map(inner, depth - 1);
            }
            1 => {
                self.line_end();
                let inner = indent + 1 + self.random.below(3);
                self.list(inner, depth - 1);
            }
            2 => {
                let text = self.flow(depth.min(2));
                self.out.push(' ');
                self.out.push_str(&text);
                self.line_end();
            }
            3 => self.block_scalar(indent),
            4 => self.folded_lines(indent),
            5 => self.line_end(),
            6 if anchor.is_none() => {
                let text = self.random.of(&[
                    "!!str 12",
                    "!!str true",
                    "!!int \"3\"",
                    "!!float 1.5",
                    "!!null ''",
                    "!!bool \"true\"",
                    "!own word",
                    "! 12",
                ]);
                self.out.push(' ');
                self.out.push_str(text);
                self.line_end();
            }
            _ => {
                let gap = " ".repeat(1 + self.random.below(2));
                let text = self.scalar();
                self.out.push_str(&gap);
                self.out.push_str(&text);
                self.line_end();
            }
        }
        if let Some(name) = anchor {
            if shape == 0 {
                self.maps.push(name.clone());
            }
            self.anchors.push(name);
        }
    }

    /// Writes a block scalar (`|` or `>`) with chomping and indentation indicators.
    fn block_scalar(&mut self, indent: usize) {
        let style = self.random.of(&["|", ">"]);
        let chomp = self.random.of(&["", "-", "+"]);
        let inner = 1 + self.random.below(4);
        let leading = self.random.once_in(4);
        self.out.push_str(&format!(" {style}"));
        // Text with leading blanks needs an indentation indicator.
        if leading {
            self.out.push_str(&inner.to_string());
        }
        self.out.push_str(chomp);
        if self.random.once_in(5) {
            self.out.push_str(" # a comment");
        }
        self.out.push('\n');
        for index in 0..1 + self.random.below(4) {
            if index > 0 && self.random.once_in(4) {
                self.out.push('\n');
                continue;
            }
            let more = if leading || index > 0 {
                self.random.below(3)
            } else {
                0
            };
            let pad = " ".repeat(indent + inner + if index == 0 && !leading { 0 } else { more });
            let line = self.random.of(LINES);
            self.out.push_str(&format!("{pad}{line}\n"));
        }
        for _ in 0..self.random.below(3) {
            self.out.push('\n');
        }
    }

    /// Writes a plain or quoted scalar over several lines.
    fn folded_lines(&mut self, indent: usize) {
        let pad = " ".repeat(indent + 1 + self.random.below(3));
        let words = ["one", "two words", "three:3", "four#4", "fünf", "6"];
        let quote = self.random.of(&["", "'", "\""]);
        let mut text = String::from(quote);
        for index in 0..2 + self.random.below(3) {
            if index > 0 {
                text.push_str(if quote == "\"" && self.random.once_in(4) {
                    "\\\n"
                } else {
                    "\n"
                });
                if self.random.once_in(4) {
                    text.push('\n');
                }
                text.push_str(&pad);
            }
            text.push_str(self.random.of(&words));
        }
        text.push_str(quote);
        self.out.push(' ');
        self.out.push_str(&text);
        self.line_end();
    }

    fn scalar(&mut self) -> String {
        match self.random.below(4) {
            0 => format!("\"{}{}\"", self.random.of(DOUBLE), self.random.of(DOUBLE)),
            1 => format!("'{}'", self.random.of(SINGLE)),
            _ => self.random.of(PLAIN).to_owned(),
        }
    }

    fn flow(&mut self, depth: usize) -> String {
        let count = self.random.below(4);
        let space = self.random.of(&["", " ", "  "]);
        if self.random.once_in(2) {
            let items: Vec<String> = (0..count).map(|_| self.flow_value(depth)).collect();
            let tail = if count > 0 && self.random.once_in(6) {
                ","
            } else {
                ""
            };
            return format!(
                "[{space}{}{space}{tail}]",
                items.join(&format!("{space}, "))
            );
        }
        let mut used: Vec<&str> = Vec::new();
        let mut entries = Vec::new();
        for _ in 0..count {
            let key = self.random.of(KEYS);
            if key.contains(['{', '}', '?']) || used.contains(&key) || same_text(&used, key) {
                continue;
            }
            used.push(key);
            let value = self.flow_value(depth);
            entries.push(match self.random.below(8) {
                0 => key.to_owned(),
                1 => format!("{key}: "),
                2 if key.starts_with('"') => format!("{key}:{value}"),
                _ => format!("{key}: {value}"),
            });
        }
        format!("{{{space}{}{space}}}", entries.join(" , "))
    }

    fn flow_value(&mut self, depth: usize) -> String {
        if depth > 0 && self.random.once_in(3) {
            return self.flow(depth - 1);
        }
        if !self.anchors.is_empty() && self.random.once_in(8) {
            let at = self.random.below(self.anchors.len());
            return format!("*{} ", self.anchors[at]);
        }
        loop {
            let text = self.scalar();
            // These characters could begin or end a flow collection as plain scalars, so choose
            // another scalar.
            let plain = !text.starts_with(['"', '\'']);
            if !(plain && (text.starts_with(['?', ':', '-']) && text.len() < 3)) {
                return text;
            }
        }
    }

    fn pad(&mut self, indent: usize) {
        if self.random.once_in(15) {
            let at = self.random.below(6);
            self.comment(at);
        }
        if self.random.once_in(20) {
            self.out.push('\n');
        }
        self.out.push_str(&" ".repeat(indent));
    }

    fn comment(&mut self, indent: usize) {
        let text = self
            .random
            .of(&["#", "# a comment", "#tab\t", "# ünï: [x", "# - \"q"]);
        self.out
            .push_str(&format!("{}{text}\n", " ".repeat(indent)));
    }

    fn line_end(&mut self) {
        let text = self.random.of(LINE_ENDS);
        // libyaml does not accept a tab before a comment where a value may follow.
        let before = self.out.trim_end();
        let awaits =
            before.ends_with([':', '-', '?']) || before.ends_with(|c: char| c.is_ascii_digit());
        let text = if awaits && text.starts_with('\t') {
            ""
        } else {
            text
        };
        self.out.push_str(text);
        self.out.push('\n');
    }
}

/// True if a key equals an earlier one in another notation.
fn same_text(used: &[&str], key: &str) -> bool {
    let bare = |key: &str| key.trim_matches(['"', '\'']).to_owned();
    used.iter().any(|other| bare(other) == bare(key))
}
