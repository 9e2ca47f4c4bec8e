//! `gwc test --against URL`: sends the requests of tests to a running gateway, and compares the
//! responses that a client sees with the expectations.
//!
//! Each request has a connection of its own, over HTTP/1.1, with or without TLS. Requests are sent
//! only to the address in the URL.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ::plan::expect::received::{Comparison, Received, Unsendable, compare};
use ::plan::expect::{Outcome, Runner};
use ::plan::route::GivenCredentials;
use anyhow::Context as _;
use bytes::Bytes;
use diag::shape::is_name;
use diag::suggest::one_of;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use model::exit::{Exit, Failure};
use model::test_file::TestCase;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use super::super::say;
use crate::release::links;

/// Timeout of one request: 10s.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum size of a problem document that is read, in bytes.
const PROBLEM_BYTES_MAX: usize = 64 << 10;
/// Maximum size of a file with CA certificates or a credential, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Prefix of the `type` of the gateway's problem documents.
const PROBLEM: &str = "urn:gwd:problem:";

#[derive(Debug, Default, clap::Args)]
pub(super) struct AgainstOptions {
    /// Send the requests to this running gateway, and compare what a client sees
    #[arg(long, value_name = "URL", conflicts_with_all = ["coverage", "min", "from_examples"])]
    against: Option<String>,
    /// Valid credential of a security scheme for --against, in a file or an environment variable;
    /// may be given several times
    #[arg(long, value_name = "SCHEME=FILE|env:NAME", requires = "against")]
    credential: Vec<String>,
    /// CA certificates (PEM) that --against trusts [default: those of the system]
    #[arg(long, value_name = "FILE", requires = "against")]
    ca: Option<PathBuf>,
    /// Send requests of all methods; without it, --against sends only GET, HEAD, OPTIONS and TRACE,
    /// because other requests may change data of the upstream
    #[arg(long, requires = "against")]
    unsafe_methods: bool,
}

/// Running gateway, with the address and TLS settings for connections to it.
pub(super) struct Against {
    /// URL as written by the user.
    url: String,
    host: String,
    /// `HOST:PORT` to connect to.
    address: String,
    /// Default value of the field `Host`, for tests without a host.
    authority: String,
    tls: Option<TlsConnector>,
    given: GivenCredentials,
    unsafe_methods: bool,
    runtime: tokio::runtime::Runtime,
}

/// Results of the requests of one test.
pub(super) struct Sent {
    /// Results, one for each request. Empty if the test was not sent.
    pub(super) outcomes: Vec<Outcome>,
    /// Reason why the test was not sent. `None`: it was sent.
    pub(super) skipped: Option<String>,
}

impl AgainstOptions {
    /// Reads the options. `None` without `--against`.
    ///
    /// # Errors
    /// Returns a usage error if the URL is invalid. Returns an input error if a file cannot be
    /// read.
    pub(super) fn read(&self) -> anyhow::Result<Option<Against>> {
        let Some(text) = &self.against else {
            return Ok(None);
        };
        let wrong =
            |why: &str| Failure::usage(format!("`--against {}`: {why}", text.escape_debug()));
        let url: http::Uri = text
            .parse()
            .map_err(|_| wrong("write http://HOST:PORT or https://HOST:PORT"))?;
        let (Some(scheme), Some(authority)) = (url.scheme_str(), url.authority()) else {
            return Err(wrong("write http://HOST:PORT or https://HOST:PORT").into());
        };
        if authority.as_str().contains('@')
            || !matches!(url.path(), "" | "/")
            || url.query().is_some()
        {
            return Err(wrong("write only the scheme, the host and the port").into());
        }
        let (port, tls) = match scheme {
            "http" => (80, None),
            "https" => (443, Some(self.connector()?)),
            _ => return Err(wrong("the scheme is neither http nor https").into()),
        };
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let port = authority.port_u16().unwrap_or(port);
        let address = match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        };
        let given = self.credential.iter().map(|option| credential(option));
        Ok(Some(Against {
            url: text.clone(),
            host,
            address,
            authority: authority.as_str().to_owned(),
            tls,
            given: given.collect::<anyhow::Result<_>>()?,
            unsafe_methods: self.unsafe_methods,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
        }))
    }

    fn connector(&self) -> anyhow::Result<TlsConnector> {
        let mut roots = RootCertStore::empty();
        match &self.ca {
            Some(file) => {
                let pem = content(file)?;
                let shown = say::path(file);
                let failed = |why: String| Failure::new(Exit::INPUT, "bad-certificate", why);
                for certificate in CertificateDer::pem_slice_iter(&pem) {
                    let certificate =
                        certificate.map_err(|error| failed(format!("{shown}: {error}")))?;
                    let added = roots.add(certificate);
                    added.map_err(|error| failed(format!("{shown}: {error}")))?;
                }
                if roots.is_empty() {
                    return Err(failed(format!("{shown} has no certificate in PEM")).into());
                }
            }
            None => {
                let found = rustls_native_certs::load_native_certs();
                let _counts = roots.add_parsable_certificates(found.certs);
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

impl Against {
    /// Checks that the project has the security schemes of `--credential`.
    ///
    /// # Errors
    /// Returns a usage error for an unknown scheme.
    pub(super) fn check_schemes(&self, runner: &Runner<'_>) -> Result<(), Failure> {
        let known = runner.schemes();
        let Some(scheme) = self.given.schemes().find(|name| !known.contains(name)) else {
            return Ok(());
        };
        // The text may be a part of the credential by mistake, so only a name is shown.
        let scheme = match is_name(scheme) {
            true => format!("there is no security scheme `{scheme}`"),
            false => "there is no such security scheme".to_owned(),
        };
        let known = one_of(known, 8);
        Err(Failure::usage(format!("--credential: {scheme}: {known}")))
    }

    /// Sends the requests of a test, and compares the responses. `local` are the results of the
    /// test in the engine.
    ///
    /// # Errors
    /// Returns an error if gwc cannot connect to the gateway.
    pub(super) fn run(
        &self,
        runner: &Runner<'_>,
        case: &TestCase,
        local: &[Outcome],
    ) -> anyhow::Result<Sent> {
        let mut sent = Sent {
            outcomes: Vec::new(),
            skipped: None,
        };
        let lines = case.requests.iter();
        let requests: Result<Vec<_>, Unsendable> = lines
            .map(|line| self.request(runner, case, &line.value))
            .collect();
        let requests = match requests {
            Ok(requests) => requests,
            Err(Unsendable(why)) => {
                sent.skipped = Some(why);
                return Ok(sent);
            }
        };
        for (at, (line, request)) in case.requests.iter().zip(requests).enumerate() {
            let answered = self.runtime.block_on(self.exchange(request))?;
            let decision = local.get(at).and_then(|one| one.answer.as_ref());
            let decision = decision.map(|answer| answer.decision);
            let Comparison { failures, unseen } = match answered {
                Ok(received) => compare(&received, decision, &case.expect),
                Err(why) => Comparison {
                    failures: vec![::plan::expect::Failure::mistake(why, line.span)],
                    unseen: 0,
                },
            };
            sent.outcomes.push(Outcome {
                request: line.value.clone(),
                failures,
                unseen,
                answer: None,
            });
        }
        Ok(sent)
    }

    /// Builds one request of a test.
    fn request(
        &self,
        runner: &Runner<'_>,
        case: &TestCase,
        line: &str,
    ) -> Result<http::Request<Full<Bytes>>, Unsendable> {
        let (mut head, body) = runner.sendable(case, line, &self.given)?.into_parts();
        if !head.method.is_safe() && !self.unsafe_methods {
            let why = format!(
                "a {} request may change data of the upstream: write `--unsafe-methods`",
                head.method
            );
            return Err(Unsendable(why));
        }
        if head.method == http::Method::CONNECT {
            return Err(Unsendable("a CONNECT request has no response".to_owned()));
        }
        let has_host = !line
            .split_once(' ')
            .unwrap_or_default()
            .1
            .trim_start()
            .starts_with('/')
            || case
                .headers
                .iter()
                .any(|(name, _)| name.eq_ignore_ascii_case("host"));
        if !has_host && let Ok(host) = http::HeaderValue::try_from(&self.authority) {
            head.headers.insert(http::header::HOST, host);
        }
        Ok(http::Request::from_parts(head, Full::from(body)))
    }

    /// Sends one request on a new connection. The inner error is the reason why the response is
    /// unusable or missing.
    async fn exchange(
        &self,
        request: http::Request<Full<Bytes>>,
    ) -> anyhow::Result<Result<Received, String>> {
        let unreachable = |why: &dyn std::fmt::Display| {
            let message = format!("no connection to {}: {why}", self.url.escape_debug());
            Failure::new(Exit::UNREACHABLE, "no-connection", message)
        };
        let connected =
            tokio::time::timeout(RESPONSE_TIMEOUT, TcpStream::connect(&self.address)).await;
        let stream = connected
            .map_err(|_| unreachable(&"it takes longer than 10 seconds"))?
            .map_err(|error| unreachable(&error))?;
        let answered = async {
            let Some(tls) = &self.tls else {
                return Ok::<_, Failure>(answer(stream, request).await);
            };
            let name =
                ServerName::try_from(self.host.clone()).map_err(|error| unreachable(&error))?;
            let stream = tls.connect(name, stream).await;
            let stream = stream.map_err(|error| unreachable(&error))?;
            Ok(answer(stream, request).await)
        };
        match tokio::time::timeout(RESPONSE_TIMEOUT, answered).await {
            Ok(answered) => Ok(answered?.map_err(|error: anyhow::Error| format!("{error:#}"))),
            Err(_) => Ok(Err("no response within 10 seconds".to_owned())),
        }
    }
}

/// Sends a request over a connection and receives the response.
async fn answer<S>(stream: S, request: http::Request<Full<Bytes>>) -> anyhow::Result<Received>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await;
    let response = response.context("the connection ended without a response")?;
    let (head, body) = response.into_parts();
    let fields = head.headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.as_str().to_owned(), value)
    });
    let is_problem = head
        .headers
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/problem+json"));
    let code = match is_problem {
        true => {
            let body = Limited::new(body, PROBLEM_BYTES_MAX).collect().await;
            body.ok().and_then(|body| code(&body.to_bytes()))
        }
        false => None,
    };
    connection.abort();
    Ok(Received {
        status: head.status.as_u16(),
        headers: fields.collect(),
        code,
    })
}

/// `code` of a gateway's problem document. `None` for any other body.
fn code(body: &[u8]) -> Option<String> {
    let problem: serde_json::Value = serde_json::from_slice(body).ok()?;
    let is_own = problem["type"].as_str()?.starts_with(PROBLEM);
    let code = problem["code"].as_str().filter(|_| is_own)?;
    Some(code.to_owned())
}

/// Reads the credential of an option `SCHEME=FILE` or `SCHEME=env:NAME`. Returns the name of the
/// scheme and the credential.
fn credential(option: &str) -> anyhow::Result<(String, Zeroizing<String>)> {
    // The argument may be the credential itself by mistake, so the message must not repeat it.
    let Some((scheme, source)) = option.rsplit_once('=') else {
        return Err(Failure::usage("--credential: write SCHEME=FILE or SCHEME=env:NAME").into());
    };
    let text = match source.strip_prefix("env:") {
        Some(name) => std::env::var(name).ok().map(Zeroizing::new).ok_or_else(|| {
            let name = name.escape_debug();
            Failure::usage(format!(
                "--credential: there is no variable `{name}` in the environment, or it is not UTF-8"
            ))
        })?,
        None => {
            let bytes = Zeroizing::new(content(Path::new(source))?);
            let text = std::str::from_utf8(&bytes).map(|text| Zeroizing::new(text.to_owned()));
            text.map_err(|_| Failure::usage("--credential: the file is not UTF-8"))?
        }
    };
    Ok((scheme.to_owned(), Zeroizing::new(text.trim().to_owned())))
}

/// Reads the file of an option. Refuses files of more than [`FILE_BYTES_MAX`] bytes.
fn content(file: &Path) -> anyhow::Result<Vec<u8>> {
    let shown = say::path(file);
    let failed = |why: String| Failure::new(Exit::INPUT, "no-such-file", why);
    let cannot = |error: std::io::Error| failed(format!("cannot read {shown}: {error}"));
    links::check(file)?;
    if std::fs::metadata(file).map_err(cannot)?.len() > FILE_BYTES_MAX {
        return Err(failed(format!("{shown} is longer than {FILE_BYTES_MAX} bytes")).into());
    }
    Ok(std::fs::read(file).map_err(cannot)?)
}
