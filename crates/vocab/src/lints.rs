//! Rules about a gateway as a whole: names, security, mounts (`GW05xx`) and routes (`GW06xx`).

use diag::{Level, Lint};

#[macro_use]
mod samples;

macro_rules! lints {
    ($($ident:ident $code:literal $name:literal $level:ident $summary:literal $explain:literal bad $bad:expr; good $good:expr;)*) => {
        $(
            #[doc = $summary]
            pub static $ident: Lint = Lint {
                code: $code,
                name: $name,
                level: Level::$level,
                summary: $summary,
                explain: $explain,
                bad: $bad,
                good: $good,
            };
        )*
        /// All lints of this module, in the order of their codes.
        pub const LINTS: &[&Lint] = &[$(&$ident),*];
    };
}

use samples::{COSTED, KEYED, LIMITED, LOGGED_IN, OPEN, STATUSES, VALIDATED};

lints! {
    UNKNOWN_POLICY "GW0501" "unknown-policy" Error
    "an undefined policy"
    "`policies` and `+policies` name policies that the document's root `x-gateway` or gateway.yaml defines. An \
undefined name would be a rule without effect. The message names the nearest known one."
    bad keyed!(LIMITED, "{policies: [slwo]}");
    good keyed!(LIMITED, "{policies: [slow]}");

    UNKNOWN_UPSTREAM "GW0502" "unknown-upstream" Error
    "an undefined upstream"
    "`upstream` names a service under `upstreams` of the document's own `x-gateway`, or of gateway.yaml."
    bad keyed!(KEYED, "{upstream: v}");
    good keyed!(KEYED, "{upstream: u}");

    UNKNOWN_LISTENER "GW0503" "unknown-listener" Error
    "an undefined listener"
    "`listeners` of a mount or of the defaults names entries under `listeners` of gateway.yaml. If \
gateway.yaml defines none, the only listener is `public` at 127.0.0.1:8080."
    bad &[("gateway.yaml", "version: 1\nname: s\ndefaults: {listeners: [pubic]}\n")];
    good &[("gateway.yaml", "version: 1\nname: s\ndefaults: {listeners: [public]}\n")];

    UNKNOWN_AUTH "GW0504" "unknown-auth" Error
    "an undefined verifier"
    "`auth` of a security scheme names a verifier under `auth` of gateway.yaml or of the document's root \
`x-gateway`: the scheme defines the place of the credential, the verifier checks it."
    bad &[
        ("gateway.yaml", KEYED),
        ("api.yaml", "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\nsecurity: [{key: []}]\npaths: {/a: {get: {responses: {\"200\": {description: fine}}}}}\n\
components:\n  securitySchemes:\n    key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: kees}}\n"),
    ];
    good keyed!(KEYED, "{}");

    WRONG_KIND "GW0505" "wrong-kind" Error
    "a name of a definition of another kind"
    "The name exists, but belongs to another kind of definition: for instance an upstream where a \
policy is needed, or a verifier that cannot check the scheme's credential."
    bad keyed!(KEYED, "{upstream: keys}");
    good keyed!(KEYED, "{upstream: u}");

    UNUSED_DEFINITION "GW0506" "unused-definition" Warn
    "an unused definition"
    "gateway.yaml or a document's root `x-gateway` contains a definition to which nothing refers. If the reference \
was forgotten, requests lack a limit or a check. Add the reference, or remove the definition."
    bad keyed!(LIMITED, "{}");
    good keyed!(LIMITED, "{policies: [slow]}");

    SHADOWED_NAME "GW0507" "shadowed-name" Error
    "a name in a document that gateway.yaml already defines"
    "Names are looked up in the document first, then in gateway.yaml. A document that defines a name again would \
replace the operator's definition, so this is an error."
    bad &[
        ("gateway.yaml", LIMITED),
        ("api.yaml", "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\nx-gateway: {policies: {slow: {kind: rate_limit, limit: 9/s}}, defaults: {policies: [slow]}}\npaths: {}\n"),
    ];
    good &[
        ("gateway.yaml", LIMITED),
        ("api.yaml", "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\nx-gateway: {policies: {own: {kind: rate_limit, limit: 9/s}}, defaults: {policies: [own, slow]}}\npaths: {}\n"),
    ];

    POLICY_TWICE "GW0508" "policy-twice" Error
    "a policy that occurs twice in one chain"
    "A policy that occurs twice in a chain counts, adds or checks twice, which is never intended. \
`policies` replaces the inherited list, `+policies` appends to it."
    bad keyed!(LIMITED, "{policies: [slow, slow]}");
    good keyed!(LIMITED, "{policies: [slow]}");

    POLICIES_AND_APPEND "GW0509" "policies-and-append" Error
    "`policies` and `+policies` at one place"
    "`policies` replaces the inherited list and `+policies` appends to it, so the two contradict each other."
    bad keyed!(LIMITED, "{policies: [slow], +policies: []}");
    good keyed!(LIMITED, "{+policies: [slow]}");

    NO_UPSTREAM "GW0510" "no-upstream" Error
    "an operation without an upstream"
    "The operation has no `upstream`: none is set at the operation, its path, the document's \
`x-gateway.defaults` or gateway.yaml's `defaults`. `servers` never names an upstream by itself: it \
is the address for clients. Operations that the gateway answers itself (`respond`) need one, too, \
because the policy may be removed."
    bad &[
        ("gateway.yaml", "version: 1\nname: s\napis: {a: {path: api.yaml}}\ndefaults: {security: upstream}\n"),
        ("api.yaml", "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths: {/a: {get: {responses: {\"200\": {description: fine}}}}}\n"),
    ];
    good open!("  /a: {get: {responses: {\"200\": {description: fine}}}}\n");

    OPEN_OPERATION "GW0511" "open-operation" Error
    "an operation without credentials that is not declared public"
    "The operation has no security requirement, or an empty one among its alternatives, so anyone \
may call it. If that is intended, write `x-gateway: {public: true}`; otherwise add `security`, or \
remove the `{}` that opens it. Under `defaults.security: upstream` a single finding of level \
`info` counts such operations instead."
    bad &[
        ("gateway.yaml", "version: 1\nname: s\napis: {a: {path: api.yaml}}\nupstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\ndefaults: {upstream: u}\n"),
        ("api.yaml", "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths: {/a: {get: {responses: {\"200\": {description: fine}}}}}\n"),
    ];
    good &[
        ("gateway.yaml", "version: 1\nname: s\napis: {a: {path: api.yaml}}\nupstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\ndefaults: {upstream: u}\n"),
        ("api.yaml", "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths: {/a: {get: {x-gateway: {public: true}, responses: {\"200\": {description: fine}}}}}\n"),
    ];

    OPEN_OPERATIONS "GW0512" "open-operations" Info
    "operations without credentials that are not declared public"
    "Under `defaults.security: upstream` the gateway checks only that a credential is present. \
This finding counts the operations that do not require a credential at all, and names the first \
one. Operations with `x-gateway: {public: true}` are not counted."
    bad open!("  /a: {get: {responses: {\"200\": {description: fine}}}}\n");
    good keyed!(KEYED, "{}");

    PUBLIC_WITHOUT_EFFECT "GW0513" "public-without-effect" Warn
    "`public: true` where a credential is still required"
    "`public: true` declares that an operation requires no credentials on purpose. It does not take away a \
requirement: to open the operation write `security: []` beside it."
    bad keyed!(KEYED, "{public: true}");
    good keyed!(KEYED, "{public: true, security: []}");

    PUBLIC_NOT_ALLOWED "GW0514" "public-not-allowed" Error
    "`public: true` outside the operator's list"
    "`required.allow_public` of gateway.yaml lists the operations that may be public; `*` stands for any text."
    bad keyed!("version: 1\nname: s\napis: {a: {path: api.yaml}}\nauth: {keys: {kind: api_key}}\nrequired: {allow_public: [a/getB]}\n\
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\ndefaults: {upstream: u}\n", "{public: true, security: []}");
    good keyed!("version: 1\nname: s\napis: {a: {path: api.yaml}}\nauth: {keys: {kind: api_key}}\nrequired: {allow_public: [a/get*]}\n\
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\ndefaults: {upstream: u}\n", "{public: true, security: []}");

    UNMATCHED_ALLOW_PUBLIC "GW0537" "unmatched-allow-public" Warn
    "a pattern of `required.allow_public` that names no operation"
    "Each entry is an operation key (`API/operationId`, or `METHOD API:/path`), in which `*` \
stands for any text. An entry that matches no operation is misspelt, or its operation was removed. \
A later operation of that name could then be public without a review."
    bad keyed!("version: 1\nname: s\napis: {a: {path: api.yaml}}\nauth: {keys: {kind: api_key}}\nrequired: {allow_public: [a/getAA]}\n\
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\ndefaults: {upstream: u}\n", "{}");
    good keyed!("version: 1\nname: s\napis: {a: {path: api.yaml}}\nauth: {keys: {kind: api_key}}\nrequired: {allow_public: [a/get*]}\n\
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\ndefaults: {upstream: u}\n", "{}");

    WAY_ROUND "GW0542" "way-round" Warn
    "a possible bypass of an operation's security at an upstream that reads paths differently"
    "`API#unmatched` and `match: prefix` receive every path that is not exactly a described path. gwd refuses only \
the spellings in docs/paths.md, such as `/a/` and `/A` for `/a`. An upstream may accept others, such as `/a.json`. \
Then a client can reach an `internal` operation, or an operation with a credential, over a path that does not \
require this credential. `path_readings: keep` admits paths with `%2F`, `%5C`, `%25`, `;` or `//` that an upstream \
may read as an undescribed path. The upstream may also read another path than the service of `forward_auth`. An \
operation can also reach the path of a more protected operation at the same host. Causes: `rewrite`, a stripped \
base path, the path of a target, `split`, `mirror`. Credentials, `ip_filter`, `authorize`, `forward_auth` and \
required client certificates count as protection. Require the same credential at both, or make sure that the \
upstream compares paths byte for byte, and silence this finding there."
    bad &[
        ("gateway.yaml", "version: 1\nname: s\napis: {a: {path: api.yaml, unmatched: u}}\nauth: {keys: {kind: api_key}}\nupstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\ndefaults: {upstream: u}\n"),
        ("api.yaml", "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\nx-gateway: {public: true}\nsecurity: [{}]\npaths: {/a: {get: {security: [{key: []}], responses: {\"200\": {description: fine}}}}}\n\
components:\n  securitySchemes:\n    key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}\n"),
    ];
    good &[
        ("gateway.yaml", "version: 1\nname: s\napis: {a: {path: api.yaml, unmatched: u}}\nauth: {keys: {kind: api_key}}\nupstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\ndefaults: {upstream: u}\n"),
        ("api.yaml", "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\nsecurity: [{key: []}]\npaths: {/a: {get: {responses: {\"200\": {description: fine}}}}}\n\
components:\n  securitySchemes:\n    key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}\n"),
    ];

    NO_VERIFIER "GW0515" "no-verifier" Error
    "a security scheme without a verifier"
    "An operation needs this scheme, but the scheme has no verifier for its credential. Bind a \
verifier with `x-gateway: {auth: NAME}` at the scheme, or write `x-gateway: {verify: upstream}` \
(or `defaults.security: upstream` for all): then the gateway checks only that a credential is \
present. Anyone can forge one, so the upstream must check it."
    bad &[
        ("gateway.yaml", "version: 1\nname: s\napis: {a: {path: api.yaml}}\nupstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\ndefaults: {upstream: u}\n"),
        ("api.yaml", "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\nsecurity: [{key: []}]\npaths: {/a: {get: {responses: {\"200\": {description: fine}}}}}\n\
components:\n  securitySchemes:\n    key: {type: apiKey, in: header, name: X-Key}\n"),
    ];
    good &[
        ("gateway.yaml", "version: 1\nname: s\napis: {a: {path: api.yaml}}\nupstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\ndefaults: {upstream: u}\n"),
        ("api.yaml", "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\nsecurity: [{key: []}]\npaths: {/a: {get: {responses: {\"200\": {description: fine}}}}}\n\
components:\n  securitySchemes:\n    key: {type: apiKey, in: header, name: X-Key, x-gateway: {verify: upstream}}\n"),
    ];

    SCOPES_NOT_GIVEN "GW0516" "scopes-not-given" Error
    "scopes or roles that no credential of the scheme can have"
    "Requirements of oauth2 and openIdConnect schemes list scopes. Since OpenAPI 3.1, those of other \
schemes list roles: values of the claim `roles` of the caller's consumer or token. Keys, passwords, \
certificates and signatures have no scopes and no claims. Without a consumer with the claim \
`roles`, every call would be refused."
    bad &[
        ("gateway.yaml", KEYED),
        ("api.yaml", "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\nsecurity: [{key: [admin]}]\npaths: {/a: {get: {responses: {\"200\": {description: fine}}}}}\n\
components:\n  securitySchemes:\n    key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}\n"),
    ];
    good &[
        ("gateway.yaml", "version: 1\nname: s\napis: {a: {path: api.yaml}}\nauth: {keys: {kind: api_key}}\n\
consumers: {acme: {keys: [{sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}], claims: {roles: [admin]}}}\n\
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\ndefaults: {upstream: u}\n"),
        ("api.yaml", "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\nsecurity: [{key: [admin]}]\npaths: {/a: {get: {responses: {\"200\": {description: fine}}}}}\n\
components:\n  securitySchemes:\n    key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}\n"),
    ];

    REQUIRED_AUTH_MISSING "GW0517" "required-auth-missing" Error
    "an operation that admits a caller whom no verifier of `required.auth` has checked"
    "Every security alternative of every operation that is not public must use one of the \
verifiers in `required.auth` of gateway.yaml."
    bad keyed!("version: 1\nname: s\napis: {a: {path: api.yaml}}\nauth: {keys: {kind: api_key}, staff: {kind: basic}}\nrequired: {auth: [staff]}\n\
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\ndefaults: {upstream: u}\n", "{}");
    good keyed!("version: 1\nname: s\napis: {a: {path: api.yaml}}\nauth: {keys: {kind: api_key}}\nrequired: {auth: [keys]}\n\
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\ndefaults: {upstream: u}\n", "{}");

    CREDENTIAL_TWICE "GW0518" "credential-twice" Error
    "a credential that occurs twice"
    "A credential must identify exactly one consumer: no two consumers may share it, and no \
consumer may list it twice."
    bad &[("gateway.yaml", "version: 1\nname: s\nconsumers:\n  a: {keys: [{sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}]}\n\
\x20 b: {keys: [{sha256: 9F86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}]}\n")];
    good &[("gateway.yaml", "version: 1\nname: s\nconsumers:\n  a: {keys: [{sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}]}\n")];

    CONSUMER_TWICE "GW0523" "consumer-twice" Error
    "a consumer that is both in gateway.yaml and in its `consumers_file`"
    "A consumer is one caller with all its credentials. If two places describe it, a key that is removed from one of \
them may remain in the other."
    bad &[
        ("gateway.yaml", "version: 1\nname: s\nconsumers_file: who.yaml\nconsumers:\n  a: {keys: []}\n"),
        ("who.yaml", "a: {keys: [{sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}]}\n"),
    ];
    good &[
        ("gateway.yaml", "version: 1\nname: s\nconsumers_file: who.yaml\n"),
        ("who.yaml", "a: {keys: [{sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}]}\n"),
    ];

    UNKNOWN_CLAIM "GW0543" "unknown-claim" Warn
    "a claim that no consumer has"
    "`hash_on: claim:NAME` and `key: claim:NAME` separate requests by a claim of the consumer. If \
no consumer has the claim, or has it only as a list or a map, no request has a value for it: `hash_on` \
picks an arbitrary target, and `key` counts by client address."
    bad &[("gateway.yaml", "version: 1\nname: s\nconsumers: {acme: {claims: {tenant: t-17}}}\n\
policies: {fair: {kind: rate_limit, limit: 5/s, key: \"claim:tennant\"}}\n")];
    good &[("gateway.yaml", "version: 1\nname: s\nconsumers: {acme: {claims: {tenant: t-17}}}\n\
policies: {fair: {kind: rate_limit, limit: 5/s, key: \"claim:tenant\"}}\n")];

    SIGNING_KEY_ENDS "GW0544" "signing-key-ends" Warn
    "a signing key of trust.json that expires within 30 days"
    "Gateways refuse signatures made after a key's `not_after`, so releases and rollbacks with \
that key become impossible. Make a new key with `gwc keygen` while the old one is valid, and \
commit `trust.json`: gateways need the new file first. `gwc lint` compares with the day on which \
it runs; build and plan do not look at the clock."
    bad &[
        ("gateway.yaml", "version: 1\nname: s\n"),
        ("trust.json", "{\"project\": \"s\", \"keys\": [{\"id\": \"5be1\", \"owner\": \"release\", \"state\": \"active\", \"not_after\": \"1970-01-09T00:00:00Z\"}]}\n"),
    ];
    good &[
        ("gateway.yaml", "version: 1\nname: s\n"),
        ("trust.json", "{\"project\": \"s\", \"keys\": [{\"id\": \"5be1\", \"owner\": \"release\", \"state\": \"active\", \"not_after\": \"2090-01-09T00:00:00Z\"}]}\n"),
    ];

    CREDENTIAL_NOT_IN_PREFLIGHT "GW0545" "credential-not-in-preflight" Warn
    "CORS that does not let pages send an operation's credential"
    "Before a page sends a field such as `Authorization` or `X-Key`, the browser sends a preflight \
request. A `cors` policy whose `headers` lack the field of the operation's scheme refuses it, so \
no page can call the operation. An operation with an alternative without such a field (a cookie, a \
query parameter, no credential) has no finding."
    bad paged!("[Content-Type]");
    good paged!("[Content-Type, X-Key]");

    STRIPPED_KEY "GW0546" "stripped-key" Warn
    "a hash or a limit by a credential that the gateway removes"
    "`hash_on` of an upstream and `key` of a limit read the request after authentication, when the \
field of a scheme with `strip_credential` is already removed. The hash then selects an arbitrary \
target, and the limit counts by address. Use `consumer` instead, the owner of the credential."
    bad hashed!("header:X-Key");
    good hashed!("consumer");

    CERTIFICATE_NOT_REQUESTED "GW0547" "certificate-not-requested" Error
    "a client certificate that no listener of the API requests"
    "A client sends its certificate only if the listener asks for it in the TLS handshake (`tls.client_auth` with \
the mode `optional` or `required`). A verifier with `header: Client-Cert` reads it from a proxy instead, which the \
listener must trust (`trusted_proxies`). A verifier with `certificate_header` does the same and compares bound \
tokens with it. Without a requested certificate or such a field, no request satisfies the scheme."
    bad certified!("off");
    good certified!("optional");

    READ_BEFORE_SET "GW0549" "read-before-set" Warn
    "a decision by a request field that the gateway sets later"
    "An `authorize` expression or a condition of a route reads the field that the client sent. A later `forward_auth` \
(`response_headers`), `headers` policy (`request.set`) or `claims_to_headers` replaces it for the upstream. A client can send any value, so \
the caller chooses the value that decides."
    bad asked_by!("[staff, ask]");
    good asked_by!("[ask, staff]");

    MIXED_IDENTITY "GW0551" "mixed-identity" Warn
    "one request field with caller names of several authorities"
    "`forward_as` writes the name of a consumer, or the subject of a token. An issuer chooses its subjects: one may equal the \
name of a consumer, or a subject of another issuer. The upstream then takes one caller for the other. Use a field of its own for \
each scheme, or claims such as `iss` beside it."
    bad named!("X-Caller");
    good named!("X-Subject");

    REMOVED_PARAMETER "GW0553" "removed-parameter" Warn
    "a header parameter that the gateway removes from requests"
    "Clients cannot send the fields in which the gateway names the caller for an upstream: `X-Consumer-…`, and the \
fields of `forward_as`, `claims_to_headers` and `response_headers` of `forward_auth`, on every operation with the \
same upstream. They also cannot send other spellings (`X_Key`), which some servers read alike. gwd removes other \
spellings of these fields, of credential fields, and of fields that an `expression` or the service of \
`forward_auth` reads. The upstream never receives such a parameter."
    bad announced!("x_caller");
    good announced!("X-Trace");

    UNKNOWN_ISSUER "GW0552" "unknown-issuer" Warn
    "a consumer's token whose issuer no verifier admits"
    "The issuer under `tokens` of a consumer is compared with that of a token byte by byte: `https://idp.example` and `https://idp.example/` are \
two issuers. If no verifier admits tokens of the issuer, no token matches the entry."
    bad held!("https://idp.example/");
    good held!("https://idp.example");

    ANY_ISSUER "GW0564" "any-issuer" Error
    "token introspection that can name the consumers of another verifier"
    "Consumers with `tokens` are identified by the issuer of a token. The response of an \
introspection endpoint contains its issuer (`iss`). Without `issuer` in the settings, gwd accepts \
any issuer: this endpoint can then name the consumers of every other verifier. Write the issuer of \
the endpoint's tokens."
    bad asked!("");
    good asked!(", issuer: \"https://partner.example\"");

    LOGIN_PATH_OWNED "GW0563" "login-path-owned" Error
    "an operation at a path that the gateway answers itself"
    "A login (`kind: oidc`) has a path to which the provider sends browsers (`redirect_path`), and may have one that ends the \
session (`logout_path`). The gateway answers them on each host of the APIs that use the login, before any operation. An operation \
at the same path would never receive a request."
    bad &[
        ("gateway.yaml", LOGGED_IN),
        ("api.yaml", "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\ncomponents: {securitySchemes: {login: {type: openIdConnect, openIdConnectUrl: \"https://idp.example/.well-known/openid-configuration\", x-gateway: {auth: login}}}}\npaths: {/login: {get: {security: [{login: []}], responses: {\"200\": {description: fine}}}}}\n"),
    ];
    good &[
        ("gateway.yaml", LOGGED_IN),
        ("api.yaml", "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\ncomponents: {securitySchemes: {login: {type: openIdConnect, openIdConnectUrl: \"https://idp.example/.well-known/openid-configuration\", x-gateway: {auth: login}}}}\npaths: {/page: {get: {security: [{login: []}], responses: {\"200\": {description: fine}}}}}\n"),
    ];

    LOGIN_PATH_MATCHED "GW0565" "login-path-matched" Warn
    "a path template that matches a path that the gateway answers itself"
    "The gateway answers `redirect_path` and `logout_path` of a login (`kind: oidc`) before any operation, on each host of the APIs that use the login. An operation with a path parameter or `match: prefix` does not receive these requests, also if it belongs to another API on the same host."
    bad logged_in!("\"/{page}\"");
    good logged_in!("\"/pages/{page}\"");

    COST_ABOVE_LIMIT "GW0550" "cost-above-limit" Warn
    "an operation that costs more than a limit can ever admit"
    "A request takes `cost` tokens of each rate limit. A limit holds at most `burst` tokens (`limit` requests, for a sliding \
window), so a greater cost is always refused."
    bad &[
        ("gateway.yaml", COSTED),
        ("api.yaml", "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths: {/a: {get: {x-gateway: {cost: 50, policies: [slow]}, responses: {\"200\": {description: fine}}}}}\n"),
    ];
    good &[
        ("gateway.yaml", COSTED),
        ("api.yaml", "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths: {/a: {get: {x-gateway: {cost: 5, policies: [slow]}, responses: {\"200\": {description: fine}}}}}\n"),
    ];

    VIOLATED_INVARIANT "GW0571" "violated-invariant" Error
    "an operation that violates an invariant of the project"
    "The files under `invariants` of gateway.yaml contain requirements for operations, such as \"every operation \
under /admin needs the verifier staff\". gwc checks every operation that can receive a request selected by the \
invariant. Correct the operation, or the invariant. `gwc plan` shows a removed or changed invariant as a change of \
the project's rules, to which gates apply."
    bad held_to!("{authenticated: true}");
    good held_to!("{kinds: [rate_limit]}");

    INVARIANT_WITHOUT_OPERATION "GW0572" "invariant-without-operation" Warn
    "an invariant about no operation"
    "No operation fits `where`, so no operation can violate the invariant. A typing error in a path, tag or name is the \
usual cause. An invariant with `require: {unreachable: true}` selects no operation on purpose, and has no such finding."
    bad held_about!("/nowhere/**");
    good held_about!("/a/**");

    MOUNT_CONFLICT "GW0519" "mount-conflict" Error
    "mounts that contradict each other"
    "An API's mounts need different names, and `mount` and `mounts` cannot be combined."
    bad &[
        ("gateway.yaml", "version: 1\nname: s\napis: {a: {path: api.yaml, mounts: [{name: m, base_path: /x}, {name: m, base_path: /y}]}}\n"),
        ("api.yaml", "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths: {}\n"),
    ];
    good &[
        ("gateway.yaml", "version: 1\nname: s\napis: {a: {path: api.yaml, mounts: [{name: m, base_path: /x}, {name: n, base_path: /y}]}}\n"),
        ("api.yaml", "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths: {}\n"),
    ];

    SERVER_PATH_DIFFERS "GW0520" "server-path-differs" Info
    "a server's path that differs from the mount of the API"
    "Clients that follow `servers` send requests below the path of the server; the gateway answers \
below `base_path`. To make both agree, set `base_path` of the mount."
    bad &[
        ("gateway.yaml", OPEN),
        ("api.yaml", "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\nservers: [{url: \"https://api.example.com/v1\"}]\npaths: {/a: {get: {responses: {\"200\": {description: fine}}}}}\n"),
    ];
    good &[
        ("gateway.yaml", "version: 1\nname: s\napis: {a: {path: api.yaml, mount: {base_path: /v1}}}\nupstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\ndefaults: {upstream: u, security: upstream}\n"),
        ("api.yaml", "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\nservers: [{url: \"https://api.example.com/v1\"}]\npaths: {/a: {get: {responses: {\"200\": {description: fine}}}}}\n"),
    ];

    MISPLACED_EXTENSION "GW0521" "misplaced-extension" Error
    "`x-gateway` at a place where it has no meaning"
    "`x-gateway` belongs at the root, a server, a path, an operation, a parameter, a security scheme, a schema or a \
response. Anywhere else it would be a rule without effect."
    bad &[
        ("gateway.yaml", OPEN),
        ("api.yaml", "openapi: 3.1.0\ninfo: {title: t, version: \"1\", x-gateway: {owner: me}}\npaths: {/a: {get: {responses: {\"200\": {description: fine}}}}}\n"),
    ];
    good &[
        ("gateway.yaml", OPEN),
        ("api.yaml", "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\nx-gateway: {owner: me}\npaths: {/a: {get: {responses: {\"200\": {description: fine}}}}}\n"),
    ];

    LISTENER_CONFLICT "GW0522" "listener-conflict" Error
    "two listeners that overlap in their addresses"
    "A socket takes every connection to its address. If two listeners have one address, or one \
port on `0.0.0.0` and on a single address, one of them would answer requests for the other: internal routes could be \
reachable at the public address."
    bad &[("gateway.yaml", "version: 1\nname: s\nlisteners:\n  public: {address: \"0.0.0.0:8080\"}\n  inside: {address: \"127.0.0.1:8080\"}\n")];
    good &[("gateway.yaml", "version: 1\nname: s\nlisteners:\n  public: {address: \"0.0.0.0:8080\"}\n  inside: {address: \"127.0.0.1:8081\"}\n")];

    METRIC_SERIES "GW0534" "metric-series" Warn
    "a project that makes too many metric series"
    "gwd reports durations by route and status, and each such histogram is twenty series in the \
monitoring system. `gwc lint` prints an estimate of the number of series; above 250000, a single \
gateway is a heavy load for that system. Mount an API once and give the mount several hosts, \
describe statuses by class (`4XX`), or split the project."
    bad &[
        ("gateway.yaml", concat!("version: 1\nname: s\nupstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\ndefaults: {upstream: u, security: upstream}\napis:\n  a:\n    path: api.yaml\n    mounts: [", mounts!(), "]\n")),
        ("api.yaml", STATUSES),
    ];
    good &[
        ("gateway.yaml", "version: 1\nname: s\nupstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\ndefaults: {upstream: u, security: upstream}\napis:\n  a:\n    path: api.yaml\n"),
        ("api.yaml", STATUSES),
    ];

    UPSTREAM_LOOP "GW0535" "upstream-loop" Error
    "an upstream that is the gateway itself"
    "A target, the service of a `forward_auth` or the endpoint of an `introspection` has the address of one of the \
project's listeners: the gateway would call itself, and each request would cause another one until a limit ends the \
loop. Most often, a URL under `servers` of the document, which is the gateway's own address, was used as the target."
    bad &[("gateway.yaml", "version: 1\nname: s\nlisteners: {public: {address: \"0.0.0.0:8080\"}}\nupstreams: {u: {targets: {a: {url: \"http://localhost:8080\"}}}}\n")];
    good &[("gateway.yaml", "version: 1\nname: s\nlisteners: {public: {address: \"0.0.0.0:8080\"}}\nupstreams: {u: {targets: {a: {url: \"http://localhost:9000\"}}}}\n")];

    UNBOUNDED_UPSTREAM "GW0536" "unbounded-upstream" Info
    "an upstream without a timeout"
    "Each request to the upstream waits up to 15s before it fails, so an outage is noticed late. \
Set `timeouts.request` at the upstream, or `timeout` at operations or in the defaults."
    bad open!("  /a: {get: {responses: {\"200\": {description: fine}}}}\n");
    good open!("  /a: {get: {x-gateway: {timeout: 5s}, responses: {\"200\": {description: fine}}}}\n");

    UNKNOWN_STORE "GW0531" "unknown-store" Error
    "an undefined store"
    "`store` of a limit, a quota, a cache or a verifier is `local` or the name of an entry under `stores` of gateway.yaml. With \
`local`, each gateway counts or stores for itself. A fleet shares a named store."
    bad &[("gateway.yaml", "version: 1\nname: s\npolicies: {slow: {kind: rate_limit, limit: 1/s, store: shraed}}\n")];
    good &[("gateway.yaml", "version: 1\nname: s\npolicies: {slow: {kind: rate_limit, limit: 1/s, store: local}}\n")];

    UNKNOWN_PLAN "GW0532" "unknown-plan" Error
    "an undefined plan"
    "`plan` of a consumer names an entry under `plans` of gateway.yaml: the policies that apply to its consumers. A consumer \
on an undefined plan would have no limit at all."
    bad &[("gateway.yaml", "version: 1\nname: s\nconsumers: {acme: {plan: gold}}\n")];
    good &[("gateway.yaml", "version: 1\nname: s\npolicies: {fast: {kind: rate_limit, limit: 9/s}}\nplans: {gold: {policies: [fast]}}\nconsumers: {acme: {plan: gold}}\n")];

    INTERNAL_AND_PUBLIC "GW0527" "internal-and-public" Error
    "an operation that is internal and public"
    "`internal: true` compiles an operation without serving it; `public: true` serves it without \
credentials. One of the two is a mistake; with the wrong one, the operation could be exposed."
    bad keyed!(KEYED, "{internal: true, public: true, security: []}");
    good keyed!(KEYED, "{internal: true}");

    LISTENER_TLS "GW0529" "listener-tls" Error
    "a listener whose protocol and certificates do not match"
    "`protocol: https` needs `tls` with certificates. Beside `http`, `tls` has no effect: neither its certificates \
nor its rules for client certificates."
    bad &[("gateway.yaml", "version: 1\nname: s\nlisteners: {public: {address: \"127.0.0.1:8443\", protocol: https}}\n")];
    good &[("gateway.yaml", "version: 1\nname: s\nlisteners: {public: {address: \"127.0.0.1:8080\"}}\n")];

    UPSTREAM_TLS "GW0540" "upstream-tls" Error
    "an upstream whose targets cannot use its protocol"
    "HTTP/2 over TLS (`protocol: h2`) needs `https://` targets. HTTP/2 in cleartext (`h2c`) needs `http://` targets. \
If no certificate can contain the host name of a target, `tls: {sni: NAME}` with another name is needed. Otherwise \
all requests to such a target fail."
    bad &[("gateway.yaml", "version: 1\nname: s\nupstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}, protocol: h2}}\n")];
    good &[("gateway.yaml", "version: 1\nname: s\nupstreams: {u: {targets: {a: {url: \"https://127.0.0.1:9000\"}}, protocol: h2}}\n")];

    UNUSED_UPSTREAM_TLS "GW0541" "unused-upstream-tls" Warn
    "TLS settings of an upstream that have no effect"
    "If no target has an `https` URL, `ca`, `sni` and `client_cert` under `tls` have no effect. \
Beside `verify: false`, `ca` has no effect. One of the two settings is a mistake: the connection \
looks protected and is not."
    bad &[("gateway.yaml", "version: 1\nname: s\nupstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}, tls: {ca: \"${file:/run/secrets/ca.pem}\"}}}\n")];
    good &[("gateway.yaml", "version: 1\nname: s\nupstreams: {u: {targets: {a: {url: \"https://127.0.0.1:9000\"}}, tls: {ca: \"${file:/run/secrets/ca.pem}\"}}}\n")];

    UNVERIFIED_UPSTREAM "GW0530" "unverified-upstream" Warn
    "an upstream whose certificate is not verified"
    "`tls: {verify: false}` encrypts without verifying the peer. Anyone on the network between the \
gateway and the upstream can read and change everything, credentials too. Write the certificate of \
the upstream's CA in `ca` \
instead."
    bad &[("gateway.yaml", "version: 1\nname: s\nupstreams: {u: {targets: {a: {url: \"https://127.0.0.1:9000\"}}, tls: {verify: false}}}\n")];
    good &[("gateway.yaml", "version: 1\nname: s\nupstreams: {u: {targets: {a: {url: \"https://127.0.0.1:9000\"}}, tls: {ca: \"${file:/run/secrets/ca.pem}\"}}}\n")];

    IDENTICAL_ROUTE "GW0601" "identical-route" Error
    "two operations that match exactly the same requests"
    "Two operations have the same method, host and listener, and their paths differ only in the \
names of parameters. Both match the same requests. Give one of them a different path, another \
method or a condition, or describe both as one operation. In a document of another team, an \
overlay with `remove: true` removes one. Where two APIs meet, change the `base_path` or the \
`hosts` of a `mount`."
    bad open!("  /a/{x}: {get: {parameters: [{name: x, in: path, required: true, schema: {type: string}}], responses: {\"200\": {description: fine}}}}\n\
\x20 /a/{y}: {get: {parameters: [{name: y, in: path, required: true, schema: {type: string}}], responses: {\"200\": {description: fine}}}}\n");
    good open!("  /a/{x}: {get: {parameters: [{name: x, in: path, required: true, schema: {type: string}}], responses: {\"200\": {description: fine}}}}\n\
\x20 /b/{y}: {get: {parameters: [{name: y, in: path, required: true, schema: {type: string}}], responses: {\"200\": {description: fine}}}}\n");

    AMBIGUOUS_TEMPLATE "GW0602" "ambiguous-template" Warn
    "two overlapping templates, neither of which is more specific"
    "Some requests match both templates, and each template also matches requests that the other \
one does not match. The order decides (literal before pattern before parameter, from the left), \
which may surprise the author of one of them. The message shows such a request and the operation \
that receives it."
    bad open!("  /a/{x}/c: {get: {parameters: [{name: x, in: path, required: true, schema: {type: string}}], responses: {\"200\": {description: fine}}}}\n\
\x20 /a/b/{y}: {get: {parameters: [{name: y, in: path, required: true, schema: {type: string}}], responses: {\"200\": {description: fine}}}}\n");
    good open!("  /a/{x}: {get: {parameters: [{name: x, in: path, required: true, schema: {type: string}}], responses: {\"200\": {description: fine}}}}\n\
\x20 /a/b: {get: {responses: {\"200\": {description: fine}}}}\n");

    UNREACHABLE "GW0603" "unreachable" Warn
    "an operation that no URL reaches"
    "No request can reach the operation. Either its method is never served (TRACE), or other \
operations match all its requests. A third cause: no normalised path matches its path. The path \
has a segment `.` or `..`, has more than 16 KiB, or has `//` while all listeners of the operation \
merge slashes (`merge_slashes`)."
    bad open!("  /a: {trace: {responses: {\"200\": {description: fine}}}}\n");
    good open!("  /a: {get: {responses: {\"200\": {description: fine}}}}\n");

    QUERY_IN_PATH "GW0604" "query-in-path" Info
    "a path key with a query"
    "OpenAPI's paths have no query; this one is served as the path before `?` with a condition \
on the query. The condition wins over the plain path."
    bad open!("  /a?b=c: {get: {responses: {\"200\": {description: fine}}}}\n");
    good open!("  /a: {get: {responses: {\"200\": {description: fine}}}}\n");

    UNKNOWN_ALIAS "GW0610" "unknown-alias" Error
    "an `alias_of` that names a path or method which does not serve its requests"
    "A path with `x-gateway: {alias_of: PATH}` is documentation only: the named path serves the \
requests. The named path must be in the same document, match every request of the alias before any \
other path, and have the same methods."
    bad open!("  /a: {get: {responses: {\"200\": {description: fine}}}}\n  /a#new: {x-gateway: {alias_of: /b}, get: {responses: {\"200\": {description: fine}}}}\n");
    good open!("  /a: {get: {responses: {\"200\": {description: fine}}}}\n  /a#new: {x-gateway: {alias_of: /a}, get: {responses: {\"200\": {description: fine}}}}\n");

    ALIAS_DIFFERS "GW0611" "alias-differs" Error
    "an alias that requires other credentials than the path that it names, or is internal"
    "A path with `alias_of` is not served by itself; its requests are checked by the other path's \
`security`. So that readers of the document are not misled, both paths must have the same \
`security`."
    bad &[
        ("gateway.yaml", KEYED),
        ("api.yaml", "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\nsecurity: [{key: []}]\npaths:\n  /a: {get: {responses: {\"200\": {description: fine}}}}\n\
\x20 /a#new: {x-gateway: {alias_of: /a}, get: {security: [], x-gateway: {public: true}, responses: {\"200\": {description: fine}}}}\n\
components:\n  securitySchemes:\n    key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}\n"),
    ];
    good open!("  /a: {get: {responses: {\"200\": {description: fine}}}}\n  /a#new: {x-gateway: {alias_of: /a}, get: {responses: {\"200\": {description: fine}}}}\n");

    FRAGMENT_IN_PATH "GW0605" "fragment-in-path" Info
    "a path key with a fragment"
    "A client never sends the part after `#`; this path is served without it."
    bad open!("  /a#b: {get: {responses: {\"200\": {description: fine}}}}\n");
    good open!("  /a: {get: {responses: {\"200\": {description: fine}}}}\n");

    NEVER_WINS "GW0606" "never-wins" Error
    "an operation whose requests all go to an operation with a greater priority"
    "All requests of this operation also match another operation with a greater priority, so this operation never receives one."
    bad &[
        ("gateway.yaml", OPEN),
        ("api.yaml", "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths:\n  /a/b: {get: {responses: {\"200\": {description: fine}}}}\n  /a/{x}: {x-gateway: {priority: 1}, get: {parameters: [{name: x, in: path, required: true, schema: {type: string}}], responses: {\"200\": {description: fine}}}}\n"),
    ];
    good open!("  /a/b: {get: {responses: {\"200\": {description: fine}}}}\n  /a/{x}: {get: {parameters: [{name: x, in: path, required: true, schema: {type: string}}], responses: {\"200\": {description: fine}}}}\n");

    CAPTURED_BY_TEMPLATE "GW0607" "captured-by-template" Warn
    "requests that go to one template but are valid only for another one"
    "Some requests match both templates. By the order of routes they go to the template whose parameters refuse \
them, although they are valid for the other. Schemas do not affect routing: `enum`, `const`, `type`, `pattern`, \
lengths and the format `uuid` are only checked later. Give one of them another path, or set `priority` at the one \
that should win."
    bad open!("  /a/{x}/c: {get: {parameters: [{name: x, in: path, required: true, schema: {type: string}}], responses: {\"200\": {description: fine}}}}\n\
\x20 /a/b/{y}: {get: {parameters: [{name: y, in: path, required: true, schema: {type: integer}}], responses: {\"200\": {description: fine}}}}\n");
    good open!("  /a/{x}/c: {get: {parameters: [{name: x, in: path, required: true, schema: {type: integer}}], responses: {\"200\": {description: fine}}}}\n\
\x20 /a/b/{y}: {get: {parameters: [{name: y, in: path, required: true, schema: {type: integer}}], responses: {\"200\": {description: fine}}}}\n");

    METHOD_FALLS_THROUGH "GW0608" "method-falls-through" Info
    "a method that goes to a wider template"
    "The method is a condition of a route: if `/a/b` has no `post` and `/a/{x}` has one, a POST to \
`/a/b` goes to `/a/{x}`. Other gateways answer 405 there. One finding for each API shows the first \
such request."
    bad open!("  /a/b: {get: {responses: {\"200\": {description: fine}}}}\n  /a/{x}: {post: {parameters: [{name: x, in: path, required: true, schema: {type: string}}], responses: {\"200\": {description: fine}}}}\n");
    good open!("  /a/b: {post: {responses: {\"200\": {description: fine}}}}\n  /a/{x}: {post: {parameters: [{name: x, in: path, required: true, schema: {type: string}}], responses: {\"200\": {description: fine}}}}\n");

    HOST_HIDES_MOUNT "GW0609" "host-hides-mount" Info
    "a mount without hosts, beside mounts with hosts"
    "The host decides first. If a mount names a host, only the mounts of that host serve requests to it. An API \
mounted for any host does not receive them. That is often intended; this finding lists the hosts."
    bad &[
        ("gateway.yaml", "version: 1\nname: s\napis:\n  a: {path: api.yaml, mount: {hosts: [a.example]}}\n  b: {path: b.yaml}\nupstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\ndefaults: {upstream: u, security: upstream}\n"),
        ("api.yaml", "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths: {/a: {get: {responses: {\"200\": {description: fine}}}}}\n"),
        ("b.yaml", "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths: {/b: {get: {responses: {\"200\": {description: fine}}}}}\n"),
    ];
    good &[
        ("gateway.yaml", "version: 1\nname: s\napis:\n  a: {path: api.yaml, mount: {hosts: [a.example]}}\n  b: {path: b.yaml, mount: {hosts: [b.example]}}\nupstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\ndefaults: {upstream: u, security: upstream}\n"),
        ("api.yaml", "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths: {/a: {get: {responses: {\"200\": {description: fine}}}}}\n"),
        ("b.yaml", "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths: {/b: {get: {responses: {\"200\": {description: fine}}}}}\n"),
    ];

    WIDE_SEARCH "GW0612" "wide-search" Warn
    "templates that make the router search many branches"
    "The router matches the segments of a path from the left. If a segment fits a literal, several \
patterns and a parameter, the router may have to search below each of them. Templates that differ \
only in the position of their parameters therefore multiply: 64 templates of six segments can be \
127 branches. The cost of up to 64 branches is negligible. The search stops at the first matching \
template that serves the method; the number in the message is the worst case, when none does. The \
path in the message follows the prefix of the mount."
    bad open!("  /a{x}/b/c/d/e/f/g/h/i: &p {parameters: [{name: x, in: path, required: true, schema: {type: string}}], get: {responses: {\"200\": {description: fine}}}}\n\
\x20 /aa{x}/b/c/d/e/f/g/h/i: *p\n  /aaa{x}/b/c/d/e/f/g/h/i: *p\n  /aaaa{x}/b/c/d/e/f/g/h/i: *p\n  /aaaaa{x}/b/c/d/e/f/g/h/i: *p\n\
\x20 /aaaaaa{x}/b/c/d/e/f/g/h/i: *p\n  /aaaaaaa{x}/b/c/d/e/f/g/h/i: *p\n  /aaaaaaaa{x}/b/c/d/e/f/g/h/i: *p\n");
    good open!("  /a{x}/b/c/d/e/f/g/h/i: &p {parameters: [{name: x, in: path, required: true, schema: {type: string}}], get: {responses: {\"200\": {description: fine}}}}\n\
\x20 /b{x}/b/c/d/e/f/g/h/i: *p\n  /c{x}/b/c/d/e/f/g/h/i: *p\n  /d{x}/b/c/d/e/f/g/h/i: *p\n  /e{x}/b/c/d/e/f/g/h/i: *p\n\
\x20 /f{x}/b/c/d/e/f/g/h/i: *p\n  /g{x}/b/c/d/e/f/g/h/i: *p\n  /h{x}/b/c/d/e/f/g/h/i: *p\n");

    NOT_VALIDATED "GW0613" "not-validated" Warn
    "a part of a validated operation that gwd does not check"
    "`validate` checks JSON, text, forms, multipart bodies and parameters ([validation](validation.md)). Of sequences \
such as `application/x-ndjson`, it checks each item by `itemSchema` (OpenAPI 3.2). Bodies of other media types, and sequences without `itemSchema`, are forwarded unchecked (info). Parts of a schema that gwd does not enforce, such as \
`$dynamicRef`, accept every value (warning). A description that does not compile as JSON Schema is an error: gwd \
would refuse each request."
    bad &[
        ("gateway.yaml", VALIDATED),
        ("api.yaml", "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths: {/a: {post: {requestBody: {content: {application/xml: {schema: {type: object}}, application/x-ndjson: {schema: {type: array}}}}, responses: {\"200\": {description: fine}}}}}\n"),
    ];
    good &[
        ("gateway.yaml", VALIDATED),
        ("api.yaml", "openapi: 3.2.0\ninfo: {title: t, version: \"1\"}\npaths: {/a: {post: {requestBody: {content: {application/json: {schema: {type: object}}, application/x-ndjson: {itemSchema: {type: object}}}}, responses: {\"200\": {description: fine}}}}}\n"),
    ];

    UNFILLED_PATH "GW0820" "unfilled-path" Error
    "a policy whose path names an absent parameter"
    "`{NAME}` in the `path` of a rewrite or a redirect is a parameter of the operation's path. A policy that several operations \
share can only name what the paths of all of them have."
    bad &[
        ("gateway.yaml", "version: 1\nname: s\napis: {a: {path: api.yaml}}\nupstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\npolicies: {users: {kind: rewrite, path: \"/u/{id}\"}}\ndefaults: {upstream: u, security: upstream, policies: [users]}\n"),
        ("api.yaml", "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths: {/a: {get: {responses: {\"200\": {description: fine}}}}}\n"),
    ];
    good &[
        ("gateway.yaml", "version: 1\nname: s\napis: {a: {path: api.yaml}}\nupstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\npolicies: {users: {kind: rewrite, path: \"/u{path}\"}}\ndefaults: {upstream: u, security: upstream, policies: [users]}\n"),
        ("api.yaml", "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths: {/a: {get: {responses: {\"200\": {description: fine}}}}}\n"),
    ];

    CHANGED_MEDIA_TYPE "GW0821" "changed-media-type" Error
    "a media type that changes after the check of the body"
    "`validate: {request: block}` and `kind: threat` check a body by its `Content-Type` and `Content-Encoding`. If a \
`headers` policy changes one of these fields, the upstream reads the body as another type. A client can then choose \
a type with fewer checks. Set `Content-Type` only to the one media type that the operation describes, together with \
`validate: {request: block}`, or leave both fields as they are."
    bad &[("gateway.yaml", "version: 1\nname: s\napis: {a: {path: api.yaml}}\nupstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\npolicies: {typed: {kind: headers, request: {set: {Content-Type: application/json}}}}\ndefaults: {upstream: u, security: upstream, policies: [typed], validate: {request: block}}\n"),
        ("api.yaml", "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths: {/a: {post: {requestBody: {content: {application/json: {schema: {type: object}}, text/plain: {schema: {type: string}}}}, responses: {\"200\": {description: fine}}}}}\n")];
    good &[("gateway.yaml", "version: 1\nname: s\napis: {a: {path: api.yaml}}\nupstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\npolicies: {typed: {kind: headers, request: {set: {Content-Type: application/json}}}}\ndefaults: {upstream: u, security: upstream, policies: [typed], validate: {request: block}}\n"),
        ("api.yaml", "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths: {/a: {post: {requestBody: {content: {application/json: {schema: {type: object}}}}, responses: {\"200\": {description: fine}}}}}\n")];

    CASE_SENSITIVE_EXCLUSION "GW0822" "case-sensitive-exclusion" Warn
    "an expression that excludes a path in one letter case"
    "`!request.path.startsWith(\"/admin\")` admits `/Admin`, which Express, ASP.NET Core and IIS serve as `/admin`. Compare \
`request.path.lowerAscii()`, or a pattern that begins with `(?i)`, or describe the excluded paths as operations of their own."
    bad &[("gateway.yaml", "version: 1\nname: s\napis: {a: {path: api.yaml}}\nupstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\npolicies: {files: {kind: authorize, expression: '!request.path.startsWith(\"/files/secret\")'}}\ndefaults: {upstream: u, security: upstream, policies: [files]}\n"),
        ("api.yaml", "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths: {/a: {get: {responses: {\"200\": {description: fine}}}}}\n")];
    good &[("gateway.yaml", "version: 1\nname: s\napis: {a: {path: api.yaml}}\nupstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\npolicies: {files: {kind: authorize, expression: '!request.path.lowerAscii().startsWith(\"/files/secret\")'}}\ndefaults: {upstream: u, security: upstream, policies: [files]}\n"),
        ("api.yaml", "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths: {/a: {get: {responses: {\"200\": {description: fine}}}}}\n")];

    ACKNOWLEDGED_TWICE "GW0770" "acknowledged-twice" Warn
    "a change that is acknowledged twice in one file"
    "The first of the two that has not expired applies. If the reasons or the last days differ, it \
is unknown which one is intended; remove one."
    bad &[("gateway.yaml", "version: 1\nname: s\nacknowledge: reviewed.yaml\n"),
        ("reviewed.yaml", "- {fingerprint: \"1f0c5b7e9a210c44d0f6a1b2c3d4e5f6\", kind: security-requirement-removed, operation: shop/getStatus, reason: the status page is for everybody, by: ann}\n- {fingerprint: \"1f0c5b7e9a210c44d0f6a1b2c3d4e5f6\", kind: security-requirement-removed, operation: shop/getStatus, reason: the same once more, by: bob}\n")];
    good &[("gateway.yaml", "version: 1\nname: s\nacknowledge: reviewed.yaml\n"),
        ("reviewed.yaml", "- {fingerprint: \"1f0c5b7e9a210c44d0f6a1b2c3d4e5f6\", kind: security-requirement-removed, operation: shop/getStatus, reason: the status page is for everybody, by: ann, until: 2030-01-31}\n")];
}
