//! Decision on one request by the engine, without a running gateway. `gwc route` and the witnesses
//! of the plan use it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bundle::ir::Gateway;
use engine::edge::Admitted;
use engine::{BuildError, Decided, Parts, Snapshot};
use policy::{
    Cx, Form, Limits, RateTable, Reject, Revoked, SecretCell, SecretRef, SecretUnavailable, Secrets,
};

/// The peer of a request where the opener of the connection does not matter.
pub(crate) const OUTSIDER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));

/// Engine that decides single requests. Counters start at zero for each request, no credential is
/// revoked, and secrets are blank.
pub struct Oracle {
    snapshot: Snapshot,
    revoked: Revoked,
}

/// Request of a client.
#[derive(Clone, Debug)]
pub struct Question {
    /// Index of the listener in the snapshot.
    pub listener: usize,
    /// Method, target and header fields, including `Host`.
    pub request: http::request::Parts,
    /// Address of the peer.
    pub peer: IpAddr,
    /// Time of the request in Unix seconds, for credentials that expire.
    pub unix_s: u64,
}

struct NoSecrets;

impl Secrets for NoSecrets {
    fn cell(&self, _: &SecretRef, _: Form) -> Result<Arc<SecretCell>, SecretUnavailable> {
        Ok(SecretCell::new(Vec::new()))
    }

    fn takes_witnesses(&self) -> bool {
        true
    }
}

impl Oracle {
    /// Builds an engine from the runnable part of a gateway. If [`Gateway::undecidable`] returns
    /// something, access cannot be decided and an answer shows the owner only.
    ///
    /// # Errors
    /// The error for which gwd would refuse the gateway.
    pub fn build(gateway: &Gateway, bundle: &str) -> Result<Self, BuildError> {
        let mut parts = Parts::default();
        // Settings that this version cannot run do not affect routes.
        let assembly = parts.assemble(&gateway.runnable())?;
        let snapshot = engine::build(&assembly, bundle, &NoSecrets, &mut parts)?;
        Ok(Self {
            snapshot,
            revoked: Revoked::default(),
        })
    }

    /// Snapshot that the engine runs.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Decides a request, unless the edge refuses it. `see` gets the decision with the head that
    /// the chain left and the context.
    ///
    /// # Errors
    /// Returns the refusal of the listener.
    pub fn ask<T>(
        &self,
        question: &Question,
        see: impl FnOnce(&Decided<'_>, Admitted, &Cx<'_>) -> T,
    ) -> Result<T, &'static Reject> {
        let listener = &self.snapshot.listeners()[question.listener];
        let mut admitted = engine::edge::admit(question.request.clone(), listener, question.peer)?;
        let table = || RateTable::new(1, std::hash::RandomState::new());
        let limits = Limits {
            known: table(),
            anonymous: table(),
            leases: Arc::default(),
        };
        let mut cx = Cx::new(0, question.unix_s, question.peer, &limits, &self.revoked);
        cx.client = admitted.client;
        // A request without an id is drawn as if it had this one.
        let id = admitted.request_id.as_ref();
        cx.draw = policy::draw::of_request_id(id.map_or(b"0", |id| id.as_bytes()));
        let decided = engine::decide(
            &self.snapshot,
            question.listener,
            &mut admitted.head,
            &mut cx,
        );
        Ok(see(&decided, admitted, &cx))
    }
}
