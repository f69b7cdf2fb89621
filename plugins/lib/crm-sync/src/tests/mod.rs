//! Tests of the whole sync, against a host and systems in memory.

mod converge;
mod scenarios;
mod systems;
mod world;
