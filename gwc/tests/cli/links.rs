//! Links from plans in Markdown to the lines of a commit.

use crate::git::git;
use crate::project::{Ended, Project, command, copy, run};

/// Variables of CI systems that gwc reads. The tests remove them from the environment, and set them
/// explicitly.
const VARIABLES: [&str; 5] = [
    "GITHUB_SERVER_URL",
    "GITHUB_REPOSITORY",
    "GITHUB_SHA",
    "CI_PROJECT_URL",
    "CI_COMMIT_SHA",
];

/// Creates a repository with the project in `deploy`. After the commit, the first operation becomes
/// public in the work tree.
fn opened() -> (Project, String) {
    let (shop, outer) = (Project::new(), Project::empty());
    copy(shop.path(), &outer.file("deploy"));
    outer.write(".gitignore", "*.pem\nreleases/\n");
    for arguments in [
        &["init", "-q", "-b", "main"][..],
        &["add", "-A"],
        &["commit", "-qm", "one"],
    ] {
        git(outer.path(), arguments);
    }
    let commit = git(outer.path(), &["rev-parse", "HEAD"]);
    outer.edit(
        "deploy/orders.yaml",
        "{operationId: listOrders,",
        "{operationId: listOrders, security: [], x-gateway: {public: true},",
    );
    (outer, commit.trim().to_owned())
}

fn comment(outer: &Project, variables: &[(&str, &str)], more: &[&str]) -> Ended {
    let mut command = command(&outer.file("deploy"));
    for name in VARIABLES {
        command.env_remove(name);
    }
    command
        .args(["plan", "--against", "git:main", "--format", "markdown"])
        .args(more)
        .envs(variables.iter().copied());
    run(&mut command)
}

#[test]
fn places_link_to_the_commit_of_the_job() {
    let (outer, commit) = opened();
    let github = [
        ("GITHUB_SERVER_URL", "https://github.com"),
        ("GITHUB_REPOSITORY", "shop/api"),
        ("GITHUB_SHA", "n3w"),
    ];
    let gitlab = [
        ("CI_PROJECT_URL", "https://gitlab.com/shop/api"),
        ("CI_COMMIT_SHA", "n3w"),
    ];
    let base = ["--link-base", "https://git.example/r/blob/x/deploy/"];
    let new = "deploy/orders.yaml#L6)";
    for (variables, more, expected) in [
        (
            &github[..],
            &[][..],
            "https://github.com/shop/api/blob/n3w/",
        ),
        (&gitlab, &[], "https://gitlab.com/shop/api/-/blob/n3w/"),
        (&github, &base, "https://git.example/r/blob/x/"),
    ] {
        let text = comment(&outer, variables, more).with(1).out;
        assert!(text.contains("[`orders.yaml:6:"), "{text}");
        assert!(text.contains(&format!("({expected}{new}")), "{text}");
        let old = text.contains(&format!("/blob/{commit}/deploy/orders.yaml#L3)"));
        assert_eq!(old, more.is_empty(), "{text}");
    }
}

#[test]
fn without_an_address_places_have_no_links() {
    let (outer, _) = opened();
    let hostile = [
        ("GITHUB_SERVER_URL", "https://github.com/)<b>"),
        ("GITHUB_REPOSITORY", "shop/api"),
        ("GITHUB_SHA", "n3w"),
    ];
    for variables in [&[][..], &hostile] {
        let text = comment(&outer, variables, &[]).with(1).out;
        assert!(text.contains("now `orders.yaml:6:"), "{text}");
        assert!(!text.contains("]("), "{text}");
    }
    comment(&outer, &[], &["--link-base", "javascript:x"])
        .with(64)
        .contains("does not begin with `https://`");
}
