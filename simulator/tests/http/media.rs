//! Files: uploaded, fetched, sent, expired.

use crate::house::{ANA, House, NUMBER, TOKEN, code};
use serde_json::{Value, json};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// The form that the Graph API takes.
async fn upload(house: &House, mime: &str, bytes: &[u8]) -> (u16, Value) {
    let mut body = b"--x\r\nContent-Disposition: form-data; name=\"messaging_product\"\r\n\r\nwhatsapp\r\n".to_vec();
    body.extend(
        format!(
            "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\nContent-Type: {mime}\r\n\r\n"
        )
        .bytes(),
    );
    body.extend(bytes);
    body.extend(b"\r\n--x--\r\n");
    let request = house.http.post(format!("{}/v26.0/{NUMBER}/media", house.url)).bearer_auth(TOKEN);
    let answer = request.header("content-type", "multipart/form-data; boundary=x").body(body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn fetch(house: &House, url: &str, token: &str) -> (u16, Vec<u8>) {
    let answer = house.http.get(url).bearer_auth(token).send().await.unwrap();
    (answer.status().as_u16(), answer.bytes().await.unwrap().to_vec())
}

#[tokio::test]
async fn a_file_is_uploaded_fetched_by_an_address_that_expires_and_deleted() {
    let house = House::new().await;
    let (status, answer) = upload(&house, "image/png", b"not really a picture").await;
    assert_eq!(status, 200, "{answer}");
    let id = answer["id"].as_str().unwrap().to_owned();
    let about = house.graph("GET", &id, Value::Null).await.1;
    assert_eq!((&about["mime_type"], &about["file_size"]), (&json!("image/png"), &json!("20")));
    assert_eq!(about["sha256"].as_str().map(str::len), Some(64));
    let url = about["url"].as_str().unwrap();
    assert_eq!(fetch(&house, url, TOKEN).await, (200, b"not really a picture".to_vec()));
    assert_eq!(fetch(&house, url, "another").await.0, 401);
    house.advance(5 * MINUTE_MS + 1000).await;
    assert_eq!(fetch(&house, url, TOKEN).await.0, 404);
    let other = house.graph("GET", &format!("{id}?phone_number_id=1"), Value::Null).await;
    assert_eq!((other.0, code(&other.1)), (400, 33));
    house.advance(30 * DAY_MS).await;
    assert_eq!(house.graph("GET", &id, Value::Null).await.0, 400, "uploads live for 30 days");
    let (_, again) = upload(&house, "image/png", b"x").await;
    let id = again["id"].as_str().unwrap().to_owned();
    assert_eq!(house.graph("DELETE", &id, Value::Null).await.1, json!({"success": true}));
    assert_eq!(house.graph("GET", &id, Value::Null).await.0, 400);
}

#[tokio::test]
async fn what_is_too_large_or_of_no_type_is_refused() {
    let house = House::new().await;
    assert_eq!(code(&upload(&house, "image/png", &vec![0; 5 * 1024 * 1024 + 1]).await.1), 131_053);
    assert_eq!(code(&upload(&house, "application/octet-stream", b"x").await.1), 100);
    let answer = house.graph("POST", &format!("{NUMBER}/media"), json!({})).await;
    assert_eq!((answer.0, code(&answer.1)), (400, 100));
}

#[tokio::test]
async fn a_message_names_a_file_that_is_there_and_suits_it() {
    let house = House::new().await;
    house.open_window().await;
    let (_, gif) = upload(&house, "image/gif", b"GIF89a").await;
    let send = |kind: &str, id: &Value| {
        house.send(json!({"messaging_product": "whatsapp", "to": ANA, "type": kind, kind: {"id": id}}))
    };
    assert_eq!(code(&send("image", &json!("12345")).await.1), 131_009);
    assert_eq!(send("document", &gif["id"]).await.0, 200);
    assert_eq!(send("image", &gif["id"]).await.0, 200, "it is accepted, and fails");
    house.idle().await;
    let failed: Vec<Value> = house.daemon.all("statuses").into_iter().filter(|s| s["status"] == "failed").collect();
    assert_eq!((failed.len(), &failed[0]["errors"][0]["code"]), (1, &json!(131_053)));
    assert!(failed[0]["errors"][0]["error_data"]["details"].as_str().unwrap().contains("image/jpeg"));
}

#[tokio::test]
async fn what_people_send_comes_with_its_type_hash_and_address() {
    let house = House::new().await;
    let request = house.http.post(format!("{}/control/media?filename=note.ogg", house.url));
    let answer = request.header("content-type", "audio/ogg; codecs=opus").body("voice").send().await.unwrap();
    let put: Value = answer.json().await.unwrap();
    assert_eq!(put["kind"], "audio");
    house.control("say", json!({"from": "ana", "message": {"type": "audio", "audio": {"id": put["id"]}}})).await;
    house.idle().await;
    let audio = house.daemon.all("messages")[0]["audio"].clone();
    assert_eq!((&audio["mime_type"], &audio["voice"]), (&json!("audio/ogg; codecs=opus"), &json!(true)));
    assert_eq!(audio["sha256"].as_str().map(str::len), Some(44), "base64 in webhooks");
    assert_eq!(fetch(&house, audio["url"].as_str().unwrap(), TOKEN).await, (200, b"voice".to_vec()));
    house.advance(7 * DAY_MS).await;
    assert_eq!(house.graph("GET", put["id"].as_str().unwrap(), Value::Null).await.0, 400);
    let shown = house.http.get(format!("{}/control/media/{}", house.url, put["id"].as_str().unwrap()));
    assert_eq!(shown.send().await.unwrap().status().as_u16(), 404);
}

#[tokio::test]
async fn a_voice_message_is_played() {
    let house = House::new().await;
    house.open_window().await;
    let (_, file) = upload(&house, "audio/ogg; codecs=opus", b"OggS").await;
    let body = json!({"messaging_product": "whatsapp", "to": ANA, "type": "audio", "audio": {"id": file["id"], "voice": true}});
    let sent = house.send(body).await.1["messages"][0]["id"].clone();
    house.control("read", json!({"from": "ana", "message": sent, "played": true})).await;
    house.idle().await;
    assert_eq!(house.daemon.states(), ["sent", "delivered", "read", "played"]);
}
