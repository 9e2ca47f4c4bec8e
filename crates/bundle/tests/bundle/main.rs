//! Bundles, statements, channels and stores as a whole, through the public interface only.

mod fixture;
mod life;
