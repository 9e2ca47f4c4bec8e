//! Tests of the engine against independent models.

mod naive;
mod parts;
mod rest;
mod routing;
mod searches;
mod steps;
mod tables;
