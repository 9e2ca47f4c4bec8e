//! Proxy: serves clients' connections. Start reading at [`exchange`].

pub(crate) mod arrival;
pub(crate) mod backlog;
pub(crate) mod body;
mod client_frames;
mod client_streams;
pub(crate) mod connection;
pub(crate) mod exchange;
pub(crate) mod failure;
mod flood;
mod frames;
pub(crate) mod gather;
mod goaway;
pub(crate) mod grpc;
mod guarded;
mod html;
pub(crate) mod http1;
mod http2;
pub(crate) mod incoming;
pub(crate) mod io;
mod proxy_header;
pub(crate) mod record;
pub(crate) mod refused;
pub(crate) mod respond;
pub(crate) mod stream;
pub(crate) mod tee;
pub(crate) mod tunnel;
pub(crate) mod websocket;
