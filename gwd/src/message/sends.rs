//! Size of the pieces in which a request body is sent to an upstream.

/// Size of the pieces in which a request body is sent to an upstream after the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sends {
    /// No body follows the head, or the complete body is known when the head is sent.
    Nothing,
    /// A body that is sent in frames of a minimum size.
    Upload,
    /// A body whose pieces are sent at once, of any size: gRPC, operations with `stream: true`,
    /// WebSocket tunnels.
    Pieces,
}
