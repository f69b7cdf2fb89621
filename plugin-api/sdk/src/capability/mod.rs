//! The capabilities: one module each, named as in the contract. Calling a function requests the
//! capability.

pub mod broadcasts;
pub mod clock;
pub mod consents;
pub mod contacts;
pub mod contacts_edit;
pub mod contacts_identity;
pub mod documents;
pub mod groups;
pub mod http;
pub mod log;
pub mod media;
pub mod messages;
pub mod random;
pub mod replies;
pub mod requests;
pub mod segments;
pub mod settings;
pub mod state;
pub mod timers;
