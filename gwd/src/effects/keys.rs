//! Fetches of key sets: for requests that need an unknown key, and in the background before a set
//! expires.
//!
//! At most one fetch from each source is in progress in the process. All requests that need a key
//! from the source wait for the same fetch. The fetch is a task of its own with a timeout of its
//! own. It continues if the request that started it ends, because the next fetch for an unknown key
//! is allowed only 30 seconds later. After a failed fetch, the last valid set is used until it is
//! too old for the verifier.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{ACCEPT, AGE, CACHE_CONTROL, CONTENT_TYPE, DATE, EXPIRES, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use policy::RequestHead;
use policy::ask::{Answer, Answered, AskId, CallKind, Outage};
use policy::auth::jwt::discovery;
use policy::endpoint::Endpoint;
use policy::key_cell::{KeyCell, Remote};
use serde_json::json;

use crate::answers::joined::{Key, Lead, Turn};
use crate::effects::call::To;
use crate::effects::pending::PendingDecision;
use crate::published::Loaded;
use crate::runtime::deadlines::{Slot, in_time};
use crate::runtime::program_log::{Level, event};
use crate::upstream::proxy_header::Ends;
use crate::worker::{View, Worker};

/// Maximum length of a key set or an issuer's metadata, in bytes: 1 MiB.
const BYTES_MAX: usize = 1 << 20;
/// Maximum length of a media type in a log message, in bytes.
const TYPE_BYTES_MAX: usize = 64;
/// Maximum duration of a fetch, and maximum time for which a request waits for one: 5s.
const TIMEOUT_MS: u64 = 5_000;

/// Waits for a fetch of the keys that a request needs. Begins the fetch if none is in progress.
pub(super) async fn ask(pending: &PendingDecision<'_>, cell: &Arc<KeyCell>) -> Answer {
    let (worker, view) = (pending.worker, pending.view);
    let joining = worker.shared.joined.join(key(cell));
    let deadline = pending.deadline;
    deadline.set(worker.clock.now_ms() + TIMEOUT_MS);
    let turn = in_time(deadline, joining.turn()).await;
    let is_first = matches!(turn, Some(Turn::Leads(_)));
    let turn = match turn {
        Some(Turn::Leads(lead)) => {
            let (worker, view, cell) = (Rc::clone(worker), Rc::clone(view), Arc::clone(cell));
            let ends = pending.ends;
            tokio::task::spawn_local(async move { fetch(&worker, &view, &cell, ends, lead).await });
            deadline.set(pending.worker.clock.now_ms() + TIMEOUT_MS);
            in_time(deadline, joining.turn()).await
        }
        other => other,
    };
    let outcome = match turn {
        Some(Turn::Answered(_)) if is_first => return Answer::Fetched,
        Some(Turn::Answered(answer)) => {
            worker
                .shard
                .count_policy_call(CallKind::Keys.label(), "joined");
            return answer;
        }
        // The task that performed the fetch has ended without a result.
        Some(Turn::Leads(_) | Turn::Alone) => Outage::Failed,
        None => Outage::Timeout,
    };
    worker
        .shard
        .count_policy_call(CallKind::Keys.label(), outcome.label());
    Answer::Outage(outcome)
}

fn key(cell: &KeyCell) -> Key {
    AskId::of_keys(cell).to_bytes()
}

/// Starts a fetch of each key set in the current release that is due for a refresh.
pub(crate) fn refresh(worker: &Rc<Worker>, view: &Rc<View>) {
    let unix_s = worker.unix_ms(worker.clock.now_ns()) / 1_000;
    for cell in view.current().loaded.snapshot.key_cells() {
        if cell.take_due(unix_s) {
            let (worker, view, cell) = (Rc::clone(worker), Rc::clone(view), Arc::clone(cell));
            tokio::task::spawn_local(async move { in_background(&worker, &view, &cell).await });
        }
    }
}

/// Fetches key sets that are due, with the upstreams of a version that is not published yet.
pub(crate) async fn fetch_all(worker: &Rc<Worker>, loaded: Arc<Loaded>, cells: Vec<Arc<KeyCell>>) {
    let view = Rc::new(View::unpublished(worker, loaded));
    let unix_s = worker.unix_ms(worker.clock.now_ns()) / 1_000;
    let mut fetches = tokio::task::JoinSet::new();
    for cell in cells.into_iter().filter(|cell| cell.take_due(unix_s)) {
        let (worker, view) = (Rc::clone(worker), Rc::clone(&view));
        fetches.spawn_local(async move { in_background(&worker, &view, &cell).await });
    }
    while fetches.join_next().await.is_some() {}
}

/// Fetches a key set, unless a fetch is in progress.
async fn in_background(worker: &Rc<Worker>, view: &View, cell: &KeyCell) {
    let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let ends = Ends {
        client: nowhere,
        destination: nowhere,
    };
    let joining = worker.shared.joined.join(key(cell));
    if let Turn::Leads(lead) = joining.turn().await {
        fetch(worker, view, cell, ends, lead).await;
    }
}

/// Fetches a key set for all requests that wait for it.
async fn fetch(worker: &Rc<Worker>, view: &View, cell: &KeyCell, ends: Ends, lead: Lead) {
    // Join this fetch, so that further requests that need the keys share it, even if the request
    // that started it has ended.
    let _joins = worker.shared.joined.join(key(cell));
    let deadline = worker.deadlines.slot();
    std::future::poll_fn(|cx| {
        deadline.register(cx.waker());
        std::task::Poll::Ready(())
    })
    .await;
    let fetch = Fetch {
        worker,
        view,
        deadline: &deadline,
        ends,
        until_ms: worker.clock.now_ms() + TIMEOUT_MS,
    };
    let outcome = match fetch.fetch(cell).await {
        Ok(()) => "answered",
        Err(outage) => outage.label(),
    };
    worker
        .shard
        .count_policy_call(CallKind::Keys.label(), outcome);
    lead.answered(Some(&Answer::Fetched));
}

/// Resources and deadline of a fetch in progress.
struct Fetch<'a> {
    worker: &'a Worker,
    view: &'a View,
    /// Deadline slot of the task that performs the fetch. The slot wakes the task when the deadline
    /// passes.
    deadline: &'a Slot,
    ends: Ends,
    until_ms: u64,
}

impl Fetch<'_> {
    /// Fetches a key set and stores it in its cell.
    async fn fetch(&self, cell: &KeyCell) -> Result<(), Outage> {
        let fetched = match cell.source() {
            Remote::Set(url) => match Endpoint::of(url) {
                Some(endpoint) => self.get(&endpoint.origin, &endpoint.target).await,
                None => Err(Fault::new("the URL is not valid")),
            },
            Remote::Issuer(issuer) => self.discovered(issuer).await,
            Remote::Provider(issuer) => self.metadata(issuer).await,
        };
        let (jitter, now_ns) = (self.worker.random.next(), self.worker.clock.now_ns());
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

    /// Fetches the key set whose URL is in the issuer's metadata.
    async fn discovered(&self, issuer: &str) -> Result<Answered, Fault> {
        let metadata = self.metadata(issuer).await?;
        let endpoint = discovery::jwks_uri(&metadata.body, issuer)
            .map_err(|why| Fault::of_content(why, &metadata))?;
        self.get(&endpoint.origin, &endpoint.target).await
    }

    /// Fetches the metadata of an issuer.
    async fn metadata(&self, issuer: &str) -> Result<Answered, Fault> {
        let origin = Endpoint::of(issuer).map(|endpoint| endpoint.origin);
        let origin = origin.ok_or(Fault::new("the issuer is not a URL"))?;
        let [first, second] = discovery::paths(issuer);
        match self.get(&origin, &first).await {
            Err(fault) if fault.is_absent => self.get(&origin, &second).await,
            other => other,
        }
    }

    /// Fetches a document of an identity provider. The media type is not checked, because some
    /// providers send key sets as `text/plain`; the parser of the document decides whether it is
    /// usable.
    async fn get(&self, origin: &str, target: &str) -> Result<Answered, Fault> {
        let upstream = self.view.current().loaded.snapshot.upstream(origin);
        let target = PathAndQuery::try_from(target).ok();
        let (Some(upstream), Some(target)) = (upstream, target) else {
            return Err(Fault::new("the URL does not belong to the running version"));
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
            client: None,
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
    /// True if the provider answered 404.
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

    /// Error in a document's content. The message contains the media type, which shows if the
    /// provider sent, for example, an HTML login page.
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

/// Remaining time in seconds for which a response is fresh (RFC 9111 §4.2.1). `None` if the
/// response does not give it.
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
