//! Access control by client address, in the first phase of the chain, together with limits keyed by
//! address.
//!
//! ```yaml
//! policies:
//!   office: {kind: ip_filter, allow: [10.0.0.0/8]}
//!   blocked: {kind: ip_filter, deny_file: "${file:/run/secrets/blocked.txt}"}
//! ```
//! Files have one range per line ([`crate::ranges`]). gwd watches the files. If a changed file
//! cannot be read or used, the former ranges stay in effect.
//!
//! `deny` takes precedence over `allow`. With `allow`, all other addresses are refused (403
//! `ip_denied`). The compared address is the client's: the peer's address, or the address that a
//! trusted proxy reported.

use std::net::IpAddr;
use std::sync::Arc;

use minicbor::{Decode, Encode};

use crate::addresses::Addresses;
use crate::change_rows;
use crate::changes::Changes;
use crate::changes::Direction::Access;
use crate::cidr::Cidr;
use crate::cx::Cx;
use crate::declared::{Scalar, Settings, Value};
use crate::head::RequestHead;
use crate::phase::Phase;
use crate::policy::Policy;
use crate::protection::Protection;
use crate::ranges::RangesCell;
use crate::secret::{SecretRef, SecretUnavailable};
use crate::step::{Reject, Run, Setting, Step};

/// Address filter, in the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Checked {
    /// Allowed ranges, sorted. `None`: all addresses, unless `allow_file` is set.
    #[n(0)]
    allow: Option<Vec<Cidr>>,
    /// Denied ranges, sorted. They take precedence over allowed ranges.
    #[n(1)]
    deny: Vec<Cidr>,
    /// File with more allowed ranges. `None`: no file.
    #[n(2)]
    allow_file: Option<SecretRef>,
    /// File with more denied ranges. `None`: no file.
    #[n(3)]
    deny_file: Option<SecretRef>,
}

/// Address filter at run time.
#[derive(Debug)]
pub struct Filter {
    /// Addresses that `allow` and `deny` in the bundle admit. If only `allow_file` is set, `allow`
    /// counts as empty.
    admitted: Addresses,
    files: Option<Box<Files>>,
}

/// Ranges in watched files, and denied ranges in the bundle.
#[derive(Debug)]
struct Files {
    /// Ranges of `deny` in the bundle.
    denied: Addresses,
    allow: Option<Listed>,
    deny: Option<Listed>,
}

/// Watched file with ranges.
#[derive(Debug)]
enum Listed {
    Known(Arc<RangesCell>),
    /// The file is not read, as in gwc. An `allow_file` is then assumed to contain every address,
    /// and a `deny_file` none.
    Unknown,
}

/// Feature that a gateway needs for filters with `allow_file` or `deny_file`.
const FILES: &str = "policy:ip_filter:files";

static DENIED: Reject = Reject::new(403, "ip_denied", "The client address is not allowed")
    .with_meaning("an `ip_filter` refuses the address")
    .with_detail("Calls from this address are not admitted.");

impl Policy for Checked {
    type Filter = Filter;

    const CHANGE_IDS: &'static [&'static str] = &["address-filter-"];
    const CHANGES: Changes = Changes::new(change_rows! {
        "allow": Access;
        "deny": Access;
        "allow_file": Access;
        "deny_file": Access;
    });

    const PROTECTION: Option<Protection> = Some(Protection::Caller);

    const REFUSALS: &'static [&'static Reject] = &[&DENIED];

    const FEATURES: &'static [&'static str] = &[FILES];

    fn feature(&self) -> Option<&'static str> {
        (!self.secrets().is_empty()).then_some(FILES)
    }

    fn secrets(&self) -> Vec<&SecretRef> {
        self.allow_file.iter().chain(&self.deny_file).collect()
    }

    fn phase(&self) -> Option<Phase> {
        Some(Phase::Address)
    }

    fn settings(&self) -> Settings {
        let set = |ranges: &[Cidr]| {
            let mut texts: Vec<Scalar> = ranges
                .iter()
                .map(|one| Scalar::Text(written(one)))
                .collect();
            texts.sort();
            match texts.is_empty() {
                true => Value::Empty,
                false => Value::Set(texts),
            }
        };
        let mut settings = Settings::default();
        if let Some(allow) = &self.allow {
            settings = settings.with(&["allow"], set(allow));
        }
        if !self.deny.is_empty() {
            settings = settings.with(&["deny"], set(&self.deny));
        }
        let files = [
            ("allow_file", &self.allow_file),
            ("deny_file", &self.deny_file),
        ];
        for (key, file) in files {
            if let Some(file) = file {
                let file = Value::One(Scalar::Text(file.to_string()));
                settings = settings.with(&[key], file);
            }
        }
        settings
    }

    fn filter(&self, setting: &Setting<'_>) -> Result<Option<Filter>, SecretUnavailable> {
        let listed = |file: &Option<SecretRef>| {
            let read = file.as_ref().map(|file| setting.secrets.ranges(file));
            let read = read.transpose()?;
            Ok(read.map(|cell| cell.map_or(Listed::Unknown, Listed::Known)))
        };
        let (allow, deny) = (listed(&self.allow_file)?, listed(&self.deny_file)?);
        let allowed = match &self.allow {
            Some(allow) => Addresses::of(allow),
            None if allow.is_some() => Addresses::default(),
            None => Addresses::all(),
        };
        let denied = Addresses::of(&self.deny);
        let admitted = allowed.without(&denied);
        let has_files = allow.is_some() || deny.is_some();
        Ok(Some(Filter {
            admitted,
            files: has_files.then(|| {
                Box::new(Files {
                    denied,
                    allow,
                    deny,
                })
            }),
        }))
    }
}

impl Filter {
    fn admits(&self, client: IpAddr) -> bool {
        let Some(files) = &self.files else {
            return self.admitted.contains(client);
        };
        let is_denied = match &files.deny {
            Some(Listed::Known(file)) => file.contains(client),
            Some(Listed::Unknown) | None => false,
        };
        if is_denied {
            return false;
        }
        let is_listed = || match &files.allow {
            Some(Listed::Known(file)) => file.contains(client),
            Some(Listed::Unknown) => true,
            None => false,
        };
        self.admitted.contains(client) || is_listed() && !files.denied.contains(client)
    }
}

impl Run for Filter {
    fn on_request<'a>(&'a self, _: &mut RequestHead, cx: &mut Cx<'a>) -> Step {
        match self.admits(cx.client) {
            true => Step::Continue,
            false => Step::Reject(&DENIED),
        }
    }
}

/// Formats a range. A range of a single address has no prefix length.
fn written(range: &Cidr) -> String {
    let (first, last) = range.ends();
    match first == last {
        true => first.to_string(),
        false => range.to_string(),
    }
}

#[cfg(feature = "author")]
pub mod author {
    //! Shape and checks of `kind: ip_filter` settings.

    use diag::shape::{BAD_VALUE, Field, Object, Rule, Shape};
    use diag::{Diagnostic, NodeRef, Sink};

    use super::Checked;
    use crate::cidr::Cidr;
    use crate::forms;
    use crate::secret::SecretRef;

    /// Sample policies with all keys of this kind. Each sample is a line below `policies` in
    /// gateway.yaml.
    pub const SAMPLES: &[&str] = &[
        r#"office: {kind: ip_filter, allow: [10.0.0.0/8], deny: [10.9.0.0/16], allow_file: "${file:/run/ranges1.txt}", deny_file: "${file:/run/ranges2.txt}"}"#,
    ];

    /// The keys of `kind: ip_filter`.
    pub static SHAPE: Object = Object {
        what: "a filter of addresses",
        fields: &[
            Field::optional(
                "allow",
                Shape::Several(&RANGE),
                "Ranges of addresses that may call; gwd refuses all others.",
            ),
            Field::optional(
                "deny",
                Shape::Several(&RANGE),
                "Ranges of addresses that may not call, even if `allow` lists them.",
            ),
            Field::optional(
                "allow_file",
                Shape::Secret,
                "File with further ranges that may call, one per line, at most 8MiB. gwd watches it. Default: none.",
            ),
            Field::optional(
                "deny_file",
                Shape::Secret,
                "File with further ranges that may not call, one per line, at most 8MiB. gwd watches it. Default: none.",
            ),
        ],
        rules: &[
            Rule::AnyOf(&["allow", "deny", "allow_file", "deny_file"]),
            Rule::Holds(check_overlap),
        ],
    };

    static RANGE: Shape = Shape::Form(&forms::RANGE);

    /// Reports a range that is in both `allow` and `deny`.
    fn check_overlap(node: NodeRef<'_>, sink: &mut Sink) {
        let items = |key: &str| {
            node.get(key)
                .into_iter()
                .flat_map(NodeRef::items)
                .collect::<Vec<_>>()
        };
        let allowed = items("allow");
        for denied in items("deny") {
            let same = allowed
                .iter()
                .find(|allowed| allowed.scalar_text() == denied.scalar_text());
            if let Some(allowed) = same {
                sink.push(
                    Diagnostic::new(
                        &BAD_VALUE,
                        denied.span(),
                        "this range is in both `allow` and `deny`",
                    )
                    .related(allowed.span(), "it is allowed here")
                    .help("`deny` takes precedence; remove one of the two"),
                );
            }
        }
    }

    /// Reads a filter from a node that fits [`SHAPE`].
    pub fn check(node: NodeRef<'_>, _: &mut Sink) -> Option<Checked> {
        let ranges = |key: &str| {
            let node = node.get(key).filter(|node| !node.is_null())?;
            let texts = node.items().filter_map(NodeRef::scalar_text);
            let mut ranges: Vec<Cidr> = texts.filter_map(Cidr::parse).collect();
            ranges.sort();
            ranges.dedup();
            Some(ranges)
        };
        let file = |key: &str| {
            let node = node.get(key).filter(|node| !node.is_null())?;
            SecretRef::parse(node.as_str()?).ok()
        };
        Some(Checked {
            allow: ranges("allow"),
            deny: ranges("deny").unwrap_or_default(),
            allow_file: file("allow_file"),
            deny_file: file("deny_file"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cx::tests::{filter, head, with_cx};
    use crate::secret::{Form, SecretCell, Secrets};
    use crate::step::StateId;

    fn refused(allow: Option<&[&str]>, deny: &[&str], client: &str) -> bool {
        let ranges = |texts: &[&str]| {
            let ranges = texts.iter().map(|text| Cidr::parse(text).unwrap());
            ranges.collect::<Vec<Cidr>>()
        };
        let filter = filter(&Checked {
            allow: allow.map(ranges),
            deny: ranges(deny),
            allow_file: None,
            deny_file: None,
        });
        with_cx(|cx| {
            cx.client = client.parse().unwrap();
            matches!(filter.on_request(&mut head("/"), cx), Step::Reject(_))
        })
    }

    #[test]
    fn deny_takes_precedence_over_allow() {
        let office: Option<&[&str]> = Some(&["10.0.0.0/8", "2001:db8::/32"]);
        for (client, expected) in [
            ("10.1.2.3", false),
            ("10.9.0.1", true),
            ("::ffff:10.9.0.1", true),
            ("::ffff:10.1.2.3", false),
            ("192.0.2.1", true),
            ("2001:db8::1", false),
            ("2001:db9::1", true),
        ] {
            assert_eq!(
                refused(office, &["10.9.0.0/16"], client),
                expected,
                "{client}"
            );
        }
    }

    #[test]
    fn deny_alone_admits_all_other_addresses() {
        assert!(refused(None, &["192.0.2.0/24"], "192.0.2.7"));
        assert!(!refused(None, &["192.0.2.0/24"], "192.0.3.7"));
        assert!(!refused(None, &["192.0.2.0/24"], "::1"));
    }

    /// Resolver of secrets with one file of the ranges 10.0.0.0/8 and 192.0.2.0/24. If `is_read` is
    /// false, the program does not read the file.
    struct OneFile {
        is_read: bool,
    }

    impl Secrets for OneFile {
        fn cell(&self, _: &SecretRef, _: Form) -> Result<Arc<SecretCell>, SecretUnavailable> {
            Ok(SecretCell::new(b"10.0.0.0/8\n192.0.2.0/24\n".to_vec()))
        }

        fn ranges(&self, file: &SecretRef) -> Result<Option<Arc<RangesCell>>, SecretUnavailable> {
            let content = self.cell(file, Form::Ranges)?.value();
            let ranges = crate::ranges::parse(&content).filter(|_| self.is_read);
            Ok(ranges.map(RangesCell::new))
        }
    }

    #[test]
    fn files_add_to_the_written_ranges() {
        let range = |text: &str| Cidr::parse(text).unwrap();
        let file = Some(SecretRef::File("/run/secrets/ranges".into()));
        let both = Checked {
            allow: Some(vec![range("198.51.100.0/24")]),
            deny: vec![range("10.9.0.0/16")],
            allow_file: file.clone(),
            deny_file: None,
        };
        let alone = Checked {
            allow: None,
            deny: Vec::new(),
            allow_file: file.clone(),
            deny_file: None,
        };
        let denied = Checked {
            allow: None,
            deny: vec![range("198.51.100.0/24")],
            allow_file: None,
            deny_file: file,
        };
        let clients = ["10.1.0.1", "10.9.0.1", "198.51.100.1", "203.0.113.1"];
        for (checked, is_read, expected) in [
            (&both, true, [true, false, true, false]),
            (&both, false, [true, false, true, true]),
            (&alone, true, [true, true, false, false]),
            (&alone, false, [true, true, true, true]),
            (&denied, true, [false, false, false, true]),
            (&denied, false, [true, true, false, true]),
        ] {
            let setting = Setting {
                name: "p",
                state: StateId(0),
                secrets: &OneFile { is_read },
                documents: &crate::NO_DOCUMENTS,
            };
            let filter = checked.filter(&setting).unwrap().unwrap();
            let found = clients.map(|client| filter.admits(client.parse().unwrap()));
            assert_eq!(found, expected, "{checked:?} {is_read}");
        }
    }

    #[test]
    fn empty_allow_refuses_everybody() {
        assert!(refused(Some(&[]), &[], "10.0.0.1"));
    }
}
