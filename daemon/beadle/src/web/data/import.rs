//! Import and export of contacts. An import is checked as a whole first: a broken row changes
//! nothing.

use super::consents::source_named;
use super::contact_values::{profile_error, value_text};
use super::people::checked_edit;
use super::query::{Answer, channel_named, optional_id, page_size, read};
use crate::api::{ContactEdit, ExportRow, Import, ImportProblem, ImportRow, ImportView, List};
use crate::web::context::Admin;
use crate::web::failure::ApiError;
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Query, State};
use beadle_model::consent::rules::{PeopleRules, PlannedConsent, ReportedConsent};
use beadle_model::consent::{ConsentAct, actor};
use beadle_model::phone::{WrittenNumber, other_spelling};
use beadle_model::{AliasKind, ConsentState, Contact, ContactId, Timestamp};
use beadle_store::{ImportedContact, Reader, StoreError};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rows per transaction: some milliseconds of the writer's time.
const CHUNK: usize = 200;
/// The maximum number of broken rows that a report names.
const MAX_PROBLEMS: usize = 50;

/// `POST /contacts/import`
pub async fn import(State(admin): State<Arc<Admin>>, body: Result<Json<Import>, JsonRejection>) -> Answer<ImportView> {
    let Json(Import { dry_run, channel, rows }) = body.map_err(|error| ApiError::bad_request(error.body_text()))?;
    let channel = channel_named(&admin, channel)?;
    let (rules, now) = (Arc::clone(&admin.people), admin.clock.now());
    let planned = read(&admin, move |reader, _| Ok(plan(reader, &rules, &rows, now)?)).await?;
    let mut view =
        ImportView { dry_run, rows: planned.rows as u64, problems: planned.problems, ..ImportView::default() };
    view.consents = planned.contacts.iter().map(|row| row.contact.consents.len() as u64).sum();
    view.withdrawn = planned.contacts.iter().filter(|row| row.has_withdrawn).count() as u64;
    view.created = planned.contacts.iter().filter(|row| row.is_new).count() as u64;
    view.known = planned.contacts.len() as u64 - view.created;
    let unknown = planned.contacts.iter().filter(|row| row.is_new && row.contact.consents.is_empty());
    view.quarantined = unknown.count() as u64;
    if dry_run || !view.problems.is_empty() {
        view.dry_run = true;
        return Ok(Json(view));
    }
    let interest = admin.pipeline.watch_subscriptions().borrow().interest().clone();
    let contacts: Vec<ImportedContact> = planned.contacts.into_iter().map(|row| row.contact).collect();
    let mut outcomes = Vec::new();
    let mut failed = None;
    for chunk in contacts.chunks(CHUNK) {
        match admin.store.import_contacts(&channel, chunk.to_vec(), interest.clone()).await {
            Ok(imported) => outcomes.extend(imported),
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    view.created = outcomes.iter().filter(|outcome| outcome.created).count() as u64;
    view.known = outcomes.len() as u64 - view.created;
    view.quarantined = outcomes.iter().filter(|outcome| outcome.quarantined).count() as u64;
    view.consents = outcomes.iter().map(|outcome| outcome.recorded as u64).sum();
    view.asked = outcomes.iter().map(|outcome| outcome.asked as u64).sum();
    if view.asked > 0 {
        admin.pipeline.outbox().rescan();
    }
    if let Some(error) = failed {
        let (done, rows) = (outcomes.len(), view.rows);
        tracing::error!(%error, done, rows, "contacts imported in part; the same file can be imported again");
        return Err(error.into());
    }
    tracing::info!(rows = view.rows, created = view.created, quarantined = view.quarantined, "contacts imported");
    Ok(Json(view))
}

/// What an import will do.
struct Plan {
    rows: usize,
    contacts: Vec<PlannedRow>,
    problems: Vec<ImportProblem>,
}

/// What becomes of one row.
struct PlannedRow {
    contact: ImportedContact,
    is_new: bool,
    /// The person withdrew what the row says that they agreed to, so that it is left out.
    has_withdrawn: bool,
}

fn plan(reader: &Reader, rules: &PeopleRules, rows: &[ImportRow], now: Timestamp) -> Result<Plan, StoreError> {
    let mut plan = Plan { rows: rows.len(), contacts: Vec::new(), problems: Vec::new() };
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    for row in rows {
        let planned = match phone(&row.phone) {
            Ok(phone) => match seen.insert(one_spelling(&phone), row.line) {
                Some(first) => Err(format!("the same number is in line {first}")),
                None => {
                    let known = reader.contact_with_number(&phone)?;
                    plan_row(rules, row, phone, known, now)
                }
            },
            Err(message) => Err(message),
        };
        match planned {
            Ok(planned) => plan.contacts.push(planned),
            Err(message) if plan.problems.len() < MAX_PROBLEMS => {
                plan.problems.push(ImportProblem { line: row.line, message });
            }
            Err(_) => {}
        }
    }
    Ok(plan)
}

/// The same text for all spellings of a number.
fn one_spelling(phone: &str) -> String {
    other_spelling(phone).map_or_else(|| phone.to_owned(), |other| other.min(phone.to_owned()))
}

/// The contact to import.
fn plan_row(
    rules: &PeopleRules,
    row: &ImportRow,
    phone: String,
    known: Option<Contact>,
    now: Timestamp,
) -> Result<PlannedRow, String> {
    let edit = ContactEdit {
        language: row.language.clone(),
        timezone: row.timezone.clone(),
        role: row.role.clone(),
        add_tags: row.tags.clone(),
        attributes: row.attributes.clone(),
        ..ContactEdit::default()
    };
    let edit = checked_edit(edit, &rules.attributes)?;
    let is_new = known.is_none();
    let unknown = || Contact { id: ContactId(0), language: row.language.clone(), ..Contact::unknown() };
    let contact = known.unwrap_or_else(unknown);
    edit.profile.apply(&mut contact.profile().clone()).map_err(|error| profile_error(&error))?;
    let mut has_withdrawn = false;
    let consents = match &row.consent_source {
        Some(source) => {
            let planned = consent(rules, row, source, &contact, now)?;
            has_withdrawn = planned.is_none();
            // Who agreed is not asked again by an import that is repeated.
            let is_agreed = |planned: &PlannedConsent| {
                planned.consent.act == ConsentAct::Requested
                    && contact.consent_for(&planned.consent.purpose).state == ConsentState::Granted
            };
            planned.into_iter().filter(|planned| !is_agreed(planned)).collect()
        }
        None if row.consent_purpose.is_some() || row.consent_wording.is_some() => {
            return Err("a consent needs a `consent_source`".into());
        }
        None => vec![],
    };
    let contact = ImportedContact { phone, name: row.name.clone(), edit, consents };
    Ok(PlannedRow { contact, is_new, has_withdrawn })
}

fn consent(
    rules: &PeopleRules,
    row: &ImportRow,
    source: &str,
    contact: &Contact,
    now: Timestamp,
) -> Result<Option<PlannedConsent>, String> {
    let source = source_named(source).map_err(|error| error.message().to_owned())?;
    let purpose = row.consent_purpose.as_deref().ok_or("a consent needs a `consent_purpose`")?;
    let at = row.consent_at.as_deref().map(|text| time(text).ok_or_else(|| format!("`{text}` is not a date or time")));
    let reported = ReportedConsent {
        purpose: purpose.parse().map_err(|error: beadle_model::consent::ParsePurposeError| error.to_string())?,
        granted: true,
        source,
        wording: row.consent_wording.as_deref(),
        in_chat: false,
        at: at.transpose()?,
        evidence: row.consent_evidence.clone(),
        actor: actor::OPERATOR.into(),
        confirmed: false,
    };
    match rules.consents.entry(contact, reported, now) {
        Ok(planned) => Ok(Some(planned)),
        // What the person decided since is no mistake of the file.
        Err(refusal) if matches!(&*refusal.code, "opted-out" | "consent-withdrawn") => Ok(None),
        Err(refusal) => Err(format!("{} ({})", refusal.message, refusal.code)),
    }
}

/// RFC 3339, or a date.
fn time(text: &str) -> Option<Timestamp> {
    let whole = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    whole.parse::<jiff::Timestamp>().ok().map(|at| Timestamp(at.as_millisecond()))
}

/// A phone number as digits with country code.
fn phone(text: &str) -> Result<String, String> {
    WrittenNumber::parse(text)
        .map(|number| number.digits)
        .ok_or_else(|| format!("`{text}` is not a phone number with country code, such as +31 6 12345678"))
}

/// Where to go on.
#[derive(Debug, Deserialize)]
pub struct ListQuery {
    after: Option<String>,
    limit: Option<usize>,
}

/// `GET /contacts/export`: oldest first.
pub async fn export(State(admin): State<Arc<Admin>>, Query(query): Query<ListQuery>) -> Answer<List<ExportRow>> {
    let now = admin.clock.now().as_ms();
    let (after, limit) = (optional_id(query.after.as_deref())?, page_size(query.limit));
    let list = read(&admin, move |reader, _| {
        let found = reader.contacts(after, limit)?;
        let next = found.last().filter(|_| found.len() == limit).map(|contact| contact.id.to_string());
        let items = found.iter().map(|contact| exported(reader, contact)).collect::<Result<_, _>>()?;
        Ok(List { now, items, next })
    });
    Ok(Json(list.await?))
}

fn exported(reader: &Reader, contact: &Contact) -> Result<ExportRow, ApiError> {
    let details = reader.contact_details(contact.id)?;
    let aliases = details.map(|details| details.aliases).unwrap_or_default();
    let phone = aliases.iter().rev().find(|alias| alias.kind == AliasKind::Phone);
    let profile = contact.profile();
    let consents = profile.consents.purposes();
    Ok(ExportRow {
        id: contact.id.to_string(),
        phone: phone.map(|alias| format!("+{}", alias.value)),
        name: contact.name.clone(),
        language: contact.language.clone(),
        timezone: contact.timezone.clone(),
        role: profile.role.name().into(),
        tags: profile.tags.iter().cloned().collect(),
        attributes: profile.attributes.iter().map(|(name, value)| (name.clone(), value_text(value))).collect(),
        consents: consents
            .map(|purpose| (purpose.to_string(), contact.consent_for(purpose).state.name().into()))
            .collect(),
    })
}
