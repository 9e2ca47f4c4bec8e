//! Fetches of key sets: for requests that lack a key, and in the background before a set is old.
//!
//! At most one fetch of a source is under way in the process; all requests that lack one of its
//! keys wait for it. A fetch that fails changes nothing: the last set that was good stays in use
//! until it is too old for the verifier.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{ACCEPT, AGE, CACHE_CONTROL, CONTENT_TYPE, DATE, EXPIRES, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use policy::RequestHead;
use policy::ask::{Answer, Answered, AskId, Asker, Outage};
use policy::auth::jwt::discovery;
use policy::endpoint::Endpoint;
use policy::key_cell::{KeyCell, Remote};
use serde_json::json;

use crate::deadlines::Slot;
use crate::program_log::{Level, event};
use crate::upstream::connect::in_time;
use crate::upstream::effects::Asking;
use crate::upstream::effects::http::To;
use crate::upstream::effects::joined::Turn;
use crate::upstream::proxy_header::Ends;
use crate::worker::{View, Worker};

/// Maximum bytes of a key set, and of metadata: 1 MiB.
const BYTES_MAX: usize = 1 << 20;
/// Maximum bytes of a media type in a message: 64.
const TYPE_BYTES_MAX: usize = 64;
/// Maximum time that a request waits for a fetch, and that a fetch takes: 5s.
pub(super) const TIMEOUT_MS: u64 = 5_000;

/// Waits for a fetch of the keys that a request lacks.
pub(super) async fn ask(asking: &Asking<'_>, cell: &KeyCell, ends: Ends, until_ms: u64) -> Answer {
    let stream = asking.stream;
    let fetch = Fetch {
        worker: &stream.worker,
        view: asking.view,
        deadline: &stream.deadline,
        ends,
        until_ms,
    };
    fetch.joined(cell).await
}

/// Starts a fetch of each set of the running version that is due.
pub(crate) fn refresh(worker: &Rc<Worker>, view: &Rc<View>) {
    let unix_s = worker.unix_ms(worker.shared.clock.now_ns()) / 1_000;
    for cell in view.current().loaded.snapshot.key_cells() {
        if cell.take_due(unix_s) {
            let (worker, view, cell) = (Rc::clone(worker), Rc::clone(view), Arc::clone(cell));
            tokio::task::spawn_local(async move { in_background(&worker, &view, &cell).await });
        }
    }
}

async fn in_background(worker: &Rc<Worker>, view: &View, cell: &KeyCell) {
    let deadline = worker.deadlines.slot();
    std::future::poll_fn(|cx| {
        deadline.register(cx.waker());
        std::task::Poll::Ready(())
    })
    .await;
    let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let fetch = Fetch {
        worker,
        view,
        deadline: &deadline,
        ends: Ends {
            client: nowhere,
            destination: nowhere,
        },
        until_ms: worker.shared.clock.now_ms() + TIMEOUT_MS,
    };
    let _fetched = fetch.joined(cell).await;
}

/// Context of a fetch.
struct Fetch<'a> {
    worker: &'a Worker,
    view: &'a View,
    /// Deadline of the task.
    deadline: &'a Slot,
    ends: Ends,
    until_ms: u64,
}

impl Fetch<'_> {
    /// Fetches a set, or waits for the fetch that is under way.
    async fn joined(&self, cell: &KeyCell) -> Answer {
        let joining = self
            .worker
            .shared
            .joined
            .join(AskId::of_keys(cell).to_bytes());
        self.deadline.set(self.until_ms);
        let count = |outcome| self.worker.shard.asked(Asker::Keys.label(), outcome);
        let lead = match in_time(self.deadline, joining.turn()).await {
            Some(Turn::Answered(answer)) => {
                count("joined");
                return answer;
            }
            Some(Turn::Leads(lead)) => Some(lead),
            // Fetched sets are for all.
            Some(Turn::Alone) => None,
            None => {
                count(Outage::Timeout.label());
                return Answer::Outage(Outage::Timeout);
            }
        };
        match self.fetch(cell).await {
            Ok(()) => count("answered"),
            Err(outage) => count(outage.label()),
        }
        if let Some(lead) = lead {
            lead.answered(Some(&Answer::Fetched));
        }
        Answer::Fetched
    }

    /// Fetches a set into its cell.
    async fn fetch(&self, cell: &KeyCell) -> Result<(), Outage> {
        let fetched = match cell.source() {
            Remote::Set(url) => match Endpoint::of(url) {
                Some(endpoint) => self.get(&endpoint.origin, &endpoint.target).await,
                None => Err(Fault::new("the URL cannot be read")),
            },
            Remote::Issuer(issuer) => self.discovered(issuer).await,
        };
        let (jitter, now_ns) = (self.worker.random.next(), self.worker.shared.clock.now_ns());
        let unix_s = self.worker.unix_ms(now_ns) / 1_000;
        let fault = match fetched {
            Ok(answered) => {
                let fresh_s = fresh_s(&answered.headers);
                match cell.fetched(&answered.body, unix_s, fresh_s, jitter) {
                    Ok(recovered) => {
                        if recovered {
                            let source = json!({"source": cell.source().url()});
                            event(Level::Info, "keys can be fetched again", source);
                        }
                        return Ok(());
                    }
                    Err(why) => Fault::of_content(&format!("the key set: {why}"), &answered),
                }
            }
            Err(fault) => fault,
        };
        if cell.failed(&fault.why, unix_s, jitter) {
            event(
                Level::Warn,
                "keys cannot be fetched; the last ones stay in use until they are too old",
                json!({"source": cell.source().url(), "error": fault.why}),
            );
        }
        Err(fault.outage)
    }

    /// The key set that the metadata of an issuer names.
    async fn discovered(&self, issuer: &str) -> Result<Answered, Fault> {
        let origin = Endpoint::of(issuer).map(|endpoint| endpoint.origin);
        let origin = origin.ok_or(Fault::new("the issuer is no URL"))?;
        let [first, second] = discovery::paths(issuer);
        let metadata = match self.get(&origin, &first).await {
            Err(fault) if fault.is_absent => self.get(&origin, &second).await?,
            other => other?,
        };
        let endpoint = discovery::jwks_uri(&metadata.body, issuer)
            .map_err(|why| Fault::of_content(why, &metadata))?;
        self.get(&endpoint.origin, &endpoint.target).await
    }

    /// A document of a provider. Its reader decides whether the content is usable, whatever type the
    /// provider says: some serve key sets as `text/plain`.
    async fn get(&self, origin: &str, target: &str) -> Result<Answered, Fault> {
        let upstream = self.view.current().loaded.snapshot.upstream(origin);
        let target = PathAndQuery::try_from(target).ok();
        let (Some(upstream), Some(target)) = (upstream, target) else {
            return Err(Fault::new("the URL is none of this version's"));
        };
        let fields: [(HeaderName, &'static str); 2] = [
            (ACCEPT, "application/jwk-set+json, application/json"),
            (USER_AGENT, "gwd"),
        ];
        let fields = fields.map(|(name, value)| (name, HeaderValue::from_static(value)));
        let head = RequestHead {
            method: Method::GET,
            target,
            host: Box::default(),
            headers: HeaderMap::from_iter(fields),
            is_ambiguous: false,
        };
        let to = To {
            worker: self.worker,
            view: self.view,
            upstream,
            deadline: self.deadline,
            ends: self.ends,
            until_ms: self.until_ms,
            body_bytes_max: BYTES_MAX,
        };
        let answered = to
            .send(&head, &Bytes::new())
            .await
            .map_err(|outage| Fault {
                why: format!("{origin}{}: {}", head.target, outage.label()),
                outage,
                is_absent: false,
            })?;
        let status = answered.status.as_u16();
        if status != 200 {
            return Err(Fault {
                why: format!("{origin}{}: status {status}", head.target),
                outage: Outage::Failed,
                is_absent: status == 404,
            });
        }
        Ok(answered)
    }
}

/// Reason why a fetch failed.
struct Fault {
    why: String,
    outage: Outage,
    /// The provider does not serve the document.
    is_absent: bool,
}

impl Fault {
    fn new(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            outage: Outage::Failed,
            is_absent: false,
        }
    }

    /// Fault of a document's content. The type tells a login page from a key set.
    fn of_content(why: &str, answered: &Answered) -> Self {
        match media_type(&answered.headers) {
            Some(kind) => Self::new(format!("{why} (content-type {kind})")),
            None => Self::new(format!("{why} (no content-type)")),
        }
    }
}

/// Type and subtype of a document, if they are valid (RFC 9110 §8.3.1).
fn media_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let essence = text.split(';').next()?.trim().to_ascii_lowercase();
    let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b"/+-._".contains(&byte);
    (essence.len() <= TYPE_BYTES_MAX && essence.bytes().all(is_valid)).then_some(essence)
}

/// Seconds for which a response stays the same (RFC 9111 §4.2.1); none if it does not say.
fn fresh_s(headers: &HeaderMap) -> Option<u64> {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let directives = headers.get_all(CACHE_CONTROL).iter();
    let directives = directives.filter_map(|value| value.to_str().ok());
    let directives = directives.flat_map(|line| line.split(',')).map(str::trim);
    let age_s = text(&AGE).and_then(|age| age.parse().ok()).unwrap_or(0);
    let mut found = None;
    for directive in directives {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.to_ascii_lowercase().as_str() {
            "no-store" | "no-cache" => return Some(0),
            "max-age" => found = value.trim_matches('"').parse::<u64>().ok(),
            _ => {}
        }
    }
    if let Some(max_age_s) = found {
        return Some(max_age_s.saturating_sub(age_s));
    }
    let time = |name| httpdate::parse_http_date(text(name)?).ok();
    let expires = time(&EXPIRES)?;
    let from = time(&DATE).unwrap_or_else(SystemTime::now);
    Some(
        expires
            .duration_since(from)
            .map_or(0, |left| left.as_secs()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let fields = fields.iter().map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        fields.collect()
    }

    #[test]
    fn freshness_is_read_as_caches_do() {
        const DATE: (&str, &str) = ("date", "Sun, 22 Nov 2026 10:00:00 GMT");
        for (fields, expected) in [
            (&[][..], None),
            (&[("cache-control", "public, max-age=900")][..], Some(900)),
            (
                &[("cache-control", "max-age=900"), ("age", "100")][..],
                Some(800),
            ),
            (&[("cache-control", "max-age=9, no-store")][..], Some(0)),
            (&[("cache-control", "no-cache")][..], Some(0)),
            (
                &[DATE, ("expires", "Sun, 22 Nov 2026 10:20:00 GMT")][..],
                Some(1_200),
            ),
            (
                &[DATE, ("expires", "Sun, 22 Nov 2026 09:00:00 GMT")][..],
                Some(0),
            ),
            (&[("expires", "0")][..], None),
        ] {
            assert_eq!(fresh_s(&headers(fields)), expected, "{fields:?}");
        }
    }

    #[test]
    fn only_valid_media_types_are_shown() {
        for (kind, expected) in [
            (
                "application/jwk-set+json; charset=utf-8",
                Some("application/jwk-set+json"),
            ),
            ("Text/HTML", Some("text/html")),
            ("text/html\t<script>", None),
        ] {
            let found = media_type(&headers(&[("content-type", kind)]));
            assert_eq!(found.as_deref(), expected);
        }
        assert_eq!(media_type(&headers(&[])), None);
    }
}
