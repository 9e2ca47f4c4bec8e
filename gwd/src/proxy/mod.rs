//! Proxy: serves clients' connections. Start reading at [`exchange`].

pub(crate) mod arrival;
pub(crate) mod backlog;
mod client_frames;
mod client_streams;
pub(crate) mod connection;
pub(crate) mod download;
pub(crate) mod exchange;
mod flood;
mod forward;
mod frames;
mod goaway;
pub(crate) mod grpc;
mod guarded;
mod html;
pub(crate) mod http1;
mod http2;
pub(crate) mod problem;
mod proxy_header;
pub(crate) mod record;
pub(crate) mod refused;
pub(crate) mod respond;
mod response_state;
pub(crate) mod stream;
pub(crate) mod tunnel;
mod validated;
