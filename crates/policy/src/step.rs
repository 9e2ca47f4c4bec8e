//! Filters: their methods, inputs and results.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::HeaderName;

use crate::ask::Effect;
use crate::cx::Cx;
use crate::head::{RequestHead, ResponseHead};
use crate::secret::Secrets;

pub(crate) use crate::reject::Reject;
pub use crate::reply::Reply;
pub use crate::state::StateId;

/// Result of a filter: continue, refuse the request, respond, or wait for an answer
/// ([`crate::ask`]).
#[derive(Debug)]
pub enum Step {
    /// Continue with the next filter.
    Continue,
    /// Refuse the request with a problem document.
    Reject(&'static Reject),
    /// Respond with this response.
    Reply(Box<Reply>),
    /// The filter needs the result of this action. The filter runs again once the result is in the
    /// context.
    Ask(Box<Effect>),
}

const _: () = assert!(size_of::<Step>() == 16);

/// Methods of a filter at each point of an exchange. Default: no action.
pub trait Run {
    /// Processes the request head before the upstream is chosen.
    fn on_request<'a>(&'a self, _head: &mut RequestHead, _cx: &mut Cx<'a>) -> Step {
        Step::Continue
    }

    /// Fields that the filter removes or sets, first of the request, then of the response. The
    /// gateway also removes them from trailers.
    fn edited_fields(&self) -> [Vec<HeaderName>; 2] {
        Default::default()
    }

    /// Request fields on which the decision of the filter depends. Not forwarded to the upstream:
    /// fields whose names some servers treat as equal to one of these, and trailers with these
    /// names.
    fn read_fields(&self) -> Vec<HeaderName> {
        Vec::new()
    }

    /// True if the filter may change the method to an unsafe one for the upstream.
    fn sends_unsafe(&self) -> bool {
        false
    }

    /// True if the filter processes every response, including those of requests that an earlier
    /// step refused.
    fn decorates(&self) -> bool {
        false
    }

    /// Reads the request head before the first step runs. Only called for filters with
    /// [`Self::decorates`].
    fn before<'a>(&'a self, _head: &RequestHead, _cx: &mut Cx<'a>) {}

    /// Processes the response head. Called for the filters whose `on_request` ran, in reverse
    /// order.
    fn on_response<'a>(&'a self, _head: &mut ResponseHead, _cx: &mut Cx<'a>) {}

    /// True if the filter builds a path from parts of the request's path. An escaped separator in
    /// such a part could become a real separator (semantics.md §2).
    fn reads_path(&self) -> bool {
        false
    }

    /// True if the filter sends the path of the request to another service, which may interpret it
    /// differently from the upstream.
    fn sends_path_to_service(&self) -> bool {
        false
    }

    /// True if the decision of the filter depends on the path of the request. The decision may
    /// differ if a server interprets the path differently.
    fn depends_on_path(&self) -> bool {
        false
    }

    /// True if the decision of the filter, or of the service that it calls, depends on the query.
    /// Also true if the filter changes the query. A server that reads the query differently would
    /// get a different decision, or would not get the change.
    fn depends_on_query(&self) -> bool {
        false
    }

    /// True if the decision of the filter depends on the route of the request: it may differ
    /// between two operations that have the same policy.
    fn depends_on_route(&self) -> bool {
        false
    }
}

/// Inputs for building a filter.
#[derive(Clone, Copy)]
pub struct Setting<'a> {
    /// Name of the policy, for clients and metrics.
    pub name: &'a str,
    /// Id of the policy's counters or circuit breaker, which outlive a configuration version.
    pub state: StateId,
    /// Resolver of secret references.
    pub secrets: &'a dyn Secrets,
    /// Documents of the bundle.
    pub documents: &'a Documents,
}

/// Documents of a bundle, by their SHA-256.
pub type Documents = BTreeMap<[u8; 32], Arc<[u8]>>;

/// No documents, for policies that use none.
pub static NO_DOCUMENTS: Documents = Documents::new();
