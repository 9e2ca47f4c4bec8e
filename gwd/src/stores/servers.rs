//! URL of a store that names several servers: the nodes of a cluster, or sentinels.

/// Port of a sentinel whose URL names none.
const SENTINEL_PORT: &str = ":26379";

/// Parsed URL of a store that names one or more servers.
pub(super) struct Url {
    scheme: String,
    /// User and password, as `USER:PASSWORD`. `None`: the URL has none.
    user: Option<String>,
    /// Hosts, each with its port if it has one.
    pub(super) hosts: Vec<String>,
    /// Database and options: the text after the hosts.
    more: String,
}

impl Url {
    /// Parses `SCHEME://USER:PASSWORD@HOST,HOST/DB?QUERY`. `None`: the text is no such URL.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, more) = rest.split_at(end);
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (Some(user), hosts),
            None => (None, authority),
        };
        let hosts: Vec<String> = hosts.split(',').map(str::to_owned).collect();
        if hosts.iter().any(String::is_empty) {
            return None;
        }
        Some(Self {
            scheme: scheme.to_owned(),
            user: user.map(str::to_owned),
            hosts,
            more: more.to_owned(),
        })
    }

    /// URL of one server, with the user and password of this URL.
    pub(super) fn at(&self, host: &str) -> String {
        let Self { scheme, more, .. } = self;
        match &self.user {
            Some(user) => format!("{scheme}://{user}@{host}{more}"),
            None => format!("{scheme}://{host}{more}"),
        }
    }

    /// URLs to query for the sentinels, two for each sentinel: first without user and password,
    /// because many sentinels have none, then with them.
    pub(super) fn sentinels(&self) -> Vec<String> {
        let each = self.hosts.iter().flat_map(|host| {
            let has_port = host.rsplit_once(':').is_some_and(|(_, port)| {
                !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
            });
            let port = if has_port { "" } else { SENTINEL_PORT };
            let scheme = &self.scheme;
            let user = self.user.as_ref();
            let with = user.map(|user| format!("{scheme}://{user}@{host}{port}"));
            std::iter::once(format!("{scheme}://{host}{port}")).chain(with)
        });
        each.collect()
    }
}

/// Host and port as a part of a URL.
pub(super) fn address(host: &str, port: u16) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_with_several_hosts_names_each() {
        let url = Url::parse("rediss://u:p%40@a:1,[::1]:2,c/3?x=y").expect("a URL");
        assert_eq!(url.hosts, ["a:1", "[::1]:2", "c"]);
        assert_eq!(url.at("[::1]:2"), "rediss://u:p%40@[::1]:2/3?x=y");
        let sentinels = url.sentinels();
        assert_eq!(
            sentinels[..2],
            ["rediss://a:1", "rediss://u:p%40@a:1"].map(str::to_owned)
        );
        assert_eq!(sentinels[5], "rediss://u:p%40@c:26379");
        let plain = Url::parse("redis://h").expect("a URL");
        assert_eq!(
            (plain.at("x:1"), plain.sentinels().len()),
            ("redis://x:1".into(), 1)
        );
        for bad in ["h:1", "redis://", "redis://a,,b"] {
            assert!(Url::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn address_of_an_ipv6_host_has_brackets() {
        assert_eq!(address("::1", 7), "[::1]:7");
        assert_eq!(address("h", 7), "h:7");
    }
}
