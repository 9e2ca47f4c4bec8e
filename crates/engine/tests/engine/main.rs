//! The engine against something that knows nothing of it.

mod naive;
mod routing;
mod tables;
