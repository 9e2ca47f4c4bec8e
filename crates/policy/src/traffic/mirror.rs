//! Mirroring: sends copies of requests to another upstream and discards its responses.
//!
//! ```yaml
//! policies:
//!   shadow: {kind: mirror, upstream: next, percent: 5%}
//! ```
//! A copy never delays the request and never makes it fail. It is sent separately; the number of
//! concurrent copies is limited. A body of more than 64 KiB and up to `max_body` is streamed to the
//! mirror. The copy is aborted if the mirror reads more slowly than the client sends. A chain may
//! have several mirrors. A metric counts copies by result.

use minicbor::{Decode, Encode};

use crate::change_rows;
use crate::changes::Absent::Is;
use crate::changes::Changes;
use crate::changes::Direction::{More, Moves};
use crate::cx::Cx;
use crate::declared::{Scalar, Settings, Value};
use crate::draw::Draw;
use crate::head::RequestHead;
use crate::mirrored::Mirror;
use crate::phase::Phase;
use crate::policy::Policy;
use crate::secret::SecretUnavailable;
use crate::step::{Run, Setting, Step};

/// Default of `max_body`, in bytes.
const MAX_BODY_BYTES: u64 = 64 << 10;
/// Default share of the requests that are copied, in parts per million: all requests.
const ALL_PPM: u32 = 1_000_000;

/// A mirror, in the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Checked {
    /// Name of the upstream.
    #[n(0)]
    upstream: String,
    /// Share of the requests that are copied, in parts per million. Default: all.
    #[n(1)]
    percent_ppm: Option<u32>,
    /// Maximum length of a body that is copied, in bytes. Default: 64 KiB.
    #[n(2)]
    max_body_bytes: Option<u64>,
}

/// A mirror at run time.
#[derive(Debug)]
pub struct Filter {
    upstream: Box<str>,
    ppm: u32,
    max_body_bytes: u64,
    draw: Draw,
}

/// Feature that a gateway needs for mirrors with `max_body`.
const MAX_BODY: &str = "policy:mirror:max_body";

impl Checked {
    /// Name of the upstream.
    #[must_use]
    pub fn upstream(&self) -> &str {
        &self.upstream
    }
}

impl Policy for Checked {
    type Filter = Filter;

    const CHANGES: Changes = Changes::of_traffic(change_rows! {
        "upstream": Moves;
        "percent": Moves;
        "max_body" as "policy-changed": More(Is(65_536));
    });

    const FEATURES: &'static [&'static str] = &[MAX_BODY];

    // The mirror runs with routing, after the filters that may refuse or change the request.
    fn phase(&self) -> Option<Phase> {
        Some(Phase::Route)
    }

    fn settings(&self) -> Settings {
        let name = Scalar::Name(self.upstream.clone());
        let settings = Settings::default().with(&["upstream"], Value::One(name));
        let settings = match self.percent_ppm {
            None => settings,
            Some(ppm) => settings.with(&["percent"], Value::One(Scalar::Share(ppm))),
        };
        match self.max_body_bytes {
            None => settings,
            Some(bytes) => settings.with(&["max_body"], Value::One(Scalar::Size(bytes))),
        }
    }

    fn filter(&self, setting: &Setting<'_>) -> Result<Option<Filter>, SecretUnavailable> {
        Ok(Some(Filter {
            upstream: self.upstream.as_str().into(),
            ppm: self.percent_ppm.unwrap_or(ALL_PPM),
            max_body_bytes: self.max_body_bytes.unwrap_or(MAX_BODY_BYTES),
            draw: Draw::of(setting.name),
        }))
    }

    fn feature(&self) -> Option<&'static str> {
        self.max_body_bytes.map(|_| MAX_BODY)
    }

    fn upstreams(&self) -> Vec<&str> {
        vec![&self.upstream]
    }

    fn rename_upstreams(&mut self, name: &dyn Fn(&str) -> String) {
        self.upstream = name(&self.upstream);
    }
}

impl Run for Filter {
    fn on_request<'a>(&'a self, _head: &mut RequestHead, cx: &mut Cx<'a>) -> Step {
        let lot = self.draw.below_by_request(cx, ALL_PPM.into());
        if lot.is_some_and(|lot| lot < self.ppm.into()) {
            cx.mirrors.push(Mirror {
                upstream: &self.upstream,
                max_body_bytes: self.max_body_bytes,
            });
        }
        Step::Continue
    }
}

#[cfg(feature = "author")]
pub mod author {
    //! Shape and checks of `kind: mirror` settings.

    use diag::shape::{BAD_VALUE, Field, Object, Rule, Shape};
    use diag::{Diagnostic, NodeRef, Sink, read};

    use super::Checked;

    /// Sample policies with all keys of this kind. Each sample is a line below `policies` in
    /// gateway.yaml.
    pub const SAMPLES: &[&str] =
        &["shadow: {kind: mirror, upstream: v, percent: 5%, max_body: 1MiB}"];

    /// The keys of `kind: mirror` and of the field `mirror`.
    pub static SHAPE: Object = Object {
        what: "a mirror",
        fields: &[
            Field::required(
                "upstream",
                Shape::Name("an upstream"),
                "Upstream of the copies. Each worker copies at most 128 requests at a time. `gwd_mirrored_requests_total` counts the others with the outcome `overflow`.",
            ),
            Field::optional(
                "percent",
                Shape::Percent,
                "Share of the requests that are copied. Default: all.",
            ),
            Field::optional(
                "max_body",
                Shape::Size,
                "Maximum size of a copied body. Bodies beyond 64KiB are streamed; a copy ends if the mirror is slower than the client. Default: 64KiB.",
            ),
        ],
        rules: &[Rule::Holds(copies_something)],
    };

    fn copies_something(node: NodeRef<'_>, sink: &mut Sink) {
        let percent = node.get("percent");
        if let Some(percent) = percent.filter(|node| read::percent_ppm(*node) == Ok(0)) {
            sink.push(
                Diagnostic::new(&BAD_VALUE, percent.span(), "no request is copied")
                    .help("write a percentage above `0%`, or remove the mirror"),
            );
        }
    }

    /// Reads a mirror from a node that fits [`SHAPE`].
    pub fn check(node: NodeRef<'_>, _: &mut Sink) -> Option<Checked> {
        let percent = node.get("percent").filter(|node| !node.is_null());
        let max_body = node.get("max_body").filter(|node| !node.is_null());
        Some(Checked {
            upstream: node.get("upstream")?.scalar_text()?.to_owned(),
            percent_ppm: percent.map(read::percent_ppm).transpose().ok()?,
            max_body_bytes: max_body.and_then(|node| read::size_bytes(node).ok()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cx::tests::{head, with_cx};

    fn copies(ppm: u32) -> u32 {
        let filter = Filter {
            upstream: "next".into(),
            ppm,
            max_body_bytes: MAX_BODY_BYTES,
            draw: Draw::of("shadow"),
        };
        let copied = |request: u64| {
            with_cx(|cx| {
                cx.draw = request.wrapping_mul(0x9E37_79B9_7F4A_7C15);
                filter.on_request(&mut head("/a"), cx);
                u32::try_from(cx.mirrors.len()).unwrap()
            })
        };
        (0..10_000).map(copied).sum()
    }

    #[test]
    fn the_share_of_the_requests_is_copied() {
        assert_eq!(copies(1_000_000), 10_000);
        let some = copies(50_000);
        assert!((400..600).contains(&some), "{some} of 10,000, not 5 %");
    }
}
