//! Examples and exit codes at the end of help texts.

pub(super) const RUN_EXAMPLES: &str = "Examples:
  gwd run --store ./releases --trust trust.json --state \
./state
  gwd run --config /etc/gwd.toml --listen public=0.0.0.0:8080
  gwd run --store oci://registry.example/shop/releases --trust trust.json --state ./state
  GWD_STORE=/srv/releases \
GWD_TRUST=/etc/gwd/trust.json gwd run --access-log stdout

Exit codes: 0 clean stop; 4 no trust \
file, or verification failed with nothing to fall back to;
64 wrong usage; 65 an input cannot be \
read; 69 the store cannot be used; 70 a bug.";

pub(super) const CHECK_EXAMPLES: &str = "\
Examples:
  gwd check --store ./releases --trust trust.json --state ./state
  gwd check --config /etc/gwd.toml --format json

Exit codes: 0 it would run; 4 no trust file, or verification failed; 64 wrong usage; 65 an input
cannot be read; 69 the store cannot be used; 70 a bug.";

pub(super) const CLIENT_EXAMPLES: &str = "\
Examples:
  gwd status --admin unix:/run/gwd/admin.sock
  gwd status --format json --admin-token-file token
  GWD_ADMIN=unix:/run/gwd/admin.sock gwd status

Exit codes: 0 done; 4 refused; 64 wrong usage; 65 a file cannot be read; 69 no gwd can be
reached.";

pub(super) const TAIL_EXAMPLES: &str = "\
Examples:
  gwd tail --admin unix:/run/gwd/admin.sock
  gwd tail --status 5xx,429 --path /orders --admin-token-file token
  gwd tail --slower-than 500ms --count 10 --format json

Exit codes: 0 done; 64 wrong usage; 65 a file cannot be read; 69 no gwd can be reached, or gwd ended
the connection.";

pub(super) const CLI_EXAMPLES: &str = "Examples:
  gwd run --store ./releases --trust trust.json --state \
./state --admin unix:admin.sock
  gwd status --admin unix:admin.sock         the running bundle, and \
why a release was refused
  gwd rollback --admin unix:admin.sock       back to the previous bundle, on \
this node only

Exit codes: 0 done; 4 refused; 64 wrong usage; 65 a file cannot be read; 69 no gwd, or \
no store,
can be reached; 70 a bug in gwd.";
