//! The compiler's front: from texts to findings. One binary.

mod authority;
mod baseline;
mod broken;
mod conformance;
mod contests;
mod corpus;
mod editors;
mod edits;
mod environments;
mod files;
mod formats;
mod hostile;
mod judged;
mod others;
mod output;
mod overlay;
mod project;
mod routes;
mod samples;
mod schemas;
mod silence;
mod specs;
mod swagger;
mod syntax;
mod threads;
mod vocabulary;
