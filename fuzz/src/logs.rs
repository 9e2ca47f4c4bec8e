//! Fuzz target for access logs.

use plan::replay::{har, log_line};

/// Fuzz target for lines of access logs and for HAR files. The method and the target of a text line
/// must occur in the line. Neither may contain spaces or quotes.
pub fn log_line(data: &[u8]) {
    let _requests = har::read(data);
    let Some(request) = log_line::read(data) else {
        return;
    };
    if data[0] != b'{' {
        for part in [&request.method, &request.target] {
            assert!(!part.contains([' ', '"']), "{part}");
            let found = part.is_empty() || data.windows(part.len()).any(|w| w == part.as_bytes());
            assert!(found, "{part}");
        }
    }
}
