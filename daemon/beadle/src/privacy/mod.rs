//! Writes the data of one person as JSON or as a readable page, and runs the task that carries out
//! people's requests.

mod fields;
mod html;
mod task;
mod write;

pub use html::HtmlWriter;
pub use task::run;
pub use write::{JsonWriter, PersonWriter};
