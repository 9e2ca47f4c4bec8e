//! Tests of the engine against independent models.

mod naive;
mod parts;
mod rest;
mod routing;
mod steps;
mod tables;
