//! What messages cost: the ledger with estimates, and the use of budgets.

use super::query::{Answer, Names, read};
use crate::api::{BudgetState, CostRow, Costs, FreeService, Problem, RatesInForce};
use crate::web::context::Admin;
use crate::web::failure::ApiError;
use axum::Json;
use axum::extract::{Query, State};
use beadle_gate::costs::{Money, Rates, WARNING_PERCENT};
use beadle_gatekeeper::BudgetUse;
use beadle_model::{BroadcastId, Day};
use beadle_store::{ChargeRow, PendingCharge};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The most days of one request: ten years.
const MAX_DAYS: i64 = 3660;

/// What to show.
#[derive(Debug, Deserialize)]
pub struct CostsQuery {
    by: Option<String>,
    from: Option<String>,
    to: Option<String>,
}

/// What the rows are for.
#[derive(Clone, Copy)]
enum GroupBy {
    Day,
    Category,
    Country,
    Plugin,
    Channel,
    Broadcast,
}

impl GroupBy {
    const ALL: [Self; 6] =
        [GroupBy::Day, GroupBy::Category, GroupBy::Country, GroupBy::Plugin, GroupBy::Channel, GroupBy::Broadcast];

    fn name(self) -> &'static str {
        match self {
            GroupBy::Day => "day",
            GroupBy::Category => "category",
            GroupBy::Country => "country",
            GroupBy::Plugin => "plugin",
            GroupBy::Channel => "channel",
            GroupBy::Broadcast => "broadcast",
        }
    }

    fn key(self, charge: &ChargeRow, names: &Names, broadcasts: &BTreeMap<BroadcastId, String>) -> String {
        match self {
            GroupBy::Day => charge.day.to_string(),
            GroupBy::Category => charge.pricing.category.clone(),
            GroupBy::Country => charge.country.clone(),
            GroupBy::Plugin => names.name(charge.plugin),
            GroupBy::Channel => charge.channel.clone(),
            GroupBy::Broadcast => match charge.broadcast {
                None => "none".into(),
                Some(id) => match broadcasts.get(&id) {
                    Some(name) => format!("{name} ({id})"),
                    None => id.to_string(),
                },
            },
        }
    }
}

/// A sum of messages.
#[derive(Clone, Copy, Default)]
pub struct Sum {
    messages: u64,
    free: u64,
    /// Messages whose rate is not known.
    pub unpriced: u64,
    /// What the others cost.
    pub estimate: Money,
}

impl Sum {
    fn add(&mut self, messages: u64, rate: Option<Money>) {
        self.messages += messages;
        match rate {
            Some(Money(0)) => self.free += messages,
            Some(rate) => self.estimate = self.estimate + rate.times(messages),
            None => self.unpriced += messages,
        }
    }

    /// Adds what was charged.
    pub fn charge(&mut self, charge: &ChargeRow, rates: &Rates) {
        self.add(charge.messages, rates.estimate(&charge.pricing, &charge.country, charge.day));
    }

    fn add_pending(&mut self, charge: &PendingCharge, rates: &Rates) {
        self.add(charge.messages, rates.rate(&charge.price.country, &charge.price.category, charge.day));
    }

    fn row(self, key: String) -> CostRow {
        let Self { messages, free, unpriced, estimate } = self;
        CostRow { key, messages, free, unpriced, estimate: estimate.to_string() }
    }
}

/// `GET /costs`
pub async fn costs(State(admin): State<Arc<Admin>>, Query(query): Query<CostsQuery>) -> Answer<Costs> {
    let (now, gatekeeper) = (admin.clock.now(), admin.gatekeeper.clone());
    let day = |text: Option<&str>| text.map(|text| text.parse::<Day>().map_err(ApiError::bad_request)).transpose();
    let by = super::query::variant("grouping", query.by.as_deref(), &GroupBy::ALL, GroupBy::name)?
        .unwrap_or(GroupBy::Category);
    let (from, to) = (day(query.from.as_deref())?, day(query.to.as_deref())?);
    let to = to.unwrap_or(Day::of(now).max(from.unwrap_or_default()));
    let from = from.unwrap_or(to.first_of_month());
    if from > to || to.0 - from.0 > MAX_DAYS {
        return Err(ApiError::bad_request(format!("`from` must be at most {MAX_DAYS} days before `to`, not after it")));
    }
    let view = read(&admin, move |reader, names| {
        let rates = gatekeeper.rates();
        let (mut rows, mut total, mut pending) = (BTreeMap::<String, Sum>::new(), Sum::default(), Sum::default());
        let charges = reader.charges(from, to)?;
        let broadcasts = match by {
            GroupBy::Broadcast => reader.broadcast_names(charges.iter().filter_map(|charge| charge.broadcast))?,
            _ => BTreeMap::new(),
        };
        for charge in charges {
            rows.entry(by.key(&charge, names, &broadcasts)).or_default().charge(&charge, &rates);
            total.charge(&charge, &rates);
        }
        for charge in reader.pending_charges(from, to)? {
            pending.add_pending(&charge, &rates);
        }
        let mut free_service = BTreeMap::<String, u64>::new();
        for charge in reader.charges(to.first_of_month(), to)? {
            if charge.pricing.kind.as_deref() == Some("free_customer_service") {
                *free_service.entry(charge.channel).or_default() += charge.messages;
            }
        }
        let limit = rates.free_service_messages;
        let in_force = rates.list(to);
        Ok(Costs {
            now: now.as_ms(),
            from: from.to_string(),
            to: to.to_string(),
            by: by.name().into(),
            rates: in_force.map(|(from, list)| RatesInForce { from: from.to_string(), source: list.source.clone() }),
            currency: Some(rates.currency.clone()).filter(|currency| !currency.is_empty()),
            items: rows.into_iter().map(|(key, sum)| sum.row(key)).collect(),
            total: total.row(String::new()),
            pending: pending.row(String::new()),
            free_service: free_service
                .into_iter()
                .map(|(channel, used)| FreeService { channel, used, limit })
                .collect(),
            budgets: gatekeeper.budgets(now)?.iter().map(budget_state).collect(),
        })
    });
    Ok(Json(view.await?))
}

fn budget_state(usage: &BudgetUse) -> BudgetState {
    let state = match usage.percent() {
        _ if usage.used() >= usage.budget.amount => "used-up",
        WARNING_PERCENT.. => "warning",
        _ => "ok",
    };
    BudgetState {
        name: usage.budget.name.clone(),
        period: usage.budget.period.name().into(),
        from: usage.from.to_string(),
        amount: usage.budget.amount.to_string(),
        used: usage.used().to_string(),
        percent: usage.percent(),
        unpriced: usage.unpriced,
        state: state.into(),
    }
}

/// What an operator should know about budgets.
pub async fn budget_problems(admin: &Admin) -> Vec<Problem> {
    let (now, gatekeeper) = (admin.clock.now(), admin.gatekeeper.clone());
    let found = read(admin, move |_, names| {
        let currency = gatekeeper.rates().currency;
        let mut problems = Vec::new();
        for usage in gatekeeper.budgets(now)? {
            let name = &usage.budget.name;
            if let Some(plugin) = usage.budget.plugin.as_deref().filter(|plugin| names.number(plugin).is_err()) {
                let message = format!("budget `{name}` counts nothing, because there is no plugin `{plugin}`");
                problems.push(Problem { code: "config-unused".into(), message });
            }
            let (code, word) = match usage.percent() {
                _ if usage.used() >= usage.budget.amount => ("over-budget", "is used up"),
                WARNING_PERCENT.. => ("budget-nearly-used", "is nearly used up"),
                _ => continue,
            };
            let message = format!(
                "budget `{name}` {word}: {} of {} {currency} per {}",
                usage.used(),
                usage.budget.amount,
                usage.budget.period.name()
            );
            problems.push(Problem { code: code.into(), message });
        }
        Ok(problems)
    });
    found.await.unwrap_or_default()
}

/// For metrics: charged messages by category; this month's estimate and unpriced messages; used
/// shares of budgets.
pub struct CostFigures {
    /// Since the beginning, by category.
    pub charged: BTreeMap<String, u64>,
    /// The currency, if there are rates.
    pub currency: String,
    /// Of this month.
    pub estimate: Money,
    /// Of this month.
    pub unpriced: u64,
    /// By budget, in percent.
    pub budgets: BTreeMap<String, u64>,
}

/// The figures as of now.
pub async fn cost_figures(admin: &Admin) -> Result<CostFigures, ApiError> {
    let (now, gatekeeper) = (admin.clock.now(), admin.gatekeeper.clone());
    read(admin, move |reader, _| {
        let (rates, today) = (gatekeeper.rates(), Day::of(now));
        let mut month = Sum::default();
        reader.charges(today.first_of_month(), today)?.iter().for_each(|usage| month.charge(usage, &rates));
        let budgets = gatekeeper.budgets(now)?;
        Ok(CostFigures {
            charged: reader.charged_by_category()?.into_iter().collect(),
            currency: rates.currency.clone(),
            estimate: month.estimate,
            unpriced: month.unpriced,
            budgets: budgets.into_iter().map(|usage| (usage.budget.name.clone(), usage.percent())).collect(),
        })
    })
    .await
}
