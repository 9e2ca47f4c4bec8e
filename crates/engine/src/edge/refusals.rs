//! Refusals of requests by the edge.

use policy::Reject;

macro_rules! rejects {
    ($($name:ident $status:literal $code:literal $title:literal;)*) => {
        $(pub(crate) static $name: Reject = Reject::new($status, $code, $title);)*
        /// All refusals that the edge makes.
        pub static REJECTS: &[&Reject] = &[$(&$name),*];
    };
}

rejects! {
    HOST_INVALID        400 "host_invalid"        "Exactly one valid Host is needed";
    FRAMING_INVALID     400 "framing_invalid"     "The message is framed ambiguously";
    FIELD_INVALID       400 "field_invalid"       "A header field is not valid";
    PATH_INVALID        400 "path_invalid"        "The path is not valid";
    TARGET_INVALID      400 "target_invalid"      "The request target is not valid";
    TARGET_TOO_LONG     414 "target_too_long"     "The request target is too long";
    TOO_MANY_HEADERS    431 "headers_too_large"   "The request has too many header fields";
    CONNECT_REFUSED     405 "connect_refused"     "CONNECT is not served";
    TRACE_REFUSED       405 "trace_refused"       "TRACE is not served";
    EXPECTATION_FAILED  417 "expectation_failed"  "Only the expectation 100-continue is supported";
    LOOP_DETECTED       508 "loop_detected"       "The request passed this gateway too often";
}
