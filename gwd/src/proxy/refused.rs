//! Access log line for a refused request head: malformed, ambiguous, too large, or incomplete at
//! the timeout. Also for an HTTP/2 connection that ends because of an error of the client.

use policy::Reject;

use crate::message::failure::Blame;
use crate::proxy::connection::Conn;
use crate::proxy::record::{display, number, text};
use crate::runtime::clock::write_timestamp;

/// Maximum number of bytes of a refused head that are logged.
const SHOWN_BYTES_MAX: usize = 64;

/// Refused head of an HTTP/2 request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RefusedHead {
    /// Malformed head: h2 resets the stream with PROTOCOL_ERROR (RFC 9113 §8.1.1).
    Malformed,
    /// Head beyond the maximum size: the client gets 431.
    TooLarge,
}

impl RefusedHead {
    /// Counts the refused head and writes its access log line. A malformed head has no status,
    /// because it gets no response.
    #[cold]
    pub(super) fn record(self, conn: &Conn) {
        let (status, reason) = match self {
            Self::Malformed => (None, "head_invalid"),
            Self::TooLarge => (Some(431), "headers_too_large"),
        };
        conn.worker.shard.rejected_early(reason);
        write(conn, "HTTP/2", status, reason, None);
    }
}

/// Writes the access log line of an HTTP/2 connection that ended because of an error of the client.
#[cold]
pub(super) fn log_refused_connection(conn: &Conn, reason: &str) {
    write(conn, "HTTP/2", None, reason, None);
}

/// Writes the access log line of a refused HTTP/1 head. `head` contains the received bytes.
#[cold]
pub(crate) fn log_refused_head(conn: &Conn, reject: &Reject, head: &[u8]) {
    let mut shown = beginning(head);
    let view = conn.worker.current_view();
    // The path may contain values that must not be logged. The operation is unknown, so that these
    // values cannot be found: log no path.
    let mut versions = view.iter().flat_map(|view| view.current().versions());
    if versions.any(|loaded| loaded.snapshot.hides_values())
        && let Some(method) = shown.find(' ')
    {
        shown.truncate(method);
    }
    let shown = Some(shown);
    write(conn, "HTTP/1.1", Some(reject.status), reject.code, shown);
}

fn write(conn: &Conn, protocol: &str, status: Option<u16>, reason: &str, head: Option<String>) {
    let worker = &conn.worker;
    if !worker.log.is_enabled() {
        return;
    }
    let mut bytes = worker.log.line();
    let out = &mut bytes;
    out.extend_from_slice(b"{\"timestamp\":\"");
    write_timestamp(worker.unix_ms(worker.clock.now_ns()), out);
    out.push(b'"');
    text(out, "level", b"info");
    text(out, "node_id", worker.shared.node.as_bytes());
    display(out, "peer_ip", &conn.peer);
    text(out, "protocol", protocol.as_bytes());
    if let Some(status) = status {
        number(out, "status", u64::from(status));
    }
    text(out, "error_origin", Blame::Client.as_str().as_bytes());
    text(out, "reason", reason.as_bytes());
    if let Some(head) = head {
        text(out, "head_start", head.as_bytes());
    }
    out.extend_from_slice(b"}\n");
    if worker.log.take(&worker.shared.process, bytes) {
        worker.flush_log_soon();
    }
}

/// Start of the head's first line, escaped. Parts that may contain credentials are omitted: a
/// query, user information, text that may be part of a body, and field values. The first line can
/// be a field or part of a body if the client sends the rest of an earlier request.
fn beginning(head: &[u8]) -> String {
    let ends = |byte: &u8| matches!(byte, b'\r' | b'\n' | b'?' | b'=' | b'&');
    let line = head.split(ends).next().unwrap_or_default();
    // Text without a method and a target may be part of a body: do not log it.
    let is_body = !line.contains(&b' ')
        && !line.contains(&b':')
        && line.iter().all(u8::is_ascii_graphic)
        && !line.iter().all(u8::is_ascii_uppercase);
    if is_body {
        return format!("({} bytes)", line.len());
    }
    let word = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    let line = match word.iter().position(|byte| *byte == b':') {
        Some(colon) => &line[..=colon],
        None => line,
    };
    let line = match line.iter().position(|byte| *byte == b'@') {
        Some(at) => {
            let before = line[..at].iter().rposition(|byte| *byte == b'/');
            &line[..before.map_or(0, |slash| slash + 1)]
        }
        None => line,
    };
    let shown = &line[..line.len().min(SHOWN_BYTES_MAX)];
    shown.escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::beginning;

    #[test]
    fn beginning_is_escaped_short_and_without_secrets() {
        for (head, shown) in [
            (&b"GET /a HTTP/9\r\nauthorization: x"[..], "GET /a HTTP/9"),
            (b"GET /a?token=x HTTP/1.1\r\n", "GET /a"),
            (b"GET http://me:pw@h/ HTTP/1.1", "GET http://"),
            (b"Authorization: Bearer x", "Authorization:"),
            (b"cookie:a=b c\r\n", "cookie:"),
            (b"\x16\x03\x01\x02\x00", "\\x16\\x03\\x01\\x02\\x00"),
            ("\u{202e}".as_bytes(), "\\xe2\\x80\\xae"),
            (b"password=hunter2&user=bob\r\n", "(8 bytes)"),
            (b"acme-key\r\n", "(8 bytes)"),
            (b"PRI", "PRI"),
            (b"", ""),
        ] {
            assert_eq!(beginning(head), shown);
        }
        let long = [b"GET /", &[b'a'; 1_000][..]].concat();
        assert_eq!(beginning(&long).len(), 64);
    }
}
