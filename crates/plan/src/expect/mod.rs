//! Tests of a project: requests whose decisions are compared with expectations.
//!
//! The engine of gwd decides, as for `gwc route`. [`compare`] compares decisions with expectations,
//! [`coverage`] counts the operations and policies that the tests reach, [`received`] compares
//! responses of a running gateway.

mod compare;
pub mod coverage;
pub mod received;
mod response;

use std::collections::BTreeMap;

use diag::Span;
use model::test_file::TestCase;

use crate::Side;
use crate::ask::{self, Assumption, OUTSIDER, Oracle, Question, RangeFiles};
use crate::route::request::{self, RequestText};
use crate::route::{Answer, Credential, GivenCredentials, RouteRequest, answer, carry};
use crate::witness;
use engine::BuildError;

/// Difference between a decision and the expectation, or a mistake in the test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Property of the decision, as in the test file (`sent.headers.x-key`). Empty for a mistake in
    /// the test.
    pub what: String,
    /// Expected value.
    pub expected: String,
    /// Value of the decision.
    pub actual: String,
    /// Help for the user, such as a known name that is similar. `None`: no help.
    pub help: Option<String>,
    /// Location in the test file.
    pub span: Span,
}

/// Result of one request of a test.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Request line from the test file.
    pub request: String,
    /// Differences. Empty: the test passed.
    pub failures: Vec<Failure>,
    /// Number of expectations that are not compared: gwc does not know the field before the
    /// response, or a client of a running gateway does not see the property.
    pub unseen: usize,
    /// Decision about the request. `None` if the test has a mistake.
    pub answer: Option<Answer>,
}

/// Engine of a gateway that decides the requests of tests.
pub struct Runner<'a> {
    side: &'a Side,
    ranges: RangeFiles,
    plain: Oracle,
    /// Engines that accept the credentials of tests. Key: the consumer that owns the credentials.
    credentialed: BTreeMap<Option<String>, Oracle>,
    now_s: u64,
}

impl Failure {
    /// Creates a failure for a mistake in the test, or for a request without a response.
    #[must_use]
    pub fn mistake(message: String, span: Span) -> Self {
        Self {
            what: String::new(),
            expected: String::new(),
            actual: message,
            help: None,
            span,
        }
    }
}

impl<'a> Runner<'a> {
    /// Builds the engine of a gateway. `now_s` is the time (Unix time, seconds) of tests without a
    /// time; `ranges` are the known files of address ranges.
    ///
    /// # Errors
    /// Returns the error with which gwd would refuse this gateway.
    pub fn new(side: &'a Side, now_s: u64, ranges: RangeFiles) -> Result<Self, BuildError> {
        let bundle = side.bundle.to_string();
        let plain = Oracle::with_ranges(&side.lowered.gateway, &bundle, &ranges)?;
        Ok(Self {
            side,
            ranges,
            plain,
            credentialed: BTreeMap::new(),
            now_s,
        })
    }

    /// Runs the requests of a test.
    ///
    /// # Errors
    /// Returns the error with which gwd would refuse this gateway with the test's credentials.
    pub fn run(&mut self, case: &TestCase) -> Result<Vec<Outcome>, BuildError> {
        let owner = case.consumer.as_ref().map(|name| name.value.clone());
        let with_credentials = !case.credentials.is_empty();
        if with_credentials && !self.credentialed.contains_key(&owner) {
            let gateway = &self.side.lowered.gateway;
            let sets = witness::RoleSets::of([gateway]);
            let gateway = witness::with_credentials_of(gateway, owner.as_deref(), &sets);
            let bundle = self.side.bundle.to_string();
            let oracle = Oracle::with_ranges(&gateway, &bundle, &self.ranges)?;
            self.credentialed.insert(owner.clone(), oracle);
        }
        let credentialed = self.credentialed.get(&owner).filter(|_| with_credentials);
        let oracle = credentialed.unwrap_or(&self.plain);
        let mistakes = self.mistakes(case);
        let run = case.requests.iter().map(|line| {
            let answer = match mistakes.is_empty() {
                true => self.answer(case, &line.value, oracle),
                false => Err(String::new()),
            };
            let (answer, (failures, unseen)) = match answer {
                Ok(answer) => {
                    let compared =
                        compare::failures(&answer, &case.expect, &self.side.lowered.gateway);
                    (Some(answer), compared)
                }
                Err(_) if !mistakes.is_empty() => (None, (mistakes.clone(), 0)),
                Err(message) => (None, (vec![Failure::mistake(message, line.span)], 0)),
            };
            Outcome {
                request: line.value.clone(),
                failures,
                unseen,
                answer,
            }
        });
        Ok(run.collect())
    }

    /// Finds the mistakes in a test that do not depend on its requests, such as unknown names.
    fn mistakes(&self, case: &TestCase) -> Vec<Failure> {
        let gateway = &self.side.lowered.gateway;
        let mut found = Vec::new();
        if let Some(consumer) = &case.consumer
            && gateway.shared.consumers.get(&consumer.value).is_none()
        {
            let known = gateway.shared.consumers.iter();
            let known = known.map(|one| one.name.as_str());
            let message = format!(
                "there is no consumer `{}`: {}",
                consumer.value.escape_debug(),
                diag::suggest::one_of(known, 8)
            );
            found.push(Failure::mistake(message, consumer.span));
        }
        for (asker, answer) in &case.assume {
            let assumption = Assumption {
                asker: asker.value.clone(),
                answer: answer.clone(),
            };
            let fault = ask::fault(gateway, &assumption);
            found.extend(fault.map(|why| Failure::mistake(why, asker.span)));
        }
        found
    }

    /// Decides one request of a test.
    fn answer(&self, case: &TestCase, line: &str, oracle: &Oracle) -> Result<Answer, String> {
        let mut question = self.question(case, line, oracle)?;
        let assumptions: Vec<Assumption> = case
            .assume
            .iter()
            .map(|(asker, answer)| Assumption {
                asker: asker.value.clone(),
                answer: answer.clone(),
            })
            .collect();
        let credentials = credentials(case);
        if !credentials.is_empty() {
            let request = self.route_request(oracle, &question, &assumptions);
            let carried = carry(request, &credentials, &GivenCredentials::default());
            question = carried.map_err(|why| why.to_string())?.unwrap_or(question);
        }
        Ok(answer(self.route_request(oracle, &question, &assumptions)))
    }

    /// Reads a request line of a test, without credentials.
    fn question(&self, case: &TestCase, line: &str, oracle: &Oracle) -> Result<Question, String> {
        let (method, url) = line.split_once(' ').unwrap_or((line, "/"));
        let fields = fields(case);
        let written = RequestText {
            method,
            url: url.trim_start(),
            headers: &fields,
            listener: case.listener.as_ref().map(|name| name.value.as_str()),
        };
        let gateway = &self.side.lowered.gateway;
        let received = request::read(written, gateway, oracle.snapshot())?;
        Ok(Question {
            listener: received.listener,
            request: received.request,
            peer: case.peer.unwrap_or(OUTSIDER),
            certificates: Vec::new(),
            body: case
                .body
                .as_ref()
                .map(|body| body.text.clone().into_bytes()),
            unix_s: case.at.map_or(self.now_s, |at| at.unix_s()),
        })
    }

    fn route_request<'q>(
        &'q self,
        oracle: &'q Oracle,
        question: &'q Question,
        assumptions: &'q [Assumption],
    ) -> RouteRequest<'q> {
        RouteRequest {
            side: self.side,
            oracle,
            question,
            assumptions,
            all: false,
        }
    }
}

/// Header fields of the requests of a test. A body adds its length and, for a JSON value, its media
/// type, unless the test names them.
fn fields(case: &TestCase) -> Vec<(String, String)> {
    let mut fields = case.headers.clone();
    let Some(body) = &case.body else {
        return fields;
    };
    let has = |name: &str| {
        let mut names = case.headers.iter().map(|(name, _)| name);
        names.any(|other| other.eq_ignore_ascii_case(name))
    };
    if body.is_json && !has("content-type") {
        fields.push(("content-type".to_owned(), "application/json".to_owned()));
    }
    if !has("content-length") && !has("transfer-encoding") {
        fields.push(("content-length".to_owned(), body.text.len().to_string()));
    }
    fields
}

/// Credentials that the requests of a test carry.
fn credentials(case: &TestCase) -> Vec<Credential> {
    let credentials = case.credentials.iter().map(|(scheme, valid)| Credential {
        scheme: scheme.value.clone(),
        valid: *valid,
    });
    credentials.collect()
}
