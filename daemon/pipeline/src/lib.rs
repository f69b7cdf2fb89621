//! Being built.
pub mod channel;
pub use channel::{Advice, Answer, Channel, Shipment};
