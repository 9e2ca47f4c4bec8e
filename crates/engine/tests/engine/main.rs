//! The engine against something that knows nothing of it.

mod naive;
mod parts;
mod rest;
mod routing;
mod steps;
mod tables;
