//! Tests of bundles, statements, channels and stores through the public interface.

mod acceptance;
mod approvals;
mod archive;
mod damage;
mod fixture;
mod folder;
mod keeping;
mod life;
mod lists;
mod openssl;
mod recovery;
mod rollouts;
mod schema;
mod statements;
mod sweep;
mod trust;
