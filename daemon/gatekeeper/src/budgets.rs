//! Budgets: what was spent in the period, and whether one more message is within it.
//!
//! Spent is what the platform charged, and the estimate of what has no price yet. When a plugin asks, everything queued
//! counts; when a message is about to leave, only what left before it. A message that the gate let leave counts from then
//! on, also before the store says that it was sent, so that messages that leave at once do not share the same rest.

use crate::Gatekeeper;
use beadle_gate::Draft;
use beadle_gate::costs::{Budget, Money, Rates, WARNING_PERCENT, WhenSpent};
use beadle_gate::{Category, Facts, ReachedBudget};
use beadle_model::effect::PriceKey;
use beadle_model::{ConversationView, Day, MessageId, PluginNo, Timestamp};
use beadle_store::StoreError;
use std::collections::{BTreeMap, BTreeSet};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// From this number on, messages that left are forgotten as soon as the store knows them.
const MANY_LEAVING: usize = 1024;

/// What is remembered about budgets.
#[derive(Default)]
pub(crate) struct Spending {
    /// Messages that the gate let leave and that the store may not know as sent.
    leaving: BTreeMap<MessageId, Priced>,
    /// Warnings that were given: the budget, the first day of its period, and whether it was used up.
    warned: BTreeSet<(String, Day, bool)>,
}

/// A message and what it may cost.
#[derive(Clone, Debug)]
struct Priced {
    channel: String,
    plugin: PluginNo,
    category: String,
    cost: Money,
}

/// The numbers of plugins, by name.
type Plugins = BTreeMap<String, PluginNo>;

/// The use of a budget in its current period.
#[derive(Clone, Debug)]
pub struct BudgetUse {
    /// The budget.
    pub budget: Budget,
    /// The first day of the period.
    pub from: Day,
    /// The first day after it.
    pub until: Day,
    /// What was charged.
    pub charged: Money,
    /// What is queued, or sent and without a price.
    pub pending: Money,
    /// Messages whose rate is not known; they count as nothing.
    pub unpriced: u64,
}

impl BudgetUse {
    /// Everything that counts.
    pub fn used(&self) -> Money {
        self.charged + self.pending
    }

    /// The share that is used, in percent.
    pub fn percent(&self) -> u64 {
        self.used().percent_of(self.budget.amount)
    }
}

impl Gatekeeper {
    /// The use of every budget now.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn budgets(&self, now: Timestamp) -> Result<Vec<BudgetUse>, StoreError> {
        let policy = self.policy();
        if policy.budgets.is_empty() {
            return Ok(Vec::new());
        }
        let plugins = self.plugins(&policy.budgets)?;
        let uses = policy.budgets.iter().map(|budget| self.usage(budget, &policy.rates, &plugins, true, now));
        uses.collect()
    }

    /// The rates.
    pub fn rates(&self) -> Rates {
        self.policy().rates.clone()
    }

    fn plugins(&self, budgets: &[Budget]) -> Result<Plugins, StoreError> {
        if budgets.iter().all(|budget| budget.plugin.is_none()) {
            return Ok(Plugins::new());
        }
        Ok(self.0.reader.plugin_names()?.into_iter().map(|(no, name)| (name, no)).collect())
    }

    /// `queued`: whether what is queued counts too.
    fn usage(
        &self,
        budget: &Budget,
        rates: &Rates,
        plugins: &Plugins,
        queued: bool,
        now: Timestamp,
    ) -> Result<BudgetUse, StoreError> {
        let (from, until) = budget.period.around(Day::of(now));
        let last = Day(until.0 - 1);
        let named = |name: &str| plugins.get(name).copied();
        let mut usage = BudgetUse {
            budget: budget.clone(),
            from,
            until,
            charged: Money::default(),
            pending: Money::default(),
            unpriced: 0,
        };
        // Before what was charged: a message that gets its price meanwhile counts twice rather than not at all.
        for it in self.0.reader.pending_charges(from, last)? {
            if (queued || it.is_sent) && budget.counts(&it.channel, it.plugin, &it.price.category, named) {
                match rates.rate(&it.price.country, &it.price.category, it.day) {
                    Some(rate) => usage.pending = usage.pending + rate.times(it.messages),
                    None => usage.unpriced += it.messages,
                }
            }
        }
        for it in self.0.reader.charges(from, last)? {
            if budget.counts(&it.channel, it.plugin, &it.pricing.category, named) {
                match rates.estimate(&it.pricing, &it.country, it.day) {
                    Some(rate) => usage.charged = usage.charged + rate.times(it.messages),
                    None => usage.unpriced += it.messages,
                }
            }
        }
        if queued {
            self.warn(&usage);
        }
        Ok(usage)
    }

    /// Logs once in each period that a budget is nearly used up, and that it is.
    fn warn(&self, usage: &BudgetUse) {
        let (name, percent) = (&usage.budget.name, usage.percent());
        let is_spent = usage.used() >= usage.budget.amount;
        if percent < WARNING_PERCENT || !self.0.spending.lock().warned.insert((name.clone(), usage.from, is_spent)) {
            return;
        }
        let currency = self.policy().rates.currency.clone();
        let (used, amount, period) = (usage.used(), usage.budget.amount, usage.budget.period.name());
        if is_spent {
            tracing::warn!(budget = %name, period, %used, %amount, currency, "budget used up");
        } else {
            tracing::warn!(budget = %name, period, %used, %amount, currency, percent, "budget nearly used up");
        }
    }

    /// What the price of a message depends on; `None` if it costs nothing or is known only afterwards.
    pub(crate) fn price_key(draft: &Draft<'_>, facts: &Facts<'_>) -> Option<PriceKey> {
        let to = facts.conversation;
        if !draft.body.is_outreach() || to.group.is_some() || is_free_entry(to, facts.now) {
            return None;
        }
        let category = match facts.category(draft) {
            // As for all other rules: the platform decides, and this is what costs most.
            Category::Unknown => Category::Marketing,
            category => category,
        };
        let country = beadle_model::country_of(&to.address).unwrap_or_default();
        Some(PriceKey { country: country.to_owned(), category: category.name().to_owned() })
    }

    /// Whether a budget limits a message.
    pub(crate) fn is_budgeted(
        &self,
        by: PluginNo,
        to: &ConversationView,
        price: &PriceKey,
    ) -> Result<bool, StoreError> {
        let policy = self.policy();
        let plugins = self.plugins(&policy.budgets)?;
        let named = |name: &str| plugins.get(name).copied();
        Ok(policy.budgets.iter().any(|budget| budget.counts(&to.channel, by, &price.category, named)))
    }

    /// The budget that a message would exceed.
    pub(crate) fn over_budget(
        &self,
        draft: &Draft<'_>,
        by: PluginNo,
        facts: &Facts<'_>,
    ) -> Result<Option<ReachedBudget>, StoreError> {
        let (policy, to, now) = (self.policy(), facts.conversation, facts.now);
        if policy.budgets.is_empty() || !draft.body.is_outreach() || (to.group.is_none() && is_free_entry(to, now)) {
            return Ok(None);
        }
        // On its way already: it counts.
        if let Some(message) = draft.message
            && self.0.reader.pending_charge_sent(message)? == Some(true)
        {
            return Ok(None);
        }
        let plugins = self.plugins(&policy.budgets)?;
        let named = |name: &str| plugins.get(name).copied();
        let price = Self::price_key(draft, facts);
        let category = price.as_ref().map_or_else(|| facts.category(draft).name().to_owned(), |it| it.category.clone());
        for budget in policy.budgets.iter().filter(|it| it.counts(&to.channel, by, &category, named)) {
            let rates = &policy.rates;
            let cost = match &price {
                Some(price) => match rates.rate(&price.country, &price.category, Day::of(now)) {
                    Some(rate) => rate,
                    None => return Ok(Some(unknown_rate(budget, price))),
                },
                // Each member's price is known only afterwards.
                None => Money(1),
            };
            let fits = |leaving: Money| -> Result<_, StoreError> {
                let usage = self.usage(budget, rates, &plugins, draft.message.is_none(), now)?;
                Ok((usage.used() + leaving + cost <= budget.amount, usage))
            };
            // When a plugin asks, what leaves is among everything queued.
            let leaving = || draft.message.map_or(Money::default(), |message| self.leaving(message, budget, &plugins));
            let (mut does_fit, mut usage) = fits(leaving())?;
            if !does_fit {
                self.forget_sent()?;
                (does_fit, usage) = fits(leaving())?;
            }
            if !does_fit {
                return Ok(Some(reached(&usage, cost, &policy.rates.currency, now)));
            }
        }
        Ok(None)
    }

    /// What messages of a budget cost that the gate let leave, without this one.
    fn leaving(&self, without: MessageId, budget: &Budget, plugins: &Plugins) -> Money {
        let named = |name: &str| plugins.get(name).copied();
        let spending = self.0.spending.lock();
        let others = spending.leaving.iter().filter(|(message, _)| **message != without);
        let counted = others.filter(|(_, it)| budget.counts(&it.channel, it.plugin, &it.category, named));
        counted.map(|(_, it)| it.cost).sum()
    }

    /// A message was let leave.
    pub(crate) fn note_leaving(
        &self,
        message: MessageId,
        by: PluginNo,
        to: &ConversationView,
        price: &PriceKey,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let cost = self.policy().rates.rate(&price.country, &price.category, Day::of(now)).unwrap_or_default();
        let priced = Priced { channel: to.channel.to_string(), plugin: by, category: price.category.clone(), cost };
        let count = {
            let mut spending = self.0.spending.lock();
            spending.leaving.insert(message, priced);
            spending.leaving.len()
        };
        if count > MANY_LEAVING { self.forget_sent() } else { Ok(()) }
    }

    /// Forgets messages that the store knows as sent, or as nothing that will cost.
    fn forget_sent(&self) -> Result<(), StoreError> {
        let messages: Vec<MessageId> = self.0.spending.lock().leaving.keys().copied().collect();
        for message in messages {
            if self.0.reader.pending_charge_sent(message)? != Some(false) {
                self.0.spending.lock().leaving.remove(&message);
            }
        }
        Ok(())
    }
}

/// Whether messages cost nothing because the person came from an advertisement.
fn is_free_entry(to: &ConversationView, now: Timestamp) -> bool {
    to.free_entry_until.is_some_and(|until| now < until)
}

fn unknown_rate(budget: &Budget, price: &PriceKey) -> ReachedBudget {
    let country = if price.country.is_empty() { "an unknown country" } else { &price.country };
    ReachedBudget {
        reason: format!(
            "Budget `{}` applies, but the file of rates has no rate for {} messages to {country}.",
            budget.name, price.category
        ),
        until: None,
    }
}

fn reached(usage: &BudgetUse, cost: Money, currency: &str, now: Timestamp) -> ReachedBudget {
    let BudgetUse { budget, .. } = usage;
    let next = Timestamp(usage.until.start().0.min(now.plus_ms(DAY_MS).0));
    ReachedBudget {
        reason: format!(
            "Budget `{}` allows {} {currency} per {}; {} are used, and the message would cost {cost}.",
            budget.name,
            budget.amount,
            budget.period.name(),
            usage.used()
        ),
        until: (budget.when_spent == WhenSpent::Defer).then_some(next),
    }
}
