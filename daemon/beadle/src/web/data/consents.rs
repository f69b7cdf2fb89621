//! The consent ledger.

use super::query::{Answer, ChannelQuery, channel_named, id, page_size, read};
use crate::api::{
    ConsentCheckView, ConsentLinks, ConsentReport, ConsentRow, ConsentsView, Done, List, Problem, PurposeRow,
};
use crate::web::context::Admin;
use crate::web::failure::ApiError;
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use beadle_model::consent::rules::ReportedConsent;
use beadle_model::consent::{ConsentAct, ConsentEntry, ConsentSource, actor};
use beadle_model::{Coded as _, Contact, ContactId, Purpose, Timestamp};
use beadle_store::Reader;
use serde::Deserialize;
use std::sync::Arc;

/// Filters of a list.
#[derive(Debug, Deserialize)]
pub struct ListQuery {
    before: Option<i64>,
    limit: Option<usize>,
}

/// `GET /consents`: newest first.
pub async fn consents(State(admin): State<Arc<Admin>>, Query(query): Query<ListQuery>) -> Answer<List<ConsentRow>> {
    let now = admin.clock.now().as_ms();
    let limit = page_size(query.limit);
    let list = read(&admin, move |reader, _| {
        let found = reader.consents(query.before, limit)?;
        let next = found.last().filter(|_| found.len() == limit).map(|entry| entry.id.to_string());
        let items = found.into_iter().map(|entry| row(reader, entry)).collect::<Result<_, _>>()?;
        Ok(List { now, items, next })
    });
    Ok(Json(list.await?))
}

fn row(reader: &Reader, entry: ConsentEntry) -> Result<ConsentRow, ApiError> {
    let consent = entry.consent;
    let name = reader.contact(consent.contact)?.and_then(|contact| contact.name);
    let text = match &consent.wording {
        Some(wording) => reader.consent_text(&wording.sha256)?,
        None => None,
    };
    Ok(ConsentRow {
        id: entry.id,
        contact: consent.contact.to_string(),
        name,
        purpose: consent.purpose.to_string(),
        act: consent.act.name().into(),
        source: consent.source.name().into(),
        wording: consent.wording.map(|wording| format!("{} v{} ({})", wording.id, wording.version, wording.language)),
        text,
        at: consent.at.as_ms(),
        expires_at: consent.expires_at.map(Timestamp::as_ms),
        recorded_at: entry.recorded_at.as_ms(),
        evidence: consent.evidence,
        actor: consent.actor,
    })
}

/// `GET /contacts/{id}/consents`
pub async fn contact_consents(State(admin): State<Arc<Admin>>, Path(text): Path<String>) -> Answer<ConsentsView> {
    let contact: ContactId = id(&text)?;
    let now = admin.clock.now().as_ms();
    let view = read(&admin, move |reader, _| {
        let contact = reader.contact(contact)?.ok_or_else(|| ApiError::not_found("contact", &text))?;
        let entries = reader.consents_of(contact.id)?;
        let entries = entries.into_iter().map(|entry| row(reader, entry)).collect::<Result<_, _>>()?;
        Ok(ConsentsView {
            now,
            contact: contact.id.to_string(),
            name: contact.name.clone(),
            purposes: purposes(&contact),
            entries,
        })
    });
    Ok(Json(view.await?))
}

/// The state of every purpose that has no topic, and of each topic about which something is
/// recorded.
fn purposes(contact: &Contact) -> Vec<PurposeRow> {
    let always = [Purpose::Service, Purpose::Marketing, Purpose::Group, Purpose::Survey];
    let recorded = contact.profile().consents.purposes().filter(|purpose| !always.contains(purpose));
    let mut all: Vec<Purpose> = always.iter().chain(recorded).cloned().collect();
    all.sort();
    let row = |purpose: Purpose| {
        let decision = contact.consent_for(&purpose);
        PurposeRow {
            purpose: purpose.to_string(),
            state: decision.state.name().into(),
            since: decision.by.map(|mark| mark.at.as_ms()),
            entry: decision.by.map(|mark| mark.entry),
        }
    };
    all.into_iter().map(row).collect()
}

/// `POST /contacts/{id}/consents`: records what the operator reports.
pub async fn record_consent(
    State(admin): State<Arc<Admin>>,
    Path(text): Path<String>,
    report: Result<Json<ConsentReport>, JsonRejection>,
) -> Answer<Done> {
    let Json(report) = report.map_err(|error| ApiError::bad_request(error.body_text()))?;
    let contact: ContactId = id(&text)?;
    let purpose: Purpose = report.purpose.parse().map_err(ApiError::bad_request)?;
    let source = source_named(&report.source)?;
    let found = read(&admin, move |reader, _| Ok(reader.contact(contact)?));
    let contact = found.await?.ok_or_else(|| ApiError::not_found("contact", &text))?;
    let reported = ReportedConsent {
        purpose,
        granted: report.granted,
        source,
        wording: report.wording.as_deref(),
        in_chat: false,
        at: report.at.map(Timestamp),
        evidence: report.evidence,
        actor: actor::OPERATOR.into(),
        confirmed: report.confirmed,
    };
    let planned = admin.people.consents.entry(&contact, reported, admin.clock.now());
    let planned = planned.map_err(|refusal| ApiError::refused(&refusal))?;
    let purpose = planned.consent.purpose.clone();
    let interest = admin.pipeline.watch_subscriptions().borrow().interest().clone();
    let recorded = admin.store.record_consent(planned, interest).await?;
    let name = contact.id;
    let (message, warning) = match recorded {
        None => (format!("{name}: nothing to record; `{purpose}` is in this state already."), None),
        Some(recorded) => {
            if recorded.asked {
                admin.pipeline.outbox().rescan();
            }
            let entry = recorded.entry.id;
            match recorded.entry.consent.act {
                ConsentAct::Granted => (format!("{name}: `{purpose}` granted (entry {entry})."), None),
                ConsentAct::Withdrawn => (format!("{name}: `{purpose}` withdrawn (entry {entry})."), None),
                ConsentAct::Requested if recorded.asked => {
                    (format!("{name} is asked to confirm `{purpose}` (entry {entry})."), None)
                }
                ConsentAct::Requested => {
                    let warning = "the person could not be asked: the 24-hour window is closed, and the wording has no \
                                   `template`";
                    (format!("{name}: `{purpose}` must be confirmed (entry {entry})."), Some(warning.to_owned()))
                }
            }
        }
    };
    Ok(Json(Done { message, warning }))
}

/// `GET /consents/links/{wording}`
pub async fn consent_links(
    State(admin): State<Arc<Admin>>,
    Path(wording): Path<String>,
    Query(query): Query<ChannelQuery>,
) -> Answer<ConsentLinks> {
    let texts = admin.people.consents.wordings.get(&wording);
    let word = texts.ok_or_else(|| ApiError::not_found("wording", &wording))?.word.as_deref();
    let channel = channel_named(&admin, query.channel)?;
    let (mut chat, mut problem) = (None, None);
    if let Some(word) = word {
        match admin.numbers.number(&channel).await {
            Ok(number) => chat = Some(chat_link(&number, word)),
            Err(error) => problem = Some(Problem { code: error.code().into(), message: error.to_string() }),
        }
    }
    let form = admin.opt_in.as_ref().and_then(|forms| forms.url(&wording));
    Ok(Json(ConsentLinks { wording, channel, chat, form, problem }))
}

/// Opens a chat with a number, in which a text is already typed
/// (`docs/whatsapp.md#links-to-a-chat`).
fn chat_link(number: &str, text: &str) -> String {
    let text: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
    // A plus is a space in forms only.
    format!("https://wa.me/{number}?text={}", text.replace('+', "%20"))
}

/// The source with this name.
pub fn source_named(name: &str) -> Result<ConsentSource, ApiError> {
    ConsentSource::named(name).ok_or_else(|| {
        let names: Vec<_> = ConsentSource::ALL.iter().map(|source| format!("`{}`", source.name())).collect();
        ApiError::bad_request(format!("`{name}` is not a source of consent; the sources are {}", names.join(", ")))
    })
}

/// `GET /consents/verify`
pub async fn verify_consents(State(admin): State<Arc<Admin>>) -> Answer<ConsentCheckView> {
    let check = read(&admin, |reader, _| Ok(reader.verify_consents()?)).await?;
    Ok(Json(ConsentCheckView {
        rows: check.rows as u64,
        erased: check.erased as u64,
        head: check.head,
        problems: check.problems,
    }))
}

#[cfg(test)]
mod tests {
    use super::chat_link;

    #[test]
    fn text_of_a_link_is_encoded() {
        assert_eq!(chat_link("31612345678", "NEWS"), "https://wa.me/31612345678?text=NEWS");
        assert_eq!(
            chat_link("1650", "große + News & more"),
            "https://wa.me/1650?text=gro%C3%9Fe%20%2B%20News%20%26%20more"
        );
    }
}
