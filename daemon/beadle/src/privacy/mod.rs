//! The data of one person, written as JSON or as a readable page, and the task that carries out
//! what people ask for.

mod html;
mod task;
mod write;

pub use html::HtmlWriter;
pub use task::run;
pub use write::{JsonWriter, PersonWriter};
