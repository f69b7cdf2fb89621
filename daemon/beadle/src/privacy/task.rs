//! Answers confirmed requests for copies of data, and advances erasures.
//!
//! Every step is stored before the next one begins, so that the next process continues after a
//! crash. The store defines the steps of an erasure (`beadle_store::Erasure`); this module decides
//! when to take each of them, and waits for the plugins.

use super::html::HtmlWriter;
use super::write::PersonWriter as _;
use crate::web::{Admin, PageError, page};
use beadle_model::effect::NewMedia;
use beadle_model::keyword::Language;
use beadle_model::outgoing::{MediaKind, Source};
use beadle_model::{Coded as _, HandlingId, Outgoing, PluginNo, Timestamp};
use beadle_store::{
    AskedBy, ContactRequest, DeadLetterRef, ErasingPlugin, ErasingState, Erasure, ErasurePhase, ExportAnswer,
    RequestKind, StoreError,
};
use beadle_tasks::Heartbeat;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// The interval at which a waiting erasure is checked. Real time.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The interval at which the task checks without a signal, in case a signal was missed. Real time.
const IDLE_POLL_INTERVAL: Duration = Duration::from_secs(60);
/// The time until a plugin that failed to erase is called again, in civil time. It keeps the log
/// readable.
const RETRY_MS: i64 = 10 * 60 * 1000;
/// The maximum time to wait for events of the person and for the last confirmation, in civil time.
const MAX_BUSY_WAIT_MS: i64 = 15 * 60 * 1000;
/// The number of requests or erasures to read at a time.
const PAGE: usize = 100;
/// The maximum size of a copy that is sent in a chat: a hundred thousand messages. The operator
/// exports a larger one to a file.
const COPY_BYTES: usize = 16 << 20;

/// The caption of a copy in the chat, in the languages of [`Language::ALL`].
const CAPTIONS: [&str; 5] = [
    "Your data: {received} messages and events, {sent} messages to you. Open the file in a browser.",
    "Je gegevens: {received} berichten en gebeurtenissen, {sent} berichten aan jou. Open het bestand in een browser.",
    "Deine Daten: {received} Nachrichten und Ereignisse, {sent} Nachrichten an dich. Öffne die Datei im Browser.",
    "Os seus dados: {received} mensagens e eventos, {sent} mensagens para si. Abra o ficheiro num navegador.",
    "Teie andmed: {received} sõnumit ja sündmust, {sent} sõnumit teile. Avage fail veebilehitsejas.",
];
const FILE_NAMES: [&str; 5] =
    ["my-data.html", "mijn-gegevens.html", "meine-daten.html", "meus-dados.html", "minu-andmed.html"];

/// Runs until the daemon stops.
pub async fn run(admin: Arc<Admin>, heartbeat: Heartbeat) {
    let mut changes = admin.store.privacy_changes();
    // Only a plugin that runs can export its data.
    let mut subscriptions = admin.pipeline.watch_subscriptions();
    let known = subscriptions.wait_for(|subscriptions| subscriptions.is_known());
    if heartbeat.idle(known).await.is_err() {
        return;
    }
    let mut refused: BTreeSet<i64> = BTreeSet::new();
    loop {
        heartbeat.beat();
        changes.mark_unchanged();
        if let Err(error) = answer_requests(&admin, &mut refused, &heartbeat).await {
            tracing::warn!(%error, "requests of people not answered, retrying");
        }
        let is_open = match advance_erasures(&admin, &heartbeat).await {
            Ok(is_open) => is_open,
            Err(error) => {
                tracing::warn!(%error, "erasures not read, retrying");
                true
            }
        };
        let pause = if is_open { POLL_INTERVAL } else { IDLE_POLL_INTERVAL };
        heartbeat
            .idle(async {
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    _ = changes.changed() => {}
                }
            })
            .await;
    }
}

/// Answers requests that people have confirmed. `refused` contains requests whose copy cannot be
/// sent, so that each is reported once.
async fn answer_requests(admin: &Admin, refused: &mut BTreeSet<i64>, heartbeat: &Heartbeat) -> Result<(), StoreError> {
    let mut after = 0;
    loop {
        let requests = admin.store.read(move |reader| reader.confirmed_requests(after, PAGE)).await?;
        let Some(last) = requests.last() else { return Ok(()) };
        after = last.id;
        for request in requests {
            heartbeat.beat();
            match request.kind {
                RequestKind::Erase => {
                    let now = admin.clock.now();
                    let erasure = admin.store.begin_erasure(request.contact, AskedBy::Person, now).await?;
                    tracing::info!(contact = %request.contact, erasure, "erasure begun for a person");
                }
                RequestKind::Export if !refused.contains(&request.id) => {
                    if let Err(reason) = answer_export(admin, &request, heartbeat).await? {
                        tracing::warn!(
                            contact = %request.contact, request = request.id, reason,
                            "copy of a person's data not sent; run `beadle contacts export`"
                        );
                        refused.insert(request.id);
                    }
                }
                _ => {}
            }
        }
    }
}

/// Sends a person the copy of their data. Returns `Ok(Err(reason))` if it cannot be sent.
async fn answer_export(
    admin: &Admin,
    request: &ContactRequest,
    heartbeat: &Heartbeat,
) -> Result<Result<(), &'static str>, StoreError> {
    let Some(conversation) = request.conversation else { return Ok(Err("asked outside a conversation")) };
    let view = admin.store.read(move |reader| reader.conversation(conversation)).await?;
    let Some(view) = view.filter(|view| view.group.is_none()) else { return Ok(Err("the conversation is gone")) };
    if view.window_until.is_none_or(|until| until <= admin.clock.now()) {
        return Ok(Err("the 24-hour window is closed"));
    }
    let language = view.contact.language.as_deref().map_or(Language::En, Language::of_tag);
    let mut copy = PersonCopy { writer: HtmlWriter::new(Vec::new()), received: 0, sent: 0 };
    let mut after: Option<String> = None;
    loop {
        heartbeat.beat();
        let data = match page(admin, request.contact, after.as_deref()).await {
            Ok(data) => data,
            Err(PageError::Store(error)) => return Err(error),
            Err(_) => return Ok(Err("the contact is gone")),
        };
        copy.received += items_of(&data, "received");
        copy.sent += items_of(&data, "sent");
        if copy.writer.write(&data).is_err() || copy.writer.written().len() > COPY_BYTES {
            return Ok(Err("the copy is too large for a chat"));
        }
        after = data.next;
        if after.is_none() {
            break;
        }
    }
    if copy.writer.finish().is_err() {
        return Ok(Err("the copy could not be written"));
    }
    send_copy(admin, request, (conversation, language), copy).await?;
    Ok(Ok(()))
}

/// A copy of a person's data.
struct PersonCopy {
    writer: HtmlWriter<Vec<u8>>,
    received: usize,
    sent: usize,
}

fn items_of(data: &crate::api::PersonData, section: &str) -> usize {
    data.sections.iter().filter(|known| known.name == section).map(|known| known.items.len()).sum()
}

async fn send_copy(
    admin: &Admin,
    request: &ContactRequest,
    (conversation, language): (beadle_model::ConversationId, Language),
    copy: PersonCopy,
) -> Result<(), StoreError> {
    let caption = language
        .pick(&CAPTIONS)
        .replace("{received}", &copy.received.to_string())
        .replace("{sent}", &copy.sent.to_string());
    let bytes = copy.writer.into_inner();
    let (files, media) = (admin.store.files().clone(), admin.store.files().reserve());
    let file = NewMedia {
        media,
        mime_type: "text/html".into(),
        filename: Some(language.pick(&FILE_NAMES).into()),
        sha256: beadle_model::text::hex(Sha256::digest(&bytes)),
        bytes: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
    };
    let written = tokio::task::spawn_blocking(move || files.write(media, &bytes));
    if let Err(error) = written.await.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
        tracing::warn!(%error, "copy of a person's data not stored, retrying");
        return Err(StoreError::Closed);
    }
    let document = Outgoing::Media {
        media: MediaKind::Document,
        source: Source::Media(media),
        caption: Some(caption),
        filename: file.filename.clone(),
        voice: false,
        quote: None,
    };
    let answer = ExportAnswer { request: request.id, conversation, file, message: document };
    if admin.store.answer_export(answer).await? {
        admin.pipeline.outbox().rescan();
        tracing::info!(contact = %request.contact, "copy of a person's data sent");
    } else {
        admin.store.files().remove(media);
    }
    Ok(())
}

/// Takes the next step of every erasure. Returns whether one is not complete.
async fn advance_erasures(admin: &Admin, heartbeat: &Heartbeat) -> Result<bool, StoreError> {
    let (mut after, mut is_open) = (0, false);
    loop {
        let open = admin.store.read(move |reader| reader.open_erasures(after, PAGE)).await?;
        let Some(last) = open.last() else { return Ok(is_open) };
        (after, is_open) = (last.id, true);
        for erasure in open {
            heartbeat.beat();
            // An erasure that fails must not stop the others.
            if let Err(error) = advance(admin, &erasure, heartbeat).await {
                tracing::warn!(erasure = erasure.id, %error, "erasure not continued, retrying");
            }
        }
    }
}

async fn advance(admin: &Admin, erasure: &Erasure, heartbeat: &Heartbeat) -> Result<(), StoreError> {
    let (id, now) = (erasure.id, admin.clock.now());
    match erasure.phase {
        ErasurePhase::Begun => admin.store.file_erasure(id, now).await,
        ErasurePhase::Plugins => await_plugins(admin, erasure).await,
        ErasurePhase::Rows => {
            while !admin.store.erase_slice(id).await? {
                heartbeat.beat();
            }
            Ok(())
        }
        ErasurePhase::Cleaning => {
            if admin.store.clean_erased(id, now).await? {
                tracing::info!(erasure = id, contact = %erasure.contact, "erasure complete");
            }
            Ok(())
        }
        ErasurePhase::Done => Ok(()),
    }
}

/// Begins the phase `rows` once every plugin has erased its data and no work about the person is in
/// progress.
async fn await_plugins(admin: &Admin, erasure: &Erasure) -> Result<(), StoreError> {
    let (id, now) = (erasure.id, admin.clock.now());
    let (plugins, is_finished) = match erasure.event {
        Some(event) => admin.store.read(move |reader| reader.erasing_plugins(event)).await?,
        None => (Vec::new(), true),
    };
    let is_awaited = |plugin: &ErasingPlugin| !matches!(plugin.state, ErasingState::Done | ErasingState::GivenUp);
    for plugin in plugins.iter().filter(|plugin| is_awaited(plugin)) {
        if let ErasingState::Failed { since } = plugin.state
            && is_retry_due(since, now)
        {
            retry(admin, erasure, plugin.plugin).await?;
        }
    }
    if !is_finished || plugins.iter().any(is_awaited) {
        return Ok(());
    }
    let is_busy = admin.store.read(move |reader| reader.is_person_busy(id)).await?;
    if is_busy && (0..MAX_BUSY_WAIT_MS).contains(&now.since_ms(erasure.begun_at)) {
        return Ok(());
    }
    let names = admin.store.read(|reader| reader.plugin_names()).await?;
    let name = |no: PluginNo| {
        let known = names.iter().find(|(known, _)| *known == no);
        known.map_or_else(|| format!("plugin {}", no.0), |(_, name)| name.clone())
    };
    let named = |state: ErasingState| {
        plugins.iter().filter(|plugin| plugin.state == state).map(|plugin| name(plugin.plugin)).collect()
    };
    admin.store.plugins_erased(id, named(ErasingState::Done), named(ErasingState::GivenUp), now).await
}

/// Whether a plugin that failed at a time is called again.
fn is_retry_due(since: Timestamp, now: Timestamp) -> bool {
    // A time in the future is from when the clock was ahead.
    !(0..RETRY_MS).contains(&now.since_ms(since))
}

/// Calls a plugin again that failed to erase its data.
async fn retry(admin: &Admin, erasure: &Erasure, plugin: PluginNo) -> Result<(), StoreError> {
    let Some(event) = erasure.event else { return Ok(()) };
    let handling = HandlingId { event, plugin };
    // An operator's retry is running.
    let Some(retry) = admin.pipeline.begin_retry(handling) else { return Ok(()) };
    match admin.store.retry_dead_letter(DeadLetterRef::Handling(handling), admin.clock.now()).await {
        Ok(_) => {}
        // An operator dropped it at the same moment.
        Err(StoreError::NotFound { .. }) => return Ok(()),
        Err(error) => return Err(error),
    }
    match admin.pipeline.retry_handling(retry).await {
        Ok(true) => {}
        Ok(false) => tracing::debug!(erasure = erasure.id, "plugin does not take part"),
        Err(error) => tracing::warn!(code = error.code(), %error, "erasure not retried in a plugin"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugin_that_failed_is_called_again_after_ten_minutes() {
        let now = Timestamp(1_795_293_360_000);
        for (minutes_ago, due) in [(0, false), (9, false), (10, true), (60, true), (-1, true)] {
            assert_eq!(is_retry_due(now.plus_ms(-minutes_ago * 60_000), now), due, "{minutes_ago}");
        }
        assert!(!is_retry_due(now.plus_ms(1 - RETRY_MS), now));
    }

    #[test]
    fn captions_fit_and_name_the_numbers() {
        for caption in CAPTIONS {
            assert!(caption.contains("{received}") && caption.contains("{sent}") && caption.chars().count() < 900);
        }
        assert!(FILE_NAMES.iter().all(|name| name.ends_with(".html")));
    }
}
