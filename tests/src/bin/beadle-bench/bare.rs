//! The bare bot that the daemon is compared with: it checks the signature, parses the JSON and sends the text back.
//!
//! It stores nothing: a crash loses messages, a repeated webhook is answered twice, and no rule is checked.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::{Router, routing::post};
use beadle_test_support::webhook;
use serde_json::{Value, json};
use std::sync::Arc;

struct Bot {
    client: reqwest::Client,
    send_to: String,
}

/// Serves until it is killed. Prints its address once it listens.
pub async fn run(graph_url: &str) -> Result<(), String> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().build().map_err(|error| error.to_string())?;
    let send_to = format!("{graph_url}/v26.0/{}/messages", webhook::PHONE_NUMBER_ID);
    let bot = Arc::new(Bot { client, send_to });
    let router = Router::new().route(webhook::PATH, post(webhook)).with_state(bot);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.map_err(|error| error.to_string())?;
    println!("listening on {}", listener.local_addr().map_err(|error| error.to_string())?);
    axum::serve(listener, router).await.map_err(|error| error.to_string())
}

async fn webhook(State(bot): State<Arc<Bot>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let signed = headers
        .get("x-hub-signature-256")
        .is_some_and(|header| header == webhook::signature(webhook::APP_SECRET, &body).as_str());
    if !signed {
        return StatusCode::FORBIDDEN;
    }
    let Ok(envelope) = serde_json::from_slice::<Value>(&body) else { return StatusCode::BAD_REQUEST };
    let changes = envelope.pointer("/entry/0/changes/0/value/messages").and_then(Value::as_array);
    for message in changes.into_iter().flatten() {
        let (Some(from), Some(text)) = (message.get("from"), message.pointer("/text/body")) else { continue };
        let reply = json!({
            "messaging_product": "whatsapp", "recipient_type": "individual", "to": from,
            "type": "text", "text": { "body": text },
        });
        let sent = bot.client.post(&bot.send_to).bearer_auth(webhook::ACCESS_TOKEN).json(&reply).send().await;
        if !sent.is_ok_and(|answer| answer.status().is_success()) {
            return StatusCode::INTERNAL_SERVER_ERROR;
        }
    }
    StatusCode::OK
}
