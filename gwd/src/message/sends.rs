//! Part of a request that arrives after its head was sent to an upstream.

/// Part of a request's body that a client determines after the request's head was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sends {
    /// Nothing: the body is complete, or there is none.
    Nothing,
    /// A body that is sent in frames of a minimum size.
    Upload,
    /// A body whose pieces are sent at once, of any size: gRPC, operations with `stream: true`,
    /// WebSocket tunnels.
    Pieces,
}
