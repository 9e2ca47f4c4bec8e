//! Kinds of changes in plans, each with a sentence for its reader: docs/changes.md.

use super::Section;

/// Kind of change.
#[derive(Debug)]
pub struct Kind {
    /// Id of the kind, as in [`super::Change::id`].
    pub id: &'static str,
    /// Section of the change.
    pub section: Section,
    /// Meaning, for the reader.
    pub means: &'static str,
}

macro_rules! kinds {
    ($($section:ident { $($id:literal $means:literal;)* })*) => {
        /// All kinds of changes, by section.
        pub const ALL: &[Kind] = &[$($(Kind { id: $id, section: Section::$section, means: $means },)*)*];
    };
}

kinds! {
    Security {
        "security-requirement-removed" "Requests that needed a credential need none any more.";
        "security-requirement-added" "Requests that needed no credential need one.";
        "security-requirement-changed" "Other credentials, verifiers or scopes are required; the class says for whom it is wider.";
        "operation-exposed" "Requests that were not served are served; `weaken` where they need no credentials.";
        "address-filter-added" "Addresses are looked at that were not.";
        "address-filter-removed" "Addresses are no longer looked at.";
        "address-filter-changed" "Other addresses may call: sets of addresses are compared, not lists.";
        "authorization-added" "Scopes, claims, groups or roles are required beside a credential.";
        "authorization-removed" "Scopes, claims, groups or roles are no longer required.";
        "authorization-changed" "Other scopes, claims, groups or roles are required; expressions are compared as texts.";
        "cors-added" "Pages of other origins may call.";
        "cors-removed" "Pages of other origins may no longer call.";
        "cors-changed" "Pages of other origins, other methods, fields or credentials.";
        "csrf-added" "Forged requests of other pages are refused.";
        "csrf-removed" "Forged requests of other pages are no longer refused.";
        "csrf-changed" "Other requests count as forged.";
        "request-validation-changed" "Requests are held to the contract in another mode: `block`, `log`, `off`.";
        "response-validation-changed" "Responses are held to the contract in another mode.";
        "guard-added" "A guard of messages (`threat`, `graphql_guard`, `llm`) looks at requests.";
        "guard-removed" "A guard of messages no longer looks at requests.";
        "guard-changed" "A guard of messages lets other messages through.";
        "identity-field-changed" "A field that says who calls (`Authorization`, `Cookie`, `X-User…`) or that has a secret reaches the upstream with other values, or newly as the client wrote it.";
        "response-field-changed" "A field of responses that opens an operation to pages of other origins (`Access-Control-…`), sets cookies, or protects callers (`Strict-Transport-Security`, `Content-Security-Policy`, …) has another value.";
        "path-readings-changed" "Paths that an upstream may read as another path are let through, or no longer are (`path_readings`).";
        "way-round-added" "An operation newly reaches the path of a more protected one at the upstream, by a rewrite, a base path, a target's path, a split or a mirror.";
        "upstream-transport-changed" "The requests go to an upstream with other TLS settings: names, authorities, verification.";
        "upstream-protocol-changed" "TLS towards an upstream is added or removed.";
        "upstream-verification-changed" "An upstream's certificate is or is not checked.";
        "upstream-authority-changed" "Another authority vouches for an upstream's certificate.";
        "upstream-name-changed" "An upstream's certificate must carry another name.";
        "listener-protocol-changed" "TLS of a listener is added or removed.";
        "listener-tls-version-changed" "A listener accepts older, or only newer, versions of TLS.";
        "client-auth-changed" "The mode of client certificates differs: `required`, `optional`, `off`.";
        "client-authority-changed" "Another authority vouches for clients' certificates.";
        "client-revocation-changed" "The list of revoked client certificates is another one, or none.";
        "trusted-proxy-added" "Further peers may say who a request comes from: they may assert any address.";
        "trusted-proxy-removed" "Fewer peers may say who a request comes from.";
        "client-address-changed" "A peer is no longer trusted, so that an address filter judges those behind it by the peer's own address; `weaken` where the filter lets the peer through.";
        "peers-admitted" "Peers may connect to a listener that could not: it no longer requires a PROXY header of them.";
        "credential-forwarded" "The upstream newly gets to see a credential.";
        "credential-stripped" "The upstream no longer gets to see a credential.";
        "consumer-right-added" "A consumer has a claim, a group or a plan that it had not.";
        "consumer-right-removed" "A consumer has lost a claim, a group or a plan.";
        "secret-flow-added" "A secret flows to a place where it did not; `weaken` where it leaves the gateway in a message: to another upstream, in another field.";
        "credential-added" "A new key or password is admitted.";
        "credential-prolonged" "A key or password is admitted for longer.";
        "credential-shortened" "A key or password ends earlier.";
        "credential-removed" "A key or password is no longer admitted.";
    }
    Rules {
        "required-policy-dropped" "Documents may leave out a policy that was required.";
        "required-policy-added" "A policy can no longer be left out.";
        "required-auth-dropped" "Documents may leave out a verifier that was required.";
        "required-auth-added" "A verifier can no longer be left out.";
        "allow-public-changed" "Other operations may be public.";
        "gate-removed" "A gate is no longer on; it judges this change still.";
        "gate-added" "A gate is on that was not.";
        "acknowledge-file-changed" "Acknowledgements are in another file; those of rules count only with `--ack`.";
        "acknowledgement-added" "An acknowledgement was added that names no change of this plan: it would let a later one through.";
        "lint-level-changed" "A lint rule has another level.";
        "lint-allow-changed" "Other lint rules are silent at a node of a document or of gateway.yaml (`x-gateway-lint`).";
        "channel-changed" "Releases move another channel.";
        "store-changed" "Releases go to another store.";
        "rules-unknown" "The old side has no source artifact, so that its gates and other rules are unknown; the gate `rules` is on.";
        "trust-changed" "The trust file believes other keys, other numbers of owners, or older serials.";
    }
    Routing {
        "first-release" "Nothing is deployed: the operations of an API at a listener, in one line; `expose` where the gateway checks no credential of some of them.";
        "operation-added" "An operation is new, and serves requests that were not served.";
        "operation-removed" "An operation is removed, and its requests are not served.";
        "requests-added" "An operation serves further requests: another path, host, listener or method.";
        "requests-removed" "An operation no longer serves some of its requests, and no other does.";
        "owner-changed" "Requests are answered by another operation.";
        "upstream-changed" "Requests go to another upstream; under UPSTREAM where no request reaches the operation.";
        "shadow-appears" "Others take all requests of an operation.";
        "shadow-disappears" "An operation has requests again that others took.";
        "mount-hosts-changed" "A mount lists other hosts, and the same requests reach it.";
        "internal-changed" "Other requests are described and nobody's (`internal`): who gets what is not described does not get them.";
        "environment-added" "An environment is new; where it lets in more than a known one, its class and gates are those of what it lets in.";
        "environment-removed" "An environment is gone.";
        "listener-added" "A listener is new.";
        "listener-removed" "A listener is gone.";
        "listener-address-changed" "A listener has another address; `expose` where it can be reached from further away.";
        "peers-refused" "Peers can no longer connect to a listener: it requires a PROXY header of other peers.";
    }
    Breaking {
        "oauth-flow-changed" "Clients get tokens elsewhere, or for other scopes (`flows` of an OAuth scheme); the gateway does the same.";
        "contract-changed" "A part of what clients send or get is different; not judged yet.";
    }
    Policy {
        "security-restated" "The same callers, told in other words: names, order, what the upstream gets to see.";
        "setting-restated" "Written otherwise, with the same effect.";
        "trusted-proxies-restated" "The same peers are trusted, written otherwise.";
        "policies-changed" "Policies are added to an operation's chain, removed from it, or reordered.";
        "limit-key-changed" "A limit counts other callers together: neither is the tighter one.";
        "limit-split" "Operations that counted together under one limit count under another one by themselves.";
        "traffic-moved" "Requests, copies of them or clients are sent elsewhere (`split`, `mirror`, `rewrite`, `redirect`, `Location` of responses), or in other shares.";
        "sunset-changed" "An operation ends on another day; `removed` if that day is over, `expose` if only the old one was.";
        "policy-added" "A policy is new.";
        "policy-removed" "A policy is gone.";
        "policy-changed" "A policy's setting is different.";
        "policy-redefined" "An operation's policy is defined elsewhere, and differently.";
        "policy-restarted" "A policy's counters begin anew: its state has another name.";
        "rate-changed" "A rate is different.";
        "burst-changed" "A burst is different.";
        "timeout-changed" "A timeout is different.";
        "max-body-changed" "The largest body is different.";
        "priority-changed" "A route's priority is different; its effect is under ROUTING.";
        "trailing-slash-changed" "A final slash means something else.";
        "operation-setting-changed" "Another setting of an operation is different.";
        "verifier-added" "A verifier is new; its users are under SECURITY.";
        "verifier-removed" "A verifier is gone.";
        "verifier-changed" "A verifier's setting is different; its effect is under SECURITY.";
        "credential-passed-on-changed" "A credential reaches the upstream in another form.";
        "consumer-added" "A consumer is new.";
        "consumer-removed" "A consumer is gone.";
        "consumer-changed" "A consumer's data is different.";
        "listener-setting-changed" "Another setting of a listener is different.";
        "client-cert-fields-changed" "Upstreams get the client's certificate in other fields; `weaken` where those of trusted proxies newly reach them (`forward_client_cert: pass`), `strengthen` where they no longer do.";
        "listener-connections-changed" "The connections of a listener at once are different.";
        "listener-header-bytes-changed" "The largest head is different.";
        "listener-headers-changed" "The most fields of a head are different.";
        "listener-header-timeout-changed" "The time for a head is different.";
        "listener-idle-timeout-changed" "The time between two requests is different.";
        "listener-target-bytes-changed" "The longest request target is different.";
        "listener-body-timeout-changed" "The longest wait for a client in a body is different.";
        "listener-min-rate-changed" "The lowest rate of bodies is different.";
        "listener-stream-idle-timeout-changed" "The longest silence in a body is different.";
        "connect-timeout-changed" "The time to connect to an upstream is different.";
        "idle-timeout-changed" "The time that an unused connection to an upstream is kept is different.";
        "expose-bundle-changed" "Responses carry the bundle's id, or no longer do.";
        "gateway-setting-changed" "Another setting of gateway.yaml is different.";
        "api-setting-changed" "Another setting of an API is different.";
        "project-renamed" "The project has another name.";
        "unclassified" "The bundles differ and no rule says how; report it.";
    }
    Upstream {
        "upstream-added" "An upstream is new.";
        "upstream-removed" "An upstream is gone.";
        "targets-changed" "Targets or their weights are different.";
        "host-header-changed" "An upstream sees another Host.";
        "strip-base-path-changed" "An upstream sees another path.";
        "upstream-setting-changed" "Another setting of an upstream is different.";
    }
    Docs {
        "prose-changed" "Prose, tags or examples; nothing else.";
    }
}

/// Returns the kind with an id.
#[must_use]
pub fn of(id: &str) -> Option<&'static Kind> {
    ALL.iter().find(|kind| kind.id == id)
}

/// Omits the changes of one kind while `run` runs on this thread, so that tests can check that each
/// kind is missed.
#[cfg(feature = "test-hooks")]
pub fn without<R>(id: &'static str, run: impl FnOnce() -> R) -> R {
    OFF.set(Some(id));
    let done = run();
    OFF.set(None);
    done
}

#[cfg(feature = "test-hooks")]
thread_local! {
    static OFF: std::cell::Cell<Option<&'static str>> = const { std::cell::Cell::new(None) };
}

/// True if this thread leaves out a kind of change (`without`). Always false without the feature
/// `test-hooks`.
pub(super) fn is_off(id: &str) -> bool {
    #[cfg(feature = "test-hooks")]
    return OFF.get() == Some(id);
    #[cfg(not(feature = "test-hooks"))]
    {
        let _ = id;
        false
    }
}

/// Makes every witness show no difference while `run` runs on this thread. The comparison must
/// reject such witnesses.
#[cfg(feature = "test-hooks")]
pub fn with_false_witnesses<R>(run: impl FnOnce() -> R) -> R {
    FALSE.set(true);
    let done = run();
    FALSE.set(false);
    done
}

#[cfg(feature = "test-hooks")]
thread_local! {
    static FALSE: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// True if this thread makes witnesses false (`with_false_witnesses`). Always false without the
/// feature `test-hooks`.
pub(super) fn falsifies() -> bool {
    #[cfg(feature = "test-hooks")]
    return FALSE.get();
    #[cfg(not(feature = "test-hooks"))]
    false
}
