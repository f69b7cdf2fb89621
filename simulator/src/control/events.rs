//! Server-Sent Events for the chat page: the state of messages, people and groups whenever it
//! changes.

use crate::hub::Hub;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{Stream, unfold};
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;

pub(super) async fn stream(State(hub): State<Arc<Hub>>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let stream = unfold(hub.subscribe(), |mut events| async move {
        let data = match events.recv().await {
            Ok(event) => event.to_string(),
            // The page lags too far behind, and has to reload everything.
            Err(RecvError::Lagged(_)) => r#"{"kind":"reset"}"#.to_owned(),
            Err(RecvError::Closed) => return None,
        };
        Some((Ok(Event::default().data(data)), events))
    });
    Sse::new(stream).keep_alive(KeepAlive::default())
}
