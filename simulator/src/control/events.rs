//! Server-Sent Events for the chat page: how messages and people stand, as it changes.

use crate::hub::Hub;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{Stream, unfold};
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;

pub(super) async fn stream(State(hub): State<Arc<Hub>>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let stream = unfold(hub.listen(), |mut events| async move {
        let data = match events.recv().await {
            Ok(event) => event.to_string(),
            // The page is too slow for what happens: it is told to look at everything again.
            Err(RecvError::Lagged(_)) => r#"{"kind":"reset"}"#.to_owned(),
            Err(RecvError::Closed) => return None,
        };
        Some((Ok(Event::default().data(data)), events))
    });
    Sse::new(stream).keep_alive(KeepAlive::default())
}
