//! The capabilities: a module each, named as the contract names them. Calling a function is asking for the capability.

pub mod clock;
pub mod contacts;
pub mod documents;
pub mod groups;
pub mod log;
pub mod media;
pub mod messages;
pub mod random;
pub mod replies;
pub mod settings;
pub mod state;
pub mod timers;
