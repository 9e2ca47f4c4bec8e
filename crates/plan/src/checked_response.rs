//! Outcome of a forwarded request whose response gwd validates: the engine's settings and the
//! operation's validators decide, as in gwd.

use engine::RouteRef;
use policy::Cx;
use policy::invalid::RESPONSE;
use policy::validation::Mode;
use validator::example_response::{ResponseCheck, ResponseExample};

use crate::Outcome;
use crate::ask::Oracle;

impl Oracle {
    /// Outcome of a request that the gateway forwards, with any response.
    pub(crate) fn forwarded(&self, route: &RouteRef<'_>) -> Outcome {
        let upstream = route.treatment.upstream as usize;
        let upstreams = self.snapshot().upstreams();
        Outcome::Served {
            operation: route.operation.key.clone(),
            upstream: upstreams.get(upstream).map(|it| it.name.to_string()),
        }
    }

    /// Outcome of a request that the gateway forwards and that the upstream answers with this
    /// response. `method`: method of the client's request.
    pub(crate) fn outcome_of_response(
        &self,
        route: &RouteRef<'_>,
        (method, response): (&str, &ResponseExample),
        cx: &Cx<'_>,
    ) -> Outcome {
        let rewritten = cx.rewritten.as_ref().and_then(|one| one.method.as_ref());
        let method = rewritten.map_or(method, |method| method.as_str());
        match self.check_response(route, (method != "HEAD", response)) {
            None | Some(ResponseCheck::Passes) => self.forwarded(route),
            Some(ResponseCheck::Replaced) => Outcome::Refused {
                status: self.snapshot().status_of(Some(route), &RESPONSE),
            },
            Some(ResponseCheck::Interrupted) => Outcome::Interrupted {
                operation: route.operation.key.clone(),
            },
        }
    }

    /// Checks a response against its description. `None` if the gateway does not block responses
    /// of the route.
    fn check_response(
        &self,
        route: &RouteRef<'_>,
        (has_content, response): (bool, &ResponseExample),
    ) -> Option<ResponseCheck> {
        let treatment = route.treatment;
        let validation = treatment.response_validation.as_ref();
        validation.filter(|one| one.mode == Mode::Block)?;
        let part = self.snapshot().apis().nth(route.api_index as usize)?;
        let messages = part.messages()?;
        let operation = messages.operations.get(&route.operation.key)?;
        let compiled = self.compiled(route, (operation, messages))?;
        let conditions = (has_content, treatment.stream);
        compiled.check_response(response, conditions, |name| {
            treatment.validates_response_field(name)
        })
    }
}
