//! Mounts that serve some of the same requests, for comparing a change of a mount without all other
//! mounts of its API.

use bundle::ir;

/// True if some requests match both mounts, or if that is unknown. The comparison of a change of
/// one of thousands of mounts needs only these mounts.
fn overlap(one: &ir::Mount, other: &ir::Mount) -> bool {
    let is_below = |host: &str, pattern: &str| {
        let suffix = pattern.strip_prefix('*');
        suffix.is_some_and(|suffix| host.ends_with(suffix))
    };
    let are_alike = |a: &str, b: &str| a == b || is_below(a, b) || is_below(b, a);
    let has = |host: &String| other.hosts.iter().any(|known| are_alike(host, known));
    let is_any = |mount: &ir::Mount| mount.hosts.is_empty();
    let mut listeners = one.listeners.iter();
    listeners.any(|listener| other.listeners.contains(listener))
        && (is_any(one) || is_any(other) || one.hosts.iter().any(has))
        && one
            .base_path
            .split('/')
            .zip(other.base_path.split('/'))
            .all(|(a, b)| a.eq_ignore_ascii_case(b))
}

/// Selects the mounts that serve some of the same requests as either version of a mount.
pub(super) fn near(was: &ir::Mount, is: &ir::Mount) -> impl Fn(&ir::Mount) -> bool {
    move |mount| mount.name == was.name || overlap(mount, was) || overlap(mount, is)
}

/// Selects all mounts, for a changed part of any other kind.
pub(super) fn every<T>(_was: &T, _is: &T) -> impl Fn(&ir::Mount) -> bool + use<T> {
    |_| true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(hosts: &[&str], base_path: &str, listener: &str) -> ir::Mount {
        ir::Mount {
            name: "m".to_owned(),
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            base_path: base_path.to_owned(),
            strip_base_path: false,
            listeners: vec![listener.to_owned()],
        }
    }

    #[test]
    fn mounts_without_common_requests_are_left_out() {
        let own = mount(&["a.x.example"], "/v1", "main");
        for (other, expected) in [
            (mount(&["b.x.example", "a.x.example"], "/V1", "main"), true),
            (mount(&["*.x.example"], "", "main"), true),
            (mount(&[], "/v1/users", "main"), true),
            (mount(&["b.x.example"], "/v1", "main"), false),
            (mount(&["a.x.example"], "/v10", "main"), false),
            (mount(&[], "/v1", "admin"), false),
        ] {
            assert_eq!(overlap(&own, &other), expected, "{other:?}");
            assert_eq!(overlap(&other, &own), expected, "{other:?}");
        }
    }
}
