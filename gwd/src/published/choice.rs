//! Choice of the version that serves a request, while a node serves the base and the candidate of a
//! progressive release. A client whose request the candidate serves stays with the candidate when
//! the share grows. The reason is that its position depends only on the candidate and on a property
//! of its requests (bundle-format.md §7).
//!
//! The choice allocates nothing, except for the address of a client behind a trusted proxy that
//! writes `Forwarded`.

use std::net::IpAddr;

use bundle::digest::Digest;
use bundle::rollout::Positions;
use bundle::statement::predicate::{Rollout, Sticky};
use http::header::{COOKIE, HeaderMap, HeaderName};

use crate::telemetry::shard::Served;

/// Value of the testers' field that selects the candidate.
const CANDIDATE: &[u8] = b"candidate";
/// Value of the testers' field that selects the base.
const BASE: &[u8] = b"base";

/// Rules that choose the version of a request.
#[derive(Clone, Debug)]
pub(crate) struct RequestChoice {
    positions: Positions,
    /// Share of the requests that the candidate serves or decides, in parts per million.
    share_ppm: u32,
    key: ChoiceKey,
    /// Field by which a request selects its version. `None`: no request does.
    testers: Option<HeaderName>,
}

/// Property of a request that determines its position, and so its version.
#[derive(Clone, Debug)]
enum ChoiceKey {
    Address,
    Header(HeaderName),
    Cookie(Box<str>),
}

impl RequestChoice {
    /// Creates the rules of the current step of a release of this candidate. In a shadow step, the
    /// candidate decides the requests that it would otherwise serve.
    pub(crate) fn new(rollout: &Rollout, candidate: &Digest) -> Self {
        let field = |name: &String| HeaderName::try_from(name.as_str()).ok();
        // The names were checked when the record was accepted.
        let key = match &rollout.sticky {
            Some(Sticky::Header(name)) => field(name).map(ChoiceKey::Header),
            Some(Sticky::Cookie(name)) => Some(ChoiceKey::Cookie(name.as_str().into())),
            None => None,
        };
        let testers = rollout.testers.as_ref();
        Self {
            positions: Positions::of(candidate),
            share_ppm: rollout.traffic_ppm().max(rollout.shadow_ppm()),
            key: key.unwrap_or(ChoiceKey::Address),
            testers: testers.and_then(|testers| field(&testers.header)),
        }
    }

    /// Version for a request with these fields. `client`: finds the address of the client.
    pub(crate) fn version(&self, headers: &HeaderMap, client: impl FnOnce() -> IpAddr) -> Served {
        if let Some(selected) = self.selected(headers) {
            return selected;
        }
        let value = match &self.key {
            ChoiceKey::Address => None,
            ChoiceKey::Header(name) => only_field(headers, name),
            ChoiceKey::Cookie(name) => only_cookie(headers, name),
        };
        let position_ppm = match value {
            Some(value) => self.positions.position_ppm(value),
            None => {
                let (bytes, length) = address_key(client());
                self.positions.position_ppm(&bytes[..length])
            }
        };
        match position_ppm < self.share_ppm {
            true => Served::Candidate,
            false => Served::Base,
        }
    }

    /// Version that the request selects itself. `None`: it selects none.
    fn selected(&self, headers: &HeaderMap) -> Option<Served> {
        let value = only_field(headers, self.testers.as_ref()?)?;
        if value.eq_ignore_ascii_case(CANDIDATE) {
            return Some(Served::SelectedCandidate);
        }
        let is_base = value.eq_ignore_ascii_case(BASE);
        is_base.then_some(Served::SelectedBase)
    }
}

/// Value of a field. `None` if the field is absent, empty, or occurs several times.
fn only_field<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h [u8]> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    let value = value.as_bytes().trim_ascii();
    (!value.is_empty()).then_some(value)
}

/// Value of a cookie (RFC 6265 §4.2.1). `None` if the cookie is absent, empty, or occurs several
/// times.
fn only_cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h [u8]> {
    let lines = headers.get_all(COOKIE).iter();
    let pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    let mut values = pairs.filter_map(|pair| {
        let rest = pair.trim_ascii().strip_prefix(name.as_bytes())?;
        rest.strip_prefix(b"=")
    });
    let value = values.next()?;
    (values.next().is_none() && !value.is_empty()).then_some(value)
}

/// Key of an address: the 4 bytes of an IPv4 address, or the first 8 bytes (the /64 prefix) of an
/// IPv6 address. The number is the length of the key in bytes.
fn address_key(address: IpAddr) -> ([u8; 8], usize) {
    let mut key = [0; 8];
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            key[..4].copy_from_slice(&v4.octets());
            (key, 4)
        }
        IpAddr::V6(v6) => {
            key.copy_from_slice(&v6.octets()[..8]);
            (key, 8)
        }
    }
}

#[cfg(test)]
mod tests {
    use bundle::statement::predicate::{Pointer, Step, Testers};
    use http::HeaderValue;

    use super::*;

    fn choice(share_ppm: u32, sticky: Option<Sticky>, testers: Option<&str>) -> RequestChoice {
        let base = Pointer {
            digest: Digest::of(b"base"),
            serial: 1,
        };
        let step = Step {
            nodes_ppm: 1_000_000,
            traffic_ppm: share_ppm,
            shadow_ppm: 0,
        };
        let mut rollout = Rollout::first(base, &[step], None).unwrap();
        rollout.sticky = sticky;
        rollout.testers = testers.map(|name| Testers {
            header: name.to_owned(),
        });
        RequestChoice::new(&rollout, &Digest::of(b"candidate"))
    }

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn of_address(choice: &RequestChoice, address: &str) -> Served {
        choice.version(&HeaderMap::new(), || address.parse().unwrap())
    }

    fn unasked() -> IpAddr {
        panic!("the address decides nothing")
    }

    #[test]
    fn share_of_the_clients_gets_the_candidate() {
        let sticky = Sticky::Header("x-user".to_owned());
        let shares = [100_000, 500_000];
        let [few, many] = shares.map(|share| choice(share, Some(sticky.clone()), None));
        let mut counts = [0; 2];
        for user in 0..4_000 {
            let fields = headers(&[("x-user", &format!("user-{user}"))]);
            let [of_few, of_many] = [&few, &many].map(|choice| choice.version(&fields, unasked));
            assert!(of_few == Served::Base || of_many == Served::Candidate);
            assert_eq!(few.version(&fields, unasked), of_few, "always the same");
            counts[0] += u32::from(of_few == Served::Candidate);
            counts[1] += u32::from(of_many == Served::Candidate);
        }
        assert!(counts[0].abs_diff(400) < 100, "{counts:?}");
        assert!(counts[1].abs_diff(2_000) < 150, "{counts:?}");
    }

    #[test]
    fn testers_select_their_version() {
        let none = choice(1, None, Some("x-release"));
        let all = choice(999_999, None, Some("x-release"));
        let with = |choice: &RequestChoice, values: &[&str]| {
            let fields: Vec<_> = values.iter().map(|value| ("x-release", *value)).collect();
            choice.version(&headers(&fields), || [192, 0, 2, 1].into())
        };
        assert_eq!(with(&none, &["candidate"]), Served::SelectedCandidate);
        assert_eq!(with(&none, &["Candidate"]), Served::SelectedCandidate);
        assert_eq!(with(&all, &["base"]), Served::SelectedBase);
        for ignored in [&[][..], &[""], &["other"], &["candidate", "candidate"]] {
            assert_eq!(with(&none, ignored), Served::Base, "{ignored:?}");
        }
        let unset = choice(1, None, None);
        assert_eq!(with(&unset, &["candidate"]), Served::Base);
    }

    #[test]
    fn compared_clients_are_the_first_ones_served() {
        let sticky = Sticky::Header("x-user".to_owned());
        let of = |step: Step| {
            let base = Pointer {
                digest: Digest::of(b"base"),
                serial: 1,
            };
            let mut rollout = Rollout::first(base, &[step], None).unwrap();
            rollout.sticky = Some(sticky.clone());
            rollout.testers = Some(Testers {
                header: "x-release".to_owned(),
            });
            rollout
        };
        let step = |traffic_ppm, shadow_ppm| Step {
            nodes_ppm: 1_000_000,
            traffic_ppm,
            shadow_ppm,
        };
        let candidate = Digest::of(b"candidate");
        let shadow = RequestChoice::new(&of(step(0, 200_000)), &candidate);
        let served = RequestChoice::new(&of(step(200_000, 0)), &candidate);
        let mut count = 0;
        for user in 0..1_000 {
            let fields = headers(&[("x-user", &format!("user-{user}"))]);
            let compared = shadow.version(&fields, unasked);
            assert_eq!(compared, served.version(&fields, unasked), "{user}");
            count += u32::from(compared == Served::Candidate);
        }
        assert!((150..250).contains(&count), "{count}");
        let tester = headers(&[("x-user", "a"), ("x-release", "candidate")]);
        assert_eq!(shadow.version(&tester, unasked), Served::SelectedCandidate);
    }

    #[test]
    fn addresses_of_one_network_share_a_version() {
        let half = choice(500_000, None, None);
        let mut of_v6 = 0;
        for network in 0..200 {
            let in_network =
                |host: &str| of_address(&half, &format!("2001:db8:0:{network:x}::{host}"));
            assert_eq!(in_network("1"), in_network("ffff:1"), "{network}");
            of_v6 += u32::from(in_network("1") == Served::Candidate);
        }
        assert!((60..140).contains(&of_v6), "{of_v6}");
        assert_eq!(
            of_address(&half, "::ffff:192.0.2.7"),
            of_address(&half, "192.0.2.7")
        );
    }

    #[test]
    fn request_without_the_property_goes_by_address() {
        let address: IpAddr = [192, 0, 2, 1].into();
        for sticky in [
            Sticky::Header("x-user".to_owned()),
            Sticky::Cookie("sid".to_owned()),
        ] {
            let half = choice(500_000, Some(sticky), None);
            let expected = choice(500_000, None, None).version(&HeaderMap::new(), || address);
            for fields in [
                &[][..],
                &[("x-user", ""), ("cookie", "sid=")],
                &[("x-user", "a"), ("x-user", "b"), ("cookie", "sid=a; sid=b")],
                &[("x-user", "a"), ("x-user", "a"), ("cookie", "sidx=a")],
            ] {
                assert_eq!(half.version(&headers(fields), || address), expected);
            }
        }
    }

    #[test]
    fn cookie_decides_among_others() {
        let half = choice(500_000, Some(Sticky::Cookie("sid".to_owned())), None);
        let by = |cookie: &str| half.version(&headers(&[("cookie", cookie)]), unasked);
        let mut both = [0; 2];
        for session in 0..100 {
            let alone = by(&format!("sid={session}"));
            assert_eq!(by(&format!("a=1; sid={session} ; b=2")), alone);
            both[usize::from(alone == Served::Candidate)] += 1;
        }
        assert!(both.iter().all(|count| *count > 20), "{both:?}");
    }
}
