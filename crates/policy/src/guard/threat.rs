//! Limits on bodies that could exhaust a parser, and rules that look for injection.
//!
//! ```yaml
//! policies:
//!   waf: {kind: threat, json: {depth: 32, items: 10000}}
//! ```
//! The step adds a scan ([`Scan`]) to the exchange. gwd scans the body while it forwards the body,
//! before other code reads the body. If the scan finds a violation, gwd ends the request to the
//! upstream.

use std::sync::Arc;

use minicbor::{Decode, Encode};

use crate::change_rows;
use crate::changes::Absent::NoLimit;
use crate::changes::Changes;
use crate::changes::Direction::{Each, More, Off};
use crate::cx::{Cx, LoggedRefusal};
use crate::declared::{Scalar, Settings, Value};
use crate::head::RequestHead;
use crate::phase::Phase;
use crate::policy::Policy;
use crate::protection::Protection;
use crate::reject::Reject;
use crate::secret::SecretUnavailable;
use crate::step::{Run, Setting, Step};
use crate::threat::{JsonLimits, REFUSED, Rule, Rules, Scan, XmlLimits};

/// `threat` settings, in the bundle.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub struct Checked {
    /// Limits on JSON. `None`: JSON is not scanned.
    #[n(0)]
    json: Option<JsonLimits>,
    /// Limits on XML. `None`: XML is not scanned.
    #[n(1)]
    xml: Option<XmlLimits>,
    /// True if violations are only logged.
    #[n(2)]
    logs: bool,
    /// Rules that look for injection, sorted, without duplicates.
    #[n(3)]
    rules: Vec<Rule>,
}

/// Scan of a `threat` policy at run time.
#[derive(Debug)]
pub struct Filter(Scan);

// === impl Checked ===

impl Checked {
    /// Scan that the policy with this name makes of a request's body.
    #[must_use]
    pub fn scan(&self, policy: &str) -> Scan {
        Scan {
            policy: Arc::from(policy),
            logs: self.logs,
            json: self.json,
            xml: self.xml,
            rules: (!self.rules.is_empty()).then(|| Rules::new(&self.rules)),
        }
    }
}

impl Policy for Checked {
    type Filter = Filter;

    const CHANGES: Changes = Changes::new(change_rows! {
        "json"."*": More(NoLimit);
        "xml"."*": More(NoLimit);
        "rules"."*": Off;
        "mode": Each(&[]);
    });

    const PROTECTION: Option<Protection> = Some(Protection::Content);

    const REFUSALS: &'static [&'static Reject] = &[&REFUSED];

    fn phase(&self) -> Option<Phase> {
        Some(Phase::Validate)
    }

    fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        let mut add = |path: [&str; 2], scalar: Option<Scalar>| {
            if let Some(scalar) = scalar {
                settings = std::mem::take(&mut settings).with(&path, Value::One(scalar));
            }
        };
        let number = |number: u32| Scalar::Number(number.into());
        if let Some(json) = &self.json {
            add(["json", "depth"], Some(number(json.depth)));
            add(["json", "keys"], json.keys.map(number));
            add(["json", "items"], json.items.map(number));
            add(["json", "key_bytes"], json.key_bytes.map(Scalar::Size));
            add(
                ["json", "string_bytes"],
                json.string_bytes.map(Scalar::Size),
            );
            add(["json", "tokens"], json.tokens.map(number));
        }
        if let Some(xml) = &self.xml {
            add(["xml", "depth"], Some(number(xml.depth)));
            add(["xml", "children"], xml.children.map(number));
            add(["xml", "attributes"], xml.attributes.map(number));
            add(["xml", "name_bytes"], xml.name_bytes.map(Scalar::Size));
            add(["xml", "text_bytes"], xml.text_bytes.map(Scalar::Size));
            add(["xml", "tokens"], xml.tokens.map(number));
        }
        for rule in &self.rules {
            settings = settings.with(&["rules", rule.name()], Value::One(Scalar::Flag(true)));
        }
        match self.logs {
            true => settings.with(&["mode"], Value::One(Scalar::Text("log".to_owned()))),
            false => settings,
        }
    }

    fn filter(&self, setting: &Setting<'_>) -> Result<Option<Filter>, SecretUnavailable> {
        Ok(Some(Filter(self.scan(setting.name))))
    }
}

// === impl Filter ===

impl Run for Filter {
    fn depends_on_query(&self) -> bool {
        self.0.rules.is_some() && !self.0.logs
    }

    fn on_request<'a>(&'a self, head: &mut RequestHead, cx: &mut Cx<'a>) -> Step {
        if let Some(found) = self.0.target(head.path(), head.query()) {
            cx.invalid = Some(Arc::new(found));
            if !self.0.logs {
                cx.refund_quotas();
                return Step::Reject(&REFUSED);
            }
            cx.noted.push(LoggedRefusal {
                policy: &self.0.policy,
                reject: &REFUSED,
            });
        }
        cx.scans.push(&self.0);
        Step::Continue
    }
}

#[cfg(feature = "author")]
pub mod author {
    //! Shape and checks of `kind: threat` settings.

    use diag::shape::{self, Field, Object, Shape};
    use diag::{NodeRef, Sink, read};

    use super::Checked;
    use crate::threat::{DEPTH_DEFAULT, JsonLimits, Rule, XmlLimits};

    /// Sample policies with all keys of this kind. Each sample is a line below `policies` in
    /// gateway.yaml.
    pub const SAMPLES: &[&str] = &[
        "waf: {kind: threat, mode: log, json: {depth: 77, keys: 78, items: 79, key_bytes: 80KiB, string_bytes: 81KiB, tokens: 82}, xml: {depth: 83, children: 84, attributes: 85, name_bytes: 86KiB, text_bytes: 87KiB, tokens: 88}, rules: [lookup]}",
    ];

    /// The keys of `kind: threat`.
    pub static SHAPE: Object = Object {
        what: "limits on bodies, and rules for texts",
        fields: &[
            Field::optional("json", Shape::Object(&JSON), "JSON bodies."),
            Field::optional(
                "xml",
                Shape::Object(&XML),
                "XML bodies; document types, entities and XInclude are always refused.",
            ),
            Field::optional(
                "rules",
                Shape::Several(&Shape::Word(Rule::NAMES)),
                "Rules that look for injection in the path, the query and forms, in JSON bodies if `json` is set, and in XML bodies if `xml` is set. Default: none.",
            ),
            Field::optional(
                "mode",
                Shape::Word(&["block", "log"]),
                "`log`: requests beyond a limit are served; each is logged and counted in a metric. Default: `block`.",
            ),
        ],
        rules: &[shape::Rule::AnyOf(&["json", "xml", "rules"])],
    };

    const COUNT: Shape = Shape::Integer(1, 1 << 24);

    static JSON: Object = Object {
        what: "limits on JSON",
        fields: &[
            Field::optional(
                "depth",
                Shape::Integer(1, 1_000),
                "Maximum depth of objects and arrays. Default: 64.",
            ),
            Field::optional(
                "keys",
                COUNT,
                "Maximum number of keys in an object. Default: unlimited.",
            ),
            Field::optional(
                "items",
                COUNT,
                "Maximum number of items in an array. Default: unlimited.",
            ),
            Field::optional(
                "key_bytes",
                Shape::Size,
                "Maximum length of a key. Default: unlimited.",
            ),
            Field::optional(
                "string_bytes",
                Shape::Size,
                "Maximum length of a string. Default: unlimited.",
            ),
            Field::optional(
                "tokens",
                COUNT,
                "Maximum number of keys and values in the body. Default: unlimited.",
            ),
        ],
        rules: &[shape::Rule::AnyOf(&[
            "depth",
            "keys",
            "items",
            "key_bytes",
            "string_bytes",
            "tokens",
        ])],
    };

    static XML: Object = Object {
        what: "limits on XML",
        fields: &[
            Field::optional(
                "depth",
                Shape::Integer(1, 1_000),
                "Maximum depth of elements. Default: 64.",
            ),
            Field::optional(
                "children",
                COUNT,
                "Maximum number of child elements of an element. Default: unlimited.",
            ),
            Field::optional(
                "attributes",
                COUNT,
                "Maximum number of attributes of an element. Default: unlimited.",
            ),
            Field::optional(
                "name_bytes",
                Shape::Size,
                "Maximum length of the name of an element or attribute. Default: unlimited.",
            ),
            Field::optional(
                "text_bytes",
                Shape::Size,
                "Maximum length of a text node, an attribute's value, a comment or an instruction. Default: unlimited.",
            ),
            Field::optional(
                "tokens",
                COUNT,
                "Maximum number of elements, attributes, text nodes, comments and instructions in the body. Default: unlimited.",
            ),
        ],
        rules: &[shape::Rule::AnyOf(&[
            "depth",
            "children",
            "attributes",
            "name_bytes",
            "text_bytes",
            "tokens",
        ])],
    };

    /// Reads settings from a node that fits [`SHAPE`].
    pub fn check(node: NodeRef<'_>, _: &mut Sink) -> Option<Checked> {
        let part = |key: &str| node.get(key).filter(|node| !node.is_null());
        let json = part("json").map(|node| JsonLimits {
            depth: count(node, "depth").unwrap_or(DEPTH_DEFAULT),
            keys: count(node, "keys"),
            items: count(node, "items"),
            key_bytes: size(node, "key_bytes"),
            string_bytes: size(node, "string_bytes"),
            tokens: count(node, "tokens"),
        });
        let xml = part("xml").map(|node| XmlLimits {
            depth: count(node, "depth").unwrap_or(DEPTH_DEFAULT),
            children: count(node, "children"),
            attributes: count(node, "attributes"),
            name_bytes: size(node, "name_bytes"),
            text_bytes: size(node, "text_bytes"),
            tokens: count(node, "tokens"),
        });
        let mode = part("mode").and_then(NodeRef::scalar_text);
        let rules = part("rules").into_iter().flat_map(NodeRef::items);
        let mut rules: Vec<Rule> = rules
            .filter_map(|node| Rule::of(node.scalar_text()?))
            .collect();
        rules.sort_unstable();
        rules.dedup();
        Some(Checked {
            json,
            xml,
            rules,
            logs: mode == Some("log"),
        })
    }

    fn count(node: NodeRef<'_>, key: &str) -> Option<u32> {
        let node = node.get(key).filter(|node| !node.is_null())?;
        u32::try_from(read::integer(node, 1, 1 << 24).ok()?).ok()
    }

    fn size(node: NodeRef<'_>, key: &str) -> Option<u64> {
        let node = node.get(key).filter(|node| !node.is_null())?;
        read::size_bytes(node).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cx::tests::{filter, head, with_cx};

    #[test]
    fn step_adds_the_scan_of_its_limits() {
        let json = JsonLimits {
            depth: 2,
            keys: Some(3),
            items: None,
            key_bytes: None,
            string_bytes: Some(7),
            tokens: None,
        };
        let checked = Checked {
            json: Some(json),
            xml: None,
            logs: true,
            rules: vec![Rule::PathTraversal],
        };
        let filter = filter(&checked);
        let found = with_cx(|cx| {
            let step = filter.on_request(&mut head("/a"), cx);
            assert!(matches!(step, Step::Continue));
            let scan = cx.scans.pop()?;
            Some((scan.json, scan.xml.is_none(), scan.logs))
        });
        assert_eq!(found, Some((Some(json), true, true)));
    }
}
