//! Broadcasts: create, plan, test, approve, start, pause, resume, stop, and show.

use super::query::{Answer, Names, id, optional_id, page_size, read, variant};
use crate::api::{
    Approval, BroadcastCounts, BroadcastResume, BroadcastSummary, BroadcastTest, BroadcastView, CodeCount, Done, List,
    NewBroadcast, PlanBudget, PlanCostView, PlanView, Problem, RecipientView, SampleView,
};
use crate::web::context::Admin;
use crate::web::failure::ApiError;
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use beadle_broadcast::{BroadcastError, OPERATOR, Plan, Progress};
use beadle_gate::costs::{Budget, Money, WhenUsedUp};
use beadle_gatekeeper::BudgetUse;
use beadle_model::text::counted;
use beadle_model::{BroadcastId, BroadcastState, ContactId, RecipientState};
use beadle_store::{BroadcastReason, BroadcastRow, RecipientCount, RecipientFilter, RecipientRow};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The maximum length of the name of a person who creates or approves.
const MAX_PERSON_CHARS: usize = 64;

fn body<T>(body: Result<Json<T>, JsonRejection>) -> Result<T, ApiError> {
    body.map(|Json(body)| body).map_err(|error| ApiError::bad_request(error.body_text()))
}

/// Checks the name of a person who creates or approves.
fn person(by: &str) -> Result<&str, ApiError> {
    let by = by.trim();
    let is_valid = (1..=MAX_PERSON_CHARS).contains(&by.chars().count()) && !by.chars().any(char::is_control);
    is_valid.then_some(by).ok_or_else(|| ApiError::bad_request("`by` must be a name of 1 to 64 characters"))
}

async fn find(admin: &Admin, text: &str) -> Result<BroadcastRow, ApiError> {
    Ok(admin.broadcasts.find(text).await?)
}

/// `POST /broadcasts`: a draft.
pub async fn create_broadcast(
    State(admin): State<Arc<Admin>>,
    new: Result<Json<NewBroadcast>, JsonRejection>,
) -> Answer<BroadcastView> {
    let NewBroadcast { by, broadcast } = body(new)?;
    let by = person(&by)?;
    let author = admin.broadcasts.operator().await?;
    let id = admin.broadcasts.create(author, by, broadcast).await?;
    view(&admin, id).await
}

/// `POST /broadcasts/{id}/plan`: freezes the recipients, and sends nothing.
pub async fn plan_broadcast(State(admin): State<Arc<Admin>>, Path(text): Path<String>) -> Answer<BroadcastView> {
    let id = find(&admin, &text).await?.id;
    let broadcasts = admin.broadcasts.clone();
    // Planning continues if the client disconnects.
    let planned = tokio::spawn(async move { broadcasts.plan(id).await });
    planned.await.map_err(ApiError::internal)??;
    view(&admin, id).await
}

/// `POST /broadcasts/{id}/test`
pub async fn test_broadcast(
    State(admin): State<Arc<Admin>>,
    Path(text): Path<String>,
    test: Result<Json<BroadcastTest>, JsonRejection>,
) -> Answer<Done> {
    let row = find(&admin, &text).await?;
    let contacts = body(test)?.contacts.iter().map(|text| id::<ContactId>(text)).collect::<Result<_, _>>()?;
    let messages = admin.broadcasts.test(row.id, contacts).await?;
    let messages: Vec<String> = messages.iter().map(ToString::to_string).collect();
    let message = format!("test of {} queued: {}", row.name, messages.join(", "));
    Ok(Json(Done { message, warning: None }))
}

/// `POST /broadcasts/{id}/approve`
pub async fn approve_broadcast(
    State(admin): State<Arc<Admin>>,
    Path(text): Path<String>,
    approval: Result<Json<Approval>, JsonRejection>,
) -> Answer<Done> {
    let row = find(&admin, &text).await?;
    let approval = body(approval)?;
    let by = person(&approval.by)?;
    admin.broadcasts.approve(row.id, by).await?;
    Ok(Json(Done { message: format!("{} approved by {by}", row.name), warning: None }))
}

/// `POST /broadcasts/{id}/start`
pub async fn start_broadcast(State(admin): State<Arc<Admin>>, Path(text): Path<String>) -> Answer<Done> {
    let row = admin.broadcasts.start(find(&admin, &text).await?.id).await?;
    Ok(Json(Done { message: format!("{} started", row.name), warning: None }))
}

/// `POST /broadcasts/{id}/pause`
pub async fn pause_broadcast(State(admin): State<Arc<Admin>>, Path(text): Path<String>) -> Answer<Done> {
    let row = admin.broadcasts.pause(find(&admin, &text).await?.id).await?;
    Ok(Json(Done { message: format!("{} paused", row.name), warning: in_outbox(&admin, row.id).await? }))
}

/// `POST /broadcasts/{id}/resume`
pub async fn resume_broadcast(
    State(admin): State<Arc<Admin>>,
    Path(text): Path<String>,
    resume: Result<Json<BroadcastResume>, JsonRejection>,
) -> Answer<Done> {
    let row = find(&admin, &text).await?;
    let failed = body(resume)?.failed;
    let count = admin.broadcasts.resume(row.id, failed).await?;
    let retried = match failed {
        true => format!("; {} sent again", counted(count, "failed message", "failed messages")),
        false => String::new(),
    };
    Ok(Json(Done { message: format!("{} resumed{retried}", row.name), warning: None }))
}

/// `POST /broadcasts/{id}/stop`
pub async fn stop_broadcast(State(admin): State<Arc<Admin>>, Path(text): Path<String>) -> Answer<Done> {
    let row = admin.broadcasts.stop(find(&admin, &text).await?.id).await?;
    Ok(Json(Done { message: format!("{} stopped", row.name), warning: in_outbox(&admin, row.id).await? }))
}

/// A warning about messages that were not taken back.
async fn in_outbox(admin: &Admin, id: BroadcastId) -> Result<Option<String>, ApiError> {
    let counts = admin.broadcasts.progress(id).await?.counts;
    let queued: u64 = counts.iter().filter(|row| row.state == RecipientState::Queued).map(|row| row.recipients).sum();
    Ok((queued > 0).then(|| format!("{} already being sent", counted(queued, "message", "messages"))))
}

/// The length of a list.
#[derive(Debug, Deserialize)]
pub struct ListQuery {
    before: Option<String>,
    limit: Option<usize>,
}

/// `GET /broadcasts`: newest first.
pub async fn broadcasts(
    State(admin): State<Arc<Admin>>,
    Query(query): Query<ListQuery>,
) -> Answer<List<BroadcastSummary>> {
    let now = admin.clock.now().as_ms();
    let (before, limit) = (optional_id(query.before.as_deref())?, page_size(query.limit));
    let list = read(&admin, move |reader, names| {
        let found = reader.broadcasts(before, limit)?;
        let next = found.last().filter(|_| found.len() == limit).map(|row| row.id.to_string());
        let mut items = Vec::with_capacity(found.len());
        for row in found {
            let counts = reader.recipient_counts(row.id)?;
            items.push(summary(row, &counts, names));
        }
        Ok(List { now, items, next })
    });
    Ok(Json(list.await?))
}

/// `GET /broadcasts/{id}`
pub async fn broadcast(State(admin): State<Arc<Admin>>, Path(text): Path<String>) -> Answer<BroadcastView> {
    let id = find(&admin, &text).await?.id;
    view(&admin, id).await
}

/// Filters of a list of recipients.
#[derive(Debug, Deserialize)]
pub struct RecipientsQuery {
    state: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

/// `GET /broadcasts/{id}/recipients`: by contact.
pub async fn recipients(
    State(admin): State<Arc<Admin>>,
    Path(text): Path<String>,
    Query(query): Query<RecipientsQuery>,
) -> Answer<List<RecipientView>> {
    let broadcast = find(&admin, &text).await?.id;
    let now = admin.clock.now().as_ms();
    let state = variant("state", query.state.as_deref(), RecipientState::ALL, RecipientState::name)?;
    let (after, limit) = (optional_id(query.after.as_deref())?, page_size(query.limit));
    let filter = RecipientFilter { state, after, limit };
    let list = read(&admin, move |reader, _| {
        let found = reader.recipients(broadcast, &filter)?;
        let next = found.last().filter(|_| found.len() == limit).map(|row| row.contact.to_string());
        Ok(List { now, items: found.into_iter().map(recipient).collect(), next })
    });
    Ok(Json(list.await?))
}

fn recipient(row: RecipientRow) -> RecipientView {
    RecipientView {
        contact: row.contact.to_string(),
        state: row.state.name().into(),
        code: row.code,
        language: row.language,
        due_at: row.due_at.filter(|_| row.state == RecipientState::Held).map(|at| at.as_ms()),
        message: row.message.map(|id| id.to_string()),
        sent_at: row.sent_at.map(|at| at.as_ms()),
        replied_at: row.replied_at.map(|at| at.as_ms()),
    }
}

async fn view(admin: &Admin, id: BroadcastId) -> Answer<BroadcastView> {
    let progress = admin.broadcasts.progress(id).await?;
    let (now, gatekeeper) = (admin.clock.now(), admin.gatekeeper.clone());
    let approval_above = admin.broadcasts.settings().approval_above;
    let view = read(admin, move |reader, names| {
        let outline = reader.broadcast_outline(id)?.ok_or_else(|| ApiError::from(BroadcastError::unknown(id)))?;
        let Progress { row, counts, plan, planning, wait, per_second } = progress;
        let limit = gatekeeper.messaging_limit(&row.channel, now)?;
        let left = limit.map(|(used, limit)| limit.saturating_sub(used));
        let recipients = plan.as_ref().map_or(0, |plan| plan.recipients);
        let state = row.state;
        let budgets = match &plan {
            Some(plan) if row.started_at.is_none() => {
                plan_budgets(plan, gatekeeper.budgets(now)?, |budget, category| {
                    budget.counts(&row.channel, row.plugin, category, |name| names.number(name).ok())
                })
            }
            _ => Vec::new(),
        };
        let needs_approval = approval_above > 0
            && recipients > approval_above
            && row.approved.is_none()
            && matches!(state, BroadcastState::Planned | BroadcastState::Paused);
        let row = summary(row, &counts, names);
        let open = row.recipients.planned + row.recipients.held + row.recipients.queued;
        let is_open = matches!(state, BroadcastState::Planned | BroadcastState::Sending | BroadcastState::Paused);
        let end = (is_open && open > 0).then(|| expected_end(now.as_ms(), open, per_second, limit));
        Ok(BroadcastView {
            now: now.as_ms(),
            purpose: outline.purpose.to_string(),
            audience: outline.audience(),
            template: outline.template().map(str::to_owned),
            has_text: outline.has_text(),
            codes: codes(&counts),
            planning,
            waits_for: wait.as_ref().map(|(code, _)| code.clone()),
            waits_until: wait.map(|(_, until)| until.as_ms()),
            needs_approval,
            messages_per_second: per_second,
            messaging_limit_left: left,
            expected_end: end,
            expires_at: outline.expires.map(|at| at.as_ms()),
            plan: plan.map(|plan| PlanView { budgets, ..plan_view(plan) }),
            row,
        })
    });
    Ok(Json(view.await?))
}

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// The end by the throughput, or by the messaging limit as if all of it became free every 24 hours.
fn expected_end(now_ms: i64, open: u64, per_second: u32, limit: Option<(u64, u64)>) -> i64 {
    let sending_ms = i64::try_from(open.saturating_mul(1000) / u64::from(per_second.max(1))).unwrap_or(i64::MAX / 2);
    let days = limit.map_or(0, |(used, limit)| {
        let beyond = open.saturating_sub(limit.saturating_sub(used));
        i64::try_from(beyond.div_ceil(limit.max(1))).unwrap_or(i64::MAX / DAY_MS / 2)
    });
    now_ms.saturating_add(sending_ms.max(days.saturating_mul(DAY_MS)))
}

fn summary(row: BroadcastRow, counts: &[RecipientCount], names: &Names) -> BroadcastSummary {
    let author = names.name(row.plugin);
    BroadcastSummary {
        id: row.id.to_string(),
        author: if author == OPERATOR { "operator".into() } else { author },
        name: row.name,
        channel: row.channel,
        state: row.state.name().into(),
        reason: row.reason.map(problem),
        created_by: row.created_by,
        created_at: row.created_at.as_ms(),
        planned_at: row.planned_at.map(|at| at.as_ms()),
        approved_by: row.approved.map(|(_, by)| by),
        started_at: row.started_at.map(|at| at.as_ms()),
        ended_at: row.ended_at.map(|at| at.as_ms()),
        recipients: BroadcastCounts { replied: row.replied, opted_out: row.opted_out, ..sums(counts) },
    }
}

fn problem(reason: BroadcastReason) -> Problem {
    Problem { code: reason.code, message: reason.message }
}

fn sums(counts: &[RecipientCount]) -> BroadcastCounts {
    let sum = |states: &[RecipientState]| -> u64 {
        counts.iter().filter(|row| states.contains(&row.state)).map(|row| row.recipients).sum()
    };
    use RecipientState::{Delivered, Failed, Held, Planned, Queued, Read, Refused, Sent};
    BroadcastCounts {
        total: sum(&[Planned, Held, Queued, Sent, Delivered, Read, Failed]),
        planned: sum(&[Planned]),
        held: sum(&[Held]),
        queued: sum(&[Queued]),
        sent: sum(&[Sent, Delivered, Read]),
        delivered: sum(&[Delivered, Read]),
        read: sum(&[Read]),
        failed: sum(&[Failed]),
        refused: sum(&[Refused]),
        replied: 0,
        opted_out: 0,
    }
}

fn codes(counts: &[RecipientCount]) -> Vec<CodeCount> {
    let code = |row: &RecipientCount| {
        Some(CodeCount { state: row.state.name().into(), code: row.code.clone()?, recipients: row.recipients })
    };
    let mut codes: Vec<CodeCount> = counts.iter().filter_map(code).collect();
    codes.sort_by(|one, other| other.recipients.cmp(&one.recipients).then_with(|| one.code.cmp(&other.code)));
    codes
}

/// What is left of each budget that counts messages of a plan, and what they cost by estimate.
fn plan_budgets(plan: &Plan, uses: Vec<BudgetUse>, counts: impl Fn(&Budget, &str) -> bool) -> Vec<PlanBudget> {
    let limited = |usage: BudgetUse| {
        let budget = &usage.budget;
        let mut costs =
            plan.costs.iter().filter(|cost| cost.category != "service" && counts(budget, &cost.category)).peekable();
        costs.peek()?;
        let (mut estimate, mut unpriced) = (Money::default(), 0);
        for cost in costs {
            match cost.amount {
                Some(amount) => estimate = estimate + Money(amount),
                None => unpriced += cost.recipients,
            }
        }
        let left = Money(budget.amount.0.saturating_sub(usage.used().0));
        Some(PlanBudget {
            name: budget.name.clone(),
            period: budget.period.name().into(),
            amount: budget.amount.to_string(),
            left: left.to_string(),
            estimate: estimate.to_string(),
            is_exceeded: estimate > left,
            unpriced,
            waits: budget.when_used_up == WhenUsedUp::Defer,
        })
    };
    uses.into_iter().filter_map(limited).collect()
}

fn plan_view(plan: Plan) -> PlanView {
    let by_code = |state: &str, codes: BTreeMap<String, u64>| {
        let mut rows: Vec<CodeCount> =
            codes.into_iter().map(|(code, recipients)| CodeCount { state: state.into(), code, recipients }).collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.recipients));
        rows
    };
    let amount = |amount: u64| Money(amount).to_string();
    let total: Option<u64> = plan.costs.iter().map(|cost| cost.amount).sum();
    PlanView {
        audience: plan.audience,
        recipients: plan.recipients,
        excluded: by_code("refused", plan.excluded),
        deferred: by_code("held", plan.deferred),
        open_windows: plan.open_windows,
        costs: plan
            .costs
            .into_iter()
            .map(|cost| PlanCostView {
                country: cost.country,
                category: cost.category,
                recipients: cost.recipients,
                amount: cost.amount.map(amount),
            })
            .collect(),
        cost: total.filter(|_| !plan.currency.is_empty()).map(amount),
        currency: plan.currency,
        budgets: Vec::new(),
        samples: plan
            .samples
            .into_iter()
            .map(|sample| SampleView { kind: sample.kind, contact: sample.contact.to_string(), lines: sample.lines })
            .collect(),
    }
}

/// Broadcasts that wait for an operator.
pub async fn broadcast_problems(admin: &Admin) -> Vec<Problem> {
    let found = read(admin, |reader, _| {
        let problem = |row: BroadcastRow| {
            let BroadcastReason { code, message } = row.reason?;
            let is_paused = row.state == BroadcastState::Paused;
            let state = if is_paused { "is paused" } else { "was not started" };
            Some(Problem { code, message: format!("broadcast `{}` {state}: {message}", row.name) })
        };
        Ok(reader.waiting_broadcasts()?.into_iter().filter_map(problem).collect())
    });
    found.await.unwrap_or_default()
}

/// For metrics: broadcasts and recipients, by state.
pub async fn broadcast_figures(admin: &Admin) -> Result<(BTreeMap<String, u64>, BTreeMap<String, u64>), ApiError> {
    read(admin, |reader, _| {
        let broadcasts = reader.broadcasts_by_state()?;
        let recipients = reader.recipients_by_state()?;
        let broadcasts = broadcasts.into_iter().map(|(state, count)| (state.name().to_owned(), count));
        let recipients = recipients.into_iter().map(|(state, count)| (state.name().to_owned(), count));
        Ok((broadcasts.collect(), recipients.collect()))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use beadle_broadcast::PlanCost;
    use beadle_gate::costs::Period;
    use beadle_model::{Day, PluginNo};

    #[test]
    fn expected_end_by_throughput_or_messaging_limit() {
        let hour_ms = 3_600_000;
        for (open, per_second, limit, after_ms) in [
            (80, 80, None, 1000),
            (288_000, 80, None, hour_ms),
            (1000, 80, Some((0, 2000)), 12_500),
            (2000, 80, Some((1500, 2000)), DAY_MS),
            (6001, 80, Some((0, 2000)), 3 * DAY_MS),
        ] {
            assert_eq!(expected_end(5, open, per_second, limit), 5 + after_ms, "{open} {limit:?}");
        }
    }

    #[test]
    fn plan_shows_what_its_budgets_have_left() {
        let cost = |country: &str, category: &str, amount: Option<u64>| PlanCost {
            country: country.into(),
            category: category.into(),
            recipients: 10,
            amount,
        };
        let costs = vec![
            cost("", "service", Some(0)),
            cost("NL", "marketing", Some(1_000_000)),
            cost("BE", "marketing", None),
            cost("NL", "utility", Some(200_000)),
        ];
        let plan = Plan { costs, ..Plan::default() };
        let usage = |category: Option<&str>, amount, when_used_up| BudgetUse {
            budget: Budget {
                name: "news".into(),
                plugin: None,
                channel: None,
                category: category.map(str::to_owned),
                period: Period::Month,
                amount: Money(amount),
                when_used_up,
            },
            from: Day(0),
            until: Day(30),
            charged: Money(300_000),
            pending: Money(200_000),
            unpriced: 0,
        };
        let uses = vec![
            usage(None, 1_700_000, WhenUsedUp::Refuse),
            usage(Some("marketing"), 1_400_000, WhenUsedUp::Defer),
            usage(Some("utility"), 100_000, WhenUsedUp::Refuse),
            usage(Some("authentication"), 1, WhenUsedUp::Refuse),
        ];
        let shown =
            plan_budgets(&plan, uses, |budget, category| budget.counts("shop", PluginNo(1), category, |_| None));
        let shown: Vec<_> = shown
            .iter()
            .map(|row| (row.left.as_str(), row.estimate.as_str(), row.is_exceeded, row.unpriced, row.waits))
            .collect();
        let expected =
            [("1.20", "1.20", false, 10, false), ("0.90", "1.00", true, 10, true), ("0.00", "0.20", true, 0, false)];
        assert_eq!(shown, expected);
    }

    #[test]
    fn sums_include_later_states() {
        let count = |state, recipients| RecipientCount { state, code: None, recipients };
        let sums = sums(&[
            count(RecipientState::Sent, 1),
            count(RecipientState::Delivered, 2),
            count(RecipientState::Read, 4),
            count(RecipientState::Refused, 8),
            count(RecipientState::Planned, 16),
        ]);
        assert_eq!((sums.sent, sums.delivered, sums.read, sums.total, sums.refused), (7, 6, 4, 23, 8));
    }
}
