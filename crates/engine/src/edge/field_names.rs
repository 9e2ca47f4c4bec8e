//! Names of request fields that the gateway sets, or that trusted proxies set.

use http::header::HeaderName;

/// Field `X-Request-Id`.
pub static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Field `X-Gateway-Attempt`: number of the attempt at an upstream. Only the gateway sets this
/// field.
pub static X_GATEWAY_ATTEMPT: HeaderName = HeaderName::from_static("x-gateway-attempt");
/// Field `Client-Cert` (RFC 9440).
pub static CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
/// Field `Client-Cert-Chain` (RFC 9440).
pub static CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");
/// Field `X-Forwarded-Client-Cert`.
pub static X_FORWARDED_CLIENT_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
/// Field `X-Forwarded-For`.
pub static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
