//! Tests of the readings of a path.

use super::spellings::READINGS_MAX;
use super::*;

fn read(path: &str) -> Result<Vec<String>, Ambiguity> {
    readings(path)
}

#[test]
fn readings_of_a_rewritten_path_keep_its_shape() {
    // Columns: rewritten path, path before the rewrite, and the result of `can_deviate` with
    // `strict` and with `keep`.
    for (path, original, strict, keep) in [
        ("/users/7%3F/public", "/profile/7%3F", true, true),
        ("/users/7%23/public", "/profile/7%23", true, true),
        ("/users/7%2F8/public", "/profile/7%2F8", true, false),
        ("/users/7%5C8/public", "/profile/7%5C8", true, false),
        ("/users/7;v=1/public", "/profile/7;v=1", true, true),
        ("/users/;v=1/public", "/profile/;v=1", true, true),
        ("/users/%3F7", "/profile/%3F7", true, true),
        ("/users/7%3F", "/profile/7%3F", false, false),
        ("/users/..%2F8/public", "/profile/..%2F8", true, true),
        ("/internal/profile/7%2F8", "/profile/7%2F8", false, false),
        ("/in%3F/profile/7%2F8", "/profile/7%2F8", true, true),
    ] {
        assert_eq!(can_deviate(path, original, true), strict, "{path} strict");
        assert_eq!(can_deviate(path, original, false), keep, "{path} keep");
    }
}

#[test]
fn readings_of_a_path_are_those_of_upstreams() {
    let cases: &[(&str, &[&str])] = &[
        ("/a/b", &[]),
        ("/a%20b", &[]),
        ("/a%2Fb", &["/a/b"]),
        ("/a%5Cb", &["/a/b"]),
        ("/a%2Fb%5Cc", &["/a%2Fb/c", "/a/b%5Cc", "/a/b/c"]),
        ("/a%2F%2Fb", &["/a//b", "/a/b"]),
        ("/a/..%2F%2Fb", &["/", "//b", "/b"]),
        ("/open/..%2Fsecret/1", &["/secret/1"]),
        ("/open/..%5Csecret/1", &["/secret/1"]),
        ("/open/..;/secret/1", &["/", "/secret/1"]),
        ("/open/..;/x/a;b", &["/", "/x/a", "/x/a;b"]),
        (
            "/open/..;x=%2F/secret",
            &[
                "/open/..;x=/secret",
                "/open/..;x=//secret",
                "//secret",
                "/secret",
                "/",
            ],
        ),
        ("//a", &["/", "/a"]),
        ("//a/b", &["/a/b", "/b"]),
        ("///a/b", &["/a/b", "/b"]),
        ("/a//../b", &["/a/b", "/b"]),
        ("/a;x=1/b", &["/a", "/a/b"]),
        ("/a;x=/../b", &["/a", "/b"]),
        ("/a/%252e%252e/b", &["/a/../b", "/b"]),
        ("/a%252Fb", &["/a%2Fb", "/a/b"]),
        ("/a%25", &[]),
        ("/a%253Bb", &["/a", "/a%3Bb", "/a;b"]),
        ("/a%3Bb/c", &["/a", "/a/c", "/a;b/c"]),
        ("/a./b", &["/a/b"]),
        ("/a.", &["/a"]),
        ("/a...", &["/a"]),
        ("/.a/b.c", &[]),
        ("/a%20/b", &["/a/b"]),
        ("/a%20.", &["/a", "/a%20"]),
        ("/%09a%0A", &["/%09a", "/a", "/a%0A"]),
        ("/a%20b", &[]),
        ("/a/..%20/b", &["/b"]),
        ("/a%3Fb/c", &["/a"]),
        ("/a/b%23", &["/a/b"]),
        ("/a%253F/b", &["/a", "/a%3F/b"]),
        ("/%3Fa", &["/"]),
        ("/a%C0%AFb", &["/a%2Fb", "/a/b", "/ab"]),
        (
            "/open/..%E0%80%AFsecret/1",
            &["/open/..%2Fsecret/1", "/open/..secret/1", "/secret/1"],
        ),
        ("/a/%C0%AE%C0%AE/b", &["/b", "/a//b", "/a/b"]),
        ("/a%C1%9Cb", &["/a%5Cb", "/a/b", "/ab"]),
        ("/a%C0%80/b", &["/a", "/a%00/b", "/a/b"]),
        ("/a%F0%80%80%AFb", &["/a%2Fb", "/a/b", "/ab"]),
        ("/a%C3%A9%E0%A4%85", &[]),
        ("/a%C0b", &["/ab"]),
        ("/a/.%FF./b%E2%82", &["/a/.%FF/b%E2%82", "/a/b", "/b"]),
    ];
    for (path, expected) in cases {
        let mut expected: Vec<String> = expected.iter().map(|text| (*text).into()).collect();
        expected.retain(|text| !text.contains("/../"));
        expected.sort();
        // A server that keeps parameters treats `..;` as an ordinary segment, so the path is
        // unchanged.
        assert_eq!(read(path).as_deref(), Ok(&expected[..]), "{path}");
    }
}

#[test]
fn a_reading_above_the_root_lies_outside() {
    for path in [
        "/..;/a",
        "/..%2Fa",
        "/a/..%2F..%2Fb",
        "/%252e%252e/a",
        "/..%5Ca",
    ] {
        assert_eq!(read(path), Err(Ambiguity::Outside), "{path}");
    }
}

#[test]
fn a_path_of_too_many_readings_is_refused() {
    let deep = format!("/a%{}2Fb", "25".repeat(READINGS_MAX));
    assert_eq!(read(&deep), Err(Ambiguity::TooMany));
    let path = "/a;%2F/x;%5C//%252F;b%255C//%3Bc;d%25252F/%25255C;//e";
    assert_eq!(read(path), Err(Ambiguity::TooMany));
}

/// Checks that the steps of long paths are at most a small multiple of their length. Paths with many
/// separators are refused before their readings are computed.
#[test]
fn steps_of_long_paths_are_linear() {
    for (path, is_refused) in [
        (format!("/orders/{}", "%2F".repeat(700)), true),
        (format!("/orders/{}", "%5C".repeat(700)), true),
        (format!("/orders/{}", "%252F".repeat(400)), true),
        (format!("/orders/{}", "%C0%AF".repeat(340)), true),
        (format!("/u{}", "/".repeat(2000)), true),
        ("/".repeat(2000), true),
        (format!("/orders/{}", "%2F".repeat(SEPARATORS_MAX)), false),
        (format!("/u{}", "/".repeat(SEPARATORS_MAX)), false),
        (format!("/orders/a%2F{}", "%20".repeat(660)), false),
        (format!("/orders/a%2F{}", "%E2%80%80".repeat(220)), false),
        (format!("/orders/a%2F{}", "/a".repeat(990)), false),
        (format!("/orders/a{}", ".".repeat(2000)), false),
    ] {
        let mut left = SEARCH_MAX;
        let found = readings_within(&path, &mut left);
        assert_eq!(found == Err(Ambiguity::TooMany), is_refused, "{path}");
        let steps = SEARCH_MAX - left;
        assert!(steps <= 24 * path.len(), "{steps} steps: {path}");
    }
}

#[test]
fn steps_are_limited_for_each_path() {
    // Each reading of this path has 2,000 bytes and 1,000 segments.
    let path = format!("/a%2Fb%5C%3Bx;%252F%253B/{}", "a/".repeat(980));
    let mut left = SEARCH_MAX;
    assert_eq!(readings_within(&path, &mut left), Err(Ambiguity::TooMany));
    let mut left = 50;
    assert_eq!(
        readings_within("/a%2Fb;c%2F", &mut left),
        Err(Ambiguity::TooMany)
    );
}

proptest::proptest! {
    #[test]
    fn plain_path_has_no_readings(path in "(/[a-c.]{0,2}[a-c]){1,4}") {
        if let Ok(path) = path::normalise(&path) {
            proptest::prop_assert_eq!(readings(&path), Ok(Vec::new()));
        }
    }

    #[test]
    fn only_ambiguous_paths_have_readings(path in "/([a;/%2350CF.]|%C0%A[EF]|%E0%80%AF|%C1%9C|%C0%80|%FF|%C3%A9|%E2%82){0,20}") {
        let Ok(normal) = path::normalise_with(&path, path::Slashes::Keep) else { return Ok(()) };
        if !normal.is_ambiguous {
            proptest::prop_assert_eq!(readings(&normal.path), Ok(Vec::new()));
        } else if let Ok(all) = readings(&normal.path) {
            proptest::prop_assert!(all.len() <= READINGS_MAX);
        }
    }
}
