//! Deprecation of an operation, announced to clients in response fields (RFC 9745, RFC 8594).
//!
//! ```yaml
//! policies:
//!   leaving: {kind: deprecation, since: 2026-01-01, sunset: 2026-11-11, link: "https://example.org/v2"}
//! ```
//! After the sunset the gateway answers 410.

use http::header::{HeaderName, HeaderValue, LINK};
use minicbor::{Decode, Encode};

use crate::change_rows;
use crate::changes::Changes;
use crate::changes::Direction::{Access, Until};
use crate::cx::Cx;
use crate::declared::{Scalar, Settings, Value};
use crate::head::{RequestHead, ResponseHead};
use crate::phase::Phase;
use crate::policy::Policy;
use crate::secret::SecretUnavailable;
use crate::step::{Reject, Run, Setting, Step};

const DAY_S: u64 = 86_400;

/// A deprecation, in the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Checked {
    /// First day of the deprecation, in days since 1970-01-01.
    #[n(0)]
    since_day: Option<u64>,
    /// Last day on which the operation is served, in days since 1970-01-01. `None`: no last day.
    #[n(1)]
    sunset_day: Option<u64>,
    /// URL of the documentation for clients.
    #[n(2)]
    link: Option<String>,
}

/// A deprecation at run time.
#[derive(Debug)]
pub struct Filter {
    deprecation: Option<HeaderValue>,
    sunset: Option<HeaderValue>,
    links: Vec<HeaderValue>,
    /// Time from which the gateway answers 410 (Unix time, seconds). `None`: never.
    gone_s: Option<u64>,
}

static DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
static SUNSET: HeaderName = HeaderName::from_static("sunset");
static GONE: Reject = Reject::new(
    410,
    "operation_gone",
    "The operation is no longer available",
)
.with_meaning("the operation's `sunset` is past");

impl Policy for Checked {
    type Filter = Filter;

    const CHANGES: Changes = Changes::new(change_rows! {
        "sunset" as "sunset-changed": Until;
        "link": Access;
    });

    const REFUSALS: &'static [&'static Reject] = &[&GONE];

    // The policy is in the phase of response changes, because every response gets the fields.
    fn phase(&self) -> Option<Phase> {
        Some(Phase::Transform)
    }

    fn settings(&self) -> Settings {
        let date = |day: u64| {
            let (year, month, day) = civil(day);
            Scalar::Text(format!("{year:04}-{month:02}-{day:02}"))
        };
        let written = [
            ("since", self.since_day.map(date)),
            ("sunset", self.sunset_day.map(date)),
            ("link", self.link.clone().map(Scalar::Text)),
        ];
        let mut settings = Settings::default();
        for (key, scalar) in written {
            if let Some(scalar) = scalar {
                settings = settings.with(&[key], Value::One(scalar));
            }
        }
        settings
    }

    fn filter(&self, _setting: &Setting<'_>) -> Result<Option<Filter>, SecretUnavailable> {
        let value = |text: String| HeaderValue::try_from(text).ok();
        let relations = ["deprecation", "sunset"];
        let links = self.link.iter().flat_map(|link| {
            let relations = relations
                .into_iter()
                .filter(|relation| *relation == "deprecation" || self.sunset_day.is_some());
            relations.filter_map(move |relation| value(format!("<{link}>; rel=\"{relation}\"")))
        });
        Ok(Some(Filter {
            deprecation: self
                .since_day
                .and_then(|day| value(format!("@{}", day * DAY_S))),
            sunset: self.sunset_day.and_then(|day| value(end_of(day))),
            links: links.collect(),
            gone_s: self.sunset_day.map(|day| (day + 1) * DAY_S),
        }))
    }
}

impl Run for Filter {
    fn on_request<'a>(&'a self, _head: &mut RequestHead, cx: &mut Cx<'a>) -> Step {
        match self.gone_s {
            Some(gone) if cx.unix_s >= gone => Step::Reject(&GONE),
            Some(_) | None => Step::Continue,
        }
    }

    fn on_response<'a>(&'a self, head: &mut ResponseHead, _: &mut Cx<'a>) {
        let set = [(&DEPRECATION, &self.deprecation), (&SUNSET, &self.sunset)];
        for (name, value) in set {
            if let Some(value) = value {
                head.headers.insert(name, value.clone());
            }
        }
        for link in &self.links {
            head.headers.append(LINK, link.clone());
        }
    }
}

/// Last second of a day in the format HTTP-date (RFC 9110 §5.6.7). `day` is the number of days
/// since 1970-01-01.
fn end_of(day: u64) -> String {
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let weekday = WEEKDAYS[usize::try_from(day % 7).unwrap_or(0)];
    let (year, month, of_month) = civil(day);
    let month = MONTHS[usize::try_from(month - 1).unwrap_or(0)];
    format!("{weekday}, {of_month:02} {month} {year:04} 23:59:59 GMT")
}

/// Gregorian year, month and day. `day` is the number of days since 1970-01-01.
fn civil(day: u64) -> (u64, u64, u64) {
    // The calculation uses eras of 400 years that begin in March, so that the leap day is the last
    // day of a year.
    let shifted = day + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (
        year_of_era + era * 400 + u64::from(month <= 2),
        month,
        of_month,
    )
}

#[cfg(feature = "author")]
pub mod author {
    //! Shape and checks of `kind: deprecation` settings.

    use diag::shape::{BAD_VALUE, Field, Object, Rule, Shape, read_date};
    use diag::{Diagnostic, NodeRef, Sink};

    use super::Checked;

    use crate::forms;

    /// Sample policies with all keys of this kind. Each sample is a line below `policies` in
    /// gateway.yaml.
    pub const SAMPLES: &[&str] = &[
        r#"leaving: {kind: deprecation, since: 2026-01-01, sunset: 2031-11-11, link: "https://a.test/v2"}"#,
    ];

    /// The keys of `kind: deprecation` and of the field `deprecated`.
    pub static SHAPE: Object = Object {
        what: "a deprecation",
        fields: &[
            Field::optional(
                "since",
                Shape::Date,
                "Day of the deprecation. Default: none.",
            ),
            Field::optional(
                "sunset",
                Shape::Date,
                "Last day on which the operation is served. Default: unlimited.",
            ),
            Field::optional(
                "link",
                Shape::Form(&forms::URL),
                "URL of the documentation for clients. Default: none.",
            ),
        ],
        rules: &[
            Rule::AnyOf(&["since", "sunset", "link"]),
            Rule::Holds(ends_after_it_begins),
        ],
    };

    fn ends_after_it_begins(node: NodeRef<'_>, sink: &mut Sink) {
        let date = |key: &str| {
            let value = node.get(key)?;
            Some((read_date(value.scalar_text()?)?, value.span()))
        };
        if let (Some((since, first)), Some((sunset, last))) = (date("since"), date("sunset"))
            && sunset < since
        {
            sink.push(
                Diagnostic::new(
                    &BAD_VALUE,
                    last,
                    "the operation ends before its deprecation",
                )
                .related(first, "the deprecation begins here")
                .help("write a `sunset` that is not before `since` (RFC 8594 §3)"),
            );
        }
    }

    /// Reads a deprecation from a node that fits [`SHAPE`].
    pub fn check(node: NodeRef<'_>, _: &mut Sink) -> Option<Checked> {
        let text = |key: &str| node.get(key)?.scalar_text();
        // `read_date` returns the end of the day, so subtract one day.
        let day = |key: &str| (read_date(text(key)?)? / super::DAY_S).checked_sub(1);
        Some(Checked {
            since_day: day("since"),
            sunset_day: day("sunset"),
            link: text("link").map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_their_dates() {
        // Expected values from `date -u -d @SECONDS`.
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(19_782), (2024, 2, 29));
        assert_eq!(civil(20_768), (2026, 11, 11));
        assert_eq!(civil(47_540), (2100, 2, 28));
        assert_eq!(civil(47_541), (2100, 3, 1));
        assert_eq!(end_of(20_768), "Wed, 11 Nov 2026 23:59:59 GMT");
    }
}
