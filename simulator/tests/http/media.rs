//! Files: upload, download, sending, expiry.

use crate::env::{ANA, NUMBER, TOKEN, TestEnv, code};
use serde_json::{Value, json};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// Uploads a file with the documented form.
async fn upload(env: &TestEnv, mime: &str, bytes: &[u8]) -> (u16, Value) {
    let mut body = b"--x\r\nContent-Disposition: form-data; name=\"messaging_product\"\r\n\r\nwhatsapp\r\n".to_vec();
    body.extend(
        format!(
            "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\nContent-Type: {mime}\r\n\r\n"
        )
        .bytes(),
    );
    body.extend(bytes);
    body.extend(b"\r\n--x--\r\n");
    let request = env.http.post(format!("{}/v26.0/{NUMBER}/media", env.url)).bearer_auth(TOKEN);
    let answer = request.header("content-type", "multipart/form-data; boundary=x").body(body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn fetch(env: &TestEnv, url: &str, token: &str) -> (u16, Vec<u8>) {
    let answer = env.http.get(url).bearer_auth(token).send().await.unwrap();
    (answer.status().as_u16(), answer.bytes().await.unwrap().to_vec())
}

#[tokio::test]
async fn upload_can_be_downloaded_until_its_url_expires() {
    let env = TestEnv::new().await;
    let (status, answer) = upload(&env, "image/png", b"not really a picture").await;
    assert_eq!(status, 200, "{answer}");
    let id = answer["id"].as_str().unwrap().to_owned();
    let info = env.graph("GET", &id, Value::Null).await.1;
    assert_eq!((&info["mime_type"], &info["file_size"]), (&json!("image/png"), &json!("20")));
    assert_eq!(info["sha256"].as_str().map(str::len), Some(64));
    let url = info["url"].as_str().unwrap();
    assert_eq!(fetch(&env, url, TOKEN).await, (200, b"not really a picture".to_vec()));
    assert_eq!(fetch(&env, url, "another").await.0, 401);
    env.advance(5 * MINUTE_MS + 1000).await;
    assert_eq!(fetch(&env, url, TOKEN).await.0, 404);
    let other = env.graph("GET", &format!("{id}?phone_number_id=1"), Value::Null).await;
    assert_eq!((other.0, code(&other.1), &other.1["error"]["error_subcode"]), (400, 100, &json!(33)));
    env.advance(30 * DAY_MS).await;
    assert_eq!(env.graph("GET", &id, Value::Null).await.0, 400, "uploads expire after 30 days");
    let (_, again) = upload(&env, "image/png", b"x").await;
    let id = again["id"].as_str().unwrap().to_owned();
    assert_eq!(env.graph("DELETE", &id, Value::Null).await.1, json!({"success": true}));
    assert_eq!(env.graph("GET", &id, Value::Null).await.0, 400);
}

#[tokio::test]
async fn too_large_and_untyped_uploads_are_refused() {
    let env = TestEnv::new().await;
    assert_eq!(code(&upload(&env, "image/png", &vec![0; 5 * 1024 * 1024 + 1]).await.1), 131_053);
    assert_eq!(code(&upload(&env, "application/octet-stream", b"x").await.1), 100);
    let answer = env.graph("POST", &format!("{NUMBER}/media"), json!({})).await;
    assert_eq!((answer.0, code(&answer.1)), (400, 100));
}

#[tokio::test]
async fn unknown_file_is_refused_and_unsuitable_file_fails_later() {
    let env = TestEnv::new().await;
    env.open_window().await;
    let (_, gif) = upload(&env, "image/gif", b"GIF89a").await;
    let send = |kind: &str, id: &Value| {
        env.send(json!({"messaging_product": "whatsapp", "to": ANA, "type": kind, kind: {"id": id}}))
    };
    assert_eq!(code(&send("image", &json!("12345")).await.1), 131_009);
    assert_eq!(send("document", &gif["id"]).await.0, 200);
    assert_eq!(send("image", &gif["id"]).await.0, 200, "accepted, but fails later");
    env.idle().await;
    let failed: Vec<Value> = env.daemon.all("statuses").into_iter().filter(|s| s["status"] == "failed").collect();
    assert_eq!((failed.len(), &failed[0]["errors"][0]["code"]), (1, &json!(131_053)));
    assert!(failed[0]["errors"][0]["error_data"]["details"].as_str().unwrap().contains("image/jpeg"));
}

#[tokio::test]
async fn inbound_file_has_type_hash_and_url() {
    let env = TestEnv::new().await;
    let request = env.http.post(format!("{}/control/media?filename=note.ogg", env.url));
    let answer = request.header("content-type", "audio/ogg; codecs=opus").body("voice").send().await.unwrap();
    let file: Value = answer.json().await.unwrap();
    assert_eq!(file["kind"], "audio");
    env.control("say", json!({"from": "ana", "message": {"type": "audio", "audio": {"id": file["id"]}}})).await;
    env.idle().await;
    let audio = env.daemon.all("messages")[0]["audio"].clone();
    assert_eq!((&audio["mime_type"], &audio["voice"]), (&json!("audio/ogg; codecs=opus"), &json!(true)));
    assert_eq!(audio["sha256"].as_str().map(str::len), Some(44), "base64 in webhooks");
    assert_eq!(fetch(&env, audio["url"].as_str().unwrap(), TOKEN).await, (200, b"voice".to_vec()));
    env.advance(7 * DAY_MS).await;
    assert_eq!(env.graph("GET", file["id"].as_str().unwrap(), Value::Null).await.0, 400);
    let download = env.http.get(format!("{}/control/media/{}", env.url, file["id"].as_str().unwrap()));
    assert_eq!(download.send().await.unwrap().status().as_u16(), 404);
}

#[tokio::test]
async fn voice_message_can_be_played() {
    let env = TestEnv::new().await;
    env.open_window().await;
    let (_, file) = upload(&env, "audio/ogg; codecs=opus", b"OggS").await;
    let body = json!({"messaging_product": "whatsapp", "to": ANA, "type": "audio", "audio": {"id": file["id"], "voice": true}});
    let sent = env.send(body).await.1["messages"][0]["id"].clone();
    env.control("read", json!({"from": "ana", "message": sent, "played": true})).await;
    env.idle().await;
    assert_eq!(env.daemon.states(), ["sent", "delivered", "read", "played"]);
}
