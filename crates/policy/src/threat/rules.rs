//! Rules that look for injection in texts that clients send.
//!
//! The rules are regular expressions, which run in linear time on decoded text. Each matches at
//! most [`OVERLAP`] bytes, so that a long text is searched in windows of constant size. A policy
//! lists the rules that it uses, because each rule also matches harmless texts.
//! `gwc/tests/peers/injection.rs` counts these matches in the examples of real API descriptions.

use std::sync::Arc;

use minicbor::{Decode, Encode};
use regex::bytes::{RegexSet, RegexSetBuilder};

/// Length of the window in which a text is searched, in bytes.
const WINDOW: usize = 4 << 10;
/// Number of bytes at the end of a window that are searched again with the next window. No rule
/// matches a longer text.
const OVERLAP: usize = 256;

macro_rules! rules {
    ($($tag:literal $variant:ident $name:literal $source:literal $finds:literal $pattern:literal;)*) => {
        /// Rule that looks for injection.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
        #[cbor(index_only)]
        pub enum Rule {
            $(#[doc = concat!($finds, " (", $source, ").")] #[n($tag)] $variant,)*
        }

        impl Rule {
            /// All rules.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];
            /// Names of all rules in gateway.yaml.
            pub const NAMES: &'static [&'static str] = &[$($name),*];

            /// Name in gateway.yaml.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// Number of the weakness in the Common Weakness Enumeration (CWE) that the rule is
            /// about.
            #[must_use]
            pub const fn source(self) -> &'static str {
                match self { $(Self::$variant => $source),* }
            }

            /// Description of the texts that the rule finds.
            #[must_use]
            pub const fn finds(self) -> &'static str {
                match self { $(Self::$variant => $finds),* }
            }

            const fn pattern(self) -> &'static str {
                match self { $(Self::$variant => $pattern),* }
            }
        }
    };
}

rules! {
    0 SqlUnion "sql_union" "CWE-89" "`UNION SELECT`"
        r"(?i)\bunion(?:\s|/\*[^*]{0,16}\*/|\(){1,4}(?:(?:all|distinct)(?:\s|/\*[^*]{0,16}\*/|\(){1,4})?select\b";
    1 SqlCondition "sql_condition" "CWE-89" "a quote before a condition that is always true, such as `' OR '1'='1`"
        r#"(?i)['"]\s{0,8}\)?\s{0,8}(?:or|\|\|)\s{1,8}(?:not\s{1,8})?['"(]{0,2}\w{1,16}['"]?\s{0,8}(?:=|<|>|like\s)\s{0,8}['"(]{0,2}\w"#;
    2 SqlStatement "sql_statement" "CWE-89" "a second statement, such as `; DROP TABLE`"
        r"(?i);\s{0,8}(?:(?:drop|truncate|alter|create)\s{1,8}(?:table|database|schema|user)\b|delete\s{1,8}from\b|insert\s{1,8}into\b|waitfor\s{1,8}delay\b|exec(?:ute)?\s{1,8}(?:xp|sp)_)";
    3 SqlDelay "sql_delay" "CWE-89" "a call that delays a query, such as `pg_sleep(5)`"
        r"(?i)\b(?:(?:pg_)?sleep|benchmark|dbms_pipe\.receive_message)\s{0,4}\(\s{0,4}'?\d{1,12}'?\s{0,4}[,)]";
    4 ScriptElement "script_element" "CWE-79" "elements that run scripts, such as `<script>`"
        r"(?i)<\s{0,4}(?:script|iframe|object|embed|svg)(?:[\s/>]|$)";
    5 ScriptHandler "script_handler" "CWE-79" "attributes that run scripts, such as `onerror=`"
        r#"(?i)<[a-z][^<>]{0,128}[\s/"']on[a-z]{3,20}\s{0,4}="#;
    6 ScriptUrl "script_url" "CWE-79" "`javascript:` URLs"
        r#"(?i)(?:^|[\s"'=(])(?:javascript|vbscript):[^\s]"#;
    7 PathTraversal "path_traversal" "CWE-22" "`../` twice, or inside a path"
        r"(?:\.\.[/\\]){2}|[/\\]\.\.[/\\]";
    8 SystemFile "system_file" "CWE-22" "paths of system files, such as `/etc/passwd`"
        r"(?i)/etc/(?:passwd|shadow|hosts)\b|/proc/self/|\b[a-z]:[/\\]{1,2}windows[/\\]|\bboot\.ini\b|\bwin\.ini\b";
    9 ShellCommand "shell_command" "CWE-78" "a second command of a shell, such as `; curl`"
        r"(?i)(?:[;|&`]|\$\()\s{0,8}(?:/(?:usr/)?bin/)?(?:cat|curl|wget|nc|bash|sh|zsh|python3?|perl|powershell|whoami|uname|ping)(?:\.exe)?(?:\s{1,8}[-\w/.$]|[`)]|$)";
    10 Lookup "lookup" "CWE-917" "lookups of logging libraries, such as `${jndi:`"
        r"(?i)\$\{\s{0,4}jndi\s{0,4}:|\$\{[^{}]{0,16}\$\{\s{0,4}(?:lower|upper|env|sys|date|::-)";
    11 Template "template" "CWE-1336" "expressions of template engines, such as `{{7*7}}`"
        r"(?:\{\{|\$\{|#\{|<%=)\s{0,8}\d{1,8}\s{0,4}[*+-]\s{0,4}['\d]{1,8}\s{0,8}(?:\}|%>)|\{\{[^{}]{0,64}(?:__class__|__globals__|constructor\.constructor)";
    12 Ldap "ldap" "CWE-90" "conditions of LDAP filters, such as `)(uid=*`"
        r"(?i)\)\s{0,4}\(\s{0,4}[|&!]?\s{0,4}\(?\s{0,4}(?:uid|cn|sn|mail|objectclass|userpassword)\s{0,4}[~<>]?=";
    13 NullByte "null_byte" "CWE-158" "a NUL byte"
        r"\x00";
    14 FieldSplit "field_split" "CWE-113" "header fields after a line end"
        r"(?i)[\r\n]\s{0,4}(?:set-cookie|location|content-type|content-length|transfer-encoding|host)\s{0,4}:";
}

/// Rules of a policy, compiled.
#[derive(Debug)]
pub struct Rules {
    set: RegexSet,
    rules: Box<[Rule]>,
}

/// Search in a text that arrives byte by byte.
#[derive(Debug)]
pub(super) struct Search {
    rules: Arc<Rules>,
    window: Vec<u8>,
}

// === impl Rule ===

impl Rule {
    /// Rule with this name in gateway.yaml.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|rule| rule.name() == name)
    }
}

// === impl Rules ===

impl Rules {
    /// Compiles rules.
    ///
    /// # Panics
    /// Never: a test compiles all rules.
    #[must_use]
    pub fn new(rules: &[Rule]) -> Arc<Self> {
        let patterns = rules.iter().map(|rule| rule.pattern());
        let set = RegexSetBuilder::new(patterns).unicode(false).build();
        Arc::new(Self {
            set: set.expect("our own patterns are valid"),
            rules: rules.into(),
        })
    }

    /// Finds the first rule that matches a part of the text. The text may have any length.
    #[must_use]
    pub fn find(self: &Arc<Self>, text: &[u8]) -> Option<Rule> {
        let mut search = Search::new(self);
        let found = text.iter().find_map(|byte| search.add(*byte).err());
        found.or_else(|| search.end().err())
    }

    fn find_in(&self, window: &[u8]) -> Option<Rule> {
        let found = self.set.matches(window).iter().next()?;
        self.rules.get(found).copied()
    }
}

// === impl Search ===

impl Search {
    pub(super) fn new(rules: &Arc<Rules>) -> Self {
        Self {
            rules: Arc::clone(rules),
            window: Vec::new(),
        }
    }

    /// Reads a byte of the text.
    ///
    /// # Errors
    /// The rule that the text matches, if a match is found.
    pub(super) fn add(&mut self, byte: u8) -> Result<(), Rule> {
        self.window.push(byte);
        if self.window.len() < WINDOW {
            return Ok(());
        }
        if let Some(rule) = self.rules.find_in(&self.window) {
            return Err(rule);
        }
        self.window.drain(..WINDOW - OVERLAP);
        Ok(())
    }

    /// Reads a character of the text.
    ///
    /// # Errors
    /// The rule that the text matches, if a match is found.
    pub(super) fn add_char(&mut self, character: char) -> Result<(), Rule> {
        let mut bytes = [0; 4];
        let text = character.encode_utf8(&mut bytes);
        text.bytes().try_for_each(|byte| self.add(byte))
    }

    /// Searches the rest of the text, and starts a new text.
    ///
    /// # Errors
    /// The rule that the text matches, if a match is found.
    pub(super) fn end(&mut self) -> Result<(), Rule> {
        let found = match self.window.is_empty() {
            true => None,
            false => self.rules.find_in(&self.window),
        };
        self.window.clear();
        found.map_or(Ok(()), Err)
    }
}

/// Detail of a refusal by this rule.
pub(super) fn detail(rule: Rule) -> String {
    format!("matches the rule `{}`", rule.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attacks and harmless texts: at least two of each for every rule.
    const TEXTS: &[(Rule, &[&str], &[&str])] = &[
        (
            Rule::SqlUnion,
            &[
                "1 UNION SELECT a",
                "1/**/union/**/all/**/select 1",
                "x' union (select 1)",
            ],
            &["the union selected a board", "select a union"],
        ),
        (
            Rule::SqlCondition,
            &["' OR '1'='1", "x') or 1=1 --", "\" or \"a\"=\"a"],
            &["it's or was", "'red' or 'blue'", "either \"a\" or b"],
        ),
        (
            Rule::SqlStatement,
            &[
                "1; DROP TABLE users",
                "1;delete  from a",
                "'; exec xp_cmdshell",
            ],
            &["drop table lamps; they are old", "create; table"],
        ),
        (
            Rule::SqlDelay,
            &[
                "1 and sleep(5)",
                "pg_sleep( 10)",
                "BENCHMARK(1000000,md5(1))",
            ],
            &["I sleep (8 hours)", "sleeping(2)"],
        ),
        (
            Rule::ScriptElement,
            &[
                "<script>alert(1)</script>",
                "< iframe src=a",
                "<SVG/onload=a>",
            ],
            &["a < scripts", "<subscript>", "transcript>"],
        ),
        (
            Rule::ScriptHandler,
            &["<img src=x onerror=a>", "<a\thref='' onClick = 'b'>"],
            &["a < b, on = 1", "<p>based on=1"],
        ),
        (
            Rule::ScriptUrl,
            &["javascript:alert(1)", "<a href=\"JavaScript:x\">"],
            &["We teach JavaScript: the basics", "nojavascript:x"],
        ),
        (
            Rule::PathTraversal,
            &["../../etc", "a/../b", "..\\..\\x"],
            &["../a", "wait...", "a..b/c"],
        ),
        (
            Rule::SystemFile,
            &["/etc/passwd", "c:\\windows\\system32", "/proc/self/environ"],
            &["/etc/passwords", "in windows"],
        ),
        (
            Rule::ShellCommand,
            &["a; cat /etc", "x | curl http://a", "$(whoami)", "`uname`"],
            &["dogs; cats", "salt & pepper", "cat; dog"],
        ),
        (
            Rule::Lookup,
            &["${jndi:ldap://a}", "${${lower:j}ndi:x}", "${ JNDI:dns}"],
            &["${name}", "$ {a}"],
        ),
        (
            Rule::Template,
            &["{{7*7}}", "${ 7 * 7 }", "{{''.__class__}}", "<%= 7*7 %>"],
            &["{{name}}", "7*7", "${price}"],
        ),
        (
            Rule::Ldap,
            &["*)(uid=*", "a)(|(cn=*"],
            &["f(x)(y)", "(uid=1)"],
        ),
        (Rule::NullByte, &["a\0b", "\0"], &["a0", "%00"]),
        (
            Rule::FieldSplit,
            &["a\r\nSet-Cookie: b=1", "\nlocation : /"],
            &["location: here", "a\nlocations: b"],
        ),
    ];

    #[test]
    fn each_rule_finds_attacks_and_no_plain_text() {
        assert_eq!(TEXTS.len(), Rule::ALL.len());
        for (rule, attacks, harmless) in TEXTS {
            let rules = Rules::new(&[*rule]);
            for text in *attacks {
                assert_eq!(rules.find(text.as_bytes()), Some(*rule), "{text}");
            }
            for text in *harmless {
                assert_eq!(rules.find(text.as_bytes()), None, "{} {text}", rule.name());
            }
        }
    }

    #[test]
    fn attacks_at_every_place_of_a_long_text_are_found() {
        for (rule, attacks, _) in TEXTS {
            let rules = Rules::new(&[*rule]);
            for before in [
                0,
                WINDOW - OVERLAP,
                WINDOW - 8,
                WINDOW - 1,
                WINDOW,
                2 * WINDOW - 5,
            ] {
                let text = format!("{} {}", "a ".repeat(before / 2), attacks[0]);
                assert_eq!(
                    rules.find(text.as_bytes()),
                    Some(*rule),
                    "{before} {}",
                    rule.name()
                );
            }
        }
    }

    #[test]
    fn no_rule_matches_more_than_the_overlap() {
        for rule in Rule::ALL {
            let length = longest(rule.pattern());
            assert!(length <= OVERLAP, "{} matches {length} bytes", rule.name());
        }
    }

    /// Upper bound of the length of a match, in bytes.
    fn longest(pattern: &str) -> usize {
        regex_syntax::ParserBuilder::new()
            .unicode(false)
            .utf8(false)
            .build()
            .parse(pattern)
            .expect("valid")
            .properties()
            .maximum_len()
            .expect("a maximum")
    }
}
