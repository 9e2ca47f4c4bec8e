//! Webhook of a guard: a service that judges the release, in the form of Flagger's webhooks.
//!
//! A thread of its own sends a POST request at an interval, so that neither the control thread nor
//! requests wait for the service. A response with status 2xx passes, another one fails. The guard
//! reads the result at each of its evaluations.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use bundle::statement::predicate::{OnOutage, Webhook as Settings};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION};
use http::{HeaderValue, StatusCode};
use hyper::body::Incoming;
use policy::{SecretCell, endpoint};
use serde_json::{Value, json};
use tokio::time::timeout_at;
use tokio_rustls::TlsConnector;

use crate::client::{Connection, Endpoint, Post, read};
use crate::tls::client;

/// Maximum length of the text of a failing response in the status and the log, in bytes.
const MESSAGE_BYTES_MAX: usize = 256;

/// Running webhook. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Webhook {
    settings: Settings,
    answers: Arc<Mutex<Answers>>,
    /// The thread ends when this is dropped. `None`: the guard has its result.
    running: Option<Sender<()>>,
}

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
    /// Value of `Authorization`. `None`: the requests have none.
    authorization: Option<Arc<SecretCell>>,
    body: Bytes,
}

// === impl Webhook ===

impl Webhook {
    /// Starts the requests. `authorization`: value of `Authorization`, or the reason why it is not
    /// available. `body`: name, namespace, phase and metadata of the release.
    pub(super) fn start(
        settings: &Settings,
        authorization: Result<Option<Arc<SecretCell>>, String>,
        body: &Value,
    ) -> Self {
        let answers = Arc::new(Mutex::new(Answers::default()));
        let (running, stopped) = mpsc::channel();
        let hook = Self {
            settings: settings.clone(),
            answers: Arc::clone(&answers),
            running: Some(running),
        };
        let body = Bytes::from(body.to_string());
        let settings = settings.clone();
        let thread = thread::Builder::new().name("gwd-webhook".to_owned());
        let started = thread.spawn(move || match authorization {
            Ok(authorization) => {
                let caller = Caller {
                    settings,
                    authorization,
                    body,
                };
                caller.run(&answers, &stopped);
            }
            // Without the credential, no request is sent.
            Err(reason) => at_interval(&settings, &stopped, || {
                let error = reason.clone();
                lock(&answers).add(Answer::None { error }, settings.on_outage);
            }),
        });
        if let Err(error) = started {
            let error = format!("no thread: {error}");
            lock(&hook.answers).add(Answer::None { error }, hook.settings.on_outage);
        }
        hook
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

fn lock(answers: &Mutex<Answers>) -> MutexGuard<'_, Answers> {
    answers.lock().unwrap_or_else(PoisonError::into_inner)
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
    /// Sends requests until the webhook is dropped.
    fn run(&self, answers: &Mutex<Answers>, stopped: &Receiver<()>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        at_interval(&self.settings, stopped, || {
            let answer = match &runtime {
                Ok(runtime) => runtime.block_on(self.call()),
                Err(error) => Err(error.to_string()),
            };
            let answer = answer.unwrap_or_else(|error| Answer::None { error });
            lock(answers).add(answer, self.settings.on_outage);
        });
    }

    /// Sends a request. The status of the response decides, also if the body is too long or too
    /// late.
    async fn call(&self) -> Result<Answer, String> {
        let time = Duration::from_millis(self.settings.timeout_ms);
        let until = tokio::time::Instant::now() + time;
        let answered = timeout_at(until, self.post()).await;
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
            message: self.message(&body),
        })
    }

    /// Beginning of the text of a failing response. Empty if the text repeats the credential.
    fn message(&self, body: &[u8]) -> String {
        let credential = self.authorization.as_ref().map(|cell| cell.value());
        let parts = credential
            .iter()
            .flat_map(|value| value.split(|byte| *byte == b' '));
        // A scheme such as `Bearer` is no secret.
        let last = parts.last().filter(|part| !part.is_empty());
        if last.is_some_and(|secret| memchr::memmem::find(body, secret).is_some()) {
            return String::new();
        }
        let text = String::from_utf8_lossy(&body[..body.len().min(MESSAGE_BYTES_MAX)]);
        text[..text.floor_char_boundary(MESSAGE_BYTES_MAX)].to_owned()
    }

    /// Sends a request on a new connection. The service may change its addresses between requests.
    async fn post(&self) -> Result<http::Response<Incoming>, String> {
        let endpoint = endpoint_of(&self.settings.url)?;
        // The next request uses a new connection.
        let mut headers = vec![(CONNECTION, HeaderValue::from_static("close"))];
        if let Some(cell) = &self.authorization {
            let value = HeaderValue::from_bytes(&cell.value());
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

/// Calls `request` at the interval of the settings, until the webhook ends.
fn at_interval(settings: &Settings, stopped: &Receiver<()>, mut request: impl FnMut()) {
    let interval = Duration::from_millis(settings.interval_ms);
    loop {
        let began = Instant::now();
        request();
        let left = interval.saturating_sub(began.elapsed());
        match stopped.recv_timeout(left) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
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
