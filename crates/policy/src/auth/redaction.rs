//! Removal of credentials from queries, for logs and reports.

use super::place::decode;
use super::spelling::{is_read_as, resembles};

/// Query parameters that contain a credential in some APIs and are therefore never shown.
const SECRET_PARAMETERS: [&str; 13] = [
    "access_token",
    "api_key",
    "apikey",
    "auth",
    "client_assertion",
    "client_secret",
    "code",
    "id_token",
    "key",
    "password",
    "secret",
    "sig",
    "token",
];

/// Query with `placeholder` in place of the values of credentials. Credentials are the parameters
/// in `names` and in [`SECRET_PARAMETERS`], and parameters whose names some servers treat as equal
/// to them. `None` if the query has no credential.
#[must_use]
pub fn redacted(query: &str, names: &[Box<str>], placeholder: &str) -> Option<String> {
    let is_secret = |name: &str| {
        let name = &*decode(name);
        let mut known = SECRET_PARAMETERS.iter();
        // Hide the value as well if the decoded name still has an escape or is not text: a server
        // could decode the name to that of a credential.
        name.contains(&b'%')
            || std::str::from_utf8(name).is_err()
            || known.any(|known| resembles(name, known.as_bytes()))
            || names.iter().any(|known| is_read_as(name, known.as_bytes()))
    };
    let mut pairs = query.split('&');
    if pairs.all(|pair| secret_value(pair, is_secret).is_none()) {
        return None;
    }
    let mut shown = String::with_capacity(query.len());
    for (number, pair) in query.split('&').enumerate() {
        if number > 0 {
            shown.push('&');
        }
        match secret_value(pair, is_secret) {
            Some(at) => {
                shown.push_str(&pair[..at]);
                shown.push('=');
                shown.push_str(placeholder);
            }
            None => shown.push_str(pair),
        }
    }
    Some(shown)
}

/// Offset of the `=` after the first secret name in `pair`. Everything after it counts as the
/// value, because some servers also separate parameters by `;`.
fn secret_value(pair: &str, is_secret: impl Fn(&str) -> bool) -> Option<usize> {
    let mut start = 0;
    for part in pair.split(';') {
        if let Some((name, _)) = part.split_once('=')
            && is_secret(name)
        {
            return Some(start + name.len());
        }
        start += part.len() + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::redacted;

    #[test]
    fn secrets_in_queries_are_not_shown() {
        let shown = |query: &str| redacted(query, &["sid".into()], "REDACTED");
        assert_eq!(shown("a=1&filter%5Bname%5D=2&b"), None);
        for (query, expected) in [
            ("a=1&API_KEY=x&sid=y", "a=1&API_KEY=REDACTED&sid=REDACTED"),
            ("%61pi_key=x", "%61pi_key=REDACTED"),
            ("%u0061pi_key=x", "%u0061pi_key=REDACTED"),
            ("%2561=x&%C1%A1=y", "%2561=REDACTED&%C1%A1=REDACTED"),
            ("a=1;sid=x&b=2", "a=1;sid=REDACTED&b=2"),
            ("sid=x;y&b=2;c", "sid=REDACTED&b=2;c"),
            ("api.key=x&Sid[]=y", "api.key=REDACTED&Sid[]=REDACTED"),
            ("access-token=x&s.id=y", "access-token=REDACTED&s.id=y"),
            ("[sid]=x&]token]=y", "[sid]=REDACTED&]token]=REDACTED"),
            ("client.secret[0]=x", "client.secret[0]=REDACTED"),
        ] {
            assert_eq!(shown(query).as_deref(), Some(expected), "{query}");
        }
    }
}
