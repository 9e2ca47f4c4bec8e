//! Results of a filter.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode};

use crate::cx::Cx;
use crate::head::{RequestHead, ResponseHead};
use crate::secret::Secrets;

pub(crate) use crate::reject::Reject;
pub use crate::state::StateId;

/// Result of a filter: continue, reject or reply.
#[derive(Debug)]
pub enum Step {
    /// The next filter.
    Continue,
    /// The gateway refuses; the responder turns it into a problem document.
    Reject(&'static Reject),
    /// The gateway answers.
    Reply(Box<Reply>),
}

const _: () = assert!(size_of::<Step>() == 16);

/// A whole response made by the gateway.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The fields; Content-Length is the responder's.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// Methods of a filter at each point of an exchange. Default: no action.
pub trait Run {
    /// The request's head, before the upstream is chosen.
    fn on_request<'a>(&'a self, _head: &mut RequestHead, _cx: &mut Cx<'a>) -> Step {
        Step::Continue
    }

    /// Fields that the filter removes or sets, of requests and of responses. Trailers may not bring
    /// them.
    fn edited_fields(&self) -> [Vec<HeaderName>; 2] {
        Default::default()
    }

    /// True if the filter gives the upstream a method that changes something.
    fn sends_unsafe(&self) -> bool {
        false
    }

    /// True if the filter sees every response, also where an earlier step refused the request.
    fn decorates(&self) -> bool {
        false
    }

    /// The request's head before any step, for filters that decorate.
    fn before<'a>(&'a self, _head: &RequestHead, _cx: &mut Cx<'a>) {}

    /// The response's head, in reverse order, for each filter whose `on_request` ran.
    fn on_response<'a>(&'a self, _head: &mut ResponseHead, _cx: &mut Cx<'a>) {}

    /// True if the filter makes a path of the request's path: an escaped separator in that could
    /// then become a separator (semantics.md §2).
    fn reads_path(&self) -> bool {
        false
    }
}

/// Inputs for building a policy's filter.
#[derive(Clone, Copy)]
pub struct Setting<'a> {
    /// The policy's name, for the client and the metrics.
    pub name: &'a str,
    /// Its state's id.
    pub state: StateId,
    /// Resolver of secret references.
    pub secrets: &'a dyn Secrets,
}
