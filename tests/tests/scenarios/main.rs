//! The scenarios: what people and operators live through, with the real programs.
//!
//! One program, so that it is linked once; a module each. Every scenario has its own daemon, simulator, folder and ports,
//! so that they run side by side.

mod greets_and_answers;
