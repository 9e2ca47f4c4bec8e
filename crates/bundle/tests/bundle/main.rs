//! Bundles, statements, channels and stores as a whole, through the public interface only.

mod acceptance;
mod archive;
mod damage;
mod fixture;
mod folder;
mod keeping;
mod life;
mod openssl;
mod recovery;
mod schema;
mod statements;
mod sweep;
mod trust;
