//! Webhook of a guard: a service that judges the release, in the form of Flagger's webhooks.
//!
//! A thread of its own sends a POST request at an interval, so that neither the control thread nor
//! requests wait for the service. A response with status 2xx passes, another one fails. The guard
//! reads the result at each of its evaluations.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use bundle::statement::predicate::{OnOutage, Webhook as Settings};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION};
use http::{HeaderValue, StatusCode};
use hyper::body::Incoming;
use policy::{SecretCell, endpoint};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_rustls::TlsConnector;

use crate::client::{Connection, Endpoint, Post, read};
use crate::runtime::escapes::is_hidden;
use crate::tls::client;

/// Maximum length of the text of a failing response in the status and the log, in bytes.
const MESSAGE_BYTES_MAX: usize = 256;

/// Running webhook. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Webhook {
    settings: Settings,
    answers: Arc<Mutex<Answers>>,
    authorization: Arc<Mutex<Authorization>>,
    /// The thread ends when this is dropped. `None`: the guard has its result.
    running: Option<oneshot::Sender<()>>,
}

/// Value of `Authorization`, or the reason why it is not available. `Ok(None)`: requests have none.
pub(super) type Authorization = Result<Option<Arc<SecretCell>>, String>;

/// Responses of the service so far.
#[derive(Debug, Default)]
struct Answers {
    passed: u64,
    failed: u64,
    /// Requests without a response.
    unanswered: u64,
    /// Failures in succession up to the last request, as the settings count them.
    failures: u32,
    /// Result of the last request. `None`: no request has ended.
    last: Option<Answer>,
}

/// Result of a request.
#[derive(Clone, Debug)]
enum Answer {
    Response { status: StatusCode, message: String },
    None { error: String },
}

/// Everything that the requests need.
struct Caller {
    settings: Settings,
    authorization: Arc<Mutex<Authorization>>,
    body: Bytes,
}

// === impl Webhook ===

impl Webhook {
    /// Starts the requests. `body`: name, namespace, phase and metadata of the release.
    pub(super) fn start(settings: &Settings, authorization: Authorization, body: &Value) -> Self {
        let answers = Arc::new(Mutex::new(Answers::default()));
        let authorization = Arc::new(Mutex::new(authorization));
        let (running, stopped) = oneshot::channel();
        let caller = Caller {
            settings: settings.clone(),
            authorization: Arc::clone(&authorization),
            body: Bytes::from(body.to_string()),
        };
        let all = Arc::clone(&answers);
        let started = runtime().and_then(|runtime| {
            let thread = thread::Builder::new().name("gwd-webhook".to_owned());
            thread.spawn(move || runtime.block_on(caller.run(&all, stopped)))
        });
        if let Err(error) = started {
            let error = format!("no thread: {error}");
            lock(&answers).add(Answer::None { error }, settings.on_outage);
        }
        Self {
            settings: settings.clone(),
            answers,
            authorization,
            running: Some(running),
        }
    }

    /// True if requests wait for a secret that is not available.
    pub(super) fn lacks_secret(&self) -> bool {
        self.running.is_some() && lock(&self.authorization).is_err()
    }

    /// Sets the value of `Authorization` for the next requests.
    pub(super) fn authorize(&self, authorization: Authorization) {
        *lock(&self.authorization) = authorization;
    }

    /// True if the service has rejected the release.
    pub(super) fn has_failed(&self) -> bool {
        lock(&self.answers).failures >= self.settings.failures
    }

    /// True if the service has accepted the release, and has not rejected it since.
    pub(super) fn has_passed(&self) -> bool {
        let answers = lock(&self.answers);
        answers.passed > 0 && answers.failures == 0
    }

    /// Ends the requests. The responses so far stay in the status.
    pub(super) fn end(&mut self) {
        self.running = None;
    }

    pub(super) fn json(&self) -> Value {
        let answers = lock(&self.answers);
        json!({
            "passed": answers.passed,
            "failed": answers.failed,
            "unanswered": answers.unanswered,
            "last": answers.last.as_ref().map(|last| match last {
                Answer::Response { status, message } => {
                    json!({"status": status.as_u16(), "message": message})
                }
                Answer::None { error } => json!({"error": error}),
            }),
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

impl Answers {
    fn add(&mut self, answer: Answer, on_outage: OnOutage) {
        match (&answer, on_outage) {
            (Answer::Response { status, .. }, _) if status.is_success() => {
                self.passed += 1;
                self.failures = 0;
            }
            (Answer::Response { .. }, _) => {
                self.failed += 1;
                self.failures = self.failures.saturating_add(1);
            }
            (Answer::None { .. }, OnOutage::Fail) => {
                self.unanswered += 1;
                self.failures = self.failures.saturating_add(1);
            }
            (Answer::None { .. }, OnOutage::Ignore) => self.unanswered += 1,
        }
        self.last = Some(answer);
    }
}

// === impl Caller ===

impl Caller {
    /// Sends requests at the interval of the settings, until the webhook ends. A request that has no
    /// response yet is then aborted.
    async fn run(&self, answers: &Mutex<Answers>, stopped: oneshot::Receiver<()>) {
        let requests = async {
            let interval = Duration::from_millis(self.settings.interval_ms);
            loop {
                let next = Instant::now() + interval;
                let answer = self.call().await;
                let answer = answer.unwrap_or_else(|error| Answer::None { error });
                lock(answers).add(answer, self.settings.on_outage);
                sleep_until(next).await;
            }
        };
        tokio::select! {
            _ = stopped => {}
            () = requests => {}
        }
    }

    /// Sends a request. The status of the response decides, also if the body is too long or too
    /// late.
    async fn call(&self) -> Result<Answer, String> {
        // Without the credential, no request is sent.
        let authorization = lock(&self.authorization).clone()?;
        let authorization = authorization.map(|cell| cell.value());
        let authorization = authorization.as_ref().map(|value| value.as_slice());
        let until = Instant::now() + Duration::from_millis(self.settings.timeout_ms);
        let answered = timeout_at(until, self.post(authorization)).await;
        let answered = answered.unwrap_or_else(|_| Err("it does not answer in time".to_owned()))?;
        let (status, body) = (answered.status(), answered.into_body());
        if status.is_success() {
            return Ok(Answer::Response {
                status,
                message: String::new(),
            });
        }
        let body = timeout_at(until, read(body)).await;
        let body = body.ok().and_then(Result::ok).unwrap_or_default();
        Ok(Answer::Response {
            status,
            message: message(&body, authorization),
        })
    }

    /// Sends a request on a new connection. The service may change its addresses between requests.
    async fn post(&self, authorization: Option<&[u8]>) -> Result<http::Response<Incoming>, String> {
        let endpoint = endpoint_of(&self.settings.url)?;
        // The next request uses a new connection.
        let mut headers = vec![(CONNECTION, HeaderValue::from_static("close"))];
        if let Some(value) = authorization {
            let value = HeaderValue::from_bytes(value);
            let mut value = value.map_err(|_| "`authorization` is no field value".to_owned())?;
            value.set_sensitive(true);
            headers.push((AUTHORIZATION, value));
        }
        let post = Post {
            endpoint: &endpoint,
            headers: &headers,
            content_type: HeaderValue::from_static("application/json"),
        };
        let mut connection = Connection::open(&endpoint).await?;
        connection.begin(&post, self.body.clone()).await
    }
}

/// Beginning of the text of a failing response, without characters that change how the text around
/// them is displayed. Empty if the text repeats the credential.
fn message(body: &[u8], credential: Option<&[u8]>) -> String {
    let parts = credential
        .iter()
        .flat_map(|value| value.split(|byte| *byte == b' '));
    // A scheme such as `Bearer` is no secret.
    let last = parts.last().filter(|part| !part.is_empty());
    if last.is_some_and(|secret| memchr::memmem::find(body, secret).is_some()) {
        return String::new();
    }
    let text = String::from_utf8_lossy(&body[..body.len().min(MESSAGE_BYTES_MAX)]);
    let text = text.replace(is_hidden, " ");
    text[..text.floor_char_boundary(MESSAGE_BYTES_MAX)].to_owned()
}

/// Service at a URL, which the record's check admits.
fn endpoint_of(url: &str) -> Result<Endpoint, String> {
    let parsed = endpoint::Endpoint::of(url).filter(endpoint::Endpoint::is_safe);
    let parsed = parsed.ok_or("the URL cannot be used")?;
    let authority = parsed.origin.split_once("://").unwrap_or_default().1;
    Ok(Endpoint {
        authority: HeaderValue::from_str(authority).map_err(|error| error.to_string())?,
        path: parsed.target,
        tls: match parsed.tls {
            true => Some(connector()?),
            false => None,
        },
        host: parsed.host,
        port: parsed.port,
    })
}

/// TLS client settings with the CA certificates of the system.
fn connector() -> Result<TlsConnector, String> {
    let mut config = client::verifying(client::system_roots("SSL_CERT_FILE")?)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16) -> Answer {
        Answer::Response {
            status: StatusCode::from_u16(status).unwrap(),
            message: String::new(),
        }
    }

    fn none() -> Answer {
        Answer::None {
            error: "no connection".to_owned(),
        }
    }

    #[test]
    fn failures_in_succession_count() {
        use OnOutage::{Fail, Ignore};
        let run = |on_outage, all: &[Answer]| {
            let mut answers = Answers::default();
            for one in all {
                answers.add(one.clone(), on_outage);
            }
            (
                answers.passed,
                answers.failed,
                answers.unanswered,
                answers.failures,
            )
        };
        for status in [200, 202, 204] {
            assert_eq!(run(Fail, &[answer(status)]), (1, 0, 0, 0), "{status}");
        }
        for status in [301, 400, 403, 429, 500, 503] {
            assert_eq!(run(Ignore, &[answer(status)]), (0, 1, 0, 1), "{status}");
        }
        let all = [answer(500), answer(500), answer(200), answer(500)];
        assert_eq!(run(Ignore, &all), (1, 3, 0, 1));
        let all = [answer(500), none(), answer(500)];
        assert_eq!(run(Ignore, &all), (0, 2, 1, 2), "an outage changes nothing");
        assert_eq!(run(Fail, &all), (0, 2, 1, 3));
    }

    #[test]
    fn message_has_no_hidden_characters() {
        let text = |body: &str| message(body.as_bytes(), Some(b"Bearer k3y"));
        assert_eq!(text("no\n\u{202e}good\u{9b}31m"), "no  good 31m");
        assert_eq!(text("you sent k3y"), "");
        assert_eq!(text("Bearer of bad news"), "Bearer of bad news");
        assert_eq!(text(&"é".repeat(300)).len(), MESSAGE_BYTES_MAX);
        assert!(message(&[0xFF; 400], None).len() <= MESSAGE_BYTES_MAX);
    }

    #[test]
    fn only_encrypted_or_local_services_are_called() {
        let found = |url: &str| endpoint_of(url).map(|it| it.to_string());
        let local = "http://127.0.0.1:9000/judge?a=1";
        assert_eq!(found(local).as_deref(), Ok(local));
        for url in [
            "http://judge.example/",
            "http://10.0.0.1/",
            "ftp://a/",
            "https://u:p@a/",
        ] {
            assert!(found(url).is_err(), "{url}");
        }
    }
}
