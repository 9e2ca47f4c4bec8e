//! Validation of messages: parameters and bodies against the description of the API.
//!
//! ```yaml
//! policies:
//!   strict: {kind: validate, request: block, response: log}
//! ```
//! The step returns [`Effect::Message`], so that gwd makes the check: the check needs the schemas
//! of the operation and the whole body. Several `validate` steps of a chain share one check. The
//! key `validate` of an operation adds a step, too. The step checks requests only: gwd checks a
//! response before the response phase of the chain, in the strictest `response` mode of the
//! operation.

use std::sync::Arc;

use minicbor::{Decode, Encode};

use crate::ask::{Answer, AskId, Effect};
use crate::change_rows;
use crate::changes::Changes;
use crate::changes::Direction::Access;
use crate::cx::{Cx, LoggedRefusal};
use crate::declared::{Scalar, Settings, Value};
use crate::head::RequestHead;
use crate::invalid::{Invalid, MEDIA_TYPE, REQUEST, UNAVAILABLE};
use crate::phase::Phase;
use crate::policy::Policy;
use crate::protection::Protection;
use crate::reject::Reject;
use crate::secret::SecretUnavailable;
use crate::step::{Run, Setting, Step};
use crate::validation::{Check, Examined, Mode, Undeclared};

/// Validation settings, in the bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(map)]
pub struct Checked {
    /// Handling of requests that do not match the description.
    #[n(0)]
    pub request: Mode,
    /// Handling of query parameters that the operation does not describe.
    #[n(1)]
    pub undeclared: Undeclared,
    /// Handling of responses that do not match the description.
    #[n(2)]
    #[cbor(skip_if = "is_off", default)]
    pub response: Mode,
}

/// Validation at run time.
#[derive(Debug)]
pub struct Filter {
    name: Box<str>,
    checked: Checked,
}

// === impl Checked ===

impl Checked {
    /// True if neither requests nor responses are checked.
    #[must_use]
    pub fn is_off(&self) -> bool {
        *self == Self::default()
    }

    /// True if requests are checked.
    #[must_use]
    pub fn checks_requests(&self) -> bool {
        self.request != Mode::Off || self.undeclared != Undeclared::Allow
    }
}

/// True if this mode checks no messages.
fn is_off(mode: &Mode) -> bool {
    *mode == Mode::Off
}

/// Feature that a gateway needs to validate responses.
const RESPONSE: &str = "policy:validate:response";

impl Policy for Checked {
    type Filter = Filter;

    const CHANGE_IDS: &'static [&'static str] = &["request-validation-", "response-validation-"];
    const CHANGES: Changes = Changes::new(change_rows! {
        "request": Access;
        "response": Access;
    });

    const PROTECTION: Option<Protection> = Some(Protection::Contract);

    const REFUSALS: &'static [&'static Reject] = &[&REQUEST, &MEDIA_TYPE, &UNAVAILABLE];

    const FEATURES: &'static [&'static str] = &[RESPONSE];

    fn phase(&self) -> Option<Phase> {
        Some(Phase::Validate)
    }

    fn settings(&self) -> Settings {
        let word = |mode: Mode| Value::One(Scalar::Text(mode.word().to_owned()));
        let settings = Settings::default().with(&["request"], word(self.request));
        match self.response {
            Mode::Off => settings,
            response => settings.with(&["response"], word(response)),
        }
    }

    fn feature(&self) -> Option<&'static str> {
        (self.response != Mode::Off).then_some(RESPONSE)
    }

    fn filter(&self, setting: &Setting<'_>) -> Result<Option<Filter>, SecretUnavailable> {
        Ok(self.checks_requests().then(|| Filter {
            name: setting.name.into(),
            checked: self.clone(),
        }))
    }
}

// === impl Filter ===

impl Filter {
    /// True if the filter refuses requests, or removes parameters from them.
    #[must_use]
    pub fn blocks(&self) -> bool {
        self.checked.request == Mode::Block || self.checked.undeclared != Undeclared::Allow
    }

    /// Records a refusal for the log. The request is served, because the policy only logs.
    fn note<'a>(&'a self, invalid: &Arc<Invalid>, cx: &mut Cx<'a>) {
        cx.invalid = Some(Arc::clone(invalid));
        cx.noted.push(LoggedRefusal {
            policy: &self.name,
            reject: invalid.reject,
        });
    }

    fn refuse(invalid: &Arc<Invalid>, cx: &mut Cx<'_>) -> Step {
        cx.refund_quotas();
        cx.invalid = Some(Arc::clone(invalid));
        Step::Reject(invalid.reject)
    }
}

impl Run for Filter {
    fn on_request<'a>(&'a self, head: &mut RequestHead, cx: &mut Cx<'a>) -> Step {
        let Checked {
            request,
            undeclared,
            response: _,
        } = self.checked;
        let check = Check {
            schemas: request != Mode::Off,
            blocks: request == Mode::Block,
            undeclared,
        };
        let examined = match cx.answers.get(&AskId::of_check(check)) {
            None => return Step::Ask(Box::new(Effect::Message(check))),
            Some(Answer::Examined(examined)) => Arc::clone(examined),
            Some(
                Answer::Outage(_)
                | Answer::Http(_)
                | Answer::Fetched
                | Answer::Counted(_)
                | Answer::Permit(_)
                | Answer::Processed(_),
            ) => {
                if request == Mode::Block || undeclared != Undeclared::Allow {
                    cx.refund_quotas();
                    return Step::Reject(&UNAVAILABLE);
                }
                cx.noted.push(LoggedRefusal {
                    policy: &self.name,
                    reject: &UNAVAILABLE,
                });
                return Step::Continue;
            }
        };
        let Examined {
            invalid,
            undeclared,
            target,
            only_logs,
        } = &*examined;
        let request = match only_logs {
            true => request.min(Mode::Log),
            false => request,
        };
        match (undeclared, only_logs) {
            (Some(undeclared), false) => return Self::refuse(undeclared, cx),
            (Some(undeclared), true) => self.note(undeclared, cx),
            (None, _) => {}
        }
        match (invalid, request) {
            (Some(invalid), Mode::Block) => return Self::refuse(invalid, cx),
            (Some(invalid), Mode::Log) => self.note(invalid, cx),
            (Some(_), Mode::Off) | (None, _) => {}
        }
        if let Some(target) = target {
            head.target = target.clone();
        }
        Step::Continue
    }
}

#[cfg(feature = "author")]
pub mod author {
    //! Shape of `kind: validate` settings.

    use diag::shape::{Field, Object, Rule, Shape};
    use diag::{NodeRef, Sink};

    use super::Checked;
    use crate::validation::{Mode, Undeclared};

    /// Sample policies with all keys of this kind. Each sample is a line below `policies` in
    /// gateway.yaml.
    pub const SAMPLES: &[&str] = &["strict: {kind: validate, request: block, response: off}"];

    /// The keys of `kind: validate`, of the field `validate`, and of `defaults.validate`.
    pub static SHAPE: Object = Object {
        what: "message validation",
        fields: &[
            Field::optional(
                "request",
                Shape::Word(&["off", "log", "block"]),
                "Validation of requests: off, logged, or refused (400). Default: `off`.",
            ),
            Field::optional(
                "response",
                Shape::Word(&["off", "log", "block"]),
                "Validation of responses: off, logged, or replaced (502). Default: `off`.",
            ),
        ],
        rules: &[Rule::AnyOf(&["request", "response"])],
    };

    /// Reads settings from a node that fits [`SHAPE`].
    pub fn check(node: NodeRef<'_>, _: &mut Sink) -> Option<Checked> {
        Some(read(node))
    }

    /// Reads settings from a node, with defaults for missing ones.
    #[must_use]
    pub fn read(node: NodeRef<'_>) -> Checked {
        let mode = |key: &str| {
            let word = node.get(key).and_then(NodeRef::scalar_text);
            word.and_then(Mode::of).unwrap_or_default()
        };
        Checked {
            request: mode("request"),
            undeclared: Undeclared::Allow,
            response: mode("response"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::Outage;
    use crate::cx::tests::{filter, head, with_cx};
    use crate::invalid::REQUEST;

    fn invalid() -> Arc<Invalid> {
        Arc::new(Invalid {
            reject: &REQUEST,
            findings: Vec::new(),
        })
    }

    fn examined(answer: Examined) -> Answer {
        Answer::Examined(Arc::new(answer))
    }

    /// Code of the refusal, and number of logged refusals, for this result of the check.
    fn outcome(
        request: Mode,
        undeclared: Undeclared,
        answer: Answer,
    ) -> (Option<&'static str>, usize) {
        let checked = Checked {
            request,
            undeclared,
            response: Mode::Off,
        };
        let filter = filter(&checked);
        with_cx(|cx| {
            let mut head = head("/a?x=1&y=2");
            let Step::Ask(effect) = filter.on_request(&mut head, cx) else {
                panic!("the step needs an effect");
            };
            cx.answers.add(effect.id(), answer);
            let step = filter.on_request(&mut head, cx);
            let refused = match step {
                Step::Reject(reject) => Some(reject.code),
                _ => None,
            };
            (refused, cx.noted.len())
        })
    }

    #[test]
    fn findings_refuse_with_block_and_are_logged_with_log() {
        let found = || {
            examined(Examined {
                invalid: Some(invalid()),
                ..Examined::default()
            })
        };
        let limited = || {
            examined(Examined {
                invalid: Some(invalid()),
                undeclared: Some(invalid()),
                only_logs: true,
                ..Examined::default()
            })
        };
        assert_eq!(
            outcome(Mode::Block, Undeclared::Reject, limited()),
            (None, 2),
            "an operator limits validation"
        );
        let allow = Undeclared::Allow;
        assert_eq!(
            outcome(Mode::Block, allow, found()),
            (Some("request_invalid"), 0)
        );
        assert_eq!(outcome(Mode::Log, allow, found()), (None, 1));
        let fine = || examined(Examined::default());
        assert_eq!(outcome(Mode::Block, allow, fine()), (None, 0));
    }

    #[test]
    fn missing_validator_fails_closed_under_block() {
        let outage = || Answer::Outage(Outage::Timeout);
        let allow = Undeclared::Allow;
        assert_eq!(
            outcome(Mode::Block, allow, outage()),
            (Some("validator_unavailable"), 0)
        );
        assert_eq!(outcome(Mode::Log, allow, outage()), (None, 1));
        assert_eq!(
            outcome(Mode::Off, Undeclared::Strip, outage()),
            (Some("validator_unavailable"), 0)
        );
    }

    #[test]
    fn undeclared_parameters_refuse_whatever_the_mode() {
        let answer = examined(Examined {
            undeclared: Some(invalid()),
            ..Examined::default()
        });
        let result = outcome(Mode::Log, Undeclared::Reject, answer);
        assert_eq!(result, (Some("request_invalid"), 0));
    }
}
