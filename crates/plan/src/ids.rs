//! Kinds of changes, each with a sentence that explains it: the source of docs/changes.md.

use super::Section;

/// Kind of change.
#[derive(Debug)]
pub struct Kind {
    /// Id of the kind, as in [`super::Change::id`].
    pub id: &'static str,
    /// Section in which the change usually appears.
    pub section: Section,
    /// Explanation of the change, for readers of a plan.
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
        "security-requirement-removed" "Requests that required a credential no longer require one.";
        "security-requirement-added" "Requests that required no credential now require one.";
        "security-requirement-changed" "Other credentials, verifiers or scopes are required; the class says whether access is wider.";
        "refused-paths-changed" "The gateway refused paths of an operation, because servers may read them as paths of another operation (`path_ambiguous`). That other operation changed, so that the gateway may now serve such paths. gwc found no example of such a path, and often there is none. Keep the path of the other operation as `internal: true` if the upstream still serves it; otherwise acknowledge the line.";
        "operation-exposed" "Requests that were not served are now served; `weaken` if they need no credential.";
        "address-filter-added" "An address filter (`ip_filter`) applies now.";
        "address-filter-removed" "No address filter (`ip_filter`) applies any more.";
        "address-filter-changed" "Other client addresses are admitted; only the admitted addresses count, not how the lists are written.";
        "authorization-added" "Scopes, claims, groups or roles are required in addition to a credential.";
        "authorization-removed" "Scopes, claims, groups or roles are no longer required.";
        "authorization-changed" "Other scopes, claims, groups or roles are required; expressions \
are compared as strings.";
        "cors-added" "Pages of other origins may call the operation.";
        "cors-removed" "Pages of other origins may no longer call the operation.";
        "cors-changed" "CORS allows other origins, methods, fields or credentials.";
        "csrf-added" "Cross-site request forgery is refused (`csrf`).";
        "csrf-removed" "Cross-site request forgery is no longer refused (`csrf`).";
        "csrf-changed" "The `csrf` policy refuses more, fewer or different requests than before.";
        "request-body-unchecked" "Validation (`block`) no longer checks bodies that it checked \
        before. The body, its media types or its schema are no longer described, or the schema \
        accepts every object, array or text. Other causes: an added media type lacks a check \
        that another one has; a higher `max_body` admits multipart bodies that are too long to \
        be checked.";
        "request-validation-changed" "The mode of request validation differs: `block`, `log`, `off`.";
        "undeclared-params-changed" "Query parameters that an operation does not describe are handled otherwise: `allow`, `strip`, `reject`.";
        "parameter-forwarded" "A query parameter that `undeclared_params: strip` removed is now forwarded, because the operation describes it.";
        "response-unchecked" "Validation (`block`) no longer checks responses that it checked \
        before. The status, its media types or its schema are no longer described, or the schema \
        accepts every object, array or text. Another cause: an added media type or status lacks \
        a check that another one has.";
        "response-validation-changed" "The mode of response validation differs: `block`, `log`, `off`.";
        "guard-added" "A policy on message content (`threat`, `graphql_guard`, `llm`) now checks \
            requests.";
        "guard-removed" "A policy on message content no longer checks requests.";
        "guard-changed" "A policy on message content admits other messages.";
        "identity-field-changed" "A request field that identifies the caller, contains a secret or restricts the request has another value at the upstream. Such fields: `Authorization`, `Cookie`, `X-User…`, those of `forward_as`, `claims_to_headers` and `response_headers`; `Origin`, `If-Match`, …. Also: a policy sets another fixed value of any field, or a client's field that was removed before now reaches the upstream. The same for query parameters that `rewrite` sets or removes.";
        "response-field-changed" "A security-relevant response field has another value. Such \
        fields open an operation to pages of other origins (`Access-Control-…`), set cookies or \
        control caches. Others name other hosts or files (`Link`, `NEL`, `X-Sendfile`), or protect \
        callers (`Strict-Transport-Security`, `Content-Security-Policy`, …). Also: an upstream's \
        field that was removed before now reaches clients.";
        "path-readings-changed" "Paths that an upstream may read as another path are admitted, or no longer are (`path_readings`).";
        "paths-not-compared" "Too many overlapping paths of a host change at once, so that gwc did not compare its routing and access. The line may hide changes of every class and trips every gate. An acknowledgement covers only these two bundles.";
        "self-check-failed" "The engines of both versions do not confirm the witness of a change, which is a bug in gwc: a line of the plan may be wrong or missing. The line trips every gate, and `gwc plan`, `diff` and `apply` end with exit code 70 until it is acknowledged. An acknowledgement covers only these two bundles.";
        "sources-not-compared" "Parts of the new version have errors, so that gwc did not compare them, or read them otherwise than intended. The line may hide changes of every class and trips every gate. Correct the errors at the places that the line names, or acknowledge it.";
        "way-round-added" "At the upstream, requests of an operation can now reach the path of \
        another operation with stricter access. Causes: a rewrite, a base path, a target's path, a split or a \
        mirror.";
        "way-round-not-compared" "A changed operation was not compared with all protected operations, because the comparison of paths exceeded its limit. It may reach their paths at the upstream. An acknowledgement covers only these two bundles.";
        "upstream-transport-changed" "Requests go to an upstream with other TLS settings: names, CA certificates, verification.";
        "upstream-protocol-changed" "TLS towards an upstream is added or removed.";
        "upstream-verification-changed" "Verification of an upstream's certificate is turned on or off.";
        "upstream-authority-changed" "gwd accepts certificates of other CAs from an upstream.";
        "upstream-client-certificate-changed" "The client certificate of the gateway at an upstream differs or is new: `incomparable`; `weaken` if it is removed.";
        "upstream-name-changed" "An upstream's certificate must contain another host name.";
        "listener-protocol-changed" "TLS of a listener is added or removed. Also reported for a listener without TLS that newly serves an operation.";
        "listener-tls-version-changed" "The minimum TLS version of a listener differs. Also reported for another listener that newly serves an operation.";
        "listener-key-changed" "A listener has other private keys (`key` of `tls.certificates`): anyone who knows a key can impersonate the gateway. `weaken` if keys are added, `strengthen` if keys are removed.";
        "client-auth-changed" "The mode of client certificates differs: `required`, `optional`, `off`.";
        "client-authority-changed" "A listener accepts client certificates of other CAs. `weaken` if another listener, with another CA, newly serves an API that reads certificates.";
        "client-revocation-changed" "The revocation list of client certificates differs or is absent. Also reported for another listener that newly serves an API.";
        "forwarding-fields-changed" "gwd accepts other forwarding fields of trusted proxies (`forwarding_fields`); `weaken` if a field is added: if the proxies do not write it, clients choose its value, such as their address. `incomparable` if a field is removed: policies read another address, host or scheme.";
        "trusted-proxy-added" "More peers are trusted proxies: they may assert any client address. Also reported for another listener that newly serves an operation.";
        "trusted-proxy-removed" "Fewer peers are trusted proxies. `incomparable` for `trusted_proxies`: policies, services and upstreams then read the address, host and scheme of the proxy itself. `strengthen` for `proxy_protocol.from`.";
        "client-address-changed" "A peer is no longer a trusted proxy, so that an address filter \
        checks its clients by the peer's address. `weaken` if the filter admits the peer.";
        "peers-admitted" "More peers may connect to a listener: it no longer requires a PROXY header of them. Also reported for another listener that newly serves an operation.";
        "credential-forwarded" "The upstream now receives a credential.";
        "credentials-sent" "Another service, which decides about requests (`forward_auth`, `introspection`), now receives callers' credentials.";
        "service-asked" "Another service decides about requests (`forward_auth`). Its refusals go to clients, with redirects and cookies.";
        "credential-stripped" "The upstream no longer receives a credential.";
        "consumer-plan-changed" "The limits that plans have for a consumer differ: it moved to another plan, or a plan has other policies. `relax` if a limit is gone or looser.";
        "group-plan-changed" "The limits that plans have for a group differ. `relax` if a limit is gone or looser.";
        "consumer-right-added" "A consumer gains a claim or a group.";
        "consumer-right-removed" "A consumer loses a claim or a group. `incomparable` if the claim \
        of that name in a token or certificate applies instead, or an expression reads it.";
        "secret-flow-added" "A secret is used in a new place. `weaken` if the gateway sends it to \
        another upstream or in another field.";
        "credential-added" "A consumer gains a key, password, certificate or token owner.";
        "credential-prolonged" "A key or password is valid for longer.";
        "credential-shortened" "A key or password expires earlier.";
        "credential-removed" "A consumer loses a credential. A key or password is no longer \
        admitted. For a certificate or a token owner the class is `incomparable`, because \
        verifiers still admit it, as a caller without consumer. If its entry had `not_after`, the \
        class is `grant`.";
    }
    Rules {
        "required-policy-dropped" "Documents may omit a policy that was required.";
        "required-policy-added" "Documents may no longer omit a policy.";
        "required-auth-dropped" "Documents may omit a verifier that was required.";
        "required-auth-added" "Documents may no longer omit a verifier.";
        "allow-public-changed" "Other operations may be public.";
        "gate-removed" "A gate is turned off, but still applies to this plan.";
        "gate-added" "A gate is turned on.";
        "tests-removed" "gateway.yaml no longer names files with the project's own tests.";
        "tests-changed" "The project's own tests no longer expect a property of a request that they expected before. Added requests and expectations are no change.";
        "invariant-added" "An invariant is added.";
        "invariant-changed" "An invariant selects other operations, or requires something else of them.";
        "invariant-removed" "An invariant is removed.";
        "invariant-narrowed" "An unchanged invariant no longer applies to some requests. The \
        operation of these requests has other names (tags, owner, key, API, listener, upstream). \
        Or it has another path or method, although the request to the upstream is the same.";
        "acknowledge-file-changed" "Acknowledgements are read from another file. Its entries cannot acknowledge changes under RULES; use `--ack` for these.";
        "acknowledgement-added" "An added acknowledgement names no change of this plan: it would admit a later change.";
        "lint-level-changed" "A lint rule has another level.";
        "notice-changed" "`deprecations` requires another notice period. The plan uses the longer one.";
        "break-level-changed" "A check of changes for API clients has another level in gateway.yaml. The plan uses the higher one.";
        "lint-allow-changed" "Other lint rules or checks of changes for API clients are turned off at a node of a document or of gateway.yaml (`x-gateway-lint`).";
        "channel-changed" "Releases go to another channel.";
        "environment-changed" "Another environment is released to the channel than before. Acknowledgements for one environment do not accept its changes at the channel of another one.";
        "store-changed" "Releases go to another store.";
        "release-steps-changed" "Releases reach the gateways and requests in other steps, or all gateways at once.";
        "release-sticky-changed" "The property of a request that decides which version serves it differs (`release.sticky`).";
        "release-testers-changed" "The field by which requests select their version differs, or is removed (`release.testers`).";
        "release-guard-changed" "The conditions under which gateways return to the previous version by themselves differ, or are removed (`release.guard`).";
        "release-freeze-changed" "The times in which releases are refused differ, or are removed (`release.freeze`).";
        "rules-unknown" "The source artifact with the old side's gates and other rules is missing or damaged, so they are unknown; the gate `rules` is on. After a rollback, these rules are in the artifact of the newest record that is no rollback.";
        "trust-changed" "The trust file trusts other keys, requires other numbers of owners, or accepts older serials.";
    }
    Routing {
        "first-release" "The channel has no bundle yet, or the revision of `--against` has no project. One line for the operations of an API at a \
listener. `expose` if the gateway checks no credential for one of them.";
        "operation-added" "An operation is new and serves requests that were not served.";
        "operation-removed" "An operation is removed, and its requests are no longer served.";
        "logout-path-removed" "`logout_path` of a login differs or is removed on some hosts: the \
        gateway no longer ends sessions at the old path.";
        "requests-added" "An operation serves additional requests: another path, host, listener or method.";
        "requests-removed" "An operation no longer serves some of its requests, and no other operation does.";
        "owner-changed" "Another operation answers the requests.";
        "upstream-changed" "Requests go to another upstream. Listed under UPSTREAM if no request reaches the operation.";
        "shadow-appears" "Other operations receive all requests of an operation.";
        "shadow-disappears" "An operation receives requests that went to other operations before.";
        "mount-hosts-changed" "A mount lists other hosts, but receives the same requests.";
        "unserved-operation-changed" "An operation with `TRACE` or `CONNECT`, which the gateway never serves, is added, removed or requires other credentials.";
        "internal-changed" "Other operations are `internal`: described but not served. `unmatched` and `undeclared_methods` do not receive their requests.";
        "environment-added" "An environment is new. If it is less strict than an existing environment, the line has the class of that additional access and trips its gates.";
        "environment-removed" "An environment is removed.";
        "listener-added" "A listener is new.";
        "listener-removed" "A listener is removed.";
        "listener-address-changed" "A listener has another address; `expose` if more networks can reach it.";
        "peers-refused" "Some peers can no longer connect to a listener, because `proxy_protocol` accepts PROXY headers from other peers than before.";
    }
    Breaking {
        "oauth-flow-changed" "Clients get tokens from another place, or for other scopes (`flows`, `openIdConnectUrl` or `oauth2MetadataUrl` of a scheme); the gateway is unaffected. `moved` if there is a URL that clients did not use before.";
        "servers-changed" "The document names other `servers` for an operation. The gateway is unaffected, but clients that are generated from the document send their requests and credentials to these URLs. `moved` if a scheme, host, port or base path is new or gone, or if the first server has another one.";
        "request-check-widened" "Validation (`block`) accepts more requests: a schema, parameter or media type is wider.";
        "request-check-narrowed" "Validation (`block`) accepts fewer requests.";
        "request-check-changed" "Validation (`block`) refuses a different set of requests; gwc could not show that one version accepts all requests of the other.";
        "response-check-widened" "Validation (`block`) forwards more responses: a schema, header field, media type or status is wider.";
        "response-check-narrowed" "Validation (`block`) forwards fewer responses.";
        "response-check-changed" "Validation (`block`) refuses a different set of responses; gwc could not show that one version forwards all responses of the other.";
    }
    Policy {
        "security-restated" "The same callers are admitted. Names, order or the fields for the upstream differ.";
        "setting-restated" "A setting is written differently, with the same effect.";
        "trusted-proxies-restated" "The same peers are trusted; the ranges are written differently.";
        "policies-changed" "Policies are added to an operation's chain, removed from it, or reordered.";
        "limit-key-changed" "A limit groups callers differently: neither limit is tighter. If a consumer is removed: its callers are still admitted, and the limit counts each caller separately. If a claim of a consumer has another value: a limit with `key: claim:NAME` counts its requests elsewhere. If the gateway newly removes or writes the field, cookie or parameter of the key: other requests share a counter.";
        "limit-split" "Requests that one counter of a limit counted are now counted by several.";
        "limit-joined" "Requests that several counters of a limit counted are now counted by one.";
        "traffic-moved" "Requests, copies of them or clients are sent to another place, or in other shares. Causes: `split`, `mirror`, `rewrite`, `redirect`, `Location` of responses, `hash_on` of a consumer or its claim.";
        "sunset-changed" "The last day of an operation differs. `removed` if the new day is past, \
        `expose` if only the old day is past, else `relax` for a later day or none.";
        "policy-added" "A policy is new.";
        "policy-removed" "A policy is removed.";
        "policy-changed" "A setting of a policy differs.";
        "document-changed" "A document that gwd serves (`serve_document`), or its page, has another content. Changed texts are under DOCS.";
        "policy-redefined" "An operation's policy is defined in another place, with other settings.";
        "policy-restarted" "A policy's counters restart, because its state has another name; `relax` if the limit counts for more than a minute.";
        "rate-changed" "A rate differs.";
        "burst-changed" "A burst differs.";
        "window-limit-changed" "The number of requests that a sliding window admits in any period differs.";
        "timeout-changed" "A timeout differs.";
        "max-body-changed" "The maximum body size differs.";
        "priority-changed" "A route's priority differs; its effect is under ROUTING.";
        "trailing-slash-changed" "The meaning of a final slash differs, or a path with `trailing_slash: ignore` gains or loses its final slash. `moved` if requests that the gateway redirected are forwarded, `removed` if they are no longer served.";
        "operation-setting-changed" "Another setting of an operation differs.";
        "verifier-added" "A verifier is new; the operations that use it are under SECURITY.";
        "verifier-removed" "A verifier is removed.";
        "verifier-changed" "A setting of a verifier differs; its effect is under SECURITY.";
        "consumer-added" "A consumer is new.";
        "consumer-removed" "A consumer is removed; `incomparable` if tokens name it (`consumer_claim`) and an expression reads its name.";
        "consumer-changed" "A consumer's data differs.";
        "listener-setting-changed" "Another setting of a listener differs.";
        "client-cert-fields-changed" "Upstreams receive the client's certificate in other fields; `incomparable` if the listener requests certificates from clients. `weaken` if the fields of trusted proxies now reach upstreams (`forward_client_cert: pass`), `strengthen` if they no longer do.";
        "listener-connections-changed" "The maximum number of connections of a listener differs.";
        "listener-header-bytes-changed" "The maximum size of a head differs.";
        "listener-headers-changed" "The maximum number of fields in a head differs.";
        "listener-header-timeout-changed" "The timeout for a head differs.";
        "listener-idle-timeout-changed" "The idle timeout between two requests differs.";
        "listener-target-bytes-changed" "The maximum length of a request target differs, because \
            another version of gwc built the bundle.";
        "listener-body-timeout-changed" "The maximum total time for which a client may delay a \
            message differs (`body_timeout`).";
        "listener-min-rate-changed" "The minimum transfer rate of bodies differs.";
        "listener-stream-idle-timeout-changed" "The maximum time without a byte in a body differs \
        (`stream_idle_timeout`).";
        "connect-timeout-changed" "The connect timeout of an upstream differs.";
        "idle-timeout-changed" "The idle timeout of connections to an upstream differs.";
        "expose-bundle-changed" "Responses show the bundle's id (`weaken`), or no longer do.";
        "gateway-setting-changed" "Another setting of gateway.yaml differs.";
        "api-setting-changed" "Another setting of an API differs.";
        "project-renamed" "The project has another name.";
        "unclassified" "A part of the bundles differs and no rule describes the difference; report this as a bug. Trips every gate.";
    }
    Upstream {
        "upstream-added" "An upstream is new.";
        "upstream-removed" "An upstream is removed.";
        "targets-changed" "Targets or their weights differ.";
        "host-header-changed" "An upstream receives another `Host`.";
        "strip-base-path-changed" "An upstream receives another path.";
        "upstream-setting-changed" "Another setting of an upstream differs.";
    }
    Docs {
        "operation-renamed" "An operation has another name (`operationId`, or the names of path parameters if it has none). Clients, routing and upstreams are unaffected; metrics, logs and policies use the new name.";
        "prose-changed" "Only descriptions, tags or examples differ.";
    }
}

/// Kind of change with this id.
#[must_use]
pub fn of(id: &str) -> Option<&'static Kind> {
    ALL.iter().find(|kind| kind.id == id)
}

/// Omits all changes of one kind while `run` runs on this thread. Tests use it to check that the
/// absence of each kind is detected.
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

/// True if this thread omits this kind of change (`without`). Always false without the feature
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

/// Makes every witness show no difference while `run` runs on this thread. Tests use it to check
/// that the comparison rejects such witnesses.
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

/// True if this thread falsifies witnesses (`with_false_witnesses`). Always false without the
/// feature `test-hooks`.
pub(super) fn falsifies() -> bool {
    #[cfg(feature = "test-hooks")]
    return FALSE.get();
    #[cfg(not(feature = "test-hooks"))]
    false
}
