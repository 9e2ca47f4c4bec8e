//! Confirms the witnesses of violated invariants: the engine of gwd decides each request before it
//! is shown.

use std::hash::RandomState;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use engine::{Parts, Snapshot, Verdict};
use http::Request;
use policy::ranges::RangesCell;
use policy::{Cx, Form, Limits, Revoked, SecretCell, SecretRef, SecretUnavailable, Secrets};
use sources::project::files::Files;

use super::example::Example;
use crate::lower::lower_parts;
use crate::{Api, Settings};

/// Address of the sender (documentation range, RFC 5737).
const SENDER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));

/// Reason of the refusal of a request without a required credential.
const CREDENTIAL_MISSING: &str = "credential_missing";

/// Engine of a project.
pub(super) struct Engine(Snapshot);

/// Secrets of the engine: each is empty, and files of address ranges are unknown.
struct NoSecrets;

impl Secrets for NoSecrets {
    fn cell(&self, _: &SecretRef, _: Form) -> Result<Arc<SecretCell>, SecretUnavailable> {
        Ok(SecretCell::new(Vec::new()))
    }

    fn ranges(&self, _: &SecretRef) -> Result<Option<Arc<RangesCell>>, SecretUnavailable> {
        Ok(None)
    }

    fn takes_witnesses(&self) -> bool {
        true
    }
}

impl Engine {
    /// Builds the engine. `None` if gwd would refuse the project.
    pub(super) fn of(files: &Files, settings: &Settings, apis: &[Api]) -> Option<Self> {
        let lowered = lower_parts(files, settings, apis).ok()?;
        let mut parts = Parts::default();
        let assembly = parts.assemble(&lowered.gateway.runnable()).ok()?;
        engine::build(&assembly, "", &NoSecrets, &mut parts)
            .ok()
            .map(Self)
    }

    /// True if the operation of an example serves the request. If the example has no credential, the
    /// engine must not require one either.
    pub(super) fn confirms(&self, example: &Example) -> bool {
        self.decides(example).is_some_and(|(owner, is_missing)| {
            owner == example.key && !(is_missing && example.credentials.is_empty())
        })
    }

    /// Key of the operation that receives the request of an example. `None`: no operation.
    pub(super) fn owner(&self, example: &Example) -> Option<String> {
        self.decides(example).map(|(owner, _)| owner)
    }

    /// Key of the operation that receives the request of an example, and true if the engine requires
    /// a credential that the request lacks.
    fn decides(&self, example: &Example) -> Option<(String, bool)> {
        let mut listeners = self.0.listeners().iter();
        let wanted = example.listener.as_deref()?;
        let listener = listeners.position(|one| *one.name == *wanted)?;
        let mut request = Request::builder()
            .method(example.method.as_str())
            .uri(&example.target)
            .header("host", example.host.as_deref().unwrap_or("gateway"));
        for (name, value) in &example.fields {
            request = request.header(name, value);
        }
        let parts = request.body(()).ok()?.into_parts().0;
        let at = self.0.listeners().get(listener)?;
        let mut admitted = engine::edge::admit(parts, at, SENDER).ok()?;
        let (limits, revoked) = (Limits::new(1, RandomState::new), Revoked::default());
        let mut cx = Cx::new(0, 0, SENDER, &limits, &revoked);
        cx.client = admitted.client;
        let authority = admitted.authority.clone();
        let received = admitted.received.clone();
        cx.authority = Some(&authority);
        cx.received = received.as_ref();
        let decided = engine::decide(&self.0, listener, &mut admitted.head, &mut cx);
        let is_missing = match &decided.verdict {
            Verdict::Reject(refusal) => refusal.reject.code == CREDENTIAL_MISSING,
            Verdict::Forward | Verdict::Reply(_) | Verdict::Ask(_) => false,
        };
        let owner = decided.route.as_ref()?.operation.key.clone();
        Some((owner, is_missing))
    }
}
