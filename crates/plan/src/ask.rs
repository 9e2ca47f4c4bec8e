//! One request through the engine, without a gateway: what `gwc route` and the plan's witnesses
//! ask.

use std::net::IpAddr;
use std::sync::Arc;

use bundle::ir::Gateway;
use engine::edge::Admitted;
use engine::{BuildError, Decided, Parts, Snapshot};
use policy::{
    Cx, Form, Limits, RateTable, Reject, Revoked, SecretCell, SecretRef, SecretUnavailable, Secrets,
};

/// A gateway that answers requests. Counters begin at zero for each request, nothing is revoked,
/// secrets are blank.
pub struct Oracle {
    snapshot: Snapshot,
    revoked: Revoked,
}

/// A request as a client would send it.
#[derive(Clone, Debug)]
pub struct Question {
    /// The listener, as an index into the snapshot's.
    pub listener: usize,
    /// Method, target and fields, `Host` among them.
    pub request: http::request::Parts,
    /// Address of the peer.
    pub peer: IpAddr,
    /// Seconds since 1970, for credentials that end.
    pub unix_s: u64,
}

struct NoSecrets;

impl Secrets for NoSecrets {
    fn cell(&self, _: &SecretRef, _: Form) -> Result<Arc<SecretCell>, SecretUnavailable> {
        Ok(SecretCell::new(Vec::new()))
    }
}

impl Oracle {
    /// Builds a gateway from what runs. Where [`Gateway::undecidable`] names something, who is let
    /// in is not known, and an answer shows the owner only.
    ///
    /// # Errors
    /// The error for which gwd would refuse the gateway.
    pub fn build(gateway: &Gateway, bundle: &str) -> Result<Self, BuildError> {
        let mut parts = Parts::default();
        // What cannot run yet changes no route.
        let assembly = parts.assemble(&gateway.runnable())?;
        let snapshot = engine::build(&assembly, bundle, &NoSecrets, &mut parts)?;
        Ok(Self {
            snapshot,
            revoked: Revoked::default(),
        })
    }

    /// The snapshot.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Decides a request, unless the edge refuses it. `see` gets the decision with the head that
    /// the chain left and the context.
    ///
    /// # Errors
    /// The edge's refusal.
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
        // Without an id of its own a request falls as one with this name.
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
